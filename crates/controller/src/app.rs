//! What an app is.

use heddle_flow::Match;
use heddle_openflow::{Action, Body, FlowMod, Instruction, Version};
use serde_json::Value;

use crate::ask::{Answer, AskError};

/// A switch that has finished its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its datapath id; only one connection at a time has it.
    pub datapath_id: u64,
    /// The version that it and the controller agreed on.
    pub version: Version,
    /// Its tables.
    pub tables: u8,
    /// What it can, as its features reply said.
    pub capabilities: u32,
}

/// A message for a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Which switch; one that is not connected gets nothing.
    pub datapath_id: u64,
    /// What to say.
    pub body: Body,
    /// Who asks wants the answer, by this number of its own; see [`Outgoing::ask`].
    pub token: Option<u64>,
}

impl Outgoing {
    /// A message for this switch.
    pub fn to(datapath_id: u64, body: Body) -> Self {
        Self { datapath_id, body, token: None }
    }

    /// A question for this switch. Its answer, or why there is none, comes to [`App::answered`] with this number; every
    /// question has one. What has no reply of its own, as a flow-mod, is answered once the switch has done it.
    pub fn ask(datapath_id: u64, body: Body, token: u64) -> Self {
        Self { datapath_id, body, token: Some(token) }
    }
}

/// The tables of an app: apps that run together are a chain, each with a table in every switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Its own.
    pub own: u8,
    /// That of the app after it, to which packets go on; none for the last.
    pub next: Option<u8>,
}

impl Tables {
    /// A flow of the own table that runs these actions, and sends packets on where `onward` says so.
    #[must_use]
    pub fn flow(self, priority: u16, matching: Match, actions: Vec<Action>, onward: bool) -> FlowMod {
        let mut instructions = Vec::new();
        if !actions.is_empty() {
            instructions.push(Instruction::Apply(actions));
        }
        if let Some(next) = self.next.filter(|_| onward) {
            instructions.push(Instruction::GotoTable(next));
        }
        FlowMod { table_id: self.own, priority, matching, instructions, ..FlowMod::default() }
    }
}

/// A program that decides what switches do.
///
/// ```
/// use heddle_controller::{App, Outgoing, Switch};
/// use heddle_openflow::message::PacketOut;
/// use heddle_openflow::{Action, Body, port};
///
/// /// Sends every packet that a switch hands over out of its other ports.
/// struct Hub;
///
/// impl App for Hub {
///     fn received(&mut self, switch: &Switch, body: &Body, _now_ms: u64) -> Vec<Outgoing> {
///         let Body::PacketIn(packet) = body else { return Vec::new() };
///         let actions = vec![Action::Output { port: port::FLOOD, max_len: 0 }];
///         let in_port = packet.matching.key().in_port();
///         let out = PacketOut { in_port, actions, data: packet.data.clone(), ..PacketOut::default() };
///         vec![Outgoing::to(switch.datapath_id, Body::PacketOut(out))]
///     }
/// }
/// ```
///
/// One value serves all switches, so that it may decide across them. Handlers see what came and the time in
/// milliseconds, of any origin but never going back. They must bound what they keep, since packets fill it.
pub trait App: Send {
    /// A switch has finished its handshake.
    fn connected(&mut self, switch: &Switch, now_ms: u64) -> Vec<Outgoing> {
        let _ = (switch, now_ms);
        Vec::new()
    }

    /// A message came that the core does not answer by itself.
    fn received(&mut self, switch: &Switch, body: &Body, now_ms: u64) -> Vec<Outgoing>;

    /// A question that it asked by [`Outgoing::ask`] came to its end. Answers to what others asked are not told.
    fn answered(
        &mut self,
        datapath_id: u64,
        token: u64,
        answer: Result<Answer, AskError>,
        now_ms: u64,
    ) -> Vec<Outgoing> {
        let _ = (datapath_id, token, answer, now_ms);
        Vec::new()
    }

    /// Time has passed: [`App::deadline`] is reached.
    fn ticked(&mut self, now_ms: u64) -> Vec<Outgoing> {
        let _ = now_ms;
        Vec::new()
    }

    /// When [`App::ticked`] is next wanted; never where absent.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// Its name, and what it knows, for people and programs to read.
    fn state(&self, now_ms: u64) -> Option<(&'static str, Value)> {
        let _ = now_ms;
        None
    }

    /// A switch has gone.
    fn disconnected(&mut self, switch: &Switch) {
        let _ = switch;
    }
}
