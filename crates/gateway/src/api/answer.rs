//! Writing answers.

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

fn reason(end: Option<End>) -> Value {
    match end {
        None => Value::Null,
        Some(End::Stop) => "stop".into(),
        Some(End::Length) => "length".into(),
    }
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

fn logprobs(kind: Kind, said: &[Said]) -> Value {
    let likely: Vec<_> = said.iter().filter_map(|said| said.likely.as_ref()).collect();
    if likely.is_empty() {
        return Value::Null;
    }
    match kind {
        Kind::Chat => {
            let content: Vec<Value> = likely
                .iter()
                .map(|(own, top)| {
                    let mut token = shown(own);
                    token["top_logprobs"] = top.iter().map(shown).collect();
                    token
                })
                .collect();
            json!({ "content": content, "refusal": null })
        }
        Kind::Text => {
            let top = |top: &[Candidate]| {
                let pairs = top.iter().map(|one| (text(one), number(one.log_probability).into()));
                Value::Object(pairs.collect())
            };
            json!({
                "tokens": likely.iter().map(|(own, _)| text(own)).collect::<Vec<_>>(),
                "token_logprobs":
                    likely.iter().map(|(own, _)| number(own.log_probability)).collect::<Vec<_>>(),
                "top_logprobs": likely.iter().map(|(_, all)| top(all)).collect::<Vec<_>>(),
            })
        }
    }
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
    pub(crate) fn body(&self, wanted: &Wanted, answers: &[Whole]) -> Value {
        let mut usage = Usage::default();
        let mut choices = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            let receipt = answer.receipt.as_deref();
            if let Some(receipt) = receipt {
                usage.add(receipt);
            }
            let mut choice = json!({
                "index": index,
                "logprobs": logprobs(self.kind, &answer.said),
                "finish_reason": reason(answer.end),
                "tilth": { "receipt": receipt },
            });
            match self.kind {
                Kind::Chat => {
                    choice["message"] =
                        json!({ "role": "assistant", "content": answer.text, "refusal": null });
                }
                Kind::Text => choice["text"] = (echoed(wanted) + &answer.text).into(),
            }
            choices.push(choice);
        }
        let object = match self.kind {
            Kind::Chat => "chat.completion",
            Kind::Text => "text_completion",
        };
        let mut body = self.frame(object, choices);
        body["usage"] = usage.json();
        body
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
