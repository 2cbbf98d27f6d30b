//! Ethernet II frames (IEEE 802.3), LLC/SNAP (IEEE 802.2), VLAN tags (IEEE 802.1Q) and MPLS labels (RFC 3032).
//!
//! They stand in one module because each is a few bytes, and together they are what stands before the network layer.

use crate::addr::{EtherType, MacAddr, Tci};
use crate::view::{WireError, array, be16, be32, room, split};

/// Bytes of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;
/// Bytes of a VLAN tag.
pub const TAG_LEN: usize = 4;
/// Bytes of a label stack entry.
pub const LABEL_LEN: usize = 4;

/// An Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct EthernetView<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> EthernetView<'a> {
    /// A view of a frame.
    ///
    /// # Errors
    /// If it is shorter than a header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, payload) = split(bytes)?;
        Ok(Self { header, payload })
    }

    /// Destination.
    pub fn dst(&self) -> MacAddr {
        MacAddr(array(self.header, 0))
    }

    /// Source.
    pub fn src(&self) -> MacAddr {
        MacAddr(array(self.header, 6))
    }

    /// The type field as it stands, be it a type or a length.
    pub fn type_field(&self) -> EtherType {
        EtherType(be16(self.header, 12))
    }

    /// The type of the payload: of LLC/SNAP with the Ethernet organisation, the one in SNAP; `None` for other LLC.
    pub fn ether_type(&self) -> Option<EtherType> {
        let kind = self.type_field();
        if !kind.is_length() {
            return Some(kind);
        }
        match *self.payload.first_chunk::<8>()? {
            [0xaa, 0xaa, 0x03, 0, 0, 0, high, low] => {
                Some(EtherType(u16::from_be_bytes([high, low]))).filter(|kind| !kind.is_length())
            }
            _ => None,
        }
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An Ethernet II header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Type of what follows.
    pub ether_type: EtherType,
}

impl EthernetRepr {
    /// The header's values.
    ///
    /// # Errors
    /// If the frame is not Ethernet II.
    pub fn parse(view: &EthernetView<'_>) -> Result<Self, WireError> {
        let ether_type = view.type_field();
        if ether_type.is_length() {
            return Err(WireError::Version);
        }
        Ok(Self { dst: view.dst(), src: view.src(), ether_type })
    }

    /// Bytes that it takes.
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let out = room(buffer, HEADER_LEN)?;
        out[..6].copy_from_slice(&self.dst.0);
        out[6..12].copy_from_slice(&self.src.0);
        out[12..].copy_from_slice(&self.ether_type.0.to_be_bytes());
        Ok(())
    }
}

/// A VLAN tag without its own type field, which belongs to the header before: control information and the next type.
#[derive(Clone, Copy, Debug)]
pub struct VlanView<'a> {
    header: &'a [u8; TAG_LEN],
    payload: &'a [u8],
}

impl<'a> VlanView<'a> {
    /// A view of what follows a VLAN type.
    ///
    /// # Errors
    /// If it is shorter than a tag.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, payload) = split(bytes)?;
        Ok(Self { header, payload })
    }

    /// Control information.
    pub fn tci(&self) -> Tci {
        Tci(be16(self.header, 0))
    }

    /// Type of what follows.
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.header, 2))
    }

    /// What follows.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanRepr {
    /// Control information.
    pub tci: Tci,
    /// Type of what follows.
    pub ether_type: EtherType,
}

impl VlanRepr {
    /// The tag's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &VlanView<'_>) -> Result<Self, WireError> {
        Ok(Self { tci: view.tci(), ether_type: view.ether_type() })
    }

    /// Bytes that it takes.
    pub fn buffer_len(&self) -> usize {
        TAG_LEN
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let out = room(buffer, TAG_LEN)?;
        out[..2].copy_from_slice(&self.tci.0.to_be_bytes());
        out[2..].copy_from_slice(&self.ether_type.0.to_be_bytes());
        Ok(())
    }
}

/// An MPLS label stack entry.
#[derive(Clone, Copy, Debug)]
pub struct MplsView<'a> {
    header: &'a [u8; LABEL_LEN],
    payload: &'a [u8],
}

impl<'a> MplsView<'a> {
    /// A view of what follows an MPLS type or an entry that is not the stack's last.
    ///
    /// # Errors
    /// If it is shorter than an entry.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, payload) = split(bytes)?;
        Ok(Self { header, payload })
    }

    /// Label, 20 bits.
    pub fn label(&self) -> u32 {
        be32(self.header, 0) >> 12
    }

    /// Traffic class, 3 bits.
    pub fn traffic_class(&self) -> u8 {
        self.header[2] >> 1 & 7
    }

    /// Whether it is the stack's last entry.
    pub fn is_bottom(&self) -> bool {
        self.header[2] & 1 != 0
    }

    /// Time to live.
    pub fn ttl(&self) -> u8 {
        self.header[3]
    }

    /// What follows.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An MPLS label stack entry's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MplsRepr {
    /// Label; 20 bits count.
    pub label: u32,
    /// Traffic class; 3 bits count.
    pub traffic_class: u8,
    /// Whether it is the stack's last entry.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl MplsRepr {
    /// The entry's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &MplsView<'_>) -> Result<Self, WireError> {
        Ok(Self {
            label: view.label(),
            traffic_class: view.traffic_class(),
            bottom: view.is_bottom(),
            ttl: view.ttl(),
        })
    }

    /// The entry as one number.
    pub fn to_u32(self) -> u32 {
        (self.label & 0xf_ffff) << 12
            | u32::from(self.traffic_class & 7) << 9
            | u32::from(self.bottom) << 8
            | u32::from(self.ttl)
    }

    /// Bytes that it takes.
    pub fn buffer_len(&self) -> usize {
        LABEL_LEN
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        room(buffer, LABEL_LEN)?.copy_from_slice(&self.to_u32().to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snap_is_recognised() {
        let mut frame = vec![0xff; 12];
        frame.extend([0, 46, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45]);
        let view = EthernetView::new(&frame).unwrap();
        assert_eq!(view.ether_type(), Some(EtherType::IPV4));
        assert_eq!(EthernetRepr::parse(&view), Err(WireError::Version));
        frame[14] = 0x42;
        assert_eq!(EthernetView::new(&frame).unwrap().ether_type(), None);
    }

    #[test]
    fn a_label_is_taken_apart() {
        let view = MplsView::new(&[0x00, 0x01, 0x01, 0x40]).unwrap();
        let repr = MplsRepr::parse(&view).unwrap();
        assert_eq!(repr, MplsRepr { label: 16, traffic_class: 0, bottom: true, ttl: 64 });
        assert_eq!(repr.to_u32(), 0x0001_0140);
        assert_eq!(MplsView::new(&[0; 3]).unwrap_err(), WireError::Short);
    }
}
