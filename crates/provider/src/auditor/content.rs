//! What an auditor is to hold, from where it is: what a range has made from its provider, checked as its client would,
//! and the inputs of a job from their client.

use std::time::{Duration, Instant};

use alloy_primitives::Address;
use tilth_blobs::BlobsError;
use tilth_client::{ChainError, CollectError, Shelf, collect_on, holding::Part};
use tilth_contracts::{JobBook, Range};
use tilth_protocol::{Contact, JobSpec, RangeId, SpecError, spec::MAX_SPEC_BYTES};
use tilth_verification::{
    RangeClaim,
    holding::{MOST_MIB, bytes_of, inputs_mib, mib_of},
};
use tracing::debug;

use super::{
    examine::{ExamineError, opening_of},
    holder::Holder,
    holds::tag,
};
use crate::{
    fetch::{FetchError, checks::agree},
    news::Opening,
    published::content_of,
};

/// Time for a spec: who does not serve that does not serve the rest.
const SPEC_TIME: Duration = Duration::from_secs(20);

/// Why a range is not held.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("its job cannot be had: {0}")]
    Job(#[from] ExamineError),
    #[error("its job cannot be had: {0}")]
    Fetch(#[from] FetchError),
    #[error("its job's spec: {0}")]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Content(#[from] CollectError),
    #[error("the chain has another range there")]
    Other,
    #[error("what else comes from the same place has taken all the time")]
    Late,
    #[error("its job pays less for fetching and keeping than others take")]
    Cheap,
    #[error("the inputs are larger than was asked for, or than anybody holds")]
    Large,
    #[error("{0} MiB are more than what is left of hold-bytes")]
    Full(u32),
    #[error(
        "what was here of it before is being removed, and would take what is fetched meanwhile along"
    )]
    Going,
    #[error("noting that it is here: {0}")]
    Note(#[from] std::io::Error),
}

impl HoldError {
    /// What is to be done about it by whom it is told, where more is known than how it is.
    pub(super) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Going => {
                Some("nothing is to be done: it is tried again as long as it is asked for")
            }
            Self::Note(_) => Some(
                "make room on the disk and check who may write to the auditor's folder: it is tried again",
            ),
            _ => None,
        }
    }
}

impl From<BlobsError> for HoldError {
    fn from(error: BlobsError) -> Self {
        Self::Content(CollectError::Missing(error))
    }
}

/// The inputs of a job, of which nothing is stored yet.
#[derive(Debug)]
pub(super) struct Inputs {
    /// The spec, as it was read.
    bytes: Vec<u8>,
    spec: JobSpec,
    /// Where the client serves them; empty: that cannot be read.
    client: Vec<Contact>,
    /// Their size.
    pub(super) mib: u32,
}

impl Inputs {
    /// What these bytes of a spec name, if they are what the chain was told. `most`: MiB that were asked for.
    fn read(bytes: Vec<u8>, opening: &Opening, most: u32) -> Result<Self, HoldError> {
        let spec = JobSpec::from_bytes(&bytes)?;
        agree(&spec, opening)?;
        // Nobody is paid for more than was asked for.
        let mib = inputs_mib(&spec).filter(|mib| *mib <= most.min(MOST_MIB));
        let mib = mib.ok_or(HoldError::Large)?;
        let client = Contact::from_bytes(&opening.contact).into_iter().collect();
        Ok(Self { bytes, spec, client, mib })
    }
}

impl Holder {
    /// Whose place it is from which a range is fetched: its provider's, or of inputs the client's.
    pub(super) async fn source_of(&self, range: RangeId) -> Result<Address, ChainError> {
        let book = self.link().addresses().job_book;
        if range.is_inputs() {
            let call = JobBook::jobCall { jobId: range.job.0 };
            return Ok(self.link().read(book, call).await?.client);
        }
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        Ok(self.link().read(book, call).await?.provider)
    }

    /// The chain's record of a range, if it is the one that is meant.
    pub(super) async fn record_of(&self, range: RangeId, part: Part) -> Result<Range, HoldError> {
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let record = self.link().read(self.link().addresses().job_book, call).await?;
        if (record.from, record.count, record.root) != (part.from, part.count, part.root) {
            return Err(HoldError::Other);
        }
        Ok(record)
    }

    /// Fetches, checks and pins what a range has made, or these inputs of a job; its size, MiB.
    pub(super) async fn fetch_all(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        inputs: Option<Inputs>,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let had = match inputs {
            Some(inputs) => Box::pin(self.fetch_inputs(range, inputs, deadline)).await?,
            None => Box::pin(self.fetch_range(range, part, mib, deadline)).await?,
        };
        self.shop.blobs.sync().await?;
        Ok(had)
    }

    /// What the inputs of a job are, as its spec says. Nothing is set aside for what somebody merely says, and nothing is
    /// stored for that: not the spec either.
    pub(super) async fn look_at_inputs(
        &self,
        inputs: RangeId,
        part: Part,
        mib: u32,
    ) -> Result<Inputs, HoldError> {
        let opening = opening_of(self.link(), self.first_block, inputs.job).await?;
        if opening.spec.0 != part.root.0 {
            return Err(HoldError::Other);
        }
        let (blobs, max) = (&self.shop.blobs, MAX_SPEC_BYTES as u64);
        let bytes = match blobs.read(opening.spec, max).await {
            Ok(bytes) => bytes,
            Err(BlobsError::NotHere { .. }) => {
                let client =
                    Contact::from_bytes(&opening.contact).map_err(|_| FetchError::Contact)?;
                let deadline = Instant::now() + SPEC_TIME;
                Box::pin(blobs.peek(opening.spec, max, &client, deadline)).await?
            }
            Err(error) => return Err(error.into()),
        };
        Inputs::read(bytes.into(), &opening, mib)
    }

    /// Pins the spec of a job, and fetches all that it names from the job's client; its size, MiB.
    async fn fetch_inputs(
        &self,
        range: RangeId,
        inputs: Inputs,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let Inputs { bytes, spec, client, mib } = inputs;
        let (tag, blobs) = (tag(range)?, &self.shop.blobs);
        blobs.put(bytes, &tag).await?;
        for blob in spec.blobs() {
            blobs.get(blob, &client, &tag, deadline).await?;
        }
        Ok(mib)
    }

    /// Fetches, checks and pins what a range has made; its size, MiB.
    async fn fetch_range(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        deadline: Instant,
    ) -> Result<u32, HoldError> {
        let record = self.record_of(range, part).await?;
        let claim = RangeClaim {
            range,
            from: record.from,
            count: record.count,
            root: record.root,
            units: record.units,
            failures: record.failures,
        };
        let content = content_of(&self.shop.chain, range).await?.ok_or(HoldError::Other)?;
        let known = self.contacts.of(record.provider, false).await?;
        let tag = tag(range)?;
        let most_bytes = u64::from(mib) << 20;
        let shelf = Shelf { tag: &tag, most_bytes };
        let spec = self.spec_of(range, &known).await?;
        let blobs = &self.shop.blobs;
        let half = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let first = Box::pin(collect_on(shelf, blobs, &spec, &claim, content, &known, half)).await;
        let leaves = match first {
            Err(CollectError::Missing(error)) => {
                debug!(%range, %error, "asking where the provider is now");
                let fresh = self.contacts.of(record.provider, true).await?;
                Box::pin(collect_on(shelf, blobs, &spec, &claim, content, &fresh, deadline)).await?
            }
            done => done?,
        };
        Ok(mib_of(bytes_of(&leaves)).map_or(mib, |had| had.min(mib)))
    }

    /// The spec of a range's job, from its client or from whoever has worked on it. Kept with the range: without it nothing
    /// can be made of what is held.
    async fn spec_of(&self, range: RangeId, known: &[Contact]) -> Result<JobSpec, HoldError> {
        let opening = opening_of(self.link(), self.first_block, range.job).await?;
        let mut holders = known.to_vec();
        holders.extend(Contact::from_bytes(&opening.contact));
        let (tag, deadline) = (tag(range)?, Instant::now() + SPEC_TIME);
        let max = MAX_SPEC_BYTES as u64;
        let blobs = &self.shop.blobs;
        blobs.get_up_to(opening.spec, max, &holders, &tag, deadline).await?;
        let spec = JobSpec::from_bytes(&blobs.read(opening.spec, max).await?)?;
        agree(&spec, &opening)?;
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{ContentHash, ContentRef, Input, InputSource, Limits, Output, Workload};

    use super::*;

    /// A job with a file of so many MiB.
    fn spec(mib: u64) -> JobSpec {
        let file = ContentRef { hash: ContentHash([2; 32]), size: mib << 20 };
        JobSpec {
            name: "n".into(),
            workload: Workload::Wasm,
            program: ContentRef { hash: ContentHash([1; 32]), size: 10 },
            inputs: vec![Input { name: "file".into(), source: InputSource::Blob(file) }],
            task_count: 5,
            limits: Limits { unit_cap: 7, prepare_cap: 8, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        }
    }

    fn opening(spec: &JobSpec, contact: Vec<u8>) -> Opening {
        Opening {
            spec: spec.hash(),
            task_count: 5,
            unit_cap: 7,
            prepare_cap: 8,
            range_timeout_ms: 1_000,
            audited: true,
            replicated: false,
            kept: true,
            parallelism: 1,
            contact,
        }
    }

    #[test]
    fn inputs_are_as_large_as_their_spec_says_whatever_was_asked_for() {
        let client = Contact { endpoint: [3; 32], addresses: Vec::new() };
        let read = |mib: u64, most: u32| {
            let spec = spec(mib);
            Inputs::read(spec.to_bytes(), &opening(&spec, client.to_bytes()), most)
        };
        for most in [4, 5, 4_000, u32::MAX] {
            let inputs = read(3, most).unwrap();
            // A file of three, and a little more.
            assert_eq!((inputs.mib, &inputs.spec), (4, &spec(3)));
            assert_eq!(inputs.bytes, spec(3).to_bytes());
            assert_eq!(inputs.client, std::slice::from_ref(&client));
        }
        assert!(matches!(read(3, 3), Err(HoldError::Large)), "nobody pays for that");
        let most = u64::from(MOST_MIB);
        assert_eq!(read(most - 1, u32::MAX).unwrap().mib, MOST_MIB);
        assert!(matches!(read(most, u32::MAX), Err(HoldError::Large)), "nobody holds that");
    }

    #[test]
    fn inputs_of_a_spec_that_is_not_what_the_chain_was_told_are_not_looked_at() {
        let (spec, most) = (spec(3), 10);
        let told = opening(&spec, vec![255]);
        let inputs = Inputs::read(spec.to_bytes(), &told, most).unwrap();
        assert!(inputs.client.is_empty(), "what is here already needs no client");
        let other = Opening { task_count: 6, ..told.clone() };
        let other = Inputs::read(spec.to_bytes(), &other, most);
        assert!(matches!(other, Err(HoldError::Fetch(FetchError::Disagree(_)))), "{other:?}");
        let cut = Inputs::read(spec.to_bytes()[..20].to_vec(), &told, most);
        assert!(matches!(cut, Err(HoldError::Spec(_))), "{cut:?}");
    }
}
