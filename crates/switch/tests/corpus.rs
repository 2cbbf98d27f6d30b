//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_openflow::group::{Bucket, GroupCommand, GroupKind, GroupMod};
use heddle_openflow::message::{Form, Message, PacketIn, PacketOut, Version};
use heddle_openflow::modify::TableMod;
use heddle_openflow::monitor::{MonitorCommand, MonitorRequest};
use heddle_openflow::multipart::Request;
use heddle_openflow::table::Vacancy;
use heddle_openflow::{Action, Body, FlowMod, Instruction};
use heddle_switch::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn agents() {
    replay("agent", fuzz::agent);
    replay("message", fuzz::agent);
}

#[test]
fn configurations() {
    replay("config", fuzz::config);
}

proptest! {
    #[test]
    fn arbitrary_messages_to_the_agent(
        messages in proptest::collection::vec((0u8..30, proptest::collection::vec(any::<u8>(), 0..100)), 0..6),
    ) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.extend([4, kind]);
            bytes.extend(((body.len() + 8) as u16).to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
        }
        fuzz::agent(&bytes);
    }

    /// Messages that are well formed and ask for what is not there, in every version and order.
    #[test]
    fn well_formed_messages_to_the_agent(
        version in proptest::sample::select(Version::ALL),
        bodies in proptest::collection::vec(body(), 1..12),
    ) {
        let form = Form::of(version);
        let said = bodies.into_iter().flat_map(|body| Message { form, xid: 7, body }.encode()).collect::<Vec<u8>>();
        fuzz::agent(&said);
    }
}

/// A number that may be one of something, or none of anything.
fn id() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..3, 1 => any::<u32>(), 1 => (u32::MAX - 5)..=u32::MAX]
}

fn group() -> impl Strategy<Value = GroupMod> {
    let bucket = (id(), 0u16..3, id(), id()).prop_map(|(bucket_id, weight, port, watch_port)| Bucket {
        bucket_id,
        weight,
        watch_port,
        actions: vec![Action::Output { port, max_len: 0 }],
        ..Bucket::default()
    });
    let command = proptest::sample::select(&GroupCommand::ALL[..]);
    let kind = proptest::sample::select(&GroupKind::ALL[..]);
    let buckets = proptest::collection::vec(bucket, 0..4);
    (command, kind, id(), id(), buckets).prop_map(|(command, kind, group_id, command_bucket_id, buckets)| {
        GroupMod { command, kind, group_id, command_bucket_id, buckets, ..GroupMod::default() }
    })
}

fn body() -> impl Strategy<Value = Body> {
    let flow = (id(), any::<u16>(), 0u8..6, id()).prop_map(|(buffer_id, flags, table_id, port)| {
        let actions =
            if port == 1 { vec![Action::Group(1)] } else { vec![Action::Output { port, max_len: 16 }] };
        Body::FlowMod(FlowMod {
            buffer_id,
            flags,
            table_id,
            instructions: vec![Instruction::Apply(actions)],
            ..FlowMod::default()
        })
    });
    let out = (id(), id(), id()).prop_map(|(buffer_id, in_port, port)| {
        let actions = vec![Action::Output { port, max_len: 0 }];
        Body::PacketOut(PacketOut { buffer_id, in_port, actions, data: vec![7; 60], ..PacketOut::default() })
    });
    let watch =
        (id(), 0u8..3, 0u16..128, id(), any::<u8>()).prop_map(|(id, command, flags, out_port, table_id)| {
            let command =
                [MonitorCommand::Add, MonitorCommand::Modify, MonitorCommand::Delete][usize::from(command)];
            let request =
                MonitorRequest { id, command, flags, out_port, table_id, ..MonitorRequest::default() };
            Body::MultipartRequest(Request::FlowMonitor(vec![request]))
        });
    let table = (any::<u8>(), 0u32..16, any::<(u8, u8)>()).prop_map(|(table_id, config, (down, up))| {
        let vacancy = Some(Vacancy { down: down.min(up), up, current: 0 });
        Body::TableMod(TableMod { table_id, config, vacancy, ..TableMod::default() })
    });
    let resume = proptest::collection::vec(any::<u8>(), 0..6).prop_map(|continuation| {
        Body::Resume(PacketIn { continuation, data: vec![7; 60], ..PacketIn::default() })
    });
    prop_oneof![
        flow,
        out,
        watch,
        table,
        resume,
        group().prop_map(Body::GroupMod),
        id().prop_map(Body::FlowMonitorCancel),
        (id(), id()).prop_map(|(port, queue)| Body::MultipartRequest(Request::QueueStats(port, queue))),
        (id(), id()).prop_map(|(port, queue)| Body::MultipartRequest(Request::QueueDesc(port, queue))),
        id().prop_map(Body::QueueConfigRequest),
        Just(Body::MultipartRequest(Request::TableDesc)),
        Just(Body::MultipartRequest(Request::Table)),
        Just(Body::BarrierRequest),
        (0u32..4).prop_map(Body::PacketInFormat),
        any::<(u16, u16)>().prop_map(|(flags, length)| Body::SetConfig(flags, length)),
    ]
}
