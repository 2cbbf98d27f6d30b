//! Choosing a link or a port by the packet's connection (Nicira's `multipath` and `bundle`).

use heddle_openflow::action::{Bits, Bundle, BundleAlgorithm, Multipath};
use heddle_openflow::port;

use super::Translation;
use crate::hash;

impl Translation<'_> {
    pub(super) fn multipath(&mut self, multipath: &Multipath) {
        let (hash, fields) = hash::of_fields(&self.key, multipath.fields, multipath.basis);
        fields.into_iter().for_each(|field| self.look_at(field));
        self.set_bits(multipath.dst, hash::link(hash, multipath).into());
    }

    pub(super) fn bundle(&mut self, bundle: &Bundle) {
        let snapshot = std::sync::Arc::clone(&self.stay.snapshot);
        let live = |&member: &u32| snapshot.ports.get(&member).is_some_and(|port| port.is_live());
        let chosen = match bundle.algorithm {
            BundleAlgorithm::ActiveBackup => bundle.members.iter().copied().find(live),
            BundleAlgorithm::Hrw => {
                let (hash, fields) = hash::of_fields(&self.key, bundle.fields, bundle.basis);
                fields.into_iter().for_each(|field| self.look_at(field));
                let is_live = |index: usize| live(&bundle.members[index]);
                hash::highest(hash, bundle.members.len(), is_live).map(|index| bundle.members[index])
            }
        };
        match (bundle.dst, chosen) {
            // No port has Nicira's number for none.
            (Some(dst), chosen) => {
                let number = chosen.and_then(port::to_16).unwrap_or(u16::MAX);
                self.set_bits(dst, number.into());
            }
            (None, Some(port)) => self.output(port, u16::MAX),
            (None, None) => self.drop_because("no live port"),
        }
    }

    /// Sets bits of a field to a number.
    pub(super) fn set_bits(&mut self, bits: Bits, value: u128) {
        self.set_field(bits.field, (value & bits.max()) << bits.offset, bits.mask());
    }

    /// The value of some bits, which is looked at.
    pub(super) fn bits(&mut self, bits: Bits) -> u128 {
        let mut looked_at = heddle_flow::FlowMask::default();
        looked_at.add_bits(bits.field, bits.mask());
        self.look(&looked_at);
        bits.of(self.key.get(bits.field))
    }
}
