//! Doors for fuzzing: readers of bodies that strangers send, and that nobody else has to call from outside. What a
//! reader refuses is no fault; what makes it panic is.

use serde_json::Value;
use tilth_protocol::infer::{Parameters, Prompt};

use crate::{
    admin,
    api::{ApiError, Kind, Wanted, embed, request},
    tab::Group,
};

/// A question as it was understood: its prompt, how it is to be answered, and how often. Or the refusal as it is sent.
pub type Read = Result<(Prompt, Parameters, u32), Value>;

/// A body as the three paths for questions read it: chats, texts, embeddings. `fresh` is the seed of questions that
/// name none.
pub fn questions(body: &[u8], fresh: u64) -> [Read; 3] {
    let shown = |read: Result<Wanted, ApiError>| {
        read.map(|wanted| (wanted.prompt, wanted.parameters, wanted.n)).map_err(|no| no.body())
    };
    [
        shown(request::read(Kind::Chat, body, fresh)),
        shown(request::read(Kind::Text, body, fresh)),
        shown(embed::read(body).map(|(wanted, _)| wanted)),
    ]
}

/// Whether a body is one that the operator's commands send: a new key, a new budget, who pays.
pub fn operators(body: &[u8]) -> [bool; 3] {
    admin::is_one_of(body)
}

/// A tab's name and a key's id, as they stand in paths, the way they are written; `None` for what is none.
pub fn in_path(text: &str) -> (Option<String>, Option<[u8; 32]>) {
    let tab = text.parse::<Group>().ok().map(|tab| tab.to_string());
    (tab, admin::id_of(text))
}
