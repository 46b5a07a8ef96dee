//! A model that is ready to run.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use tilth_protocol::{Problem, infer, spec::MAX_NAME_BYTES};
use tilth_tensor::{
    blob::{Blob, Kind},
    chat::Template,
    encoder::Encoder,
    engine::Form,
    model::Model,
    tokenizer::{Tokenizer, Vocabulary},
};

use super::{
    json::AnyObject,
    lexicon::{Held, Lexicon, NEEDED_IN_BOUNDS},
    mapping::Mapping,
    prompt,
    shape::Shape,
    tensor_problem,
};

/// Weights per unit and token.
const WEIGHTS_PER_UNIT: u64 = 1_000_000;

/// A model that writes text, with its words.
pub(crate) struct Loaded {
    pub(crate) model: Arc<Model>,
    pub(crate) tokenizer: Tokenizer,
    /// How conversations become prompts. A model whose template is none still continues texts.
    pub(crate) template: tilth_tensor::Result<Template>,
    /// Its tokens by their bytes, if they can be held to a form; made when the first answer is.
    lexicon: OnceLock<Option<Arc<Lexicon>>>,
    /// What it was called where it came from, without what a terminal would obey.
    pub(crate) name: String,
    /// Millions of weights that a token goes through, rounded up: the units of one token.
    pub(crate) weight: u64,
}

/// A model that makes embeddings, with its words.
pub(crate) struct Encodes {
    pub(crate) encoder: Encoder,
    pub(crate) tokenizer: Tokenizer,
    /// Tokens that there are.
    pub(crate) vocabulary: usize,
    /// As of one that writes.
    pub(crate) name: String,
    /// As of one that writes.
    pub(crate) weight: u64,
}

/// Maps a model blob.
pub(crate) fn mapped(path: &Path) -> Result<Blob, Problem> {
    let mapping = Mapping::open(path).map_err(|error| {
        Problem::new(
            "the model cannot be read",
            format!("{}: {error}", path.display()),
            "see that the file is there and can be read by everybody",
        )
    })?;
    Blob::open(Arc::new(mapping)).map_err(|error| tensor_problem(&error))
}

impl Loaded {
    /// Maps a model blob.
    pub(crate) fn open(path: &Path) -> Result<Self, Problem> {
        Self::of(&mapped(path)?)
    }

    /// The model in a blob.
    pub(crate) fn of(blob: &Blob) -> Result<Self, Problem> {
        let opened = || {
            let mut vocabulary = Vocabulary::open(blob)?;
            let tokenizer = Tokenizer::new(&vocabulary)?;
            let template = prompt::template(&mut vocabulary, &tokenizer);
            Ok((Model::open(blob)?, tokenizer, template))
        };
        let (model, tokenizer, template) = opened().map_err(|error| tensor_problem(&error))?;
        let (name, weight) = (name(blob), weight(blob));
        let lexicon = OnceLock::new();
        Ok(Self { model: Arc::new(model), tokenizer, template, lexicon, name, weight })
    }

    fn lexicon(&self) -> Option<Arc<Lexicon>> {
        let vocabulary = self.model.architecture().vocabulary;
        let make = || Lexicon::new(&self.tokenizer, vocabulary).map(Arc::new);
        self.lexicon.get_or_init(make).clone()
    }

    /// What an answer is held to, for the engine; `None` if this model's cannot be.
    #[allow(clippy::option_option, reason = "no form is none that cannot be")]
    pub(crate) fn form(&self, form: &infer::Form) -> Option<Option<Box<dyn Form>>> {
        match form {
            infer::Form::Text => Some(None),
            infer::Form::JsonObject => Some(Some(Box::new(Held::new(self.lexicon()?, AnyObject)))),
            infer::Form::Schema(schema) => {
                let lexicon = self.lexicon()?;
                // Or a key, or a number, might be begun that nothing can end.
                let digits = if schema.has_bounds() { NEEDED_IN_BOUNDS } else { &[] };
                let literals = schema.literals().flat_map(str::bytes);
                if !literals.chain(digits.iter().copied()).all(|byte| lexicon.has(byte)) {
                    return None;
                }
                let shape = Shape::new((**schema).clone());
                Some(Some(Box::new(Held::new(lexicon, shape))))
            }
        }
    }
}

impl Encodes {
    /// The encoder in a blob.
    pub(crate) fn of(blob: &Blob) -> Result<Self, Problem> {
        let opened = || Ok((Encoder::open(blob)?, Tokenizer::new(&Vocabulary::open(blob)?)?));
        let (encoder, tokenizer) = opened().map_err(|error| tensor_problem(&error))?;
        let vocabulary = blob.header().architecture.vocabulary;
        Ok(Self { encoder, tokenizer, vocabulary, name: name(blob), weight: weight(blob) })
    }
}

/// What a model is called, as far as it may be.
fn name(blob: &Blob) -> String {
    let mut name = String::new();
    for letter in blob.header().name.chars().filter(|letter| !letter.is_control()) {
        if name.len() + letter.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        name.push(letter);
    }
    name
}

/// Units per token. The tables of embeddings and positions are only looked up, unless the first is the output's matrix as
/// well.
fn weight(blob: &Blob) -> u64 {
    let header = blob.header();
    let looked_up = blob.has("head") || header.architecture.pooling.is_some();
    let is_table = |name: &str| name == "embedding" || name == "positions";
    let sections = header.sections.iter();
    let counted = sections.filter(|(name, _)| !(looked_up && is_table(name)));
    let weights = counted.map(|(_, section)| match section.kind {
        Kind::Matrix { rows, columns } => (rows as u64).saturating_mul(columns as u64),
        _ => 0,
    });
    weights.fold(0, u64::saturating_add).div_ceil(WEIGHTS_PER_UNIT).max(1)
}

#[cfg(test)]
mod tests {
    use tilth_tensor::import::{Family, synthetic};

    use super::*;
    use crate::infer::shape::tests::{bounded_schema, example_schema};

    #[test]
    fn a_schema_needs_each_byte_of_its_keys_and_texts_as_a_token() {
        let blob = Blob::open(Arc::new(synthetic(Family::Llama, 1).unwrap())).unwrap();
        let form = infer::Form::Schema(Box::new(example_schema()));
        let loaded = Loaded::of(&blob).unwrap();
        let all = loaded.lexicon().unwrap();
        assert!(loaded.form(&form).is_some_and(|form| form.is_some()));
        // In a key, and the first byte of a letter of a text.
        for byte in [b'm', 0xc3] {
            let fewer = Loaded::of(&blob).unwrap();
            fewer.lexicon.set(Some(Arc::new(all.without(byte)))).unwrap();
            assert!(fewer.form(&form).is_none() && fewer.form(&infer::Form::JsonObject).is_some());
        }
    }

    #[test]
    fn bounds_of_numbers_need_every_digit_as_a_token() {
        let blob = Blob::open(Arc::new(synthetic(Family::Llama, 1).unwrap())).unwrap();
        let [bounded, free] = [bounded_schema(), example_schema()]
            .map(|schema| infer::Form::Schema(Box::new(schema)));
        let all = Loaded::of(&blob).unwrap();
        assert!(all.form(&bounded).is_some());
        for byte in *b"-7" {
            let fewer = Loaded::of(&blob).unwrap();
            let without = all.lexicon().unwrap().without(byte);
            fewer.lexicon.set(Some(Arc::new(without))).unwrap();
            assert!(fewer.form(&bounded).is_none() && fewer.form(&free).is_some());
        }
    }
}
