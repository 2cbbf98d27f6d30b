//! Actions and instructions, as the pipeline runs them.
//!
//! An action has one form here even where the wire or the text has several: `load`, `mod_dl_src` and `set_field` are
//! all [`Action::SetField`].

use heddle_flow::Field;

/// Why a packet was sent to the controller (`ofp_packet_in_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// The table-miss flow sent it.
    NoMatch = 0,
    /// An output action sent it.
    Action = 1,
    /// Its TTL was not valid.
    InvalidTtl = 2,
}

impl PacketInReason {
    /// The reason of this number.
    pub fn from_wire(reason: u8) -> Option<Self> {
        Some(match reason {
            0 => Self::NoMatch,
            1 => Self::Action,
            2 => Self::InvalidTtl,
            _ => return None,
        })
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the packet to a port, perhaps a reserved one ([`crate::port`]).
    Output {
        /// Where to.
        port: u32,
        /// Bytes to send, where the port is the controller.
        max_len: u16,
    },
    /// Copy the TTL of the next header outwards.
    CopyTtlOut,
    /// Copy the TTL of the outer header inwards.
    CopyTtlIn,
    /// Set the MPLS TTL.
    SetMplsTtl(u8),
    /// Decrement the MPLS TTL.
    DecMplsTtl,
    /// Push a VLAN tag of this Ethernet type.
    PushVlan(u16),
    /// Pop the outer VLAN tag.
    PopVlan,
    /// Push an MPLS label; the Ethernet type becomes this.
    PushMpls(u16),
    /// Pop the outer MPLS label; the Ethernet type becomes this.
    PopMpls(u16),
    /// Send what follows to a queue of the port.
    SetQueue(u32),
    /// Run a group.
    Group(u32),
    /// Set the IP TTL or hop limit.
    SetTtl(u8),
    /// Decrement the IP TTL or hop limit.
    DecTtl,
    /// Set the bits of a field that `mask` names.
    SetField {
        /// The field.
        field: Field,
        /// Its new value.
        value: u128,
        /// Bits to change.
        mask: u128,
    },
    /// Look the packet up again and run what is found (Nicira's).
    Resubmit {
        /// The input port to pretend; the packet's own where absent.
        port: Option<u32>,
        /// The table to look in; the current one where absent.
        table: Option<u8>,
    },
    /// Copy bits from one field to another (Nicira's).
    Move {
        /// From this field.
        src: Field,
        /// From this bit on.
        src_ofs: u8,
        /// To this field.
        dst: Field,
        /// From this bit on.
        dst_ofs: u8,
        /// So many bits.
        n_bits: u8,
    },
    /// Send the packet to a controller of this id, for this reason (Nicira's).
    Controller {
        /// Bytes to send.
        max_len: u16,
        /// The reason to state.
        reason: PacketInReason,
        /// Which controller.
        id: u16,
    },
    /// Bytes that mean nothing to the switch (Nicira's).
    Note(Vec<u8>),
}

/// One instruction of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Go on in this table.
    GotoTable(u8),
    /// Set the bits of the metadata that `mask` names.
    WriteMetadata {
        /// The new value.
        value: u64,
        /// Bits to change.
        mask: u64,
    },
    /// Merge these into the action set.
    Write(Vec<Action>),
    /// Run these now.
    Apply(Vec<Action>),
    /// Empty the action set.
    Clear,
    /// Pass the packet through a meter.
    Meter(u32),
}
