//! A thin-lens camera.

use crate::bvh::trace::Ray;
use crate::error::{Result, bad};
use crate::gltf;
use crate::math::{PI, Vec3, concentric_disk, vec3};
use crate::settings::Settings;

/// Turns picture coordinates into rays.
pub struct Camera {
    pub(crate) eye: Vec3,
    pub(crate) right: Vec3,
    pub(crate) up: Vec3,
    pub(crate) forward: Vec3,
    /// Half the picture's extent at distance one.
    pub(crate) half: [f32; 2],
    pub(crate) aperture: f32,
    pub(crate) focus: f32,
}

impl Camera {
    /// The camera of the settings, or else that of the scene.
    pub fn new(settings: &Settings, scene: Option<&gltf::Camera>) -> Result<Camera> {
        let (eye, forward, up, angle, aperture, focus) = match (&settings.camera, scene) {
            (Some(c), _) => {
                let eye = Vec3::from_array(c.position);
                let way = Vec3::from_array(c.target) - eye;
                let focus = c.focus.unwrap_or(way.length());
                (
                    eye,
                    way,
                    Vec3::from_array(c.up),
                    c.field_of_view * (PI / 180.0),
                    c.aperture,
                    focus,
                )
            }
            (None, Some(c)) => (
                c.placed.origin,
                -c.placed.columns[2],
                c.placed.columns[1],
                c.field_of_view,
                0.0,
                1.0,
            ),
            (None, None) => {
                return Err(bad!("render.json names no camera and the scene holds none"));
            }
        };
        let nowhere = || bad!("the camera looks nowhere: its position, target and up must differ");
        let forward = forward.unit_or(Vec3::ZERO);
        let right = forward.cross(up).unit_or(Vec3::ZERO);
        if right == Vec3::ZERO {
            return Err(nowhere());
        }
        let tall = libm::tanf(angle * 0.5);
        let wide = tall * settings.width as f32 / settings.height as f32;
        Ok(Camera {
            eye,
            right,
            up: right.cross(forward),
            forward,
            half: [wide, tall],
            aperture,
            focus,
        })
    }

    /// The ray through a point of the picture (both coordinates 0 to 1 from the upper left) and of the lens.
    pub fn ray(&self, x: f32, y: f32, lens: (f32, f32)) -> Ray {
        let at = vec3((2.0 * x - 1.0) * self.half[0], (1.0 - 2.0 * y) * self.half[1], 1.0);
        let way = self.right * at.x + self.up * at.y + self.forward;
        if self.aperture <= 0.0 {
            return Ray { origin: self.eye, direction: way.unit_or(self.forward) };
        }
        let (a, b) = concentric_disk(lens.0, lens.1);
        let origin = self.eye + self.right * (a * self.aperture) + self.up * (b * self.aperture);
        let target = self.eye + way * self.focus;
        Ray { origin, direction: (target - origin).unit_or(self.forward) }
    }
}
