//! Looking whether those who hold what a range has made, or the inputs of a job, still serve it: from each of them one
//! drawn piece is fetched.
//!
//! Whoever does not serve it has no second half of its fee, so whoever does not answer is asked again, in the end a long
//! time later: packets are lost, and machines are started anew.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tilth_client::{ChainError, holding::Part};
use tilth_protocol::{Contact, ContentRef, RangeId};
use tilth_verification::{draw::Seed, holding::piece};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::{
    answers::{Heard, busy_again, patiently, spread},
    content::HoldError,
    holder::Holder,
    pieces::Pieces,
};

/// Pieces asked for at the same time, for all ranges together.
pub(super) const AT_ONCE: usize = 64;
/// Lists of what there is that are fetched and read at the same time: the longest take a hundred MiB of memory.
pub(super) const READ_AT_ONCE: usize = 16;
/// So often each holder is asked before it does not serve.
const TRIES: u32 = 3;
/// Time in between: with a node on this machine, where nobody is far away, and elsewhere. A third of what is left at
/// most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1_200));
/// Time for a piece.
const PIECE_TIME: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) range: RangeId,
    pub(super) part: Part,
    /// Our draw among those who look.
    pub(super) draw: u8,
    pub(super) seed: Seed,
    /// Draws of holders, and the auditors whom they name.
    pub(super) holders: Vec<(u8, u32)>,
}

/// The piece that each holder is asked for, by its draw: more is not kept of a list, which may be long, through the hours
/// that looking takes.
type Drawn = BTreeMap<u8, (ContentRef, u64)>;

/// The bit of a draw.
fn bit(draw: u8) -> u16 {
    1_u16.checked_shl(draw.into()).unwrap_or(0)
}

impl Question {
    /// Which piece one of the holders is asked for; `None`: there is none at all.
    fn piece_for(&self, draw: u8, pieces: &Pieces) -> Option<(ContentRef, u64)> {
        if pieces.count() == 0 {
            return None;
        }
        pieces.at(piece(self.seed, self.draw, draw, pieces.count()))
    }

    /// The pieces that holders are asked for.
    fn drawn(&self, pieces: &Pieces) -> Drawn {
        let piece = |draw: u8| Some((draw, self.piece_for(draw, pieces)?));
        self.holders.iter().filter_map(|(draw, _)| piece(*draw)).collect()
    }

    /// Draws of others than one auditor.
    fn others_than(&self, number: u32) -> u16 {
        let others = self.holders.iter().filter(|(_, other)| *other != number);
        others.fold(0, |bits, (draw, _)| bits | bit(*draw))
    }

    /// Whether one auditor has not seen a single other one serve where there are others.
    fn is_blind(&self, number: u32, seen: u16) -> bool {
        let others = self.others_than(number);
        others != 0 && seen & others == 0
    }

    /// Whether one auditor can say what it has seen. Not if its line may be what is at fault: it has seen none of the
    /// others, and none has said that it does not have it; or nothing is known of what was to be asked for, and somebody
    /// was there who may have known.
    fn can_be_said(&self, number: u32, seen: u16, drawn: Option<&Drawn>, heard: Heard) -> bool {
        let is_away = self.is_blind(number, seen) && !heard.answered;
        let is_unclear = drawn.is_none() && heard.unclear;
        !is_away && !is_unclear
    }
}

impl Holder {
    /// Looks which holders serve their piece. `None`: nothing of others has come here, so it may be we who are away, or
    /// nobody could be asked for anything, and to say that none of them serves would be wrong; whoever else was drawn says it.
    ///
    /// `left`: after that nobody listens. A quarter of it is left for saying what was seen.
    pub(super) async fn look_at(
        &self,
        question: &Question,
        left: Duration,
    ) -> Result<Option<u16>, HoldError> {
        let end = Instant::now() + left / 4 * 3;
        let all = question.holders.iter().fold(0, |bits, (draw, _)| bits | bit(*draw));
        let (mut drawn, mut seen, mut heard) = (None, 0, Heard::default());
        for attempt in 0..TRIES {
            if attempt > 0 {
                let again = if self.link().is_local() { AGAIN.0 } else { AGAIN.1 };
                let left = end.saturating_duration_since(Instant::now());
                tokio::time::sleep(spread(again, self.number).min(left / 3)).await;
            }
            // Whoever was started anew may be found elsewhere.
            let places = self.places_of(&question.holders).await?;
            if drawn.is_none() {
                let pieces = Box::pin(self.learn(question, &places, end, &mut heard)).await?;
                drawn = pieces.map(|pieces| question.drawn(&pieces));
            }
            let Some(drawn) = &drawn else { continue };
            seen |= self.own(question, drawn).await?;
            let missing = (all & !seen, end);
            seen |= self.ask_all(question, drawn, &places, missing, &mut heard).await;
            if seen == all {
                break;
            }
        }
        if !question.can_be_said(self.number, seen, drawn.as_ref(), heard) {
            let range = question.range;
            warn!(%range, "nothing came from its holders: whether it is served is not said");
            return Ok(None);
        }
        let (served, of) = (seen.count_ones(), all.count_ones());
        info!(range = %question.range, served, of, "looked whether it is served by its holders");
        Ok(Some(seen))
    }

    /// Our own draws whose piece is really here.
    async fn own(&self, question: &Question, drawn: &Drawn) -> Result<u16, HoldError> {
        let mut seen = 0;
        for (draw, _) in question.holders.iter().filter(|(_, number)| *number == self.number) {
            let Some((blob, piece)) = drawn.get(draw) else { continue };
            if self.shop.blobs.has_piece(*blob, *piece).await? {
                seen |= bit(*draw);
            }
        }
        Ok(seen)
    }

    /// Asks others for the pieces of some draws, all at once. Returns the draws whose piece has come.
    async fn ask_all(
        &self,
        question: &Question,
        drawn: &Drawn,
        places: &BTreeMap<u32, Contact>,
        (draws, end): (u16, Instant),
        heard: &mut Heard,
    ) -> u16 {
        let again = busy_again(self.link().is_local(), self.number);
        let mut asked = JoinSet::new();
        for (draw, number) in &question.holders {
            if draws & bit(*draw) == 0 || *number == self.number {
                continue;
            }
            let piece = drawn.get(draw).copied();
            let (Some((blob, piece)), Some(place)) = (piece, places.get(number).cloned()) else {
                continue;
            };
            let (blobs, asking) = (self.shop.blobs.clone(), Arc::clone(&self.asking));
            let (draw, number, range) = (*draw, *number, question.range);
            asked.spawn(async move {
                let got = patiently(again, end, move || {
                    let (blobs, asking) = (blobs.clone(), Arc::clone(&asking));
                    let place = place.clone();
                    async move {
                        // Others have their turn while one that has no place for us is waited for.
                        let _turn = asking.acquire_owned().await;
                        let deadline = end.min(Instant::now() + PIECE_TIME);
                        Box::pin(blobs.get_piece(blob, piece, &place, deadline)).await
                    }
                });
                let got = got.await;
                if let Err(error) = &got {
                    debug!(%range, number, draw, %error, "a holder has not served its piece");
                }
                (draw, got)
            });
        }
        let mut seen = 0;
        while let Some(done) = asked.join_next().await {
            match done {
                Ok((draw, got)) => {
                    heard.piece(&got);
                    seen |= got.map_or(0, |_| bit(draw));
                }
                // Nobody is to pay for a mistake of ours.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        seen
    }

    /// Where holders other than ourselves are found, as they have announced it.
    async fn places_of(&self, holders: &[(u8, u32)]) -> Result<BTreeMap<u32, Contact>, ChainError> {
        let others = holders.iter().map(|(_, number)| *number).filter(|who| *who != self.number);
        self.contacts.of_holders(&others.collect()).await
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use tilth_protocol::{ContentHash, JobId};
    use tilth_verification::holding::PIECE_BYTES;

    use super::*;

    fn question(holders: Vec<(u8, u32)>) -> Question {
        let range = RangeId { job: JobId(3), seq: 4 };
        let seed = Seed::new(B256::repeat_byte(7), range, 0);
        Question { range, part: Part::default(), draw: 2, seed, holders }
    }

    #[test]
    fn holders_are_asked_for_different_pieces() {
        let size = 1_000_000 * PIECE_BYTES;
        let pieces = Pieces::of(vec![ContentRef { hash: ContentHash([1; 32]), size }]);
        let asked = question((0..15).map(|draw| (draw, u32::from(draw) + 1)).collect());
        let of = |draw: u8| asked.piece_for(draw, &pieces).unwrap().1;
        assert!((0..15).all(|draw| of(draw) < pieces.count()));
        let different: std::collections::BTreeSet<_> = (0..15).map(of).collect();
        assert!(different.len() > 10, "{different:?}");
        assert_eq!(asked.piece_for(0, &Pieces::of(Vec::new())), None);
        assert!(asked.drawn(&Pieces::of(Vec::new())).is_empty());
        let drawn = asked.drawn(&pieces);
        assert!(drawn.len() == 15 && drawn.iter().all(|(draw, (_, piece))| *piece == of(*draw)));
        assert_eq!(asked.others_than(3), 0b111_1111_1111_1011);
        assert_eq!(asked.others_than(99), 0b111_1111_1111_1111);
        assert_eq!((bit(15), bit(16), bit(255)), (1 << 15, 0, 0));
    }

    #[test]
    fn who_sees_nobody_but_itself_may_be_away() {
        let asked = question(vec![(0, 3), (4, 7), (5, 3)]);
        assert!(asked.is_blind(3, 0) && asked.is_blind(3, 0b10_0001), "its own are no others");
        assert!(!asked.is_blind(3, 0b1_0000));
        assert!(asked.is_blind(9, 0) && !asked.is_blind(9, 1));
        // There is nobody else to be seen.
        assert!(!question(vec![(0, 3), (5, 3)]).is_blind(3, 0));
    }

    #[test]
    fn that_nobody_serves_is_said_only_by_who_has_had_an_answer() {
        let asked = question(vec![(0, 3), (4, 7)]);
        let drawn = Drawn::new();
        let says = |seen, drawn, (answered, unclear)| {
            asked.can_be_said(3, seen, drawn, Heard { answered, unclear })
        };
        // With the list from here, or from somebody.
        assert!(!says(0, Some(&drawn), (false, false)), "nothing has come");
        assert!(!says(1, Some(&drawn), (false, true)), "nothing but our own");
        assert!(says(0, Some(&drawn), (true, false)) && says(0, Some(&drawn), (true, true)));
        assert!(says(0b1_0000, Some(&drawn), (true, false)));
        // With no list at all.
        assert!(says(0, None, (true, false)), "nobody has it");
        assert!(!says(0, None, (true, true)), "somebody was too slow, or had no place for us");
        assert!(!says(0, None, (false, false)) && !says(0, None, (false, true)));
    }
}
