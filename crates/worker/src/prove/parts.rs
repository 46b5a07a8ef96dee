//! How a memory's labels lie in several buffers: what a shader sees of one is bounded, by the graphics library at 2 GiB
//! whatever the driver says.

use tilth_protocol::{
    Problem,
    challenge::{MemoryTask, crown::KEPT_LABELS, memory::LABEL_BYTES},
};

/// Binding of the first buffer of labels.
pub(super) const FIRST_PART: u32 = 3;

/// How labels lie in buffers: whole layers in each, and whole pieces of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    lanes: u32,
    depth: u32,
    /// Layers of each buffer but the last, which may have fewer.
    layers: u32,
    /// Buffers.
    pub(super) count: u32,
}

impl Parts {
    /// `most`: bytes that a buffer may have; `buffers`: how many a shader may use.
    pub(super) fn of(task: &MemoryTask, most: u64, buffers: u32) -> Result<Self, Problem> {
        let MemoryTask { lanes, depth, .. } = *task;
        // Layers of a whole piece of the tree: lanes are a power of two, and so is a piece.
        let step = (KEPT_LABELS / lanes).max(1);
        // Words in a buffer are numbered in 32 bits.
        let most = most.min(u32::MAX.into());
        let fitting = most / (u64::from(lanes) * LABEL_BYTES as u64);
        let fitting = u32::try_from(fitting).unwrap_or(u32::MAX).min(depth.next_multiple_of(step));
        let layers = fitting / step * step;
        let count = depth.checked_div(layers).map(|_| depth.div_ceil(layers));
        // One more is for what is hashed.
        match count.filter(|count| *count < buffers) {
            Some(count) => Ok(Self { lanes, depth, layers, count }),
            None => Err(Problem::new(
                "the device cannot hold such a memory",
                format!(
                    "{} MiB of labels in buffers of at most {} MiB, and at most {buffers} of them",
                    task.bytes() >> 20,
                    most >> 20
                ),
                "ask for less: --memory",
            )),
        }
    }

    /// Labels of a buffer.
    pub(super) fn labels(&self, part: u32) -> u64 {
        let before = part.saturating_mul(self.layers);
        u64::from(self.depth.saturating_sub(before).min(self.layers)) * u64::from(self.lanes)
    }

    /// Labels of each buffer but the last.
    pub(super) fn full(&self) -> u64 {
        u64::from(self.layers) * u64::from(self.lanes)
    }

    /// The part of the shader that knows the buffers.
    pub(super) fn shader(&self) -> String {
        let Self { lanes, depth, layers, count } = *self;
        let all = |line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<String>();
        let buffers = all(&|part| {
            let binding = FIRST_PART + part;
            format!(
                "@group(0) @binding({binding}) var<storage, read_write> part{part}: array<vec4<u32>>;\n"
            )
        });
        // The last one is the default, which a switch must have.
        let case = |part: u32| match part + 1 == count {
            true => "default".to_owned(),
            false => format!("case {part}u"),
        };
        let reads = all(&|part| {
            let case = case(part);
            format!("{case}: {{ return Words(part{part}[at], part{part}[at + 1u]); }}\n")
        });
        let writes = all(&|part| {
            let case = case(part);
            format!("{case}: {{ part{part}[at] = label.low; part{part}[at + 1u] = label.high; }}\n")
        });
        format!(
            "const LANES = {lanes}u;\nconst DEPTH = {depth}u;\n{buffers}\
             fn label_at(layer: u32, lane: u32) -> Words {{\n\
             let at = (layer % {layers}u * LANES + lane) * 2u;\n\
             switch (layer / {layers}u) {{\n{reads}}}\n}}\n\
             fn put_label(layer: u32, lane: u32, label: Words) {{\n\
             let at = (layer % {layers}u * LANES + lane) * 2u;\n\
             switch (layer / {layers}u) {{\n{writes}}}\n}}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lanes: u32, depth: u32, most: u64) -> Result<Parts, Problem> {
        let (walks, steps, samples, walk_samples) = (1, 1, 1, 1);
        Parts::of(&MemoryTask { lanes, depth, walks, steps, samples, walk_samples }, most, 8)
    }

    #[test]
    fn parts_have_whole_layers_and_whole_pieces_and_are_few() {
        // A piece is eight layers of 64 lanes, which are 2 KiB each.
        let small = parts(64, 20, 17 << 10).unwrap();
        assert_eq!((small.layers, small.count), (8, 3));
        assert_eq!([0, 1, 2, 3].map(|part| small.labels(part)), [512, 512, 256, 0]);
        let one = parts(64, 20, 1 << 20).unwrap();
        assert_eq!((one.count, one.labels(0)), (1, 1280));
        let large = parts(1 << 22, 7, 1 << 28).unwrap();
        assert_eq!((large.layers, large.count), (2, 4));
        assert_eq!(large.labels(3), 1 << 22);
        assert!(parts(1 << 22, 7, 1 << 26).is_err(), "a layer does not fit");
        assert!(parts(64, 64, 16 << 10).is_err(), "eight buffers beside the one for hashes");
        assert!(parts(64, 56, 16 << 10).is_ok());
    }
}
