//! What a column holds: an ordered set or map.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::{Atom, BaseType, ColumnType, Symbols, Uuid};
use crate::Error;

/// Whether the number of keys is held against the type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sizes {
    Checked,
    /// For operands of mutations and for differences, which may have any size.
    Any,
}

/// A set of atoms, or a map from atoms to atoms; keys are distinct and in order. A scalar is a set of one.
///
/// Whether it is a set or a map is known from its [`ColumnType`]; the two do not differ when empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datum {
    keys: Vec<Atom>,
    values: Vec<Atom>,
}

impl Datum {
    /// The empty set, or the empty map.
    pub const fn empty() -> Self {
        Self { keys: Vec::new(), values: Vec::new() }
    }

    /// One atom.
    pub fn scalar(atom: impl Into<Atom>) -> Self {
        Self { keys: vec![atom.into()], values: Vec::new() }
    }

    /// The set of these atoms; duplicates become one.
    pub fn set<A: Into<Atom>>(atoms: impl IntoIterator<Item = A>) -> Self {
        let mut keys: Vec<Atom> = atoms.into_iter().map(Into::into).collect();
        keys.sort_unstable();
        keys.dedup();
        Self { keys, values: Vec::new() }
    }

    /// The map of these pairs; of pairs with one key, the first stays.
    pub fn map<K: Into<Atom>, V: Into<Atom>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut pairs: Vec<(Atom, Atom)> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|a, b| a.0 == b.0);
        let (keys, values) = pairs.into_iter().unzip();
        Self { keys, values }
    }

    /// A set whose atoms are distinct and in order.
    pub(crate) fn from_sorted(keys: Vec<Atom>) -> Self {
        debug_assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        Self { keys, values: Vec::new() }
    }

    /// A map whose keys are distinct and in order.
    pub(crate) fn from_sorted_pairs(keys: Vec<Atom>, values: Vec<Atom>) -> Self {
        debug_assert!(keys.is_sorted_by(|a, b| a < b) && keys.len() == values.len(), "{keys:?}");
        Self { keys, values }
    }

    /// How many keys.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, or the members of the set, in order.
    pub fn keys(&self) -> &[Atom] {
        &self.keys
    }

    /// The values, each at the place of its key; empty for a set.
    pub fn values(&self) -> &[Atom] {
        &self.values
    }

    /// Keys and values; nothing for a set.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&Atom, &Atom)> {
        self.keys.iter().zip(&self.values)
    }

    /// The first atom: the value of a scalar, or of an optional one that is there.
    pub fn first(&self) -> Option<&Atom> {
        self.keys.first()
    }

    /// The text of a scalar or optional string.
    pub fn as_str(&self) -> Option<&str> {
        self.first()?.as_str()
    }

    /// The number of a scalar or optional integer.
    pub fn as_integer(&self) -> Option<i64> {
        self.first()?.as_integer()
    }

    /// The value of a scalar or optional boolean.
    pub fn as_boolean(&self) -> Option<bool> {
        self.first()?.as_boolean()
    }

    /// The UUID of a scalar or optional UUID.
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.first()?.as_uuid()
    }

    /// The UUIDs of a set.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.keys.iter().filter_map(Atom::as_uuid)
    }

    /// Whether `key` is there.
    pub fn contains(&self, key: &Atom) -> bool {
        self.keys.binary_search(key).is_ok()
    }

    /// The value of `key` in a map.
    pub fn value_of(&self, key: &Atom) -> Option<&Atom> {
        self.values.get(self.keys.binary_search(key).ok()?)
    }

    /// The text that a map from strings to strings has for `key`.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        let at = self.keys.binary_search_by(|atom| atom.as_str().cmp(&Some(key))).ok()?;
        self.values.get(at)?.as_str()
    }

    /// Adds a member to a set. Returns whether it was new.
    pub fn insert(&mut self, key: Atom) -> bool {
        match self.keys.binary_search(&key) {
            Ok(_) => false,
            Err(at) => {
                self.keys.insert(at, key);
                true
            }
        }
    }

    /// Gives a key of a map its value, and returns the value that it had.
    pub fn put(&mut self, key: Atom, value: Atom) -> Option<Atom> {
        match self.keys.binary_search(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.values[at], value)),
            Err(at) => {
                self.keys.insert(at, key);
                self.values.insert(at, value);
                None
            }
        }
    }

    /// Removes a key, with its value. Returns whether it was there.
    pub fn remove(&mut self, key: &Atom) -> bool {
        let Ok(at) = self.keys.binary_search(key) else { return false };
        self.keys.remove(at);
        if at < self.values.len() {
            self.values.remove(at);
        }
        true
    }

    /// Keeps the entries for which `keep` holds. Costs what the datum holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&Atom, Option<&Atom>) -> bool) {
        let stays: Vec<bool> =
            (self.keys.iter().enumerate()).map(|(at, key)| keep(key, self.values.get(at))).collect();
        let mut at = stays.iter();
        self.keys.retain(|_| *at.next().unwrap_or(&true));
        let mut at = stays.iter();
        self.values.retain(|_| *at.next().unwrap_or(&true));
    }

    /// Whether every entry of `self` is in `other`, with its value.
    pub fn is_within(&self, other: &Self) -> bool {
        self.keys.iter().enumerate().all(|(at, key)| other.entry_is(key, self.values.get(at)))
    }

    /// Whether no entry of `self` is in `other`, with its value.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        !self.keys.iter().enumerate().any(|(at, key)| other.entry_is(key, self.values.get(at)))
    }

    fn entry_is(&self, key: &Atom, value: Option<&Atom>) -> bool {
        match self.keys.binary_search(key) {
            Ok(at) => self.values.get(at) == value,
            Err(_) => false,
        }
    }

    /// Adds the entries of `other` whose keys are not there yet.
    pub fn unite(&mut self, other: &Self) {
        for (at, key) in other.keys.iter().enumerate() {
            if let Err(place) = self.keys.binary_search(key) {
                self.keys.insert(place, key.clone());
                if let Some(value) = other.values.get(at) {
                    self.values.insert(place, value.clone());
                }
            }
        }
    }

    /// What must be applied to `self` so that it becomes `new`: the entries that only one has, and those of `new` whose
    /// values differ. Where the type allows one entry at most, it is the new value whole. Open vSwitch's `update2`
    /// notifications and `_is_diff` records hold this.
    pub fn diff(&self, new: &Self, kind: &ColumnType) -> Self {
        if !kind.is_composite() {
            return new.clone();
        }
        let mut diff = Self::empty();
        self.walk(new, |key, old, new| {
            diff.keys.push(key.clone());
            if let Some(value) = new.flatten().or(old.flatten()) {
                diff.values.push(value.clone());
            }
        });
        diff
    }

    /// Calls `see` with each key whose entries differ, in order, and with its entry in `self` and in `new`: `None` where
    /// there is none, `Some(None)` for a member of a set. Costs the sum of both sizes.
    pub fn walk<'a>(
        &'a self,
        new: &'a Self,
        mut see: impl FnMut(&'a Atom, Option<Option<&'a Atom>>, Option<Option<&'a Atom>>),
    ) {
        let (mut i, mut j) = (0, 0);
        loop {
            let order = match (self.keys.get(i), new.keys.get(j)) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            match order {
                Ordering::Less => see(&self.keys[i], Some(self.values.get(i)), None),
                Ordering::Greater => see(&new.keys[j], None, Some(new.values.get(j))),
                Ordering::Equal if self.values.get(i) != new.values.get(j) => {
                    see(&new.keys[j], Some(self.values.get(i)), Some(new.values.get(j)));
                }
                Ordering::Equal => {}
            }
            i += usize::from(order != Ordering::Greater);
            j += usize::from(order != Ordering::Less);
        }
    }

    /// Applies a difference that [`diff`](Self::diff) made.
    ///
    /// # Errors
    /// If the result has more or fewer entries than the type allows.
    pub fn apply_diff(&mut self, diff: &Self, kind: &ColumnType) -> Result<(), Error> {
        if !kind.is_composite() {
            *self = diff.clone();
        } else {
            let mut changed = Self::empty();
            self.merge(diff, &mut changed);
            *self = changed;
        }
        if self.len() < kind.min as usize || self.len() > kind.max as usize {
            return Err(Error::new("ovsdb error", "Datum crated by diff has size error"));
        }
        Ok(())
    }

    fn merge(&self, diff: &Self, into: &mut Self) {
        let mut push = |key: &Atom, value: Option<&Atom>| {
            into.keys.push(key.clone());
            into.values.extend(value.cloned());
        };
        let (mut i, mut j) = (0, 0);
        loop {
            let order = match (self.keys.get(i), diff.keys.get(j)) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            match order {
                Ordering::Less => push(&self.keys[i], self.values.get(i)),
                Ordering::Greater => push(&diff.keys[j], diff.values.get(j)),
                Ordering::Equal if self.values.get(i) != diff.values.get(j) => {
                    push(&diff.keys[j], diff.values.get(j));
                }
                Ordering::Equal => {}
            }
            i += usize::from(order != Ordering::Greater);
            j += usize::from(order != Ordering::Less);
        }
    }

    /// The datum of JSON, RFC 7047 §5.1 `<value>`. A bare atom is a set of one.
    ///
    /// # Errors
    /// If the JSON has another type or number of values, or a constraint forbids one.
    pub fn from_json(
        kind: &ColumnType,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        Self::parse_json(kind, json, symbols, Sizes::Checked)
    }

    /// The datum of JSON, with any number of values: a difference, or the operand of a condition.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json), but for the number of values.
    pub fn from_json_of_any_size(
        kind: &ColumnType,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        Self::parse_json(kind, json, symbols, Sizes::Any)
    }

    fn parse_json(
        kind: &ColumnType,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
        sizes: Sizes,
    ) -> Result<Self, Error> {
        let items = items(kind, json)?;
        let (min, max, count) = (kind.min as usize, kind.max as usize, items.len());
        if sizes == Sizes::Checked && !(min..=max).contains(&count) {
            let class = if kind.is_map() { "map" } else { "set" };
            let members = match (kind.min, kind.max) {
                (1, 1) => "exactly one member".to_owned(),
                (min, u32::MAX) => format!("{min} or more members"),
                (min, max) => format!("{min} to {max} members"),
            };
            return Err(Error::syntax(json, format!("{class} must have {members} but {count} are present")));
        }
        match &kind.value {
            None => set_of(kind, items, symbols),
            Some(value) => map_of(kind, value, items, symbols),
        }
    }

    /// The datum's form in JSON.
    pub fn to_json(&self, kind: &ColumnType) -> Value {
        if kind.is_map() {
            let pairs: Vec<Value> =
                self.pairs().map(|(key, value)| json!([key.to_json(), value.to_json()])).collect();
            return json!(["map", pairs]);
        }
        match self.keys.as_slice() {
            [only] => only.to_json(),
            keys => json!(["set", keys.iter().map(Atom::to_json).collect::<Vec<_>>()]),
        }
    }
}

/// The elements of a `["set", [...]]` or `["map", [...]]`, or a single atom.
fn items<'a>(kind: &ColumnType, json: &'a Value) -> Result<&'a [Value], Error> {
    let class = if kind.is_map() { "map" } else { "set" };
    match json.as_array().map(Vec::as_slice) {
        Some([Value::String(word), Value::Array(items)]) if word == class => Ok(items),
        Some([Value::String(word), ..]) if word == class => {
            Err(Error::syntax(json, format!("expected [\"{class}\", <array>]")))
        }
        _ if kind.is_map() => Err(Error::syntax(json, "expected [\"map\", <array>]")),
        _ => Ok(std::slice::from_ref(json)),
    }
}

fn set_of(kind: &ColumnType, items: &[Value], mut symbols: Option<&mut Symbols<'_>>) -> Result<Datum, Error> {
    let mut keys = Vec::with_capacity(items.len());
    for item in items {
        keys.push(Atom::from_json(&kind.key, item, symbols.as_deref_mut())?);
    }
    keys.sort_unstable();
    if !keys.is_sorted_by(|a, b| a < b) {
        return Err(Error::new("ovsdb error", "set contains duplicate"));
    }
    Ok(Datum { keys, values: Vec::new() })
}

fn map_of(
    kind: &ColumnType,
    value: &BaseType,
    items: &[Value],
    mut symbols: Option<&mut Symbols<'_>>,
) -> Result<Datum, Error> {
    let mut pairs = Vec::with_capacity(items.len());
    for item in items {
        let Some([left, right]) = item.as_array().map(Vec::as_slice) else {
            return Err(Error::syntax(item, "expected 2-element array"));
        };
        let key = Atom::from_json(&kind.key, left, symbols.as_deref_mut())?;
        pairs.push((key, Atom::from_json(value, right, symbols.as_deref_mut())?));
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Error::new("ovsdb error", "map contains duplicate key"));
    }
    let (keys, values) = pairs.into_iter().unzip();
    Ok(Datum { keys, values })
}
