//! The words after `--topo`: generated topologies.

use super::{
    MAX_HOSTS, SpanningTree, Switch, Topology, TopologyError, WantedLink, assemble, check_counts,
    default_host, fail,
};

/// Switches from the root of a spanning tree to the farthest. What is known of the root ages by one at each, and is
/// forgotten at 40 (802.1D-2004 table 17-1); near that a tree takes long to settle.
const DEEPEST: usize = 30;
/// The farthest switch of a ring is on its other side.
const LONGEST_RING: usize = 2 * DEEPEST;

pub(super) fn parse(text: &str) -> Result<Topology, TopologyError> {
    let mut words = text.split(',');
    let kind = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    match kind {
        "minimal" => numbers(kind, &words, &[]).and_then(|_| single(2, false)),
        "single" => single(numbers(kind, &words, &[("k", 2)])?[0], false),
        "reversed" => single(numbers(kind, &words, &[("k", 2)])?[0], true),
        "linear" => {
            let n = numbers(kind, &words, &[("k", 2), ("n", 1)])?;
            linear(n[0], n[1])
        }
        "tree" => {
            let n = numbers(kind, &words, &[("depth", 1), ("fanout", 2)])?;
            tree(n[0], n[1])
        }
        "ring" => {
            let n = numbers(kind, &words, &[("k", 3), ("n", 1)])?;
            ring(n[0], n[1])
        }
        "torus" => {
            let n = numbers(kind, &words, &[("x", 3), ("y", 3), ("n", 1)])?;
            torus(n[0], n[1], n[2])
        }
        _ => fail(format!(
            "{text:?} is neither a file nor one of minimal, single,N, reversed,N, linear,K[,N], \
             tree,depth=D,fanout=F, ring,K[,N], torus,X,Y[,N]"
        )),
    }
}

/// Values by position or by key, with the usual ones for those not given.
fn numbers(kind: &str, words: &[&str], keys: &[(&str, usize)]) -> Result<Vec<usize>, TopologyError> {
    let mut values: Vec<usize> = keys.iter().map(|(_, value)| *value).collect();
    for (position, word) in words.iter().enumerate() {
        let (at, text) = match word.split_once('=') {
            Some((key, text)) => (keys.iter().position(|(k, _)| *k == key), text),
            None => (Some(position).filter(|p| *p < keys.len()), *word),
        };
        let Some(at) = at else {
            return fail(format!("the topology {kind} has no parameter {word:?}"));
        };
        match text.parse() {
            Ok(number) if number > 0 => values[at] = number,
            _ => return fail(format!("the topology {kind} needs a number from 1 in place of {text:?}")),
        }
    }
    Ok(values)
}

fn single(hosts: usize, reversed: bool) -> Result<Topology, TopologyError> {
    check_counts(hosts, 1, hosts)?;
    let names: Vec<String> = (1..=hosts).map(|n| format!("h{n}")).collect();
    let links = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let mut link = WantedLink::new(name.as_str(), "s1");
            link.ports[1] = reversed.then_some((hosts - i) as u32);
            link
        })
        .collect();
    build(names, 1, links)
}

fn linear(switches: usize, each: usize) -> Result<Topology, TopologyError> {
    let (hosts, links) = row(switches, each)?;
    build(hosts, switches, links)
}

/// A row whose last switch is joined to the first.
fn ring(switches: usize, each: usize) -> Result<Topology, TopologyError> {
    if !(3..=LONGEST_RING).contains(&switches) {
        return fail(format!(
            "a ring has 3 to {LONGEST_RING} switches and not {switches}: a spanning tree is no deeper than {DEEPEST}"
        ));
    }
    let (hosts, mut links) = row(switches, each)?;
    links.push(WantedLink::new("s1", format!("s{switches}")));
    build(hosts, switches, links).map(with_tree)
}

/// Rows and columns of switches, each of them a ring; names, numbers and links as Mininet has them.
fn torus(rows: usize, columns: usize, each: usize) -> Result<Topology, TopologyError> {
    if rows < 3 || columns < 3 {
        return fail(format!("a torus has 3 rows and 3 columns at least, and not {rows} and {columns}"));
    }
    if rows / 2 + columns / 2 > DEEPEST || rows.max(columns) > 255 {
        return fail(format!(
            "a torus of {rows} by {columns} is too large: a spanning tree is no deeper than {DEEPEST}"
        ));
    }
    let switches = rows.saturating_mul(columns);
    check_counts(switches.saturating_mul(each), switches, switches.saturating_mul(each.saturating_add(2)))?;
    let place = |row: usize, column: usize| format!("{}x{}", row % rows + 1, column % columns + 1);
    let places: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).collect();
    let (mut hosts, mut made, mut links) = (vec![], vec![], vec![]);
    for &(row, column) in &places {
        let place = place(row, column);
        let datapath_id = ((row + 1) << 8 | (column + 1)) as u64;
        made.push(switch(format!("s{place}"), datapath_id));
        for number in 1..=each {
            let host = if each == 1 { format!("h{place}") } else { format!("h{place}x{number}") };
            links.push(WantedLink::new(host.as_str(), format!("s{place}")));
            hosts.push(host);
        }
    }
    for (row, column) in places {
        for next in [place(row, column + 1), place(row + 1, column)] {
            links.push(WantedLink::new(format!("s{}", place(row, column)), format!("s{next}")));
        }
    }
    join(hosts, made, links).map(with_tree)
}

/// What has rings needs a spanning tree.
fn with_tree(topology: Topology) -> Topology {
    Topology { spanning_tree: Some(SpanningTree::Rstp), ..topology }
}

/// Names of hosts, and links, of switches in a row.
fn row(switches: usize, each: usize) -> Result<(Vec<String>, Vec<WantedLink>), TopologyError> {
    check_counts(switches.saturating_mul(each), switches, 0)?;
    let name = |s: usize, h: usize| if each == 1 { format!("h{s}") } else { format!("h{h}s{s}") };
    let mut links = vec![];
    for s in 1..=switches {
        links.extend((1..=each).map(|h| WantedLink::new(name(s, h), format!("s{s}"))));
        if s > 1 {
            links.push(WantedLink::new(format!("s{s}"), format!("s{}", s - 1)));
        }
    }
    // Addresses are given in the natural order of the names: h1s1, h1s2, .. before h2s1.
    let hosts =
        (1..=each).flat_map(|h| (1..=switches).map(move |s| (s, h))).map(|(s, h)| name(s, h)).collect();
    Ok((hosts, links))
}

fn tree(depth: usize, fanout: usize) -> Result<Topology, TopologyError> {
    let power = |exponent: usize| fanout.checked_pow(exponent.min(64) as u32).unwrap_or(usize::MAX);
    if depth > 16 || power(depth) > MAX_HOSTS {
        return check_counts(power(depth), 0, 0)
            .and_then(|()| fail(format!("a tree of depth {depth} is too deep")));
    }
    let mut grown = Tree::default();
    grown.grow(depth, fanout);
    build((1..=grown.hosts).map(|n| format!("h{n}")).collect(), grown.switches, grown.links)
}

#[derive(Default)]
struct Tree {
    hosts: usize,
    switches: usize,
    links: Vec<WantedLink>,
}

impl Tree {
    /// Grows a subtree and returns the name of its root; depth-first, as the numbering wants.
    fn grow(&mut self, depth: usize, fanout: usize) -> String {
        if depth == 0 {
            self.hosts += 1;
            return format!("h{}", self.hosts);
        }
        self.switches += 1;
        let root = format!("s{}", self.switches);
        for _ in 0..fanout {
            let child = self.grow(depth - 1, fanout);
            self.links.push(WantedLink::new(root.as_str(), child));
        }
        root
    }
}

/// Hosts of these names and so many switches, numbered from 1.
fn build(hosts: Vec<String>, switches: usize, links: Vec<WantedLink>) -> Result<Topology, TopologyError> {
    join(hosts, (1..=switches).map(|n| switch(format!("s{n}"), n as u64)).collect(), links)
}

/// Hosts of these names, each with what is usual, and switches.
fn join(
    hosts: Vec<String>,
    switches: Vec<Switch>,
    links: Vec<WantedLink>,
) -> Result<Topology, TopologyError> {
    let hosts = hosts.into_iter().enumerate().map(|(i, name)| default_host(name, i + 1)).collect();
    assemble(None, hosts, switches, links)
}

fn switch(name: String, datapath_id: u64) -> Switch {
    Switch { name, datapath_id, fail_mode: None, protocols: vec![] }
}
