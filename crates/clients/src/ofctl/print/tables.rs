//! Tables of a switch in text: what they can do, their counters and configuration.

use std::fmt::Write;

use heddle_openflow::Version;
use heddle_openflow::multipart::{TableFeatures, TableStats};
use heddle_openflow::table::{self, Abilities, TableMod, TableStatus, config};

use super::field_names;
use super::groups::ACTIONS;
use super::ports::names;

/// Instructions in the order that they are printed, by number.
const INSTRUCTIONS: [(u32, &str); 6] = [
    (6, "meter"),
    (4, "apply_actions"),
    (5, "clear_actions"),
    (3, "write_actions"),
    (2, "write_metadata"),
    (1, "goto_table"),
];
/// Bits of OpenFlow 1.0's wildcards, in the order that fields are printed.
const WILDCARDS_10: [(u64, &str); 12] = [
    (1, "in_port"),
    (1 << 2, "eth_src"),
    (1 << 3, "eth_dst"),
    (1 << 4, "eth_type"),
    (1 << 1, "vlan_vid"),
    (1 << 20, "vlan_pcp"),
    (0x3f << 8, "ip_src"),
    (0x3f << 14, "ip_dst"),
    (1 << 5, "nw_proto"),
    (1 << 21, "nw_tos"),
    (1 << 6, "tcp_src"),
    (1 << 7, "tcp_dst"),
];
/// Bits of OpenFlow 1.1's wildcards.
const WILDCARDS_11: [(u64, &str); 10] = [
    (1, "in_port"),
    (1 << 3, "eth_type"),
    (1 << 1, "vlan_vid"),
    (1 << 2, "vlan_pcp"),
    (1 << 8, "mpls_label"),
    (1 << 9, "mpls_tc"),
    (1 << 5, "nw_proto"),
    (1 << 4, "nw_tos"),
    (1 << 6, "tcp_src"),
    (1 << 7, "tcp_dst"),
];

/// What flows may do with actions.
#[derive(Clone, Default, PartialEq)]
struct Actions {
    kinds: u32,
    fields: Vec<&'static str>,
}

/// What flows may do.
#[derive(Clone, Default, PartialEq)]
struct Instructions {
    next: Vec<u8>,
    kinds: u32,
    write: Actions,
    apply: Actions,
}

impl Instructions {
    /// Whether two tables say the same; the tables that flows may go on in are those behind each.
    fn same(&self, table: u8, other: &Self, other_table: u8) -> bool {
        let beyond =
            |list: &[u8], table: u8| list.iter().map(|next| next.wrapping_sub(table)).collect::<Vec<_>>();
        let last = |list: &[u8]| list.last().copied();
        let next = self.next == other.next
            || (last(&self.next) == last(&other.next)
                && beyond(&self.next, table).first() == beyond(&other.next, other_table).first()
                && is_range(&self.next)
                && is_range(&other.next));
        next && self.kinds == other.kinds && self.write == other.write && self.apply == other.apply
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_range(list: &[u8]) -> bool {
    list.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// What a table can do.
#[derive(Clone, Default, PartialEq)]
struct Can {
    metadata: (u64, u64),
    miss: Option<&'static str>,
    eviction: Option<bool>,
    vacancy: Option<bool>,
    max_entries: u32,
    usual: Instructions,
    miss_flow: Instructions,
    arbitrary: Vec<&'static str>,
    whole: Vec<&'static str>,
    must: Vec<&'static str>,
}

impl Can {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of_abilities(can: &Abilities, version: Version) -> Self {
        let bits = |table: &[(u64, &'static str)]| {
            table.iter().filter(|(bit, _)| can.wildcards & bit != 0).map(|row| row.1).collect()
        };
        let mut out = Self { max_entries: can.max_entries, ..Self::default() };
        if version == Version::V1_0 {
            out.whole = bits(&WILDCARDS_10);
            return out;
        }
        out.miss = config::MISS_NAMES.get((can.config & config::MISS_MASK) as usize).copied();
        let (mut write, mut apply) = (
            Actions { kinds: can.write_actions, ..Actions::default() },
            Actions { kinds: can.apply_actions, ..Actions::default() },
        );
        if version == Version::V1_1 {
            out.whole = bits(&WILDCARDS_11);
        } else {
            out.metadata = can.metadata;
            write.fields = field_names::of_bits(can.write_fields);
            apply.fields = field_names::of_bits(can.apply_fields);
            out.whole = field_names::of_bits(can.matching & can.wildcards);
            out.must = field_names::of_bits(can.matching & !can.wildcards);
        }
        let usual = Instructions { next: Vec::new(), kinds: can.instructions, write, apply };
        (out.usual, out.miss_flow) = (usual.clone(), usual);
        out
    }

    fn of_features(table: &TableFeatures, version: Version) -> Self {
        let property = |number: u16| {
            let found = table.properties.iter().find(|(kind, _)| *kind == number);
            found.map(|(_, body)| body.as_slice())
        };
        // What is not said of the table-miss flow is as with others.
        let of = |number: u16, miss: bool| {
            property(number + u16::from(miss)).or_else(|| property(number)).unwrap_or_default()
        };
        let kinds = |body: &[u8]| {
            let mut bits = 0;
            let mut left = body;
            while let [high, low, _, length, rest @ ..] = left {
                let kind = u16::from_be_bytes([*high, *low]);
                bits |= if kind < 32 { 1u32 << kind } else { 0 };
                left = rest.get(usize::from(*length).saturating_sub(4)..).unwrap_or_default();
            }
            bits
        };
        let actions = |kinds_at: u16, fields_at: u16, miss: bool| Actions {
            kinds: kinds(of(kinds_at, miss)),
            fields: field_names::of_headers(of(fields_at, miss)),
        };
        let flows = |miss: bool| Instructions {
            next: of(2, miss).to_vec(),
            kinds: kinds(of(0, miss)),
            write: actions(4, 12, miss),
            apply: actions(6, 14, miss),
        };
        let (matching, wildcards) = (of(8, false), of(10, false));
        let may = field_names::of_headers(wildcards);
        let masked: Vec<u8> =
            matching.chunks_exact(4).filter(|header| header[2] & 1 != 0).flatten().copied().collect();
        let arbitrary = field_names::of_headers(&masked);
        let all = field_names::of_headers(matching);
        let without = |list: &[&'static str], wanted: bool| {
            let keep = |name: &&&'static str| !arbitrary.contains(*name) && may.contains(*name) == wanted;
            list.iter().filter(keep).copied().collect::<Vec<_>>()
        };
        let newer = version >= Version::V1_4;
        Self {
            metadata: table.metadata,
            miss: None,
            eviction: newer.then_some(table.config & config::EVICTION != 0),
            vacancy: newer.then_some(table.config & config::VACANCY_EVENTS != 0),
            max_entries: table.max_entries,
            usual: flows(false),
            miss_flow: flows(true),
            whole: without(&all, true),
            must: without(&all, false),
            arbitrary,
        }
    }
}

/// A table as it is listed.
struct Shown<'a> {
    id: u8,
    name: &'a str,
    counters: Option<(u32, u64, u64)>,
    can: Can,
}

fn actions_text(actions: &Actions) -> String {
    let mut out = String::new();
    if actions.kinds != 0 {
        let words: Vec<&str> =
            ACTIONS.iter().filter(|(bit, _)| actions.kinds >> bit & 1 != 0).map(|row| row.1).collect();
        let _ = writeln!(out, "        actions: {}", words.join(" "));
    }
    if !actions.fields.is_empty() {
        let _ = writeln!(out, "        supported on Set-Field: {}", field_names::list(&actions.fields));
    }
    out
}

fn instructions_text(flows: &Instructions, before: Option<&Instructions>) -> String {
    let mut out = String::new();
    if !flows.next.is_empty() {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for &table in &flows.next {
            match ranges.last_mut() {
                Some((_, last)) if table == last.wrapping_add(1) => *last = table,
                _ => ranges.push((table, table)),
            }
        }
        let words = ranges.into_iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let _ = writeln!(out, "      next tables: {}", words.collect::<Vec<_>>().join(","));
    }
    if flows.kinds != 0 {
        if before.is_some_and(|before| before.kinds == flows.kinds) {
            out += "      (same instructions)\n";
        } else {
            let words: Vec<&str> =
                INSTRUCTIONS.iter().filter(|(bit, _)| flows.kinds >> bit & 1 != 0).map(|row| row.1).collect();
            let _ = writeln!(out, "      instructions: {}", words.join(" "));
        }
    }
    let same = before.is_some_and(|before| before.write == flows.write && before.apply == flows.apply);
    if same && !flows.write.fields.is_empty() {
        return out + "      (same actions)\n";
    }
    if flows.write != flows.apply {
        out += "      Write-Actions features:\n";
        out += &actions_text(&flows.write);
        out += "      Apply-Actions features:\n";
        out += &actions_text(&flows.apply);
    } else if flows.write != Actions::default() {
        out += "      Write-Actions and Apply-Actions features:\n";
        out += &actions_text(&flows.write);
    }
    out
}

/// What a table can do, below its name; `before` is the table before it.
fn can_text(shown: &Shown<'_>, before: Option<&Shown<'_>>) -> String {
    let can = &shown.can;
    let mut out = String::new();
    if can.metadata != (0, 0) {
        let (matched, written) = can.metadata;
        let _ = writeln!(out, "    metadata: match={matched:#x} write={written:#x}");
    }
    if let Some(miss) = can.miss {
        let _ = writeln!(out, "    config={miss}");
    }
    for (name, supported) in [("eviction", can.eviction), ("vacancy events", can.vacancy)] {
        if let Some(supported) = supported {
            let _ = writeln!(out, "    {name}: {}supported", if supported { "" } else { "not " });
        }
    }
    if can.max_entries != 0 {
        let _ = writeln!(out, "    max_entries={}", can.max_entries);
    }
    let same = before.is_some_and(|before| {
        can.usual.same(shown.id, &before.can.usual, before.id)
            && can.miss_flow.same(shown.id, &before.can.miss_flow, before.id)
    });
    let usual = before.map(|before| &before.can.usual);
    if same {
        if !can.usual.is_empty() {
            out += "    (same instructions)\n";
        }
    } else if can.usual != can.miss_flow {
        out += "    instructions (other than table miss):\n";
        out += &instructions_text(&can.usual, usual);
        out += "    instructions (table miss):\n";
        out += &instructions_text(&can.miss_flow, before.map(|before| &before.can.miss_flow));
    } else if !can.usual.is_empty() {
        out += "    instructions (table miss and others):\n";
        out += &instructions_text(&can.usual, usual);
    }
    let lists = [&can.arbitrary, &can.whole, &can.must];
    if lists.iter().all(|list| list.is_empty()) {
        return out;
    }
    if before.is_some_and(|before| lists == [&before.can.arbitrary, &before.can.whole, &before.can.must]) {
        return out + "    (same matching)\n";
    }
    out += "    matching:\n";
    let titles = ["arbitrary mask", "exact match or wildcard", "must exact match"];
    for (title, list) in titles.into_iter().zip(lists) {
        if !list.is_empty() {
            let _ = writeln!(out, "      {title}: {}", field_names::list(list));
        }
    }
    out
}

/// Whether two tables can do the same, but for the tables that flows go on in.
fn same_can(table: &Shown<'_>, before: &Shown<'_>) -> bool {
    let flat =
        |can: &Can| Can { usual: Instructions::default(), miss_flow: Instructions::default(), ..can.clone() };
    flat(&table.can) == flat(&before.can)
        && table.can.usual.same(table.id, &before.can.usual, before.id)
        && table.can.miss_flow.same(table.id, &before.can.miss_flow, before.id)
}

/// Tables; those without a name that say the same as the one before are told in one line.
fn list(tables: &[Shown<'_>]) -> String {
    let mut out = String::new();
    let mut dittos: Option<(u8, u8)> = None;
    let finish = |out: &mut String, dittos: &mut Option<(u8, u8)>| {
        if let Some((first, last)) = dittos.take() {
            let _ = match first == last {
                true => write!(out, "\n  table {first}: ditto\n"),
                false => write!(out, "\n  tables {first}...{last}: ditto\n"),
            };
        }
    };
    for (index, table) in tables.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &tables[index]);
        let same_counters =
            before.map_or(table.counters.is_none(), |before| before.counters == table.counters);
        let same = before.is_some_and(|before| same_can(table, before));
        if same && same_counters && table.name.is_empty() {
            dittos = Some((dittos.map_or(table.id, |(first, _)| first), table.id));
            continue;
        }
        finish(&mut out, &mut dittos);
        let _ = write!(out, "\n  table {}", table.id);
        if !table.name.is_empty() {
            let _ = write!(out, " (\"{}\")", table.name);
        }
        out.push(':');
        if same && same_counters {
            out += " ditto";
            continue;
        }
        out.push('\n');
        if let Some((active, lookups, matched)) = table.counters {
            let _ = writeln!(out, "    active={active}, lookup={lookups}, matched={matched}");
        }
        if !same {
            out += &can_text(table, before);
        } else if !table.can.is_empty() {
            out += "    (same features)\n";
        }
    }
    finish(&mut out, &mut dittos);
    out
}

/// Tables with their counters.
pub fn statistics(tables: &[TableStats], version: Version) -> String {
    let shown = |table: &'_ TableStats| -> (u8, String, (u32, u64, u64), Can) {
        let can = table.abilities.as_deref();
        (
            table.table_id,
            can.map_or_else(String::new, |can| can.name.clone()),
            (table.active, table.lookups, table.matched),
            can.map_or_else(Can::default, |can| Can::of_abilities(can, version)),
        )
    };
    let all: Vec<_> = tables.iter().map(shown).collect();
    let all: Vec<Shown<'_>> = all
        .iter()
        .map(|(id, name, counters, can)| Shown { id: *id, name, counters: Some(*counters), can: can.clone() })
        .collect();
    list(&all)
}

/// What tables can do.
pub fn features(tables: &[TableFeatures], version: Version) -> String {
    const COMMANDS: [&str; 4] = ["replace", "modify", "enable", "disable"];
    let shown = |table: &'_ TableFeatures| Can::of_features(table, version);
    let cans: Vec<Can> = tables.iter().map(shown).collect();
    let all: Vec<Shown<'_>> = tables
        .iter()
        .zip(cans)
        .map(|(table, can)| Shown { id: table.table_id, name: &table.name, counters: None, can })
        .collect();
    let command = match tables.first().map_or(0, |table| table.command) {
        0 => String::new(),
        command => {
            format!("\n  command: {}", COMMANDS.get(usize::from(command)).copied().unwrap_or("(unknown)"))
        }
    };
    command + &list(&all)
}

fn eviction_flags(flags: Option<u32>) -> String {
    flags.map_or_else(|| "(default)".into(), |flags| names(flags, &["OTHER", "IMPORTANCE", "LIFETIME"], "|"))
}

fn on(config: u32, bit: u32) -> &'static str {
    if config & bit != 0 { "on" } else { "off" }
}

/// A change of a table's configuration.
pub fn change(change: &TableMod, version: Version) -> String {
    let mut out = match change.table_id {
        table::ALL => " table_id: ALL_TABLES".to_owned(),
        number => format!(" table_id={number}"),
    };
    if version <= Version::V1_2 {
        let miss = config::MISS_NAMES.get((change.config & config::MISS_MASK) as usize);
        return out + &miss.map_or_else(String::new, |miss| format!(", flow_miss_config={miss}"));
    }
    if version < Version::V1_4 {
        return out;
    }
    out += &format!(", eviction={}", on(change.config, config::EVICTION));
    if change.eviction.is_some() {
        out += &format!("eviction_flags={}", eviction_flags(change.eviction));
    }
    out += &format!(", vacancy={}", on(change.config, config::VACANCY_EVENTS));
    if let Some(vacancy) = change.vacancy.filter(|_| change.config & config::VACANCY_EVENTS != 0) {
        out += &format!(" vacancy:{},{}", vacancy.down, vacancy.up);
    }
    out
}

/// A table's configuration.
pub fn description(table: &TableMod) -> String {
    let mut out = format!(
        "\n  table {}:\n   eviction={} eviction_flags={}\n   vacancy={}",
        table.table_id,
        on(table.config, config::EVICTION),
        eviction_flags(table.eviction),
        on(table.config, config::VACANCY_EVENTS)
    );
    if let Some(vacancy) = table.vacancy.filter(|_| table.config & config::VACANCY_EVENTS != 0) {
        out += &format!(
            " vacancy_down={}% vacancy_up={}% vacancy={}%",
            vacancy.down, vacancy.up, vacancy.current
        );
    }
    out + "\n"
}

/// A table that filled or emptied.
pub fn status(status: &TableStatus) -> String {
    let reason = if status.reason == TableStatus::DOWN { "VACANCY_DOWN" } else { "VACANCY_UP" };
    format!(" reason={reason}\ntable_desc:-{}", description(&status.table))
}
