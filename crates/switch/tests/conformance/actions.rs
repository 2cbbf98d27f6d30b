//! What actions make of packets (OpenFlow 1.3.5 sections 5.12 and 7.2.5): a packet goes in, and what comes out is compared
//! byte by byte.

use heddle_openflow::OfError;

use crate::common::*;
use crate::frames::{Kind, finish, frame};
use crate::world::World;

/// The match on a frame's type, behind a VLAN tag on the tag too: what actions on its headers presuppose.
fn of(frame: &[u8]) -> Vec<u8> {
    let number = |at: usize| format!("{:02x}{:02x}", frame[at], frame[at + 1]);
    match number(12).as_str() {
        "8100" | "88a8" if matches!(number(16).as_str(), "8100" | "88a8") => matching("80000d04 1000 1000"),
        "8100" | "88a8" => matching(&format!("80000d04 1000 1000 80000a02 {}", number(16))),
        kind => matching(&format!("80000a02 {kind}")),
    }
}

fn flow(frame: &[u8], actions: &[Vec<u8>]) -> Mod {
    Mod { matching: of(frame), instructions: apply(actions), ..Mod::default() }
}

/// An action with a number of two bytes: an EtherType.
fn typed(kind: u16, ethertype: u16) -> Vec<u8> {
    element(kind, &format!("{ethertype:04x} 0000"))
}

/// An action with a number of one byte: a TTL.
fn ttl(kind: u16, value: u8) -> Vec<u8> {
    element(kind, &format!("{value:02x} 000000"))
}

fn bare(kind: u16) -> Vec<u8> {
    element(kind, "00000000")
}

fn set_field(oxm: &str) -> Vec<u8> {
    element(25, oxm)
}

const COPY_TTL_OUT: u16 = 11;
const COPY_TTL_IN: u16 = 12;
const SET_MPLS_TTL: u16 = 15;
const DEC_MPLS_TTL: u16 = 16;
const PUSH_VLAN: u16 = 17;
const POP_VLAN: u16 = 18;
const PUSH_MPLS: u16 = 19;
const POP_MPLS: u16 = 20;
const SET_QUEUE: u16 = 21;
const GROUP: u16 = 22;
const SET_NW_TTL: u16 = 23;
const DEC_NW_TTL: u16 = 24;
const PUSH_PBB: u16 = 26;
const POP_PBB: u16 = 27;

const VID_5: &str = "80000c02 1005";
const LABEL_7: &str = "80004404 00000007";
const ISID_9: &str = "80004a03 000009";

/// UDP over IPv4 with this TTL.
fn v4(ttl: u8) -> Vec<u8> {
    let mut bytes = frame(Kind::Udp4);
    bytes[22] = ttl;
    finish(Kind::Udp4, bytes)
}

/// UDP over IPv6 with this hop limit.
fn v6(ttl: u8) -> Vec<u8> {
    let mut bytes = frame(Kind::Udp6);
    bytes[21] = ttl;
    bytes
}

/// A frame whose type and what follows it come after these bytes, which begin with a type.
fn behind(header: &str, inner: &[u8]) -> Vec<u8> {
    [&inner[..12], &hex(header), &inner[12..]].concat()
}

/// A frame with labels, outermost first, in place of its type.
fn labelled(labels: &str, inner: &[u8]) -> Vec<u8> {
    [&inner[..12], &hex(&format!("8847 {labels}")), &inner[14..]].concat()
}

/// A frame within a service tag, between the same stations.
fn backbone(tag: &str, inner: &[u8]) -> Vec<u8> {
    [&inner[..12], &hex(&format!("88e7 {tag}")), inner].concat()
}

type Row = (&'static str, Vec<u8>, Vec<Vec<u8>>, Vec<u8>);

fn check(rows: Vec<Row>) {
    let mut world = World::new();
    for (name, before, mut actions, after) in rows {
        world.clear();
        actions.push(output(2));
        world.add(&flow(&before, &actions));
        for _ in 0..2 {
            assert_eq!(world.pass(1, &before), [(2, after.clone())], "{name}");
        }
    }
    assert_eq!(world.switch.mismatches(), 0);
}

#[test]
fn tags_of_vlans() {
    let (plain, tagged) = (frame(Kind::Udp4), frame(Kind::Tagged));
    check(vec![
        ("a tag of zeros", plain.clone(), vec![typed(PUSH_VLAN, 0x8100)], behind("8100 0000", &plain)),
        ("a service tag", plain.clone(), vec![typed(PUSH_VLAN, 0x88a8)], behind("88a8 0000", &plain)),
        (
            "before ARP",
            frame(Kind::Arp),
            vec![typed(PUSH_VLAN, 0x8100)],
            behind("8100 0000", &frame(Kind::Arp)),
        ),
        (
            "a second tag has the first one's values",
            tagged.clone(),
            vec![typed(PUSH_VLAN, 0x88a8)],
            behind("88a8 a123", &tagged),
        ),
        (
            "a tag and its number",
            plain.clone(),
            vec![typed(PUSH_VLAN, 0x8100), set_field(VID_5)],
            behind("8100 0005", &plain),
        ),
        (
            "two tags and the outer one's number",
            plain.clone(),
            vec![typed(PUSH_VLAN, 0x8100), typed(PUSH_VLAN, 0x88a8), set_field(VID_5)],
            behind("88a8 0005", &behind("8100 0000", &plain)),
        ),
        ("no tag", tagged.clone(), vec![bare(POP_VLAN)], plain.clone()),
        ("the outer tag of two", behind("88a8 0007", &tagged), vec![bare(POP_VLAN)], tagged.clone()),
        (
            "one off, one on",
            tagged,
            vec![bare(POP_VLAN), typed(PUSH_VLAN, 0x8100)],
            behind("8100 0000", &plain),
        ),
    ]);
}

#[test]
fn labels() {
    let (plain, arp, tagged) = (v4(63), frame(Kind::Arp), frame(Kind::Tagged));
    let one = labelled("12345b3c", &plain);
    check(vec![
        (
            "a label has the packet's TTL",
            plain.clone(),
            vec![typed(PUSH_MPLS, 0x8847)],
            labelled("0000013f", &plain),
        ),
        ("of IPv6 too", v6(9), vec![typed(PUSH_MPLS, 0x8847)], labelled("00000109", &v6(9))),
        (
            "multicast",
            plain.clone(),
            vec![typed(PUSH_MPLS, 0x8848)],
            [&plain[..12], &hex("8848 0000013f"), &plain[14..]].concat(),
        ),
        (
            "what has no TTL gives none",
            arp.clone(),
            vec![typed(PUSH_MPLS, 0x8847)],
            labelled("00000100", &arp),
        ),
        (
            "a second label has the first one's values",
            one.clone(),
            vec![typed(PUSH_MPLS, 0x8847)],
            labelled("12345a3c 12345b3c", &plain),
        ),
        (
            "a label and its value",
            plain.clone(),
            vec![typed(PUSH_MPLS, 0x8847), set_field(LABEL_7)],
            labelled("0000713f", &plain),
        ),
        (
            "behind the tag",
            tagged.clone(),
            vec![typed(PUSH_MPLS, 0x8847)],
            [&tagged[..16], &hex("8847 0000013f"), &tagged[18..]].concat(),
        ),
        ("the last label off", one.clone(), vec![typed(POP_MPLS, 0x0800)], plain.clone()),
        (
            "the first of two",
            labelled("00009020 12345b3c", &plain),
            vec![typed(POP_MPLS, 0x8847)],
            one.clone(),
        ),
        (
            "off, and then the packet is seen",
            one.clone(),
            vec![typed(POP_MPLS, 0x0800), ttl(SET_NW_TTL, 8)],
            v4(8),
        ),
        ("the label's TTL", one.clone(), vec![ttl(SET_MPLS_TTL, 9)], labelled("12345b09", &plain)),
        ("one less", one, vec![bare(DEC_MPLS_TTL)], labelled("12345b3b", &plain)),
    ]);
}

#[test]
fn times_to_live() {
    check(vec![
        ("set in IPv4", v4(63), vec![ttl(SET_NW_TTL, 7)], v4(7)),
        ("set in IPv6", v6(63), vec![ttl(SET_NW_TTL, 7)], v6(7)),
        ("one less in IPv4", v4(63), vec![bare(DEC_NW_TTL)], v4(62)),
        ("one less in IPv6", v6(63), vec![bare(DEC_NW_TTL)], v6(62)),
        (
            "out of a label",
            labelled("00009020 12345b3c", &v4(63)),
            vec![bare(COPY_TTL_OUT)],
            labelled("0000903c 12345b3c", &v4(63)),
        ),
        (
            "out of IPv4",
            labelled("12345b3c", &v4(63)),
            vec![bare(COPY_TTL_OUT)],
            labelled("12345b3f", &v4(63)),
        ),
        (
            "out of IPv6",
            labelled("12345b3c", &v6(63)),
            vec![bare(COPY_TTL_OUT)],
            labelled("12345b3f", &v6(63)),
        ),
        (
            "into a label",
            labelled("00009020 12345b3c", &v4(63)),
            vec![bare(COPY_TTL_IN)],
            labelled("00009020 12345b20", &v4(63)),
        ),
        ("into IPv4", labelled("12345b3c", &v4(63)), vec![bare(COPY_TTL_IN)], labelled("12345b3c", &v4(60))),
        ("into IPv6", labelled("12345b3c", &v6(63)), vec![bare(COPY_TTL_IN)], labelled("12345b3c", &v6(60))),
    ]);
}

#[test]
fn a_packet_whose_time_is_over_goes_no_further() {
    let mut world = World::new();
    for (kind, spent) in [
        (DEC_NW_TTL, v4(1)),
        (DEC_NW_TTL, v6(1)),
        (DEC_NW_TTL, v4(0)),
        (DEC_MPLS_TTL, labelled("12345b01", &v4(9))),
    ] {
        world.clear();
        world.add(&flow(&spent, &[output(3), bare(kind), output(2)]));
        assert_eq!(world.ports(&spent), [3], "{kind}");
    }
}

#[test]
fn service_tags() {
    let (plain, tagged) = (frame(Kind::Udp4), frame(Kind::Tagged));
    check(vec![
        ("a tag of zeros", plain.clone(), vec![typed(PUSH_PBB, 0x88e7)], backbone("00000000", &plain)),
        (
            "of the VLAN's priority",
            tagged.clone(),
            vec![typed(PUSH_PBB, 0x88e7)],
            backbone("a0000000", &tagged),
        ),
        (
            "and its service",
            plain.clone(),
            vec![typed(PUSH_PBB, 0x88e7), set_field(ISID_9)],
            backbone("00000009", &plain),
        ),
        (
            "a second tag has the first one's service",
            backbone("00123456", &plain),
            vec![typed(PUSH_PBB, 0x88e7)],
            backbone("00123456", &backbone("00123456", &plain)),
        ),
        ("no tag", backbone("00123456", &plain), vec![bare(POP_PBB)], plain.clone()),
        (
            "off after the tag before it",
            behind("88a8 0007", &backbone("00123456", &tagged)),
            vec![bare(POP_VLAN), bare(POP_PBB)],
            tagged,
        ),
    ]);
}

/// Reserved ports (section 4.5) and the port that a packet came in by.
#[test]
fn reserved_ports() {
    let mut world = World::new();
    let plain = frame(Kind::Udp4);
    let cases: [(&str, u32, &[u32]); 6] = [
        ("a port", 3, &[3]),
        ("the packet's own, by number", 1, &[]),
        ("IN_PORT", 0xffff_fff8, &[1]),
        ("ALL", 0xffff_fffc, &[2, 3, 4]),
        ("FLOOD", 0xffff_fffb, &[2, 3, 4]),
        ("NORMAL, to a station that is not known", 0xffff_fffa, &[2, 3, 4]),
    ];
    for (name, port, wanted) in cases {
        world.clear();
        world.add(&flow(&plain, &[output(port)]));
        assert_eq!(world.ports(&plain), wanted, "{name}");
    }
    for (name, port) in [("ANY", 0xffff_ffff), ("zero", 0)] {
        assert_eq!(
            world.refused(&flow(&plain, &[output(port)]).bytes()),
            OfError::ActionBadOutPort,
            "{name}"
        );
    }
    world.clear();
    world.add(&flow(&plain, &[output(4)]));
    world.tell(&packet_out(1, &[output(0xffff_fff9)], &plain));
    assert_eq!(world.out(), [(4, plain.clone())], "TABLE");
    world.clear();
    world.tell(&packet_out(2, &[output(1), output(0xffff_fff8), output(0xffff_fffb)], &plain));
    let ports: Vec<u32> = world.out().into_iter().map(|(port, _)| port).collect();
    assert_eq!(ports, [1, 1, 2, 3, 4], "a packet out has a port it came in by");
}

/// Actions are applied in the order that they stand in; outputs in between see what was done until then.
#[test]
fn a_list_is_applied_in_its_order() {
    let mut world = World::new();
    let plain = v4(63);
    world.add(&flow(&plain, &[output(2), bare(DEC_NW_TTL), output(3), typed(PUSH_VLAN, 0x8100), output(4)]));
    let out = world.pass(1, &plain);
    assert_eq!(out, [(2, plain), (3, v4(62)), (4, behind("8100 0000", &v4(62)))]);
    world.clear();
    let plain = v4(63);
    world.add(&flow(
        &plain,
        &[typed(PUSH_MPLS, 0x8847), typed(PUSH_VLAN, 0x8100), set_field(VID_5), output(2)],
    ));
    assert_eq!(world.pass(1, &plain), [(2, behind("8100 0005", &labelled("0000013f", &v4(63))))]);
}

/// A flow that writes into the action set and goes on to table 1.
fn writes(frame: &[u8], actions: &[Vec<u8>]) -> Mod {
    let instructions = [write(actions), hex("0001 0008 01000000")].concat();
    Mod { matching: of(frame), instructions, ..Mod::default() }
}

/// What is tried, the flows, the frame that goes in, and what comes out: port and frame.
type SetRow<'a> = (&'a str, Vec<Mod>, &'a [u8], Vec<(u32, Vec<u8>)>);

/// The action set (section 5.10): one action of a kind, executed in the order of the specification.
#[test]
fn the_action_set() {
    let mut world = World::new();
    let (plain, tagged) = (v4(63), frame(Kind::Tagged));
    let in_table_1 = |instructions: Vec<u8>| Mod {
        table: 1,
        matching: matching("80000a02 0800"),
        instructions,
        ..Mod::default()
    };
    let all = [
        output(2),
        element(SET_QUEUE, "00000000"),
        set_field(VID_5),
        bare(DEC_NW_TTL),
        typed(PUSH_VLAN, 0x8100),
        bare(POP_VLAN),
    ];
    let done = behind("8100 0005", &v4(62));
    let cases: Vec<SetRow<'_>> = vec![
        (
            "whatever the order that was written",
            vec![writes(&tagged, &all), in_table_1(vec![])],
            &tagged,
            vec![(2, done)],
        ),
        (
            "the later of two outputs",
            vec![writes(&plain, &[output(2)]), in_table_1(write(&[output(3)]))],
            &plain,
            vec![(3, plain.clone())],
        ),
        (
            "two fields are two kinds",
            vec![
                writes(&plain, &[set_field("80001604 01010101"), output(2)]),
                in_table_1(write(&[set_field("80001604 0a010203"), set_field("80001804 c0a80709")])),
            ],
            &plain,
            vec![(2, plain.clone())],
        ),
        (
            "cleared",
            vec![
                writes(&plain, &[output(2)]),
                in_table_1([hex("0005 0008 00000000"), write(&[output(4)])].concat()),
            ],
            &plain,
            vec![(4, plain.clone())],
        ),
        (
            "cleared before it is written, whatever their order",
            vec![
                writes(&plain, &[output(2)]),
                in_table_1([write(&[output(4)]), hex("0005 0008 00000000")].concat()),
            ],
            &plain,
            vec![(4, plain.clone())],
        ),
        (
            "apply comes before, and has the packet changed",
            vec![
                writes(&plain, &[output(2)]),
                in_table_1([apply(&[bare(DEC_NW_TTL), output(3)]), write(&[bare(DEC_NW_TTL)])].concat()),
            ],
            &plain,
            vec![(2, v4(61)), (3, v4(62))],
        ),
        ("no output", vec![writes(&plain, &[bare(DEC_NW_TTL)]), in_table_1(vec![])], &plain, vec![]),
        ("no flow in the next table", vec![writes(&plain, &[output(2)])], &plain, vec![]),
    ];
    for (name, flows, before, after) in cases {
        world.clear();
        flows.iter().for_each(|flow| world.add(flow));
        assert_eq!(world.pass(1, before), after, "{name}");
    }
    world.clear();
    world.tell(&message(
        15,
        &hex("0000 00 00 00000001 0020 0000 ffffffff ffffffff 00000000 0000 0010 00000004 ffff000000000000"),
    ));
    world.add(&writes(&plain, &[output(2), element(GROUP, "00000001")]));
    world.add(&in_table_1(vec![]));
    assert_eq!(world.ports(&plain), [4], "a group in place of an output");
}

/// The order of tag operations in an action set: labels before VLAN tags, so that the VLAN tag is outermost; TTLs are copied
/// outwards after the labels are pushed.
#[test]
fn the_action_set_pushes_in_the_order_of_the_specification() {
    let mut world = World::new();
    let plain = v4(63);
    let pushes = [typed(PUSH_VLAN, 0x8100), typed(PUSH_MPLS, 0x8847), set_field(VID_5), output(2)];
    let written = |frame: &[u8], list: &[Vec<u8>]| Mod {
        matching: of(frame),
        instructions: write(list),
        ..Mod::default()
    };
    world.add(&written(&plain, &pushes));
    assert_eq!(world.pass(1, &plain), [(2, behind("8100 0005", &labelled("0000013f", &plain)))]);
    world.clear();
    let copies = [bare(COPY_TTL_OUT), bare(DEC_MPLS_TTL), typed(PUSH_MPLS, 0x8847), output(2)];
    let one = labelled("12345b3c", &plain);
    world.add(&written(&one, &copies));
    assert_eq!(world.pass(1, &one), [(2, labelled("12345a3b 12345b3c", &plain))]);
}

#[test]
fn tags_are_popped_one_by_one_from_table_to_table() {
    let mut world = World::new();
    let (plain, tagged) = (frame(Kind::Udp4), frame(Kind::Tagged));
    let both = behind("88a8 0007", &tagged);
    let matching = of(&tagged);
    world.add(&Mod {
        matching: of(&both),
        instructions: [apply(&[bare(POP_VLAN)]), hex("0001 0008 01000000")].concat(),
        ..Mod::default()
    });
    world.add(&Mod {
        table: 1,
        matching,
        instructions: apply(&[bare(POP_VLAN), output(2)]),
        ..Mod::default()
    });
    assert_eq!(world.pass(1, &both), [(2, plain)]);
}

#[test]
fn what_was_carried_is_seen_by_the_next_table() {
    let mut world = World::new();
    let plain = v4(63);
    let cases = [
        (labelled("12345b3c", &plain), typed(POP_MPLS, 0x0800)),
        (backbone("00123456", &plain), bare(POP_PBB)),
    ];
    for (carrier, pop) in cases {
        world.clear();
        world.add(&Mod {
            matching: of(&carrier),
            instructions: [apply(&[pop]), hex("0001 0008 01000000")].concat(),
            ..Mod::default()
        });
        let inside = matching("80000a02 0800 80001401 11 80001e02 1234");
        let actions = apply(&[ttl(SET_NW_TTL, 8), output(3)]);
        world.add(&Mod { table: 1, matching: inside, instructions: actions, ..Mod::default() });
        assert_eq!(world.pass(1, &carrier), [(3, v4(8))]);
    }
}

/// Metadata is carried between tables under its mask (section 5.11).
#[test]
fn metadata_is_written_under_its_mask() {
    let mut world = World::new();
    let write_metadata = |value: &str, mask: &str, table: u8| {
        hex(&format!("0002 0018 00000000 {value} {mask} 0001 0008 {table:02x}000000"))
    };
    let first = write_metadata("1111222233334444", "ffffffffffffffff", 1);
    world.add(&Mod { instructions: first, ..Mod::default() });
    let second = write_metadata("aaaaaaaaaaaaaaaa", "00ff00000000ff00", 2);
    world.add(&Mod { table: 1, instructions: second, ..Mod::default() });
    let taken = matching("80000408 11aa22223333aa44");
    world.add(&Mod { table: 2, matching: taken, instructions: apply(&[output(3)]), ..Mod::default() });
    assert_eq!(world.ports(&v4(63)), [3]);
}
