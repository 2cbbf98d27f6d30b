//! A property that holds for whatever a server says; shared by the property tests and the fuzz target.

use super::{Event, Replica, Wanted};

/// A schema as the server tells it to the replica's second request, and a first row.
const BEGINNING: &str = r#"{"id":2,"error":null,"result":{"name":"d","version":"1.0.0","tables":{"t":{"columns":{
    "name":{"type":"string"},"tags":{"type":{"key":"integer","min":0,"max":"unlimited"}},
    "ids":{"type":{"key":"string","value":"string","min":0,"max":3}}}}}}}
    {"id":3,"error":null,"result":[false,"0",{"t":{"00000000-0000-4000-8000-000000000001":{"initial":{"name":"a"}}}}]}"#;

/// Whatever a server says, the replica follows it or gives the connection up, and a cut anywhere makes no difference.
///
/// # Panics
/// If not.
pub fn replica(bytes: &[u8]) {
    let followed = |pieces: &[&[u8]]| {
        let tables = vec![("t".to_owned(), Vec::new())];
        let mut replica = Replica::new(Wanted { database: "d".into(), tables, lock: None, probe_ms: 0 });
        replica.connected(0);
        replica.receive(BEGINNING.as_bytes(), 0);
        assert!(replica.is_fresh(), "the beginning is right");
        pieces.iter().for_each(|piece| replica.receive(piece, 0));
        let broken =
            std::iter::from_fn(|| replica.next_event()).any(|event| matches!(event, Event::Broken(_)));
        let names: Vec<_> =
            replica.tables().rows("t").map(|row| (row.uuid, row.text("name").to_owned())).collect();
        (broken, names)
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(followed(&[bytes]), followed(&[first, second]));
}
