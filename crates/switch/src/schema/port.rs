//! Ports and their queues.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "Port",
        root: false,
        single: false,
        index: &["name"],
        says: "A port of a bridge: one interface, or several as a bond.",
        columns: PORT,
    },
    Table {
        name: "QoS",
        root: true,
        single: false,
        index: &[],
        says: "How a port's packets are shaped.",
        columns: QOS,
    },
    Table {
        name: "Queue",
        root: true,
        single: false,
        index: &[],
        says: "One queue of a port.",
        columns: QUEUE,
    },
];

const PORT: &[Column] = &[
    column("name", "string", "Its name; an interface's, but for bonds.").immutable(),
    column(
        "interfaces",
        "ref Interface +",
        "Its interfaces; more than one is a bond, which is not there yet.",
    ),
    column("trunks", "integer 0..4095 {0,4096}", "VLANs that a trunk carries; all where empty.").later(),
    column("cvlans", "integer 0..4095 {0,4096}", "Customer VLANs that a dot1q tunnel takes.").later(),
    column("tag", "integer 0..4095 ?", "The VLAN of an access port, or the native one of a trunk.").later(),
    column(
        "vlan_mode",
        "string trunk|access|native-tagged|native-untagged|dot1q-tunnel ?",
        "How it treats VLANs; `access` where it has a tag, else `trunk`.",
    )
    .later(),
    column(
        "qos",
        "ref QoS ?",
        "Its queues, which controllers are told of and which packets are counted by; nothing is shaped yet.",
    ),
    column("mac", "string ?", "Ethernet address of a bond's own interface.").later(),
    column("bond_mode", "string balance-tcp|balance-slb|active-backup ?", "How a bond shares its packets.")
        .later(),
    column("lacp", "string active|passive|off ?", "Whether a bond speaks LACP.").later(),
    column("bond_updelay", "integer", "Milliseconds that a link is up before a bond uses it.").later(),
    column("bond_downdelay", "integer", "Milliseconds that a link is down before a bond leaves it.").later(),
    column("bond_active_slave", "string ?", "Address of the interface that an active-backup bond uses.")
        .later(),
    column("bond_fake_iface", "boolean", "Whether a bond shows an interface of its name to the system.")
        .later(),
    column("fake_bridge", "boolean", "Whether it stands for a bridge in a VLAN of another.").later(),
    column("status", "string -> string *", "Its state in the spanning tree.").ephemeral(),
    column("rstp_status", "string -> string *", "Its state in the rapid spanning tree.").ephemeral(),
    column("rstp_statistics", "string -> integer *", "Messages of the rapid spanning tree.").ephemeral(),
    column("statistics", "string -> integer *", "Messages of the spanning tree.").ephemeral(),
    column("protected", "boolean", "Whether packets between it and other protected ports are dropped.")
        .later(),
    column(
        "other_config",
        "string -> string *",
        "Rarely changed settings. In the spanning tree: `stp-enable`, `stp-port-num`, `stp-port-priority`, \
        `stp-path-cost`; `rstp-enable`, `rstp-port-num`, `rstp-port-priority`, `rstp-path-cost`, \
        `rstp-port-admin-edge`, `rstp-port-auto-edge`, `rstp-port-mcheck`, `rstp-admin-p2p-mac`, \
        `rstp-admin-port-state`.",
    ),
    EXTERNAL_IDS,
];

const QOS: &[Column] = &[
    column("type", "string", "`linux-htb`, `linux-hfsc` and others.").later(),
    column("queues", "integer 0..4294967295 -> ref Queue *", "Its queues by their number."),
    column(
        "other_config",
        "string -> string *",
        "Settings: `max-rate` in bit/s, of which controllers are told queues' shares.",
    ),
    EXTERNAL_IDS,
];

const QUEUE: &[Column] = &[
    column("dscp", "integer 0..63 ?", "The DSCP that its packets get.").later(),
    column(
        "other_config",
        "string -> string *",
        "Settings: `min-rate` and `max-rate` in bit/s, which controllers are told; `burst` in bits and `priority` are kept.",
    ),
    EXTERNAL_IDS,
];
