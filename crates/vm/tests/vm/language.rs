//! The integer profile inside the machine: `guests/conformance` and `guests/language-model` as they are committed, with
//! the vector instructions of WebAssembly, against the golden files and the scalar kernels of this processor.

use std::{fs, path::Path, sync::Arc};

use tilth_protocol::{Limits, Status};
use tilth_tensor::{
    blob::Blob,
    engine::{self, Engine, Request},
    import::{Family, synthetic},
    int1::sampling::Sampling,
    kernels::scalar,
    matrix::Machine,
    model::Model,
    workers::Workers,
};
use tilth_vm::{Artifact, admit, compile};

use crate::support::with_session;

const LIMITS: Limits =
    Limits { unit_cap: 20_000, prepare_cap: 1_000, memory_bytes: 64 << 20, output_bytes: 1 << 20 };

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn program(name: &str) -> Artifact {
    let bytes = fs::read(root().join(format!("guests/prebuilt/{name}.wasm"))).unwrap();
    compile(&admit(&bytes).unwrap()).unwrap()
}

/// The outputs of the tasks, all of which must end well.
fn outputs(program: &Artifact, inputs: Option<&Path>, tasks: u32) -> Vec<String> {
    with_session(program, LIMITS, inputs, |session| {
        let prepared = session.prepare().unwrap();
        assert_eq!(prepared.status, Status::Ok, "{:?} {}", prepared.reason, prepared.log.text());
        let one = |index| {
            let outcome = session.run(index).unwrap();
            assert_eq!(outcome.status, Status::Ok, "{:?} {}", outcome.reason, outcome.log.text());
            String::from_utf8(outcome.output).unwrap()
        };
        (0..tasks).map(one).collect()
    })
    .unwrap()
}

#[test]
fn kernels_give_the_golden_results() {
    let golden: String = ["functions.txt", "kernels.txt"]
        .iter()
        .map(|name| fs::read_to_string(root().join("vectors/int1").join(name)).unwrap())
        .collect();
    let program = program("conformance");
    for (output, name) in outputs(&program, None, 2).iter().zip(["scalar", "simd128"]) {
        let (kernels, ours) = output.split_once('\n').unwrap();
        assert_eq!(kernels, name);
        for (ours, golden) in ours.lines().zip(golden.lines()) {
            assert_eq!(ours, golden, "{name}");
        }
        assert_eq!(ours.lines().count(), golden.lines().count(), "{name}");
    }
}

/// What is asked: one token, more than a page of the cache, more than what passes together; greedy and drawn.
fn requests() -> Vec<Request> {
    let one = |length: u32, most, sampling| Request {
        id: 0,
        prompt: (0..length).map(|i| i * 5 % 256).collect(),
        most,
        sampling,
        stops: vec![257],
        alternatives: None,
    };
    let drawn = Sampling { temperature: 60_000, top_k: 0, top_p: 62_000, seed: 11, stream: 0 };
    vec![
        one(1, 24, Sampling::GREEDY),
        one(45, 12, drawn),
        one(150, 40, Sampling { top_k: 40, temperature: 131_072, ..drawn }),
    ]
}

fn row(request: &Request) -> String {
    let words: Vec<String> = request.prompt.iter().map(u32::to_string).collect();
    let Sampling { temperature, top_k, top_p, seed, .. } = request.sampling;
    format!("{},{},257,{temperature},{top_k},{top_p},{seed}\n", words.join(" "), request.most)
}

/// What this processor says with the reference kernels, in the form of a task's output.
fn native(model: &Arc<Model>, request: Request) -> String {
    let machine = Machine { kernels: scalar::KERNELS, workers: Workers::one() };
    let limits = engine::Limits { pages: 8, rows: 64, running: 1, waiting: 1 };
    let mut engine = Engine::new(model.clone(), Arc::new(machine), limits).unwrap();
    engine.submit(request).unwrap();
    let mut words = vec![];
    while !engine.is_idle() {
        words.extend(engine.step().unwrap().iter().map(|event| event.token.to_string()));
    }
    words.join(" ") + "\n"
}

#[test]
fn a_model_says_the_same_inside() {
    let program = program("language-model");
    for family in [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3] {
        let blob = synthetic(family, 7).unwrap();
        let inputs = tempfile::tempdir().unwrap();
        let rows: String = requests().iter().map(row).collect();
        let table = format!("prompt,most,stops,temperature,top_k,top_p,seed\n{rows}");
        fs::write(inputs.path().join("tasks.csv"), table).unwrap();
        fs::write(inputs.path().join("model.blob"), &blob).unwrap();
        let model = Arc::new(Model::open(&Blob::open(Arc::new(blob)).unwrap()).unwrap());
        let native: Vec<String> =
            requests().into_iter().map(|request| native(&model, request)).collect();
        assert_eq!(outputs(&program, Some(inputs.path()), 3), native, "{family:?}");
    }
}

/// A task that asks for what the model cannot do says so in its log and traps, as any faulty task.
#[test]
fn what_cannot_be_answered_is_a_trap_with_a_reason() {
    let inputs = tempfile::tempdir().unwrap();
    fs::write(inputs.path().join("tasks.csv"), "prompt,most\n1,300\n99999,1\n").unwrap();
    fs::write(inputs.path().join("model.blob"), synthetic(Family::Llama, 7).unwrap()).unwrap();
    let program = program("language-model");
    let logs = with_session(&program, LIMITS, Some(inputs.path()), |session| {
        session.prepare().unwrap();
        [0, 1].map(|index| {
            let outcome = session.run(index).unwrap();
            assert_eq!(outcome.status, Status::Trap);
            outcome.log.text()
        })
    })
    .unwrap();
    assert!(logs[0].contains("in a context of 256"), "{}", logs[0]);
    assert!(logs[1].contains("token 99999"), "{}", logs[1]);
}
