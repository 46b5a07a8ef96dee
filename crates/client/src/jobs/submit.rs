//! Submitting: everything is checked and stored before money moves.

use std::{io, sync::Arc};

use alloy::{
    primitives::{
        Address, U256,
        aliases::{U40, U96},
    },
    sol_types::SolEvent,
};
use tilth_blobs::Tag;
use tilth_contracts::{JobBook, Ledger, Terms};
use tilth_protocol::{Amount, ContentHash, JobId, Problem};

use super::{Agreed, JobError, Jobs, Note, write_whole};
use crate::{ChainError, job_file::PreparedJob};

impl Jobs {
    /// What a job should be funded with if nothing else is said: every task at its cap, and a
    /// prepare phase for as many ranges as are likely. What is not used comes back.
    pub fn usual_funds(job: &PreparedJob) -> Option<Amount> {
        let ranges = u32::from(job.offer.parallelism).saturating_mul(8).saturating_add(16);
        job.most_cost(ranges.min(job.spec.task_count))
    }

    /// Submits a job: checks the balance, stores and serves spec and inputs, opens it on chain.
    ///
    /// The inputs are served by this store, so it has to stay open until providers have them.
    ///
    /// # Errors
    /// [`JobError::TooLittleBalance`], [`JobError::WindowTooShort`], [`JobError::FileChanged`], those
    /// of the store and of [`Account::send`].
    pub async fn submit(
        &self,
        prepared: &PreparedJob,
        funds: Option<Amount>,
    ) -> Result<Agreed, JobError> {
        let too_much = || {
            JobError::Told(Problem::new(
                "the job costs too much",
                "tasks x caps x price is more money than there can be",
                "lower one of the three",
            ))
        };
        let funds = funds.or_else(|| Self::usual_funds(prepared)).ok_or_else(too_much)?;
        let value = prepared.most_cost(1).ok_or_else(too_much)?;
        let (link, addresses) = (self.account.link(), *self.account.link().addresses());
        let owner = self.account.address();
        let free = link.read(addresses.ledger, Ledger::accountCall { owner }).await?.free;
        if Amount(free) < funds {
            return Err(JobError::TooLittleBalance { needed: funds, free: Amount(free) });
        }
        let least = JobBook::minWindowCall { value: U256::from(value.0) };
        let least = link.read(addresses.job_book, least).await?;
        let window = prepared.offer.window_s.unwrap_or(least);
        if window < least {
            return Err(JobError::WindowTooShort { window, least, value });
        }
        let spec_bytes = prepared.spec.to_bytes();
        let spec_hash = ContentHash::of(&spec_bytes);
        let draft = Tag::new(format!("draft/{spec_hash}"))?;
        self.store_inputs(prepared, &draft).await?;
        self.blobs.put(spec_bytes, &draft).await?;
        self.blobs.sync().await?;

        let terms = self.terms(prepared, spec_hash, window).await?;
        let call = JobBook::openCall { terms: terms.clone(), funds: funds.0 };
        let receipt = self.account.execute(addresses.job_book, call).await?;
        let opened = receipt
            .inner
            .logs()
            .iter()
            .filter(|log| log.address() == addresses.job_book)
            .find_map(|log| JobBook::JobOpened::decode_log(&log.inner).ok())
            .ok_or(ChainError::BadAnswer {
                action: "opening a job",
                detail: "the receipt holds no JobOpened event".to_owned(),
            })?;
        let agreed = Agreed {
            job: JobId(opened.jobId),
            client: owner,
            spec: Arc::new(prepared.spec.clone()),
            terms,
            opened_block: receipt.block_number.unwrap_or(self.first_block),
        };
        self.adopt(&agreed).await?;
        self.blobs.unpin(&draft).await?;
        Ok(agreed)
    }

    async fn store_inputs(&self, prepared: &PreparedJob, draft: &Tag) -> Result<(), JobError> {
        for (expected, path) in &prepared.files {
            let stored = self.blobs.put_file(path, draft).await?;
            if stored != *expected {
                return Err(JobError::FileChanged { path: path.clone() });
            }
        }
        Ok(())
    }

    async fn terms(
        &self,
        prepared: &PreparedJob,
        spec: ContentHash,
        window: u32,
    ) -> Result<Terms, JobError> {
        let offer = &prepared.offer;
        let now = self.account.link().next_time().await?;
        let deadline = now.saturating_add(u64::from(offer.deadline_s));
        Ok(Terms {
            specHash: spec.0.into(),
            taskCount: prepared.spec.task_count,
            unitCap: prepared.spec.limits.unit_cap,
            prepareCap: prepared.spec.limits.prepare_cap,
            price: U96::saturating_from(offer.price.0),
            floorPrice: U96::saturating_from(offer.clock.map_or(0, |clock| clock.floor.0)),
            finishSeconds: offer.clock.map_or(0, |clock| clock.finish_s),
            window,
            rangeTimeout: offer.range_timeout_s,
            targetSeconds: offer.target_s,
            parallelism: offer.parallelism,
            firstRange: offer.first_range,
            deadline: U40::saturating_from(deadline),
            maxFailures: offer.max_failures,
            requiredClass: 0,
            minVramMib: 0,
            afterJob: 0,
            callback: Address::ZERO,
            program: prepared.spec.program.hash.0.into(),
            contact: self.blobs.contact().to_bytes().into(),
        })
    }

    /// Pins what belongs to a job and notes it in its folder.
    pub(super) async fn adopt(&self, agreed: &Agreed) -> Result<(), JobError> {
        let tag = Tag::inputs(agreed.job);
        let spec = ContentHash(agreed.terms.specHash.0);
        for hash in agreed.spec.blobs().map(|blob| blob.hash).chain([spec]) {
            // Somebody else's job can be looked at without holding its inputs.
            if self.blobs.has(hash).await? {
                self.blobs.pin_also(hash, &tag).await?;
            }
        }
        let note = Note {
            chain_id: self.account.link().chain_id().await?,
            job: agreed.job,
            job_book: self.account.link().addresses().job_book,
            name: agreed.spec.name.clone(),
            spec,
            opened_block: agreed.opened_block,
        };
        let text = serde_json::to_vec_pretty(&note).map_err(|error| JobError::Folder {
            path: self.folder(agreed.job),
            source: io::Error::other(error),
        })?;
        write_whole(&self.folder(agreed.job).join("job.json"), &text)
    }
}
