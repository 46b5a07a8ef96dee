//! `render.json`: picture size, samples, camera, exposure. Unknown fields are refused, every number is bounded.

use crate::error::{Result, bad};
use serde::Deserialize;

/// Most pixels on one side of the picture.
pub const MAX_SIDE: u32 = 16_384;
/// Most samples per pixel.
pub const MAX_SAMPLES: u32 = 65_536;

/// What to render and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Picture width in pixels, 1 to 16384.
    pub width: u32,
    /// Picture height in pixels, 1 to 16384.
    pub height: u32,
    /// Side of a square tile in pixels, 8 to 1024. Tiles at the right and lower border are cut.
    #[serde(default = "default_tile")]
    pub tile: u32,
    /// Paths per pixel, 1 to 65536.
    #[serde(default = "default_samples")]
    pub samples: u32,
    /// Surfaces a path may meet, 1 to 64.
    #[serde(default = "default_bounces")]
    pub max_bounces: u32,
    /// Brightness above which indirect light of one path is cut, to suppress isolated bright pixels;
    /// 0 switches this off.
    #[serde(default = "default_clamp")]
    pub clamp: f32,
    /// Stops of exposure, -20 to 20.
    #[serde(default)]
    pub exposure: f32,
    /// Saturation after tone mapping, 0 to 2.
    #[serde(default = "default_one")]
    pub saturation: f32,
    /// Contrast after tone mapping, 0.5 to 2.
    #[serde(default = "default_one")]
    pub contrast: f32,
    /// The surrounding light.
    #[serde(default)]
    pub environment: EnvironmentSettings,
    /// Where to look from; without it the first camera of the scene is used.
    pub camera: Option<CameraSettings>,
}

/// How the environment picture is used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnvironmentSettings {
    /// Factor on its light, 0 to 1000.
    pub intensity: f32,
    /// Turn around the vertical axis in degrees.
    pub rotation: f32,
    /// Further factor on what the camera sees of it directly, 0 to 1000.
    pub background: f32,
}

impl Default for EnvironmentSettings {
    fn default() -> Self {
        EnvironmentSettings { intensity: 1.0, rotation: 0.0, background: 1.0 }
    }
}

/// A thin-lens camera.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CameraSettings {
    /// The eye, in scene units.
    pub position: [f32; 3],
    /// The point in the middle of the picture.
    pub target: [f32; 3],
    /// What is up.
    #[serde(default = "default_up")]
    pub up: [f32; 3],
    /// Vertical angle of view in degrees, 1 to 170.
    #[serde(default = "default_field_of_view")]
    pub field_of_view: f32,
    /// Radius of the lens in scene units, 0 for a pinhole.
    #[serde(default)]
    pub aperture: f32,
    /// Distance that is sharp; by default that of the target.
    pub focus: Option<f32>,
}

fn default_tile() -> u32 {
    64
}
fn default_samples() -> u32 {
    64
}
fn default_bounces() -> u32 {
    8
}
fn default_clamp() -> f32 {
    10.0
}
fn default_one() -> f32 {
    1.0
}
fn default_up() -> [f32; 3] {
    [0.0, 1.0, 0.0]
}
fn default_field_of_view() -> f32 {
    40.0
}

impl Settings {
    /// Reads and checks a settings file of at most 64 KiB.
    pub fn parse(json: &[u8]) -> Result<Settings> {
        if json.len() > 65_536 {
            return Err(bad!("render.json has {} bytes, at most 65536 are read", json.len()));
        }
        let s: Settings = serde_json::from_slice(json).map_err(|e| bad!("render.json: {e}"))?;
        s.check()?;
        Ok(s)
    }

    fn check(&self) -> Result<()> {
        whole("width", self.width, 1, MAX_SIDE)?;
        whole("height", self.height, 1, MAX_SIDE)?;
        whole("tile", self.tile, 8, 1024)?;
        whole("samples", self.samples, 1, MAX_SAMPLES)?;
        whole("max-bounces", self.max_bounces, 1, 64)?;
        real("clamp", self.clamp, 0.0, 1e9)?;
        real("exposure", self.exposure, -20.0, 20.0)?;
        real("saturation", self.saturation, 0.0, 2.0)?;
        real("contrast", self.contrast, 0.5, 2.0)?;
        real("environment.intensity", self.environment.intensity, 0.0, 1000.0)?;
        real("environment.rotation", self.environment.rotation, -3600.0, 3600.0)?;
        real("environment.background", self.environment.background, 0.0, 1000.0)?;
        let Some(camera) = &self.camera else { return Ok(()) };
        for v in camera.position.iter().chain(&camera.target).chain(&camera.up) {
            real("camera coordinate", *v, -1e6, 1e6)?;
        }
        real("camera.field-of-view", camera.field_of_view, 1.0, 170.0)?;
        real("camera.aperture", camera.aperture, 0.0, 1e6)?;
        if let Some(focus) = camera.focus {
            real("camera.focus", focus, 1e-6, 1e9)?;
        }
        Ok(())
    }

    /// Tiles in a row.
    pub fn tiles_across(&self) -> u32 {
        self.width.div_ceil(self.tile)
    }

    /// Tiles in all: rows of tiles from the top, each from the left.
    pub fn tile_count(&self) -> u32 {
        self.tiles_across() * self.height.div_ceil(self.tile)
    }
}

fn whole(name: &str, v: u32, low: u32, high: u32) -> Result<()> {
    if (low..=high).contains(&v) {
        Ok(())
    } else {
        Err(bad!("render.json: {name} is {v}, it must lie between {low} and {high}"))
    }
}

fn real(name: &str, v: f32, low: f32, high: f32) -> Result<()> {
    if v >= low && v <= high {
        Ok(())
    } else {
        Err(bad!("render.json: {name} is {v}, it must lie between {low} and {high}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_unknown_fields_are_refused_with_the_name() {
        let e = Settings::parse(br#"{"width":0,"height":10}"#).unwrap_err().to_string();
        assert!(e.contains("width is 0"), "{e}");
        let e = Settings::parse(br#"{"width":8,"height":8,"sample":3}"#).unwrap_err().to_string();
        assert!(e.contains("sample"), "{e}");
        let e =
            Settings::parse(br#"{"width":8,"height":8,"exposure":1e30}"#).unwrap_err().to_string();
        assert!(e.contains("exposure"), "{e}");
    }

    #[test]
    fn border_tiles_are_counted() {
        let s = Settings::parse(br#"{"width":65,"height":64,"tile":64}"#).unwrap();
        assert_eq!((s.tiles_across(), s.tile_count()), (2, 2));
    }
}
