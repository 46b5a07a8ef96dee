//! Is this device exact? A vector of operations is run on it and compared, bit by bit, with the CPU.

use std::{path::Path, sync::Arc};

use tilth_protocol::{
    GpuProgram, GpuReport, Limits, Problem,
    gpu::{BufferRole, Dispatch, Finding, GpuBuffer, GpuClass, Shader},
};

use super::{device::Device, spirv::Replace, tasks::GpuTasks, translate::translate};

const SOURCE: &str = include_str!("conformance.wgsl");
/// Results of each part, in workgroups of 64; of the matrix product 64 rows by 64 columns.
const RESULTS: u32 = 16_384;
const WORKGROUP: u32 = 64;
const PRODUCTS: u32 = 64 * 64;

/// A part of the vector.
struct Part {
    /// Its entry point.
    entry: &'static str,
    /// Exact programs can do without it.
    replaceable: bool,
    results: u32,
    reference: fn(u32) -> u32,
}

const fn part(entry: &'static str, reference: fn(u32) -> u32) -> Part {
    Part { entry, replaceable: false, results: RESULTS, reference }
}

const PARTS: [Part; 9] = [
    part("contraction", contraction),
    part("reassociation", reassociation),
    part("denormals", denormals),
    part("conversions", conversions),
    Part { results: PRODUCTS, ..part("products", products) },
    Part { replaceable: true, ..part("division", division) },
    Part { replaceable: true, ..part("square_root", square_root) },
    part("own_division", division),
    part("own_square_root", square_root),
];

/// What a device is, and what of it exact programs do without.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) report: GpuReport,
    pub(crate) replace: Replace,
}

/// Runs the vector.
pub(crate) fn examine(device: &Arc<Device>) -> Result<Verdict, Problem> {
    let findings = if device.takes_spirv {
        run(device, program(GpuClass::Exact), Replace::default())?
    } else {
        Vec::new()
    };
    Ok(judge(device, findings))
}

/// What findings mean. None at all: nothing was promised.
pub(super) fn judge(device: &Device, findings: Vec<Finding>) -> Verdict {
    let held = |part: &Finding| part.different == 0;
    let exact = !findings.is_empty() && findings.iter().all(|part| held(part) || part.replaceable);
    let lacks = |name: &str| findings.iter().any(|part| part.part == name && !held(part));
    let replace = Replace { division: lacks("division"), square_root: lacks("square root") };
    let report = GpuReport {
        name: device.info.name.clone(),
        driver: device.driver(),
        pci: device.info.device_pci_bus_id.clone(),
        software: device.is_software(),
        findings,
        exact,
    };
    Verdict { report, replace }
}

/// The vector as a program like any other.
pub(super) fn program(class: GpuClass) -> GpuProgram {
    let output = |part: &Part| GpuBuffer {
        name: part.entry.into(),
        bytes: u64::from(part.results) * 4,
        role: BufferRole::Output { counted: false },
    };
    let dispatch = |(number, part): (u16, &Part)| Dispatch {
        shader: 0,
        entry: part.entry.into(),
        bindings: vec![number],
        workgroup: [WORKGROUP, 1, 1],
        workgroups: [part.results / WORKGROUP, 1, 1],
        repeat: 1,
        count: 1,
    };
    let mut source = SOURCE.to_owned();
    if class == GpuClass::Plain {
        source.push_str(super::translate::EXACT);
    }
    GpuProgram {
        class,
        unit: "million results".into(),
        dispatch_seconds: 60,
        shaders: vec![Shader { name: "conformance".into(), source }],
        buffers: PARTS.iter().map(output).collect(),
        dispatches: (0..).zip(&PARTS).map(dispatch).collect(),
    }
}

pub(super) fn run(
    device: &Arc<Device>,
    program: GpuProgram,
    replace: Replace,
) -> Result<Vec<Finding>, Problem> {
    let limits = Limits {
        unit_cap: program.units(),
        prepare_cap: 0,
        memory_bytes: program.memory_bytes(),
        output_bytes: program.output_bytes(),
    };
    let artifact = translate(program)?;
    let device = Arc::clone(device);
    let tasks = GpuTasks::load(device, artifact, Path::new(""), limits, replace)?;
    let output = tasks.compute(0)?;
    let mut results = output.chunks_exact(4);
    let find = |part: &Part| {
        let wrong = (0..part.results)
            .zip(results.by_ref())
            .filter(|(index, bits)| **bits != (part.reference)(*index).to_le_bytes());
        let different = u32::try_from(wrong.count()).unwrap_or(u32::MAX);
        let name = part.entry.replace('_', " ");
        Finding { part: name, compared: part.results, different, replaceable: part.replaceable }
    };
    Ok(PARTS.iter().map(find).collect())
}

// The reference: conformance.wgsl, line by line.

fn scramble(seed: u32) -> u32 {
    let mut x = seed;
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

fn number(i: u32, salt: u32, low: u32, span: u32) -> f32 {
    let h = scramble(i.wrapping_add(salt.wrapping_mul(0x9e37_79b9)));
    let m = scramble(h ^ 0x85eb_ca6b);
    let exponent = low + (h & 0x7fff_ffff) % span;
    f32::from_bits((h & 0x8000_0000) | (exponent << 23) | (m & 0x007f_ffff))
}

fn contraction(i: u32) -> u32 {
    let (a, b) = (number(i, 1, 125, 4), number(i, 2, 125, 4));
    (a * b + number(i, 3, 123, 8)).to_bits()
}

fn reassociation(i: u32) -> u32 {
    let (a, b) = (number(i, 1, 124, 6), number(i, 2, 124, 6));
    let r = match i % 4 {
        1 => (a * 1.1) * 1.3,
        2 => (a + 0.1) + 0.3,
        3 => a * b + a * 0.7,
        _ => (a + b) - b,
    };
    r.to_bits()
}

fn denormals(i: u32) -> u32 {
    let r = match i % 3 {
        1 => number(i, 1, 0, 3) + number(i, 2, 0, 3),
        2 => number(i, 1, 0, 1) * number(i, 2, 130, 20),
        _ => number(i, 1, 50, 20) * number(i, 2, 50, 20),
    };
    r.to_bits()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "conversions are what is examined; all are in range"
)]
fn conversions(i: u32) -> u32 {
    let h = scramble(i);
    let a = number(i, 1, 120, 36);
    match i % 5 {
        1 => ((h.cast_signed() >> (i % 9)) as f32).to_bits(),
        2 => (a as i32).cast_unsigned(),
        3 => a.abs() as u32,
        4 => (a.floor() + a.ceil() * 0.5 + a.trunc() * 0.25).to_bits(),
        _ => ((h >> (i % 9)) as f32).to_bits(),
    }
}

fn products(i: u32) -> u32 {
    let (row, column) = (i / 64, i % 64);
    let mut sum = 0.0;
    for k in 0..256 {
        sum += number(row * 256 + k, 1, 120, 10) * number(k * 64 + column, 2, 120, 10);
    }
    sum.to_bits()
}

fn operand(i: u32, salt: u32) -> f32 {
    if i % 2 == 1 { number(i, salt, 0, 255) } else { number(i, salt, 124, 6) }
}

fn division(i: u32) -> u32 {
    (operand(i, 1) / operand(i, 2)).to_bits()
}

fn square_root(i: u32) -> u32 {
    operand(i, 1).abs().sqrt().to_bits()
}
