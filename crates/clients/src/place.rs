//! Where Open vSwitch's files are: the directories that its environment variables name.

use std::path::PathBuf;

fn directory(variable: &str, usual: &str) -> PathBuf {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map_or_else(|| usual.into(), PathBuf::from)
}

/// Sockets and pid files: `OVS_RUNDIR`, else `/var/run/openvswitch`.
pub fn run_directory() -> PathBuf {
    directory("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Logs: `OVS_LOGDIR`, else `/var/log/openvswitch`.
pub fn log_directory() -> PathBuf {
    directory("OVS_LOGDIR", "/var/log/openvswitch")
}

/// The database's socket, as clients that are not told otherwise use it.
pub fn database() -> String {
    format!("unix:{}", run_directory().join("db.sock").display())
}
