//! Writing fields, and the *commit* of what was written as `Set` actions.

use heddle_datapath::Action as Act;
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, FlowMask};
use heddle_openflow::action::Controller;
use heddle_openflow::port;
use heddle_wire::ethertype;

use super::Translation;

/// The TTL is spent, as packet-ins number it (`OFPR_INVALID_TTL`).
const INVALID_TTL: u8 = 2;

impl Translation<'_> {
    pub(super) fn write(&mut self, field: Field, value: u128, mask: u128) {
        if matches!(field, Field::VlanTci | Field::VlanVid | Field::VlanPcp) {
            // Whether a tag is changed or pushed depends on there being one.
            self.look_at(Field::VlanTci);
        }
        self.key.set_masked(field, value, mask);
        self.written.add_bits(field, mask);
        self.uncommitted.add_bits(field, mask);
    }

    /// Whether the packet has a field. What says so has been looked at then.
    pub(super) fn has(&mut self, field: Field) -> bool {
        let prerequisite = field.spec().prerequisite;
        prerequisite.fields().iter().for_each(|&field| self.look_at(field));
        prerequisite.holds(&self.key, None)
    }

    pub(super) fn set_field(&mut self, field: Field, value: u128, mask: u128) {
        if !self.has(field) {
            return;
        }
        match field {
            Field::VlanVid | Field::VlanPcp => {
                let present = u128::from(VLAN_PRESENT);
                let (value, mask) = match field {
                    Field::VlanVid => (value, mask),
                    _ => (value << 13, mask << 13),
                };
                self.write(Field::VlanTci, value | present, mask | present);
            }
            // Nicira's input port is its lower half, which has the reserved numbers at its end.
            Field::InPort if mask == 0xffff => {
                let number = port::from_16(value as u16);
                self.write(field, number.into(), u32::MAX.into());
            }
            _ => self.write(field, value, mask),
        }
    }

    /// Decrements a TTL; of a packet whose TTL is spent, the controllers of these numbers are told.
    pub(super) fn decrement_ttl(&mut self, field: Field, controllers: &[u16]) {
        if !self.has(field) {
            return;
        }
        self.look_at(field);
        let ttl = self.key.get(field);
        if ttl <= 1 {
            for &id in controllers {
                self.punt_for(&Controller { reason: INVALID_TTL, id, ..Controller::default() });
            }
            self.drop_because("TTL is spent");
            self.halted = true;
            return;
        }
        self.write(field, ttl - 1, 0xff);
    }

    pub(super) fn move_bits(&mut self, src: Field, src_ofs: u16, dst: Field, dst_ofs: u16, n_bits: u16) {
        if !self.has(src) || !self.has(dst) {
            return;
        }
        let bits = if n_bits >= 128 { u128::MAX } else { (1 << n_bits) - 1 };
        let mut looked_at = FlowMask::default();
        looked_at.add_bits(src, bits << src_ofs);
        self.look(&looked_at);
        let value = self.key.get(src) >> src_ofs & bits;
        self.set_field(dst, value << dst_ofs, bits << dst_ofs);
    }

    /// Writes out the header changes gathered since the last commit, also those that leave this packet as it is: another
    /// packet of the megaflow may have another value there.
    pub(super) fn commit(&mut self) {
        if self.queue != self.base_queue {
            self.actions.push(Act::SetQueue(self.queue));
            self.base_queue = self.queue;
        }
        for &field in COMMITTED {
            let (old, new) = (self.base.get(field), self.key.get(field));
            let mask = self.uncommitted.get(field) | old ^ new;
            if mask == 0 || !field.spec().prerequisite.holds(&self.key, None) {
                continue;
            }
            if field == Field::VlanTci && old == 0 {
                if new != 0 {
                    let tci = new as u16 & !VLAN_PRESENT;
                    self.actions.push(Act::PushVlan { tpid: ethertype::VLAN, tci });
                }
            } else if let (Field::VlanTci, Some(Act::PushVlan { tci, .. })) = (field, self.actions.last_mut())
            {
                let (value, mask) = (new as u16, mask as u16 & !VLAN_PRESENT);
                *tci = *tci & !mask | value & mask;
            } else {
                self.actions.push(Act::Set { field, value: new & mask, mask });
            }
        }
        self.base = self.key;
        self.uncommitted = FlowMask::default();
    }
}

/// Fields whose changes are written out, each by the name that covers its bits.
const COMMITTED: &[Field] = &[
    Field::PktMark,
    Field::EthDst,
    Field::EthSrc,
    Field::VlanTci,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::NwTos,
    Field::NwTtl,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::IcmpType,
    Field::IcmpCode,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::ArpOp,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::PbbIsid,
    Field::PbbUca,
];
