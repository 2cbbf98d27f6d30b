//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use heddle_datapath::Clock;
use heddle_openflow::{Command, FlowMod, Framer, decode};
use serde::{Serialize, de::DeserializeOwned};

use crate::Switch;
use crate::config::{BridgeConfig, FailMode, FromSwitch, PortConfig, PortKind, ToSwitch};
use crate::connection::Connection;

fn json_of<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("what was written can be read"), value);
}

/// A configuration that is read, and what a supervisor and a switch say to each other, are written so that they are read
/// as the same.
///
/// # Panics
/// If they are not.
pub fn config(bytes: &[u8]) {
    json_of::<Vec<BridgeConfig>>(bytes);
    json_of::<ToSwitch>(bytes);
    json_of::<FromSwitch>(bytes);
}

/// A switch with a bridge `br0` that has two dummy devices, `p1` and `p2`.
///
/// # Panics
/// If no thread can be had.
pub fn switch() -> Switch {
    let mut switch = Switch::new(Clock::default(), 7).expect("a thread can be had");
    let port = |ofport: u32| PortConfig {
        name: format!("p{ofport}"),
        ofport,
        kind: PortKind::Dummy,
        link_down: false,
        edge: false,
        removed: false,
    };
    let bridge = BridgeConfig {
        name: "br0".into(),
        datapath_id: 0x0000_0200_0000_0001,
        fail_mode: FailMode::Secure,
        protocols: Vec::new(),
        controllers: Vec::new(),
        spanning_tree: None,
        ports: vec![port(1), port(2)],
        removed: false,
    };
    switch.configure(&[bridge], &[]).expect("the configuration is good");
    switch
}

static SWITCH: LazyLock<Mutex<Switch>> = LazyLock::new(|| Mutex::new(switch()));

/// Whatever a peer says after its hello, the agent answers in messages, and no cached answer is wrong afterwards.
///
/// # Panics
/// If it does not.
pub fn agent(bytes: &[u8]) {
    let switch = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    let bridge = Arc::clone(switch.bridge("br0").expect("the bridge was made"));
    let (mut connection, mut said) = Connection::new(true, &bridge);
    let mut events = bridge.events();
    // The version is that of the first message, where there is such a one.
    let version = bytes.first().copied().filter(|version| (1..=6).contains(version)).unwrap_or(4);
    said.extend(connection.receive(&[version, 0, 0, 8, 0, 0, 0, 1], &bridge));
    said.extend(connection.receive(bytes, &bridge));
    bridge.barrier();
    while let Ok(event) = events.try_recv() {
        said.extend(connection.announce(&event, &bridge).unwrap_or_default());
    }
    said.extend(connection.tick(&bridge));
    while connection.has_updates(&bridge) {
        said.extend(connection.updates(&bridge));
    }
    let mut framer = Framer::default();
    framer.push(&said);
    while let Some(message) = framer.next_message() {
        let message = message.expect("what is said has a length");
        assert!(decode(&message).is_ok(), "{message:02x?}");
    }
    assert_eq!((framer.held(), switch.mismatches()), (0, 0));
    let everything =
        FlowMod { command: Command::Delete, table_id: FlowMod::ALL_TABLES, ..FlowMod::default() };
    bridge.bridge.flow_mod(&everything, 0).expect("everything can be deleted");
}
