//! Attempts to take more than was given: memory, processes, time.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::Duration,
};

use rustix::{
    fs::MemfdFlags,
    pipe::{PipeFlags, pipe_with},
};

use super::{
    bait::Bait,
    raw::{self, at, call, map, park},
    tries::Tries,
};
use crate::sys::{self, Fork};

const MIB: u64 = 1 << 20;
/// How often its memory limit an act hoards before it says that nobody minded.
const TIMES: u64 = 4;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

/// Hoards piece by piece until a piece is refused or far more than allowed is held.
fn hoard(bait: &Bait, tries: &mut Tries, mut piece: impl FnMut() -> io::Result<u64>) {
    let mut held = 0;
    while held < TIMES * bait.limits.memory_bytes {
        match piece() {
            Ok(bytes) => held += bytes,
            Err(error) if held <= bait.limits.memory_bytes => {
                return tries.here::<()>("all of it", Err(error));
            }
            Err(_) => break,
        }
    }
    tries.hold(&format!("{} MiB", held / MIB));
}

pub(super) fn memory(bait: &Bait, tries: &mut Tries) {
    hoard(bait, tries, || {
        let address = map(MIB, READ_WRITE, PRIVATE, -1)?;
        raw::fill(address, MIB);
        Ok(MIB)
    });
}

pub(super) fn memory_of_children(bait: &Bait, tries: &mut Tries) {
    let mut children = 0;
    while let Ok(side) = sys::fork() {
        if let Fork::Child = side {
            // Each takes less than the limit; together they take more.
            let share = bait.limits.memory_bytes / 2;
            match map(share, READ_WRITE, PRIVATE, -1) {
                Ok(address) => raw::fill(address, share),
                Err(_) => std::process::exit(0),
            }
            thread::sleep(Duration::from_secs(5));
            std::process::exit(0);
        }
        children += 1;
        if children == 8 {
            break;
        }
    }
    // A child that the kernel has ended, or that was refused, is gone before it has slept.
    match rustix::process::wait(rustix::process::WaitOptions::empty()) {
        Ok(Some((_, status))) if status.terminating_signal().is_some() => {
            tries.here::<()>("together", Err(io::Error::other("a child was killed")));
        }
        _ => tries.hold("together"),
    }
}

pub(super) fn memory_of_orphans(bait: &Bait, tries: &mut Tries) {
    // The grandchild's parent is gone, so it descends from nobody but whoever adopts it.
    let Ok((mut told, mut tell)) = io::pipe() else { return };
    if let Ok(Fork::Child) = sys::fork() {
        if let Ok(Fork::Child) = sys::fork() {
            drop(told);
            let much = TIMES * bait.limits.memory_bytes;
            let Ok(address) = map(much, READ_WRITE, PRIVATE, -1) else { std::process::exit(0) };
            raw::fill(address, much);
            thread::sleep(Duration::from_millis(500));
            let _ = tell.write_all(b"held");
        }
        std::process::exit(0);
    }
    drop(tell);
    let mut said = Vec::new();
    let _ = io::Read::read_to_end(&mut told, &mut said);
    tries.count("orphans with more than allowed", u64::from(!said.is_empty()), 0);
}

pub(super) fn hidden_memory(bait: &Bait, tries: &mut Tries) {
    // Pages of a shared mapping stay when they are not needed, but are not resident any more.
    hoard(bait, tries, || {
        let address = map(MIB, READ_WRITE, SHARED, -1)?;
        raw::fill(address, MIB);
        call(libc::SYS_madvise, &[address, MIB, u64::from(libc::MADV_DONTNEED.unsigned_abs())])?;
        Ok(MIB)
    });
}

fn memory_file(bytes: u64) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("hoard", MemfdFlags::CLOEXEC)?);
    let block = vec![1; 1 << 16];
    for _ in 0..bytes >> 16 {
        file.write_all(&block)?;
    }
    Ok(file)
}

pub(super) fn memory_files(bait: &Bait, tries: &mut Tries) {
    let mut files = Vec::new();
    let mut children = 0;
    hoard(bait, tries, || {
        let size = bait.limits.file_bytes;
        match memory_file(size) {
            Ok(file) => files.push(file),
            // Descriptors have run out: children go on with theirs.
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) && children < 8 => {
                children += 1;
                if let Fork::Parent(_) = sys::fork()? {
                    park();
                }
                // Only the parent's copies hold the first ones now.
                files.clear();
                return Ok(0);
            }
            Err(error) => return Err(error),
        }
        Ok(size)
    });
}

pub(super) fn closed_memory_files(bait: &Bait, tries: &mut Tries) {
    // Mapped by one page and closed: the rest stays and belongs to no process.
    hoard(bait, tries, || {
        let size = bait.limits.file_bytes;
        let file = memory_file(size)?;
        map(4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd())?;
        Ok(size)
    });
}

pub(super) fn page_tables(bait: &Bait, tries: &mut Tries) {
    // Reading what was never written costs no page, but a table of 4 KiB for every 2 MiB.
    const SPAN: u64 = 1 << 30;
    let no_huge_pages = call(libc::SYS_prctl, &[41, 1, 0, 0, 0]);
    if let Err(error) = no_huge_pages {
        tries.here::<()>("small pages", Err(error));
    }
    hoard(bait, tries, || {
        let address = map(SPAN, libc::PROT_READ, PRIVATE, -1)?;
        for table in (address..address + SPAN).step_by(2 << 20) {
            raw::look(table);
        }
        Ok((SPAN >> 21) * 4096)
    });
}

pub(super) fn pipes(bait: &Bait, tries: &mut Tries) {
    let block = vec![1_u8; 1 << 16];
    let (mut ends, mut held): (Vec<(OwnedFd, OwnedFd)>, u64) = (Vec::new(), 0);
    while let Ok((read, write)) = pipe_with(PipeFlags::NONBLOCK) {
        let larger = u64::from(libc::F_SETPIPE_SZ.unsigned_abs());
        let number = u64::from(write.as_raw_fd().unsigned_abs());
        let _ = call(libc::SYS_fcntl, &[number, larger, MIB]);
        while let Ok(count @ 1..) = rustix::io::write(&write, &block) {
            held += count as u64;
        }
        ends.push((read, write));
    }
    tries.count("bytes in one process's pipes", held, u64::from(bait.limits.open_files / 2) << 16);
}

pub(super) fn locked_memory(_: &Bait, tries: &mut Tries) {
    let lock = |flags| map(4096, READ_WRITE, PRIVATE | flags, -1);
    tries.run("a page", || call(libc::SYS_mlock, &[lock(0)?, 4096]));
    tries.run("all", || call(libc::SYS_mlockall, &[3]));
    tries.run("from the start", || lock(libc::MAP_LOCKED));
    tries.run("secret pages", || call(libc::SYS_memfd_secret, &[0]));
}

pub(super) fn huge_pages(_: &Bait, tries: &mut Tries) {
    tries.run("mapped", || map(2 * MIB, READ_WRITE, PRIVATE | libc::MAP_HUGETLB, -1));
    let name = at(c"huge".to_bytes_with_nul());
    tries.run("as a file", || call(libc::SYS_memfd_create, &[name, u64::from(libc::MFD_HUGETLB)]));
}

pub(super) fn tmp_bytes(bait: &Bait, tries: &mut Tries) {
    let block = vec![1; 1 << 16];
    let mut written = 0;
    let Some(heap) = Heap::new() else { return tries.count("bytes", 0, bait.limits.tmp_bytes) };
    'all: for number in 0..1000 {
        let Ok(mut file) = heap.file(number) else { break };
        for _ in 0..bait.limits.file_bytes >> 16 {
            // Where nothing stops it this is the owner's own folder: a little too much says enough.
            if written > bait.limits.tmp_bytes.saturating_mul(2) {
                break 'all;
            }
            match file.write(&block) {
                Ok(count @ 1..) => written += count as u64,
                _ => break 'all,
            }
        }
    }
    tries.count("bytes", written, bait.limits.tmp_bytes);
}

pub(super) fn tmp_files(bait: &Bait, tries: &mut Tries) {
    let bound = (bait.limits.tmp_bytes / 4096).max(64);
    let Some(heap) = Heap::new() else { return tries.count("files", 0, bound) };
    let made = (0..bound.saturating_mul(2)).take_while(|number| heap.file(*number).is_ok());
    tries.count("files", made.count() as u64, bound);
}

/// A folder of our own below `/tmp`, gone afterwards: where private files are not to be had, `/tmp` is the machine's.
struct Heap(std::path::PathBuf);

impl Heap {
    fn new() -> Option<Self> {
        let path = std::path::PathBuf::from(format!("/tmp/tilth-escape-{}", std::process::id()));
        // One that was killed may have left its own.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).ok().map(|()| Self(path))
    }

    fn file(&self, number: u64) -> std::io::Result<File> {
        File::create_new(self.0.join(number.to_string()))
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn open_files(bait: &Bait, tries: &mut Tries) {
    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(5000).collect();
    tries.count("open files", files.len() as u64, u64::from(bait.limits.open_files));
}

/// Where a bomb stops by itself.
fn bomb(bait: &Bait) -> u64 {
    u64::from(bait.limits.processes) + 64
}

pub(super) fn fork_bomb(bait: &Bait, tries: &mut Tries) {
    let mut all = 1;
    while let Ok(side) = sys::fork() {
        match side {
            Fork::Child => park(),
            Fork::Parent(_) => all += 1,
        }
        if all == bomb(bait) {
            break;
        }
    }
    tries.count("processes", all, u64::from(bait.limits.processes));
}

pub(super) fn thread_bomb(bait: &Bait, tries: &mut Tries) {
    let mut all = 1;
    let start = || {
        thread::Builder::new().stack_size(64 << 10).spawn(|| {
            park();
        })
    };
    while all < bomb(bait) && start().is_ok() {
        all += 1;
    }
    tries.count("threads", all, u64::from(bait.limits.processes));
}

fn spin() -> ! {
    raw::ignore_all_signals();
    loop {
        std::hint::spin_loop();
    }
}

pub(super) fn time(_: &Bait, _: &mut Tries) {
    spin();
}

pub(super) fn time_of_children(_: &Bait, _: &mut Tries) {
    for _ in 0..3 {
        if let Ok(Fork::Child) = sys::fork() {
            spin();
        }
    }
    park();
}

pub(super) fn time_of_orphans(_: &Bait, _: &mut Tries) {
    // Generations that live for a moment each, so that nobody who looks finds one twice.
    raw::ignore_all_signals();
    let mut first = true;
    loop {
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        match sys::fork() {
            Ok(Fork::Parent(_)) if first => park(),
            Ok(Fork::Parent(_)) => std::process::exit(0),
            _ => first = false,
        }
    }
}
