//! Names that a transaction gives to rows before they have UUIDs.

use std::collections::BTreeMap;
use std::fmt;

use super::Uuid;

/// A row's name within one transaction (`named-uuid`), or within one command line (`@NAME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The UUID that the row has, or will have.
    pub uuid: Uuid,
    /// Whether an insertion bears the name, rather than only references to it.
    pub created: bool,
}

/// Names and the UUIDs they stand for. A name that is met first gets a UUID from the source.
pub struct Symbols<'a> {
    source: &'a mut dyn FnMut() -> Uuid,
    symbols: BTreeMap<String, Symbol>,
}

impl<'a> Symbols<'a> {
    /// No names; `source` yields a fresh UUID at each call.
    pub fn new(source: &'a mut dyn FnMut() -> Uuid) -> Self {
        Self { source, symbols: BTreeMap::new() }
    }

    /// A UUID that nothing bears.
    pub fn fresh(&mut self) -> Uuid {
        (self.source)()
    }

    /// The UUID that `name` stands for.
    pub fn uuid_of(&mut self, name: &str) -> Uuid {
        self.symbol(name).uuid
    }

    /// The entry of `name`, made if it was unknown.
    pub fn symbol(&mut self, name: &str) -> &mut Symbol {
        if !self.symbols.contains_key(name) {
            let symbol = Symbol { uuid: (self.source)(), created: false };
            self.symbols.insert(name.to_owned(), symbol);
        }
        self.symbols.get_mut(name).expect("it was inserted if it was missing")
    }

    /// Lets `name` stand for a row that is there already.
    pub fn name(&mut self, name: &str, uuid: Uuid) {
        self.symbols.insert(name.to_owned(), Symbol { uuid, created: true });
    }

    /// All names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Symbol)> {
        self.symbols.iter().map(|(name, symbol)| (name.as_str(), symbol))
    }
}

impl fmt::Debug for Symbols<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.symbols).finish()
    }
}
