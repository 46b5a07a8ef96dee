//! Means of correlated samples, with an error that knows of the correlation.

/// A mean and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

/// Sums samples up in blocks of equal length, so long that their means are independent of each other.
#[derive(Clone, Debug)]
pub struct Blocks {
    length: u32,
    filled: u32,
    sum: f64,
    means: Vec<f64>,
}

impl Blocks {
    /// Blocks of so many samples.
    pub fn new(length: u32) -> Self {
        Self { length: length.max(1), filled: 0, sum: 0.0, means: Vec::new() }
    }

    /// Takes a sample.
    pub fn add(&mut self, sample: f64) {
        self.sum += sample;
        self.filled += 1;
        if self.filled == self.length {
            self.means.push(self.sum / f64::from(self.length));
            (self.filled, self.sum) = (0, 0.0);
        }
    }

    /// Mean of the full blocks and its standard error; `None` with fewer than two of them.
    pub fn estimate(&self) -> Option<Estimate> {
        of_independent(&self.means)
    }
}

/// Mean of independent values and its standard error; `None` with fewer than two of them.
pub fn of_independent(values: &[f64]) -> Option<Estimate> {
    #[allow(clippy::cast_precision_loss)]
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some(Estimate { mean, error: (squares / (count * (count - 1.0))).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Samples that remember the last ones: blocks tell their true error, the samples themselves would not.
    #[test]
    fn blocks_see_through_correlation() {
        let mut random = Random::new(&[5]);
        let keep = 0.95_f64;
        let mut far_off = 0;
        for _ in 0..200 {
            let mut blocks = Blocks::new(500);
            let mut value = 0.0;
            for _ in 0..10_000 {
                value = keep * value + (1.0 - keep * keep).sqrt() * random.normal();
                blocks.add(value);
            }
            let estimate = blocks.estimate().unwrap();
            // Variance 1, correlation time (1 + keep) / (1 - keep) = 39 samples.
            let right = (39.0_f64 / 10_000.0).sqrt();
            assert!((estimate.error / right - 1.0).abs() < 0.7, "{estimate:?}");
            far_off += u32::from(estimate.mean.abs() > 2.0 * estimate.error);
        }
        // Student's distribution with 19 degrees of freedom: 6 % of 200 lie outside, give or take 3.4.
        assert!((2..30).contains(&far_off), "{far_off}");
    }
}
