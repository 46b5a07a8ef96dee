//! The smallest task: it writes its own number, four bytes, little-endian. What it costs is what the farm costs.
#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod guest {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn fd_write(file: u32, buffers: *const [u32; 2], count: u32, done: *mut u32) -> u32;
    }

    #[unsafe(no_mangle)]
    extern "C" fn task(index: i32) {
        let word = index.to_le_bytes();
        let buffer = [word.as_ptr() as u32, 4];
        let mut done = 0;
        // SAFETY: one buffer of four live bytes; the host writes one word to `done`.
        let code = unsafe { fd_write(1, &buffer, 1, &mut done) };
        if code != 0 || done != 4 {
            core::arch::wasm32::unreachable();
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        core::arch::wasm32::unreachable()
    }
}
