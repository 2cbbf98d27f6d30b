//! A port: its variables (section 17.19), its timers, and the machines that concern it alone.

use super::MIGRATE_TIME;
use crate::{Bpdu, Role, State, Times, Vector};

/// What a port is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The first of two ports with the same way to the root, by a lower number; a multiple of 16.
    pub priority: u8,
    /// Its number for the protocol, 1 to 4095.
    pub number: u16,
    /// What its link costs.
    pub path_cost: u32,
    /// Whether there is a link.
    pub enabled: bool,
    /// Whether no bridge is expected behind it.
    pub admin_edge: bool,
    /// Whether it may find out that no bridge is behind it.
    pub auto_edge: bool,
    /// Whether at most one bridge is behind it.
    pub point_to_point: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            priority: 128,
            number: 1,
            path_cost: 200_000,
            enabled: true,
            admin_edge: false,
            auto_edge: true,
            point_to_point: true,
        }
    }
}

impl PortConfig {
    /// Its identifier: priority and number.
    pub fn id(&self) -> u16 {
        u16::from(self.priority & 0xf0) << 8 | self.number & 0xfff
    }
}

/// Where a port's information comes from (`infoIs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InfoIs {
    Disabled,
    Aged,
    Mine,
    Received,
}

/// States of the port protocol migration machine (section 17.24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migration {
    CheckingRstp,
    SelectingStp,
    Sensing,
}

/// States of the topology change machine that last (section 17.31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    Inactive,
    Learning,
    Active,
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    /// What it is told to be.
    pub config: PortConfig,
    /// What it does with packets.
    pub state: State,
    /// When it came into that state.
    pub since_ms: u64,
    /// What it is in the tree.
    pub role: Role,
    /// What its link knows of the root.
    pub port_priority: Vector,
    /// What it would say of the root.
    pub designated_priority: Vector,
    /// The times that it would say.
    pub designated_times: Times,
    /// Messages sent.
    pub tx_count_total: u64,
    /// Messages taken.
    pub rx_count: u64,
    /// Frames to the bridges that were none.
    pub error_count: u64,
    /// Whether no bridge is behind it, for all that is known.
    pub oper_edge: bool,
    pub(super) port_times: Times,
    pub(super) info_is: InfoIs,
    pub(super) message: Option<Bpdu>,
    pub(super) selected_role: Role,
    pub(super) selected: bool,
    pub(super) reselect: bool,
    pub(super) updt_info: bool,
    pub(super) agree: bool,
    pub(super) agreed: bool,
    pub(super) proposed: bool,
    pub(super) proposing: bool,
    pub(super) disputed: bool,
    pub(super) sync: bool,
    pub(super) synced: bool,
    pub(super) re_root: bool,
    pub(super) learn: bool,
    pub(super) learning: bool,
    pub(super) forward: bool,
    pub(super) forwarding: bool,
    pub(super) new_info: bool,
    pub(super) mcheck: bool,
    pub(super) send_rstp: bool,
    pub(super) rcvd_rstp: bool,
    pub(super) rcvd_stp: bool,
    pub(super) rcvd_tc: bool,
    pub(super) rcvd_tc_ack: bool,
    pub(super) rcvd_tcn: bool,
    pub(super) tc_ack: bool,
    pub(super) tc_prop: bool,
    pub(super) migration: Migration,
    pub(super) topology: Topology,
    pub(super) edge_delay_while: u16,
    pub(super) fd_while: u16,
    pub(super) hello_when: u16,
    pub(super) mdelay_while: u16,
    pub(super) rb_while: u16,
    pub(super) rcvd_info_while: u16,
    pub(super) rr_while: u16,
    pub(super) tc_while: u16,
    pub(super) tx_count: u8,
}

impl Port {
    /// A port as it begins: what the standard's machines make of `BEGIN`.
    pub(super) fn new(config: PortConfig, times: Times, rapid: bool, now_ms: u64) -> Self {
        Self {
            oper_edge: config.admin_edge,
            config,
            state: State::Disabled,
            since_ms: now_ms,
            role: Role::Disabled,
            port_priority: Vector::default(),
            designated_priority: Vector::default(),
            designated_times: times,
            tx_count_total: 0,
            rx_count: 0,
            error_count: 0,
            port_times: times,
            info_is: InfoIs::Disabled,
            message: None,
            selected_role: Role::Disabled,
            selected: false,
            reselect: true,
            updt_info: false,
            agree: false,
            agreed: false,
            proposed: false,
            proposing: false,
            disputed: false,
            sync: true,
            synced: false,
            re_root: true,
            learn: false,
            learning: false,
            forward: false,
            forwarding: false,
            new_info: true,
            mcheck: false,
            send_rstp: rapid,
            rcvd_rstp: false,
            rcvd_stp: false,
            rcvd_tc: false,
            rcvd_tc_ack: false,
            rcvd_tcn: false,
            tc_ack: false,
            tc_prop: false,
            migration: Migration::CheckingRstp,
            topology: Topology::Inactive,
            edge_delay_while: MIGRATE_TIME,
            fd_while: times.max_age,
            hello_when: times.hello_time,
            mdelay_while: MIGRATE_TIME,
            rb_while: 0,
            rcvd_info_while: 0,
            rr_while: times.forward_delay,
            tc_while: 0,
            tx_count: 0,
        }
    }

    pub(super) fn configure(&mut self, config: PortConfig, rapid: bool) {
        let moved = (self.config.id(), self.config.path_cost) != (config.id(), config.path_cost);
        if config.admin_edge && !self.config.enabled {
            self.oper_edge = true;
        }
        if !config.enabled {
            self.message = None;
            self.edge_delay_while = MIGRATE_TIME;
            self.oper_edge = config.admin_edge;
            self.restart_migration(rapid);
        }
        self.config = config;
        if moved {
            (self.reselect, self.selected) = (true, false);
        }
    }

    pub(super) fn restart_migration(&mut self, rapid: bool) {
        self.migration = Migration::CheckingRstp;
        (self.mcheck, self.send_rstp, self.mdelay_while) = (false, rapid, MIGRATE_TIME);
    }

    /// The port receive machine (section 17.23): the message waits for the machine of port information.
    pub(super) fn take(&mut self, message: &Bpdu, rapid: bool) {
        match message {
            Bpdu::Rapid(..) if rapid => self.rcvd_rstp = true,
            Bpdu::Rapid(..) => {}
            _ => self.rcvd_stp = true,
        }
        self.oper_edge = false;
        self.edge_delay_while = MIGRATE_TIME;
        self.message = Some(*message);
    }

    /// The port timers machine (section 17.22).
    pub(super) fn tick(&mut self) {
        let timers = [
            &mut self.edge_delay_while,
            &mut self.fd_while,
            &mut self.hello_when,
            &mut self.mdelay_while,
            &mut self.rb_while,
            &mut self.rcvd_info_while,
            &mut self.rr_while,
            &mut self.tc_while,
        ];
        timers.into_iter().for_each(|timer| *timer = timer.saturating_sub(1));
        self.tx_count = self.tx_count.saturating_sub(1);
    }

    /// The port protocol migration machine (section 17.24).
    pub(super) fn step_migration(&mut self, rapid: bool) -> bool {
        match self.migration {
            Migration::CheckingRstp if self.mdelay_while == 0 => self.sense(),
            Migration::SelectingStp if self.mdelay_while == 0 || !self.config.enabled || self.mcheck => {
                self.sense();
            }
            Migration::Sensing => {
                let back = rapid && !self.send_rstp && self.rcvd_rstp;
                if self.mcheck || back {
                    self.restart_migration(rapid);
                } else if self.send_rstp && self.rcvd_stp {
                    self.migration = Migration::SelectingStp;
                    (self.send_rstp, self.mdelay_while) = (false, MIGRATE_TIME);
                } else {
                    return false;
                }
            }
            _ => return false,
        }
        true
    }

    fn sense(&mut self) {
        self.migration = Migration::Sensing;
        // What is heard while a protocol is tried counts for nothing.
        (self.rcvd_rstp, self.rcvd_stp) = (false, false);
    }

    /// The bridge detection machine (section 17.25).
    pub(super) fn step_detection(&mut self) -> bool {
        let alone = self.edge_delay_while == 0 && self.config.auto_edge && self.send_rstp && self.proposing;
        let becomes = !self.oper_edge && (alone || !self.config.enabled && self.config.admin_edge);
        self.oper_edge |= becomes;
        becomes
    }

    /// Whether roles have been selected, and what they need is written.
    pub(super) fn is_settled(&self) -> bool {
        self.selected && !self.updt_info
    }

    /// `FwdDelay` (section 17.20). The standard lets ports that speak RSTP wait for a `HelloTime` only (`forwardDelay`). What is
    /// known of a root that is gone may circulate for longer than that before it has aged, and would close a loop then: a
    /// port with which nobody has agreed waits for the whole delay.
    pub(super) fn fwd_delay(&self) -> u16 {
        self.designated_times.forward_delay
    }

    /// `EdgeDelay` (section 17.20).
    pub(super) fn edge_delay(&self) -> u16 {
        if self.config.point_to_point { MIGRATE_TIME } else { self.designated_times.max_age }
    }
}
