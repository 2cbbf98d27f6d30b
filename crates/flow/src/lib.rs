//! The table of match fields, flow key, mask, match and classifier.
#![forbid(unsafe_code)]
