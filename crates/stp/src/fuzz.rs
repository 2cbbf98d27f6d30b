//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use crate::rstp::{self, Rstp};
use crate::stp::{self, Stp};
use crate::{Bpdu, BridgeId};

/// A frame that is read is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn bpdu(bytes: &[u8]) {
    for read in [Bpdu::of_frame(bytes), Bpdu::decode(bytes)].into_iter().flatten() {
        assert_eq!(Bpdu::of_frame(&read.frame([2, 0, 0, 0, 0, 1])), Ok(read));
        assert_eq!(Bpdu::decode(&read.encode()), Ok(read));
    }
}

/// Whatever neighbours say, bridges stay within bounds: there are few events for each message, the root is no worse than
/// the bridge itself, and when all is silent for a while, the bridge is the root and forwards by every port.
///
/// # Panics
/// If they do not.
pub fn bridges(bytes: &[u8]) {
    let id = BridgeId::new(0x8000, [2, 0, 0, 0, 0, 5]);
    let mut stp = Stp::new(stp::Config { id, ..stp::Config::default() }, 0);
    let mut rstp = Rstp::new(rstp::Config { id, ..rstp::Config::default() }, 0);
    let mut now = 0;
    for port in 1..=3 {
        stp.set_port(port, Some(stp::PortConfig::default()), now);
        rstp.set_port(port, Some(rstp::PortConfig::default()), now);
    }
    stp.events();
    rstp.events();
    let mut told = 0;
    for chunk in bytes.chunks(38) {
        let port = u16::from(chunk[0] % 3) + 1;
        now += u64::from(chunk[0]) * 16;
        let message = match Bpdu::decode(&chunk[1..]) {
            Ok(message) => message,
            Err(_) if chunk.len() == 38 => {
                // Most bytes are no message: let those that could be one be one.
                let mut bytes = [&[0, 0, 2, 2][..], &chunk[2..]].concat();
                (bytes[27], bytes[29]) = (bytes[27] & 3, bytes[29] | 4);
                match Bpdu::decode(&bytes) {
                    Ok(message) => message,
                    Err(_) => continue,
                }
            }
            Err(_) => continue,
        };
        stp.receive(port, &message, now);
        rstp.receive(port, &message, now);
        stp.run(now);
        rstp.run(now);
        let events = stp.events().len() + rstp.events().len();
        told = told.max(events);
        assert!(stp.root() <= id && rstp.root() <= id);
    }
    assert!(told <= 200, "{told} events for one message");
    for _ in 0..200 {
        now += 1000;
        stp.run(now);
        rstp.run(now);
        stp.events();
        rstp.events();
    }
    assert!(stp.root() == id && rstp.root() == id, "what was said once is believed for ever");
    for port in 1..=3 {
        assert!(stp.port(port).is_some_and(|port| port.state.forwards()));
        assert!(rstp.port(port).is_some_and(|port| port.state.forwards()));
    }
}
