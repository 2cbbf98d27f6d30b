//! Multipart requests that come in several parts (OpenFlow 1.3.5 section 7.3.5).
//!
//! Parts are kept as they stand on the wire until the last one is there, since what is read of one is much larger. Each is
//! read as it comes, so that a wrong one is refused at once; the parts that follow it are passed over then, because the last
//! of them would look like a request of its own.

use std::collections::BTreeMap;

use heddle_openflow::kind::MORE;
use heddle_openflow::message::{Version, decode};
use heddle_openflow::multipart::Request;
use heddle_openflow::{Body, Fault, Message, OfError};

/// Requests of a connection that wait for parts.
const MAX_REQUESTS: usize = 16;
/// Bytes of all parts that a connection has waiting, as many as Open vSwitch takes.
const MAX_BYTES: usize = 4 << 20;
/// Milliseconds after which a request is given up whose next part does not come, as in Open vSwitch.
const PATIENCE_MS: u64 = 1000;
/// Type of a multipart request since OpenFlow 1.1, and bytes of its headers.
const MULTIPART_REQUEST: u8 = 18;
const HEADERS_LEN: usize = 16;
/// Number of experimenters' requests, and bytes of their headers.
const EXPERIMENTER: [u8; 2] = [0xff, 0xff];
const EXPERIMENTER_LEN: usize = 24;

/// A request that waits for parts.
#[derive(Debug)]
struct Partial {
    /// Its type, with an experimenter's numbers.
    kind: Vec<u8>,
    /// Parts with something in them; `None` once one was refused.
    parts: Option<Vec<Box<[u8]>>>,
    bytes: usize,
    /// The beginning of the last part, which is quoted when the next one does not come.
    quoted: Box<[u8]>,
    heard_ms: u64,
}

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// No part: it stands for itself.
    Alone,
    /// A part; others are to come.
    Held,
    /// The last part, with all that came before.
    Whole(Box<Message>),
}

/// The requests of a connection that wait for parts, by their transaction ids.
#[derive(Debug, Default)]
pub(super) struct Parts {
    waiting: BTreeMap<u32, Partial>,
}

/// The type of a multipart request, with an experimenter's numbers, and whether nothing follows it.
fn kind_of(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let kind = bytes.get(8..10)?;
    let length = if kind == EXPERIMENTER { EXPERIMENTER_LEN } else { HEADERS_LEN };
    let kind = if kind == EXPERIMENTER { bytes.get(HEADERS_LEN..EXPERIMENTER_LEN)? } else { kind };
    Some((kind, bytes.len() == length))
}

impl Parts {
    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn bytes(&self) -> usize {
        self.waiting.values().map(|partial| partial.bytes).sum()
    }

    /// Takes a message in the version agreed on.
    ///
    /// # Errors
    /// `OFPBRC_MULTIPART_BUFFER_OVERFLOW` for more than is kept, `OFPBRC_BAD_MULTIPART` for parts of different types, and
    /// what is wrong with a part.
    pub(super) fn take(&mut self, bytes: &[u8], version: Version, now_ms: u64) -> Result<Taken, Fault> {
        let (Some(&MULTIPART_REQUEST), Some(&[high, low]), Some(id)) =
            (bytes.get(1), bytes.get(10..12).and_then(<[u8]>::first_chunk), bytes.get(4..8))
        else {
            return Ok(Taken::Alone);
        };
        let Some((kind, is_empty)) = kind_of(bytes) else { return Ok(Taken::Alone) };
        let xid = id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
        let more = u16::from_be_bytes([high, low]) & MORE != 0;
        // Versions before 1.3 do not know the flag.
        if version < Version::V1_3 || !more && !self.waiting.contains_key(&xid) {
            return Ok(Taken::Alone);
        }
        let fault = |error| Fault::of(bytes, error);
        let held = self.bytes();
        if !self.waiting.contains_key(&xid) && self.waiting.len() == MAX_REQUESTS {
            return Err(fault(OfError::RequestMultipartOverflow));
        }
        let partial = self.waiting.entry(xid).or_insert_with(|| Partial {
            kind: kind.to_vec(),
            parts: Some(Vec::new()),
            bytes: 0,
            quoted: Box::default(),
            heard_ms: now_ms,
        });
        partial.heard_ms = now_ms;
        partial.quoted = bytes[..bytes.len().min(64)].into();
        let outcome = match &mut partial.parts {
            None => Ok(()),
            Some(_) if partial.kind != kind => Err(fault(OfError::RequestBadMultipart)),
            Some(_) if held + bytes.len() > MAX_BYTES => Err(fault(OfError::RequestMultipartOverflow)),
            Some(_) if is_empty => Ok(()),
            Some(parts) => decode(bytes).map(|_| {
                parts.push(bytes.into());
                partial.bytes += bytes.len();
            }),
        };
        if outcome.is_err() {
            (partial.parts, partial.bytes) = (None, 0);
        }
        if more {
            return outcome.map(|()| Taken::Held);
        }
        let parts = self.waiting.remove(&xid).and_then(|partial| partial.parts);
        outcome?;
        match parts {
            // Its refusal has been told.
            None => Ok(Taken::Held),
            Some(parts) => join(&parts, bytes).map(|message| Taken::Whole(Box::new(message))),
        }
    }

    /// Gives up requests whose next part does not come.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.waiting.retain(|_, partial| {
            let waits = partial.heard_ms.saturating_add(PATIENCE_MS) > now_ms;
            if !waits && partial.parts.is_some() {
                faults.push(Fault::of(&partial.quoted, OfError::RequestMultipartRequestTimeout));
            }
            waits
        });
        faults
    }
}

/// The request that parts make; the `last` one may have nothing in it.
fn join(parts: &[Box<[u8]>], last: &[u8]) -> Result<Message, Fault> {
    let Some((first, rest)) = parts.split_first() else { return decode(last) };
    let mut joined = decode(first)?;
    for part in rest {
        let (Body::MultipartRequest(all), Body::MultipartRequest(more)) =
            (&mut joined.body, decode(part)?.body)
        else {
            return Err(Fault::of(part, OfError::RequestBadMultipart));
        };
        match (all, more) {
            (Request::SetTableFeatures(all), Request::SetTableFeatures(more)) => all.extend(more),
            (Request::FlowMonitor(all), Request::FlowMonitor(more)) => all.extend(more),
            // There is one body to ask with.
            _ => return Err(Fault::of(part, OfError::RequestBadLength)),
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of a request of OpenFlow 1.3.
    fn part(xid: u32, kind: u16, more: bool, body: &[u8]) -> Vec<u8> {
        let length = (HEADERS_LEN + body.len()) as u16;
        let mut bytes = vec![4, 18];
        bytes.extend(length.to_be_bytes());
        bytes.extend(xid.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, u8::from(more), 0, 0, 0, 0]);
        bytes.extend(body);
        bytes
    }

    /// Features of a table that has only a number.
    fn features(table: u8) -> Vec<u8> {
        let mut features = vec![0; 64];
        (features[1], features[2]) = (64, table);
        features
    }

    const TABLES: u16 = 12;

    fn take(parts: &mut Parts, bytes: &[u8]) -> Result<Taken, OfError> {
        parts.take(bytes, Version::V1_3, 0).map_err(|fault| fault.error)
    }

    #[test]
    fn parts_are_joined_with_empty_ones_between_them() {
        let mut parts = Parts::default();
        assert_eq!(take(&mut parts, &part(1, TABLES, false, &features(0))), Ok(Taken::Alone));
        assert_eq!(take(&mut parts, &part(1, TABLES, true, &features(0))), Ok(Taken::Held));
        assert_eq!(take(&mut parts, &part(1, TABLES, true, &[])), Ok(Taken::Held));
        assert_eq!(take(&mut parts, &part(2, TABLES, true, &[])), Ok(Taken::Held));
        assert_eq!(take(&mut parts, &part(1, TABLES, true, &features(1))), Ok(Taken::Held));
        let Ok(Taken::Whole(message)) = take(&mut parts, &part(1, TABLES, false, &[])) else { panic!() };
        let Body::MultipartRequest(Request::SetTableFeatures(tables)) = message.body else { panic!() };
        assert_eq!((message.xid, tables.len()), (1, 2));
        let Ok(Taken::Whole(message)) = take(&mut parts, &part(2, TABLES, false, &[])) else { panic!() };
        assert_eq!(message.body, Body::MultipartRequest(Request::TableFeatures));
        assert!(parts.is_empty() && parts.bytes() == 0);
    }

    #[test]
    fn a_refused_request_is_refused_once_and_its_rest_passed_over() {
        let mut parts = Parts::default();
        let cases = [
            (part(1, TABLES, true, &[0; 64]), OfError::PropertyBadLen),
            (part(1, 0, true, &[]), OfError::RequestBadMultipart),
        ];
        for (wrong, error) in cases {
            assert_eq!(take(&mut parts, &part(1, TABLES, true, &features(0))), Ok(Taken::Held));
            assert_eq!(take(&mut parts, &wrong), Err(error));
            assert_eq!(take(&mut parts, &part(1, TABLES, true, &features(1))), Ok(Taken::Held));
            assert_eq!(take(&mut parts, &part(1, TABLES, false, &features(2))), Ok(Taken::Held));
            assert!(parts.is_empty());
        }
        // Counters of a port are asked for once.
        let port = [0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(take(&mut parts, &part(1, 4, true, &port)), Ok(Taken::Held));
        assert_eq!(take(&mut parts, &part(1, 4, false, &port)), Err(OfError::RequestBadLength));
        assert!(parts.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut parts = Parts::default();
        let many: Vec<u8> = (0..=255).flat_map(features).collect();
        let refused = (0..).find(|_| take(&mut parts, &part(1, TABLES, true, &many)).is_err());
        assert_eq!(refused, Some(MAX_BYTES / (many.len() + HEADERS_LEN)));
        assert_eq!(parts.bytes(), 0);
        for xid in 2..=MAX_REQUESTS as u32 {
            assert_eq!(take(&mut parts, &part(xid, 0, true, &[])), Ok(Taken::Held));
        }
        assert_eq!(take(&mut parts, &part(99, 0, true, &[])), Err(OfError::RequestMultipartOverflow));
    }

    #[test]
    fn a_part_that_does_not_come_is_told_of() {
        let mut parts = Parts::default();
        assert_eq!(take(&mut parts, &part(7, TABLES, true, &features(0))), Ok(Taken::Held));
        assert!(parts.expire(PATIENCE_MS - 1).is_empty());
        let faults = parts.expire(PATIENCE_MS);
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].xid, faults[0].error), (7, OfError::RequestMultipartRequestTimeout));
        assert!(parts.is_empty());
    }
}
