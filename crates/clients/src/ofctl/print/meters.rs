//! Meters in text.

use heddle_openflow::meter::{Band, BandKind, MeterConfig, MeterFeatures, MeterMod, MeterStats};

use super::ports::names;
use crate::ofctl::flow_text::duration;

/// A meter's number, or its name where it is a reserved one, behind `meter` and a separator.
pub fn number(meter: u32, separator: char) -> String {
    let name = match meter {
        MeterMod::ALL => "all".into(),
        MeterMod::CONTROLLER => "controller".into(),
        MeterMod::SLOWPATH => "slowpath".into(),
        number if number <= MeterMod::MAX => number.to_string(),
        _ => "unknown".into(),
    };
    format!("meter{separator}{name}")
}

fn band(flags: u16, band: &Band) -> String {
    let (name, level) = match band.kind {
        BandKind::Drop => ("drop", None),
        BandKind::DscpRemark(level) => ("dscp_remark", Some(level)),
    };
    let mut out = format!("\ntype={name} rate={}", band.rate);
    if flags & MeterMod::BURST != 0 {
        out += &format!(" burst_size={}", band.burst);
    }
    if let Some(level) = level {
        out += &format!(" prec_level={level}");
    }
    out
}

fn meter(meter_id: u32, flags: u16, bands: &[Band]) -> String {
    let mut words: Vec<String> = ["kbps ", "pktps ", "burst ", "stats "]
        .iter()
        .enumerate()
        .filter(|(bit, _)| flags >> bit & 1 != 0)
        .map(|row| (*row.1).to_owned())
        .collect();
    if flags & !MeterMod::KNOWN_FLAGS != 0 {
        words.push(format!("flags:{:#x} ", flags & !MeterMod::KNOWN_FLAGS));
    }
    let bands: String = bands.iter().map(|one| band(flags, one)).collect();
    format!("{} {}bands={bands}\n", number(meter_id, '='), words.concat())
}

/// A change of the meter table.
pub fn change(change: &MeterMod) -> String {
    let command = match change.command {
        MeterMod::ADD => "ADD".into(),
        MeterMod::MODIFY => "MOD".into(),
        MeterMod::DELETE => "DEL".into(),
        other => format!("cmd:{other}"),
    };
    format!(" {command} {}", meter(change.meter_id, change.flags, &change.bands))
}

/// Meters.
pub fn descriptions(meters: &[MeterConfig]) -> String {
    let text = |one: &MeterConfig| format!("\n{}", meter(one.meter_id, one.flags, &one.bands));
    meters.iter().map(text).collect()
}

/// Counters of meters.
pub fn statistics(meters: &[MeterStats]) -> String {
    let text = |stats: &MeterStats| {
        let mut out = format!(
            "\n{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{}s bands:\n",
            number(stats.meter_id, ':'),
            stats.flows,
            stats.packets,
            stats.bytes,
            duration(stats.duration)
        );
        for (index, (packets, bytes)) in stats.bands.iter().enumerate() {
            out += &format!("{index}: packet_count:{packets} byte_count:{bytes}\n");
        }
        out
    };
    meters.iter().map(text).collect()
}

/// What meters can do.
pub fn features(features: &MeterFeatures) -> String {
    format!(
        "\nmax_meter:{} max_bands:{} max_color:{}\nband_types: {}\ncapabilities: {}\n",
        features.max_meters,
        features.max_bands,
        features.max_color,
        names(features.band_types, &["", "drop", "dscp_remark"], " "),
        names(features.capabilities, &["kbps", "pktps", "burst", "stats"], " ")
    )
}
