//! The properties of the fuzz targets, on inputs of proptest's choice.
#![allow(missing_docs)]

use proptest::prelude::*;

proptest! {
    #[test]
    fn arbitrary_messages(kind in 0u8..30, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![4, kind];
        bytes.extend(((body.len() + 8) as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(&body);
        heddle_openflow::fuzz::message(&bytes);
        heddle_openflow::fuzz::message(&body);
    }

    #[test]
    fn arbitrary_text(text in "[a-z0-9_=,:>\\[\\]().-]{0,60}", tail in "(output:1|drop|normal|)") {
        heddle_openflow::fuzz::flow_text(format!("{text},actions={tail}").as_bytes());
        heddle_openflow::fuzz::flow_text(text.as_bytes());
    }
}
