//! A switch that runs, and the clients that talk to it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub struct Switch {
    child: Child,
    pub directory: PathBuf,
}

impl Switch {
    pub fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("heddle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let child = Command::new(env!("CARGO_BIN_EXE_heddle"))
            .arg("switch")
            .arg(examples.join("two-bridges.json"))
            .arg("--rundir")
            .arg(&directory)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !directory.join("s2.mgmt").exists() {
            assert!(Instant::now() < deadline, "the switch opens its sockets");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, directory }
    }

    pub fn ofctl(&self, bridge: &str, verb: &str, arguments: &[&str]) -> (bool, String) {
        self.ofctl_as(&["-O", "OpenFlow13"], bridge, verb, arguments)
    }

    pub fn ofctl_as(&self, options: &[&str], bridge: &str, verb: &str, arguments: &[&str]) -> (bool, String) {
        let socket = format!("unix:{}", self.directory.join(format!("{bridge}.mgmt")).display());
        self.run(&["ovs-ofctl"], options, &[&[verb, socket.as_str()], arguments].concat())
    }

    /// Runs a client, which is a program and its first arguments; whether it was content, and what it said.
    pub fn run(&self, client: &[&str], options: &[&str], arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(client[0]);
        let output = command.args(&client[1..]).args(options).args(arguments).output().unwrap();
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    }

    pub fn good(&self, bridge: &str, verb: &str, arguments: &[&str]) -> String {
        let (success, text) = self.ofctl(bridge, verb, arguments);
        assert!(success, "{verb} {arguments:?}: {text}");
        text
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn installed() -> bool {
    let found = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: ovs-ofctl is not installed (Debian: apt install openvswitch-common)");
    }
    found
}
