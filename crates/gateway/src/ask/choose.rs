//! Who can be asked a question at all: whoever sells the model, and says that it makes what is wanted.

use tilth_client::infer::MAX_ANSWER_BYTES;
use tilth_protocol::infer::{Makes, Prompt};

use super::Counter;
use crate::{
    api::{ApiError, Wanted},
    market::Choice,
    names::Listed,
};

impl Counter {
    /// The choices for a question of about so many tokens, the best first. Of what a model makes only its blob decides;
    /// where providers differ, those are asked who say what most say, and no others if that is not what is wanted.
    pub(super) fn choices(
        &self,
        wanted: &Wanted,
        model: &Listed,
        input: u32,
        most: u32,
    ) -> Result<Vec<Choice>, ApiError> {
        let found = self.market.choices(model.model, input, most, |makes| fits(wanted, makes));
        let Some((makes, choices)) = found.filter(|(_, choices)| !choices.is_empty()) else {
            return Err(ApiError::no_model(&wanted.model));
        };
        if !makes.takes(&wanted.prompt) {
            return Err(ApiError::other_use(&wanted.model, &wanted.prompt));
        }
        if let Makes::Embeddings { dimensions } = makes {
            check(wanted, dimensions)?;
        }
        Ok(choices)
    }
}

/// Whether a question takes it for granted that the model makes this.
fn fits(wanted: &Wanted, makes: Makes) -> bool {
    let dimensions = match makes {
        Makes::Text => None,
        Makes::Embeddings { dimensions } => Some(dimensions),
    };
    makes.takes(&wanted.prompt) && (wanted.dimensions.is_none() || wanted.dimensions == dimensions)
}

/// Whether such embeddings are wanted, and can be kept here.
fn check(wanted: &Wanted, dimensions: u32) -> Result<(), ApiError> {
    if wanted.dimensions.is_some_and(|wanted| wanted != dimensions) {
        let text =
            format!("The model makes embeddings with {dimensions} dimensions and no others.");
        return Err(ApiError::field("dimensions", text));
    }
    let Prompt::Inputs(inputs) = &wanted.prompt else { return Ok(()) };
    let most = MAX_ANSWER_BYTES / (dimensions as usize).saturating_mul(size_of::<i32>()).max(1);
    if inputs.len() > most {
        let text =
            format!("Of this model {most} embeddings fit into one answer; ask several times.");
        return Err(ApiError::field("input", text));
    }
    Ok(())
}

/// Most tokens of a prompt that an answer of so many leaves room for; of inputs each has a context of its own.
pub(super) fn most_input(prompt: &Prompt, context: u32, answer: u32) -> u32 {
    let room = match prompt {
        Prompt::Text(_) | Prompt::Chat(_) => context.saturating_sub(answer),
        Prompt::Inputs(inputs) => {
            context.saturating_mul(u32::try_from(inputs.len()).unwrap_or(u32::MAX))
        }
    };
    prompt.most_tokens().min(room)
}
