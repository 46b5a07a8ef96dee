//! Asking providers' language models, with everything checked that can be checked without the model: bounds,
//! the order of what is said, and the receipt at the end.

mod answering;
mod json;
mod quiet;
pub mod schema;
pub mod sellers;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use tilth_blobs::{Blobs, Talk, TalkError};
use tilth_protocol::{
    Contact, Problem, decode, encode,
    infer::{
        ModelOffer, OutOfBounds, Question, Refusal, Reply, check_question,
        message::{ALPN, Ask, MAX_OFFERS, MAX_REPLY_BYTES},
    },
};
use tilth_service::Doing;
use tilth_verification::receipt::Fault;

pub use answering::{Answering, Heard, MAX_ANSWER_BYTES};
use quiet::Quiet;

/// How long anything that takes no computing may take: two round trips around the world, and a loaded machine.
const ANSWER: Duration = Duration::from_secs(10);
/// How long finding out what one provider sells may take in all, each of its places by itself: a dial and an
/// answer, and half as much again.
const WHO: Duration = Duration::from_secs(15);
/// A call that was not used for so long is hung up; providers wait a little longer.
const IDLE: Duration = Duration::from_secs(60);
/// Most calls kept to one provider.
const MAX_KEPT: usize = 64;
/// Most providers to whom calls are kept.
const MAX_KEPT_PROVIDERS: usize = 256;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be reached, or says nothing more.
    #[error("the provider does not answer: {0}")]
    Away(#[from] TalkError),
    /// It says what no provider says.
    #[error("the provider breaks the rules: {0}")]
    Nonsense(String),
    /// Its receipt is wrong.
    #[error("the provider's receipt is wrong: {0}")]
    Receipt(#[from] Fault),
    /// It refuses.
    #[error("the provider refuses: {text}")]
    Refused {
        /// Why.
        why: Refusal,
        /// In its words, without what a terminal would obey.
        text: String,
    },
    /// The question is outside its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// The answer is larger than what is kept of one here. That is no fault of the provider's: it has said no more than
    /// it was asked for.
    #[error("the answer takes more than {most} bytes of memory")]
    TooMuch {
        /// What is kept, [`MAX_ANSWER_BYTES`].
        most: usize,
    },
}

impl AskError {
    /// The three-part form for people.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::Refused { why: Refusal::TooLong { .. }, .. } => {
                "shorten the prompt or the answer"
            }
            Self::Refused { why: Refusal::Busy, .. } => "try again later, or another provider",
            Self::Bounds(_) | Self::Refused { why: Refusal::Invalid, .. } => "mend the question",
            Self::TooMuch { .. } => {
                "ask for fewer tokens, or for fewer likely ones with each, or for fewer embeddings"
            }
            Self::Nonsense(_) | Self::Receipt(_) => {
                "use another provider; nothing is owed to this one for the answer"
            }
            _ => "try again, or another provider",
        };
        Problem::new("there is no answer", self.to_string(), advice)
    }
}

/// A provider that sells models.
#[derive(Clone, Debug)]
pub struct Seller {
    /// Its owner's account.
    pub owner: Address,
    /// Its node account, which signs.
    pub node: Address,
    /// Where it is.
    pub contact: Contact,
    /// What it sells.
    pub offers: Vec<ModelOffer>,
    /// How many answers were under way.
    pub busy: u32,
    /// How long it took to say so.
    pub round_trip: Duration,
}

/// Open calls by endpoint, each with the moment of its last use.
type Calls = HashMap<[u8; 32], Vec<(Talk, Instant)>>;

/// Who asks. Clones share their calls.
#[derive(Clone, Debug)]
pub struct Asker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    blobs: Blobs,
    chain_id: u64,
    kept: Mutex<Calls>,
    quiet: Mutex<Quiet>,
}

/// 16 fractional bits of a temperature or probability from 0 to `highest` (at most 2), as [`Parameters`] have them, rounded
/// to nearest; `None` outside.
///
/// [`Parameters`]: tilth_protocol::infer::Parameters
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2 times 65,536"
)]
pub fn fixed(value: f64, highest: f64) -> Option<u32> {
    (0.0..=highest.min(2.0)).contains(&value).then(|| (value * 65_536.0).round() as u32)
}

/// Fresh random bytes.
pub fn nonce() -> [u8; 32] {
    PrivateKeySigner::random().to_bytes().0
}

async fn say(talk: &mut Talk, question: &Question) -> Result<(), AskError> {
    Ok(talk.say(&encode(question), ANSWER).await?)
}

async fn hear(talk: &mut Talk, patience: Duration) -> Result<Reply, AskError> {
    let bytes = talk.hear(MAX_REPLY_BYTES, patience).await?;
    decode(&bytes, MAX_REPLY_BYTES).map_err(|error| AskError::Nonsense(error.to_string()))
}

/// Finds out whether anybody is there.
async fn greet(talk: &mut Talk) -> Result<(), AskError> {
    say(talk, &Question::Who).await?;
    hear(talk, ANSWER).await.map(drop)
}

impl Asker {
    /// Asks from this endpoint.
    pub fn new(blobs: Blobs, chain_id: u64) -> Self {
        let inner = Inner { blobs, chain_id, kept: Mutex::default(), quiet: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    fn kept(&self) -> MutexGuard<'_, Calls> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quiet(&self) -> MutexGuard<'_, Quiet> {
        self.inner.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that was kept, if there is one.
    fn take(&self, endpoint: &[u8; 32]) -> Option<Talk> {
        let mut kept = self.kept();
        let calls = kept.get_mut(endpoint)?;
        while let Some((talk, used)) = calls.pop() {
            if used.elapsed() < IDLE {
                return Some(talk);
            }
        }
        None
    }

    /// Keeps a call on which nothing is due any more.
    fn keep(&self, endpoint: [u8; 32], talk: Talk) {
        let now = Instant::now();
        let mut kept = self.kept();
        kept.retain(|_, calls| {
            calls.retain(|(_, used)| used.elapsed() < IDLE);
            !calls.is_empty()
        });
        if kept.len() < MAX_KEPT_PROVIDERS || kept.contains_key(&endpoint) {
            let calls = kept.entry(endpoint).or_default();
            if calls.len() < MAX_KEPT {
                calls.push((talk, now));
            }
        }
    }

    /// Asks a provider what it sells.
    ///
    /// # Errors
    /// It does not answer in fifteen seconds, or is not the node that the chain names.
    pub fn who<'a>(
        &'a self,
        owner: Address,
        node: Address,
        contact: &'a Contact,
    ) -> Doing<'a, Result<Seller, AskError>> {
        Box::pin(async move {
            let answered = tokio::time::timeout(WHO, self.ask_who(owner, node, contact)).await;
            answered.map_err(|_| TalkError::Silent(WHO))?
        })
    }

    async fn ask_who(
        &self,
        owner: Address,
        node: Address,
        contact: &Contact,
    ) -> Result<Seller, AskError> {
        let mut kept = self.take(&contact.endpoint);
        if let Some(talk) = &mut kept
            && greet(talk).await.is_err()
        {
            // A call that was kept may have ended meanwhile.
            kept = None;
        }
        let mut talk = match kept {
            Some(talk) => talk,
            None => {
                let mut fresh = self.inner.blobs.call(contact, ALPN).await?;
                greet(&mut fresh).await?;
                fresh
            }
        };
        // The first answer may have waited for the connection.
        let began = Instant::now();
        say(&mut talk, &Question::Who).await?;
        let Reply::Here { node: named, offers, busy } = hear(&mut talk, ANSWER).await? else {
            return Err(AskError::Nonsense("it does not say who it is".into()));
        };
        if node != Address::from(named) || offers.len() > MAX_OFFERS {
            return Err(AskError::Nonsense("it says that it is another node".into()));
        }
        let sane = |offer: &ModelOffer| {
            offer.context > 0
                && offer.makes.check().is_ok()
                && offer.prices.check().is_ok()
                && offer.name.len() <= tilth_protocol::spec::MAX_NAME_BYTES
                && !offer.name.chars().any(char::is_control)
        };
        let offers = offers.into_iter().filter(sane).collect();
        let round_trip = began.elapsed();
        self.keep(contact.endpoint, talk);
        Ok(Seller { owner, node, contact: contact.clone(), offers, busy, round_trip })
    }

    /// Asks one of its models. Returns when the provider has taken the question in.
    ///
    /// # Errors
    /// Nothing of an answer has come then.
    pub fn ask<'a>(
        &'a self,
        seller: &'a Seller,
        ask: Ask,
    ) -> Doing<'a, Result<Answering, AskError>> {
        Box::pin(async move {
            check_question(&ask.prompt, &ask.parameters)?;
            let kept = self.take(&seller.contact.endpoint);
            let was_kept = kept.is_some();
            let talk = match kept {
                Some(talk) => talk,
                None => self.inner.blobs.call(&seller.contact, ALPN).await?,
            };
            match Answering::begin(self, seller, talk, ask).await {
                // A call that was kept may have ended meanwhile. One that is only silent has had its time.
                Err((AskError::Away(TalkError::Gone(_)), ask)) if was_kept => {
                    let talk = self.inner.blobs.call(&seller.contact, ALPN).await?;
                    Answering::begin(self, seller, talk, ask).await.map_err(|(error, _)| error)
                }
                begun => begun.map_err(|(error, _)| error),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::fixed;

    #[test]
    fn numbers_within_their_bounds_become_fixed_point() {
        assert_eq!(fixed(0.7, 2.0), Some(45_875));
        assert_eq!((fixed(0.0, 1.0), fixed(1.0, 1.0)), (Some(0), Some(65_536)));
        assert_eq!(fixed(2.0, 2.0), Some(131_072));
        for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(fixed(value, 1.0), None, "{value}");
        }
    }
}
