//! The border between the datapath and whoever decides: what a translation yields, and what a cached one must answer.
//!
//! The datapath knows nothing of tables or bridges. It asks a [`Translator`] once per miss, keeps the [`Decision`] with the
//! megaflow, asks it whether it still stands when anything has changed, and tells it what was forwarded by it.

use std::sync::Arc;

use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_wire::Packet;

use crate::concern::{Change, Concern};
use crate::meter::Meter;

/// A datapath action, executed in order on the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send by this datapath port.
    Output(u32),
    /// Set bits of a header field; checksums follow.
    Set {
        /// The field, of the packet's part of the key.
        field: Field,
        /// Its new value.
        value: u128,
        /// Which of its bits change.
        mask: u128,
    },
    /// Push a VLAN tag.
    PushVlan {
        /// Tag protocol identifier.
        tpid: u16,
        /// Priority and VLAN id.
        tci: u16,
    },
    /// Pop the outer VLAN tag.
    PopVlan,
    /// Push an MPLS label stack entry.
    PushMpls {
        /// Ethernet type of the labelled packet.
        ethertype: u16,
        /// The entry.
        lse: u32,
    },
    /// Pop the outer MPLS label stack entry.
    PopMpls {
        /// Ethernet type of what is left.
        ethertype: u16,
    },
    /// Push a provider backbone bridge's service tag behind addresses that are repeated inside.
    PushPbb {
        /// The tag (IEEE 802.1ah).
        tag: u32,
    },
    /// Pop the service tag and the addresses before it.
    PopPbb,
    /// Copy the TTL of the second header with one, a label or IP beneath a label, to the outer one.
    CopyTtlOut,
    /// Copy the TTL of the outer header to the second one.
    CopyTtlIn,
    /// Let what follows leave by this queue of a device; 0 is the device's own choice.
    SetQueue(u32),
    /// Cut the packet to so many bytes.
    Truncate(u32),
    /// Go on if the meter lets the packet pass, perhaps marked.
    Meter(Arc<Meter>),
    /// Look the packet up again, as it now is, under this recirculation id.
    Recirculate(u32),
    /// Run actions on a copy, so that what they change is not seen by the actions that follow.
    Clone(Box<[Action]>),
    /// Hand the packet, as it now is, to the translator.
    Punt {
        /// What the translator knows the reason by.
        id: u32,
        /// Bytes that are wanted.
        max_len: u16,
    },
}

/// What a translation yields.
pub struct Translation {
    /// What to do with packets of this kind; nothing means drop.
    pub actions: Vec<Action>,
    /// Every bit that the decision looked at.
    pub mask: FlowMask,
    /// Who is credited, and what must stand for this to stay true.
    pub decision: Box<dyn Decision>,
    /// Whether later packets may be decided by this.
    pub cacheable: bool,
    /// The name of the reason, when the packet is dropped on purpose.
    pub drop: Option<&'static str>,
}

/// What was forwarded by a decision since it was last credited, in wire packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// When the last of them passed, in milliseconds of the datapath's clock.
    pub used_ms: u64,
    /// TCP flags seen.
    pub tcp_flags: u16,
}

/// What a megaflow keeps of its translation.
pub trait Decision: Send {
    /// Whether all that the decision depended on still stands for packets of this key and mask. Changes up to the number
    /// `known` are known not to concern it. May remember that it has looked.
    fn is_current(&mut self, key: &FlowKey, mask: &FlowMask, known: u64) -> bool;
    /// What the decision depends on, for packets of this key and mask: a change elsewhere leaves it standing without its
    /// being asked.
    fn concern(&self, _key: &FlowKey, _mask: &FlowMask) -> Concern {
        Concern::ALL
    }
    /// Credits flows, ports and learned addresses.
    fn credit(&self, usage: &Usage);
}

/// Who decides on packets that no cache knows.
pub trait Translator: Send + 'static {
    /// The change number of all that translations depend on. Read once a batch; a decision that was checked at this
    /// number needs no check.
    fn change_number(&self) -> u64;
    /// Tells `each` of the changes after `since` up to `number`; false where they are no longer all known, which may mean
    /// anything.
    fn changes(&self, _since: u64, _number: u64, _each: &mut dyn FnMut(Change)) -> bool {
        false
    }
    /// Decides. With `effects` off nothing is learned, counted or sent.
    fn translate(
        &mut self,
        key: &FlowKey,
        packet: Option<&Packet>,
        now_ms: u64,
        effects: bool,
    ) -> Translation;
    /// Takes a packet that [`Action::Punt`] hands over; `key` is what it came in with.
    fn punt(&mut self, id: u32, key: &FlowKey, packet: &Packet, max_len: u16, now_ms: u64);
}
