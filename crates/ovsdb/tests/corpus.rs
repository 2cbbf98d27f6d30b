//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_ovsdb::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn streams() {
    replay("ovsdb_framer", fuzz::framer);
}

#[test]
fn schemas() {
    replay("ovsdb_schema", fuzz::schema);
}

#[test]
fn data() {
    replay("ovsdb_datum", fuzz::datum);
}

#[test]
fn what_servers_say() {
    replay("replica", heddle_ovsdb::replica::fuzz::replica);
}

proptest! {
    #[test]
    fn arbitrary_words_of_servers(
        rows in proptest::collection::vec((
            "[0-3]", "(insert|modify|delete|initial)", "(name|tags|ids|x)",
            r#"("b"|1|\["set",\[1,2\]\]|\["map",\[\["a","b"\]\]\])"#,
        ), 0..6),
    ) {
        let said: String = rows.iter().map(|(digit, what, column, value)| {
            let row = format!(r#""00000000-0000-4000-8000-00000000000{digit}":{{"{what}":{{"{column}":{value}}}}}"#);
            format!(r#"{{"method":"update3","id":null,"params":["heddle","0",{{"t":{{{row}}}}}]}}"#)
        }).collect();
        heddle_ovsdb::replica::fuzz::replica(said.as_bytes());
    }

    #[test]
    fn arbitrary_streams(text in "([{}\\[\\],:\" ]|\\\\\"|[a-z0-9]|\\{\"id\":1,\"result\":[0-9]\\}){0,60}") {
        fuzz::framer(text.as_bytes());
    }

    #[test]
    fn arbitrary_texts_of_data(text in "[\\[{]?([-+]?[0-9]{1,3}|[a-z]{1,3}|\"[ -~]{0,5}\"|=|,| |true){0,8}[\\]}]?") {
        fuzz::datum(text.as_bytes());
    }

    #[test]
    fn arbitrary_json_of_data(items in proptest::collection::vec(any::<i64>(), 0..6), words in proptest::collection::vec("\\PC{0,6}", 0..6)) {
        fuzz::datum(serde_json::json!(["set", items]).to_string().as_bytes());
        fuzz::datum(serde_json::json!(["set", words]).to_string().as_bytes());
    }
}
