//! One run: a state point in, mean energy and pressure with their errors out.

use door::rows::Rows;

use crate::{
    dynamics::Dynamics,
    fluid::Fluid,
    random::Random,
    statistics::{Blocks, Estimate},
};

/// Blocks of a run.
const BLOCKS: u32 = 20;
/// At least this temperature melts the lattice that a run begins with.
const HOT: f64 = 3.0;

/// Thinnest gas: far below it, particles meet so seldom that a run says nothing, and the cube's volume overflows.
const THINNEST: f64 = 1e-6;

/// What a run is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Of the bath.
    pub temperature: f64,
    /// Particles per volume.
    pub density: f64,
    /// Runs that differ by it alone are independent.
    pub seed: u64,
    /// Number of particles.
    pub particles: u32,
    /// Steps before anything is measured; the first third of them is hot.
    pub equilibration: u32,
    /// Steps that are measured.
    pub production: u32,
    /// Length of a step.
    pub step: f64,
    /// Friction of the bath.
    pub friction: f64,
    /// Where the potential is cut off.
    pub cutoff: f64,
}

/// What a run gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean of the particles' own temperature.
    pub kinetic: Estimate,
    /// Potential energy per particle.
    pub energy: Estimate,
    /// Pressure.
    pub pressure: Estimate,
}

impl Setup {
    /// Reads row `index`; columns that are missing have usual values.
    ///
    /// # Errors
    /// Temperature or density are missing, or a value is no number or out of its range.
    pub fn read(table: &str, index: usize) -> Result<Self, String> {
        let rows = Rows::read(table)?;
        let real = |column: &str, usual: f64| {
            if rows.has(column) { rows.number(index, column) } else { Ok(usual) }
        };
        let whole = |column: &str, usual: u32| {
            if rows.has(column) { rows.number(index, column) } else { Ok(usual) }
        };
        let setup = Self {
            temperature: rows.number(index, "temperature")?,
            density: rows.number(index, "density")?,
            seed: if rows.has("seed") { rows.number(index, "seed")? } else { 1 },
            particles: whole("particles", 256)?,
            equilibration: whole("equilibration", 3_000)?,
            production: whole("production", 8_000)?,
            step: real("step", 0.005)?,
            friction: real("friction", 1.0)?,
            cutoff: real("cutoff", 3.0)?,
        };
        let positive = [setup.temperature, setup.density, setup.step, setup.friction, setup.cutoff];
        if positive.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(
                "temperature, density, step, friction and cutoff must be above 0".to_owned()
            );
        }
        if setup.density < THINNEST {
            return Err(format!("density must be at least {THINNEST}"));
        }
        if !(2..=20_000).contains(&setup.particles) || setup.production < 2 * BLOCKS {
            return Err(format!(
                "particles must be 2 to 20000, production at least {}",
                2 * BLOCKS
            ));
        }
        Ok(setup)
    }

    /// Runs it.
    ///
    /// # Errors
    /// The cube is too small for the cutoff, or the step so long that the sums are no numbers.
    pub fn run(&self) -> Result<Outcome, String> {
        let words = [
            self.seed,
            self.temperature.to_bits(),
            self.density.to_bits(),
            u64::from(self.particles),
        ];
        // In a thin gas a wide margin costs little and saves lists; in a liquid it must fit into a small cube.
        let margin = if self.density < 0.1 { 1.5 } else { 0.28 };
        let fluid = Fluid::lattice(self.particles as usize, self.density, self.cutoff, margin)?;
        let hot = self.temperature.max(HOT);
        let mut moving = Dynamics::new(fluid, hot, self.step, self.friction, Random::new(&words));
        for step in 0..self.equilibration {
            let melting = step < self.equilibration / 3;
            moving.advance(if melting { hot } else { self.temperature });
        }
        let block = || Blocks::new(self.production / BLOCKS);
        let (mut kinetic, mut energy, mut pressure) = (block(), block(), block());
        for _ in 0..self.production {
            moving.advance(self.temperature);
            kinetic.add(moving.kinetic_temperature());
            energy.add(moving.fluid.energy());
            pressure.add(moving.fluid.pressure(self.temperature));
        }
        let mean = |blocks: Blocks| {
            let estimate = blocks.estimate().ok_or("too few blocks")?;
            let finite = estimate.mean.is_finite() && estimate.error.is_finite();
            finite.then_some(estimate).ok_or("the particles flew apart: make the step shorter")
        };
        Ok(Outcome { kinetic: mean(kinetic)?, energy: mean(energy)?, pressure: mean(pressure)? })
    }
}

/// Columns of a run's output.
pub const HEADER: &str = "temperature,density,seed,particles,production,kinetic_temperature,\
                          kinetic_error,energy,energy_error,pressure,pressure_error";

/// A task: the run of its row, as a table of one row.
///
/// # Errors
/// Those of [`Setup::read`] and [`Setup::run`].
pub fn row(table: &str, index: usize) -> Result<String, String> {
    let setup = Setup::read(table, index)?;
    let Outcome { kinetic, energy, pressure } = setup.run()?;
    Ok(format!(
        "{HEADER}\n{},{},{},{},{},{:.8},{:.8},{:.8},{:.8},{:.8},{:.8}\n",
        setup.temperature,
        setup.density,
        setup.seed,
        setup.particles,
        setup.production,
        kinetic.mean,
        kinetic.error,
        energy.mean,
        energy.error,
        pressure.mean,
        pressure.error,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_bounded() {
        let table =
            "density,temperature,seed,particles\n0.5,2.0,7,108\n0.5,-1,7,108\n0.5,nan,7,1\n";
        let setup = Setup::read(table, 0).unwrap();
        assert_eq!((setup.particles, setup.seed, setup.cutoff), (108, 7, 3.0));
        for (row, names) in [(1, "above 0"), (2, "above 0"), (3, "no row")] {
            assert!(Setup::read(table, row).unwrap_err().contains(names));
        }
        assert!(Setup::read("density\n1\n", 0).unwrap_err().contains("temperature"));
        let dense = Setup { density: 1.0, ..setup };
        assert!(dense.run().unwrap_err().contains("too small"));
        let thin = "density,temperature\n1e-320,2\n";
        assert!(Setup::read(thin, 0).unwrap_err().contains("at least"));
        let wild = Setup { step: 1e6, density: 0.3, equilibration: 0, production: 40, ..setup };
        let wild = Setup { cutoff: 2.5, ..wild };
        assert!(wild.run().unwrap_err().contains("shorter"));
    }

    /// A thin gas is ideal but for its second virial coefficient, which is an integral.
    #[test]
    fn a_thin_gas_has_the_right_second_virial_coefficient() {
        let table = "temperature,density,particles,equilibration,production,step\n2,0.02,108,1500,9000,0.01\n";
        let outcome = Setup::read(table, 0).unwrap().run().unwrap();
        let right = 0.02 * 2.0 * (1.0 + crate::equation::second_virial(2.0) * 0.02);
        let apart = (outcome.pressure.mean - right).abs();
        assert!(apart < 4.0 * outcome.pressure.error + 2e-5, "{outcome:?} {right}");
        assert!((outcome.kinetic.mean - 2.0).abs() < 5.0 * outcome.kinetic.error, "{outcome:?}");
    }
}
