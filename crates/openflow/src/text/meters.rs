//! Meters, as `ovs-ofctl add-meter` reads them.

use super::actions::split;
use super::values::number_in;
use super::{TextError, error};
use crate::meter::{Band, BandKind, MeterMod};

/// Reads a meter's number, or the name of a reserved one.
///
/// # Errors
/// If it is neither.
pub fn parse_meter_id(text: &str) -> Result<u32, TextError> {
    match text {
        "all" => Ok(MeterMod::ALL),
        "controller" => Ok(MeterMod::CONTROLLER),
        "slowpath" => Ok(MeterMod::SLOWPATH),
        number => match number_in::<u32>(number) {
            Ok(number) if number <= MeterMod::MAX => Ok(number),
            _ => error(format!("invalid meter \"{text}\"")),
        },
    }
}

/// Reads `meter=1,pktps,burst,bands=type=drop,rate=100,burst_size=10,type=...`; a deletion has no bands.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse_meter(text: &str, command: u16) -> Result<MeterMod, TextError> {
    let mut meter = MeterMod { command, ..MeterMod::default() };
    let (head, bands) = match text.find("band=").or_else(|| text.find("bands=")) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut id = None;
    for word in split(head) {
        match word.split_once('=') {
            Some(("meter", value)) => id = Some(parse_meter_id(value)?),
            _ => {
                meter.flags |= match word {
                    "kbps" => MeterMod::KBPS,
                    "pktps" => MeterMod::PKTPS,
                    "burst" => MeterMod::BURST,
                    "stats" => MeterMod::STATS,
                    _ => return error(format!("unknown keyword {word}")),
                }
            }
        }
    }
    let Some(id) = id else { return error("must specify 'meter'") };
    meter.meter_id = id;
    if command == MeterMod::DELETE {
        return if bands.is_some() { error("bands are not needed") } else { Ok(meter) };
    }
    if meter.flags & (MeterMod::KBPS | MeterMod::PKTPS) == 0 {
        meter.flags |= MeterMod::KBPS;
    }
    let Some(bands) = bands else { return error("must specify bands") };
    meter.bands = parse_bands(bands)?;
    Ok(meter)
}

/// Reads bands; each begins with its type.
fn parse_bands(text: &str) -> Result<Vec<Band>, TextError> {
    let mut bands: Vec<(Band, bool)> = Vec::new();
    let text = text.replace("bands=", ",").replace("band=", ",");
    for word in split(&text) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if name == "type" {
            let kind = match value {
                "drop" => BandKind::Drop,
                "dscp_remark" => BandKind::DscpRemark(0),
                _ => return error(format!("field {word} unknown value {value}")),
            };
            bands.push((Band { kind, rate: 0, burst: 0 }, false));
            continue;
        }
        let Some((band, has_rate)) = bands.last_mut() else { return error("missing 'type' parameter") };
        match (name, &mut band.kind) {
            ("rate", _) => (band.rate, *has_rate) = (number_in(value)?, true),
            ("burst_size", _) => band.burst = number_in(value)?,
            ("prec_level", BandKind::DscpRemark(level)) => *level = number_in(value)?,
            ("prec_level", BandKind::Drop) => return error("'prec_level' belongs to dscp_remark alone"),
            _ => return error(format!("unknown keyword {name}")),
        }
    }
    if bands.iter().any(|(_, has_rate)| !has_rate) {
        return error("band must have 'rate'");
    }
    Ok(bands.into_iter().map(|(band, _)| band).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_are_read() {
        let meter = parse_meter(
            "meter=5 pktps burst stats bands=type=drop rate=100 burst_size=7 type=dscp_remark rate=50 prec_level=2",
            MeterMod::ADD,
        )
        .unwrap();
        assert_eq!((meter.meter_id, meter.flags), (5, MeterMod::PKTPS | MeterMod::BURST | MeterMod::STATS));
        assert_eq!(meter.bands[0], Band { kind: BandKind::Drop, rate: 100, burst: 7 });
        assert_eq!(meter.bands[1], Band { kind: BandKind::DscpRemark(2), rate: 50, burst: 0 });
        let plain = parse_meter("meter=controller,band=type=drop,rate=3", MeterMod::MODIFY).unwrap();
        assert_eq!((plain.meter_id, plain.flags), (MeterMod::CONTROLLER, MeterMod::KBPS));
        assert_eq!(parse_meter("meter=all", MeterMod::DELETE).unwrap().meter_id, MeterMod::ALL);
    }

    #[test]
    fn what_is_no_meter_is_refused() {
        for text in [
            "pktps,bands=type=drop,rate=1",
            "meter=1",
            "meter=1,bands=rate=1",
            "meter=1,bands=type=drop",
            "meter=1,bands=type=paint,rate=1",
            "meter=1,bands=type=drop,rate=1,prec_level=1",
            "meter=4294967040,bands=type=drop,rate=1",
            "meter=1,fast,bands=type=drop,rate=1",
        ] {
            assert!(parse_meter(text, MeterMod::ADD).is_err(), "{text}");
        }
    }
}
