//! What must hold for any bytes, for property tests and fuzzers alike.

use heddle_flow::Match;
use heddle_openflow::multipart::Request as Ask;
use heddle_openflow::{Body, Form, Framer, Message, Version, can_match, decode, match_fields};
use serde_json::Value;

use crate::app::Switch;
use crate::ask::{Answer, Question};
use crate::ofctl_rest::{self, Call, Content, Request, Step, literal, matching};

/// Switches that requests may name: 1 speaks OpenFlow 1.3, 2 speaks OpenFlow 1.0.
const SWITCHES: [Switch; 2] = [
    Switch { datapath_id: 1, version: Version::V1_3, tables: 254, capabilities: 0 },
    Switch { datapath_id: 2, version: Version::V1_0, tables: 254, capabilities: 0 },
];

/// A request by HTTP: its method, a space and its path, then a line's end and its body. What is asked of a switch can be
/// written or is known not to be, its match is the same once it was written and read, and responses are what they say.
///
/// # Panics
/// If that does not hold.
pub fn ofctl_rest(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == b'\n');
    let line = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let body = parts.next().unwrap_or_default();
    literals(body);
    let (method, path) = line.split_once(' ').unwrap_or(("GET", &line));
    match ofctl_rest::begin(&Request { method, path, body }, &SWITCHES) {
        Step::Done(response) => done(response),
        Step::Ask { datapath_id, question, call } => {
            let switch = SWITCHES.iter().find(|switch| switch.datapath_id == datapath_id);
            let version = switch.expect("it is connected").version;
            if let Question::Message(body) = question {
                asked(&body, version);
            }
            match call.answered(Ok(Answer::default())) {
                Step::Done(response) => done(response),
                Step::Ask { question: Question::Message(body), .. } => asked(&body, version),
                Step::Ask { .. } => {}
            }
        }
    }
}

fn done(response: ofctl_rest::Response) {
    assert!([200, 400, 404, 501].contains(&response.status), "{response:?}");
    assert!(response.note.is_none_or(|note| note.len() <= 240 && note.bytes().all(|byte| byte >= b' ')));
    if let Some(content) = response.content {
        json(content);
    }
}

fn json(content: Content) {
    let text: Vec<u8> = content.flatten().collect();
    serde_json::from_slice::<Value>(&text).expect("it is JSON");
}

fn asked(body: &Body, version: Version) {
    let encoded = Message { form: Form::of(version), xid: 1, body: body.clone() }.encode();
    // What is too long for a message is not sent; anything else can be found again in a stream.
    let stated =
        encoded.get(2..4).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    if stated == encoded.len() && stated != 0 {
        let _ = decode(&encoded);
    }
    match body {
        Body::FlowMod(flow) => match_stays(&flow.matching, version),
        Body::MultipartRequest(Ask::Flow(filter) | Ask::Aggregate(filter)) => {
            match_stays(&filter.matching, version);
        }
        _ => {}
    }
}

/// A match that was written is read as the same.
fn match_stays(wanted: &Match, version: Version) {
    assert!(can_match(version, wanted), "{wanted:?}");
    let written = matching::write(wanted, version);
    let mut notes = ofctl_rest::Notes::default();
    let read = matching::read(&written, version, &mut notes);
    let read = read.unwrap_or_else(|refusal| panic!("{written:?}: {refusal:?}"));
    assert_eq!(notes, ofctl_rest::Notes::default(), "{written:?}");
    assert_eq!(match_fields(&read, version), match_fields(wanted, version), "{written:?}");
}

/// JSON without broken numbers is a literal of the same value.
fn literals(text: &[u8]) {
    let literal = literal::parse(text);
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    if depth(&value).is_some_and(|depth| depth <= literal::MAX_DEPTH) {
        assert_eq!(literal, Ok(value));
    }
}

/// How deeply a value is nested; none where there are broken numbers in it.
fn depth(value: &Value) -> Option<usize> {
    let inner: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        Value::Number(number) if number.is_f64() => return None,
        _ => return Some(0),
    };
    inner.into_iter().try_fold(1, |deepest, value| Some(deepest.max(depth(value)? + 1)))
}

/// What a switch says, as answers to a request by HTTP: the response is JSON.
///
/// # Panics
/// If it is not.
pub fn ofctl_rest_reply(bytes: &[u8]) {
    let mut framer = Framer::default();
    for piece in bytes.chunks(4096) {
        framer.push(piece);
        while let Some(Ok(message)) = framer.next_message() {
            let Ok(decoded) = decode(&message) else { continue };
            for switch in SWITCHES.iter().filter(|switch| switch.version == decoded.form.version) {
                for call in Call::every(*switch) {
                    match call.answered(Ok(Answer::of(vec![message.clone(), message.clone()]))) {
                        Step::Done(response) => done(response),
                        Step::Ask { question: Question::Message(body), .. } => asked(&body, switch.version),
                        Step::Ask { .. } => {}
                    }
                }
            }
        }
    }
}
