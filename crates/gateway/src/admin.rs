//! Keys and what is owed, for the operator: paths under `/admin/` of the operator's own socket.

use alloy::primitives::{Address, hex};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tilth_protocol::Amount;

use crate::{
    api::ApiError,
    body::{Reply, json},
    books::{Books, BooksError, KeyId, KeyRecord},
};

/// Most bytes of a body.
pub(crate) const MAX_BODY: usize = 4 << 10;
/// Most receipts in one list.
const MAX_RECEIPTS: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    budget: Amount,
    owner: Option<Address>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBudget {
    budget: Amount,
}

fn books_error(error: &BooksError) -> ApiError {
    match error {
        BooksError::Unknown | BooksError::Name | BooksError::Full | BooksError::InUse => {
            ApiError::invalid(format!("{error}: {}.", error.advice()))
        }
        other => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ApiError::new(status, "server_error", None, other.to_string())
        }
    }
}

fn shown(id: &KeyId, record: &KeyRecord) -> Value {
    json!({
        "id": hex::encode(id),
        "name": record.name,
        "owner": record.owner.map(Address::from),
        "budget": record.budget.budget,
        "spent": record.budget.spent,
        "held": record.budget.held,
        "left": record.budget.left(),
        "answers": record.answers,
        "prompt-tokens": record.prompt_tokens,
        "output-tokens": record.output_tokens,
    })
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("{error}.")))
}

fn key_id(text: &str) -> Result<KeyId, ApiError> {
    let mut id = [0; 32];
    hex::decode_to_slice(text, &mut id)
        .map_err(|_| ApiError::invalid("A key's id has 64 hex digits."))?;
    Ok(id)
}

/// Answers the operator.
pub(crate) async fn answer(
    books: &Books,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Reply, ApiError> {
    let ok = |value: Value| Ok(json(StatusCode::OK, &value));
    let parts: Vec<_> = path.split('/').skip(2).collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["keys"]) => {
            ok(books.keys().iter().map(|(id, record)| shown(id, record)).collect())
        }
        ("POST", ["keys"]) => {
            let NewKey { name, budget, owner } = parse(body)?;
            let made = books.create(&name, owner, budget).await;
            let (id, secret) = made.map_err(|error| books_error(&error))?;
            ok(json!({ "id": hex::encode(id), "key": secret, "name": name, "budget": budget }))
        }
        ("POST", ["keys", id]) => {
            let NewBudget { budget } = parse(body)?;
            let set = books.set_budget(&key_id(id)?, budget).await;
            set.map_err(|error| books_error(&error))?;
            ok(json!({ "id": id, "budget": budget }))
        }
        ("DELETE", ["keys", id]) => {
            let removed = books.remove(&key_id(id)?).await;
            removed.map_err(|error| books_error(&error))?;
            ok(json!({ "id": id, "removed": true }))
        }
        ("GET", ["owed"]) => {
            let owed = books.owed().map_err(|error| books_error(&error))?;
            let shown = owed.iter().map(|owed| {
                let node = Address::from(owed.node);
                json!({ "node": node, "answers": owed.answers, "amount": owed.amount })
            });
            ok(shown.collect())
        }
        ("GET", ["receipts", from]) => {
            let from = from.parse().map_err(|_| ApiError::invalid("Receipts have numbers."))?;
            let receipts =
                books.receipts(from, MAX_RECEIPTS).map_err(|error| books_error(&error))?;
            let shown = receipts.iter().map(|(number, key, receipt)| {
                json!({ "number": number, "key": hex::encode(key), "receipt": receipt })
            });
            ok(shown.collect())
        }
        _ => {
            let text = "Known are keys, keys/ID, owed, receipts/FROM.";
            let kind = "invalid_request_error";
            Err(ApiError::new(StatusCode::NOT_FOUND, kind, Some("unknown_url"), text))
        }
    }
}
