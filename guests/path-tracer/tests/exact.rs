//! The functions of `exact.rs` against those of `libm` in double precision. (Here and not beside them, for the worker's
//! tests compile that file, too.)

use path_tracer::exact::{acos, atan2, cos, exp, exp2, log, log2, pow, sin};

/// Largest error in units of the last place of the right value, over even steps.
fn worst(f: fn(f32) -> f32, right: fn(f64) -> f64, low: f32, high: f32) -> f64 {
    let steps = 20_000;
    let mut worst = 0.0_f64;
    for i in 0..=steps {
        let x = low + (high - low) * (i as f32 / steps as f32);
        let (got, want) = (f64::from(f(x)), right(f64::from(x)));
        let near = want as f32;
        let unit =
            f64::from(f32::from_bits(near.abs().max(1e-30).to_bits() + 1) - near.abs().max(1e-30));
        // Near a zero the error is measured against a thousandth.
        worst = worst.max((got - want).abs() / unit.max(1.2e-10));
    }
    worst
}

#[test]
fn errors_are_a_few_units_in_the_last_place() {
    assert!(worst(sin, libm::sin, -7.0, 7.0) < 4.0);
    assert!(worst(cos, libm::cos, -7.0, 7.0) < 4.0);
    assert!(worst(exp2, libm::exp2, -100.0, 100.0) < 3.0);
    assert!(worst(exp, libm::exp, -80.0, 80.0) < 3.0);
    assert!(worst(log2, libm::log2, 1e-6, 40.0) < 4.0);
    assert!(worst(log, libm::log, 1e-6, 40.0) < 4.0);
    assert!(worst(acos, libm::acos, -1.0, 1.0) < 6.0);
    assert!(worst(|x| atan2(x, -1.0), |x| libm::atan2(x, -1.0), -9.0, 9.0) < 4.0);
    assert!(worst(|x| pow(x, 1.2), |x| libm::pow(x, f64::from(1.2_f32)), 0.001, 4.0) < 20.0);
}

#[test]
fn edges_have_stated_results() {
    assert_eq!((sin(1e9), cos(f32::INFINITY), sin(0.0)), (0.0, 1.0, 0.0));
    assert_eq!((exp2(128.0), exp2(-151.0), exp2(-149.0)), (f32::INFINITY, 0.0, f32::from_bits(1)));
    assert_eq!((log2(0.0), log2(1.0), log2(f32::from_bits(1))), (f32::NEG_INFINITY, 0.0, -149.0));
    assert_eq!((pow(0.0, 0.0), pow(0.0, 2.0), pow(3.0, 0.0)), (1.0, 0.0, 1.0));
    assert_eq!((atan2(0.0, 0.0), acos(2.0), acos(1.0)), (0.0, 0.0, 0.0));
    assert_eq!((exp(f32::NAN), exp(-200.0)), (f32::INFINITY, 0.0));
}
