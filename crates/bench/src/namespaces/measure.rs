//! The three measurements, each over a lab that stands.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lab::{ADDRESSES, Lab};

/// A TCP stream.
pub struct Tcp {
    /// Gbit/s that arrived.
    pub gbits: f64,
    /// Nanoseconds of the switch's CPU for each packet that arrived, as large as the host's interface counts them; zero
    /// where the switch is the kernel.
    pub cpu_ns: f64,
}

/// Small packets.
pub struct Small {
    /// Million a second that the sender's kernel took.
    pub sent: f64,
    /// Million a second that arrived.
    pub received: f64,
    /// Nanoseconds of the switch's CPU for each packet that arrived.
    pub cpu_ns: f64,
}

/// Round trips, in microseconds.
pub struct Ping {
    /// The median.
    pub median: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// Nanoseconds that a process's threads have run.
fn cpu_ns(process: Option<u32>) -> u64 {
    let Some(process) = process else { return 0 };
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of_task = |path: std::path::PathBuf| {
        let schedstat = std::fs::read_to_string(path.join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).sum()
}

/// Packets that host `b` has received.
fn received(lab: &Lab) -> Result<u64> {
    let output = lab.command("b", "cat").arg("/sys/class/net/eth0/statistics/rx_packets").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// Runs `work`; the packets that arrived meanwhile and what each cost the switch.
fn counted<R>(lab: &Lab, work: impl FnOnce() -> Result<R>) -> Result<(R, u64, f64)> {
    let (packets, cpu) = (received(lab)?, cpu_ns(lab.switch()));
    let answer = work()?;
    // What is still under way arrives.
    std::thread::sleep(Duration::from_millis(200));
    let packets = received(lab)? - packets;
    let cpu = cpu_ns(lab.switch()).saturating_sub(cpu);
    Ok((answer, packets, cpu as f64 / packets.max(1) as f64))
}

/// One stream from `a` to `b`.
pub fn tcp(lab: &Lab, seconds: f64) -> Result<Tcp> {
    let mut server = lab.command("b", "iperf3").args(["-s", "-1"]).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(300));
    let seconds = seconds.to_string();
    let measured = counted(lab, || {
        let words = ["-c", ADDRESSES[1], "-t", &seconds, "-J", "--connect-timeout", "3000"];
        let output = lab.command("a", "iperf3").args(words).output()?;
        let report: Value = serde_json::from_slice(&output.stdout).context("iperf3's report")?;
        report["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 reports no rate")
    });
    // It ends by itself after one test; without one it must be ended.
    let _ = server.kill();
    let _ = server.wait();
    let (bits, _, cpu_ns) = measured?;
    Ok(Tcp { gbits: bits / 1e9, cpu_ns })
}

/// 60-byte frames from `a` to `b`, flat out.
pub fn small(lab: &Lab, seconds: f64) -> Result<Small> {
    let address = lab.command("b", "cat").arg("/sys/class/net/eth0/address").output()?;
    let address = String::from_utf8_lossy(&address.stdout).trim().to_owned();
    let own = std::env::current_exe()?.display().to_string();
    let time = seconds.to_string();
    let (sent, packets, cpu_ns) = counted(lab, || {
        let words = ["send", "--interface", "eth0", "--destination", &address, "--seconds", &time];
        let output = lab.command("a", &own).args(words).output()?;
        ensure!(output.status.success(), "the sender: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse::<u64>()?)
    })?;
    let rate = |packets: u64| packets as f64 / seconds / 1e6;
    Ok(Small { sent: rate(sent), received: rate(packets), cpu_ns })
}

/// Round trips from `a` to `b`, one every millisecond.
pub fn ping(lab: &Lab, count: usize) -> Result<Ping> {
    let count = count.to_string();
    let words = ["-n", "-i", "0.001", "-c", &count, "-W", "1", ADDRESSES[1]];
    let output = lab.command("a", "ping").args(words).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> = round_trips(&text).into_iter().map(|milliseconds| milliseconds * 1e3).collect();
    ensure!(!times.is_empty(), "no ping was answered: {text}");
    Ok(Ping { median: times[times.len() / 2], p99: times[times.len() * 99 / 100] })
}

/// Round trips in what `ping` prints, in milliseconds, the shortest first.
pub fn round_trips(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once("time=")?.1.split_once(' ')?.0.parse::<f64>().ok();
    let mut times: Vec<f64> = text.lines().filter_map(time).collect();
    times.sort_by(f64::total_cmp);
    times
}
