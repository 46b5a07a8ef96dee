//! Pictures on surfaces: PNG and JPEG decoding with integer arithmetic, bilinear lookup, colour spaces.

use crate::error::{Result, bad};
use crate::math::{Vec3, vec3};

/// Most pixels in one texture.
pub const MAX_PIXELS: usize = 64 << 20;

/// A decoded picture, four bytes per pixel, first row on top.
pub struct Picture {
    width: usize,
    height: usize,
    pub(crate) pixels: Vec<[u8; 4]>,
}

impl Picture {
    /// Decodes a PNG or JPEG file.
    pub fn decode(bytes: &[u8]) -> Result<Picture> {
        if bytes.starts_with(b"\x89PNG") {
            decode_png(bytes)
        } else if bytes.starts_with(&[0xff, 0xd8]) {
            decode_jpeg(bytes)
        } else {
            Err(bad!("a texture is neither PNG nor JPEG"))
        }
    }

    /// A picture from its pixels.
    pub fn new(width: usize, height: usize, pixels: Vec<[u8; 4]>) -> Result<Picture> {
        if width == 0 || height == 0 || pixels.len() != width * height {
            return Err(bad!(
                "a texture has {} pixels where {width} x {height} were declared",
                pixels.len()
            ));
        }
        Ok(Picture { width, height, pixels })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
}

fn too_large(w: usize, h: usize) -> bool {
    w == 0 || h == 0 || w.saturating_mul(h) > MAX_PIXELS
}

fn decode_png(bytes: &[u8]) -> Result<Picture> {
    let mut decoder = png::Decoder::new_with_limits(
        std::io::Cursor::new(bytes),
        png::Limits { bytes: MAX_PIXELS * 8 },
    );
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| bad!("a PNG texture: {e}"))?;
    let (w, h) = (reader.info().width as usize, reader.info().height as usize);
    if too_large(w, h) {
        return Err(bad!("a PNG texture of {w} x {h} pixels is too large"));
    }
    let size = reader.output_buffer_size().ok_or_else(|| bad!("a PNG texture is too large"))?;
    let mut raw = vec![0; size];
    let frame = reader.next_frame(&mut raw).map_err(|e| bad!("a PNG texture: {e}"))?;
    let step = frame.color_type.samples();
    let pixels = raw
        .chunks_exact(step)
        .take(w * h)
        .map(|p| match step {
            1 => [p[0], p[0], p[0], 255],
            2 => [p[0], p[0], p[0], p[1]],
            3 => [p[0], p[1], p[2], 255],
            _ => [p[0], p[1], p[2], p[3]],
        })
        .collect();
    Picture::new(w, h, pixels)
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture> {
    use zune_jpeg::zune_core::{
        bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions,
    };
    let options =
        DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).set_use_unsafe(false);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| bad!("a JPEG texture: {e}"))?;
    let (w, h) = decoder.dimensions().ok_or_else(|| bad!("a JPEG texture has no size"))?;
    if too_large(w, h) {
        return Err(bad!("a JPEG texture of {w} x {h} pixels is too large"));
    }
    let raw = decoder.decode().map_err(|e| bad!("a JPEG texture: {e}"))?;
    let pixels = raw.chunks_exact(3).take(w * h).map(|p| [p[0], p[1], p[2], 255]).collect();
    Picture::new(w, h, pixels)
}

/// What happens outside the unit square of texture coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// The picture again.
    Repeat,
    /// The picture mirrored, then again.
    Mirror,
    /// The border pixel.
    Clamp,
}

/// A picture as one material uses it.
#[derive(Clone, Copy, Debug)]
pub struct Texture {
    /// Which picture of the scene.
    pub picture: u32,
    /// Which set of texture coordinates: 0 or 1.
    pub set: u8,
    /// Wrapping along u and v.
    pub wrap: [Wrap; 2],
    /// Rows of the map from the mesh's coordinates: `u' = a*u + b*v + c`.
    pub transform: [[f32; 3]; 2],
}

fn wrapped(i: i32, n: i32, wrap: Wrap) -> usize {
    let k = match wrap {
        Wrap::Repeat => i.rem_euclid(n),
        Wrap::Mirror => {
            let m = i.rem_euclid(2 * n);
            if m < n { m } else { 2 * n - 1 - m }
        }
        Wrap::Clamp => i.clamp(0, n - 1),
    };
    k as usize
}

/// Colour of 8-bit sRGB values, built once.
pub struct SrgbTable(pub(crate) [f32; 256]);

impl Default for SrgbTable {
    fn default() -> Self {
        let mut t = [0.0; 256];
        for (i, v) in t.iter_mut().enumerate() {
            let s = i as f32 * (1.0 / 255.0);
            *v = if s <= 0.040_45 {
                s * (1.0 / 12.92)
            } else {
                libm::powf((s + 0.055) * (1.0 / 1.055), 2.4)
            };
        }
        SrgbTable(t)
    }
}

impl Picture {
    /// The four pixels around a point and their weights.
    #[inline]
    fn corners(&self, t: &Texture, uv: [f32; 2]) -> ([[u8; 4]; 4], [f32; 4]) {
        let [ru, rv] = t.transform;
        let u = ru[0] * uv[0] + ru[1] * uv[1] + ru[2];
        let v = rv[0] * uv[0] + rv[1] * uv[1] + rv[2];
        let x = u * self.width as f32 - 0.5;
        let y = v * self.height as f32 - 0.5;
        // Wild coordinates saturate in the cast; all indices are wrapped afterwards.
        let (fx, fy) = (x.floor(), y.floor());
        let (ix, iy) = ((fx as i32).clamp(-1 << 30, 1 << 30), (fy as i32).clamp(-1 << 30, 1 << 30));
        let (tx, ty) = (x - fx, y - fy);
        let (w, h) = (self.width as i32, self.height as i32);
        let (x0, x1) = (wrapped(ix, w, t.wrap[0]), wrapped(ix + 1, w, t.wrap[0]));
        let (y0, y1) = (wrapped(iy, h, t.wrap[1]), wrapped(iy + 1, h, t.wrap[1]));
        let p = |x: usize, y: usize| self.pixels[y * self.width + x];
        (
            [p(x0, y0), p(x1, y0), p(x0, y1), p(x1, y1)],
            [(1.0 - tx) * (1.0 - ty), tx * (1.0 - ty), (1.0 - tx) * ty, tx * ty],
        )
    }

    /// Colour and coverage of a picture in sRGB.
    pub fn colour(&self, t: &Texture, uv: [f32; 2], srgb: &SrgbTable) -> (Vec3, f32) {
        let (p, w) = self.corners(t, uv);
        let mut c = Vec3::ZERO;
        let mut alpha = 0.0;
        for (p, w) in p.iter().zip(w) {
            c += vec3(srgb.0[p[0] as usize], srgb.0[p[1] as usize], srgb.0[p[2] as usize]) * w;
            alpha += p[3] as f32 * w;
        }
        (c, alpha * (1.0 / 255.0))
    }

    /// Values of a picture that holds numbers, 0 to 1.
    pub fn values(&self, t: &Texture, uv: [f32; 2]) -> Vec3 {
        let (p, w) = self.corners(t, uv);
        let mut c = Vec3::ZERO;
        for (p, w) in p.iter().zip(w) {
            c += vec3(p[0] as f32, p[1] as f32, p[2] as f32) * w;
        }
        c * (1.0 / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_modes() {
        assert_eq!(wrapped(-1, 4, Wrap::Repeat), 3);
        assert_eq!(wrapped(4, 4, Wrap::Mirror), 3);
        assert_eq!(wrapped(9, 4, Wrap::Clamp), 3);
        assert_eq!(wrapped(-5, 4, Wrap::Mirror), 3);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Picture::decode(b"GIF89a").is_err());
        assert!(Picture::decode(b"\x89PNG\r\n\x1a\nxx").is_err());
        assert!(Picture::decode(&[0xff, 0xd8, 0xff, 0xe0, 0, 1]).is_err());
    }
}
