//! What only an auditor does in an audit: execute, seal, commit, reveal.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use tilth_client::{
    ChainError, Contacts,
    audit::{Effect, Event, Hand, Millis, Question, Sealed, Standing, look},
};
use tilth_contracts::{AuditState, Audits, SeatState};
use tilth_protocol::{JobId, RangeId};
use tilth_service::Spawner;
use tilth_verification::audit::seal;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use super::{
    examine::{ExamineError, Place, examine, make_ready},
    room::Room,
    seals::Seals,
    tenants::Tenants,
};
use crate::{chain::Chain, role::spawn, shop::Shop, sweep};

/// Ranges executed at the same time, each with a slot's memory: one that takes its whole hour must not make us absent
/// everywhere else.
const AT_ONCE: usize = 2;
/// No case is open longer than this.
const LONGEST: Duration = Duration::from_secs(86_400);

pub(super) struct AuditorHand {
    /// Our number as an auditor.
    number: u32,
    shop: Arc<Shop>,
    contacts: Contacts,
    first_block: u64,
    seals: Seals,
    room: Room,
    tenants: Arc<Tenants>,
    /// Told of every case that is over.
    closed: Arc<Notify>,
    /// What goes on beside the cases ends with the auditor: the next life of its folder has files and seals of its own.
    tasks: Spawner,
}

impl AuditorHand {
    pub(super) fn new(
        number: u32,
        shop: Arc<Shop>,
        (contacts, first_block): (Contacts, u64),
        seals: Seals,
        closed: Arc<Notify>,
        tasks: Spawner,
    ) -> Self {
        let (room, tenants) = (Room::new(AT_ONCE), Arc::default());
        Self { number, shop, contacts, first_block, seals, room, tenants, closed, tasks }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.shop.chain
    }

    fn place(&self) -> Place<'_> {
        let (shop, contacts, first_block) = (&self.shop, &self.contacts, self.first_block);
        Place { shop, contacts, first_block, at_stake: true }
    }

    /// The machine's event for a piece of work that came to nothing.
    async fn fail(&self, range: RangeId, doing: &str, error: &ExamineError) -> Event {
        match error {
            ExamineError::Chain(error) if error.revert_data().is_some() => {
                debug!(%range, %error, "{doing} was refused");
            }
            error => warn!(%range, %error, "{doing} failed"),
        }
        if let ExamineError::Chain(error) = error {
            self.failed(error).await;
        }
        Event::Ended { range, done: false }
    }

    /// Gets the job of a range ready. No other case removes its files from now on.
    async fn make_ready(&self, range: RangeId) -> Result<(), ExamineError> {
        let door = self.tenants.move_in(range);
        let _laying_out = door.lock().await;
        make_ready(&self.place(), range).await
    }

    async fn prepare(&self, range: RangeId) -> Event {
        match self.make_ready(range).await {
            Ok(()) => Event::Ended { range, done: true },
            Err(error) => self.fail(range, "getting an audited job ready", &error).await,
        }
    }

    async fn examine(&self, range: RangeId, question: Question, left: Millis) -> Event {
        let deadline = Instant::now() + Duration::from_millis(left).min(LONGEST);
        let work = async {
            self.make_ready(range).await?;
            let _place = self.room.enter(deadline).await.ok_or(ExamineError::Late)?;
            examine(&self.place(), range, &question.positions).await
        };
        let found = tokio::time::timeout_at(deadline.into(), work).await;
        match found.unwrap_or(Err(ExamineError::Late)) {
            Ok(answer) => Event::Examined { range, question, answer },
            Err(error) => self.fail(range, "executing the drawn leaves", &error).await,
        }
    }

    fn recall(&self, range: RangeId, seat: u8, question: &Question) -> Event {
        match self.seals.recall(range, question) {
            Ok(Some(sealed)) => return Event::Sealed { range, seat, sealed },
            Ok(None) => error!(
                %range,
                detail = "the seat is committed to something that this folder does not have",
                advice = "start the auditor in the folder in which it has committed, within half an hour",
                "an audit cannot be answered, which costs stake"
            ),
            Err(error) => error!(
                %range,
                detail = %error,
                advice = "check the disk and who may read the auditor's folder: it is tried again, and must be shown within half an hour",
                "what was committed to cannot be read"
            ),
        }
        Event::Ended { range, done: false }
    }

    /// The word of a seat of ours.
    async fn word(
        &self,
        range: RangeId,
        sealed: &Sealed,
    ) -> Result<alloy_primitives::B256, ChainError> {
        let link = &self.shop.chain.link;
        let owner: Address = self.shop.chain.owner.address();
        let chain_id = link.chain_id().await?;
        let audits = link.addresses().audits;
        Ok(seal(chain_id, audits, range, owner, sealed.answer, sealed.salt))
    }

    async fn commit(&self, range: RangeId, seat: u8, sealed: &Sealed) -> Result<(), ChainError> {
        let audits = self.shop.chain.link.addresses().audits;
        let word = self.word(range, sealed).await?;
        let call =
            Audits::commitCall { jobId: range.job.0, seq: range.seq, number: seat, sealed_: word };
        self.shop.chain.node.execute(audits, call).await?;
        info!(%range, "committed to what was found");
        Ok(())
    }

    async fn reveal(&self, range: RangeId, seat: u8, sealed: &Sealed) -> Result<(), ChainError> {
        let (link, job) = (&self.shop.chain.link, range.job.0);
        let audits = link.addresses().audits;
        let call = Audits::seatCall { jobId: job, seq: range.seq, number: seat };
        let (word, holds) = (self.word(range, sealed).await?, link.read(audits, call).await?);
        if SeatState::try_from(holds.state) == Ok(SeatState::Committed) && holds.word != word {
            error!(
                %range,
                detail = "another auditor with the same keys has committed, or this folder is an old copy",
                advice = "run one auditor per key; start the one that has committed within half an hour",
                "our seat holds another commitment than ours"
            );
        }
        let Sealed { answer, salt, .. } = *sealed;
        let call = Audits::revealCall { jobId: job, seq: range.seq, number: seat, answer, salt };
        self.shop.chain.node.execute(audits, call).await?;
        info!(%range, "revealed what was found");
        Ok(())
    }

    /// Does something with what was sealed, if that is still what is asked: it may have been decided on before the chain was
    /// reorganised.
    async fn say(
        &self,
        (range, seat, sealed): (RangeId, u8, &Sealed),
        (doing, awaited): (&str, (AuditState, SeatState)),
        send: impl Future<Output = Result<(), ChainError>> + Send,
    ) -> Event {
        let said = async {
            let seen = look(&self.shop.chain.link, range, Some((self.number, seat))).await?;
            if seen.question() != Some(sealed.question) {
                return Ok(false);
            }
            send.await.map(|()| true)
        };
        let error = match said.await {
            Ok(done) => return Event::Ended { range, done },
            Err(error) => error,
        };
        // Most refusals mean that it was done already or that it is too late. Any other costs stake without a word.
        if error.revert_data().is_some()
            && let Ok(seen) = look(&self.shop.chain.link, range, Some((self.number, seat))).await
            && seen.seat.map(|(_, held)| (seen.state, held)) == Some(awaited)
            && seen.now <= seen.deadline
        {
            error!(
                %range,
                detail = %error,
                advice = "check the node that is used and which keys it is; it is tried again, and report it if that does not help",
                "{doing} was refused although it is its time; stake is at risk"
            );
        }
        self.fail(range, doing, &error.into()).await
    }

    /// A case needs its job's files no more; they go with its last one, and are fetched again should one be open again.
    fn leave(&self, range: RangeId) {
        if self.tenants.move_out(range) == Some(true) {
            self.remove_job(range.job);
        }
    }

    fn remove_job(&self, job: JobId) {
        let (shop, tenants) = (Arc::clone(&self.shop), Arc::clone(&self.tenants));
        spawn(&self.tasks, format!("clear {job}"), async move {
            let Some(_shut) = tenants.shut(job).await else { return };
            shop.forget(job);
            sweep::clear(&shop, job).await;
        });
    }
}

impl Hand for AuditorHand {
    async fn perform(&self, effect: Effect) -> Event {
        let range = effect.range();
        match effect {
            Effect::Prepare { .. } => self.prepare(range).await,
            Effect::Examine { question, left, .. } => self.examine(range, question, left).await,
            Effect::Seal { seat, question, answer, .. } => {
                match self.seals.seal(range, seat, question, answer) {
                    Ok(sealed) => Event::Sealed { range, seat, sealed },
                    Err(error) => {
                        error!(
                            %range,
                            detail = %error,
                            advice = "make room on the disk and check who may write to the auditor's folder: it is tried again, and not to commit within the hour costs stake",
                            "what was found cannot be written down, so nothing is committed"
                        );
                        Event::Ended { range, done: false }
                    }
                }
            }
            Effect::Recall { seat, question, .. } => self.recall(range, seat, &question),
            Effect::Commit { seat, sealed, .. } => {
                let step = ("committing", (AuditState::Committing, SeatState::Drawn));
                let send = self.commit(range, seat, &sealed);
                self.say((range, seat, &sealed), step, send).await
            }
            Effect::Reveal { seat, sealed, .. } => {
                let step = ("revealing", (AuditState::Revealing, SeatState::Committed));
                let send = self.reveal(range, seat, &sealed);
                self.say((range, seat, &sealed), step, send).await
            }
            // The machine asks an auditor for nothing else.
            _ => Event::Ended { range, done: false },
        }
    }

    fn note(&self, effect: &Effect) {
        match effect {
            Effect::Show { range, standing } => {
                info!(%range, ?standing, "an audit");
                // A dispute has an end of its own, whatever comes after it.
                if let Standing::Over(_) | Standing::Disputed(AuditState::Closed) = standing {
                    // One that has committed in an earlier life needs no files in this one, and is paid nevertheless.
                    self.closed.notify_one();
                    self.leave(*range);
                }
            }
            Effect::Forget { range } => {
                self.seals.forget(*range);
                self.leave(*range);
            }
            _ => {}
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    /// What an earlier life has left of jobs that are over goes.
    fn caught_up(&self, cases: Vec<RangeId>) {
        let open: BTreeSet<_> = cases.iter().map(|range| range.job).collect();
        let jobs = match self.shop.folder.jobs() {
            Ok(jobs) => jobs,
            Err(error) => return warn!(%error, "old jobs' folders cannot be listed"),
        };
        // Those that have committed need no files any more, but theirs go only with them.
        for range in cases.iter().filter(|range| jobs.contains(&range.job)) {
            self.tenants.move_in(*range);
        }
        jobs.into_iter().filter(|job| !open.contains(job)).for_each(|job| self.remove_job(job));
    }

    fn read_up_to(&self, block: u64) {
        self.seals.read_up_to(block);
    }
}
