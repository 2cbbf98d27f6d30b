#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heddle_ovsdb::replica::fuzz::replica(data));
