//! Fields whose values are not simply bits of a header.

use crate::common::*;
use crate::frames::{Kind, finish, frame};
use crate::world::World;

fn flow(fields: &str) -> Mod {
    Mod { matching: matching(fields), instructions: apply(&[output(2)]), ..Mod::default() }
}

#[test]
fn input_port() {
    let mut world = World::new();
    for field in ["80000004 00000003", "00000002 0003"] {
        world.clear();
        world.add(&flow(field));
        let taken: Vec<u32> =
            [1, 3, 4].into_iter().filter(|&port| !world.pass(port, &frame(Kind::Udp4)).is_empty()).collect();
        assert_eq!(taken, [3], "{field}");
    }
}

#[test]
fn output_of_the_action_set() {
    let mut world = World::new();
    for (written, taken) in [(3, true), (2, false)] {
        world.add(&Mod {
            instructions: [write(&[output(written)]), hex("0001 0008 01000000")].concat(),
            ..Mod::default()
        });
        world.add(&Mod { table: 1, instructions: apply(&[output(4)]), ..flow("80005604 00000003") });
        let wanted = if taken { vec![3, 4] } else { vec![] };
        assert_eq!(world.ports(&frame(Kind::Udp4)), wanted);
    }
}

#[test]
fn matched_by_none() {
    let mut world = World::new();
    for field in ["00014804 00000007", "00014a04 00000007", "00014604 00000007"] {
        world.clear();
        world.add(&flow(field));
        assert!(world.ports(&frame(Kind::Udp4)).is_empty(), "{field}");
    }
}

/// UDP over IPv4 with these fragment bits and offset.
fn fragment(bits: u16) -> Vec<u8> {
    let mut bytes = frame(Kind::Udp4);
    bytes[20..22].copy_from_slice(&bits.to_be_bytes());
    finish(Kind::Udp4, bytes)
}

#[test]
fn fragments() {
    let mut world = World::new();
    let (whole, first, later, last) = (fragment(0x4000), fragment(0x2000), fragment(0x2003), fragment(3));
    let frames = [("whole", whole), ("first", first), ("later", later), ("last", last)];
    // Nicira's `ip_frag`: 1 is any, 2 is later.
    let cases: [(&str, &[&str]); 5] = [
        ("00013401 00", &["whole"]),
        ("00013401 01", &["first"]),
        ("00013401 03", &["later", "last"]),
        ("00013502 01 01", &["first", "later", "last"]),
        ("00013502 00 02", &["whole", "first"]),
    ];
    for (field, wanted) in cases {
        world.clear();
        world.add(&flow(&format!("80000a02 0800 {field}")));
        let taken: Vec<&str> = frames
            .iter()
            .filter(|(_, bytes)| !world.ports(bytes).is_empty())
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(taken, wanted, "{field}");
    }
}

/// IPv6 with these extension headers, by their next-header numbers, and UDP behind them unless the last ends the packet.
fn extended(chain: &[u8]) -> Vec<u8> {
    let plain = frame(Kind::Udp6);
    let ends = matches!(chain.last(), Some(50 | 59));
    let mut numbers = chain.to_vec();
    if !ends {
        numbers.push(17);
    }
    let mut body = Vec::new();
    for pair in numbers.windows(2) {
        // AH counts in words of four bytes, less two (RFC 4302 section 2.2).
        let length = if pair[0] == 51 { 4 } else { 0 };
        body.extend([pair[1], length, 0, 0, 0, 0, 0, 0]);
        body.resize(body.len() + if pair[0] == 51 { 16 } else { 0 }, 0);
    }
    if ends {
        body.extend([1; 16])
    } else {
        body.extend(&plain[54..])
    }
    let mut bytes = plain[..54].to_vec();
    bytes[18..20].copy_from_slice(&(body.len() as u16).to_be_bytes());
    bytes[20] = numbers[0];
    bytes.extend(body);
    bytes
}

/// `OXM_OF_IPV6_EXTHDR` (OpenFlow 1.3.5, table 12 and section 7.2.3.8): NONEXT 1, ESP 2, AUTH 4, DEST 8, FRAG 0x10, ROUTER
/// 0x20, HOP 0x40, UNREP 0x80 for repeated headers, UNSEQ 0x100 for another order than the preferred one.
#[test]
fn extension_headers() {
    const CHAINS: &[(&[u8], u16)] = &[
        (&[], 0),
        (&[59], 0x001),
        (&[50], 0x002),
        (&[51], 0x004),
        (&[60], 0x008),
        (&[44], 0x010),
        (&[43], 0x020),
        (&[0], 0x040),
        (&[0, 60, 43, 44, 51, 50], 0x07e),
        (&[0, 60, 43, 44, 51, 60], 0x07c),
        (&[43, 43], 0x0a0),
        (&[60, 60, 60], 0x088),
        (&[43, 0], 0x160),
        (&[51, 44], 0x114),
        (&[44, 43, 44], 0x1b0),
    ];
    let mut world = World::new();
    for &(chain, value) in CHAINS {
        let bytes = extended(chain);
        let mut takes = |field: &str| {
            world.clear();
            world.add(&flow(&format!("80000a02 86dd {field}")));
            !world.ports(&bytes).is_empty()
        };
        assert!(takes(&format!("80004e02 {value:04x}")), "{chain:?} has {value:#x}");
        for bit in 0..9 {
            let mask = 1u16 << bit;
            assert!(!takes(&format!("80004e02 {:04x}", value ^ mask)), "{chain:?}: bit {bit} does not count");
            assert!(takes(&format!("80004f04 {:04x} {mask:04x}", value & mask)), "{chain:?}: bit {bit}");
            assert!(
                !takes(&format!("80004f04 {:04x} {mask:04x}", !value & mask)),
                "{chain:?}: bit {bit} is the other"
            );
        }
    }
    assert_eq!(world.switch.mismatches(), 0);
}
