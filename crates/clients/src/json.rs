//! JSON in the form that Open vSwitch's programs print it: keys sorted, reals with fifteen digits, and, where it is
//! indented, closing brackets on the last line.

use std::fmt::Write;

use serde_json::Value;

/// Writes a value on one line.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

/// Writes a value indented by two.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some(0));
    out
}

fn write(out: &mut String, value: &Value, depth: Option<usize>) {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index, inner);
                write(out, item, inner);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                separate(out, index, inner);
                let _ =
                    write!(out, "{}:{}", Value::from(name.as_str()), if depth.is_some() { " " } else { "" });
                write(out, member, inner);
            }
            out.push('}');
        }
        Value::Number(number) if number.is_f64() => *out += &real(number.as_f64().unwrap_or_default()),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn separate(out: &mut String, index: usize, depth: Option<usize>) {
    if index > 0 {
        out.push(',');
    }
    if let Some(depth) = depth {
        let _ = write!(out, "\n{:width$}", "", width = 2 * depth);
    }
}

/// Writes a real as C's `%.15g`.
pub fn real(value: f64) -> String {
    const DIGITS: i32 = 15;
    if value == 0.0 {
        return "0".into();
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trim(&format!("{value:.*}", (DIGITS - 1 - exponent).max(0) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn closing_brackets_stay_on_the_last_line() {
        let value = json!({"b": [1, "x"], "a": {"c": null}});
        assert_eq!(compact(&value), r#"{"a":{"c":null},"b":[1,"x"]}"#);
        assert_eq!(pretty(&value), "{\n  \"a\": {\n    \"c\": null},\n  \"b\": [\n    1,\n    \"x\"]}");
    }

    #[test]
    fn reals_have_fifteen_digits() {
        for (value, text) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (1e15, "1e+15"),
            (123_456.5, "123456.5"),
            (1e-5, "1e-05"),
            (-2.5e300, "-2.5e+300"),
        ] {
            assert_eq!(real(value), text);
        }
    }
}
