//! What comes of the transactions of a provider whose work a machine decides, in the words of that.

use alloy_sol_types::SolInterface;
use tilth_contracts::JobBook::{self, JobBookErrors};
use tilth_protocol::{JobId, RangeId};
use tilth_provider::{
    machine::{Ask, ChainEvent, Claim, Effect, Event, Millis, MoveFailure, Place, Refusal},
    words::{self, Standing},
};

use super::{
    agent::Agent,
    provider::Provider,
    scene::{Scene, Tx, What},
};
use crate::farm::{FarmError, Receipt};

impl Provider {
    /// A transaction that its machine has asked for has ended, in this life or in an earlier one.
    pub(super) fn answer_machine(
        &mut self,
        agent: &mut Agent,
        (tx, receipt): (&Tx, &Receipt),
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let What::Work(life, effect) = &tx.what else { return Ok(()) };
        let is_later = *life != 0 && matches!(**effect, Effect::Submit { .. });
        agent.submitted_later += u64::from(is_later && receipt.success);
        let events = self.outcome(agent, effect, receipt, scene)?;
        if *life == agent.life { self.tell(agent, events, scene) } else { Ok(()) }
    }

    fn outcome(
        &mut self,
        agent: &mut Agent,
        effect: &Effect,
        receipt: &Receipt,
        scene: &mut Scene,
    ) -> Result<Vec<Event>, FarmError> {
        let done = receipt.success;
        Ok(match effect {
            Effect::Claim(ask) => {
                let given = self.given(ask.job, receipt).ok_or_else(|| {
                    let why = error_of(receipt).as_ref().and_then(words::claim_refused);
                    why.unwrap_or(Refusal::Later)
                });
                vec![answer_to(ask, given)]
            }
            Effect::Submit { range, ask, .. } => {
                agent.submitted += u64::from(done);
                let submitted = self.submitted(*range, receipt, scene)?;
                let mut events = vec![submitted];
                if let Some(ask) = ask {
                    let given = match self.given(ask.job, receipt) {
                        Some(claim) => Ok(claim),
                        // Why there is none is asked now.
                        None if done => {
                            let why = self.would_give(ask.job, scene)?.err();
                            Err(why.unwrap_or(Refusal::Later))
                        }
                        None => Err(Refusal::Later),
                    };
                    events.push(answer_to(ask, given));
                }
                events
            }
            Effect::Release { range } if done => vec![Event::Released { range: *range }],
            Effect::Release { range } => {
                let range = *range;
                vec![match words::not_released(self.standing(range, scene)?) {
                    Ok(None) => Event::Released { range },
                    Ok(Some(at)) => Event::Submitted { range, at },
                    Err(why) => Event::ReleaseFailed { range, why },
                }]
            }
            Effect::Settle { job, .. } => vec![Event::SettleEnded { job: *job, done }],
            Effect::Expire { job, .. } => vec![Event::ExpireEnded { job: *job, done }],
            Effect::Wait { job, .. } | Effect::Leave { job } => {
                vec![Event::Moved { job: *job, place: place_in(receipt, agent.name.number) }]
            }
            // None of these is a transaction.
            _ => Vec::new(),
        })
    }

    /// What has become of a range that was to be handed in.
    fn submitted(
        &mut self,
        range: RangeId,
        receipt: &Receipt,
        scene: &mut Scene,
    ) -> Result<Event, FarmError> {
        let at = submitted_at(receipt, range).ok_or(MoveFailure::Later);
        let outcome = if receipt.success {
            at
        } else {
            let refused = error_of(receipt).as_ref().is_some_and(words::is_refused);
            words::not_submitted(self.standing(range, scene)?, refused)
        };
        if matches!(outcome, Err(MoveFailure::Gone)) {
            // Too late: somebody had it expired.
            self.work.remove(&range);
            scene.handed.remove(&range);
        }
        Ok(match outcome {
            Ok(at) => Event::Submitted { range, at },
            Err(why) => Event::SubmitFailed { range, why },
        })
    }

    /// Where a range of its stands now.
    fn standing(&self, range: RangeId, scene: &mut Scene) -> Result<Standing, FarmError> {
        let book = scene.farm.addresses().job_book;
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        Ok(words::standing(&scene.farm.read(book, &call)?, self.who))
    }

    /// The range that a receipt says was given to it.
    fn given(&self, job: JobId, receipt: &Receipt) -> Option<Claim> {
        said(receipt).find_map(|(event, _)| match event {
            ChainEvent::Claimed { provider, claim }
                if provider == self.who && claim.range.job == job =>
            {
                Some(claim)
            }
            _ => None,
        })
    }
}

/// What a receipt's logs say to a provider.
fn said(receipt: &Receipt) -> impl Iterator<Item = (ChainEvent, Option<u32>)> + '_ {
    receipt.logs.iter().filter_map(words::heard)
}

fn answer_to(ask: &Ask, given: Result<Claim, Refusal>) -> Event {
    match given {
        Ok(claim) => Event::Claimed { claim },
        Err(why) => Event::ClaimRefused { job: ask.job, epoch: ask.epoch, why },
    }
}

fn submitted_at(receipt: &Receipt, range: RangeId) -> Option<Millis> {
    said(receipt).find_map(|(event, _)| match event {
        ChainEvent::Submitted { range: other, at } if other == range => Some(at),
        _ => None,
    })
}

fn place_in(receipt: &Receipt, number: u32) -> Option<Place> {
    said(receipt).find_map(|(event, of)| match event {
        ChainEvent::Line { place, .. } if of == Some(number) => Some(place),
        _ => None,
    })
}

fn error_of(receipt: &Receipt) -> Option<JobBookErrors> {
    JobBookErrors::abi_decode(&receipt.output).ok()
}
