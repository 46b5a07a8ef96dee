//! The files beside an encoder's weights, as sentence-transformers lay them out.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::bert::EncoderDescription;
use super::settings::{fields, keys, read};
use crate::blob::Pooling;
use crate::int1::activation::Gate;
use crate::{Error, Result};

/// The longest name that is taken from a configuration, in bytes.
const LONGEST_NAME: usize = 100;
/// The file of a module's folder that says which rows it takes.
const POOLING: &str = "the pooling's config.json";

/// The files beside the weights.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `modules.json`: what follows the encoder.
    pub modules: &'a [u8],
    /// `config.json` of the [folder](pooling_folder) of the pooling: which rows are taken.
    pub pooling: &'a [u8],
    /// `sentence_bert_config.json`: how long texts may be, if it is there.
    pub lengths: Option<&'a [u8]>,
}

#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    #[serde(default, rename = "_name_or_path")]
    name: String,
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// What is known beside what [`Config`] reads: it is of the pooler, which embeddings pass by.
const KNOWN: &[&str] = &[
    "directionality",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
];

/// Of a pooling's configuration; what it says of prompts is for callers that send some.
const POOLING_READ: &[&str] = &[
    "word_embedding_dimension",
    "embedding_dimension",
    "pooling_mode",
    "pooling_mode_mean_tokens",
    "pooling_mode_cls_token",
    "include_prompt",
];

#[derive(Debug, Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

impl Module {
    /// The last part of its type.
    fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or(&self.kind)
    }
}

/// The folder, within the model's, whose `config.json` says how rows become an embedding.
///
/// # Errors
/// When `modules.json` is damaged, has no pooling, or leads out of the model's folder.
pub fn pooling_folder(modules: &[u8]) -> Result<String> {
    let modules: Vec<Module> = read("modules.json", modules)?;
    let found = modules.into_iter().find(|module| module.name() == "Pooling");
    let Some(Module { path, .. }) = found else {
        return Err(Error::unsupported("modules.json without a pooling"));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if path.is_empty() || path.len() > LONGEST_NAME || !path.chars().all(plain) {
        return Err(Error::unsupported(format!("modules.json with pooling in {path:?}")));
    }
    Ok(path)
}

#[derive(Debug, Deserialize)]
struct Lengths {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

impl Beside<'_> {
    /// What the files say.
    ///
    /// # Errors
    /// When they are damaged, or say something that is not supported.
    pub fn description(&self) -> Result<EncoderDescription> {
        let config: Config = read("config.json", self.config)?;
        let unsupported = |what: String| Err(Error::unsupported(what));
        if config.model_type != "bert" {
            return unsupported(format!("an encoder of the type {}", config.model_type));
        }
        let positions = config.position_embedding_type.as_deref().unwrap_or("absolute");
        if positions != "absolute" || config.is_decoder {
            return unsupported(format!("an encoder with {positions} positions, or another use"));
        }
        keys("config.json", self.config, fields::<Config>(), KNOWN)?;
        let activation = match config.hidden_act.as_str() {
            "gelu" => Gate::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Gate::GeluTanh,
            other => return unsupported(format!("hidden_act in config.json: {other}")),
        };
        let modules: Vec<Module> = read("modules.json", self.modules)?;
        // Length one is what every embedding gets here, whether asked for or not.
        let kinds: Vec<&str> = modules.iter().map(Module::name).collect();
        if !matches!(
            kinds[..],
            ["Transformer", "Pooling"] | ["Transformer", "Pooling", "Normalize"]
        ) {
            return unsupported(format!("the modules {} in modules.json", kinds.join(", ")));
        }
        if modules.first().is_some_and(|module| !module.path.is_empty()) {
            return unsupported("modules.json with the encoder in a folder of its own".into());
        }
        let lengths: Option<Lengths> =
            self.lengths.map(|bytes| read("sentence_bert_config.json", bytes)).transpose()?;
        if lengths.as_ref().is_some_and(|lengths| lengths.do_lower_case) {
            return unsupported("do_lower_case beside the tokenizer".into());
        }
        if let Some(bytes) = self.lengths {
            keys("sentence_bert_config.json", bytes, fields::<Lengths>(), &[])?;
        }
        let longest = lengths.and_then(|lengths| lengths.max_seq_length).unwrap_or(usize::MAX);
        let mut name = config.name.rsplit('/').next().unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > LONGEST_NAME {
            name = config.model_type;
        }
        Ok(EncoderDescription {
            name,
            layers: config.num_hidden_layers,
            width: config.hidden_size,
            heads: config.num_attention_heads,
            hidden: config.intermediate_size,
            positions: config.max_position_embeddings,
            context: config.max_position_embeddings.min(longest),
            types: config.type_vocab_size,
            epsilon: config.layer_norm_eps,
            activation,
            pooling: pooling(self.pooling)?,
        })
    }
}

/// Which rows a pooling configuration takes.
fn pooling(bytes: &[u8]) -> Result<Pooling> {
    let config: Map<String, Value> = read(POOLING, bytes)?;
    let modes = config.iter().filter(|(key, _)| key.starts_with("pooling_mode"));
    // One switch per way in older files, its name in newer ones.
    let wanted: Vec<&str> = modes
        .filter(|(key, value)| **value == true || (*key == "pooling_mode" && value.is_string()))
        .map(|(key, value)| value.as_str().unwrap_or(key))
        .collect();
    let pooling = match wanted[..] {
        ["pooling_mode_mean_tokens" | "mean"] => Pooling::Mean,
        ["pooling_mode_cls_token" | "cls"] => Pooling::First,
        _ => return Err(Error::unsupported(format!("pooling by {}", wanted.join(" and ")))),
    };
    keys(POOLING, bytes, POOLING_READ, &[])?;
    Ok(pooling)
}
