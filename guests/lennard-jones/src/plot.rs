//! A plot of isotherms as SVG: points with their errors, and the fits through them.

use std::fmt::Write as _;

use crate::reduce::{Isotherm, Point};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 480.0;
/// Room for axes and their labels: left, right, top, bottom.
const ROOM: [f64; 4] = [64.0, 96.0, 36.0, 48.0];
/// Distinguishable without red and green (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// Where things are.
struct Frame {
    x: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn across(&self, density: f64) -> f64 {
        ROOM[0] + density / self.x * (WIDTH - ROOM[0] - ROOM[1])
    }

    fn up(&self, pressure: f64) -> f64 {
        let part = (pressure - self.low) / (self.high - self.low);
        HEIGHT - ROOM[3] - part * (HEIGHT - ROOM[2] - ROOM[3])
    }
}

/// Pressure over density, an isotherm per colour.
///
/// # Errors
/// There is no isotherm to show.
pub fn isotherms(points: &[Point], fits: &[Isotherm]) -> Result<String, String> {
    let of = |fit: &Isotherm| {
        let temperature = fit.temperature;
        points.iter().filter(move |point| point.temperature == temperature)
    };
    let shown: Vec<&Point> = fits.iter().flat_map(of).collect();
    if shown.is_empty() {
        return Err("there is no isotherm above the critical temperature to plot".to_owned());
    }
    let largest = |value: fn(&Point) -> f64| shown.iter().map(|p| value(p)).fold(0.0, f64::max);
    let high = largest(|point| point.pressure.mean + point.pressure.error);
    let low = shown.iter().map(|point| point.pressure.mean).fold(0.0, f64::min);
    let frame =
        Frame { x: 1.05 * largest(|point| point.density), low, high: low + 1.05 * (high - low) };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"22\" font-size=\"15\">Lennard-Jones fluid: pressure over density</text>\n",
        ROOM[0]
    );
    axes(&mut svg, &frame);
    for (number, fit) in fits.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let last = of(fit).map(|point| point.density).fold(0.0, f64::max);
        let mut line = String::new();
        for step in 0..=80 {
            let density = last * f64::from(step) / 80.0;
            let _ = write!(
                line,
                "{:.1},{:.1} ",
                frame.across(density),
                frame.up(fit.pressure(density))
            );
        }
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            line.trim_end()
        );
        for point in of(fit) {
            mark(&mut svg, &frame, point, colour);
        }
        let (x, y) = (frame.across(last) + 10.0, frame.up(fit.pressure(last)) + 4.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">T = {}</text>",
            fit.temperature
        );
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn mark(svg: &mut String, frame: &Frame, point: &Point, colour: &str) {
    let (x, y) = (frame.across(point.density), frame.up(point.pressure.mean));
    let (mean, error) = (point.pressure.mean, point.pressure.error);
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\
         <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        frame.up(mean - error),
        frame.up(mean + error)
    );
}

fn axes(svg: &mut String, frame: &Frame) {
    let (left, right) = (ROOM[0], WIDTH - ROOM[1]);
    let (top, bottom) = (ROOM[2], HEIGHT - ROOM[3]);
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">density</text>\n\
         <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">pressure</text>",
        (left + right) / 2.0,
        HEIGHT - 10.0,
        (top + bottom) / 2.0
    );
    for (tick, digits) in ticks(0.0, frame.x) {
        let x = frame.across(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {bottom}v5\" stroke=\"black\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick:.digits$}</text>",
            bottom + 19.0
        );
    }
    for (tick, digits) in ticks(frame.low, frame.high) {
        let y = frame.up(tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}h-5\" stroke=\"black\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.digits$}</text>",
            left - 9.0,
            y + 4.0
        );
    }
}

/// Round numbers in a range, four to ten of them, with the digits that they need.
fn ticks(low: f64, high: f64) -> Vec<(f64, usize)> {
    let sizes = [(0.001, 3), (0.01, 2), (0.1, 1), (1.0, 0), (10.0, 0), (100.0, 0)];
    let steps = sizes.iter().flat_map(|(size, digits)| {
        [(*size, *digits), (2.0 * size, *digits), (5.0 * size, *digits)]
    });
    let fits = |(step, _): &(f64, usize)| (high - low) / step <= 9.0;
    let (step, digits) = steps.into_iter().find(fits).unwrap_or((1000.0, 0));
    let mut found = Vec::new();
    let mut at = (low / step).ceil();
    while at * step <= high && found.len() < 12 {
        found.push((at * step, digits));
        at += 1.0;
    }
    found
}
