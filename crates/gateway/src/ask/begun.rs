//! An answer from its first token to its end.

use std::{sync::Arc, time::Duration};

use tilth_client::infer::{Answering, AskError, Heard};
use tilth_protocol::infer::{Piece, SignedReceipt};
use tokio::time::{Instant, timeout_at};

use super::{Counter, Spent, Tries};
use crate::{
    api::ApiError,
    books::Hold,
    market::{Choice, Market},
    space::{NoRoom, Taken},
};

/// An answer whose first token has come.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(super) counter: Counter,
    pub(super) answering: Answering,
    pub(super) choice: Choice,
    pub(super) hold: Option<Hold>,
    pub(super) first: Option<Heard>,
    /// Memory for what has come, twice: until the receipt is right, and for what is made of it.
    pub(super) space: Taken,
    /// For how many bytes of it.
    pub(super) covered: usize,
    pub(super) began: Instant,
    /// Since when nobody has listened.
    pub(super) heard_at: Instant,
    /// How long nobody has listened before, in all.
    pub(super) unread: Duration,
    pub(super) tries: Tries,
    /// The question's field that bounds the answer's length.
    pub(super) most_field: &'static str,
    /// Dropped with the answer, however it ends.
    pub(super) _under_way: UnderWay,
}

/// What comes of an answer.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(Piece),
    Embedding(Vec<i32>),
    Ended(Due),
}

/// Why nothing more comes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// There is no memory for it here, and none for another provider's.
    NoRoom(NoRoom),
    /// No provider is to blame, and another would do no better.
    Ours(ApiError),
    /// The provider has failed.
    Failed(ApiError),
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::NoRoom(no) => no.into(),
            Stopped::Ours(error) | Stopped::Failed(error) => error,
        }
    }
}

/// A whole answer that is not paid for yet. If this is dropped it never is.
#[derive(Debug)]
pub(crate) struct Due {
    pub(super) hold: Hold,
    pub(crate) receipt: Box<SignedReceipt>,
    /// The answer's.
    pub(super) _space: Taken,
}

/// Counts an answer with its provider until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    market: Arc<Market>,
    choice: Choice,
    _held: tilth_service::metrics::Held,
}

impl UnderWay {
    pub(super) fn new(counter: &Counter, choice: &Choice) -> Self {
        let market = Arc::clone(&counter.market);
        market.note(&choice.seller, |standing| {
            standing.under_way = standing.under_way.saturating_add(1);
        });
        Self { market, choice: choice.clone(), _held: counter.measures.under_way.hold() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.market.note(&self.choice.seller, |standing| {
            standing.under_way = standing.under_way.saturating_sub(1);
        });
    }
}

impl Begun {
    /// What comes next. After the end, and after an error, nothing more does.
    pub(crate) async fn next(&mut self) -> Result<Next, Stopped> {
        self.unread = self.unread.saturating_add(self.heard_at.elapsed());
        let next = self.hear().await;
        self.heard_at = Instant::now();
        next
    }

    async fn hear(&mut self) -> Result<Next, Stopped> {
        let heard = match self.first.take() {
            Some(first) => Ok(first),
            None => match timeout_at(self.tries.until, self.answering.next()).await {
                Ok(heard) => heard,
                Err(_) => return Err(self.late()),
            },
        };
        let came = self.answering.held_bytes();
        let more = came.saturating_sub(self.covered).saturating_mul(2);
        self.space.grow(more).map_err(Stopped::NoRoom)?;
        self.covered = came;
        match heard {
            Ok(Heard::Piece(piece)) => Ok(Next::Piece(piece)),
            Ok(Heard::Embedding(embedding)) => Ok(Next::Embedding(embedding)),
            Ok(Heard::Ended { receipt, .. }) => {
                self.counter.market.note(&self.choice.seller, |standing| standing.ended());
                let hold = self.hold.take();
                let hold = hold.ok_or_else(|| Stopped::Failed(ApiError::late()))?;
                Ok(Next::Ended(Due { hold, receipt, _space: self.space.take() }))
            }
            Err(error) => Err(self.broke(&error)),
        }
    }

    fn spent(&self) -> Spent {
        Spent { all: self.began.elapsed(), unread: self.unread, most: self.tries.time }
    }

    /// The question's time is over.
    fn late(&self) -> Stopped {
        let spent = self.spent();
        self.counter.late(&self.choice, spent);
        Stopped::Ours(if spent.is_unread() { ApiError::slow_reader() } else { ApiError::late() })
    }

    /// The answer breaks off.
    fn broke(&self, error: &AskError) -> Stopped {
        let spent = self.spent();
        if spent.blames(error) {
            return Stopped::Failed(self.counter.broke(&self.choice, error, spent.all));
        }
        Stopped::Ours(match error {
            AskError::TooMuch { .. } => ApiError::too_much(self.most_field),
            _ => ApiError::slow_reader(),
        })
    }
}
