//! What a task can do on the farm, for programs in Rust: read inputs, write its output, fail.
//!
//! On WebAssembly these are four calls of WASI. Elsewhere inputs are files of the folder that the variable
//! `TILTH_IN` names, and what goes to standard output and standard error goes there, so that the same program
//! can be tried and tested natively.
#![allow(unsafe_code)]

pub mod rows;

/// Largest input that is read; the farm's memory cap is usually far below.
pub const MAX_INPUT: usize = 1 << 30;

#[cfg(target_arch = "wasm32")]
mod host {
    use super::MAX_INPUT;

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn path_open(
            folder: u32,
            lookup: u32,
            path: *const u8,
            length: usize,
            flags: u32,
            rights: u64,
            inherited: u64,
            fdflags: u32,
            opened: *mut u32,
        ) -> u32;
        fn fd_read(file: u32, buffers: *const Buffer, count: usize, done: *mut usize) -> u32;
        fn fd_write(file: u32, buffers: *const Buffer, count: usize, done: *mut usize) -> u32;
        fn fd_close(file: u32) -> u32;
    }

    /// An `iovec` of WASI.
    #[repr(C)]
    struct Buffer {
        at: *mut u8,
        length: usize,
    }

    /// The folder of inputs: WASI's first preopened descriptor.
    const INPUTS: u32 = 3;
    const RIGHT_TO_READ: u64 = 2;
    const NO_ENTRY: u32 = 44;

    pub fn input(name: &str) -> Result<Option<Vec<u8>>, String> {
        let mut file = 0;
        // SAFETY: the pointers are to live memory of the stated lengths; the host writes one word to `file`.
        let code = unsafe {
            path_open(INPUTS, 0, name.as_ptr(), name.len(), 0, RIGHT_TO_READ, 0, 0, &mut file)
        };
        if code == NO_ENTRY {
            return Ok(None);
        }
        if code != 0 {
            return Err(format!("/in/{name} cannot be opened: error {code}"));
        }
        let mut content = Vec::new();
        loop {
            let start = content.len();
            if start > MAX_INPUT {
                return Err(format!("/in/{name} is larger than 1 GiB"));
            }
            content.resize(start + (16 << 10).max(start), 0);
            let length = content.len() - start;
            let buffer = Buffer { at: content[start..].as_mut_ptr(), length };
            let mut done = 0;
            // SAFETY: `buffer` names the part of `content` that was just added.
            let code = unsafe { fd_read(file, &buffer, 1, &mut done) };
            if code != 0 {
                return Err(format!("/in/{name} cannot be read: error {code}"));
            }
            content.truncate(start + done.min(length));
            if done == 0 {
                break;
            }
        }
        // SAFETY: no memory is involved. A failure to close a file that was only read changes nothing.
        unsafe { fd_close(file) };
        Ok(Some(content))
    }

    pub fn write(file: u32, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let buffer = Buffer { at: bytes.as_ptr().cast_mut(), length: bytes.len() };
            let mut done = 0;
            // SAFETY: the host reads `bytes` only.
            let code = unsafe { fd_write(file, &buffer, 1, &mut done) };
            if code != 0 || done == 0 || done > bytes.len() {
                core::arch::wasm32::unreachable();
            }
            bytes = &bytes[done..];
        }
    }

    pub fn stop() -> ! {
        core::arch::wasm32::unreachable()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use std::io::Write as _;

    pub fn input(name: &str) -> Result<Option<Vec<u8>>, String> {
        let folder = std::env::var_os("TILTH_IN").unwrap_or_else(|| ".".into());
        match std::fs::read(std::path::Path::new(&folder).join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    pub fn write(file: u32, bytes: &[u8]) {
        let _ = match file {
            1 => std::io::stdout().write_all(bytes),
            _ => std::io::stderr().write_all(bytes),
        };
    }

    pub fn stop() -> ! {
        std::process::exit(1)
    }
}

/// The content of an input, or nothing when there is none of this name.
///
/// # Errors
/// It is there and cannot be read.
pub fn input(name: &str) -> Result<Option<Vec<u8>>, String> {
    host::input(name)
}

/// The content of an input that is text.
///
/// # Errors
/// It is there and cannot be read, or is not UTF-8.
pub fn text(name: &str) -> Result<Option<String>, String> {
    let Some(bytes) = input(name)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| format!("/in/{name} is not UTF-8"))
}

/// The content of an input that has to be there.
///
/// # Errors
/// It is missing, cannot be read, or is not UTF-8.
pub fn need(name: &str) -> Result<String, String> {
    text(name)?.ok_or_else(|| format!("/in/{name} is missing"))
}

/// Ends a task: with its output, or with a line in its log and a trap, which is a deterministic failure, too.
pub fn finish(result: Result<Vec<u8>, String>) {
    match result {
        Ok(output) => host::write(1, &output),
        Err(reason) => {
            host::write(2, format!("{reason}\n").as_bytes());
            host::stop();
        }
    }
}

pub mod large;
