//! Frames that apps read and write: ARP and IPv4 with or without a VLAN tag.

use std::net::Ipv4Addr;

use heddle_wire::arp::{ArpOperation, ArpRepr, ArpView};
use heddle_wire::build::{FrameBuilder, Network};
use heddle_wire::ethernet::EthernetView;
use heddle_wire::ipv4::Ipv4View;
use heddle_wire::{EtherType, MacAddr};

/// What came to the controller.
pub(super) enum Heard<'a> {
    Arp(ArpRepr),
    /// The frame's source, and the packet as view and as bytes.
    Ipv4 {
        src: MacAddr,
        packet: Ipv4View<'a>,
        bytes: &'a [u8],
    },
}

/// Reads a frame without tags; nothing where it is another.
pub(super) fn read(frame: &[u8]) -> Option<Heard<'_>> {
    let ethernet = EthernetView::new(frame).ok()?;
    match ethernet.ether_type()? {
        EtherType::ARP => {
            let view = ArpView::new(ethernet.payload()).ok()?;
            Some(Heard::Arp(ArpRepr::parse(&view).ok()?))
        }
        EtherType::IPV4 => {
            let bytes = ethernet.payload();
            Some(Heard::Ipv4 { src: ethernet.src(), packet: Ipv4View::new(bytes).ok()?, bytes })
        }
        _ => None,
    }
}

/// A frame that asks who has `target`.
pub(super) fn ask(mac: MacAddr, ip: Ipv4Addr, target: Ipv4Addr) -> Option<Vec<u8>> {
    let arp = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: mac,
        sender_ip: ip,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    };
    FrameBuilder::new(MacAddr::BROADCAST, mac, Network::Arp(arp)).build().ok()
}

/// A frame that answers the one who asked for an address that `mac` has.
pub(super) fn answer(mac: MacAddr, asked: &ArpRepr) -> Option<Vec<u8>> {
    let arp = ArpRepr {
        operation: ArpOperation::Reply,
        sender_mac: mac,
        sender_ip: asked.target_ip,
        target_mac: asked.sender_mac,
        target_ip: asked.sender_ip,
    };
    FrameBuilder::new(asked.sender_mac, mac, Network::Arp(arp)).build().ok()
}

/// A number as fields have it.
pub(super) fn number(address: MacAddr) -> u128 {
    address.to_u64().into()
}
