//! ARP for IPv4 over Ethernet (RFC 826). Other hardware or protocol types are not ours to answer, and are refused.

use std::net::Ipv4Addr;

use crate::addr::MacAddr;
use crate::view::{WireError, array, be16, room, split};

/// Bytes of an ARP packet.
pub const LEN: usize = 28;

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has this address?
    #[default]
    Request,
    /// I have.
    Reply,
    /// Another operation.
    Other(u16),
}

impl From<u16> for ArpOperation {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::Request,
            2 => Self::Reply,
            other => Self::Other(other),
        }
    }
}

impl From<ArpOperation> for u16 {
    fn from(operation: ArpOperation) -> u16 {
        match operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
            ArpOperation::Other(number) => number,
        }
    }
}

/// An ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct ArpView<'a> {
    bytes: &'a [u8; LEN],
}

impl<'a> ArpView<'a> {
    /// A view of an ARP packet.
    ///
    /// # Errors
    /// If it is short, or not for IPv4 over Ethernet.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (bytes, _) = split::<LEN>(bytes)?;
        if bytes[..6] != [0, 1, 8, 0, 6, 4] {
            return Err(WireError::Version);
        }
        Ok(Self { bytes })
    }

    /// What it is for.
    pub fn operation(&self) -> ArpOperation {
        be16(self.bytes, 6).into()
    }

    /// Sender's Ethernet address.
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array(self.bytes, 8))
    }

    /// Sender's IPv4 address.
    pub fn sender_ip(&self) -> Ipv4Addr {
        array(self.bytes, 14).into()
    }

    /// Target's Ethernet address.
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array(self.bytes, 18))
    }

    /// Target's IPv4 address.
    pub fn target_ip(&self) -> Ipv4Addr {
        array(self.bytes, 24).into()
    }
}

/// An ARP packet's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpRepr {
    /// What it is for.
    pub operation: ArpOperation,
    /// Sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// Sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// Target's Ethernet address.
    pub target_mac: MacAddr,
    /// Target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// The packet's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &ArpView<'_>) -> Result<Self, WireError> {
        Ok(Self {
            operation: view.operation(),
            sender_mac: view.sender_mac(),
            sender_ip: view.sender_ip(),
            target_mac: view.target_mac(),
            target_ip: view.target_ip(),
        })
    }

    /// Bytes that it takes.
    pub fn buffer_len(&self) -> usize {
        LEN
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let out = room(buffer, LEN)?;
        out[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        out[6..8].copy_from_slice(&u16::from(self.operation).to_be_bytes());
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender_ip.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..].copy_from_slice(&self.target_ip.octets());
        Ok(())
    }
}
