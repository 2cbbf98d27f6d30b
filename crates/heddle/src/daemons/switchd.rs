//! `heddle switchd`: the switch and its database in one process, for a server that has no other.

use std::path::{Path, PathBuf};

use heddle_clients::options::{Opt, Takes, opt};
use heddle_clients::place::run_directory;
use heddle_daemon::pidfile::PidFile;
use heddle_daemon::process::{Program, Stop, terminated};
use heddle_daemon::stream::{OVSDB_PORT, Target};
use heddle_ovsdb::database::Database;
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb_server::{Embedded, Served, database_directory};
use heddle_switch::ovs::{Vswitchd, run as follow};
use serde_json::{Value, json};

use super::vswitchd;

/// Remotes that the database itself lists, as `ovs-vsctl set-manager` writes them.
const MANAGERS: &str = "db:Open_vSwitch,Open_vSwitch,manager_options";

/// The switch's options, and the database's.
const OPTIONS: &[Opt] = &[
    vswitchd::OPTIONS[0],
    vswitchd::OPTIONS[1],
    vswitchd::OPTIONS[2],
    vswitchd::OPTIONS[3],
    opt("remote", ' ', Takes::Value),
];

/// Its pid file, log file and control socket have the names that `ovs-appctl` looks for.
pub const PROGRAM: Program = Program {
    name: "ovs-vswitchd",
    options: OPTIONS,
    usage: "heddle switchd: a virtual switch and its database, for ovs-vsctl, ovs-ofctl and ovs-appctl
usage: heddle switchd [OPTIONS] [FILE]
where FILE is the database (default: conf.db in OVS_DBDIR, else in /etc/openvswitch); it is
made where it is missing.

It serves the database at unix:RUNDIR/db.sock and where `ovs-vsctl set-manager` says, and keeps
its pid files and control sockets in RUNDIR: OVS_RUNDIR, else /var/run/openvswitch.

Examples:
  heddle switchd                                as root, in the foreground
  heddle switchd --detach --log-file            in the background
  OVS_RUNDIR=/tmp/hd OVS_DBDIR=/tmp/hd heddle switchd --enable-dummy=override
                                                without privileges, on dummy interfaces

Switch options:
  --enable-dummy[=override|system]  allow dummy devices; override: all devices are such
  --disable-system        refuse devices of the system
  --disable-system-route, --mlockall  accepted

Database options:
  --remote=REMOTE         listen on or connect to REMOTE as well:
                          punix:FILE, ptcp:[PORT][:IP], unix:FILE, tcp:IP:PORT, db:DB,TABLE,COLUMN
",
};

/// The directory, made if it is missing.
fn run_directory_made() -> Result<PathBuf, Stop> {
    let directory = run_directory();
    std::fs::create_dir_all(&directory).map_err(|error| {
        let reason = heddle_clients::fatal::reason(&error);
        Stop::failed(format!(
            "{}: the run directory cannot be made ({reason}); run as root, or name another by OVS_RUNDIR \
             (and OVS_DBDIR, for the database)",
            directory.display()
        ))
    })?;
    Ok(directory)
}

fn served(
    directory: &Path,
    positional: &[String],
    remotes: Vec<String>,
    control: bool,
) -> Result<Served, Stop> {
    let database = match positional {
        [] => database_directory().join("conf.db"),
        [file] => std::path::absolute(file)?,
        _ => return Err(Stop::failed("at most one database may be named; use --help for usage")),
    };
    let schema = Schema::from_json(&heddle_switch::schema::json());
    let own = format!("punix:{}", directory.join("db.sock").display());
    let name = format!("ovsdb-server.{}.ctl", std::process::id());
    Ok(Served {
        database,
        schema: schema.map_err(|error| Stop::failed(error.to_string()))?,
        remotes: [own, MANAGERS.to_owned()].into_iter().chain(remotes).collect(),
        control: control.then(|| directory.join(name)),
        first: Box::new({
            let directory = directory.display().to_string();
            move |database| self_description(database, &directory)
        }),
    })
}

/// Operations that say which system this is, as Open vSwitch's scripts do at each start: tunnels' and OVN's users find
/// it by its `system-id`. What somebody has set stands, but for the run directory.
fn self_description(database: &Database, directory: &str) -> Vec<Value> {
    let empty = database.table("Open_vSwitch").is_none_or(|table| table.rows().next().is_none());
    let hostname = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    let ids = [
        ("system-id", heddle_ovsdb_server::random_uuid().to_string()),
        ("hostname", hostname),
        ("rundir", directory.to_owned()),
    ];
    let insert = json!({"op": "insert", "table": "Open_vSwitch", "row": {}});
    let describe = json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [
        ["external_ids", "delete", ["set", ["rundir"]]],
        ["external_ids", "insert", ["map", ids]],
    ]});
    empty.then_some(insert).into_iter().chain([describe]).collect()
}

/// Runs until an operator or a signal ends it.
///
/// # Errors
/// Something is wrong, or there is nothing to run.
pub fn run(words: &[String]) -> Result<(), Stop> {
    let mut asked = PROGRAM.parse(words)?;
    let (remotes, of_switch): (Vec<_>, Vec<_>) =
        asked.own.drain(..).partition(|option| option.name == "remote");
    let mut options = vswitchd::options(&of_switch)?;
    options.says_versions = true;
    let directory = run_directory_made()?;
    let socket = asked.control_socket();
    let remotes = remotes.iter().map(|option| option.text().to_owned()).collect();
    let served = served(&directory, &asked.positional, remotes, socket.is_some())?;
    // Clients find the daemons by their pid files, so they are there unasked.
    asked.pidfile.get_or_insert_default();
    let mut process = asked.start()?;
    let pidfile = PidFile::create(&directory.join("ovsdb-server.pid"), asked.overwrite_pidfile);
    let pidfile = pidfile.map_err(|error| Stop::failed(error.to_string()))?;
    let (orders, exits) = tokio::sync::mpsc::channel(1);
    let database = Embedded::start(served, orders.clone())?;
    let target = format!("unix:{}", directory.join("db.sock").display());
    let target = Target::parse(&target, OVSDB_PORT).map_err(|error| Stop::failed(error.to_string()))?;
    let switch = crate::switch::new().map_err(|error| Stop::failed(format!("{error:#}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        let vswitchd = Vswitchd::new(switch, &directory, options);
        let (commands, mut own) = vswitchd::commands(&vswitchd, PROGRAM.name);
        tokio::spawn(async move {
            while let Some(order) = own.recv().await {
                let _ = orders.send(order).await;
            }
        });
        let control = vswitchd::open(socket, commands).await?;
        log::info!(target: "bridge", "{}", heddle_daemon::version(PROGRAM.name).lines().next().unwrap_or_default());
        let ended = async {
            let _ = terminated().await;
        };
        let ready = || {
            if let Err(error) = process.ready() {
                log::warn!(target: "daemon", "the background cannot be entered: {error}");
            }
        };
        let exit = follow::run(vswitchd, target, exits, ended, ready).await?;
        database.end(exit);
        if let Some(control) = control {
            control.close().await;
        }
        Ok::<(), Stop>(())
    });
    drop(pidfile);
    exit
}
