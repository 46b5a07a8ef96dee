//! What is under way in a case, and when it is looked at next.

use super::{
    Act, BEACON_PAUSE, FINAL, LOOK_AGAIN, Millis,
    tried::{Tried, pause},
};

/// How often a case is looked at that is over: it may not have been. No time of a replica is shorter than two of
/// these, and no window of an audit shorter than four.
const LOOK_AT_ENDED: Millis = FINAL / 2;
/// Blocks after which a case that the chain has never heard of was in a block that does not count any more.
const UNHEARD: u64 = 64;
/// And so much time, if it is one we answer for: a node that reads the chain anew knows of it late. No replica is open
/// so long.
pub(crate) const UNHEARD_OURS: Millis = 86_400_000;

/// How far a case is: `V` is what a look shows, `M` all that a move can be meant to change.
#[derive(Clone, Debug)]
pub(crate) struct Course<V, M> {
    pub(super) view: Option<V>,
    /// Whether there was news since the last look was begun.
    pub(super) news: bool,
    pub(super) busy: bool,
    /// Whether a look is what is under way.
    pub(super) looking: bool,
    pub(super) not_before: Millis,
    failures: u32,
    tried: Option<Tried<M>>,
    /// The head when the chain first knew nothing of the case, and when that was.
    unheard: Option<(u64, Millis)>,
    /// Since when it is over.
    over_since: Option<Millis>,
}

impl<V, M> Default for Course<V, M> {
    fn default() -> Self {
        Self {
            view: None,
            news: false,
            busy: false,
            looking: false,
            not_before: 0,
            failures: 0,
            tried: None,
            unheard: None,
            over_since: None,
        }
    }
}

impl<V, M> Course<V, M> {
    /// What was under way has ended; what the chain showed before is outdated.
    pub(crate) fn end(&mut self, done: bool, now: Millis) {
        (self.busy, self.looking) = (false, false);
        self.view = None;
        if done {
            (self.failures, self.not_before) = (0, 0);
        } else {
            self.not_before = now.saturating_add(pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// A look has ended. What it shows is outdated if there was news since it was begun.
    pub(super) fn looked(&mut self, view: Option<V>, now: Millis) {
        self.end(view.is_some(), now);
        self.view = view.filter(|_| !self.news);
    }

    /// Something was said about it.
    pub(crate) fn hear(&mut self) {
        self.news = true;
        self.view = None;
        // After failures the pause is kept, or a busy case would have us ask all the time.
        if self.failures == 0 {
            self.not_before = 0;
        }
    }

    /// Nothing is due for so long; then it is looked at again.
    pub(super) fn wait(&mut self, pause: Millis, now: Millis) {
        self.view = None;
        self.not_before = now.saturating_add(pause.max(1));
    }

    /// A look is begun.
    pub(super) fn begin_look(&mut self) {
        (self.busy, self.looking, self.news) = (true, true, false);
    }

    /// The clock was set back: pauses last as long as they were meant to.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
        self.over_since = self.over_since.map(|since| since.saturating_sub(by));
        self.unheard = self.unheard.map(|(head, since)| (head, since.saturating_sub(by)));
        if let Some(tried) = &mut self.tried {
            tried.set_back(by);
        }
    }

    /// Another case has begun in its place: what was tried and what was over was the old one.
    pub(crate) fn renew(&mut self) {
        (self.tried, self.over_since) = (None, None);
    }

    /// It is not over, whatever it was before.
    pub(crate) fn reopen(&mut self) {
        self.over_since = None;
    }

    /// It is over. Who answers for it goes on looking for a while, and is there if it is open again.
    pub(crate) fn linger<E>(&mut self, answers: bool, now: Millis) -> Act<E> {
        let since = *self.over_since.get_or_insert(now);
        let left = since.saturating_add(FINAL).checked_sub(now);
        let left = left.filter(|left| answers && *left > 0);
        left.map_or(Act::Forget, |left| Act::Wait(left.min(LOOK_AT_ENDED)))
    }

    /// The chain knows of it, whatever it did before.
    pub(crate) fn appear(&mut self) {
        self.unheard = None;
    }

    /// The chain knows nothing of it at this head: the node is late, or the block in which we have heard of it is
    /// gone.
    pub(crate) fn unheard<E>(&mut self, head: u64, answers: bool, now: Millis) -> Act<E> {
        let (first, since) = *self.unheard.get_or_insert((head, now));
        if head.saturating_sub(first) < UNHEARD {
            return Act::Wait(BEACON_PAUSE);
        }
        if answers && now.saturating_sub(since) < UNHEARD_OURS {
            return Act::Wait(LOOK_AGAIN);
        }
        Act::Forget
    }
}

impl<V: Copy, M: PartialEq> Course<V, M> {
    /// What the chain shows, if something can be done about it now.
    pub(super) fn ready(&self, now: Millis) -> Option<V> {
        self.view.filter(|_| !self.busy && self.not_before <= now)
    }

    /// Notes a move that is to be made, if it is one that can be in vain.
    ///
    /// # Errors
    /// How long to wait, if it is the same again and nothing has come of it.
    pub(super) fn note(&mut self, mark: Option<M>, now: Millis) -> Result<(), Millis> {
        if let Some(mark) = mark {
            self.tried = Some(Tried::again(self.tried.as_ref(), mark, now)?);
        }
        Ok(())
    }
}
