//! Topology files. Unknown keys are refused, because a misspelt key that is ignored costs an afternoon.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use heddle_openflow::Version;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::{
    FailMode, Host, MAX_FILE_SIZE, MAX_LINKS, Prefix, Profile, Route, SpanningTree, Switch, Topology,
    TopologyError, WantedLink, assemble, default_datapath_id, default_host, fail,
};

/// A topology as a file says it, before it is checked: also a part of files that say more.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct TopologyFile(File);

impl TopologyFile {
    /// The topology.
    ///
    /// # Errors
    /// A sentence that names the object that is wrong.
    pub fn topology(self) -> Result<Topology, TopologyError> {
        assembled(self.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    hosts: Ordered<FileHost>,
    #[serde(default)]
    switches: Ordered<FileSwitch>,
    #[serde(default)]
    links: Vec<FileLink>,
    spanning_tree: Option<SpanningTree>,
    /// What links are like that do not say.
    #[serde(default)]
    link: Settings,
    seed: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHost {
    pub(super) ip: Option<Vec<String>>,
    pub(super) mac: Option<String>,
    #[serde(default)]
    pub(super) routes: Vec<FileRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRoute {
    pub(super) to: String,
    pub(super) via: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSwitch {
    pub(super) dpid: Option<u64>,
    pub(super) fail_mode: Option<FailMode>,
    #[serde(default)]
    pub(super) protocols: Vec<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a link is written [a, b] or {a: NODE, b: NODE, a_port: N, b_port: N, rate: RATE, ...}"
)]
enum FileLink {
    Pair([String; 2]),
    Ends(FileEnds),
}

#[derive(Deserialize)]
struct FileEnds {
    a: String,
    b: String,
    a_port: Option<u32>,
    b_port: Option<u32>,
    #[serde(default)]
    a_to_b: Settings,
    #[serde(default)]
    b_to_a: Settings,
    /// What holds both ways.
    #[serde(flatten)]
    both: Settings,
}

/// Settings of a profile, in the words of [`Profile`]'s text.
type Settings = BTreeMap<String, Scalar>;

/// A value of a mapping in a file, as the text that it would be.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a value is a word, a number, or true or false")]
pub enum Scalar {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Whole(u64),
    /// A whole number below zero.
    Below(i64),
    /// Another number.
    Number(f64),
    /// A word.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Below(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The text of a profile whose settings stand in a mapping.
#[must_use]
pub fn settings_text(settings: &BTreeMap<String, Scalar>) -> String {
    let words: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    words.join(" ")
}

pub(super) fn parse(text: &str) -> Result<Topology, TopologyError> {
    if text.len() > MAX_FILE_SIZE {
        return fail(format!(
            "the file has {} bytes, more than the {MAX_FILE_SIZE} that are read",
            text.len()
        ));
    }
    // The parser's advice to its programmer is none to the file's writer.
    let wrong = |e: serde_saphyr::Error| {
        e.to_string().replace(", set DuplicateKeyPolicy in Options if acceptable", "")
    };
    assembled(serde_saphyr::from_str(text).map_err(|e| TopologyError(wrong(e)))?)
}

fn assembled(file: File) -> Result<Topology, TopologyError> {
    if file.links.len() > MAX_LINKS {
        return fail(format!(
            "{} links are more than the {MAX_LINKS} that one lab may have",
            file.links.len()
        ));
    }
    if let Some(name) = &file.name {
        super::check_name(name)?;
    }
    let hosts = file.hosts.0.into_iter().enumerate().map(|(i, (name, host))| make_host(name, i + 1, host));
    let switches = file.switches.0.into_iter().map(|(name, switch)| make_switch(name, switch));
    let (hosts, switches) = (hosts.collect::<Result<_, _>>()?, switches.collect::<Result<_, _>>()?);
    let usual = profile(Profile::default(), &file.link, "link")?;
    let links: Vec<WantedLink> =
        file.links.into_iter().map(|link| want(link, &usual)).collect::<Result<_, _>>()?;
    let topology = assemble(file.name, hosts, switches, links)?;
    let seed = file.seed.unwrap_or(topology.seed);
    Ok(Topology { spanning_tree: file.spanning_tree, seed, ..topology })
}

fn want(link: FileLink, usual: &Profile) -> Result<WantedLink, TopologyError> {
    match link {
        FileLink::Pair([a, b]) => {
            Ok(WantedLink { profiles: [usual.clone(), usual.clone()], ..WantedLink::new(a, b) })
        }
        FileLink::Ends(e) => {
            let name = format!("the link {} - {}", e.a, e.b);
            let both = profile(usual.clone(), &e.both, &name)?;
            let profiles = [profile(both.clone(), &e.a_to_b, &name)?, profile(both, &e.b_to_a, &name)?];
            Ok(WantedLink { nodes: [e.a, e.b], ports: [e.a_port, e.b_port], profiles })
        }
    }
}

/// A profile with these settings changed.
fn profile(mut profile: Profile, settings: &Settings, of: &str) -> Result<Profile, TopologyError> {
    profile.apply(&settings_text(settings)).map_err(|error| TopologyError(format!("{of}: {error}")))?;
    Ok(profile)
}

pub(super) fn make_host(name: String, n: usize, given: FileHost) -> Result<Host, TopologyError> {
    let mut host = default_host(name, n);
    if let Some(addresses) = given.ip {
        host.addresses = addresses.iter().map(|text| prefix(&host.name, text)).collect::<Result<_, _>>()?;
    }
    if let Some(text) = given.mac {
        host.mac = mac(&text).ok_or_else(|| {
            TopologyError(format!(
                "{text:?} of {} is not an Ethernet address such as 00:00:00:00:00:01",
                host.name
            ))
        })?;
    }
    host.routes = given.routes.iter().map(|r| route(&host.name, r)).collect::<Result<_, _>>()?;
    Ok(host)
}

pub(super) fn make_switch(name: String, given: FileSwitch) -> Result<Switch, TopologyError> {
    let datapath_id = given.dpid.or_else(|| default_datapath_id(&name)).ok_or_else(|| {
        TopologyError(format!("the switch {name} has no number in its name: give it a datapath id with dpid"))
    })?;
    if let Some(unknown) = given.protocols.iter().find(|name| Version::by_name(name).is_none()) {
        let known: Vec<&str> = Version::ALL.iter().map(|version| version.name()).collect();
        return fail(format!("the switch {name} speaks no {unknown:?}; there are {}", known.join(", ")));
    }
    Ok(Switch { name, datapath_id, fail_mode: given.fail_mode, protocols: given.protocols })
}

fn prefix(host: &str, text: &str) -> Result<Prefix, TopologyError> {
    let parsed = || {
        let (address, length) = text.split_once('/')?;
        let prefix = Prefix { address: address.parse().ok()?, length: length.parse().ok()? };
        let most = if prefix.address.is_ipv4() { 32 } else { 128 };
        (prefix.length <= most).then_some(prefix)
    };
    parsed().ok_or_else(|| {
        TopologyError(format!("{text:?} of {host} is not an address with its prefix, such as 10.0.0.1/8"))
    })
}

fn route(host: &str, route: &FileRoute) -> Result<Route, TopologyError> {
    let via: std::net::IpAddr = route
        .via
        .parse()
        .map_err(|_| TopologyError(format!("{:?} of {host} is not an address to route by", route.via)))?;
    let to = match (route.to.as_str(), via.is_ipv4()) {
        ("default", true) => prefix(host, "0.0.0.0/0")?,
        ("default", false) => prefix(host, "::/0")?,
        (text, _) => prefix(host, text)?,
    };
    if to.address.is_ipv4() != via.is_ipv4() {
        return fail(format!("the route of {host} to {to} by {via} mixes IPv4 and IPv6"));
    }
    Ok(Route { to, via })
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|p| matches!(p.len(), 1 | 2))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// A mapping that keeps the file's order, because order gives hosts their addresses.
struct Ordered<V>(Vec<(String, V)>);

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<'de, V: Deserialize<'de> + Default> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

struct OrderedVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + Default> Visitor<'de> for OrderedVisitor<V> {
    type Value = Ordered<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut entries = vec![];
        while let Some((name, value)) = map.next_entry::<String, Option<V>>()? {
            if entries.len() >= super::MAX_HOSTS.max(super::MAX_SWITCHES) {
                return Err(M::Error::custom("too many hosts or switches for one lab"));
            }
            entries.push((name, value.unwrap_or_default()));
        }
        Ok(Ordered(entries))
    }
}
