//! Langevin dynamics, integrated by the splitting B A O A B of Leimkuhler and Matthews (2013): half a kick, half a
//! drift, the exact solution of friction and noise, half a drift, half a kick. Without friction it is velocity
//! Verlet. It keeps the canonical distribution of the positions to second order in the step, with a small factor.

use crate::{arithmetic::exp, fluid::Fluid, random::Random};

/// A fluid in motion.
#[derive(Clone, Debug)]
pub struct Dynamics {
    /// Where the particles are.
    pub fluid: Fluid,
    velocities: Vec<[f64; 3]>,
    random: Random,
    step: f64,
    friction: f64,
}

impl Dynamics {
    /// Particles with velocities of this temperature. Friction 0 keeps the energy instead of the temperature.
    pub fn new(
        fluid: Fluid,
        temperature: f64,
        step: f64,
        friction: f64,
        mut random: Random,
    ) -> Self {
        let spread = temperature.sqrt();
        let velocities = fluid
            .positions
            .iter()
            .map(|_| [spread * random.normal(), spread * random.normal(), spread * random.normal()])
            .collect();
        Self { fluid, velocities, random, step, friction }
    }

    /// Twice the kinetic energy per degree of freedom: the particles' own temperature.
    pub fn kinetic_temperature(&self) -> f64 {
        2.0 * self.kinetic_energy() / (3.0 * self.fluid.count())
    }

    /// Sum of v^2 / 2.
    pub fn kinetic_energy(&self) -> f64 {
        let squares = self.velocities.iter().map(|v| v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        0.5 * squares.sum::<f64>()
    }

    /// One step at this temperature of the bath.
    pub fn advance(&mut self, temperature: f64) {
        self.kick();
        self.drift();
        if self.friction > 0.0 {
            let keep = exp(-self.friction * self.step);
            let noise = (temperature * (1.0 - keep * keep)).sqrt();
            for velocity in &mut self.velocities {
                for part in velocity {
                    *part = keep * *part + noise * self.random.normal();
                }
            }
        }
        self.drift();
        self.fluid.update();
        self.kick();
    }

    fn kick(&mut self) {
        let half = 0.5 * self.step;
        for (velocity, force) in self.velocities.iter_mut().zip(&self.fluid.forces) {
            for axis in 0..3 {
                velocity[axis] += half * force[axis];
            }
        }
    }

    fn drift(&mut self) {
        let half = 0.5 * self.step;
        for (position, velocity) in self.fluid.positions.iter_mut().zip(&self.velocities) {
            for axis in 0..3 {
                position[axis] += half * velocity[axis];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gas(friction: f64, step: f64) -> Dynamics {
        let fluid = Fluid::lattice(108, 0.3, 2.5, 0.4).unwrap();
        Dynamics::new(fluid, 1.5, step, friction, Random::new(&[3]))
    }

    /// Without a bath the energy is kept, and its error falls with the square of the step. The potential is cut off
    /// far out, where its jump is 0.0005.
    #[test]
    fn without_friction_the_energy_is_kept() {
        let drift = |step: f64, steps: u32| {
            let fluid = Fluid::lattice(108, 0.1, 4.5, 0.4).unwrap();
            let mut moving = Dynamics::new(fluid, 1.5, step, 0.0, Random::new(&[3]));
            let energy = |moving: &Dynamics| moving.kinetic_energy() + moving.fluid.potential;
            let (before, mut worst) = (energy(&moving), 0.0_f64);
            for _ in 0..steps {
                moving.advance(0.0);
                worst = worst.max((energy(&moving) - before).abs());
            }
            worst / moving.fluid.count()
        };
        let (coarse, fine) = (drift(0.02, 100), drift(0.005, 400));
        assert!(coarse < 0.02 && fine < 0.25 * coarse, "{coarse} {fine}");
    }

    /// The bath gives the particles its temperature, whatever they began with.
    #[test]
    fn with_friction_the_temperature_is_the_baths() {
        let mut moving = gas(1.0, 0.005);
        for _ in 0..1500 {
            moving.advance(0.9);
        }
        let steps = 3000;
        let mut sum = 0.0;
        for _ in 0..steps {
            moving.advance(0.9);
            sum += moving.kinetic_temperature();
        }
        let mean = sum / f64::from(steps);
        // 324 degrees of freedom, some 15 independent samples: one standard error is 1.8 %.
        assert!((mean / 0.9 - 1.0).abs() < 0.06, "{mean}");
    }

    #[test]
    fn the_same_words_give_the_same_bits() {
        let (mut one, mut two) = (gas(1.0, 0.005), gas(1.0, 0.005));
        for _ in 0..50 {
            one.advance(1.0);
            two.advance(1.0);
        }
        assert_eq!(one.fluid.positions, two.fluid.positions);
    }
}
