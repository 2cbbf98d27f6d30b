//! What a supervisor makes of a topology: hosts, bridges and the ports that join them.
//!
//! A plan is a topology with every default decided (addresses, Ethernet addresses, interface names, fail modes),
//! so that the supervisor only carries out, and a restarted switch is told the same again.

use crate::protocol::Controller;
use heddle_instance::{HostSpec, SwitchEnd};
use heddle_switch::config::{
    BridgeConfig, FailMode, MAX_DESCRIPTORS, PortConfig, PortKind, ToSwitch,
};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// Ports stated in one message; keeps it far below the longest datagram.
const MAX_PORTS: usize = 300;

/// A lab to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its hosts.
    pub hosts: Vec<HostSpec>,
    /// Its switches.
    pub bridges: Vec<PlannedBridge>,
}

/// One switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBridge {
    /// Its name.
    pub name: String,
    /// OpenFlow datapath id.
    pub datapath_id: u64,
    /// What it does without a controller; decided by whether the lab has one where absent.
    pub fail_mode: Option<FailMode>,
    /// Its ports.
    pub ports: Vec<PlannedPort>,
}

/// One port of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPort {
    /// Its name.
    pub name: String,
    /// OpenFlow port number.
    pub ofport: u32,
    /// What it is joined to.
    pub to: FarEnd,
}

/// What a switch's port is joined to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FarEnd {
    /// An interface of a host, by their places in the plan.
    Host {
        /// Place of the host.
        host: usize,
        /// Place of its interface.
        interface: usize,
    },
    /// A port of another switch.
    Switch {
        /// The other switch.
        bridge: String,
        /// Its port.
        port: String,
    },
}

/// One message to the switch, with the descriptors that go with it.
#[derive(Debug)]
pub(crate) struct Message {
    pub json: ToSwitch,
    pub fds: Vec<RawFd>,
}

impl Plan {
    /// The messages that state this plan to a switch. `ends` has the switch's ends of each host's interfaces.
    pub(crate) fn messages(
        &self,
        ends: &[&[SwitchEnd]],
        controller: &Controller,
        rundir: &Path,
    ) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut bridges: Vec<BridgeConfig> = Vec::new();
        let mut fds = Vec::new();
        let mut stated = 0;
        for bridge in &self.bridges {
            bridges.push(self.header(bridge, controller, rundir));
            stated += 1;
            for port in &bridge.ports {
                if stated >= MAX_PORTS || fds.len() >= MAX_DESCRIPTORS {
                    let full = std::mem::take(&mut bridges);
                    let json = ToSwitch::Configure { bridges: full };
                    let fds = std::mem::take(&mut fds);
                    messages.push(Message { json, fds });
                    bridges.push(self.header(bridge, controller, rundir));
                    stated = 1;
                }
                let kind = self.kind(port, ends, &mut fds);
                stated += 1;
                if let Some(last) = bridges.last_mut() {
                    last.ports.push(PortConfig {
                        name: port.name.clone(),
                        ofport: port.ofport,
                        kind,
                        removed: false,
                    });
                }
            }
        }
        if !bridges.is_empty() {
            let json = ToSwitch::Configure { bridges };
            messages.push(Message { json, fds });
        }
        messages
    }

    fn header(
        &self,
        bridge: &PlannedBridge,
        controller: &Controller,
        rundir: &Path,
    ) -> BridgeConfig {
        let at = |socket: &str| format!("unix:{}", rundir.join(socket).display());
        let controllers = match controller {
            Controller::BuiltIn => vec![at(CONTROLLER_SOCKET)],
            Controller::Remote(address) if address.starts_with("unix:") => vec![address.clone()],
            Controller::Remote(_) => vec![at(RELAY_SOCKET)],
            Controller::None => Vec::new(),
        };
        let usual = match controller {
            Controller::None => FailMode::Standalone,
            _ => FailMode::Secure,
        };
        BridgeConfig {
            name: bridge.name.clone(),
            datapath_id: bridge.datapath_id,
            fail_mode: bridge.fail_mode.unwrap_or(usual),
            controllers,
            ports: Vec::new(),
            removed: false,
        }
    }

    fn kind(&self, port: &PlannedPort, ends: &[&[SwitchEnd]], fds: &mut Vec<RawFd>) -> PortKind {
        let (host, place) = match &port.to {
            FarEnd::Switch { bridge, port } => {
                return PortKind::Patch {
                    peer_bridge: bridge.clone(),
                    peer_port: port.clone(),
                };
            }
            FarEnd::Host { host, interface } => (*host, *interface),
        };
        let spec = self.hosts.get(host).and_then(|h| h.interfaces.get(place));
        let end = ends.get(host).and_then(|e| e.get(place));
        match (end, spec) {
            (Some(SwitchEnd::Tap(fd)), Some(spec)) => {
                let index = u32::try_from(fds.len()).unwrap_or(u32::MAX);
                fds.push(fd.as_raw_fd());
                PortKind::Tap {
                    fd: index,
                    mac: spec.mac,
                    mtu: spec.mtu,
                }
            }
            (Some(SwitchEnd::Interface(name)), _) => PortKind::Packet {
                interface: name.clone(),
            },
            _ => PortKind::Dummy,
        }
    }
}

/// Where the built-in controller listens, in the run directory.
pub(crate) const CONTROLLER_SOCKET: &str = "controller.sock";
/// Where the watcher listens for a remote controller's sake.
pub(crate) const RELAY_SOCKET: &str = "remote-controller.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_plan_is_several_messages() {
        let ports = (1..=1000)
            .map(|n| PlannedPort {
                name: format!("s1-eth{n}"),
                ofport: n,
                to: FarEnd::Switch {
                    bridge: "s2".into(),
                    port: format!("s2-eth{n}"),
                },
            })
            .collect();
        let plan = Plan {
            hosts: Vec::new(),
            bridges: vec![PlannedBridge {
                name: "s1".into(),
                datapath_id: 1,
                fail_mode: None,
                ports,
            }],
        };
        let messages = plan.messages(&[], &Controller::BuiltIn, Path::new("/run/x"));
        let mut total = 0;
        for message in &messages {
            let bytes = serde_json::to_vec(&message.json).unwrap();
            assert!(bytes.len() <= heddle_switch::config::MAX_DATAGRAM);
            if let ToSwitch::Configure { bridges } = &message.json {
                assert_eq!(bridges[0].fail_mode, FailMode::Secure);
                total += bridges[0].ports.len();
            }
        }
        assert_eq!(total, 1000);
        assert!(messages.len() > 1);
    }
}
