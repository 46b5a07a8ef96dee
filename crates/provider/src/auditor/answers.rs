//! How holders answer that are looked at: who has no place for us is not one that does not serve, and who does not answer at
//! all may be one that we do not reach.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tilth_blobs::{Answer, BlobsError};
use tilth_protocol::Contact;

/// So often a holder that has no place for us is asked again each time it is its turn.
pub(super) const BUSY_TURNS: u32 = 8;
/// Time in between: with a node on this machine, where nobody is far away, and elsewhere.
const BUSY_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(50));

/// What was heard of others while we looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Somebody has served something, or has said that it does not have it: our line carries data there and back.
    pub(super) answered: bool,
    /// Somebody that was asked for a list was there, and has neither served it nor said that it does not have it.
    pub(super) unclear: bool,
}

impl Heard {
    /// Notes what has become of asking for a piece.
    pub(super) fn piece<T>(&mut self, got: &Result<T, BlobsError>) {
        self.answered |= matches!(
            got,
            Ok(_)
                | Err(BlobsError::TooLarge { .. }
                    | BlobsError::NotServed { answer: Answer::Other, .. })
        );
    }

    /// Notes what has become of asking for a list.
    pub(super) fn list<T>(&mut self, got: &Result<T, BlobsError>) {
        self.piece(got);
        self.unclear |=
            matches!(got, Err(BlobsError::NotServed { answer: Answer::Busy | Answer::Broken, .. }));
    }
}

/// Whether a holder has no place for us now.
pub(super) fn is_busy<T>(got: &Result<T, BlobsError>) -> bool {
    matches!(got, Err(BlobsError::NotServed { answer: Answer::Busy, .. }))
}

/// After which time a holder that has no place for an auditor is asked again by it.
pub(super) fn busy_again(is_local: bool, number: u32) -> Duration {
    spread(if is_local { BUSY_AGAIN.0 } else { BUSY_AGAIN.1 }, number)
}

/// A time of an auditor's own, three quarters of the given one or more: not all are to come at the same moment.
pub(super) fn spread(time: Duration, number: u32) -> Duration {
    time.saturating_sub(time / 64 * (number % 16))
}

/// Whom an auditor asks one after the other: not all begin with the same one.
pub(super) fn in_turn(places: &BTreeMap<u32, Contact>, number: u32) -> Vec<(u32, &Contact)> {
    let mut turns: Vec<_> = places.iter().map(|(number, place)| (*number, place)).collect();
    let first = usize::try_from(number).unwrap_or(0) % turns.len().max(1);
    turns.rotate_left(first);
    turns
}

/// Asks, and asks again whoever has no place for us, [`BUSY_TURNS`] times at most and not after `end`.
pub(super) async fn patiently<T, F>(
    again: Duration,
    end: Instant,
    mut ask: impl FnMut() -> F,
) -> Result<T, BlobsError>
where
    F: Future<Output = Result<T, BlobsError>>,
{
    for _ in 0..BUSY_TURNS {
        let got = ask().await;
        if !is_busy(&got) || end.saturating_duration_since(Instant::now()) <= again {
            return got;
        }
        tokio::time::sleep(again).await;
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use tilth_protocol::ContentHash;

    use super::*;

    fn not_served(answer: Answer) -> Result<(), BlobsError> {
        let (hash, detail) = (ContentHash([1; 32]), String::new());
        Err(BlobsError::NotServed { hash, answer, detail })
    }

    #[test]
    fn who_says_that_it_does_not_have_it_is_told_from_who_is_not_reached() {
        let heard = |got: Result<(), BlobsError>| {
            let (mut piece, mut list) = (Heard::default(), Heard::default());
            piece.piece(&got);
            list.list(&got);
            assert_eq!((piece.answered, piece.unclear), (list.answered, false));
            (list.answered, list.unclear)
        };
        let large = BlobsError::TooLarge { content: String::new(), size: 2, max: 1 };
        assert_eq!(heard(Ok(())), (true, false));
        assert_eq!(heard(Err(large)), (true, false));
        assert_eq!(heard(not_served(Answer::Other)), (true, false));
        assert_eq!(heard(not_served(Answer::Busy)), (false, true));
        assert_eq!(heard(not_served(Answer::Broken)), (false, true));
        assert_eq!(heard(not_served(Answer::None)), (false, false));
    }

    /// How often somebody is asked that answers so, and what comes of it.
    async fn asked(answers: &[Answer], end: Instant) -> (usize, bool) {
        let mut asked = 0;
        let got = patiently(Duration::ZERO, end, || {
            let answer = answers.get(asked).copied();
            asked += 1;
            async move { answer.map_or(Ok(()), not_served) }
        });
        let is_served = got.await.is_ok();
        (asked, is_served)
    }

    #[tokio::test]
    async fn who_has_no_place_is_asked_again_and_who_does_not_serve_is_not() {
        let end = Instant::now() + Duration::from_secs(3_600);
        let busy = Answer::Busy;
        assert_eq!(asked(&[busy, busy, busy], end).await, (4, true));
        assert_eq!(asked(&[busy, Answer::Other], end).await, (2, false));
        assert_eq!(asked(&[Answer::None], end).await, (1, false));
        let most = BUSY_TURNS as usize + 1;
        assert_eq!(asked(&[busy; 100], end).await, (most, false), "it is not waited for for ever");
        assert_eq!(asked(&[busy, busy], Instant::now()).await, (1, false), "time is up");
    }

    #[test]
    fn not_all_ask_the_same_one_at_the_same_moment() {
        let time = Duration::from_secs(1_200);
        let times: std::collections::BTreeSet<_> =
            (0..16).map(|number| spread(time, number)).collect();
        assert_eq!(times.len(), 16);
        assert!(times.iter().all(|own| (time / 4 * 3..=time).contains(own)), "{times:?}");
        assert!((0..16).all(|number| busy_again(false, number) < Duration::from_secs(60)));

        let place = |number: u8| Contact { endpoint: [number; 32], addresses: Vec::new() };
        let places: BTreeMap<_, _> = [2, 5, 9].map(|at: u8| (u32::from(at), place(at))).into();
        let turns = |number| in_turn(&places, number).iter().map(|turn| turn.0).collect::<Vec<_>>();
        assert_eq!([turns(0), turns(4)], [[2, 5, 9], [5, 9, 2]]);
        assert!(in_turn(&BTreeMap::new(), 7).is_empty());
    }
}
