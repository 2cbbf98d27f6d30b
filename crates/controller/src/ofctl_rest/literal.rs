//! The bodies of commands: Python's literals, of which JSON is nearly a part.
//!
//! Ryu reads commands by Python's `ast.literal_eval`, so that `{'dpid': 0x1, 'match': {},}` is one; programs send what Python
//! prints of a dictionary. Both that and JSON are read here, into JSON's values. Nesting is bounded by [`MAX_DEPTH`], and
//! work and memory by the length of the text.

use serde_json::{Map, Number, Value};

/// Lists and dictionaries within each other.
pub(crate) const MAX_DEPTH: usize = 32;

/// Reads a text that is one literal.
///
/// # Errors
/// What is wrong, and at which byte.
pub(crate) fn parse(text: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at == text.len() { Ok(value) } else { reader.wrong("nothing more is expected") }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("at byte {}: {what}", self.at))
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Takes a character if it comes next, after white space.
    fn takes(&mut self, wanted: char) -> bool {
        self.space();
        let is = self.rest().starts_with(wanted);
        self.at += if is { wanted.len_utf8() } else { 0 };
        is
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.space();
        if depth > MAX_DEPTH {
            return self.wrong("too deeply nested");
        }
        match self.rest().chars().next() {
            Some('{') => self.dictionary(depth),
            Some('[') => self.list(']', depth),
            Some('(') => self.list(')', depth),
            Some('"' | '\'') => Ok(Value::String(self.string()?)),
            Some('-' | '+' | '.' | '0'..='9') => self.number(),
            Some('a'..='z' | 'A'..='Z') => self.word(),
            _ => self.wrong("a value is expected"),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut map = Map::new();
        while !self.takes('}') {
            self.space();
            if !self.rest().starts_with(['"', '\'']) {
                return self.wrong("a key in quotation marks is expected");
            }
            let key = self.string()?;
            if !self.takes(':') {
                return self.wrong("':' is expected");
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            if !self.takes(',') {
                if self.takes('}') {
                    break;
                }
                return self.wrong("',' or '}' is expected");
            }
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self, end: char, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.takes(end) {
            items.push(self.value(depth + 1)?);
            if !self.takes(',') {
                if self.takes(end) {
                    break;
                }
                return self.wrong("',' or the list's end is expected");
            }
        }
        Ok(Value::Array(items))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.rest().chars().next().unwrap_or('"');
        self.at += quote.len_utf8();
        let mut string = String::new();
        loop {
            let plain = self.rest().find([quote, '\\', '\n']);
            let Some(end) = plain else { return self.wrong("the string has no end") };
            string.push_str(&self.rest()[..end]);
            self.at += end;
            match self.rest().as_bytes().first() {
                Some(b'\\') => string.push(self.escape()?),
                Some(b'\n') => return self.wrong("the string has no end"),
                _ => break,
            }
        }
        self.at += quote.len_utf8();
        Ok(string)
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(letter) = self.rest()[1..].chars().next() else {
            return self.wrong("the string has no end");
        };
        self.at += 1 + letter.len_utf8();
        Ok(match letter {
            '"' | '\'' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' => char::from(self.hex(2)? as u8),
            'u' => {
                let mut code = self.hex(4)?;
                // JSON writes what lies beyond 16 bits as two halves.
                if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
                    self.at += 2;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (self.hex(4)? & 0x3ff);
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return self.wrong("no such escape"),
        })
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let number =
            self.rest().get(..digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(number) = number.and_then(|text| u32::from_str_radix(text, 16).ok()) else {
            return self.wrong("hexadecimal digits are expected");
        };
        self.at += digits;
        Ok(number)
    }

    fn number(&mut self) -> Result<Value, String> {
        let belongs = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
        let end = self.rest().find(|letter| !belongs(letter)).unwrap_or(self.rest().len());
        let text = &self.rest()[..end];
        let whole = integer(text).and_then(|number| match u64::try_from(number) {
            Ok(number) => Some(Number::from(number)),
            Err(_) => i64::try_from(number).ok().map(Number::from),
        });
        let hexadecimal = text.contains(['x', 'X']);
        let broken = || text.parse().ok().filter(|_| text.contains(['.', 'e', 'E']) && !hexadecimal);
        let Some(number) = whole.or_else(|| Number::from_f64(broken()?)) else {
            return self.wrong("this is no number, or too large a one");
        };
        self.at += end;
        Ok(Value::Number(number))
    }

    fn word(&mut self) -> Result<Value, String> {
        for (word, value) in [
            ("true", Value::Bool(true)),
            ("True", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("False", Value::Bool(false)),
            ("null", Value::Null),
            ("None", Value::Null),
        ] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("a value is expected")
    }
}

/// An integer as Python's `int(text, 0)` reads it: `10`, `0x1f`, `0b11`, `0o17`, `-1`, `1_000`; not `010`.
pub(super) fn integer(text: &str) -> Option<i128> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let based = |prefix: [&str; 2]| prefix.iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (radix, digits) = if let Some(digits) = based(["0x", "0X"]) {
        (16, digits.strip_prefix('_').unwrap_or(digits))
    } else if let Some(digits) = based(["0b", "0B"]) {
        (2, digits.strip_prefix('_').unwrap_or(digits))
    } else if let Some(digits) = based(["0o", "0O"]) {
        (8, digits.strip_prefix('_').unwrap_or(digits))
    } else if digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0' && byte != b'_') {
        return None;
    } else {
        (10, digits)
    };
    let grouped = !digits.is_empty() && digits.split('_').all(|group| !group.is_empty());
    if !grouped || digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if negative { -number } else { number })
}
