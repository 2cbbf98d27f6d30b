//! `heddle vswitchd`, which is `ovs-vswitchd`: the switch of a database that another process serves.

use std::path::PathBuf;
use std::sync::Arc;

use heddle_clients::options::{Given, Opt, Takes, opt};
use heddle_clients::place::{database, run_directory};
use heddle_daemon::process::{Program, Stop, terminated};
use heddle_daemon::stream::{OVSDB_PORT, Target};
use heddle_daemon::unixctl::{Commands, Coverage, Server, common};
use heddle_switch::ovs::{Dummies, Options, Vswitchd, run as follow};

/// Options of the switch.
pub const OPTIONS: &[Opt] = &[
    opt("enable-dummy", ' ', Takes::Maybe),
    opt("disable-system", ' ', Takes::Nothing),
    opt("disable-system-route", ' ', Takes::Nothing),
    opt("mlockall", ' ', Takes::Nothing),
    opt("dpdk", ' ', Takes::Nothing),
    opt("hw-rawio-access", ' ', Takes::Nothing),
    opt("dummy-numa", ' ', Takes::Value),
];

/// Counters that scripts read, whether they count or not.
const COUNTERS: &[&str] = &["dp_packet_batch_grow"];

pub const PROGRAM: Program = Program {
    name: "ovs-vswitchd",
    options: OPTIONS,
    usage: "ovs-vswitchd: Heddle's switch daemon, which stands in for Open vSwitch's
usage: ovs-vswitchd [OPTIONS] [DATABASE]
where DATABASE is a socket on which ovsdb-server is listening
      (default: \"unix:RUNDIR/db.sock\").

Active DATABASE connection methods:
  tcp:HOST:PORT           PORT at remote HOST
  unix:FILE               Unix domain socket named FILE

Switch options:
  --enable-dummy[=override|system]  allow dummy devices; override: all devices are such
  --disable-system        refuse devices of the system
  --disable-system-route, --mlockall  accepted
",
};

/// What the switch's options say.
///
/// # Errors
/// An option asks for what there is not.
pub fn options(given: &[Given]) -> Result<Options, Stop> {
    let mut options = Options::default();
    for option in given {
        match (option.name.as_str(), option.text()) {
            ("enable-dummy", "override") => options.dummies = Dummies::Override,
            ("enable-dummy", "" | "system") => options.dummies = Dummies::On,
            ("enable-dummy", other) => {
                return Err(Stop::failed(format!("--enable-dummy={other} is not known")));
            }
            ("disable-system", _) => options.without_system = true,
            ("dpdk", _) => return Err(Stop::failed("DPDK is not supported; omit --dpdk")),
            _ => {}
        }
    }
    Ok(options)
}

/// Runs until an operator or a signal ends it.
///
/// # Errors
/// Something is wrong, or there is nothing to run.
pub fn run(words: &[String]) -> Result<(), Stop> {
    let asked = PROGRAM.parse(words)?;
    let options = options(&asked.own)?;
    let target = match &asked.positional[..] {
        [] => database(),
        [target] => target.clone(),
        _ => return Err(Stop::failed("at most one non-option argument accepted; use --help for usage")),
    };
    let target = Target::parse(&target, OVSDB_PORT).map_err(|error| Stop::failed(error.to_string()))?;
    let socket = asked.control_socket();
    let mut process = asked.start()?;
    let switch = crate::switch::new().map_err(|error| Stop::failed(format!("{error:#}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let vswitchd = Vswitchd::new(switch, &run_directory(), options);
        let (commands, exits) = commands(&vswitchd, PROGRAM.name);
        let control = open(socket, commands).await?;
        log::info!(target: "vswitchd", "{}", heddle_daemon::version(PROGRAM.name).lines().next().unwrap_or_default());
        let ended = async {
            let _ = terminated().await;
        };
        let ready = || {
            if let Err(error) = process.ready() {
                log::warn!(target: "daemon", "the background cannot be entered: {error}");
            }
        };
        let exit = follow::run(vswitchd, target, exits, ended, ready).await?;
        if let Some(exit) = exit {
            exit.done();
        }
        if let Some(control) = control {
            control.close().await;
        }
        Ok(())
    })
}

/// The commands of a switch, and the orders to end that come by them.
pub fn commands(
    vswitchd: &Vswitchd,
    program: &'static str,
) -> (Commands, tokio::sync::mpsc::Receiver<heddle_daemon::unixctl::Exit>) {
    let mut commands = Commands::default();
    let coverage = Coverage::default();
    coverage.know(COUNTERS);
    let exits = common(&mut commands, program, coverage);
    heddle_switch::unixctl::add_to(&mut commands, vswitchd.bridges());
    (commands, exits)
}

/// Opens the control socket, where there is to be one.
///
/// # Errors
/// It cannot be made.
pub async fn open(socket: Option<PathBuf>, commands: Commands) -> Result<Option<Server>, Stop> {
    match socket {
        Some(path) => Ok(Some(Server::open(&path, Arc::new(commands)).await?)),
        None => Ok(None),
    }
}
