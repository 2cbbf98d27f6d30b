//! Formats of flows: the versions of OpenFlow, and Nicira's form and its numbers of tables beside OpenFlow 1.0.

use heddle_flow::Match;
use heddle_openflow::action::Instruction;
use heddle_openflow::consistency::Known;
use heddle_openflow::{FlowMod, OfError, Version, can_match};

use crate::fatal::{Fatal, fail};

/// A set of formats, a bit for each of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats(u16);

/// The formats, from the one that says least; what is preferred comes first.
const NAMES: [&str; 9] = [
    "OpenFlow10-table_id",
    "OpenFlow10+table_id",
    "NXM-table_id",
    "NXM+table_id",
    "OpenFlow11",
    "OXM-OpenFlow12",
    "OXM-OpenFlow13",
    "OXM-OpenFlow14",
    "OXM-OpenFlow15",
];
/// Names of sets, which stand for all of their members.
const SETS: [(&str, Formats); 4] = [
    ("any", Formats::ANY),
    ("OpenFlow10", Formats(0x003)),
    ("NXM", Formats::NICIRA),
    ("OXM", Formats(0x1e0)),
];
/// The bit of OpenFlow 1.1; later versions follow.
const FIRST_NEWER: usize = 4;

impl Formats {
    /// Every format.
    pub const ANY: Self = Self(0x1ff);
    /// Those of OpenFlow 1.0, Nicira's among them.
    const V1_0: Self = Self(0x00f);
    /// Nicira's.
    const NICIRA: Self = Self(0x00c);
    /// Nicira's form and those of OpenFlow 1.2 and later, which say everything.
    const EXTENSIBLE: Self = Self(0x1ec);
    /// Those that number tables.
    const TABLES: Self = Self(0x1fa);

    /// The formats of a version.
    fn of(version: Version) -> Self {
        match version {
            Version::V1_0 => Self::V1_0,
            version => Self(1 << (FIRST_NEWER + version as usize - 2)),
        }
    }

    /// Those of this version and of later ones.
    fn since(first: Version) -> Self {
        let later = Version::ALL.iter().filter(|version| **version >= first);
        Self::of_versions(later.fold(0, |all, version| all | version.bit()))
    }

    /// The formats of some versions, a bit for each version's byte.
    pub fn of_versions(versions: u32) -> Self {
        let known = Version::ALL.iter().filter(|version| versions & version.bit() != 0);
        known.fold(Self(0), |all, version| Self(all.0 | Self::of(*version).0))
    }

    /// The versions that these formats are of.
    pub fn versions(self) -> u32 {
        let known = Version::ALL.iter().filter(|version| !(self & Self::of(**version)).is_empty());
        known.fold(0, |all, version| all | version.bit())
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether Nicira's form is among them.
    pub fn has_nicira(self) -> bool {
        !(self & Self::NICIRA).is_empty()
    }

    /// Whether one that numbers tables is among them.
    pub fn has_tables(self) -> bool {
        !(self & Self::TABLES).is_empty()
    }

    /// The format that is taken where there is a choice: the first.
    pub fn first(self) -> Self {
        Self(self.0 & self.0.wrapping_neg())
    }

    /// The version of the first format.
    pub fn version(self) -> Version {
        let first = self.first();
        Version::ALL
            .iter()
            .copied()
            .find(|version| !(first & Self::of(*version)).is_empty())
            .unwrap_or_default()
    }

    /// Reads a list of formats and of sets of them.
    ///
    /// # Errors
    /// A name is not known.
    pub fn parse(list: &str) -> Result<Self, Fatal> {
        let mut all = Self(0);
        for word in list.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            let set = SETS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|row| row.1);
            let single =
                || NAMES.iter().position(|name| name.eq_ignore_ascii_case(word)).map(|bit| Self(1 << bit));
            match set.or_else(single) {
                Some(formats) => all.0 |= formats.0,
                None => return fail(format!("{word}: unknown flow protocol")),
            }
        }
        if all.is_empty() { fail(format!("{list}: no flow protocol specified")) } else { Ok(all) }
    }

    /// Those of these formats that can say what a flow matches and does.
    pub fn narrowed(self, flow: &FlowMod) -> Self {
        // Others say everything, and finding out what these say takes time.
        let limited = self & Self(0x013);
        let mut usable = if limited.is_empty() { self } else { self & Self::for_match(&flow.matching) };
        if flow.table_id != FlowMod::ALL_TABLES {
            usable = usable & Self::TABLES;
        }
        if flow.cookie_mask != 0 {
            usable = Self(usable.0 & (Self::EXTENSIBLE.0 | Self::of(Version::V1_1).0));
        }
        if flow.out_group != heddle_openflow::group::GroupMod::ANY {
            usable = usable & Self::since(Version::V1_1);
        }
        for (flags, since) in [
            (FlowMod::RESET_COUNTS, Version::V1_2),
            (FlowMod::NO_PACKET_COUNTS | FlowMod::NO_BYTE_COUNTS, Version::V1_3),
        ] {
            if flow.flags & flags != 0 {
                usable = usable & Self::since(since);
            }
        }
        if flow.command.deletes() {
            return usable;
        }
        // OpenFlow 1.0 lets pass what cannot apply to some packets.
        if Known::of_flow(&flow.matching).instructions(&flow.instructions)
            == Err(OfError::ActionMatchInconsistent)
        {
            usable = usable & Self::V1_0;
        }
        flow.instructions.iter().fold(usable, |usable, one| usable & Self::for_instruction(one))
    }

    /// The formats that can say what a flow asks for.
    pub fn for_match(matching: &Match) -> Self {
        match (can_match(Version::V1_0, matching), can_match(Version::V1_1, matching)) {
            (true, true) => Self::ANY,
            (_, true) => Self(Self::EXTENSIBLE.0 | Self::of(Version::V1_1).0),
            _ => Self::EXTENSIBLE,
        }
    }

    fn for_instruction(instruction: &Instruction) -> Self {
        let newer = Self::since(Version::V1_1);
        match instruction {
            Instruction::Meter(_) => Self::since(Version::V1_3),
            Instruction::Apply(_) => Self::ANY,
            Instruction::Write(_) | Instruction::Clear | Instruction::GotoTable(_) => newer,
            Instruction::WriteMetadata { .. } => Self(newer.0 | Self::NICIRA.0),
        }
    }
}

impl std::ops::BitAnd for Formats {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::fmt::Display for Formats {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return out.write_str("none");
        }
        let mut names = Vec::new();
        while left != 0 {
            let (name, bits) = match SETS.iter().find(|(_, set)| left & set.0 == set.0) {
                Some((name, set)) => (*name, set.0),
                None => (NAMES[left.trailing_zeros() as usize], left & left.wrapping_neg()),
            };
            names.push(name);
            left &= !bits;
        }
        out.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use heddle_openflow::Command;

    use super::*;
    use crate::ofctl::flow_text;

    #[test]
    fn sets_have_names_and_are_read_by_them() {
        for text in
            ["any", "OpenFlow10", "NXM,OXM", "NXM,OXM,OpenFlow11", "OXM,OpenFlow10+table_id", "NXM-table_id"]
        {
            assert_eq!(Formats::parse(text).map(|formats| formats.to_string()).ok().as_deref(), Some(text));
        }
        assert!(Formats::parse("openflow9").is_err());
        assert_eq!(
            Formats::of_versions(Version::V1_0.bit() | Version::V1_3.bit()).to_string(),
            "OpenFlow10,NXM,OXM-OpenFlow13"
        );
    }

    #[test]
    fn what_a_flow_says_tells_its_formats() {
        for (flow, usable) in [
            ("tcp,tp_dst=80", "any"),
            ("table=1,tcp,tp_dst=80", "OXM,OpenFlow10+table_id,NXM+table_id,OpenFlow11"),
            ("reg0=1", "NXM,OXM"),
            ("metadata=1", "NXM,OXM,OpenFlow11"),
            ("reset_counts,ip", "OXM"),
        ] {
            let flow = flow_text::parse(&format!("{flow} actions=drop"), Command::Add, true);
            assert_eq!(
                flow.map(|flow| Formats::ANY.narrowed(&flow).to_string()).ok().as_deref(),
                Some(usable)
            );
        }
    }
}
