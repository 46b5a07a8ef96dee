//! `config.json` of decoders: what it says, and that it says nothing else.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::Value;

use super::assemble::{Description, Family};
use super::names::{self, Names};
use super::settings::{fields, keys, read};
use super::turns::Scaling;
use crate::{Error, Result};

/// Of Gemma's layers, where a file does not say: five local ones, then one that sees everything.
pub(super) const GEMMA_PERIOD: usize = 6;
/// The base of rotary frequencies where a file does not say; of Gemma's, that of local layers.
pub(super) const USUAL_BASE: f64 = 10_000.0;

/// What decides which other parts of `config.json` there are.
#[derive(Debug, Deserialize)]
struct ModelType {
    model_type: String,
}

/// The part that is read.
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
    rope_scaling: Option<Rope>,
    /// Newer files say base and scaling here, some for each kind of layer.
    rope_parameters: Option<Value>,
    hidden_act: Option<String>,
    /// Gemma's name for it, which counts where there are both.
    hidden_activation: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    partial_rotary_factor: Option<f64>,
    query_pre_attn_scalar: Option<f64>,
    sliding_window: Option<usize>,
    sliding_window_pattern: Option<usize>,
    /// Newer files' name for it; some have both.
    #[serde(rename = "_sliding_window_pattern")]
    newer_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    rope_local_base_freq: Option<f64>,
}

/// What is known beside what [`Config`] reads, and changes nothing.
const KNOWN: &[&str] = &[
    // Biases are tensors, and those that nothing takes are refused; this one only matters with a window.
    "attention_bias",
    "mlp_bias",
    "max_window_layers",
    // Of how training was spread over machines.
    "pretraining_tp",
    "is_llama_config",
];

/// How positions turn. What is not known is refused: it would turn them otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rope {
    rope_type: Option<String>,
    /// Older files' name for it; some have both.
    #[serde(rename = "type")]
    older: Option<String>,
    rope_theta: Option<f64>,
    #[serde(default)]
    factor: f64,
    #[serde(default)]
    low_freq_factor: f64,
    #[serde(default)]
    high_freq_factor: f64,
    #[serde(default)]
    original_max_position_embeddings: f64,
}

impl Rope {
    fn scaling(&self) -> Result<Scaling> {
        Ok(match self.rope_type.as_deref().or(self.older.as_deref()).unwrap_or("default") {
            "default" => Scaling::None,
            "linear" if self.factor >= 1.0 => Scaling::Linear(self.factor),
            "llama3"
                if self.factor >= 1.0
                    && self.low_freq_factor > 0.0
                    && self.high_freq_factor > self.low_freq_factor
                    && self.original_max_position_embeddings >= 1.0 =>
            {
                Scaling::Llama3 {
                    factor: self.factor,
                    low: self.low_freq_factor,
                    high: self.high_freq_factor,
                    context: self.original_max_position_embeddings,
                }
            }
            other => {
                return Err(Error::unsupported(format!(
                    "rotary scaling {other} with a factor of {}",
                    self.factor
                )));
            }
        })
    }
}

/// Base and scaling of layers that see everything, and the base of local ones.
struct Ropes {
    base: f64,
    scaling: Scaling,
    local_base: f64,
}

impl Config {
    /// Refuses what would make another model of the same tensors. `period` is [`Config::period`].
    fn plain(&self, family: Family, period: usize) -> Result<()> {
        let gemma = family == Family::Gemma3;
        let wanted = if gemma { "gelu_pytorch_tanh" } else { "silu" };
        let gate = self.hidden_activation.as_deref().or(self.hidden_act.as_deref());
        let gate = gate.unwrap_or(wanted);
        let missing = gemma
            && (self.head_dim.is_none()
                || self.query_pre_attn_scalar.is_none()
                || self.sliding_window.is_none());
        let odd = [
            (missing, "head_dim, query_pre_attn_scalar or sliding_window", "missing"),
            (gate != wanted, "hidden_act", gate),
            (self.use_sliding_window, "use_sliding_window", "true"),
            (
                self.partial_rotary_factor.is_some_and(|share| share != 1.0),
                "partial_rotary_factor",
                "less than all of a head",
            ),
            (
                !gemma && self.query_pre_attn_scalar.is_some(),
                "query_pre_attn_scalar",
                "of another family",
            ),
            (gemma && period == 0, "sliding_window_pattern", "0"),
            (!self.has_layers_of(family, period), "layer_types", "another order of layers"),
        ];
        match odd.into_iter().find(|(odd, ..)| *odd) {
            None => Ok(()),
            Some((_, key, what)) => {
                Err(Error::unsupported(format!("{key} in config.json: {what}")))
            }
        }
    }

    /// Of Gemma's layers.
    fn period(&self) -> Result<usize> {
        let (older, newer) = (self.sliding_window_pattern, self.newer_pattern);
        Ok(one_of("sliding_window_pattern", older, newer)?.unwrap_or(GEMMA_PERIOD))
    }

    /// Whether the list of kinds of layers, if there is one, says what the family does anyway.
    fn has_layers_of(&self, family: Family, period: usize) -> bool {
        let Some(types) = &self.layer_types else { return true };
        let local = |layer: usize| family == Family::Gemma3 && !(layer + 1).is_multiple_of(period);
        let kind = |layer| if local(layer) { "sliding_attention" } else { "full_attention" };
        types.len() == self.num_hidden_layers
            && types.iter().enumerate().all(|(layer, found)| found == kind(layer))
    }

    fn ropes(&self, family: Family) -> Result<Ropes> {
        if self.rope_scaling.is_some() && self.rope_parameters.is_some() {
            return Err(Error::unsupported("both rope_scaling and rope_parameters"));
        }
        let rope = |value: &Value| -> Result<Rope> {
            serde_json::from_value(value.clone())
                .map_err(|error| Error::damaged(format!("rope_parameters: {error}")))
        };
        let (parameters, local) = match &self.rope_parameters {
            Some(both) if both["full_attention"].is_object() => {
                let local = rope(&both["sliding_attention"])?;
                if local.scaling()? != Scaling::None
                    || both.as_object().is_some_and(|o| o.len() > 2)
                {
                    return Err(Error::unsupported("rope_parameters that stretch local layers"));
                }
                (Some(rope(&both["full_attention"])?), local.rope_theta)
            }
            Some(one) => (Some(rope(one)?), None),
            None => (None, None),
        };
        let rope = self.rope_scaling.as_ref().or(parameters.as_ref());
        let base = one_of("rope_theta", self.rope_theta, rope.and_then(|rope| rope.rope_theta))?;
        if family == Family::Gemma3 && base.is_none() {
            return Err(Error::unsupported("config.json without rope_theta"));
        }
        let local = one_of("rope_local_base_freq", self.rope_local_base_freq, local)?;
        Ok(Ropes {
            base: base.unwrap_or(USUAL_BASE),
            scaling: rope.map_or(Ok(Scaling::None), Rope::scaling)?,
            local_base: local.unwrap_or(USUAL_BASE),
        })
    }
}

/// What is said in one of two places, or the same in both.
fn one_of<T: PartialEq + Display>(
    key: &str,
    one: Option<T>,
    other: Option<T>,
) -> Result<Option<T>> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            Err(Error::unsupported(format!("{key} is {one} and {other}")))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// What a `config.json` says, and what the tensors beside it are called.
///
/// # Errors
/// When it is damaged, or of a kind that is not supported, or says something that is not known.
pub(super) fn description(config: &[u8]) -> Result<(Description, &'static Names)> {
    let kind: ModelType = read("config.json", config)?;
    let family = match kind.model_type.as_str() {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        "gemma3_text" => Family::Gemma3,
        "gemma3" => return Err(Error::unsupported("gemma3 with its part for pictures")),
        "bert" => {
            return Err(Error::unsupported(
                "bert without modules.json, which says how its rows become an embedding",
            ));
        }
        other => {
            return Err(Error::unsupported(format!("the model type {other} from safetensors")));
        }
    };
    keys("config.json", config, fields::<Config>(), KNOWN)?;
    let config: Config = read("config.json", config)?;
    let head_width = config
        .head_dim
        .or_else(|| config.hidden_size.checked_div(config.num_attention_heads))
        .unwrap_or_default();
    let period = config.period()?;
    config.plain(family, period)?;
    let ropes = config.ropes(family)?;
    let gemma = family == Family::Gemma3;
    let description = Description {
        family,
        layers: config.num_hidden_layers,
        width: config.hidden_size,
        heads: config.num_attention_heads,
        key_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        head_width,
        hidden: config.intermediate_size,
        context: config.max_position_embeddings,
        epsilon: config.rms_norm_eps,
        rotary_base: ropes.base,
        rotary_pairs: head_width / 2,
        scaling: ropes.scaling,
        query_scalar: config.query_pre_attn_scalar.unwrap_or(head_width as f64),
        window: config.sliding_window.filter(|_| gemma).unwrap_or(0),
        period,
        local_base: ropes.local_base,
        residual_fraction: family.residual_fraction(),
        gain_offset: if gemma { 1.0 } else { 0.0 },
        neighbours: false,
        read: &[],
        name: config.model_type,
    };
    Ok((description, if gemma { &names::GEMMA } else { &names::LLAMA }))
}
