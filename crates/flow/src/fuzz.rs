//! Properties that hold for arbitrary frames; shared by the property tests and the fuzz targets.

use crate::compose::{compose, compose_of_length, counting_payload};
use crate::extract::extract;
use crate::key::{FlowKey, PacketKey};
use crate::layout::{COMMON_WORDS, PACKET_WORDS};

/// What is extracted depends on the frame alone, survives the way through a whole key, and agrees with the addresses and
/// headers that the packet formats' own views read.
///
/// # Panics
/// If it does not.
pub fn extraction(frame: &[u8]) {
    let mut key = PacketKey::default();
    let layout = extract(frame, 7, 9, &mut key);
    // A key that was used before, as the data path's are.
    let mut used = PacketKey::from(&FlowKey { words: [u64::MAX; crate::layout::WORDS] });
    assert_eq!(extract(frame, 7, 9, &mut used), layout);
    assert!(used.expand() == key.expand() && used.hash() == key.hash());
    let whole = key.expand();
    assert!((0..PACKET_WORDS).all(|word| whole.words[word] == key.word(word)));
    // A word that is there but zero, and one that is not there, are the same to the pipeline.
    assert!(whole == PacketKey::from(&whole).expand());
    assert_eq!((whole.in_port(), whole.recirc_id()), (7, 9));
    assert!(usize::from(layout.l3) <= frame.len() && usize::from(layout.l4) <= frame.len());
    assert!(layout.l4 == 0 || layout.l4 > layout.l3);
    if frame.len() < 14 {
        assert!(key.common()[2..COMMON_WORDS].iter().all(|&word| word == 0));
        return;
    }
    let mac = |at: usize| frame[at..at + 6].iter().fold(0, |mac, &byte| mac << 8 | u64::from(byte));
    assert_eq!((whole.eth_dst(), whole.eth_src()), (mac(0), mac(6)));
    // What lies under a label is looked for by offloads alone.
    let is_ip = matches!(whole.eth_type(), heddle_wire::ethertype::IPV4 | heddle_wire::ethertype::IPV6);
    if is_ip && let Some(at) = heddle_wire::locate::headers(frame) {
        // A fragment that is the whole packet (RFC 6946) is one to flows, and none to offloads.
        assert!(!at.fragment || whole.frag() != 0);
        assert_eq!(usize::from(layout.l3), at.l3);
        // Flows are told of no transport that is cut short, or that the lengths of IP contradict.
        assert!(usize::from(layout.l4) == at.l4 || layout.l4 == 0);
    }
}

/// Whatever key is extracted from a frame, a frame that is composed of it has the same.
///
/// # Panics
/// If it has not.
pub fn composition(frame: &[u8]) {
    let key_of = |frame: &[u8]| {
        let mut key = PacketKey::default();
        extract(frame, 7, 0, &mut key);
        key.expand()
    };
    let key = key_of(frame);
    let (short, long) = (compose(&key, &[]), compose(&key, &counting_payload(64)));
    for composed in [&short, &long] {
        assert!(key_of(composed) == key, "{key:?} became {:?}", key_of(composed));
    }
    assert_eq!(compose_of_length(&key, short.len()), Some(short.clone()));
    assert_eq!(compose_of_length(&key, short.len() - 1), None);
    assert_eq!(compose_of_length(&key, 200).map(|frame| frame.len()), Some(200));
}
