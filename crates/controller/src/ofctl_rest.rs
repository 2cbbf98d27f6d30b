//! Switches by HTTP, in the words of Ryu's `ofctl_rest` (Ryu 4.34), without the HTTP.
//!
//! A request goes in; what to ask a switch comes out ([`Step::Ask`]), or the response ([`Step::Done`]). Ryu's resources are
//! here with its names of fields and actions, its replies field by field, and its codes:
//!
//! | status | when |
//! |---|---|
//! | 200 | what was asked for, or the command was sent |
//! | 400 | a number or a body that is none |
//! | 404 | no such resource, switch, port or command |
//! | 501 | the switch's version of OpenFlow has no such message |
//! | 503 | too many questions wait, or the answer is too large; Ryu knows no such bounds |
//!
//! Like Ryu, a switch's refusal and its silence are status 200, with no items. But a command is answered only once the switch
//! has done it, and [`Response::note`] says what Ryu's user finds in its log or nowhere: what the switch refused, and which
//! fields and actions are not known and were ignored. Where Ryu fails by an exception (500), this says what is wrong (400).
//! Switches speak OpenFlow 1.0 or a later version; what is written for later ones is Ryu's form for OpenFlow 1.3.

mod actions;
mod entries;
pub(crate) mod literal;
pub(crate) mod matching;
mod replies;
mod words;

use heddle_openflow::group::GroupMod;
use heddle_openflow::meter::MeterMod;
use heddle_openflow::multipart::Request as Ask;
use heddle_openflow::{Body, OfError, Version, port, queue};
use serde_json::{Map, Value};

use crate::app::Switch;
use crate::ask::{Answer, AskError, Question, named};

/// Most bytes of a request's body.
pub const MAX_BODY: usize = 1 << 20;
/// Most characters of a note.
const MAX_NOTE: usize = 240;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// The path, without what follows a question mark.
    pub path: &'a str,
    /// Its body, at most [`MAX_BODY`] bytes.
    pub body: &'a [u8],
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Ask this switch, and go on by [`Call::answered`].
    Ask {
        /// Which switch.
        datapath_id: u64,
        /// What.
        question: Question,
        /// Who goes on.
        call: Call,
    },
    /// It is done.
    Done(Response),
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// What the status does not tell: one line of ASCII, at most 240 characters.
    pub note: Option<String>,
    /// Its body, JSON; none where there is nothing to say.
    pub content: Option<Content>,
}

/// JSON in pieces: one for each message of an answer, so that a large answer takes little memory.
pub struct Content {
    size: usize,
    pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
}

impl Content {
    /// Bytes that are held for the pieces that are to come; they become some times more in the pieces.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Iterator for Content {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.pieces.next()
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} bytes)", self.size)
    }
}

/// Why a request has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    why: String,
}

impl Refusal {
    fn bad(why: impl Into<String>) -> Self {
        Self { status: 400, why: why.into() }
    }

    fn missing(why: impl Into<String>) -> Self {
        Self { status: 404, why: why.into() }
    }

    fn not_in_version() -> Self {
        Self { status: 501, why: AskError::NotInVersion.to_string() }
    }

    /// The same, about what stands under this key.
    fn under(self, key: &str) -> Self {
        Self { why: format!("{key}: {}", self.why), ..self }
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, note: Some(one_line(&refusal.why)), content: None }
    }
}

/// A text as a header of HTTP may have it.
fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    text.chars().take(MAX_NOTE).map(plain).collect()
}

/// What is worth saying beside the response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    ignored: Vec<String>,
    refused: Option<String>,
}

impl Notes {
    /// How many are kept.
    const MAX: usize = 8;

    /// Ryu ignores this and so do we.
    fn ignored(&mut self, what: &str, name: &str) {
        if self.ignored.len() < Self::MAX {
            self.ignored.push(format!("unknown {what} ignored: {name}"));
        }
    }

    /// The switch would refuse this for that reason: it is not asked.
    fn refused(&mut self, error: OfError, what: &str) {
        self.refused.get_or_insert_with(|| format!("refused: {}: {what}", error.name()));
    }

    fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    fn text(&self, error: Option<String>) -> Option<String> {
        let all: Vec<String> =
            error.into_iter().chain(self.refused.clone()).chain(self.ignored.clone()).collect();
        (!all.is_empty()).then(|| one_line(&all.join("; ")))
    }
}

/// What is to be made of the answer.
#[derive(Debug)]
enum Purpose {
    /// Nothing: it is a command.
    Command,
    /// The one item that it says.
    One,
    /// The items that it says; of flows, those of this priority.
    List(Option<i128>),
    /// The ports, to change one of them.
    Port { number: u32, wanted: Map<String, Value>, command: String },
}

/// A request that waits for a switch.
#[derive(Debug)]
pub struct Call {
    switch: Switch,
    purpose: Purpose,
    notes: Notes,
}

/// Begins a request; `switches` are those that are connected.
pub fn begin(request: &Request<'_>, switches: &[Switch]) -> Step {
    route(request, switches).unwrap_or_else(|refusal| Step::Done(refusal.into()))
}

fn route(request: &Request<'_>, switches: &[Switch]) -> Result<Step, Refusal> {
    let unknown = || Refusal::missing("there is no such resource");
    let path = request.path.strip_prefix("/stats/").ok_or_else(unknown)?;
    let words: Vec<&str> = path.split('/').collect();
    if words.len() > 4 || words.contains(&"") {
        return Err(unknown());
    }
    match (request.method, &words[..]) {
        ("GET", ["switches"]) => Ok(all_switches(switches)),
        ("GET" | "POST", ["flow" | "flowdesc" | "aggregateflow", dpid]) => {
            flows(request, words[0], switch_of(dpid, switches)?)
        }
        ("GET", [resource, dpid, rest @ ..]) if takes(resource, rest.len()) => {
            statistics(resource, switch_of(dpid, switches)?, rest)
        }
        ("POST", ["flowentry" | "groupentry" | "meterentry" | "portdesc", name]) => {
            let (switch, body) = command_body(request, None, switches)?;
            command(words[0], name, switch, body)
        }
        ("DELETE", ["flowentry", "clear", dpid]) => {
            let (switch, _) = command_body(request, Some(dpid), switches)?;
            Ok(Call::ask(switch, entries::clear(switch.version), Purpose::Command, Notes::default()))
        }
        ("POST", ["experimenter", dpid]) => {
            let (switch, body) = command_body(request, Some(dpid), switches)?;
            experimenter(switch, &body)
        }
        ("POST", ["role"]) => {
            let (switch, body) = command_body(request, None, switches)?;
            later_only(&switch)?;
            let role = entries::role_request(&body)?;
            Ok(Call::ask(switch, role, Purpose::Command, Notes::default()))
        }
        _ => Err(unknown()),
    }
}

/// Whether a resource of `GET` takes so many words after the datapath id.
fn takes(resource: &str, words: usize) -> bool {
    let most = match resource {
        "desc" | "table" | "tablefeatures" | "meterfeatures" | "groupfeatures" | "role" => 0,
        "port" | "queueconfig" | "meter" | "meterconfig" | "meterdesc" | "group" | "groupdesc"
        | "portdesc" => 1,
        "queue" | "queuedesc" => 2,
        _ => return false,
    };
    words <= most
}

fn all_switches(switches: &[Switch]) -> Step {
    let mut ids: Vec<u64> = switches.iter().map(|switch| switch.datapath_id).collect();
    ids.sort_unstable();
    let text = Value::from(ids).to_string().into_bytes();
    let content = Content { size: text.len(), pieces: Box::new(std::iter::once(text)) };
    Step::Done(Response { status: 200, note: None, content: Some(content) })
}

/// The switch of an id as Python reads one.
fn switch_of(dpid: &str, switches: &[Switch]) -> Result<Switch, Refusal> {
    let number = literal::integer(dpid).ok_or_else(|| Refusal::bad(format!("{dpid} is no datapath id")))?;
    let found = switches.iter().find(|switch| i128::from(switch.datapath_id) == number);
    found.copied().ok_or_else(|| Refusal::missing("no such switch is connected"))
}

/// A command's body, and the switch that it names, or else the path.
fn command_body(
    request: &Request<'_>,
    dpid: Option<&str>,
    switches: &[Switch],
) -> Result<(Switch, Map<String, Value>), Refusal> {
    let body = match request.body {
        [] => Map::new(),
        text => match literal::parse(text).map_err(Refusal::bad)? {
            Value::Object(map) => map,
            _ => return Err(Refusal::bad("the body is no dictionary")),
        },
    };
    let named = match body.get("dpid") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => None,
        Some(other) => Some(other.to_string()),
    };
    let dpid = named.or_else(|| dpid.map(str::to_owned)).ok_or_else(|| Refusal::bad("dpid is missing"))?;
    Ok((switch_of(&dpid, switches)?, body))
}

/// # Errors
/// The switch speaks OpenFlow 1.0, for which Ryu has no such thing.
fn later_only(switch: &Switch) -> Result<(), Refusal> {
    if switch.version == Version::V1_0 { Err(Refusal::not_in_version()) } else { Ok(()) }
}

fn flows(request: &Request<'_>, resource: &str, switch: Switch) -> Result<Step, Refusal> {
    let wrong = |error: serde_json::Error| Refusal::bad(error.to_string());
    let body = match request.body {
        [] => Map::new(),
        text => match serde_json::from_slice(text).map_err(wrong)? {
            Value::Object(map) => map,
            // What is empty asks for all.
            Value::Array(items) if items.is_empty() => Map::new(),
            Value::Null | Value::Bool(false) => Map::new(),
            _ => return Err(Refusal::bad("the body is no dictionary")),
        },
    };
    let mut notes = Notes::default();
    let filter = entries::flow_filter(&body, switch.version, &mut notes)?;
    if resource == "aggregateflow" {
        let ask = Body::MultipartRequest(Ask::Aggregate(filter));
        return Ok(Call::ask(switch, ask, Purpose::List(None), notes));
    }
    let priority = body.get("priority").map(words::integer).transpose()?.filter(|priority| *priority >= 0);
    Ok(Call::ask(switch, Body::MultipartRequest(Ask::Flow(filter)), Purpose::List(priority), notes))
}

fn statistics(resource: &str, switch: Switch, rest: &[&str]) -> Result<Step, Refusal> {
    let old = switch.version == Version::V1_0;
    let wanted = |index: usize, all: u32| match rest.get(index).filter(|word| **word != "ALL") {
        None => Ok(all),
        Some(word) => words::number(&Value::from(*word)),
    };
    let port = || match rest.first().filter(|word| **word != "ALL") {
        None => Ok(port::ANY),
        // No names, as Ryu has it.
        Some(word) => words::number::<u32>(&Value::from(*word))
            .and_then(|number| words::read_port(switch.version, &number.into())),
    };
    let list = Purpose::List(None);
    let (ask, purpose) = match resource {
        "desc" => (Ask::Desc, Purpose::One),
        "table" => (Ask::Table, list),
        "port" => (Ask::PortStats(port()?), list),
        "queue" => (Ask::QueueStats(port()?, wanted(1, queue::ALL)?), list),
        "portdesc" if old => return Ok(Call::ask(switch, Body::FeaturesRequest, list, Notes::default())),
        "portdesc" => (Ask::PortDesc(port::ANY), list),
        // Ryu has them for newer versions alone.
        "queuedesc" | "meterdesc" => return Err(Refusal::not_in_version()),
        _ if old => return Err(Refusal::not_in_version()),
        "tablefeatures" => (Ask::TableFeatures, list),
        "group" => (Ask::GroupStats(wanted(0, GroupMod::ALL)?), list),
        "groupdesc" => (Ask::GroupDesc(GroupMod::ALL), list),
        "groupfeatures" => (Ask::GroupFeatures, list),
        "meter" => (Ask::MeterStats(wanted(0, MeterMod::ALL)?), list),
        "meterconfig" => (Ask::MeterConfig(wanted(0, MeterMod::ALL)?), list),
        "meterfeatures" => (Ask::MeterFeatures, list),
        "queueconfig" => {
            return Ok(Call::ask(switch, Body::QueueConfigRequest(port()?), list, Notes::default()));
        }
        _ => {
            // What the role is, without a change of it.
            return Ok(Call::ask(switch, Body::RoleRequest(0, 0), list, Notes::default()));
        }
    };
    Ok(Call::ask(switch, Body::MultipartRequest(ask), purpose, Notes::default()))
}

fn command(resource: &str, name: &str, switch: Switch, body: Map<String, Value>) -> Result<Step, Refusal> {
    let unknown = || Refusal::missing(format!("there is no command {name}"));
    let mut notes = Notes::default();
    let message = match resource {
        "flowentry" => {
            let command = entries::flow_command(name).ok_or_else(unknown)?;
            entries::flow_mod(&body, command, switch.version, &mut notes)?
        }
        "portdesc" => {
            let number = body.get("port_no").ok_or_else(|| Refusal::bad("port_no is missing"))?;
            let number = words::number::<u32>(number).map_err(|refusal| refusal.under("port_no"))?;
            let number = words::read_port(switch.version, &number.into())?;
            let question = match switch.version {
                Version::V1_0 => Body::FeaturesRequest,
                _ => Body::MultipartRequest(Ask::PortDesc(port::ANY)),
            };
            let purpose = Purpose::Port { number, wanted: body, command: name.to_owned() };
            return Ok(Call::ask(switch, question, purpose, notes));
        }
        _ if switch.version == Version::V1_0 => return Err(Refusal::not_in_version()),
        "groupentry" => {
            let command = entries::group_command(name).ok_or_else(unknown)?;
            entries::group_mod(&body, command, &mut notes)?
        }
        _ => {
            let command = entries::meter_command(name).ok_or_else(unknown)?;
            entries::meter_mod(&body, command, &mut notes)?
        }
    };
    Ok(Call::ask(switch, message, Purpose::Command, notes))
}

fn experimenter(switch: Switch, body: &Map<String, Value>) -> Result<Step, Refusal> {
    later_only(&switch)?;
    let mut notes = Notes::default();
    let Some(question) = entries::experimenter(body, &mut notes)? else {
        return Ok(Step::Done(Response { status: 200, note: notes.text(None), content: None }));
    };
    let datapath_id = switch.datapath_id;
    Ok(Step::Ask { datapath_id, question, call: Call { switch, purpose: Purpose::Command, notes } })
}

impl Call {
    /// Calls of every purpose.
    pub(crate) fn every(switch: Switch) -> impl Iterator<Item = Self> {
        let wanted = Map::from_iter([("mask".to_owned(), Value::from(1))]);
        let purposes = [
            Purpose::Command,
            Purpose::One,
            Purpose::List(None),
            Purpose::List(Some(1)),
            Purpose::Port { number: 1, wanted, command: "modify".into() },
        ];
        purposes.into_iter().map(move |purpose| Self { switch, purpose, notes: Notes::default() })
    }

    fn ask(switch: Switch, body: Body, purpose: Purpose, notes: Notes) -> Step {
        let call = Self { switch, purpose, notes };
        if call.notes.is_refused() {
            return Step::Done(call.response(None, None));
        }
        Step::Ask { datapath_id: switch.datapath_id, question: body.into(), call }
    }

    /// Goes on with what came of the question.
    pub fn answered(self, answer: Result<Answer, AskError>) -> Step {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Step::Done(self.failed(error)),
        };
        let Purpose::Port { number, wanted, command } = &self.purpose else {
            return Step::Done(self.response(Some(answer), None));
        };
        let Some(desc) = answer.parts().flat_map(replies::ports).find(|port| port.number == *number) else {
            return Step::Done(Refusal::missing("there is no such port").into());
        };
        if command != "modify" {
            return Step::Done(Refusal::missing(format!("there is no command {command}")).into());
        }
        match entries::port_mod(wanted, &desc, self.switch.version) {
            Ok(change) => Self::ask(self.switch, change, Purpose::Command, self.notes),
            Err(refusal) => Step::Done(refusal.into()),
        }
    }

    fn failed(self, error: AskError) -> Response {
        let status = match &error {
            AskError::NoSwitch => 404,
            AskError::TooLong => 400,
            AskError::NotInVersion => 501,
            AskError::TooMany | AskError::TooLarge => 503,
            AskError::TimedOut | AskError::Disconnected | AskError::Refused { .. } => 200,
        };
        let why = match &error {
            AskError::Refused { error, number, .. } => format!("refused: {}", named(*error, *number)),
            other => other.to_string(),
        };
        match status {
            200 => self.response(None, Some(why)),
            status => Response { status, note: Some(one_line(&why)), content: None },
        }
    }

    /// The response with what the answer says, or with nothing.
    fn response(self, answer: Option<Answer>, why: Option<String>) -> Response {
        let note = self.notes.text(why);
        let Switch { datapath_id, version, .. } = self.switch;
        let answer = answer.unwrap_or_default();
        let size = answer.size();
        let items = |priority| {
            let parts = answer.parts();
            parts.map(move |part| replies::items(part, version, priority)).filter(|items| !items.is_empty())
        };
        let pieces: Box<dyn Iterator<Item = Vec<u8>> + Send> = match self.purpose {
            Purpose::Command | Purpose::Port { .. } => return Response { status: 200, note, content: None },
            Purpose::One => {
                let one = items(None).flatten().last().unwrap_or_else(|| Value::Object(Map::new()));
                Box::new(std::iter::once(format!("{{\"{datapath_id}\": {one}}}").into_bytes()))
            }
            Purpose::List(priority) => {
                let pieces = items(priority).enumerate().map(|(index, items)| {
                    let text = Value::from(items).to_string();
                    // The brackets are written around all pieces together.
                    let inner = text.get(1..text.len() - 1).unwrap_or_default();
                    [if index == 0 { "" } else { "," }, inner].concat().into_bytes()
                });
                let head = format!("{{\"{datapath_id}\": [").into_bytes();
                Box::new(std::iter::once(head).chain(pieces).chain(std::iter::once(b"]}".to_vec())))
            }
        };
        Response { status: 200, note, content: Some(Content { size, pieces }) }
    }
}

#[cfg(test)]
mod tests;
