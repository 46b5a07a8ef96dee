//! The evaluation of all runs, in four parts, one task each: the mean of every state point, the comparison with
//! published values, the fit of every isotherm, and a plot of them.
//!
//! What it sees of runs that failed: a row in `map.csv` without an output. Their state points are averaged over
//! the runs that are there.

use std::fmt::Write as _;

use door::rows::Rows;

use crate::{
    equation::{Fit, fit, polynomial, published, second_virial},
    plot,
    statistics::{Estimate, of_independent},
};

/// Isotherms below the critical temperature cross the region where gas and liquid coexist, and no polynomial
/// describes them. 1.32 is above every published estimate of it (1.31 and below).
const CRITICAL: f64 = 1.32;
/// Most coefficients of a fit beside the ideal term.
const COEFFICIENTS: usize = 5;

/// The mean of all runs at one state point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Of the bath.
    pub temperature: f64,
    /// Particles per volume.
    pub density: f64,
    /// Number of runs.
    pub runs: usize,
    /// Potential energy per particle.
    pub energy: Estimate,
    /// Pressure.
    pub pressure: Estimate,
}

/// Names of the parts.
pub const PARTS: [&str; 4] = ["points.csv", "comparison.csv", "fits.csv", "isotherms.svg"];

/// One part of the evaluation, of the runs that `map.csv` names.
///
/// # Errors
/// An input is missing or not what it should be, or there is no such part.
pub fn part(table: &str, index: usize) -> Result<String, String> {
    let table = Rows::read(table)?;
    let mut runs = Vec::new();
    for row in 0..table.len() {
        if table.get(row, "status")? == "ok" {
            runs.push(Rows::read(&door::need(table.get(row, "output")?)?)?);
        }
    }
    evaluate(&runs, &Rows::read(&door::need("reference.csv")?)?, index)
}

/// One part of the evaluation of these runs.
///
/// # Errors
/// A table is not what it should be, or there is no such part.
pub fn evaluate(runs: &[Rows], reference: &Rows, index: usize) -> Result<String, String> {
    let points = points(runs)?;
    match index {
        0 => Ok(means(&points)),
        1 => comparison(&points, reference),
        2 => fits(&points),
        3 => plot::isotherms(&points, &isotherms(&points)?),
        _ => Err(format!("the evaluation has four parts, not {}", index + 1)),
    }
}

/// Means over runs that differ by their seed alone, by temperature and density.
///
/// The error is the larger of what the runs say of themselves and what they differ by.
///
/// # Errors
/// A run's output is not what it should be.
pub fn points(runs: &[Rows]) -> Result<Vec<Point>, String> {
    let mut states: Vec<(f64, f64, Vec<[Estimate; 2]>)> = Vec::new();
    for run in runs {
        let read = |column: &str| run.number::<f64>(0, column);
        let (temperature, density) = (read("temperature")?, read("density")?);
        let energy = Estimate { mean: read("energy")?, error: read("energy_error")? };
        let pressure = Estimate { mean: read("pressure")?, error: read("pressure_error")? };
        let same = |state: &&mut (f64, f64, Vec<_>)| state.0 == temperature && state.1 == density;
        match states.iter_mut().find(same) {
            Some((_, _, values)) => values.push([energy, pressure]),
            None => states.push((temperature, density, vec![[energy, pressure]])),
        }
    }
    states.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let point = |(temperature, density, values): (f64, f64, Vec<[Estimate; 2]>)| Point {
        temperature,
        density,
        runs: values.len(),
        energy: together(&values, 0),
        pressure: together(&values, 1),
    };
    Ok(states.into_iter().map(point).collect())
}

fn together(values: &[[Estimate; 2]], which: usize) -> Estimate {
    #[allow(clippy::cast_precision_loss)]
    let count = values.len() as f64;
    let means: Vec<f64> = values.iter().map(|value| value[which].mean).collect();
    let squares: f64 = values.iter().map(|value| value[which].error * value[which].error).sum();
    let own = squares.sqrt() / count;
    match of_independent(&means) {
        None => Estimate { mean: means.iter().sum::<f64>() / count, error: own },
        Some(between) if between.error > own => between,
        Some(between) => Estimate { mean: between.mean, error: own },
    }
}

fn means(points: &[Point]) -> String {
    let mut text =
        "temperature,density,runs,energy,energy_error,pressure,pressure_error\n".to_owned();
    for Point { temperature, density, runs, energy, pressure } in points {
        // Writing to a string cannot fail; the same below.
        let _ = writeln!(
            text,
            "{temperature},{density},{runs},{:.6},{:.6},{:.6},{:.6}",
            energy.mean, energy.error, pressure.mean, pressure.error
        );
    }
    text
}

/// Each state point beside the published values of the same state, and all beside the published equation.
///
/// `sigmas` is the difference in units of its standard error: ours and theirs, where theirs is quoted.
///
/// # Errors
/// The reference table is not what it should be.
pub fn comparison(points: &[Point], reference: &Rows) -> Result<String, String> {
    let mut text =
        "temperature,density,source,quantity,ours,error,published,published_error,sigmas\n"
            .to_owned();
    let mut line =
        |point: &Point, source: &str, quantity: &str, ours: Estimate, theirs: f64, error: f64| {
            let whole = (ours.error * ours.error + error * error).sqrt();
            let sigmas = (ours.mean - theirs) / whole;
            let _ = writeln!(
                text,
                "{},{},{source},{quantity},{:.6},{:.6},{theirs:.6},{error:.6},{sigmas:.2}",
                point.temperature, point.density, ours.mean, ours.error
            );
        };
    for point in points {
        for row in 0..reference.len() {
            let same = reference.number::<f64>(row, "temperature")? == point.temperature
                && reference.number::<f64>(row, "density")? == point.density;
            if !same {
                continue;
            }
            let source = reference.get(row, "source")?;
            for (quantity, ours) in [("energy", point.energy), ("pressure", point.pressure)] {
                let theirs: f64 = reference.number(row, quantity)?;
                let column = format!("{quantity}_error");
                let quoted = reference.get(row, &column)?;
                let error = if quoted.is_empty() { 0.0 } else { reference.number(row, &column)? };
                line(point, source, quantity, ours, theirs, error);
            }
        }
        let (pressure, energy) = published(point.temperature, point.density);
        let source = "Johnson-Zollweg-Gubbins 1993";
        line(point, source, "energy", point.energy, energy, 0.0);
        line(point, source, "pressure", point.pressure, pressure, 0.0);
    }
    Ok(text)
}

/// The fit of one isotherm: compressibility factor as a polynomial in density, `P / (rho T) = 1 + c1 rho + ...`.
#[derive(Clone, Debug, PartialEq)]
pub struct Isotherm {
    /// Its temperature.
    pub temperature: f64,
    /// `coefficients[k]` belongs to the power k + 1.
    pub fit: Fit,
}

impl Isotherm {
    /// Pressure at a density.
    pub fn pressure(&self, density: f64) -> f64 {
        let factor = 1.0 + density * polynomial(&self.fit.coefficients, density);
        density * self.temperature * factor
    }
}

/// Fits every isotherm above the critical temperature that has enough points.
///
/// # Errors
/// The points do not determine a fit.
pub fn isotherms(points: &[Point]) -> Result<Vec<Isotherm>, String> {
    let mut found = Vec::new();
    for group in points.chunk_by(|a, b| a.temperature == b.temperature) {
        let temperature = group[0].temperature;
        if temperature < CRITICAL || group.len() < 3 {
            continue;
        }
        // (Z - 1) / rho, whose constant is the second virial coefficient.
        let reduced: Vec<_> = group
            .iter()
            .map(|point| {
                let unit = point.density * point.density * temperature;
                let value = (point.pressure.mean - point.density * temperature) / unit;
                (point.density, value, point.pressure.error / unit)
            })
            .collect();
        let coefficients = COEFFICIENTS.min(group.len() - 1);
        found.push(Isotherm { temperature, fit: fit(&reduced, coefficients)? });
    }
    Ok(found)
}

fn fits(points: &[Point]) -> Result<String, String> {
    let mut text = "temperature,power,coefficient,error,exact,chi_square,freedom\n".to_owned();
    for isotherm in isotherms(points)? {
        let fit = &isotherm.fit;
        for (at, (coefficient, error)) in fit.coefficients.iter().zip(&fit.errors).enumerate() {
            let exact = if at == 0 {
                format!("{:.5}", second_virial(isotherm.temperature))
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "{},{},{coefficient:.5},{error:.5},{exact},{:.2},{}",
                isotherm.temperature,
                at + 1,
                fit.chi_square,
                fit.freedom
            );
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that scatter around the published equation.
    fn runs() -> Vec<Rows> {
        let mut random = crate::random::Random::new(&[4]);
        let mut runs = Vec::new();
        for temperature in [0.85, 1.5, 2.0] {
            for density in [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7] {
                for seed in 0..4 {
                    let (pressure, energy) = published(temperature, density);
                    let (p, u) =
                        (pressure + 0.01 * random.normal(), energy + 0.01 * random.normal());
                    let text = format!(
                        "{}\n{temperature},{density},{seed},256,1,1,1,{u},0.01,{p},0.01\n",
                        crate::run::HEADER
                    );
                    runs.push(Rows::read(&text).unwrap());
                }
            }
        }
        runs
    }

    #[test]
    fn points_are_means_over_seeds() {
        let points = points(&runs()).unwrap();
        assert_eq!((points.len(), points[0].runs), (21, 4));
        assert!(points.iter().all(|point| (0.005..0.02).contains(&point.energy.error)));
        assert!(means(&points).lines().count() == 22);
    }

    #[test]
    fn isotherms_above_the_critical_point_are_fitted() {
        let points = points(&runs()).unwrap();
        let isotherms = isotherms(&points).unwrap();
        assert_eq!(isotherms.len(), 2);
        for isotherm in &isotherms {
            let right = published(isotherm.temperature, 0.55).0;
            assert!((isotherm.pressure(0.55) - right).abs() < 0.05, "{isotherm:?} {right}");
        }
        assert_eq!(fits(&points).unwrap().lines().count(), 11);
        let svg = plot::isotherms(&points, &isotherms).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<circle").count(), 14);
    }

    #[test]
    fn published_values_of_the_same_state_are_compared_with() {
        let points = points(&runs()).unwrap();
        let reference = Rows::read(
            "source,temperature,density,energy,energy_error,pressure,pressure_error\n\
             somebody,1.5,0.7,-4.0,0.5,2.0,\n",
        )
        .unwrap();
        let text = comparison(&points, &reference).unwrap();
        let table = Rows::read(&text).unwrap();
        assert_eq!(table.len(), 21 * 2 + 2);
        let theirs =
            (0..table.len()).filter(|row| table.get(*row, "source").unwrap() == "somebody");
        assert_eq!(theirs.count(), 2);
        let far = (0..table.len())
            .filter(|row| table.get(*row, "source").unwrap() != "somebody")
            .filter(|row| table.number::<f64>(*row, "sigmas").unwrap().abs() > 3.5);
        assert_eq!(far.count(), 0, "{text}");
    }
}
