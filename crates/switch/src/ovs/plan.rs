//! From what there is to what is wanted, step by step.

use std::collections::{BTreeMap, BTreeSet};

use heddle_ovsdb::types::Uuid;

use super::wanted::{Bridge, Interface, Kind, Wanted};

/// The greatest number of a port that is not reserved (OpenFlow 1.0's, which Open vSwitch keeps to).
pub const LAST_NUMBER: u32 = 65_279;
/// The bridge's own port.
pub const LOCAL_NUMBER: u32 = heddle_openflow::port::LOCAL;

/// Which numbers a bridge's ports have had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The last that was given without being asked for: one that is free again is not given again at once.
    last: u32,
}

impl Numbers {
    /// A number that nobody has: the one that is wanted if it is free, else the next.
    pub fn choose(&mut self, used: &BTreeSet<u32>, wanted: Option<u32>) -> Option<u32> {
        if let Some(number) = wanted.filter(|number| !used.contains(number)) {
            return Some(number);
        }
        let after = (self.last + 1..=LAST_NUMBER).chain(1..=self.last);
        let free = after.into_iter().find(|number| !used.contains(number))?;
        self.last = free;
        Some(free)
    }
}

/// A bridge that there is.
#[derive(Clone, Debug, Default)]
pub struct PresentBridge {
    /// Its row.
    pub row: Uuid,
    /// The numbers that its ports have had.
    pub numbers: Numbers,
    /// Its interfaces, as they were made, with their port numbers; none for those that could not be made.
    pub interfaces: BTreeMap<String, (Interface, Option<u32>)>,
}

/// All that there is, by the names of bridges.
pub type Present = BTreeMap<String, PresentBridge>;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A bridge goes, with its interfaces.
    RemoveBridge(String),
    /// An interface goes.
    RemoveInterface {
        /// Its bridge.
        bridge: String,
        /// Its name.
        name: String,
    },
    /// A bridge comes.
    AddBridge(Box<Bridge>),
    /// A bridge is told what its row says.
    Configure(Box<Bridge>),
    /// An interface comes, as this port.
    AddInterface {
        /// Its bridge.
        bridge: String,
        /// The interface.
        interface: Box<Interface>,
        /// Its port number.
        number: u32,
    },
    /// An interface is told what its row says.
    Change {
        /// Its bridge.
        bridge: String,
        /// The interface.
        interface: Box<Interface>,
    },
    /// The numbers that a bridge's ports have had.
    Remember {
        /// The bridge.
        bridge: String,
        /// The numbers.
        numbers: Numbers,
    },
}

/// The steps from what there is to what is wanted: what is to go goes first, since what comes may take its name or number.
#[must_use]
pub fn plan(wanted: &Wanted, present: &Present) -> Vec<Step> {
    let mut steps = Vec::new();
    let nothing = PresentBridge::default();
    for (name, bridge) in present {
        match wanted.bridges.get(name) {
            Some(kept) if kept.row == bridge.row => remove_interfaces(kept, bridge, &mut steps),
            _ => steps.push(Step::RemoveBridge(name.clone())),
        }
    }
    for (name, bridge) in &wanted.bridges {
        let now = present.get(name).filter(|now| now.row == bridge.row);
        if now.is_none() {
            steps.push(Step::AddBridge(Box::new(bridge.clone())));
        }
        steps.push(Step::Configure(Box::new(bridge.clone())));
        add_interfaces(bridge, now.unwrap_or(&nothing), &mut steps);
    }
    steps
}

/// Who is to have each number that is asked for: of several that ask, who has it already, else the first by name. A number
/// that was given without being asked for is given up for it, as in Open vSwitch.
fn owners<'a>(wanted: &'a Bridge, present: &PresentBridge) -> BTreeMap<u32, &'a str> {
    let has = |name: &str, number: u32| {
        present.interfaces.get(name).is_some_and(|(_, given)| *given == Some(number))
    };
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, interface) in &wanted.interfaces {
        let (Some(number), false, Ok(_)) = (interface.request, interface.local, &interface.kind) else {
            continue;
        };
        let owner = owners.entry(number).or_insert(name);
        if has(name, number) {
            *owner = name;
        }
    }
    owners
}

/// Whether an interface must be made anew to become what is wanted.
fn differs(wanted: &Interface, made: &Interface, number: Option<u32>, owners: &BTreeMap<u32, &str>) -> bool {
    let is_mine = |number: u32| owners.get(&number).is_none_or(|owner| *owner == wanted.name);
    let gets = |asked: u32| owners.get(&asked).is_some_and(|owner| *owner == wanted.name);
    let renumbered = !wanted.local
        && (number.is_some_and(|number| !is_mine(number))
            || wanted.request.is_some_and(|asked| number != Some(asked) && gets(asked)));
    let patches = matches!((&wanted.kind, &made.kind), (Ok(Kind::Patch(_)), Ok(Kind::Patch(_))));
    wanted.row != made.row || (wanted.kind != made.kind && !patches) || renumbered || number.is_none()
}

fn remove_interfaces(wanted: &Bridge, present: &PresentBridge, steps: &mut Vec<Step>) {
    let owners = owners(wanted, present);
    for (name, (made, number)) in &present.interfaces {
        if wanted.interfaces.get(name).is_none_or(|wanted| differs(wanted, made, *number, &owners)) {
            steps.push(Step::RemoveInterface { bridge: wanted.name.clone(), name: name.clone() });
        }
    }
}

fn add_interfaces(wanted: &Bridge, present: &PresentBridge, steps: &mut Vec<Step>) {
    let owners = owners(wanted, present);
    let mut used: BTreeSet<u32> = BTreeSet::new();
    let mut new = Vec::new();
    for (name, interface) in &wanted.interfaces {
        match present.interfaces.get(name) {
            Some((made, number)) if !differs(interface, made, *number, &owners) => {
                used.extend(number);
                if made != interface {
                    let interface = Box::new(interface.clone());
                    steps.push(Step::Change { bridge: wanted.name.clone(), interface });
                }
            }
            _ => new.push(interface),
        }
    }
    // Numbers that are asked for or remembered are given first, so that no other takes them.
    let asked =
        |interface: &Interface| interface.request.or_else(|| wanted.remembered.get(&interface.name).copied());
    new.sort_by_cached_key(|interface| {
        let owns = |number| owners.get(&number) == Some(&interface.name.as_str());
        let owns = interface.request.is_some_and(owns);
        (!interface.local, !owns, asked(interface).is_none(), natural(&interface.name))
    });
    let mut numbers = present.numbers.clone();
    for interface in new {
        let number = match interface.local {
            true => Some(LOCAL_NUMBER),
            false => numbers.choose(&used, asked(interface)),
        };
        let Some(number) = number else { continue };
        used.insert(number);
        let interface = Box::new(interface.clone());
        steps.push(Step::AddInterface { bridge: wanted.name.clone(), interface, number });
    }
    if numbers != present.numbers {
        steps.push(Step::Remember { bridge: wanted.name.clone(), numbers });
    }
}

/// A key by which `p2` comes before `p10`.
fn natural(name: &str) -> (String, u64) {
    let word = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (word.to_owned(), name[word.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_not_given_again_at_once() {
        let mut numbers = Numbers::default();
        let mut used = BTreeSet::from([1, 9]);
        assert_eq!(numbers.choose(&used, Some(7)), Some(7));
        assert_eq!(numbers.choose(&used, Some(9)), Some(2));
        used.remove(&1);
        assert_eq!(numbers.choose(&used, None), Some(3));
        let all: BTreeSet<u32> = (1..=LAST_NUMBER).collect();
        assert_eq!(numbers.choose(&all, Some(1)), None);
        used = (2..=LAST_NUMBER).collect();
        assert_eq!(numbers.choose(&used, None), Some(1));
    }

    #[test]
    fn names_are_in_the_order_that_people_count_in() {
        let mut names = ["p10", "p2", "br0", "p"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["br0", "p", "p2", "p10"]);
    }
}
