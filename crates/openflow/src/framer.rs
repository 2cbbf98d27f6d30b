//! Cutting a stream into messages (OpenFlow 1.3.5 section 7.1).

use crate::message::{HEADER_LEN, MAX_MESSAGE};
use crate::{Fault, OfError};

/// Cuts a stream into messages.
///
/// What it keeps is bounded: less than one message is left over once [`Framer::next_message`] has said `None`, and a
/// message has at most [`MAX_MESSAGE`] bytes, because its length has 16 bits.
#[derive(Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Bytes before it have been given out.
    start: usize,
    ended: bool,
}

impl Framer {
    /// Takes bytes as they came; after the stream's end they are ignored.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message.
    pub fn held(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The next whole message; `None` until there is one. A length below a header's is refused, and ends the stream: where
    /// the next message would start is not known.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, Fault>> {
        let bytes = &self.bytes[self.start..];
        let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length < HEADER_LEN {
            let fault = Fault::of(header, OfError::RequestBadLength);
            *self = Self { ended: true, ..Self::default() };
            return Some(Err(fault));
        }
        let message = bytes.get(..length)?.to_vec();
        self.start += length;
        if self.start == self.bytes.len() && self.bytes.capacity() > 2 * MAX_MESSAGE {
            // A burst is no reason to keep its memory for as long as the connection lives.
            (self.bytes, self.start) = (Vec::new(), 0);
        }
        Some(Ok(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_message_is_cut_out_and_nothing_is_kept() {
        let mut message = vec![4, 2, 0xff, 0xff, 0, 0, 0, 1];
        message.resize(MAX_MESSAGE, 7);
        let mut framer = Framer::default();
        for _ in 0..100 {
            for piece in message.chunks(1000) {
                framer.push(piece);
                while let Some(cut) = framer.next_message() {
                    assert_eq!(cut.expect("its length is good").len(), MAX_MESSAGE);
                }
                assert!(framer.held() < MAX_MESSAGE);
            }
        }
        assert!(framer.held() == 0 && framer.bytes.capacity() <= 2 * MAX_MESSAGE);
    }

    #[test]
    fn a_length_below_the_header_ends_the_stream_with_its_id() {
        let mut framer = Framer::default();
        framer.push(&[4, 2, 0, 4, 0, 0, 0, 9, 1, 2, 3]);
        let fault = framer.next_message().expect("a header came").expect_err("four is less than eight");
        assert_eq!((fault.xid, fault.error), (9, OfError::RequestBadLength));
        for _ in 0..1000 {
            framer.push(&[0; 1000]);
            assert!(framer.next_message().is_none());
        }
        assert_eq!((framer.held(), framer.bytes.capacity()), (0, 0));
    }

    #[test]
    fn a_message_that_never_ends_is_held_below_its_length() {
        // The length has 16 bits: there is no way to declare more.
        let mut framer = Framer::default();
        framer.push(&[4, 2, 0xff, 0xff, 0, 0, 0, 1]);
        for _ in 0..65_526 {
            framer.push(&[0]);
            assert!(framer.next_message().is_none());
        }
        assert_eq!(framer.held(), MAX_MESSAGE - 1);
        framer.push(&[0]);
        assert!(framer.next_message().is_some_and(|message| message.is_ok()));
        assert_eq!(framer.held(), 0);
    }
}
