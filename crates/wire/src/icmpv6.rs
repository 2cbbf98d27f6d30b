//! ICMPv6 (RFC 4443) with neighbour discovery (RFC 4861).

use std::net::Ipv6Addr;
use std::ops::Deref;

use crate::addr::MacAddr;
use crate::icmp::IcmpView;
pub use crate::icmp::LEN;
use crate::view::{WireError, array, be32, room, split};

/// Most options of a neighbour discovery message that are walked.
pub const MAX_OPTIONS: usize = 16;

/// An ICMPv6 message. Its header is laid out as ICMP's, and is read as that.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6View<'a>(IcmpView<'a>);

impl<'a> Deref for Icmpv6View<'a> {
    type Target = IcmpView<'a>;

    fn deref(&self) -> &IcmpView<'a> {
        &self.0
    }
}

impl<'a> Icmpv6View<'a> {
    /// A view of a message.
    ///
    /// # Errors
    /// If it is short.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        IcmpView::new(bytes).map(Self)
    }

    /// The target of a neighbour solicitation, advertisement or redirect; `None` for other or short messages.
    pub fn nd_target(&self) -> Option<Ipv6Addr> {
        let target = self.payload().first_chunk::<16>()?;
        (self.code() == 0 && matches!(self.kind(), 135..=137)).then(|| (*target).into())
    }
}

/// A prefix option of a router advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Bits of the prefix.
    pub length: u8,
    /// Whether its addresses are on the link.
    pub on_link: bool,
    /// Whether hosts form addresses of it.
    pub autonomous: bool,
    /// Seconds that it is valid.
    pub valid: u32,
    /// Seconds that it is preferred.
    pub preferred: u32,
    /// The prefix.
    pub prefix: Ipv6Addr,
}

/// The options of a neighbour discovery message that are known here, of each the first. Others are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NdOptions {
    /// Source link-layer address (1).
    pub source: Option<MacAddr>,
    /// Target link-layer address (2).
    pub target: Option<MacAddr>,
    /// Prefix information (3).
    pub prefix: Option<Prefix>,
    /// MTU (5).
    pub mtu: Option<u32>,
}

impl NdOptions {
    /// Reads options.
    ///
    /// # Errors
    /// If one has length zero, which RFC 4861 section 4.6 forbids, or does not fit, or there are too many.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, WireError> {
        let mut options = Self::default();
        for _ in 0..MAX_OPTIONS {
            let [kind, units, ..] = *bytes else {
                return if bytes.is_empty() { Ok(options) } else { Err(WireError::Short) };
            };
            if units == 0 {
                return Err(WireError::Length);
            }
            let (option, rest) = bytes.split_at_checked(usize::from(units) * 8).ok_or(WireError::Short)?;
            options.take(kind, option);
            bytes = rest;
        }
        if bytes.is_empty() { Ok(options) } else { Err(WireError::TooMany) }
    }

    fn take(&mut self, kind: u8, option: &[u8]) {
        let head: Option<&[u8; 8]> = option.first_chunk();
        match (kind, head, option.first_chunk::<32>()) {
            (1, Some(head), _) if self.source.is_none() => self.source = Some(MacAddr(array(head, 2))),
            (2, Some(head), _) if self.target.is_none() => self.target = Some(MacAddr(array(head, 2))),
            (5, Some(head), _) if self.mtu.is_none() => self.mtu = Some(be32(head, 4)),
            (3, _, Some(whole)) if self.prefix.is_none() => {
                self.prefix = Some(Prefix {
                    length: whole[2],
                    on_link: whole[3] & 0x80 != 0,
                    autonomous: whole[3] & 0x40 != 0,
                    valid: be32(whole, 4),
                    preferred: be32(whole, 8),
                    prefix: array::<32, 16>(whole, 16).into(),
                });
            }
            _ => {}
        }
    }

    /// Bytes that they take.
    pub fn buffer_len(&self) -> usize {
        let short = [self.source.is_some(), self.target.is_some(), self.mtu.is_some()];
        short.iter().filter(|&&present| present).count() * 8 + if self.prefix.is_some() { 32 } else { 0 }
    }

    /// Writes them.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let mut rest = room(buffer, self.buffer_len())?;
        let mut next = |length: usize| rest.split_off_mut(..length).ok_or(WireError::Short);
        for (kind, address) in [(1, self.source), (2, self.target)] {
            if let Some(address) = address {
                let out = next(8)?;
                out[..2].copy_from_slice(&[kind, 1]);
                out[2..].copy_from_slice(&address.0);
            }
        }
        if let Some(prefix) = self.prefix {
            let out = next(32)?;
            out.fill(0);
            let flags = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
            out[..4].copy_from_slice(&[3, 4, prefix.length, flags]);
            out[4..8].copy_from_slice(&prefix.valid.to_be_bytes());
            out[8..12].copy_from_slice(&prefix.preferred.to_be_bytes());
            out[16..].copy_from_slice(&prefix.prefix.octets());
        }
        if let Some(mtu) = self.mtu {
            let out = next(8)?;
            out[..4].copy_from_slice(&[5, 1, 0, 0]);
            out[4..].copy_from_slice(&mtu.to_be_bytes());
        }
        Ok(())
    }
}

/// An ICMPv6 message's values; the checksum is left zero for [`crate::checksum::complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6Repr {
    /// Echo request (128); data follows.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Echo reply (129); data follows.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Router solicitation (133).
    RouterSolicit {
        /// Options.
        options: NdOptions,
    },
    /// Router advertisement (134).
    RouterAdvert {
        /// Hop limit that hosts should use; 0 if unspecified.
        hop_limit: u8,
        /// Managed address configuration (0x80) and the other flags.
        flags: u8,
        /// Seconds that the router is a default router.
        lifetime: u16,
        /// Milliseconds that a neighbour is reachable after confirmation.
        reachable_ms: u32,
        /// Milliseconds between solicitations.
        retransmit_ms: u32,
        /// Options.
        options: NdOptions,
    },
    /// Neighbour solicitation (135).
    NeighborSolicit {
        /// Whose link-layer address is asked for.
        target: Ipv6Addr,
        /// Options.
        options: NdOptions,
    },
    /// Neighbour advertisement (136).
    NeighborAdvert {
        /// Whether the sender is a router.
        router: bool,
        /// Whether it answers a solicitation.
        solicited: bool,
        /// Whether it replaces what is cached.
        replace: bool,
        /// Whose link-layer address it tells.
        target: Ipv6Addr,
        /// Options.
        options: NdOptions,
    },
    /// Redirect (137).
    Redirect {
        /// The better first hop.
        target: Ipv6Addr,
        /// The destination that is redirected.
        destination: Ipv6Addr,
        /// Options.
        options: NdOptions,
    },
    /// Any other message: what follows its header is payload.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The header's second word.
        word: u32,
    },
}

impl Icmpv6Repr {
    /// The message's values.
    ///
    /// # Errors
    /// If a neighbour discovery message is short, or its options are malformed.
    pub fn parse(view: &Icmpv6View<'_>) -> Result<Self, WireError> {
        let (kind, code, word) = (view.kind(), view.code(), view.word());
        let (ident, sequence) = ((word >> 16) as u16, word as u16);
        let body = view.payload();
        if code != 0 {
            return Ok(Self::Other { kind, code, word });
        }
        Ok(match kind {
            128 => Self::EchoRequest { ident, sequence },
            129 => Self::EchoReply { ident, sequence },
            133 => Self::RouterSolicit { options: NdOptions::parse(body)? },
            134 => {
                let (times, options) = split::<8>(body)?;
                Self::RouterAdvert {
                    hop_limit: (word >> 24) as u8,
                    flags: (word >> 16) as u8,
                    lifetime: word as u16,
                    reachable_ms: be32(times, 0),
                    retransmit_ms: be32(times, 4),
                    options: NdOptions::parse(options)?,
                }
            }
            135 => {
                let (target, options) = split::<16>(body)?;
                Self::NeighborSolicit { target: (*target).into(), options: NdOptions::parse(options)? }
            }
            136 => {
                let (target, options) = split::<16>(body)?;
                Self::NeighborAdvert {
                    router: word >> 31 != 0,
                    solicited: word >> 30 & 1 != 0,
                    replace: word >> 29 & 1 != 0,
                    target: (*target).into(),
                    options: NdOptions::parse(options)?,
                }
            }
            137 => {
                let (addresses, options) = split::<32>(body)?;
                Self::Redirect {
                    target: array::<32, 16>(addresses, 0).into(),
                    destination: array::<32, 16>(addresses, 16).into(),
                    options: NdOptions::parse(options)?,
                }
            }
            _ => Self::Other { kind, code, word },
        })
    }

    fn options(&self) -> NdOptions {
        match *self {
            Self::RouterSolicit { options }
            | Self::RouterAdvert { options, .. }
            | Self::NeighborSolicit { options, .. }
            | Self::NeighborAdvert { options, .. }
            | Self::Redirect { options, .. } => options,
            Self::EchoRequest { .. } | Self::EchoReply { .. } | Self::Other { .. } => NdOptions::default(),
        }
    }

    /// Bytes between the header and the options.
    fn fixed_len(&self) -> usize {
        match self {
            Self::RouterAdvert { .. } => 8,
            Self::NeighborSolicit { .. } | Self::NeighborAdvert { .. } => 16,
            Self::Redirect { .. } => 32,
            _ => 0,
        }
    }

    /// Bytes that it takes: of neighbour discovery the whole message, of others the header.
    pub fn buffer_len(&self) -> usize {
        LEN + self.fixed_len() + self.options().buffer_len()
    }

    /// Writes it, with a checksum of zero.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let (out, options) = room(buffer, self.buffer_len())?.split_at_mut(LEN + self.fixed_len());
        let echo = |ident: u16, sequence: u16| u32::from(ident) << 16 | u32::from(sequence);
        let (kind, code, word) = match *self {
            Self::EchoRequest { ident, sequence } => (128, 0, echo(ident, sequence)),
            Self::EchoReply { ident, sequence } => (129, 0, echo(ident, sequence)),
            Self::RouterSolicit { .. } => (133, 0, 0),
            Self::RouterAdvert { hop_limit, flags, lifetime, reachable_ms, retransmit_ms, .. } => {
                out[8..12].copy_from_slice(&reachable_ms.to_be_bytes());
                out[12..16].copy_from_slice(&retransmit_ms.to_be_bytes());
                (134, 0, u32::from_be_bytes([hop_limit, flags, 0, 0]) | u32::from(lifetime))
            }
            Self::NeighborSolicit { target, .. } => {
                out[8..24].copy_from_slice(&target.octets());
                (135, 0, 0)
            }
            Self::NeighborAdvert { router, solicited, replace, target, .. } => {
                out[8..24].copy_from_slice(&target.octets());
                (136, 0, u32::from(router) << 31 | u32::from(solicited) << 30 | u32::from(replace) << 29)
            }
            Self::Redirect { target, destination, .. } => {
                out[8..24].copy_from_slice(&target.octets());
                out[24..40].copy_from_slice(&destination.octets());
                (137, 0, 0)
            }
            Self::Other { kind, code, word } => (kind, code, word),
        };
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..8].copy_from_slice(&word.to_be_bytes());
        self.options().emit(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_no_length_is_refused() {
        assert_eq!(NdOptions::parse(&[1, 0, 0, 0, 0, 0, 0, 0]), Err(WireError::Length));
        assert_eq!(NdOptions::parse(&[1, 2, 0, 0, 0, 0, 0, 0]), Err(WireError::Short));
        assert_eq!(NdOptions::parse(&[1]), Err(WireError::Short));
        let many = [14, 1, 0, 0, 0, 0, 0, 0].repeat(MAX_OPTIONS + 1);
        assert_eq!(NdOptions::parse(&many), Err(WireError::TooMany));
        assert_eq!(NdOptions::parse(&many[8..]), Ok(NdOptions::default()));
    }
}
