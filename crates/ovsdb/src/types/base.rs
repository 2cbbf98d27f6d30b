//! The type of one atom, with constraints.

use serde_json::{Map, Value};

use super::{Atom, AtomType, ColumnType, Datum, quote};
use crate::Error;
use crate::parser::{Is, Members, integer};
use crate::types::atom::real_to_json;

/// Whether a reference keeps what it refers to, RFC 7047 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefType {
    /// The row referred to stays as long as the reference does.
    Strong,
    /// The reference goes when the row does.
    Weak,
}

/// UUIDs that are references to rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The table's name.
    pub table: String,
    /// Whether the reference keeps the row.
    pub kind: RefType,
}

/// What is asked of an atom beyond its type. Bounds are inclusive.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Nothing.
    None,
    /// `minInteger` and `maxInteger`.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// `minReal` and `maxReal`; minus and plus infinity where there is no bound.
    Real {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// `minLength` and `maxLength`, in characters.
    String {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// `refTable` and `refType`.
    Uuid(Reference),
}

/// The type of a column's keys or values, RFC 7047 §3.2 `<base-type>`.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The type of its atoms.
    pub kind: AtomType,
    /// What else is asked of them.
    pub constraint: Constraint,
    /// The only values allowed (`enum`), in order; empty if there is no such list.
    pub allowed: Vec<Atom>,
}

impl From<AtomType> for BaseType {
    fn from(kind: AtomType) -> Self {
        Self { kind, constraint: Constraint::None, allowed: Vec::new() }
    }
}

impl BaseType {
    /// The reference that its UUIDs are, if they are references.
    pub const fn reference(&self) -> Option<&Reference> {
        if let Constraint::Uuid(reference) = &self.constraint { Some(reference) } else { None }
    }

    /// Whether nothing is asked beyond the type.
    pub fn is_plain(&self) -> bool {
        self.constraint == Constraint::None && self.allowed.is_empty()
    }

    /// # Errors
    /// `constraint violation` if the atom is not allowed.
    pub fn check(&self, atom: &Atom) -> Result<(), Error> {
        if !self.allowed.is_empty() && self.allowed.binary_search(atom).is_err() {
            let allowed: Vec<_> = self.allowed.iter().map(Atom::to_string).collect();
            let allowed = allowed.join(", ");
            return Err(Error::constraint(format!("{atom} is not one of the allowed values ([{allowed}])")));
        }
        match (&self.constraint, atom) {
            (Constraint::Integer { min, max }, Atom::Integer(value)) => {
                check_range(*value, *min, *max, *min != i64::MIN, *max != i64::MAX)
            }
            (Constraint::Real { min, max }, Atom::Real(value)) => {
                check_range(*value, *min, *max, min.is_finite(), max.is_finite())
            }
            (Constraint::String { min, max }, Atom::String(text)) => check_length(text, *min, *max),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// If `json` is not a base type.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        if json.is_string() {
            return AtomType::from_json(json).map(Self::from);
        }
        let mut members = Members::new(json, "ovsdb type");
        let kind = members.required("type", Is::String);
        members.check()?;
        let mut base = Self::from(AtomType::from_json(kind.unwrap_or(&Value::Null))?);
        if let Some(allowed) = members.optional("enum", Is::Any) {
            let set = ColumnType::set(Self::from(base.kind), 1, u32::MAX);
            base.allowed = Datum::from_json(&set, allowed, None)?.keys().to_vec();
        }
        base.constraint = match base.kind {
            AtomType::Integer => integers(&mut members, json)?,
            AtomType::Real => reals(&mut members, json)?,
            AtomType::String => lengths(&mut members)?,
            AtomType::Uuid => references(&mut members, json)?,
            AtomType::Boolean => Constraint::None,
        };
        members.finish()?;
        if !base.allowed.is_empty() && !matches!(base.constraint, Constraint::None | Constraint::Uuid(_)) {
            return Err(Error::syntax(json, "a type may not have both an enum and other constraints"));
        }
        Ok(base)
    }

    /// The base type's form in JSON: a bare name where nothing else is to be said.
    pub fn to_json(&self) -> Value {
        let name = Value::from(self.kind.name());
        if self.is_plain() {
            return name;
        }
        let mut members = Map::new();
        members.insert("type".into(), name);
        if !self.allowed.is_empty() {
            let set = ColumnType::set(Self::from(self.kind), 1, u32::MAX);
            members.insert("enum".into(), Datum::from_sorted(self.allowed.clone()).to_json(&set));
        }
        let mut put = |name: &str, value: Value| drop(members.insert(name.into(), value));
        match &self.constraint {
            Constraint::None => {}
            Constraint::Integer { min, max } => {
                if *min != i64::MIN {
                    put("minInteger", (*min).into());
                }
                if *max != i64::MAX {
                    put("maxInteger", (*max).into());
                }
            }
            Constraint::Real { min, max } => {
                if min.is_finite() {
                    put("minReal", real_to_json(*min));
                }
                if max.is_finite() {
                    put("maxReal", real_to_json(*max));
                }
            }
            Constraint::String { min, max } => {
                if *min != 0 {
                    put("minLength", (*min).into());
                }
                if *max != u32::MAX {
                    put("maxLength", (*max).into());
                }
            }
            Constraint::Uuid(reference) => {
                put("refTable", reference.table.as_str().into());
                if reference.kind == RefType::Weak {
                    put("refType", "weak".into());
                }
            }
        }
        members.into()
    }
}

fn check_range<T: PartialOrd + Into<Shown>>(
    value: T,
    min: T,
    max: T,
    has_min: bool,
    has_max: bool,
) -> Result<(), Error> {
    if value >= min && value <= max {
        return Ok(());
    }
    let (value, min, max) = (value.into(), min.into(), max.into());
    Err(Error::constraint(match (has_min, has_max) {
        (true, true) => format!("{value} is not in the valid range {min} to {max} (inclusive)"),
        (true, false) => format!("{value} is less than minimum allowed value {min}"),
        _ => format!("{value} is greater than maximum allowed value {max}"),
    }))
}

/// A number as an atom prints it.
struct Shown(Atom);

impl From<i64> for Shown {
    fn from(value: i64) -> Self {
        Self(Atom::Integer(value))
    }
}

impl From<f64> for Shown {
    fn from(value: f64) -> Self {
        Self(Atom::real(value))
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn check_length(text: &str, min: u32, max: u32) -> Result<(), Error> {
    let length = text.chars().count();
    let violated = |what| Err(Error::constraint(format!("{} length {length} is {what}", quote(text))));
    if length < min as usize {
        return violated(format!("less than minimum allowed length {min}"));
    }
    if length > max as usize {
        return violated(format!("greater than maximum allowed length {max}"));
    }
    Ok(())
}

fn integers(members: &mut Members<'_>, json: &Value) -> Result<Constraint, Error> {
    let min = members.optional("minInteger", Is::Integer).and_then(integer).unwrap_or(i64::MIN);
    let max = members.optional("maxInteger", Is::Integer).and_then(integer).unwrap_or(i64::MAX);
    if min > max {
        return Err(Error::syntax(json, "minInteger exceeds maxInteger"));
    }
    Ok(if (min, max) == (i64::MIN, i64::MAX) { Constraint::None } else { Constraint::Integer { min, max } })
}

fn reals(members: &mut Members<'_>, json: &Value) -> Result<Constraint, Error> {
    let mut bound = |name| members.optional(name, Is::Number).and_then(Value::as_f64);
    let min = bound("minReal").unwrap_or(f64::NEG_INFINITY);
    let max = bound("maxReal").unwrap_or(f64::INFINITY);
    if min > max {
        return Err(Error::syntax(json, "minReal exceeds maxReal"));
    }
    Ok(if min.is_infinite() && max.is_infinite() { Constraint::None } else { Constraint::Real { min, max } })
}

fn lengths(members: &mut Members<'_>) -> Result<Constraint, Error> {
    let min = length(members, "minLength", 0)?;
    let max = length(members, "maxLength", u32::MAX)?;
    if min > max {
        return Err(Error::plain_syntax("minLength exceeds maxLength"));
    }
    Ok(if (min, max) == (0, u32::MAX) { Constraint::None } else { Constraint::String { min, max } })
}

fn length(members: &mut Members<'_>, name: &'static str, otherwise: u32) -> Result<u32, Error> {
    let Some(length) = members.optional(name, Is::Integer).and_then(integer) else { return Ok(otherwise) };
    u32::try_from(length)
        .map_err(|_| Error::plain_syntax(format!("{name} out of valid range 0 to {}", u32::MAX)))
}

fn references(members: &mut Members<'_>, json: &Value) -> Result<Constraint, Error> {
    let Some(table) = members.optional("refTable", Is::Id).and_then(Value::as_str) else {
        return Ok(Constraint::None);
    };
    let kind = match members.optional("refType", Is::Id).and_then(Value::as_str) {
        None | Some("strong") => RefType::Strong,
        Some("weak") => RefType::Weak,
        Some(_) => return Err(Error::syntax(json, "refType must be \"strong\" or \"weak\"")),
    };
    Ok(Constraint::Uuid(Reference { table: table.to_owned(), kind }))
}
