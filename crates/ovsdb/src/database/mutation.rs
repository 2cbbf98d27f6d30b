//! Mutations: changes of a column that depend on what it holds, RFC 7047 §5.1 `<mutation>`.

use serde_json::Value;

use super::Row;
use super::condition::of_any_size;
use crate::Error;
use crate::schema::TableSchema;
use crate::types::{Atom, AtomType, ColumnType, Datum, Symbols};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Insert,
    Delete,
}

/// Names of the mutators, in the standard's order.
const MUTATORS: [(&str, Mutator); 7] = [
    ("+=", Mutator::Add),
    ("-=", Mutator::Subtract),
    ("*=", Mutator::Multiply),
    ("/=", Mutator::Divide),
    ("%=", Mutator::Modulo),
    ("insert", Mutator::Insert),
    ("delete", Mutator::Delete),
];

/// A mutation of one column.
#[derive(Clone, Debug)]
pub(super) struct Mutation {
    pub(super) column: usize,
    mutator: Mutator,
    name: &'static str,
    operand: Datum,
}

impl Mutation {
    pub(super) fn from_json(
        table: &TableSchema,
        json: &Value,
        symbols: &mut Symbols<'_>,
    ) -> Result<Self, Error> {
        let Some([Value::String(column), Value::String(word), operand]) = json.as_array().map(Vec::as_slice)
        else {
            return Err(Error::syntax(json, "Parse error in mutation."));
        };
        let Some(index) = table.column_index(column) else {
            let text = format!("No column {column} in table {}.", table.name);
            return Err(Error::new("unknown column", text).at(json));
        };
        let schema = &table.columns()[index];
        if !schema.mutable {
            let text = format!("Cannot mutate immutable column {column} in table {}.", table.name);
            return Err(Error::constraint(text).at(json));
        }
        let Some((name, mutator)) = MUTATORS.into_iter().find(|(name, _)| name == word) else {
            return Err(Error::new("unknown mutator", format!("No mutator named {word}.")));
        };
        let kind = &schema.kind;
        let Some(accepted) = accepted(kind, mutator, operand) else {
            let words = kind.in_words();
            let text = format!(
                "Type mismatch: \"{name}\" operator may not be applied to column {column} of type {words}."
            );
            return Err(Error::syntax(json, text));
        };
        let operand = Datum::from_json(&accepted, operand, Some(symbols))?;
        Ok(Self { column: index, mutator, name, operand })
    }

    /// Changes the column of a row.
    pub(super) fn apply(&self, table: &TableSchema, row: &mut Row) -> Result<(), Error> {
        let kind = &table.columns()[self.column].kind;
        match self.mutator {
            Mutator::Insert => row.datum_mut(self.column).unite(&self.operand),
            Mutator::Delete => self.delete(row.datum_mut(self.column), kind),
            _ => {
                let changed = self.calculate(row.datum(self.column), kind)?;
                row.set(self.column, changed);
                return Ok(());
            }
        }
        let count = row.datum(self.column).len();
        if count < kind.min as usize || count > kind.max as usize {
            let words = kind.in_words();
            return Err(Error::constraint(format!("Attempted to store {count} elements in {words}.")));
        }
        Ok(())
    }

    fn delete(&self, datum: &mut Datum, kind: &ColumnType) {
        if kind.is_map() && !self.operand.values().is_empty() {
            // A map as operand: only pairs whose value is the same go.
            datum.retain(|key, value| self.operand.value_of(key) != value);
        } else if self.operand.len() < 8 {
            for key in self.operand.keys() {
                datum.remove(key);
            }
        } else {
            datum.retain(|key, _| !self.operand.contains(key));
        }
    }

    fn calculate(&self, datum: &Datum, kind: &ColumnType) -> Result<Datum, Error> {
        let Some(operand) = self.operand.first() else { return Ok(datum.clone()) };
        let mut atoms = Vec::with_capacity(datum.len());
        for atom in datum.keys() {
            let result = match (atom, operand) {
                (Atom::Integer(a), Atom::Integer(b)) => self.integer(*a, *b).map(Atom::Integer),
                (Atom::Real(a), Atom::Real(b)) => self.real(*a, *b).map(Atom::real),
                _ => Ok(atom.clone()),
            }?;
            kind.key.check(&result)?;
            atoms.push(result);
        }
        let changed = Datum::set(atoms);
        if changed.len() < datum.len() {
            let text = format!("Result of \"{}\" operation contains duplicates.", self.name);
            return Err(Error::constraint(text));
        }
        Ok(changed)
    }

    fn out_of_range(&self) -> Error {
        Error::new("range error", format!("Result of \"{}\" operation is out of range.", self.name))
    }

    fn integer(&self, a: i64, b: i64) -> Result<i64, Error> {
        let result = match self.mutator {
            Mutator::Add => a.checked_add(b),
            Mutator::Subtract => a.checked_sub(b),
            Mutator::Multiply => a.checked_mul(b),
            _ if b == 0 => return Err(Error::new("domain error", "Division by zero.")),
            Mutator::Divide => a.checked_div(b),
            // The remainder of the least integer by -1 is 0, though the quotient is out of range.
            _ => Some(a.checked_rem(b).unwrap_or(0)),
        };
        result.ok_or_else(|| self.out_of_range())
    }

    fn real(&self, a: f64, b: f64) -> Result<f64, Error> {
        let result = match self.mutator {
            Mutator::Add => a + b,
            Mutator::Subtract => a - b,
            Mutator::Multiply => a * b,
            _ if b == 0.0 => return Err(Error::new("domain error", "Division by zero.")),
            _ => a / b,
        };
        if result.is_finite() { Ok(result) } else { Err(self.out_of_range()) }
    }
}

/// The type that an operand must have; `None` if the mutator is not for such a column.
fn accepted(kind: &ColumnType, mutator: Mutator, operand: &Value) -> Option<ColumnType> {
    match mutator {
        Mutator::Insert if kind.is_scalar() => None,
        Mutator::Insert => Some(ColumnType { min: 0, ..kind.clone() }),
        Mutator::Delete if kind.is_scalar() => None,
        Mutator::Delete => {
            let mut accepted = of_any_size(kind);
            // A map loses pairs, or keys whatever their value.
            let pairs = operand.as_array().and_then(|parts| parts.first()?.as_str()) == Some("map");
            accepted.value = accepted.value.filter(|_| pairs);
            Some(accepted)
        }
        _ if kind.is_map() => None,
        Mutator::Modulo => (kind.key.kind == AtomType::Integer).then(|| AtomType::Integer.into()),
        _ => matches!(kind.key.kind, AtomType::Integer | AtomType::Real).then(|| kind.key.kind.into()),
    }
}
