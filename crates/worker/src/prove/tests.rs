use tilth_protocol::challenge::{
    Beacon, Hash, MemoryTask, ProductTask, Secret, Statement, Subject, Task, prove::Reference,
};

use super::*;

fn statement(task: Task) -> Statement {
    Statement {
        subject: Subject { node: [1; 20], endpoint: [2; 32], device: CPU.into() },
        asker: [3; 32],
        beacon: Beacon { chain_id: 4, block: 5, hash: [6; 32] },
        nonce: [7; 32],
        promise: Secret([8; 32]).promise(),
        task,
    }
}

/// Everything that a worker says to these orders, and whether it ended well.
fn converse(engine: impl Engine, orders: &[ToWorker]) -> (Vec<FromWorker>, bool) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    orders.iter().for_each(|order| write_frame(&mut input, order).unwrap());
    let ended = answer(engine, input.as_slice(), &mut output);
    let mut said = Vec::new();
    let mut output = output.as_slice();
    while let Some(frame) = read_frame(&mut output).unwrap() {
        said.push(frame);
    }
    (said, ended.is_ok())
}

const PRODUCTS: Task = Task::Products(ProductTask { order: 128, rounds: 3, samples: 40 });
const MEMORY: Task = Task::Memory(MemoryTask {
    lanes: 1024,
    depth: 24,
    walks: 200,
    steps: 5,
    samples: 30,
    walk_samples: 7,
});

#[test]
fn every_number_of_threads_gives_the_reference_answer() {
    let secret = Secret([8; 32]);
    for task in [PRODUCTS, MEMORY] {
        let mut orders = vec![ToWorker::Prove(statement(task))];
        if matches!(task, Task::Memory(_)) {
            orders.push(ToWorker::Walk(secret.walk()));
        }
        orders.push(ToWorker::Draw(secret));
        let (due, ended) = converse(Reference::default(), &orders);
        assert!(ended && due.len() == orders.len());
        for threads in [1, 2, 3, 7] {
            assert_eq!(converse(cpu::Cpu::new(threads), &orders), (due.clone(), true));
        }
    }
}

#[test]
fn what_comes_out_of_turn_ends_the_worker() {
    let secret = Secret([8; 32]);
    let prove = |task| ToWorker::Prove(statement(task));
    let small = ProductTask { order: 64, rounds: 1, samples: 1 };
    let wrong = Task::Products(ProductTask { order: 63, ..small });
    let small = Task::Products(small);
    for orders in [
        vec![ToWorker::Draw(secret)],
        vec![ToWorker::Walk(Hash::default())],
        vec![ToWorker::Run { from: 0, count: 1 }],
        vec![prove(wrong)],
        vec![prove(small), prove(small)],
        vec![prove(small), ToWorker::Walk(secret.walk())],
        vec![prove(MEMORY), ToWorker::Draw(secret)],
        vec![prove(MEMORY), ToWorker::Walk(secret.walk()), ToWorker::Walk(secret.walk())],
    ] {
        let (said, ended) = converse(cpu::Cpu::new(2), &orders);
        assert!(matches!(said.last(), Some(FromWorker::Failed(_))), "{orders:?}");
        assert!(!ended);
    }
    assert_eq!(converse(cpu::Cpu::new(2), &[prove(small), ToWorker::Stop]).0.len(), 1);
}
