//! Writing answers.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tilth_protocol::infer::{Candidate, End, Piece, Said, SignedReceipt};

use super::{Kind, Wanted};

/// What all parts of an answer have in common.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
}

/// One whole answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) said: Vec<Said>,
    pub(crate) text: String,
    /// In place of both, if the question was for these.
    pub(crate) embeddings: Vec<Vec<i32>>,
    pub(crate) end: Option<End>,
    pub(crate) receipt: Option<Box<SignedReceipt>>,
}

impl Whole {
    pub(crate) fn take(&mut self, piece: Piece) {
        self.said.extend(piece.said);
        self.text.push_str(&piece.text);
    }
}

fn reason(end: Option<End>) -> Option<&'static str> {
    end.map(|end| match end {
        End::Stop => "stop",
        End::Length => "length",
    })
}

/// Tokens in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) output: u64,
}

impl Usage {
    /// The prompt counts once, whatever the number of answers; each of them was paid for by itself.
    pub(crate) fn add(&mut self, receipt: &SignedReceipt) {
        self.prompt = self.prompt.max(receipt.receipt.prompt_tokens.into());
        self.output = self.output.saturating_add(receipt.receipt.output_tokens.into());
    }

    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.output,
            "total_tokens": self.prompt.saturating_add(self.output),
        })
    }
}

/// A log-probability of 16 fractional bits, for people.
fn number(log_probability: i32) -> f64 {
    f64::from(log_probability) / 65_536.0
}

fn text(candidate: &Candidate) -> String {
    String::from_utf8_lossy(&candidate.bytes).into_owned()
}

fn shown(candidate: &Candidate) -> Value {
    json!({
        "token": text(candidate),
        "logprob": number(candidate.log_probability),
        "bytes": candidate.bytes,
    })
}

/// What the tokens of an answer are shown as, one after the other while they are written: all of them as values at once
/// would take many times the memory of the answer.
struct Tokens<'a> {
    said: &'a [Said],
    show: fn(&Candidate, &[Candidate]) -> Value,
}

impl Serialize for Tokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let likely = self.said.iter().filter_map(|said| said.likely.as_ref());
        serializer.collect_seq(likely.map(|(own, top)| (self.show)(own, top)))
    }
}

/// Log-probabilities in either shape.
#[derive(Serialize)]
#[serde(untagged)]
enum Logprobs<'a> {
    Chat { content: Tokens<'a>, refusal: () },
    Text { tokens: Tokens<'a>, token_logprobs: Tokens<'a>, top_logprobs: Tokens<'a> },
}

fn shown_with(own: &Candidate, top: &[Candidate]) -> Value {
    let mut token = shown(own);
    token["top_logprobs"] = top.iter().map(shown).collect();
    token
}

fn shown_top(_: &Candidate, top: &[Candidate]) -> Value {
    let pairs = top.iter().map(|one| (text(one), number(one.log_probability).into()));
    Value::Object(pairs.collect())
}

fn logprobs(kind: Kind, said: &[Said]) -> Option<Logprobs<'_>> {
    if said.iter().all(|said| said.likely.is_none()) {
        return None;
    }
    Some(match kind {
        Kind::Chat => Logprobs::Chat { content: Tokens { said, show: shown_with }, refusal: () },
        Kind::Text => Logprobs::Text {
            tokens: Tokens { said, show: |own, _| text(own).into() },
            token_logprobs: Tokens { said, show: |own, _| number(own.log_probability).into() },
            top_logprobs: Tokens { said, show: shown_top },
        },
    })
}

/// The whole body of a question that is not streamed. It borrows the answers and is written from them.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Value,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    logprobs: Option<Logprobs<'a>>,
    finish_reason: Option<&'static str>,
    tilth: Beside<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    refusal: (),
}

#[derive(Serialize)]
struct Beside<'a> {
    receipt: Option<&'a SignedReceipt>,
}

impl Head {
    fn frame(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        })
    }

    /// The whole body of a question that is not streamed.
    pub(crate) fn body<'a>(&'a self, wanted: &Wanted, answers: &'a [Whole]) -> impl Serialize {
        let mut usage = Usage::default();
        for receipt in answers.iter().filter_map(|answer| answer.receipt.as_deref()) {
            usage.add(receipt);
        }
        let choice = |(index, answer): (usize, &'a Whole)| {
            let message = Message { role: "assistant", content: &answer.text, refusal: () };
            let (message, text) = match self.kind {
                Kind::Chat => (Some(message), None),
                Kind::Text => (None, Some(echoed(wanted) + &answer.text)),
            };
            Choice {
                index,
                logprobs: logprobs(self.kind, &answer.said),
                finish_reason: reason(answer.end),
                tilth: Beside { receipt: answer.receipt.as_deref() },
                message,
                text,
            }
        };
        Body {
            id: &self.id,
            object: match self.kind {
                Kind::Chat => "chat.completion",
                Kind::Text => "text_completion",
            },
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.fingerprint,
            choices: answers.iter().enumerate().map(choice).collect(),
            usage: usage.json(),
        }
    }

    fn chunk(&self, choices: Vec<Value>) -> Value {
        let object = match self.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Text => "text_completion",
        };
        self.frame(object, choices)
    }

    fn part(&self, index: u32, delta: Value, said: &[Said], end: Option<End>) -> Value {
        let mut choice = json!({
            "index": index,
            "logprobs": logprobs(self.kind, said),
            "finish_reason": reason(end),
        });
        match self.kind {
            Kind::Chat => choice["delta"] = delta,
            Kind::Text => choice["text"] = delta,
        }
        choice
    }

    /// The first part of a stream's answer.
    pub(crate) fn opening(&self, index: u32, wanted: &Wanted) -> Option<Value> {
        let delta = match self.kind {
            Kind::Chat => json!({ "role": "assistant", "content": "" }),
            Kind::Text if wanted.echo => echoed(wanted).into(),
            Kind::Text => return None,
        };
        Some(self.chunk(vec![self.part(index, delta, &[], None)]))
    }

    /// The next part.
    pub(crate) fn piece(&self, index: u32, piece: &Piece) -> Value {
        let delta = match self.kind {
            Kind::Chat => json!({ "content": piece.text }),
            Kind::Text => piece.text.clone().into(),
        };
        self.chunk(vec![self.part(index, delta, &piece.said, None)])
    }

    /// The last part, with the receipt.
    pub(crate) fn closing(&self, index: u32, end: End, receipt: &SignedReceipt) -> Value {
        let delta = match self.kind {
            Kind::Chat => json!({}),
            Kind::Text => "".into(),
        };
        let mut choice = self.part(index, delta, &[], Some(end));
        choice["tilth"] = json!({ "receipt": receipt });
        self.chunk(vec![choice])
    }

    /// The counts, after everything else.
    pub(crate) fn usage(&self, usage: Usage) -> Value {
        let mut chunk = self.chunk(vec![]);
        chunk["usage"] = usage.json();
        chunk
    }
}

fn echoed(wanted: &Wanted) -> String {
    match &wanted.prompt {
        tilth_protocol::infer::Prompt::Text(text) if wanted.echo => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
