//! What the kernel's own calls take: network namespaces with a veth pair and two addresses each, one after the other, without
//! a switch.

use std::time::Instant;

use anyhow::Result;
use heddle_instance::netns::NetnsProvider;
use heddle_instance::{InstanceProvider, Nic, Prefix, Wiring};

use super::place::nothing_is_left;

/// Milliseconds until all are made, and from then until all are gone.
///
/// # Errors
/// If the kernel refuses one.
pub fn measure(hosts: usize) -> Result<(f64, f64)> {
    // The near ends are in a namespace of their own, which ends with the thread.
    let made = std::thread::spawn(move || {
        let begun = Instant::now();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
        let made = (1..=hosts).map(make).collect::<Result<Vec<_>>>()?;
        let up = super::milliseconds(begun);
        let begun = Instant::now();
        drop(made);
        anyhow::Ok((up, begun))
    });
    let (up, begun) = made.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread died")))?;
    nothing_is_left()?;
    Ok((up, super::milliseconds(begun)))
}

fn make(number: usize) -> Result<Box<dyn heddle_instance::Instance>> {
    let host = NetnsProvider.create(&format!("h{number}"))?;
    let [.., a, b, c] = number.to_be_bytes();
    let addresses = vec![
        Prefix { address: [10, a, b, c].into(), length: 8 },
        Prefix { address: [0xfd00, 0, 0, 0, 0, 0, 0, number as u16].into(), length: 64 },
    ];
    let nic = Nic {
        name: "eth0".into(),
        mac: [2, 0, 0, a, b, c],
        mtu: 1500,
        addresses,
        routes: vec![],
        solicits: false,
        wiring: Wiring::Veth { near: format!("p{number}") },
    };
    host.attach(&nic)?;
    Ok(host)
}
