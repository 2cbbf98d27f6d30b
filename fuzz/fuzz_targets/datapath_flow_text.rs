#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heddle_datapath::fuzz::datapath_flow_text(data));
