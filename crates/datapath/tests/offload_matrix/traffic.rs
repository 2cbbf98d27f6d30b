//! What passes between the hosts.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use heddle_wire::build::{FrameBuilder, Transport};
use heddle_wire::checksum::{complete, pseudo_header};
use heddle_wire::locate::headers;
use heddle_wire::packet::{Checksum, GsoType, Packet};
use heddle_wire::transport::{TcpFlags, TcpRepr, UdpRepr};
use heddle_wire::view::Inline;
use heddle_wire::{MacAddr, ipproto};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

use crate::fabric::Fabric;

const SOON: Duration = Duration::from_secs(20);
/// Bytes of a TCP transfer, each way: some fifty segments.
const TRANSFER: usize = 3 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Tcp,
    Udp,
}

/// Bytes that repeat nowhere near where a segment or a buffer might.
fn pattern(seed: u8, count: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    };
    (0..count).map(next).collect()
}

/// A connection from h1 to its peer, with a few MiB both ways at once.
pub fn tcp(fabric: &Fabric, family: Family) {
    let (served, peer) = (fabric.served(family), fabric.peer(family));
    let listener = fabric.h2.inside(|| TcpListener::bind(served).unwrap());
    let client = fabric.h1.inside(|| TcpStream::connect_timeout(&peer, SOON));
    let client = client.unwrap_or_else(|error| panic!("{}, {family:?}: {error}", fabric.label));
    let (server, _) = listener.accept().unwrap();
    let (up, down) = (pattern(1, TRANSFER), pattern(2, TRANSFER));
    std::thread::scope(|scope| {
        for (stream, outgoing, incoming) in [(&client, &up, &down), (&server, &down, &up)] {
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.set_write_timeout(Some(SOON)).unwrap();
            scope.spawn(move || {
                (&*stream).write_all(outgoing).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut received = Vec::with_capacity(TRANSFER);
                (&*stream).read_to_end(&mut received).unwrap();
                assert!(received == *incoming, "{}, {family:?}: the bytes differ", fabric.label);
            });
        }
    });
}

/// Datagrams of many sizes, each answered.
pub fn udp(fabric: &Fabric, family: Family) {
    let (server, client) = (fabric.udp_server(family), client(fabric, family));
    for size in (0..24).chain([100, 999, 1000, 1400, 1451, 1452]) {
        let (asked, answered) = (pattern(3, size), pattern(4, size));
        client.send(&asked).unwrap();
        let from = expect_from(&server, &asked, fabric);
        server.send_to(&answered, from).unwrap();
        expect_datagram(&client, &answered, fabric);
    }
}

/// Datagrams that leave their host as one segment (USO), both ways.
pub fn udp_segments(fabric: &Fabric, family: Family) {
    let (server, client) = (fabric.udp_server(family), client(fabric, family));
    setsockopt(&client, UdpGsoSegment, &1000).unwrap();
    setsockopt(&server, UdpGsoSegment, &1000).unwrap();
    let (up, down) = (pattern(5, 25_500), pattern(6, 25_500));
    client.send(&up).unwrap();
    let mut from = None;
    up.chunks(1000).for_each(|piece| from = Some(expect_from(&server, piece, fabric)));
    server.send_to(&down, from.unwrap()).unwrap();
    down.chunks(1000).for_each(|piece| expect_datagram(&client, piece, fabric));
}

fn client(fabric: &Fabric, family: Family) -> UdpSocket {
    let peer = fabric.peer(family);
    let any = if family == Family::V4 { "0.0.0.0:0" } else { "[::]:0" };
    let socket = fabric.h1.inside(|| {
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(peer).unwrap();
        socket
    });
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// The next datagram is this one.
pub fn expect_datagram(socket: &UdpSocket, payload: &[u8], fabric: &Fabric) {
    expect_from(socket, payload, fabric);
}

fn expect_from(socket: &UdpSocket, payload: &[u8], fabric: &Fabric) -> std::net::SocketAddr {
    let mut buffer = [0; 2048];
    match socket.recv_from(&mut buffer) {
        Ok((length, from)) => {
            assert_eq!(length, payload.len(), "{}", fabric.label);
            assert!(buffer[..length] == *payload, "{}: {length} bytes differ", fabric.label);
            from
        }
        Err(error) => {
            let errors = (fabric.h1.errors(), fabric.h2.errors());
            panic!("{}: {} bytes: {error}; {errors:?}", fabric.label, payload.len());
        }
    }
}

/// A frame to `mac`, its checksums right.
pub fn build(frame: Frame, src: IpAddr, dst: IpAddr, port: u16, mac: u8, payload: usize) -> Packet {
    let transport = match frame {
        Frame::Udp => Transport::Udp(UdpRepr { src_port: 7777, dst_port: port, payload_len: 0 }),
        Frame::Tcp => Transport::Tcp(TcpRepr {
            src_port: 7777,
            dst_port: port,
            sequence: 1,
            acknowledgement: 1,
            flags: TcpFlags::ACK,
            window: 1000,
            urgent: 0,
            options: Inline::default(),
        }),
    };
    let mut builder = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => FrameBuilder::ipv4(src, dst, transport),
        (IpAddr::V6(src), IpAddr::V6(dst)) => FrameBuilder::ipv6(src, dst, transport),
        _ => unreachable!("both are of one family"),
    };
    (builder.src, builder.dst) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, mac]));
    let mut bytes = builder.payload(pattern(9, payload)).build().unwrap();
    assert!(complete(&mut bytes));
    Packet::from_frame(&bytes)
}

/// Offsets of the transport header, the checksum field and the payload.
fn places(packet: &Packet) -> (usize, usize, usize) {
    let at = headers(packet.data()).unwrap();
    let field = at.l4 + at.checksum_offset().unwrap();
    (at.l4, field, at.payload(packet.data()).unwrap())
}

pub fn payload(packet: &Packet) -> &[u8] {
    &packet.data()[places(packet).2..]
}

/// The frame with its checksum left to be finished.
pub fn partial(packet: &Packet) -> Packet {
    let ((l4, field, _), mut packet) = (places(packet), packet.clone());
    let at = headers(packet.data()).unwrap();
    let pseudo = pseudo_header(packet.data(), &at, packet.len() - l4).unwrap();
    packet.data_mut()[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    packet.offload.checksum = Checksum::Partial { start: l4 as u16, offset: (field - l4) as u16 };
    packet
}

/// The datagram as a segment of pieces of `size`.
pub fn segment(packet: &Packet, size: u16) -> Packet {
    let mut segment = partial(packet);
    segment.offload.gso = GsoType::UdpL4;
    segment.offload.gso_size = size;
    segment.offload.header_len = places(packet).2 as u16;
    segment
}

/// The datagram saying that it has no checksum, which IPv4 allows.
pub fn without_checksum(packet: &Packet) -> Packet {
    let ((_, field, _), mut packet) = (places(packet), packet.clone());
    assert_eq!(headers(packet.data()).unwrap().proto, ipproto::UDP);
    packet.data_mut()[field..field + 2].fill(0);
    packet
}

/// The frame with a wrong checksum.
pub fn spoil(packet: &Packet) -> Packet {
    let ((_, field, _), mut packet) = (places(packet), packet.clone());
    // Changing one bit never makes one form of zero of the other.
    packet.data_mut()[field] ^= 0x10;
    packet
}
