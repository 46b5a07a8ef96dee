//! From prompts to tokens.

use tilth_protocol::infer::{self, Input, Prompt};
use tilth_tensor::{
    Error, Result,
    chat::{Message, Template},
    tokenizer::{Tokenizer, Vocabulary},
};

use super::{Loaded, loaded::Encodes};

/// For models that bring no template but have the marks of turns that most have.
const MARKED: &str = "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// For models that were not made for conversations: the form of a play.
const NAMED: &str = "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/// How a model's conversations are written: its own template, or else one that its vocabulary allows.
///
/// # Errors
/// Its template is none.
pub(super) fn template(vocabulary: &mut Vocabulary, tokenizer: &Tokenizer) -> Result<Template> {
    let marked =
        ["<|im_start|>", "<|im_end|>"].iter().all(|mark| tokenizer.special(mark).is_some());
    let other = if marked { MARKED } else { NAMED };
    vocabulary.chat_template.get_or_insert_with(|| other.to_owned());
    Template::new(vocabulary)
}

/// The tokens of a prompt.
///
/// # Errors
/// The text is too long, or the model's template does not take the messages.
pub(crate) fn tokens(loaded: &Loaded, prompt: &Prompt) -> Result<Vec<u32>> {
    match prompt {
        Prompt::Text(text) => {
            let mut tokens: Vec<u32> = loaded.tokenizer.first().into_iter().collect();
            tokens.extend(loaded.tokenizer.encode(text)?);
            Ok(tokens)
        }
        Prompt::Chat(messages) => {
            let template = loaded.template.as_ref().map_err(Clone::clone)?;
            let message = |infer::Message { role, content }: &infer::Message| Message {
                role: role.clone(),
                content: content.clone(),
            };
            let messages: Vec<Message> = messages.iter().map(message).collect();
            template.tokens(&messages, true, &loaded.tokenizer)
        }
        Prompt::Inputs(_) => Err(Error::new(
            "the model makes no embeddings",
            "it writes text",
            "Ask it to continue a text, or take an encoder",
        )),
    }
}

/// The tokens of each input, with those that the model puts around it.
///
/// # Errors
/// A text is too long, or it is no question for embeddings.
pub(super) fn inputs(loaded: &Encodes, prompt: &Prompt) -> Result<Vec<Vec<u32>>> {
    let Prompt::Inputs(inputs) = prompt else {
        return Err(Error::new(
            "the model writes no text",
            "it makes embeddings",
            "Ask it for embeddings, or take a model that writes",
        ));
    };
    let first: Vec<u32> = loaded.tokenizer.first().into_iter().collect();
    // An input without words has only what is put around every input.
    let around = loaded.tokenizer.encode_input("")?;
    let last = around.strip_prefix(first.as_slice()).unwrap_or_default();
    let whole = |input: &Input| match input {
        Input::Text(text) => loaded.tokenizer.encode_input(text),
        Input::Tokens(tokens) => Ok([first.as_slice(), tokens, last].concat()),
    };
    inputs.iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tilth_tensor::{
        blob::{Blob, Pooling},
        import::{Family, synthetic, synthetic_encoder},
    };

    use super::*;

    fn vocabulary() -> Vocabulary {
        let blob = Blob::open(Arc::new(synthetic(Family::Llama, 1).unwrap())).unwrap();
        Vocabulary::open(&blob).unwrap()
    }

    fn text(mut vocabulary: Vocabulary) -> Result<String> {
        let tokenizer = Tokenizer::new(&vocabulary)?;
        let messages = [("user", "hi\n"), ("assistant", "<b> {{ 1 }}"), ("user", "")]
            .map(|(role, content)| Message { role: role.into(), content: content.into() });
        template(&mut vocabulary, &tokenizer)?.render(&messages, true)
    }

    #[test]
    fn tokens_as_inputs_are_the_text_that_they_stand_for() {
        let blob = synthetic_encoder(Pooling::Mean, 1).unwrap();
        let encodes = Encodes::of(&Blob::open(Arc::new(blob)).unwrap()).unwrap();
        let text = "the farms, and [CLS]";
        let whole = encodes.tokenizer.encode_input(text).unwrap();
        let inner = whole[1..whole.len() - 1].to_vec();
        assert_eq!(inner, encodes.tokenizer.encode(text).unwrap());
        let asked = Prompt::Inputs(vec![Input::Text(text.into()), Input::Tokens(inner)]);
        assert_eq!(inputs(&encodes, &asked).unwrap(), [whole.clone(), whole]);
        assert!(inputs(&encodes, &Prompt::Text("a".into())).is_err());
    }

    #[test]
    fn models_without_a_template_get_the_form_that_their_words_allow() {
        let marked = vocabulary();
        assert_eq!(
            text(marked.clone()).unwrap(),
            "<|im_start|>user\nhi\n<|im_end|>\n<|im_start|>assistant\n<b> {{ 1 }}<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
        );
        let mut bare = marked.clone();
        bare.special.clear();
        bare.first = Some(u32::from(b'^'));
        assert_eq!(text(bare).unwrap(), "^user: hi\n\nassistant: <b> {{ 1 }}\nuser: \nassistant:");
        let own = "{{ messages | length }} said".to_owned();
        let own = Vocabulary { chat_template: Some(own), ..marked.clone() };
        assert_eq!(text(own).unwrap(), "3 said");
        let broken = Vocabulary { chat_template: Some("{% for %}".into()), ..marked };
        assert!(text(broken).unwrap_err().detail.contains("chat template"));
    }
}
