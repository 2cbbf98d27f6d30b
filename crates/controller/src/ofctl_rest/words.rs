//! Numbers, and the words that stand for some of them.

use heddle_openflow::group::GroupMod;
use heddle_openflow::meter::MeterMod;
use heddle_openflow::{Version, port, queue, table};
use serde_json::{Map, Value};

use super::{Refusal, literal};

/// Number of the last table that may be there.
const LAST_TABLE: u32 = 0xfe;
/// Most bytes of a packet that an action asks for, and all of them.
pub(super) const MAX_LEN: u16 = 0xffe5;
const WHOLE: u32 = 0xffff;

/// Reserved numbers of a kind: a prefix that Ryu's constants have, and the names after it.
pub(super) struct Names {
    prefix: &'static str,
    rows: &'static [(u32, &'static str)],
}

/// The reserved ports, of which versions call the last otherwise.
const fn ports(none: &'static str) -> [(u32, &'static str); 9] {
    [
        (port::MAX, "MAX"),
        (port::IN_PORT, "IN_PORT"),
        (port::TABLE, "TABLE"),
        (port::NORMAL, "NORMAL"),
        (port::FLOOD, "FLOOD"),
        (port::ALL, "ALL"),
        (port::CONTROLLER, "CONTROLLER"),
        (port::LOCAL, "LOCAL"),
        (port::ANY, none),
    ]
}

const PORTS: Names = Names { prefix: "OFPP_", rows: &ports("ANY") };
const PORTS_10: Names = Names { prefix: "OFPP_", rows: &ports("NONE") };
/// Tables.
pub(super) const TABLES: Names =
    Names { prefix: "OFPTT_", rows: &[(LAST_TABLE, "MAX"), (table::ALL as u32, "ALL")] };
const NO_NAMES: Names = Names { prefix: "OFPTT_", rows: &[] };
/// Groups.
pub(super) const GROUPS: Names = Names {
    prefix: "OFPG_",
    rows: &[(GroupMod::MAX, "MAX"), (GroupMod::ALL, "ALL"), (GroupMod::ANY, "ANY")],
};
/// Meters.
pub(super) const METERS: Names = Names {
    prefix: "OFPM_",
    rows: &[
        (MeterMod::MAX, "MAX"),
        (MeterMod::SLOWPATH, "SLOWPATH"),
        (MeterMod::CONTROLLER, "CONTROLLER"),
        (MeterMod::ALL, "ALL"),
    ],
};
/// Queues.
pub(super) const QUEUES: Names = Names { prefix: "OFPQ_", rows: &[(queue::ALL, "ALL")] };
/// Bytes of a packet for the controller.
pub(super) const LENGTHS: Names =
    Names { prefix: "OFPCML_", rows: &[(MAX_LEN as u32, "MAX"), (WHOLE, "NO_BUFFER")] };
/// Roles of a controller.
pub(super) const ROLES: Names =
    Names { prefix: "OFPCR_ROLE_", rows: &[(0, "NOCHANGE"), (1, "EQUAL"), (2, "MASTER"), (3, "SLAVE")] };

impl Names {
    /// Those of ports.
    pub(super) fn ports(version: Version) -> &'static Names {
        if version == Version::V1_0 { &PORTS_10 } else { &PORTS }
    }

    /// Those of tables, which OpenFlow 1.0 has none of.
    pub(super) fn tables(version: Version) -> &'static Names {
        if version == Version::V1_0 { &NO_NAMES } else { &TABLES }
    }

    /// Reads a number or a name, with its prefix or without.
    pub(super) fn read(&self, value: &Value) -> Result<u32, Refusal> {
        if let Ok(number) = integer(value) {
            return u32::try_from(number).map_err(|_| Refusal::bad(format!("{value} has more than 32 bits")));
        }
        let named = value.as_str().and_then(|text| {
            let name = text.strip_prefix(self.prefix).unwrap_or(text);
            self.rows.iter().find(|(_, row)| row.eq_ignore_ascii_case(name))
        });
        named
            .map(|(number, _)| *number)
            .ok_or_else(|| Refusal::bad(format!("{value} is no number and no name")))
    }

    /// Reads what stands under this key; `default` where nothing does.
    pub(super) fn get(&self, map: &Map<String, Value>, key: &str, default: u32) -> Result<u32, Refusal> {
        map.get(key).map_or(Ok(default), |value| self.read(value))
    }

    fn name(&self, number: u32) -> Option<&'static str> {
        self.rows.iter().find(|row| row.0 == number).map(|row| row.1)
    }

    /// The name, or the number.
    pub(super) fn value(&self, number: u32) -> Value {
        self.name(number).map_or_else(|| number.into(), Value::from)
    }

    /// The same in text.
    pub(super) fn text(&self, number: u32) -> String {
        self.name(number).map_or_else(|| number.to_string(), str::to_owned)
    }
}

/// Reads a port. Those of OpenFlow 1.0 have 16 bits, with the reserved ones at their end.
pub(super) fn read_port(version: Version, value: &Value) -> Result<u32, Refusal> {
    let number = Names::ports(version).read(value)?;
    match (version, u16::try_from(number)) {
        (Version::V1_0, Ok(short)) => Ok(port::from_16(short)),
        (Version::V1_0, Err(_)) if port::to_16(number).is_none() => {
            Err(Refusal::bad(format!("{value}: a port of OpenFlow 1.0 has 16 bits")))
        }
        _ => Ok(number),
    }
}

/// Reads the port under this key; `default` where nothing is.
pub(super) fn port_under(
    version: Version,
    map: &Map<String, Value>,
    key: &str,
    default: u32,
) -> Result<u32, Refusal> {
    map.get(key).map_or(Ok(default), |value| read_port(version, value))
}

/// A port's name or number; OpenFlow 1.0's numbers have 16 bits.
pub(super) fn port_value(version: Version, number: u32) -> Value {
    let names = Names::ports(version);
    match names.name(number) {
        Some(name) => name.into(),
        None if version == Version::V1_0 => (number & 0xffff).into(),
        None => number.into(),
    }
}

/// The same in text.
pub(super) fn port_text(version: Version, number: u32) -> String {
    match port_value(version, number) {
        Value::String(name) => name,
        number => number.to_string(),
    }
}

/// Reads a number, or a text that Python reads as one.
pub(super) fn integer(value: &Value) -> Result<i128, Refusal> {
    let number = match value {
        Value::Number(number) => number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from)),
        Value::String(text) => literal::integer(text),
        _ => None,
    };
    number.ok_or_else(|| Refusal::bad(format!("{value} is no integer")))
}

/// Reads a number that fits its field.
pub(super) fn number<T: TryFrom<i128>>(value: &Value) -> Result<T, Refusal> {
    T::try_from(integer(value)?)
        .map_err(|_| Refusal::bad(format!("{value} does not fit {} bits", 8 * size_of::<T>())))
}

/// Reads the number under this key; `default` where nothing is.
pub(super) fn under<T: TryFrom<i128>>(map: &Map<String, Value>, key: &str, default: T) -> Result<T, Refusal> {
    map.get(key).map_or(Ok(default), |value| number(value).map_err(|refusal| refusal.under(key)))
}

/// Reads the number that must stand under this key.
pub(super) fn needed<T: TryFrom<i128>>(map: &Map<String, Value>, key: &str) -> Result<T, Refusal> {
    number(map.get(key).unwrap_or(&Value::Null)).map_err(|refusal| refusal.under(key))
}

/// The list under this key; an empty one where nothing is.
pub(super) fn list<'a>(map: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], Refusal> {
    match map.get(key) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Refusal::bad(format!("{key} is no list"))),
    }
}

/// A dictionary.
pub(super) fn dictionary(value: &Value) -> Result<&Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| Refusal::bad(format!("{value} is no dictionary")))
}
