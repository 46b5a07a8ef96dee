//! Seeds of `infer`, `infer_program`, `gpu_program`, and those of `worker` that are no plain job: one of every kind of
//! message. Written when `TILTH_WRITE_VECTORS` is set and compared otherwise, so that they stay sound.

use std::{fs, path::Path};

use tilth_protocol::{
    Amount, ContentHash, GpuProgram, GpuReport,
    challenge::{
        self,
        message::{MAX_QUESTION_BYTES, MAX_REPLY_BYTES},
    },
    decode, encode,
    gpu::{BufferRole, Dispatch, Finding, GpuBuffer, GpuClass, Shader},
    infer::{
        Candidate, End, Form, FromModel, Input, Makes, Message, ModelOffer, Parameters, Piece,
        Prices, Prompt, Question, Receipt, Refusal, Reply, Room, Said, Schema, SignedReceipt,
        ToModel,
        message::Ask,
        program::InferProgram,
        schema::{Bounds, Field, Kind, Node},
    },
    worker::{FromWorker, ToWorker},
};

const PRICES: Prices = Prices { input: Amount(1_000_000), output: Amount(3_000_000) };

fn schema() -> Form {
    let node = |kind| Node { kind, or_null: false };
    let field = |key: &str, node, required| Field { key: key.to_owned(), node, required };
    let object = vec![field("rating", 1, true), field("tags", 2, false), field("text", 4, true)];
    let nodes = vec![
        node(Kind::Object(object)),
        node(Kind::Bounded(Bounds { least: Some(0), most: Some(5) })),
        node(Kind::Array(3)),
        node(Kind::Enum(vec!["good".to_owned(), "bad".to_owned()])),
        Node { kind: Kind::String, or_null: true },
    ];
    Form::Schema(Box::new(Schema::new(nodes).unwrap()))
}

/// With everything that may be chosen.
fn parameters() -> Parameters {
    Parameters {
        most: 9,
        temperature: 1 << 16,
        top_k: 40,
        top_p: 60_000,
        seed: 11,
        stream: 1,
        stops: vec!["\n".to_owned(), "end".to_owned()],
        alternatives: Some(2),
        form: schema(),
    }
}

fn chat() -> Prompt {
    let message =
        |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    Prompt::Chat(vec![message("system", "short"), message("user", "how\u{301} many \u{1f33e}?")])
}

fn piece() -> Piece {
    let candidate = |token, bytes: &[u8], log_probability| Candidate {
        token,
        bytes: bytes.to_vec(),
        log_probability,
    };
    let first = candidate(6, b" a", -3);
    let likely = Some((first.clone(), vec![first, candidate(7, b"\xf0\x9f", -70_000)]));
    let said = vec![Said { token: 5, likely: None }, Said { token: 6, likely }];
    Piece { said, text: " upon".to_owned() }
}

fn receipt() -> SignedReceipt {
    let (prompt_tokens, output_tokens) = (7, 2);
    let mut signature = [1; 65];
    signature[64] = 27;
    let receipt = Receipt {
        chain_id: 7,
        node: [1; 20],
        caller: [2; 32],
        nonce: [3; 32],
        model: ContentHash([4; 32]),
        prompt: [5; 32],
        parameters: parameters(),
        output: [6; 32],
        prompt_tokens,
        output_tokens,
        end: End::Length,
        prices: PRICES,
        charge: PRICES.cost(prompt_tokens, output_tokens).unwrap(),
    };
    SignedReceipt { receipt, signature }
}

fn infer() -> Vec<(&'static str, Vec<u8>)> {
    let ask = |prompt, parameters| {
        let (model, nonce) = (ContentHash([4; 32]), [3; 32]);
        encode(&Question::Ask(Box::new(Ask { model, prompt, parameters, prices: PRICES, nonce })))
    };
    let offer = |byte, name: &str, makes, context| ModelOffer {
        model: ContentHash([byte; 32]),
        name: name.to_owned(),
        makes,
        context,
        prices: PRICES,
    };
    let encoder = Makes::Embeddings { dimensions: 384 };
    let offers = vec![offer(4, "small", Makes::Text, 4096), offer(5, "encoder", encoder, 512)];
    let inputs = vec![Input::Text("once".to_owned()), Input::Tokens(vec![5, 6])];
    let (why, text) = (Refusal::TooLong { left: 9 }, "too long".to_owned());
    let (prompt, signed) =
        (serde_json::to_string(&chat()).unwrap(), serde_json::to_string(&receipt()).unwrap());
    let kept = format!(r#"{{"prompt":{prompt},"receipt":{signed}}}"#);
    let ended = Reply::Ended { end: End::Length, receipt: Box::new(receipt()) };
    vec![
        ("infer/who", encode(&Question::Who)),
        ("infer/ask-text", ask(Prompt::Text("upon a time".to_owned()), Parameters::default())),
        ("infer/ask-chat", ask(chat(), parameters())),
        ("infer/ask-inputs", ask(Prompt::Inputs(inputs), Parameters::NONE)),
        ("infer/here", encode(&Reply::Here { node: [1; 20], offers, busy: 1 })),
        ("infer/begun", encode(&Reply::Begun { prompt_tokens: 7 })),
        ("infer/piece", encode(&Reply::Piece(piece()))),
        ("infer/embedding", encode(&Reply::Embedding(vec![1 << 30, -(1 << 29), 0]))),
        ("infer/ended", encode(&ended)),
        ("infer/refused", encode(&Reply::Refused { why, text })),
        ("infer/receipt", encode(&receipt())),
        ("infer/receipt.json", signed.into_bytes()),
        // As `tilth chat` keeps it.
        ("infer/kept.json", kept.into_bytes()),
    ]
}

fn programs() -> Vec<(&'static str, Vec<u8>)> {
    let infer = |parameters| {
        let (model, prompts) = ("model".to_owned(), "prompts".to_owned());
        InferProgram { model, prompts, parameters }.to_bytes()
    };
    let buffer = |name: &str, bytes, role| GpuBuffer { name: name.to_owned(), bytes, role };
    let gpu = GpuProgram {
        class: GpuClass::Exact,
        unit: "megapixel-samples".to_owned(),
        dispatch_seconds: 10,
        shaders: vec![Shader { name: "s".to_owned(), source: "// WGSL".to_owned() }],
        buffers: vec![
            buffer("task", 32, BufferRole::Uniform { words: vec![1, 2, 3, 4] }),
            buffer("scene", 1 << 20, BufferRole::Input { file: "scene.bin".to_owned() }),
            buffer("sums", 4096, BufferRole::Scratch),
            buffer("out", 260, BufferRole::Output { counted: true }),
        ],
        dispatches: vec![Dispatch {
            shader: 0,
            entry: "main".to_owned(),
            bindings: vec![0, 1, 3],
            workgroup: [8, 8, 1],
            workgroups: [10, 10, 1],
            repeat: 32,
            count: 3,
        }],
    };
    vec![
        ("infer_program/plain", infer(Parameters::default())),
        ("infer_program/schema", infer(Parameters { alternatives: None, ..parameters() })),
        ("gpu_program/exact", gpu.to_bytes()),
    ]
}

/// Messages as a stream.
fn frames(messages: &[Vec<u8>]) -> Vec<u8> {
    let frame = |message: &Vec<u8>| {
        let length = u32::try_from(message.len()).unwrap();
        [&length.to_le_bytes()[..], message.as_slice()].concat()
    };
    messages.iter().flat_map(frame).collect()
}

/// What asker and provider of a challenge have said in another seed.
fn read(name: &str) -> Vec<u8> {
    fs::read(corpus().join(name)).unwrap()
}

fn proofs() -> Vec<(&'static str, Vec<u8>)> {
    use challenge::message::{Question, Reply};
    let asked = |name| decode::<Question>(&read(name), MAX_QUESTION_BYTES).unwrap();
    let said = |name| decode::<Reply>(&read(name), MAX_REPLY_BYTES).unwrap();
    let Question::Ask(statement) = asked("question/ask-memory") else { panic!("no statement") };
    let Question::Walk(walk) = asked("question/walk") else { panic!("no walk") };
    let Question::Draw(secret) = asked("question/draw-memory") else { panic!("no secret") };
    let Reply::Committed(commit) = said("reply/committed-products") else { panic!("no roots") };
    let Reply::Opened(openings) = said("reply/opened-products") else { panic!("no openings") };
    let to = [ToWorker::Prove(*statement), ToWorker::Walk(walk), ToWorker::Draw(secret)];
    let from = [
        FromWorker::Committed(commit.said),
        FromWorker::Walked([7; 32]),
        FromWorker::Opened(openings.said),
    ];
    vec![
        ("worker/to-proof", frames(&to.map(|message| encode(&message)))),
        ("worker/from-proof", frames(&from.map(|message| encode(&message)))),
    ]
}

fn models() -> Vec<(&'static str, Vec<u8>)> {
    let room = Room { context: 512, tokens: 4096, running: 4, waiting: 9, threads: 0 };
    let to = [
        ToModel::Load { model: "/in/model".to_owned(), room },
        ToModel::Ask { id: 1, prompt: chat(), parameters: parameters() },
        ToModel::Cancel(1),
    ];
    let (makes, name) = (Makes::Embeddings { dimensions: 384 }, "small".to_owned());
    let (why, text) = (Refusal::TooLong { left: 9 }, "too long".to_owned());
    let from = [
        FromModel::Ready { name, makes, context: 512, weight: 22 },
        FromModel::Begun { id: 1, prompt_tokens: 7 },
        FromModel::Piece { id: 1, piece: piece() },
        FromModel::Embedding { id: 2, embedding: vec![1 << 30, -(1 << 29), 0] },
        FromModel::Ended { id: 1, end: End::Stop },
        FromModel::Refused { id: 3, why, text },
    ];
    let found = Finding { part: "sums".to_owned(), compared: 64, different: 1, replaceable: true };
    let gpu = GpuReport {
        name: "a device".to_owned(),
        driver: "driver 1".to_owned(),
        pci: "0000:01:00.0".to_owned(),
        software: false,
        findings: vec![found],
        exact: true,
    };
    vec![
        ("worker/to-model", frames(&to.map(|message| encode(&ToWorker::Infer(message))))),
        ("worker/from-model", frames(&from.map(|message| encode(&FromWorker::Infer(message))))),
        ("worker/from-gpu", frames(&[encode(&FromWorker::Gpu(Some(gpu)))])),
    ]
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

#[test]
fn seeds_of_messages_and_programs_are_those_committed() {
    for (name, bytes) in [infer(), programs(), proofs(), models()].concat() {
        let path = corpus().join(name);
        if std::env::var_os("TILTH_WRITE_VECTORS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(committed == bytes, "{name} differs: is the change of the encoding meant?");
    }
}
