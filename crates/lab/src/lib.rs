//! Topologies, the supervisor, links and hosts of a lab, tests across them.
