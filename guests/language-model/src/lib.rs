//! Language models in integers (`int1`): the crate `tilth-tensor` as a program of the machine. It says the tokens that
//! the same model says on any processor, and everybody can compute them again.
//!
//! | input | what |
//! |---|---|
//! | `model.blob` | a model that writes text, as `tilth model import` makes it |
//! | `tasks.csv` | row *i*: what task *i* is asked, see [`request`] |
//!
//! A task's output is one line: the tokens of its answer. The model is opened in the prepare phase, once for many
//! tasks.

pub mod request;

use std::sync::{Arc, OnceLock};

use tilth_tensor::blob::Blob;
use tilth_tensor::cache::Cache;
use tilth_tensor::engine::{Engine, Limits, Request};
use tilth_tensor::kernels::Kernels;
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::Model;
use tilth_tensor::workers::Workers;

/// Rows of a prompt that pass through the model together: what they need is a few megabytes.
const TOGETHER: usize = 64;

/// The model, from the prepare phase on.
static MODEL: OnceLock<Result<Arc<Model>, String>> = OnceLock::new();

/// Called by the farm, once for many tasks.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn prepare() {
    if let Err(reason) = model() {
        door::finish(Err(reason));
    }
}

/// Called by the farm, once per task.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn task(index: i32) {
    // A task's number is unsigned; WebAssembly knows only one kind.
    door::finish(work(index.cast_unsigned() as usize).map(String::into_bytes));
}

/// A task's output.
///
/// # Errors
/// An input is missing or not what it should be.
pub fn work(index: usize) -> Result<String, String> {
    let request = request::read(&door::need("tasks.csv")?, index)?;
    let tokens = answer(&model()?, request)?;
    let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
    Ok(words.join(" ") + "\n")
}

fn model() -> Result<Arc<Model>, String> {
    let open = || {
        let blob = door::large::read("model.blob")?.ok_or("/in/model.blob is missing")?;
        let opened = Blob::open(Arc::new(blob)).and_then(|blob| Model::open(&blob));
        opened.map(Arc::new).map_err(|error| format!("/in/model.blob: {error}"))
    };
    MODEL.get_or_init(open).clone()
}

/// The tokens that follow.
fn answer(model: &Arc<Model>, request: Request) -> Result<Vec<u32>, String> {
    let machine = Machine { kernels: Kernels::detect(), workers: Workers::one() };
    let pages = Cache::needed(request.prompt.len() + request.most);
    let limits = Limits { pages, rows: TOGETHER, running: 1, waiting: 1 };
    let mut engine =
        Engine::new(model.clone(), Arc::new(machine), limits).map_err(|error| error.to_string())?;
    engine.submit(request).map_err(|error| error.to_string())?;
    let mut tokens = Vec::new();
    while !engine.is_idle() {
        let events = engine.step().map_err(|error| error.to_string())?;
        tokens.extend(events.iter().map(|event| event.token));
    }
    Ok(tokens)
}
