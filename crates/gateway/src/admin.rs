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
    operator::{MAX_OWED, MAX_OWED_NODES, MAX_RECEIPTS},
    settle::{SettleError, Settling},
    tab::{Group, Owed, page},
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
        | BooksError::Owner
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
    let nodes = owed.nodes.get(..MAX_OWED_NODES).unwrap_or(&owed.nodes);
    json!({
        "id": owed.group().to_string(),
        "payer": owed.payer,
        "provider": owed.provider,
        "nodes": nodes,
        "further-nodes": owed.nodes.len().saturating_sub(nodes.len()),
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

/// For fuzzing, see [`crate::hostile`]: which of the bodies that are read here this is.
pub(crate) fn is_one_of(body: &[u8]) -> [bool; 3] {
    [parse::<NewKey>(body).is_ok(), parse::<NewBudget>(body).is_ok(), parse::<Payer>(body).is_ok()]
}

/// For fuzzing, see [`crate::hostile`]: a key's id.
pub(crate) fn id_of(text: &str) -> Option<KeyId> {
    key_id(text).ok()
}

/// What is owed, as it is at the moment: a page of it from the beginning, or behind one that was seen. So what is owed
/// all the time is on one page, and on no other, whatever comes between.
async fn owed(books: &Books, settling: &Settling, after: Option<Group>) -> Result<Value, ApiError> {
    // Whoever reads on goes on with what was seen.
    if after.is_none()
        && let Err(error) = settling.look().await
    {
        // What was seen before is shown.
        warn!(%error, "what is settled cannot be looked up");
    }
    let owed = books.owed().map_err(|error| books_error(&error))?;
    Ok(page(&owed, after, MAX_OWED).iter().map(shown_owed).collect())
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
        ("GET", ["owed"]) => ok(owed(books, settling, None).await?),
        ("GET", ["owed", after]) => {
            let after = after.parse::<Group>();
            let after = after.map_err(|error| ApiError::invalid(format!("{error}.")))?;
            ok(owed(books, settling, Some(after)).await?)
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
            let text = "Known are keys, keys/ID, owed, owed/ID, tabs/PAYER, receipts/FROM.";
            let kind = "invalid_request_error";
            Err(ApiError::new(StatusCode::NOT_FOUND, kind, Some("unknown_url"), text))
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{
        books::tests::charge_all,
        settle::tests::{away, empty},
    };

    /// Owes to so many nodes, each of another provider, for one key.
    async fn owe(books: &Books, nodes: u32) {
        let (key, _) = books.create("key", None, Amount(1 << 20)).await.unwrap();
        let nodes: Vec<Address> = (1..=nodes).map(node).collect();
        charge_all(books, &key, nodes.iter().copied()).await;
        // So that nothing need be asked of a chain.
        books.see(nodes.into_iter().zip(1..).collect(), Vec::new()).await.unwrap();
    }

    fn node(number: u32) -> Address {
        Address::left_padding_from(&number.to_be_bytes())
    }

    async fn listed(books: &Books, settling: &Settling, path: &str) -> Vec<Value> {
        let reply = answer(books, settling, &Method::GET, path, b"").await.unwrap();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() <= MAX_OWED * 1024, "{}", body.len());
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn what_is_owed_comes_in_pages() {
        let (_folder, books) = empty();
        let settling = away(&books);
        let many = u32::try_from(MAX_OWED).unwrap() + 3;
        owe(&books, many).await;
        let first = listed(&books, &settling, "/admin/owed").await;
        assert_eq!(first.len(), MAX_OWED);
        let last = first[MAX_OWED - 1]["id"].as_str().unwrap();
        let path = format!("/admin/owed/{last}");
        // Behind that one, wherever it stands now: one before it is another provider's meanwhile.
        books.see(vec![(node(5), 6)], Vec::new()).await.unwrap();
        let second = listed(&books, &settling, &path).await;
        let found: Vec<&Value> = first.iter().chain(&second).map(|one| &one["nodes"][0]).collect();
        let due: Vec<Value> = (1..=many).map(|number| json!(node(number))).collect();
        assert_eq!(found, due.iter().collect::<Vec<_>>());
        let end = second[2]["id"].as_str().unwrap();
        let none = listed(&books, &settling, &format!("/admin/owed/{end}")).await;
        assert!(none.is_empty(), "{none:?}");
        for wrong in ["/admin/owed/x", "/admin/owed/7", "/admin/owed/"] {
            let refused = answer(&books, &settling, &Method::GET, wrong, b"").await.unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    /// However many node keys a provider has had.
    #[test]
    fn a_tab_is_not_shown_with_all_its_nodes() {
        let owed = |nodes: u32| Owed {
            payer: Some(Address::repeat_byte(0xff)),
            provider: Some(u32::MAX),
            nodes: (0..nodes).map(node).collect(),
            answers: u64::MAX,
            total: Amount(u128::MAX),
            settled: Amount(u128::MAX),
            receipts: alloy::primitives::B256::repeat_byte(0xff),
        };
        let most = u32::try_from(MAX_OWED_NODES).unwrap();
        for (nodes, further) in [(1, 0), (most, 0), (most + 1, 1), (50_000, 50_000 - most)] {
            let shown = shown_owed(&owed(nodes));
            assert_eq!(shown["further-nodes"], further, "{nodes}");
            assert_eq!(shown["nodes"].as_array().unwrap().len(), (nodes - further) as usize);
            let bytes = shown.to_string().len();
            assert!(bytes * MAX_OWED <= crate::operator::MAX_ANSWER, "{bytes} bytes with {nodes}");
        }
        assert!(shown_owed(&owed(0)).to_string().len() < 1 << 10);
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
