//! The type of what a column holds.

use serde_json::{Map, Value};

use super::{AtomType, BaseType, Datum};
use crate::Error;
use crate::parser::{Is, Members, integer};

/// The type of a column, RFC 7047 §3.2 `<type>`: from `min` to `max` keys, each with a value if it is a map.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// The type of the keys, or of a set's members.
    pub key: BaseType,
    /// The type of a map's values.
    pub value: Option<BaseType>,
    /// The least number of keys: 0 or 1.
    pub min: u32,
    /// The greatest number of keys, at least 1; `u32::MAX` for `unlimited`.
    pub max: u32,
}

impl From<AtomType> for ColumnType {
    fn from(kind: AtomType) -> Self {
        Self::scalar(kind.into())
    }
}

impl ColumnType {
    /// Exactly one atom.
    pub const fn scalar(key: BaseType) -> Self {
        Self { key, value: None, min: 1, max: 1 }
    }

    /// A set of `min` to `max` atoms.
    pub const fn set(key: BaseType, min: u32, max: u32) -> Self {
        Self { key, value: None, min, max }
    }

    /// Whether it is a map.
    pub const fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it is exactly one atom.
    pub const fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// Whether it is at most one atom, and may be none.
    pub const fn is_optional(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == 1
    }

    /// Whether it may hold more than one key.
    pub const fn is_composite(&self) -> bool {
        self.max > 1
    }

    /// The value that a column has when nothing was said.
    pub fn default_datum(&self) -> Datum {
        if self.min == 0 {
            return Datum::empty();
        }
        let key = self.key.kind.default_atom();
        match &self.value {
            None => Datum::scalar(key),
            Some(value) => Datum::from_sorted_pairs(vec![key], vec![value.kind.default_atom()]),
        }
    }

    /// # Errors
    /// If `json` is not the type of a column.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        if json.is_string() {
            return AtomType::from_json(json).map(Self::from);
        }
        let mut members = Members::new(json, "ovsdb type");
        let key = members.required("key", Is::Type);
        let value = members.optional("value", Is::Type);
        let (min, max) = (members.optional("min", Is::Integer), members.optional("max", Is::Any));
        members.finish()?;
        let bad = || Error::syntax(json, "bad min or max value");
        let number = |json: &Value| integer(json).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad);
        let this = Self {
            key: BaseType::from_json(key.unwrap_or(&Value::Null))?,
            value: value.map(BaseType::from_json).transpose()?,
            min: min.map_or(Ok(1), number)?,
            max: match max {
                None => 1,
                Some(Value::String(word)) if word == "unlimited" => u32::MAX,
                Some(max) => number(max)?,
            },
        };
        if this.min > 1 || this.max < 1 || this.min > this.max {
            return Err(Error::syntax(json, "ovsdb type fails constraint checks"));
        }
        Ok(this)
    }

    /// The type's form in JSON: a bare name for a scalar without constraints.
    pub fn to_json(&self) -> Value {
        if self.is_scalar() && self.key.is_plain() {
            return self.key.to_json();
        }
        let mut members = Map::new();
        members.insert("key".into(), self.key.to_json());
        if let Some(value) = &self.value {
            members.insert("value".into(), value.to_json());
        }
        if self.min != 1 {
            members.insert("min".into(), self.min.into());
        }
        if self.max == u32::MAX {
            members.insert("max".into(), "unlimited".into());
        } else if self.max != 1 {
            members.insert("max".into(), self.max.into());
        }
        members.into()
    }

    /// The type in words, as errors name it: `set of up to 3 integers`, `map of (string, integer) pairs`.
    pub fn in_words(&self) -> String {
        let key = self.key.kind.name();
        if self.is_scalar() {
            return key.to_owned();
        }
        let quantity = match (self.min, self.max) {
            (0, u32::MAX) => String::new(),
            (min, u32::MAX) => format!("{min} or more "),
            (0, max) => format!("up to {max} "),
            (min, max) => format!("{min} to {max} "),
        };
        match &self.value {
            Some(value) => format!("map of {quantity}({key}, {}) pairs", value.kind.name()),
            None => format!("set of {quantity}{key}s"),
        }
    }

    /// The types of its atoms: of keys, and of values if it is a map.
    pub fn base_types(&self) -> impl Iterator<Item = &BaseType> {
        std::iter::once(&self.key).chain(&self.value)
    }
}
