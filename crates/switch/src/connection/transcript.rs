//! What is said on a connection, message by message, in the log: at debug level of `vconn`, in Open vSwitch's words.

use heddle_clients::ofctl::print;
use heddle_openflow::Version;
use heddle_openflow::message::HEADER_LEN;

/// Whom a connection talks to, for the log.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    pub(super) peer: String,
}

fn is_wanted() -> bool {
    log::log_enabled!(target: "vconn", log::Level::Debug)
}

impl Transcript {
    fn log(&self, how: &str, message: &[u8]) {
        let text = print::message(message, 1);
        log::debug!(target: "vconn", "{}: {how}: {}", self.peer, text.trim_end_matches('\n'));
    }

    /// A message came.
    pub(super) fn received(&self, message: &[u8]) {
        if is_wanted() {
            self.log("received", message);
        }
    }

    /// Messages go, one behind another.
    pub(super) fn sent(&self, messages: &[u8]) {
        if !is_wanted() {
            return;
        }
        let mut left = messages;
        while let Some(header) = left.first_chunk::<HEADER_LEN>() {
            let length = usize::from(u16::from_be_bytes([header[2], header[3]])).max(HEADER_LEN);
            let (message, rest) = left.split_at(length.min(left.len()));
            self.log("sent (Success)", message);
            left = rest;
        }
    }

    /// Both ends have agreed on a version, of those that ours and theirs are.
    pub(super) fn agreed(&self, version: Version, ours: u32, theirs: u32) {
        log::debug!(
            target: "vconn",
            "{}: negotiated OpenFlow version {:#04x} (we support {}, peer supports {})",
            self.peer,
            version as u8,
            versions(ours),
            versions(theirs),
        );
    }
}

/// Versions in words, of which each has a bit by its number.
fn versions(bits: u32) -> String {
    let all: Vec<String> =
        (0..32).filter(|bit| bits >> bit & 1 != 0).map(|bit| format!("{bit:#04x}")).collect();
    match &all[..] {
        [] => "no version".to_owned(),
        [one] => format!("version {one}"),
        [.., newest] if (bits >> 1).wrapping_add(1).is_power_of_two() => {
            format!("version {newest} and earlier")
        }
        _ => format!("versions {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::versions;

    #[test]
    fn versions_are_told_as_open_vswitch_tells_them() {
        let told = [0x7e, 0x02, 0x12, 0x3e, 0].map(versions);
        let expected = [
            "version 0x06 and earlier",
            "version 0x01",
            "versions 0x01, 0x04",
            "version 0x05 and earlier",
            "no version",
        ];
        assert_eq!(told, expected);
    }
}
