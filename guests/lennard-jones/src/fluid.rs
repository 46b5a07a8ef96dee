//! Particles in a periodic cube and the forces between them.
//!
//! The potential 4 (r^-12 - r^-6) is cut off at `cutoff`; what lies beyond it is added as if the fluid were
//! uniform there, the standard long-range corrections (Allen and Tildesley, Computer Simulation of Liquids). Pairs
//! come from a neighbour list that is built anew before any particle can have crossed its margin.

/// Part of the cube that the cutoff must not exceed: a particle meets only one image of another.
const HALF: f64 = 0.5;

/// Positions, forces and sums of a configuration.
#[derive(Clone, Debug)]
pub struct Fluid {
    /// Side of the cube.
    pub side: f64,
    cutoff: f64,
    margin: f64,
    /// x, y and z of each particle. They leave the cube by less than the margin between two lists.
    pub positions: Vec<[f64; 3]>,
    /// Forces on the particles.
    pub forces: Vec<[f64; 3]>,
    /// Sum of the pair potentials within the cutoff.
    pub potential: f64,
    /// Sum of r . f over the pairs within the cutoff.
    pub virial: f64,
    listed_at: Vec<[f64; 3]>,
    starts: Vec<usize>,
    neighbours: Vec<u32>,
}

impl Fluid {
    /// Particles on the sites of a face-centred cubic lattice at this density.
    ///
    /// # Errors
    /// The cube is too small for the cutoff and its margin.
    pub fn lattice(
        particles: usize,
        density: f64,
        cutoff: f64,
        margin: f64,
    ) -> Result<Self, String> {
        #[allow(clippy::cast_precision_loss)]
        let volume = particles as f64 / density;
        let side = cube_root(volume);
        if cutoff + margin > HALF * side {
            return Err(format!("a cube of side {side} is too small for the cutoff {cutoff}"));
        }
        let mut cells = 1_usize;
        while 4 * cells * cells * cells < particles {
            cells += 1;
        }
        #[allow(clippy::cast_precision_loss)]
        let spacing = side / cells as f64;
        let sites =
            [[0.25, 0.25, 0.25], [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75]];
        let mut positions = Vec::with_capacity(particles);
        for number in 0..4 * cells * cells * cells {
            let (cell, site) = (number / 4, sites[number % 4]);
            let corner = [cell % cells, cell / cells % cells, cell / (cells * cells)];
            #[allow(clippy::cast_precision_loss)]
            let at = |axis: usize| (corner[axis] as f64 + site[axis]) * spacing;
            if positions.len() < particles {
                positions.push([at(0), at(1), at(2)]);
            }
        }
        let mut fluid = Self {
            side,
            cutoff,
            margin,
            forces: vec![[0.0; 3]; positions.len()],
            listed_at: Vec::new(),
            starts: Vec::new(),
            neighbours: Vec::new(),
            potential: 0.0,
            virial: 0.0,
            positions,
        };
        fluid.list();
        fluid.update();
        Ok(fluid)
    }

    /// Number of particles.
    pub fn count(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let count = self.positions.len() as f64;
        count
    }

    /// Particles per volume.
    pub fn density(&self) -> f64 {
        self.count() / (self.side * self.side * self.side)
    }

    /// Potential energy per particle with its long-range correction.
    pub fn energy(&self) -> f64 {
        self.potential / self.count() + energy_beyond(self.density(), self.cutoff)
    }

    /// Pressure at a temperature with its long-range correction. The temperature is that of the thermostat, which
    /// the mean of the particles' own is equal to.
    pub fn pressure(&self, temperature: f64) -> f64 {
        let volume = self.side * self.side * self.side;
        self.density() * temperature
            + self.virial / (3.0 * volume)
            + pressure_beyond(self.density(), self.cutoff)
    }

    /// Computes forces and sums for the positions as they are.
    pub fn update(&mut self) {
        if self.has_moved() {
            self.list();
        }
        for force in &mut self.forces {
            *force = [0.0; 3];
        }
        let (side, half, reach) = (self.side, HALF * self.side, self.cutoff * self.cutoff);
        let (mut potential, mut virial) = (0.0, 0.0);
        for first in 0..self.positions.len() {
            let [x, y, z] = self.positions[first];
            let mut sum = [0.0; 3];
            for second in &self.neighbours[self.starts[first]..self.starts[first + 1]] {
                let other = self.positions[*second as usize];
                let apart = [
                    nearest(x - other[0], side, half),
                    nearest(y - other[1], side, half),
                    nearest(z - other[2], side, half),
                ];
                let square = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2];
                if square >= reach {
                    continue;
                }
                let inverse = 1.0 / square;
                let sixth = inverse * inverse * inverse;
                potential += 4.0 * sixth * (sixth - 1.0);
                let pair = 24.0 * sixth * (2.0 * sixth - 1.0);
                virial += pair;
                let scale = pair * inverse;
                let force = &mut self.forces[*second as usize];
                for axis in 0..3 {
                    let part = scale * apart[axis];
                    sum[axis] += part;
                    force[axis] -= part;
                }
            }
            for axis in 0..3 {
                self.forces[first][axis] += sum[axis];
            }
        }
        (self.potential, self.virial) = (potential, virial);
    }

    /// Whether a particle may have come in reach of one that is not in its list: two of them have made half the
    /// margin each.
    fn has_moved(&self) -> bool {
        let limit = HALF * self.margin * (HALF * self.margin);
        self.positions.iter().zip(&self.listed_at).any(|(now, then)| {
            let apart = [now[0] - then[0], now[1] - then[1], now[2] - then[2]];
            apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2] > limit
        })
    }

    /// Wraps the particles into the cube and lists the pairs within cutoff and margin, each once.
    fn list(&mut self) {
        let side = self.side;
        for position in &mut self.positions {
            for place in position {
                *place -= side * (*place / side).floor();
            }
        }
        let (half, reach) = (HALF * side, self.cutoff + self.margin);
        let reach = reach * reach;
        self.starts.clear();
        self.neighbours.clear();
        for (first, [x, y, z]) in self.positions.iter().enumerate() {
            self.starts.push(self.neighbours.len());
            for (second, other) in self.positions.iter().enumerate().skip(first + 1) {
                let apart = [
                    nearest(x - other[0], side, half),
                    nearest(y - other[1], side, half),
                    nearest(z - other[2], side, half),
                ];
                let square = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2];
                if square < reach {
                    self.neighbours.push(u32::try_from(second).unwrap_or(u32::MAX));
                }
            }
        }
        self.starts.push(self.neighbours.len());
        self.listed_at.clone_from(&self.positions);
    }
}

/// A difference of coordinates to the nearest image.
#[inline]
fn nearest(apart: f64, side: f64, half: f64) -> f64 {
    if apart > half {
        apart - side
    } else if apart < -half {
        apart + side
    } else {
        apart
    }
}

/// Energy per particle from beyond the cutoff: 8/3 pi rho (rc^-9 / 3 - rc^-3).
pub fn energy_beyond(density: f64, cutoff: f64) -> f64 {
    let cube = 1.0 / (cutoff * cutoff * cutoff);
    8.0 / 3.0 * std::f64::consts::PI * density * (cube * cube * cube / 3.0 - cube)
}

/// Pressure from beyond the cutoff: 16/3 pi rho^2 (2/3 rc^-9 - rc^-3).
pub fn pressure_beyond(density: f64, cutoff: f64) -> f64 {
    let cube = 1.0 / (cutoff * cutoff * cutoff);
    16.0 / 3.0 * std::f64::consts::PI * density * density * (2.0 / 3.0 * cube * cube * cube - cube)
}

/// The cube root of a number of at least 1, by Newton's method from above. What is not finite comes back as it is.
pub fn cube_root(x: f64) -> f64 {
    let mut root = x.max(1.0);
    while root.is_finite() {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            break;
        }
        root = next;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cube of liquid that was shaken.
    fn shaken() -> Fluid {
        let mut fluid = Fluid::lattice(108, 0.4, 2.5, 0.3).unwrap();
        let mut random = crate::random::Random::new(&[1]);
        for position in &mut fluid.positions {
            for place in position {
                *place += 0.15 * random.normal();
            }
        }
        fluid.update();
        fluid
    }

    #[test]
    fn forces_are_the_slope_of_the_potential_and_sum_to_nothing() {
        let fluid = shaken();
        let step = 1e-6;
        for (particle, axis) in [(0, 0), (17, 1), (107, 2)] {
            let at = |offset: f64| {
                let mut moved = fluid.clone();
                moved.positions[particle][axis] += offset;
                moved.update();
                moved.potential
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            let force = fluid.forces[particle][axis];
            assert!((force + slope).abs() < 1e-4 * force.abs().max(1.0), "{force} {slope}");
        }
        for axis in 0..3 {
            let sum: f64 = fluid.forces.iter().map(|force| force[axis]).sum();
            assert!(sum.abs() < 1e-9, "{sum}");
        }
    }

    /// The virial is the answer of the energy to a change of the volume: 3 V dU/dV = -W.
    #[test]
    fn virial_is_the_answer_to_compression() {
        let fluid = shaken();
        let at = |scale: f64| {
            // Cutoff and lists grow with the cube, so the same pairs are counted.
            let mut scaled = fluid.clone();
            scaled.side *= scale;
            scaled.cutoff *= scale;
            scaled.margin *= scale;
            for position in scaled.positions.iter_mut().chain(&mut scaled.listed_at) {
                *position = position.map(|place| place * scale);
            }
            scaled.update();
            scaled.potential
        };
        let step = 1e-6;
        let slope = (at(1.0 + step) - at(1.0 - step)) / (2.0 * step);
        assert!(
            (slope + fluid.virial).abs() < 1e-3 * fluid.virial.abs(),
            "{slope} {}",
            fluid.virial
        );
    }

    #[test]
    fn lists_change_nothing() {
        let listed = shaken();
        let mut fresh = listed.clone();
        fresh.list();
        fresh.update();
        assert!((listed.potential - fresh.potential).abs() < 1e-9 * listed.potential.abs());
        assert!(Fluid::lattice(108, 0.9, 3.0, 0.3).is_err());
        assert!((cube_root(27.0) - 3.0).abs() < 1e-14);
        assert!(cube_root(f64::INFINITY).is_infinite() && cube_root(1e300).is_finite());
    }

    /// Corrections against the integrals they stand for, from the cutoff to far away.
    #[test]
    fn corrections_are_the_integrals() {
        let (density, cutoff) = (0.8, 3.0);
        let (mut energy, mut pressure) = (0.0, 0.0);
        let step = 1e-3;
        let mut r = cutoff + step / 2.0;
        while r < 400.0 {
            let sixth = 1.0 / (r * r * r * r * r * r);
            let shell = 4.0 * std::f64::consts::PI * r * r * step;
            energy += 0.5 * density * shell * 4.0 * (sixth * sixth - sixth);
            pressure += density * density / 6.0 * shell * 24.0 * (2.0 * sixth * sixth - sixth);
            r += step;
        }
        assert!((energy - energy_beyond(density, cutoff)).abs() < 1e-6, "{energy}");
        assert!((pressure - pressure_beyond(density, cutoff)).abs() < 1e-6, "{pressure}");
    }
}
