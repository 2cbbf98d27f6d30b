//! What OpenFlow 1.1 alone writes so: its match and its actions (OpenFlow 1.1.0 sections A.2.3 and A.2.5). The rest it shares
//! with later versions.

pub(crate) mod actions;
pub(crate) mod matching;
