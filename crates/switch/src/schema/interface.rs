//! Interfaces.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[Table {
    name: "Interface",
    root: false,
    single: false,
    index: &["name"],
    says: "A device of a port.",
    columns: INTERFACE,
}];

const INTERFACE: &[Column] = &[
    column("name", "string", "Its name, at most 15 letters for devices of the system.").immutable(),
    column(
        "type",
        "string",
        "`system` (or empty: a device that the system has), `internal`, `tap`, `patch`, `dummy`; see `iface_types`.",
    ),
    column("options", "string -> string *", "Settings of its type: `peer` of a patch."),
    column(
        "ingress_policing_rate",
        "integer 0..",
        "Most kbit/s that it may send to the switch; 0 for no limit.",
    )
    .later(),
    column("ingress_policing_burst", "integer 0..", "Burst for that rate, in kbit.").later(),
    column("ingress_policing_kpkts_rate", "integer 0..", "Most thousand packets a second; 0 for no limit.")
        .later(),
    column("ingress_policing_kpkts_burst", "integer 0..", "Burst for that rate, in thousand packets.")
        .later(),
    column("mac_in_use", "string ?", "Its Ethernet address.").ephemeral(),
    column("mac", "string ?", "The Ethernet address that it is to have, for internal ones."),
    column("ifindex", "integer 0..4294967295 ?", "Its number in the system.").ephemeral(),
    EXTERNAL_IDS,
    column("ofport", "integer ?", "Its OpenFlow port number; -1 where the device could not be had."),
    column("ofport_request", "integer 1..65279 ?", "The OpenFlow port number that it is to have."),
    column("bfd", "string -> string *", "Settings of bidirectional forwarding detection.").later(),
    column("bfd_status", "string -> string *", "What that detects.").ephemeral().later(),
    column("cfm_mpid", "integer ?", "Its maintenance point id (IEEE 802.1ag).").later(),
    column("cfm_remote_mpids", "integer *", "Maintenance points that were heard.").ephemeral().later(),
    column("cfm_flap_count", "integer ?", "How often the fault came and went.").later(),
    column("cfm_fault", "boolean ?", "Whether there is a fault.").ephemeral().later(),
    column("cfm_fault_status", "string *", "Which.").ephemeral().later(),
    column("cfm_remote_opstate", "string up|down ?", "What the other end says of itself.")
        .ephemeral()
        .later(),
    column("cfm_health", "integer 0..100 ?", "Share of messages that came, in percent.").ephemeral().later(),
    column("lacp_current", "boolean ?", "Whether LACP messages come.").ephemeral().later(),
    column("lldp", "string -> string *", "Settings of LLDP.").later(),
    column("other_config", "string -> string *", "Rarely changed settings.").later(),
    column(
        "statistics",
        "string -> integer *",
        "Packets, bytes, drops and errors; what the device does not count is left out.",
    )
    .ephemeral(),
    column("status", "string -> string *", "`driver_name` and others.").ephemeral(),
    column("admin_state", "string up|down ?", "Whether it is meant to be up.").ephemeral(),
    column("link_state", "string up|down ?", "Whether it has a link.").ephemeral(),
    column("link_resets", "integer ?", "How often the link changed.").ephemeral(),
    column("link_speed", "integer ?", "Its speed in bit/s.").ephemeral(),
    column("duplex", "string half|full ?", "Whether both ends may send at once.").ephemeral(),
    column("mtu", "integer ?", "The largest packet in bytes, without the Ethernet header.").ephemeral(),
    column("mtu_request", "integer 1.. ?", "The MTU that it is to have."),
    column("error", "string ?", "Why the device could not be had or set up."),
];
