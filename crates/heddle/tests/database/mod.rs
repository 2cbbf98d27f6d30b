//! A database server as a process of its own, and clients that speak RFC 7047 to it byte by byte.
#![allow(dead_code, missing_docs, clippy::unwrap_used)] // each test program uses a part

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use heddle_ovsdb::rpc::{Framer, MAX_REPLY, Message};
use serde_json::{Value, json};

/// How long a server may take to start or to answer before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of a test, removed with the value.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("heddle-db-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program by the name that Open vSwitch gave it: Heddle's, or Debian's.
pub fn program(name: &str, stock: bool) -> Command {
    let mut command = if stock {
        Command::new(name)
    } else {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heddle"));
        command.arg(name.trim_start_matches("ovs-"));
        command
    };
    command.env_remove("RUST_BACKTRACE");
    command
}

/// Makes a database file of this schema.
pub fn create(place: &Place, schema: &Value) -> String {
    let (file, text) = (place.path("db"), place.path("schema"));
    std::fs::write(&text, schema.to_string()).unwrap();
    assert!(program("ovsdb-tool", false).args(["create", &file, &text]).status().unwrap().success());
    file
}

/// A server of one database file.
pub struct Server {
    child: Child,
    socket: String,
    control: String,
}

impl Server {
    pub fn start(place: &Place, file: &str) -> Self {
        Self::start_with(place, file, false, &[])
    }

    pub fn start_with(place: &Place, file: &str, stock: bool, more: &[&str]) -> Self {
        let (socket, control) = (place.path("db.sock"), place.path("ctl"));
        for old in [&socket, &control] {
            let _ = std::fs::remove_file(old);
        }
        let mut command = program("ovsdb-server", stock);
        command.args([&format!("--remote=punix:{socket}"), &format!("--unixctl={control}")]);
        command.args(more).args(["--no-chdir", "-vconsole:off", file]).current_dir(&place.0);
        command.env("OVS_RUNDIR", &place.0).env("OVS_LOGDIR", &place.0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { child, socket, control };
        let begun = Instant::now();
        while UnixStream::connect(&server.control).is_err() || UnixStream::connect(&server.socket).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        server
    }

    pub fn client(&self) -> Client {
        Client::over(UnixStream::connect(&self.socket).unwrap())
    }

    pub fn socket(&self) -> &Path {
        Path::new(&self.socket)
    }

    /// A client of the operators' commands.
    pub fn operator(&self) -> Client {
        Client::over(UnixStream::connect(&self.control).unwrap())
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A line of its `/proc/PID/status`, kB.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that waits for each reply.
pub struct Client {
    pub stream: UnixStream,
    framer: Framer,
    requests: u64,
    /// What came besides replies.
    pub told: Vec<Message>,
}

impl Client {
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, framer: Framer::with_bound(MAX_REPLY), requests: 0, told: Vec::new() }
    }

    /// The next message; `None` when the server is gone.
    pub fn receive(&mut self) -> Option<Message> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(message) = self.framer.next_message() {
                return Some(message.unwrap());
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.framer.push(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer came"),
                Err(_) => return None,
            }
        }
    }

    pub fn send(&mut self, method: &str, params: &Value) -> Option<u64> {
        self.requests += 1;
        let request = Message::request(method, params.as_array().unwrap().clone(), self.requests);
        self.stream.write_all(&request.to_bytes()).ok()?;
        Some(self.requests)
    }

    /// The reply to a request as it came; `None` when the server is gone.
    pub fn reply(&mut self, wanted: u64) -> Option<Message> {
        loop {
            match self.receive()? {
                reply @ Message::Reply { .. } if matches!(&reply, Message::Reply { id, .. } if *id == json!(wanted)) =>
                {
                    return Some(reply);
                }
                Message::Request { method, params, id } if method == "echo" => {
                    let _ = self.stream.write_all(&Message::reply(params.into(), id).to_bytes());
                }
                other => self.told.push(other),
            }
        }
    }

    pub fn try_ask(&mut self, method: &str, params: &Value) -> Option<Value> {
        let id = self.send(method, params)?;
        match self.reply(id)? {
            Message::Reply { result, error: Value::Null, .. } => Some(result),
            other => panic!("{method} {params}: {other:?}"),
        }
    }

    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|| panic!("{method} {params}: the server is gone"))
    }
}

/// Numbers without end from a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
