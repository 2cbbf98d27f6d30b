//! Every message of the table, in every version that has it, keeps its meaning or is refused, whatever its body is.
#![allow(missing_docs)]

use heddle_openflow::kind::ROWS;
use heddle_openflow::{Form, Message, Version, fuzz};
use proptest::prelude::*;

/// A message of a row of the table, in one of its versions, with the body as near to `body` as the row allows.
fn message(row: usize, version: usize, xid: u32, body: &[u8]) -> Vec<u8> {
    let row = &ROWS[row % ROWS.len()];
    let versions: Vec<Version> = Version::ALL.iter().copied().filter(|&version| row.is_in(version)).collect();
    let version = versions[version % versions.len()];
    let mut out = vec![version as u8, 0, 0, 0];
    out.extend(xid.to_be_bytes());
    out[1] = row.put_header(&mut out, version, false);
    let mut body = body.to_vec();
    while !row.fits(body.len()) && body.len() < 2000 {
        body.push(0);
    }
    out.extend(body);
    let length = (out.len() as u16).to_be_bytes();
    out[2..4].copy_from_slice(&length);
    out
}

/// Bytes that are often small, as the lengths and types within messages are.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0u8), 3 => 1u8..9, 1 => (1u8..16).prop_map(|eighth| eighth * 8), 1 => any::<u8>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn messages_of_the_table(
        row in any::<usize>(),
        version in any::<usize>(),
        body in prop_oneof![
            proptest::collection::vec(byte(), 0..160),
            proptest::collection::vec(any::<u8>(), 0..160),
        ],
    ) {
        fuzz::message(&message(row, version, 7, &body));
    }

    #[test]
    fn headers_of_no_row(version in 0u8..9, kind in 0u8..40, body in proptest::collection::vec(byte(), 0..40)) {
        let mut bytes = vec![version, kind];
        bytes.extend(((body.len() + 8) as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(&body);
        fuzz::message(&bytes);
    }
}

/// A body of zeros is the plainest that there is: each row has one, and what of it is read keeps its meaning.
#[test]
fn zeros() {
    for row in 0..ROWS.len() {
        for version in 0..Version::ALL.len() {
            for length in [0, 8, 16, 24, 32, 48, 64, 104, 128] {
                fuzz::message(&message(row, version, 7, &vec![0; length]));
            }
        }
    }
}

/// What a version cannot say is not written as something else: every message that is written is read as what it was.
#[test]
fn what_has_no_form_is_nothing() {
    let role = heddle_openflow::Body::GetAsyncRequest;
    let message = Message { form: Form::of(Version::V1_0), xid: 1, body: role };
    assert!(message.encode().is_empty());
}
