//! Roles of controllers, and which messages come to them unasked (OpenFlow 1.2 section A.3.9 and OpenFlow 1.3.5 section 7.3.10
//! to OpenFlow 1.5.1 sections 7.3.8, 7.3.10 and 7.4.4).

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::property;
use crate::version::{Form, Version};

/// Nobody has said a generation.
pub const NO_GENERATION: u64 = u64::MAX;

/// Roles (`ofp_controller_role`).
pub mod number {
    /// Asks what the role is.
    pub const NO_CHANGE: u32 = 0;
    /// May change the switch, as any other of this role.
    pub const EQUAL: u32 = 1;
    /// May change the switch; the one master there is.
    pub const MASTER: u32 = 2;
    /// May only read.
    pub const SLAVE: u32 = 3;
    /// Names as Open vSwitch has them, by number.
    pub const NAMES: [&str; 4] = ["nochange", "equal", "primary", "secondary"];
}

/// Why a role changed.
pub mod status_reason {
    /// Another controller asked to be master.
    pub const MASTER_REQUEST: u8 = 0;
    /// The switch's configuration says so.
    pub const CONFIG: u8 = 1;
    /// What an experimenter said has changed.
    pub const EXPERIMENTER: u8 = 2;
}

/// A controller's role changed without its asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// The new role ([`number`]).
    pub role: u32,
    /// Why ([`status_reason`]).
    pub reason: u8,
    /// The master's generation, or [`NO_GENERATION`].
    pub generation: u64,
}

/// Reads role and generation; Nicira's form has no generation.
pub(crate) fn decode_role(reader: &mut Reader<'_>, form: Form) -> Result<(u32, u64), OfError> {
    let role = reader.u32()?;
    if form.nicira {
        // Nicira numbers them from equal on.
        return match role {
            0..=2 => Ok((role + 1, 0)),
            _ => Err(OfError::RoleBadRole),
        };
    }
    if role > number::SLAVE {
        return Err(OfError::RoleBadRole);
    }
    reader.skip(4)?;
    Ok((role, reader.u64()?))
}

pub(crate) fn encode_role(out: &mut Vec<u8>, form: Form, role: u32, generation: u64) {
    if form.nicira {
        return out.u32(role.saturating_sub(1));
    }
    out.u32(role);
    out.zeros(4);
    out.u64(generation);
}

pub(crate) fn decode_status(reader: &mut Reader<'_>) -> Result<RoleStatus, OfError> {
    let (role, reason) = (reader.u32()?, reader.u8()?);
    reader.skip(3)?;
    let generation = reader.u64()?;
    if !(number::EQUAL..=number::SLAVE).contains(&role) || reason > status_reason::EXPERIMENTER {
        return Err(OfError::RequestBadPacket);
    }
    // Properties are experimenters' alone, and say nothing here.
    reader.rest();
    Ok(RoleStatus { role, reason, generation })
}

pub(crate) fn encode_status(out: &mut Vec<u8>, status: &RoleStatus) {
    out.u32(status.role);
    out.u8(status.reason);
    out.zeros(3);
    out.u64(status.generation);
}

/// What may come unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum AsyncKind {
    /// Packets, by their reason.
    PacketIn,
    /// Ports that come, go and change.
    PortStatus,
    /// Flows that have gone, by their reason.
    FlowRemoved,
    /// Roles that change, by their reason.
    RoleStatus,
    /// Tables that fill and empty.
    TableStatus,
    /// Changes that another controller asks for.
    RequestForward,
}

impl AsyncKind {
    /// Every kind, by number.
    pub const ALL: [AsyncKind; 6] = [
        Self::PacketIn,
        Self::PortStatus,
        Self::FlowRemoved,
        Self::RoleStatus,
        Self::TableStatus,
        Self::RequestForward,
    ];

    /// Its name, as clients print it.
    pub fn name(self) -> &'static str {
        ["PACKET_IN", "PORT_STATUS", "FLOW_REMOVED", "ROLE_STATUS", "TABLE_STATUS", "REQUESTFORWARD"]
            [self as usize]
    }

    /// Reasons that a version has, as bits.
    pub fn known(self, version: Version) -> u32 {
        let newer = version >= Version::V1_4;
        match self {
            Self::PacketIn => [0x7, 0x3f][usize::from(newer)],
            Self::PortStatus => 0x7,
            Self::FlowRemoved => [0xf, 0x3f][usize::from(newer)],
            Self::RoleStatus => 0x7,
            Self::TableStatus => 0x18,
            Self::RequestForward => 0x3,
        }
    }
}

/// Which messages come unasked, as bits by reason. OpenFlow 1.4 says only what is to change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// To masters and equals, by [`AsyncKind`].
    pub master: [Option<u32>; 6],
    /// To slaves.
    pub slave: [Option<u32>; 6],
}

impl AsyncConfig {
    /// Puts what this says into masks that are in force, each pair those of masters and of slaves.
    pub fn apply(&self, masks: &mut [[u32; 2]; 6]) {
        for (index, pair) in masks.iter_mut().enumerate() {
            pair[0] = self.master[index].unwrap_or(pair[0]);
            pair[1] = self.slave[index].unwrap_or(pair[1]);
        }
    }

    /// The masks that are in force, as an answer says them.
    #[must_use]
    pub fn of(masks: &[[u32; 2]; 6]) -> Self {
        Self { master: masks.map(|pair| Some(pair[0])), slave: masks.map(|pair| Some(pair[1])) }
    }
}

/// Kinds that the older form says, without properties.
const OLDER: [AsyncKind; 3] = [AsyncKind::PacketIn, AsyncKind::PortStatus, AsyncKind::FlowRemoved];

/// Reads which messages come unasked. `properties` says that they are said as OpenFlow 1.4 does.
pub(crate) fn decode_async(
    reader: &mut Reader<'_>,
    form: Form,
    properties: bool,
) -> Result<AsyncConfig, OfError> {
    let mut config = AsyncConfig::default();
    if !properties {
        for kind in OLDER {
            // Reasons that there are not are ignored: these versions have no error for them.
            let known = kind.known(form.version);
            config.master[kind as usize] = Some(reader.u32()? & known);
            config.slave[kind as usize] = Some(reader.u32()? & known);
        }
        return Ok(config);
    }
    while reader.left() != 0 {
        let (number, mut body) = property::next(reader)?;
        let Some(kind) = AsyncKind::ALL.get(usize::from(number) / 2) else {
            return Err(OfError::AsyncUnsupported);
        };
        let mask = body.u32()?;
        if mask & !kind.known(form.version.max(Version::V1_4)) != 0 {
            return Err(OfError::AsyncInvalid);
        }
        property::end(&body)?;
        let side = if number % 2 == 0 { &mut config.slave } else { &mut config.master };
        side[*kind as usize] = Some(mask);
    }
    Ok(config)
}

pub(crate) fn encode_async(out: &mut Vec<u8>, config: &AsyncConfig, properties: bool) {
    if !properties {
        for kind in OLDER {
            out.u32(config.master[kind as usize].unwrap_or(0));
            out.u32(config.slave[kind as usize].unwrap_or(0));
        }
        return;
    }
    for kind in AsyncKind::ALL {
        let index = kind as usize;
        for (number, mask) in [(2 * index, config.slave[index]), (2 * index + 1, config.master[index])] {
            if let Some(mask) = mask {
                property::put(out, number as u16, |out| out.u32(mask));
            }
        }
    }
}
