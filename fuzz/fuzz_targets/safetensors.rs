#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tilth_fuzz::published::safetensors(data));
