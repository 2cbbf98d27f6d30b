//! Conditions on records: `COLUMN[:KEY]OPERATOR VALUE`.

use heddle_ovsdb::types::{ColumnType, Datum};

use super::edit::{Edit, Place};
use super::names;
use crate::fatal::{Fatal, fail};

/// The operators, longest of a kind first.
const OPERATORS: [&str; 14] =
    ["=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}"];

/// `COLUMN[:KEY]` and what follows it.
pub struct Parsed<'a> {
    /// The column's place.
    pub column: usize,
    /// The key, as it was written.
    pub key: Option<&'a str>,
    /// Operator and value; none where nothing follows.
    pub test: Option<(&'static str, &'a str)>,
}

fn text<T>(read: Result<T, heddle_ovsdb::types::TextError>) -> Result<T, Fatal> {
    read.map_err(|error| Fatal::new(error.to_string()))
}

/// Reads `COLUMN[:KEY][OPERATOR VALUE]`, where `operators` may stand before the value; with none of them, no value may.
///
/// # Errors
/// What is wrong with the word, in Open vSwitch's words.
pub fn parse<'a>(
    edit: &Edit<'_>,
    table: usize,
    word: &'a str,
    operators: Operators,
) -> Result<Parsed<'a>, Fatal> {
    let schema = edit.table_schema(table);
    let column = names::leading_column(schema, word)?;
    let (_, mut rest) = text(Datum::split_word(word))?;
    let mut key = None;
    if let Some(after) = rest.strip_prefix(':') {
        let (found, after_key) = text(Datum::split_word(after))?;
        if found.is_empty() {
            // What stands there is told as what should not.
            return fail(match operators {
                Operators::None => format!("{word}: trailing garbage \"{after}\" in argument"),
                _ => no_operator(word, operators),
            });
        }
        (key, rest) = (Some(found), after_key);
    }
    if operators == Operators::None {
        return match rest {
            "" => Ok(Parsed { column, key, test: None }),
            _ => fail(format!("{word}: trailing garbage \"{rest}\" in argument")),
        };
    }
    let allowed = if operators == Operators::Equal { &OPERATORS[..1] } else { &OPERATORS[..] };
    let best =
        allowed.iter().filter(|operator| rest.starts_with(**operator)).max_by_key(|operator| operator.len());
    match best {
        Some(operator) if rest.len() > operator.len() => {
            Ok(Parsed { column, key, test: Some((operator, &rest[operator.len()..])) })
        }
        _ => fail(no_operator(word, operators)),
    }
}

fn no_operator(word: &str, operators: Operators) -> String {
    let names: Vec<String> = OPERATORS.iter().map(|operator| format!("\"{operator}\"")).collect();
    let list = match operators {
        Operators::All => format!("{}, or {}", names[..13].join(", "), names[13]),
        _ => names[0].clone(),
    };
    format!("{word}: argument does not end in {list} followed by a value.")
}

/// Which operators may stand in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operators {
    /// None, and no value.
    None,
    /// `=` alone.
    Equal,
    /// All.
    All,
}

/// Whether a row meets a condition.
///
/// # Errors
/// The word is no condition on this table.
pub fn holds(edit: &mut Edit<'_>, place: Place, word: &str) -> Result<bool, Fatal> {
    let Parsed { column, key, test } = parse(edit, place.table, word, Operators::All)?;
    let schema = edit.column_schema(place.table, column);
    let (operator, argument) = test.unwrap_or(("=", ""));
    let of_sets = operator.starts_with('{');
    let value = edit.value(place, column);
    let Some(key) = key else {
        let mut kind = schema.kind.clone();
        if of_sets {
            (kind.min, kind.max) = (0, u32::MAX);
        }
        let wanted = text(Datum::parse_text(&kind, argument, Some(&mut edit.symbols)))?;
        return Ok(compare(&value, operator, &wanted));
    };
    let Some(values) = &schema.kind.value else {
        return fail(format!("cannot specify key to check for non-map column {}", schema.name));
    };
    let key = text(heddle_ovsdb::types::Atom::parse_text(&schema.kind.key, key, Some(&mut edit.symbols)))?;
    let kind = if of_sets {
        ColumnType::set(values.clone(), 0, u32::MAX)
    } else {
        ColumnType::scalar(values.clone())
    };
    let wanted = text(Datum::parse_text(&kind, argument, Some(&mut edit.symbols)))?;
    let found = value.value_of(&key).map(|atom| Datum::set([atom.clone()]));
    match found {
        // A record without the key meets no comparison, but has a set: the empty one.
        None if !of_sets => Ok(false),
        found => Ok(compare(&found.unwrap_or_default(), operator, &wanted)),
    }
}

fn compare(value: &Datum, operator: &str, wanted: &Datum) -> bool {
    // Of two data the larger has more entries; keys come before values.
    let order = || {
        let rank = |datum: &Datum| (datum.len(), datum.keys().to_vec(), datum.values().to_vec());
        rank(value).cmp(&rank(wanted))
    };
    match operator {
        "=" | "{=}" => value == wanted,
        "!=" | "{!=}" => value != wanted,
        "<" => order().is_lt(),
        ">" => order().is_gt(),
        "<=" => order().is_le(),
        ">=" => order().is_ge(),
        "{<}" => value.is_within(wanted) && value != wanted,
        "{>}" => wanted.is_within(value) && value != wanted,
        "{<=}" | "{in}" => value.is_within(wanted),
        "{>=}" => wanted.is_within(value),
        _ => value.is_apart_from(wanted),
    }
}
