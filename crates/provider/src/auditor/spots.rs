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

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{B256, U256};
use tilth_client::{ChainError, holding::Part};
use tilth_contracts::Holders;
use tilth_protocol::{Contact, ContentRef, RangeId};
use tilth_verification::{draw::Seed, holding::piece};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::{content::HoldError, holder::Holder, pieces::Pieces};

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
/// Auditors that are called to find out whether anybody can be reached from here.
const CALLED: usize = 16;

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
}

impl Holder {
    /// Looks which holders serve their piece. `None`: nobody at all can be reached from here, so it is we who are away,
    /// and to say that none of them serves would be wrong; whoever else was drawn says it.
    ///
    /// `left`: after that nobody listens. A quarter of it is left for saying what was seen.
    pub(super) async fn look_at(
        &self,
        question: &Question,
        left: Duration,
    ) -> Result<Option<u16>, HoldError> {
        let end = Instant::now() + left / 4 * 3;
        let all = question.holders.iter().fold(0, |bits, (draw, _)| bits | bit(*draw));
        let (mut pieces, mut seen) = (None, 0);
        let mut places = BTreeMap::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                let again = if self.link().is_local() { AGAIN.0 } else { AGAIN.1 };
                let left = end.saturating_duration_since(Instant::now());
                tokio::time::sleep(again.min(left / 3)).await;
            }
            // Whoever was started anew may be found elsewhere.
            places = self.places_of(&question.holders).await?;
            if pieces.is_none() {
                pieces = Box::pin(self.learn(question, &places, end)).await?;
            }
            let Some(pieces) = &pieces else { continue };
            seen |= self.own(question, pieces).await?;
            seen |= self.ask_all(question, pieces, &places, (all & !seen, end)).await;
            if seen == all {
                break;
            }
        }
        if question.is_blind(self.number, seen) && !self.reaches_anybody(&places).await? {
            warn!(range = %question.range, "nobody can be reached: whether it is served is not said");
            return Ok(None);
        }
        let (served, of) = (seen.count_ones(), all.count_ones());
        info!(range = %question.range, served, of, "looked whether it is served by its holders");
        Ok(Some(seen))
    }

    /// Our own draws whose piece is really here.
    async fn own(&self, question: &Question, pieces: &Pieces) -> Result<u16, HoldError> {
        let mut seen = 0;
        for (draw, _) in question.holders.iter().filter(|(_, number)| *number == self.number) {
            let Some((blob, piece)) = question.piece_for(*draw, pieces) else { continue };
            if self.shop.blobs.has_piece(blob, piece).await? {
                seen |= bit(*draw);
            }
        }
        Ok(seen)
    }

    /// Asks others for the pieces of some draws, all at once. Returns the draws whose piece has come.
    async fn ask_all(
        &self,
        question: &Question,
        pieces: &Pieces,
        places: &BTreeMap<u32, Contact>,
        (draws, end): (u16, Instant),
    ) -> u16 {
        let mut asked = JoinSet::new();
        for (draw, number) in &question.holders {
            if draws & bit(*draw) == 0 || *number == self.number {
                continue;
            }
            let piece = question.piece_for(*draw, pieces);
            let (Some((blob, piece)), Some(place)) = (piece, places.get(number).cloned()) else {
                continue;
            };
            let (blobs, asking) = (self.shop.blobs.clone(), Arc::clone(&self.asking));
            let (draw, number, range) = (*draw, *number, question.range);
            asked.spawn(async move {
                let _turn = asking.acquire_owned().await.ok()?;
                let deadline = end.min(Instant::now() + PIECE_TIME);
                let got = Box::pin(blobs.get_piece(blob, piece, &place, deadline)).await;
                if let Err(error) = &got {
                    debug!(%range, number, draw, %error, "a holder has not served its piece");
                }
                got.is_ok().then_some(draw)
            });
        }
        let mut seen = 0;
        while let Some(done) = asked.join_next().await {
            match done {
                Ok(draw) => seen |= draw.map_or(0, bit),
                // Nobody is to pay for a mistake of ours.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        seen
    }

    /// Whether any holder, or any other auditor, can be reached now.
    async fn reaches_anybody(&self, places: &BTreeMap<u32, Contact>) -> Result<bool, ChainError> {
        let others = self.announced(None).await?;
        let others = others.into_iter().rev().filter(|(number, _)| *number != self.number);
        let known = places.values().cloned();
        let contacts = known.chain(others.map(|(_, contact)| contact).take(CALLED));
        let mut called = JoinSet::new();
        for contact in contacts {
            let (blobs, asking) = (self.shop.blobs.clone(), Arc::clone(&self.asking));
            called.spawn(async move {
                let Ok(_turn) = asking.acquire_owned().await else { return false };
                Box::pin(blobs.reaches(&contact)).await
            });
        }
        while let Some(answered) = called.join_next().await {
            if matches!(answered, Ok(true)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where holders other than ourselves are found, as they have announced it.
    async fn places_of(&self, holders: &[(u8, u32)]) -> Result<BTreeMap<u32, Contact>, ChainError> {
        let others = holders.iter().map(|(_, number)| *number).filter(|who| *who != self.number);
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return Ok(BTreeMap::new());
        }
        // The latest word of each counts.
        Ok(self.announced(Some(others.as_slice())).await?.into_iter().collect())
    }

    /// What auditors have announced, the latest last; of all of them, or of some.
    async fn announced(&self, of: Option<&[u32]>) -> Result<Vec<(u32, Contact)>, ChainError> {
        let mut filter = Filter::new()
            .address(self.link().addresses().holders)
            .event_signature(Holders::HolderContact::SIGNATURE_HASH);
        if let Some(numbers) = of {
            let topics = numbers.iter().map(|number| B256::from(U256::from(*number)));
            filter = filter.topic1(topics.collect::<Vec<_>>());
        }
        let logs = self.link().scan(&filter, self.first_block).await?;
        let announced = logs.iter().filter_map(|log| {
            let said = Holders::HolderContact::decode_log(&log.inner).ok()?;
            Some((said.number, Contact::from_bytes(&said.contact).ok()?))
        });
        Ok(announced.collect())
    }
}

#[cfg(test)]
mod tests {
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
}
