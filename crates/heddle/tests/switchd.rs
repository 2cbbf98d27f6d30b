//! `heddle switchd` beside Open vSwitch's habits: started, configured and asked as people and programs do it, by Open
//! vSwitch's own clients where they are installed and by Heddle's under their names.
#![allow(missing_docs, clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 5] = ["ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovsdb-client", "ovsdb-tool"];

/// A daemon's directories, and the clients that are used on it.
struct Place {
    directory: PathBuf,
    path: String,
}

impl Place {
    /// A place where Heddle's clients have Open vSwitch's names.
    fn with_own_clients() -> Self {
        let mut place = Self::new();
        let programs = place.directory.join("bin");
        std::fs::create_dir(&programs).unwrap();
        for program in PROGRAMS {
            symlink(env!("CARGO_BIN_EXE_heddle"), programs.join(program)).unwrap();
        }
        place.path = format!("{}:{}", programs.display(), place.path);
        place
    }

    /// A place where Open vSwitch's own clients are used, if they are installed.
    fn with_stock_clients() -> Option<Self> {
        let missing =
            PROGRAMS.iter().find(|program| Command::new(program).arg("--version").output().is_err());
        if let Some(program) = missing {
            eprintln!("SKIPPED: {program} is not installed (Debian: apt install openvswitch-switch)");
            return None;
        }
        Some(Self::new())
    }

    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("heddle-switchd-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, path: std::env::var("PATH").unwrap() }
    }

    /// A command that finds the daemon, or is to be it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("PATH", &self.path).env_remove("RUST_BACKTRACE");
        for name in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
            command.env(name, &self.directory);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command prints, which must succeed; its words are split at spaces.
    fn good(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.run(&words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn start(&self, words: &[&str]) {
        let usual = [env!("CARGO_BIN_EXE_heddle"), "switchd", "--detach", "--log-file", "-vconsole:off"];
        let output = self.run(&[&usual, words].concat());
        assert!(output.status.success(), "switchd: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.directory.join("ovs-vswitchd.pid")).ok()?.trim().parse().ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("ovs-vswitchd.log")).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within 10 seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The clients whose names are in Open vSwitch's documentation, in words that are in everybody's fingers.
fn drive(place: &Place) {
    place.start(&["--enable-dummy=override"]);
    place.good("ovs-vsctl -- --may-exist add-br br0 -- set bridge br0 fail_mode=secure other_config:hwaddr=02:00:00:00:00:01");
    place.good(
        "ovs-vsctl --may-exist add-br br0 -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=7",
    );
    place.good(
        "ovs-vsctl --id=@p get port p1 -- add-port br0 p2 tag=5 -- set interface p2 external_ids:iface-id=x",
    );
    assert_eq!(place.good("ovs-vsctl list-ports br0"), "p1\np2\n");
    assert_eq!(place.good("ovs-vsctl get interface p1 ofport"), "7\n");
    assert_eq!(place.good("ovs-vsctl --bare --columns=name find interface external_ids:iface-id=x"), "p2\n");
    assert_eq!(place.good("ovs-vsctl iface-to-br p2"), "br0\n");
    assert_eq!(place.good("ovs-vsctl get-fail-mode br0"), "secure\n");
    assert_eq!(place.good("ovs-vsctl get bridge br0 datapath_id"), "\"0000020000000001\"\n");
    place.good("ovs-vsctl --timeout=5 wait-until interface p1 link_state=up");
    let json = place.good("ovs-vsctl --format=json --columns=name,ofport list interface p1");
    assert!(json.contains(r#""data":[["p1",7]]"#), "{json}");
    let failed = place.run(&["ovs-vsctl", "add-port", "br1", "p9"]);
    assert_eq!(String::from_utf8_lossy(&failed.stderr), "ovs-vsctl: no bridge named br1\n");

    place.good("ovs-ofctl add-flow br0 table=0,priority=9,in_port=7,actions=output:p2");
    place.good("ovs-ofctl -O OpenFlow13 add-flow br0 priority=1,actions=NORMAL");
    let flows = place.good("ovs-ofctl --no-stats --names dump-flows br0");
    assert!(flows.contains("priority=9,in_port=p1 actions=output:p2"), "{flows}");
    place.good("ovs-appctl netdev-dummy/receive p1 in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),ipv4(src=192.168.0.1,dst=192.168.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)");
    until("the packet is counted", || {
        place.good("ovs-ofctl dump-flows br0 in_port=7").contains("n_packets=1,")
    });
    let trace = place.good("ovs-appctl ofproto/trace br0 in_port=7,ip");
    assert!(trace.contains("Datapath actions: "), "{trace}");
    assert!(place.good("ovs-appctl fdb/show br0").starts_with(" Port  VLAN  MAC                Age\n"));
    assert!(place.good("ovs-appctl version").starts_with("ovs-vswitchd (Open vSwitch) "));
    assert!(place.good("ovs-appctl -t ovsdb-server ovsdb-server/list-dbs").contains("Open_vSwitch\n"));

    assert_eq!(place.good("ovsdb-client list-dbs"), "Open_vSwitch\n_Server\n");
    assert!(place.good("ovsdb-client dump Open_vSwitch Port name tag").contains("p2   5"));
    // Another way in, which the database itself names.
    place.good("ovs-vsctl set-manager ptcp:0:127.0.0.1");
    let port = || place.good("ovs-vsctl --bare --columns=status list manager");
    until("the manager's port is told", || port().contains("bound_port="));
    let port = port().trim().rsplit('=').next().unwrap().trim_matches('"').to_owned();
    assert_eq!(place.good(&format!("ovs-vsctl --db=tcp:127.0.0.1:{port} list-br")), "br0\n");

    place.good("ovs-vsctl del-port br0 p1 -- --if-exists del-port p8");
    assert_eq!(place.good("ovs-vsctl list-ports br0"), "p2\n");
    place.good("ovs-appctl exit");
    until("the daemon is gone", || place.pid().is_none());
    assert!(place.good(&format!("ovsdb-tool query {} [\"Open_vSwitch\",{{\"op\":\"select\",\"table\":\"Bridge\",\"where\":[],\"columns\":[\"name\"]}}]", place.directory.join("conf.db").display())).contains(r#"[{"name":"br0"}]"#));
    let log = place.log();
    let bad = log.lines().find(|line| ["|WARN|", "|ERR|", "|EMER|"].iter().any(|level| line.contains(level)));
    assert_eq!(bad, None);
}

#[test]
fn stock_clients_have_bridges_take_part_in_a_spanning_tree() {
    let Some(place) = Place::with_stock_clients() else { return };
    place.start(&["--enable-dummy=override"]);
    for (bridge, mac) in [("br0", 1), ("br1", 2)] {
        place.good(&format!(
            "ovs-vsctl add-br {bridge} -- set bridge {bridge} rstp_enable=true other_config:hwaddr=02:00:00:00:00:0{mac}"
        ));
    }
    for cable in ["a", "b"] {
        place.good(&format!(
            "ovs-vsctl add-port br0 {cable}0 -- set interface {cable}0 type=patch options:peer={cable}1 -- add-port br1 \
             {cable}1 -- set interface {cable}1 type=patch options:peer={cable}0"
        ));
    }
    let show = |bridge: &str| place.good(&format!("ovs-appctl rstp/show {bridge}"));
    until("one of two cables is blocked", || {
        show("br1").contains("  b1         Alternate  Discarding 2000     128.2\n")
    });
    assert!(show("br0").contains("  This bridge is the root\n"), "{}", show("br0"));
    assert!(show("br1").contains("  root-port       a1\n  root-path-cost  2000\n"), "{}", show("br1"));
    assert!(place.good("ovs-ofctl -O OpenFlow13 show br1").contains("state:      BLOCKED LIVE\n"));
    assert!(place.good("ovs-ofctl show br1").contains("state:      STP_BLOCK\n"));
    place.good("ovs-vsctl --timeout=10 wait-until port b1 rstp_status:rstp_port_state=Discarding rstp_status:rstp_port_role=Alternate");
    assert_eq!(place.good("ovs-vsctl get bridge br1 rstp_status:rstp_root_id"), "\"8.000.020000000001\"\n");
    place.good("ovs-vsctl --timeout=10 wait-until port a1 rstp_statistics:rstp_tx_count!=0");

    // A port that a controller keeps out takes no part: the other way is taken.
    place.good("ovs-ofctl mod-port br1 a1 no-stp");
    until("the other cable is taken", || {
        let shown = show("br1");
        !shown.contains("  a1 ") && shown.contains("  b1         Root       Forwarding ")
    });
    place.good("ovs-ofctl mod-port br1 a1 stp");
    until("the first is taken again", || show("br1").contains("  root-port       a1\n"));
    assert_eq!(place.good("ovs-appctl rstp/tcn br1"), "OK\n");

    place.good("ovs-vsctl set bridge br0 rstp_enable=false stp_enable=true -- set bridge br1 rstp_enable=false stp_enable=true");
    until("STP runs", || place.good("ovs-appctl stp/show").contains("listening"));
    assert_eq!(place.good("ovs-appctl rstp/show"), "\n".trim());
    place.good("ovs-vsctl --timeout=10 wait-until bridge br1 rstp_status={} status:stp_root_path_cost=2");
    place.good("ovs-vsctl set bridge br0 stp_enable=false -- set bridge br1 stp_enable=false");
    place.good("ovs-vsctl --timeout=10 wait-until port b1 status={}");
    let failed = place.run(&["ovs-appctl", "stp/show", "br0"]);
    assert!(String::from_utf8_lossy(&failed.stderr).starts_with("no such stp object\n"), "{failed:?}");
}

#[test]
fn stock_clients_drive_it() {
    if let Some(place) = Place::with_stock_clients() {
        drive(&place);
    }
}

#[test]
fn own_clients_drive_it() {
    drive(&Place::with_own_clients());
}

#[test]
fn controllers_are_called_anew_on_request() {
    let place = Place::with_own_clients();
    place.start(&["--enable-dummy=override"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let called = || {
        let mut peer = None;
        until("the controller is called", || {
            peer = listener.accept().ok();
            peer.is_some()
        });
        peer.unwrap().0
    };
    let port = listener.local_addr().unwrap().port();
    place.good("ovs-vsctl add-br br0");
    place.good(&format!("ovs-vsctl set-controller br0 tcp:127.0.0.1:{port}"));
    let mut first = called();
    place.good("ovs-appctl bridge/reconnect br0");
    first.set_nonblocking(false).unwrap();
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    std::io::copy(&mut first, &mut std::io::sink()).expect("the connection ends");
    // The wait for the next call ends as well.
    drop(called());
    std::thread::sleep(Duration::from_millis(50));
    place.good("ovs-appctl bridge/reconnect");
    drop(called());
    let failed = place.run(&["ovs-appctl", "bridge/reconnect", "br9"]);
    assert!(String::from_utf8_lossy(&failed.stderr).contains("unknown bridge"));
    assert_eq!(
        place.good("ovs-appctl -t ovsdb-server ovsdb-server/get-db-storage-status Open_vSwitch"),
        "status: ok\n"
    );
}

/// As bash asks when the Tab key is pressed; the words it would show.
fn completed(place: &Place, line: &str) -> Vec<String> {
    let script = format!(
        "PATH={}:$PATH; source <(heddle completions bash); COMP_LINE=$1 COMP_POINT=${{#1}}; \
         COMP_WORDS=($1); COMP_CWORD=2; compopt() {{ :; }}; \
         case $1 in heddle*) _heddle_or_words ;; *) _heddle_words ;; esac; printf '%s\n' \"${{COMPREPLY[@]}}\"",
        Path::new(env!("CARGO_BIN_EXE_heddle")).parent().unwrap().display()
    );
    let output = place.run(&["bash", "-c", &script, "bash", line]);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn shells_complete_what_is_there() {
    let place = Place::with_own_clients();
    place.start(&["--enable-dummy=override"]);
    place.good("ovs-vsctl add-br br0 -- add-port br0 p1 -- add-port br0 p2 -- add-br br1");
    assert_eq!(completed(&place, "ovs-vsctl add-port "), ["br0", "br1"]);
    assert_eq!(completed(&place, "heddle vsctl --if-exists del-port br0 "), ["p1", "p2"]);
    assert_eq!(completed(&place, "ovs-vsctl set Interface p1 ofport_r"), ["ofport_request="]);
    assert_eq!(completed(&place, "ovs-ofctl dump-flows br"), ["br0", "br1"]);
    // What bash has already of a word is not said again.
    assert_eq!(completed(&place, "ovs-ofctl add-flow br0 in_port=1,udp_sr"), ["1,udp_src="]);
    assert_eq!(completed(&place, "ovs-appctl fdb/sh"), ["fdb/show"]);
    assert_eq!(completed(&place, "ovs-appctl fdb/show "), ["br0", "br1"]);
    assert_eq!(
        completed(&place, "ovs-appctl -t ovsdb-server ovsdb-server/list-d"),
        ["ovsdb-server/list-dbs"]
    );
    assert_eq!(completed(&place, "ovsdb-client dump Open_vSwitch Brid"), ["Bridge"]);
    assert_eq!(completed(&place, "ovsdb-tool show-l"), ["show-log"]);
}

#[test]
fn python_libraries_drive_it() {
    let target = Path::new(env!("CARGO_BIN_EXE_heddle")).ancestors().nth(2).unwrap();
    let python = target.join("python/bin/python");
    if !Command::new(&python)
        .args(["-c", "import ovs, ovsdbapp"])
        .output()
        .is_ok_and(|it| it.status.success())
    {
        eprintln!("SKIPPED: Open vSwitch's Python library and ovsdbapp are not installed (scripts/python)");
        return;
    }
    let place = Place::new();
    place.start(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/speak_ovsdb.py");
    let socket = place.directory.join("db.sock");
    let output = Command::new(python).arg(script).arg(&socket).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("understood"), "{said}");
}

/// As the unit in packaging/ runs it: in the foreground, with no more rights than that gives, told to end by SIGTERM.
#[test]
fn a_service_says_when_it_is_ready_and_ends_when_told() {
    let place = Place::with_own_clients();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/heddle-switchd.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    let words: Vec<&str> = setting("ExecStart").split(' ').skip(1).collect();
    let heddle = [env!("CARGO_BIN_EXE_heddle")];
    let rights = setting("CapabilityBoundingSet").to_lowercase().replace("cap_", "+").replace(' ', ",");
    let rights = format!("--bounding-set=-all,{rights}");
    let limited = ["unshare", "--net", "setpriv", "--no-new-privs", &rights];
    let root = nix::unistd::geteuid().is_root();
    let limits = if root { &limited[..] } else { &[] };
    let told = std::os::unix::net::UnixDatagram::bind(place.directory.join("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = place.command(&[limits, &heddle, &words].concat());
    let mut daemon = command.env("NOTIFY_SOCKET", place.directory.join("notify")).spawn().unwrap();
    let mut state = [0; 64];
    let size = told.recv(&mut state).unwrap();
    assert_eq!(&state[..size], b"READY=1");
    place.good("ovs-vsctl --no-wait show");
    let made = place.run(&["ovs-vsctl", "-t", "5", "add-br", "unit-br0"]);
    assert!(made.status.success() || !root, "{}", String::from_utf8_lossy(&made.stderr));
    let begun = Instant::now();
    let pid = nix::unistd::Pid::from_raw(daemon.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = daemon.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(5), "ends within seconds");
    assert!(!place.directory.join("ovs-vswitchd.pid").exists() && !place.directory.join("db.sock").exists());
}

#[test]
fn bridges_are_there_again_after_a_kill() {
    let place = Place::with_own_clients();
    place.start(&["--enable-dummy=override"]);
    place.good("ovs-vsctl add-br br0 -- add-port br0 p1 -- set interface p1 type=dummy");
    let before = place.good("ovs-vsctl --columns=_uuid,name,ofport list interface");
    let system = place.good("ovs-vsctl get open_vswitch . external_ids:system-id");
    let pid = nix::unistd::Pid::from_raw(place.pid().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    until("it is gone", || !Path::new(&format!("/proc/{pid}")).exists());
    place.start(&["--enable-dummy=override"]);
    assert_eq!(place.good("ovs-vsctl --columns=_uuid,name,ofport list interface"), before);
    assert_eq!(place.good("ovs-vsctl get open_vswitch . external_ids:system-id"), system);
    assert!(place.good("ovs-ofctl show br0").contains("1(p1)"));
    place.good("ovs-appctl exit");
}

#[test]
fn a_second_daemon_in_one_place_says_who_is_there() {
    let place = Place::with_own_clients();
    place.start(&["--enable-dummy=override"]);
    let second = place.run(&[env!("CARGO_BIN_EXE_heddle"), "switchd", "--enable-dummy=override"]);
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && text.contains("already running as pid"), "{text}");
    assert_eq!(place.good("ovs-vsctl list-br"), "");
    place.good("ovs-appctl exit");
}

/// Runs a script of habits in a network of its own; its words are separated by spaces. Processes that it leaves end with
/// it.
fn habit(place: &Place, script: &str, words: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/habits").join(script);
    let line = format!(
        "ip link set lo up && {} switchd --detach --log-file -vconsole:off && sh {} {words}; code=$?; \
         ovs-appctl exit; exit $code",
        env!("CARGO_BIN_EXE_heddle"),
        script.display()
    );
    let own = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"];
    let mapped: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let output = place.run(&[&own, mapped, &["sh", "-c", &line]].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {text}{}", script.display(), place.log());
}

/// Whether this user may make networks, with devices and TAPs in them.
fn may_make_networks() -> bool {
    let mapped: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let words = [mapped, &["--net", "ip", "tuntap", "add", "tap0", "mode", "tap"]].concat();
    let may = Command::new("unshare").args(words).output().is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("SKIPPED: this user may not make networks and TAPs");
    }
    may
}

#[test]
fn libvirt_and_mininet_use_it() {
    if !may_make_networks() {
        return;
    }
    for place in [Some(Place::with_own_clients()), Place::with_stock_clients()].into_iter().flatten() {
        let devices = place.directory.join("devices.sh");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/habits");
        let script = format!(
            "set -eu\nip link add v1 type veth peer name w1\nip link set v1 up\nip tuntap add t1 mode tap\n\
             ip link set t1 up\novs-vsctl add-br lv0\nsh {0}/libvirt.sh lv0 v1\nsh {0}/libvirt.sh lv0 t1\n\
             {1} controller ptcp:6653:127.0.0.1 >/dev/null &\nsh {0}/mininet.sh s1 v1 t1 tcp:127.0.0.1:6653\n",
            folder.display(),
            env!("CARGO_BIN_EXE_heddle")
        );
        std::fs::write(&devices, script).unwrap();
        habit(&place, &devices.display().to_string(), "");
    }
}

#[test]
fn instances_reach_the_outside_by_an_uplink() {
    if may_make_networks() {
        habit(&Place::with_own_clients(), "uplink.sh", "br0");
    }
}

/// Whether root runs this and what a script of habits starts is there.
fn root_has(programs: &[&str], packages: &str) -> bool {
    let path = std::env::var("PATH").unwrap();
    let there = |program: &&str| path.split(':').any(|folder| Path::new(folder).join(program).exists());
    let ready = nix::unistd::geteuid().is_root() && programs.iter().all(there);
    if !ready {
        eprintln!("SKIPPED: root is needed, and {programs:?} (Debian: apt install {packages})");
    }
    ready
}

#[test]
fn mininet_itself_runs_on_it() {
    let Some(place) = Place::with_stock_clients() else { return };
    if root_has(&["mn"], "mininet") {
        habit(&place, "mn.sh", "");
    }
}

#[test]
fn virtual_machines_are_attached() {
    if root_has(&["qemu-system-x86_64", "dnsmasq"], "qemu-system-x86 dnsmasq-base") && may_make_networks() {
        for device in ["virtio-net-pci", "e1000e"] {
            habit(&Place::with_own_clients(), "qemu.sh", &format!("br0 {device}"));
        }
    }
}

#[test]
fn docker_containers_are_attached() {
    if root_has(&["dockerd", "docker", "busybox"], "docker.io busybox-static") {
        habit(&Place::with_own_clients(), "docker.sh", "br0");
    }
}

#[test]
fn dummies_pass_frames_over_sockets() {
    let place = Place::with_own_clients();
    place.start(&["--enable-dummy=override"]);
    let socket = place.directory.join("cable.sock");
    place.good("ovs-vsctl add-br br0 -- add-br br1");
    place.good(&format!(
        "ovs-vsctl add-port br0 p1 -- set interface p1 type=dummy options:stream=unix:{}",
        socket.display()
    ));
    assert_eq!(place.good("ovs-appctl netdev-dummy/conn-state p1"), "p1: disconnected\n");
    place.good(&format!(
        "ovs-vsctl add-port br1 p2 -- set interface p2 type=dummy options:pstream=punix:{}",
        socket.display()
    ));
    until("the other end is there", || place.good("ovs-appctl netdev-dummy/conn-state") == "p1: connected\n");
    place.good("ovs-appctl netdev-dummy/receive br0 ffffffffffff0200000000010800");
    until("the frame has crossed", || place.good("ovs-appctl fdb/show br1").contains("02:00:00:00:00:01"));
    place.good("ovs-vsctl del-port br1 p2");
    until("the cable is pulled", || place.good("ovs-appctl netdev-dummy/conn-state") == "p1: disconnected\n");
    place.good("ovs-vsctl set interface p1 options:stream=nonsense:7");
    let error =
        place.good("ovs-vsctl --timeout=10 wait-until interface p1 error!=[] -- get interface p1 error");
    assert!(error.contains("invalid stream"), "{error}");
}
