//! The port role transitions machine (section 17.29).

use super::Rstp;
use super::port::Port;
use crate::Role;

/// What a step of one port does to all.
enum Tree {
    None,
    Sync,
    ReRoot,
}

impl Rstp {
    /// One step; whether it was taken.
    pub(super) fn step_role(&mut self, number: u16) -> bool {
        let all_synced = self.ports.values().all(|port| {
            port.is_settled() && port.role == port.selected_role && (port.role == Role::Root || port.synced)
        });
        let re_rooted = self.ports.iter().all(|(&other, port)| other == number || port.rr_while == 0);
        let rapid = self.is_rapid();
        let Some(port) = self.ports.get_mut(&number).filter(|port| port.is_settled()) else { return false };
        let step = if port.role != port.selected_role {
            port.enter_role();
            Some(Tree::None)
        } else {
            match port.role {
                Role::Disabled => port.step_disabled(),
                Role::Root => port.step_root(all_synced, re_rooted && rapid),
                Role::Designated => port.step_designated(),
                Role::Alternate | Role::Backup => port.step_alternate(all_synced),
            }
        };
        match step {
            None => return false,
            Some(Tree::None) => {}
            Some(Tree::Sync) => self.ports.values_mut().for_each(|port| port.sync = true),
            Some(Tree::ReRoot) => self.ports.values_mut().for_each(|port| port.re_root = true),
        }
        true
    }
}

impl Port {
    fn enter_role(&mut self) {
        self.role = self.selected_role;
        match self.role {
            Role::Root => self.rr_while = self.fwd_delay(),
            Role::Designated => {}
            Role::Disabled | Role::Alternate | Role::Backup => (self.learn, self.forward) = (false, false),
        }
    }

    fn step_disabled(&mut self) -> Option<Tree> {
        let done =
            self.fd_while == self.designated_times.max_age && !self.sync && !self.re_root && self.synced;
        if self.learning || self.forwarding || done {
            return None;
        }
        self.fd_while = self.designated_times.max_age;
        (self.synced, self.rr_while, self.sync, self.re_root) = (true, 0, false, false);
        Some(Tree::None)
    }

    fn step_root(&mut self, all_synced: bool, re_rooted: bool) -> Option<Tree> {
        let may = self.fd_while == 0 || re_rooted && self.rb_while == 0;
        if self.proposed && !self.agree {
            self.proposed = false;
            return Some(Tree::Sync);
        }
        if all_synced && !self.agree || self.proposed && self.agree {
            self.agree_to();
            self.sync = false;
        } else if !self.forward && !self.re_root {
            return Some(Tree::ReRoot);
        } else if may && !self.learn {
            (self.learn, self.fd_while) = (true, self.fwd_delay());
        } else if may && self.learn && !self.forward {
            (self.forward, self.fd_while) = (true, 0);
        } else if self.re_root && self.forward {
            self.re_root = false;
        } else if self.rr_while != self.fwd_delay() {
            self.rr_while = self.fwd_delay();
        } else {
            return None;
        }
        Some(Tree::None)
    }

    fn agree_to(&mut self) {
        (self.proposed, self.agree, self.new_info) = (false, true, true);
    }

    fn step_designated(&mut self) -> Option<Tree> {
        let may = (self.fd_while == 0 || self.agreed || self.oper_edge)
            && (self.rr_while == 0 || !self.re_root)
            && !self.sync;
        let ends = self.sync && !self.synced || self.re_root && self.rr_while != 0 || self.disputed;
        let syncs = !self.learning && !self.forwarding || self.agreed || self.oper_edge;
        if !self.forward && !self.agreed && !self.proposing && !self.oper_edge {
            self.proposing = true;
            self.edge_delay_while = self.edge_delay();
            self.new_info = true;
        } else if syncs && !self.synced || self.sync && self.synced {
            (self.rr_while, self.synced, self.sync) = (0, true, false);
        } else if self.rr_while == 0 && self.re_root {
            self.re_root = false;
        } else if ends && !self.oper_edge && (self.learn || self.forward) {
            (self.learn, self.forward, self.disputed) = (false, false, false);
            self.fd_while = self.fwd_delay();
        } else if may && !self.learn {
            (self.learn, self.fd_while) = (true, self.fwd_delay());
        } else if may && self.learn && !self.forward {
            (self.forward, self.fd_while) = (true, 0);
            self.agreed = self.send_rstp;
        } else {
            return None;
        }
        Some(Tree::None)
    }

    fn step_alternate(&mut self, all_synced: bool) -> Option<Tree> {
        if self.learning || self.forwarding {
            return None;
        }
        let backup = 2 * self.designated_times.hello_time;
        if self.proposed && !self.agree {
            self.proposed = false;
            return Some(Tree::Sync);
        }
        if all_synced && !self.agree || self.proposed && self.agree {
            self.agree_to();
        } else if self.role == Role::Backup && self.rb_while != backup {
            self.rb_while = backup;
        } else if self.fd_while != self.fwd_delay() || self.sync || self.re_root || !self.synced {
            self.fd_while = self.fwd_delay();
            (self.synced, self.rr_while, self.sync, self.re_root) = (true, 0, false, false);
        } else {
            return None;
        }
        Some(Tree::None)
    }
}
