#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heddle_openflow::fuzz::flow_text(data));
