//! What is added to a topology and taken from it while its lab runs.
//!
//! A change yields a whole topology, by the checks that a topology file passes, or a sentence about what is wrong with it;
//! what is there already keeps its names, addresses and port numbers. What is added stands at the end.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::file::{FileHost, FileRoute, FileSwitch, make_host, make_switch};
use super::{
    FailMode, Host, Link, MAX_HOSTS, Profile, Switch, Topology, TopologyError, WantedLink, assemble,
    check_counts, default_host, fail,
};

/// What is to be added; all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Additions {
    /// Hosts.
    pub hosts: Vec<NewHost>,
    /// Switches.
    pub switches: Vec<NewSwitch>,
    /// Links, also to what is added with them.
    pub links: Vec<NewLink>,
}

/// A host to be added, in the words of a topology file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewHost {
    /// Its name.
    pub name: String,
    /// Its addresses, such as `10.0.0.9/8`. Where none are given: those of the number in its name where they are free,
    /// else the next free ones.
    pub ip: Option<Vec<String>>,
    /// The Ethernet address of its first device; chosen as its addresses are.
    pub mac: Option<String>,
    /// Static routes.
    pub routes: Vec<NewRoute>,
}

/// A static route to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    /// Where to: a prefix or `default`.
    pub to: String,
    /// The next hop.
    pub via: String,
}

/// A switch to be added, in the words of a topology file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSwitch {
    /// Its name.
    pub name: String,
    /// Its datapath id; the number in its name where none is given.
    pub dpid: Option<u64>,
    /// Its behaviour without a controller.
    pub fail_mode: Option<FailMode>,
    /// Versions of OpenFlow that it speaks.
    pub protocols: Vec<String>,
}

/// A link to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewLink {
    /// One end.
    pub a: String,
    /// The other.
    pub b: String,
    /// The port there; the lowest that is free where none is given.
    pub a_port: Option<u32>,
    /// The port there.
    pub b_port: Option<u32>,
    /// What packets meet, both ways, in the words of a [`Profile`].
    pub settings: String,
}

/// What is to be removed; all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Removals {
    /// Hosts, with their links.
    pub hosts: Vec<String>,
    /// Switches, with their links.
    pub switches: Vec<String>,
    /// All links between two nodes.
    pub links: Vec<[String; 2]>,
}

/// Parts of a topology: what a change added or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Hosts.
    pub hosts: Vec<Host>,
    /// Switches.
    pub switches: Vec<Switch>,
    /// Links.
    pub links: Vec<Link>,
}

impl Topology {
    /// The topology with what is added, and what that is.
    ///
    /// # Errors
    /// A sentence that names the object, as for a topology file.
    pub fn with(&self, additions: &Additions) -> Result<(Self, Parts), TopologyError> {
        let counts = [
            self.hosts.len() + additions.hosts.len(),
            self.switches.len() + additions.switches.len(),
            self.links.len() + additions.links.len(),
        ];
        check_counts(counts[0], counts[1], counts[2])?;
        let mut hosts = self.hosts.clone();
        let mut free = Free::new(&self.hosts);
        for new in &additions.hosts {
            let host = free.host(new)?;
            hosts.push(host);
        }
        let mut switches = self.switches.clone();
        for new in &additions.switches {
            let file =
                FileSwitch { dpid: new.dpid, fail_mode: new.fail_mode, protocols: new.protocols.clone() };
            switches.push(make_switch(new.name.clone(), file)?);
        }
        let known = self.links.iter().map(|link| WantedLink {
            ports: [Some(link.a.port), Some(link.b.port)],
            ..WantedLink::new(&link.a.node, &link.b.node)
        });
        let mut links: Vec<WantedLink> = known.collect();
        for link in &additions.links {
            let mut profile = Profile::default();
            let set = profile.apply(&link.settings);
            set.map_err(|error| TopologyError(format!("the link {} - {}: {error}", link.a, link.b)))?;
            links.push(WantedLink {
                ports: [link.a_port, link.b_port],
                profiles: [profile.clone(), profile],
                ..WantedLink::new(&link.a, &link.b)
            });
        }
        let mut whole = assemble(self.name.clone(), hosts, switches, links)?;
        // Those that were there are what they were in all that a link may have.
        whole.links[..self.links.len()].clone_from_slice(&self.links);
        (whole.spanning_tree, whole.seed) = (self.spanning_tree, self.seed);
        let added = Parts {
            hosts: whole.hosts[self.hosts.len()..].to_vec(),
            switches: whole.switches[self.switches.len()..].to_vec(),
            links: whole.links[self.links.len()..].to_vec(),
        };
        Ok((whole, added))
    }

    /// The topology without what is removed, and what that is. A node goes with its links.
    ///
    /// # Errors
    /// A sentence that names what is not there.
    pub fn without(&self, removals: &Removals) -> Result<(Self, Parts), TopologyError> {
        let hosts: HashSet<&str> = removals.hosts.iter().map(String::as_str).collect();
        let switches: HashSet<&str> = removals.switches.iter().map(String::as_str).collect();
        let pairs: HashSet<[&str; 2]> = removals.links.iter().map(|[a, b]| ordered(a, b)).collect();
        let mut removed = Parts::default();
        let mut whole = Self {
            name: self.name.clone(),
            spanning_tree: self.spanning_tree,
            seed: self.seed,
            ..Self::default()
        };
        for host in &self.hosts {
            let gone = hosts.contains(host.name.as_str());
            if gone { &mut removed.hosts } else { &mut whole.hosts }.push(host.clone());
        }
        for switch in &self.switches {
            let gone = switches.contains(switch.name.as_str());
            if gone { &mut removed.switches } else { &mut whole.switches }.push(switch.clone());
        }
        let mut found = HashSet::new();
        for link in &self.links {
            let ends = [link.a.node.as_str(), link.b.node.as_str()];
            let pair = ordered(ends[0], ends[1]);
            let named = pairs.contains(&pair);
            if named {
                found.insert(pair);
            }
            let gone = named || ends.iter().any(|node| hosts.contains(node) || switches.contains(node));
            if gone { &mut removed.links } else { &mut whole.links }.push(link.clone());
        }
        for name in hosts {
            if !removed.hosts.iter().any(|host| host.name == name) {
                return fail(format!("the lab has no host {name}"));
            }
        }
        for name in switches {
            if !removed.switches.iter().any(|switch| switch.name == name) {
                return fail(format!("the lab has no switch {name}"));
            }
        }
        if let Some([a, b]) = pairs.difference(&found).next() {
            return fail(format!("there is no link between {a} and {b}"));
        }
        Ok((whole, removed))
    }
}

fn ordered<'a>(a: &'a str, b: &'a str) -> [&'a str; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

/// Addresses that no host has.
struct Free {
    taken: HashSet<std::net::IpAddr>,
    macs: HashSet<[u8; 6]>,
    next: usize,
}

impl Free {
    fn new(hosts: &[Host]) -> Self {
        let addresses = hosts.iter().flat_map(|host| &host.addresses);
        Self {
            taken: addresses.map(|prefix| prefix.address).collect(),
            macs: hosts.iter().map(|host| host.mac).collect(),
            next: hosts.len() + 1,
        }
    }

    fn host(&mut self, new: &NewHost) -> Result<Host, TopologyError> {
        let digits = new.name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let own = digits.parse().ok().filter(|number| (1..=MAX_HOSTS).contains(number));
        let number = own.filter(|&number| self.fits(new, number)).unwrap_or_else(|| {
            while !self.fits(new, self.next) {
                self.next += 1;
            }
            self.next
        });
        let route = |route: &NewRoute| FileRoute { to: route.to.clone(), via: route.via.clone() };
        let file = FileHost {
            ip: new.ip.clone(),
            mac: new.mac.clone(),
            routes: new.routes.iter().map(route).collect(),
        };
        let host = make_host(new.name.clone(), number, file)?;
        self.taken.extend(host.addresses.iter().map(|prefix| prefix.address));
        self.macs.insert(host.mac);
        Ok(host)
    }

    /// Whether what the host does not say itself is free with this number.
    fn fits(&self, new: &NewHost, number: usize) -> bool {
        let usual = default_host(String::new(), number);
        let mut addresses = usual.addresses.iter().map(|prefix| prefix.address);
        (new.mac.is_some() || !self.macs.contains(&usual.mac))
            && (new.ip.is_some() || !addresses.any(|address| self.taken.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> NewHost {
        NewHost { name: name.into(), ..NewHost::default() }
    }

    fn link(a: &str, b: &str) -> NewLink {
        NewLink { a: a.into(), b: b.into(), ..NewLink::default() }
    }

    fn removal(hosts: &[&str], switches: &[&str], links: &[[&str; 2]]) -> Removals {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let links = links.iter().map(|pair| pair.map(str::to_owned)).collect();
        Removals { hosts: own(hosts), switches: own(switches), links }
    }

    #[test]
    fn what_is_added_is_numbered_and_addressed() {
        let t = Topology::from_spec("single,3").unwrap();
        let additions = Additions {
            hosts: vec![host("h9"), host("web")],
            switches: vec![NewSwitch { name: "s2".into(), ..NewSwitch::default() }],
            links: vec![link("h9", "s1"), link("s1", "s2"), link("s2", "web"), link("h9", "s2")],
        };
        let (whole, added) = t.with(&additions).unwrap();
        assert_eq!(whole.links[..3], t.links[..]);
        let ends: Vec<_> = added.links.iter().map(|l| [l.a.interface(), l.b.interface()]).collect();
        let expected =
            [["h9-eth0", "s1-eth4"], ["s1-eth5", "s2-eth1"], ["s2-eth2", "web-eth0"], ["h9-eth1", "s2-eth3"]];
        assert_eq!(ends, expected);
        assert_eq!(added.hosts[0].addresses[0].to_string(), "10.0.0.9/8");
        assert_eq!(added.hosts[1].addresses[0].to_string(), "10.0.0.4/8");
        assert_eq!(added.switches[0].datapath_id, 2);
    }

    #[test]
    fn a_number_whose_addresses_are_taken_is_passed_over() {
        let t = Topology::from_yaml("hosts: {a: , b: , h9: {ip: [10.0.0.4/8]}}\nswitches: {s1: }\n").unwrap();
        let (_, added) =
            t.with(&Additions { hosts: vec![host("h2"), host("x1y")], ..Additions::default() }).unwrap();
        let addresses: Vec<_> = added.hosts.iter().map(|host| host.addresses[0].to_string()).collect();
        assert_eq!(addresses, ["10.0.0.5/8", "10.0.0.6/8"]);
    }

    #[test]
    fn what_is_removed_takes_its_links_along_and_its_ports_are_free() {
        let t = Topology::from_spec("linear,3").unwrap();
        let (less, removed) = t.without(&removal(&["h1"], &["s2"], &[])).unwrap();
        assert_eq!((removed.hosts.len(), removed.switches.len(), removed.links.len()), (1, 1, 4));
        assert_eq!((less.hosts.len(), less.switches.len(), less.links.len()), (2, 2, 1));
        let (whole, _) =
            less.with(&Additions { links: vec![link("s1", "s3")], ..Additions::default() }).unwrap();
        assert_eq!(whole.links[1].a.port, 1);
        assert_eq!(less.without(&removal(&[], &[], &[["s3", "h3"]])).unwrap().0.links.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        let t = Topology::from_spec("single,2").unwrap();
        let with = |hosts: Vec<NewHost>, links: Vec<NewLink>| {
            t.with(&Additions { hosts, links, ..Additions::default() }).unwrap_err().to_string()
        };
        assert!(with(vec![host("h1")], vec![]).contains("h1 is used twice"));
        assert!(with(vec![host("a b")], vec![]).contains("a b"));
        assert!(with(vec![], vec![link("h1", "h2")]).contains("two hosts"));
        assert!(with(vec![], vec![link("h1", "s7")]).contains("s7"));
        assert!(with(vec![], vec![NewLink { b_port: Some(1), ..link("h1", "s1") }]).contains("two links"));
        let given = NewHost { ip: Some(vec!["10.0.0.1/8".into()]), ..host("h3") };
        assert!(with(vec![given], vec![]).contains("same address 10.0.0.1"));
        for (removals, word) in [
            (removal(&["h7"], &[], &[]), "no host h7"),
            (removal(&[], &["h1"], &[]), "no switch h1"),
            (removal(&[], &[], &[["h1", "h2"]]), "between h1 and h2"),
        ] {
            assert!(t.without(&removals).unwrap_err().to_string().contains(word));
        }
    }
}
