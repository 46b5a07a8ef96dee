//! Who answers those who call for a model: one question at a time per call, its answer passed on as it comes,
//! the receipt signed at its end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use tilth_blobs::{Talk, TalkError};
use tilth_protocol::{
    ContentHash, decode, encode,
    infer::{
        End, Question, Receipt, Refusal, Reply, SignedReceipt, check_question,
        message::{Ask, MAX_QUESTION_BYTES, MAX_TEXT_CHARS, MAX_UNTAKEN},
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};
use tracing::{debug, warn};

use super::{
    OnSale,
    calls::{Calls, Entered, Shares},
    engine::Event,
    made::Made,
};
use crate::status::Status;

/// Most calls at the same time: several gateways, each with a call for every answer that runs. The endpoint takes some
/// more, so that here it can be said which of them go.
const CALLS: usize = 256;
/// Most of one caller.
const CALLS_EACH: usize = 96;
/// Most calls that the endpoint takes.
pub(crate) const LINE_CALLS: usize = CALLS + 16;
/// How long a caller may be silent between questions.
const SILENCE: Duration = Duration::from_secs(120);

/// Who answers.
pub(crate) struct Desk {
    pub(crate) models: Vec<OnSale>,
    pub(crate) signer: PrivateKeySigner,
    pub(crate) chain_id: u64,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) shares: SharesOfModels,
}

/// Whose answers run or wait, by caller and model.
#[derive(Debug, Default)]
pub(crate) struct SharesOfModels(Mutex<Shares<([u8; 32], ContentHash)>>);

impl SharesOfModels {
    fn lock(&self) -> MutexGuard<'_, Shares<([u8; 32], ContentHash)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, caller: [u8; 32], model: ContentHash, most: usize) -> Option<Place<'_>> {
        let whose = (caller, model);
        let taken = self.lock().take(whose, most);
        taken.then_some(Place(self, whose))
    }
}

/// A caller's place at a model; free again when it is dropped.
struct Place<'a>(&'a SharesOfModels, ([u8; 32], ContentHash));

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().give_back(&self.1);
    }
}

type OpenCalls = Mutex<Calls>;

fn locked(calls: &OpenCalls) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(why: Refusal, text: impl Into<String>) -> Reply {
    Reply::Refused { why, text: text.into().chars().take(MAX_TEXT_CHARS).collect() }
}

impl Desk {
    /// Answers calls for ever.
    pub(crate) async fn answer(self, mut calls: mpsc::Receiver<Talk>) {
        let desk = Arc::new(self);
        let open = Arc::new(Mutex::new(Calls::new(CALLS, CALLS_EACH)));
        let mut running: HashMap<u64, AbortHandle> = HashMap::new();
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                Some(mut talk) = calls.recv() => {
                    let entered = locked(&open).enter(talk.remote());
                    let number = match entered {
                        Entered::At(number) => number,
                        Entered::InPlaceOf(number, other) => {
                            // Its drop ends the other conversation.
                            if let Some(other) = running.remove(&other) {
                                other.abort();
                            }
                            number
                        }
                        // Its drop tells the caller.
                        Entered::Refused => continue,
                    };
                    let (desk, open) = (Arc::clone(&desk), Arc::clone(&open));
                    let talking = talks.spawn(async move {
                        let ended = desk.converse(&mut talk, &open, number).await;
                        locked(&open).leave(number);
                        if let Err(error) = ended {
                            debug!(%error, "a caller went away");
                        }
                        number
                    });
                    running.insert(number, talking);
                }
                Some(ended) = talks.join_next() => match ended {
                    Ok(number) => drop(running.remove(&number)),
                    // Hung up, and forgotten already; or a panic, whose place must not be lost.
                    Err(_) => running.retain(|number, talking| {
                        let over = talking.is_finished();
                        if over {
                            locked(&open).leave(*number);
                        }
                        !over
                    }),
                },
                else => return,
            }
        }
    }

    async fn converse(
        &self,
        talk: &mut Talk,
        open: &OpenCalls,
        number: u64,
    ) -> Result<(), TalkError> {
        loop {
            locked(open).idle(number);
            let bytes = talk.hear(MAX_QUESTION_BYTES, SILENCE).await?;
            if !locked(open).busy(number) {
                return Err(TalkError::Gone("hung up for another call".into()));
            }
            match decode::<Question>(&bytes, MAX_QUESTION_BYTES) {
                Ok(Question::Who) => say(talk, &self.here()).await?,
                Ok(Question::Ask(ask)) => self.reply(talk, *ask).await?,
                Err(error) => {
                    return say(talk, &refused(Refusal::Invalid, error.to_string())).await;
                }
            }
        }
    }

    fn here(&self) -> Reply {
        let busy: usize = self.models.iter().map(|model| model.engine.busy()).sum();
        Reply::Here {
            node: self.signer.address().into(),
            offers: self.models.iter().map(|model| model.offer.clone()).collect(),
            busy: u32::try_from(busy).unwrap_or(u32::MAX),
        }
    }

    /// Looks whether a question is answered.
    fn model_for(&self, ask: &Ask) -> Result<&OnSale, Reply> {
        check_question(&ask.prompt, &ask.parameters)
            .map_err(|error| refused(Refusal::Invalid, error.to_string()))?;
        let model = self.models.iter().find(|model| model.offer.model == ask.model);
        let model = model.ok_or_else(|| refused(Refusal::NotOffered, "there is no such model"))?;
        if model.offer.prices != ask.prices {
            return Err(refused(Refusal::NotOffered, "the prices are others now"));
        }
        if !model.offer.makes.takes(&ask.prompt) {
            return Err(refused(Refusal::Invalid, "the model makes something else of a question"));
        }
        if ask.parameters.most > model.offer.context {
            let text = format!("the context has {} tokens", model.offer.context);
            return Err(refused(Refusal::TooLong { left: model.offer.context }, text));
        }
        if !self.status.borrow().rests.is_empty() {
            return Err(refused(Refusal::Busy, "its owner needs the machine"));
        }
        Ok(model)
    }

    async fn reply(&self, talk: &mut Talk, ask: Ask) -> Result<(), TalkError> {
        let model = match self.model_for(&ask) {
            Ok(model) => model,
            Err(reply) => return say(talk, &reply).await,
        };
        let Some(_place) = self.shares.place(talk.remote(), ask.model, model.engine.most()) else {
            return say(talk, &refused(Refusal::Busy, "you have your share of the places")).await;
        };
        let Ok(mut call) = model.engine.ask(ask.prompt.clone(), ask.parameters.clone()) else {
            return say(talk, &refused(Refusal::Busy, "as many wait as may")).await;
        };
        let (mut prompt_tokens, mut made) = (0, Made::of(&ask.prompt));
        loop {
            let event = tokio::select! {
                event = call.next() => event,
                // Nobody waits for it any more; the drop of the call cancels it.
                () = talk.ended() => return Err(TalkError::Gone("the caller hung up".into())),
            };
            match event {
                Some(Event::Begun(tokens)) => {
                    prompt_tokens = tokens;
                    say(talk, &Reply::Begun { prompt_tokens }).await?;
                }
                Some(Event::Piece(piece)) => {
                    made.take(piece.said.clone(), &piece.text);
                    say(talk, &Reply::Piece(piece)).await?;
                }
                Some(Event::Embedding(embedding)) => {
                    made.embed(&embedding);
                    say(talk, &Reply::Embedding(embedding)).await?;
                }
                Some(Event::Ended(end)) => {
                    drop(call);
                    let caller = talk.remote();
                    let reply = self.ended(&ask, caller, prompt_tokens, end, &made);
                    return say(talk, &reply).await;
                }
                Some(Event::Refused { why, text }) => {
                    return say(talk, &refused(why, text)).await;
                }
                None => {
                    let text = "the worker has failed, or the answer was not taken in time";
                    return say(talk, &refused(Refusal::Broken, text)).await;
                }
            }
        }
    }

    /// The receipt for an answer.
    fn ended(
        &self,
        ask: &Ask,
        caller: [u8; 32],
        prompt_tokens: u32,
        end: End,
        made: &Made,
    ) -> Reply {
        let output_tokens = made.tokens();
        let Some(charge) = ask.prices.cost(prompt_tokens, output_tokens) else {
            return refused(Refusal::Broken, "the charge is beyond all bounds");
        };
        let receipt = Receipt {
            chain_id: self.chain_id,
            node: self.signer.address().into(),
            caller,
            nonce: ask.nonce,
            model: ask.model,
            prompt: ask.prompt.hash(),
            parameters: ask.parameters.clone(),
            output: made.hash(end),
            prompt_tokens,
            output_tokens,
            end,
            prices: ask.prices,
            charge,
        };
        match self.signer.sign_hash_sync(&receipt.signing_hash()) {
            Ok(signature) => {
                let receipt = SignedReceipt { receipt, signature: signature.as_bytes() };
                Reply::Ended { end, receipt: Box::new(receipt) }
            }
            Err(error) => {
                warn!(%error, "a receipt could not be signed");
                refused(Refusal::Broken, error.to_string())
            }
        }
    }
}

/// Pieces that come while the caller takes one wait for it, bounded.
async fn say(talk: &mut Talk, reply: &Reply) -> Result<(), TalkError> {
    talk.say(&encode(reply), MAX_UNTAKEN).await
}
