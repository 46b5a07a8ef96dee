//! What is fuzzed of the machine: which programs it takes. Runs as a test of `tilth-vm`, and under libFuzzer with
//! `--features vm`.

use tilth_vm::admission::admit;

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[("program", program)];

/// A WebAssembly module is refused, or rewritten to one that is not much larger and is the same every
/// time; what the rewriting added, nobody can bring along.
pub fn program(data: &[u8]) {
    if data.len() > 64 << 10 {
        return;
    }
    let Ok(admitted) = admit(data) else { return };
    let again = admit(data).expect("it was admitted before");
    assert_eq!(admitted.module(), again.module(), "admission is not deterministic");
    assert!(admitted.module().len() <= data.len() * 64 + 4096, "the module grew without bounds");
    assert!(admit(admitted.module()).is_err(), "a rewritten module was taken as a program");
    let memory = u64::from(admitted.memory_pages()) << 16;
    for segment in admitted.segments() {
        let end = u64::from(segment.offset) + segment.bytes.len() as u64;
        assert!(end <= memory, "a segment ends at {end}, the memory at {memory}");
    }
}
