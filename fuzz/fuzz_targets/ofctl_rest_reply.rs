#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heddle_controller::fuzz::ofctl_rest_reply(data));
