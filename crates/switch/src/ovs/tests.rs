//! Rows to bridges, without a database: a replica is told rows as a server would tell them.

use heddle_ovsdb::replica::{Replica, Wanted as Followed};
use serde_json::{Value, json};

use super::*;
use crate::schema;

/// The rows of these tables, as a switch asked for by them sees them.
fn wanted(rows: Value) -> Wanted {
    let tables = status::followed();
    let mut replica =
        Replica::new(Followed { database: "Open_vSwitch".into(), tables, lock: None, probe_ms: 0 });
    replica.connected(0);
    let tell = |replica: &mut Replica, id: u64, result: Value| {
        replica.receive(json!({"id": id, "result": result, "error": null}).to_string().as_bytes(), 0);
    };
    tell(&mut replica, 2, schema::json());
    tell(&mut replica, 3, json!([false, "0", rows]));
    assert!(replica.is_fresh(), "{:?}", replica.next_event());
    Wanted::read(replica.tables(), Options { dummies: Dummies::On, ..Options::default() })
}

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02}")
}

fn set(ids: &[u32]) -> Value {
    json!(["set", ids.iter().map(|n| json!(["uuid", id(*n)])).collect::<Vec<_>>()])
}

/// A bridge `br0` whose interfaces, each of one port, are these.
fn bridge(columns: Value, interfaces: &[Value]) -> Value {
    let ports: Vec<u32> = (0..interfaces.len() as u32).map(|n| 20 + n).collect();
    let mut row = json!({"name": "br0", "ports": set(&ports)});
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    let of = |at: u32, row: Value| (id(at), json!({"initial": row}));
    json!({
        "Open_vSwitch": {id(1): {"initial": {"bridges": set(&[2]), "next_cfg": 7}}},
        "Bridge": {id(2): {"initial": row}},
        "Port": ports.iter().map(|n| of(*n, json!({"name": id(*n), "interfaces": set(&[n + 20])}))).collect::<serde_json::Map<_, _>>(),
        "Interface": ports.iter().map(|n| of(n + 20, interfaces[(n - 20) as usize].clone())).collect::<serde_json::Map<_, _>>(),
    })
}

fn added(steps: &[Step]) -> Vec<(String, u32)> {
    let of = |step: &Step| match step {
        Step::AddInterface { interface, number, .. } => Some((interface.name.clone(), *number)),
        _ => None,
    };
    steps.iter().filter_map(of).collect()
}

fn dummy(name: &str) -> Value {
    json!({"name": name, "type": "dummy"})
}

#[test]
fn numbers_follow_requests_then_memory_then_names() {
    let wanted = wanted(bridge(
        json!({"datapath_type": "dummy"}),
        &[
            dummy("p10"),
            dummy("p2"),
            json!({"name": "old", "type": "dummy", "ofport": 1}),
            json!({"name": "asked", "type": "dummy", "ofport_request": 2, "ofport": 1}),
            json!({"name": "br0", "type": "internal"}),
        ],
    ));
    assert_eq!(wanted.next_cfg, 7);
    let steps = plan::plan(&wanted, &plan::Present::new());
    assert!(matches!(&steps[0], Step::AddBridge(_)) && matches!(&steps[1], Step::Configure(_)));
    let expected = [("br0", plan::LOCAL_NUMBER), ("asked", 2), ("old", 1), ("p2", 3), ("p10", 4)];
    assert_eq!(added(&steps), expected.map(|(name, number)| (name.to_owned(), number)));
}

#[test]
fn what_stays_is_left_alone_and_what_went_goes_first() {
    let first = wanted(bridge(json!({}), &[dummy("p1"), dummy("p2")]));
    let row = first.bridges["br0"].row;
    let interfaces = first.bridges["br0"].interfaces.clone();
    let present = |number: Option<u32>| {
        let of = |(name, made): (&String, &wanted::Interface)| (name.clone(), (made.clone(), number));
        let interfaces = interfaces.iter().map(of).collect();
        plan::Present::from([(
            "br0".to_owned(),
            plan::PresentBridge { row, interfaces, ..Default::default() },
        )])
    };
    assert!(matches!(&plan::plan(&first, &present(Some(1)))[..], [Step::Configure(_)]));
    let second = wanted(bridge(json!({}), &[dummy("p1")]));
    let steps = plan::plan(&second, &present(Some(1)));
    assert!(
        matches!(&steps[..], [Step::RemoveInterface { name, .. }, Step::Configure(_)] if name == "p2"),
        "{steps:?}"
    );
    // What could not be made is tried again.
    assert_eq!(added(&plan::plan(&first, &present(None))).len(), 2);
    assert_eq!(plan::plan(&Wanted::default(), &present(Some(1))), [Step::RemoveBridge("br0".into())]);
}

#[test]
fn a_number_that_is_asked_for_is_given_up_by_who_did_not_ask() {
    let rows = |asked: [Option<u32>; 2]| {
        let row = |name: &str, asked: Option<u32>| match asked {
            Some(number) => json!({"name": name, "type": "dummy", "ofport_request": number}),
            None => dummy(name),
        };
        wanted(bridge(json!({}), &[row("p1", asked[0]), row("p2", asked[1])]))
    };
    // Who has which number, and what is asked for then; the interfaces that are made anew, and as what.
    type Given<'a> = &'a [(&'a str, u32)];
    let cases: [([u32; 2], [Option<u32>; 2], Given<'_>); 6] = [
        ([1, 2], [None, Some(1)], &[("p2", 1), ("p1", 2)]),
        ([1, 2], [Some(2), Some(1)], &[("p1", 2), ("p2", 1)]),
        ([1, 2], [Some(1), Some(1)], &[]),
        ([1, 2], [Some(2), Some(2)], &[]),
        ([1, 2], [Some(3), None], &[("p1", 3)]),
        ([1, 2], [None, None], &[]),
    ];
    for (numbers, asked, expected) in cases {
        let before = rows([None, None]);
        let row = before.bridges["br0"].row;
        let interfaces = before.bridges["br0"].interfaces.iter();
        let interfaces = interfaces
            .zip(numbers)
            .map(|((name, made), number)| (name.clone(), (made.clone(), Some(number))))
            .collect();
        let bridge = plan::PresentBridge { row, interfaces, ..Default::default() };
        let steps = plan::plan(&rows(asked), &plan::Present::from([("br0".to_owned(), bridge)]));
        let expected: Vec<(String, u32)> =
            expected.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        assert_eq!(added(&steps), expected, "{numbers:?} {asked:?}");
    }
}

#[test]
fn a_wrong_row_is_wrong_alone() {
    let wanted = wanted(bridge(
        json!({"other_config": ["map", [["hwaddr", "02:00:00:00:00:xx"], ["datapath-id", "0x7"]]],
               "protocols": ["set", ["OpenFlow10", "OpenFlow13"]], "fail_mode": "secure"}),
        &[
            json!({"name": "vx0", "type": "vxlan"}),
            json!({"name": "odd", "type": "bogus"}),
            json!({"name": "a/b"}),
            json!({"name": "patch0", "type": "patch"}),
            json!({"name": "patch1", "type": "patch", "options": ["map", [["peer", "patch2"]]]}),
            json!({"name": "eth7", "mac": "01:00:00:00:00:00"}),
        ],
    ));
    let bridge = &wanted.bridges["br0"];
    assert_eq!((bridge.hwaddr, bridge.datapath_id), (None, Some(7)));
    assert_eq!((bridge.control.versions, bridge.control.fail_mode), (0x12, crate::config::FailMode::Secure));
    let kind = |name: &str| bridge.interfaces[name].kind.clone();
    assert_eq!(kind("vx0"), Err("vx0: interfaces of type vxlan are not supported yet".into()));
    assert!(kind("odd").unwrap_err().contains("Address family not supported by protocol"));
    assert!(kind("a/b").is_err() && kind("patch0").is_err());
    assert_eq!(kind("patch1"), Ok(Kind::Patch("patch2".into())));
    assert_eq!(bridge.interfaces["patch1"].peer_bridge, None);
    let eth = &bridge.interfaces["eth7"];
    assert_eq!((&eth.kind, eth.request, eth.mac), (&Ok(Kind::System), None, None));
}
