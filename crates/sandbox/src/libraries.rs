//! Which files a program needs to be loaded: its dynamic loader and shared libraries.
//!
//! The loader named in the program's ELF header is asked to list them, which maps the program but runs none of its
//! code. Inside the sandbox they all lie in `/lib`.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Bind;

const MAX_PROGRAM_HEADERS: u16 = 128;
const MAX_INTERPRETER: u64 = 4096;
const PT_INTERP: u32 = 3;

/// The files besides the program itself, all canonical on the machine's side. Empty for a static program.
pub(crate) fn needed_by(program: &Path) -> io::Result<Vec<Bind>> {
    let Some(loader) = interpreter(&mut File::open(program)?)? else { return Ok(Vec::new()) };
    let mut needed = vec![Bind::new(loader.canonicalize()?, &loader)];
    needed.extend(listed_by(&loader, program)?);
    Ok(needed)
}

/// What the loader finds for a program or library, as it will lie in the sandbox.
fn listed_by(loader: &Path, program: &Path) -> io::Result<Vec<Bind>> {
    let listing = Command::new(loader).arg("--list").arg(program).stdin(Stdio::null()).output()?;
    if !listing.status.success() {
        return Err(io::Error::other(format!(
            "{} cannot load it: {}",
            loader.display(),
            String::from_utf8_lossy(&listing.stderr).trim()
        )));
    }
    let text = String::from_utf8(listing.stdout).map_err(io::Error::other)?;
    let libraries = listed(&text)?.into_iter();
    libraries
        .map(|(name, path)| Ok(Bind::new(path.canonicalize()?, Path::new("/lib").join(name))))
        .collect()
}

/// As [`needed_by`], for a library that `program` loads while it runs: the library itself at `inside`, and what
/// it needs in `/lib`.
pub(crate) fn needed_by_library(
    program: &Path,
    library: &Path,
    inside: &Path,
) -> io::Result<Vec<Bind>> {
    let Some(loader) = interpreter(&mut File::open(program)?)? else {
        return Err(io::Error::other("a static program loads no libraries"));
    };
    let mut needed = vec![Bind::new(library.canonicalize()?, inside)];
    needed.extend(listed_by(&loader, library)?);
    Ok(needed)
}

/// Name and path of each library in the loader's answer.
fn listed(text: &str) -> io::Result<Vec<(&str, PathBuf)>> {
    let mut found = Vec::new();
    for line in text.lines() {
        // Lines without an arrow are the loader itself and the kernel's own page.
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        let Some(path) =
            rest.rsplit_once(" (").map(|(path, _)| path).filter(|path| path.starts_with('/'))
        else {
            return Err(io::Error::other(format!("the library {name} is {rest}")));
        };
        if !name.contains('/') {
            found.push((name, PathBuf::from(path)));
        }
    }
    Ok(found)
}

/// The loader that a 64-bit little-endian ELF file asks for.
fn interpreter(file: &mut (impl Read + Seek)) -> io::Result<Option<PathBuf>> {
    let bad = |what: &str| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not a program this system can run: {what}"),
        )
    };
    let mut header = [0; 64];
    file.read_exact(&mut header).map_err(|_| bad("shorter than an ELF header"))?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return Err(bad("no 64-bit little-endian ELF file"));
    }
    let table = number(&header, 32, 8);
    let (entry_size, count) = (number(&header, 54, 2), number(&header, 56, 2));
    if entry_size != 56 || count > u64::from(MAX_PROGRAM_HEADERS) {
        return Err(bad("odd program headers"));
    }
    for index in 0..count {
        let at = table
            .checked_add(index * entry_size)
            .ok_or_else(|| bad("program headers out of range"))?;
        file.seek(SeekFrom::Start(at))?;
        let mut entry = [0; 56];
        file.read_exact(&mut entry).map_err(|_| bad("program headers cut off"))?;
        if number(&entry, 0, 4) != u64::from(PT_INTERP) {
            continue;
        }
        let (offset, size) = (number(&entry, 8, 8), number(&entry, 32, 8));
        if size > MAX_INTERPRETER {
            return Err(bad("the loader's name is too long"));
        }
        file.seek(SeekFrom::Start(offset))?;
        let mut name = Vec::new();
        file.take(size).read_to_end(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| bad("the loader's name is not text"))?;
        let path = PathBuf::from(name.trim_end_matches('\0'));
        return if path.is_absolute() {
            Ok(Some(path))
        } else {
            Err(bad("the loader's path is relative"))
        };
    }
    Ok(None)
}

/// A little-endian number of `size` bytes in a header whose length the caller has checked.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_libraries_of_this_program_are_found() {
        let needed = needed_by(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            needed.iter().any(|bind| bind.inside.to_string_lossy().contains("libc.")),
            "{needed:?}"
        );
        assert!(needed.iter().all(|bind| bind.host.is_file() && bind.inside.is_absolute()));
    }

    #[test]
    fn a_missing_library_is_named() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tliba.so.1 => /lib/liba.so.1 (0x2)\n\tlibb.so => not found\n";
        assert!(listed(text).unwrap_err().to_string().contains("libb.so"));
        let (good, _) = text.split_at(text.find("\tlibb").unwrap());
        assert_eq!(listed(good).unwrap(), [("liba.so.1", "/lib/liba.so.1".into())]);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&b"#!/bin/sh\n"[..], &[0x7f; 64], b"\x7fELF\x02\x01"] {
            assert!(interpreter(&mut Cursor::new(bytes)).is_err());
        }
        let mut header = [0xff_u8; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert!(interpreter(&mut Cursor::new(header)).is_err());
        header[54..58].copy_from_slice(&[56, 0, 1, 0]);
        assert!(interpreter(&mut Cursor::new(header)).is_err());
    }
}
