//! Whose fault it is that an answer does not come, or not to its end. Pure.

use std::time::Duration;

use tilth_client::infer::AskError;
use tilth_protocol::infer::message::MAX_UNTAKEN;

/// Who was left without a listener for so long in all may hang up, or have forgotten what it could not say: half of
/// what providers wait, because what is on the way, and what they count from, is not seen here.
const UNREAD: Duration = Duration::from_secs(MAX_UNTAKEN.as_secs() / 2);

/// How the time for one provider's answer has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    /// Since it was asked.
    pub(super) all: Duration,
    /// So much of it what it said was not listened to: whoever reads here was too slow.
    pub(super) unread: Duration,
    /// What there was for the question, over all providers that were asked.
    pub(super) most: Duration,
}

impl Spent {
    /// Whether its reader was too slow for it.
    pub(super) fn is_unread(self) -> bool {
        self.unread >= UNREAD
    }

    /// Whether a provider is to blame that was not ready when the question's time was over: only if it had half of it,
    /// and the others have not used it up.
    pub(super) fn blames_late(self) -> bool {
        !self.is_unread() && self.all >= self.most / 2
    }

    /// Whether a provider is to blame for this.
    pub(super) fn blames(self, error: &AskError) -> bool {
        match error {
            AskError::TooMuch { .. } | AskError::Bounds(_) => false,
            // That is how it ends for those who wait for their reader.
            AskError::Away(_) | AskError::Refused { .. } => !self.is_unread(),
            AskError::Nonsense(_) | AskError::Receipt(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tilth_blobs::TalkError;
    use tilth_protocol::infer::Refusal;

    use super::*;

    fn spent(all: u64, unread: u64) -> Spent {
        let most = Duration::from_secs(600);
        Spent { all: Duration::from_secs(all), unread: Duration::from_secs(unread), most }
    }

    #[test]
    fn who_had_little_time_left_by_others_is_not_to_blame_for_being_late() {
        assert!(!spent(1, 0).blames_late() && !spent(299, 0).blames_late());
        assert!(spent(300, 0).blames_late() && spent(600, 9).blames_late());
        assert!(!spent(600, 10).blames_late(), "its reader was");
    }

    #[test]
    fn slow_readers_do_not_excuse_what_is_wrong_by_itself() {
        let broken = AskError::Refused { why: Refusal::Broken, text: "not taken".into() };
        for error in [AskError::Away(TalkError::Gone("hung up".into())), broken] {
            assert!(spent(60, 9).blames(&error), "{error}");
            assert!(!spent(60, 10).blames(&error), "{error}");
        }
        assert!(spent(60, 60).blames(&AskError::Nonsense("?".into())));
        assert!(!spent(60, 0).blames(&AskError::TooMuch { most: 1 }));
    }
}
