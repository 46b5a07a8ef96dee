//! Running a program: the prepare phase once, then any number of tasks.
//!
//! Each task gets a new instance whose memory is a copy-on-write mapping of the image that the prepare
//! phase left, and whose mutable globals are set to what it left in them. Nothing else survives from
//! one task to the next, so a task's result depends on the program, the inputs, the limits and its
//! index only.
//!
//! A result is either valid and the same everywhere ([`TaskOutcome`], whatever its status), or this
//! machine failed ([`SessionError`]) and there is no result. What is not one of the first is one of
//! the second; there is no guessing in between.

use std::{io, marker::PhantomData, sync::Arc};

use tilth_protocol::{Limits, Problem, Status, TaskIndex};
use wasmtime::{Engine, Instance, InstancePre, Linker, Module, Store, Trap, Val};

use crate::{
    admission::{self, Entry, Facts},
    artifact::Artifact,
    costs::{self, FUEL_PER_UNIT, START_ELEMENT_FUEL, START_PAGE_FUEL},
    engine,
    host::{self, Host, Stop},
    image::{self, Memories, PAGE},
    outcome::{Log, PrepareOutcome, TaskOutcome},
    stack,
    wasi::{self, files::Inputs},
};

/// Why a program could not be run here. None of these is a result.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Not called inside [`on_deep_stack`](crate::on_deep_stack).
    #[error("a session needs the deep stack of on_deep_stack")]
    Stack,
    /// The job gives less memory than the program starts with. No machine can run such a job.
    #[error("the program starts with {needed} bytes of memory, the job allows {allowed}")]
    Memory {
        /// Bytes the program declares.
        needed: u64,
        /// Bytes the job allows.
        allowed: u64,
    },
    /// The program changes tables or drops segments, which an image does not capture, and the job has
    /// a prepare phase.
    #[error("the program changes its tables, which a prepare phase does not support")]
    Tables,
    /// The engine did not take the artifact.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// No memory or no address space.
    #[error("memory for the program: {0}")]
    Image(#[from] io::Error),
    /// This machine failed while a guest ran.
    #[error("while a guest ran: {0}")]
    Machine(String),
    /// [`Session::prepare`] was called twice, or not before the first task.
    #[error("prepare runs exactly once, before the first task")]
    Order,
}

impl SessionError {
    /// For people.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Memory { .. } => "raise the job's memory limit",
            Self::Tables => "submit the job without a prepare phase",
            Self::Image(_) => {
                "give the worker more memory; its address space must not be limited below 8 GiB"
            }
            _ => "report this together with the program",
        };
        Problem::new("the program cannot be run on this machine", self.to_string(), advice)
    }
}

fn engine_failed(error: wasmtime::Error) -> SessionError {
    SessionError::Engine(format!("{error:#}"))
}

/// A program with inputs and limits, ready to run.
pub struct Session {
    engine: Engine,
    program: tilth_protocol::ContentHash,
    facts: Facts,
    instances: InstancePre<Host>,
    memories: Arc<Memories>,
    inputs: Arc<Inputs>,
    limits: Limits,
    progress: Progress,
    /// A session stays on its thread, whose stack was checked.
    thread: PhantomData<*const ()>,
}

enum Progress {
    New,
    /// Values of the mutable globals, if an image was made.
    Ready(Option<Vec<Val>>),
    /// The prepare phase failed; so does every task.
    Failed(Status),
}

/// How a run of the guest ended.
struct Ended {
    status: Status,
    /// What was used, if the status is `Ok`.
    fuel: u64,
    reason: Option<String>,
}

impl Session {
    /// Loads a program. Must be called inside [`on_deep_stack`](crate::on_deep_stack).
    ///
    /// # Errors
    /// The job's limits do not fit the program, or this machine lacks something.
    pub fn new(artifact: &Artifact, inputs: Inputs, limits: Limits) -> Result<Self, SessionError> {
        if !stack::is_deep() {
            return Err(SessionError::Stack);
        }
        let content = artifact.content();
        let needed = u64::from(content.facts.memory_pages) * PAGE;
        if needed > limits.memory_bytes {
            return Err(SessionError::Memory { needed, allowed: limits.memory_bytes });
        }
        if limits.prepare_cap > 0 && content.facts.changes_tables {
            return Err(SessionError::Tables);
        }
        let memories = Memories::build(content.facts.memory_pages, &content.segments)?;
        let engine = engine::runner(Arc::clone(&memories)).map_err(engine_failed)?;
        let module = image::load_code(&engine, &content.code).map_err(engine_failed)?;
        let instances = link(&engine, &module).map_err(engine_failed)?;
        Ok(Self {
            engine,
            program: content.program,
            facts: content.facts.clone(),
            instances,
            memories,
            inputs: Arc::new(inputs),
            limits,
            progress: Progress::New,
            thread: PhantomData,
        })
    }

    /// Makes the image that tasks start from. Call it once, before the first task.
    ///
    /// With a prepare cap of 0 nothing runs here, and whatever the program has to run before its entry
    /// runs in every task, on the task's units; results are the same, only dearer. Otherwise the start
    /// function, `_initialize` and `prepare` run now. If they fail, every task fails alike with 0
    /// units: the provider is paid the prepare cap, and nobody is paid for tasks that did not run.
    ///
    /// # Errors
    /// This machine failed; there is no result.
    pub fn prepare(&mut self) -> Result<PrepareOutcome, SessionError> {
        if !matches!(self.progress, Progress::New) {
            return Err(SessionError::Order);
        }
        if self.limits.prepare_cap == 0 {
            self.memories.freeze(self.memories.initial())?;
            self.progress = Progress::Ready(None);
            return Ok(PrepareOutcome {
                status: Status::Ok,
                units: 0,
                log: Log::default(),
                reason: None,
            });
        }
        let cap = self.limits.prepare_cap;
        let mut store = self.store();
        let (ended, left) = self.start(&mut store, cap, Self::run_prepare)?;
        let log = std::mem::take(&mut store.data_mut().log);
        drop(store);
        let units = match (ended.status, left) {
            (Status::Ok, Some((memory, globals))) => {
                self.memories.freeze(memory)?;
                self.progress = Progress::Ready(Some(globals));
                costs::units(ended.fuel).max(1)
            }
            (status, _) => {
                self.progress = Progress::Failed(status);
                cap
            }
        };
        Ok(PrepareOutcome { status: ended.status, units, log, reason: ended.reason })
    }

    /// Runs one task.
    ///
    /// # Errors
    /// This machine failed; there is no result.
    pub fn run(&mut self, index: TaskIndex) -> Result<TaskOutcome, SessionError> {
        let globals = match &self.progress {
            Progress::New => return Err(SessionError::Order),
            Progress::Failed(status) => return Ok(not_run(*status)),
            Progress::Ready(globals) => globals,
        };
        let cap = self.limits.unit_cap;
        let mut store = self.store();
        let (ended, _) = self.start(&mut store, cap, |session, store, instance| {
            match globals {
                None => session.run_phases(store, instance)?,
                Some(globals) => restore(globals, store, instance)?,
            }
            store.data_mut().begin_task(index);
            session.run_entry(store, instance, index)
        })?;
        let host = store.data_mut();
        let (output, log) = (std::mem::take(&mut host.output), std::mem::take(&mut host.log));
        Ok(match ended.status {
            Status::Ok => TaskOutcome {
                status: Status::Ok,
                units: costs::units(ended.fuel).max(1),
                fuel: ended.fuel,
                output,
                log,
                reason: None,
            },
            status => TaskOutcome {
                status,
                units: cap,
                fuel: 0,
                output: Vec::new(),
                log,
                reason: ended.reason,
            },
        })
    }

    fn store(&self) -> Store<Host> {
        // The limit may be 4 GiB, which a 64-bit usize holds.
        let memory = usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX);
        let inputs = Arc::clone(&self.inputs);
        let host = Host::new(self.program, inputs, memory, self.limits.output_bytes);
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| host.limits());
        store
    }

    /// Makes an instance with fuel for `cap` units, takes what starting it costs, and runs `work`.
    /// Returns what `work` returned unless it was stopped.
    fn start<T>(
        &self,
        store: &mut Store<Host>,
        cap: u64,
        work: impl FnOnce(&Self, &mut Store<Host>, Instance) -> wasmtime::Result<T>,
    ) -> Result<(Ended, Option<T>), SessionError> {
        let total = cap.saturating_mul(FUEL_PER_UNIT);
        let pages = self.memories.initial() as u64 / PAGE;
        let elements = u64::from(self.facts.table_elements);
        let cost = pages * START_PAGE_FUEL + elements * START_ELEMENT_FUEL;
        let Some(fuel) = total.checked_sub(cost) else {
            let reason = Some("the unit cap does not pay for the program's memory".into());
            return Ok((Ended { status: Status::OutOfFuel, fuel: 0, reason }, None));
        };
        store.set_fuel(fuel).map_err(engine_failed)?;
        // Some segments are set up by code that the engine generates, so this may use fuel, too.
        let result = self.instances.instantiate(&mut *store).and_then(|instance| {
            let memory = instance.get_memory(&mut *store, admission::MEMORY);
            if memory.is_none() {
                return Err(Stop::Machine("the artifact has no memory".into()).into());
            }
            store.data_mut().memory = memory;
            work(self, store, instance)
        });
        let left = store.get_fuel().map_err(engine_failed)?;
        let (result, value) = match result {
            Ok(value) => (Ok(()), Some(value)),
            Err(error) => (Err(error), None),
        };
        Ok((ended(result, total.saturating_sub(left))?, value))
    }

    /// Runs what the program has before its entry.
    fn run_phases(&self, store: &mut Store<Host>, instance: Instance) -> wasmtime::Result<()> {
        let phases = self.facts.phases;
        let wanted = [
            (phases.start, admission::START),
            (phases.initialize, "_initialize"),
            (phases.prepare, "prepare"),
        ];
        for (_, name) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            let phase = instance.get_typed_func::<(), ()>(&mut *store, name).map_err(mismatch)?;
            match phase.call(&mut *store, ()) {
                // Leaving early is a way to finish, of this and the phases after it.
                Err(error) if matches!(error.downcast_ref(), Some(Stop::Exit(0))) => break,
                result => result?,
            }
        }
        Ok(())
    }

    fn run_entry(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
        index: TaskIndex,
    ) -> wasmtime::Result<()> {
        match self.facts.entry {
            Entry::Reactor => {
                let task = instance.get_typed_func::<i32, ()>(&mut *store, "task");
                task.map_err(mismatch)?.call(&mut *store, index.cast_signed())
            }
            Entry::Command => {
                store.data_mut().arguments[1] = index.to_string().into_bytes();
                let start = instance.get_typed_func::<(), ()>(&mut *store, "_start");
                start.map_err(mismatch)?.call(&mut *store, ())
            }
        }
    }

    /// Runs the phases for an image; returns the size of the memory and the mutable globals.
    fn run_prepare(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
    ) -> wasmtime::Result<(usize, Vec<Val>)> {
        self.run_phases(store, instance)?;
        let globals = (0..self.facts.globals as usize)
            .map(|number| Ok(global(store, instance, number)?.get(&mut *store)))
            .collect::<wasmtime::Result<Vec<_>>>()?;
        let memory = store.data().memory.map_or(0, |memory| memory.data_size(&*store));
        Ok((memory, globals))
    }
}

/// The program's n-th mutable global.
fn global(
    store: &mut Store<Host>,
    instance: Instance,
    number: usize,
) -> wasmtime::Result<wasmtime::Global> {
    instance
        .get_global(&mut *store, &admission::global_name(number))
        .ok_or_else(|| Stop::Machine("the artifact lacks a global".into()).into())
}

/// Sets the mutable globals to what the prepare phase left in them.
fn restore(globals: &[Val], store: &mut Store<Host>, instance: Instance) -> wasmtime::Result<()> {
    for (number, value) in globals.iter().enumerate() {
        global(store, instance, number)?.set(&mut *store, *value)?;
    }
    Ok(())
}

/// A missing export is the artifact's fault, not the guest's.
fn mismatch(error: wasmtime::Error) -> wasmtime::Error {
    Stop::Machine(format!("the artifact does not fit its facts: {error:#}")).into()
}

fn not_run(status: Status) -> TaskOutcome {
    TaskOutcome {
        status,
        units: 0,
        fuel: 0,
        output: Vec::new(),
        log: Log::default(),
        reason: Some("the prepare phase failed".into()),
    }
}

/// Links the host's functions.
fn link(engine: &Engine, module: &Module) -> wasmtime::Result<InstancePre<Host>> {
    let mut linker = Linker::new(engine);
    host::link(&mut linker)?;
    wasi::link(&mut linker)?;
    linker.instantiate_pre(module)
}

/// Turns the end of a guest into a status, or into a failure of this machine.
fn ended(result: wasmtime::Result<()>, fuel: u64) -> Result<Ended, SessionError> {
    let Err(error) = result else {
        return Ok(Ended { status: Status::Ok, fuel, reason: None });
    };
    let failed = |status, reason: String| Ok(Ended { status, fuel: 0, reason: Some(reason) });
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            // The counter is exact here: it was stored before the call into the host.
            Stop::Exit(0) => Ok(Ended { status: Status::Ok, fuel, reason: None }),
            Stop::Exit(_) | Stop::TooDeep => failed(Status::Trap, stop.to_string()),
            Stop::OutOfFuel => failed(Status::OutOfFuel, stop.to_string()),
            Stop::TooMuchOutput(_) => failed(Status::BadOutput, stop.to_string()),
            Stop::Machine(reason) => Err(SessionError::Machine(reason.clone())),
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => failed(Status::OutOfFuel, "out of fuel".into()),
        // The recursion counter exists so that this never happens.
        Some(Trap::StackOverflow) => {
            Err(SessionError::Machine("the native stack overflowed before the counter".into()))
        }
        Some(trap) => failed(Status::Trap, trap.to_string()),
        None => Err(SessionError::Machine(format!("{error:#}"))),
    }
}
