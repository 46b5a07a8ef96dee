//! Inputs that fill most of a program's memory: models.

/// The content of an input, as [`input`](crate::input) gives it, in memory of exactly its size and without being
/// moved.
///
/// # Errors
/// It is there and cannot be read, or does not fit.
pub fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
    host::read(name)
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
        crate::input(name)
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
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
        fn fd_filestat_get(file: u32, status: *mut Status) -> u32;
        fn fd_read(file: u32, buffers: *const Buffer, count: usize, done: *mut usize) -> u32;
        fn fd_close(file: u32) -> u32;
    }

    /// A `filestat` of WASI.
    #[repr(C)]
    #[derive(Default)]
    struct Status {
        before: [u64; 4],
        size: u64,
        after: [u64; 3],
    }

    /// An `iovec` of WASI.
    #[repr(C)]
    struct Buffer {
        at: *mut u8,
        length: usize,
    }

    const INPUTS: u32 = 3;
    /// To read, and to ask for the size.
    const RIGHTS: u64 = 1 << 1 | 1 << 21;
    const NO_ENTRY: u32 = 44;

    pub fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
        let mut file = 0;
        // SAFETY: the pointers are to live memory of the stated lengths; the host writes one word to `file`.
        let code =
            unsafe { path_open(INPUTS, 0, name.as_ptr(), name.len(), 0, RIGHTS, 0, 0, &mut file) };
        if code == NO_ENTRY {
            return Ok(None);
        }
        let failed = |code| format!("/in/{name} cannot be read: error {code}");
        if code != 0 {
            return Err(failed(code));
        }
        let content = fill(file, name, failed);
        // SAFETY: no memory is involved. A failure to close a file that was only read changes nothing.
        unsafe { fd_close(file) };
        content.map(Some)
    }

    fn fill(file: u32, name: &str, failed: impl Fn(u32) -> String) -> Result<Vec<u8>, String> {
        let mut status = Status::default();
        // SAFETY: the host writes the 64 bytes of `status`.
        let code = unsafe { fd_filestat_get(file, &mut status) };
        if code != 0 {
            return Err(failed(code));
        }
        let size = usize::try_from(status.size).ok().filter(|size| *size <= crate::MAX_INPUT);
        let size = size.ok_or_else(|| format!("/in/{name} is larger than 1 GiB"))?;
        let mut content: Vec<u8> = Vec::new();
        content
            .try_reserve_exact(size)
            .map_err(|_| format!("/in/{name} has {size} bytes, more than there is memory for"))?;
        while content.len() < size {
            let length = size - content.len();
            let buffer = Buffer { at: content.spare_capacity_mut().as_mut_ptr().cast(), length };
            let mut done = 0;
            // SAFETY: `buffer` names reserved memory of `content` behind what it holds.
            let code = unsafe { fd_read(file, &buffer, 1, &mut done) };
            if code != 0 || done == 0 || done > length {
                return Err(failed(code));
            }
            // SAFETY: the host has written the `done` bytes that follow.
            unsafe { content.set_len(content.len() + done) };
        }
        Ok(content)
    }
}
