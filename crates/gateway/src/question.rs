//! A question from its body to its last word: whole, or as a stream.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::hex;
use hyper::{Request, StatusCode, body::Incoming};
use tilth_client::infer::nonce;
use tilth_service::OnFailure;
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use crate::{
    api::{
        ApiError, Kind, Wanted,
        answer::{Head, Usage, Whole},
        embed, request,
    },
    ask::{Begun, Counter, Due, Next, Tries},
    body::{Events, Gone, Reply, reply},
    books::{KeyId, Visit},
    handle::{Service, key_of, read},
    names::Listed,
};

/// A question's place among all, and among those of its key.
struct Place {
    _one: OwnedSemaphorePermit,
    _visit: Visit,
}

/// A question that was understood, and what answering it needs.
#[derive(Clone)]
struct Asked {
    counter: Counter,
    key: KeyId,
    wanted: Arc<Wanted>,
    listed: Listed,
    time: Duration,
}

/// Lets a question in, before anything of its body is read.
fn enter(service: &Service, request: &Request<Incoming>) -> Result<(KeyId, Place), ApiError> {
    let key = key_of(service, request)?;
    let visit = service.counter.books.visit(&key, service.questions_each);
    let visit = visit.map_err(|denied| ApiError::of_denied(&denied))?;
    let one = Arc::clone(&service.questions).try_acquire_owned();
    let one = one.map_err(|_| ApiError::busy("Too many questions at the same time."))?;
    Ok((key, Place { _one: one, _visit: visit }))
}

/// A question and the model that it is for.
fn asked(service: &Service, key: KeyId, wanted: Wanted) -> Result<Asked, ApiError> {
    let listed = service.counter.market.resolve(&wanted.model);
    let listed = listed.ok_or_else(|| ApiError::no_model(&wanted.model))?;
    let (counter, time) = (service.counter.clone(), service.answer_time);
    Ok(Asked { counter, key, wanted: Arc::new(wanted), listed, time })
}

pub(crate) async fn question(
    service: &Arc<Service>,
    kind: Kind,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let (key, place) = enter(service, &request)?;
    let body = read(request, service.body_bytes).await?;
    let fresh = nonce();
    let seed = u64::from_le_bytes(fresh.first_chunk().copied().unwrap_or_default()) >> 1;
    let wanted = request::read(kind, &body, seed)?;
    drop(body);
    let asked = asked(service, key, wanted)?;
    let listed = &asked.listed;
    let name = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
    let head = Head {
        kind,
        id: format!("{name}-{}", hex::encode(&fresh[8..20])),
        created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        model: listed.id.clone(),
        fingerprint: format!("int1-{}", listed.model.short()),
    };
    if asked.wanted.stream {
        stream(service, asked, head, place).await
    } else {
        whole(asked, head).await
    }
}

/// Embeddings, all at once.
pub(crate) async fn embeddings(
    service: &Arc<Service>,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let (key, _place) = enter(service, &request)?;
    let body = read(request, service.body_bytes).await?;
    let (wanted, format) = embed::read(&body)?;
    drop(body);
    let asked = asked(service, key, wanted)?;
    let (answer, due) = Box::pin(asked.one(0)).await?;
    let body = embed::body(&asked.listed.id, &answer.embeddings, &due.receipt, format);
    drop(answer);
    asked.pay(vec![due], body).await
}

impl Asked {
    /// Charges for what a reply says, and gives it out. It lies here until its reader has it; if there is no room for it,
    /// nothing is charged.
    async fn pay(
        &self,
        due: Vec<Due>,
        body: serde_json::Result<Vec<u8>>,
    ) -> Result<Reply, ApiError> {
        let body = body.map_err(|error| ApiError::busy(error.to_string()))?;
        let mut space = self.counter.space.part();
        if !space.grow(body.len()) {
            return Err(ApiError::full());
        }
        self.counter.settle(due).await?;
        Ok(reply(StatusCode::OK, "application/json", space.keep(body)))
    }

    /// One whole answer that is to be paid for. Nothing was said to the caller yet, so another provider is asked
    /// whenever one fails.
    async fn one(&self, index: u32) -> Result<(Whole, Due), ApiError> {
        let mut tries = Tries::new(self.time);
        let mut failed: Option<ApiError> = None;
        loop {
            let begun =
                self.counter.begin(&self.key, &self.wanted, &self.listed, index, &mut tries);
            let mut begun = match begun.await {
                Ok(begun) => begun,
                Err(error) => return Err(failed.unwrap_or(error)),
            };
            let mut answer = Whole::default();
            let error = loop {
                match begun.next().await {
                    Ok(Next::Piece(piece)) => answer.take(piece),
                    Ok(Next::Embedding(embedding)) => answer.embeddings.push(embedding),
                    Ok(Next::Ended(due)) => {
                        answer.end = Some(due.receipt.receipt.end);
                        answer.receipt = Some(due.receipt.clone());
                        return Ok((answer, due));
                    }
                    Err(error) => break error,
                }
            };
            tries.failed();
            // Where there is no memory for an answer there is none for another.
            if !tries.are_left() || error == ApiError::full() {
                return Err(error);
            }
            self.counter.measures.retries.increment();
            failed = Some(error);
        }
    }
}

/// All answers at once. They are charged together, when all are there: whoever is told of an error owes nothing, and may
/// ask again.
async fn whole(asked: Asked, head: Head) -> Result<Reply, ApiError> {
    let mut tasks = JoinSet::new();
    for index in 0..asked.wanted.n {
        let asked = asked.clone();
        tasks.spawn(async move { (index, asked.one(index).await) });
    }
    let mut answers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (index, answer) = done.map_err(|_| ApiError::busy("An answer was lost."))?;
        answers.push((index, answer?));
    }
    answers.sort_by_key(|(index, _)| *index);
    let (answers, due): (Vec<_>, Vec<_>) = answers.into_iter().map(|(_, answer)| answer).unzip();
    let body = serde_json::to_vec(&head.body(&asked.wanted, &answers));
    drop(answers);
    asked.pay(due, body).await
}

/// Begins all answers before the reply does, so that whoever asks in vain gets a plain error.
async fn stream(
    service: &Service,
    asked: Asked,
    head: Head,
    place: Place,
) -> Result<Reply, ApiError> {
    let mut starting = JoinSet::new();
    for index in 0..asked.wanted.n {
        let Asked { counter, key, wanted, listed, time } = asked.clone();
        starting.spawn(async move {
            let mut tries = Tries::new(time);
            (index, counter.begin(&key, &wanted, &listed, index, &mut tries).await)
        });
    }
    let mut begun = Vec::new();
    while let Some(one) = starting.join_next().await {
        let (index, one) = one.map_err(|_| ApiError::busy("An answer was lost."))?;
        begun.push((index, one?));
    }
    let (events, reply) = Events::open();
    let stop = service.spawner.token();
    let started = service.spawner.spawn("stream", OnFailure::Log, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = talk(asked, head, begun, events) => {}
        }
        drop(place);
    });
    if started { Ok(reply) } else { Err(ApiError::busy("The gateway stops.")) }
}

/// Passes answers on as they come, each charged before its end is told.
async fn talk(asked: Asked, head: Head, begun: Vec<(u32, Begun)>, events: Events) {
    let measures = asked.counter.measures.clone();
    let mut talking = JoinSet::new();
    let head = Arc::new(head);
    for (index, mut answer) in begun {
        let (head, events, asked) = (Arc::clone(&head), events.clone(), asked.clone());
        talking.spawn(async move {
            if let Some(opening) = head.opening(index, &asked.wanted) {
                events.send(&opening).await?;
            }
            loop {
                match answer.next().await {
                    Ok(Next::Piece(piece)) => events.send(&head.piece(index, &piece)).await?,
                    // Nobody who streams has asked for one.
                    Ok(Next::Embedding(_)) => return Ok(Err(ApiError::late())),
                    Ok(Next::Ended(due)) => {
                        let receipt = due.receipt.clone();
                        if let Err(error) = asked.counter.settle(vec![due]).await {
                            return Ok(Err(error));
                        }
                        let end = receipt.receipt.end;
                        events.send(&head.closing(index, end, &receipt)).await?;
                        return Ok::<_, Gone>(Ok(receipt));
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
        });
    }
    let mut usage = Usage::default();
    while let Some(told) = talking.join_next().await {
        match told {
            Ok(Ok(Ok(receipt))) => usage.add(&receipt),
            Ok(Ok(Err(error))) => {
                // What was said cannot be taken back; it is not called whole.
                measures.broken_streams.increment();
                let _ = events.send(&error.body()).await;
                return;
            }
            // Nobody listens any more; dropping the others ends them.
            Ok(Err(Gone)) | Err(_) => return,
        }
    }
    if asked.wanted.include_usage && events.send(&head.usage(usage)).await.is_err() {
        return;
    }
    let _ = events.done().await;
}
