//! The functions of WASI preview 1.
//!
//! Every call costs [`crate::costs::HOST_CALL_FUEL`] and a unit of fuel for each byte it moves, taken
//! before the work is done. Pointers are checked against the guest's memory; a bad one answers
//! `EFAULT`.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::{
    FOLDER, FOLDER_NAME, errno,
    files::Open,
    table::{FUNCTIONS, MODULE},
};
use crate::host::{Host, Stage, Stop, charge_call};

/// Buffers in one `fd_read` or `fd_write`.
const MAX_BUFFERS: u32 = 1024;
const TYPE_CHARACTER: u8 = 2;
const TYPE_DIRECTORY: u8 = 3;
const TYPE_FILE: u8 = 4;
/// Rights of an input: read, seek, tell, advise, stat, poll.
const FILE_RIGHTS: u64 = 0x0820_00a6;
/// Rights of the folder: open, readdir, stat.
const FOLDER_RIGHTS: u64 = 0x0024_6000;
/// Rights of output and log: write, stat.
const WRITE_RIGHTS: u64 = 0x0020_0040;

/// What a call answers: an error number, or the end of the guest.
type Answer = wasmtime::Result<i32>;
/// An error number as an early exit.
type Checked<T> = Result<T, i32>;

fn code(result: Checked<()>) -> i32 {
    result.err().unwrap_or(errno::SUCCESS)
}

/// The guest's memory and state.
fn split<'a>(caller: &'a mut Caller<'_, Host>) -> wasmtime::Result<(&'a mut [u8], &'a mut Host)> {
    let memory = caller.data().memory;
    let memory =
        memory.ok_or_else(|| Stop::Machine("the guest ran before it was set up".into()))?;
    Ok(memory.data_and_store_mut(caller))
}

fn slice(memory: &mut [u8], at: u32, length: u32) -> Checked<&mut [u8]> {
    let at = at as usize;
    let end = at.checked_add(length as usize).ok_or(errno::FAULT)?;
    memory.get_mut(at..end).ok_or(errno::FAULT)
}

fn put(memory: &mut [u8], at: u32, bytes: &[u8]) -> Checked<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| errno::FAULT)?;
    slice(memory, at, length)?.copy_from_slice(bytes);
    Ok(())
}

fn get_u32(memory: &mut [u8], at: u32) -> Checked<u32> {
    let bytes = slice(memory, at, 4)?;
    Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| errno::FAULT)?))
}

/// Address and length of each buffer of a vector, and the sum of the lengths.
fn buffers(memory: &mut [u8], at: u32, count: u32) -> Checked<(Vec<(u32, u32)>, u64)> {
    if count > MAX_BUFFERS {
        return Err(errno::INVAL);
    }
    let mut found = Vec::with_capacity(count as usize);
    let mut total = 0_u64;
    for number in 0..count {
        let entry = at.checked_add(number * 8).ok_or(errno::FAULT)?;
        let address = get_u32(memory, entry)?;
        let length = get_u32(memory, entry.checked_add(4).ok_or(errno::FAULT)?)?;
        slice(memory, address, length)?;
        total += u64::from(length);
        found.push((address, length));
    }
    Ok((found, total))
}

/// Writes strings behind each other, each ended by a zero byte, and a table of their addresses.
fn put_strings(memory: &mut [u8], strings: &[Vec<u8>], table: u32, bytes: u32) -> Checked<()> {
    let (mut entry, mut at) = (table, bytes);
    for string in strings {
        put(memory, entry, &at.to_le_bytes())?;
        put(memory, at, string)?;
        let length = u32::try_from(string.len()).map_err(|_| errno::FAULT)?;
        at = at.checked_add(length).ok_or(errno::FAULT)?;
        put(memory, at, &[0])?;
        at = at.checked_add(1).ok_or(errno::FAULT)?;
        entry = entry.checked_add(4).ok_or(errno::FAULT)?;
    }
    Ok(())
}

fn args_get(mut caller: Caller<'_, Host>, table: i32, bytes: i32) -> Answer {
    charge_call(&mut caller, 64)?;
    let (memory, host) = split(&mut caller)?;
    let strings = host.arguments.clone();
    Ok(code(put_strings(memory, &strings, table.cast_unsigned(), bytes.cast_unsigned())))
}

fn args_sizes_get(mut caller: Caller<'_, Host>, count: i32, size: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    let (memory, host) = split(&mut caller)?;
    let total: usize = host.arguments.iter().map(|argument| argument.len() + 1).sum();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are two arguments, of a few digits at most"
    )]
    let (number, total) = (host.arguments.len() as u32, total as u32);
    let written = put(memory, count.cast_unsigned(), &number.to_le_bytes())
        .and_then(|()| put(memory, size.cast_unsigned(), &total.to_le_bytes()));
    Ok(code(written))
}

fn environ_sizes_get(mut caller: Caller<'_, Host>, count: i32, size: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    let (memory, _) = split(&mut caller)?;
    let written = put(memory, count.cast_unsigned(), &[0; 4])
        .and_then(|()| put(memory, size.cast_unsigned(), &[0; 4]));
    Ok(code(written))
}

/// The clock stands at zero and ticks in nanoseconds.
fn clock_res_get(mut caller: Caller<'_, Host>, _clock: i32, at: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    let (memory, _) = split(&mut caller)?;
    Ok(code(put(memory, at.cast_unsigned(), &1_u64.to_le_bytes())))
}

fn clock_time_get(mut caller: Caller<'_, Host>, _clock: i32, _precision: i64, at: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    let (memory, _) = split(&mut caller)?;
    Ok(code(put(memory, at.cast_unsigned(), &0_u64.to_le_bytes())))
}

/// Bytes of a stream that depends on the program and on what runs, and on nothing else: hash maps
/// work, secrets do not.
fn random_get(mut caller: Caller<'_, Host>, at: i32, length: i32) -> Answer {
    charge_call(&mut caller, u64::from(length.cast_unsigned()))?;
    let (memory, host) = split(&mut caller)?;
    let bytes = match slice(memory, at.cast_unsigned(), length.cast_unsigned()) {
        Ok(bytes) => bytes,
        Err(code) => return Ok(code),
    };
    let stage = host.stage;
    if !matches!(&host.random, Some((of, _)) if *of == stage) {
        let mut hasher = blake3::Hasher::new_derive_key("tilth vm 1 random_get");
        hasher.update(&host.program.0);
        match stage {
            Stage::Prepare => hasher.update(&[0]),
            Stage::Task(index) => hasher.update(&[1]).update(&index.to_le_bytes()),
        };
        host.random = Some((stage, hasher.finalize_xof()));
    }
    if let Some((_, stream)) = &mut host.random {
        stream.fill(bytes);
    }
    Ok(errno::SUCCESS)
}

fn proc_exit(mut caller: Caller<'_, Host>, status: i32) -> wasmtime::Result<()> {
    charge_call(&mut caller, 0)?;
    Err(Stop::Exit(status).into())
}

fn fd_write(
    mut caller: Caller<'_, Host>,
    fd: i32,
    vector: i32,
    count: i32,
    written: i32,
) -> Answer {
    let (memory, _) = split(&mut caller)?;
    let found = buffers(memory, vector.cast_unsigned(), count.cast_unsigned());
    charge_call(
        &mut caller,
        found.as_ref().map_or(0, |(list, total)| total + 8 * list.len() as u64),
    )?;
    let (list, total) = match found {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    let (memory, host) = split(&mut caller)?;
    // What is printed before the task begins is for people: every task's output starts empty.
    let to_output = match fd {
        1 => host.stage != Stage::Prepare,
        2 => false,
        _ if host.files.get(fd.cast_unsigned()).is_some() => return Ok(errno::ROFS),
        _ => return Ok(errno::BADF),
    };
    if to_output && (host.output.len() as u64).saturating_add(total) > host.output_limit {
        return Err(Stop::TooMuchOutput(host.output_limit).into());
    }
    for (at, length) in list {
        match slice(memory, at, length) {
            Ok(bytes) if to_output => host.output.extend_from_slice(bytes),
            Ok(bytes) => host.log.append(bytes),
            Err(code) => return Ok(code),
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "the interface reports the sum in 32 bits")]
    let total = total as u32;
    Ok(code(put(memory, written.cast_unsigned(), &total.to_le_bytes())))
}

/// Reads into the buffers of a vector, from `offset` or from the current position, which moves.
fn read(
    caller: &mut Caller<'_, Host>,
    fd: i32,
    (vector, count, read): (i32, i32, i32),
    offset: Option<u64>,
) -> Answer {
    let (memory, _) = split(caller)?;
    let found = buffers(memory, vector.cast_unsigned(), count.cast_unsigned());
    charge_call(caller, found.as_ref().map_or(0, |(list, _)| 8 * list.len() as u64))?;
    let list = match found {
        Ok((list, _)) => list,
        Err(code) => return Ok(code),
    };
    let (_, host) = split(caller)?;
    let (number, position) = match (fd, host.files.get(fd.cast_unsigned())) {
        (0, _) => (usize::MAX, 0),
        (_, Some(Open::File { number, position })) => (number, position),
        (_, Some(Open::Folder)) => return Ok(errno::ISDIR),
        (_, None) => return Ok(errno::BADF),
    };
    let inputs = std::sync::Arc::clone(&host.files.inputs);
    // Standard input is empty.
    let Some(file) = inputs.get(number) else {
        let (memory, _) = split(caller)?;
        return Ok(code(put(memory, read.cast_unsigned(), &[0; 4])));
    };
    let start = offset.unwrap_or(position);
    let mut at = start;
    for (address, length) in list {
        let available = file.size.saturating_sub(at).min(u64::from(length));
        crate::host::charge(caller, available.saturating_mul(crate::costs::HOST_BYTE_FUEL))?;
        let (memory, _) = split(caller)?;
        let Ok(buffer) = slice(memory, address, length) else { return Ok(errno::FAULT) };
        let got = file
            .read(buffer, at)
            .map_err(|error| Stop::Machine(format!("input {:?}: {error}", file.name)))?;
        at += got as u64;
        if got < length as usize {
            break;
        }
    }
    let (memory, host) = split(caller)?;
    if offset.is_none() {
        host.files.seek(fd.cast_unsigned(), at);
    }
    // Buffers together may exceed 32 bits only if they overlap.
    #[expect(clippy::cast_possible_truncation, reason = "the interface reports the sum in 32 bits")]
    let total = (at - start) as u32;
    Ok(code(put(memory, read.cast_unsigned(), &total.to_le_bytes())))
}

fn fd_read(mut caller: Caller<'_, Host>, fd: i32, at: i32, count: i32, got: i32) -> Answer {
    read(&mut caller, fd, (at, count, got), None)
}

fn fd_pread(
    mut caller: Caller<'_, Host>,
    fd: i32,
    at: i32,
    count: i32,
    offset: i64,
    got: i32,
) -> Answer {
    if fd == 0 {
        charge_call(&mut caller, 0)?;
        return Ok(errno::SPIPE);
    }
    read(&mut caller, fd, (at, count, got), Some(offset.cast_unsigned()))
}

fn fd_seek(mut caller: Caller<'_, Host>, fd: i32, by: i64, whence: i32, at: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    let (memory, host) = split(&mut caller)?;
    let (number, position) = match host.files.get(fd.cast_unsigned()) {
        Some(Open::File { number, position }) => (number, position),
        Some(Open::Folder) => return Ok(errno::ISDIR),
        None if (0..3).contains(&fd) => return Ok(errno::SPIPE),
        None => return Ok(errno::BADF),
    };
    let size = host.files.inputs.get(number).map_or(0, |file| file.size);
    let base = match whence {
        0 => 0,
        1 => position,
        2 => size,
        _ => return Ok(errno::INVAL),
    };
    let Some(to) = base.checked_add_signed(by).filter(|to| i64::try_from(*to).is_ok()) else {
        return Ok(errno::INVAL);
    };
    host.files.seek(fd.cast_unsigned(), to);
    Ok(code(put(memory, at.cast_unsigned(), &to.to_le_bytes())))
}

fn fd_tell(caller: Caller<'_, Host>, fd: i32, at: i32) -> Answer {
    fd_seek(caller, fd, 0, 1, at)
}

fn fd_close(mut caller: Caller<'_, Host>, fd: i32) -> Answer {
    charge_call(&mut caller, 0)?;
    let (_, host) = split(&mut caller)?;
    // Closing a standard descriptor or the folder is accepted and changes nothing.
    let known = (0..=3).contains(&fd) || host.files.close(fd.cast_unsigned());
    Ok(if known { errno::SUCCESS } else { errno::BADF })
}

/// Type, rights and size of what a descriptor stands for.
fn describe(host: &Host, fd: i32) -> Checked<(u8, u64, u64, u64)> {
    match (fd, host.files.get(fd.cast_unsigned())) {
        (0, _) => Ok((TYPE_CHARACTER, FILE_RIGHTS, 0, 0)),
        (1 | 2, _) => Ok((TYPE_CHARACTER, WRITE_RIGHTS, 0, 0)),
        (_, Some(Open::Folder)) => Ok((TYPE_DIRECTORY, FOLDER_RIGHTS, 0, 1)),
        (_, Some(Open::File { number, .. })) => {
            let size = host.files.inputs.get(number).map_or(0, |file| file.size);
            Ok((TYPE_FILE, FILE_RIGHTS, size, number as u64 + 2))
        }
        (_, None) => Err(errno::BADF),
    }
}

fn fd_fdstat_get(mut caller: Caller<'_, Host>, fd: i32, at: i32) -> Answer {
    charge_call(&mut caller, 24)?;
    let (memory, host) = split(&mut caller)?;
    let written = describe(host, fd).and_then(|(kind, rights, _, _)| {
        let mut stat = [0_u8; 24];
        stat[0] = kind;
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        let inherited = if kind == TYPE_DIRECTORY { FILE_RIGHTS } else { 0 };
        stat[16..24].copy_from_slice(&inherited.to_le_bytes());
        put(memory, at.cast_unsigned(), &stat)
    });
    Ok(code(written))
}

/// File status: device 0, serial number, type, one link, size, times 0.
fn put_filestat(memory: &mut [u8], at: i32, kind: u8, size: u64, serial: u64) -> Checked<()> {
    let mut stat = [0_u8; 64];
    stat[8..16].copy_from_slice(&serial.to_le_bytes());
    stat[16] = kind;
    stat[24..32].copy_from_slice(&1_u64.to_le_bytes());
    stat[32..40].copy_from_slice(&size.to_le_bytes());
    put(memory, at.cast_unsigned(), &stat)
}

fn fd_filestat_get(mut caller: Caller<'_, Host>, fd: i32, at: i32) -> Answer {
    charge_call(&mut caller, 64)?;
    let (memory, host) = split(&mut caller)?;
    let written = describe(host, fd)
        .and_then(|(kind, _, size, serial)| put_filestat(memory, at, kind, size, serial));
    Ok(code(written))
}

fn fd_prestat_get(mut caller: Caller<'_, Host>, fd: i32, at: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    if fd.cast_unsigned() != FOLDER {
        return Ok(errno::BADF);
    }
    let (memory, _) = split(&mut caller)?;
    let mut stat = [0_u8; 8];
    #[expect(clippy::cast_possible_truncation, reason = "it is a short constant")]
    let length = FOLDER_NAME.len() as u32;
    stat[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(code(put(memory, at.cast_unsigned(), &stat)))
}

fn fd_prestat_dir_name(mut caller: Caller<'_, Host>, fd: i32, at: i32, length: i32) -> Answer {
    charge_call(&mut caller, 8)?;
    if fd.cast_unsigned() != FOLDER {
        return Ok(errno::BADF);
    }
    let (memory, _) = split(&mut caller)?;
    match FOLDER_NAME.get(..length.cast_unsigned() as usize) {
        Some(name) => Ok(code(put(memory, at.cast_unsigned(), name))),
        None => Ok(code(put(memory, at.cast_unsigned(), FOLDER_NAME))),
    }
}

/// What a path below `/in` names.
fn resolve(host: &Host, fd: i32, path: &[u8]) -> Checked<Open> {
    match host.files.get(fd.cast_unsigned()) {
        Some(Open::Folder) => {}
        Some(Open::File { .. }) => return Err(errno::NOTDIR),
        None => return Err(errno::BADF),
    }
    if path.first() == Some(&b'/') {
        return Err(errno::NOTCAPABLE);
    }
    let mut parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let Some(name) = parts.next() else {
        return if path.is_empty() { Err(errno::NOENT) } else { Ok(Open::Folder) };
    };
    if name == b".." || parts.clone().any(|part| part == b"..") {
        return Err(errno::NOTCAPABLE);
    }
    let number = host.files.inputs.find(name).ok_or(errno::NOENT)?;
    if parts.next().is_some() || path.last() == Some(&b'/') {
        return Err(errno::NOTDIR);
    }
    Ok(Open::File { number, position: 0 })
}

#[expect(clippy::too_many_arguments, reason = "the interface has so many")]
fn path_open(
    mut caller: Caller<'_, Host>,
    fd: i32,
    _lookup: i32,
    path: i32,
    length: i32,
    flags: i32,
    rights: i64,
    _inherited: i64,
    fdflags: i32,
    at: i32,
) -> Answer {
    const CREATE: i32 = 1;
    const DIRECTORY: i32 = 2;
    const EXCLUSIVE: i32 = 4;
    const TRUNCATE: i32 = 8;
    const APPEND: i32 = 1;
    const RIGHT_WRITE: i64 = 0x40;
    charge_call(&mut caller, u64::from(length.cast_unsigned()))?;
    let (memory, host) = split(&mut caller)?;
    let opened = slice(memory, path.cast_unsigned(), length.cast_unsigned())
        .and_then(|path| resolve(host, fd, path))
        .and_then(|what| match what {
            // Programs ask for all rights of a folder; it can only be listed anyway.
            Open::Folder if flags & (CREATE | EXCLUSIVE | TRUNCATE) == 0 => Ok(what),
            Open::File { .. } if flags & DIRECTORY != 0 => Err(errno::NOTDIR),
            Open::File { .. }
                if flags & (CREATE | EXCLUSIVE | TRUNCATE) == 0
                    && rights & RIGHT_WRITE == 0
                    && fdflags & APPEND == 0 =>
            {
                Ok(what)
            }
            _ => Err(errno::ROFS),
        })
        // Creating a file is refused as on any read-only file system.
        .map_err(
            |code| {
                if code == errno::NOENT && flags & CREATE != 0 { errno::ROFS } else { code }
            },
        )
        .and_then(|what| host.files.insert(what).ok_or(errno::MFILE))
        .and_then(|descriptor| {
            put(memory, at.cast_unsigned(), &descriptor.to_le_bytes())
                .inspect_err(|_| _ = host.files.close(descriptor))
        });
    Ok(code(opened))
}

fn path_filestat_get(
    mut caller: Caller<'_, Host>,
    fd: i32,
    _lookup: i32,
    path: i32,
    length: i32,
    at: i32,
) -> Answer {
    charge_call(&mut caller, u64::from(length.cast_unsigned()))?;
    let (memory, host) = split(&mut caller)?;
    let written = slice(memory, path.cast_unsigned(), length.cast_unsigned())
        .and_then(|path| resolve(host, fd, path))
        .and_then(|what| match what {
            Open::Folder => put_filestat(memory, at, TYPE_DIRECTORY, 0, 1),
            Open::File { number, .. } => {
                let size = host.files.inputs.get(number).map_or(0, |file| file.size);
                put_filestat(memory, at, TYPE_FILE, size, number as u64 + 2)
            }
        });
    Ok(code(written))
}

/// Lists the inputs in the order of their names. The last entry may be cut, as the interface has it.
fn fd_readdir(
    mut caller: Caller<'_, Host>,
    fd: i32,
    at: i32,
    length: i32,
    cookie: i64,
    used: i32,
) -> Answer {
    charge_call(&mut caller, u64::from(length.cast_unsigned()))?;
    let (memory, host) = split(&mut caller)?;
    match host.files.get(fd.cast_unsigned()) {
        Some(Open::Folder) => {}
        Some(Open::File { .. }) => return Ok(errno::NOTDIR),
        None => return Ok(errno::BADF),
    }
    let inputs = std::sync::Arc::clone(&host.files.inputs);
    let written = slice(memory, at.cast_unsigned(), length.cast_unsigned()).map(|buffer| {
        let mut filled = 0;
        let first = usize::try_from(cookie.cast_unsigned()).unwrap_or(usize::MAX);
        for number in first..inputs.len() {
            let Some(file) = inputs.get(number) else { break };
            let mut entry = [0_u8; 24];
            entry[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
            entry[8..16].copy_from_slice(&(number as u64 + 2).to_le_bytes());
            #[expect(clippy::cast_possible_truncation, reason = "names of inputs are short")]
            let length = file.name.len() as u32;
            entry[16..20].copy_from_slice(&length.to_le_bytes());
            entry[20] = TYPE_FILE;
            for part in [&entry[..], file.name.as_bytes()] {
                let rest = buffer.get_mut(filled..).unwrap_or_default();
                let room = rest.len().min(part.len());
                rest[..room].copy_from_slice(&part[..room]);
                filled += room;
            }
            if filled == buffer.len() {
                break;
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the buffer lies in a memory of 32 bits"
        )]
        let filled = filled as u32;
        filled
    });
    Ok(code(written.and_then(|filled| put(memory, used.cast_unsigned(), &filled.to_le_bytes()))))
}

/// Functions without any effect here, which programs call routinely.
const ACCEPTED: &[&str] =
    &["environ_get", "sched_yield", "fd_advise", "fd_fdstat_set_flags", "fd_sync", "fd_datasync"];
/// Functions that would change the read-only file system.
const WRITING: &[&str] = &[
    "path_create_directory",
    "path_remove_directory",
    "path_rename",
    "path_unlink_file",
    "path_link",
    "path_symlink",
];

/// Links a function that only answers with an error number.
fn link_answer(linker: &mut Linker<Host>, name: &str, params: &str) -> wasmtime::Result<()> {
    let answer = match name {
        name if ACCEPTED.contains(&name) => errno::SUCCESS,
        name if WRITING.contains(&name) => errno::ROFS,
        _ => errno::NOSYS,
    };
    let params = params.chars().map(|c| if c == 'I' { ValType::I64 } else { ValType::I32 });
    let ty = FuncType::new(linker.engine(), params, [ValType::I32]);
    linker.func_new(MODULE, name, ty, move |mut caller, _, results| {
        charge_call(&mut caller, 0)?;
        if let Some(result) = results.first_mut() {
            *result = Val::I32(answer);
        }
        Ok(())
    })?;
    Ok(())
}

/// Links every function: those above over an answer for each that has no more to do.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for (name, params) in FUNCTIONS {
        link_answer(linker, name, params)?;
    }
    linker
        .func_wrap(MODULE, "args_get", args_get)?
        .func_wrap(MODULE, "args_sizes_get", args_sizes_get)?
        .func_wrap(MODULE, "environ_sizes_get", environ_sizes_get)?
        .func_wrap(MODULE, "clock_res_get", clock_res_get)?
        .func_wrap(MODULE, "clock_time_get", clock_time_get)?
        .func_wrap(MODULE, "random_get", random_get)?
        .func_wrap(MODULE, "proc_exit", proc_exit)?
        .func_wrap(MODULE, "fd_write", fd_write)?
        .func_wrap(MODULE, "fd_read", fd_read)?
        .func_wrap(MODULE, "fd_pread", fd_pread)?
        .func_wrap(MODULE, "fd_seek", fd_seek)?
        .func_wrap(MODULE, "fd_tell", fd_tell)?
        .func_wrap(MODULE, "fd_close", fd_close)?
        .func_wrap(MODULE, "fd_fdstat_get", fd_fdstat_get)?
        .func_wrap(MODULE, "fd_filestat_get", fd_filestat_get)?
        .func_wrap(MODULE, "fd_prestat_get", fd_prestat_get)?
        .func_wrap(MODULE, "fd_prestat_dir_name", fd_prestat_dir_name)?
        .func_wrap(MODULE, "path_open", path_open)?
        .func_wrap(MODULE, "path_filestat_get", path_filestat_get)?
        .func_wrap(MODULE, "fd_readdir", fd_readdir)?;
    linker.allow_shadowing(false);
    Ok(())
}
