//! Linear memories that start as copy-on-write images. The one file with unsafe code.
//!
//! The initial content of memory lives in a memory file (`memfd`). First it is *built*: data segments
//! are written into it, and the prepare phase runs in a shared mapping of it. Then it is *frozen*, and
//! each task gets a private mapping: pages are shared until the task writes to them, and giving the
//! memory back drops just the pages that were written. A mapping is kept for the next task, so a task
//! starts without setting up address space.
//!
//! A memory is laid out as
//!
//! ```text
//! 0 ......... image ......... initial ......... accessible ......... reservation + guard
//! | file, private | zero pages        | zero pages, grown  | no access                  |
//! ```
//!
//! Invariants: nobody writes to the file once it is frozen; a mapping is used by at most one memory
//! at a time; everything up to `accessible` is readable and writable, everything beyond is not mapped.
#![allow(unsafe_code, reason = "memory is mapped, and machine code loaded, by hand")]

use std::{
    ffi::c_void,
    io,
    os::fd::OwnedFd,
    ptr::{self, NonNull},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{self, MemfdFlags, SeekFrom},
    mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags},
};
use wasmtime::{Engine, LinearMemory, MemoryCreator, MemoryType, Module};

use crate::{
    admission::Segment,
    engine::{GUARD, RESERVATION},
};

/// Bytes of a WebAssembly page.
pub(crate) const PAGE: u64 = 65_536;
/// Bytes of the largest page size of hosts we run on: mappings begin and end at multiples of it.
const HOST_PAGE: usize = 65_536;

/// The memories of one session: where the engine gets linear memories from.
pub(crate) struct Memories(Arc<Mutex<Image>>);

/// The image and the mappings made of it.
struct Image {
    file: OwnedFd,
    /// Size of a new memory in bytes.
    initial: usize,
    /// Bytes at the start that come from the file. The rest is zero.
    image: usize,
    /// Whether memories write to the file itself.
    building: bool,
    /// Mappings not in use, ready to be used: at most as many as there were memories at one time.
    free: Vec<Mapping>,
}

impl Memories {
    /// An image of `pages` pages that holds `segments` and zeros, being built.
    pub(crate) fn build(pages: u32, segments: &[Segment]) -> io::Result<Arc<Self>> {
        let file = fs::memfd_create("tilth-image", MemfdFlags::CLOEXEC)?;
        let initial = usize::try_from(u64::from(pages) * PAGE).map_err(io::Error::other)?;
        fs::ftruncate(&file, initial as u64)?;
        for segment in segments {
            let mut offset = u64::from(segment.offset);
            let mut bytes = segment.bytes.as_slice();
            while !bytes.is_empty() {
                let written = rustix::io::pwrite(&file, bytes, offset)?;
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
        }
        let image = Image { file, initial, image: initial, building: true, free: Vec::new() };
        Ok(Arc::new(Self(Arc::new(Mutex::new(image)))))
    }

    /// Ends building: from now on memories have `bytes` bytes and leave the image as it is. All
    /// memories made so far must be gone.
    pub(crate) fn freeze(&self, bytes: usize) -> io::Result<()> {
        let mut image = lock(&self.0);
        image.free.clear();
        image.building = false;
        image.initial = bytes;
        image.image = content_end(&image.file)?.min(bytes).next_multiple_of(HOST_PAGE);
        Ok(())
    }

    /// Bytes of a new memory.
    pub(crate) fn initial(&self) -> usize {
        lock(&self.0).initial
    }
}

fn lock(image: &Mutex<Image>) -> std::sync::MutexGuard<'_, Image> {
    // A panic between two statements of this file leaves at worst one mapping unused.
    image.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the last data of a file with holes ends.
fn content_end(file: &OwnedFd) -> io::Result<usize> {
    let mut end = 0;
    loop {
        let data = match fs::seek(file, SeekFrom::Data(end)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        end = fs::seek(file, SeekFrom::Hole(data))?;
    }
    usize::try_from(end).map_err(io::Error::other)
}

/// A reservation of address space with a memory at its start. Unmapped when dropped.
struct Mapping {
    base: NonNull<c_void>,
    /// Bytes that can be read and written.
    accessible: usize,
}

/// Bytes of address space of a mapping.
const SPAN: usize = RESERVATION + GUARD;

// SAFETY: a mapping owns its address range and has no thread affinity; the pointer is only used
// through `&mut self` here, and by the engine under its own rules.
unsafe impl Send for Mapping {}
// SAFETY: shared access only reads the two fields.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the image: shared while it is being built, privately afterwards.
    fn new(image: &Image) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping at an address that the kernel chooses affects nothing else.
        let base = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                SPAN,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Self { base, accessible: 0 };
        let sharing = if image.building { MapFlags::SHARED } else { MapFlags::PRIVATE };
        // While it is being built the file grows with the memory, so all of it is mapped.
        let length = if image.building { RESERVATION } else { image.image };
        if length > 0 {
            // SAFETY: the range lies inside the reservation that was just made and that nobody else
            // uses; `FIXED` replaces that part of it. Without access rights nothing can touch the part
            // behind the end of the file.
            unsafe {
                mm::mmap(
                    base.as_ptr(),
                    length,
                    ProtFlags::empty(),
                    MapFlags::FIXED | MapFlags::NORESERVE | sharing,
                    &image.file,
                    0,
                )?;
            }
        }
        Ok(mapping)
    }

    /// Makes the first `bytes` bytes accessible and nothing else.
    fn set_accessible(&mut self, bytes: usize) -> io::Result<()> {
        let (from, to, rights) = if bytes >= self.accessible {
            (self.accessible, bytes, MprotectFlags::READ | MprotectFlags::WRITE)
        } else {
            (bytes, self.accessible, MprotectFlags::empty())
        };
        if to > RESERVATION {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if from < to {
            // SAFETY: `from..to` lies inside the reservation. Taking rights away only happens in
            // `reset`, when no memory uses the mapping.
            unsafe { mm::mprotect(self.base.as_ptr().byte_add(from), to - from, rights)? };
        }
        self.accessible = bytes;
        Ok(())
    }

    /// Brings the memory back to the image.
    fn reset(&mut self, initial: usize) -> io::Result<()> {
        if self.accessible > 0 {
            // SAFETY: the range lies inside the reservation and no memory uses the mapping. For
            // private mappings the kernel drops the pages, so that the next access finds the file's
            // content or zeros.
            unsafe { mm::madvise(self.base.as_ptr(), self.accessible, Advice::LinuxDontNeed)? };
        }
        self.set_accessible(initial)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping owns the whole span and nobody uses it any more. Unmapping a valid range
        // does not fail.
        let _ = unsafe { mm::munmap(self.base.as_ptr(), SPAN) };
    }
}

/// A linear memory in use.
struct ImageMemory {
    /// `None` only while it is being dropped.
    mapping: Option<Mapping>,
    /// Set while the image is being built: the file grows with the memory.
    file: Option<OwnedFd>,
    image: Arc<Mutex<Image>>,
}

// SAFETY: `as_ptr` points at a reservation of `RESERVATION + GUARD` bytes that never moves and of which
// exactly the first `byte_size` bytes are accessible, which is what the engine asked for in
// `new_memory`; new bytes are zero because neither the file nor anonymous memory behind them was
// written before.
unsafe impl LinearMemory for ImageMemory {
    fn byte_size(&self) -> usize {
        self.mapping.as_ref().map_or(0, |mapping| mapping.accessible)
    }

    fn byte_capacity(&self) -> usize {
        RESERVATION
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if let Some(file) = &self.file {
            fs::ftruncate(file, new_size as u64)?;
        }
        if let Some(mapping) = &mut self.mapping {
            mapping.set_accessible(new_size)?;
        }
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ref().map_or(ptr::null_mut(), |mapping| mapping.base.as_ptr().cast())
    }
}

impl Drop for ImageMemory {
    fn drop(&mut self) {
        let Some(mut mapping) = self.mapping.take() else { return };
        let mut image = lock(&self.image);
        // A mapping of the file itself is not used again, nor one that cannot be reset.
        if self.file.is_none() && !image.building && mapping.reset(image.initial).is_ok() {
            image.free.push(mapping);
        }
    }
}

// SAFETY: see `ImageMemory`. The engine's demands on reservation and guard are checked.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _ty: MemoryType,
        _minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reserved.is_some_and(|bytes| bytes > RESERVATION) || guard > GUARD {
            return Err("the engine wants more address space than is reserved".into());
        }
        let mut image = lock(&self.0);
        let mapping = match image.free.pop() {
            Some(mapping) => mapping,
            None => {
                let mut mapping = Mapping::new(&image).map_err(|error| error.to_string())?;
                mapping.set_accessible(image.initial).map_err(|error| error.to_string())?;
                mapping
            }
        };
        let file = if image.building {
            Some(image.file.try_clone().map_err(|error| error.to_string())?)
        } else {
            None
        };
        Ok(Box::new(ImageMemory { mapping: Some(mapping), file, image: Arc::clone(&self.0) }))
    }
}

/// Loads machine code.
///
/// The caller has checked that `code` is what our own compiler wrote: [`crate::Artifact`] compares its
/// checksum and engine key, and nobody but the sandboxed compile step writes artifacts.
pub(crate) fn load_code(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: `code` is unchanged output of `Engine::precompile_module`, see above.
    unsafe { Module::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(memories: &Memories) -> Box<dyn LinearMemory> {
        let ty = MemoryType::new(1, None);
        let reserved = Some(RESERVATION);
        memories.new_memory(ty, 65_536, None, reserved, GUARD).unwrap()
    }

    fn bytes(memory: &mut dyn LinearMemory) -> &mut [u8] {
        // SAFETY: the memory is accessible up to its size and borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    #[test]
    fn writes_are_dropped_with_the_memory() {
        let segment = Segment { offset: 70_000, bytes: vec![7; 10] };
        let memories = Memories::build(4, &[segment]).unwrap();
        memories.freeze(4 * 65_536).unwrap();
        for round in 0..3 {
            let mut memory = memory(&memories);
            let content = bytes(memory.as_mut());
            assert_eq!(content.len(), 4 * 65_536, "round {round}");
            assert_eq!(&content[69_999..70_011], [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
            assert!(content[70_010..].iter().all(|byte| *byte == 0));
            content.fill(round + 1);
            memory.grow_to(6 * 65_536).unwrap();
            let content = bytes(memory.as_mut());
            assert!(content[4 * 65_536..].iter().all(|byte| *byte == 0));
            content.fill(round + 1);
        }
        assert_eq!(lock(&memories.0).free.len(), 1);
    }

    #[test]
    fn what_is_written_while_building_is_the_image() {
        let memories = Memories::build(1, &[]).unwrap();
        let mut first = memory(&memories);
        first.grow_to(3 * 65_536).unwrap();
        bytes(first.as_mut())[150_000] = 9;
        drop(first);
        memories.freeze(3 * 65_536).unwrap();
        let mut second = memory(&memories);
        let content = bytes(second.as_mut());
        assert_eq!((content.len(), content[150_000], content[0]), (3 * 65_536, 9, 0));
    }

    #[test]
    fn an_image_of_zeros_maps_no_file() {
        let memories = Memories::build(1000, &[]).unwrap();
        memories.freeze(1000 * 65_536).unwrap();
        assert_eq!(lock(&memories.0).image, 0);
        let mut memory = memory(&memories);
        assert!(bytes(memory.as_mut()).iter().all(|byte| *byte == 0));
    }
}
