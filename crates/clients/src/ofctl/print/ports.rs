//! Ports and queues in text: descriptions and counters.

use heddle_openflow::multipart::PortStats;
use heddle_openflow::port::PortMod;
use heddle_openflow::queue::{QueueDesc, QueueStats};
use heddle_openflow::{PortDesc, Version, port};
use heddle_wire::MacAddr;

use crate::ofctl::flow_text::duration;

/// A port by its number, or its name where it is a reserved one.
pub fn port_name(number: u32) -> String {
    port::name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Speeds and media of a port, from the lowest bit.
const FEATURES: [&str; 16] = [
    "10MB-HD",
    "10MB-FD",
    "100MB-HD",
    "100MB-FD",
    "1GB-HD",
    "1GB-FD",
    "10GB-FD",
    "40GB-FD",
    "100GB-FD",
    "1TB-FD",
    "OTHER",
    "COPPER",
    "FIBER",
    "AUTO_NEG",
    "AUTO_PAUSE",
    "AUTO_PAUSE_ASYM",
];
/// Configuration bits of a port, from the lowest.
const CONFIG: [&str; 7] =
    ["PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN"];
/// What a spanning tree does with a port, by number.
const STP: [&str; 4] = ["STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK"];

/// Names of the bits that are set, and what has no name in hexadecimal; zero for none.
pub fn names(bits: u32, names: &[&str], separator: &str) -> String {
    let named = |bit: usize| bits >> bit & 1 != 0 && names.get(bit).is_some_and(|name| !name.is_empty());
    let mut words: Vec<String> = (0..32).filter(|bit| named(*bit)).map(|bit| names[bit].to_owned()).collect();
    let rest =
        (0..32).filter(|bit| bits >> bit & 1 != 0 && !named(*bit)).fold(0u32, |all, bit| all | 1 << bit);
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    if words.is_empty() { "0".into() } else { words.join(separator) }
}

fn state(state: u32, version: Version) -> String {
    if version != Version::V1_0 {
        return names(state, &["LINK_DOWN", "BLOCKED", "LIVE"], " ");
    }
    // A port that listens says nothing of it: so does one without a spanning tree.
    match (state & 1 != 0, state >> 8 & 3) {
        (true, 0) => "LINK_DOWN".to_owned(),
        (false, 0) => "0".to_owned(),
        (down, stp) => format!("{}{}", STP[stp as usize], if down { "LINK_DOWN" } else { "" }),
    }
}

/// A port's description.
pub fn port(port: &PortDesc, version: Version) -> String {
    // A name ends where no letter follows.
    let name: String = port.name.chars().take_while(|letter| (' '..='~').contains(letter)).collect();
    let mut out = format!(
        " {}({}): addr:{}\n     config:     {}\n     state:      {}\n",
        port_name(port.number),
        name,
        MacAddr(port.mac),
        names(port.config, &CONFIG, " "),
        state(port.state, version)
    );
    for (title, features) in [
        ("current:    ", port.current),
        ("advertised: ", port.advertised),
        ("supported:  ", port.supported),
        ("peer:       ", port.peer),
    ] {
        if features != 0 {
            out += &format!("     {title}{}\n", names(features, &FEATURES, " "));
        }
    }
    let mbps = |kbps: u32| kbps / 1000;
    out + &format!("     speed: {} Mbps now, {} Mbps max\n", mbps(port.speed_kbps), mbps(port.max_speed_kbps))
}

/// Descriptions of ports, by number.
pub fn ports(list: &[PortDesc], version: Version) -> String {
    let mut sorted: Vec<&PortDesc> = list.iter().collect();
    sorted.sort_by_key(|port| port.number);
    sorted.into_iter().map(|one| port(one, version)).collect()
}

/// A counter; one that the switch does not keep is all ones.
fn counter(value: u64) -> String {
    if value == u64::MAX { "?".into() } else { value.to_string() }
}

/// Counters of ports.
pub fn port_statistics(list: &[PortStats]) -> String {
    let mut out = format!(" {} ports\n", list.len());
    for stats in list {
        let count = |index: usize| counter(stats.counters[index]);
        let name = port::name(stats.number).map_or_else(|| format!("{:2}", stats.number), str::to_owned);
        out += &format!(
            "  port {name}: rx pkts={}, bytes={}, drop={}, errs={}, frame={}, over={}, crc={}\n           tx pkts={}, bytes={}, drop={}, errs={}, coll={}\n",
            count(0),
            count(2),
            count(4),
            count(6),
            count(8),
            count(9),
            count(10),
            count(1),
            count(3),
            count(5),
            count(7),
            count(11)
        );
        if let Some(since) = stats.duration {
            out += &format!("           duration={}s\n", duration(since));
        }
    }
    out
}

/// Counters of queues.
pub fn queue_statistics(list: &[QueueStats]) -> String {
    let mut out = format!(" {} queues\n", list.len());
    for stats in list {
        let since = stats.duration.map_or_else(|| "?".into(), |since| format!("{}s", duration(since)));
        out += &format!(
            "  port {} queue {}: bytes={}, pkts={}, errors={}, duration={since}\n",
            port_name(stats.port),
            stats.queue,
            counter(stats.bytes),
            counter(stats.packets),
            counter(stats.errors)
        );
    }
    out
}

/// A queue's rates, in tenths of a percent; above a thousand there is none.
fn rates(queue: &QueueDesc) -> String {
    let rate = |name: &str, rate: Option<u16>| match rate {
        Some(rate @ 0..=1000) => format!(" {name}:{}.{}%", rate / 10, rate % 10),
        None | Some(u16::MAX) => String::new(),
        Some(_) => format!(" {name}:(disabled)"),
    };
    rate("min_rate", queue.min_rate) + &rate("max_rate", queue.max_rate)
}

/// Queues of any port, by port and number.
pub fn queue_descriptions(list: &[QueueDesc]) -> String {
    let mut sorted: Vec<&QueueDesc> = list.iter().collect();
    sorted.sort_by_key(|queue| (queue.port, queue.queue));
    let (mut out, mut last) = (String::from(" "), None);
    for queue in sorted {
        if last != Some(queue.port) {
            last = Some(queue.port);
            out += &format!("port={}\n", port_name(queue.port));
        }
        out += &format!("queue {}:{}\n", queue.queue, rates(queue));
    }
    out
}

/// The queues of a port.
pub fn queues(number: u32, list: &[QueueDesc]) -> String {
    let mut sorted: Vec<&QueueDesc> = list.iter().collect();
    sorted.sort_by_key(|queue| queue.queue);
    let lines = sorted.iter().map(|queue| format!("queue {}:{}\n", queue.queue, rates(queue)));
    format!(" port={}\n{}", port_name(number), lines.collect::<String>())
}

/// A change of a port.
pub fn change(port: &PortMod) -> String {
    let advertise = match port.advertise {
        0 => "UNCHANGED".into(),
        features => names(features, &FEATURES, " "),
    };
    format!(
        " port: {}: addr:{}\n     config: {}\n     mask:   {}\n     advertise: {advertise}\n",
        port_name(port.number),
        MacAddr(port.mac),
        names(port.config, &CONFIG, " "),
        names(port.mask, &CONFIG, " ")
    )
}
