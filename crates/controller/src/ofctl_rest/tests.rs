//! Requests in, questions and JSON out. What is expected is what Ryu 4.34 sends and says.

use heddle_flow::Field;
use heddle_openflow::multipart::{FlowStats, Reply};
use heddle_openflow::{Action, FlowMod, Form, Instruction, Message};
use serde_json::json;

use super::*;

const SWITCHES: [Switch; 2] = [
    Switch { datapath_id: 1, version: Version::V1_3, tables: 254, capabilities: 0 },
    Switch { datapath_id: 2, version: Version::V1_0, tables: 254, capabilities: 0 },
];

fn step(method: &str, path: &str, body: &str) -> Step {
    begin(&Request { method, path, body: body.as_bytes() }, &SWITCHES)
}

/// What is asked.
fn asked(method: &str, path: &str, body: &str) -> (Body, Call) {
    match step(method, path, body) {
        Step::Ask { question: Question::Message(body), call, .. } => (*body, call),
        other => panic!("{other:?}"),
    }
}

fn done(step: Step) -> (u16, String, Option<Value>) {
    let Step::Done(Response { status, note, content }) = step else { panic!("{step:?}") };
    let text: Option<Vec<u8>> = content.map(|content| content.flatten().collect());
    (status, note.unwrap_or_default(), text.map(|text| serde_json::from_slice(&text).expect("JSON")))
}

fn added(body: &Value) -> FlowMod {
    match asked("POST", "/stats/flowentry/add", &body.to_string()).0 {
        Body::FlowMod(flow) => flow,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bodies_are_json_or_pythons_literals() {
    for (text, value) in [
        ("{}", json!({})),
        (r#"{"a": [1, -2, 1.5, "x", true, null]}"#, json!({ "a": [1, -2, 1.5, "x", true, null] })),
        (
            "{'a': 0x1F, 'b': (1, 'it\\'s',), 'c': True, 'd': None,}",
            json!({ "a": 31, "b": [1, "it's"], "c": true, "d": null }),
        ),
        (r#"  "\ud83d\ude00\u00e9\x41\n/\/" "#, json!("\u{1f600}\u{e9}A\n//")),
        ("[0b11, 0o17, 1_000, +5, 18446744073709551615]", json!([3, 15, 1000, 5, u64::MAX])),
    ] {
        assert_eq!(literal::parse(text.as_bytes()), Ok(value), "{text}");
    }
    for wrong in [
        "",
        "{",
        "[1,,2]",
        "{1: 2}",
        "{'a' 1}",
        "'a",
        "'a\nb'",
        "010",
        "0x",
        "1__0",
        "truest",
        "f(1)",
        "1 2",
        "18446744073709551616",
        r#""\q""#,
        r#""\u12""#,
        "1e999",
        "{'a': 1 'b': 2}",
        "\u{e9}",
    ] {
        assert!(literal::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert!(literal::parse(&[0xff]).is_err());
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(literal::parse(nested(literal::MAX_DEPTH).as_bytes()).is_ok());
    assert!(literal::parse(nested(literal::MAX_DEPTH + 2).as_bytes()).is_err());
}

#[test]
fn old_and_new_names_of_fields_are_the_same() {
    let of = |matching: Value| added(&json!({ "dpid": 1, "match": matching })).matching;
    for (old, new) in [
        (json!({ "dl_src": "00:00:00:00:00:01" }), json!({ "eth_src": "00-00-00-00-00-01" })),
        (json!({ "dl_vlan": 5 }), json!({ "vlan_vid": "0x1005" })),
        (json!({ "dl_vlan": "5" }), json!({ "vlan_vid": "0x1005/0x1fff" })),
        (
            json!({ "dl_type": 2048, "nw_src": "10.1.2.3/24", "nw_proto": 6, "tp_dst": 80 }),
            json!({ "eth_type": "0x800", "ipv4_src": "10.1.2.0/255.255.255.0", "ip_proto": "6", "tcp_dst": "80" }),
        ),
        (
            json!({ "dl_type": 2054, "nw_src": "10.0.0.1" }),
            json!({ "eth_type": 2054, "arp_spa": "10.0.0.1" }),
        ),
        (json!({ "in_port": "LOCAL" }), json!({ "in_port": 0xffff_fffeu32 })),
        (json!({ "metadata": "5/255" }), json!({ "metadata": "0x105/0xff" })),
    ] {
        assert_eq!(of(old.clone()), of(new), "{old}");
    }
    assert_eq!(of(json!({ "vlan_vid": "0x0000" })).get(Field::VlanVid), (0, 0x1fff), "without a tag");
    assert_eq!(of(json!({ "reg0": "1/3" })).get(Field::Reg0), (1, 3), "Ryu ignores it");
}

#[test]
fn instructions_come_in_ryus_order() {
    let flow = added(&json!({ "dpid": 1, "actions": [
        { "type": "OUTPUT", "port": "CONTROLLER" },
        { "type": "METER", "meter_id": 3 },
        { "type": "GOTO_TABLE", "table_id": "7" },
        { "type": "WRITE_ACTIONS", "actions": [] },
        { "type": "EXPERIMENTER", "experimenter": 0x2320, "data": "AA7/+AMAAAA=", "data_type": "base64" },
    ] }));
    let [Instruction::Meter(3), Instruction::GotoTable(7), Instruction::Apply(actions)] =
        &flow.instructions[..]
    else {
        panic!("{:?}", flow.instructions);
    };
    assert_eq!(actions[0], Action::Output { port: port::CONTROLLER, max_len: words::MAX_LEN });
    assert!(matches!(&actions[1], Action::Resubmit { .. }), "{actions:?}");
    assert_eq!((flow.priority, added(&json!({ "dpid": 2 })).priority), (0, 0x8000));
}

#[test]
fn what_a_switch_would_refuse_is_not_sent() {
    for (body, why) in [
        (json!({ "dpid": 1, "match": { "tcp_dst": 80 } }), "refused: OFPBMC_BAD_PREREQ: tcp_dst"),
        (json!({ "dpid": 1, "match": { "in_phy_port": 1 } }), "refused: OFPBMC_BAD_FIELD: in_phy_port"),
        (
            json!({ "dpid": 1, "actions": [{ "type": "EXPERIMENTER", "experimenter": 1 }] }),
            "refused: OFPBAC_BAD_VENDOR: EXPERIMENTER",
        ),
        (
            json!({ "dpid": 2, "actions": [{ "type": "SET_NW_TOS", "nw_tos": 3 }] }),
            "refused: OFPBAC_BAD_ARGUMENT: SET_NW_TOS",
        ),
    ] {
        let (status, note, content) = done(step("POST", "/stats/flowentry/add", &body.to_string()));
        assert_eq!((status, note.as_str(), content), (200, why, None), "{body}");
    }
    let body = json!({ "match": { "tcp_dst": 80 } }).to_string();
    let (status, note, content) = done(step("POST", "/stats/flow/1", &body));
    assert_eq!((status, content), (200, Some(json!({ "1": [] }))));
    assert!(note.contains("BAD_PREREQ"), "{note}");
}

#[test]
fn notes_are_one_short_line_of_ascii() {
    let long = format!("caf\u{e9}\r\nX: {}", "y".repeat(1_000));
    let (_, call) =
        asked("POST", "/stats/flowentry/add", &json!({ "dpid": 1, "match": { long: 1 } }).to_string());
    let (status, note, _) = done(call.answered(Ok(Answer::default())));
    assert_eq!((status, note.len()), (200, MAX_NOTE));
    assert!(note.starts_with("unknown match field ignored: caf???X: yyy"), "{note}");
}

#[test]
fn parts_of_an_answer_are_one_list() {
    let part = |priorities: &[u16]| {
        let flow = |&priority| FlowStats { priority, ..FlowStats::default() };
        let reply = Reply::Flow(priorities.iter().map(flow).collect());
        Message { form: Form::of(Version::V1_3), xid: 1, body: Body::MultipartReply(reply) }.encode()
    };
    let priorities = |body: &str, parts: &[&[u16]]| {
        let (_, call) = asked("POST", "/stats/flow/1", body);
        let answer = Answer::of(parts.iter().map(|priorities| part(priorities)).collect());
        let (_, _, value) = done(call.answered(Ok(answer)));
        let flows = value.expect("JSON")["1"].as_array().expect("a list").clone();
        flows.iter().map(|flow| flow["priority"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(priorities("", &[&[1, 2], &[], &[3], &[]]), [1, 2, 3]);
    assert_eq!(priorities("{\"priority\": 3}", &[&[1, 2], &[3, 3]]), [3, 3]);
    assert_eq!(priorities("{\"priority\": 70000}", &[&[1]]), [0; 0]);
    assert_eq!(priorities("", &[]), [0; 0]);
}

#[test]
fn errors_have_a_status() {
    for (error, wanted, empty) in [
        (AskError::NoSwitch, 404, false),
        (AskError::NotInVersion, 501, false),
        (AskError::TooLong, 400, false),
        (AskError::TooMany, 503, false),
        (AskError::TooLarge, 503, false),
        (AskError::TimedOut, 200, true),
        (AskError::Disconnected, 200, true),
    ] {
        let (_, call) = asked("GET", "/stats/port/1", "");
        let (status, note, content) = done(call.answered(Err(error.clone())));
        assert_eq!((status, note), (wanted, error.to_string()));
        assert_eq!(content, empty.then(|| json!({ "1": [] })));
    }
    let (_, call) = asked("GET", "/stats/desc/1", "");
    assert_eq!(done(call.answered(Err(AskError::TimedOut))).2, Some(json!({ "1": {} })));
}

#[test]
fn base64_is_that_of_the_standard() {
    use base64::Engine as _;
    let decode = |text: &str| actions::BASE64.decode(text).ok();
    for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
        assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
    }
    for wrong in ["Zg=", "Zg", "Z===", "Zm9\u{e9}", "Z g=="] {
        assert_eq!(decode(wrong), None);
    }
    assert_eq!(decode("Zh==").as_deref(), Some(&b"f"[..]), "what bits are left over says nothing");
}
