//! Checksums: the Internet's (RFC 1071), SCTP's CRC32c (RFC 9260), and the finishing of partial ones.

use crate::locate::{Headers, headers};
use crate::numbers::ipproto;
use crate::packet::{Checksum, Packet};

/// One's complement sum of `bytes` as big-endian words of 16 bits, not complemented; an odd last byte counts as
/// if a zero followed.
///
/// The sum does not depend on the order of bytes, only the result does (RFC 1071 section 2 (B)), so it is taken over
/// native words, in lanes wide enough to need no carry, which compilers turn into vector instructions.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut lanes = [0u64; 8];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let total = lanes.iter().map(|&lane| u128::from(lane)).sum::<u128>();
    u16::from_be(fold(total + u128::from(u32::from_ne_bytes(last))))
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

/// The checksum after `old` gave way to `new` in what it covers (RFC 1624, equation 3). Both must be of the same, even
/// length and stand at an even place.
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    !fold(u128::from(!checksum) + u128::from(!sum(old)) + u128::from(sum(new)))
}

/// [`update`] for a field of 16 bits.
pub fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    update(checksum, &old.to_be_bytes(), &new.to_be_bytes())
}

/// [`update`] for a field of 32 bits.
pub fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    update(checksum, &old.to_be_bytes(), &new.to_be_bytes())
}

/// [`update`] for a field of 128 bits.
pub fn update128(checksum: u16, old: u128, new: u128) -> u16 {
    update(checksum, &old.to_be_bytes(), &new.to_be_bytes())
}

/// [`update`] for UDP: zero, which says that there is no checksum, stays; a checksum that becomes zero is sent as ones.
pub fn update_udp(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    match checksum {
        0 => 0,
        checksum => match update(checksum, old, new) {
            0 => 0xffff,
            updated => updated,
        },
    }
}

/// Computes the transport checksum of a whole frame; false where there is none to compute.
pub fn complete(frame: &mut [u8]) -> bool {
    let Some(at) = headers(frame).filter(|at| !at.fragment) else { return false };
    let Some(end) = ip_end(frame, &at) else { return false };
    let field = match at.proto {
        ipproto::ICMP if !at.v6 => Some(2),
        _ => at.checksum_offset(),
    };
    let Some(field) = field.map(|offset| at.l4 + offset) else { return false };
    let width = if at.proto == ipproto::SCTP { 4 } else { 2 };
    if field + width > end {
        return false;
    }
    frame[field..field + width].fill(0);
    if at.proto == ipproto::SCTP {
        finish_sctp(&mut frame[..end], at.l4, field);
        return true;
    }
    let pseudo = match at.proto {
        ipproto::ICMP => Some(0),
        _ => pseudo_header(frame, &at, end - at.l4),
    };
    let total = u128::from(pseudo.unwrap_or(0)) + u128::from(sum(&frame[at.l4..end]));
    let value = match !fold(total) {
        0 if at.proto == ipproto::UDP => 0xffff,
        value => value,
    };
    frame[field..field + 2].copy_from_slice(&value.to_be_bytes());
    true
}

/// Whether the transport checksum of an IP packet is right; `None` where there is none to check, as in a fragment.
pub fn verify_transport(frame: &[u8]) -> Option<bool> {
    let at = headers(frame).filter(|at| !at.fragment)?;
    let end = ip_end(frame, &at)?;
    let segment = frame.get(at.l4..end)?;
    match at.proto {
        ipproto::ICMP if !at.v6 => Some(sum(segment) == 0xffff),
        ipproto::SCTP => {
            let (ports, rest) = segment.split_at_checked(8)?;
            let (stored, chunks) = rest.split_first_chunk()?;
            let crc = crc32c_extend(crc32c_extend(crc32c_extend(!0, ports), &[0; 4]), chunks);
            Some(!crc == u32::from_le_bytes(*stored))
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

/// Completes a partial checksum in place. The packet is [`Checksum::Unverified`] then: that the field is complete does not
/// say that its pseudo-header sum was right.
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
    !crc32c_extend(!0, bytes)
}

/// Eight bytes at a time, by a table for each place.
fn crc32c_extend(mut crc: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk) ^ u64::from(crc);
        crc = 0;
        for (place, table) in CRC_TABLES.iter().enumerate() {
            crc ^= table[usize::from((word >> (56 - 8 * place)) as u8)];
        }
    }
    rest.iter().fold(crc, |crc, &byte| CRC_TABLES[0][usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// `CRC_TABLES[n][b]`: what byte `b` adds once `n` more bytes have followed.
static CRC_TABLES: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        tables[0][index] = value;
        index += 1;
    }
    let mut place = 1;
    while place < 8 {
        index = 0;
        while index < 256 {
            let before: u32 = tables[place - 1][index];
            tables[place][index] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            index += 1;
        }
        place += 1;
    }
    tables
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
