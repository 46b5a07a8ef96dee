#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tilth_fuzz::published::encoder_files(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tilth_fuzz::mutate_json(data, size, max_size, seed)
});
