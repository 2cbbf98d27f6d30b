//! Messages that change what is beside the flow tables: ports, tables and meters (OpenFlow 1.3.5 section 7.3.4).

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// A change of a port's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// The port.
    pub number: u32,
    /// Its Ethernet address: says that sender and switch mean the same port.
    pub mac: [u8; 6],
    /// The bits wanted ([`crate::port::config`]).
    pub config: u32,
    /// Which of them to change.
    pub mask: u32,
    /// Features to advertise; zero leaves them as they are.
    pub advertise: u32,
}

/// A change of a table's configuration. OpenFlow 1.3 keeps the message but has given all bits up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMod {
    /// The table; 255 for all.
    pub table_id: u8,
    /// Its configuration.
    pub config: u32,
}

/// A change of the meter table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterMod {
    /// 0 adds, 1 modifies, 2 deletes.
    pub command: u16,
    /// 1 kbit/s, 2 packets a second, 4 burst, 8 statistics.
    pub flags: u16,
    /// The meter; [`MeterMod::ALL`] for all, when deleting.
    pub meter_id: u32,
    /// The bands as they stand on the wire.
    pub bands: Vec<u8>,
}

impl MeterMod {
    /// Adds a meter.
    pub const ADD: u16 = 0;
    /// Changes a meter that is there.
    pub const MODIFY: u16 = 1;
    /// Deletes meters.
    pub const DELETE: u16 = 2;
    /// Every meter.
    pub const ALL: u32 = 0xffff_ffff;
}

pub(crate) fn decode_port_mod(reader: &mut Reader<'_>) -> Result<PortMod, OfError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    let mac = reader.mac()?;
    reader.skip(2)?;
    let (config, mask, advertise) = (reader.u32()?, reader.u32()?, reader.u32()?);
    reader.skip(4)?;
    Ok(PortMod { number, mac, config, mask, advertise })
}

pub(crate) fn encode_port_mod(out: &mut Vec<u8>, port: &PortMod) {
    out.u32(port.number);
    out.zeros(4);
    out.extend_from_slice(&port.mac);
    out.zeros(2);
    out.u32(port.config);
    out.u32(port.mask);
    out.u32(port.advertise);
    out.zeros(4);
}

pub(crate) fn decode_table_mod(reader: &mut Reader<'_>) -> Result<TableMod, OfError> {
    let table_id = reader.u8()?;
    reader.skip(3)?;
    Ok(TableMod { table_id, config: reader.u32()? })
}

pub(crate) fn encode_table_mod(out: &mut Vec<u8>, table: TableMod) {
    out.u8(table.table_id);
    out.zeros(3);
    out.u32(table.config);
}

pub(crate) fn decode_meter_mod(reader: &mut Reader<'_>) -> Result<MeterMod, OfError> {
    let (command, flags, meter_id) = (reader.u16()?, reader.u16()?, reader.u32()?);
    if command > MeterMod::DELETE {
        return Err(OfError::MeterModBadCommand);
    }
    if flags & !0xf != 0 {
        return Err(OfError::MeterModBadFlags);
    }
    Ok(MeterMod { command, flags, meter_id, bands: reader.rest().to_vec() })
}

pub(crate) fn encode_meter_mod(out: &mut Vec<u8>, meter: &MeterMod) {
    out.u16(meter.command);
    out.u16(meter.flags);
    out.u32(meter.meter_id);
    out.extend_from_slice(&meter.bands);
}
