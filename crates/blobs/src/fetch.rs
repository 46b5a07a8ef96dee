//! Getting content from others: holders in turn, again after pauses, until a deadline.

use std::time::Instant;

use iroh_blobs::HashAndFormat;
use tilth_protocol::{Contact, ContentHash, ContentRef};
use tracing::{debug, warn};

use crate::{
    Blobs, BlobsError, Doing, Tag,
    holders::{Choice, Failure, Search},
    local::{iroh_hash, named},
    transfer::{Allowed, Receiver, TransferError},
};

/// Bounds on a sequence that comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceBounds {
    /// Most bytes of all parts together (the list itself not counted).
    pub max_total_bytes: u64,
    /// Most parts.
    pub max_items: u32,
}

/// What is being fetched.
#[derive(Clone, Copy)]
enum Want {
    Blob(ContentHash, Allowed),
    Sequence(ContentHash, SequenceBounds),
}

impl Want {
    fn hash(self) -> ContentHash {
        match self {
            Self::Blob(hash, _) | Self::Sequence(hash, _) => hash,
        }
    }

    fn pin(self) -> HashAndFormat {
        match self {
            Self::Blob(hash, _) => HashAndFormat::raw(iroh_hash(hash)),
            Self::Sequence(hash, _) => HashAndFormat::hash_seq(iroh_hash(hash)),
        }
    }
}

impl Blobs {
    /// Fetches a blob and pins it. Returns at once when it is already here.
    ///
    /// `holders` are asked in the given order. One whose bytes do not match is not asked again for
    /// ten minutes, one that offers another size not again for this blob; others are asked again
    /// after pauses of 0.1 to 5 s until `deadline`.
    ///
    /// # Errors
    /// [`BlobsError::Unavailable`] at the deadline, or at once when nobody is left to be asked;
    /// [`BlobsError::TooLarge`] when every holder offers another size, or when it is here with
    /// another size, or when it is above this store's limit; [`BlobsError::DiskFull`]; failures of
    /// the store.
    pub async fn get(
        &self,
        blob: ContentRef,
        holders: &[Contact],
        tag: &Tag,
        deadline: Instant,
    ) -> Result<(), BlobsError> {
        let max = self.limits().max_blob_bytes;
        if blob.size > max {
            let content = named(blob.hash);
            return Err(BlobsError::TooLarge { content, size: blob.size, max });
        }
        let want = Want::Blob(blob.hash, Allowed::Exactly(blob.size));
        self.fetch(want, holders, tag, deadline).await
    }

    /// As [`Blobs::get`] when only a bound of the size is known (a job's spec).
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub async fn get_up_to(
        &self,
        hash: ContentHash,
        max_bytes: u64,
        holders: &[Contact],
        tag: &Tag,
        deadline: Instant,
    ) -> Result<(), BlobsError> {
        let max = max_bytes.min(self.limits().max_blob_bytes);
        self.fetch(Want::Blob(hash, Allowed::UpTo(max)), holders, tag, deadline).await
    }

    /// Fetches a sequence with all its parts in one request and pins them together. If anything is kept from others
    /// under this tag ([`Blobs::keep`]), the parts are, too, from before they come in; those of a sequence that was
    /// here already have to be named ([`Blobs::keep_also`]).
    ///
    /// # Errors
    /// As [`Blobs::get`]; [`BlobsError::NotASequence`] and [`BlobsError::TooLarge`] by the bounds.
    pub async fn get_sequence(
        &self,
        hash: ContentHash,
        bounds: SequenceBounds,
        holders: &[Contact],
        tag: &Tag,
        deadline: Instant,
    ) -> Result<(), BlobsError> {
        self.fetch(Want::Sequence(hash, bounds), holders, tag, deadline).await
    }

    fn fetch<'a>(
        &'a self,
        want: Want,
        holders: &'a [Contact],
        tag: &'a Tag,
        deadline: Instant,
    ) -> Doing<'a, Result<(), BlobsError>> {
        Box::pin(async move {
            // Held until the tag is written: garbage collection must not eat what just came in.
            let pin = self.store().tags().temp_tag(want.pin()).await;
            let pin = pin.map_err(|error| self.disk().explain("pinning content", error))?;
            if !self.is_here(want).await? {
                let mut last = "nobody answered".to_owned();
                let search = self.search(want, holders, tag, &mut last);
                let Ok(result) = tokio::time::timeout_at(deadline.into(), search).await else {
                    let (hash, holders) = (want.hash(), holders.len());
                    return Err(BlobsError::Unavailable { hash, holders, last });
                };
                result?;
            }
            self.pin(want.pin(), tag).await?;
            drop(pin);
            Ok(())
        })
    }

    /// Asks holders until one delivers everything or nobody is left. `last` says how the latest
    /// attempt failed, also when this is cut off at the deadline.
    async fn search(
        &self,
        want: Want,
        holders: &[Contact],
        tag: &Tag,
        last: &mut String,
    ) -> Result<(), BlobsError> {
        let keys: Vec<_> = holders.iter().map(|holder| holder.endpoint).collect();
        let mut search = Search::new(&keys, &self.key(), &self.liars(), Instant::now());
        let mut unfit = None;
        loop {
            let index = match search.choose(Instant::now()) {
                Choice::Ask(index) => index,
                Choice::Wait(until) => {
                    tokio::time::sleep_until(until.into()).await;
                    continue;
                }
                Choice::Nobody => {
                    let (hash, holders) = (want.hash(), holders.len());
                    let last = if holders == 0 { "nobody is known to hold it" } else { last };
                    let last = last.to_owned();
                    return Err(unfit.unwrap_or(BlobsError::Unavailable { hash, holders, last }));
                }
            };
            let Some(holder) = holders.get(index) else { continue };
            let error = match self.ask(want, holder, tag).await {
                Ok(()) if self.is_here(want).await? => return Ok(()),
                Ok(()) => TransferError::Missing,
                Err(TransferError::Local(error)) => return Err(error),
                Err(error) => error,
            };
            let (failure, text) = match error {
                TransferError::Unfit(error) => {
                    let text = error.to_string();
                    unfit = Some(error);
                    (Failure::Unfit, text)
                }
                TransferError::Lied(text) => {
                    warn!(holder = %self.name(holder), hash = %want.hash(), "a holder sent wrong bytes: {text}");
                    self.liars().remember(holder.endpoint, Instant::now());
                    (Failure::Unfit, format!("wrong bytes: {text}"))
                }
                TransferError::Missing => (Failure::Passing, "it does not have it".to_owned()),
                TransferError::Broken(text) => (Failure::Passing, text),
                TransferError::Local(error) => return Err(error),
            };
            debug!(holder = %self.name(holder), hash = %want.hash().short(), "fetching failed: {text}");
            *last = format!("{}: {text}", self.name(holder));
            search.failed(index, failure, Instant::now());
        }
    }

    async fn ask(&self, want: Want, holder: &Contact, tag: &Tag) -> Result<(), TransferError> {
        let connection = self.dialer().connect(holder).await.map_err(TransferError::Broken)?;
        let receiver = Receiver {
            store: self.store(),
            disk: self.disk(),
            pace: self.download(),
            stall: self.limits().stall,
            guard: self.guard(),
            tag,
        };
        match want {
            Want::Blob(hash, allowed) => receiver.blob(connection, hash, allowed).await,
            Want::Sequence(hash, bounds) => receiver.sequence(connection, hash, bounds).await,
        }
    }

    /// Whether everything wanted is here; an error when it is here but is not what was wanted.
    async fn is_here(&self, want: Want) -> Result<bool, BlobsError> {
        match want {
            Want::Blob(hash, allowed) => match self.size(hash).await? {
                Some(size) if allowed.admits(size) => Ok(true),
                Some(size) => {
                    let (content, max) = (named(hash), allowed.max());
                    Err(BlobsError::TooLarge { content, size, max })
                }
                None => Ok(false),
            },
            Want::Sequence(hash, bounds) => self.sequence_is_here(hash, bounds).await,
        }
    }

    async fn sequence_is_here(
        &self,
        hash: ContentHash,
        bounds: SequenceBounds,
    ) -> Result<bool, BlobsError> {
        if self.size(hash).await?.is_none() {
            return Ok(false);
        }
        let mut total = 0_u64;
        for part in self.read_sequence(hash, bounds.max_items).await? {
            let Some(size) = self.size(part).await? else { return Ok(false) };
            total = total.saturating_add(size);
        }
        if total > bounds.max_total_bytes {
            let (content, max) = (named(hash), bounds.max_total_bytes);
            return Err(BlobsError::TooLarge { content, size: total, max });
        }
        Ok(true)
    }

    fn name(&self, holder: &Contact) -> String {
        let id: String = holder.endpoint[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        match holder.addresses.first() {
            Some(address) => format!("{id} at {address}"),
            None => id,
        }
    }
}
