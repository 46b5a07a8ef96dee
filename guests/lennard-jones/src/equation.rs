//! Equations of state: the published one to compare with, and the fit to one's own runs.

use std::f64::consts::PI;

use crate::arithmetic::exp;

/// Coefficients x1 to x32 of the modified Benedict-Webb-Rubin equation for the Lennard-Jones fluid: J. K. Johnson,
/// J. A. Zollweg and K. E. Gubbins, Molecular Physics 78 (1993) 591, table 10.
const X: [f64; 32] = [
    0.862_308_509_750_742_1,
    2.976_218_765_822_098,
    -8.402_230_115_796_038,
    0.105_413_662_920_355_5,
    -0.856_458_382_817_459_8,
    1.582_759_470_107_601,
    0.763_942_194_830_545_3,
    1.753_173_414_312_048,
    2.798_291_772_190_376e3,
    -4.839_422_026_085_765_7e-2,
    0.996_326_519_772_193_5,
    -3.698_000_291_493_493e1,
    2.084_012_299_434_647e1,
    8.305_402_124_717_285e1,
    -9.574_799_715_203_068e2,
    -1.477_746_229_234_994e2,
    6.398_607_852_471_505e1,
    1.603_993_673_294_834e1,
    6.805_916_615_864_377e1,
    -2.791_293_578_795_945e3,
    -6.245_128_304_568_454,
    -8.116_836_104_958_41e3,
    1.488_735_559_561_229e1,
    -1.059_346_754_655_084e4,
    -1.131_607_632_802_822e2,
    -8.867_771_540_418_822e3,
    -3.986_982_844_450_543e1,
    -4.689_270_299_917_261e3,
    2.593_535_277_438_717e2,
    -2.694_523_589_434_903e3,
    -7.218_487_631_550_215e2,
    1.721_802_063_863_269e2,
];
/// The non-linear parameter of the equation.
const GAMMA: f64 = 3.0;

/// Pressure and potential energy per particle of the published equation. It holds for the whole potential, and
/// from the triple point to five times the critical temperature.
pub fn published(temperature: f64, density: f64) -> (f64, f64) {
    let (t, rho) = (temperature, density);
    let root = t.sqrt();
    let (t2, t3) = (t * t, t * t * t);
    let t4 = t2 * t2;
    let x = |number: usize| X[number - 1];
    let a = [
        x(1) * t + x(2) * root + x(3) + x(4) / t + x(5) / t2,
        x(6) * t + x(7) + x(8) / t + x(9) / t2,
        x(10) * t + x(11) + x(12) / t,
        x(13),
        x(14) / t + x(15) / t2,
        x(16) / t,
        x(17) / t + x(18) / t2,
        x(19) / t2,
    ];
    let b = [
        x(20) / t2 + x(21) / t3,
        x(22) / t2 + x(23) / t4,
        x(24) / t2 + x(25) / t3,
        x(26) / t2 + x(27) / t4,
        x(28) / t2 + x(29) / t3,
        x(30) / t2 + x(31) / t3 + x(32) / t4,
    ];
    let c = [
        x(2) * root / 2.0 + x(3) + 2.0 * x(4) / t + 3.0 * x(5) / t2,
        x(7) + 2.0 * x(8) / t + 3.0 * x(9) / t2,
        x(11) + 2.0 * x(12) / t,
        x(13),
        2.0 * x(14) / t + 3.0 * x(15) / t2,
        2.0 * x(16) / t,
        2.0 * x(17) / t + 3.0 * x(18) / t2,
        3.0 * x(19) / t2,
    ];
    let d = [
        3.0 * x(20) / t2 + 4.0 * x(21) / t3,
        3.0 * x(22) / t2 + 5.0 * x(23) / t4,
        3.0 * x(24) / t2 + 4.0 * x(25) / t3,
        3.0 * x(26) / t2 + 5.0 * x(27) / t4,
        3.0 * x(28) / t2 + 4.0 * x(29) / t3,
        3.0 * x(30) / t2 + 4.0 * x(31) / t3 + 5.0 * x(32) / t4,
    ];
    let decay = exp(-GAMMA * rho * rho);
    let (mut pressure, mut energy) = (rho * t, 0.0);
    let mut power = rho;
    let mut order = 1.0;
    for (a, c) in a.iter().zip(&c) {
        energy += c * power / order;
        power *= rho;
        pressure += a * power;
        order += 1.0;
    }
    // Integrals of rho^(2i-1) exp(-gamma rho^2), each from the one before.
    let mut integral = (1.0 - decay) / (2.0 * GAMMA);
    let (mut even, mut twice) = (1.0, 0.0);
    for (number, (b, d)) in b.iter().zip(&d).enumerate() {
        if number > 0 {
            even *= rho * rho;
            twice += 2.0;
            integral = -(decay * even - twice * integral) / (2.0 * GAMMA);
        }
        energy += d * integral;
        pressure += decay * b * even * rho * rho * rho;
    }
    (pressure, energy)
}

/// The second virial coefficient: the integral -2 pi (exp(-u/T) - 1) r^2 over all distances, by Simpson's rule to
/// r = 12 and beyond it the first term of the series.
pub fn second_virial(temperature: f64) -> f64 {
    let mayer = |r: f64| {
        if r < 0.3 {
            return -r * r;
        }
        let cube = 1.0 / (r * r * r);
        let sixth = cube * cube;
        (exp(-4.0 * sixth * (sixth - 1.0) / temperature) - 1.0) * r * r
    };
    let (end, steps) = (12.0, 24_000_u32);
    let step = end / f64::from(steps);
    let mut sum = mayer(0.0) + mayer(end);
    for number in 1..steps {
        let weight = if number.is_multiple_of(2) { 2.0 } else { 4.0 };
        sum += weight * mayer(f64::from(number) * step);
    }
    let beyond = 4.0 / temperature / (3.0 * end * end * end);
    -2.0 * PI * (sum * step / 3.0 + beyond)
}

/// A fit by weighted least squares: `value = sum of coefficient[k] x^k`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// From the constant on.
    pub coefficients: Vec<f64>,
    /// Their standard errors.
    pub errors: Vec<f64>,
    /// Sum of squared, weighted deviations.
    pub chi_square: f64,
    /// Points minus coefficients.
    pub freedom: usize,
}

/// Fits a polynomial to points (x, value, error).
///
/// # Errors
/// There are fewer points than coefficients, or they do not determine them.
pub fn fit(points: &[(f64, f64, f64)], coefficients: usize) -> Result<Fit, String> {
    if points.len() < coefficients || coefficients == 0 {
        return Err(format!(
            "{} points cannot determine {coefficients} coefficients",
            points.len()
        ));
    }
    let size = coefficients;
    let mut normal = vec![vec![0.0; size]; size];
    let mut right = vec![0.0; size];
    for (x, value, error) in points {
        let weight = 1.0 / (error * error);
        let powers = powers(*x, size);
        for row in 0..size {
            right[row] += weight * powers[row] * value;
            for column in 0..size {
                normal[row][column] += weight * powers[row] * powers[column];
            }
        }
    }
    let lower = cholesky(&normal)?;
    let coefficients = solve(&lower, &right);
    let errors = (0..size)
        .map(|at| {
            let mut unit = vec![0.0; size];
            unit[at] = 1.0;
            solve(&lower, &unit)[at].sqrt()
        })
        .collect();
    let chi_square = points
        .iter()
        .map(|(x, value, error)| {
            let off = (value - polynomial(&coefficients, *x)) / error;
            off * off
        })
        .sum();
    Ok(Fit { coefficients, errors, chi_square, freedom: points.len() - size })
}

fn powers(x: f64, count: usize) -> Vec<f64> {
    let mut power = 1.0;
    (0..count)
        .map(|_| {
            let this = power;
            power *= x;
            this
        })
        .collect()
}

/// The value of a polynomial.
pub fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// The lower triangle whose square the matrix is.
fn cholesky(matrix: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, String> {
    let size = matrix.len();
    let mut lower = vec![vec![0.0_f64; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let sum: f64 = (0..column).map(|k| lower[row][k] * lower[column][k]).sum();
            let rest = matrix[row][column] - sum;
            if row != column {
                lower[row][column] = rest / lower[column][column];
            } else if rest > 1e-13 * matrix[row][row] {
                lower[row][row] = rest.sqrt();
            } else {
                return Err("the points do not determine the coefficients".to_owned());
            }
        }
    }
    Ok(lower)
}

fn solve(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = lower.len();
    let mut middle = vec![0.0; size];
    for row in 0..size {
        let sum: f64 = (0..row).map(|k| lower[row][k] * middle[k]).sum();
        middle[row] = (right[row] - sum) / lower[row][row];
    }
    let mut result = vec![0.0; size];
    for row in (0..size).rev() {
        let sum: f64 = (row + 1..size).map(|k| lower[k][row] * result[k]).sum();
        result[row] = (middle[row] - sum) / lower[row][row];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At low density the published equation must be the second virial coefficient, and energy and pressure must
    /// belong together: (dU/dV)_T = T (dP/dT)_V - P. So the formulas are right; the coefficients they share are not
    /// tested by that beyond the first of them.
    #[test]
    fn the_published_equation_is_typed_in_right() {
        for temperature in [1.0, 1.5, 2.74, 5.0] {
            let rho = 1e-4;
            let (pressure, _) = published(temperature, rho);
            let virial = (pressure / (rho * temperature) - 1.0) / rho;
            let right = second_virial(temperature);
            assert!((virial - right).abs() < 0.06 + 0.02 * right.abs(), "{virial} {right}");
            for density in [0.1, 0.5, 0.8] {
                let step = 1e-5;
                let slope =
                    |f: &dyn Fn(f64) -> f64, x: f64| (f(x + step) - f(x - step)) / (2.0 * step);
                let energy = slope(&|rho| published(temperature, rho).1, density);
                let by_temperature = slope(&|t| published(t, density).0, temperature);
                let pressure = published(temperature, density).0;
                let right = (pressure - temperature * by_temperature) / (density * density);
                assert!((energy - right).abs() < 1e-4 * right.abs().max(1.0), "{energy} {right}");
            }
        }
    }

    #[test]
    fn the_boyle_temperature_is_where_it_is_known_to_be() {
        // 3.418 (Hirschfelder, Curtiss and Bird).
        assert!(second_virial(3.40) < 0.0 && second_virial(3.43) > 0.0);
    }

    #[test]
    fn fits_find_what_was_put_in() {
        let truth = [1.0, -2.0, 0.5, 3.0];
        let mut random = crate::random::Random::new(&[9]);
        let points: Vec<_> = (0..30)
            .map(|at| {
                let x = f64::from(at) / 30.0;
                (x, polynomial(&truth, x) + 0.01 * random.normal(), 0.01)
            })
            .collect();
        let fit = super::fit(&points, 4).unwrap();
        for ((found, error), right) in fit.coefficients.iter().zip(&fit.errors).zip(truth) {
            assert!((found - right).abs() < 4.0 * error, "{fit:?}");
        }
        assert!(fit.chi_square < 60.0 && fit.freedom == 26, "{fit:?}");
        assert!(super::fit(&points[..3], 4).is_err());
        assert!(super::fit(&[(1.0, 1.0, 1.0), (1.0, 2.0, 1.0)], 2).is_err());
    }
}
