//! Actions and instructions, as the pipeline runs them.
//!
//! An action has one form here even where the wire or the text has several: `mod_dl_src` and `set_field` are both
//! [`Action::SetField`].

use heddle_flow::Field;

/// Adjoining bits of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bits {
    /// The field.
    pub field: Field,
    /// The lowest bit.
    pub offset: u16,
    /// So many bits; at least one.
    pub count: u16,
}

impl Bits {
    /// Every bit of a field.
    #[must_use]
    pub fn whole(field: Field) -> Self {
        Self { field, offset: 0, count: field.spec().bits.into() }
    }

    /// The greatest value that these bits hold.
    #[must_use]
    pub fn max(self) -> u128 {
        if self.count >= 128 { u128::MAX } else { (1 << self.count) - 1 }
    }

    /// These bits, where they lie in the field.
    #[must_use]
    pub fn mask(self) -> u128 {
        self.max() << self.offset
    }

    /// Their value within a value of the field.
    #[must_use]
    pub fn of(self, value: u128) -> u128 {
        value >> self.offset & self.max()
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the packet to a port, perhaps a reserved one ([`crate::port`]).
    Output {
        /// Where to.
        port: u32,
        /// Bytes to send, where the port is the controller.
        max_len: u16,
    },
    /// Send the packet to the port whose number some bits hold (Nicira's).
    OutputBits {
        /// The bits.
        bits: Bits,
        /// Bytes to send, where the port is the controller.
        max_len: u16,
    },
    /// Send the packet's first bytes to a port (Nicira's).
    OutputTrunc {
        /// Where to.
        port: u32,
        /// Bytes to send.
        max_len: u32,
    },
    /// Send the packet to a queue of a port (OpenFlow 1.0).
    Enqueue {
        /// The port.
        port: u32,
        /// The queue.
        queue: u32,
    },
    /// Copy the TTL of the next header outwards.
    CopyTtlOut,
    /// Copy the TTL of the outer header inwards.
    CopyTtlIn,
    /// Set the MPLS TTL.
    SetMplsTtl(u8),
    /// Decrement the MPLS TTL.
    DecMplsTtl,
    /// Push a VLAN tag of this Ethernet type.
    PushVlan(u16),
    /// Pop the outer VLAN tag.
    PopVlan,
    /// Push an MPLS label; the Ethernet type becomes this.
    PushMpls(u16),
    /// Pop the outer MPLS label; the Ethernet type becomes this.
    PopMpls(u16),
    /// Push a provider backbone bridge's service tag of this Ethernet type.
    PushPbb(u16),
    /// Pop the outer service tag.
    PopPbb,
    /// Send what follows to a queue of the port.
    SetQueue(u32),
    /// Send what follows to the port's own queue again (Nicira's).
    PopQueue,
    /// Run a group.
    Group(u32),
    /// Set the IP TTL or hop limit.
    SetTtl(u8),
    /// Decrement the IP TTL or hop limit.
    DecTtl,
    /// Decrement the IP TTL or hop limit, and tell these controllers of a packet whose TTL is spent (Nicira's).
    DecTtlIds(Vec<u16>),
    /// Set the bits of a field that `mask` names.
    SetField {
        /// The field.
        field: Field,
        /// Its new value.
        value: u128,
        /// Bits to change.
        mask: u128,
    },
    /// Set adjoining bits to a number (Nicira's); the same as [`Action::SetField`], and told apart because it is written so.
    Load {
        /// The bits.
        bits: Bits,
        /// Their new value.
        value: u64,
    },
    /// Look the packet up again and run what is found (Nicira's).
    Resubmit {
        /// The input port to pretend; the packet's own where absent.
        port: Option<u32>,
        /// The table to look in; the current one where absent.
        table: Option<u8>,
    },
    /// Copy bits from one field to another (Nicira's; `copy_field` of OpenFlow 1.5).
    Move {
        /// From this field.
        src: Field,
        /// From this bit on.
        src_ofs: u16,
        /// To this field.
        dst: Field,
        /// From this bit on.
        dst_ofs: u16,
        /// So many bits.
        n_bits: u16,
    },
    /// Remember the value of some bits (Nicira's).
    Push(Bits),
    /// Set some bits to what was remembered last (Nicira's).
    Pop(Bits),
    /// Send the packet to a controller (Nicira's).
    Controller(Box<Controller>),
    /// Choose a number by the packet's connection (Nicira's).
    Multipath(Multipath),
    /// Choose a port by the packet's connection (Nicira's).
    Bundle(Box<Bundle>),
    /// Make a flow out of the packet (Nicira's).
    Learn(Box<Learn>),
    /// One dimension of a conjunctive match (Nicira's).
    Conjunction {
        /// Number of the match.
        id: u32,
        /// Which dimension, from 0.
        clause: u8,
        /// How many there are.
        clauses: u8,
    },
    /// Run actions on a copy (Nicira's).
    Clone(Vec<Action>),
    /// Do nothing more (Nicira's).
    Exit,
    /// Shorten the flow's timeouts once a connection ends (Nicira's).
    FinTimeout {
        /// Seconds without a packet; zero leaves it.
        idle: u16,
        /// Seconds; zero leaves it.
        hard: u16,
    },
    /// Sample packets for IPFIX (Nicira's). No collector can be configured, so flows cannot have it.
    Sample(Sample),
    /// Bytes that mean nothing to the switch (Nicira's).
    Note(Vec<u8>),
}

/// How a packet goes to a controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Bytes to send.
    pub max_len: u16,
    /// The reason to state.
    pub reason: u8,
    /// Which controllers: those of this number.
    pub id: u16,
    /// Bytes that the controller gets with the packet.
    pub userdata: Vec<u8>,
    /// Whether the packet waits for the controller to let it go on.
    pub pause: bool,
    /// The meter that it passes on the way; [`Controller::NO_METER`] for none.
    pub meter: u32,
}

impl Controller {
    /// No meter.
    pub const NO_METER: u32 = u32::MAX;
    /// An action of a flow asked for it (OpenFlow 1.3.5 section 7.4.1).
    pub const REASON_ACTION: u8 = 1;
}

impl Default for Controller {
    fn default() -> Self {
        Self {
            max_len: u16::MAX,
            reason: Self::REASON_ACTION,
            id: 0,
            userdata: Vec::new(),
            pause: false,
            meter: Self::NO_METER,
        }
    }
}

/// Fields by which packets are told apart, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum HashFields {
    /// The Ethernet source.
    EthSrc,
    /// Ethernet addresses and type, VLAN, IP addresses and protocol, ports of TCP and SCTP; the same both ways.
    SymmetricL4,
    /// IP addresses and protocol, ports of TCP and SCTP; the same both ways.
    SymmetricL3L4,
    /// As those, and UDP's ports.
    SymmetricL3L4Udp,
    /// The IP source.
    NwSrc,
    /// The IP target.
    NwDst,
    /// IP addresses; the same both ways.
    SymmetricL3,
}

impl HashFields {
    /// Each with its name, by number.
    pub const ALL: [(HashFields, &'static str); 7] = [
        (Self::EthSrc, "eth_src"),
        (Self::SymmetricL4, "symmetric_l4"),
        (Self::SymmetricL3L4, "symmetric_l3l4"),
        (Self::SymmetricL3L4Udp, "symmetric_l3l4+udp"),
        (Self::NwSrc, "nw_src"),
        (Self::NwDst, "nw_dst"),
        (Self::SymmetricL3, "symmetric_l3"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// How a link is chosen by a hash, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum LinkAlgorithm {
    /// The hash modulo the number of links.
    ModuloN,
    /// The part of the hashes that it falls in (RFC 2992).
    HashThreshold,
    /// The link with the highest hash (RFC 2992).
    Hrw,
    /// Hashes again until one is among the links, some times over.
    IterHash,
}

impl LinkAlgorithm {
    /// Each with its name, by number.
    pub const ALL: [(LinkAlgorithm, &'static str); 4] = [
        (Self::ModuloN, "modulo_n"),
        (Self::HashThreshold, "hash_threshold"),
        (Self::Hrw, "hrw"),
        (Self::IterHash, "iter_hash"),
    ];
}

/// A choice of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// What it is hashed with.
    pub basis: u16,
    /// How the number is chosen.
    pub algorithm: LinkAlgorithm,
    /// The greatest number.
    pub max_link: u16,
    /// An argument of the algorithm.
    pub arg: u32,
    /// Where the number goes.
    pub dst: Bits,
}

/// How a port is chosen, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum BundleAlgorithm {
    /// The first that is live.
    ActiveBackup,
    /// The live one with the highest hash (RFC 2992).
    Hrw,
}

impl BundleAlgorithm {
    /// Each with its name, by number.
    pub const ALL: [(BundleAlgorithm, &'static str); 2] =
        [(Self::ActiveBackup, "active_backup"), (Self::Hrw, "hrw")];
}

/// A choice of a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// What is hashed.
    pub fields: HashFields,
    /// What it is hashed with.
    pub basis: u16,
    /// How the port is chosen.
    pub algorithm: BundleAlgorithm,
    /// The ports.
    pub members: Vec<u32>,
    /// Where the port's number goes; absent where the packet goes to the port itself.
    pub dst: Option<Bits>,
}

/// A flow to be made out of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    /// Seconds without a packet after which it goes; zero for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; zero for never.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// [`Learn::SEND_REMOVED`], [`Learn::DELETE_LEARNED`], [`Learn::WRITE_RESULT`].
    pub flags: u16,
    /// Its table.
    pub table: u8,
    /// Its idle timeout once a connection has ended; zero leaves it.
    pub fin_idle_timeout: u16,
    /// Its hard timeout once a connection has ended; zero leaves it.
    pub fin_hard_timeout: u16,
    /// Most flows with its cookie in its table; zero for no bound.
    pub limit: u32,
    /// Where one bit goes that says whether the flow is there, with [`Learn::WRITE_RESULT`].
    pub result: Option<Bits>,
    /// What it matches and does.
    pub specs: Vec<LearnSpec>,
}

impl Learn {
    /// The controllers are told when the flow goes.
    pub const SEND_REMOVED: u16 = 1;
    /// The flow goes with the one that makes it.
    pub const DELETE_LEARNED: u16 = 2;
    /// Whether the flow is there is written down.
    pub const WRITE_RESULT: u16 = 4;
}

/// Where a learned value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnSource {
    /// From the packet.
    Field(Bits),
    /// It is this.
    Value(u128),
}

/// What is made of a learned value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnTarget {
    /// The flow matches it.
    Match(Bits),
    /// The flow loads it.
    Load(Bits),
    /// The flow sends to the port of this number.
    Output,
}

/// One thing that a learned flow matches or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// So many bits.
    pub count: u16,
    /// Where they come from.
    pub source: LearnSource,
    /// What is made of them.
    pub target: LearnTarget,
}

/// Which packets are sampled, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sample {
    /// How many of 65,535 packets.
    pub probability: u16,
    /// Set of collectors.
    pub collector_set: u32,
    /// Observation domain.
    pub domain: u32,
    /// Observation point.
    pub point: u32,
    /// Port to be sampled as; zero for none.
    pub port: u16,
    /// 0 for neither, 1 on the way in, 2 on the way out.
    pub direction: u8,
}

/// One instruction of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Go on in this table.
    GotoTable(u8),
    /// Set the bits of the metadata that `mask` names.
    WriteMetadata {
        /// The new value.
        value: u64,
        /// Bits to change.
        mask: u64,
    },
    /// Merge these into the action set.
    Write(Vec<Action>),
    /// Run these now.
    Apply(Vec<Action>),
    /// Empty the action set.
    Clear,
    /// Pass the packet through a meter.
    Meter(u32),
}
