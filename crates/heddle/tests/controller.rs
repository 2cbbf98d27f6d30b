//! The built-in controller's apps on a lab, as `examples/apps.yaml` has them. Skipped, aloud, where the kernel gives this user no
//! namespaces.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use common::{Place, everything, example, installed, labs_work, wait_until};

/// A controller that runs, with the addresses that it says.
struct Controller {
    child: Child,
    openflow: String,
    web: String,
}

impl Controller {
    fn start(place: &Place) -> Self {
        let apps = example("apps.yaml");
        let words = ["controller", "--apps", &apps, "--rest", "127.0.0.1:0", "ptcp:0:127.0.0.1"];
        let mut child = place.heddle(&words).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut after =
            |mark: &str| lines.find_map(|line| Some(line.split_once(mark)?.1.to_owned())).unwrap();
        let openflow = after("ptcp:").split(':').next().unwrap().to_owned();
        let web = after("http://").trim_end_matches("/apps").to_owned();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, openflow, web }
    }

    fn get(&self, path: &str) -> (String, serde_json::Value) {
        let mut stream = TcpStream::connect(&self.web).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_chain_of_apps_routes_filters_and_balances() {
    if !labs_work() || !installed("busybox", "busybox-static") {
        return;
    }
    let place = Place::new();
    let controller = Controller::start(&place);
    let remote = format!("remote,ip=127.0.0.1,port={}", controller.openflow);
    place.good(&["lab", "--topo", &example("subnets.yaml"), "--controller", &remote, "--name", "sub", "-d"]);
    let run = |host: &str, words: &[&str]| {
        let all = [&["exec", "--lab", "sub", host], words].concat();
        place.heddle(&all).output().unwrap()
    };
    let pings = |address: &str| run("h1", &["ping", "-c", "1", "-W", "2", address]).status.success();
    wait_until("the gateway answers", || pings("10.0.1.1"));
    assert!(pings("10.0.1.2"), "within the subnet");
    wait_until("the other subnet is reached", || pings("10.0.2.5"));
    // Too far, no way, nobody there: the sender is told.
    for (words, told) in [
        (&["-t", "1", "10.0.2.5"][..], "Time to live exceeded"),
        (&["10.77.0.1"], "Net Unreachable"),
        (&["-W", "5", "10.0.2.99"], "Host Unreachable"),
    ] {
        let output = run("h1", &[&["ping", "-c", "1"], words].concat());
        assert!(everything(&output).contains(told), "{words:?}: {}", everything(&output));
    }
    let servers: Vec<Child> = [("web1", "80"), ("web2", "80"), ("web1", "23")]
        .into_iter()
        .map(|(host, port)| {
            let words = ["exec", "--lab", "sub", host, "busybox", "httpd", "-f", "-p", port, "-h", "/etc"];
            place.heddle(&words).spawn().unwrap()
        })
        .collect();
    let fetch = |address: &str, port: &str| {
        let script = format!(r"printf 'GET /hostname HTTP/1.0\r\n\r\n' | busybox nc -w 2 {address} {port}");
        everything(&run("h1", &["sh", "-c", &script])).contains("200 OK")
    };
    wait_until("the servers serve", || fetch("10.0.1.2", "80") && fetch("10.0.1.3", "80"));
    assert!(!fetch("10.0.1.2", "23"), "the firewall denies the port");
    for _ in 0..6 {
        assert!(fetch("10.0.1.100", "80"), "the virtual address serves");
    }
    let (_, balanced) = controller.get("/apps/load-balancer");
    let connections: Vec<_> =
        balanced["services"][0]["backends"].as_array().unwrap().iter().map(|it| &it["connections"]).collect();
    assert_eq!(connections, [2, 4], "as their weights are");
    let (_, apps) = controller.get("/apps");
    assert_eq!(apps["firewall"]["rules"][0], "deny tcp,tp_dst=23");
    assert!(apps["router"]["1"]["neighbours"].as_array().unwrap().len() >= 2, "{apps}");
    let (status, _) = controller.get("/apps/none");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    wait_until("the monitor has rates", || {
        controller.get("/apps/monitor").1["1"]["1"]["rx_bits_per_second"].is_number()
    });
    place.good(&["lab", "stop", "sub"]);
    for mut server in servers {
        let _ = server.kill();
        let _ = server.wait();
    }
}

#[test]
fn what_is_wrong_with_apps_is_said_by_name() {
    let place = Place::new();
    let file = place.directory.join("apps.yaml");
    for (text, told) in [
        ("- firewall: { rules: [permit tcp] }", "\"permit tcp\": it begins with neither allow nor deny"),
        ("- firewall: { rules: [allow tcpp] }", "tcpp"),
        ("- router: { 1: { addresses: [10.0.0.1] } }", "10.0.1.1/24"),
        ("- monitor: { every: 0 }", "every 0.1"),
        ("- teapot", "teapot"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = place.bad(&["controller", "--apps", file.to_str().unwrap(), "ptcp:0:127.0.0.1"]);
        assert!(said.contains(told) && said.contains("apps.yaml"), "{text}: {said}");
    }
}
