//! GPU programs on whatever device is there; continuous integration has a Vulkan driver in software.

use std::{
    fs,
    sync::{Arc, OnceLock},
};

use tilth_protocol::{
    GpuProgram, Limits, Status,
    gpu::{BufferRole, Dispatch, GpuBuffer, GpuClass, Shader},
};

use super::{
    artifact::Artifact,
    buffers::PIECE,
    conformance::{examine, judge, program, run},
    device::Device,
    spirv::Replace,
    tasks::GpuTasks,
    translate::translate,
};
use crate::workload::Tasks as _;

/// The functions of `exact.wgsl` in Rust.
#[path = "../../../../guests/path-tracer/src/exact.rs"]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::inconsistent_digit_grouping,
    clippy::excessive_precision,
    clippy::neg_cmp_op_on_partial_ord,
    clippy::approx_constant,
    reason = "it belongs to a workspace with other rules"
)]
mod exact;

/// The device, opened once for all tests; `None`, said aloud, where there is none. `TILTH_REQUIRE_GPU` makes
/// that a failure.
fn device() -> Option<Arc<Device>> {
    static DEVICE: OnceLock<Option<Arc<Device>>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Device::open().unwrap().map(Arc::new)).clone();
    if device.is_none() {
        assert!(std::env::var_os("TILTH_REQUIRE_GPU").is_none(), "Vulkan shows no device");
        eprintln!("SKIPPED: Vulkan shows no device; install mesa-vulkan-drivers and libvulkan1");
    }
    device
}

const INPUT: &str = "data";

/// A program of one shader with the entry point `main`, workgroups of 64, and four buffers at bindings 0 to 3:
/// `frame`, `data`, `scratch`, `out`; those that the shader does not name are left out.
fn simple(class: GpuClass, source: &str, out_bytes: u64) -> GpuProgram {
    let buffer = |name: &str, bytes, role| GpuBuffer { name: name.into(), bytes, role };
    GpuProgram {
        class,
        unit: "million".into(),
        dispatch_seconds: 30,
        shaders: vec![Shader { name: "test".into(), source: source.into() }],
        buffers: vec![
            buffer("frame", 32, BufferRole::Uniform { words: vec![7, 8, 9, 10] }),
            buffer("data", 1 << 16, BufferRole::Input { file: INPUT.into() }),
            buffer("scratch", 256, BufferRole::Scratch),
            buffer("out", out_bytes, BufferRole::Output { counted: false }),
        ],
        dispatches: vec![Dispatch {
            shader: 0,
            entry: "main".into(),
            bindings: vec![0, 1, 2, 3],
            workgroup: [64, 1, 1],
            workgroups: [u32::try_from(out_bytes / 256).unwrap().max(1), 1, 1],
            repeat: 1,
            count: 1,
        }],
    }
}

const HEAD: &str = r"
    @group(0) @binding(0) var<uniform> frame: array<vec4<u32>, 2>;
    @group(0) @binding(1) var<storage, read> data: array<u32>;
    @group(0) @binding(2) var<storage, read_write> scratch: array<u32>;
    @group(0) @binding(3) var<storage, read_write> out: array<u32>;
";

fn body(statements: &str) -> String {
    format!(
        "{HEAD}\n@compute @workgroup_size(64)\n\
         fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {statements} }}"
    )
}

fn limits(program: &GpuProgram) -> Limits {
    Limits {
        unit_cap: program.units(),
        prepare_cap: 0,
        memory_bytes: program.memory_bytes(),
        output_bytes: program.output_bytes(),
    }
}

/// Translates and loads with an input; goes through the artifact's bytes, as agents do.
fn load(device: &Arc<Device>, program: GpuProgram, input: &[u8], replace: Replace) -> GpuTasks {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(INPUT), input).unwrap();
    let limits = limits(&program);
    let artifact = Artifact::from_bytes(&translate(program).unwrap().to_bytes()).unwrap();
    GpuTasks::load(Arc::clone(device), artifact, folder.path(), limits, replace).unwrap()
}

fn words(output: &[u8]) -> Vec<u32> {
    output.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn the_vector_admits_an_exact_device() {
    let Some(device) = device() else { return };
    let verdict = examine(&device).unwrap();
    println!("{:#?}", verdict.report);
    // On other devices the report is the result; it is not for a test to say what they must be.
    assert!(verdict.report.exact || !device.is_software(), "{:#?}", verdict.report);
    // The same shaders without our marks, as the graphics library translates them: what is found is the driver's.
    println!("plain: {:#?}", run(&device, program(GpuClass::Plain), Replace::default()).unwrap());
}

/// What devices do wrong, written out in the vector's own shader: the part that must notice, what stands there, and
/// what such a device does instead.
const WRONG: &[(&str, &str, &str)] = &[
    ("contraction", "bitcast<u32>(a * b + c)", "bitcast<u32>(fused(a, b, c))"),
    ("reassociation", "var r = (a + b) - b;", "var r = a;"),
    ("reassociation", "(a * 1.1f) * 1.3f", "a * (1.1f * 1.3f)"),
    (
        "denormals",
        "r = number(i, 1u, 0u, 1u) * number(i, 2u, 130u, 20u); }",
        "r = number(i, 1u, 0u, 1u) * number(i, 2u, 130u, 20u); }
         if (abs(r) < 1.17549435e-38f) { r = 0.0f; }",
    ),
    ("conversions", "trunc(a) * 0.25f", "floor(a) * 0.25f"),
    (
        "products",
        "for (var k = 0u; k < 256u; k = k + 1u) {",
        "for (var n = 0u; n < 256u; n = n + 1u) { let k = 255u - n;",
    ),
    ("division", "dividend(id.x) / divisor(id.x)", "dividend(id.x) * (1.0f / divisor(id.x))"),
    (
        "square root",
        "bitcast<u32>(sqrt(radicand(id.x)))",
        "bitcast<u32>(radicand(id.x) * (1.0f / sqrt(radicand(id.x))))",
    ),
];

/// A product's rounding error is found and added at the end, as if it had never been rounded.
const FUSED: &str = "
    fn fused(a: f32, b: f32, c: f32) -> f32 {
        let p = a * b;
        let ta = 4097.0f * a;
        let ah = ta - (ta - a);
        let al = a - ah;
        let tb = 4097.0f * b;
        let bh = tb - (tb - b);
        let bl = b - bh;
        return (p + c) + (((ah * bh - p) + ah * bl + al * bh) + al * bl);
    }";

#[test]
fn every_part_of_the_vector_notices_what_it_is_for() {
    let Some(device) = device() else { return };
    if !examine(&device).unwrap().report.exact {
        eprintln!("SKIPPED: {} is not exact", device.info.name);
        return;
    }
    for (part, right, wrong) in WRONG {
        let mut altered = program(GpuClass::Exact);
        let source = &mut altered.shaders[0].source;
        assert_eq!(source.matches(right).count(), 1, "{right}");
        *source = format!("{}{FUSED}", source.replace(right, wrong));
        let findings = run(&device, altered, Replace::default()).unwrap();
        let noticed: Vec<_> = findings.iter().filter(|one| one.different > 0).collect();
        assert!(noticed.len() == 1 && noticed[0].part == *part, "{wrong}: {findings:#?}");
        let verdict = judge(&device, findings.clone());
        // Division and square root can be replaced, the others cannot.
        let Replace { division, square_root } = verdict.replace;
        assert_eq!((division, square_root), (*part == "division", *part == "square root"));
        assert_eq!(verdict.report.exact, division || square_root, "{part}");
    }
    assert!(!judge(&device, Vec::new()).report.exact, "nothing was found");
}

#[test]
fn replaced_division_and_square_root_have_the_same_bits() {
    let Some(device) = device() else { return };
    let both = Replace { division: true, square_root: true };
    let findings = run(&device, program(GpuClass::Exact), both).unwrap();
    for part in findings {
        if part.part.contains("division") || part.part.contains("square root") {
            assert_eq!(part.different, 0, "{part:?}");
        }
    }
    // Vectors, too, which are replaced one by one.
    let source = body(
        "let a = vec4<f32>(f32(i) + 0.5, f32(i * i), 3.0, -7.25);
         let b = vec4<f32>(3.0, 7.0, f32(i) + 1.0, f32(i) - 9.5);
         let q = a / b + sqrt(abs(a)) * 0.25;
         let r = a.xyz / b.xyz + vec3<f32>(sqrt(abs(a.xy)), 1.0);
         out[i * 2u] = bitcast<u32>(q.x + q.y + q.z + q.w);
         out[i * 2u + 1u] = bitcast<u32>(r.x + r.y + r.z);",
    );
    let program = simple(GpuClass::Exact, &source, 512);
    let own = load(&device, program.clone(), &[0; 4], both).compute(0).unwrap();
    assert_eq!(own, load(&device, program, &[0; 4], Replace::default()).compute(0).unwrap());
}

#[test]
fn own_functions_have_the_bits_of_the_guest() {
    let Some(device) = device() else { return };
    if !examine(&device).unwrap().report.exact {
        eprintln!("SKIPPED: {} is not exact", device.info.name);
        return;
    }
    let source = body(
        "let x = bitcast<f32>(data[i]);
         let y = bitcast<f32>(data[(i + 1u) % 4096u]);
         var r = array<f32, 10>(tilth_sin(x), tilth_cos(x), tilth_exp2(x), tilth_exp(x), tilth_log2(x),
             tilth_log(x), tilth_pow(abs(x), y), tilth_atan2(y, x), tilth_acos(x), tilth_pow(abs(y), 1.2));
         for (var k = 0u; k < 10u; k = k + 1u) { out[i * 10u + k] = bitcast<u32>(r[k]); }",
    );
    let mut program = simple(GpuClass::Exact, &source, 4096 * 40);
    program.dispatches[0].workgroups = [64, 1, 1];
    // From tiny to huge, of both signs, with the edges among them.
    let mut numbers: Vec<f32> = (0..4096_u32)
        .map(|i| {
            let h = i.wrapping_mul(2_654_435_761);
            f32::from_bits((h & 0x8000_0000) | ((100 + i % 50) << 23) | (h & 0x007f_ffff))
        })
        .collect();
    let edges = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-40, -1e-40, 1e30, 127.9, 128.0, -149.5, 88.7];
    numbers[..edges.len()].copy_from_slice(&edges);
    let input: Vec<u8> = numbers.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
    for replace in [Replace::default(), Replace { division: true, square_root: true }] {
        let tasks = load(&device, program.clone(), &input, replace);
        let found = words(&tasks.compute(0).unwrap());
        for (i, found) in found.chunks_exact(10).enumerate() {
            let (x, y) = (numbers[i], numbers[(i + 1) % 4096]);
            let due = [
                exact::sin(x),
                exact::cos(x),
                exact::exp2(x),
                exact::exp(x),
                exact::log2(x),
                exact::log(x),
                exact::pow(x.abs(), y),
                exact::atan2(y, x),
                exact::acos(x),
                exact::pow(y.abs(), 1.2),
            ];
            assert_eq!(found, due.map(f32::to_bits), "{x:e} {y:e}: {due:?}");
        }
    }
}

#[test]
fn a_task_sees_its_number_its_constants_and_nothing_of_others() {
    let Some(device) = device() else { return };
    let source = body(
        "if (i == 0u) {
             out[0] = frame[0].x; out[1] = frame[0].y; out[2] = frame[1].x; out[3] = frame[1].w;
             out[4] = scratch[3]; scratch[3] = 5u; out[5] = out[5] + 1u; out[6] = data[0];
             out[7] = arrayLength(&data);
         }",
    );
    for class in [GpuClass::Exact, GpuClass::Plain] {
        let mut program = simple(class, &source, 256);
        program.dispatches[0].repeat = 3;
        let mut tasks = load(&device, program, &[1, 2, 3, 4, 5], Replace::default());
        assert_eq!(tasks.prepare().unwrap().status, Status::Ok);
        for index in [4, 9] {
            let done = tasks.run(index).unwrap().done;
            assert_eq!((done.status, done.index, done.units), (Status::Ok, index, 1));
            // The third repetition is the last; scratch was zero at the beginning of the task alone.
            let input = u32::from_le_bytes([1, 2, 3, 4]);
            assert_eq!(words(&done.output)[..8], [index, 2, 7, 10, 5, 3, input, 2]);
        }
    }
}

/// Three pieces, the last of which ends within a word.
#[test]
fn a_long_input_arrives_in_its_places() {
    const THREADS: usize = 4096;
    let Some(device) = device() else { return };
    let source = body(
        "var sum = 0u;
         for (var j = i; j < arrayLength(&data); j += 4096u) { sum = sum * 31u + data[j]; }
         out[i] = sum;",
    );
    let mut program = simple(GpuClass::Plain, &source, 4 * THREADS as u64);
    program.buffers[1].bytes = 4 * PIECE as u64;
    let byte = |i: usize| i.wrapping_mul(0x9E37_79B9).to_le_bytes()[2];
    let input: Vec<u8> = (0..2 * PIECE + 5).map(byte).collect();
    let found = words(&load(&device, program, &input, Replace::default()).compute(0).unwrap());
    let mut filled = input;
    filled.resize(filled.len().next_multiple_of(4), 0);
    let sent = words(&filled);
    for (i, found) in found.iter().enumerate() {
        let own = sent.iter().skip(i).step_by(THREADS);
        let due = own.fold(0_u32, |sum, word| sum.wrapping_mul(31).wrapping_add(*word));
        assert_eq!(*found, due, "thread {i}");
    }
}

/// Writes outside in the first repetition, reads outside in the second.
#[test]
fn indices_beyond_a_buffer_stay_in_it() {
    let Some(device) = device() else { return };
    let source = body(
        "let far = data[0] + i;
         if (frame[0].y == 0u) { scratch[far] = 7u; out[far] = 9u; return; }
         if (i >= 15u) { return; }
         var own = array<u32, 4>(1u, 2u, 3u, 4u);
         out[i * 4u] = data[far];
         out[i * 4u + 1u] = own[far];
         out[i * 4u + 2u] = scratch[far];
         out[i * 4u + 3u] = scratch[i];",
    );
    let data = [0x4000_0000_u32, 11, 22, 33];
    let input: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
    for class in [GpuClass::Exact, GpuClass::Plain] {
        let mut program = simple(class, &source, 256);
        program.dispatches[0].repeat = 2;
        let found = words(&load(&device, program, &input, Replace::default()).compute(0).unwrap());
        assert_eq!(found.len(), 64);
        let (rows, rest) = found.split_at(60);
        for row in rows.chunks_exact(4) {
            if class == GpuClass::Exact {
                // Cut to the last word of what is indexed.
                assert_eq!(row, [33, 4, 7, 0]);
            } else {
                // The driver may choose: zero, or some word of what is indexed.
                assert!(row[0] == 0 || data.contains(&row[0]), "{row:x?}");
                assert!(
                    row[1] <= 4 && [0, 7].contains(&row[2]) && [0, 7].contains(&row[3]),
                    "{row:x?}"
                );
            }
        }
        if class == GpuClass::Exact {
            assert_eq!(rest, [0, 0, 0, 9]);
        } else {
            assert!(rest.iter().all(|word| [0, 9].contains(word)), "{rest:?}");
        }
    }
}

#[test]
fn a_counted_output_is_as_long_as_it_says_and_fits() {
    let Some(device) = device() else { return };
    let source = body("if (i == 0u) { out[0] = data[0]; out[1] = 0x04030201u; }");
    let mut program = simple(GpuClass::Exact, &source, 256);
    program.buffers[3].role = BufferRole::Output { counted: true };
    for (count, due) in [(0_u32, 0), (3, 3), (252, 252), (253, 252), (u32::MAX, 252)] {
        let tasks = load(&device, program.clone(), &count.to_le_bytes(), Replace::default());
        let output = tasks.compute(0).unwrap();
        assert_eq!(output.len(), due);
        assert_eq!(output[..due.min(3)], [1, 2, 3][..due.min(3)]);
    }
}

#[test]
fn limits_hold() {
    let Some(device) = device() else { return };
    let program = simple(GpuClass::Plain, &body("out[i] = i;"), 256);
    let good = limits(&program);
    let load = |limits, input: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(input), [0; 8]).unwrap();
        let artifact = translate(program.clone()).unwrap();
        GpuTasks::load(Arc::clone(&device), artifact, folder.path(), limits, Replace::default())
    };
    let little = Limits { memory_bytes: good.memory_bytes - 1, ..good };
    assert!(load(little, INPUT).err().unwrap().detail.contains("buffers"));
    let little = Limits { output_bytes: 255, ..good };
    assert!(load(little, INPUT).err().unwrap().detail.contains("outputs"));
    assert!(load(good, "other").err().unwrap().detail.contains("\"data\""));
    let mut many = program.clone();
    many.dispatches[0].count = 1000;
    let dear = Limits { unit_cap: 63, ..good };
    let artifact = translate(many).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(INPUT), [0; 8]).unwrap();
    let mut tasks =
        GpuTasks::load(Arc::clone(&device), artifact, folder.path(), dear, Replace::default())
            .unwrap();
    let done = tasks.run(3).unwrap().done;
    assert_eq!((done.status, done.units, done.output.len()), (Status::OutOfFuel, 63, 0));
}

/// Shaders that are refused, in which class, and what is said.
const REFUSED: &[(&str, Option<GpuClass>, &str)] = &[
    ("out[i] = ;", None, "expected"),
    ("out[i] = 1.5;", None, "automatic conversions"),
    ("out[i] = undefined;", None, "undefined"),
    ("out[i] = bitcast<u32>(sin(f32(i)));", Some(GpuClass::Exact), "tilth_sin"),
    ("out[i] = bitcast<u32>(fma(1.0, 2.0, f32(i)));", Some(GpuClass::Exact), "fma"),
    ("out[i] = bitcast<u32>(max(f32(i), 2.0));", Some(GpuClass::Exact), "select"),
    ("out[i] = bitcast<u32>(length(vec2<f32>(f32(i), 2.0)));", Some(GpuClass::Exact), "length"),
    ("out[i] = bitcast<u32>(f32(i) % 3.0);", Some(GpuClass::Exact), "% of floats"),
    ("out[i] = bitcast<u32>(fract(f32(i)));", Some(GpuClass::Exact), "built-in"),
    ("out[i] = bitcast<u32>(mix(f32(i), 2.0, 0.5));", Some(GpuClass::Exact), "built-in"),
    (
        "let m = mat2x2<f32>(1.0, 2.0, 3.0, f32(i)); out[i] = u32(m[0].x);",
        Some(GpuClass::Exact),
        "matrices",
    ),
    ("out[i] = pack2x16float(vec2<f32>(f32(i), 1.0));", None, "invalid"),
    ("var big: array<u32, 20000>; big[i] = 1u; out[i] = big[i + 1u];", None, "variables"),
];

#[test]
fn shaders_that_break_the_rules_are_refused_with_reasons() {
    for (statements, class, word) in REFUSED {
        for tried in [GpuClass::Exact, GpuClass::Plain] {
            let result = translate(simple(tried, &body(statements), 256));
            if class.is_some_and(|class| class != tried) {
                result.unwrap_or_else(|problem| panic!("{statements}: {problem}"));
                continue;
            }
            let problem = result.expect_err(statements);
            assert!(problem.to_string().contains(word), "{statements}: {problem}");
        }
    }
    let refused = |source: &str, word: &str| {
        let problem = translate(simple(GpuClass::Exact, source, 256)).expect_err(word);
        assert!(problem.to_string().contains(word), "{word}: {problem}");
    };
    let good = body("out[i] = i;");
    refused(&good.replace("fn main", "fn other"), "none of this name");
    refused(&good.replace("size(64)", "size(32)"), "workgroup");
    refused(&body("out[i] = data[i];").replace("storage, read>", "storage, read_write>"), "input");
    refused(&good.replace("@binding(3)", "@binding(9)"), "no buffer");
    refused(&good.replace("@group(0) @binding(3)", "@group(1) @binding(3)"), "group 0");
    let wide = body("out[0] = frame[2].x;").replace("vec4<u32>, 2>", "vec4<u32>, 3>");
    refused(&wide, "too small");
    refused(&format!("{good}\noverride x: u32 = 1u;"), "override");
    refused(&format!("{good}\nvar<workgroup> w: array<u32, 9000>;"), "workgroup");
    refused(&format!("{good}\n@group(0) @binding(7) var t: texture_2d<f32>;"), "textures");
    refused(&format!("{good}\nfn tilth_div(a: u32) -> u32 {{ return a; }}"), "tilth_");
    refused(
        &good.replace(
            "array<u32>;\n    @group(0) @binding(3)",
            "array<atomic<u32>>;\n    @group(0) @binding(3)",
        ),
        "atomics",
    );
    // Deep nesting must not take the stack of whoever reads it.
    refused(&body(&format!("out[i] = {}1u{};", "(".repeat(5_000), ")".repeat(5_000))), "");
}

#[test]
fn artifacts_that_are_not_whole_are_refused() {
    let program = simple(GpuClass::Exact, &body("out[i] = i;"), 256);
    let bytes = translate(program).unwrap().to_bytes();
    for cut in [0, 7, 8, 20, bytes.len() - 1] {
        Artifact::from_bytes(&bytes[..cut]).unwrap_err();
    }
    let mut longer = bytes.clone();
    longer.push(0);
    Artifact::from_bytes(&longer).unwrap_err();
    assert_eq!(Artifact::from_bytes(&bytes).unwrap().to_bytes(), bytes);
}
