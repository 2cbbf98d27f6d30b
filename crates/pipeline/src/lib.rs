//! Flow tables, live state, translation and trace.
#![forbid(unsafe_code)]
