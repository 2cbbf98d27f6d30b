//! One value.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{BaseType, Symbols, Uuid};
use crate::Error;
use crate::parser;

/// The type of an atom, RFC 7047 §3.1 `<atomic-type>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtomType {
    /// A signed number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits, neither infinite nor NaN.
    Real,
    /// `true` or `false`.
    Boolean,
    /// Unicode text.
    String,
    /// A UUID, often a reference to a row.
    Uuid,
}

impl AtomType {
    /// All types, in the standard's order.
    pub const ALL: [Self; 5] = [Self::Integer, Self::Real, Self::Boolean, Self::String, Self::Uuid];

    /// The type's name in schemas.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    /// The value that a column has when nothing was said: 0, `false`, the empty string, the UUID of zeros.
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(0.0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(Arc::from("")),
            Self::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }

    /// # Errors
    /// If `json` is not the name of a type.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let Some(name) = json.as_str() else {
            return Err(Error::syntax(json, "atomic-type expected"));
        };
        (Self::ALL.into_iter().find(|kind| kind.name() == name))
            .ok_or_else(|| Error::syntax(json, format!("\"{name}\" is not an atomic-type")))
    }
}

/// One value. Atoms of one type are ordered; between types the order is that of [`AtomType`].
#[derive(Clone, Debug)]
pub enum Atom {
    /// An integer.
    Integer(i64),
    /// A real number; see [`Atom::real`].
    Real(f64),
    /// A boolean.
    Boolean(bool),
    /// Text, shared between copies.
    String(Arc<str>),
    /// A UUID.
    Uuid(Uuid),
}

impl Atom {
    /// A real number; minus zero becomes zero, because OVSDB knows only one.
    pub fn real(value: f64) -> Self {
        Self::Real(if value == 0.0 { 0.0 } else { value })
    }

    /// Text.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// Its type.
    pub const fn kind(&self) -> AtomType {
        match self {
            Self::Integer(_) => AtomType::Integer,
            Self::Real(_) => AtomType::Real,
            Self::Boolean(_) => AtomType::Boolean,
            Self::String(_) => AtomType::String,
            Self::Uuid(_) => AtomType::Uuid,
        }
    }

    /// The integer, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }

    /// The real number, if it is one.
    pub const fn as_real(&self) -> Option<f64> {
        if let Self::Real(real) = self { Some(*real) } else { None }
    }

    /// The boolean, if it is one.
    pub const fn as_boolean(&self) -> Option<bool> {
        if let Self::Boolean(boolean) = self { Some(*boolean) } else { None }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The UUID, if it is one.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(uuid) = self { Some(*uuid) } else { None }
    }

    /// The atom of JSON, RFC 7047 §5.1 `<atom>`, which `base` must allow. Without `symbols`, a `named-uuid` is an error.
    ///
    /// # Errors
    /// If the JSON is of another type, or a constraint forbids it.
    pub fn from_json(
        base: &BaseType,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        let atom = Self::parse_json(base.kind, json, symbols)?;
        base.check(&atom)?;
        Ok(atom)
    }

    /// The atom of JSON, whatever its value.
    ///
    /// # Errors
    /// If the JSON is of another type.
    pub fn parse_json(
        kind: AtomType,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        let atom = match kind {
            AtomType::Integer => parser::integer(json).map(Self::Integer),
            AtomType::Real => json.as_f64().map(Self::real),
            AtomType::Boolean => json.as_bool().map(Self::Boolean),
            AtomType::String => match json.as_str() {
                // Programs in C could not read it back from the log.
                Some(text) if text.contains('\0') => {
                    return Err(Error::constraint("null bytes not supported in quoted strings"));
                }
                text => text.map(Self::string),
            },
            AtomType::Uuid => return parse_uuid(json, symbols).map(Self::Uuid),
        };
        atom.ok_or_else(|| Error::syntax(json, format!("expected {}", kind.name())))
    }

    /// The atom's form in JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(integer) => (*integer).into(),
            Self::Real(real) => real_to_json(*real),
            Self::Boolean(boolean) => (*boolean).into(),
            Self::String(text) => text.as_ref().into(),
            Self::Uuid(uuid) => json!(["uuid", uuid.to_string()]),
        }
    }
}

/// A whole number is written without a point, as Open vSwitch does: `5`, not `5.0`.
pub(crate) fn real_to_json(real: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: integers up to here are exact
    if real.fract() == 0.0 && real.abs() < EXACT {
        return (real as i64).into();
    }
    real.into()
}

fn parse_uuid(json: &Value, symbols: Option<&mut Symbols<'_>>) -> Result<Uuid, Error> {
    let named = symbols.is_some();
    if let Some([Value::String(word), Value::String(text)]) = json.as_array().map(Vec::as_slice) {
        match (word.as_str(), symbols) {
            ("uuid", _) => {
                return text
                    .parse()
                    .map_err(|_| Error::syntax(json, format!("\"{text}\" is not a valid UUID")));
            }
            ("named-uuid", Some(symbols)) => {
                if !parser::is_id(text) {
                    return Err(Error::syntax(json, "named-uuid string is not a valid <id>"));
                }
                return Ok(symbols.uuid_of(text));
            }
            _ => {}
        }
    }
    let expected = if named {
        "expected [\"uuid\", <string>] or [\"named-uuid\", <string>]"
    } else {
        "expected [\"uuid\", <string>]"
    };
    Err(Error::syntax(json, expected))
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Integer(integer) => integer.hash(state),
            Self::Real(real) => real.to_bits().hash(state),
            Self::Boolean(boolean) => boolean.hash(state),
            Self::String(text) => text.hash(state),
            Self::Uuid(uuid) => uuid.hash(state),
        }
    }
}

/// The text that commands print, with quotes where they are needed.
impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f)
    }
}

impl From<i64> for Atom {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Atom {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}
