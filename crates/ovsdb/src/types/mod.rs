//! Values of OVSDB and their types, RFC 7047 §3.2 and §5.1.
//!
//! An [`Atom`] is one value; a [`Datum`] is what a column of a row holds: an ordered set of atoms, or an ordered map
//! from atoms to atoms. A [`BaseType`] says which atoms are allowed, a [`ColumnType`] which data.
//!
//! Both have two written forms: JSON, which is the protocol's, and the text that commands such as `ovs-vsctl` read and
//! print.

mod atom;
mod base;
mod column;
mod datum;
mod symbols;
mod text;
mod uuid;

pub use atom::{Atom, AtomType};
pub use base::{BaseType, Constraint, RefType, Reference};
pub use column::ColumnType;
pub use datum::Datum;
pub use symbols::{Symbol, Symbols};
pub use text::{MAX_RANGE, TextError, needs_quotes, quote};
pub use uuid::Uuid;

#[cfg(test)]
mod tests;
