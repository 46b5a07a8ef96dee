//! Light from all around: a Radiance `.hdr` picture in latitude and longitude, sampled in proportion to its
//! brightness.

use crate::error::{Result, bad};
use crate::exact;
use crate::math::{INV_PI, PI, Vec3, clamp, sqrt, vec3};
use crate::settings::EnvironmentSettings;

const MAX_WIDTH: usize = 8192;
const MAX_HEIGHT: usize = 4096;

/// The surrounding light.
pub struct Environment {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) texels: Vec<Vec3>,
    /// Cumulative share of the rows, then of the columns within each row; both end at 1.
    pub(crate) rows: Vec<f32>,
    pub(crate) columns: Vec<f32>,
    /// Brightness of each texel that the density is made of, and the sum that normalises it.
    pub(crate) mean: f32,
    pub(crate) intensity: f32,
    pub(crate) turn: f32,
    /// Factor on what the camera sees directly.
    pub background: f32,
}

/// A direction drawn from the environment.
pub struct EnvironmentSample {
    /// Towards the light.
    pub direction: Vec3,
    /// Its radiance.
    pub radiance: Vec3,
    /// Probability density per solid angle.
    pub density: f32,
}

impl Environment {
    /// Decodes a `.hdr` file and prepares it for sampling.
    pub fn decode(bytes: &[u8], settings: &EnvironmentSettings) -> Result<Environment> {
        let (width, height, texels) = decode_hdr(bytes)?;
        Ok(Environment::new(width, height, texels, settings))
    }

    /// The same light from everywhere.
    pub fn uniform(colour: Vec3, settings: &EnvironmentSettings) -> Environment {
        Environment::new(2, 1, vec![colour; 2], settings)
    }

    fn new(
        width: usize,
        height: usize,
        texels: Vec<Vec3>,
        settings: &EnvironmentSettings,
    ) -> Environment {
        let mut rows = Vec::with_capacity(height);
        let mut columns = Vec::with_capacity(width * height);
        let mut total = 0.0f64;
        for y in 0..height {
            let weight = libm::sin(std::f64::consts::PI * (y as f64 + 0.5) / height as f64);
            let mut sum = 0.0f64;
            let start = columns.len();
            let mut sums = Vec::with_capacity(width);
            for x in 0..width {
                sum += brightness(&texels, width, height, x, y) as f64 * weight;
                sums.push(sum);
            }
            columns.extend(sums.iter().map(|s| if sum > 0.0 { (s / sum) as f32 } else { 1.0 }));
            columns[start + width - 1] = 1.0;
            total += sum;
            rows.push(total);
        }
        let rows: Vec<f32> =
            rows.iter().map(|r: &f64| if total > 0.0 { (r / total) as f32 } else { 1.0 }).collect();
        let mean = (total / (width * height) as f64) as f32;
        let turn = settings.rotation * (1.0 / 360.0);
        Environment {
            width,
            height,
            texels,
            rows,
            columns,
            mean,
            intensity: settings.intensity,
            turn: turn - turn.floor(),
            background: settings.background,
        }
    }

    /// True when it gives no light.
    pub fn is_dark(&self) -> bool {
        !(self.mean > 0.0) || self.intensity == 0.0
    }

    /// Roughly the light that it sends to any point.
    pub fn strength(&self) -> f32 {
        self.mean * self.intensity * PI
    }

    fn coordinates(&self, d: Vec3) -> (f32, f32) {
        let u = exact::atan2(d.x, -d.z) * (0.5 * INV_PI) + 0.5 + self.turn;
        let v = exact::acos(clamp(d.y, -1.0, 1.0)) * INV_PI;
        (u - u.floor(), v)
    }

    /// Light that arrives from the unit direction `d`.
    pub fn radiance(&self, d: Vec3) -> Vec3 {
        let (u, v) = self.coordinates(d);
        let x = u * self.width as f32 - 0.5;
        let y = v * self.height as f32 - 0.5;
        let (fx, fy) = (x.floor(), y.floor());
        let (tx, ty) = (x - fx, y - fy);
        let w = self.width as i32;
        let x0 = (fx as i32).rem_euclid(w) as usize;
        let x1 = (fx as i32 + 1).rem_euclid(w) as usize;
        let row = |y: i32| y.clamp(0, self.height as i32 - 1) as usize * self.width;
        let (r0, r1) = (row(fy as i32), row(fy as i32 + 1));
        let top = self.texels[r0 + x0].lerp(self.texels[r0 + x1], tx);
        let low = self.texels[r1 + x0].lerp(self.texels[r1 + x1], tx);
        top.lerp(low, ty) * self.intensity
    }

    /// Density with which [`Environment::sample`] draws the unit direction `d`.
    pub fn density(&self, d: Vec3) -> f32 {
        let (u, v) = self.coordinates(d);
        let x = ((u * self.width as f32) as usize).min(self.width - 1);
        let y = ((v * self.height as f32) as usize).min(self.height - 1);
        self.texel_density(x, y, d.y)
    }

    fn texel_density(&self, x: usize, y: usize, cos: f32) -> f32 {
        let sin = sqrt(1.0 - cos * cos);
        if sin < 1e-6 {
            return 0.0;
        }
        // Share of the texel divided by its solid angle, with the sine of the texel's middle row as it was
        // weighted: brightness * weight / (mean * n) / (2 pi^2 sin / n).
        let weight = exact::sin(PI * (y as f32 + 0.5) / self.height as f32);
        brightness(&self.texels, self.width, self.height, x, y) * weight
            / (self.mean * 2.0 * PI * PI * sin)
    }

    /// Draws a direction in proportion to brightness.
    pub fn sample(&self, a: f32, b: f32) -> EnvironmentSample {
        let (y, fy) = find(&self.rows, b);
        let (x, fx) = find(&self.columns[y * self.width..(y + 1) * self.width], a);
        let u = (x as f32 + fx) / self.width as f32 - self.turn - 0.5;
        let phi = u * 2.0 * PI;
        let theta = (y as f32 + fy) / self.height as f32 * PI;
        let (sin, cos) = (exact::sin(theta), exact::cos(theta));
        let direction = vec3(sin * exact::sin(phi), cos, -sin * exact::cos(phi));
        EnvironmentSample {
            direction,
            radiance: self.radiance(direction),
            density: self.texel_density(x, y, cos),
        }
    }
}

/// What a texel's share of the samples is made of: the brightest of it and its neighbours in the row, so that
/// interpolated light is never drawn too rarely.
fn brightness(texels: &[Vec3], width: usize, height: usize, x: usize, y: usize) -> f32 {
    let at = |x: usize, y: usize| texels[y * width + x].luminance();
    let (left, right) =
        (if x == 0 { width - 1 } else { x - 1 }, if x + 1 == width { 0 } else { x + 1 });
    let (up, down) = (y.saturating_sub(1), (y + 1).min(height - 1));
    0.5 * at(x, y) + 0.125 * (at(left, y) + at(right, y) + at(x, up) + at(x, down))
}

/// The cell of a cumulative distribution that holds `u`, and where in the cell.
fn find(cumulative: &[f32], u: f32) -> (usize, f32) {
    let i = cumulative.partition_point(|&c| c <= u).min(cumulative.len() - 1);
    let low = if i == 0 { 0.0 } else { cumulative[i - 1] };
    let size = cumulative[i] - low;
    let f = if size > 0.0 { (u - low) / size } else { 0.5 };
    (i, clamp(f, 0.0, 0.999_999))
}

fn decode_hdr(bytes: &[u8]) -> Result<(usize, usize, Vec<Vec3>)> {
    let mut rest = bytes;
    let mut line = || -> Result<&str> {
        let end = rest
            .iter()
            .take(1024)
            .position(|&b| b == b'\n')
            .ok_or_else(|| bad!("environment: header cut off"))?;
        let text = std::str::from_utf8(&rest[..end])
            .map_err(|_| bad!("environment: header is not text"))?;
        rest = &rest[end + 1..];
        Ok(text.trim_end())
    };
    if !line()?.starts_with("#?") {
        return Err(bad!("environment: not a Radiance .hdr file"));
    }
    for n in 0.. {
        let l = line()?;
        if l.is_empty() {
            break;
        }
        if l.starts_with("FORMAT=") && l != "FORMAT=32-bit_rle_rgbe" {
            return Err(bad!("environment: {l} is not supported, only 32-bit_rle_rgbe"));
        }
        if n > 64 {
            return Err(bad!("environment: more than 64 header lines"));
        }
    }
    let size: Vec<&str> = line()?.split(' ').collect();
    let (height, width) = match size[..] {
        ["-Y", h, "+X", w] => (h.parse::<usize>().unwrap_or(0), w.parse::<usize>().unwrap_or(0)),
        _ => return Err(bad!("environment: orientation other than -Y +X")),
    };
    if !(8..=MAX_WIDTH).contains(&width) || !(1..=MAX_HEIGHT).contains(&height) {
        return Err(bad!(
            "environment: {width} x {height} texels; 8 x 1 to {MAX_WIDTH} x {MAX_HEIGHT} are supported"
        ));
    }
    let mut texels = Vec::with_capacity((width * height).min(bytes.len() * 64));
    let mut scanline = vec![0u8; width * 4];
    for _ in 0..height {
        read_scanline(&mut rest, &mut scanline, width)?;
        for x in 0..width {
            texels.push(rgbe(
                scanline[x],
                scanline[width + x],
                scanline[2 * width + x],
                scanline[3 * width + x],
            ));
        }
    }
    Ok((width, height, texels))
}

fn read_scanline(rest: &mut &[u8], out: &mut [u8], width: usize) -> Result<()> {
    let cut = || bad!("environment: the picture is cut off");
    let head = rest.get(..4).ok_or_else(cut)?;
    if head[0] != 2 || head[1] != 2 || (usize::from(head[2]) << 8 | usize::from(head[3])) != width {
        return Err(bad!("environment: a scanline is not run-length encoded in the new way"));
    }
    *rest = &rest[4..];
    let mut at = 0;
    while at < out.len() {
        let channel_end = (at / width + 1) * width;
        let &count = rest.first().ok_or_else(cut)?;
        let (run, n) = if count > 128 {
            (true, usize::from(count) - 128)
        } else {
            (false, usize::from(count))
        };
        if n == 0 || at + n > channel_end {
            return Err(bad!("environment: a run leaves its scanline"));
        }
        if run {
            let &v = rest.get(1).ok_or_else(cut)?;
            out[at..at + n].fill(v);
            *rest = &rest[2..];
        } else {
            out[at..at + n].copy_from_slice(rest.get(1..1 + n).ok_or_else(cut)?);
            *rest = &rest[1 + n..];
        }
        at += n;
    }
    Ok(())
}

fn rgbe(r: u8, g: u8, b: u8, e: u8) -> Vec3 {
    if e < 10 {
        return Vec3::ZERO;
    }
    // 2^(e - 136), exactly; e >= 10 keeps the exponent field positive.
    let scale = f32::from_bits((u32::from(e) + 127 - 136) << 23);
    vec3(f32::from(r), f32::from(g), f32::from(b)) * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> EnvironmentSettings {
        EnvironmentSettings::default()
    }

    #[test]
    fn densities_integrate_to_one_and_agree_with_samples() {
        let texels: Vec<Vec3> = (0..32 * 16)
            .map(|i| Vec3::splat(if i == 170 { 50.0 } else { 0.2 + (i % 7) as f32 }))
            .collect();
        let env =
            Environment::new(32, 16, texels, &EnvironmentSettings { rotation: 77.0, ..settings() });
        let mut sum = 0.0f64;
        let n = 200;
        for i in 0..n {
            for j in 0..2 * n {
                let cos = 1.0 - 2.0 * (i as f32 + 0.5) / n as f32;
                let phi = (j as f32 + 0.5) / n as f32 * PI;
                let sin = sqrt(1.0 - cos * cos);
                let d = vec3(sin * libm::sinf(phi), cos, -sin * libm::cosf(phi));
                sum += f64::from(env.density(d)) * f64::from(4.0 * PI) / f64::from(2 * n * n);
            }
        }
        assert!((sum - 1.0).abs() < 0.01, "{sum}");
        for k in 0..500 {
            let s = env.sample((k as f32 + 0.5) / 500.0, ((k * 7919) % 500) as f32 / 500.0);
            let d = env.density(s.direction);
            assert!((d - s.density).abs() <= 0.02 * s.density, "{d} {}", s.density);
        }
    }

    #[test]
    fn broken_files_are_refused() {
        for bad in [
            &b""[..],
            b"#?RADIANCE\n",
            b"#?RADIANCE\n\n-Y 99999 +X 8\n",
            b"#?RADIANCE\n\n-Y 1 +X 8\n\x02\x02\x00\x08\xff",
        ] {
            assert!(decode_hdr(bad).is_err());
        }
        let mut ok = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 8\n\x02\x02\x00\x08".to_vec();
        for v in [128u8, 64, 32, 129] {
            ok.extend([136, v]);
        }
        let (_, _, t) = decode_hdr(&ok).unwrap();
        assert_eq!(t[7], vec3(1.0, 0.5, 0.25));
    }
}
