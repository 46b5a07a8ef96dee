//! A physically based path tracer for glTF 2.0 scenes that gives the same bytes natively and in WebAssembly.
//!
//! A [`Renderer`] is made once from three files (scene, environment light, settings) and renders tiles; each tile is
//! a pure function of those files and its number, so any machine may render any tile in any order. See
//! [`settings::Settings`] for `render.json`, [`gltf`] for what a scene may hold, and `guest` (WebAssembly only) for
//! the exports that the farm calls.
#![deny(unsafe_code)]
#![allow(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "`!(x > 0.0)` is also true of NaN, which is what is meant wherever it stands"
)]

pub mod bvh;
pub mod camera;
pub mod environment;
pub mod error;
pub mod exact;
pub mod gltf;
#[cfg(not(target_arch = "wasm32"))]
pub mod gpu;
#[cfg(target_arch = "wasm32")]
mod guest;
pub mod integrator;
pub mod material;
pub mod math;
pub mod random;
pub mod scene;
pub mod settings;
pub mod simd;
pub mod texture;
pub mod tone;

use bvh::trace::Stack;
use camera::Camera;
use environment::Environment;
use error::{Result, bad};
use integrator::Integrator;
use math::{Vec3, sqrt};
use random::Sampler;
use scene::Scene;
use settings::Settings;
use tone::Tone;

/// A scene ready to render.
pub struct Renderer {
    settings: Settings,
    scene: Scene,
    environment: Environment,
    camera: Camera,
    tone: Tone,
}

/// Where a tile lies in the picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width; smaller than the tile size at the right border.
    pub width: u32,
    /// Height; smaller than the tile size at the lower border.
    pub height: u32,
}

impl Renderer {
    /// Reads the scene (`.glb`), the environment (`.hdr`; a plain white one when absent) and the settings (JSON), and
    /// builds the trees.
    pub fn new(scene: &[u8], environment: Option<&[u8]>, settings: &[u8]) -> Result<Renderer> {
        let settings = Settings::parse(settings)?;
        let environment = match environment {
            Some(bytes) => Environment::decode(bytes, &settings.environment)?,
            None => Environment::uniform(Vec3::ONE, &settings.environment),
        };
        let mut model = gltf::read(scene)?;
        let camera = Camera::new(&settings, model.camera.take().as_ref())?;
        let tone = Tone::new(settings.exposure, settings.saturation, settings.contrast);
        Ok(Renderer { scene: Scene::new(model)?, environment, camera, tone, settings })
    }

    /// What is rendered and how.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Triangles on show, instances counted.
    pub fn triangles_shown(&self) -> usize {
        self.scene.triangles_shown()
    }

    /// Where tile `index` lies.
    pub fn place(&self, index: u32) -> Result<Tile> {
        let s = &self.settings;
        if index >= s.tile_count() {
            return Err(bad!("tile {index} does not exist, the picture has {}", s.tile_count()));
        }
        let (x, y) = (index % s.tiles_across() * s.tile, index / s.tiles_across() * s.tile);
        Ok(Tile { x, y, width: s.tile.min(s.width - x), height: s.tile.min(s.height - y) })
    }

    /// Renders tile `index`: rows of RGB bytes.
    pub fn tile(&self, index: u32) -> Result<Vec<u8>> {
        let place = self.place(index)?;
        let mut stack = Stack::default();
        let mut out = Vec::with_capacity((place.width * place.height * 3) as usize);
        for y in place.y..place.y + place.height {
            for x in place.x..place.x + place.width {
                let light = self.pixel(&mut stack, x, y);
                out.extend(self.tone.bytes(light, x, y));
            }
        }
        Ok(out)
    }

    /// Mean radiance of a pixel under a tent filter of one pixel's reach.
    fn pixel(&self, stack: &mut Stack, x: u32, y: u32) -> Vec3 {
        let s = &self.settings;
        let integrator = Integrator {
            scene: &self.scene,
            environment: &self.environment,
            max_bounces: s.max_bounces,
            clamp: s.clamp,
        };
        let mut sum = Vec3::ZERO;
        for index in 0..s.samples {
            let sampler = Sampler::new(x, y, index);
            let (u, v) = sampler.pair(0);
            let px = (x as f32 + 0.5 + tent(u)) / s.width as f32;
            let py = (y as f32 + 0.5 + tent(v)) / s.height as f32;
            let ray = self.camera.ray(px, py, sampler.pair(1));
            sum += integrator.radiance(stack, ray, &sampler);
        }
        sum * (1.0 / s.samples as f32)
    }
}

/// A number in `-1..1` with triangular density.
fn tent(u: f32) -> f32 {
    let u = 2.0 * u;
    if u < 1.0 { sqrt(u) - 1.0 } else { 1.0 - sqrt(2.0 - u) }
}
