//! The renderer as a GPU program: lays out a scene as the buffers that `gpu/tracer.wgsl` reads, and writes the
//! program and a job file beside them.
//!
//! Reading files, decoding pictures and building trees stays here, on the CPU; what the GPU gets is the finished
//! scene, the same for every tile.

mod layout;

use crate::Renderer;
use crate::bvh::build::Tree;
use crate::bvh::{EMPTY, LEAF};
use crate::error::{Result, bad};
use layout::lay_out;
use std::fmt::Write;

/// The shader.
pub const SHADER: &str = include_str!("gpu/tracer.wgsl");
/// Words on the shader's traversal stack.
const STACK: usize = 160;
/// Invocations of a workgroup of the last dispatch, which makes four bytes each.
const RESOLVE: u32 = 64;

/// A file by name.
pub type File = (&'static str, Vec<u8>);

fn bytes(words: &[u32]) -> Vec<u8> {
    // The empty buffer does not exist on GPUs.
    let words = if words.is_empty() { &[0; 4] } else { words };
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Words that a walk of this tree can need on the stack at once.
fn stack_need(tree: &Tree) -> usize {
    // Children are pushed together and one of them is popped before its own are.
    fn below(tree: &Tree, word: u32) -> usize {
        if word == EMPTY || word & LEAF != 0 {
            return 1;
        }
        let children = tree.nodes[word as usize].children;
        let used = children.iter().filter(|word| **word != EMPTY).count();
        let deepest = children.iter().map(|child| below(tree, *child)).max().unwrap_or(0);
        used + deepest
    }
    below(tree, tree.root)
}

impl Renderer {
    /// The program, a job that runs it, and the files that it reads. `class` is `exact` or `plain`.
    pub fn gpu_files(&self, class: &str) -> Result<Vec<File>> {
        let world = &self.scene.world;
        let deepest = world.meshes.iter().map(|mesh| stack_need(&mesh.tree)).max().unwrap_or(0);
        let need = stack_need(&world.tree) + deepest;
        if need > STACK {
            return Err(bad!(
                "gpu: the scene's trees need a stack of {need} words, {STACK} are there"
            ));
        }
        let buffers = lay_out(self);
        let inputs = [
            ("nodes", bytes(&buffers.nodes)),
            ("packs", bytes(&buffers.packs)),
            ("words", bytes(&buffers.words)),
            ("pixels", bytes(&buffers.pixels)),
            ("around", bytes(&buffers.around)),
        ];
        let shader = if class == "plain" { plain_shader() } else { SHADER.to_owned() };
        let program = self.program(class, &buffers.frame, &inputs);
        let mut files = vec![
            ("tracer.wgsl", shader.into_bytes()),
            ("program.toml", program.into_bytes()),
            ("job.toml", self.job(&inputs).into_bytes()),
        ];
        files.extend(inputs);
        Ok(files)
    }

    /// Bytes of the sums of a tile, and of its output with the word that counts it.
    fn tile_bytes(&self) -> (u32, u32) {
        let pixels = self.settings.tile * self.settings.tile;
        (pixels * 12, (pixels * 3).div_ceil(4) * 4 + 4)
    }

    fn program(&self, class: &str, frame: &[u32], inputs: &[File]) -> String {
        let s = &self.settings;
        let mut text = format!(
            "# The path tracer on a GPU; made by `path-tracer --gpu`.\nclass = \"{class}\"\n\
             unit = \"megapixel-samples\"\ndispatch-seconds = 120\n\n\
             [shaders]\ntracer = \"tracer.wgsl\"\n\n\
             [[buffer]]\nname = \"frame\"\nrole = \"uniform\"\nwords = {:?}\n",
            frame
        );
        for (name, content) in inputs {
            let size = content.len();
            let _ = write!(
                text,
                "\n[[buffer]]\nname = \"{name}\"\nrole = \"input\"\nsize = \"{size}B\"\n"
            );
        }
        let (sums, out) = self.tile_bytes();
        let groups = s.tile.div_ceil(8);
        let resolve = (out / 4 - 1).div_ceil(RESOLVE);
        let _ = write!(
            text,
            "\n[[buffer]]\nname = \"sums\"\nrole = \"scratch\"\nsize = \"{}B\"\n\
             \n[[buffer]]\nname = \"out\"\nrole = \"output\"\ncounted = true\nsize = \"{out}B\"\n\
             \n[[dispatch]]\nshader = \"tracer\"\nentry = \"trace\"\n\
             bind = [\"frame\", \"nodes\", \"packs\", \"words\", \"pixels\", \"around\", \"sums\"]\n\
             workgroup = [8, 8, 1]\nworkgroups = [{groups}, {groups}, 1]\nrepeat = {}\ncount = 1\n\
             \n[[dispatch]]\nshader = \"tracer\"\nentry = \"resolve\"\n\
             bind = [\"frame\", \"nodes\", \"packs\", \"words\", \"pixels\", \"around\", \"sums\", \"out\"]\n\
             workgroup = [{RESOLVE}, 1, 1]\nworkgroups = [{resolve}, 1, 1]\ncount = 0\n",
            sums, s.samples
        );
        text
    }

    fn job(&self, inputs: &[File]) -> String {
        let s = &self.settings;
        let (sums, out) = self.tile_bytes();
        // The uniform buffer is small; what is beyond a whole MiB leaves room for it.
        let buffers = inputs.iter().map(|(_, content)| content.len() as u64).sum::<u64>();
        let memory = (buffers + u64::from(sums) + u64::from(out) + (64 << 10)).div_ceil(1 << 20);
        let output = u64::from(out).div_ceil(1 << 10);
        let side = u64::from(s.tile.div_ceil(8) * 8);
        let samples = (side * side * u64::from(s.samples)).div_ceil(1000);
        format!(
            "# Renders a picture on GPUs; made by `path-tracer --gpu`.\nname = \"picture on GPUs\"\n\
             workload = \"gpu\"\nprogram = \"program.toml\"\n\n\
             [inputs]\nnodes = \"nodes\"\npacks = \"packs\"\nwords = \"words\"\npixels = \"pixels\"\naround = \"around\"\n\n\
             # In units of a million pixel samples.\n[limits]\nunits-per-task = {}\nmemory = \"{}MiB\"\n\
             output = \"{}KiB\"\n\n[price]\nper-unit = \"0.001\"\n\n\
             [schedule]\ntarget = \"10s\"\nrange-timeout = \"600s\"\n\n\
             [output]\nkind = \"image\"\nwidth = {}\nheight = {}\ntile = {}\n",
            samples as f64 / 1000.0,
            memory,
            output,
            s.width,
            s.height,
            s.tile
        )
    }
}

/// The shader with the functions that exact programs find in every shader: those of the device.
fn plain_shader() -> String {
    let own = [
        "fn tilth_sin(x: f32) -> f32 { return sin(x); }",
        "fn tilth_cos(x: f32) -> f32 { return cos(x); }",
        "fn tilth_log2(x: f32) -> f32 { return log2(x); }",
        "fn tilth_pow(x: f32, y: f32) -> f32 { return pow(x, y); }",
        "fn tilth_acos(x: f32) -> f32 { return acos(x); }",
        "fn tilth_atan2(y: f32, x: f32) -> f32 { return atan2(y, x); }",
    ];
    format!("{SHADER}\n{}\n", own.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_becomes_files_that_belong_together() {
        let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let renderer = Renderer::new(
            &read("../../examples/render/scene.glb"),
            Some(&read("../../examples/render/environment.hdr")),
            &read("tests/render.json"),
        )
        .unwrap();
        let files = renderer.gpu_files("exact").unwrap();
        let size = |name: &str| files.iter().find(|(found, _)| *found == name).unwrap().1.len();
        let packs = renderer.scene.world.meshes.iter().map(|mesh| mesh.packs.len()).sum::<usize>();
        assert_eq!(size("packs"), packs * 160);
        assert_eq!(size("nodes") % 112, 0);
        let environment = &renderer.environment;
        let texels = environment.width * environment.height;
        assert_eq!(size("around"), (texels * 4 + environment.height) * 4);
        let program = String::from_utf8(files[1].1.clone()).unwrap();
        assert!(program.contains(&format!("size = \"{}B\"", size("words"))), "{program}");
    }
}
