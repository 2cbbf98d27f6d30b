//! Whether the machine kept up with a lab: an emulator that is late measures itself.

use std::time::Duration;

use heddle_link::LATENESS_BOUNDS;
use serde::{Deserialize, Serialize};

use crate::protocol::{LinkReport, WayReport};
use crate::topology::End;

/// Packets may be late by this part of a link's delay on average: one in so many. It is what links promise.
const DELAY_ONE_IN: u32 = 20;
/// Packets may be late by this much on average, however short the delay.
const LATE: Duration = Duration::from_micros(200);
/// Of the packets of a way, the part that may be later than [`VERY_LATE`] and than a part of the delay: one in so many. A
/// machine that others use, too, runs nobody at once each time.
const VERY_LATE_ONE_IN: u64 = 20;
/// What is very late on a link of a short delay.
const VERY_LATE: Duration = Duration::from_millis(1);

/// Whether the machine kept up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Links let packets go when they were due, and devices had room for all that was sent.
    pub kept: bool,
    /// There was something to keep up with: packets on links with settings.
    pub judged: bool,
    /// What did not keep up, by its name, the worst first.
    pub complaints: Vec<String>,
}

/// Judges a lab by what its links report, and by how many packets the devices of hosts had no room for.
#[must_use]
pub fn judge(links: &[LinkReport], dropped: &[(String, u64)]) -> Fidelity {
    let ways = links
        .iter()
        .flat_map(|link| [(&link.a, &link.b, &link.a_to_b), (&link.b, &link.a, &link.b_to_a)])
        .filter(|(_, _, way)| way.statistics.is_some());
    let mut judged = false;
    let mut complaints = vec![];
    for (from, to, way) in ways {
        judged |= way.statistics.as_ref().is_some_and(|counted| counted.offered.packets != 0);
        if let Some((weight, complaint)) = complaint(from, to, way) {
            complaints.push((weight, complaint));
        }
    }
    if judged {
        for (host, packets) in dropped.iter().filter(|(_, packets)| *packets != 0) {
            complaints
                .push((*packets as f64, format!("{host}: its devices had no room for {packets} packets")));
        }
    }
    complaints.sort_by(|a, b| b.0.total_cmp(&a.0));
    let kept = complaints.is_empty();
    Fidelity { kept, judged, complaints: complaints.into_iter().map(|(_, complaint)| complaint).collect() }
}

/// What is wrong with a way, and how much.
fn complaint(from: &End, to: &End, way: &WayReport) -> Option<(f64, String)> {
    let counted = way.statistics.as_ref()?;
    let lateness = &counted.lateness;
    let name = format!("{} -> {}", from.interface(), to.interface());
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    let part = way.profile.delay / DELAY_ONE_IN;
    let mean = lateness.total_ns / lateness.count.max(1);
    // The first bound that is not below what is very late; beyond the last one nothing is counted.
    let very_late = VERY_LATE.max(part).as_nanos() as u64;
    let bound = LATENESS_BOUNDS.iter().position(|bound| *bound >= very_late);
    let bound = bound.unwrap_or(LATENESS_BOUNDS.len() - 1);
    let late = lateness.beyond[bound];
    if u128::from(mean) > LATE.max(part).as_nanos() || late.saturating_mul(VERY_LATE_ONE_IN) > lateness.count
    {
        return Some((
            mean as f64,
            format!(
                "{name}: packets left {:.2} ms late on average, {:.1} % of {} more than {} ms, the worst {:.1} ms",
                milliseconds(mean),
                100.0 * late as f64 / lateness.count.max(1) as f64,
                lateness.count,
                milliseconds(LATENESS_BOUNDS[bound]),
                milliseconds(lateness.maximum_ns)
            ),
        ));
    }
    let lost = counted.no_buffer.packets;
    (lost != 0).then(|| (lost as f64, format!("{name}: there was no room for {lost} packets on their way")))
}

#[cfg(test)]
mod tests {
    use heddle_link::{LineStatistics, Profile};

    use super::*;

    /// A link on which packets were so many microseconds late on average, and `late` of 1,000 more than a millisecond.
    fn report(delay: &str, mean_us: u64, late: u64) -> LinkReport {
        let mut statistics = LineStatistics::default();
        statistics.offered.packets = 1000;
        statistics.lateness.count = 1000;
        statistics.lateness.total_ns = 1000 * 1000 * mean_us;
        statistics.lateness.beyond = [1000, 1000, late, 0];
        let profile: Profile = format!("delay={delay}").parse().unwrap();
        LinkReport {
            a: End { node: "h1".into(), port: 0 },
            b: End { node: "s1".into(), port: 1 },
            down: false,
            a_to_b: WayReport { profile, statistics: Some(statistics) },
            b_to_a: WayReport::default(),
        }
    }

    #[test]
    fn what_is_late_is_measured_by_what_links_promise() {
        assert_eq!(judge(&[], &[]), Fidelity { kept: true, judged: false, complaints: vec![] });
        assert!(judge(&[report("1ms", 200, 50)], &[]).kept);
        let late = judge(&[report("1ms", 201, 0)], &[]);
        assert!(late.judged && !late.kept && late.complaints[0].contains("h1-eth0 -> s1-eth1"), "{late:?}");
        assert!(!judge(&[report("1ms", 50, 51)], &[]).kept);
        // A millisecond is nothing to a link of a hundred.
        assert!(judge(&[report("100ms", 4_999, 900)], &[]).kept);
        assert!(!judge(&[report("100ms", 5_001, 0)], &[]).kept);
    }

    #[test]
    fn a_host_that_lost_packets_is_named() {
        let judged = judge(&[report("1ms", 0, 0)], &[("h1".into(), 0), ("h2".into(), 3)]);
        assert_eq!(judged.complaints, ["h2: its devices had no room for 3 packets"]);
    }
}
