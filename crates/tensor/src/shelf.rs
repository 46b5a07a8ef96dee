//! A folder of model blobs, each named by its hash.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blob::{self, Header};
use crate::import::{self, Beside, Quantiser};
use crate::{Error, Result};

/// The longest file beside the weights that is read, in bytes.
const LONGEST_BESIDE: u64 = 64 << 20;

/// How many imports this process has begun.
static IMPORTS: AtomicU64 = AtomicU64::new(0);

/// The folder.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

/// One model on it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: blake3::Hash,
    /// Bytes.
    pub size: u64,
    /// What it says about itself.
    pub header: Header,
    /// The file.
    pub path: PathBuf,
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(
        "a file of the models cannot be used",
        format!("{}: {error}", path.display()),
        "Check the path, its permissions and free space",
    )
}

impl Shelf {
    /// The models in `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Imports a `.gguf` file, a folder with `model.safetensors`, `config.json` and `tokenizer.json`, or a
    /// blob, which is checked by its hash of all bytes.
    ///
    /// # Errors
    /// When the model cannot be imported, or files fail.
    pub fn import(&self, from: &Path) -> Result<Entry> {
        fs::create_dir_all(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        // Two imports at once have two files, within a process as well; what is cut short has no hash for a name and
        // is never read.
        let number = IMPORTS.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("partial-{}-{number}", std::process::id()));
        let done = File::create(&partial)
            .map_err(|error| failed(&partial, &error))
            .and_then(|file| self.write(from, file))
            .and_then(|id| {
                let path = self.path(id);
                fs::rename(&partial, &path).map_err(|error| failed(&path, &error))?;
                entry(id, path)
            });
        if done.is_err() {
            let _ = fs::remove_file(&partial);
        }
        done
    }

    fn write(&self, from: &Path, file: File) -> Result<blake3::Hash> {
        let mut into = BufWriter::new(&file);
        let id = if from.is_dir() {
            folder(from, into)?
        } else {
            let bytes = fs::read(from).map_err(|error| failed(from, &error))?;
            if bytes.starts_with(blob::MAGIC) {
                let bytes = std::sync::Arc::new(bytes);
                let blob = blob::Blob::open(bytes.clone())?;
                if blob.header().architecture.pooling.is_some() {
                    crate::encoder::Encoder::open(&blob)?;
                } else {
                    crate::model::Model::open(&blob)?;
                }
                into.write_all(&bytes)
                    .and_then(|()| into.flush())
                    .map_err(|error| failed(&self.folder, &error))?;
                blake3::hash(&bytes)
            } else {
                import::gguf(&bytes, Quantiser::default(), into)?.0
            }
        };
        file.sync_all().map_err(|error| failed(&self.folder, &error))?;
        Ok(id)
    }

    fn path(&self, id: blake3::Hash) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// All models, by name and id. Files that are no models are passed over.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(failed(&self.folder, &error)),
        };
        let mut all = vec![];
        for file in files {
            let path = file.map_err(|error| failed(&self.folder, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(id) = name.and_then(|name| blake3::Hash::from_hex(name).ok()) else {
                continue;
            };
            all.extend(entry(id, path));
        }
        all.sort_by(|a, b| {
            (&a.header.name, a.id.as_bytes()).cmp(&(&b.header.name, b.id.as_bytes()))
        });
        Ok(all)
    }

    /// The one model with this name, or whose id begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(&self, what: &str) -> Result<Entry> {
        let all = self.list()?;
        let fits = |entry: &&Entry| {
            entry.header.name == what || (!what.is_empty() && entry.id.to_hex().starts_with(what))
        };
        let found: Vec<&Entry> = all.iter().filter(fits).collect();
        match found[..] {
            [entry] => Ok(entry.clone()),
            [] => Err(Error::new(
                "there is no such model",
                format!("{what:?} among {} in {}", all.len(), self.folder.display()),
                "`tilth model ls` shows them",
            )),
            _ => Err(Error::new(
                "more than one model fits",
                format!("{} begin with or are called {what:?}", found.len()),
                "Give more of the id",
            )),
        }
    }

    /// Removes a model.
    ///
    /// # Errors
    /// As for [`find`](Self::find), or when the file cannot be removed.
    pub fn remove(&self, what: &str) -> Result<Entry> {
        let entry = self.find(what)?;
        fs::remove_file(&entry.path).map_err(|error| failed(&entry.path, &error))?;
        Ok(entry)
    }
}

/// Imports a folder as Hugging Face lays it out.
fn folder(from: &Path, into: impl std::io::Write) -> Result<blake3::Hash> {
    let optional = |name: &str| {
        let path = from.join(name);
        match fs::metadata(&path) {
            Ok(data) if data.len() > LONGEST_BESIDE => {
                Err(Error::damaged(format!("{} of {} bytes", path.display(), data.len())))
            }
            Ok(_) => fs::read(&path).map(Some).map_err(|error| failed(&path, &error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    };
    let need = |name: &str| {
        optional(name)?.ok_or_else(|| {
            Error::new(
                "the folder is no model",
                format!("{} is missing", from.join(name).display()),
                "Name a .gguf file, or a folder with model.safetensors, config.json and tokenizer.json",
            )
        })
    };
    let template = match (optional("chat_template.jinja")?, optional("tokenizer_config.json")?) {
        (Some(bytes), _) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        (None, Some(bytes)) => {
            let config: serde_json::Value = serde_json::from_slice(&bytes)
                .map_err(|error| Error::damaged(format!("tokenizer_config.json: {error}")))?;
            config["chat_template"].as_str().map(str::to_owned)
        }
        (None, None) => None,
    };
    let (config, tokenizer) = (need("config.json")?, need("tokenizer.json")?);
    let path = from.join("model.safetensors");
    let file = fs::read(&path).map_err(|error| failed(&path, &error))?;
    let quantiser = Quantiser::default();
    if let Some(modules) = optional("modules.json")? {
        let pooling = need(&format!("{}/config.json", import::pooling_folder(&modules)?))?;
        let lengths = optional("sentence_bert_config.json")?;
        let beside = Beside {
            config: &config,
            tokenizer: &tokenizer,
            modules: &modules,
            pooling: &pooling,
            lengths: lengths.as_deref(),
        };
        return Ok(import::encoder(&file, &beside, quantiser, into)?.0);
    }
    Ok(import::safetensors(&file, &config, &tokenizer, template, quantiser, into)?.0)
}

/// Reads the end of a blob with this id: what it says about itself, not its weights.
///
/// # Errors
/// When the file cannot be read, or is no blob.
pub fn entry(id: blake3::Hash, path: PathBuf) -> Result<Entry> {
    let read = || -> std::io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(&path)?;
        let size = file.metadata()?.len();
        let mut end = [0; 16];
        file.seek(SeekFrom::Start(size.saturating_sub(16)))?;
        file.read_exact(&mut end)?;
        let length = u64::from_le_bytes(std::array::from_fn(|i| end[i]));
        let start = (size - 16).checked_sub(length);
        let start =
            start.filter(|_| length <= blob::LONGEST_HEADER as u64 && end[8..] == *blob::MAGIC);
        let mut text = vec![];
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start))?;
            file.take(length).read_to_end(&mut text)?;
        }
        Ok((size, text))
    };
    let (size, text) = read().map_err(|error| failed(&path, &error))?;
    let header = serde_json::from_slice(&text)
        .map_err(|error| Error::damaged(format!("{}: {error}", path.display())))?;
    Ok(Entry { id, size, header, path })
}
