//! Builds whole frames from values, with right lengths and checksums: for tests, trace and dummy netdevs.
//!
//! Layers are given from the outside in; types that name the next layer are set by what follows, so that a frame
//! cannot contradict itself unless [`Network::Other`] says so.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addr::{EtherType, IpProtocol, MacAddr, Tci};
use crate::arp::ArpRepr;
use crate::checksum::complete;
use crate::ethernet::{self, EthernetRepr, MplsRepr, VlanRepr};
use crate::icmp::IcmpRepr;
use crate::icmpv6::Icmpv6Repr;
use crate::ipv4::Ipv4Repr;
use crate::ipv6::Ipv6Repr;
use crate::transport::{SctpRepr, TcpRepr, UdpRepr};
use crate::view::WireError;

/// A frame's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameBuilder {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// VLAN tags with their types, outermost first.
    pub vlans: Vec<(EtherType, Tci)>,
    /// Labels, outermost first; which is the last is set here.
    pub labels: Vec<MplsRepr>,
    /// What follows.
    pub network: Network,
    /// What follows the last header.
    pub payload: Vec<u8>,
}

/// A frame's network layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// ARP.
    Arp(ArpRepr),
    /// IPv4; protocol and payload length are set here.
    Ipv4(Ipv4Repr, Transport),
    /// IPv6 with extension headers; payload length, next header and its chain are set here.
    Ipv6(Ipv6Repr, Vec<Extension>, Transport),
    /// Another type; the payload follows at once.
    Other(EtherType),
}

/// An IPv6 extension header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its number.
    pub protocol: IpProtocol,
    /// Its bytes after the next-header number. They decide its length, and are the caller's to get right.
    pub body: Vec<u8>,
}

impl Extension {
    /// A header of eight bytes of padding options, for hop-by-hop and destination options.
    pub fn padding(protocol: IpProtocol) -> Self {
        Self { protocol, body: vec![0, 1, 4, 0, 0, 0, 0] }
    }

    /// A fragment header.
    pub fn fragment(offset: u16, more: bool, ident: u32) -> Self {
        let mut body = vec![0];
        body.extend((offset & 0xfff8 | u16::from(more)).to_be_bytes());
        body.extend(ident.to_be_bytes());
        Self { protocol: IpProtocol::FRAGMENT, body }
    }
}

/// A frame's transport layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// ICMP.
    Icmp(IcmpRepr),
    /// ICMPv6.
    Icmpv6(Icmpv6Repr),
    /// TCP.
    Tcp(TcpRepr),
    /// UDP; the payload length is set here.
    Udp(UdpRepr),
    /// SCTP.
    Sctp(SctpRepr),
    /// Another protocol; the payload follows at once.
    Other(IpProtocol),
}

impl Transport {
    /// Its protocol number.
    pub fn protocol(&self) -> IpProtocol {
        match self {
            Self::Icmp(_) => IpProtocol::ICMP,
            Self::Icmpv6(_) => IpProtocol::ICMPV6,
            Self::Tcp(_) => IpProtocol::TCP,
            Self::Udp(_) => IpProtocol::UDP,
            Self::Sctp(_) => IpProtocol::SCTP,
            Self::Other(protocol) => *protocol,
        }
    }

    fn append(self, frame: &mut Vec<u8>, payload: &[u8]) -> Result<(), WireError> {
        match self {
            Self::Icmp(repr) => append(frame, repr.buffer_len(), |out| repr.emit(out))?,
            Self::Icmpv6(repr) => append(frame, repr.buffer_len(), |out| repr.emit(out))?,
            Self::Tcp(repr) => append(frame, repr.buffer_len(), |out| repr.emit(out))?,
            Self::Udp(repr) => {
                let payload_len = u16::try_from(payload.len()).map_err(|_| WireError::Length)?;
                let repr = UdpRepr { payload_len, ..repr };
                append(frame, repr.buffer_len(), |out| repr.emit(out))?;
            }
            Self::Sctp(repr) => append(frame, repr.buffer_len(), |out| repr.emit(out))?,
            Self::Other(_) => {}
        }
        frame.extend_from_slice(payload);
        Ok(())
    }
}

impl FrameBuilder {
    /// A frame without tags, labels and payload.
    pub fn new(dst: MacAddr, src: MacAddr, network: Network) -> Self {
        Self { dst, src, vlans: Vec::new(), labels: Vec::new(), network, payload: Vec::new() }
    }

    /// An IPv4 packet between two unremarkable stations.
    pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, transport: Transport) -> Self {
        let repr = Ipv4Repr::new(src, dst, transport.protocol(), 0);
        Self::new(STATION_2, STATION_1, Network::Ipv4(repr, transport))
    }

    /// An IPv6 packet between two unremarkable stations.
    pub fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, transport: Transport) -> Self {
        let repr = Ipv6Repr {
            traffic_class: 0,
            flow_label: 0,
            next_header: transport.protocol(),
            hop_limit: 64,
            src,
            dst,
            payload_len: 0,
        };
        Self::new(STATION_2, STATION_1, Network::Ipv6(repr, Vec::new(), transport))
    }

    /// With a VLAN tag inside those there are.
    pub fn vlan(mut self, kind: EtherType, tci: Tci) -> Self {
        self.vlans.push((kind, tci));
        self
    }

    /// With a label inside those there are.
    pub fn label(mut self, label: MplsRepr) -> Self {
        self.labels.push(label);
        self
    }

    /// With a payload.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// The frame's bytes.
    ///
    /// # Errors
    /// If a length does not fit its field.
    pub fn build(&self) -> Result<Vec<u8>, WireError> {
        let mut frame = Vec::with_capacity(128 + self.payload.len());
        self.link(&mut frame)?;
        match &self.network {
            Network::Arp(repr) => {
                append(&mut frame, repr.buffer_len(), |out| repr.emit(out))?;
                frame.extend_from_slice(&self.payload);
            }
            Network::Ipv4(repr, transport) => self.network_v4(&mut frame, *repr, *transport)?,
            Network::Ipv6(repr, extensions, transport) => {
                self.network_v6(&mut frame, *repr, extensions, *transport)?;
            }
            Network::Other(_) => frame.extend_from_slice(&self.payload),
        }
        complete(&mut frame);
        Ok(frame)
    }

    fn link(&self, frame: &mut Vec<u8>) -> Result<(), WireError> {
        let network = match &self.network {
            Network::Arp(_) => EtherType::ARP,
            Network::Ipv4(..) => EtherType::IPV4,
            Network::Ipv6(..) => EtherType::IPV6,
            Network::Other(kind) => *kind,
        };
        let innermost = if self.labels.is_empty() { network } else { EtherType::MPLS };
        let first = self.vlans.first().map_or(innermost, |&(kind, _)| kind);
        let header = EthernetRepr { dst: self.dst, src: self.src, ether_type: first };
        append(frame, ethernet::HEADER_LEN, |out| header.emit(out))?;
        for (index, &(_, tci)) in self.vlans.iter().enumerate() {
            let ether_type = self.vlans.get(index + 1).map_or(innermost, |&(kind, _)| kind);
            append(frame, ethernet::TAG_LEN, |out| VlanRepr { tci, ether_type }.emit(out))?;
        }
        for (index, &label) in self.labels.iter().enumerate() {
            let bottom = index + 1 == self.labels.len();
            append(frame, ethernet::LABEL_LEN, |out| MplsRepr { bottom, ..label }.emit(out))?;
        }
        Ok(())
    }

    fn network_v4(&self, frame: &mut Vec<u8>, repr: Ipv4Repr, transport: Transport) -> Result<(), WireError> {
        let mut inner = Vec::new();
        transport.append(&mut inner, &self.payload)?;
        let payload_len = u16::try_from(inner.len()).map_err(|_| WireError::Length)?;
        let repr = Ipv4Repr { protocol: transport.protocol(), payload_len, ..repr };
        append(frame, repr.buffer_len(), |out| repr.emit(out))?;
        frame.extend(inner);
        Ok(())
    }

    fn network_v6(
        &self,
        frame: &mut Vec<u8>,
        repr: Ipv6Repr,
        extensions: &[Extension],
        transport: Transport,
    ) -> Result<(), WireError> {
        let mut inner = Vec::new();
        let mut next_header = transport.protocol();
        for extension in extensions.iter().rev() {
            let mut header = vec![next_header.0];
            header.extend_from_slice(&extension.body);
            inner.splice(..0, header);
            next_header = extension.protocol;
        }
        transport.append(&mut inner, &self.payload)?;
        let payload_len = u16::try_from(inner.len()).map_err(|_| WireError::Length)?;
        let repr = Ipv6Repr { next_header, payload_len, ..repr };
        append(frame, repr.buffer_len(), |out| repr.emit(out))?;
        frame.extend(inner);
        Ok(())
    }
}

const STATION_1: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const STATION_2: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn append(
    frame: &mut Vec<u8>,
    length: usize,
    emit: impl FnOnce(&mut [u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let at = frame.len();
    frame.resize(at + length, 0);
    emit(&mut frame[at..])
}
