//! The text form of atoms, sets and maps, which `ovs-vsctl`, `ovsdb-client` and others print and read.
//!
//! ```text
//! 5   -1.25   true   br0   "two words"   550e8400-e29b-41d4-a716-446655440000
//! []   [1, 2]   {}   {key=value, "other key"=7}
//! ```

use std::fmt::{self, Write};

use serde_json::Value;

use super::{Atom, AtomType, BaseType, ColumnType, Datum, Symbols, Uuid};

/// The most members that a range such as `1-4096` may stand for; Open vSwitch's figure.
pub const MAX_RANGE: i64 = 4096;

/// Characters that end an unquoted word.
const DELIMITERS: &str = ":=, []{}!<>";

/// Significant digits of a printed real number.
const DIGITS: i32 = 15;

/// Why a text is not an atom or a datum; in Open vSwitch's words, because users and tests know them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

impl TextError {
    fn new<T>(text: String) -> Result<T, Self> {
        Err(Self(text))
    }
}

/// `text` as a JSON string, in quotes.
pub fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether a string must be printed in quotes, so that it is read as a string and as one word.
pub fn needs_quotes(text: &str) -> bool {
    let mut bytes = text.bytes();
    let word = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    !word || matches!(text, "true" | "false") || starts_with_uuid(text)
}

fn starts_with_uuid(text: &str) -> bool {
    text.get(..36).is_some_and(|start| start.parse::<Uuid>().is_ok())
}

impl Atom {
    pub(super) fn write_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Real(real) => f.write_str(&real_text(*real)),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::String(text) if needs_quotes(text) => f.write_str(&quote(text)),
            Self::String(text) => f.write_str(text),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
        }
    }

    /// The text with strings bare, whatever they contain: `--data=bare` and `--bare`.
    pub fn to_bare_text(&self) -> String {
        match self {
            Self::String(text) => text.to_string(),
            other => other.to_string(),
        }
    }

    /// Reads an atom. `@NAME` stands for a row where `symbols` are given.
    ///
    /// # Errors
    /// If it is not of the type, or a constraint forbids it.
    pub fn parse_text(
        base: &BaseType,
        text: &str,
        symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, TextError> {
        let atom = match base.kind {
            AtomType::Integer => integer(text).map(Self::Integer),
            AtomType::Real => real(text).map(Self::real),
            AtomType::Boolean => boolean(text).map(Self::Boolean),
            AtomType::String => string(text).map(Self::string),
            AtomType::Uuid => uuid(text, symbols).map(Self::Uuid),
        }?;
        base.check(&atom).map_err(|error| TextError(error.to_string()))?;
        Ok(atom)
    }
}

/// A number as C's `%.15g` prints it.
fn real_text(real: f64) -> String {
    let scientific = format!("{real:.*e}", (DIGITS - 1) as usize);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{real:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// A number in C's notation: decimal, `0x` hexadecimal, or octal after a zero.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn integer(text: &str) -> Result<i64, TextError> {
    number(text).map_or_else(|| TextError::new(format!("\"{text}\" is not a valid integer")), Ok)
}

/// The two ends of `A-B`, where there is a second one.
fn range(text: &str) -> Result<(i64, i64), TextError> {
    let dash = text.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at);
    let ends = dash.and_then(|at| Some((number(&text[..at])?, number(&text[at + 1..])?)));
    let Some((start, end)) = ends else {
        let wrong = || TextError(format!("\"{text}\" is not a valid integer or range"));
        return number(text).map(|n| (n, n)).ok_or_else(wrong);
    };
    if end < start {
        return TextError::new(format!("\"{text}\" is not a valid range. Range end cannot be before start."));
    }
    if i128::from(end) - i128::from(start) >= i128::from(MAX_RANGE) {
        return TextError::new(format!("Range \"{text}\" is too big."));
    }
    Ok((start, end))
}

fn real(text: &str) -> Result<f64, TextError> {
    let number = text.parse::<f64>().ok().filter(|real| real.is_finite());
    number.map_or_else(|| TextError::new(format!("\"{text}\" is not a valid real number")), Ok)
}

fn boolean(text: &str) -> Result<bool, TextError> {
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => TextError::new(format!("\"{text}\" is not a valid boolean (use \"true\" or \"false\")")),
    }
}

fn uuid(text: &str, symbols: Option<&mut Symbols<'_>>) -> Result<Uuid, TextError> {
    if let (Some(name), Some(symbols)) = (text.strip_prefix('@'), symbols) {
        return Ok(symbols.uuid_of(name));
    }
    text.parse().map_err(|_| TextError(format!("\"{text}\" is not a valid UUID")))
}

fn string(text: &str) -> Result<String, TextError> {
    let wrong = |what: &str| TextError::new(format!("{text}: {what}"));
    if text.is_empty() {
        let advice = "An empty string is not valid as input; use \"\" to represent the empty string";
        return TextError::new(advice.to_owned());
    }
    // Programs in C could not read it back from the log.
    let whole = |text: String| match text.contains('\0') {
        true => wrong("null bytes not supported in strings"),
        false => Ok(text),
    };
    if !text.starts_with('"') {
        return whole(text.to_owned());
    }
    if text.len() < 2 || !text.ends_with('"') {
        return wrong("missing quote at end of quoted string");
    }
    let mut escaped = false;
    for byte in text[1..text.len() - 1].bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return wrong("quoted string may not include unescaped \""),
            _ => {}
        }
    }
    if escaped {
        return wrong("quoted string may not end with backslash");
    }
    serde_json::from_str(text).map_or_else(|error| wrong(&error.to_string()), whole)
}

/// Takes a word off the front of `text`: up to the closing quote if it is quoted, else up to a delimiter
/// (one of `:=, []{}!<>`). Returns the word, with its quotes, and the rest.
///
/// # Errors
/// If a quote is not closed.
pub(crate) fn split_word(text: &str) -> Result<(&str, &str), TextError> {
    if !text.starts_with('"') {
        let end = text.find(|c| DELIMITERS.contains(c)).unwrap_or(text.len());
        return Ok(text.split_at(end));
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(text.split_at(at + 1)),
            _ => {}
        }
    }
    TextError::new(format!("{text}: quoted string extends past end of argument"))
}

impl Datum {
    /// Takes an atom's word off the front of a text, as the key in `COLUMN:KEY=VALUE`: up to the closing quote if it is
    /// quoted, else up to one of `:=, []{}!<>`. Returns the word, with its quotes, and the rest.
    ///
    /// # Errors
    /// If a quote is not closed.
    pub fn split_word(text: &str) -> Result<(&str, &str), TextError> {
        split_word(text)
    }

    /// Reads a datum: `5`, `1,2`, `[1, 2]`, `k=v k2=v2`, `{k=v}`. Ranges of integers stand for their members.
    ///
    /// # Errors
    /// If it is not of the type, has too many or too few entries, or a constraint forbids one.
    pub fn parse_text(
        kind: &ColumnType,
        text: &str,
        mut symbols: Option<&mut Symbols<'_>>,
    ) -> Result<Self, TextError> {
        let mut reader = Reader { whole: text, rest: text };
        let (open, close) = if kind.is_map() { ('{', '}') } else { ('[', ']') };
        reader.skip(&[' ']);
        let bracketed = reader.take(open);
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        loop {
            reader.skip(&[' ', ',', '\n', '\t']);
            if reader.rest.is_empty() || reader.rest.starts_with(close) {
                break;
            }
            let word = reader.word()?;
            if kind.key.kind == AtomType::Integer && !kind.is_map() {
                let (start, end) = range(word)?;
                for member in start..=end {
                    let atom = Atom::Integer(member);
                    kind.key.check(&atom).map_err(|error| TextError(error.to_string()))?;
                    keys.push(atom);
                }
                continue;
            }
            keys.push(Atom::parse_text(&kind.key, word, symbols.as_deref_mut())?);
            if let Some(value) = &kind.value {
                reader.skip(&[' ']);
                reader.expect('=')?;
                reader.skip(&[' ']);
                values.push(Atom::parse_text(value, reader.word()?, symbols.as_deref_mut())?);
            }
        }
        if bracketed {
            reader.expect(close)?;
        }
        reader.skip(&[' ', '\n', '\t']);
        if !reader.rest.is_empty() {
            return TextError::new(format!("{text}: trailing garbage \"{}\"", reader.rest));
        }
        assemble(kind, text, keys, values)
    }

    /// The text of the datum: brackets around what may hold several entries, and around none.
    pub fn to_text(&self, kind: &ColumnType) -> String {
        self.text_by(kind, Atom::to_string)
    }

    fn text_by(&self, kind: &ColumnType, atom: impl Fn(&Atom) -> String) -> String {
        let (open, close) = if kind.is_map() { ('{', '}') } else { ('[', ']') };
        let bracketed = kind.is_composite() || self.is_empty();
        let mut text = String::new();
        text.extend(bracketed.then_some(open));
        for (at, key) in self.keys().iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{}", atom(key));
            if let Some(value) = self.values().get(at) {
                let _ = write!(text, "={}", atom(value));
            }
        }
        text.extend(bracketed.then_some(close));
        text
    }

    /// The text without quotes, brackets and commas: entries apart by spaces.
    pub fn to_bare_text(&self) -> String {
        let mut text = String::new();
        for (at, key) in self.keys().iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            let _ = write!(text, "{space}{}", key.to_bare_text());
            if let Some(value) = self.values().get(at) {
                let _ = write!(text, "={}", value.to_bare_text());
            }
        }
        text
    }
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, characters: &[char]) {
        self.rest = self.rest.trim_start_matches(characters);
    }

    fn take(&mut self, character: char) -> bool {
        let taken = self.rest.strip_prefix(character);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn expect(&mut self, character: char) -> Result<(), TextError> {
        if self.take(character) {
            return Ok(());
        }
        let whole = self.whole;
        match self.rest.chars().next() {
            None => {
                TextError::new(format!("{whole}: syntax error at end of input expecting \"{character}\""))
            }
            Some(found) => {
                TextError::new(format!("{whole}: syntax error at \"{found}\" expecting \"{character}\""))
            }
        }
    }

    fn word(&mut self) -> Result<&'a str, TextError> {
        let (word, rest) = split_word(self.rest)?;
        if word.is_empty() {
            return match rest.chars().next() {
                Some(found) => TextError::new(format!("{}: unexpected \"{found}\"", self.whole)),
                None => TextError::new(format!("{}: unexpected end of input", self.whole)),
            };
        }
        self.rest = rest;
        Ok(word)
    }
}

fn assemble(kind: &ColumnType, text: &str, keys: Vec<Atom>, values: Vec<Atom>) -> Result<Datum, TextError> {
    let count = keys.len();
    let (what, duplicate) = match kind.is_map() {
        true => ("pair(s)", "map contains duplicate key"),
        false => ("value(s)", "set contains duplicate value"),
    };
    for (wrong, limit, bound) in
        [(count < kind.min as usize, "minimum", kind.min), (count > kind.max as usize, "maximum", kind.max)]
    {
        if wrong {
            return TextError::new(format!(
                "{text}: {count} {what} specified but the {limit} number is {bound}"
            ));
        }
    }
    let datum = if kind.is_map() { Datum::map(keys.into_iter().zip(values)) } else { Datum::set(keys) };
    if datum.len() < count {
        return TextError::new(format!("{text}: {duplicate}"));
    }
    Ok(datum)
}
