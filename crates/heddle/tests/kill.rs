//! `kill -9` on a lab's supervisor at any moment leaves nothing: no process, namespace, device or cgroup. A program of
//! its own, so that no other test's labs come and go meanwhile.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, every_process, kill, labs_work, names, namespaces, wait_until};

const ROUNDS: u32 = 40;
/// Rounds of these whose lab is up.
const RUNNING: u32 = 8;

fn cgroups() -> BTreeSet<String> {
    let hierarchies = names("/sys/fs/cgroup");
    hierarchies.iter().flat_map(|name| names(format!("/sys/fs/cgroup/{name}"))).collect()
}

/// Adds hosts to a lab and takes them out again until the lab is gone.
fn change_until_its_end(socket: &Path) {
    let Ok(stream) = UnixStream::connect(socket) else { return };
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        for request in [
            r#"{"add":{"hosts":[{"name":"new"}],"links":[{"a":"new","b":"s1"}]}}"#,
            r#"{"remove":{"links":[["new","s1"]]}}"#,
            r#"{"remove":{"hosts":["new"]}}"#,
        ] {
            line.clear();
            if stream.get_mut().write_all(format!("{request}\n").as_bytes()).is_err()
                || stream.read_line(&mut line).unwrap_or(0) == 0
            {
                return;
            }
            assert!(line.contains("changed"), "{line}");
        }
    }
}

#[test]
fn a_supervisor_killed_at_any_moment_leaves_nothing() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    let (devices, groups) = (names("/sys/class/net"), cgroups());
    // Those of this process are not a lab's; others on the machine come and go, and are none of ours.
    let own = namespaces(&[std::process::id() as i32]);
    let mut of_labs = BTreeSet::new();
    let mut killed_while_starting = 0;
    let tap = File::options().read(true).write(true).open("/dev/net/tun").is_ok();
    if !tap {
        eprintln!("SKIPPED: labs wired by TAP: /dev/net/tun cannot be opened");
    }
    for round in 0..ROUNDS {
        // From the first system call to a lab that has been up for a while.
        let moment = Duration::from_micros(1_500 * u64::from(round));
        let wiring = if tap && round % 2 == 0 { "tap" } else { "veth" };
        let mut lab =
            place.heddle(&["lab", "--topo", "tree,depth=2,fanout=3", "--name", "doomed", "--wiring", wiring]);
        let lab = lab.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut lab = lab.unwrap();
        let begun = Instant::now();
        wait_until("the supervisor is there", || {
            !place.processes("lab-supervisor").is_empty() || lab.try_wait().unwrap().is_some()
        });
        std::thread::sleep(moment.saturating_sub(begun.elapsed()));
        if round >= ROUNDS - RUNNING {
            let socket = place.run_directory("doomed").join("control.sock");
            wait_until("the lab is up", || socket.exists());
            std::thread::spawn(move || change_until_its_end(&socket));
            std::thread::sleep(Duration::from_millis(3 * u64::from(round % RUNNING)));
        }
        of_labs.extend(namespaces(&place.processes("")).difference(&own).cloned());
        killed_while_starting += u32::from(!place.run_directory("doomed").join("control.sock").exists());
        // The one between the starter and PID 1 of the new namespace has the same words for a moment.
        wait_until("nothing of the lab is left", || {
            place.processes("lab-supervisor").into_iter().for_each(kill);
            let starter = lab.id() as i32;
            drop(lab.stdin.take());
            let _ = lab.try_wait();
            place.processes("").into_iter().all(|pid| pid == starter)
        });
        let _ = lab.kill();
        let _ = lab.wait();
        wait_until("no process is left", || place.processes("").is_empty());
    }
    assert!(of_labs.len() > ROUNDS as usize, "the namespaces of labs are not seen");
    wait_until("no namespace is left", || namespaces(&every_process()).is_disjoint(&of_labs));
    wait_until("no device is left", || names("/sys/class/net") == devices);
    assert_eq!(cgroups(), groups, "a cgroup is left");
    // What a watcher could not remove, because it was not there yet, the next lab of that name takes over.
    place.good(&["lab", "--name", "doomed", "--test", "none"]);
    wait_until("the run directory is gone", || names(place.directory.join("labs")).is_empty());
    eprintln!("{ROUNDS} supervisors killed, {killed_while_starting} of them while the lab was starting");
    assert!(killed_while_starting > 0 && killed_while_starting < ROUNDS, "the moments miss the start");
}
