//! Records and samples of traffic.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "NetFlow",
        root: false,
        single: false,
        index: &[],
        says: "Where NetFlow version 5 records go.",
        columns: NETFLOW,
    },
    Table {
        name: "sFlow",
        root: false,
        single: false,
        index: &[],
        says: "Where sFlow samples go.",
        columns: SFLOW,
    },
    Table {
        name: "IPFIX",
        root: false,
        single: false,
        index: &[],
        says: "Where IPFIX records go.",
        columns: IPFIX,
    },
    Table {
        name: "Flow_Sample_Collector_Set",
        root: true,
        single: false,
        index: &["id", "bridge"],
        says: "The collectors that flows with a `sample` action name.",
        columns: COLLECTORS,
    },
];

const NETFLOW: &[Column] = &[
    column("targets", "string +", "Collectors, each `ADDRESS:PORT`.").later(),
    column("engine_type", "integer 0..255 ?", "Engine type in records.").later(),
    column("engine_id", "integer 0..255 ?", "Engine id in records.").later(),
    column("add_id_to_interface", "boolean", "Whether interface numbers bear the engine id.").later(),
    column("active_timeout", "integer -1..", "Seconds between records of a flow that goes on.").later(),
    EXTERNAL_IDS,
];

const SFLOW: &[Column] = &[
    column("targets", "string +", "Collectors, each `ADDRESS[:PORT]`.").later(),
    column("sampling", "integer ?", "One packet in so many is sampled.").later(),
    column("polling", "integer ?", "Seconds between counter samples.").later(),
    column("header", "integer ?", "Bytes of a packet that are sent.").later(),
    column("agent", "string ?", "The interface or address that samples name as their agent.").later(),
    EXTERNAL_IDS,
];

const IPFIX: &[Column] = &[
    column("targets", "string *", "Collectors, each `ADDRESS:PORT`.").later(),
    column("sampling", "integer 1..4294967295 ?", "One packet in so many is sampled.").later(),
    column("obs_domain_id", "integer 0..4294967295 ?", "Observation domain.").later(),
    column("obs_point_id", "integer 0..4294967295 ?", "Observation point.").later(),
    column("cache_active_timeout", "integer 0..4200 ?", "Most seconds that a record waits.").later(),
    column("cache_max_flows", "integer 0..4294967295 ?", "Most records that wait.").later(),
    column("stats_interval", "integer 1..3600 ?", "Seconds between statistics of the exporter.").later(),
    column("template_interval", "integer 1..3600 ?", "Seconds between templates.").later(),
    column("other_config", "string -> string *", "Rarely changed settings.").later(),
    EXTERNAL_IDS,
];

const COLLECTORS: &[Column] = &[
    column("id", "integer 0..4294967295", "The number that actions name.").later(),
    column("bridge", "ref Bridge", "The bridge whose actions may.").later(),
    column("ipfix", "ref IPFIX ?", "Where its records go.").later(),
    column("local_group_id", "integer 0..4294967295 ?", "Multicast group on this machine where samples go.")
        .later(),
    EXTERNAL_IDS,
];
