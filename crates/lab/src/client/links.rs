//! Links of a running lab: what packets meet on them, what has happened, and what passes.

use std::os::fd::BorrowedFd;

use super::{Lab, LabError, answer, unexpected};
use crate::protocol::{Fidelity, LinkReport, Reply, Request};
use crate::topology::End;
use crate::wire::Channel;

impl Lab {
    /// Changes what packets meet on the links between two nodes, in the words of a [`Profile`](crate::topology::Profile); only
    /// on the way from `a` to `b` where `one_way` is set. What is under way keeps its times.
    ///
    /// # Errors
    /// There is no such link, or the settings cannot be read.
    pub fn shape(&self, a: &str, b: &str, settings: &str, one_way: bool) -> Result<(), LabError> {
        let (a, b, settings) = (a.to_owned(), b.to_owned(), settings.to_owned());
        self.ask(&Request::Shape { a, b, settings, one_way }).map(|_| ())
    }

    /// Each link and what has happened on it.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn links(&self) -> Result<Vec<LinkReport>, LabError> {
        match self.ask(&Request::Links)? {
            Reply::Links(links) => Ok(links),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins to write what passes an interface, such as `h1-eth0` or `s1-eth2`, to `to`, as pcapng.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn capture(&self, interface: &str, to: BorrowedFd<'_>) -> Result<Capturing, LabError> {
        let mut channel = self.connect()?;
        channel.send(&Request::Capture { interface: interface.to_owned() }, &[to])?;
        match answer(&mut channel)? {
            Reply::Done => Ok(Capturing { channel }),
            other => Err(unexpected(&other)),
        }
    }

    /// The first node's interface of a link between two nodes.
    ///
    /// # Errors
    /// There is no such link.
    pub fn interface(&self, node: &str, to: &str) -> Result<String, LabError> {
        let links = self.links()?;
        let ends = links.iter().flat_map(|link| [(&link.a, &link.b), (&link.b, &link.a)]);
        let found = ends.filter(|(near, far)| near.node == node && far.node == to).map(|(near, _)| near);
        found
            .map(End::interface)
            .next()
            .ok_or_else(|| LabError(format!("there is no link between {node} and {to}")))
    }

    /// Whether the machine keeps up with the links.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn fidelity(&self) -> Result<Fidelity, LabError> {
        match self.ask(&Request::Fidelity)? {
            Reply::Fidelity(fidelity) => Ok(fidelity),
            other => Err(unexpected(&other)),
        }
    }
}

/// A capture that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Capturing {
    channel: Channel,
}

impl Capturing {
    /// Ends it: the packets that were written, and those that passed while the writer was behind.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn stop(mut self) -> Result<(u64, u64), LabError> {
        self.channel.send(&Request::StopCapture, &[])?;
        match answer(&mut self.channel)? {
            Reply::Captured { packets, missed } => Ok((packets, missed)),
            other => Err(unexpected(&other)),
        }
    }
}
