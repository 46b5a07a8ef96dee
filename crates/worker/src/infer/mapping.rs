//! A file as memory, read when it is touched: a model that is larger than the worker's share of memory still
//! loads at once, and several workers share its pages.
#![allow(unsafe_code, reason = "a mapping is memory that the language knows nothing of")]

use std::{fs::File, io, os::fd::AsRawFd, path::Path, ptr::NonNull, slice};

/// A whole file, mapped for reading.
pub(super) struct Mapping {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is only read, and it is this value's alone until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above; reading from several threads at once is fine.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file. Who may write to it can change what is read, or end this process by cutting it off; it is
    /// the agent's own file, bound read-only, and both end only this worker.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 {
            return Err(io::Error::other("the file is empty"));
        }
        // SAFETY: a new private mapping for reading, at a place of the system's choice, of a file that is open.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { at, length })
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped there for reading until this value is dropped.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, and nobody borrows from it any more.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.length) };
    }
}
