#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tilth_fuzz::infer::gpu_program(data));
