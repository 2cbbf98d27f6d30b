//! Tests that run in a network namespace of their own.
//!
//! A test starts its own program again under `unshare`, so that it is right under any test runner and leaves the
//! machine's network alone. Root runs it twice: as root, and as an ordinary user (`nobody`) who owns a user
//! namespace. What the machine does not allow is skipped, and that is said on standard error.
#![allow(dead_code)] // each test program uses a part

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "HEDDLE_TEST_IN_NAMESPACE";
const NOBODY: &str = "65534";

/// What a test asks of the machine beside namespaces.
#[derive(Clone, Copy, PartialEq)]
pub enum Needs {
    /// Only interfaces that netlink makes.
    Veth,
    /// `/dev/net/tun` as well.
    Tun,
}

/// Runs `body` in namespaces of its own, as root and as an ordinary user; `test` is the test's own name.
pub fn in_namespace(test: &str, needs: Needs, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if is_root() {
        run(test, needs, &["unshare", "--net"], "root");
        let copy = Copied::new();
        let user = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
        let user = [&user[..], &["unshare", "--user", "--map-root-user", "--net"]].concat();
        run_program(test, needs, &user, "an ordinary user", &copy.program);
    } else {
        run(test, needs, &["unshare", "--user", "--map-root-user", "--net"], "an ordinary user");
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

fn run(test: &str, needs: Needs, prefix: &[&str], who: &str) {
    run_program(test, needs, prefix, who, &std::env::current_exe().unwrap());
}

fn run_program(test: &str, needs: Needs, prefix: &[&str], who: &str, program: &Path) {
    if let Some(reason) = obstacle(needs, prefix) {
        // Straight to the stream: the harness keeps what a passing test prints by the macros.
        let _ = writeln!(std::io::stderr(), "SKIPPED as {who}: {test}: {reason}");
        return;
    }
    let output = Command::new(prefix[0])
        .args(&prefix[1..])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "as {who}:\n{out}{err}");
    // What a test wants to tell beside its success, such as a part that it left out.
    let told = err.lines().filter(|line| line.starts_with("SKIPPED"));
    told.for_each(|line| drop(writeln!(std::io::stderr(), "as {who}: {test}: {line}")));
}

/// Why the test cannot run behind `prefix`.
fn obstacle(needs: Needs, prefix: &[&str]) -> Option<String> {
    let probe = match needs {
        Needs::Veth => "ip link add p0 type veth peer name p1",
        Needs::Tun => "exec 3<>/dev/net/tun && ip link add p0 type veth peer name p1",
    };
    match Command::new(prefix[0]).args(&prefix[1..]).args(["sh", "-c", probe]).output() {
        Err(error) => Some(format!("{} cannot be run: {error}", prefix[0])),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The test program where every user can run it; removed in the end.
struct Copied {
    directory: PathBuf,
    program: PathBuf,
}

impl Copied {
    fn new() -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let number: String = thread.chars().filter(char::is_ascii_digit).collect();
        let directory = std::env::temp_dir().join(format!("heddle-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let program = directory.join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory, program }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs `ip` with these words; they must succeed.
pub fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
