//! Messages that change what is beside the flow tables: ports, tables and meters.

pub use crate::meter::MeterMod;
pub use crate::port::PortMod;
pub use crate::table::TableMod;
