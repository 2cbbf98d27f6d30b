//! The table of the whole switch.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[Table {
    name: "Open_vSwitch",
    root: true,
    single: true,
    index: &[],
    says: "The whole switch: one row, from which all else hangs.",
    columns: SWITCH,
}];

const SWITCH: &[Column] = &[
    column("datapaths", "string -> ref Datapath *", "Datapaths by their type, with what they can do.")
        .later(),
    column("bridges", "ref Bridge *", "The bridges."),
    column("manager_options", "ref Manager *", "Where managers reach this database, or are called."),
    column("ssl", "ref SSL ?", "Keys for connections by SSL.").later(),
    column(
        "other_config",
        "string -> string *",
        "Rarely changed settings: `stats-update-interval` (milliseconds between updates of statistics, 5000 at least), \
        `flow-restore-wait` (`true` keeps packets from being forwarded until flows were restored).",
    ),
    EXTERNAL_IDS,
    column(
        "next_cfg",
        "integer",
        "Raised by a client with what it changes, so that it can wait for `cur_cfg`.",
    ),
    column("cur_cfg", "integer", "The `next_cfg` up to which all is in force; written by the switch."),
    column(
        "statistics",
        "string -> string *",
        "The machine's load and memory, where `other_config:enable-statistics` is `true`.",
    )
    .ephemeral()
    .later(),
    column("ovs_version", "string ?", "Version of the switch program."),
    column("db_version", "string ?", "Version of the schema."),
    column("system_type", "string ?", "The operating system's distribution."),
    column("system_version", "string ?", "The distribution's version."),
    column("datapath_types", "string *", "What `datapath_type` of a bridge may be."),
    column("iface_types", "string *", "What `type` of an interface may be."),
    column("dpdk_initialized", "boolean", "Always false: DPDK is not used."),
    column("dpdk_version", "string ?", "Always empty: DPDK is not used."),
];
