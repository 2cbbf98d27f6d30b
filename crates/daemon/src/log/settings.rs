//! Which lines are wanted where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use log::{Level, LevelFilter};

use super::modules::MODULES;

/// Where lines go, as vlog names the places.
pub(super) const DESTINATIONS: [&str; 3] = ["syslog", "console", "file"];
pub(super) const SYSLOG: usize = 0;
pub(super) const CONSOLE: usize = 1;
pub(super) const FILE: usize = 2;
/// Modules beyond the known ones that may get levels of their own.
const MAX_MODULES: usize = 1024;

/// vlog's names of levels, and what they let through. There are no emergencies here, so that level lets nothing through.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("emer", LevelFilter::Off),
    ("err", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("dbg", LevelFilter::Trace),
];

/// A level as it was set: its row in [`LEVELS`].
type Set = [u8; 3];

struct Table {
    modules: BTreeMap<String, Set>,
    /// Modules that may log as often as they like.
    unlimited: BTreeSet<String>,
}

/// The levels of all modules.
pub(super) struct Settings(RwLock<Table>);

/// vlog's usual level: what is of interest to operators.
const USUAL: Set = [4; 3];

impl Default for Settings {
    fn default() -> Self {
        let modules = MODULES.iter().map(|&name| (name.to_owned(), USUAL)).collect();
        Self(RwLock::new(Table { modules, unlimited: BTreeSet::new() }))
    }
}

impl Settings {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The destinations that want a line, a bit each.
    pub(super) fn wants(&self, module: &str, level: Level) -> u8 {
        let table = self.read();
        let set = table.modules.get(module).copied().unwrap_or(USUAL);
        (0..3).fold(0, |bits, at| bits | u8::from(level <= LEVELS[usize::from(set[at])].1) << at)
    }

    /// Tells the facade which lines nobody wants, so that they cost one comparison.
    pub(super) fn publish_greatest(&self) {
        let table = self.read();
        let greatest = table.modules.values().flatten().copied().max().unwrap_or(0);
        log::set_max_level(LEVELS[usize::from(greatest)].1);
    }

    /// Sets the levels of a destination in all modules.
    pub(super) fn set_destination(&self, destination: usize, level: LevelFilter) {
        let row = LEVELS.iter().position(|(_, filter)| *filter == level).unwrap_or(0) as u8;
        self.write().modules.values_mut().for_each(|set| set[destination] = row);
        self.publish_greatest();
    }

    pub(super) fn configure(&self, words: &str) -> Result<(), String> {
        let (mut module, mut destination, mut level) = (None, None, None);
        for word in words.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
            let place = DESTINATIONS.iter().position(|name| name.eq_ignore_ascii_case(word));
            let row = LEVELS.iter().position(|(name, _)| name.eq_ignore_ascii_case(word));
            if word.eq_ignore_ascii_case("any") {
            } else if let Some(place) = place {
                destination = Some(place);
            } else if let Some(row) = row {
                level = Some(row as u8);
            } else if self.read().modules.contains_key(&word.replace('-', "_")) {
                module = Some(word.replace('-', "_"));
            } else {
                return Err(format!("no destination, level, or module \"{word}\""));
            }
        }
        // Nothing said of the level means all there is.
        let level = level.unwrap_or(5);
        let places = destination.map_or(0..3, |place| place..place + 1);
        let mut table = self.write();
        for (name, set) in &mut table.modules {
            if module.as_ref().is_none_or(|module| module == name) {
                places.clone().for_each(|place| set[place] = level);
            }
        }
        drop(table);
        self.publish_greatest();
        Ok(())
    }

    pub(super) fn list(&self) -> String {
        let mut text = String::from(
            "                 console    syslog    file\n                 -------    ------    ------\n",
        );
        let table = self.read();
        for (module, set) in &table.modules {
            let name = |at: usize| LEVELS[usize::from(set[at])].0.to_uppercase();
            let _ = write!(
                text,
                "{module:<16}  {:>4}       {:>4}       {:>4}",
                name(CONSOLE),
                name(SYSLOG),
                name(FILE)
            );
            text.push_str(if table.unlimited.contains(module) {
                "    (rate limiting disabled)\n"
            } else {
                "\n"
            });
        }
        text
    }

    pub(super) fn set_rate_limits(&self, modules: &[String], limited: bool) -> Result<(), String> {
        let mut table = self.write();
        let all: Vec<String> = match modules {
            [] => table.modules.keys().take(MAX_MODULES).cloned().collect(),
            some => some.iter().map(|name| name.replace('-', "_")).collect(),
        };
        if all.iter().any(|name| !table.modules.contains_key(name)) {
            return Err("unknown module".into());
        }
        for name in all {
            if limited {
                table.unlimited.remove(&name)
            } else {
                table.unlimited.insert(name)
            };
        }
        Ok(())
    }

    pub(super) fn is_limited(&self, module: &str) -> bool {
        !self.read().unlimited.contains(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_any_order() {
        let settings = Settings::default();
        assert_eq!(settings.wants("bridge", Level::Info), 7);
        assert_eq!(settings.wants("bridge", Level::Debug), 0);
        settings.configure("bridge:file:dbg").unwrap();
        assert_eq!(settings.wants("bridge", Level::Debug), 1 << FILE);
        settings.configure("console:off").unwrap();
        assert_eq!(settings.wants("bridge", Level::Error), 1 << FILE | 1 << SYSLOG);
        settings.configure("vconn").unwrap();
        assert_eq!(settings.wants("vconn", Level::Debug), 7);
        settings.configure("ofproto-dpif,err").unwrap();
        assert_eq!(settings.wants("ofproto_dpif", Level::Warn), 0);
        assert_eq!(settings.configure("foo:bar"), Err("no destination, level, or module \"foo\"".into()));
        let list = settings.list();
        assert!(list.contains("\nbond               OFF       INFO       INFO\n"), "{list}");
        settings.set_rate_limits(&["bond".into()], false).unwrap();
        assert!(!settings.is_limited("bond") && settings.is_limited("bridge"));
        assert!(settings.set_rate_limits(&["nope".into()], true).is_err());
    }
}
