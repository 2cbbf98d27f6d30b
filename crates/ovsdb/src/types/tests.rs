use serde_json::{Value, json};

use super::*;

fn kind(json: Value) -> ColumnType {
    ColumnType::from_json(&json).unwrap()
}

fn datum(kind: &ColumnType, json: Value) -> Datum {
    Datum::from_json(kind, &json, None).unwrap()
}

#[test]
fn types_are_written_as_they_are_read() {
    for json in [
        json!("integer"),
        json!({"key": "boolean", "min": 0}),
        json!({"key": "uuid", "max": 3}),
        json!({"key": "integer", "value": "boolean"}),
        json!({"key": "string", "max": "unlimited", "min": 0, "value": {"type": "uuid", "refTable": "a", "refType": "weak"}}),
        json!({"key": {"type": "integer", "enum": ["set", [-1, 4, 5]]}}),
        json!({"key": {"type": "boolean", "enum": true}}),
        json!({"key": {"type": "real", "minReal": -1.5, "maxReal": 100_000}}),
        json!({"key": {"type": "string", "minLength": 1, "maxLength": 5}}),
    ] {
        assert_eq!(kind(json.clone()).to_json(), json);
    }
    assert_eq!(kind(json!({"key": "real", "min": 1, "max": 1})).to_json(), json!("real"));
}

#[test]
fn wrong_types_are_refused_by_name() {
    for (json, text) in [
        (json!("void"), "\"void\" is not an atomic-type"),
        (json!({}), "Required 'key' member is missing."),
        (json!({"key": "real", "min": 5, "max": 3}), "ovsdb type fails constraint checks"),
        (json!({"key": "real", "max": -1}), "bad min or max value"),
        (json!({"key": "real", "colour": 1}), "Member 'colour' is present but not allowed here."),
        (
            json!({"key": {"type": "integer", "minInteger": 5, "maxInteger": 3}}),
            "minInteger exceeds maxInteger",
        ),
        (json!({"key": {"type": "string", "maxLength": -1}}), "maxLength out of valid range 0 to 4294967295"),
        (json!({"key": {"type": "uuid", "refTable": "a-b-c"}}), "Type mismatch for member 'refTable'."),
    ] {
        let error = ColumnType::from_json(&json).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn atoms_are_held_against_constraints() {
    for (base, value, text) in [
        (
            json!({"type": "integer", "enum": ["set", [6, 1]]}),
            json!(2),
            "2 is not one of the allowed values ([1, 6])",
        ),
        (json!({"type": "integer", "minInteger": 5}), json!(4), "4 is less than minimum allowed value 5"),
        (json!({"type": "real", "maxReal": -1}), json!(0), "0 is greater than maximum allowed value -1"),
        (
            json!({"type": "integer", "minInteger": -10, "maxInteger": 10}),
            json!(11),
            "11 is not in the valid range -10 to 10 (inclusive)",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("𝄞"),
            "\"𝄞\" length 1 is less than minimum allowed length 2",
        ),
        (
            json!({"type": "string", "enum": "abc"}),
            json!(""),
            "\"\" is not one of the allowed values ([abc])",
        ),
    ] {
        let base = BaseType::from_json(&base).unwrap();
        let error = Atom::from_json(&base, &value, None).unwrap_err();
        assert_eq!(error.to_string(), format!("constraint violation: {text}"));
    }
}

#[test]
fn json_of_another_type_is_refused() {
    for (kind, json, text) in [
        (AtomType::Integer, json!(0.5), "syntax \"0.5\": syntax error: expected integer"),
        (AtomType::Boolean, json!("true"), "syntax \"\"true\"\": syntax error: expected boolean"),
        (AtomType::Uuid, json!("x"), "syntax \"\"x\"\": syntax error: expected [\"uuid\", <string>]"),
        (AtomType::Uuid, json!(["named-uuid", "x"]), "expected [\"uuid\", <string>]"),
        (AtomType::Integer, json!(9_223_372_036_854_775_808u64), "expected integer"),
    ] {
        let error = Atom::parse_json(kind, &json, None).unwrap_err().to_string();
        assert!(error.ends_with(text), "{error}");
    }
    assert_eq!(Atom::parse_json(AtomType::Integer, &json!(1e3), None), Ok(Atom::Integer(1000)));
    let set = ColumnType::set(AtomType::Real.into(), 0, 5);
    let error = Datum::from_json(&set, &json!(["set", [0.0, -0.0]]), None).unwrap_err();
    assert_eq!(error.to_string(), "ovsdb error: set contains duplicate");
}

#[test]
fn named_uuids_stand_for_one_row() {
    let mut count = 0;
    let mut source = || {
        count += 1;
        Uuid::from_bytes([count; 16])
    };
    let mut symbols = Symbols::new(&mut source);
    let set = ColumnType::set(AtomType::Uuid.into(), 0, 5);
    let json = json!(["set", [["named-uuid", "b"], ["named-uuid", "a"]]]);
    let first = Datum::from_json(&set, &json, Some(&mut symbols)).unwrap();
    assert_eq!(Datum::from_json(&set, &json, Some(&mut symbols)).unwrap(), first);
    assert_eq!(first.len(), 2);
    assert_eq!(
        Datum::parse_text(&set, "@a", Some(&mut symbols)).unwrap().as_uuid(),
        Some(symbols.uuid_of("a"))
    );
}

#[test]
fn texts_are_printed_with_the_quotes_they_need() {
    let set = ColumnType::set(AtomType::String.into(), 0, 5);
    let words =
        Datum::set(["br0", "two words", "", "true", "550e8400-e29b-41d4-a716-446655440000", "9", "a.b-c_d"]);
    let text = r#"["", "550e8400-e29b-41d4-a716-446655440000", "9", a.b-c_d, br0, "true", "two words"]"#;
    assert_eq!(words.to_text(&ColumnType::set(AtomType::String.into(), 0, 9)), text);
    assert_eq!(words.to_bare_text(), " 550e8400-e29b-41d4-a716-446655440000 9 a.b-c_d br0 true two words");
    assert_eq!(Datum::empty().to_text(&set), "[]");
    assert_eq!(Datum::scalar("x").to_text(&set), "[x]");
    assert_eq!(Datum::scalar("x").to_text(&AtomType::String.into()), "x");
    let map = ColumnType { value: Some(AtomType::Integer.into()), ..set };
    assert_eq!(Datum::map([("b", 1i64), ("a:c", 2)]).to_text(&map), "{\"a:c\"=2, b=1}");
    for (real, text) in [
        (0.0, "0"),
        (-1.25, "-1.25"),
        (1e3, "1000"),
        (1e37, "1e+37"),
        (0.003_906_25, "0.00390625"),
        (1e-7, "1e-07"),
        (0.1, "0.1"),
    ] {
        assert_eq!(Atom::real(real).to_string(), text);
    }
}

#[test]
fn texts_are_read() {
    let integers = ColumnType::set(AtomType::Integer.into(), 0, u32::MAX);
    let read = |text| Datum::parse_text(&integers, text, None).map(|datum| datum.to_text(&integers));
    for (text, expected) in [
        ("0", "[0]"),
        ("0,1", "[0, 1]"),
        ("[0, 1,2 ]", "[0, 1, 2]"),
        ("-1-+2", "[-1, 0, 1, 2]"),
        ("0x10", "[16]"),
        ("", "[]"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
    }
    for (text, error) in [
        ("0.5", "\"0.5\" is not a valid integer or range"),
        ("-10--100", "\"-10--100\" is not a valid range. Range end cannot be before start."),
        ("-2000-2096", "Range \"-2000-2096\" is too big."),
        ("1,1", "1,1: set contains duplicate value"),
        ("[1", "[1: syntax error at end of input expecting \"]\""),
        ("1 ]", "1 ]: trailing garbage \"]\""),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), error);
    }
    assert_eq!(read("-2000-2095").unwrap().matches(',').count(), 4095);
    let map = kind(json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"}));
    let pairs = Datum::parse_text(&map, "{a=b \"c d\" = \"e\\n\", f=g}", None).unwrap();
    assert_eq!(pairs.text_of("c d"), Some("e\n"));
    let string: BaseType = AtomType::String.into();
    for (text, error) in [
        ("", "An empty string is not valid as input; use \"\" to represent the empty string"),
        ("\"asdf", "\"asdf: missing quote at end of quoted string"),
        ("\"as\"df\"", "\"as\"df\": quoted string may not include unescaped \""),
        ("\"asdf\\\"", "\"asdf\\\": quoted string may not end with backslash"),
    ] {
        assert_eq!(Atom::parse_text(&string, text, None).unwrap_err().to_string(), error);
    }
}

#[test]
fn differences_are_applied() {
    let set = kind(json!({"key": "integer", "min": 0, "max": 3}));
    let map = kind(json!({"key": "string", "value": "string", "min": 0, "max": 3}));
    for (kind, old, new, diff) in [
        (&set, json!(["set", [0, 1]]), json!(["set", [1, 2]]), json!(["set", [0, 2]])),
        (&set, json!(["set", [0, 1]]), json!(["set", []]), json!(["set", [0, 1]])),
        (
            &map,
            json!(["map", [["a", "1"]]]),
            json!(["map", [["b", "2"]]]),
            json!(["map", [["a", "1"], ["b", "2"]]]),
        ),
        (&map, json!(["map", [["a", "1"]]]), json!(["map", [["a", "2"]]]), json!(["map", [["a", "2"]]])),
        (&map, json!(["map", [["a", "1"]]]), json!(["map", [["a", "1"]]]), json!(["map", []])),
    ] {
        let (mut old, new) = (datum(kind, old), datum(kind, new));
        let made = old.diff(&new, kind);
        assert_eq!(made.to_json(kind), diff);
        old.apply_diff(&made, kind).unwrap();
        assert_eq!(old, new);
    }
    let mut full = datum(&set, json!(["set", [0, 1]]));
    let error = full.apply_diff(&Datum::set([2i64, 3, 4]), &set).unwrap_err();
    assert_eq!(error.to_string(), "ovsdb error: Datum crated by diff has size error");
}
