//! OpenFlow controller core and its apps: handlers return messages, they never send.
#![forbid(unsafe_code)]
