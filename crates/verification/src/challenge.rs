//! Is the answer to a challenge right? By samples that the asker's secret drew, on any CPU.
//!
//! [`check`] looks at a whole transcript, so it gives everybody the same verdict as the asker. What it
//! cannot see is time: [`asking`] judges that, for the one who measured it.

mod memory;
mod product;

pub mod asking;

use alloy_primitives::Address;
use tilth_protocol::challenge::{
    Commit, Hash, Openings, OutOfBounds, Sealed, Secret, Statement, Task, Transcript,
    answer::{
        SIGNATURE_BYTES, commit_digest, ends_digest, openings_digest, signing_hash,
        statement_digest,
    },
    seed::{Draw, is_walk_of},
};

use crate::signer::signer;

/// Why an answer is not right, or the question was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The asker's: a statement that no provider answers.
    #[error("the statement is out of bounds: {0}")]
    Statement(#[from] OutOfBounds),
    /// The asker's: the secret is not the one that was promised.
    #[error("the secret is not the one that the statement promises")]
    Promise,
    /// Nobody's: what is signed is not signed by the provider, so nothing is shown about it.
    #[error("the {step} are not signed by the node {node}")]
    Unsigned {
        /// Which step.
        step: &'static str,
        /// By whom it should be.
        node: Address,
    },
    /// The provider's: not as many, or not of the kind, that the statement asks for.
    #[error("{what}: {found} where {due} are due")]
    Shape {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are due.
        due: usize,
    },
    /// The provider's: a sample is wrong.
    #[error("sample {sample} is wrong: {what}")]
    Wrong {
        /// Which, in the order in which they were drawn.
        sample: usize,
        /// In what way.
        what: &'static str,
    },
}

impl Fault {
    /// Whether it says something against the provider: it signed what is wrong. Everything else is between
    /// the asker and whoever pretended to be the provider.
    pub fn is_providers(&self) -> bool {
        matches!(self, Self::Shape { .. } | Self::Wrong { .. })
    }

    /// Refuses lists that are not as long as they must be.
    fn count(what: &'static str, found: usize, due: usize) -> Result<(), Self> {
        if found == due { Ok(()) } else { Err(Self::Shape { what, found, due }) }
    }
}

/// A statement that was found to be within bounds, with the digest of everything signed so far. An asker
/// checks each step as it comes, with the same code as [`check`].
#[derive(Clone, Debug)]
pub struct Course<'a> {
    statement: &'a Statement,
    fixed: Hash,
    roots: Vec<Hash>,
    ends: Option<Hash>,
}

/// How many roots a task has.
fn roots_due(task: &Task) -> usize {
    match task {
        Task::Products(task) => task.rounds as usize,
        Task::Memory(_) => 1,
    }
}

impl<'a> Course<'a> {
    /// Begins with a statement.
    ///
    /// # Errors
    /// [`Fault::Statement`].
    pub fn begin(statement: &'a Statement) -> Result<Self, Fault> {
        statement.check()?;
        let fixed = statement_digest(statement);
        Ok(Self { statement, fixed, roots: Vec::new(), ends: None })
    }

    /// Takes the roots.
    ///
    /// # Errors
    /// Not signed, or not as many as there are rounds.
    pub fn commit(&mut self, commit: &Sealed<Commit>) -> Result<(), Fault> {
        let digest = commit_digest(&self.fixed, &commit.said);
        self.signed("roots", &digest, &commit.signature)?;
        Fault::count("roots", commit.said.roots.len(), roots_due(&self.statement.task))?;
        self.fixed = digest;
        self.roots.clone_from(&commit.said.roots);
        Ok(())
    }

    /// Takes the walks' ends, of a memory.
    ///
    /// # Errors
    /// Not signed.
    pub fn walked(&mut self, ends: &Sealed<Hash>) -> Result<(), Fault> {
        let digest = ends_digest(&self.fixed, &ends.said);
        self.signed("ends of the walks", &digest, &ends.signature)?;
        self.fixed = digest;
        self.ends = Some(ends.said);
        Ok(())
    }

    /// Judges the samples.
    ///
    /// # Errors
    /// What is wrong, and whose fault it is ([`Fault::is_providers`]).
    pub fn open(&self, secret: &Secret, openings: &Sealed<Openings>) -> Result<(), Fault> {
        let walk = secret.walk();
        if !is_walk_of(&walk, &self.statement.promise) {
            return Err(Fault::Promise);
        }
        let digest = openings_digest(&self.fixed, secret, &openings.said);
        self.signed("openings", &digest, &openings.signature)?;
        let mut draw = Draw::new(secret, &self.fixed);
        match (&self.statement.task, &openings.said) {
            (Task::Products(task), Openings::Products(paths)) => {
                product::check(self.statement, task, &self.roots, &mut draw, paths)
            }
            (Task::Memory(task), Openings::Memory { labels, walks }) => {
                let Some(ends) = self.ends else {
                    return Err(self.unsigned("ends of the walks"));
                };
                let roots = memory::Roots { memory: self.roots[0], ends };
                memory::check(self.statement, task, &roots, &walk, &mut draw, (labels, walks))
            }
            _ => Err(Fault::Shape { what: "openings of this kind", found: 0, due: 1 }),
        }
    }

    fn signed(
        &self,
        step: &'static str,
        digest: &Hash,
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), Fault> {
        let by = signer(&signing_hash(digest), signature);
        if by == Some(self.node()) { Ok(()) } else { Err(self.unsigned(step)) }
    }

    fn node(&self) -> Address {
        Address::from(self.statement.subject.node)
    }

    fn unsigned(&self, step: &'static str) -> Fault {
        Fault::Unsigned { step, node: self.node() }
    }
}

/// Checks a whole transcript. Takes some tens of milliseconds of CPU for the largest challenges, and memory
/// for a row and a column of tiles.
///
/// # Errors
/// What is wrong, and whose fault it is ([`Fault::is_providers`]).
pub fn check(transcript: &Transcript) -> Result<(), Fault> {
    let mut course = Course::begin(&transcript.statement)?;
    course.commit(&transcript.commit)?;
    match (&transcript.ends, &transcript.statement.task) {
        (Some(ends), Task::Memory(_)) => course.walked(ends)?,
        (None, Task::Products(_)) => {}
        // Nobody signs that there are none: whoever has the file can take them out, or put some in.
        _ => return Err(course.unsigned("ends of the walks")),
    }
    course.open(&transcript.secret, &transcript.openings)
}
