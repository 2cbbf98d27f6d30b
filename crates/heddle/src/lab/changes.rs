//! `heddle lab add` and `heddle lab remove`: changes of a lab that runs.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use heddle_lab::protocol::Changed;
use heddle_lab::shell::datapath_id;
use heddle_lab::topology::{Additions, NewHost, NewLink, NewRoute, NewSwitch, Removals};
use heddle_openflow::Version;
use serde_json::json;

use super::{Mode, attach};
use crate::output::show_line;
use crate::shell::show_change;

/// Which lab, and how to answer.
#[derive(Args)]
pub struct Common {
    /// The lab's name; may be left out where only one runs.
    #[arg(long)]
    lab: Option<String>,
    /// Print what changed as JSON.
    #[arg(long)]
    json: bool,
}

/// What can be added.
#[derive(Subcommand)]
pub enum Add {
    /// Add a host.
    Host {
        /// Its name.
        name: String,
        /// An address with its prefix, such as 10.0.0.9/8 or fd00::9/64; may be given several times. Where none is
        /// given: those of the number in its name where they are free, else the next free ones.
        #[arg(long, value_name = "ADDRESS/LENGTH")]
        ip: Vec<String>,
        /// The Ethernet address of its first device.
        #[arg(long)]
        mac: Option<String>,
        /// A static route: where to (a prefix or default), a comma, the next hop. May be given several times.
        #[arg(long, value_name = "TO,VIA", value_parser = route)]
        route: Vec<NewRoute>,
        /// A switch to link it to; may be given several times.
        #[arg(long, value_name = "SWITCH")]
        link: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Add a switch.
    Switch {
        /// Its name.
        name: String,
        /// Its datapath id; the number in its name where none is given.
        #[arg(long, value_parser = dpid)]
        dpid: Option<u64>,
        /// What it does without a controller; what the lab's switches do where nothing is given.
        #[arg(long, value_enum)]
        fail_mode: Option<Mode>,
        /// Versions of OpenFlow that it speaks; all where none is given.
        #[arg(long, value_delimiter = ',', value_name = "VERSION", value_parser = Version::ALL.iter().map(|v| v.name()).collect::<Vec<_>>())]
        protocols: Vec<String>,
        /// A host or switch to link it to; may be given several times.
        #[arg(long, value_name = "NODE")]
        link: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Add a link between a host and a switch, or two switches.
    Link {
        /// One end.
        a: String,
        /// The other.
        b: String,
        /// What packets meet on it, as delay=5ms; nothing where nothing is given.
        settings: Vec<String>,
        /// The port number at the first end; the lowest that is free where none is given.
        #[arg(long)]
        a_port: Option<u32>,
        /// The port number at the second end.
        #[arg(long)]
        b_port: Option<u32>,
        #[command(flatten)]
        common: Common,
    },
}

/// What can be removed.
#[derive(Subcommand)]
pub enum Remove {
    /// Remove hosts: their links, and what runs in them.
    Host {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove switches, with their links.
    Switch {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove all links between two nodes.
    Link {
        /// One node.
        a: String,
        /// The other.
        b: String,
        #[command(flatten)]
        common: Common,
    },
}

fn route(text: &str) -> Result<NewRoute, String> {
    let (to, via) = text.split_once(',').ok_or("it is TO,VIA, such as default,10.0.0.254")?;
    Ok(NewRoute { to: to.to_owned(), via: via.to_owned() })
}

fn dpid(text: &str) -> Result<u64, String> {
    datapath_id(text).ok_or_else(|| "it is a number, decimal or with 0x".to_owned())
}

fn links(name: &str, others: Vec<String>) -> Vec<NewLink> {
    others.into_iter().map(|b| NewLink { a: name.to_owned(), b, ..NewLink::default() }).collect()
}

/// Runs `heddle lab add`.
pub fn add(what: Add) -> Result<ExitCode> {
    let (additions, common) = match what {
        Add::Host { name, ip, mac, route, link, common } => {
            let links = links(&name, link);
            let host = NewHost { name, ip: (!ip.is_empty()).then_some(ip), mac, routes: route };
            (Additions { hosts: vec![host], links, ..Additions::default() }, common)
        }
        Add::Switch { name, dpid, fail_mode, protocols, link, common } => {
            let links = links(&name, link);
            let switch = NewSwitch { name, dpid, fail_mode: fail_mode.map(Into::into), protocols };
            (Additions { switches: vec![switch], links, ..Additions::default() }, common)
        }
        Add::Link { a, b, settings, a_port, b_port, common } => {
            let links = vec![NewLink { a, b, a_port, b_port, settings: settings.join(" ") }];
            (Additions { links, ..Additions::default() }, common)
        }
    };
    let lab = attach(common.lab.as_deref())?;
    said(&lab.add(additions)?, "added", common.json)
}

/// Runs `heddle lab remove`.
pub fn remove(what: Remove) -> Result<ExitCode> {
    let (removals, common) = match what {
        Remove::Host { names, common } => (Removals { hosts: names, ..Removals::default() }, common),
        Remove::Switch { names, common } => (Removals { switches: names, ..Removals::default() }, common),
        Remove::Link { a, b, common } => (Removals { links: vec![[a, b]], ..Removals::default() }, common),
    };
    let lab = attach(common.lab.as_deref())?;
    said(&lab.remove(removals)?, "removed", common.json)
}

fn said(changed: &Changed, verb: &str, json: bool) -> Result<ExitCode> {
    if json {
        let hosts: Vec<_> = changed.parts.hosts.iter().map(super::host_listing).collect();
        let value = json!({
            "hosts": hosts,
            "switches": changed.parts.switches,
            "links": changed.parts.links,
            "warning": changed.warning,
        });
        show_line(serde_json::to_string_pretty(&value)?);
    } else {
        show_change(changed, verb);
    }
    Ok(ExitCode::SUCCESS)
}
