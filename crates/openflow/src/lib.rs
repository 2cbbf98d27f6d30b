//! OpenFlow messages and the text syntax of flows.
#![forbid(unsafe_code)]
