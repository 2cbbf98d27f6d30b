//! Bundles: what a controller gathers to be applied in one step (OpenFlow 1.4.1 section 6.9; extension 230 for 1.3).
//!
//! Messages are kept as they stand on the wire and read again when they are applied: a flow is much larger in memory than in a
//! message. How many bytes all bundles of a bridge hold together is bounded, and so are their number and their age.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use heddle_openflow::bundle::{BundleAdd, BundleControl};
use heddle_openflow::message::{NO_BUFFER, Version, decode};
use heddle_openflow::{Body, Fault, OfError};
use heddle_pipeline::bridge::Origin;
use heddle_pipeline::bundle::Edit;

use super::flows::{Gathered, announce};
use super::ports;
use crate::bridge::ManagedBridge;

/// Bundles that a connection may have open.
const MAX_BUNDLES: usize = 64;
/// Bytes of messages that the bundles of a bridge hold together: two million small flows.
const MAX_BYTES: usize = 256 << 20;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 32;

/// Bytes that the bundles of a bridge hold.
#[derive(Debug, Default)]
pub(crate) struct Budget(AtomicUsize);

/// A part of a budget; free again once the value is gone.
#[derive(Debug)]
struct Share(Arc<Budget>, usize);

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), OfError> {
        let grown = |held: usize| held.checked_add(bytes).filter(|&held| held <= MAX_BYTES);
        self.0
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| OfError::BundleMsgTooMany)?;
        self.1 += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// A bundle that is gathered.
#[derive(Debug)]
struct Bundle {
    flags: u16,
    closed: bool,
    messages: Vec<Box<[u8]>>,
    share: Share,
    used_ms: u64,
    /// The message that opened it, which is quoted when it is forgotten for its age.
    opened: Vec<u8>,
}

/// The bundles of a connection.
#[derive(Debug, Default)]
pub(super) struct Bundles(BTreeMap<u32, Bundle>);

/// What an answer to a bundle's message is: a body, after faults of messages within the bundle.
type Answer = Result<Option<Body>, (Option<Fault>, OfError)>;

fn refused<T>(error: OfError) -> Result<T, (Option<Fault>, OfError)> {
    Err((None, error))
}

impl Bundles {
    /// Whether any bundle is open, so that time matters.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn open(&mut self, id: u32, flags: u16, opened: &[u8], bridge: &ManagedBridge) -> Result<(), OfError> {
        if self.0.len() >= MAX_BUNDLES {
            return Err(OfError::BundleOutOfBundles);
        }
        let bundle = Bundle {
            flags,
            closed: false,
            messages: Vec::new(),
            share: Share(Arc::clone(&bridge.control.bundled), 0),
            used_ms: bridge.clock.now_ms(),
            opened: opened.to_vec(),
        };
        self.0.insert(id, bundle);
        Ok(())
    }

    /// Forgets bundles that were not used for long; what the peer is told of each.
    pub(super) fn expire(&mut self, bridge: &ManagedBridge) -> Vec<Fault> {
        let (now_ms, idle_ms) = (bridge.clock.now_ms(), bridge.bundle_idle_ms());
        let old = |bundle: &Bundle| now_ms.saturating_sub(bundle.used_ms) >= idle_ms;
        let gone: Vec<u32> = self.0.iter().filter(|(_, bundle)| old(bundle)).map(|(id, _)| *id).collect();
        let forget = |id: &u32| self.0.remove(id);
        gone.iter()
            .filter_map(forget)
            .map(|bundle| Fault::of(&bundle.opened, OfError::BundleTimeout))
            .collect()
    }

    /// Does what a control message of a connection asks; `bytes` are that message.
    pub(super) fn control(
        &mut self,
        asked: BundleControl,
        connection: u64,
        bytes: &[u8],
        bridge: &ManagedBridge,
    ) -> Answer {
        let BundleControl { id, kind, flags } = asked;
        let known = self.0.get_mut(&id);
        match kind {
            BundleControl::OPEN => {
                if self.0.remove(&id).is_some() {
                    return refused(OfError::BundleBadId);
                }
                self.open(id, flags, bytes, bridge).or_else(refused)?;
            }
            BundleControl::CLOSE | BundleControl::COMMIT | BundleControl::DISCARD => {
                let Some(bundle) = known else { return refused(OfError::BundleBadId) };
                let wrong = match kind {
                    BundleControl::CLOSE if bundle.closed => Some(OfError::BundleBundleClosed),
                    BundleControl::DISCARD => None,
                    _ if bundle.flags != flags => Some(OfError::BundleBadFlags),
                    _ => None,
                };
                if kind == BundleControl::CLOSE && wrong.is_none() {
                    (bundle.closed, bundle.used_ms) = (true, bridge.clock.now_ms());
                } else if let Some(bundle) = self.0.remove(&id) {
                    // What is used wrongly is forgotten, as Open vSwitch has it.
                    if let Some(error) = wrong {
                        return refused(error);
                    }
                    if kind == BundleControl::COMMIT {
                        bundle
                            .commit(connection, bridge)
                            .map_err(|fault| (Some(fault), OfError::BundleMsgFailed))?;
                    }
                }
            }
            _ => return refused(OfError::BundleBadType),
        }
        Ok(Some(Body::BundleControl(BundleControl { id, kind: kind + 1, flags: 0 })))
    }

    /// Adds a message, which opens the bundle where it is not.
    pub(super) fn add(
        &mut self,
        add: BundleAdd,
        bytes: &[u8],
        bridge: &ManagedBridge,
    ) -> Result<(), OfError> {
        // The ids of both messages are the same (section 7.3.9.6).
        if add.message.get(4..8) != bytes.get(4..8) {
            return Err(OfError::BundleMsgBadXid);
        }
        let message = decode(&add.message).map_err(|fault| fault.error)?;
        if bytes.first() != Some(&(message.form.version as u8)) {
            return Err(OfError::BundleMsgUnsup);
        }
        if !matches!(
            message.body,
            Body::FlowMod(_) | Body::GroupMod(_) | Body::PortMod(_) | Body::PacketOut(_)
        ) {
            return Err(OfError::BundleMsgUnsup);
        }
        match &message.body {
            Body::FlowMod(flow_mod) => heddle_pipeline::flow_mod::check(flow_mod)?,
            // Packets are kept for too short a time to wait in a bundle.
            Body::PacketOut(packet) if packet.buffer_id != NO_BUFFER => {
                return Err(OfError::RequestBufferUnknown);
            }
            _ => {}
        }
        if !self.0.contains_key(&add.id) {
            self.open(add.id, add.flags, bytes, bridge)?;
        }
        let Some(bundle) = self.0.get_mut(&add.id) else { return Err(OfError::BundleBadId) };
        let wrong = match bundle {
            Bundle { closed: true, .. } => Err(OfError::BundleBundleClosed),
            _ if bundle.flags != add.flags => Err(OfError::BundleBadFlags),
            _ => bundle.share.grow(add.message.len() + OVERHEAD),
        };
        if wrong.is_err() {
            self.0.remove(&add.id);
            return wrong;
        }
        bundle.used_ms = bridge.clock.now_ms();
        bundle.messages.push(add.message.into());
        Ok(())
    }
}

/// What a message of a bundle changes.
fn edit(bytes: &[u8], bridge: &ManagedBridge) -> Result<Edit, OfError> {
    let message = decode(bytes).map_err(|fault| fault.error)?;
    match message.body {
        Body::FlowMod(flow_mod) => Ok(Edit::Flow(Box::new(flow_mod))),
        Body::GroupMod(group_mod) => Ok(Edit::Group(group_mod)),
        Body::PortMod(port_mod) => ports::wanted(&port_mod, message.form.version, bridge)
            .map(|config| Edit::Port(port_mod.number, config)),
        Body::PacketOut(packet) => Ok(Edit::Check(packet.actions)),
        _ => Err(OfError::BundleMsgUnsup),
    }
}

fn is_packet_out(message: &[u8]) -> bool {
    message.get(1) == Some(&13) && message.first() != Some(&(Version::V1_0 as u8))
}

impl Bundle {
    /// Applies all, or nothing; the fault is that of the message that was refused.
    fn commit(self, connection: u64, bridge: &ManagedBridge) -> Result<(), Fault> {
        let now_ms = bridge.clock.now_ms();
        let before = bridge.bridge.snapshot();
        let fault =
            |messages: &[Box<[u8]>], (index, error): (usize, OfError)| Fault::of(&messages[index], error);
        let edits =
            |messages: &[Box<[u8]>]| messages.iter().map(|bytes| edit(bytes, bridge)).collect::<Vec<_>>();
        // A packet sees what stands before it in the bundle and not what follows, so there are as many steps as packets;
        // that all of them can be taken is checked first.
        let packets = self.messages.iter().filter(|message| is_packet_out(message)).count();
        if packets != 0 {
            let all = edits(&self.messages).into_iter();
            bridge.bridge.check(all, now_ms).map_err(|error| fault(&self.messages, error))?;
        }
        for messages in self.messages.chunk_by(|before, _| !is_packet_out(before)) {
            let all = messages.iter().map(|bytes| edit(bytes, bridge));
            let by = |index: usize| {
                let xid = messages.get(index)?.get(4..8)?.first_chunk()?;
                Some(Origin { connection, xid: u32::from_be_bytes(*xid) })
            };
            let changed = bridge.bridge.commit(all, &by, now_ms).map_err(|error| fault(messages, error))?;
            announce(Gathered::Several(changed), bridge);
            if let Some(Body::PacketOut(packet)) =
                messages.last().and_then(|last| decode(last).ok()).map(|message| message.body)
            {
                bridge.packet_out(&packet).map_err(|error| fault(messages, (messages.len() - 1, error)))?;
                bridge.barrier();
            }
        }
        ports::changed(&before, connection, bridge);
        Ok(())
    }
}
