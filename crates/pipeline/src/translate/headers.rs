//! Pushing and popping tags and labels.

use heddle_datapath::Action as Act;
use heddle_flow::Field;
use heddle_flow::layout::*;
use heddle_wire::ethertype;

use super::Translation;

impl Translation<'_> {
    pub(super) fn push_vlan(&mut self, tpid: u16) {
        self.look_at(Field::VlanTci);
        self.commit();
        let tci = if self.key.vlan_tci() != 0 { self.key.vlan_tci() } else { VLAN_PRESENT };
        self.actions.push(Act::PushVlan { tpid, tci: tci & !VLAN_PRESENT });
        let tags = self.key.words[TAGS];
        self.key.words[TAGS] = tags & 0xffff << 48
            | u64::from(tpid) << 32
            | u64::from(self.key.vlan_tci()) << 16
            | tags >> 32 & 0xffff;
        self.key.words[ETH_SRC] = self.key.words[ETH_SRC] & !0xffff | u64::from(tci);
        self.tags_written();
    }

    pub(super) fn pop_vlan(&mut self) {
        self.look_at(Field::VlanTci);
        self.mask.words[TAGS] |= 0xffff_ffff & !self.written.words[TAGS];
        if self.key.vlan_tci() == 0 {
            return;
        }
        self.commit();
        if matches!(self.actions.last(), Some(Act::PushVlan { .. })) {
            self.actions.pop();
        } else {
            self.actions.push(Act::PopVlan);
        }
        let tags = self.key.words[TAGS];
        self.key.words[ETH_SRC] = self.key.words[ETH_SRC] & !0xffff | tags >> 16 & 0xffff;
        self.key.words[TAGS] = tags & 0xffff << 48 | (tags & 0xffff) << 32;
        self.tags_written();
    }

    /// The tags are now what the actions made them.
    pub(super) fn tags_written(&mut self) {
        self.written.words[ETH_SRC] |= 0xffff;
        self.written.words[TAGS] |= 0xffff_ffff_ffff;
        self.base.words[ETH_SRC] = self.key.words[ETH_SRC];
        self.base.words[TAGS] = self.key.words[TAGS];
    }

    pub(super) fn push_mpls(&mut self, eth_type: u16) {
        self.look_at(Field::EthType);
        self.commit();
        let is_mpls = matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC);
        let old = self.key.words[MPLS];
        let lse = if is_mpls {
            self.mask.words[MPLS] |= !0xffff_ffff & !self.written.words[MPLS];
            (old >> 32) as u32 & !0x100
        } else {
            // What is not IP has no TTL to be copied: the field is zero then (OpenFlow 1.3.5 section 5.12.1).
            self.look_at(Field::NwTtl);
            0x100 | self.key.get(Field::NwTtl) as u32
        };
        self.actions.push(Act::PushMpls { ethertype: eth_type, lse });
        if !is_mpls {
            self.key.words[IPV4] = 0;
            self.key.words[TRANSPORT] = 0;
            self.key.words[MPLS2..TUNNEL_ID].fill(0);
        }
        self.key.words[MPLS] = u64::from(lse) << 32 | if is_mpls { old >> 32 } else { 0 };
        self.key.set(Field::EthType, u128::from(eth_type));
        for word in [IPV4, TRANSPORT, MPLS].into_iter().chain(MPLS2..TUNNEL_ID) {
            self.written.words[word] = u64::MAX;
        }
        self.written.add(Field::EthType);
        self.base = self.key;
    }

    /// What is under the label is not known before the packet is read anew.
    pub(super) fn pop_mpls(&mut self, eth_type: u16) {
        self.look_at(Field::EthType);
        if !matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC) {
            return;
        }
        self.commit();
        self.actions.push(Act::PopMpls { ethertype: eth_type });
        self.frozen = Some(Vec::new());
    }

    /// Pushes a service tag before the customer's, of the service of one that is there; its priority is the outer tag's
    /// (OpenFlow 1.3.5 section 5.12.1). What it carries is not seen any more.
    pub(super) fn push_pbb(&mut self) {
        self.look_at(Field::EthType);
        self.look_at(Field::VlanTci);
        self.commit();
        let is_tagged = self.key.eth_type() == ethertype::PBB;
        if is_tagged {
            self.look_at(Field::PbbIsid);
        }
        let service = if is_tagged { self.key.get(Field::PbbIsid) as u32 } else { 0 };
        let priority = u32::from(self.key.vlan_tci() >> 13);
        self.actions.push(Act::PushPbb { tag: priority << 29 | service });
        self.key.words[ETH_DST] = self.key.words[ETH_DST] & !0xffff | u64::from(ethertype::PBB);
        self.key.words[ETH_SRC] &= !0xffff;
        for word in [IPV4, TRANSPORT, TAGS, MPLS].into_iter().chain(MPLS2..TUNNEL_ID) {
            self.key.words[word] = 0;
            self.written.words[word] = u64::MAX;
        }
        self.key.set(Field::PbbIsid, service.into());
        self.written.words[ETH_DST] |= 0xffff;
        self.written.words[ETH_SRC] |= 0xffff;
        self.base = self.key;
    }

    /// What the service tag carried is not known before the packet is read anew.
    pub(super) fn pop_pbb(&mut self) {
        self.look_at(Field::EthType);
        self.look_at(Field::VlanTci);
        // A tag before the service tag is popped first.
        if self.key.eth_type() != ethertype::PBB || self.key.vlan_tci() != 0 {
            return;
        }
        self.commit();
        self.actions.push(Act::PopPbb);
        self.frozen = Some(Vec::new());
    }

    /// Copies the TTL from what the label is on, which is known only once the packet is read anew.
    pub(super) fn copy_ttl_out(&mut self) {
        self.look_at(Field::EthType);
        if matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC) {
            self.commit();
            self.actions.push(Act::CopyTtlOut);
            self.frozen = Some(Vec::new());
        }
    }

    /// Copies the label's TTL to what it is on.
    pub(super) fn copy_ttl_in(&mut self) {
        self.look_at(Field::EthType);
        if matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC) {
            self.commit();
            self.actions.push(Act::CopyTtlIn);
            // The second label, if there is one, has another TTL now.
            self.frozen = Some(Vec::new());
        }
    }
}
