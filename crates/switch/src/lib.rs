//! Bridges: configuration to pipeline and datapath, OpenFlow connections, unixctl.

pub mod config;
