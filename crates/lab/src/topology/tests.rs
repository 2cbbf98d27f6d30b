use super::*;

fn error(yaml: &str) -> String {
    Topology::from_yaml(yaml).unwrap_err().to_string()
}

#[test]
fn tree_numbers_as_mininet_does() {
    let t = Topology::from_spec("tree,depth=2,fanout=3").unwrap();
    assert_eq!((t.hosts.len(), t.switches.len(), t.links.len()), (9, 4, 12));
    let first: Vec<String> = t.ends("s2").map(|(near, far)| format!("{}:{}", near.port, far.node)).collect();
    assert_eq!(first, ["1:h1", "2:h2", "3:h3", "4:s1"]);
    assert_eq!(t, Topology::from_spec("tree,2,3").unwrap());
}

#[test]
fn linear_names_and_addresses() {
    let t = Topology::from_spec("linear,2,2").unwrap();
    let names: Vec<&str> = t.hosts.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["h1s1", "h1s2", "h2s1", "h2s2"]);
    assert_eq!(t.hosts[0].addresses[0].to_string(), "10.0.0.1/8");
    assert_eq!(t.hosts[3].addresses[1].to_string(), "fd00::4/64");
    assert_eq!(t.hosts[3].mac, [0, 0, 0, 0, 0, 4]);
}

#[test]
fn reversed_turns_the_ports() {
    let t = Topology::from_spec("reversed,3").unwrap();
    assert_eq!(t.links[0].b.port, 3);
    assert_eq!(t.links[2].b.port, 1);
}

#[test]
fn specs_are_bounded() {
    for bad in [
        "tree,depth=60,fanout=9",
        "linear,9999999,9999999",
        "single,0",
        "single,2,3",
        "ring,2",
        "ring,61",
        "torus,2,9",
        "torus,60,60",
        "",
    ] {
        assert!(Topology::from_spec(bad).is_err(), "{bad}");
    }
    assert!(Topology::from_spec("tree,depth=99999999,fanout=1").is_err());
}

#[test]
fn a_file_is_read_in_its_order() {
    let t = Topology::from_yaml(
        "name: campus\nhosts:\n  web: {ip: [192.168.0.1/24], mac: '00:00:00:00:00:99'}\n  a:\nswitches:\n  \
         s1: {fail_mode: secure, protocols: [OpenFlow10, OpenFlow13]}\n  core: {dpid: 7}\nlinks:\n  - [web, s1]\n  - {a: a, b: s1, b_port: 1}\n  \
         - [s1, core]\n",
    )
    .unwrap();
    assert_eq!(t.hosts[1].addresses[0].to_string(), "10.0.0.2/8");
    assert_eq!(t.switches[1].datapath_id, 7);
    assert_eq!(t.switches[0].fail_mode, Some(FailMode::Secure));
    assert_eq!(t.switches[0].protocols, ["OpenFlow10", "OpenFlow13"]);
    assert_eq!(t.links[0].b.interface(), "s1-eth2");
}

#[test]
fn errors_name_the_object() {
    let base = "hosts: {h1: {}, h2: {}}\nswitches: {s1: {}}\n";
    assert!(error(&format!("{base}links: [[h1, s9]]")).contains("s9"));
    assert!(error(&format!("{base}links: [[h1, h2]]")).contains("two hosts"));
    assert!(error(&format!("{base}links: [[s1, s1]]")).contains("itself"));
    assert!(error("hosts: {h1: {ipp: [1]}}").contains("ipp"));
    assert!(error("hosts: {h1: {ip: ['10.0.0.1']}}").contains("10.0.0.1"));
    assert!(error("switches: {core: {}}").contains("dpid"));
    assert!(error("switches: {s1: {protocols: [OpenFlow9]}}").contains("OpenFlow15"));
    assert!(error("hosts: {abcdefghijk: {}}\nswitches: {s1: }\nlinks: [[abcdefghijk, s1]]").contains("15"));
    assert!(error("hosts: {h1: {}}\nswitches: {h1: {dpid: 1}}").contains("twice"));
}

#[test]
fn the_examples_are_right() {
    for text in
        [include_str!("../../../../examples/campus.yaml"), include_str!("../../../../examples/ring.yaml")]
    {
        Topology::from_yaml(text).unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_to_the_writer_of_a_topology() {
    let text = error("hosts: { h1: , h1: }");
    assert!(text.contains("duplicate mapping key: h1") && !text.contains("Options"), "{text}");
    let text = Topology::from_spec("tree,depth=99,fanout=3").unwrap_err().to_string();
    assert_eq!(text, "these are more than the 4096 hosts that one lab may have");
}

#[test]
fn a_torus_is_mininets() {
    let t = Topology::from_spec("torus,3,4").unwrap();
    assert_eq!((t.hosts.len(), t.switches.len(), t.links.len()), (12, 12, 36));
    assert_eq!((t.switches[5].name.as_str(), t.switches[5].datapath_id), ("s2x2", 0x202));
    assert_eq!(t.hosts[5].name, "h2x2");
    let names = |node: &str| -> Vec<String> { t.ends(node).map(|(_, far)| far.node.clone()).collect() };
    assert_eq!(names("s1x1"), ["h1x1", "s1x2", "s2x1", "s1x4", "s3x1"]);
    assert_eq!(t.spanning_tree, Some(SpanningTree::Rstp));
    assert_eq!(Topology::from_spec("torus,3,3,2").unwrap().hosts[3].name, "h1x2x2");
}

#[test]
fn a_ring_is_a_row_that_is_closed() {
    let t = Topology::from_spec("ring,4,2").unwrap();
    assert_eq!((t.hosts.len(), t.switches.len(), t.links.len()), (8, 4, 12));
    assert_eq!((t.links[11].a.node.as_str(), t.links[11].b.node.as_str()), ("s1", "s4"));
    assert_eq!(t.spanning_tree, Some(SpanningTree::Rstp));
}

#[test]
fn rings_are_found() {
    for (spec, ring) in
        [("tree,3,3", None), ("linear,9", None), ("ring,5", Some("s1")), ("torus,3,3", Some("s1x3"))]
    {
        assert_eq!(Topology::from_spec(spec).unwrap().ring(), ring, "{spec}");
    }
    let twice = "hosts: {}\nswitches: {s1: {}, s2: {}}\nlinks: [[s1, s2], [s2, s1]]\nspanning_tree: stp\n";
    let t = Topology::from_yaml(twice).unwrap();
    assert_eq!((t.ring(), t.spanning_tree), (Some("s2"), Some(SpanningTree::Stp)));
}
