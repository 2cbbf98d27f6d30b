//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_controller::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn requests_by_http() {
    replay("ofctl_rest", fuzz::ofctl_rest);
}

#[test]
fn replies_of_switches() {
    replay("ofctl_rest_reply", fuzz::ofctl_rest_reply);
    replay("message", fuzz::ofctl_rest_reply);
}

/// A value as bodies have them, or nearly.
fn value() -> impl Strategy<Value = String> {
    let words = "[0-9]{1,6}|0x[0-9a-f]{1,17}|-1|true|None|\"(ALL|OUTPUT|SET_FIELD|LOCAL|10.0.0.1/[0-9]{1,2}|::1/9|x)\"";
    let addresses = "\"(00:00:00:00:00:0[0-9](/ff:00:00:00:00:00)?|0x1[0-9]{3}(/0x1fff)?)\"";
    prop_oneof![words, addresses].prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((key(), inner), 0..6).prop_map(|rows| dictionary(&rows)),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    "(match|actions|type|port|field|value|in_port|dl_type|nw_proto|tp_dst|vlan_vid|dl_vlan_pcp|nw_src|ipv6_dst|\
      ip_dscp|nw_tos|metadata|reg0|xxreg0|bands|buckets|rate|flags|group_id|meter_id|table_id|priority|port_no|config)"
}

fn dictionary(rows: &[(String, String)]) -> String {
    let rows: Vec<String> = rows.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", rows.join(", "))
}

proptest! {
    #[test]
    fn arbitrary_requests(
        dpid in 1u8..3,
        line in "(GET|POST|DELETE) /stats/[a-z/0-9]{0,20}",
        resource in "(flowentry/(add|delete)|groupentry/add|meterentry/modify|portdesc/modify|role)",
        rows in proptest::collection::vec((key(), value()), 0..8),
        raw in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut rows = rows;
        rows.push(("dpid".into(), dpid.to_string()));
        let body = dictionary(&rows);
        fuzz::ofctl_rest(format!("POST /stats/{resource}\n{body}").as_bytes());
        fuzz::ofctl_rest(format!("POST /stats/flow/{dpid}\n{body}").as_bytes());
        fuzz::ofctl_rest(&[line.as_bytes(), b"\n", &raw].concat());
        fuzz::ofctl_rest(&raw);
    }

    #[test]
    fn arbitrary_matches(
        dpid in 1u8..3,
        kind in prop_oneof![Just(0x800), Just(0x86dd), Just(0x806), Just(0x8847), any::<u16>()],
        proto in prop_oneof![Just(6), Just(17), Just(1), Just(58), Just(132), any::<u8>()],
        rows in proptest::collection::vec((key(), value()), 0..8),
    ) {
        let mut rows = rows;
        rows.push(("dl_type".into(), kind.to_string()));
        rows.push(("nw_proto".into(), proto.to_string()));
        let body = format!("{{\"dpid\": {dpid}, \"match\": {}}}", dictionary(&rows));
        fuzz::ofctl_rest(format!("POST /stats/flowentry/add\n{body}").as_bytes());
    }

    #[test]
    fn arbitrary_replies(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u8..16, old: bool) {
        let version = if old { 1 } else { 4 };
        let multipart = if old { 17 } else { 19 };
        let mut message = vec![version, multipart];
        message.extend(((bytes.len() + 16) as u16).to_be_bytes());
        message.extend([0, 0, 0, 1, 0, kind, 0, 0, 0, 0, 0, 0]);
        message.extend(bytes);
        fuzz::ofctl_rest_reply(&message);
    }
}
