#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tilth_fuzz::contracts::refusals(data));
