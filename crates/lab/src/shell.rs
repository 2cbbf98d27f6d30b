//! The lab's interactive language: a line of text becomes a [`Command`], a topology becomes what is printed.
//!
//! Pure, so that a test reads like a session and the same words serve a terminal, a script and a pipe. Words and
//! output shapes are Mininet's where Mininet has them, because people's fingers and scripts know them. Who runs a
//! command, and what becomes of its result, is the caller's business. A line is bounded by [`MAX_LINE`], and
//! nothing in it makes the parser call itself more than once.

use crate::topology::{End, Host, Topology};
use std::fmt::Write;

/// Longest line that is taken, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// Every command with its usage and meaning; `help` and completion are driven by it.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("dpctl", "dpctl COMMAND [ARGUMENT..]", "run ovs-ofctl COMMAND on every switch"),
    ("dump", "dump", "show every node with its addresses"),
    ("exit", "exit", "leave the shell; quit and the end of input do the same"),
    ("help", "help [COMMAND]", "show what there is"),
    ("intfs", "intfs", "list interfaces"),
    ("iperf", "iperf [HOST HOST]", "measure TCP between two hosts, by default the first and the last"),
    ("link", "link NODE NODE up|down", "cut a link, or mend it"),
    ("links", "links", "list links"),
    ("net", "net", "show who is joined to whom"),
    ("nodes", "nodes", "list nodes"),
    ("noecho", "noecho HOST COMMAND", "run a command in a host without showing what is typed"),
    ("pingall", "pingall [-6]", "ping between all pairs of hosts"),
    ("pingpair", "pingpair [-6]", "ping between the first two hosts, both ways"),
    ("ports", "ports", "list the switches' port numbers"),
    ("quit", "quit", "leave the shell"),
    ("sh", "sh COMMAND", "run a command on the machine itself"),
    ("source", "source FILE", "run the commands of a file"),
    ("time", "time COMMAND", "run a command and say how long it took"),
];

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `dpctl`: the arguments for `ovs-ofctl`, to which the switch's name is added after the first.
    Dpctl(Vec<String>),
    /// `dump`.
    Dump,
    /// `exit`, `quit`, or the end of input.
    Exit,
    /// `help`, perhaps on one command.
    Help(Option<String>),
    /// `intfs`.
    Intfs,
    /// `iperf` between two hosts.
    Iperf {
        /// The client.
        from: String,
        /// The server.
        to: String,
    },
    /// `link`.
    Link {
        /// One end.
        a: String,
        /// The other.
        b: String,
        /// Mend rather than cut.
        up: bool,
    },
    /// `links`.
    Links,
    /// `net`.
    Net,
    /// `nodes`.
    Nodes,
    /// An empty line or a comment.
    Nothing,
    /// `pingall`.
    PingAll {
        /// Over IPv6.
        ipv6: bool,
    },
    /// `pingpair`.
    PingPair {
        /// Over IPv6.
        ipv6: bool,
    },
    /// `ports`.
    Ports,
    /// `HOST COMMAND`: a line for the host's shell, names of other hosts replaced by their addresses.
    Run {
        /// The host.
        host: String,
        /// The line.
        line: String,
        /// Whether typed keys are shown.
        echo: bool,
    },
    /// `sh`: a line for the machine's shell.
    Sh(String),
    /// `source`.
    Source(String),
    /// `time`; never holds another `Time`.
    Time(Box<Command>),
}

/// A line that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// Longer than [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes")]
    Long,
    /// Neither a command nor a host.
    #[error("*** Unknown command: {0}")]
    Unknown(String),
    /// A node that the lab does not have.
    #[error("the lab has no {kind} {name}; 'nodes' lists what it has")]
    NoSuch {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The topology has no such link.
    #[error("no link joins {0} and {1}; 'links' lists them")]
    NoLink(String, String),
    /// Fewer hosts than the command needs.
    #[error("{0} needs two hosts in the lab")]
    TooFewHosts(&'static str),
    /// A switch has no programs of its own.
    #[error("{0} is a switch and runs no commands; 'dpctl' or 'sh ovs-ofctl' talk to it")]
    Switch(String),
    /// Wrong arguments; holds the usage.
    #[error("usage: {0}")]
    Usage(&'static str),
}

/// Reads one line. `None` as the line is the end of input.
///
/// # Errors
/// When the line is no command, or names what the topology does not have.
pub fn parse(line: Option<&str>, topology: &Topology) -> Result<Command, ShellError> {
    let Some(line) = line else { return Ok(Command::Exit) };
    if line.len() > MAX_LINE {
        return Err(ShellError::Long);
    }
    let (word, rest) = first_word(line);
    if word != "time" {
        return plain(word, rest, topology);
    }
    let (word, rest) = first_word(rest);
    if word.is_empty() || word == "time" || word.starts_with('#') {
        return Err(usage("time"));
    }
    plain(word, rest, topology).map(|command| Command::Time(Box::new(command)))
}

fn plain(word: &str, rest: &str, topology: &Topology) -> Result<Command, ShellError> {
    if word.is_empty() || word.starts_with('#') {
        return Ok(Command::Nothing);
    }
    let arguments: Vec<&str> = rest.split_whitespace().take_while(|w| !w.starts_with('#')).collect();
    let alone = |command| if arguments.is_empty() { Ok(command) } else { Err(usage(word)) };
    match word {
        "dpctl" if arguments.is_empty() => Err(usage(word)),
        "dpctl" => Ok(Command::Dpctl(rest.split_whitespace().map(str::to_owned).collect())),
        "dump" => alone(Command::Dump),
        "EOF" | "exit" | "quit" => alone(Command::Exit),
        "help" | "?" => help_on(&arguments),
        "intfs" => alone(Command::Intfs),
        "iperf" => iperf(&arguments, topology),
        "link" => link(&arguments, topology),
        "links" => alone(Command::Links),
        "net" => alone(Command::Net),
        "nodes" => alone(Command::Nodes),
        "noecho" => {
            let (host, line) = first_word(rest);
            run(host, line, false, topology)
        }
        "pingall" => version(word, &arguments).map(|ipv6| Command::PingAll { ipv6 }),
        "pingpair" if topology.hosts.len() < 2 => Err(ShellError::TooFewHosts("pingpair")),
        "pingpair" => version(word, &arguments).map(|ipv6| Command::PingPair { ipv6 }),
        "ports" => alone(Command::Ports),
        "sh" if rest.is_empty() => Err(usage(word)),
        "sh" => Ok(Command::Sh(rest.to_owned())),
        "source" if rest.is_empty() => Err(usage(word)),
        "source" => Ok(Command::Source(rest.to_owned())),
        _ if topology.is_switch(word) => Err(ShellError::Switch(word.to_owned())),
        _ if topology.host(word).is_some() => run(word, rest, true, topology),
        _ => Err(ShellError::Unknown(word.to_owned())),
    }
}

fn help_on(arguments: &[&str]) -> Result<Command, ShellError> {
    match arguments {
        [] => Ok(Command::Help(None)),
        [one] if COMMANDS.iter().any(|(name, ..)| name == one) => Ok(Command::Help(Some((*one).to_owned()))),
        [one] => Err(ShellError::Unknown((*one).to_owned())),
        _ => Err(usage("help")),
    }
}

fn version(command: &str, arguments: &[&str]) -> Result<bool, ShellError> {
    match arguments {
        [] | ["-4"] => Ok(false),
        ["-6"] => Ok(true),
        _ => Err(usage(command)),
    }
}

fn iperf(arguments: &[&str], topology: &Topology) -> Result<Command, ShellError> {
    let (from, to) = match (arguments, topology.hosts.as_slice()) {
        ([], [first, .., last]) => (first.name.as_str(), last.name.as_str()),
        ([], _) => return Err(ShellError::TooFewHosts("iperf")),
        ([from, to], _) if from != to => (*from, *to),
        _ => return Err(usage("iperf")),
    };
    Ok(Command::Iperf { from: host(from, topology)?.name.clone(), to: host(to, topology)?.name.clone() })
}

fn link(arguments: &[&str], topology: &Topology) -> Result<Command, ShellError> {
    let (a, b, up) = match arguments {
        [a, b, "up"] => (*a, *b, true),
        [a, b, "down"] => (*a, *b, false),
        _ => return Err(usage("link")),
    };
    for node in [a, b] {
        if topology.host(node).is_none() && !topology.is_switch(node) {
            return Err(ShellError::NoSuch { kind: "node", name: node.to_owned() });
        }
    }
    if !topology.ends(a).any(|(_, far)| far.node == b) {
        return Err(ShellError::NoLink(a.to_owned(), b.to_owned()));
    }
    Ok(Command::Link { a: a.to_owned(), b: b.to_owned(), up })
}

fn run(name: &str, line: &str, echo: bool, topology: &Topology) -> Result<Command, ShellError> {
    if name.is_empty() {
        return Err(usage("noecho"));
    }
    let host = host(name, topology)?;
    if line.is_empty() {
        return Err(ShellError::Usage("HOST COMMAND"));
    }
    Ok(Command::Run { host: host.name.clone(), line: with_addresses(line, topology), echo })
}

fn host<'a>(name: &str, topology: &'a Topology) -> Result<&'a Host, ShellError> {
    topology.host(name).ok_or_else(|| ShellError::NoSuch { kind: "host", name: name.to_owned() })
}

fn usage(command: &str) -> ShellError {
    let found = COMMANDS.iter().find(|(name, ..)| *name == command);
    ShellError::Usage(found.map_or("help", |(_, usage, _)| *usage))
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Replaces each word that is a host's name by its address: the IPv6 one where the command says `-6` or `ping6`.
#[must_use]
pub fn with_addresses(line: &str, topology: &Topology) -> String {
    let ipv6 = line.split_whitespace().any(|w| matches!(w, "-6" | "ping6" | "traceroute6"));
    let mut out = String::with_capacity(line.len());
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        match topology.host(word).and_then(|h| h.address(ipv6)) {
            Some(address) => {
                out.push_str(&address.to_string());
                out.push_str(&piece[word.len()..]);
            }
            None => out.push_str(piece),
        }
    }
    out
}

/// The answer to `help`.
#[must_use]
pub fn help(command: Option<&str>) -> String {
    let mut out = String::new();
    for (_, usage, meaning) in COMMANDS.iter().filter(|(name, ..)| command.is_none_or(|c| c == *name)) {
        line(&mut out, format_args!("{usage:<28} {meaning}"));
    }
    if command.is_none() {
        line(&mut out, format_args!("{:<28} run a command in a host: h1 ping -c1 h2", "HOST COMMAND"));
    }
    out
}

/// The answer to `nodes`.
#[must_use]
pub fn nodes(topology: &Topology) -> String {
    let names: Vec<&str> = names(topology).collect();
    format!("available nodes are: \n{}\n", names.join(" "))
}

/// The answer to `net`: each node with its interfaces and what each is joined to.
#[must_use]
pub fn net(topology: &Topology) -> String {
    each(topology, |node| {
        node.iter().map(|(near, far)| format!(" {}:{}", near.interface(), far.interface())).collect()
    })
}

/// The answer to `intfs`.
#[must_use]
pub fn intfs(topology: &Topology) -> String {
    each(topology, |node| {
        let names: Vec<String> = node.iter().map(|(near, _)| near.interface()).collect();
        format!(": {}", names.join(","))
    })
}

/// The answer to `ports`: the switches' interfaces with their OpenFlow port numbers.
#[must_use]
pub fn ports(topology: &Topology) -> String {
    let ends = ends(topology);
    let mut out = String::new();
    for switch in &topology.switches {
        let of = ends.get(switch.name.as_str()).into_iter().flatten();
        let list: String = of.map(|(near, _)| format!("{}:{} ", near.interface(), near.port)).collect();
        line(&mut out, format_args!("{} {list}", switch.name));
    }
    out
}

/// The answer to `links`; `up` says whether a link is.
#[must_use]
pub fn links(topology: &Topology, up: impl Fn(&End, &End) -> bool) -> String {
    let mut out = String::new();
    for link in &topology.links {
        let state = if up(&link.a, &link.b) { "(OK OK)" } else { "(DOWN DOWN)" };
        line(&mut out, format_args!("{}<->{} {state} ", link.a.interface(), link.b.interface()));
    }
    out
}

/// The answer to `dump`. Hosts are held without a process, so no process id is shown.
#[must_use]
pub fn dump(topology: &Topology) -> String {
    let ends = ends(topology);
    let mut out = String::new();
    for host in &topology.hosts {
        let first = ends.get(host.name.as_str()).and_then(|e| e.first());
        let interface = first.map_or_else(String::new, |(near, _)| near.interface());
        let address = host.address(false).or_else(|| host.address(true));
        let address = address.map_or_else(|| "None".to_owned(), |a| a.to_string());
        line(&mut out, format_args!("<Host {}: {interface}:{address}> ", host.name));
    }
    for switch in &topology.switches {
        let of = ends.get(switch.name.as_str()).into_iter().flatten();
        let list: Vec<String> = of.map(|(near, _)| format!("{}:None", near.interface())).collect();
        let id = switch.datapath_id;
        line(&mut out, format_args!("<Switch {}: {} dpid={id:016x}> ", switch.name, list.join(",")));
    }
    out
}

/// What `pingall` prints: a line for each host, then the share that was lost.
#[must_use]
pub fn ping_report<'a>(
    hosts: &[String],
    sent: usize,
    lost: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    let lost: std::collections::HashSet<(&str, &str)> = lost.collect();
    let mut out = String::from("*** Ping: testing ping reachability\n");
    for from in hosts {
        let others = hosts.iter().filter(|to| *to != from);
        let marks = others.map(|to| if lost.contains(&(from, to)) { "X" } else { to });
        line(&mut out, format_args!("{from} -> {} ", marks.collect::<Vec<_>>().join(" ")));
    }
    let dropped = lost.len().min(sent);
    match (100 * dropped).checked_div(sent) {
        Some(share) => {
            let received = sent - dropped;
            line(&mut out, format_args!("*** Results: {share}% dropped ({received}/{sent} received)"));
        }
        None => line(&mut out, format_args!("*** Warning: No packets sent")),
    }
    out
}

/// What `iperf` prints, from the rates at the server and the client in bits per second.
#[must_use]
pub fn iperf_report(from: &str, to: &str, server: f64, client: f64) -> String {
    let (server, client) = (rate(server), rate(client));
    format!(
        "*** Iperf: testing TCP bandwidth between {from} and {to}\n*** Results: ['{server}', '{client}']\n"
    )
}

/// A rate with three digits and the unit that fits.
#[must_use]
pub fn rate(bits_per_second: f64) -> String {
    let units = ["bits/sec", "Kbits/sec", "Mbits/sec", "Gbits/sec", "Tbits/sec"];
    let mut value = bits_per_second.max(0.0);
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.digits$} {}", units[unit])
}

/// Both ends of each link, found by node: one pass, because a lab may have thousands of both.
fn ends(topology: &Topology) -> std::collections::HashMap<&str, Vec<(&End, &End)>> {
    let mut found: std::collections::HashMap<&str, Vec<(&End, &End)>> = Default::default();
    for link in &topology.links {
        found.entry(&link.a.node).or_default().push((&link.a, &link.b));
        found.entry(&link.b.node).or_default().push((&link.b, &link.a));
    }
    for of in found.values_mut() {
        of.sort_by_key(|(near, _)| near.port);
    }
    found
}

fn names(topology: &Topology) -> impl Iterator<Item = &str> {
    let hosts = topology.hosts.iter().map(|h| h.name.as_str());
    hosts.chain(topology.switches.iter().map(|s| s.name.as_str()))
}

fn each(topology: &Topology, show: impl Fn(&[(&End, &End)]) -> String) -> String {
    let ends = ends(topology);
    let mut out = String::new();
    for name in names(topology) {
        let of = ends.get(name).map_or(&[][..], Vec::as_slice);
        line(&mut out, format_args!("{name}{}", show(of)));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> Topology {
        Topology::from_spec("linear,2").unwrap()
    }

    fn read(text: &str) -> Result<Command, ShellError> {
        parse(Some(text), &lab())
    }

    #[test]
    fn a_session_is_read() {
        assert_eq!(read("  nodes ").unwrap(), Command::Nodes);
        assert_eq!(read("# remark").unwrap(), Command::Nothing);
        assert_eq!(read("pingall -6 # again").unwrap(), Command::PingAll { ipv6: true });
        assert_eq!(read("iperf").unwrap(), Command::Iperf { from: "h1".into(), to: "h2".into() });
        assert_eq!(read("time pingall").unwrap(), Command::Time(Box::new(Command::PingAll { ipv6: false })));
        assert_eq!(read("sh echo h1 # x").unwrap(), Command::Sh("echo h1 # x".into()));
        assert_eq!(read("dpctl dump-flows").unwrap(), Command::Dpctl(vec!["dump-flows".into()]));
        assert_eq!(
            read("link s1 s2 down").unwrap(),
            Command::Link { a: "s1".into(), b: "s2".into(), up: false }
        );
        assert_eq!(parse(None, &lab()).unwrap(), Command::Exit);
    }

    #[test]
    fn names_in_a_hosts_command_become_addresses() {
        let run = |text: &str, echo: bool| match read(text).unwrap() {
            Command::Run { host, line, echo: found } => {
                assert_eq!((host.as_str(), found), ("h1", echo));
                line
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(run("h1 ping  -c1\th2", true), "ping  -c1\t10.0.0.2");
        assert_eq!(run("h1 ping -6 h2", true), "ping -6 fd00::2");
        assert_eq!(run("noecho h1 echo h22 xh2", false), "echo h22 xh2");
    }

    #[test]
    fn errors_say_what_is_meant() {
        assert_eq!(read("bogus x").unwrap_err().to_string(), "*** Unknown command: bogus");
        assert!(matches!(read("s1 ls"), Err(ShellError::Switch(_))));
        assert!(matches!(read("h1"), Err(ShellError::Usage(_))));
        assert!(matches!(read("time time pingall"), Err(ShellError::Usage(_))));
        assert!(matches!(read("link h1 h2 up"), Err(ShellError::NoLink(..))));
        assert!(matches!(read("iperf h1 h9"), Err(ShellError::NoSuch { .. })));
        assert!(matches!(read("link s1 s2 sideways"), Err(ShellError::Usage(_))));
        assert_eq!(read(&"x".repeat(MAX_LINE + 1)), Err(ShellError::Long));
    }

    #[test]
    fn answers_have_the_known_shapes() {
        let lab = lab();
        assert_eq!(nodes(&lab), "available nodes are: \nh1 h2 s1 s2\n");
        assert_eq!(
            net(&lab),
            "h1 h1-eth0:s1-eth1\nh2 h2-eth0:s2-eth1\ns1 s1-eth1:h1-eth0 s1-eth2:s2-eth2\n\
             s2 s2-eth1:h2-eth0 s2-eth2:s1-eth2\n"
        );
        assert_eq!(ports(&lab), "s1 s1-eth1:1 s1-eth2:2 \ns2 s2-eth1:1 s2-eth2:2 \n");
        assert_eq!(intfs(&lab), "h1: h1-eth0\nh2: h2-eth0\ns1: s1-eth1,s1-eth2\ns2: s2-eth1,s2-eth2\n");
        assert!(links(&lab, |_, _| true).starts_with("h1-eth0<->s1-eth1 (OK OK) \n"));
        assert!(dump(&lab).starts_with("<Host h1: h1-eth0:10.0.0.1> \n"));
    }

    #[test]
    fn reports_have_the_known_shapes() {
        let hosts = ["h1", "h2", "h3"].map(String::from);
        let text = ping_report(&hosts, 6, [("h1", "h3")].into_iter());
        assert!(text.contains("h1 -> h2 X \n"), "{text}");
        assert!(text.ends_with("*** Results: 16% dropped (5/6 received)\n"), "{text}");
        assert!(ping_report(&hosts[..1], 0, std::iter::empty()).contains("No packets sent"));
        assert!(iperf_report("h1", "h2", 8.3e9, 8.31e9).contains("['8.30 Gbits/sec', '8.31 Gbits/sec']"));
        assert_eq!(rate(999.0), "999 bits/sec");
    }

    #[test]
    fn every_listed_command_is_read() {
        for (name, ..) in COMMANDS {
            assert!(!matches!(read(name), Err(ShellError::Unknown(_))), "{name}");
        }
    }
}
