//! What is served at which path.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tilth_protocol::infer::Makes;
use tilth_service::Spawner;
use tokio::sync::Semaphore;

use crate::{
    admin,
    api::{ApiError, Kind},
    ask::Counter,
    body::{Reply, json, refusal, reply},
    books::{KeyId, key_id},
    names::Listed,
    question::{embeddings, question},
    settle::Settling,
};

/// The document that describes the paths.
const OPENAPI: &str = include_str!("../openapi.json");
/// Longest time for a body, from its head to its last byte.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) counter: Counter,
    pub(crate) body_bytes: usize,
    /// How long one request's body may take.
    pub(crate) body_time: Duration,
    /// Questions at the same time; their bodies are in memory.
    pub(crate) questions: Arc<Semaphore>,
    /// Those of one owner's keys, or of one key without an owner.
    pub(crate) questions_each: u32,
    /// How long one answer may take.
    pub(crate) answer_time: Duration,
    /// Pays for answers.
    pub(crate) settling: Settling,
    /// Starts what outlives its request: streams.
    pub(crate) spawner: Spawner,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Anybody.
    Public,
    /// Whoever may enter the operator's folder.
    Operators,
}

/// Answers a request.
pub(crate) async fn handle(service: Arc<Service>, door: Door, request: Request<Incoming>) -> Reply {
    let answered = match door {
        Door::Public => {
            service.counter.measures.requests.increment();
            route(&service, request).await
        }
        Door::Operators => operate(&service, request).await,
    };
    answered.unwrap_or_else(|error| {
        service.counter.measures.refused.increment();
        refusal(&error)
    })
}

async fn route(service: &Arc<Service>, request: Request<Incoming>) -> Result<Reply, ApiError> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let (get, post) = (method == Method::GET, method == Method::POST);
    match path.as_str() {
        "/health" if get => Ok(reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")),
        "/openapi.json" if get => Ok(reply(StatusCode::OK, "application/json", OPENAPI)),
        "/v1/models" if get => {
            key_of(service, &request)?;
            Ok(models(service))
        }
        "/v1/chat/completions" if post => question(service, Kind::Chat, request).await,
        "/v1/completions" if post => question(service, Kind::Text, request).await,
        "/v1/embeddings" if post => embeddings(service, request).await,
        "/health"
        | "/openapi.json"
        | "/v1/models"
        | "/v1/chat/completions"
        | "/v1/completions"
        | "/v1/embeddings" => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let text = format!("{path} does not take {method}.");
            Err(ApiError::new(status, "invalid_request_error", None, text))
        }
        _ if get && path.starts_with("/v1/models/") => {
            key_of(service, &request)?;
            let id = percent_decode_str(&path["/v1/models/".len()..]).decode_utf8_lossy();
            let listed = service.counter.market.resolve(&id);
            let listed = listed.ok_or_else(|| ApiError::no_model(&id))?;
            let makes = service.counter.market.makes(listed.model);
            Ok(json(StatusCode::OK, &shown(&listed, makes)))
        }
        _ => {
            let text = format!("There is nothing at {path}; see /openapi.json.");
            let kind = "invalid_request_error";
            Err(ApiError::new(StatusCode::NOT_FOUND, kind, Some("unknown_url"), text))
        }
    }
}

async fn operate(service: &Service, request: Request<Incoming>) -> Result<Reply, ApiError> {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let body = read(request, admin::MAX_BODY, service.body_time).await?;
    admin::answer(&service.counter.books, &service.settling, &method, &path, &body).await
}

fn bearer(request: &Request<Incoming>) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

pub(crate) fn key_of(service: &Service, request: &Request<Incoming>) -> Result<KeyId, ApiError> {
    let id = key_id(bearer(request).ok_or_else(ApiError::no_key)?);
    if service.counter.books.knows(&id) { Ok(id) } else { Err(ApiError::no_key()) }
}

/// A request's body of at most `most` bytes, all of which come within `time`, however they are spread over it.
pub(crate) async fn read(
    request: Request<Incoming>,
    most: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let text = format!("The body may have {most} bytes.");
        ApiError::new(status, "invalid_request_error", None, text)
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(request.into_body(), most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::invalid("The body could not be read.")),
        Err(_) => {
            let status = StatusCode::REQUEST_TIMEOUT;
            Err(ApiError::new(status, "invalid_request_error", None, "The body took too long."))
        }
    }
}

fn shown(listed: &Listed, makes: Option<Makes>) -> serde_json::Value {
    json!({
        "id": listed.id,
        "object": "model",
        "created": 0,
        "owned_by": "tilth",
        "tilth": { "model": listed.model, "makes": makes },
    })
}

fn models(service: &Service) -> Reply {
    let listing = service.counter.market.listing(|models| {
        let data: Vec<_> = models.iter().map(|(listed, makes)| shown(listed, *makes)).collect();
        json!({ "object": "list", "data": data }).to_string().into()
    });
    reply(StatusCode::OK, "application/json", listing)
}

#[cfg(test)]
mod tests;
