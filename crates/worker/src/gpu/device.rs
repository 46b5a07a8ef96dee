//! The device: which one, opened with which rights, and what it says when something goes wrong.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tilth_protocol::Problem;

use super::{ready, watchdog::Watchdog};

/// Longest time for anything that is not a dispatch: drivers compile shaders meanwhile.
pub(crate) const SET_UP: Duration = Duration::from_secs(120);

/// An opened device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: wgpu::AdapterInfo,
    /// It takes SPIR-V as it is, so exact programs can be told to it.
    pub(crate) takes_spirv: bool,
    pub(crate) watchdog: Watchdog,
    fault: Arc<Mutex<Option<String>>>,
}

/// What a person is told when a device fails.
fn failed(what: &str, detail: impl ToString) -> Problem {
    Problem::new(
        what,
        detail.to_string(),
        "see the driver's messages (dmesg); `tilth doctor` shows what the worker finds",
    )
}

/// The better the device, the smaller.
fn rank(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

impl Device {
    /// Opens the best device that Vulkan shows to this process; `None` if there is none.
    pub(crate) fn open() -> Result<Option<Self>, Problem> {
        let watchdog = Watchdog::start();
        let watched = watchdog.watch("opening the device", SET_UP);
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = ready(instance.enumerate_adapters(wgpu::Backends::VULKAN))?;
        let best = adapters.into_iter().min_by_key(|adapter| rank(adapter.get_info().device_type));
        let Some(adapter) = best else { return Ok(None) };
        let (info, offered) = (adapter.get_info(), adapter.limits());
        let takes_spirv = adapter.features().contains(wgpu::Features::PASSTHROUGH_SHADERS);
        let usual = wgpu::Limits::default();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffers_per_shader_stage: offered.max_storage_buffers_per_shader_stage,
            ..usual.or_worse_values_from(&offered)
        };
        let features =
            if takes_spirv { wgpu::Features::PASSTHROUGH_SHADERS } else { wgpu::Features::empty() };
        let request = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = ready(adapter.request_device(&request))?
            .map_err(|error| failed("the GPU cannot be used", error))?;
        let fault = Arc::new(Mutex::new(None));
        let (errors, losses) = (Arc::clone(&fault), Arc::clone(&fault));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&errors, &error)));
        device.set_device_lost_callback(move |reason, text| {
            note(&losses, &format!("the device is lost ({reason:?}): {text}"));
        });
        drop(watched);
        Ok(Some(Self { device, queue, info, takes_spirv, watchdog, fault }))
    }

    /// It is the CPU that computes.
    pub(crate) fn is_software(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// The driver and its version.
    pub(crate) fn driver(&self) -> String {
        format!("{} {}", self.info.driver, self.info.driver_info).trim().to_owned()
    }

    /// The first thing that went wrong since the device was opened.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match fault.as_ref() {
            None => Ok(()),
            Some(text) => Err(failed("the GPU does not do what it is told", text)),
        }
    }

    /// Waits for all that was submitted.
    pub(crate) fn wait(&self, what: &'static str, time: Duration) -> Result<(), Problem> {
        let watched = self.watchdog.watch(what, time);
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        drop(watched);
        polled.map_err(|error| failed("the GPU does not do what it is told", error))?;
        self.check()
    }

    /// The pipeline of a shader's entry. Without a layout it has the one of what the entry uses.
    pub(crate) fn pipeline(
        &self,
        module: &wgpu::ShaderModule,
        entry: &str,
        layout: Option<&wgpu::PipelineLayout>,
    ) -> wgpu::ComputePipeline {
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout,
            module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    }

    /// Whole buffers, each at its binding.
    pub(crate) fn bind(
        &self,
        layout: &wgpu::BindGroupLayout,
        buffers: &[(u32, &wgpu::Buffer)],
    ) -> wgpu::BindGroup {
        let entries: Vec<_> = buffers
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let entries = &entries;
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries })
    }

    /// Orders one dispatch, which is not waited for.
    pub(crate) fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        group: Option<&wgpu::BindGroup>,
        [x, y, z]: [u32; 3],
    ) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, z);
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    /// Shows the first bytes of a buffer that can be mapped, when all that was submitted is done.
    pub(crate) fn read<T>(
        &self,
        buffer: &wgpu::Buffer,
        bytes: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Problem> {
        let unread = |detail: String| {
            Problem::new("the GPU's output cannot be read", detail, "see the driver's messages")
        };
        let answer = Arc::new(Mutex::new(None));
        let told = Arc::clone(&answer);
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        self.wait("reading the output", SET_UP)?;
        match answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(unread(error.to_string())),
            None => return Err(unread("the device does not say that it is ready".into())),
        }
        let view = buffer.get_mapped_range(..bytes).map_err(|error| unread(error.to_string()))?;
        let bytes: &[u8] = &view;
        let seen = look(bytes);
        drop(view);
        buffer.unmap();
        Ok(seen)
    }
}

fn note(fault: &Mutex<Option<String>>, text: &impl ToString) {
    // The first one is the reason for those that follow.
    fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_string());
}
