//! Attempts with the output folder: to fill it, to hide in it, to leave what harms whoever takes it.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Write,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
};

use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::{
    bait::Bait,
    raw::{self, at, call},
    tries::Tries,
};

const MIB: u64 = 1 << 20;
/// Where an act stops writing to disk, in bytes: what is written between two looks must lie below.
const MUCH_DISK: u64 = 1 << 30;
/// And in files.
const MANY_FILES: u64 = 500_000;

pub(super) fn output_bytes(bait: &Bait, tries: &mut Tries) {
    let block = vec![1; 1 << 20];
    let mut written = 0;
    'all: for number in 0.. {
        let Ok(mut file) = File::create(bait.out.join(format!("f{number}"))) else { break };
        for _ in 0..bait.limits.file_bytes >> 20 {
            match file.write(&block) {
                Ok(count @ 1..) => written += count as u64,
                _ => break 'all,
            }
            if written > MUCH_DISK {
                break 'all;
            }
        }
    }
    if written > bait.limits.out_bytes {
        tries.hold(&format!("{} MiB", written / MIB));
    } else {
        tries.count("bytes", written, bait.limits.out_bytes);
    }
}

pub(super) fn output_files(bait: &Bait, tries: &mut Tries) {
    let made = (0..MANY_FILES)
        .take_while(|number| File::create(bait.out.join(number.to_string())).is_ok());
    let made = made.count() as u64;
    if made > u64::from(bait.limits.out_files) {
        tries.hold(&format!("{made} files"));
    } else {
        tries.count("files", made, u64::from(bait.limits.out_files));
    }
}

pub(super) fn output_depth(bait: &Bait, tries: &mut Tries) {
    let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(mut at) = openat(rustix::fs::CWD, &bait.out, folder, Mode::empty()) else { return };
    let mut depth = 0;
    while depth < 3000 && mkdirat(&at, "d", Mode::RWXU).is_ok() {
        let Ok(next) = openat(&at, "d", folder, Mode::empty()) else { break };
        at = next;
        depth += 1;
    }
    tries.hold(&format!("{depth} folders deep"));
}

pub(super) fn output_names(bait: &Bait, tries: &mut Tries) {
    for name in [
        &b"\xff\xfe\x80"[..],
        b"-rf",
        b"a\nb",
        b"\x1b]0;x\x07\x1b[2J",
        b" ",
        &[b'n'; 255],
        b"artifact ",
    ] {
        if let Err(error) = File::create(bait.out.join(OsStr::from_bytes(name))) {
            tries.here::<()>("make an odd name", Err(error));
        }
    }
    tries.run("a name with a step upward", || File::create(bait.out.join("../beside")));
    tries.run("a name that is too long", || File::create(bait.out.join("x".repeat(256))));
}

pub(super) fn output_sparse(bait: &Bait, tries: &mut Tries) {
    let file = || File::create(bait.out.join("sparse"));
    tries.run("a terabyte of nothing", || file()?.set_len(1 << 40));
    tries.run("a byte far out", || {
        std::os::unix::fs::FileExt::write_at(&file()?, b"x", bait.limits.file_bytes)
    });
}

pub(super) fn output_reserved(bait: &Bait, tries: &mut Tries) {
    let reserve = |mode: u64, bytes: u64| {
        let file = File::create(bait.out.join("reserved"))?;
        let number = u64::from(file.as_raw_fd().unsigned_abs());
        call(libc::SYS_fallocate, &[number, mode, 0, bytes])
    };
    tries.run("past the end", || reserve(1, 2 * bait.limits.out_bytes));
    tries.run("at once", || reserve(0, bait.limits.file_bytes));
}

pub(super) fn output_removed(bait: &Bait, tries: &mut Tries) {
    let path = bait.out.join("gone");
    let made = File::create(&path);
    tries.run("remove while open", || {
        let _file = made?;
        fs::remove_file(&path)
    });
    tries.run("put another in its place", || {
        let other = bait.out.join("other");
        File::create(&other)?;
        fs::rename(other, &path)
    });
    tries.run("without a name", || {
        OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(&bait.out)
    });
}

pub(super) fn output_barred(bait: &Bait, tries: &mut Tries) {
    // A folder that can be written but not listed; only root could add it up.
    let barred = bait.out.join("barred");
    let made = mkdirat(rustix::fs::CWD, &barred, Mode::WUSR | Mode::XUSR);
    if let Err(error) = made {
        return tries.here::<()>("make it", Err(error.into()));
    }
    let block = vec![1; 1 << 20];
    let mut written = 0;
    for number in 0..64 {
        let Ok(mut file) = File::create(barred.join(number.to_string())) else { break };
        written += file.write(&block).unwrap_or(0) as u64;
    }
    tries.hold(&format!("{} MiB", written / MIB));
}

pub(super) fn output_rights(bait: &Bait, tries: &mut Tries) {
    let path = bait.out.join("set-user-id");
    tries.run("set-user-id", || {
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o700).open(&path)?;
        file.write_all(b"#!/bin/sh\n")?;
        Ok(rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(0o6755))?)
    });
    tries.run("set-user-id by path", || {
        let path = raw::path(&path);
        call(libc::SYS_fchmodat, &[super::outward::HERE, at(path.as_bytes_with_nul()), 0o6755])
    });
    // With the bit from the start, it goes with the first byte that is written.
    let born = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o6755)
        .open(bait.out.join("born"));
    if let Ok(mut file) = born {
        let _ = file.write_all(b"#!/bin/sh\n");
    }
}

pub(super) fn output_swap(bait: &Bait, tries: &mut Tries) {
    tries.ready();
    let artifact = bait.out.join("artifact");
    let (plain, link) = (bait.out.join("plain"), bait.out.join("link"));
    loop {
        let _ = fs::write(&plain, "harmless");
        let _ = std::os::unix::fs::symlink(&bait.secret, &link);
        let _ = fs::rename(&plain, &artifact);
        let _ = fs::rename(&link, &artifact);
        let _ = fs::remove_file(&artifact);
        let _ = fs::create_dir(&artifact);
        let _ = fs::remove_dir(&artifact);
        let _ = fs::write(&artifact, "harmless");
    }
}
