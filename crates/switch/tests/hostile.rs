//! Controllers that flood, stall, lie about lengths or die in the middle of a message: no other connection and no packet is
//! harmed. The sockets are real ones; the devices are dummies.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use heddle_datapath::Clock;
use heddle_switch::Switch;
use heddle_switch::config::{BridgeConfig, FailMode, PortConfig, PortKind};
use heddle_switch::server::Server;
use heddle_wire::Packet;

/// How long the foes are at it.
const SIEGE: Duration = Duration::from_secs(3);
/// Memory that all foes together may take: answers and news that wait, and the flows that they add.
const MAX_GROWTH: usize = 96 << 20;
/// Longest time that a friend may wait for an answer. A machine that builds something else beside is slow.
const PATIENCE: Duration = Duration::from_secs(2);

fn hello() -> Vec<u8> {
    message(0, &[])
}

/// What a foe does with a connection, until it ends or the time is up.
type Foe = fn(UnixStream, &AtomicBool);

/// Asks and never reads.
fn stall(mut stream: UnixStream, over: &AtomicBool) {
    let ask = message(2, &[7; 1000]).repeat(60);
    while !over.load(Ordering::Relaxed) && stream.write_all(&ask).is_ok() {}
}

/// Sends flows and packets as fast as they are taken, and reads what comes.
fn flood(stream: UnixStream, over: &AtomicBool) {
    let mut other = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut heard = [0; 65_536];
        while other.read(&mut heard).is_ok_and(|count| count != 0) {}
    });
    let mut stream = stream;
    let mut priority = 0_u16;
    while !over.load(Ordering::Relaxed) {
        priority = priority.wrapping_add(1) % 1000;
        let flow = Mod { table: 9, priority, ..Mod::default() }.bytes();
        let packet = packet_out(1, &[output(0xffff_fffd)], &[9; 60]);
        let request = flow_request(1, u32::MAX, u32::MAX, 0, 0);
        if stream.write_all(&[flow, packet, request].concat()).is_err() {
            return;
        }
    }
}

/// Asks to be told of all flows and their changes, changes flows all the time, and never reads.
fn watch(mut stream: UnixStream, over: &AtomicBool) {
    // The Open Networking Foundation's flow monitor: every flag, every table, every match.
    let monitor =
        multipart(0xffff, "4f4e4600 0000074e 00000001 003f 0004 ffffffff ff 000000 0001000400000000");
    if stream.write_all(&monitor).is_err() {
        return;
    }
    let mut priority = 0_u16;
    while !over.load(Ordering::Relaxed) {
        priority = priority.wrapping_add(1) % 5000;
        let flow =
            Mod { table: 8, priority, command: 4 * u8::from(priority.is_multiple_of(2)), ..Mod::default() };
        if stream.write_all(&flow.bytes()).is_err() {
            return;
        }
    }
}

/// Memory that the process has, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}

/// Says that a message is shorter than its header.
fn too_short(mut stream: UnixStream, _: &AtomicBool) {
    let _ = stream.write_all(&[4, 2, 0, 3, 0, 0, 0, 1, 0, 0]);
    let _ = stream.read(&mut [0; 4096]);
}

/// Says that a message is long, and then nothing.
fn too_long(mut stream: UnixStream, over: &AtomicBool) {
    let _ = stream.write_all(&[4, 2, 0xff, 0xff, 0, 0, 0, 1]);
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Dies within a message.
fn die(mut stream: UnixStream, _: &AtomicBool) {
    let flow = Mod::default().bytes();
    let _ = stream.write_all(&flow[..flow.len() / 2]);
}

/// Sends what is no OpenFlow at all.
fn noise(mut stream: UnixStream, _: &AtomicBool) {
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let _ = stream.write_all(&bytes);
}

const FOES: &[(&str, Foe)] = &[
    ("stall", stall),
    ("flood", flood),
    ("too_short", too_short),
    ("too_long", too_long),
    ("die", die),
    ("noise", noise),
    ("watch", watch),
];

/// Accepts a foe's connections, one after the other.
fn besiege(path: &Path, foe: Foe, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<usize> {
    let listener = UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let mut calls = 0;
        while !over.load(Ordering::Relaxed) {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            calls += 1;
            stream.set_nonblocking(false).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            if stream.write_all(&hello()).is_ok() {
                foe(stream, &over);
            }
        }
        calls
    })
}

/// One message of a stream.
fn next(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    stream.read_exact(&mut bytes).unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    bytes.resize(length, 0);
    stream.read_exact(&mut bytes[8..]).unwrap();
    bytes
}

/// Asks for a barrier; how long the answer took.
fn barrier(stream: &mut UnixStream) -> Duration {
    let begun = Instant::now();
    stream.write_all(&message(20, &[])).unwrap();
    while next(stream)[1] != 21 {}
    begun.elapsed()
}

fn bridge(directory: &Path) -> BridgeConfig {
    let port = |ofport: u32| PortConfig {
        name: format!("p{ofport}"),
        ofport,
        kind: PortKind::Dummy,
        link_down: false,
        edge: false,
        removed: false,
    };
    let names = FOES.iter().map(|(name, _)| *name).chain(["friend"]);
    BridgeConfig {
        name: "br0".into(),
        datapath_id: 7,
        fail_mode: FailMode::Secure,
        protocols: vec![],
        controllers: names.map(|name| format!("unix:{}", directory.join(name).display())).collect(),
        spanning_tree: None,
        ports: vec![port(1), port(2)],
        removed: false,
    }
}

/// Serves a switch on a thread of its own until `over`.
fn serve(directory: PathBuf, switch: &Switch, over: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let bridge = Arc::clone(switch.bridge("br0").unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut server = Server::new(&directory);
            server.sync([&bridge].into_iter()).await.unwrap();
            while !over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    })
}

#[test]
fn foes_harm_no_other_connection_and_no_packet() {
    let directory = std::env::temp_dir().join(format!("heddle-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (over, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let foes: Vec<_> =
        FOES.iter().map(|(name, foe)| (*name, besiege(&directory.join(name), *foe, &over))).collect();
    let friends = UnixListener::bind(directory.join("friend")).unwrap();
    let mut switch = Switch::new(Clock::default(), 7).unwrap();
    switch.configure(&[bridge(&directory)], &[]).unwrap();
    let server = serve(directory.clone(), &switch, Arc::clone(&ended));

    let (mut friend, _) = friends.accept().unwrap();
    friend.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    friend.write_all(&hello()).unwrap();
    let forwards = Mod { priority: 60_000, instructions: apply(&[output(2)]), ..Mod::default() };
    friend.write_all(&forwards.bytes()).unwrap();
    barrier(&mut friend);

    let before = resident();
    let begun = Instant::now();
    let (mut sent, mut came, mut worst, mut operators) = (0_u64, 0, Duration::ZERO, 0);
    while begun.elapsed() < SIEGE {
        for _ in 0..10 {
            sent += u64::from(switch.dummy("p1").unwrap().inject(Packet::from_frame(&[8; 60])));
        }
        worst = worst.max(barrier(&mut friend));
        came += switch.dummy("p2").unwrap().sent().len() as u64;
        if sent.is_multiple_of(50) {
            // An operator's client, on a connection of its own.
            let mut operator = UnixStream::connect(directory.join("br0.mgmt")).unwrap();
            operator.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            operator.write_all(&hello()).unwrap();
            worst = worst.max(barrier(&mut operator));
            operators += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    let calls: Vec<(&str, usize)> = foes.into_iter().map(|(name, foe)| (name, foe.join().unwrap())).collect();
    barrier(&mut friend);
    came += switch.dummy("p2").unwrap().sent().len() as u64;
    ended.store(true, Ordering::Relaxed);
    server.join().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();

    let grown = resident().saturating_sub(before);
    assert!(grown < MAX_GROWTH, "what waits for foes has taken {} MiB", grown >> 20);
    eprintln!(
        "{} MiB, {sent} packets, {operators} operators, the longest wait {worst:?}, calls {calls:?}",
        grown >> 20
    );
    assert!(calls.iter().all(|(_, calls)| *calls > 0), "every foe was there: {calls:?}");
    assert!(sent > 100 && operators > 1, "there is time for friends: {sent} packets, {operators} operators");
    assert_eq!(came, sent, "every packet went through");
    assert!(worst < PATIENCE, "a friend waited for {worst:?}");
    assert_eq!(switch.mismatches(), 0);
}
