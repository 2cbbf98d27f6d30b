//! Who programs and configures the switch.

use super::{Column, EXTERNAL_IDS, Table, column};

pub(super) const TABLES: &[Table] = &[
    Table {
        name: "Controller",
        root: false,
        single: false,
        index: &[],
        says: "An OpenFlow controller that a bridge calls, or a place where controllers call.",
        columns: CONTROLLER,
    },
    Table {
        name: "Manager",
        root: false,
        single: false,
        index: &["target"],
        says: "A manager of this database that is called, or a place where managers call.",
        columns: MANAGER,
    },
    Table {
        name: "SSL",
        root: false,
        single: true,
        index: &[],
        says: "Keys for connections by SSL, which are not there yet.",
        columns: SSL,
    },
];

const CONTROLLER: &[Column] = &[
    column("type", "string primary|service ?", "Whether the fail mode asks for it: `primary`, or `service`.")
        .later(),
    column(
        "target",
        "string",
        "`tcp:ADDRESS[:PORT]` or `unix:PATH` to call, `ptcp:[PORT][:ADDRESS]` or `punix:PATH` to be called.",
    ),
    column("max_backoff", "integer 1000.. ?", "Longest wait between calls, in milliseconds."),
    column(
        "inactivity_probe",
        "integer ?",
        "Milliseconds of silence after which it is asked whether it is there; 0 for never.",
    ),
    column(
        "connection_mode",
        "string in-band|out-of-band ?",
        "Whether it stays reachable through the bridge whatever the bridge's flows say; so it does where nothing is said.",
    ),
    column("local_ip", "string ?", "Address of the bridge's own interface, in-band.").later(),
    column("local_netmask", "string ?", "Its network mask.").later(),
    column("local_gateway", "string ?", "Its gateway.").later(),
    column("enable_async_messages", "boolean ?", "Whether it gets packets and news unasked."),
    column("controller_queue_size", "integer 1..512 ?", "Packets that may wait for it while it does not read; it loses the oldest above that."),
    column("controller_rate_limit", "integer 100.. ?", "Most packets a second that it gets, of those that no flow takes and of those that flows send each."),
    column("controller_burst_limit", "integer 25.. ?", "Packets at once, and packets that may wait; a quarter of the rate where nothing is said."),
    column("other_config", "string -> string *", "Rarely changed settings.").later(),
    EXTERNAL_IDS,
    column("is_connected", "boolean", "Whether it is connected.").ephemeral(),
    column("role", "string other|master|slave ?", "The role that it took.").ephemeral(),
    column(
        "status",
        "string -> string *",
        "`state`, `sec_since_connect`, `sec_since_disconnect`, `last_error`; with a rate limit `packet-in-TYPE-backlog`, \
         `-bypassed`, `-queued` and `-dropped` for the types `miss` and `action`.",
    )
    .ephemeral(),
];

const MANAGER: &[Column] = &[
    column("target", "string", "As a controller's; the port is 6640 where none is given."),
    column("max_backoff", "integer 1000.. ?", "Longest wait between calls, in milliseconds."),
    column(
        "inactivity_probe",
        "integer ?",
        "Milliseconds of silence after which it is asked whether it is there; 0 for never.",
    ),
    column("connection_mode", "string in-band|out-of-band ?", "Whether it is reached through a bridge.")
        .later(),
    column("other_config", "string -> string *", "Rarely changed settings.").later(),
    EXTERNAL_IDS,
    column("is_connected", "boolean", "Whether it is connected.").ephemeral(),
    column(
        "status",
        "string -> string *",
        "`state`, `sec_since_connect`, `sec_since_disconnect`, `n_connections`, `bound_port`.",
    )
    .ephemeral(),
];

const SSL: &[Column] = &[
    column("private_key", "string", "File of the switch's key.").later(),
    column("certificate", "string", "File of its certificate.").later(),
    column("ca_cert", "string", "File of the certificate that vouches for peers.").later(),
    column("bootstrap_ca_cert", "boolean", "Whether that file is taken from the first peer where missing.")
        .later(),
    EXTERNAL_IDS,
];
