//! Conditions: which rows an operation or a monitor speaks of, RFC 7047 §5.1 `<condition>`.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::Row;
use crate::Error;
use crate::schema::{TableSchema, UUID_COLUMN};
use crate::types::{AtomType, ColumnType, Datum, Symbols, Uuid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

/// Names of the functions, in the standard's order.
const FUNCTIONS: [(&str, Function); 8] = [
    ("<", Function::Less),
    ("<=", Function::LessOrEqual),
    ("==", Function::Equal),
    ("!=", Function::NotEqual),
    (">=", Function::GreaterOrEqual),
    (">", Function::Greater),
    ("includes", Function::Includes),
    ("excludes", Function::Excludes),
];

impl Function {
    const fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::GreaterOrEqual | Self::Greater)
    }
}

/// One test of one column; or a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// Holds for all rows, or for none.
    Constant(bool),
    /// Compares a column.
    Compare(Comparison),
}

/// A test of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    column: usize,
    function: Function,
    operand: Datum,
}

impl Clause {
    /// # Errors
    /// If it is not a clause for rows of the table.
    pub fn from_json(
        table: &TableSchema,
        json: &Value,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        if let Some(constant) = json.as_bool() {
            return Ok(Self::Constant(constant));
        }
        let Some([Value::String(column), Value::String(function), operand]) =
            json.as_array().map(Vec::as_slice)
        else {
            return Err(Error::syntax(json, "Parse error in condition."));
        };
        let Some(index) = table.column_index(column) else {
            let text = format!("No column {column} in table {}.", table.name);
            return Err(Error::new("unknown column", text).at(json));
        };
        let Some((name, function)) = FUNCTIONS.into_iter().find(|(name, _)| name == function) else {
            return Err(Error::new("unknown function", format!("No function named {function}.")));
        };
        let kind = &table.columns()[index].kind;
        let mut accepted = kind.clone();
        if function.orders() {
            let ordered = matches!(kind.key.kind, AtomType::Integer | AtomType::Real);
            if !ordered || !(kind.is_scalar() || kind.is_optional()) {
                let words = kind.in_words();
                let text = format!(
                    "Type mismatch: \"{name}\" operator may not be applied to column {column} of type {words}."
                );
                return Err(Error::syntax(json, text));
            }
            (accepted.min, accepted.max) = (1, 1);
        } else if !kind.is_scalar() {
            match function {
                Function::Includes => accepted.min = 0,
                Function::Excludes => (accepted.min, accepted.max) = (0, u32::MAX),
                _ => {}
            }
        }
        let operand = Datum::from_json(&accepted, operand, symbols)?;
        Ok(Self::Compare(Comparison { column: index, function, operand }))
    }

    fn to_json(&self, table: &TableSchema) -> Value {
        match self {
            Self::Constant(constant) => (*constant).into(),
            Self::Compare(Comparison { column, function, operand }) => {
                let schema = &table.columns()[*column];
                let name = FUNCTIONS.iter().find(|(_, f)| f == function).map_or("==", |(name, _)| name);
                json!([schema.name, name, operand.to_json(&schema.kind)])
            }
        }
    }

    /// Whether it holds for a row.
    pub fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Constant(constant) => *constant,
            Self::Compare(comparison) => comparison.holds(row.datum(comparison.column)),
        }
    }
}

impl Comparison {
    fn holds(&self, datum: &Datum) -> bool {
        let operand = &self.operand;
        let order = || datum.first().zip(operand.first()).map(|(a, b)| a.cmp(b));
        match self.function {
            Function::Less => order() == Some(Ordering::Less),
            Function::LessOrEqual => order().is_some_and(Ordering::is_le),
            Function::Equal => datum == operand,
            Function::NotEqual => datum != operand,
            Function::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
            Function::Greater => order() == Some(Ordering::Greater),
            Function::Includes => operand.is_within(datum),
            Function::Excludes => operand.is_apart_from(datum),
        }
    }
}

/// Clauses: all must hold for an operation, one must hold for a monitor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    clauses: Vec<Clause>,
}

impl Condition {
    /// # Errors
    /// If `json` is not an array of clauses for rows of the table.
    pub fn from_json(
        table: &TableSchema,
        json: &Value,
        mut symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, Error> {
        let Some(items) = json.as_array() else {
            return Err(Error::syntax(json, "array expected"));
        };
        let mut clauses = Vec::with_capacity(items.len());
        for item in items {
            clauses.push(Clause::from_json(table, item, symbols.as_deref_mut())?);
        }
        Ok(Self { clauses })
    }

    /// The condition's form in JSON.
    pub fn to_json(&self, table: &TableSchema) -> Value {
        self.clauses.iter().map(|clause| clause.to_json(table)).collect::<Vec<_>>().into()
    }

    /// Whether all clauses hold for a row.
    pub fn all(&self, row: &Row) -> bool {
        self.clauses.iter().all(|clause| clause.holds(row))
    }

    /// Whether one clause holds for a row, or there is none.
    pub fn any(&self, row: &Row) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.holds(row))
    }

    /// The one row that can meet all clauses, where one of them names it.
    pub(super) fn only_row(&self) -> Option<Uuid> {
        self.equals(UUID_COLUMN)?.as_uuid()
    }

    /// What a column must be, where a clause says so.
    pub(super) fn equals(&self, column: usize) -> Option<&Datum> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare(c) if c.column == column && c.function == Function::Equal => Some(&c.operand),
            _ => None,
        })
    }
}

/// The type of a column as an operand of any size.
pub(super) fn of_any_size(kind: &ColumnType) -> ColumnType {
    ColumnType { min: 0, max: u32::MAX, ..kind.clone() }
}
