use std::{io::Cursor, path::PathBuf};

use tilth_protocol::{
    infer::{
        End, Form, Message, Piece, Prompt, Said, Schema,
        schema::{Bounds, Field, Kind, Node},
    },
    worker::write_frame,
};
use tilth_tensor::import::{Family, synthetic};

use super::*;

const ROOM: Room = Room { context: 200, tokens: 1024, running: 4, waiting: 2, threads: 1 };

fn model(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("model");
    std::fs::write(&path, synthetic(Family::Llama, 9).unwrap()).unwrap();
    path
}

fn load(path: &Path) -> ToModel {
    ToModel::Load { model: path.to_str().unwrap().to_owned(), room: ROOM }
}

fn ask(id: u64, text: &str, parameters: Parameters) -> ToModel {
    ToModel::Ask { id, prompt: Prompt::Text(text.into()), parameters }
}

/// All that a worker says to these orders; it is told to stop when `until` is content.
pub(super) fn talk(orders: Vec<ToModel>, until: impl Fn(&[FromModel]) -> bool) -> Vec<FromModel> {
    let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
    let (mut hear, say) = io::pipe().unwrap();
    let worker = thread::spawn(move || {
        let outbox = Arc::new(Outbox::default());
        let writing = Arc::clone(&outbox);
        let writer = thread::spawn(move || writing.write_to(say));
        let result = serve(near, &outbox);
        outbox.close();
        writer.join().unwrap().unwrap();
        result
    });
    for order in orders {
        write_frame(&mut far, &ToWorker::Infer(order)).unwrap();
    }
    let mut found = Vec::new();
    while let Some(frame) = read_frame::<FromWorker>(&mut hear).unwrap() {
        let FromWorker::Infer(said) = frame else { panic!("{frame:?}") };
        found.push(said);
        if until(&found) {
            break;
        }
    }
    write_frame(&mut far, &ToWorker::Stop).unwrap();
    while read_frame::<FromWorker>(&mut hear).unwrap().is_some() {}
    worker.join().unwrap().unwrap();
    found
}

pub(super) fn ended(found: &[FromModel], count: usize) -> bool {
    let over =
        |said: &&FromModel| matches!(said, FromModel::Ended { .. } | FromModel::Refused { .. });
    found.iter().filter(over).count() == count
}

fn answer(found: &[FromModel], wanted: u64) -> (Vec<Said>, String, Option<End>) {
    let (mut tokens, mut text, mut over) = (Vec::new(), String::new(), None);
    for said in found {
        match said {
            FromModel::Piece { id, piece: Piece { said, text: more } } if *id == wanted => {
                tokens.extend(said.iter().cloned());
                text.push_str(more);
            }
            FromModel::Ended { id, end } if *id == wanted => over = Some(*end),
            _ => {}
        }
    }
    (tokens, text, over)
}

#[test]
fn answers_in_company_are_the_answers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let warm = |seed| Parameters { most: 24, temperature: 60_000, seed, ..Parameters::default() };
    let alone: Vec<_> = (0..4)
        .map(|id| {
            let orders = vec![load(&path), ask(id, "The quick brown", warm(id))];
            answer(&talk(orders, |found| ended(found, 1)), id)
        })
        .collect();
    let mut orders = vec![load(&path)];
    orders.extend((0..4).map(|id| ask(id, "The quick brown", warm(id))));
    let found = talk(orders, |found| ended(found, 4));
    for (id, alone) in (0..).zip(&alone) {
        assert_eq!(&answer(&found, id), alone);
        assert!(!alone.0.is_empty() && alone.2.is_some());
    }
    assert_ne!(alone[0].0, alone[1].0, "seeds make a difference");
}

#[test]
fn what_does_not_fit_is_refused_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let short = Parameters { most: 5, alternatives: Some(3), ..Parameters::default() };
    let chat = vec![Message { role: "user".into(), content: "<|im_end|> hello".into() }];
    let orders = vec![
        load(&path),
        ask(1, &"long ".repeat(100), short.clone()),
        ask(2, "", short.clone()),
        ask(3, "fine", short.clone()),
        ToModel::Ask { id: 4, prompt: Prompt::Chat(chat), parameters: short },
    ];
    let found = talk(orders, |found| ended(found, 4));
    let why = |wanted: u64| {
        found.iter().find_map(|said| match said {
            FromModel::Refused { id, why, .. } if *id == wanted => Some(*why),
            _ => None,
        })
    };
    assert_eq!(why(1), Some(Refusal::TooLong { left: 0 }), "{found:?}");
    assert_eq!(why(2), Some(Refusal::Invalid), "{found:?}");
    for id in [3, 4] {
        let (tokens, _, end) = answer(&found, id);
        assert!((1..=5).contains(&tokens.len()) && end.is_some());
        let likely = tokens[0].likely.as_ref().unwrap();
        assert_eq!((likely.0.token, likely.1.len()), (tokens[0].token, 3));
        assert_eq!(likely.1[0].token, tokens[0].token, "without temperature the likeliest comes");
    }
}

#[test]
fn a_room_without_bounds_is_as_large_as_the_model_and_what_a_prompt_leaves_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let room = Room { context: u32::MAX, tokens: u32::MAX, running: 1, waiting: 0, threads: 1 };
    let load = ToModel::Load { model: path.to_str().unwrap().to_owned(), room };
    let most = |most| Parameters { most, ..Parameters::default() };
    let found = talk(vec![load.clone(), ask(1, "abc", most(1 << 20))], |found| ended(found, 1));
    let FromModel::Ready { context, .. } = &found[0] else { panic!("{found:?}") };
    let FromModel::Refused { why: Refusal::TooLong { left }, .. } = &found[1] else {
        panic!("{found:?}")
    };
    assert!(left < context && *left > 0, "{left} of {context}");
    let found = talk(vec![load, ask(1, "abc", most(*left))], |found| found.len() >= 2);
    let FromModel::Begun { prompt_tokens, .. } = &found[1] else { panic!("{found:?}") };
    assert_eq!(prompt_tokens + left, *context);
}

#[test]
fn cancelled_answers_stop_and_files_that_are_no_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let long = Parameters { most: 150, temperature: 1 << 16, ..Parameters::default() };
    let orders = vec![
        load(&path),
        ask(1, "x", long),
        ToModel::Cancel(1),
        ask(2, "y", Parameters::default()),
    ];
    let found = talk(orders, |found| answer(found, 2).2.is_some());
    assert_eq!(answer(&found, 1).2, None);

    std::fs::write(&path, b"not a model").unwrap();
    let mut input = Vec::new();
    write_frame(&mut input, &ToWorker::Infer(load(&path))).unwrap();
    let outbox = Outbox::default();
    serve(Cursor::new(input), &outbox).unwrap_err();
}

#[test]
fn answers_that_are_to_be_objects_are_that_or_are_cut_off_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let held = |seed, form| Parameters {
        most: 60,
        temperature: 1 << 16,
        seed,
        form,
        alternatives: Some(1),
        ..Parameters::default()
    };
    let ask = |id, form| ask(id, "The quick brown", held(id, form));
    let mut orders = vec![load(&path)];
    orders.extend((0..4).map(|id| ask(id, Form::JsonObject)));
    orders.push(ask(4, Form::Text));
    let found = talk(orders, |found| ended(found, 5));
    for id in 0..4 {
        let (_, text, end) = answer(&found, id);
        let json = text.bytes().try_fold(json::Json::BEGIN, |json, byte| json.with(byte));
        let is_whole = json.unwrap_or_else(|| panic!("{text:?}")).is_whole();
        match end {
            Some(End::Stop) => assert!(is_whole, "{text:?}"),
            Some(End::Length) => assert!(!is_whole && text.starts_with('{'), "{text:?}"),
            None => panic!("{id}: {found:?}"),
        }
    }
    let (said, text, _) = answer(&found, 4);
    assert!(!text.starts_with('{'), "without a form the model says something else: {text:?}");
    // Nobody's company changes what is said, and probabilities are those of all tokens.
    let alone = talk(vec![load(&path), ask(2, Form::JsonObject)], |found| ended(found, 1));
    assert_eq!(answer(&alone, 2), answer(&found, 2));
    let likely = |said: &[Said]| said[0].likely.as_ref().unwrap().1.clone();
    assert_eq!(likely(&answer(&found, 0).0), likely(&said));
}

#[test]
fn answers_that_are_to_keep_to_a_schema_do_or_are_cut_off_before_they_could() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let held = |seed, most, schema: &Schema| Parameters {
        most,
        temperature: 1 << 16,
        seed,
        form: Form::Schema(Box::new(schema.clone())),
        ..Parameters::default()
    };
    let example = shape::tests::example_schema();
    let plain = |kind| Node { kind, or_null: false };
    let field = Field { key: "ok".into(), node: 1, required: true };
    let nodes = vec![plain(Kind::Object(vec![field])), plain(Kind::Boolean)];
    let short = Schema::new(nodes).unwrap();
    let mut orders = vec![load(&path)];
    orders.extend((0..4).map(|id| ask(id, "The quick brown", held(id, 60, &example))));
    // The longest answer has so many bytes, most of them white space.
    orders.extend((4..6).map(|id| ask(id, "x", held(id, 150, &short))));
    let found = talk(orders.clone(), |found| ended(found, 6));
    let shape = shape::Shape::new(example);
    for id in 0..4 {
        let (_, text, end) = answer(&found, id);
        let is_whole = shape::tests::is_whole(&shape, text.as_bytes());
        // A letter that was cut is shown as one that is none.
        let begun = text.trim_end_matches('\u{fffd}');
        assert!(shape::tests::begins(&shape, begun.as_bytes()), "{text:?}");
        assert_eq!(is_whole, end == Some(End::Stop), "{text:?} {end:?}");
        assert!(text.starts_with('{'), "{text:?}");
    }
    for id in 4..6 {
        let (_, text, end) = answer(&found, id);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(end == Some(End::Stop) && value["ok"].is_boolean(), "{text:?}");
        assert_eq!(value.as_object().unwrap().len(), 1);
    }
    // The same alone.
    let alone = talk(vec![orders[0].clone(), orders[3].clone()], |found| ended(found, 1));
    assert_eq!(answer(&alone, 2), answer(&found, 2));
}

#[test]
fn answers_keep_their_whole_numbers_within_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let of = |bounds| {
        let plain = |kind| Node { kind, or_null: false };
        let field = Field { key: "n".into(), node: 1, required: true };
        let nodes = vec![plain(Kind::Object(vec![field])), plain(Kind::Bounded(bounds))];
        Form::Schema(Box::new(Schema::new(nodes).unwrap()))
    };
    let safe = (1_i64 << 53) - 1;
    let all = [(-safe, safe), (17, 17), (-120, -105), (-3, 400), (1_000, 1_049), (0, 3)];
    let mut orders = vec![load(&path)];
    orders.extend((0..).zip(all).map(|(id, (least, most))| {
        let form = of(Bounds { least: Some(least), most: Some(most) });
        // The longest answer has one byte less, most of them white space.
        let (most, temperature) = (160, 1 << 16);
        let held = Parameters { most, temperature, seed: id, form, ..Parameters::default() };
        ask(id, "x", held)
    }));
    let found = talk(orders, |found| ended(found, all.len()));
    for (id, (least, most)) in (0..).zip(all) {
        let (_, text, end) = answer(&found, id);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let number = value["n"].as_i64().unwrap();
        assert!(end == Some(End::Stop) && (least..=most).contains(&number), "{text:?}");
    }
}
