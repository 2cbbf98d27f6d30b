//! Spanning tree (IEEE 802.1D): of a network of bridges with rings, as many links are blocked as leave a tree, and when a
//! link is lost, others take over.
//!
//! [`Stp`] is the protocol of 802.1D-1998, which waits for timers; [`Rstp`] that of 802.1D-2004, which asks its neighbour
//! and is done in milliseconds. Both are state machines without I/O or clock: frames, links and *now* go in, and
//! [`Event`]s come out: frames to be sent, ports whose state has changed, and addresses to be forgotten. Each call does
//! bounded work, whatever a neighbour says: times out of the standard's ranges are brought into them, and messages of
//! spent age are dropped. [`bpdu`] has the frames.
#![forbid(unsafe_code)]

pub mod bpdu;
#[doc(hidden)]
pub mod fuzz;
pub mod rstp;
pub mod stp;

use std::fmt;

pub use bpdu::Bpdu;
pub use rstp::Rstp;
pub use stp::Stp;

/// A bridge's identifier: its priority in the upper 16 bits, its Ethernet address in the lower 48. The lower one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeId(pub u64);

impl BridgeId {
    /// The identifier of a priority and an address.
    pub fn new(priority: u16, mac: [u8; 6]) -> Self {
        let mac = mac.iter().fold(0, |mac, &byte| mac << 8 | u64::from(byte));
        Self(u64::from(priority) << 48 | mac)
    }

    /// The priority.
    pub fn priority(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The Ethernet address.
    pub fn mac(self) -> [u8; 6] {
        let bytes = self.0.to_be_bytes();
        [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
    }
}

/// Priority, a point, and the address, in hexadecimal.
impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}.{:012x}", self.priority(), self.0 & 0xffff_ffff_ffff)
    }
}

/// How good a way to the root is (802.1D-2004 section 17.5): the lower is the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vector {
    /// The bridge that is the root.
    pub root: BridgeId,
    /// What the way there costs.
    pub cost: u32,
    /// The bridge that says so.
    pub bridge: BridgeId,
    /// Its port.
    pub port: u16,
}

/// The times that the root decides on, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How old what is known of the root is: how many bridges it has passed, about.
    pub message_age: u16,
    /// At what age it is forgotten.
    pub max_age: u16,
    /// How often it is said.
    pub hello_time: u16,
    /// How long a port waits in each state on its way to forwarding.
    pub forward_delay: u16,
}

impl Default for Times {
    fn default() -> Self {
        Self { message_age: 0, max_age: 20, hello_time: 2, forward_delay: 15 }
    }
}

impl Times {
    /// The same, in the ranges that the standard allows (802.1D-2004 table 17-1).
    #[must_use]
    pub fn in_range(self) -> Self {
        Self {
            message_age: self.message_age,
            max_age: self.max_age.clamp(6, 40),
            hello_time: self.hello_time.clamp(1, 10),
            forward_delay: self.forward_delay.clamp(4, 30),
        }
    }
}

/// What a port does with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The protocol does not run on it.
    #[default]
    Disabled,
    /// It takes no part, but listens to the protocol. RSTP calls it and [`State::Listening`] discarding.
    Blocking,
    /// It is to forward, and waits for others to know.
    Listening,
    /// It learns addresses.
    Learning,
    /// It forwards.
    Forwarding,
}

impl State {
    /// Its name in 802.1D-1998.
    pub fn stp_name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Blocking => "blocking",
            Self::Listening => "listening",
            Self::Learning => "learning",
            Self::Forwarding => "forwarding",
        }
    }

    /// Its name in 802.1D-2004.
    pub fn rstp_name(self) -> &'static str {
        match self {
            Self::Disabled => "Disabled",
            Self::Blocking | Self::Listening => "Discarding",
            Self::Learning => "Learning",
            Self::Forwarding => "Forwarding",
        }
    }

    /// Whether addresses are learned.
    pub fn learns(self) -> bool {
        matches!(self, Self::Disabled | Self::Learning | Self::Forwarding)
    }

    /// Whether packets pass. Those of a port without the protocol do.
    pub fn forwards(self) -> bool {
        matches!(self, Self::Disabled | Self::Forwarding)
    }
}

/// What a port is in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// None.
    #[default]
    Disabled,
    /// The way to the root.
    Root,
    /// The way to the root for what is behind it.
    Designated,
    /// Another way to the root.
    Alternate,
    /// Another way to what a port of the same bridge leads to.
    Backup,
}

impl Role {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Root => "root",
            Self::Designated => "designated",
            Self::Alternate => "alternate",
            Self::Backup => "backup",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send this by a port.
    Send(u16, Bpdu),
    /// A port's state has changed: from, to.
    State(u16, State, State),
    /// Forget the addresses that were learned on a port; on all where there is none.
    Flush(Option<u16>),
}

/// The link cost of a speed in Mbit/s, by 802.1D-1998 table 8-5 and what the industry has made of it.
pub fn stp_path_cost(mbps: u64) -> u16 {
    match mbps {
        10_000.. => 2,
        1_000.. => 4,
        100.. => 19,
        16.. => 62,
        10.. => 100,
        4.. => 250,
        _ => 19,
    }
}

/// The link cost of a speed in Mbit/s, by 802.1D-2004 table 17-3.
pub fn rstp_path_cost(mbps: u64) -> u32 {
    match mbps {
        10_000_000.. => 2,
        1_000_000.. => 20,
        100_000.. => 200,
        10_000.. => 2_000,
        1_000.. => 20_000,
        100.. => 200_000,
        10.. => 2_000_000,
        1.. => 20_000_000,
        0 => 200_000,
    }
}
