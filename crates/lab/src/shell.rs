//! The words of a lab's interactive shell, which are Mininet's. A line becomes a [`Command`] without I/O;
//! reading lines and showing results is the binary's work, and what it shows for a topology is made here.

use std::fmt::Write as _;

use heddle_link::ProfileError;

use crate::protocol::{Changed, Info, Pinged};
use crate::topology::{Additions, NewHost, NewLink, NewSwitch, Profile, Removals, Topology};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An empty line or a comment.
    Nothing,
    /// `exit`, `quit`, `EOF`.
    Exit,
    /// Text to print.
    Print(String),
    /// `links`: each link, and whether its cable is in.
    Links,
    /// `status`: how the lab and its switch fare.
    Status,
    /// `pingall [timeout]`.
    PingAll {
        /// Seconds to wait for an answer.
        timeout: u32,
    },
    /// `pingpair`: the first two hosts.
    PingPair([String; 2]),
    /// `iperf [a b]`.
    Iperf([String; 2]),
    /// `link A B up|down`.
    Link {
        /// One node.
        a: String,
        /// The other.
        b: String,
        /// Up or down.
        up: bool,
    },
    /// `add host NAME [SWITCH ..]`, `add switch NAME [NODE ..]`, `add link A B`.
    Add(Additions),
    /// `remove NODE ..`, `remove link A B`.
    Remove(Removals),
    /// `link A B SETTINGS`, or `link A -> B SETTINGS` for one way.
    Shape {
        /// One node.
        a: String,
        /// The other.
        b: String,
        /// In the words of a profile.
        settings: String,
        /// Only from `a` to `b`.
        one_way: bool,
    },
    /// `sh COMMAND`: on the machine, outside the lab.
    Shell(String),
    /// `source FILE`.
    Source(String),
    /// `time COMMAND`.
    Time(Box<Command>),
    /// `HOST COMMAND ..`, other hosts' names replaced by addresses; run by `sh -c`.
    Run {
        /// The host.
        host: String,
        /// The command line.
        line: String,
    },
    /// The line is not understood; a sentence that says why.
    Wrong(String),
}

/// The words that a line may begin with, besides hosts' names.
pub const WORDS: &[&str] = &[
    "nodes", "net", "links", "dump", "intfs", "ports", "status", "pingall", "pingpair", "iperf", "link",
    "add", "remove", "sh", "source", "time", "help", "exit", "quit",
];

const HELP: &str = "nodes  net  links  dump  intfs  ports        show the topology\n\
                    status                                       how the switch fares, what it drops\n\
                    pingall [seconds]  pingpair  iperf [A B]     test\n\
                    link A B up|down                             a cable in or out\n\
                    add host NAME [SWITCH ..] [ip=ADDRESS/LENGTH,..] [mac=ADDRESS]\n\
                    add switch NAME [NODE ..] [dpid=NUMBER]      \n\
                    add link A B [delay=5ms ..]   remove link A B\n\
                    remove NODE ..                               hosts and switches, with their links\n\
                    link A B rate=10mbit delay=5ms ..            what packets meet; A -> B for one way\n\
                    HOST COMMAND ..                              run a command in a host\n\
                    sh COMMAND  source FILE  time COMMAND        \n\
                    exit  quit\n";

/// Understands one line.
#[must_use]
pub fn parse(line: &str, topology: &Topology) -> Command {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(w, r)| (w, r.trim()));
    match word {
        "" => Command::Nothing,
        _ if word.starts_with('#') => Command::Nothing,
        "exit" | "quit" | "EOF" => Command::Exit,
        "help" | "?" => Command::Print(HELP.to_owned()),
        "nodes" => Command::Print(nodes(topology)),
        "net" => Command::Print(net(topology)),
        "links" => Command::Links,
        "dump" => Command::Print(dump(topology)),
        "intfs" => Command::Print(interfaces(topology)),
        "ports" => Command::Print(ports(topology)),
        "status" => Command::Status,
        "pingall" => match rest.parse() {
            Ok(timeout) => Command::PingAll { timeout },
            Err(_) if rest.is_empty() => Command::PingAll { timeout: 1 },
            Err(_) => Command::Wrong(format!("pingall takes seconds, not {rest:?}")),
        },
        "pingpair" => pair(topology, "").map_or_else(Command::Wrong, Command::PingPair),
        "iperf" => pair(topology, rest).map_or_else(Command::Wrong, Command::Iperf),
        "link" => link(rest),
        "add" => add(rest).map_or_else(Command::Wrong, Command::Add),
        "remove" => remove(rest, topology).map_or_else(Command::Wrong, Command::Remove),
        "sh" => Command::Shell(rest.to_owned()),
        "source" => Command::Source(rest.to_owned()),
        "time" => Command::Time(Box::new(parse_timed(rest, topology))),
        "noecho" => parse_timed(rest, topology),
        "py" | "px" => Command::Wrong("there is no Python in this shell".into()),
        "xterm" | "gterm" | "x" => {
            Command::Wrong("use `heddle exec` in another terminal in place of xterm".into())
        }
        host if topology.host(host).is_some() && !rest.is_empty() => {
            Command::Run { host: host.to_owned(), line: with_addresses(rest, host, topology) }
        }
        host if topology.host(host).is_some() => Command::Wrong(format!("what shall {host} run?")),
        _ => Command::Wrong(format!("Unknown command: {line}")),
    }
}

/// `time` and `noecho` in front of themselves mean nothing, and would nest without bound.
fn parse_timed(rest: &str, topology: &Topology) -> Command {
    match rest.split_whitespace().next() {
        Some("time" | "noecho") => Command::Wrong("time and noecho take one command".into()),
        _ => parse(rest, topology),
    }
}

/// Puts addresses in the place of other hosts' names, word by word; spacing is kept.
fn with_addresses(line: &str, host: &str, topology: &Topology) -> String {
    let replace = |word: &str| {
        let other = topology.host(word).filter(|_| word != host);
        let address = other.and_then(|h| h.address(false).or(h.address(true)));
        address.map_or_else(|| word.to_owned(), |a| a.to_string())
    };
    line.split(' ').map(replace).collect::<Vec<_>>().join(" ")
}

fn pair(topology: &Topology, words: &str) -> Result<[String; 2], String> {
    let named: Vec<&str> = words.split_whitespace().collect();
    match (named.as_slice(), topology.hosts.first(), topology.hosts.last()) {
        ([], Some(a), Some(b)) if topology.hosts.len() > 1 => Ok([a.name.clone(), b.name.clone()]),
        ([], ..) => Err("the lab has fewer than two hosts".into()),
        ([a, b], ..) => Ok([(*a).to_owned(), (*b).to_owned()]),
        _ => Err("name two hosts or none".into()),
    }
}

fn link(rest: &str) -> Command {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.as_slice() {
        [a, b, state @ ("up" | "down")] => {
            Command::Link { a: (*a).to_owned(), b: (*b).to_owned(), up: *state == "up" }
        }
        [a, "->", b, settings @ ..] if !settings.is_empty() => shape(a, b, settings, true),
        [a, b, settings @ ..] if !settings.is_empty() && *a != "->" && *b != "->" => {
            shape(a, b, settings, false)
        }
        _ => Command::Wrong("link takes two nodes, and up, down or settings such as delay=5ms".into()),
    }
}

fn shape(a: &str, b: &str, settings: &[&str], one_way: bool) -> Command {
    // What can be said of the settings without the lab is said at once.
    match Profile::default().apply(&settings.join(" ")) {
        // That others are there already may make good what is wrong alone.
        Ok(()) | Err(ProfileError::Value { key: "reorder" | "ecn", .. }) => {
            Command::Shape { a: a.to_owned(), b: b.to_owned(), settings: settings.join(" "), one_way }
        }
        Err(error) => Command::Wrong(error.to_string()),
    }
}

fn add(rest: &str) -> Result<Additions, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (named, options): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| !word.contains('='));
    let option = |key: &str| options.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let only =
        |known: &[&str]| match options.iter().find(|word| !known.iter().any(|key| word.starts_with(key))) {
            Some(unknown) => Err(format!("{unknown:?} is not known there")),
            None => Ok(()),
        };
    let links = |name: &str, others: &[&str]| others.iter().map(|other| new_link(name, other)).collect();
    match named.as_slice() {
        ["host", name, others @ ..] => {
            only(&["ip=", "mac="])?;
            let host = NewHost {
                name: (*name).to_owned(),
                ip: option("ip").map(|list| list.split(',').map(str::to_owned).collect()),
                mac: option("mac").map(str::to_owned),
                routes: vec![],
            };
            Ok(Additions { hosts: vec![host], links: links(name, others), ..Additions::default() })
        }
        ["switch", name, others @ ..] => {
            only(&["dpid="])?;
            let dpid =
                option("dpid").map(|text| datapath_id(text).ok_or(format!("dpid is a number, not {text:?}")));
            let switch =
                NewSwitch { name: (*name).to_owned(), dpid: dpid.transpose()?, ..NewSwitch::default() };
            Ok(Additions { switches: vec![switch], links: links(name, others), ..Additions::default() })
        }
        ["link", a, b] => {
            let link = NewLink { settings: options.join(" "), ..new_link(a, b) };
            Ok(Additions { links: vec![link], ..Additions::default() })
        }
        _ => Err("add takes `host NAME`, `switch NAME`, each with nodes to link it to, or `link A B`".into()),
    }
}

/// Reads a datapath id: decimal, or hexadecimal with `0x`.
#[must_use]
pub fn datapath_id(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn new_link(a: &str, b: &str) -> NewLink {
    NewLink { a: a.to_owned(), b: b.to_owned(), ..NewLink::default() }
}

fn remove(rest: &str, topology: &Topology) -> Result<Removals, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let names = match words.as_slice() {
        ["link", a, b] => {
            let links = vec![[(*a).to_owned(), (*b).to_owned()]];
            return Ok(Removals { links, ..Removals::default() });
        }
        ["host" | "switch", names @ ..] | names => names,
    };
    if names.is_empty() {
        return Err("remove takes nodes, or `link A B`".into());
    }
    let mut removals = Removals::default();
    for name in names {
        let kind = if topology.is_switch(name) { &mut removals.switches } else { &mut removals.hosts };
        kind.push((*name).to_owned());
    }
    Ok(removals)
}

/// What a change made, in words, a line each.
#[must_use]
pub fn show_changed(changed: &Changed, verb: &str) -> String {
    let mut text = String::new();
    for host in &changed.parts.hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{verb} host {} ({})", host.name, addresses.join(", "));
    }
    for switch in &changed.parts.switches {
        let _ = writeln!(text, "{verb} switch {} (datapath id {:#x})", switch.name, switch.datapath_id);
    }
    for link in &changed.parts.links {
        let _ = writeln!(text, "{verb} link {}<->{}", link.a.interface(), link.b.interface());
    }
    text
}

fn names(topology: &Topology) -> impl Iterator<Item = &str> {
    let hosts = topology.hosts.iter().map(|h| h.name.as_str());
    hosts.chain(topology.switches.iter().map(|s| s.name.as_str()))
}

fn nodes(topology: &Topology) -> String {
    format!("available nodes are: \n{}\n", names(topology).collect::<Vec<_>>().join(" "))
}

fn net(topology: &Topology) -> String {
    each(topology, |text, near, far| {
        let _ = write!(text, " {}:{}", near.interface(), far.interface());
    })
}

fn each(
    topology: &Topology,
    show: impl Fn(&mut String, &crate::topology::End, &crate::topology::End),
) -> String {
    let mut text = String::new();
    for name in names(topology) {
        text.push_str(name);
        for (near, far) in topology.ends(name) {
            show(&mut text, near, far);
        }
        text.push('\n');
    }
    text
}

/// Each link and whether its cable is in, in Mininet's words.
#[must_use]
pub fn show_links(info: &Info) -> String {
    let line = |(number, link): (usize, &crate::topology::Link)| {
        let state = if info.links_down.contains(&number) { "MISSING MISSING" } else { "OK OK" };
        format!("{}<->{} ({state}) {}\n", link.a.interface(), link.b.interface(), show_settings(link))
    };
    info.launch.topology.links.iter().enumerate().map(line).collect()
}

/// What packets meet on a link; nothing where they meet nothing.
#[must_use]
pub fn show_settings(link: &crate::topology::Link) -> String {
    match (&link.a_to_b, &link.b_to_a) {
        (forth, back) if forth.is_perfect() && back.is_perfect() => String::new(),
        (forth, back) if forth == back => forth.to_string(),
        (forth, back) => format!("forth {forth}; back {back}"),
    }
}

fn dump(topology: &Topology) -> String {
    let mut text = String::new();
    for host in &topology.hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "<Host {}: {}-eth0:{}>", host.name, host.name, addresses.join(","));
    }
    for switch in &topology.switches {
        let ports: Vec<String> = topology.ends(&switch.name).map(|(near, _)| near.interface()).collect();
        let _ =
            writeln!(text, "<Switch {}: dpid={:016x} {}>", switch.name, switch.datapath_id, ports.join(","));
    }
    text
}

fn interfaces(topology: &Topology) -> String {
    let line = |name| {
        let list: Vec<String> = topology.ends(name).map(|(near, _)| near.interface()).collect();
        format!("{name}: {}\n", list.join(","))
    };
    names(topology).map(line).collect()
}

fn ports(topology: &Topology) -> String {
    let line = |s: &crate::topology::Switch| {
        let list: String =
            topology.ends(&s.name).map(|(near, _)| format!("{}:{} ", near.interface(), near.port)).collect();
        format!("{} {list}\n", s.name)
    };
    topology.switches.iter().map(line).collect()
}

/// A lab's state in words: what it has, how its switch fares, what is dropped and why.
#[must_use]
pub fn show_info(info: &Info) -> String {
    let launch = &info.launch;
    let mut text = format!("lab {} at {}\n", launch.name, launch.run_directory.display());
    text.push_str(&net(&launch.topology));
    match info.last_outage_ms {
        Some(outage) => {
            let times = match info.switch_restarts {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            };
            let _ = writeln!(text, "switch: restarted {times}, the last time {outage} ms without forwarding");
        }
        None => text.push_str("switch: runs since the start\n"),
    }
    let Some(switch) = &info.switch else {
        text.push_str("switch: is being restarted\n");
        return text;
    };
    if switch.unconnected != 0 {
        let _ = writeln!(text, "no controller is connected to {} of the switches", switch.unconnected);
    }
    if switch.mismatches != 0 {
        let _ = writeln!(text, "{} cached answers were wrong; please report this", switch.mismatches);
    }
    for (reason, packets) in &switch.drops {
        let _ = writeln!(text, "dropped {packets}: {reason}");
    }
    text
}

/// What one host's pings came to, as Mininet shows it: `X` for who did not answer.
#[must_use]
pub fn show_pings(from: &str, results: &[Pinged]) -> String {
    let word = |p: &Pinged| if p.answered { format!("{} ", p.to) } else { "X ".to_owned() };
    format!("{from} -> {}\n", results.iter().map(word).collect::<String>())
}

/// The sum of all pings.
#[must_use]
pub fn show_ping_results(sent: usize, received: usize) -> String {
    let dropped = (sent - received) as f64 * 100.0 / sent.max(1) as f64;
    format!("*** Results: {dropped:.0}% dropped ({received}/{sent} received)\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses() {
        let t = Topology::from_spec("single,3").unwrap();
        let run = |line: &str| Command::Run { host: "h1".into(), line: line.into() };
        assert_eq!(parse("h1 ping -c1  h2", &t), run("ping -c1  10.0.0.2"));
        assert_eq!(parse("h1 echo h1 h22", &t), run("echo h1 h22"));
    }

    #[test]
    fn lines_are_understood_or_refused() {
        let t = Topology::from_spec("single,2").unwrap();
        assert_eq!(parse("  # note", &t), Command::Nothing);
        assert_eq!(parse("pingall 3", &t), Command::PingAll { timeout: 3 });
        assert_eq!(parse("link s1 h1 down", &t), Command::Link { a: "s1".into(), b: "h1".into(), up: false });
        let Command::Add(added) = parse("add host h9 s1 ip=10.0.0.9/8,fd00::9/64", &t) else {
            panic!("no addition")
        };
        assert_eq!(added.hosts[0].ip.as_ref().unwrap().len(), 2);
        assert_eq!((added.links[0].a.as_str(), added.links[0].b.as_str()), ("h9", "s1"));
        let removed = Removals { hosts: vec!["h1".into()], switches: vec!["s1".into()], links: vec![] };
        assert_eq!(parse("remove h1 s1", &t), Command::Remove(removed));
        let links = vec![["h1".into(), "s1".into()]];
        assert_eq!(
            parse("remove link h1 s1", &t),
            Command::Remove(Removals { links, ..Removals::default() })
        );
        for bad in ["add", "add bush x", "add link h1", "add switch s1 dpid=x", "add host h1 cpu=1", "remove"]
        {
            assert!(matches!(parse(bad, &t), Command::Wrong(_)), "{bad}");
        }
        assert_eq!(parse("time pingall", &t), Command::Time(Box::new(Command::PingAll { timeout: 1 })));
        for bad in ["time time time exit", "link s1 h1", "py 1", "h1", "frobnicate", "pingall x"] {
            assert!(matches!(parse(bad, &t), Command::Wrong(_) | Command::Time(_)), "{bad}");
        }
        assert_eq!(
            parse("net", &t),
            Command::Print(
                "h1 h1-eth0:s1-eth1\nh2 h2-eth0:s1-eth2\ns1 s1-eth1:h1-eth0 s1-eth2:h2-eth0\n".into()
            )
        );
    }

    #[test]
    fn results_are_counted() {
        let pinged = |answered| Pinged { from: "h1".into(), to: "h2".into(), answered };
        assert_eq!(show_pings("h1", &[pinged(true), pinged(false)]), "h1 -> h2 X \n");
        assert_eq!(show_ping_results(3, 2), "*** Results: 33% dropped (2/3 received)\n");
        assert_eq!(show_ping_results(0, 0), "*** Results: 0% dropped (0/0 received)\n");
    }
}
