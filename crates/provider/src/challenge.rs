//! The provider's side of challenges ([`tilth_protocol::challenge`]): who may ask, when, and what a worker in
//! the sandbox answers, signed with the node key.

mod device;
mod duty;
mod growth;
mod measure;
mod prover;

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use tilth_blobs::Talk;
use tilth_protocol::{
    challenge::{
        Hash, Sealed, Secret, Statement, Task,
        answer::{
            SIGNATURE_BYTES, commit_digest, ends_digest, openings_digest, signing_hash,
            statement_digest,
        },
        message::{MAX_QUESTION_BYTES, MAX_TEXT_CHARS, MAX_WORK_MS, Question, Refusal, Reply},
        seed::is_walk_of,
    },
    decode, encode,
};
use tilth_sandbox::{CommandLine, Confinement};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{debug, info, warn};

pub use device::Device;
pub use measure::{Measured, Went, measure, rate, run};

use crate::{
    idle::millis,
    status::{SlotStatus, Status},
};
use duty::{Duty, No};
use prover::{Worker, WorkerError};

/// Most conversations at the same time, and calls that wait for one.
pub(crate) const CALLS: usize = 8;
/// Most questions of a conversation: an asker needs five, and ten more if it finds the provider busy.
const QUESTIONS: usize = 16;
/// How long an asker may be silent; a worker that holds a whole memory waits for it.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a reply may take on its way: openings have up to 1.75 MiB.
const ON_THE_WAY: Duration = Duration::from_secs(30);
/// Longest work for one step of a challenge, as askers know it.
const LONGEST: Duration = Duration::from_millis(MAX_WORK_MS);

/// By what a worker is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The sandbox.
    pub confinement: Arc<Confinement>,
    /// Starts a worker (`tilth worker`).
    pub worker: CommandLine,
}

/// Who answers.
pub(crate) struct Desk {
    pub(crate) start: Start,
    pub(crate) signer: PrivateKeySigner,
    pub(crate) endpoint: [u8; 32],
    pub(crate) devices: Vec<Device>,
    pub(crate) status: watch::Receiver<Status>,
    duty: Mutex<Duty>,
    began: Instant,
}

/// Leave to work on one challenge. Its time counts until it is dropped, however that comes.
struct Leave<'a> {
    desk: &'a Desk,
    began: Instant,
}

/// A challenge under way. Dropping it ends its worker.
struct Running<'a> {
    leave: Leave<'a>,
    worker: Worker,
    statement: Statement,
    fixed: Hash,
    walked: bool,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.desk.duty().done(self.desk.now(), millis(self.began.elapsed()));
    }
}

fn refuse(why: Refusal, after_seconds: u32, text: impl Into<String>) -> Reply {
    let text = text.into().chars().take(MAX_TEXT_CHARS).collect();
    Reply::Refused { why, after_seconds, text }
}

fn broken(error: &WorkerError) -> Reply {
    warn!(%error, "a challenge could not be answered");
    let why = if error.is_late() { Refusal::TooLong } else { Refusal::Broken };
    refuse(why, 0, error.to_string())
}

fn busy() -> Reply {
    refuse(Refusal::Busy, 0, "it works")
}

impl Desk {
    pub(crate) fn new(
        start: Start,
        signer: PrivateKeySigner,
        endpoint: [u8; 32],
        devices: Vec<Device>,
        status: watch::Receiver<Status>,
    ) -> Self {
        let (duty, began) = (Mutex::default(), Instant::now());
        Self { start, signer, endpoint, devices, status, duty, began }
    }

    /// Answers calls for ever.
    pub(crate) async fn answer(self, mut calls: mpsc::Receiver<Talk>) {
        let desk = Arc::new(self);
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                Some(talk) = calls.recv() => {
                    let desk = Arc::clone(&desk);
                    talks.spawn(async move { desk.converse(talk).await });
                }
                Some(_) = talks.join_next() => {}
                else => return,
            }
        }
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    fn duty(&self) -> MutexGuard<'_, Duty> {
        self.duty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn converse(&self, mut talk: Talk) {
        let (mut running, mut stopped) = (None, false);
        for _ in 0..QUESTIONS {
            let heard = {
                let mut heard = pin!(talk.hear(MAX_QUESTION_BYTES, SILENCE));
                tokio::select! {
                    heard = &mut heard => heard,
                    // Its worker holds a memory that a job or the owner wants.
                    () = self.starts_to_work(), if running.is_some() => {
                        (running, stopped) = (None, true);
                        heard.await
                    }
                }
            };
            let question = match heard {
                Ok(bytes) => decode::<Question>(&bytes, MAX_QUESTION_BYTES),
                // The asker has heard enough, or is gone.
                Err(_) => return,
            };
            let reply = match question {
                Ok(Question::Walk(_) | Question::Draw(_)) if stopped => busy(),
                Ok(question) => {
                    let work = !matches!(question, Question::Who);
                    tokio::select! {
                        reply = self.reply(question, talk.remote(), &mut running) => reply,
                        // Nobody waits for it any more.
                        () = talk.ended() => return,
                        // What was being done ends here, and its worker with `running`.
                        () = self.starts_to_work(), if work => busy(),
                    }
                }
                Err(error) => refuse(Refusal::Invalid, 0, error.to_string()),
            };
            if !matches!(reply, Reply::Committed(_) | Reply::Walked(_)) {
                // Anything else ends the challenge: nobody keeps its worker by talking on.
                running = None;
            }
            if let Err(error) = talk.say(&encode(&reply), ON_THE_WAY).await {
                debug!(%error, "an asker went away");
                return;
            }
        }
    }

    async fn reply<'a>(
        &'a self,
        question: Question,
        asker: [u8; 32],
        running: &mut Option<Running<'a>>,
    ) -> Reply {
        match (question, &mut *running) {
            (Question::Who, _) => Reply::Here {
                node: self.signer.address().into(),
                devices: self.devices.iter().map(|device| device.offer.clone()).collect(),
            },
            (Question::Ask(statement), None) => match self.begin(*statement, asker).await {
                Ok((begun, reply)) => {
                    *running = Some(begun);
                    reply
                }
                Err(reply) => reply,
            },
            (Question::Walk(walk), Some(running)) => running.walk(&walk).await,
            (Question::Draw(secret), Some(begun)) => begun.open(secret).await,
            _ => refuse(Refusal::Invalid, 0, "out of turn"),
        }
    }

    /// Looks whether a challenge is answered now, and does its work.
    async fn begin(
        &self,
        statement: Statement,
        asker: [u8; 32],
    ) -> Result<(Running<'_>, Reply), Reply> {
        statement.check().map_err(|error| refuse(Refusal::Invalid, 0, error.to_string()))?;
        if statement.asker != asker {
            return Err(refuse(Refusal::Invalid, 0, "the statement names another asker"));
        }
        let subject = &statement.subject;
        let node: [u8; 20] = self.signer.address().into();
        if subject.node != node || subject.endpoint != self.endpoint {
            return Err(refuse(Refusal::NotMe, 0, "the statement names another provider"));
        }
        let device = self.devices.iter().find(|device| device.offer.name == subject.device);
        let device = device.ok_or_else(|| refuse(Refusal::NotMe, 0, "there is no such device"))?;
        if !device.fits(&statement.task) {
            return Err(refuse(Refusal::TooLarge, 0, device.offers()));
        }
        self.duty().begin(self.now(), self.works()).map_err(|no| match no {
            No::Busy => busy(),
            No::TooSoon { seconds } => {
                refuse(Refusal::TooSoon, seconds, "it has answered its share for now")
            }
        })?;
        let leave = Leave { desk: self, began: Instant::now() };
        let fixed = statement_digest(&statement);
        let worker = Worker::start(&self.start, device, &statement.task).await;
        let worker = worker.map_err(|error| broken(&error))?;
        let mut running = Running { leave, worker, statement, fixed, walked: false };
        let commit = running.worker.prove(&running.statement, LONGEST).await;
        let commit = commit.map_err(|error| broken(&error))?;
        let (device, took) = (&running.statement.subject.device, running.leave.began.elapsed());
        info!(device, ?took, "a challenge is worked out");
        running.fixed = commit_digest(&running.fixed, &commit);
        let reply = running.seal(commit).map(Reply::Committed)?;
        Ok((running, reply))
    }

    /// Whether the machine has something better to do.
    fn works(&self) -> bool {
        works(&self.status.borrow())
    }

    /// Waits until it has.
    async fn starts_to_work(&self) {
        let mut status = self.status.clone();
        // The guard that it returns must not live across the next await.
        let gone = status.wait_for(works).await.is_err();
        if gone {
            // The provider ends, and this conversation with it.
            std::future::pending::<()>().await;
        }
    }
}

fn works(status: &Status) -> bool {
    !status.rests.is_empty() || status.slots.iter().any(|slot| *slot != SlotStatus::Idle)
}

impl Running<'_> {
    /// Signs what was said last.
    fn seal<T>(&self, said: T) -> Result<Sealed<T>, Reply> {
        let signed = self.leave.desk.signer.sign_hash_sync(&signing_hash(&self.fixed));
        let signed = signed.map_err(|error| refuse(Refusal::Broken, 0, error.to_string()))?;
        let signature: [u8; SIGNATURE_BYTES] = signed.as_bytes();
        Ok(Sealed { said, signature })
    }

    async fn walk(&mut self, walk: &Hash) -> Reply {
        if !matches!(self.statement.task, Task::Memory(_)) || self.walked {
            return refuse(Refusal::Invalid, 0, "out of turn");
        }
        if !is_walk_of(walk, &self.statement.promise) {
            return refuse(Refusal::Invalid, 0, "this is not what was promised");
        }
        self.walked = true;
        let root = match self.worker.walk(walk, LONGEST).await {
            Ok(root) => root,
            Err(error) => return broken(&error),
        };
        self.fixed = ends_digest(&self.fixed, &root);
        self.seal(root).map_or_else(|reply| reply, Reply::Walked)
    }

    async fn open(&mut self, secret: Secret) -> Reply {
        if matches!(self.statement.task, Task::Memory(_)) != self.walked {
            return refuse(Refusal::Invalid, 0, "out of turn");
        }
        if secret.promise() != self.statement.promise {
            return refuse(Refusal::Invalid, 0, "this is not what was promised");
        }
        let openings = match self.worker.open(secret, LONGEST).await {
            Ok(openings) => openings,
            Err(error) => return broken(&error),
        };
        self.fixed = openings_digest(&self.fixed, &secret, &openings);
        self.seal(openings).map_or_else(|reply| reply, |sealed| Reply::Opened(Box::new(sealed)))
    }
}
