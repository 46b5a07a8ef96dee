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
        tokenizer::NormalForm,
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

    /// Many texts, short and long: of one piece again and again, and of all in turns that a fixed draw decides. They
    /// become longer where they are composed, or shorter, or do so only to a Unicode that is later than Qwen's.
    fn loose() -> impl Iterator<Item = String> {
        const PIECES: &str = "\u{1d160}|\u{958}|\u{fb2c}|\u{344}|\u{1d5}\u{31b}|e\u{301}|a| |\n|\
            \u{1100}\u{1161}\u{11ab}|\u{d55c}|\u{212b}|\u{f900}|\u{6f22}|\u{11382}\u{113c9}|\
            \u{11935}\u{11930}|\u{1df6}\u{301}|\u{323}";
        let pieces: Vec<&str> = PIECES.split('|').collect();
        assert_eq!(pieces.len(), 18);
        let mut state = 1_u64;
        let mut draw = move |below: usize| {
            let next = state.wrapping_mul(6_364_136_223_846_793_005);
            state = next.wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 40).unwrap() % below
        };
        let same: Vec<String> = pieces.iter().map(|piece| piece.repeat(2000)).collect();
        let pairs = (0..200).map(move |round| {
            let (one, other) = (pieces[draw(18)], pieces[draw(18)]);
            let turns = (0..10 * round).map(|_| if draw(2) == 0 { one } else { other });
            turns.collect::<String>()
        });
        same.into_iter().chain(pairs)
    }

    #[test]
    fn no_prompt_has_more_tokens_than_an_honest_count_may_say() {
        // Each byte is a token, so that there are as many as there can be.
        let mut vocabulary = vocabulary();
        vocabulary.merges.clear();
        vocabulary.form = Some(NormalForm::Nfc);
        let tokenizer = Tokenizer::new(&vocabulary).unwrap();
        let template = template(&mut vocabulary, &tokenizer).unwrap();
        let mut longer = 0;
        for text in loose() {
            let count = tokenizer.encode(&text).unwrap().len();
            // More than what templates are allowed would hide.
            longer += usize::from(count > text.len() + 1100);
            let most = Prompt::Text(text.clone()).most_tokens() as usize;
            let begins: String = text.chars().take(20).collect();
            assert!(count <= most, "{begins:?}: {count} tokens of at most {most}");
            let content = || text.clone();
            let said = |role: &str| Message { role: role.into(), content: content() };
            let asked = |role: &str| infer::Message { role: role.into(), content: content() };
            let roles = ["user", "assistant"];
            let count = template.tokens(&roles.map(said), true, &tokenizer).unwrap().len();
            let most = Prompt::Chat(roles.map(asked).into()).most_tokens() as usize;
            assert!(count <= most, "{begins:?} in a chat: {count} tokens of at most {most}");
        }
        assert!(longer > 20, "{longer} texts became longer");
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
