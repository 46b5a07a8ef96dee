//! The entries of memory.wgsl, bound to their buffers.

use super::parts::FIRST_PART;
use crate::gpu::device::Device;

/// An entry of the shader with its buffers.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// One; of the nodes one for each buffer of labels.
    pub(super) groups: Vec<wgpu::BindGroup>,
}

impl Stage {
    fn new(
        device: &Device,
        module: &wgpu::ShaderModule,
        entry: &str,
        bound: &[Vec<(u32, &wgpu::Buffer)>],
    ) -> Self {
        let pipeline = device.pipeline(module, entry, None);
        let layout = pipeline.get_bind_group_layout(0);
        let groups = bound.iter().map(|bound| device.bind(&layout, bound)).collect();
        Self { pipeline, groups }
    }
}

/// Filling, walking, and making nodes. An entry is given what it uses, and nothing else.
pub(super) fn stages(
    device: &Device,
    module: &wgpu::ShaderModule,
    (frame, hashes): (&wgpu::Buffer, &wgpu::Buffer),
    labels: &[wgpu::Buffer],
) -> [Stage; 3] {
    let parts: Vec<_> = (FIRST_PART..).zip(labels).collect();
    let fill = [vec![(0, frame)], parts.clone()].concat();
    let walk = [vec![(0, frame), (1, hashes)], parts].concat();
    let nodes: Vec<_> =
        labels.iter().map(|part| vec![(0, frame), (1, hashes), (2, part)]).collect();
    [("fill", vec![fill]), ("walk", vec![walk]), ("nodes", nodes)]
        .map(|(entry, bound)| Stage::new(device, module, entry, &bound))
}
