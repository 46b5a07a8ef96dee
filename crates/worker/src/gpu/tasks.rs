//! A loaded program: its buffers and pipelines on the device, and the running of tasks.

use std::{path::Path, sync::Arc, time::Duration};

use tilth_protocol::{
    GpuProgram, Limits, Problem, Status, TaskIndex,
    gpu::{BufferRole, Dispatch, GpuClass},
    worker::TaskDone,
};

use super::{
    artifact::Artifact,
    buffers::{make_buffers, outputs},
    device::{Device, SET_UP},
    spirv::{Replace, make_exact},
};
use crate::workload::{Finished, Prepared, Tasks};

/// A program on a device.
pub(crate) struct GpuTasks {
    device: Arc<Device>,
    program: GpuProgram,
    limits: Limits,
    buffers: Vec<wgpu::Buffer>,
    steps: Vec<Step>,
    /// What outputs are copied to, to be read.
    staging: wgpu::Buffer,
}

/// A dispatch ready to be submitted.
struct Step {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    /// Buffers to which task and repetition are written before.
    uniforms: Vec<usize>,
}

pub(super) fn refused(detail: String, advice: &str) -> Problem {
    Problem::new("the GPU program cannot run here", detail, advice)
}

impl GpuTasks {
    /// Puts a program on a device.
    pub(crate) fn load(
        device: Arc<Device>,
        artifact: Artifact,
        inputs: &Path,
        limits: Limits,
        replace: Replace,
    ) -> Result<Self, Problem> {
        let Artifact { program, spirv, least } = artifact;
        let memory = program.memory_bytes();
        if memory > limits.memory_bytes || program.output_bytes() > limits.output_bytes {
            return Err(refused(
                format!(
                    "its buffers take {memory} bytes, its outputs {}; the job allows {} and {}",
                    program.output_bytes(),
                    limits.memory_bytes,
                    limits.output_bytes
                ),
                "raise the job's limits",
            ));
        }
        let watched = device.watchdog.watch("loading the program", SET_UP);
        let buffers = make_buffers(&device, &program, &least, inputs)?;
        let modules = make_modules(&device, &program, &spirv, replace)?;
        let steps = program.dispatches.iter();
        let steps = steps
            .map(|step| make_step(&device, &program, &buffers, &modules, step))
            .collect::<Vec<_>>();
        let staging = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: outputs(&program).map(|(_, buffer)| buffer.bytes).sum(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        drop(watched);
        // What the driver could not do shows here.
        device.wait("loading the program", SET_UP)?;
        Ok(Self { device, program, limits, buffers, steps, staging })
    }

    /// Runs all dispatches for one task and returns its output.
    pub(crate) fn compute(&self, index: TaskIndex) -> Result<Vec<u8>, Problem> {
        let Device { device, queue, watchdog, .. } = &*self.device;
        // A driver may hang in taking orders, too; what it does with them is waited for on its own.
        let _watched = watchdog.watch("giving orders", SET_UP);
        let mut encoder = device.create_command_encoder(&Default::default());
        for (number, buffer) in self.program.buffers.iter().enumerate() {
            if matches!(buffer.role, BufferRole::Scratch | BufferRole::Output { .. }) {
                encoder.clear_buffer(&self.buffers[number], 0, None);
            }
        }
        queue.submit([encoder.finish()]);
        let time = Duration::from_secs(u64::from(self.program.dispatch_seconds));
        for (dispatch, step) in self.program.dispatches.iter().zip(&self.steps) {
            for repetition in 0..dispatch.repeat {
                let words: Vec<u8> =
                    [index, repetition, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
                for uniform in &step.uniforms {
                    queue.write_buffer(&self.buffers[*uniform], 0, &words);
                }
                self.device.dispatch(&step.pipeline, Some(&step.group), dispatch.workgroups);
                self.device.wait("a dispatch", time)?;
            }
        }
        self.read_outputs()
    }

    fn read_outputs(&self) -> Result<Vec<u8>, Problem> {
        let Device { device, queue, .. } = &*self.device;
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut at = 0;
        for (number, buffer) in outputs(&self.program) {
            encoder.copy_buffer_to_buffer(
                &self.buffers[number],
                0,
                &self.staging,
                at,
                Some(buffer.bytes),
            );
            at += buffer.bytes;
        }
        queue.submit([encoder.finish()]);
        self.device.read(&self.staging, at, |view| {
            let (mut output, mut rest) = (Vec::new(), view);
            for (_, buffer) in outputs(&self.program) {
                let size = usize::try_from(buffer.bytes).unwrap_or(usize::MAX).min(rest.len());
                let (bytes, behind) = rest.split_at(size);
                rest = behind;
                match (&buffer.role, bytes.split_first_chunk()) {
                    (BufferRole::Output { counted: true }, Some((count, bytes))) => {
                        // A shader may write any number there.
                        let count = u32::from_le_bytes(*count) as usize;
                        output.extend_from_slice(&bytes[..count.min(bytes.len())]);
                    }
                    _ => output.extend_from_slice(bytes),
                }
            }
            output
        })
    }
}

impl Tasks for GpuTasks {
    fn prepare(&mut self) -> Result<Prepared, Problem> {
        let kind = if self.device.is_software() { "software" } else { "hardware" };
        let log = format!("runs on {} ({kind})", self.device.info.name);
        Ok(Prepared { status: Status::Ok, units: 0, log: Some(log) })
    }

    fn run(&mut self, index: TaskIndex) -> Result<Finished, Problem> {
        let (units, cap) = (self.program.units(), self.limits.unit_cap);
        if units > cap {
            let done =
                TaskDone { index, status: Status::OutOfFuel, units: cap, output: Vec::new() };
            let log = format!("a task takes {units} units, the job allows {cap}");
            return Ok(Finished { done, log: Some(log) });
        }
        let output = self.compute(index)?;
        Ok(Finished { done: TaskDone { index, status: Status::Ok, units, output }, log: None })
    }
}

#[allow(unsafe_code, reason = "SPIR-V can only be passed on unchecked; see the safety comment")]
fn make_modules(
    device: &Device,
    program: &GpuProgram,
    spirv: &[Vec<u32>],
    replace: Replace,
) -> Result<Vec<wgpu::ShaderModule>, Problem> {
    let mut modules = Vec::with_capacity(program.shaders.len());
    for (number, (shader, spirv)) in program.shaders.iter().zip(spirv).enumerate() {
        if program.class == GpuClass::Plain {
            modules.push(device.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(shader.source.as_str().into()),
            }));
            continue;
        }
        if !device.takes_spirv {
            return Err(refused(
                "this driver takes no SPIR-V from us, so nothing can be promised about its bits"
                    .into(),
                "run the job as a plain program, or on a device with Vulkan",
            ));
        }
        let words = make_exact(spirv, replace)?;
        let steps = program.dispatches.iter().filter(|step| usize::from(step.shader) == number);
        let mut entries: Vec<wgpu::PassthroughShaderEntryPoint<'_>> = Vec::new();
        for step in steps {
            if entries.iter().all(|entry| entry.name != step.entry) {
                entries.push(wgpu::PassthroughShaderEntryPoint {
                    name: step.entry.as_str().into(),
                    workgroup_size: step.workgroup.into(),
                });
            }
        }
        let descriptor = wgpu::ShaderModuleDescriptorPassthrough {
            entry_points: entries.into(),
            spirv: Some(words.into()),
            ..Default::default()
        };
        // SAFETY: the words come from our own translation, in the confined compiling child, of a module that
        // was validated, with every index cut to what it indexes; what was changed since are decorations and
        // calls of functions with the types of the operations they stand for.
        modules.push(unsafe { device.device.create_shader_module_passthrough(descriptor) });
    }
    Ok(modules)
}

fn make_step(
    device: &Device,
    program: &GpuProgram,
    buffers: &[wgpu::Buffer],
    modules: &[wgpu::ShaderModule],
    step: &Dispatch,
) -> Step {
    let (mut layout, mut bound, mut uniforms) = (Vec::new(), Vec::new(), Vec::new());
    for (binding, number) in (0..).zip(&step.bindings) {
        let number = usize::from(*number);
        let ty = match program.buffers[number].role {
            BufferRole::Uniform { .. } => {
                uniforms.push(number);
                wgpu::BufferBindingType::Uniform
            }
            BufferRole::Input { .. } => wgpu::BufferBindingType::Storage { read_only: true },
            _ => wgpu::BufferBindingType::Storage { read_only: false },
        };
        layout.push(wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        });
        bound.push((binding, &buffers[number]));
    }
    let groups = device.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &layout,
    });
    let layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&groups)],
        immediate_size: 0,
    });
    let module = &modules[usize::from(step.shader)];
    let pipeline = device.pipeline(module, &step.entry, Some(&layout));
    Step { pipeline, group: device.bind(&groups, &bound), uniforms }
}
