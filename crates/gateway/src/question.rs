//! A question from its body to its last word: whole, or as a stream.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::primitives::hex;
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
};
use tilth_client::infer::nonce;
use tilth_protocol::infer::SignedReceipt;
use tilth_service::OnFailure;
use tokio::task::JoinSet;

use crate::{
    api::{
        ApiError, Kind, Wanted,
        answer::{Head, Usage, Whole},
        embed, request,
    },
    ask::{Ahead, Counter, Due, Next, Stopped, Tries},
    body::{Events, Reply, Unsent, reply},
    books::KeyId,
    handle::{Service, key_of, read},
    names::Listed,
    space::{Place, Shelf},
};

/// A question that was understood, and what answering it needs.
#[derive(Clone)]
struct Asked {
    counter: Counter,
    key: KeyId,
    /// Where the reply lies until its reader has it; the question's place goes with it.
    shelf: Shelf,
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
    Ok((key, Place::new(one, visit)))
}

/// A question and the model that it is for.
fn asked(
    service: &Service,
    (key, place): (KeyId, Place),
    wanted: Wanted,
) -> Result<Asked, ApiError> {
    let shelf = Shelf::new(&service.counter.space, place);
    let listed = service.counter.market.resolve(&wanted.model);
    let listed = listed.ok_or_else(|| ApiError::no_model(&wanted.model))?;
    let (counter, time) = (service.counter.clone(), service.answer_time);
    Ok(Asked { counter, key, shelf, wanted: Arc::new(wanted), listed, time })
}

pub(crate) async fn question(
    service: &Arc<Service>,
    kind: Kind,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let place = enter(service, &request)?;
    let body = read(request, service.body_bytes, service.body_time).await?;
    let fresh = nonce();
    let seed = u64::from_le_bytes(fresh.first_chunk().copied().unwrap_or_default()) >> 1;
    let wanted = request::read(kind, &body, seed)?;
    drop(body);
    let asked = asked(service, place, wanted)?;
    let listed = &asked.listed;
    let name = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
    let head = Head {
        kind,
        id: format!("{name}-{}", hex::encode(&fresh[8..20])),
        created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        model: listed.id.clone(),
        fingerprint: format!("int1-{}", listed.model.short()),
    };
    if asked.wanted.stream { stream(service, asked, head).await } else { whole(asked, head).await }
}

/// Embeddings, all at once.
pub(crate) async fn embeddings(
    service: &Arc<Service>,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let place = enter(service, &request)?;
    let body = read(request, service.body_bytes, service.body_time).await?;
    let (wanted, format) = embed::read(&body)?;
    drop(body);
    let asked = asked(service, place, wanted)?;
    let (answer, due) = Box::pin(asked.one(0)).await?;
    let (id, embeddings) = (&asked.listed.id, &answer.embeddings);
    let body = asked.shelf.write(&embed::body(id, embeddings, &due.receipt, format))?;
    drop(answer);
    asked.pay(vec![due], body).await
}

impl Asked {
    /// Charges for what a reply says, and gives it out. It was written before: one for which there is no room costs
    /// nothing.
    async fn pay(&self, due: Vec<Due>, body: Bytes) -> Result<Reply, ApiError> {
        self.counter.settle(due).await?;
        Ok(reply(StatusCode::OK, "application/json", body))
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
            let stopped = loop {
                match begun.next().await {
                    Ok(Next::Piece(piece)) => answer.take(piece),
                    Ok(Next::Embedding(embedding)) => answer.embeddings.push(embedding),
                    Ok(Next::Ended(due)) => {
                        answer.end = Some(due.receipt.receipt.end);
                        answer.receipt = Some(due.receipt.clone());
                        return Ok((answer, due));
                    }
                    Err(stopped) => break stopped,
                }
            };
            let error = match stopped {
                Stopped::Failed(error) => error,
                stopped => return Err(stopped.into()),
            };
            tries.failed();
            if !tries.are_left() {
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
    let body = asked.shelf.write(&head.body(&asked.wanted, &answers))?;
    drop(answers);
    asked.pay(due, body).await
}

/// Begins all answers before the reply does, so that whoever asks in vain gets a plain error. Those that begin first are
/// listened to meanwhile.
async fn stream(service: &Service, asked: Asked, head: Head) -> Result<Reply, ApiError> {
    let waited_for = Arc::new(AtomicU32::new(asked.wanted.n));
    let mut starting = JoinSet::new();
    for index in 0..asked.wanted.n {
        let Asked { counter, key, wanted, listed, time, .. } = asked.clone();
        let waited_for = Arc::clone(&waited_for);
        starting.spawn(async move {
            let mut tries = Tries::new(time);
            let begun = counter.begin(&key, &wanted, &listed, index, &mut tries).await?;
            waited_for.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, ApiError>((index, Ahead::of(begun, &waited_for).await))
        });
    }
    let mut begun = Vec::new();
    while let Some(one) = starting.join_next().await {
        begun.push(one.map_err(|_| ApiError::busy("An answer was lost."))??);
    }
    let (events, reply) = Events::open(asked.shelf.clone());
    let stop = service.spawner.token();
    let started = service.spawner.spawn("stream", OnFailure::Log, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = talk(asked, head, begun, events) => {}
        }
    });
    if started { Ok(reply) } else { Err(ApiError::busy("The gateway stops.")) }
}

/// Why a stream ends before its end.
enum Broken {
    /// Nobody listens any more.
    Gone,
    /// The listener is told.
    Told(ApiError),
}

impl From<Unsent> for Broken {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone => Self::Gone,
            Unsent::NoRoom(no) => Self::Told(no.into()),
        }
    }
}

/// Passes answers on as they come, and says so if one of them breaks off.
async fn talk(asked: Asked, head: Head, begun: Vec<(u32, Ahead)>, events: Events) {
    if let Err(Broken::Told(error)) = say(&asked, head, begun, &events).await {
        // What was said cannot be taken back; it is not called whole.
        asked.counter.measures.broken_streams.increment();
        let _ = events.last(&error.body()).await;
    }
}

/// Says all answers, each charged before its end is told.
async fn say(
    asked: &Asked,
    head: Head,
    begun: Vec<(u32, Ahead)>,
    events: &Events,
) -> Result<(), Broken> {
    let mut talking = JoinSet::new();
    let head = Arc::new(head);
    for (index, answer) in begun {
        let (head, events, asked) = (Arc::clone(&head), events.clone(), asked.clone());
        talking.spawn(async move { say_one(&asked, &head, (index, answer), &events).await });
    }
    let mut usage = Usage::default();
    while let Some(told) = talking.join_next().await {
        let lost = |_| Broken::Told(ApiError::busy("An answer was lost."));
        match told.map_err(lost).flatten() {
            Ok(receipt) => usage.add(&receipt),
            Err(broken) => {
                // None of the others says anything after the end.
                talking.shutdown().await;
                return Err(broken);
            }
        }
    }
    if asked.wanted.include_usage {
        events.last(&head.usage(usage)).await?;
    }
    events.done().await?;
    Ok(())
}

async fn say_one(
    asked: &Asked,
    head: &Head,
    (index, mut answer): (u32, Ahead),
    events: &Events,
) -> Result<Box<SignedReceipt>, Broken> {
    if let Some(opening) = head.opening(index, &asked.wanted) {
        events.send(&opening).await?;
    }
    loop {
        match answer.next().await.map_err(|stopped| Broken::Told(stopped.into()))? {
            Next::Piece(piece) => events.send(&head.piece(index, &piece)).await?,
            // Nobody who streams has asked for one.
            Next::Embedding(_) => return Err(Broken::Told(ApiError::late())),
            Next::Ended(due) => {
                let receipt = due.receipt.clone();
                let closing = head.closing(index, receipt.receipt.end, &receipt);
                // Before it is charged: an end that cannot be told costs nothing.
                let closing = events.prepare(&closing).map_err(Unsent::NoRoom)?;
                asked.counter.settle(vec![due]).await.map_err(Broken::Told)?;
                events.put(closing).await?;
                return Ok(receipt);
            }
        }
    }
}
