//! Keys, what is owed, and what is stated to settle it, for the operator: paths under `/admin/` of the operator's own socket.

use alloy::primitives::{Address, hex};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tilth_protocol::Amount;
use tracing::warn;

use crate::{
    api::ApiError,
    body::{Reply, json},
    books::{Books, BooksError, KeyId, KeyRecord},
    operator::{MAX_OWED, MAX_RECEIPTS},
    settle::{SettleError, Settling},
    tab::Owed,
};

/// Most bytes of a body.
pub(crate) const MAX_BODY: usize = 4 << 10;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payer {
    /// Whether it pays for keys without an owner from now on.
    operator: bool,
}

/// What the operator is told, and does about it: only some of it is the command's fault.
fn books_error(error: &BooksError) -> ApiError {
    let told = match error {
        BooksError::Unknown
        | BooksError::Name
        | BooksError::Full
        | BooksError::InUse
        | BooksError::Operator(_) => ApiError::invalid(error.to_string()),
        other => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ApiError::new(status, "server_error", None, other.to_string())
        }
    };
    ApiError { advice: Some(error.advice()), ..told }
}

fn settle_error(error: &SettleError) -> ApiError {
    match error {
        SettleError::Books(error) => books_error(error),
        SettleError::Money(error) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let told = ApiError::new(status, "server_error", None, error.to_string());
            ApiError { advice: Some("nothing was sent; see that the chain answers"), ..told }
        }
    }
}

fn shown_owed(owed: &Owed) -> Value {
    json!({
        "payer": owed.payer,
        "provider": owed.provider,
        "nodes": owed.nodes,
        "answers": owed.answers,
        "total": owed.total,
        "settled": owed.settled,
        "amount": owed.due(),
        "receipts": owed.receipts,
    })
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
    settling: &Settling,
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
        ("GET", ["owed", from]) => {
            let from = from.parse::<usize>();
            let from = from.map_err(|_| ApiError::invalid("Tabs are counted from 0."))?;
            // Whoever reads on goes on with what was seen.
            if from == 0
                && let Err(error) = settling.look().await
            {
                // What was seen before is shown.
                warn!(%error, "what is settled cannot be looked up");
            }
            let owed = books.owed().map_err(|error| books_error(&error))?;
            ok(owed.iter().skip(from).take(MAX_OWED).map(shown_owed).collect())
        }
        ("POST", ["tabs", payer]) => {
            let Payer { operator } = parse(body)?;
            let payer = payer.parse::<Address>();
            let payer = payer.map_err(|_| ApiError::invalid("An account has 40 hex digits."))?;
            let stated = settling.statement(payer, operator).await;
            ok(json!(stated.map_err(|error| settle_error(&error))?))
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
            let text = "Known are keys, keys/ID, owed/FROM, tabs/PAYER, receipts/FROM.";
            let kind = "invalid_request_error";
            Err(ApiError::new(StatusCode::NOT_FOUND, kind, Some("unknown_url"), text))
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tilth_client::Link;

    use super::*;
    use crate::books::tests::charge;

    #[tokio::test]
    async fn what_is_owed_comes_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let books = Books::open(&folder.path().join("books")).unwrap();
        let nowhere = "http://127.0.0.1:1";
        let link = Link::open(nowhere, tilth_contracts::Addresses::predeployed()).unwrap();
        let settling = Settling::new(&link, 0, books.clone());
        let (key, _) = books.create("key", None, Amount(9)).await.unwrap();
        for node in 1..=3 {
            charge(&books, &key, 1, node).await;
        }
        let page = async |from: &str| {
            let path = format!("/admin/owed/{from}");
            answer(&books, &settling, &Method::GET, &path, b"").await
        };
        // No page after the first asks the chain, which is away.
        let pages: [(&str, &[u8]); 4] = [("1", &[2, 3]), ("2", &[3]), ("3", &[]), ("9", &[])];
        for (from, nodes) in pages {
            let body = page(from).await.unwrap().into_body().collect().await.unwrap().to_bytes();
            let found: Vec<Value> = serde_json::from_slice(&body).unwrap();
            let found: Vec<_> = found.iter().map(|one| one["nodes"].clone()).collect();
            let nodes = nodes.iter().map(|node| json!([Address::repeat_byte(*node)]));
            assert_eq!(found, nodes.collect::<Vec<_>>(), "from {from}");
        }
        assert_eq!(page("x").await.unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn the_operator_is_told_what_to_do_about_each_fault_and_not_what_helps_against_another() {
        let disk = books_error(&BooksError::Database("no space".to_owned()));
        assert_eq!(disk.status, StatusCode::INTERNAL_SERVER_ERROR);
        let told = disk.body();
        assert_eq!(told["error"]["message"], "the books: no space");
        assert!(told["error"]["advice"].as_str().unwrap().contains("has room"), "{told}");
        let unknown = books_error(&BooksError::Unknown);
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
        assert_eq!(unknown.body()["error"]["advice"], "see `tilth gateway key ls`");
        assert!(ApiError::invalid("x").body()["error"].get("advice").is_none());
    }
}
