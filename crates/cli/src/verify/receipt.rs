//! `tilth verify --receipt`: computes an answer again and compares it with its receipt, bit by bit.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use alloy::primitives::Address;
use serde_json::{Value, json};
use tilth_gateway::{parameters_with, prompt_with};
use tilth_protocol::{
    ContentHash, Harmless, Problem,
    infer::{
        Parameters, Prices, Prompt, Receipt, Room, SignedReceipt, check_question, embed::single,
    },
};
use tilth_provider::infer::{Made, Model, NotComputed, compute, hash_file, start_here};
use tilth_tensor::{cache::Shape, int1::attention::PAGE, shelf::entry};
use tilth_verification::receipt::{Again, Fault, Heard, compare, signer};

use crate::{Ended, args::Common, print_json, up::own_command};

/// Largest file that is read: an answer with log-probabilities of a long context.
const MAX_FILE: u64 = 256 << 20;
/// What is looked for.
const WHICH: &str = "name a file of `tilth chat --receipts`, or a whole answer of a gateway";

/// An answer that somebody was given.
#[derive(Debug)]
pub(super) struct Answer {
    /// The receipt's file.
    pub(super) receipt: PathBuf,
    /// The model's blob.
    pub(super) model: PathBuf,
    /// The question's file, if it is not in the receipt's.
    pub(super) question: Option<PathBuf>,
    /// Which of the answers.
    pub(super) choice: usize,
}

pub(super) async fn verify(common: &Common, answer: Answer) -> Ended {
    let file = json_of(&answer.receipt)?;
    let signed = receipt_in(&file, answer.choice)?;
    let receipt = &signed.receipt;
    let (prompt, as_asked) = asked(&answer, &file, receipt)?;
    let who = signer(&signed);
    let hash = the_model(&answer.model, receipt.model).await?;
    check_question(&prompt, &receipt.parameters).map_err(|error| {
        Problem::new(
            "the receipt is for no possible question",
            error.to_string(),
            "nothing is owed for it",
        )
    })?;
    let start = start_here(own_command("worker")?, own_command("sandbox-init")?).await;
    let start = start.map_err(|error| error.problem())?;
    // Room for what the question can have, whatever the receipt counts: that is what is to be found out.
    let tokens = prompt.most_tokens().saturating_add(receipt.parameters.most);
    let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
    let tokens = tokens.div_ceil(page).saturating_mul(page);
    let mut model = Model::new(answer.model.clone(), Prices::default());
    model.room = Room::for_one(tokens);
    let more = memory_of(hash, &answer.model, tokens)?;
    model.memory_bytes = model.memory_bytes.saturating_add(more);
    let computed = compute(start, model, prompt.clone(), receipt.parameters.clone()).await;
    let (found, made) = match &computed {
        Ok(computed) => {
            let heard = match &computed.made {
                Made::Text { said, text, end } => Heard::Text { said, text, end: *end },
                Made::Embeddings(all) => Heard::Embeddings(all),
            };
            let again = Again { prompt: &prompt, prompt_tokens: computed.prompt_tokens, heard };
            let found = compare(&signed, &again).and(as_asked);
            (found.map_err(|fault| fault.to_string()), Some(&computed.made))
        }
        Err(error @ NotComputed::NoAnswer(_)) => (Err(error.to_string()), None),
        Err(NotComputed::Failed(detail)) => {
            let detail = detail.clone();
            let what = "the answer cannot be computed here";
            return Err(Problem::new(what, detail, "see `tilth doctor`"));
        }
    };
    let node = Address::from(receipt.node);
    if common.json {
        print_json(&json!({
            "right": found.is_ok(),
            "fault": found.as_ref().err(),
            "node": node,
            "signer": who,
            "receipt": receipt,
            "text": text_of(made),
            "embeddings": embeddings_of(made),
        }))?;
    } else {
        match &found {
            Ok(()) => println!(
                "right: {} by node {node} are the same here, bit by bit; {} GRAIN are due",
                counted(&prompt, receipt.output_tokens),
                receipt.charge
            ),
            Err(fault) => println!("WRONG: the receipt of node {node}: {}", Harmless(fault)),
        }
    }
    Ok(if found.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text_of(made: Option<&Made>) -> Option<&str> {
    match made {
        Some(Made::Text { text, .. }) => Some(text),
        _ => None,
    }
}

/// As a gateway shows them.
fn embeddings_of(made: Option<&Made>) -> Option<Vec<Vec<f32>>> {
    match made {
        Some(Made::Embeddings(all)) => {
            let numbers = |one: &Vec<i32>| one.iter().map(|element| single(*element)).collect();
            Some(all.iter().map(numbers).collect())
        }
        _ => None,
    }
}

/// How much of what was compared.
fn counted(prompt: &Prompt, tokens: u32) -> String {
    match prompt {
        Prompt::Inputs(inputs) => format!("{} embeddings", inputs.len()),
        Prompt::Text(_) | Prompt::Chat(_) => format!("{tokens} tokens"),
    }
}

/// The hash of a model's file, which must be this one.
async fn the_model(file: &Path, due: ContentHash) -> Result<ContentHash, Problem> {
    let path = file.to_owned();
    let hash = tokio::task::spawn_blocking(move || hash_file(&path)).await;
    let hash = hash.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let hash = hash.map_err(|error| unreadable(file, &error))?;
    if hash == due {
        return Ok(hash);
    }
    Err(Problem::new(
        "this is another model",
        format!("the file is {hash}, the receipt is for {due}"),
        "name the file with the receipt's hash; `tilth model ls` shows what is here",
    ))
}

/// Bytes of keys and values of so many tokens, or as many as a model can have. An encoder keeps those of one layer and a
/// few hundred tokens, or of one input.
fn memory_of(hash: ContentHash, path: &Path, tokens: u32) -> Result<u64, Problem> {
    let entry = entry(hash.0.into(), path.to_owned());
    let header =
        entry.map_err(|error| Problem::new(error.what, error.detail, error.advice))?.header;
    let a = &header.architecture;
    // The header is a stranger's, and not checked before the worker does it.
    let small = |number: usize| number.min(1 << 20);
    let (heads, width) = (small(a.key_heads), small(a.head_width));
    let page = Shape { layers: small(a.layers.len()), heads, width }.page_bytes();
    let pages = small(a.context.min(tokens as usize)).div_ceil(PAGE);
    Ok((page as u64).saturating_mul(pages as u64))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    let detail = format!("{}: {error}", path.display());
    Problem::new("the file cannot be read", detail, "name a file that this user can read")
}

/// What is in a file of at most so many bytes.
fn bytes_of(path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|error| unreadable(path, &error))?;
    if read as u64 > most {
        let detail = format!("{} has more than {most} bytes", path.display());
        let advice = "name the right file: no answer and no question is so large";
        return Err(Problem::new("the file is too large", detail, advice));
    }
    Ok(bytes)
}

/// The answer's file.
fn json_of(path: &Path) -> Result<Value, Problem> {
    serde_json::from_slice(&bytes_of(path, MAX_FILE)?).map_err(|error| {
        let detail = format!("{}: {error}", path.display());
        Problem::new("this is no answer, and no receipt", detail, WHICH)
    })
}

/// The receipt in a file: of `tilth chat`, by itself, or in a gateway's answer.
fn receipt_in(file: &Value, choice: usize) -> Result<SignedReceipt, Problem> {
    let in_answer = &file["choices"][choice]["tilth"]["receipt"];
    let of_embeddings = &file["tilth"]["receipt"];
    let places = [in_answer, of_embeddings, &file["receipt"], file];
    let place = places.into_iter().find(|place| place.get("signature").is_some());
    let place = place.ok_or_else(|| {
        let detail = format!("neither by itself nor with answer {choice}");
        Problem::new("there is no receipt in this file", detail, WHICH)
    })?;
    serde_json::from_value(place.clone()).map_err(|error| {
        let advice = "take the answer as it came; a gateway's operator has its receipts, too (`tilth gateway receipts`)";
        Problem::new("the receipt is damaged", error.to_string(), advice)
    })
}

/// The prompt, and whether the question that it was in, if that is here, wants it to be answered as it was.
fn asked(
    answer: &Answer,
    file: &Value,
    receipt: &Receipt,
) -> Result<(Prompt, Result<(), Fault>), Problem> {
    let Some(question) = &answer.question else { return Ok((prompt_kept(file)?, Ok(()))) };
    let question = bytes_of(question, MAX_FILE)?;
    let prompt = prompt_asked(&question, &receipt.prompt)?;
    let as_asked = compare_ways(&question, &prompt, &receipt.parameters)?;
    Ok((prompt, as_asked))
}

/// Whether a question wants its prompt to be answered in this way. What it is held to, above all, is seen in no answer.
fn compare_ways(
    question: &[u8],
    prompt: &Prompt,
    made: &Parameters,
) -> Result<Result<(), Fault>, Problem> {
    let due = parameters_with(question, prompt, made).map_err(no_question)?;
    Ok(if due == *made { Ok(()) } else { Err(Fault::Asked("way of choosing")) })
}

fn no_question(detail: String) -> Problem {
    let advice = "name the question that was sent with --question";
    Problem::new("this is no question to a gateway", detail, advice)
}

/// The prompt of a question as it was sent, read as a gateway reads it; of a body for two endpoints the one with this hash.
fn prompt_asked(question: &[u8], hash: &[u8; 32]) -> Result<Prompt, Problem> {
    prompt_with(question, hash).map_err(no_question)
}

/// The prompt beside a receipt, as `tilth chat` keeps it.
fn prompt_kept(file: &Value) -> Result<Prompt, Problem> {
    serde_json::from_value(file["prompt"].clone()).map_err(|_| {
        let advice = "name the question that was sent with --question";
        Problem::new("the prompt is missing", "it is not in the receipt's file", advice)
    })
}

#[cfg(test)]
mod tests {
    use tilth_protocol::infer::{Form, Input, Message};

    use super::*;

    #[test]
    fn an_answer_that_was_made_in_another_way_than_was_asked_for_is_found_out() {
        let question = br#"{"model":"m","prompt":"x","response_format":{"type":"json_object"}}"#;
        let prompt = Prompt::Text("x".into());
        let (temperature, form) = (1 << 16, Form::JsonObject);
        let made = Parameters { temperature, form, ..Parameters::default() };
        assert_eq!(compare_ways(question, &prompt, &made).unwrap(), Ok(()));
        let loose = Parameters { form: Form::Text, ..made };
        let fault = compare_ways(question, &prompt, &loose).unwrap().unwrap_err();
        assert_eq!(fault.to_string(), "its way of choosing is not what was asked for");
        let other = br#"{"model":"m","prompt":"x","response_format":{"type":"xml"}}"#;
        compare_ways(other, &prompt, &loose).unwrap_err();
    }

    #[test]
    fn prompts_are_found_in_all_their_forms() {
        let chat = vec![Message { role: "user".into(), content: "hi".into() }];
        let own = json!({ "prompt": Prompt::Chat(chat.clone()) });
        assert_eq!(prompt_kept(&own).unwrap(), Prompt::Chat(chat.clone()));
        prompt_kept(&json!({ "choices": [] })).unwrap_err();
        let parts = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
        assert_eq!(prompt_asked(parts, &[0; 32]).unwrap(), Prompt::Chat(chat));
        let text = br#"{"model":"m","prompt":["x"]}"#;
        assert_eq!(prompt_asked(text, &[0; 32]).unwrap(), Prompt::Text("x".into()));
        let embed = br#"{"model":"m","input":["x",[5]]}"#;
        prompt_asked(embed, &[0; 32]).unwrap_err();
        let embed = br#"{"model":"m","input":[[5],[6]]}"#;
        let inputs = vec![Input::Tokens(vec![5]), Input::Tokens(vec![6])];
        assert_eq!(prompt_asked(embed, &[0; 32]).unwrap(), Prompt::Inputs(inputs));
        prompt_asked(br#"{"model":"m","messages":[5]}"#, &[0; 32]).unwrap_err();
        receipt_in(&json!({ "choices": [] }), 0).unwrap_err();
        receipt_in(&json!({ "signature": 5 }), 0).unwrap_err();
    }

    #[test]
    fn files_that_are_not_what_is_wanted_are_told_from_those_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answer.json");
        let missing = json_of(&path).unwrap_err();
        assert!(missing.advice.contains("can read"), "{missing}");
        std::fs::write(&path, "{]").unwrap();
        let wrong = json_of(&path).unwrap_err();
        assert!(wrong.advice == WHICH && wrong.detail.contains("answer.json"), "{wrong}");
        assert_eq!(bytes_of(&path, 2).unwrap(), b"{]");
        // Not cut off: half a file would be called damaged.
        let large = bytes_of(&path, 1).unwrap_err();
        assert!(large.what.contains("too large"), "{large}");
    }
}
