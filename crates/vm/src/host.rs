//! The host's side of a running guest: its state, the ways it can be stopped, and the two functions
//! that admission adds to every program.

use std::sync::Arc;

use tilth_protocol::ContentHash;
use wasmtime::{Caller, Linker, Memory, ResourceLimiter};

use crate::{
    admission::{self, caps},
    costs,
    image::PAGE,
    outcome::Log,
    wasi::files::{Inputs, OpenFiles},
};

/// Why the host stopped a guest. Travels through the engine as an error.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The guest called `proc_exit`.
    #[error("exited with code {0}")]
    Exit(i32),
    /// A host function cost more than was left.
    #[error("out of fuel")]
    OutOfFuel,
    /// The output is longer than the job allows.
    #[error("more than {0} bytes of output")]
    TooMuchOutput(u64),
    /// The recursion counter ran out.
    #[error("too many nested calls")]
    TooDeep,
    /// This machine failed, not the guest: there is no result.
    #[error("{0}")]
    Machine(String),
}

/// What is running. Selects where output goes and which random bytes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Start function, `_initialize` or `prepare`.
    Prepare,
    /// The task of this index.
    Task(u32),
}

/// State of one instance.
pub(crate) struct Host {
    pub(crate) memory: Option<Memory>,
    pub(crate) stage: Stage,
    pub(crate) program: ContentHash,
    pub(crate) arguments: [Vec<u8>; 2],
    pub(crate) files: OpenFiles,
    pub(crate) output: Vec<u8>,
    pub(crate) output_limit: u64,
    pub(crate) log: Log,
    pub(crate) random: Option<(Stage, blake3::OutputReader)>,
    limits: GuestLimits,
}

impl Host {
    pub(crate) fn new(
        program: ContentHash,
        inputs: Arc<Inputs>,
        memory_limit: usize,
        output_limit: u64,
    ) -> Self {
        Self {
            memory: None,
            stage: Stage::Prepare,
            program,
            arguments: [b"program".to_vec(), Vec::new()],
            files: OpenFiles::new(inputs),
            output: Vec::new(),
            output_limit,
            log: Log::default(),
            random: None,
            limits: GuestLimits { memory: memory_limit },
        }
    }

    /// What was before the task was preparation: its files are closed, so that it makes no difference
    /// whether it ran in this instance or in the one that left the image.
    pub(crate) fn begin_task(&mut self, index: u32) {
        self.stage = Stage::Task(index);
        self.files = OpenFiles::new(Arc::clone(&self.files.inputs));
    }

    pub(crate) fn limits(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limits
    }
}

struct GuestLimits {
    memory: usize,
}

impl ResourceLimiter for GuestLimits {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= caps::TABLE_ELEMENTS)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Within the limit, so this machine had no memory: that must not become a result.
        Err(Stop::Machine(format!("a table could not grow: {error:#}")).into())
    }
}

/// Takes fuel from the guest for work the host does.
pub(crate) fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> wasmtime::Result<()> {
    let left = caller.get_fuel()?;
    match left.checked_sub(fuel) {
        Some(rest) => caller.set_fuel(rest),
        None => {
            caller.set_fuel(0)?;
            Err(Stop::OutOfFuel.into())
        }
    }
}

/// Takes the fuel of a host call that moves `bytes` bytes.
pub(crate) fn charge_call(caller: &mut Caller<'_, Host>, bytes: u64) -> wasmtime::Result<()> {
    let moved = bytes.saturating_mul(costs::HOST_BYTE_FUEL);
    charge(caller, moved.saturating_add(costs::HOST_CALL_FUEL))
}

/// `memory.grow`: fails by the declared limit only, and charges for what it gives.
fn grow(mut caller: Caller<'_, Host>, pages: i32) -> wasmtime::Result<i32> {
    charge(&mut caller, costs::HOST_CALL_FUEL)?;
    let Some(memory) = caller.data().memory else {
        return Err(Stop::Machine("the guest ran before it was set up".into()).into());
    };
    let pages = u64::from(pages.cast_unsigned());
    let old = memory.size(&caller);
    let allowed = caller.data().limits.memory as u64 / PAGE;
    let maximum = memory.ty(&caller).maximum().unwrap_or(u64::MAX).min(allowed);
    if old.saturating_add(pages) > maximum {
        return Ok(-1);
    }
    charge(&mut caller, pages.saturating_mul(costs::GROW_PAGE_FUEL))?;
    memory
        .grow(&mut caller, pages)
        .map_err(|error| Stop::Machine(format!("memory could not grow: {error:#}")))?;
    #[expect(clippy::cast_possible_truncation, reason = "a memory has at most 65,536 pages")]
    let old = old as i32;
    Ok(old)
}

/// Offers the functions that admission adds.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(admission::HOST_MODULE, admission::GROW, grow)?;
    linker.func_wrap(admission::HOST_MODULE, admission::TOO_DEEP, || -> wasmtime::Result<()> {
        Err(Stop::TooDeep.into())
    })?;
    Ok(())
}
