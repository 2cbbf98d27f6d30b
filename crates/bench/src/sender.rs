//! Sends small UDP frames as fast as an AF_PACKET socket takes them, past the queueing discipline. It is neutral: every
//! switch that is compared is fed by it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::sys;

/// What to send.
#[derive(clap::Args)]
pub struct Options {
    /// The interface.
    #[arg(long)]
    interface: String,
    /// Ethernet address of the receiver, six bytes in hexadecimal with colons.
    #[arg(long)]
    destination: String,
    /// For how long.
    #[arg(long)]
    seconds: f64,
    /// How many source addresses are taken in turn.
    #[arg(long, default_value_t = 1)]
    flows: u32,
}

const BURST: usize = 64;
/// Bytes of a frame: with the FCS, the least that Ethernet has.
const LEN: usize = 60;

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// A small UDP frame.
pub fn frame(to: [u8; 6], from: [u8; 6]) -> [u8; LEN] {
    let mut frame = [0; LEN];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    let ip = [8, 0, 0x45, 0, 0, (LEN - 14) as u8, 0, 0, 0x40, 0, 64, 17, 0, 0];
    frame[12..26].copy_from_slice(&ip);
    frame[30..34].copy_from_slice(&[10, 201, 0, 2]);
    frame[34..40].copy_from_slice(&[0x10, 0, 0x20, 0, 0, (LEN - 34) as u8]);
    frame
}

/// Writes the source address of a flow, and the header's checksum.
fn address(frame: &mut [u8; LEN], flow: u32) {
    frame[26..30].copy_from_slice(&(0x0ac8_0000 + flow).to_be_bytes());
    frame[24..26].fill(0);
    let sum = !heddle_wire::checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Sends, and prints how many frames the kernel took.
///
/// # Errors
/// If the interface is not there, or the system refuses a packet socket.
pub fn run(options: &Options) -> Result<()> {
    let to = mac(&options.destination).context("the destination is not an Ethernet address")?;
    ensure!(options.flows != 0, "there is at least one flow");
    let socket = sys::packet_socket(&options.interface).with_context(|| options.interface.clone())?;
    let from = std::fs::read_to_string(format!("/sys/class/net/{}/address", options.interface))?;
    let from = mac(from.trim()).context("the interface has no Ethernet address")?;
    let mut frames = [frame(to, from); BURST];
    let end = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (mut sent, mut flow) = (0, 0);
    while Instant::now() < end {
        for _ in 0..16 {
            for frame in &mut frames {
                address(frame, flow);
                flow = (flow + 1) % options.flows;
            }
            sent += sys::send_all(socket.as_fd(), &mut frames);
        }
    }
    println!("{sent}");
    Ok(())
}
