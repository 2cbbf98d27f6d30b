//! What a lab consists of: hosts, switches, and the links between them.
//!
//! Pure: text goes in, a [`Topology`] or a sentence about what is wrong with it comes out. Names, port
//! numbers and addresses follow Mininet's habits, so that what people know keeps holding: hosts `h1`.. with
//! `10.0.0.1/8`.. and `00:00:00:00:00:01`.. in their order, switches `s1`.. with their number as datapath id,
//! host devices `h1-eth0`.., switch ports `s1-eth1`.. in the order of the links.

mod change;
mod file;
mod spec;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use change::{Additions, NewHost, NewLink, NewRoute, NewSwitch, Parts, Removals};
pub use file::{Scalar, TopologyFile, settings_text};
pub use heddle_instance::{Prefix, Route};
pub use heddle_link::Profile;
pub use heddle_switch::config::{FailMode, SpanningTree};
use serde::{Deserialize, Serialize};

/// Most hosts of one lab.
pub const MAX_HOSTS: usize = 4096;
/// Most switches of one lab.
pub const MAX_SWITCHES: usize = 4096;
/// Most links of one lab.
pub const MAX_LINKS: usize = 16384;
/// Most bytes of a topology file.
pub const MAX_FILE_SIZE: usize = 4 << 20;

/// A sentence that says what is wrong with a topology, naming the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TopologyError(pub String);

/// Hosts, switches and links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The name that the file gives, if any.
    pub name: Option<String>,
    /// Hosts in address order.
    pub hosts: Vec<Host>,
    /// Switches.
    pub switches: Vec<Switch>,
    /// Links in the order that numbers the ports.
    pub links: Vec<Link>,
    /// The spanning tree protocol of all switches.
    #[serde(default)]
    pub spanning_tree: Option<SpanningTree>,
    /// What the links' dice are drawn with: the same fates for the same seed.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

/// The seed of topologies that name none.
pub(crate) fn default_seed() -> u64 {
    1
}

/// One host. Its addresses belong to its first device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Ethernet address of its first device.
    pub mac: [u8; 6],
    /// IPv4 and IPv6 addresses.
    pub addresses: Vec<Prefix>,
    /// Static routes.
    pub routes: Vec<Route>,
}

impl Host {
    /// Its first address of one IP version.
    #[must_use]
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().map(|p| p.address).find(|a| a.is_ipv6() == ipv6)
    }
}

/// One switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// OpenFlow datapath id.
    pub datapath_id: u64,
    /// Its behaviour without a controller; the lab's choice when `None`.
    pub fail_mode: Option<FailMode>,
    /// Versions of OpenFlow that it speaks, as `OpenFlow13`; every one where none is named.
    pub protocols: Vec<String>,
}

/// A link; one end is always a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
    /// What packets meet on the way from `a` to `b`.
    #[serde(default)]
    pub a_to_b: Profile,
    /// What packets meet on the way from `b` to `a`.
    #[serde(default)]
    pub b_to_a: Profile,
}

impl Link {
    /// Whether packets meet anything on it.
    #[must_use]
    pub fn has_settings(&self) -> bool {
        !self.a_to_b.is_perfect() || !self.b_to_a.is_perfect()
    }
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The host or switch.
    pub node: String,
    /// The number: a switch's OpenFlow port from 1, a host's device from 0.
    pub port: u32,
}

impl End {
    /// The interface's name, `NODE-ethN`.
    #[must_use]
    pub fn interface(&self) -> String {
        format!("{}-eth{}", self.node, self.port)
    }
}

impl Topology {
    /// Reads what `--topo` says: `minimal`, `single,N`, `reversed,N`, `linear,K[,N]`,
    /// `tree,depth=D,fanout=F` (or `tree,D,F`), `ring,K[,N]`, `torus,X,Y[,N]`.
    ///
    /// # Errors
    /// A sentence that names the part that is wrong.
    pub fn from_spec(text: &str) -> Result<Self, TopologyError> {
        spec::parse(text)
    }

    /// Reads a topology file (see the `examples` folder):
    ///
    /// ```yaml
    /// name: campus
    /// spanning_tree: rstp
    /// hosts:
    ///   h1: {}
    ///   web: { ip: [10.0.0.80/8, "fd00::80/64"], mac: "00:00:00:00:00:80" }
    /// switches:
    ///   s1: { dpid: 0x1, fail_mode: secure, protocols: [OpenFlow13] }
    /// links:
    ///   - [h1, s1]
    ///   - { a: web, b: s1, b_port: 7 }
    /// ```
    ///
    /// # Errors
    /// A sentence that names the object, with the line where the file's form is wrong.
    pub fn from_yaml(text: &str) -> Result<Self, TopologyError> {
        file::parse(text)
    }

    /// The host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|h| h.name == name)
    }

    /// The names of all switches: for whoever asks of many nodes whether they are one.
    #[must_use]
    pub fn switch_names(&self) -> HashSet<&str> {
        self.switches.iter().map(|switch| switch.name.as_str()).collect()
    }

    /// Whether this is a switch's name.
    #[must_use]
    pub fn is_switch(&self, name: &str) -> bool {
        self.switches.iter().any(|s| s.name == name)
    }

    /// A switch on a ring of switches, if there is one: what is flooded goes around there for ever, unless something stops
    /// it.
    #[must_use]
    pub fn ring(&self) -> Option<&str> {
        // Of each switch, one that it is joined to by the links so far, or itself.
        let mut heads: HashMap<&str, &str> = HashMap::new();
        fn head<'a>(heads: &mut HashMap<&'a str, &'a str>, of: &'a str) -> &'a str {
            let mut at = of;
            while let Some(next) = heads.get(at).copied().filter(|next| *next != at) {
                at = next;
            }
            let mut from = of;
            while from != at {
                from = heads.insert(from, at).unwrap_or(at);
            }
            at
        }
        let switches: HashSet<&str> = self.switches.iter().map(|switch| switch.name.as_str()).collect();
        for link in &self.links {
            let (a, b) = (link.a.node.as_str(), link.b.node.as_str());
            if !switches.contains(a) || !switches.contains(b) {
                continue;
            }
            let (a, b) = (head(&mut heads, a), head(&mut heads, b));
            if a == b {
                return Some(link.a.node.as_str());
            }
            heads.insert(a, b);
        }
        None
    }

    /// All link ends of a node, each with the opposite end.
    pub fn ends<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a End, &'a End)> {
        let both = |l: &'a Link| [(&l.a, &l.b), (&l.b, &l.a)];
        self.links.iter().flat_map(both).filter(move |(near, _)| near.node == node)
    }
}

/// A link as asked for, before ports are numbered.
struct WantedLink {
    nodes: [String; 2],
    ports: [Option<u32>; 2],
    /// Forth and back.
    profiles: [Profile; 2],
}

impl WantedLink {
    fn new(a: impl Into<String>, b: impl Into<String>) -> Self {
        Self { nodes: [a.into(), b.into()], ports: [None; 2], profiles: Default::default() }
    }
}

/// A host with what is usual for the n-th one, counted from 1.
fn default_host(name: String, n: usize) -> Host {
    let n32 = n as u32;
    let [a, b, c, d] = n32.to_be_bytes();
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, (n32 >> 16) as u16, n32 as u16);
    let addresses = vec![
        Prefix { address: Ipv4Addr::from(0x0a00_0000 + n32).into(), length: 8 },
        Prefix { address: v6.into(), length: 64 },
    ];
    Host { name, mac: [0, 0, a, b, c, d], addresses, routes: vec![] }
}

/// The number in a switch's name, which is its usual datapath id.
fn default_datapath_id(name: &str) -> Option<u64> {
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok().filter(|id| *id != 0)
}

/// Numbers the ports and checks everything that can be wrong between objects.
fn assemble(
    name: Option<String>,
    hosts: Vec<Host>,
    switches: Vec<Switch>,
    wanted: Vec<WantedLink>,
) -> Result<Topology, TopologyError> {
    check_counts(hosts.len(), switches.len(), wanted.len())?;
    let mut kinds = HashMap::new();
    for (node, is_switch) in
        hosts.iter().map(|h| (&h.name, false)).chain(switches.iter().map(|s| (&s.name, true)))
    {
        check_name(node)?;
        if kinds.insert(node.as_str(), is_switch).is_some() {
            return fail(format!("the name {node} is used twice; give each host and switch its own"));
        }
    }
    check_unique(&hosts, &switches)?;
    let mut taken: HashSet<(String, u32)> = HashSet::new();
    for link in &wanted {
        check_link(link, &kinds)?;
        for (node, port) in link.nodes.iter().zip(link.ports) {
            let Some(port) = port else { continue };
            check_port(node, port, kinds.get(node.as_str()) == Some(&true))?;
            if !taken.insert((node.clone(), port)) {
                return fail(format!("port {port} of {node} is used by two links"));
            }
        }
    }
    let mut next: HashMap<String, u32> = HashMap::new();
    let mut number = |node: &String, port: Option<u32>, is_switch: bool| -> Result<End, TopologyError> {
        let counter = next.entry(node.clone()).or_insert(u32::from(is_switch));
        let port = port.unwrap_or_else(|| {
            while !taken.insert((node.clone(), *counter)) {
                *counter += 1;
            }
            *counter
        });
        let end = End { node: node.clone(), port };
        if end.interface().len() > 15 {
            return fail(format!(
                "the interface {} has more than 15 characters; give {node} a shorter name",
                end.interface()
            ));
        }
        Ok(end)
    };
    let mut links = Vec::with_capacity(wanted.len());
    for link in wanted {
        let is_switch = |i: usize| kinds.get(link.nodes[i].as_str()) == Some(&true);
        let a = number(&link.nodes[0], link.ports[0], is_switch(0))?;
        let b = number(&link.nodes[1], link.ports[1], is_switch(1))?;
        let [a_to_b, b_to_a] = link.profiles;
        links.push(Link { a, b, a_to_b, b_to_a });
    }
    Ok(Topology { name, hosts, switches, links, spanning_tree: None, seed: default_seed() })
}

fn check_counts(hosts: usize, switches: usize, links: usize) -> Result<(), TopologyError> {
    for (what, count, most) in
        [("hosts", hosts, MAX_HOSTS), ("switches", switches, MAX_SWITCHES), ("links", links, MAX_LINKS)]
    {
        if count == usize::MAX {
            // The product of a specification's numbers went past what can be counted.
            return fail(format!("these are more than the {most} {what} that one lab may have"));
        }
        if count > most {
            return fail(format!("{count} {what} are more than the {most} that one lab may have"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), TopologyError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts || !name.chars().all(fine) || name.len() > 15 {
        return fail(format!(
            "the name {name:?} is not usable: 1 to 15 of a-z A-Z 0-9 - _ . beginning with a letter or digit"
        ));
    }
    Ok(())
}

fn check_unique(hosts: &[Host], switches: &[Switch]) -> Result<(), TopologyError> {
    let mut macs = HashMap::new();
    let mut addresses = HashMap::new();
    for host in hosts {
        if host.mac[0] & 1 == 1 || host.mac == [0; 6] {
            return fail(format!("the Ethernet address of {} is not that of a single device", host.name));
        }
        if let Some(other) = macs.insert(host.mac, &host.name) {
            return fail(format!("{other} and {} have the same Ethernet address", host.name));
        }
        for prefix in &host.addresses {
            if let Some(other) = addresses.insert(prefix.address, &host.name) {
                return fail(format!("{other} and {} have the same address {}", host.name, prefix.address));
            }
        }
    }
    let mut ids = HashMap::new();
    for switch in switches {
        if let Some(other) = ids.insert(switch.datapath_id, &switch.name) {
            let id = switch.datapath_id;
            return fail(format!("{other} and {} have the same datapath id {id:#x}; set dpid", switch.name));
        }
    }
    Ok(())
}

fn check_link(link: &WantedLink, kinds: &HashMap<&str, bool>) -> Result<(), TopologyError> {
    let [a, b] = &link.nodes;
    for node in [a, b] {
        if !kinds.contains_key(node.as_str()) {
            return fail(format!("the link {a} - {b} names {node}, which is neither a host nor a switch"));
        }
    }
    if a == b {
        return fail(format!("the link {a} - {b} joins {a} to itself"));
    }
    if kinds.get(a.as_str()) == Some(&false) && kinds.get(b.as_str()) == Some(&false) {
        return fail(format!("the link {a} - {b} joins two hosts; put a switch between them"));
    }
    Ok(())
}

fn check_port(node: &str, port: u32, is_switch: bool) -> Result<(), TopologyError> {
    let range = if is_switch { 1..=65279 } else { 0..=65279 };
    if range.contains(&port) {
        return Ok(());
    }
    fail(format!("port {port} of {node} is not between {} and {}", range.start(), range.end()))
}

fn fail<T>(message: String) -> Result<T, TopologyError> {
    Err(TopologyError(message))
}

#[cfg(test)]
mod tests;
