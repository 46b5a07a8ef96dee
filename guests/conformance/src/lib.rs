//! The vectors of the integer profile (`vectors/int1`), computed by the machine: task *i* writes the name of the *i*-th
//! kernels that there are in WebAssembly, then what they give. The lines come from the source that the native tests
//! run.

#[path = "../../../crates/tensor/tests/vectors/functions.rs"]
#[allow(missing_docs)]
mod functions;
#[path = "../../../crates/tensor/tests/vectors/kernels.rs"]
#[allow(missing_docs)]
mod kernels;

use tilth_tensor::kernels::Kernels;

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
/// There are no kernels of this number.
pub fn work(index: usize) -> Result<String, String> {
    let all = Kernels::available();
    let kernels = all.get(index).ok_or_else(|| format!("there are {} kernels", all.len()))?;
    Ok(format!("{}\n{}{}", kernels.name, functions::text(kernels), kernels::text(kernels)))
}
