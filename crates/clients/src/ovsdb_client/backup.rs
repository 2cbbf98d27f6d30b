//! Snapshots of a database, in the form of its log.

use super::Context;
use crate::fatal::{Fatal, fail};

pub(super) fn backup(_: &mut Context<'_>) -> Result<u8, Fatal> {
    fail("backup is not there yet")
}

pub(super) fn restore(_: &mut Context<'_>) -> Result<u8, Fatal> {
    fail("restore is not there yet")
}
