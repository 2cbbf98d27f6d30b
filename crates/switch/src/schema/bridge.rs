//! Bridges and what hangs from them.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "Bridge",
        root: false,
        single: false,
        index: &["name"],
        says: "A bridge: ports, the flow tables between them, and who programs these.",
        columns: BRIDGE,
    },
    Table {
        name: "Flow_Table",
        root: false,
        single: false,
        index: &[],
        says: "Settings of one OpenFlow table.",
        columns: FLOW_TABLE,
    },
    Table {
        name: "Mirror",
        root: false,
        single: false,
        index: &[],
        says: "A copy of some packets of a bridge to a port or VLAN.",
        columns: MIRROR,
    },
    Table {
        name: "AutoAttach",
        root: false,
        single: false,
        index: &[],
        says: "Service ids mapped to VLANs, announced by LLDP.",
        columns: AUTO_ATTACH,
    },
];

const BRIDGE: &[Column] = &[
    column("name", "string", "Its name, which its internal port bears too.").immutable(),
    column(
        "datapath_type",
        "string",
        "`system` and `netdev` are both forwarded in user space; `dummy` is for tests.",
    ),
    column("datapath_version", "string", "Empty, or what forwards it."),
    column("datapath_id", "string ?", "Its OpenFlow id, 16 hexadecimal digits.").ephemeral(),
    column(
        "stp_enable",
        "boolean",
        "Whether it takes part in the spanning tree protocol (IEEE 802.1D-1998).",
    ),
    column(
        "rstp_enable",
        "boolean",
        "Whether it takes part in the rapid spanning tree protocol (802.1D-2004); where both are asked for, in this.",
    ),
    column("mcast_snooping_enable", "boolean", "Whether multicast goes only to those who asked for it.")
        .later(),
    column("ports", "ref Port *", "Its ports."),
    column("mirrors", "ref Mirror *", "What is mirrored.").later(),
    column("netflow", "ref NetFlow ?", "Where NetFlow records go.").later(),
    column("sflow", "ref sFlow ?", "Where sFlow samples go.").later(),
    column("ipfix", "ref IPFIX ?", "Where IPFIX records go.").later(),
    column("controller", "ref Controller *", "Its OpenFlow controllers."),
    column(
        "protocols",
        "string OpenFlow10|OpenFlow11|OpenFlow12|OpenFlow13|OpenFlow14|OpenFlow15 *",
        "The OpenFlow versions that may be spoken; all that there are where empty.",
    ),
    column(
        "fail_mode",
        "string standalone|secure ?",
        "Without a controller: `standalone` forwards by itself, `secure` obeys its flows alone.",
    ),
    column("status", "string -> string *", "How it fares, such as its place in the spanning tree.")
        .ephemeral(),
    column("rstp_status", "string -> string *", "Its place in the rapid spanning tree.").ephemeral(),
    column(
        "other_config",
        "string -> string *",
        "Rarely changed settings: `datapath-id`, `hwaddr`, `mac-aging-time` (seconds), `mac-table-size`, \
        `forward-bpdu`, `disable-in-band`, `controller-queue-size`, `packet-buffers` (packets that are kept for each \
        controller which got their beginning; none unless said). Of its spanning tree: `stp-system-id`, \
        `stp-priority`, `stp-hello-time`, `stp-max-age`, `stp-forward-delay`; `rstp-address`, `rstp-priority`, \
        `rstp-max-age`, `rstp-forward-delay`, `rstp-transmit-hold-count`, `rstp-force-protocol-version`.",
    ),
    EXTERNAL_IDS,
    column("flood_vlans", "integer 0..4095 {0,4096}", "VLANs in which addresses are not learned.").later(),
    column("flow_tables", "integer 0..254 -> ref Flow_Table *", "Settings of its OpenFlow tables."),
    column("auto_attach", "ref AutoAttach ?", "What is announced by LLDP.").later(),
];

const FLOW_TABLE: &[Column] = &[
    column("name", "string ?", "A name for the table, which clients may use."),
    column("flow_limit", "integer 0.. ?", "Most flows that it may have."),
    column(
        "overflow_policy",
        "string refuse|evict ?",
        "Whether a flow above the limit is refused or another goes.",
    ),
    column("groups", "string *", "Fields by which flows are grouped, so that the largest group loses one."),
    column(
        "prefixes",
        "string {0,4}",
        "Fields that are looked up by prefix; any are found, with or without.",
    ),
    EXTERNAL_IDS,
];

const MIRROR: &[Column] = &[
    column("name", "string", "Its name.").later(),
    column("select_all", "boolean", "Whether every packet is copied.").later(),
    column("select_src_port", "weak Port *", "Packets that came in here are copied.").later(),
    column("select_dst_port", "weak Port *", "Packets that go out here are copied.").later(),
    column("select_vlan", "integer 0..4095 {0,4096}", "Packets of these VLANs are copied.").later(),
    column("output_port", "weak Port ?", "Where copies go.").later(),
    column("output_vlan", "integer 1..4095 ?", "The VLAN in which copies go.").later(),
    column("snaplen", "integer 14..65535 ?", "Most bytes of a packet that are copied.").later(),
    column("statistics", "string -> integer *", "Packets and bytes copied.").ephemeral().later(),
    column("filter", "string ?", "A match; only packets that it covers are copied.").later(),
    EXTERNAL_IDS,
];

const AUTO_ATTACH: &[Column] = &[
    column("system_name", "string", "The name that is announced.").later(),
    column("system_description", "string", "The description that is announced.").later(),
    column("mappings", "integer 0..16777215 -> integer 0..4095 *", "Service ids to VLANs.").later(),
];
