//! What a change is about, and what a cached decision depends on, boiled down to a few *places* each.
//!
//! With a thousand changes a second and ten thousand decisions, asking each decision about each change takes all of a poll
//! thread's time. Most changes are elsewhere: of another port, for another host, about another address. A change is at one
//! place, the most telling thing that is known of it; a decision has all places where a change may concern it. Each
//! poll thread keeps the number of the last change at each place ([`Stamps`]). A decision of whose places none was stamped
//! since it was last known to stand, stands; that takes some loads, however many changes there were. Else it is asked.
//!
//! ```text
//!  a flow for an IPv4 target, by any port:  at that target, and "some IPv4 target"
//!  a flow for an Ethernet target:           at that target, and "some Ethernet target"
//!  a flow of a port, for any target:        at that port, and "some port"
//!  any other flow, a port, a mode:          anywhere
//!  a learned address:                       at that address, and "some address"
//!  a decision that saw port 1, Ethernet target T, and did not look at IPv4 targets:
//!      port 1, target T, "some IPv4 target", anywhere
//! ```
//!
//! Places are hashes: two that share one only make a decision be asked in vain.

/// Places that are told apart.
const PLACES: usize = 1 << 13;
/// Places that a decision may have; where it has more, it has "some" of a lane instead.
const HELD: usize = 8;
const LANES: usize = 4;

/// The kinds of things that changes are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Flows of the port that packets are in by.
    Port,
    /// Flows for an Ethernet destination.
    EthDst,
    /// Flows for an IPv4 destination.
    Ipv4Dst,
    /// A learned address.
    Address,
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u16);

impl Place {
    const ANYWHERE: Self = Self(0);
    /// Every change is here as well.
    const EVERY: Self = Self(1);

    fn some(lane: Lane) -> Self {
        Self(2 + lane as u16)
    }

    fn of(lane: Lane, hash: u64) -> Self {
        let reserved = 2 + LANES as u64;
        let mixed = (hash ^ lane as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Self((reserved + mixed % (PLACES as u64 - reserved)) as u16)
    }
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change([Place; 2]);

impl Change {
    /// It may be about anything.
    pub const ANY: Self = Self([Place::ANYWHERE; 2]);

    /// It is about this value, hashed.
    pub fn at(lane: Lane, hash: u64) -> Self {
        Self([Place::of(lane, hash), Place::some(lane)])
    }

    /// As one word, for those who keep it in an atomic.
    pub fn to_bits(self) -> u32 {
        u32::from(self.0[0].0) << 16 | u32::from(self.0[1].0)
    }

    /// Back from [`Change::to_bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self([bits >> 16, bits & 0xffff].map(|place| Place(place as u16 % PLACES as u16)))
    }
}

/// What a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concern([Place; HELD]);

impl Concern {
    /// What every change concerns.
    pub const ALL: Self = Self([Place::EVERY; HELD]);
}

/// Gathers what a decision depends on.
#[derive(Default)]
pub struct Dependencies {
    places: [Vec<u16>; LANES],
}

impl Dependencies {
    /// A change about this value, hashed, may concern the decision.
    pub fn add(&mut self, lane: Lane, hash: u64) {
        self.places[lane as usize].push(Place::of(lane, hash).0);
    }

    /// A change about any value of this lane may concern it.
    pub fn add_all(&mut self, lane: Lane) {
        self.places[lane as usize].push(Place::some(lane).0);
    }

    /// All that was gathered; a change about anything concerns every decision besides.
    pub fn concern(mut self) -> Concern {
        const NAMES: [Lane; LANES] = [Lane::Port, Lane::EthDst, Lane::Ipv4Dst, Lane::Address];
        for (lane, places) in NAMES.into_iter().zip(&mut self.places) {
            places.sort_unstable();
            places.dedup();
            if places.contains(&Place::some(lane).0) {
                *places = vec![Place::some(lane).0];
            }
        }
        while self.places.iter().map(Vec::len).sum::<usize>() > HELD - 1 {
            let longest = (0..LANES).max_by_key(|&lane| self.places[lane].len()).unwrap_or(0);
            self.places[longest] = vec![Place::some(NAMES[longest]).0];
        }
        let mut held = [Place::ANYWHERE; HELD];
        for (place, gathered) in held[1..].iter_mut().zip(self.places.iter().flatten()) {
            *place = Place(*gathered);
        }
        Concern(held)
    }
}

/// The number of the last change at each place, its low bits.
pub struct Stamps(Box<[u32; PLACES]>);

impl Default for Stamps {
    fn default() -> Self {
        Self(Box::new([0; PLACES]))
    }
}

impl Stamps {
    /// Notes a change.
    pub fn stamp(&mut self, change: Change, number: u32) {
        for place in [change.0[0], change.0[1], Place::EVERY] {
            self.0[usize::from(place.0) % PLACES] = number;
        }
    }

    /// Whether nothing has changed, since the change `checked`, where a decision depends on it.
    #[inline(always)]
    pub fn spare(&self, concern: &Concern, checked: u32) -> bool {
        // Stamps from long ago seem to be of the future, and then make a decision be asked in vain.
        let since = |place: &Place| self.0[usize::from(place.0) % PLACES].wrapping_sub(checked) as i32 > 0;
        !concern.0.iter().fold(false, |any, place| any | since(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision() -> Concern {
        let mut dependencies = Dependencies::default();
        dependencies.add(Lane::Port, 1);
        dependencies.add(Lane::EthDst, 2);
        dependencies.add_all(Lane::Ipv4Dst);
        dependencies.add(Lane::Address, 3);
        dependencies.concern()
    }

    fn spared(change: Change, concern: &Concern) -> bool {
        let mut stamps = Stamps::default();
        stamps.stamp(Change::from_bits(change.to_bits()), 7);
        assert!(stamps.spare(concern, 7), "it is known already");
        stamps.spare(concern, 6)
    }

    #[test]
    fn a_change_elsewhere_spares_a_decision() {
        for (lane, here) in [(Lane::Port, 1), (Lane::EthDst, 2), (Lane::Address, 3)] {
            assert!(!spared(Change::at(lane, here), &decision()));
            assert!(spared(Change::at(lane, here + 10), &decision()));
        }
        assert!(!spared(Change::at(Lane::Ipv4Dst, 4), &decision()), "it did not look");
        assert!(!spared(Change::ANY, &decision()));
        assert!(!spared(Change::at(Lane::Port, 9), &Concern::ALL));
    }

    #[test]
    fn a_decision_of_many_places_is_concerned_by_all_of_them() {
        let mut dependencies = Dependencies::default();
        (0..100).for_each(|mac| dependencies.add(Lane::Address, mac));
        (0..5).for_each(|port| dependencies.add(Lane::Port, port));
        let concern = dependencies.concern();
        assert!((0..100).all(|mac| !spared(Change::at(Lane::Address, mac), &concern)));
        assert!((0..5).all(|port| !spared(Change::at(Lane::Port, port), &concern)));
        assert!(spared(Change::at(Lane::Port, 77), &concern));
    }

    #[test]
    fn numbers_may_come_round() {
        let mut stamps = Stamps::default();
        stamps.stamp(Change::ANY, 3);
        assert!(!stamps.spare(&decision(), u32::MAX));
        assert!(stamps.spare(&decision(), 4));
    }
}
