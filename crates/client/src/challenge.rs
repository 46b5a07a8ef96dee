//! Challenging a provider: whoever likes may ask it to prove its strength, and keeps a signed transcript that
//! anybody can check again.

use std::time::{Duration, Instant};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use tilth_blobs::{Blobs, Talk, TalkError};
use tilth_contracts::Registry;
use tilth_protocol::{
    Contact, DecodeError, Problem,
    challenge::{
        Beacon, Class, Deadline, Sealed, Secret, Statement, Subject, Task, Times, Transcript,
        message::{
            ALPN, DeviceOffer, MAX_DEVICES, MAX_REPLY_BYTES, MAX_TEXT_CHARS, MAX_WORK_MS, Question,
            Refusal, Reply,
        },
    },
    decode, encode,
};
use tilth_service::Doing;
use tilth_verification::challenge::{
    Course, Fault,
    asking::{Asking, Finding, Try, is_in_time},
};

use crate::{ChainError, Link};

mod choice;

use choice::{Choice, choose};

/// How long anything that is no work may take: two round trips around the world, and a loaded machine.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the work is waited for beyond the deadline, to tell a late answer from none.
const GRACE: Duration = Duration::from_secs(10);
/// How long work without a deadline is waited for: providers end it themselves before.
const WITHOUT_DEADLINE: Duration = Duration::from_millis(MAX_WORK_MS).saturating_add(GRACE);
/// How often, and how long, a provider that is busy after a try of ours is given time to let go of it.
const WAITS: u32 = 10;
const WAIT: Duration = Duration::from_millis(300);
/// Tiles that are opened: whoever skips a twentieth is found with a chance of 99.9 %.
pub const SAMPLES: u32 = 128;

/// Whom to ask, with what the chain says about it.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Its node account, which signs.
    pub node: Address,
    /// Where it is.
    pub contact: Contact,
    /// The class bits it announces.
    pub class_bits: u64,
    /// The graphics memory it announces, MiB.
    pub vram_mib: u32,
}

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Products, at the size of the strongest class that it announces.
    Strength,
    /// That its GPU fills the graphics memory that it announces.
    Vram,
    /// Exactly this.
    Exactly(Task),
}

/// Why a challenge cannot be put at all: nothing is said about the provider.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// It cannot be reached, or says nothing.
    #[error("the provider does not answer: {0}")]
    Away(#[from] TalkError),
    /// It is none, or speaks another version.
    #[error("what answers there is not this provider: {0}")]
    Stranger(String),
    /// The chain does not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The device is not offered with so much memory.
    #[error("it takes {needed_mib} MiB, the device is offered with {offered_mib} MiB")]
    TooLarge {
        /// MiB that the task needs.
        needed_mib: u64,
        /// MiB that are offered.
        offered_mib: u32,
    },
    /// It would be in time when the provider has long given up.
    #[error(
        "a device of the class {class} may take {due_ms} ms, providers work {MAX_WORK_MS} ms at most"
    )]
    TooLong {
        /// The strongest class that the device has.
        class: &'static str,
        /// Its deadline for this task.
        due_ms: u64,
    },
    /// It announces no graphics memory.
    #[error("it announces no graphics memory")]
    NoVram,
    /// The question is out of bounds.
    #[error(transparent)]
    Bounds(#[from] tilth_protocol::challenge::OutOfBounds),
}

impl ChallengeError {
    /// The three-part form for people.
    pub fn problem(&self) -> Problem {
        let (what, advice) = match self {
            Self::Away(_) => (
                "the provider cannot be challenged",
                "see whether it is up (`tilth providers`); behind a router it needs a relay",
            ),
            Self::Stranger(_) => (
                "the provider cannot be challenged",
                "it may be starting, or of another version; try again later",
            ),
            Self::Chain(error) => return error.problem(),
            Self::TooLarge { .. } | Self::TooLong { .. } => {
                ("the challenge is too large for this device", "ask for less: --memory, --order")
            }
            Self::NoVram => (
                "there is no graphics memory to show",
                "jobs that ask for some are not given to it; leave out --vram",
            ),
            Self::Bounds(_) => (
                "such a challenge is not possible",
                "see docs/reference/challenge.md for the bounds",
            ),
        };
        Problem::new(what, self.to_string(), advice)
    }
}

/// One try.
#[derive(Debug)]
pub struct Tried {
    /// How it went.
    pub outcome: Try,
    /// What there is to say about it, in one line.
    pub detail: String,
    /// The times of the steps that were heard.
    pub times: Times,
    /// Milliseconds that checking took.
    pub check_ms: u64,
    /// The whole conversation, if it came so far.
    pub transcript: Option<Box<Transcript>>,
    /// Seconds after which to ask again, if it had no time.
    pub after_seconds: u32,
}

/// What came out.
#[derive(Debug)]
pub struct Report {
    /// What may be said.
    pub finding: Finding,
    /// The class that the deadline is of, if it announces one.
    pub class: Option<Class>,
    /// The deadline, if there is one.
    pub deadline: Option<Deadline>,
    /// What was asked.
    pub task: Task,
    /// Which device.
    pub device: DeviceOffer,
    /// All tries, in order.
    pub tries: Vec<Tried>,
}

impl Report {
    /// The transcript that bears the finding out: of the wrong answer, or of the last one.
    pub fn transcript(&self) -> Option<&Transcript> {
        let wrong = self.tries.iter().find(|tried| tried.outcome == Try::Wrong);
        wrong.or(self.tries.last())?.transcript.as_deref()
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The endpoint it asks from.
    pub blobs: &'a Blobs,
    /// The chain whose blocks date the question.
    pub link: &'a Link,
}

fn fresh() -> [u8; 32] {
    PrivateKeySigner::random().to_bytes().0
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn stranger(error: &DecodeError) -> ChallengeError {
    ChallengeError::Stranger(error.to_string())
}

/// What the chain says about a provider, without its address.
///
/// # Errors
/// Those of [`Link`].
pub fn announced(
    link: &Link,
    owner: Address,
    contact: Contact,
) -> Doing<'_, Result<Announced, ChainError>> {
    Box::pin(async move {
        let registry = link.addresses().registry;
        let record = link.read(registry, Registry::providerCall { owner }).await?;
        Ok(Announced {
            node: record.node,
            contact,
            class_bits: record.attributes.classBits,
            vram_mib: record.attributes.vramMib,
        })
    })
}

/// One question and its answer.
async fn ask(
    talk: &mut Talk,
    question: &Question,
    patience: Duration,
) -> Result<Reply, ChallengeError> {
    talk.say(&encode(question), ANSWER).await?;
    let bytes = talk.hear(MAX_REPLY_BYTES, patience).await?;
    decode(&bytes, MAX_REPLY_BYTES).map_err(|error| stranger(&error))
}

impl Asker<'_> {
    /// Asks until something may be said: once if all is well, up to three times on fresh nonces otherwise.
    ///
    /// # Errors
    /// The provider cannot be asked at all; a provider that breaks off while it works has been asked.
    pub fn challenge<'a>(
        &'a self,
        of: &'a Announced,
        device: Option<&'a str>,
        wish: Wish,
    ) -> Doing<'a, Result<Report, ChallengeError>> {
        Box::pin(async move {
            let (mut talk, devices, mut round_trip_ms) = self.meet(of).await?;
            let Choice { device: offer, class, task } = choose(devices, device, of.into(), wish)?;
            task.check()?;
            let (needed_mib, offered_mib) =
                (task.memory_bytes().div_ceil(1 << 20), offer.memory_mib);
            if needed_mib > offered_mib.into() {
                return Err(ChallengeError::TooLarge { needed_mib, offered_mib });
            }
            let deadline = class.map(|class| class.deadline(&task));
            if let (Some(class), Some(deadline)) = (class, deadline) {
                let due_ms = deadline.work_ms();
                if due_ms > MAX_WORK_MS {
                    return Err(ChallengeError::TooLong { class: class.name, due_ms });
                }
            }
            let mut asking = Asking::new(class.is_some());
            let (mut tries, mut waits) = (Vec::new(), 0);
            loop {
                let statement = self.statement(of, &offer, task).await?;
                let tried = self.attempt(&mut talk, statement, deadline, round_trip_ms).await;
                // It may not have noticed yet that the try before is over.
                let wait = tried.outcome == Try::Busy && !tries.is_empty() && waits < WAITS;
                if wait {
                    waits += 1;
                    tokio::time::sleep(WAIT).await;
                    continue;
                }
                let finding = asking.heard(tried.outcome);
                tries.push(tried);
                if let Some(finding) = finding {
                    return Ok(Report { finding, class, deadline, task, device: offer, tries });
                }
                drop(talk);
                (talk, _, round_trip_ms) = match self.meet(of).await {
                    Ok(met) => met,
                    // Gone after it had begun; what was heard stands.
                    Err(ChallengeError::Away(error)) => {
                        tries.push(silent(Try::Busy, &error, Times::default()));
                        let finding = asking.heard(Try::Busy).unwrap_or(Finding::Unknown);
                        return Ok(Report { finding, class, deadline, task, device: offer, tries });
                    }
                    Err(error) => return Err(error),
                };
            }
        })
    }

    /// Calls; the devices, and milliseconds of a round trip.
    async fn meet(&self, of: &Announced) -> Result<(Talk, Vec<DeviceOffer>, u64), ChallengeError> {
        let mut talk = self.blobs.call(&of.contact, ALPN).await?;
        ask(&mut talk, &Question::Who, ANSWER).await?;
        // The first answer may have waited for the connection.
        let began = Instant::now();
        let reply = ask(&mut talk, &Question::Who, ANSWER).await?;
        let round_trip_ms = millis(began);
        let Reply::Here { node, devices } = reply else {
            return Err(ChallengeError::Stranger("it does not say who it is".into()));
        };
        if node != <[u8; 20]>::from(of.node) || devices.len() > MAX_DEVICES {
            let named = Address::from(node);
            return Err(ChallengeError::Stranger(format!("it says that it is the node {named}")));
        }
        Ok((talk, devices, round_trip_ms))
    }

    /// A fresh question; its secret is kept beside it.
    async fn statement(
        &self,
        of: &Announced,
        offer: &DeviceOffer,
        task: Task,
    ) -> Result<(Statement, Secret), ChallengeError> {
        let secret = Secret(fresh());
        let (block, hash) = self.link.head().await?;
        let beacon = Beacon { chain_id: self.link.chain_id().await?, block, hash: hash.0 };
        let subject = Subject {
            node: of.node.into(),
            endpoint: of.contact.endpoint,
            device: offer.name.clone(),
        };
        let statement = Statement {
            subject,
            asker: self.blobs.contact().endpoint,
            beacon,
            nonce: fresh(),
            promise: secret.promise(),
            task,
        };
        statement.check()?;
        Ok((statement, secret))
    }

    /// One whole conversation.
    async fn attempt(
        &self,
        talk: &mut Talk,
        (statement, secret): (Statement, Secret),
        deadline: Option<Deadline>,
        round_trip_ms: u64,
    ) -> Tried {
        let mut times = Times { round_trip_ms, ..Times::default() };
        let heard = converse(talk, &statement, &secret, deadline, &mut times).await;
        let conversation = match heard {
            Ok(conversation) => conversation,
            Err(stop) => return stop.tried(times, deadline.is_some()),
        };
        let (commit, ends, openings) = conversation;
        let began = Instant::now();
        let transcript = Transcript { statement, commit, ends, secret, openings: *openings, times };
        let checked = tilth_verification::challenge::check(&transcript);
        let check_ms = millis(began);
        let (outcome, detail) = match checked {
            Ok(()) if deadline.is_none_or(|deadline| is_in_time(&times, &deadline)) => {
                (Try::Right, "right".to_owned())
            }
            Ok(()) => (Try::Late, "right, and too late".to_owned()),
            Err(fault) => (verdict(&fault), fault.to_string()),
        };
        let transcript = Some(Box::new(transcript));
        Tried { outcome, detail, times, check_ms, transcript, after_seconds: 0 }
    }
}

/// What a fault says about a try: only what the provider has signed is an answer.
fn verdict(fault: &Fault) -> Try {
    if fault.is_providers() { Try::Wrong } else { Try::Broken }
}

/// Why a conversation has stopped.
enum Stop {
    Talk(ChallengeError),
    Refused { why: Refusal, after_seconds: u32, text: String },
    Fault(Fault),
}

impl From<ChallengeError> for Stop {
    fn from(error: ChallengeError) -> Self {
        Self::Talk(error)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn silent(outcome: Try, error: &impl ToString, times: Times) -> Tried {
    let detail = error.to_string();
    Tried { outcome, detail, times, check_ms: 0, transcript: None, after_seconds: 0 }
}

impl Stop {
    /// `due`: whether there is a deadline. It is within what providers work ([`ChallengeError::TooLong`]).
    fn tried(self, times: Times, due: bool) -> Tried {
        match self {
            Self::Talk(error @ ChallengeError::Away(TalkError::Silent(_))) => {
                silent(Try::Late, &error, times)
            }
            Self::Talk(error) => silent(Try::Broken, &error, times),
            Self::Fault(fault) => silent(verdict(&fault), &fault, times),
            Self::Refused { why, after_seconds, text } => {
                let outcome = match why {
                    Refusal::Broken => Try::Broken,
                    Refusal::TooLong if due => Try::Late,
                    // Nothing is known of its strength.
                    _ => Try::Busy,
                };
                // The text is a stranger's.
                let shown = text.chars().filter(|letter| !letter.is_control());
                let text: String = shown.take(MAX_TEXT_CHARS).collect();
                Tried { after_seconds, ..silent(outcome, &format!("{why:?}: {text}"), times) }
            }
        }
    }
}

fn refused(reply: Reply) -> Stop {
    match reply {
        Reply::Refused { why, after_seconds, text } => Stop::Refused { why, after_seconds, text },
        _ => Stop::Talk(ChallengeError::Stranger("it answers out of turn".into())),
    }
}

type Conversation = (
    Sealed<tilth_protocol::challenge::Commit>,
    Option<Sealed<tilth_protocol::challenge::Hash>>,
    Box<Sealed<tilth_protocol::challenge::Openings>>,
);

/// All steps; every signature is checked when it comes, so that no stranger is waited for.
async fn converse(
    talk: &mut Talk,
    statement: &Statement,
    secret: &Secret,
    deadline: Option<Deadline>,
    times: &mut Times,
) -> Result<Conversation, Stop> {
    let patience = |millis: fn(&Deadline) -> u64| match &deadline {
        Some(deadline) => Duration::from_millis(millis(deadline)).saturating_add(GRACE),
        None => WITHOUT_DEADLINE,
    };
    let mut course = Course::begin(statement)?;
    let began = Instant::now();
    let question = Question::Ask(Box::new(statement.clone()));
    let reply = ask(talk, &question, patience(|deadline| deadline.commit_ms)).await?;
    times.commit_ms = millis(began);
    let Reply::Committed(commit) = reply else { return Err(refused(reply)) };
    course.commit(&commit)?;
    let mut ends = None;
    if let Task::Memory(_) = statement.task {
        let began = Instant::now();
        let question = Question::Walk(secret.walk());
        let reply = ask(talk, &question, patience(|deadline| deadline.walk_ms)).await?;
        times.walk_ms = millis(began);
        let Reply::Walked(walked) = reply else { return Err(refused(reply)) };
        course.walked(&walked)?;
        ends = Some(walked);
    }
    let began = Instant::now();
    let reply = ask(talk, &Question::Draw(*secret), patience(|deadline| deadline.open_ms)).await?;
    times.open_ms = millis(began);
    let Reply::Opened(openings) = reply else { return Err(refused(reply)) };
    Ok((commit, ends, openings))
}
