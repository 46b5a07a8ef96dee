//! What attacks are made of: system calls by number, with any arguments.
//!
//! Only processes that are thrown away use this. The arguments that point somewhere point at memory of the caller's
//! that lives through the call, or at nothing on purpose.

#![allow(unsafe_code, reason = "attacks are made of raw system calls, which have no safe wrapper")]

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

/// A system call; arguments that are not given are 0.
pub(super) fn call(number: i64, args: &[u64]) -> io::Result<u64> {
    let arg = |at: usize| args.get(at).copied().unwrap_or(0);
    // SAFETY: the process is a throwaway that exits after the call; see the module.
    let result = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    u64::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The address of something, as an argument.
pub(super) fn at<T: ?Sized>(thing: &T) -> u64 {
    std::ptr::from_ref(thing).cast::<u8>().expose_provenance() as u64
}

/// The same of something that the kernel writes to.
pub(super) fn at_mut<T: ?Sized>(thing: &mut T) -> u64 {
    std::ptr::from_mut(thing).cast::<u8>().expose_provenance() as u64
}

/// A path as the kernel takes it.
pub(super) fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Maps memory and gives its address.
pub(super) fn map(bytes: u64, rights: i32, flags: i32, file: i32) -> io::Result<u64> {
    let signed = |number: i32| i64::from(number).cast_unsigned();
    call(libc::SYS_mmap, &[0, bytes, signed(rights), signed(flags), signed(file), 0])
}

/// An address as pointers have it; all machines that this is built for have 64 bits.
fn place(address: u64) -> usize {
    usize::try_from(address).unwrap_or(0)
}

/// Writes to each page of a mapping.
pub(super) fn fill(address: u64, bytes: u64) {
    for page in (address..address + bytes).step_by(4096) {
        let page = std::ptr::with_exposed_provenance_mut::<u8>(place(page));
        // SAFETY: callers pass what `map` has just given them, writable and of this size.
        unsafe { page.write_volatile(1) };
    }
}

/// Reads a byte of a mapping.
pub(super) fn look(address: u64) {
    let byte = std::ptr::with_exposed_provenance::<u8>(place(address));
    // SAFETY: callers pass an address inside what `map` has just given them, readable.
    std::hint::black_box(unsafe { byte.read_volatile() });
}

/// Does nothing until it is ended.
pub(super) fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// Takes no notice of any signal that can be ignored.
pub(super) fn ignore_all_signals() {
    for signal in 1..=64 {
        // SAFETY: ignoring runs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// `getpid` by the door of 32-bit programs, whose numbers mean other calls.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_as_32_bit() -> io::Result<()> {
    let result: u64;
    // SAFETY: call 20 takes no arguments; on 32-bit entry the kernel changes no register but rax and may clear r8-r11.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") 20_u64 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    // A process id is positive as a 32-bit number, an error is negative.
    let pid = result & 0xffff_ffff;
    if (1..1 << 31).contains(&pid) { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn call_as_32_bit() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
