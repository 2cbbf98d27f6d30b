#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heddle_experiment::fuzz::experiment_file(data));
