//! OpenFlow controller core and its apps: handlers return messages, they never send.
//!
//! Bytes of connections and the time go into a [`Controller`]; bytes to write, connections to close and events to
//! log come out ([`Output`]). There are no sockets and no clocks here, so that a test is a list of messages, and so
//! that the same core serves TCP, Unix sockets and a simulator. An [`App`] sees switches that have finished their
//! handshake and returns messages for them; [`apps`] has those that come with the program. Switches are asked by
//! [`Controller::ask`], or by an app that returns [`Outgoing::ask`]: the whole answer comes back, or why there is none.
#![forbid(unsafe_code)]

pub mod app;
pub mod apps;
mod ask;
pub mod controller;
#[doc(hidden)]
pub mod fuzz;
pub mod ofctl_rest;
mod session;

pub use app::{App, Outgoing, Switch, Tables};
pub use apps::LearningSwitch;
pub use ask::{Answer, AskError, AskId, Question};
pub use controller::{ConnectionId, Controller, Event, Output};
pub use session::CloseReason;
