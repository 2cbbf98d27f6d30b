//! Where labs are started, and how it is known that nothing is left of them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::daemon::{good, until};

const NAMESPACES: &str = "/proc/sys/user/max_net_namespaces";

/// A directory for labs; it goes with the value.
pub struct Place {
    folder: PathBuf,
    heddle: PathBuf,
    /// A control group for their memory, the kernel's with it; where there is none, memory is not measured.
    group: Option<PathBuf>,
}

/// A lab that runs.
pub struct Lab<'a>(&'a Place);

/// A connection to a lab that carries many requests.
pub struct Session(BufReader<UnixStream>);

/// Waits until this user namespace has no network namespace any more. The kernel takes one off its count when the last of it is
/// freed, after all of its devices.
///
/// # Errors
/// If there is still one after half a minute.
pub fn nothing_is_left() -> Result<()> {
    std::fs::write(NAMESPACES, "1").context(NAMESPACES)?;
    let free = || {
        Command::new("unshare")
            .args(["--net", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let waited = until("all network namespaces to be gone", free);
    std::fs::write(NAMESPACES, "100000").context(NAMESPACES)?;
    waited.map(drop)
}

/// Milliseconds that the machine's processors have spent in interrupts.
pub fn softirq_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        text.lines().next().unwrap_or("").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // The sixth and the seventh, in hundredths of a second (proc(5)).
    ticks.get(5..7).map_or(0.0, |both| both.iter().sum::<f64>() * 10.0)
}

impl Place {
    /// An empty one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(heddle: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("heddle-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let group = PathBuf::from(format!("/sys/fs/cgroup/memory/heddle-bench-{}", std::process::id()));
        let group = std::fs::create_dir(&group).is_ok().then_some(group);
        if group.is_none() {
            println!("SKIPPED: memory; there is no hierarchy of control groups at /sys/fs/cgroup/memory");
        }
        Ok(Self { folder, heddle: heddle.to_owned(), group })
    }

    /// KiB that labs hold, in processes and in the kernel, without what is only cached of files.
    pub fn held(&self) -> Option<u64> {
        let group = self.group.as_ref()?;
        let usage: u64 =
            std::fs::read_to_string(group.join("memory.usage_in_bytes")).ok()?.trim().parse().ok()?;
        let stat = std::fs::read_to_string(group.join("memory.stat")).ok()?;
        let cache: u64 = stat.lines().find_map(|line| line.strip_prefix("total_cache "))?.parse().ok()?;
        Some(usage.saturating_sub(cache) / 1024)
    }

    /// The program, with its labs here.
    pub fn heddle(&self) -> Command {
        let mut command = Command::new("sh");
        let group = self.group.as_ref().map_or("/dev/null".into(), |group| group.join("cgroup.procs"));
        command.args(["-c", "echo $$ > \"$0\"; exec \"$@\""]).arg(group).arg(&self.heddle);
        command.env("HEDDLE_RUNDIR", &self.folder);
        command
    }

    fn run_directory(&self) -> PathBuf {
        self.folder.join("labs/bench")
    }

    /// Starts a lab without a controller.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(&self, topology: &str) -> Result<Lab<'_>> {
        good(self.heddle().args([
            "lab",
            "--topo",
            topology,
            "--controller",
            "none",
            "--name",
            "bench",
            "--detach",
        ]))?;
        Ok(Lab(self))
    }

    /// The processes of the labs here.
    fn processes(&self) -> Vec<i32> {
        let marker = format!("HEDDLE_RUNDIR={}", self.folder.display());
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let ours = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
        };
        numbers.filter(ours).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        if let Some(group) = &self.group {
            // It is taken only once the last process in it is gone.
            let _ = until("the control group to be free", || std::fs::remove_dir(group).is_ok());
        }
    }
}

impl Lab<'_> {
    /// Ends it.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(self) -> Result<()> {
        good(self.0.heddle().args(["lab", "stop", "bench"])).map(drop)
    }

    /// How many hosts it has.
    ///
    /// # Errors
    /// If it does not say.
    pub fn hosts(&self) -> Result<usize> {
        let text = good(self.0.heddle().args(["lab", "show", "--json"]))?;
        let value: Value = serde_json::from_str(&text)?;
        Ok(value["hosts"].as_array().map_or(0, Vec::len))
    }

    /// Nanoseconds that its processes have run.
    pub fn cpu_ns(&self) -> u64 {
        let of = |pid: i32| -> u64 {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let time = |task: std::fs::DirEntry| {
                let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split_whitespace().next()?.parse::<u64>().ok()
            };
            tasks.filter_map(time).sum()
        };
        self.0.processes().into_iter().map(of).sum()
    }
}

impl Session {
    /// Connects to the lab that runs there.
    ///
    /// # Errors
    /// If none does.
    pub fn new(place: &Place) -> Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(place.run_directory().join("control.sock"))?)))
    }

    /// Makes a change.
    ///
    /// # Errors
    /// If the lab refuses it.
    pub fn change(&mut self, request: &Value) -> Result<()> {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        ensure!(answer.starts_with("{\"changed\""), "{request}: {answer}");
        Ok(())
    }
}

/// Starts labs and ends them: every other one by `kill -9` of its supervisor, at moments from its first system call to well
/// after its start. Then looks for what is left.
///
/// # Errors
/// If anything is.
pub fn start_and_kill(place: &Place, count: usize) -> Result<()> {
    let devices = || -> BTreeSet<_> {
        std::fs::read_dir("/sys/class/net")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .collect()
    };
    let before = devices();
    for number in 0..count {
        if number % 2 == 0 {
            place.start("single,5")?.stop()?;
            continue;
        }
        let words = ["lab", "--topo", "single,5", "--controller", "none", "--name", "bench"];
        let mut lab = place.heddle().args(words).stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        // By steps without a common measure with the count, over 80 ms.
        std::thread::sleep(Duration::from_micros((number as u64 * 7_919) % 80_000));
        let own = lab.id() as i32;
        let gone = until("the lab's processes to be gone", || {
            let rest: Vec<i32> = place.processes().into_iter().filter(|pid| *pid != own).collect();
            rest.iter().filter(|pid| is_supervisor(**pid)).for_each(|pid| kill(*pid));
            drop(lab.stdin.take());
            rest.is_empty() && lab.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let _ = lab.kill();
        let _ = lab.wait();
        gone?;
    }
    until("no process to be left", || place.processes().is_empty())?;
    nothing_is_left()?;
    ensure!(devices() == before, "devices are left: {:?}", devices());
    place.start("minimal")?.stop()?;
    let left = std::fs::read_dir(place.folder.join("labs")).map_or(0, Iterator::count);
    ensure!(left == 0, "{left} run directories are left");
    nothing_is_left()
}

fn is_supervisor(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"lab-supervisor")
}

fn kill(pid: i32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}
