//! Datapaths and connection tracking zones.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "Datapath",
        root: false,
        single: false,
        index: &[],
        says: "A datapath type, and what it can do.",
        columns: DATAPATH,
    },
    Table {
        name: "CT_Zone",
        root: false,
        single: false,
        index: &[],
        says: "Settings of a zone of connection tracking.",
        columns: CT_ZONE,
    },
    Table {
        name: "CT_Timeout_Policy",
        root: false,
        single: false,
        index: &[],
        says: "How long idle connections are remembered.",
        columns: CT_TIMEOUT_POLICY,
    },
];

const DATAPATH: &[Column] = &[
    column("datapath_version", "string", "What forwards.").later(),
    column("ct_zones", "integer 0..65535 -> ref CT_Zone *", "Settings of its zones.").later(),
    column("capabilities", "string -> string *", "What it can do.").later(),
    column("ct_zone_default_limit", "integer 0..4294967295 ?", "Most connections of a zone without a limit.")
        .later(),
    EXTERNAL_IDS,
];

const CT_ZONE: &[Column] = &[
    column("timeout_policy", "ref CT_Timeout_Policy ?", "How long its idle connections are remembered.")
        .later(),
    column("limit", "integer 0..4294967295 ?", "Most connections that it may have.").later(),
    EXTERNAL_IDS,
];

const CT_TIMEOUT_POLICY: &[Column] = &[
    column(
        "timeouts",
        "string tcp_syn_sent|tcp_syn_recv|tcp_established|tcp_fin_wait|tcp_close_wait|tcp_last_ack|tcp_time_wait|tcp_close|tcp_syn_sent2|tcp_retransmit|tcp_unack|udp_first|udp_single|udp_multiple|icmp_first|icmp_reply -> integer 0..4294967295 *",
        "Seconds by the connection's state.",
    )
    .later(),
    EXTERNAL_IDS,
];
