//! Chat templates: from messages to the tokens of a prompt.
//!
//! Templates come with models and are hostile: instructions, memory, depth and output are bounded.

use std::error::Error as _;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use crate::tokenizer::{LONGEST_TEXT, Tokenizer, Vocabulary};
use crate::{Error, Result};

/// The longest template, in bytes.
pub const LONGEST_TEMPLATE: usize = 256 << 10;
/// Instructions that a template may take, and every 64 bytes that it makes cost as much as one: at most 128 MiB.
/// A conversation of the longest text costs an eighth of a million for each time that it is copied.
const FUEL: u64 = 2_000_000;
/// How deep macros and loops may be within each other; ten a macro. A thread's usual stack holds more.
const DEEPEST: usize = 200;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A model's template. It has no clock: templates that ask for the date get none.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    source: String,
    first: String,
    end: String,
}

/// Takes what a template writes, up to the longest text.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_TEXT {
            return Err(io::Error::other("the text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Marks what a template itself refuses.
#[derive(Debug, thiserror::Error)]
#[error("the template says so")]
struct Raised;

/// What a template says of the messages is the caller's to mend, and so is their length; what it is, is not. Whose doing
/// it is that it takes too long cannot be told.
fn refused(error: &minijinja::Error) -> Error {
    let detail = error.to_string();
    let is_said = error.source().is_some_and(|source| source.is::<Raised>());
    match error.kind() {
        _ if is_said => Error::new(
            "the chat template does not take these messages",
            detail,
            "Check the order of roles, or send a prompt without template",
        ),
        ErrorKind::WriteFailure => Error::new(
            "the conversation is too long for the chat template",
            detail,
            "Leave out the oldest messages, or send a prompt without template",
        ),
        // By the messages' length or by the template's own doing: from outside both look the same.
        ErrorKind::OutOfFuel => Error::new(
            "the chat template takes too many steps",
            detail,
            "Leave out the oldest messages; if a single one is too much, send a prompt without \
             template, or import another build of the model",
        ),
        _ => Error::new(
            "the chat template fails",
            detail,
            "Send a prompt without template, or import another build of the model",
        ),
    }
}

impl Template {
    /// The template of a model.
    ///
    /// # Errors
    /// When the model has none, or it is no template.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self> {
        let Some(source) = vocabulary.chat_template.clone() else {
            return Err(Error::new(
                "the model has no chat template",
                "it was not made for conversations",
                "Send a prompt instead",
            ));
        };
        if source.len() > LONGEST_TEMPLATE {
            return Err(Error::damaged(format!("a chat template of {} bytes", source.len())));
        }
        let mut environment = Environment::new();
        // As Hugging Face's library sets it up.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| refused(&error))?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> std::result::Result<String, _> {
                let raised = minijinja::Error::new(ErrorKind::InvalidOperation, message);
                Err(raised.with_source(Raised))
            },
        );
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEEPEST);
        environment
            .template_from_str(&source)
            .map_err(|error| Error::damaged(format!("the chat template: {error}")))?;
        let text = |token: Option<u32>| {
            token
                .and_then(|token| vocabulary.tokens.get(token as usize))
                .cloned()
                .unwrap_or_default()
        };
        let (first, end) = (text(vocabulary.first), text(vocabulary.ends.first().copied()));
        Ok(Self { environment, source, first, end })
    }

    /// The text of a conversation; `answer` asks for the beginning of the model's turn.
    ///
    /// # Errors
    /// When the template refuses the messages, or the text is too long.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String> {
        let length: usize =
            messages.iter().map(|message| message.content.len() + message.role.len()).sum();
        if length > LONGEST_TEXT {
            return Err(Error::new(
                "the conversation is too long",
                format!("{length} bytes, at most {LONGEST_TEXT}"),
                "Leave out the oldest messages",
            ));
        }
        let said: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => &message.role, content => &message.content })
            .collect();
        let context = context! {
            messages => said,
            add_generation_prompt => answer,
            bos_token => &self.first,
            eos_token => &self.end,
        };
        let mut text = Bounded(vec![]);
        let template =
            self.environment.template_from_str(&self.source).map_err(|error| refused(&error))?;
        template.render_captured_to(context, &mut text).map_err(|error| refused(&error))?;
        String::from_utf8(text.0)
            .map_err(|error| Error::damaged(format!("the chat template: {error}")))
    }

    /// The tokens of a conversation. What users wrote cannot become special tokens.
    ///
    /// # Errors
    /// As for [`render`](Self::render).
    pub fn tokens(
        &self,
        messages: &[Message],
        answer: bool,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<u32>> {
        let guard = |message: &Message| Message {
            role: tokenizer.guard(&message.role),
            content: tokenizer.guard(&message.content),
        };
        let guarded: Vec<Message> = messages.iter().map(guard).collect();
        tokenizer.encode_template(&self.render(&guarded, answer)?)
    }
}
