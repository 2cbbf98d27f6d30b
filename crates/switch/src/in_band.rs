//! In-band control: hidden flows by which the machine reaches its controllers through the bridge itself, whatever the bridge's
//! flows say.
//!
//! As in Open vSwitch, these pass by `NORMAL`: DHCP and ARP of the bridge's own interface, and ARP and TCP of each controller,
//! also for other switches behind this one. Where the way leads through a gateway, the bridge's own ARP asks for it.
//! A controller whose name is no address is not known here.

use std::net::IpAddr;

use heddle_openflow::FlowMod;
use heddle_openflow::text::parse_flow;
use heddle_wire::MacAddr;

/// A controller that is to stay reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// The hidden flows for controllers, where the bridge's own interface has this address; none without controllers.
pub(crate) fn flows(mac: [u8; 6], remotes: &[Remote]) -> Vec<FlowMod> {
    if remotes.is_empty() {
        return Vec::new();
    }
    let mac = MacAddr(mac);
    let mut matches = vec![
        "in_port=LOCAL,udp,tp_src=68,tp_dst=67".to_owned(),
        format!("arp,dl_dst={mac},arp_op=2"),
        format!("arp,dl_src={mac},arp_op=1"),
        format!("icmp6,dl_dst={mac},icmp_type=136"),
        format!("icmp6,dl_src={mac},icmp_type=135"),
    ];
    for Remote { address, port } in remotes {
        matches.extend(match address {
            IpAddr::V4(address) => [
                format!("arp,arp_tpa={address},arp_op=2"),
                format!("arp,arp_spa={address},arp_op=1"),
                format!("tcp,nw_dst={address},tp_dst={port}"),
                format!("tcp,nw_src={address},tp_src={port}"),
            ],
            IpAddr::V6(address) => [
                format!("icmp6,icmp_type=136,ipv6_dst={address}"),
                format!("icmp6,icmp_type=135,ipv6_src={address}"),
                format!("tcp6,ipv6_dst={address},tp_dst={port}"),
                format!("tcp6,ipv6_src={address},tp_src={port}"),
            ],
        });
    }
    let flow = |matching: &String| parse_flow(&format!("priority=65535,{matching},actions=NORMAL")).ok();
    matches.iter().filter_map(flow).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Wanted;
    use crate::config::FailMode;
    use crate::controllers::Controller;

    #[test]
    fn every_flow_can_be_read() {
        let remote = |address: &str| Remote { address: address.parse().unwrap(), port: 6653 };
        let flows = flows([2, 0, 0, 0, 0, 1], &[remote("10.0.0.1"), remote("fd00::1")]);
        assert_eq!(flows.len(), 13);
        assert!(super::flows([0; 6], &[]).is_empty());
    }

    /// Whether a TCP segment from `p1` to this address and port comes out at `p2`.
    fn passes(switch: &crate::Switch, last: u8, port: u16) -> bool {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 9, 10, 0, 0, last, 0x12, 0x34]);
        frame.extend(port.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        let near = switch.dummy("p1").unwrap();
        assert!(near.inject(heddle_wire::Packet::from_frame(&frame)));
        while near.waiting() != 0 {
            std::thread::yield_now();
        }
        switch.bridge("br0").unwrap().barrier();
        !switch.dummy("p2").unwrap().sent().is_empty()
    }

    #[test]
    fn a_controller_stays_reachable_whatever_the_flows_say() {
        let switch = crate::fuzz::switch();
        let bridge = switch.bridge("br0").unwrap();
        let named = Controller::new("tcp:10.0.0.1:6653").unwrap();
        let wanted = |in_band| Wanted {
            fail_mode: FailMode::Secure,
            controllers: vec![Controller { in_band, ..named.clone() }],
            ..Wanted::default()
        };
        bridge.set_wanted(wanted(false));
        assert!(!passes(&switch, 1, 6653), "nobody forwards it");
        bridge.set_wanted(wanted(true));
        let drop = parse_flow("priority=65535,actions=drop").unwrap();
        bridge.bridge.flow_mod(&drop, 0).unwrap();
        assert!(passes(&switch, 1, 6653) && !passes(&switch, 1, 80) && !passes(&switch, 2, 6653));
        // Nobody sees or deletes what does it.
        assert_eq!(bridge.bridge.snapshot().flows().len(), 1);
        let all = FlowMod {
            command: heddle_openflow::Command::Delete,
            table_id: FlowMod::ALL_TABLES,
            ..FlowMod::default()
        };
        bridge.bridge.flow_mod(&all, 0).unwrap();
        assert!(passes(&switch, 1, 6653));
        bridge.set_wanted(wanted(false));
        assert!(!passes(&switch, 1, 6653));
        assert_eq!(switch.mismatches(), 0);
    }
}
