//! What IPv6 extension headers a packet has (`OXM_OF_IPV6_EXTHDR`, OpenFlow 1.3.5 section 7.2.3.8): bits for each kind, and for
//! headers that come twice or out of the order that RFC 8200 section 4.1 prefers.

/// No next header.
pub const NO_NEXT: u16 = 1;
/// Encrypted payload.
pub const ESP: u16 = 1 << 1;
/// Authentication header.
pub const AUTH: u16 = 1 << 2;
/// Options for the destination.
pub const DEST: u16 = 1 << 3;
/// Fragment header.
pub const FRAG: u16 = 1 << 4;
/// Routing header.
pub const ROUTER: u16 = 1 << 5;
/// Options for every hop.
pub const HOP: u16 = 1 << 6;
/// A header comes more often than it may.
pub const REPEATED: u16 = 1 << 7;
/// Headers are not in the preferred order.
pub const UNORDERED: u16 = 1 << 8;

/// Headers that others may follow: next-header number and bit, in the preferred order.
pub(crate) const WALKED: [(u8, u16); 5] = [(0, HOP), (60, DEST), (43, ROUTER), (44, FRAG), (51, AUTH)];

/// What was seen so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    bits: u16,
    /// Place in the preferred order of the last header that was not too late.
    place: u8,
    /// How many headers with options for the destination: one may stand at either end.
    destinations: u8,
}

impl Seen {
    /// What has been seen.
    pub(crate) fn bits(self) -> u16 {
        self.bits
    }

    /// Notes a header by its next-header number; others than extensions are none.
    pub(crate) fn note(&mut self, proto: u8) {
        let (bit, place) = match proto {
            0 => (HOP, 0),
            60 if self.place <= 1 => (DEST, 1),
            60 => (DEST, 6),
            43 => (ROUTER, 2),
            44 => (FRAG, 3),
            51 => (AUTH, 4),
            50 => (ESP, 5),
            59 => (NO_NEXT, 7),
            _ => return,
        };
        self.destinations = self.destinations.saturating_add(u8::from(bit == DEST));
        let again = if bit == DEST { self.destinations > 2 } else { self.bits & bit != 0 };
        self.bits |= bit | if again { REPEATED } else { 0 };
        if place < self.place {
            self.bits |= UNORDERED;
        }
        self.place = self.place.max(place);
    }
}

/// Longest chain that is tried: every header once, and what it takes to repeat and to disorder them.
const LONGEST: usize = 8;

/// The shortest chain of headers, followed by one of number `last`, of which `bits` would be said; those in the preferred
/// order where there is none.
pub(crate) fn chain(bits: u16, last: Option<u8>) -> Vec<u8> {
    let mut level: Vec<(Vec<u8>, Seen)> = vec![(Vec::new(), Seen::default())];
    for _ in 0..=LONGEST {
        for (chain, seen) in &level {
            let mut seen = *seen;
            last.into_iter().for_each(|last| seen.note(last));
            if seen.bits == bits {
                return chain.clone();
            }
        }
        let longer = level.iter().flat_map(|(chain, seen)| {
            WALKED.iter().filter_map(move |&(proto, _)| {
                let mut seen = *seen;
                seen.note(proto);
                // What has been said is not taken back.
                (seen.bits & !bits == 0).then(|| ([&chain[..], &[proto]].concat(), seen))
            })
        });
        level = longer.collect();
    }
    WALKED.iter().filter(|(_, bit)| bits & bit != 0).map(|(proto, _)| *proto).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(chain: &[u8]) -> u16 {
        let mut seen = Seen::default();
        chain.iter().for_each(|&proto| seen.note(proto));
        seen.bits()
    }

    #[test]
    fn headers_are_known_by_kind_number_and_order() {
        for (chain, bits) in [
            (&[][..], 0),
            (&[0, 60, 43, 44, 51, 50][..], HOP | DEST | ROUTER | FRAG | AUTH | ESP),
            (&[0, 60, 43, 60, 59][..], HOP | DEST | ROUTER | NO_NEXT),
            (&[43, 0][..], HOP | ROUTER | UNORDERED),
            (&[44, 44][..], FRAG | REPEATED),
            (&[60, 60, 60][..], DEST | REPEATED),
            (&[51, 44, 51][..], AUTH | FRAG | REPEATED | UNORDERED),
            (&[43, 60, 50][..], ROUTER | DEST | ESP | UNORDERED),
            (&[17][..], 0),
        ] {
            assert_eq!(said(chain), bits, "{chain:?}");
        }
    }

    #[test]
    fn a_chain_says_what_was_asked_for() {
        for made in [&[0, 60, 43][..], &[43, 0], &[60, 60, 60, 44], &[51, 44, 51, 60]] {
            assert_eq!(said(&chain(said(made), None)), said(made), "{made:?}");
        }
        assert_eq!(chain(ESP | AUTH, Some(50)), [51]);
    }
}
