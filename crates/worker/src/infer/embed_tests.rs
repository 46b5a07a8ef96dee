use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use tilth_protocol::{
    infer::{Input, Parameters, Prompt, ToModel},
    worker::read_frame,
};
use tilth_tensor::{blob::Pooling, import::synthetic_encoder};

use super::*;
use crate::infer::{
    loaded::mapped,
    tests::{ended, talk},
};

const ROOM: Room = Room { context: 60, tokens: 0, running: 1, waiting: 1, threads: 1 };

fn model(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("model");
    std::fs::write(&path, synthetic_encoder(Pooling::Mean, 9).unwrap()).unwrap();
    path
}

fn load(path: &Path, room: Room) -> ToModel {
    ToModel::Load { model: path.to_str().unwrap().to_owned(), room }
}

fn ask(id: u64, texts: &[&str]) -> ToModel {
    let inputs = texts.iter().map(|text| Input::Text((*text).to_owned())).collect();
    ToModel::Ask { id, prompt: Prompt::Inputs(inputs), parameters: Parameters::NONE }
}

fn embeddings(found: &[FromModel], wanted: u64) -> Vec<Vec<i32>> {
    let one = |said: &FromModel| match said {
        FromModel::Embedding { id, embedding } if *id == wanted => Some(embedding.clone()),
        _ => None,
    };
    found.iter().filter_map(one).collect()
}

fn begun(found: &[FromModel], wanted: u64) -> Option<u32> {
    found.iter().find_map(|said| match said {
        FromModel::Begun { id, prompt_tokens } if *id == wanted => Some(*prompt_tokens),
        _ => None,
    })
}

#[test]
fn embeddings_are_those_of_the_encoder_in_the_order_of_the_inputs_whatever_the_company() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    // Long enough for several turns.
    let many: Vec<String> =
        (0..40).map(|number| format!("the farm {number} {}", "er ".repeat(20))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let orders = vec![load(&path, ROOM), ask(1, &many), ask(2, &["farms", "the farms, and 3"])];
    let found = talk(orders, |found| ended(found, 2));
    let FromModel::Ready { makes, context, .. } = &found[0] else { panic!("{found:?}") };
    let encodes = Encodes::of(&mapped(&path).unwrap()).unwrap();
    let dimensions = u32::try_from(encodes.encoder.dimension()).unwrap();
    assert_eq!((*makes, *context), (Makes::Embeddings { dimensions }, 60));
    let machine = Machine::new(1).unwrap();
    for (id, texts) in [(1, &many[..]), (2, &["farms", "the farms, and 3"][..])] {
        let tokens = |text: &&str| encodes.tokenizer.encode_input(text).unwrap();
        let tokens: Vec<Vec<u32>> = texts.iter().map(tokens).collect();
        let alone = tokens
            .iter()
            .map(|text| encodes.encoder.embed(&[text.as_slice()], &machine).unwrap().remove(0));
        assert_eq!(embeddings(&found, id), alone.collect::<Vec<_>>());
        let count: usize = tokens.iter().map(Vec::len).sum();
        assert_eq!(begun(&found, id), u32::try_from(count).ok());
    }
}

#[test]
fn what_cannot_be_embedded_is_refused_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(&folder);
    let tokens = |id, tokens: Vec<u32>| ToModel::Ask {
        id,
        prompt: Prompt::Inputs(vec![Input::Tokens(tokens)]),
        parameters: Parameters::NONE,
    };
    let text = Prompt::Text("once".into());
    let orders = vec![
        load(&path, ROOM),
        ask(1, &["fine", &"farm ".repeat(80)]),
        tokens(2, vec![5, u32::MAX]),
        ToModel::Ask { id: 3, prompt: text, parameters: Parameters::default() },
        ToModel::Ask { id: 4, prompt: Prompt::Inputs(vec![]), parameters: Parameters::NONE },
        tokens(5, vec![5, 6]),
    ];
    let found = talk(orders, |found| ended(found, 5));
    let why = |wanted: u64| {
        found.iter().find_map(|said| match said {
            FromModel::Refused { id, why, .. } if *id == wanted => Some(*why),
            _ => None,
        })
    };
    assert_eq!(why(1), Some(Refusal::TooLong { left: 0 }), "{found:?}");
    for id in 2..=4 {
        assert_eq!(why(id), Some(Refusal::Invalid), "{id}: {found:?}");
    }
    assert_eq!((why(5), embeddings(&found, 5).len(), begun(&found, 5)), (None, 1, Some(4)));
}

fn desk(folder: &tempfile::TempDir) -> Desk {
    let loaded = Encodes::of(&mapped(&model(folder)).unwrap()).unwrap();
    Desk::new(Arc::new(loaded), ROOM).unwrap()
}

#[test]
fn a_short_question_does_not_wait_for_all_of_a_long_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = desk(&folder);
    let (short, outbox) = (vec![2, 5, 3], Outbox::default());
    desk.take(1, Ok(vec![vec![7; 50]; 25]));
    desk.take(2, Ok(vec![short]));
    let waiting = |desk: &Desk| -> Vec<(u64, usize)> {
        desk.questions.iter().map(|question| (question.id, question.inputs.len())).collect()
    };
    // Ten of fifty tokens are a turn.
    let rounds: [&[(u64, usize)]; 4] = [&[(2, 1), (1, 15)], &[(1, 15)], &[(1, 5)], &[]];
    for left in rounds {
        desk.turn(&outbox).unwrap();
        assert_eq!(waiting(&desk), left);
    }
}

#[test]
fn no_more_than_there_are_places_wait_and_cancelled_ones_give_theirs_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = desk(&folder);
    let inputs = || Ok(vec![vec![2, 5, 3]]);
    let mut take = |id| desk.take(id, inputs());
    assert!(matches!(take(1), FromModel::Begun { prompt_tokens: 3, .. }));
    assert!(matches!(take(2), FromModel::Begun { .. }));
    assert!(matches!(take(3), FromModel::Refused { why: Refusal::Busy, .. }));
    let (orders, inbox) = sync_channel(3);
    orders.send(Order::Cancel(1)).unwrap();
    let parameters = Box::new(Parameters::NONE);
    orders.send(Order::Ask { id: 4, tokens: inputs(), parameters }).unwrap();
    orders.send(Order::Stop).unwrap();
    let outbox = Outbox::default();
    desk.work(&inbox, &outbox).unwrap();
    outbox.close();
    let mut written = Vec::new();
    outbox.write_to(&mut written).unwrap();
    let said = read_frame::<FromWorker>(&mut Cursor::new(written)).unwrap();
    let begun = FromModel::Begun { id: 4, prompt_tokens: 3 };
    assert_eq!(said, Some(FromWorker::Infer(begun)));
}
