//! Messages of every kind in text.

use heddle_openflow::group::{Bucket, GroupCommand, GroupKind, GroupMod};
use heddle_openflow::kind::ROWS;
use heddle_openflow::message::role;
use heddle_openflow::meter::{Band, BandKind, MeterMod};
use heddle_openflow::{Action, Body, Form, Message, Version};

use super::message;

fn text(version: Version, body: Body) -> String {
    message(&Message { form: Form::of(version), xid: 9, body }.encode(), 1)
}

fn output(port: u32) -> Vec<Action> {
    vec![Action::Output { port, max_len: 0 }]
}

#[test]
fn every_message_has_a_name_and_ends_its_lines() {
    for row in ROWS {
        for version in Version::ALL.iter().copied().filter(|version| row.is_in(*version)) {
            for length in [0, 8, 16, 24, 48, 64, 104, 1056] {
                let mut bytes = vec![version as u8, 0, 0, 0, 0, 0, 0, 9];
                bytes[1] = row.put_header(&mut bytes, version, false);
                let mut body = vec![0; length];
                while !row.fits(body.len()) && body.len() < 2000 {
                    body.push(0);
                }
                bytes.extend(body);
                let stated = (bytes.len() as u16).to_be_bytes();
                bytes[2..4].copy_from_slice(&stated);
                for verbosity in [0, 2, 5] {
                    let text = message(&bytes, verbosity);
                    assert!(text.ends_with('\n'), "{text}");
                    assert!(text.starts_with(row.name) || text.starts_with("***decode error"), "{text}");
                }
            }
        }
    }
}

#[test]
fn what_is_cut_is_told() {
    assert_eq!(message(&[], 1), "OpenFlow message is empty\n");
    assert!(
        message(&[4, 2, 0], 1).starts_with("OpenFlow packet too short (only 3 bytes):\n00000000  04 02 00")
    );
    let echo = Message::new(9, Body::EchoRequest(vec![7; 9])).encode();
    assert!(message(&echo[..12], 1).contains("(***truncated to 12 bytes from 17***)"));
    assert!(
        message(&[echo.clone(), vec![0]].concat(), 1).starts_with("(***only uses 17 bytes out of 18***)")
    );
    assert_eq!(message(&echo, 1), "OFPT_ECHO_REQUEST (OF1.3) (xid=0x9): 9 bytes of payload\n");
}

#[test]
fn groups_and_meters_are_listed() {
    let bucket = |port, weight| Bucket { weight, actions: output(port), ..Bucket::default() };
    let group = GroupMod {
        command: GroupCommand::Add,
        kind: GroupKind::Select,
        group_id: 3,
        buckets: vec![bucket(1, 1), bucket(2, 5)],
        ..GroupMod::default()
    };
    assert_eq!(
        text(Version::V1_3, Body::GroupMod(group.clone())),
        "OFPT_GROUP_MOD (OF1.3) (xid=0x9):\n ADD group_id=3,type=select,bucket=actions=output:1,bucket=weight:5,actions=output:2\n"
    );
    assert!(
        text(Version::V1_5, Body::GroupMod(group)).contains("bucket=bucket_id:1,weight:5,actions=output:2")
    );
    let bands = vec![
        Band { kind: BandKind::Drop, rate: 100, burst: 20 },
        Band { kind: BandKind::DscpRemark(2), rate: 50, burst: 0 },
    ];
    let meter =
        MeterMod { command: MeterMod::ADD, flags: MeterMod::KBPS | MeterMod::BURST, meter_id: 4, bands };
    assert_eq!(
        text(Version::V1_4, Body::MeterMod(meter)),
        "OFPT_METER_MOD (OF1.4) (xid=0x9): ADD meter=4 kbps burst bands=\n\
         type=drop rate=100 burst_size=20\ntype=dscp_remark rate=50 burst_size=0 prec_level=2\n"
    );
}

#[test]
fn roles_say_a_generation_where_there_is_one() {
    let asked = |version, role| text(version, Body::RoleRequest(role, 7));
    assert_eq!(
        asked(Version::V1_3, role::MASTER),
        "OFPT_ROLE_REQUEST (OF1.3) (xid=0x9): role=primary generation_id=7\n"
    );
    assert_eq!(asked(Version::V1_0, role::SLAVE), "NXT_ROLE_REQUEST (xid=0x9): role=secondary\n");
    assert_eq!(asked(Version::V1_5, role::NO_CHANGE), "OFPT_ROLE_REQUEST (OF1.5) (xid=0x9): role=nochange\n");
}
