//! The seeds of the fuzz targets `question`, `reply` and `transcript`: one of every kind, out of real conversations.
//! Written when `TILTH_WRITE_VECTORS` is set and compared otherwise, so that they stay sound.

use std::{fs, path::Path};

use tilth_protocol::{
    challenge::{
        MemoryTask, ProductTask, Task,
        message::{DeviceOffer, Question, Refusal, Reply},
        prove::Reference,
    },
    encode,
};

use crate::world::{MEMORY, converse};

/// Small enough that mutations hit something that matters.
const SMALL: ProductTask = ProductTask { order: 64, rounds: 2, samples: 3 };
const LITTLE: MemoryTask = MemoryTask { depth: 3, walks: 4, samples: 2, walk_samples: 1, ..MEMORY };

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![("question/who".to_owned(), encode(&Question::Who))];
    let offer = |name: &str| DeviceOffer {
        name: name.to_owned(),
        model: "a model".to_owned(),
        class_bits: 0x301,
        memory_mib: 2_048,
    };
    let here = Reply::Here { node: [1; 20], devices: vec![offer("cpu"), offer("gpu")] };
    let why = Refusal::TooLong;
    let refused = Reply::Refused { why, after_seconds: 7, text: "why not".to_owned() };
    seeds.push(("reply/here".to_owned(), encode(&here)));
    seeds.push(("reply/refused".to_owned(), encode(&refused)));
    for (name, task) in [("products", Task::Products(SMALL)), ("memory", Task::Memory(LITTLE))] {
        let transcript = converse(Reference::default(), task, 1);
        let secret = transcript.secret;
        seeds.push((format!("transcript/{name}"), transcript.to_bytes()));
        let statement = Box::new(transcript.statement);
        seeds.push((format!("question/ask-{name}"), encode(&Question::Ask(statement))));
        seeds.push((
            format!("reply/committed-{name}"),
            encode(&Reply::Committed(transcript.commit)),
        ));
        if let Some(ends) = transcript.ends {
            seeds.push(("question/walk".to_owned(), encode(&Question::Walk(secret.walk()))));
            seeds.push(("reply/walked".to_owned(), encode(&Reply::Walked(ends))));
        }
        let openings = Reply::Opened(Box::new(transcript.openings));
        seeds.push((format!("reply/opened-{name}"), encode(&openings)));
        seeds.push((format!("question/draw-{name}"), encode(&Question::Draw(secret))));
    }
    seeds
}

#[test]
fn seeds_of_fuzz_targets_are_those_committed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, bytes) in seeds() {
        let path = corpus.join(&name);
        if std::env::var_os("TILTH_WRITE_VECTORS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(committed == bytes, "{name} differs: is the change of the encoding meant?");
    }
}
