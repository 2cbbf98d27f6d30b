//! OpenFlow 1.3 by the specification, test by test: a flow or group or meter goes in through an OpenFlow connection, a packet
//! through a dummy device, and what comes out of the devices is compared byte by byte. The clock stands still until a test
//! moves it. Messages and frames are built by hand, and checksums computed anew, so that nothing is judged by itself.
#![allow(missing_docs, clippy::unwrap_used)]

mod actions;
#[path = "../common/mod.rs"]
mod common;
mod fields;
mod flow_mods;
mod frames;
mod places;
mod special_fields;
mod world;
