//! One question, from the budget to the receipt: who is asked, what happens when a provider fails.

mod ahead;
mod begun;
mod choose;
mod fault;
#[cfg(test)]
mod manners;
#[cfg(test)]
pub(crate) mod stage;
mod tries;

use std::{sync::Arc, time::Duration};

use tilth_blobs::TalkError;
use tilth_client::infer::{AskError, nonce};
use tilth_protocol::infer::{Parameters, Refusal, SignedReceipt, message::Ask};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::{
    api::{ApiError, Wanted},
    books::{Books, BooksError, Denied, KeyId},
    market::{Choice, Market},
    measure::Measures,
    names::Listed,
    space::Space,
};
pub(crate) use ahead::Ahead;
use begun::UnderWay;
pub(crate) use begun::{Begun, Due, Next, Stopped};
use choose::most_input;
use fault::Spent;
pub(crate) use tries::Tries;

/// Bytes of a prompt to a token, about: only for comparing prices.
const BYTES_PER_TOKEN: u32 = 4;

/// What answering needs.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    pub(crate) market: Arc<Market>,
    pub(crate) books: Books,
    pub(crate) measures: Measures,
    /// Memory for answers.
    pub(crate) space: Space,
    /// Most tokens of an answer.
    pub(crate) tokens_max: u32,
}

impl Counter {
    /// Asks for one of the answers to a question, until a first token has come.
    pub(crate) async fn begin(
        &self,
        key: &KeyId,
        wanted: &Wanted,
        model: &Listed,
        stream: u32,
        tries: &mut Tries,
    ) -> Result<Begun, ApiError> {
        let most = wanted.parameters.most;
        if wanted.most_said.is_some() && most > self.tokens_max {
            let text = format!("An answer may have {} tokens here.", self.tokens_max);
            return Err(ApiError::field(wanted.most_field(), text));
        }
        let parameters =
            Parameters { stream, most: most.min(self.tokens_max), ..wanted.parameters.clone() };
        let input = wanted.prompt.most_tokens() / BYTES_PER_TOKEN;
        let choices = self.choices(wanted, model, input, parameters.most)?;
        let longest = choices.iter().map(|choice| choice.offer.context).max().unwrap_or_default();
        // A prompt has at least one token.
        let least = if wanted.most_said.is_some() { parameters.most } else { 1 };
        let fits = |choice: &Choice| choice.offer.context > least;
        let (mut told, mut refused) = (None, Vec::new());
        for choice in choices.into_iter().filter(fits) {
            if !tries.are_left() {
                break;
            }
            if told.is_some() {
                self.measures.retries.increment();
            }
            match self.attempt(key, wanted, parameters.clone(), &choice, *tries).await {
                Ok(begun) => {
                    self.judge(&refused, &begun);
                    return Ok(begun);
                }
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Declined(error)) => {
                    tries.declined();
                    told = Some(error.or_rather(told));
                }
                Err(Attempt::Refused(why, error)) => {
                    tries.declined();
                    told = Some(error.or_rather(told));
                    refused.push((choice, why));
                }
                Err(Attempt::Failed(error)) => {
                    tries.failed();
                    told = Some(error.or_rather(told));
                }
            }
        }
        Err(told.unwrap_or_else(|| {
            if longest > least {
                return ApiError::late();
            }
            let text =
                format!("{least} tokens of an answer, the longest context on sale has {longest}");
            ApiError::too_long(&wanted.prompt, &text)
        }))
    }

    async fn attempt(
        &self,
        key: &KeyId,
        wanted: &Wanted,
        mut parameters: Parameters,
        choice: &Choice,
        tries: Tries,
    ) -> Result<Begun, Attempt> {
        let began = Instant::now();
        let mut cut = wanted.most_said.is_none();
        // Tokens that the prompt has at least, if what the provider says is true.
        let mut least = 0;
        if cut {
            parameters.most = parameters.most.min(choice.offer.context.saturating_sub(1)).max(1);
        }
        loop {
            let most = parameters.most;
            let asked = self.put(key, wanted, parameters.clone(), least, choice, tries).await?;
            let error = match asked {
                Ok(begun) => return Ok(begun),
                Err(error) => error,
            };
            // Nobody said how long the answer is to be: as long as there is room.
            if let AskError::Refused { why: Refusal::TooLong { left }, .. } = error
                && cut
                && (1..most).contains(&left)
            {
                (cut, parameters.most) = (false, left);
                // So much room is left by a prompt of this length, and none shorter.
                least = choice.offer.context.saturating_sub(left);
                continue;
            }
            return Err(self.failed(choice, wanted, &error, began.elapsed()));
        }
    }

    /// Puts a question to one provider; the amount for it is held before. `least` is how many tokens the prompt has at
    /// least by what it has said before.
    async fn put(
        &self,
        key: &KeyId,
        wanted: &Wanted,
        parameters: Parameters,
        least: u32,
        choice: &Choice,
        tries: Tries,
    ) -> Result<Result<Begun, AskError>, Attempt> {
        let offer = &choice.offer;
        let input = most_input(&wanted.prompt, offer.context, parameters.most);
        let Some(most) = offer.prices.cost(input, parameters.most) else {
            return Err(Attempt::Declined(ApiError::busy("The price is beyond all bounds.")));
        };
        let hold = self.books.hold(key, most).map_err(|denied| {
            let told = ApiError::of_denied(&denied);
            // Another provider may be cheap enough.
            if let Denied::Short(_) = denied {
                Attempt::Declined(told)
            } else {
                Attempt::Final(told)
            }
        })?;
        let ask = Ask {
            model: offer.model,
            prompt: wanted.prompt.clone(),
            parameters,
            prices: offer.prices,
            nonce: nonce(),
        };
        let under_way = UnderWay::new(self, choice);
        let began = Instant::now();
        let first = async {
            let mut answering = self.market.asker.ask(&choice.seller, ask).await?;
            if answering.prompt_tokens() > input {
                return Err(AskError::Nonsense("it counts more tokens than the prompt has".into()));
            }
            if answering.prompt_tokens() < least {
                return Err(AskError::Nonsense("it said that less room was left".into()));
            }
            let first = answering.next().await?;
            Ok((answering, first))
        };
        let Ok(first) = timeout_at(tries.until, first).await else {
            let (all, unread) = (began.elapsed(), Duration::ZERO);
            self.late(choice, Spent { all, unread, most: tries.time });
            return Err(Attempt::Failed(ApiError::late()));
        };
        Ok(first.map(|(answering, first)| {
            let took = began.elapsed();
            self.measures.first_token.record(took);
            self.market.note(&choice.seller, |standing| standing.began(milliseconds(took)));
            Begun {
                counter: self.clone(),
                answering,
                choice: choice.clone(),
                hold: Some(hold),
                first: Some(first),
                space: self.space.part(*key),
                covered: 0,
                began,
                heard_at: Instant::now(),
                unread: Duration::ZERO,
                tries,
                most_field: wanted.most_field(),
                _under_way: under_way,
            }
        }))
    }

    /// Remembers what a provider has done instead of answering, and says what comes of it.
    fn failed(
        &self,
        choice: &Choice,
        wanted: &Wanted,
        error: &AskError,
        lost: Duration,
    ) -> Attempt {
        let told = ApiError::of_ask(error, wanted);
        match error {
            AskError::Bounds(_) | AskError::TooMuch { .. } => Attempt::Final(told),
            AskError::Refused { why: Refusal::Busy | Refusal::NotOffered, .. } => {
                let now = self.market.now_ms();
                self.market.note(&choice.seller, |standing| standing.declined(now));
                Attempt::Declined(told)
            }
            AskError::Refused {
                why: why @ (Refusal::TooLong { .. } | Refusal::Invalid), ..
            } => Attempt::Refused(*why, told),
            _ => Attempt::Failed(self.broke(choice, error, lost)),
        }
    }

    /// The question's time is over, and this provider was not ready.
    fn late(&self, choice: &Choice, spent: Spent) {
        if spent.blames_late() {
            self.broke(choice, &AskError::Away(TalkError::Silent(spent.all)), spent.all);
        }
    }

    /// Remembers that a provider has failed.
    fn broke(&self, choice: &Choice, error: &AskError, lost: Duration) -> ApiError {
        self.measures.failures.increment();
        warn!(owner = %choice.seller.owner, %error, "a provider has failed");
        let now = self.market.now_ms();
        self.market.note(&choice.seller, |standing| standing.failed(now, milliseconds(lost)));
        ApiError::failed(error)
    }

    /// Whoever said that a question has no answer, and another has begun one, was wrong.
    fn judge(&self, refused: &[(Choice, Refusal)], begun: &Begun) {
        let prompt = begun.answering.prompt_tokens();
        let length = prompt.saturating_add(begun.answering.asked().parameters.most);
        let now = self.market.now_ms();
        for (choice, why) in refused {
            if *why == Refusal::Invalid || length <= choice.offer.context {
                self.measures.failures.increment();
                warn!(owner = %choice.seller.owner, ?why, "a provider refuses what others answer");
                self.market.note(&choice.seller, |standing| standing.failed(now, 0));
            }
        }
    }

    /// Charges for whole answers, for all of them or for none. Returns when it is on disk.
    pub(crate) async fn settle(&self, due: Vec<Due>) -> Result<(), ApiError> {
        let tokens = |count: fn(&SignedReceipt) -> u32| -> u64 {
            due.iter().map(|due| u64::from(count(&due.receipt))).sum()
        };
        let (answers, prompt, output) = (
            due.len() as u64,
            tokens(|signed| signed.receipt.prompt_tokens),
            tokens(|signed| signed.receipt.output_tokens),
        );
        let due = due.into_iter().map(|Due { hold, receipt, .. }| (hold, *receipt)).collect();
        if let Err(error) = self.books.settle(due).await {
            info!(%error, "answers could not be charged");
            let denied = match error {
                BooksError::Unknown => Denied::Unknown,
                _ => Denied::Broken,
            };
            return Err(ApiError::of_denied(&denied));
        }
        self.measures.answers.add(answers);
        self.measures.prompt_tokens.add(prompt);
        self.measures.output_tokens.add(output);
        Ok(())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why an attempt came to nothing.
enum Attempt {
    /// Nobody would do better.
    Final(ApiError),
    /// It was not begun, and costs nothing: another is asked.
    Declined(ApiError),
    /// The provider says that there is no answer: others are asked as well.
    Refused(Refusal, ApiError),
    /// It has failed: another is asked, a few times.
    Failed(ApiError),
}

#[cfg(test)]
mod tests;
