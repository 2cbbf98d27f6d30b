//! Members of a JSON object, taken one by one; what is left over or missing is an error by name.

use serde_json::{Map, Value};

use crate::Error;

/// Reads an object that is called `name` in errors.
pub(crate) struct Members<'a> {
    name: String,
    json: &'a Value,
    members: Option<&'a Map<String, Value>>,
    used: Vec<&'a str>,
    error: Option<Error>,
}

/// What a member may be.
#[derive(Clone, Copy)]
pub(crate) enum Is {
    Any,
    Array,
    Boolean,
    Id,
    Integer,
    Number,
    Object,
    String,
    /// A string, or an object.
    Type,
}

impl Is {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Array => value.is_array(),
            Self::Boolean => value.is_boolean(),
            Self::Id => value.as_str().is_some_and(is_id),
            Self::Integer => integer(value).is_some(),
            Self::Number => value.is_number(),
            Self::Object => value.is_object(),
            Self::String => value.is_string(),
            Self::Type => value.is_string() || value.is_object(),
        }
    }
}

/// Whether `text` is an `<id>` of RFC 7047 §3.1.
pub(crate) fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The integer that a JSON number is: `1e3` and `5.0` are integers too.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    if let Some(integer) = value.as_i64() {
        return Some(integer);
    }
    let real = value.as_f64().filter(|_| !value.is_u64())?;
    let bound = 9_223_372_036_854_775_808.0;
    (real.fract() == 0.0 && (-bound..bound).contains(&real)).then_some(real as i64)
}

impl<'a> Members<'a> {
    /// Reads `json`, which must be an object.
    pub(crate) fn new(json: &'a Value, name: impl Into<String>) -> Self {
        let (name, members) = (name.into(), json.as_object());
        let error = members
            .is_none()
            .then(|| Error::plain_syntax(format!("Parsing {name} failed: Object expected.")));
        Self { name, json, members, used: Vec::new(), error }
    }

    /// The object itself.
    pub(crate) const fn json(&self) -> &'a Value {
        self.json
    }

    /// Notes that something is wrong with the object; the first such text stays.
    pub(crate) fn fail(&mut self, text: &str) {
        if self.error.is_none() {
            self.error = Some(Error::syntax(self.json, format!("Parsing {} failed: {text}", self.name)));
        }
    }

    /// The member, if it is there and of the right kind.
    pub(crate) fn optional(&mut self, name: &'static str, is: Is) -> Option<&'a Value> {
        let (key, value) = self.members?.get_key_value(name)?;
        self.used.push(key);
        if is.holds(value) {
            return Some(value);
        }
        self.fail(&format!("Type mismatch for member '{name}'."));
        None
    }

    /// The member, which must be there.
    pub(crate) fn required(&mut self, name: &'static str, is: Is) -> Option<&'a Value> {
        if self.members.is_some_and(|members| !members.contains_key(name)) {
            self.fail(&format!("Required '{name}' member is missing."));
        }
        self.optional(name, is)
    }

    /// # Errors
    /// If a member was missing, of the wrong kind, or was not asked for.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let mut left = (self.members.into_iter().flatten())
            .map(|(name, _)| name.as_str())
            .filter(|name| !self.used.contains(name));
        if let Some(first) = left.next() {
            let others = left.count();
            let text = match others {
                0 => format!("Member '{first}' is present but not allowed here."),
                1 => format!("Member '{first}' and 1 other member are present but not allowed here."),
                _ => {
                    format!("Member '{first}' and {others} other members are present but not allowed here.")
                }
            };
            self.fail(&text);
        }
        self.error.map_or(Ok(()), Err)
    }

    /// # Errors
    /// If something was wrong up to here.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.error.clone().map_or(Ok(()), Err)
    }
}
