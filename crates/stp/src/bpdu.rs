//! Bridge protocol data units and the frames that carry them (802.1D-2004 section 9).
//!
//! ```text
//! 01:80:c2:00:00:00 | source | length | 42 42 03 | protocol 0 (16) | version (8) | type (8) | ...
//! type 00, 02: flags (8) | root (64) | cost (32) | bridge (64) | port (16) | message age, max age,
//!              hello time, forward delay (16 each, in 1/256 s) | version 1 length (8, type 02 alone)
//! type 80:     nothing more
//! ```

use thiserror::Error;

use crate::{BridgeId, Role, Times, Vector};

/// The address that bridges listen to.
pub const GROUP_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0];
/// Logical link control: the spanning tree's service access points, unnumbered information.
const LLC: [u8; 3] = [0x42, 0x42, 0x03];

const TYPE_CONFIG: u8 = 0;
const TYPE_RAPID: u8 = 2;
const TYPE_TCN: u8 = 0x80;

const TOPOLOGY_CHANGE: u8 = 1;
const PROPOSAL: u8 = 1 << 1;
const LEARNING: u8 = 1 << 4;
const FORWARDING: u8 = 1 << 5;
const AGREEMENT: u8 = 1 << 6;
const TOPOLOGY_CHANGE_ACK: u8 = 1 << 7;

/// What a bridge says of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The topology changes.
    pub topology_change: bool,
    /// A notification of a change is acknowledged.
    pub topology_change_ack: bool,
    /// How good its way to the root is.
    pub vector: Vector,
    /// The root's times, and the age of this.
    pub times: Times,
}

/// What RSTP says beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rapid {
    /// Role of the port that sends it; [`Role::Disabled`] where it does not say.
    pub role: Role,
    /// It asks to forward at once.
    pub proposal: bool,
    /// It agrees that the other forwards at once.
    pub agreement: bool,
    /// It learns.
    pub learning: bool,
    /// It forwards.
    pub forwarding: bool,
}

/// A message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bpdu {
    /// A configuration (STP).
    Config(Configuration),
    /// A notification of a change (STP).
    Tcn,
    /// A rapid configuration (RSTP).
    Rapid(Configuration, Rapid),
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BpduError {
    /// It is shorter than what it says it is.
    #[error("a BPDU is cut short")]
    Truncated,
    /// It is another protocol's.
    #[error("a frame to the bridges is no BPDU")]
    NotBpdu,
    /// It is of a type that is not known.
    #[error("a BPDU is of an unknown type")]
    UnknownType,
    /// A configuration of STP is as old as it may get. One of RSTP says by its age that its root is gone.
    #[error("a BPDU has expired")]
    Expired,
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BpduError> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(BpduError::Truncated)
}

/// A time of 1/256 s as seconds, upwards: no time is understated.
fn seconds(time: [u8; 2]) -> u16 {
    u16::from_be_bytes(time).div_ceil(256)
}

impl Bpdu {
    /// Reads the frame of a BPDU; VLAN tags have been taken from it.
    ///
    /// # Errors
    /// If it is none, or one that is to be ignored (section 9.3.4).
    pub fn of_frame(frame: &[u8]) -> Result<Self, BpduError> {
        let length = usize::from(u16::from_be_bytes(part(frame, 12)?));
        if part::<6>(frame, 0)? != GROUP_ADDRESS || length > 1500 || part::<3>(frame, 14)? != LLC {
            return Err(BpduError::NotBpdu);
        }
        let end = length.checked_add(14).filter(|&end| end >= 17).ok_or(BpduError::Truncated)?;
        Self::decode(frame.get(17..end).ok_or(BpduError::Truncated)?)
    }

    /// Reads a BPDU.
    ///
    /// # Errors
    /// As [`Self::of_frame`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BpduError> {
        let [high, low, version, kind] = part(bytes, 0)?;
        if (high, low) != (0, 0) {
            return Err(BpduError::NotBpdu);
        }
        match (kind, version) {
            (TYPE_TCN, _) => Ok(Self::Tcn),
            (TYPE_CONFIG, _) => match configuration(bytes)?.0 {
                Configuration { times, .. } if times.message_age >= times.max_age => Err(BpduError::Expired),
                configuration => Ok(Self::Config(configuration)),
            },
            (TYPE_RAPID, 2..) => {
                let (configuration, flags) = configuration(bytes)?;
                part::<1>(bytes, 35)?;
                let role = match flags >> 2 & 3 {
                    1 => Role::Alternate,
                    2 => Role::Root,
                    3 => Role::Designated,
                    _ => Role::Disabled,
                };
                let has = |flag: u8| flags & flag != 0;
                let rapid = Rapid {
                    role,
                    proposal: has(PROPOSAL),
                    agreement: has(AGREEMENT),
                    learning: has(LEARNING),
                    forwarding: has(FORWARDING),
                };
                // The bit of acknowledgement is STP's alone.
                Ok(Self::Rapid(Configuration { topology_change_ack: false, ..configuration }, rapid))
            }
            _ => Err(BpduError::UnknownType),
        }
    }

    /// The bytes of a BPDU.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tcn => vec![0, 0, 0, TYPE_TCN],
            Self::Config(configuration) => {
                let mut out = vec![0, 0, 0, TYPE_CONFIG];
                let ack = if configuration.topology_change_ack { TOPOLOGY_CHANGE_ACK } else { 0 };
                put(&mut out, configuration, ack);
                out
            }
            Self::Rapid(configuration, rapid) => {
                let mut out = vec![0, 0, 2, TYPE_RAPID];
                let role = match rapid.role {
                    Role::Disabled => 0,
                    Role::Alternate | Role::Backup => 1,
                    Role::Root => 2,
                    Role::Designated => 3,
                };
                let flag = |set: bool, flag: u8| if set { flag } else { 0 };
                let flags = role << 2
                    | flag(rapid.proposal, PROPOSAL)
                    | flag(rapid.agreement, AGREEMENT)
                    | flag(rapid.learning, LEARNING)
                    | flag(rapid.forwarding, FORWARDING);
                put(&mut out, configuration, flags);
                out.push(0);
                out
            }
        }
    }

    /// The frame that carries it, from a port with this address.
    pub fn frame(&self, source: [u8; 6]) -> Vec<u8> {
        let body = self.encode();
        let mut out = GROUP_ADDRESS.to_vec();
        out.extend(source);
        out.extend(((body.len() + LLC.len()) as u16).to_be_bytes());
        out.extend(LLC);
        out.extend(body);
        out.resize(out.len().max(60), 0);
        out
    }
}

/// A configuration and its flags.
fn configuration(bytes: &[u8]) -> Result<(Configuration, u8), BpduError> {
    let [flags] = part(bytes, 4)?;
    let id = |at: usize| part(bytes, at).map(|id| BridgeId(u64::from_be_bytes(id)));
    let vector = Vector {
        root: id(5)?,
        cost: u32::from_be_bytes(part(bytes, 13)?),
        bridge: id(17)?,
        port: u16::from_be_bytes(part(bytes, 25)?),
    };
    let times = Times {
        message_age: seconds(part(bytes, 27)?),
        max_age: seconds(part(bytes, 29)?),
        hello_time: seconds(part(bytes, 31)?),
        forward_delay: seconds(part(bytes, 33)?),
    };
    let topology_change = flags & TOPOLOGY_CHANGE != 0;
    let topology_change_ack = flags & TOPOLOGY_CHANGE_ACK != 0;
    Ok((Configuration { topology_change, topology_change_ack, vector, times }, flags))
}

fn put(out: &mut Vec<u8>, configuration: &Configuration, flags: u8) {
    let Configuration { topology_change, vector, times, .. } = configuration;
    out.push(flags | if *topology_change { TOPOLOGY_CHANGE } else { 0 });
    out.extend(vector.root.0.to_be_bytes());
    out.extend(vector.cost.to_be_bytes());
    out.extend(vector.bridge.0.to_be_bytes());
    out.extend(vector.port.to_be_bytes());
    for time in [times.message_age, times.max_age, times.hello_time, times.forward_delay] {
        // 256 s, to which 255.5 s are rounded, are written as the longest time that there is room for.
        out.extend(time.saturating_mul(256).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: [u8; 35] = [
        0, 0, 0, 0, 0x81, 0x80, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 19, 0x90, 0, 2, 0, 0, 0, 0, 2, 0x80, 3, 1, 0,
        20, 0, 2, 0, 15, 0,
    ];

    #[test]
    fn reads_and_writes_a_configuration() {
        let bpdu = Bpdu::decode(&CONFIG).unwrap();
        let Bpdu::Config(configuration) = bpdu else { panic!("{bpdu:?}") };
        assert!(configuration.topology_change && configuration.topology_change_ack);
        assert_eq!(configuration.vector.root.to_string(), "8000.020000000001");
        assert_eq!((configuration.vector.cost, configuration.vector.port), (19, 0x8003));
        assert_eq!(configuration.times, Times { message_age: 1, ..Times::default() });
        assert_eq!(bpdu.encode(), CONFIG);
        let frame = bpdu.frame([2, 0, 0, 0, 0, 9]);
        assert_eq!((frame.len(), &frame[12..17]), (60, &[0, 38, 0x42, 0x42, 3][..]));
        assert_eq!(Bpdu::of_frame(&frame), Ok(bpdu));
    }

    #[test]
    fn reads_and_writes_a_rapid_one() {
        let mut bytes = CONFIG.to_vec();
        (bytes[2], bytes[3], bytes[4]) = (2, 2, 0x7e);
        assert_eq!(Bpdu::decode(&bytes), Err(BpduError::Truncated));
        bytes.push(0);
        let bpdu = Bpdu::decode(&bytes).unwrap();
        let rapid = Rapid {
            role: Role::Designated,
            proposal: true,
            agreement: true,
            learning: true,
            forwarding: true,
        };
        assert!(matches!(bpdu, Bpdu::Rapid(_, given) if given == rapid));
        assert_eq!(bpdu.encode(), bytes);
    }

    #[test]
    fn refuses_what_is_none() {
        for length in 0..CONFIG.len() {
            assert_eq!(Bpdu::decode(&CONFIG[..length]), Err(BpduError::Truncated));
        }
        let with = |at: usize, byte: u8| {
            let mut bytes = CONFIG;
            bytes[at] = byte;
            Bpdu::decode(&bytes)
        };
        assert_eq!(with(1, 1), Err(BpduError::NotBpdu));
        assert_eq!(with(3, 7), Err(BpduError::UnknownType));
        assert_eq!(with(27, 20), Err(BpduError::Expired));
    }
}
