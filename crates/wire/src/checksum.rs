//! Checksums: the Internet's (RFC 1071), SCTP's CRC32c (RFC 9260), and the finishing of partial ones.

use crate::locate::{Headers, headers};
use crate::numbers::ipproto;
use crate::packet::{Checksum, Packet};

/// One's complement sum of `bytes` as big-endian words of 16 bits, not complemented; an odd last byte counts as
/// if a zero followed.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut total: u128 = 0;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        total += u128::from(u64::from_be_bytes(*chunk));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    total += u128::from(u64::from_be_bytes(last));
    fold(total)
}

/// Folds a sum to 16 bits with end-around carry.
pub fn fold(mut total: u128) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Sum of the pseudo-header of a transport segment of `length` bytes (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn pseudo_header(frame: &[u8], at: &Headers, length: usize) -> Option<u16> {
    let addresses =
        if at.v6 { frame.get(at.l3 + 8..at.l3 + 40)? } else { frame.get(at.l3 + 12..at.l3 + 20)? };
    let total = u128::from(sum(addresses))
        + u128::from(at.proto)
        + (length as u128 & 0xffff)
        + (length as u128 >> 16);
    Some(fold(total))
}

/// Whether the transport checksum of an IP packet is right; `None` where there is none to check.
pub fn verify_transport(frame: &[u8]) -> Option<bool> {
    let at = headers(frame)?;
    let end = ip_end(frame, &at)?;
    let segment = frame.get(at.l4..end)?;
    match at.proto {
        ipproto::ICMP if !at.v6 => Some(sum(segment) == 0xffff),
        ipproto::SCTP => {
            let stored = u32::from_le_bytes(*segment.get(8..)?.first_chunk()?);
            let mut copy = segment.to_vec();
            copy[8..12].fill(0);
            Some(crc32c(&copy) == stored)
        }
        ipproto::UDP if !at.v6 && segment.get(6..8)? == [0, 0] => None,
        ipproto::TCP | ipproto::UDP | ipproto::ICMPV6 => {
            let pseudo = pseudo_header(frame, &at, segment.len())?;
            Some(fold(u128::from(pseudo) + u128::from(sum(segment))) == 0xffff)
        }
        _ => None,
    }
}

/// Where the IP packet ends by its own length field, without the frame's padding.
fn ip_end(frame: &[u8], at: &Headers) -> Option<usize> {
    let field = if at.v6 { at.l3 + 4 } else { at.l3 + 2 };
    let length = usize::from(u16::from_be_bytes(*frame.get(field..)?.first_chunk()?));
    let end = at.l3 + length + if at.v6 { 40 } else { 0 };
    (end >= at.l4 && end <= frame.len()).then_some(end)
}

/// Completes a partial checksum in place.
pub fn finish_partial(packet: &mut Packet) {
    let Checksum::Partial { start, offset } = packet.offload.checksum else { return };
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    packet.offload.checksum = Checksum::Unverified;
    if packet.len() < field + 2 {
        return;
    }
    if offset == 8 && headers(packet.data()).is_some_and(|at| at.proto == ipproto::SCTP) {
        return finish_sctp(packet.data_mut(), start, field);
    }
    let data = packet.data_mut();
    let value = match !sum(&data[start..]) {
        // Zero would mean "no checksum" in UDP; both forms of zero are equal to every other reader.
        0 => 0xffff,
        value => value,
    };
    data[field..field + 2].copy_from_slice(&value.to_be_bytes());
}

fn finish_sctp(data: &mut [u8], start: usize, field: usize) {
    if let Some(room) = data.get_mut(field..field + 4) {
        room.fill(0);
        let crc = crc32c(&data[start..]);
        data[field..field + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// CRC32c (Castagnoli), as SCTP uses it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 != 0 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0xff]), 0xff00);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
