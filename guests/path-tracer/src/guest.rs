//! The WebAssembly door: the exports that the farm calls, over four WASI imports.
//!
//! `prepare` reads `/in/scene.glb`, `/in/environment.hdr` (optional) and `/in/render.json` and keeps the renderer in
//! memory, so that every task starts from its image; `task(i)` writes tile `i` to standard output as rows of RGB
//! bytes. Without a prepare phase the first task does that work itself. An input that cannot be used ends in one line
//! on standard error and a trap, which is a task's deterministic failure.
#![allow(unsafe_code)]

use crate::Renderer;
use crate::error::{InputError, Result, bad};
use std::sync::OnceLock;

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

const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// The folder of inputs: WASI's first preopened descriptor.
const INPUTS: u32 = 3;
const RIGHT_TO_READ: u64 = 2;
const NO_ENTRY: u32 = 44;
/// Largest input; the farm's memory cap is usually far below.
const MAX_INPUT: usize = 1 << 30;

/// The content of an input, or nothing when there is none of this name.
fn input(name: &str) -> Result<Option<Vec<u8>>> {
    let mut file = 0;
    // SAFETY: the pointers are to live memory of the stated lengths; the host writes one word to `file`.
    let code = unsafe {
        path_open(INPUTS, 0, name.as_ptr(), name.len(), 0, RIGHT_TO_READ, 0, 0, &mut file)
    };
    if code == NO_ENTRY {
        return Ok(None);
    }
    if code != 0 {
        return Err(bad!("/in/{name} cannot be opened: error {code}"));
    }
    let mut content = Vec::new();
    loop {
        let start = content.len();
        if start > MAX_INPUT {
            return Err(bad!("/in/{name} is larger than 1 GiB"));
        }
        content.resize(start + (256 << 10).max(start / 2), 0);
        let buffer = Buffer { at: content[start..].as_mut_ptr(), length: content.len() - start };
        let mut done = 0;
        // SAFETY: `buffer` names the part of `content` that was just added.
        let code = unsafe { fd_read(file, &buffer, 1, &mut done) };
        if code != 0 {
            return Err(bad!("/in/{name} cannot be read: error {code}"));
        }
        content.truncate(start + done);
        if done == 0 {
            break;
        }
    }
    // SAFETY: no memory is involved. A failure to close a file that was only read changes nothing.
    unsafe { fd_close(file) };
    Ok(Some(content))
}

/// Writes all bytes, or traps: a result that cannot be written has no meaning.
fn write(file: u32, mut bytes: &[u8]) {
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

fn fail(error: &InputError) -> ! {
    write(STDERR, format!("path-tracer: {error}\n").as_bytes());
    core::arch::wasm32::unreachable()
}

fn load() -> Result<Renderer> {
    let need = |name: &str| input(name)?.ok_or_else(|| bad!("/in/{name} is missing"));
    let scene = need("scene.glb")?;
    let environment = input("environment.hdr")?;
    let settings = need("render.json")?;
    Renderer::new(&scene, environment.as_deref(), &settings)
}

fn renderer() -> &'static Renderer {
    static RENDERER: OnceLock<Renderer> = OnceLock::new();
    RENDERER.get_or_init(|| {
        std::panic::set_hook(Box::new(|info| {
            write(STDERR, format!("path-tracer: {info}\n").as_bytes())
        }));
        load().unwrap_or_else(|e| fail(&e))
    })
}

/// Reads the inputs and builds the trees.
#[unsafe(no_mangle)]
extern "C" fn prepare() {
    renderer();
}

/// Renders tile `index`.
#[unsafe(no_mangle)]
extern "C" fn task(index: i32) {
    // A negative number is no tile; as unsigned it is larger than any.
    match renderer().tile(index.cast_unsigned()) {
        Ok(bytes) => write(STDOUT, &bytes),
        Err(e) => fail(&e),
    }
}
