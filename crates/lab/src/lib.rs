//! Topologies, the supervisor, links and hosts of a lab, tests across them.
#![forbid(unsafe_code)]

pub mod topology;
