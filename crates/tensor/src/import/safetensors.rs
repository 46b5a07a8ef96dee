//! safetensors files, with the names that Hugging Face's models use.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Tensors;
use super::assemble::{Description, Family};
use super::encoding::{Encoding, Tensor};
use super::turns::Scaling;
use crate::{Error, Result};

/// The longest header that is read.
const LONGEST_HEADER: usize = 64 << 20;
/// The longest `config.json` that is read.
const LONGEST_CONFIG: usize = 1 << 20;

/// A parsed file. Tensors stay where they are.
#[derive(Debug)]
pub struct Safetensors<'a> {
    places: BTreeMap<String, Place>,
    data: &'a [u8],
}

#[derive(Debug, Deserialize)]
struct Place {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl<'a> Safetensors<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let length = bytes.first_chunk().map_or(u64::MAX, |word| u64::from_le_bytes(*word));
        let header = usize::try_from(length)
            .ok()
            .filter(|length| *length <= LONGEST_HEADER)
            .and_then(|length| bytes.get(8..length.checked_add(8)?))
            .ok_or_else(|| Error::damaged(format!("a header of {length} bytes")))?;
        let mut entries: BTreeMap<String, Value> = serde_json::from_slice(header)
            .map_err(|error| Error::damaged(format!("header: {error}")))?;
        entries.remove("__metadata__");
        let places = entries
            .into_iter()
            .map(|(name, value)| match serde_json::from_value(value) {
                Ok(place) => Ok((name, place)),
                Err(error) => Err(Error::damaged(format!("{name}: {error}"))),
            })
            .collect::<Result<_>>()?;
        Ok(Self { places, data: &bytes[8 + header.len()..] })
    }
}

/// Hugging Face's name for a tensor that GGUF calls `name`.
fn foreign(name: &str) -> Option<String> {
    let fixed = match name {
        "token_embd.weight" => "model.embed_tokens.weight",
        "output.weight" => "lm_head.weight",
        "output_norm.weight" => "model.norm.weight",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, ending) = part.rsplit_once('.')?;
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{layer}.{part}.{ending}"))
}

impl Tensors for Safetensors<'_> {
    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some(place) = foreign(name).and_then(|name| self.places.get(&name)) else {
            return Ok(None);
        };
        let encoding = match place.dtype.as_str() {
            "F32" => Encoding::F32,
            "F16" => Encoding::F16,
            "BF16" => Encoding::Bf16,
            other => return Err(Error::unsupported(format!("{name} is in the encoding {other}"))),
        };
        let (rows, columns) = match place.shape[..] {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            _ => {
                return Err(Error::unsupported(format!(
                    "{name} has {} dimensions",
                    place.shape.len()
                )));
            }
        };
        let bytes = self.data.get(place.data_offsets[0]..place.data_offsets[1]);
        let bytes = bytes.ok_or_else(|| Error::damaged(format!("{name} lies outside the file")))?;
        Tensor::new(encoding, rows, columns, bytes).map(Some)
    }
}

/// The part of `config.json` that is read.
#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    num_hidden_layers: usize,
    hidden_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeScaling>,
}

#[derive(Debug, Deserialize)]
struct RopeScaling {
    #[serde(alias = "type")]
    rope_type: String,
    #[serde(default)]
    factor: f64,
    #[serde(default)]
    low_freq_factor: f64,
    #[serde(default)]
    high_freq_factor: f64,
    #[serde(default)]
    original_max_position_embeddings: f64,
}

/// What a `config.json` says.
///
/// # Errors
/// When it is damaged, or of a kind that is not supported.
pub(super) fn description(config: &[u8]) -> Result<Description> {
    if config.len() > LONGEST_CONFIG {
        return Err(Error::damaged(format!("a config.json of {} bytes", config.len())));
    }
    let config: Config = serde_json::from_slice(config)
        .map_err(|error| Error::damaged(format!("config.json: {error}")))?;
    let family = match config.model_type.as_str() {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        other => {
            return Err(Error::unsupported(format!("the model type {other} from safetensors")));
        }
    };
    let head_width = config
        .head_dim
        .or_else(|| config.hidden_size.checked_div(config.num_attention_heads))
        .unwrap_or_default();
    let scaling = match &config.rope_scaling {
        None => Scaling::None,
        Some(s) => match s.rope_type.as_str() {
            "default" => Scaling::None,
            "linear" if s.factor >= 1.0 => Scaling::Linear(s.factor),
            "llama3" if s.factor >= 1.0 && s.high_freq_factor > s.low_freq_factor => {
                Scaling::Llama3 {
                    factor: s.factor,
                    low: s.low_freq_factor,
                    high: s.high_freq_factor,
                    context: s.original_max_position_embeddings,
                }
            }
            other => return Err(Error::unsupported(format!("rotary scaling {other}"))),
        },
    };
    Ok(Description {
        family,
        name: config.model_type,
        layers: config.num_hidden_layers,
        width: config.hidden_size,
        heads: config.num_attention_heads,
        key_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        head_width,
        hidden: config.intermediate_size,
        context: config.max_position_embeddings,
        epsilon: config.rms_norm_eps,
        rotary_base: config.rope_theta.unwrap_or(10_000.0),
        rotary_pairs: head_width / 2,
        scaling,
        window: 0,
        neighbours: false,
        gain_offset: 0.0,
    })
}
