//! Frames written by hand, and their checksums by the definitions: sums of 16-bit words, and SCTP's CRC bit by bit.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Udp4,
    /// UDP over IPv4 with a VLAN tag.
    Tagged,
    Tcp4,
    Sctp4,
    Icmp4,
    Arp,
    Udp6,
    Tcp6,
    Sctp6,
    /// An echo request.
    Icmp6,
    /// A neighbour solicitation with its source's address.
    Solicit,
    /// A neighbour advertisement with its target's address.
    Advert,
    /// A label on IPv4.
    Labelled,
    /// A service tag before a customer's UDP over IPv4.
    Backbone,
}

const ETHERNET: [u8; 12] = [0x02, 0x12, 0x34, 0x56, 0x78, 0x9a, 0x02, 0xab, 0xcd, 0xef, 0x01, 0x23];

/// A frame of this kind. No field of it is zero or all ones.
pub fn frame(kind: Kind) -> Vec<u8> {
    let body = match kind {
        Kind::Udp4 => [vec![8, 0], ipv4(17, &udp())].concat(),
        Kind::Tagged => [vec![0x81, 0, 0xa1, 0x23, 8, 0], ipv4(17, &udp())].concat(),
        Kind::Tcp4 => [vec![8, 0], ipv4(6, &tcp())].concat(),
        Kind::Sctp4 => [vec![8, 0], ipv4(132, &sctp())].concat(),
        Kind::Icmp4 => [vec![8, 0], ipv4(1, &[8, 5, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])].concat(),
        Kind::Arp => {
            let mut arp = vec![8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
            arp.extend([0x02, 0x55, 0x44, 0x33, 0x22, 0x11, 10, 1, 2, 3]);
            arp.extend([0x02, 0x66, 0x77, 0x88, 0x99, 0xaa, 192, 168, 7, 9]);
            arp
        }
        Kind::Udp6 => [vec![0x86, 0xdd], ipv6(17, &udp())].concat(),
        Kind::Tcp6 => [vec![0x86, 0xdd], ipv6(6, &tcp())].concat(),
        Kind::Sctp6 => [vec![0x86, 0xdd], ipv6(132, &sctp())].concat(),
        Kind::Icmp6 => [vec![0x86, 0xdd], ipv6(58, &[128, 5, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])].concat(),
        Kind::Solicit => [vec![0x86, 0xdd], ipv6(58, &neighbour(135, 1))].concat(),
        Kind::Advert => [vec![0x86, 0xdd], ipv6(58, &neighbour(136, 2))].concat(),
        Kind::Labelled => [vec![0x88, 0x47, 0x12, 0x34, 0x5b, 0x3c], ipv4(17, &udp())].concat(),
        Kind::Backbone => {
            let customer = [&ETHERNET[..], &[8, 0], &ipv4(17, &udp())].concat();
            [vec![0x88, 0xe7, 0xa0, 0x12, 0x34, 0x56], customer].concat()
        }
    };
    finish(kind, [ETHERNET.to_vec(), body].concat())
}

fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut out = vec![0x45, 0xa9, (length >> 8) as u8, length as u8, 0x77, 0x88, 0, 0, 63, proto, 0, 0];
    out.extend([10, 1, 2, 3, 192, 168, 7, 9]);
    out.extend(payload);
    out
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x6a, 0x91, 0x23, 0x45, 0, payload.len() as u8, next, 63];
    out.extend([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6]);
    out.extend([0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5]);
    out.extend(payload);
    out
}

fn udp() -> Vec<u8> {
    [vec![0x12, 0x34, 0x56, 0x78, 0, 18, 0, 0], (1..=10).collect()].concat()
}

fn tcp() -> Vec<u8> {
    let header = vec![0x12, 0x34, 0x56, 0x78, 1, 2, 3, 4, 5, 6, 7, 8, 0x51, 0x52, 9, 10, 0, 0, 0, 0];
    [header, (1..=10).collect()].concat()
}

fn sctp() -> Vec<u8> {
    vec![0x12, 0x34, 0x56, 0x78, 1, 2, 3, 4, 0, 0, 0, 0, 1, 0, 0, 8, 1, 2, 3, 4]
}

fn neighbour(kind: u8, option: u8) -> Vec<u8> {
    let mut out = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    out.extend([0xfe, 0x80, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7]);
    out.extend([option, 1, 0x02, 0x44, 0x55, 0x66, 0x77, 0x88]);
    out
}

/// Writes the checksums of a frame of this kind anew; fields may have been changed.
pub fn finish(kind: Kind, mut frame: Vec<u8>) -> Vec<u8> {
    match kind {
        Kind::Arp => {}
        Kind::Udp6 | Kind::Tcp6 | Kind::Sctp6 | Kind::Icmp6 | Kind::Solicit | Kind::Advert => {
            transport(
                &mut frame,
                14,
                54,
                match kind {
                    Kind::Udp6 => 17,
                    Kind::Tcp6 => 6,
                    Kind::Sctp6 => 132,
                    _ => 58,
                },
            );
        }
        _ => {
            let at = match kind {
                Kind::Tagged | Kind::Labelled => 18,
                Kind::Backbone => 32,
                _ => 14,
            };
            frame[at + 10..at + 12].fill(0);
            let sum = !sum(&frame[at..at + 20]);
            frame[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
            transport(
                &mut frame,
                at,
                at + 20,
                match kind {
                    Kind::Tcp4 => 6,
                    Kind::Sctp4 => 132,
                    Kind::Icmp4 => 1,
                    _ => 17,
                },
            );
        }
    }
    frame
}

fn transport(frame: &mut [u8], l3: usize, l4: usize, proto: u8) {
    let at = l4
        + match proto {
            6 => 16,
            17 => 6,
            132 => 8,
            _ => 2,
        };
    if proto == 132 {
        frame[at..at + 4].fill(0);
        let crc = crc32c(&frame[l4..]);
        return frame[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    frame[at..at + 2].fill(0);
    let mut covered = frame[l4..].to_vec();
    covered.resize(covered.len().next_multiple_of(2), 0);
    if proto != 1 {
        // The pseudo-header: addresses, length, protocol.
        let addresses = if l4 - l3 == 20 { l3 + 12..l4 } else { l3 + 8..l3 + 40 };
        covered.extend(&frame[addresses]);
        covered.extend(((frame.len() - l4) as u32).to_be_bytes());
        covered.extend([0, 0, 0, proto]);
    }
    let sum = match !sum(&covered) {
        0 if proto == 17 => 0xffff,
        sum => sum,
    };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The one's complement sum of 16-bit words.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// The bits of a frame from one on, as a number.
pub fn bits(frame: &[u8], from: usize, count: usize) -> u128 {
    (from..from + count).fold(0, |value, bit| value << 1 | u128::from(frame[bit / 8] >> (7 - bit % 8) & 1))
}

/// Sets the bits of a frame from one on.
pub fn set_bits(frame: &mut [u8], from: usize, count: usize, value: u128) {
    for index in 0..count {
        let (bit, one) = (from + index, value >> (count - 1 - index) & 1 != 0);
        let mask = 0x80 >> (bit % 8);
        frame[bit / 8] = frame[bit / 8] & !mask | if one { mask } else { 0 };
    }
}
