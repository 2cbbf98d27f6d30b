//! The forwarding database: which port an address was learned on.
//!
//! Live state: translations on any poll thread learn and read it. A decision depends on the bucket that an address
//! falls in, not on the whole database, so that a thousand new addresses a second leave nearly all decisions standing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts whose changes are numbered apart.
const BUCKETS: usize = 1024;
/// Most addresses of a bridge.
pub const MAX_ENTRIES: usize = 8192;
/// What a bridge may be told of it; as Open vSwitch's bounds.
const LEAST_ENTRIES: usize = 10;
const GREATEST_ENTRIES: usize = 1_000_000;
/// Milliseconds after which an unused address is forgotten.
pub const AGING_MS: u64 = 300_000;

/// A learned address.
#[derive(Debug)]
pub struct Entry {
    /// VLAN, zero where there is none.
    pub vlan: u16,
    /// The address, 48 bits.
    pub mac: u64,
    /// OpenFlow port number.
    pub port: u32,
    /// When it was last seen as a source.
    pub used_ms: AtomicU64,
    /// Whether an operator has said so: it neither ages nor moves.
    pub is_static: bool,
}

/// What has happened to addresses so far.
#[derive(Debug, Default)]
pub struct FdbStats {
    /// Learned.
    pub learned: AtomicU64,
    /// Forgotten because of their age.
    pub expired: AtomicU64,
    /// Seen on another port than before.
    pub moved: AtomicU64,
}

/// The forwarding database of a bridge.
pub struct Fdb {
    entries: Mutex<HashMap<(u16, u64), Arc<Entry>>>,
    changes: Box<[AtomicU64]>,
    /// No address is too old before this.
    next_expiry_ms: AtomicU64,
    aging_ms: AtomicU64,
    most: AtomicUsize,
    /// What has happened to addresses so far.
    pub stats: FdbStats,
}

impl Default for Fdb {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            changes: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            next_expiry_ms: AtomicU64::new(0),
            aging_ms: AtomicU64::new(AGING_MS),
            most: AtomicUsize::new(MAX_ENTRIES),
            stats: FdbStats::default(),
        }
    }
}

impl Fdb {
    fn lock(&self) -> MutexGuard<'_, HashMap<(u16, u64), Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the milliseconds after which an unused address is forgotten, and how many there may be; the usual ones where
    /// nothing is said. Addresses that are too many already stay until they are forgotten.
    pub fn configure(&self, aging_ms: Option<u64>, most: Option<usize>) {
        let aging_ms = aging_ms.unwrap_or(AGING_MS);
        if self.aging_ms.swap(aging_ms, Ordering::Relaxed) != aging_ms {
            self.next_expiry_ms.store(0, Ordering::Relaxed);
        }
        self.most
            .store(most.unwrap_or(MAX_ENTRIES).clamp(LEAST_ENTRIES, GREATEST_ENTRIES), Ordering::Relaxed);
    }

    /// The most addresses.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// The part that an address falls in.
    pub fn bucket(vlan: u16, mac: u64) -> usize {
        let mixed = (mac ^ u64::from(vlan) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 54) as usize % BUCKETS
    }

    /// Change number of a part.
    pub fn change(&self, bucket: usize) -> u64 {
        self.changes[bucket].load(Ordering::Acquire)
    }

    fn changed(&self, vlan: u16, mac: u64) {
        self.changes[Self::bucket(vlan, mac)].fetch_add(1, Ordering::AcqRel);
    }

    /// Learns an address; the entry, and whether anything that was known has changed. `None` when full.
    pub fn learn(&self, vlan: u16, mac: u64, port: u32, now_ms: u64) -> Option<(Arc<Entry>, bool)> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&(vlan, mac))
            && (entry.port == port || entry.is_static)
        {
            entry.used_ms.store(now_ms, Ordering::Relaxed);
            return Some((Arc::clone(entry), false));
        }
        if entries.len() >= self.most.load(Ordering::Relaxed) && !entries.contains_key(&(vlan, mac)) {
            return None;
        }
        let used_ms = AtomicU64::new(now_ms);
        let entry = Arc::new(Entry { vlan, mac, port, used_ms, is_static: false });
        let counter = match entries.insert((vlan, mac), Arc::clone(&entry)) {
            Some(_) => &self.stats.moved,
            None => &self.stats.learned,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.changed(vlan, mac);
        Some((entry, true))
    }

    /// Adds an address that neither ages nor moves; what was known of it before. `Err` when full.
    #[allow(clippy::result_unit_err)]
    pub fn add_static(&self, vlan: u16, mac: u64, port: u32, now_ms: u64) -> Result<Option<Arc<Entry>>, ()> {
        let mut entries = self.lock();
        if entries.len() >= self.most.load(Ordering::Relaxed) && !entries.contains_key(&(vlan, mac)) {
            return Err(());
        }
        let used_ms = AtomicU64::new(now_ms);
        let old = entries.insert((vlan, mac), Arc::new(Entry { vlan, mac, port, used_ms, is_static: true }));
        self.changed(vlan, mac);
        Ok(old)
    }

    /// The entry of an address.
    pub fn find(&self, vlan: u16, mac: u64) -> Option<Arc<Entry>> {
        self.lock().get(&(vlan, mac)).cloned()
    }

    /// Forgets addresses that were not seen for too long; whether there were any.
    pub fn expire(&self, now_ms: u64) -> bool {
        if now_ms < self.next_expiry_ms.load(Ordering::Relaxed) {
            return false;
        }
        // What is learned from now on is young for as long.
        let aging_ms = self.aging_ms.load(Ordering::Relaxed);
        let (mut next, mut expired) = (now_ms.saturating_add(aging_ms), 0);
        let any = self.forget(|entry| {
            let old_ms = entry.used_ms.load(Ordering::Relaxed).saturating_add(aging_ms);
            if old_ms > now_ms {
                next = next.min(old_ms);
            }
            let old = old_ms <= now_ms && !entry.is_static;
            expired += u64::from(old);
            old
        });
        self.stats.expired.fetch_add(expired, Ordering::Relaxed);
        self.next_expiry_ms.store(next, Ordering::Relaxed);
        any
    }

    /// Forgets what `gone` says; whether there was any.
    pub fn forget(&self, mut gone: impl FnMut(&Entry) -> bool) -> bool {
        let mut any = false;
        self.lock().retain(|&(vlan, mac), entry| {
            let goes = gone(entry);
            if goes {
                any = true;
                self.changed(vlan, mac);
            }
            !goes
        });
        any
    }

    /// Every entry, by VLAN and address.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries: Vec<_> = self.lock().values().cloned().collect();
        entries.sort_by_key(|entry| (entry.vlan, entry.mac));
        entries
    }
}
