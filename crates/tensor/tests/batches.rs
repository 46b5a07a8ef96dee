//! Nobody's bits depend on who else is there, on threads, on kernels, or on how a prompt was cut.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tilth_tensor::blob::Blob;
use tilth_tensor::engine::{End, Engine, Event, Limits, Request};
use tilth_tensor::import::{Family, synthetic};
use tilth_tensor::int1::sampling::Sampling;
use tilth_tensor::kernels::Kernels;
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::Model;
use tilth_tensor::workers::Workers;

const FAMILIES: [Family; 4] = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma3];

fn model(family: Family) -> Arc<Model> {
    let blob = Blob::open(Arc::new(synthetic(family, 7).unwrap())).unwrap();
    Arc::new(Model::open(&blob).unwrap())
}

fn machine(kernels: Kernels, threads: usize) -> Arc<Machine> {
    Arc::new(Machine { kernels, workers: Workers::new(threads).unwrap() })
}

/// Everything that each sequence said.
fn run(
    model: &Arc<Model>,
    machine: Arc<Machine>,
    limits: Limits,
    requests: &[Request],
) -> BTreeMap<u64, Vec<Event>> {
    let mut engine = Engine::new(model.clone(), machine, limits).unwrap();
    for request in requests {
        engine.submit(request.clone()).unwrap();
    }
    let mut said: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            said.entry(event.id).or_default().push(event);
        }
    }
    said
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let one = (
        prop::collection::vec(0u32..260, 1..70),
        1usize..12,
        prop_oneof![Just(0u32), 1u32..200_000],
        any::<u64>(),
        0u32..50,
        0u32..70_000,
    );
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let with_ids = (0u64..).zip(all);
        with_ids
            .map(|(id, (prompt, most, temperature, seed, top_k, top_p))| Request {
                id,
                prompt,
                most,
                sampling: Sampling { temperature, top_k, top_p, seed, stream: 0 },
                stops: vec![257],
                alternatives: Some(3),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_batch_is_the_single_run(
        requests in requests(),
        family in 0usize..4,
        rows in 1usize..80,
        running in 1usize..6,
        more_pages in 0usize..12,
        threads in 1usize..4,
    ) {
        let model = model(FAMILIES[family]);
        let alone = Limits { pages: 8, rows: 256, running: 1, waiting: 1 };
        let reference = machine(tilth_tensor::kernels::scalar::KERNELS, 1);
        let mut expected = BTreeMap::new();
        for request in &requests {
            expected.extend(run(&model, reference.clone(), alone, std::slice::from_ref(request)));
        }
        let limits = Limits { pages: 3 + more_pages, rows, running, waiting: 9 };
        let together = run(&model, machine(Kernels::detect(), threads), limits, &requests);
        prop_assert_eq!(together, expected);
    }
}

/// The same tokens and log-probabilities for ever: whoever changes these changes the protocol.
#[test]
fn golden() {
    let request = |id| Request {
        id,
        prompt: (0..45).map(|i| i * 5 % 256).collect(),
        most: 12,
        sampling: if id == 0 {
            Sampling::GREEDY
        } else {
            Sampling { temperature: 60_000, top_k: 0, top_p: 62_000, seed: 11, stream: 3 }
        },
        stops: vec![],
        alternatives: Some(1),
    };
    let limits = Limits { pages: 8, rows: 64, running: 2, waiting: 2 };
    let mut lines = vec![];
    for family in FAMILIES {
        let said =
            run(&model(family), machine(Kernels::detect(), 1), limits, &[request(0), request(1)]);
        for (id, events) in said {
            assert_eq!(events.last().unwrap().end, Some(End::Length));
            let tokens: Vec<(u32, i32)> =
                events.iter().map(|e| (e.token, e.log_probability.as_ref().unwrap().0)).collect();
            lines.push(format!("{family:?} {id} {tokens:?}"));
        }
    }
    let id = Blob::open(Arc::new(synthetic(Family::Llama, 7).unwrap())).unwrap().id();
    lines.push(format!("blob {id}"));
    assert_eq!(lines.join("\n") + "\n", include_str!("../../../vectors/int1/synthetic.txt"));
}

#[test]
fn what_cannot_run_is_refused() {
    let limits = Limits { pages: 2, rows: 8, running: 1, waiting: 1 };
    let mut engine =
        Engine::new(model(Family::Llama), machine(Kernels::detect(), 1), limits).unwrap();
    let request = Request {
        id: 1,
        prompt: vec![1; 60],
        most: 4,
        sampling: Sampling::GREEDY,
        stops: vec![],
        alternatives: None,
    };
    let detail = |engine: &mut Engine, request: Request| engine.submit(request).unwrap_err().detail;
    assert!(
        detail(&mut engine, Request { most: 5, ..request.clone() }).contains("in a context of 64")
    );
    assert!(detail(&mut engine, Request { prompt: vec![], ..request.clone() }).contains("empty"));
    assert!(
        detail(&mut engine, Request { prompt: vec![260], ..request.clone() }).contains("token 260")
    );
    assert!(
        detail(&mut engine, Request { most: usize::MAX, ..request.clone() })
            .contains("more in a context")
    );
    engine.submit(request.clone()).unwrap();
    assert!(detail(&mut engine, request.clone()).contains("is taken"));
    assert!(detail(&mut engine, Request { id: 2, ..request.clone() }).contains("wait already"));
    // A cancelled sequence gives its pages back, in the queue and at work.
    engine.step().unwrap();
    engine.cancel(1);
    assert!(engine.is_idle());
    engine.submit(request).unwrap();
    engine.cancel(1);
    assert!(engine.is_idle() && engine.step().unwrap().is_empty());
}
