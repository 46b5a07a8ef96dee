//! Reads a program's shaders, checks them against its buffers, and translates exact ones to SPIR-V.

use naga::{
    AddressSpace, Handle, Module, ShaderStage, StorageAccess,
    back::spv,
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use tilth_protocol::{
    GpuProgram, Problem,
    gpu::{BufferRole, Dispatch, GpuClass, Shader},
};

use super::{artifact::Artifact, rules};

/// Functions that exact programs find in every shader.
pub(super) const EXACT: &str = include_str!("exact.wgsl");
/// Most bytes that a workgroup shares: the least that devices promise.
const MAX_SHARED_BYTES: u64 = 16 << 10;
/// Most bytes of variables of one invocation, over all functions of a shader.
const MAX_OWN_BYTES: u64 = 64 << 10;
/// Most characters of a compiler's words that are passed on.
const MAX_WORDS: usize = 1_500;

/// What is wrong with a shader.
pub(super) fn refusal(shader: &Shader, detail: impl Into<String>) -> Problem {
    let detail: String = detail.into();
    let detail: String = detail.chars().take(MAX_WORDS).collect();
    Problem::new(
        format!("the shader {:?} is refused", shader.name),
        detail,
        "correct the shader; docs/reference/gpu.md says what programs may do",
    )
}

/// Checks all shaders of a program.
pub(crate) fn translate(program: GpuProgram) -> Result<Artifact, Problem> {
    let mut least = vec![4_u64; program.buffers.len()];
    let mut spirv = Vec::with_capacity(program.shaders.len());
    for (number, shader) in program.shaders.iter().enumerate() {
        let exact = program.class == GpuClass::Exact;
        let (module, info) = parse(shader, exact)?;
        check_variables(shader, &module)?;
        for step in program.dispatches.iter().filter(|step| usize::from(step.shader) == number) {
            check_dispatch(&program, shader, &module, &info, step, &mut least)?;
        }
        spirv.push(if exact {
            rules::check(shader, &module, &info)?;
            write(shader, &module, &info)?
        } else {
            Vec::new()
        });
    }
    for (buffer, least) in program.buffers.iter().zip(&least) {
        if buffer.bytes < *least {
            return Err(Problem::new(
                "a buffer of the program is too small for its shaders",
                format!("{:?} has {} bytes, {least} are read", buffer.name, buffer.bytes),
                "make the buffer larger, or the shader's variable smaller",
            ));
        }
    }
    Ok(Artifact { program, spirv, least })
}

fn parse(shader: &Shader, exact: bool) -> Result<(Module, ModuleInfo), Problem> {
    let mut source = shader.source.clone();
    if exact {
        rules::check_names(shader)?;
        source.push('\n');
        source.push_str(EXACT);
    }
    let module = naga::front::wgsl::parse_str(&source)
        .map_err(|error| refusal(shader, error.emit_to_string(&source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| refusal(shader, error.emit_to_string(&source)))?;
    Ok((module, info))
}

/// Bounds what the validator leaves open: variables outside buffers, and what is not a buffer.
fn check_variables(shader: &Shader, module: &Module) -> Result<(), Problem> {
    if !module.overrides.is_empty() {
        return Err(refusal(shader, "it has `override` values; write constants"));
    }
    let size = |ty: Handle<naga::Type>| u64::from(module.types[ty].inner.size(module.to_ctx()));
    let (mut shared, mut own) = (0_u64, 0_u64);
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::WorkGroup => shared = shared.saturating_add(size(variable.ty)),
            AddressSpace::Private => own = own.saturating_add(size(variable.ty)),
            AddressSpace::Uniform | AddressSpace::Storage { .. } => {
                if variable.binding.as_ref().is_none_or(|binding| binding.group != 0) {
                    return Err(refusal(shader, "a buffer is not in group 0"));
                }
            }
            _ => return Err(refusal(shader, "it uses textures or something else than buffers")),
        }
    }
    let entries = module.entry_points.iter().map(|entry| &entry.function);
    for function in module.functions.iter().map(|(_, function)| function).chain(entries) {
        let locals = function.local_variables.iter().map(|(_, local)| size(local.ty));
        own = locals.fold(own, u64::saturating_add);
    }
    for (what, bytes, most) in [
        ("variables of a workgroup", shared, MAX_SHARED_BYTES),
        ("variables of its functions", own, MAX_OWN_BYTES),
    ] {
        if bytes > most {
            return Err(refusal(shader, format!("{what} take {bytes} bytes, at most {most}")));
        }
    }
    Ok(())
}

/// Checks that an entry point is what its dispatch says, and that its variables fit their buffers.
fn check_dispatch(
    program: &GpuProgram,
    shader: &Shader,
    module: &Module,
    info: &ModuleInfo,
    step: &Dispatch,
    least: &mut [u64],
) -> Result<(), Problem> {
    let wrong =
        |what: String| Err(refusal(shader, format!("entry point {:?}: {what}", step.entry)));
    let found = module.entry_points.iter().position(|entry| entry.name == step.entry);
    let Some(position) = found else { return wrong("there is none of this name".into()) };
    let entry = &module.entry_points[position];
    if entry.stage != ShaderStage::Compute || entry.workgroup_size != step.workgroup {
        let size = entry.workgroup_size;
        return wrong(format!("its workgroup is {size:?}, the program says {:?}", step.workgroup));
    }
    let uses = info.get_entry_point(position);
    for (handle, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding.as_ref().filter(|_| !uses[handle].is_empty()) else {
            continue;
        };
        let bound = usize::try_from(binding.binding).ok().and_then(|at| step.bindings.get(at));
        let Some(buffer) = bound.map(|number| usize::from(*number)) else {
            return wrong(format!("binding {} has no buffer", binding.binding));
        };
        let load = AddressSpace::Storage { access: StorageAccess::LOAD };
        let (due, words) = match program.buffers[buffer].role {
            BufferRole::Input { .. } => (load, "an input is var<storage, read>"),
            BufferRole::Uniform { .. } => (AddressSpace::Uniform, "a uniform is var<uniform>"),
            BufferRole::Scratch | BufferRole::Output { .. } => (
                AddressSpace::Storage { access: StorageAccess::LOAD | StorageAccess::STORE },
                "scratch and output are var<storage, read_write>",
            ),
        };
        if !same_space(variable.space, due) {
            return wrong(format!("binding {}: {words}", binding.binding));
        }
        let size = u64::from(module.types[variable.ty].inner.size(module.to_ctx()));
        least[buffer] = least[buffer].max(size);
    }
    Ok(())
}

/// Atomics on a buffer do not change what it is.
fn same_space(found: AddressSpace, due: AddressSpace) -> bool {
    match (found, due) {
        (AddressSpace::Storage { access }, AddressSpace::Storage { access: due }) => {
            access.difference(StorageAccess::ATOMIC) == due
        }
        _ => found == due,
    }
}

fn write(shader: &Shader, module: &Module, info: &ModuleInfo) -> Result<Vec<u32>, Problem> {
    let restrict = BoundsCheckPolicy::Restrict;
    let options = spv::Options {
        // What Vulkan 1.1 reads.
        lang_version: (1, 3),
        // Names, by which the functions that may stand in for others are found.
        flags: spv::WriterFlags::DEBUG,
        bounds_check_policies: BoundsCheckPolicies {
            index: restrict,
            buffer: restrict,
            image_load: restrict,
            binding_array: restrict,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Polyfill,
        ..spv::Options::default()
    };
    spv::write_vec(module, info, &options, None)
        .map_err(|error| refusal(shader, format!("it cannot be translated: {error}")))
}
