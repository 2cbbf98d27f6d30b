//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use crate::log::Pattern;
use crate::stream::{Place, Target};
use crate::unixctl::{Commands, take_requests};

fn name_of<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(name) = text.parse::<T>() else { return };
    let again = name.to_string().parse::<T>().ok();
    assert_eq!(again.as_ref(), Some(&name), "{text} -> {name}");
}

/// The name of a stream is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn stream_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    name_of::<Target>(text);
    name_of::<Place>(text);
}

/// However requests are cut, the same ones are read, and none takes bytes that are not there.
///
/// # Panics
/// If not.
pub fn unixctl(bytes: &[u8]) {
    let Ok((whole, used)) = take_requests(bytes) else { return };
    assert!(used <= bytes.len());
    let commands = Commands::default();
    for request in &whole {
        assert!(commands.find(request).is_err());
    }
    if let Ok((first, used)) = take_requests(&bytes[..bytes.len() / 2]) {
        let (rest, _) = take_requests(&bytes[used..]).expect("what was read whole is read in pieces");
        assert_eq!(first.len() + rest.len(), whole.len());
    }
}

/// A pattern of log lines is filled without a panic, and takes no more than its fields.
///
/// # Panics
/// If not.
pub fn log_pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let line = Pattern::parse(text).fill(&crate::log::Line::example());
    assert!(line.len() <= text.len() * 64 + 64);
}
