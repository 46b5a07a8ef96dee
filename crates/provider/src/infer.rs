//! Models on sale ([`tilth_protocol::infer`]), those that write and encoders: each in a worker of its own that stays,
//! reached by callers over the provider's endpoint, paid by token.

mod calls;
mod desk;
mod engine;
mod keeper;
mod made;
mod pipe;
mod yielding;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tilth_protocol::{
    ContentHash,
    infer::{
        End, ModelOffer, Parameters, Prices, Prompt, Refusal, Room, Said, message::MAX_OFFERS,
    },
};
use tilth_service::{Doing, Spawner};

use crate::{ProviderError, challenge::Start};
pub(crate) use desk::{Desk, LINE_CALLS, SharesOfModels as Shares};
pub(crate) use engine::Engine;
use engine::{About, Event};
pub(crate) use yielding::Yielding;

/// Longest time for loading a model: a large one is read from a slow disk once.
const LOAD: Duration = Duration::from_secs(300);
/// Bytes hashed at once.
const PART: usize = 1 << 20;

/// A model that is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its blob, which nobody else may write to. Must be readable by everybody if the provider runs as root.
    pub file: PathBuf,
    /// What it costs.
    pub prices: Prices,
    /// How much its worker may hold.
    pub room: Room,
    /// Memory that its worker may use besides the file, in bytes.
    pub memory_bytes: u64,
}

impl Model {
    /// A model at these prices: contexts up to 4,096 tokens, 16,384 tokens in eight answers at a time, 88 more
    /// waiting, 2 GiB. Three quarters of these places, which one caller may have, are for more than the 64 answers of
    /// one key at a gateway.
    pub fn new(file: PathBuf, prices: Prices) -> Self {
        let room = Room { context: 4096, tokens: 16_384, running: 8, waiting: 88, threads: 0 };
        Self { file, prices, room, memory_bytes: 2 << 30 }
    }
}

/// A model whose worker runs.
#[derive(Clone, Debug)]
pub(crate) struct OnSale {
    pub(crate) offer: ModelOffer,
    pub(crate) engine: Engine,
}

/// Starts a worker for each model and waits until all are loaded.
pub(crate) async fn open(
    models: &[Model],
    start: &Start,
    yielding: &Yielding,
    spawner: &Spawner,
) -> Result<Vec<OnSale>, ProviderError> {
    if models.len() > MAX_OFFERS {
        let text = format!("{} models, at most {MAX_OFFERS} can be sold", models.len());
        return Err(ProviderError::Config(text));
    }
    let mut sold: Vec<OnSale> = Vec::with_capacity(models.len());
    for model in models {
        model.prices.check().map_err(|error| ProviderError::Config(error.to_string()))?;
        let hash = hash_of(&model.file).await?;
        if sold.iter().any(|other| other.offer.model == hash) {
            let text = format!("the model {} is named twice", model.file.display());
            return Err(ProviderError::Config(text));
        }
        let (start, yielding) = (start.clone(), yielding.clone());
        let (engine, ready) = Engine::start(start, model.clone(), yielding, spawner);
        let about = tokio::time::timeout(LOAD, ready).await;
        let about = about.map_err(|_| "it was not loaded in time".to_owned());
        let about =
            about.and_then(|told| told.unwrap_or_else(|_| Err("its worker is gone".into())));
        let about = about.map_err(|why| {
            ProviderError::Config(format!(
                "the model {} cannot be sold: {why}",
                model.file.display()
            ))
        })?;
        let About { name, makes, context } = about;
        tracing::info!(name, model = %hash, context, "a model is on sale");
        let offer = ModelOffer { model: hash, name, makes, context, prices: model.prices };
        sold.push(OnSale { offer, engine });
    }
    Ok(sold)
}

async fn hash_of(file: &Path) -> Result<ContentHash, ProviderError> {
    let path = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
    hashed.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| {
        ProviderError::Config(format!("the model {} cannot be read: {source}", file.display()))
    })
}

/// The hash of a file's bytes, which is a model's name.
///
/// # Errors
/// The file cannot be read.
pub fn hash_file(path: &Path) -> io::Result<ContentHash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut part = vec![0; PART];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(ContentHash(*hasher.finalize().as_bytes())),
            read => hasher.update(&part[..read]),
        };
    }
}

/// What a model makes of a question, computed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Tokens of the prompt, or of all inputs.
    pub prompt_tokens: u32,
    /// What came.
    pub made: Made,
}

/// An answer, or embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// An answer.
    Text {
        /// The tokens.
        said: Vec<Said>,
        /// The text.
        text: String,
        /// Why it ended.
        end: End,
    },
    /// The embedding of each input, of length one with 30 fractional bits.
    Embeddings(Vec<Vec<i32>>),
}

/// Why an answer was not computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotComputed {
    /// The model takes no such question: there is no answer, here or elsewhere.
    #[error("the model has no answer to it: {0}")]
    NoAnswer(String),
    /// It could not be done here.
    #[error("{0}")]
    Failed(String),
}

impl From<&str> for NotComputed {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_owned())
    }
}

impl From<String> for NotComputed {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Computes one answer in a worker of its own: what a provider does, for whoever wants to compare. In a room for the
/// most tokens that prompt and answer may have, what does not fit is too long for the model itself.
///
/// # Errors
/// [`NotComputed`].
pub fn compute(
    start: Start,
    model: Model,
    prompt: Prompt,
    parameters: Parameters,
) -> Doing<'static, Result<Computed, NotComputed>> {
    Box::pin(async move {
        let scope = tilth_service::Scope::new("computing an answer again");
        let (engine, ready) = Engine::start(start, model, Yielding::never(), &scope.spawner());
        let about = tokio::time::timeout(LOAD, ready)
            .await
            .map_err(|_| "the model was not loaded in time")?;
        about.map_err(|_| "the worker is gone")??;
        let inputs = match &prompt {
            Prompt::Inputs(inputs) => Some(inputs.len()),
            Prompt::Text(_) | Prompt::Chat(_) => None,
        };
        let mut call = engine.ask(prompt, parameters).map_err(|no| no.to_string())?;
        let (mut prompt_tokens, mut said, mut text) = (0, Vec::new(), String::new());
        let mut embeddings = Vec::new();
        while let Some(event) = call.next().await {
            match event {
                Event::Begun(tokens) => prompt_tokens = tokens,
                Event::Piece(piece) => {
                    said.extend(piece.said);
                    text.push_str(&piece.text);
                }
                Event::Embedding(embedding) => embeddings.push(embedding),
                Event::Ended(end) => {
                    let made = match inputs {
                        None => Made::Text { said, text, end },
                        Some(inputs) if inputs == embeddings.len() => Made::Embeddings(embeddings),
                        Some(_) => return Err("the worker does not embed every input".into()),
                    };
                    return Ok(Computed { prompt_tokens, made });
                }
                Event::Refused { why: Refusal::TooLong { .. } | Refusal::Invalid, text } => {
                    return Err(NotComputed::NoAnswer(text));
                }
                Event::Refused { text, .. } => return Err(text.into()),
            }
        }
        Err("the worker has failed".into())
    })
}

/// Starts workers in this machine's sandbox; what a provider does at its start.
///
/// # Errors
/// Nothing can be run here.
pub fn start_here(
    worker: tilth_sandbox::CommandLine,
    sandbox_init: tilth_sandbox::CommandLine,
) -> Doing<'static, Result<Start, ProviderError>> {
    Box::pin(async move {
        let confinement = tilth_sandbox::Confinement::probe(sandbox_init).await?;
        Ok(Start { confinement: Arc::new(confinement), worker })
    })
}
