//! Statistics of many flows, written as many messages without holding them all.

use crate::bytes::Put;
use crate::flow_stats::{self, FlowStats};
use crate::kind::{Kind, MORE, Row};
use crate::message::MAX_MESSAGE;
use crate::version::Form;

/// Where the flags of a multipart message stand.
const FLAGS_AT: usize = 10;

/// Writes an answer of flows, as many messages as it needs.
pub struct FlowWriter {
    form: Form,
    row: Option<&'static Row>,
    xid: u32,
    bytes: Vec<u8>,
    /// Where the message that is not full yet begins, and where its flows do.
    open: Option<(usize, usize)>,
}

impl FlowWriter {
    /// An answer to the request of this id, in its form.
    #[must_use]
    pub fn new(form: Form, xid: u32) -> Self {
        let row = Row::of(Kind::FlowReply, form);
        let nicira = row.is_some_and(Row::is_extension);
        Self { form: Form { nicira, ..form }, row, xid, bytes: Vec::new(), open: None }
    }

    /// Adds a flow; whether it fits into a message, without which it is left out.
    pub fn push(&mut self, flow: &FlowStats) -> bool {
        let (start, body) = self.message();
        let at = self.bytes.len();
        flow_stats::encode_flow(&mut self.bytes, self.form, flow);
        let length = self.bytes.len() - at;
        if length > MAX_MESSAGE - (body - start) {
            self.bytes.truncate(at);
            return false;
        }
        if self.bytes.len() - start > MAX_MESSAGE {
            let flow = self.bytes.split_off(at);
            self.close(start);
            self.message();
            self.bytes.extend_from_slice(&flow);
        }
        true
    }

    /// Ends the answer.
    pub fn finish(&mut self) {
        let (start, _) = self.message();
        self.bytes[start + FLAGS_AT..start + FLAGS_AT + 2].fill(0);
        self.close(start);
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no bytes wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The messages so far, but for one that is not full yet unless the answer has ended.
    pub fn take(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.open.map_or(self.bytes.len(), |(start, _)| start));
        self.open = self.open.map(|(start, body)| (0, body - start));
        std::mem::replace(&mut self.bytes, rest)
    }

    /// The message that is not full yet, which is begun if there is none.
    fn message(&mut self) -> (usize, usize) {
        if let Some(open) = self.open {
            return open;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[self.form.version as u8, 0, 0, 0]);
        self.bytes.u32(self.xid);
        if let Some(row) = self.row {
            self.bytes[start + 1] = row.put_header(&mut self.bytes, self.form.version, true);
        }
        debug_assert_eq!(self.bytes[start + FLAGS_AT + 1], MORE as u8);
        *self.open.insert((start, self.bytes.len()))
    }

    fn close(&mut self, start: usize) {
        self.bytes.length_at(start + 2, start);
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipart::Reply;
    use crate::{Action, Body, Framer, Instruction, Version, decode};

    #[test]
    fn many_flows_are_many_messages_and_the_last_says_so() {
        for (version, nicira) in [(Version::V1_0, false), (Version::V1_0, true), (Version::V1_3, false)] {
            let mut writer = FlowWriter::new(Form { version, nicira }, 7);
            let (mut bytes, mut whole) = (Vec::new(), 0);
            for number in 0..3000 {
                assert!(writer.push(&FlowStats { cookie: number, ..FlowStats::default() }));
                bytes.extend(writer.take());
                whole = whole.max(writer.len());
            }
            writer.finish();
            bytes.extend(writer.take());
            assert!(writer.is_empty() && whole <= MAX_MESSAGE);
            let mut framer = Framer::default();
            framer.push(&bytes);
            let (mut cookies, mut last) = (Vec::new(), false);
            while let Some(message) = framer.next_message() {
                let message = message.expect("a length that is right");
                assert!(!last);
                last = message[FLAGS_AT + 1] == 0;
                let Body::MultipartReply(Reply::Flow(flows)) = decode(&message).expect("a message").body
                else {
                    panic!("flows were written");
                };
                cookies.extend(flows.iter().map(|flow| flow.cookie));
            }
            assert!(last);
            assert_eq!(cookies, (0..3000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_flow_that_fits_no_message_is_left_out() {
        let note = Instruction::Apply(vec![Action::Note(vec![0; 60_000]); 2]);
        let mut writer = FlowWriter::new(Form::default(), 1);
        assert!(!writer.push(&FlowStats { instructions: vec![note], ..FlowStats::default() }));
        assert!(writer.push(&FlowStats::default()));
        writer.finish();
        assert!(decode(&writer.take()).is_ok());
    }
}
