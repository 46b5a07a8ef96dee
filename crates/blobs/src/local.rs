//! Content on this machine: putting, pinning, reading, exporting.

use std::path::Path;

use bytes::Bytes;
use iroh_blobs::{
    BlobFormat, Hash, HashAndFormat,
    api::blobs::{AddBytesOptions, AddPathOptions, BlobStatus, ImportMode},
};
use tilth_protocol::{ContentHash, ContentRef};
use tokio::task::JoinSet;

use crate::{Blobs, BlobsError, Doing, Tag};

/// How many puts of [`Blobs::put_many`] are in the store's hands at once.
const TOGETHER: usize = 64;

/// How content is called in messages.
pub(crate) fn named(hash: ContentHash) -> String {
    format!("content {hash}")
}

pub(crate) fn iroh_hash(hash: ContentHash) -> Hash {
    Hash::from_bytes(hash.0)
}

impl Blobs {
    /// Stores bytes and pins them. Storing what is already here only adds the pin.
    ///
    /// It can be read and fetched by others when this returns; it survives a kill after
    /// [`Blobs::sync`].
    ///
    /// # Errors
    /// [`BlobsError::TooLarge`], [`BlobsError::DiskFull`], failures of the store.
    pub async fn put(&self, bytes: impl Into<Bytes>, tag: &Tag) -> Result<ContentRef, BlobsError> {
        let added = self.add(bytes.into(), BlobFormat::Raw).await?;
        self.pin(HashAndFormat::raw(iroh_hash(added.0.hash)), tag).await?;
        Ok(added.0)
    }

    /// Stores many blobs under one tag, faster than one after the other. The references come in the
    /// order of the input.
    ///
    /// # Errors
    /// As [`Blobs::put`]; the blobs before a failing one may have been stored.
    pub async fn put_many(
        &self,
        blobs: impl IntoIterator<Item = Bytes>,
        tag: &Tag,
    ) -> Result<Vec<ContentRef>, BlobsError> {
        let mut references = Vec::new();
        let mut running = JoinSet::new();
        let mut blobs = blobs.into_iter().enumerate();
        loop {
            while running.len() < TOGETHER
                && let Some((index, bytes)) = blobs.next()
            {
                let (this, tag) = (self.clone(), tag.clone());
                running.spawn(async move { this.put(bytes, &tag).await.map(|put| (index, put)) });
            }
            match running.join_next().await {
                None => break,
                Some(Ok(put)) => references.push(put?),
                Some(Err(error)) => {
                    let detail = error.to_string();
                    return Err(BlobsError::Store { action: "adding content", detail });
                }
            }
        }
        references.sort_by_key(|(index, _)| *index);
        Ok(references.into_iter().map(|(_, reference)| reference).collect())
    }

    /// Stores a copy of a file and pins it.
    ///
    /// # Errors
    /// [`BlobsError::File`] when it cannot be read, otherwise as [`Blobs::put`].
    pub async fn put_file(
        &self,
        path: impl AsRef<Path>,
        tag: &Tag,
    ) -> Result<ContentRef, BlobsError> {
        let given = path.as_ref();
        let file = |action, source| BlobsError::File { action, path: given.to_owned(), source };
        let path = std::path::absolute(given).map_err(|error| file("reading", error))?;
        let data = tokio::fs::metadata(&path).await.map_err(|error| file("reading", error))?;
        if !data.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file");
            return Err(file("reading", source));
        }
        self.admit(data.len(), || format!("file {}", given.display()))?;
        let options = AddPathOptions { path, format: BlobFormat::Raw, mode: ImportMode::Copy };
        let added = self.store().add_path_with_opts(options).temp_tag().await;
        let added = added.map_err(|error| self.disk().explain("adding a file", error))?;
        self.pin(added.hash_and_format(), tag).await?;
        let hash = ContentHash(*added.hash().as_bytes());
        // Asked of the store and not of the file, which may have changed in between.
        let size = self.size(hash).await?.ok_or(BlobsError::NotHere { hash })?;
        Ok(ContentRef { hash, size })
    }

    /// Stores a list of hashes as a sequence and pins it with all its parts.
    ///
    /// # Errors
    /// As [`Blobs::put`]. The parts need not be here, but only those that are can be served.
    pub fn put_sequence<'a>(
        &'a self,
        parts: &'a [ContentHash],
        tag: &'a Tag,
    ) -> Doing<'a, Result<ContentHash, BlobsError>> {
        Box::pin(async move {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.0).collect();
            let (reference, _guard) = self.add(bytes.into(), BlobFormat::HashSeq).await?;
            self.pin(HashAndFormat::hash_seq(iroh_hash(reference.hash)), tag).await?;
            Ok(reference.hash)
        })
    }

    /// Pins content that is here under another tag, too.
    ///
    /// # Errors
    /// [`BlobsError::NotHere`], failures of the store.
    pub async fn pin_also(&self, hash: ContentHash, tag: &Tag) -> Result<(), BlobsError> {
        self.size(hash).await?.ok_or(BlobsError::NotHere { hash })?;
        self.pin(HashAndFormat::raw(iroh_hash(hash)), tag).await
    }

    /// Removes a tag and every tag below it (`job/12` also removes `job/12/inputs`). What no other
    /// tag pins is deleted at the next collection.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn unpin<'a>(&'a self, tag: &'a Tag) -> Doing<'a, Result<(), BlobsError>> {
        Box::pin(async move {
            let removed = self.store().tags().delete_prefix(tag.entries()).await;
            removed.map(|_| ()).map_err(|error| self.disk().explain("unpinning content", error))
        })
    }

    /// Whether content is here completely.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn has(&self, hash: ContentHash) -> Doing<'_, Result<bool, BlobsError>> {
        Box::pin(async move { Ok(self.size(hash).await?.is_some()) })
    }

    /// The size of content that is here completely, in bytes.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn size(&self, hash: ContentHash) -> Doing<'_, Result<Option<u64>, BlobsError>> {
        Box::pin(async move {
            match self.store().status(iroh_hash(hash)).await {
                Ok(BlobStatus::Complete { size }) => Ok(Some(size)),
                Ok(_) => Ok(None),
                Err(error) => Err(self.disk().explain("looking for content", error)),
            }
        })
    }

    /// Reads a blob into memory.
    ///
    /// # Errors
    /// [`BlobsError::NotHere`], [`BlobsError::TooLarge`] above `max_bytes` (nothing is read then).
    pub fn read(&self, hash: ContentHash, max_bytes: u64) -> Doing<'_, Result<Bytes, BlobsError>> {
        Box::pin(async move {
            let size = self.size(hash).await?.ok_or(BlobsError::NotHere { hash })?;
            if size > max_bytes {
                let content = named(hash);
                return Err(BlobsError::TooLarge { content, size, max: max_bytes });
            }
            let bytes = self.store().get_bytes(iroh_hash(hash)).await;
            bytes.map_err(|error| self.disk().explain("reading content", error))
        })
    }

    /// Reads the hashes of a sequence's parts.
    ///
    /// # Errors
    /// [`BlobsError::NotHere`]; [`BlobsError::NotASequence`] when there are more than `max_items` or
    /// the content is not a list of hashes.
    pub fn read_sequence(
        &self,
        hash: ContentHash,
        max_items: u32,
    ) -> Doing<'_, Result<Vec<ContentHash>, BlobsError>> {
        Box::pin(async move {
            let max_bytes = u64::from(max_items).saturating_mul(32);
            let bytes = match self.read(hash, max_bytes).await {
                Ok(bytes) if bytes.len() % 32 == 0 => bytes,
                Ok(_) | Err(BlobsError::TooLarge { .. }) => {
                    return Err(BlobsError::NotASequence { hash, max_items });
                }
                Err(error) => return Err(error),
            };
            let (parts, _) = bytes.as_chunks::<32>();
            Ok(parts.iter().map(|part| ContentHash(*part)).collect())
        })
    }

    /// Writes a blob to a file (a reflink where the file system can, else a copy), never leaving a
    /// half-written file under that name. Folders above it are created.
    ///
    /// Never a hard link: an exported file is handed to untrusted programs, and one inode for both
    /// would let a mistake in file modes change the store.
    ///
    /// # Errors
    /// [`BlobsError::NotHere`], [`BlobsError::DiskFull`], [`BlobsError::File`].
    pub async fn export(
        &self,
        hash: ContentHash,
        path: impl AsRef<Path>,
    ) -> Result<(), BlobsError> {
        let mut passing = path.as_ref().as_os_str().to_owned();
        passing.push(".partial");
        self.export_through(hash, passing, path).await
    }

    /// As [`Blobs::export`], but what is half-written lies at `passing`, on the same file system: for folders in which
    /// every name is somebody's.
    ///
    /// # Errors
    /// As [`Blobs::export`].
    pub async fn export_through(
        &self,
        hash: ContentHash,
        passing: impl AsRef<Path>,
        path: impl AsRef<Path>,
    ) -> Result<(), BlobsError> {
        let given = path.as_ref();
        let file = |source| BlobsError::File { action: "writing", path: given.to_owned(), source };
        let path = std::path::absolute(given).map_err(file)?;
        let passing = std::path::absolute(passing).map_err(file)?;
        let size = self.size(hash).await?.ok_or(BlobsError::NotHere { hash })?;
        self.disk().admit(size)?;
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(file)?;
        }
        let exported = self.store().export(iroh_hash(hash), &passing).finish().await;
        exported.map_err(|error| file(std::io::Error::other(error.to_string())))?;
        tokio::fs::rename(&passing, &path).await.map_err(file)
    }

    pub(crate) fn pin<'a>(
        &'a self,
        content: HashAndFormat,
        tag: &'a Tag,
    ) -> Doing<'a, Result<(), BlobsError>> {
        Box::pin(async move {
            let entry = tag.entry(ContentHash(*content.hash.as_bytes()));
            let pinned = self.store().tags().set(entry, content).await;
            pinned.map_err(|error| self.disk().explain("pinning content", error))
        })
    }

    /// Adds bytes; they are safe from collection while the guard lives.
    async fn add(
        &self,
        data: Bytes,
        format: BlobFormat,
    ) -> Result<(ContentRef, iroh_blobs::api::TempTag), BlobsError> {
        let size = data.len() as u64;
        self.admit(size, || "a new blob".to_owned())?;
        let added = self.store().add_bytes_with_opts(AddBytesOptions { data, format });
        let added = added.temp_tag().await;
        let added = added.map_err(|error| self.disk().explain("adding content", error))?;
        let hash = ContentHash(*added.hash().as_bytes());
        Ok((ContentRef { hash, size }, added))
    }

    fn admit(&self, size: u64, content: impl Fn() -> String) -> Result<(), BlobsError> {
        let max = self.limits().max_blob_bytes;
        if size > max {
            return Err(BlobsError::TooLarge { content: content(), size, max });
        }
        self.disk().admit(size)
    }
}
