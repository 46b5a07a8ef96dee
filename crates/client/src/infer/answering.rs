//! One answer as it comes, or the embeddings of one question.

use std::time::Duration;

use tilth_blobs::Talk;
use tilth_protocol::infer::{
    Candidate, End, MAX_TOKEN_BYTES, Makes, Piece, Prompt, Question, Reply, Said, SignedReceipt,
    message::{Ask, MAX_PIECE_TOKENS, MAX_TEXT_CHARS},
};
use tilth_service::Doing;
use tilth_verification::receipt::{self, Asked};

use super::{AskError, Asker, Seller, hear, say};

/// How long a question may take to be taken in, and then its first token: others who wait before it at the provider,
/// and a long prompt on a slow machine.
const FIRST: Duration = Duration::from_secs(120);
/// How long the next one may take.
const NEXT: Duration = Duration::from_secs(30);
/// Most bytes of text to a token on average over an answer, and some for what was held back.
const MOST_TEXT: usize = MAX_TOKEN_BYTES;

/// Most bytes of one answer that are taken and kept until its receipt is right, as they lie in memory: 200,000 tokens,
/// or 20,000 with twenty alternatives each.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Bytes of a candidate in memory besides its token's.
const CANDIDATE_BYTES: usize = size_of::<Candidate>();

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next part.
    Piece(Piece),
    /// The embedding of the next input, with 30 fractional bits.
    Embedding(Vec<i32>),
    /// The answer is whole, and the receipt is right.
    Ended {
        /// Why.
        end: End,
        /// What is owed.
        receipt: Box<SignedReceipt>,
    },
}

/// An answer under way. Dropping it hangs up, which ends the provider's work; nothing is owed then.
#[derive(Debug)]
pub struct Answering {
    asker: Asker,
    node: [u8; 20],
    endpoint: [u8; 32],
    talk: Option<Talk>,
    ask: Ask,
    prompt_tokens: u32,
    said: Vec<Said>,
    text: String,
    /// Inputs, and elements of the embedding of each, if the question is for embeddings.
    wanted: Option<(usize, usize)>,
    embeddings: Vec<Vec<i32>>,
    /// What all of it takes, about.
    bytes: usize,
}

impl Answering {
    pub(super) async fn begin(
        asker: &Asker,
        seller: &Seller,
        mut talk: Talk,
        ask: Ask,
    ) -> Result<Self, (AskError, Ask)> {
        let wanted = wanted(seller, &ask);
        let reply = match say(&mut talk, &Question::Ask(Box::new(ask.clone()))).await {
            // A provider that is busy with long prompts takes its time to say so.
            Ok(()) => hear(&mut talk, FIRST).await,
            Err(error) => Err(error),
        };
        let prompt_tokens = match reply {
            Ok(Reply::Begun { prompt_tokens }) => prompt_tokens,
            Ok(other) => {
                let refused = matches!(other, Reply::Refused { .. });
                if refused {
                    asker.keep(seller.contact.endpoint, talk);
                }
                return Err((unexpected(other), ask));
            }
            Err(error) => return Err((error, ask)),
        };
        Ok(Self {
            asker: asker.clone(),
            node: seller.node.into(),
            endpoint: seller.contact.endpoint,
            talk: Some(talk),
            ask,
            prompt_tokens,
            said: Vec::new(),
            text: String::new(),
            wanted,
            embeddings: Vec::new(),
            bytes: 0,
        })
    }

    /// Tokens of the prompt, as the provider counts them.
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }

    /// What is kept of the answer so far, in bytes of memory, about; at most [`MAX_ANSWER_BYTES`].
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// What was asked.
    pub fn asked(&self) -> &Ask {
        &self.ask
    }

    /// What comes next. After the end, and after an error, there is nothing more.
    ///
    /// # Errors
    /// [`AskError`]; nothing is owed then.
    pub async fn next(&mut self) -> Result<Heard, AskError> {
        self.hear_next().await
    }

    fn hear_next(&mut self) -> Doing<'_, Result<Heard, AskError>> {
        Box::pin(async move {
            let Some(mut talk) = self.talk.take() else {
                return Err(AskError::Nonsense("nothing more comes".into()));
            };
            // Others have their turns between two embeddings, and each is computed as a prompt is.
            let patience = if self.said.is_empty() { FIRST } else { NEXT };
            match hear(&mut talk, patience).await? {
                Reply::Piece(piece) => {
                    self.take(&piece)?;
                    self.talk = Some(talk);
                    Ok(Heard::Piece(piece))
                }
                Reply::Embedding(embedding) => {
                    self.take_embedding(&embedding)?;
                    self.talk = Some(talk);
                    Ok(Heard::Embedding(embedding))
                }
                Reply::Ended { end, receipt } => {
                    self.judge(end, &receipt)?;
                    self.asker.keep(self.endpoint, talk);
                    Ok(Heard::Ended { end, receipt })
                }
                other => Err(unexpected(other)),
            }
        })
    }

    fn take(&mut self, piece: &Piece) -> Result<(), AskError> {
        let nonsense = |what: &str| Err(AskError::Nonsense(what.into()));
        if self.wanted.is_some() {
            return nonsense("it says text where embeddings are due");
        }
        if piece.said.is_empty() || piece.said.len() > MAX_PIECE_TOKENS {
            return nonsense("a piece without tokens, or with too many");
        }
        let wanted = self.ask.parameters.alternatives;
        let likely = |said: &Said| match (&said.likely, wanted) {
            (None, None) => true,
            (Some((own, top)), Some(count)) => own.token == said.token && top.len() <= count.into(),
            _ => false,
        };
        if !piece.said.iter().all(likely) {
            return nonsense("log-probabilities are not as asked for");
        }
        let candidates = || piece.said.iter().flat_map(candidates);
        if candidates().any(|candidate| candidate.bytes.len() > MAX_TOKEN_BYTES) {
            return nonsense("a token is longer than any token");
        }
        let likely: usize = candidates().map(|one| CANDIDATE_BYTES + one.bytes.len()).sum();
        let tokens = self.said.len().saturating_add(piece.said.len());
        if tokens > self.ask.parameters.most as usize {
            return nonsense("more tokens than were asked for");
        }
        let text = self.text.len().saturating_add(piece.text.len());
        if text > tokens.saturating_mul(MOST_TEXT) {
            return nonsense("more text than so many tokens can have");
        }
        self.keep(size_of_val(piece.said.as_slice()) + likely + piece.text.len())?;
        self.said.extend(piece.said.iter().cloned());
        self.text.push_str(&piece.text);
        Ok(())
    }

    /// Counts what is kept. All of it was asked for: if it is too much, nobody has broken a rule.
    fn keep(&mut self, bytes: usize) -> Result<(), AskError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(AskError::TooMuch { most: MAX_ANSWER_BYTES });
        }
        Ok(())
    }

    fn take_embedding(&mut self, embedding: &[i32]) -> Result<(), AskError> {
        let nonsense = |what: &str| Err(AskError::Nonsense(what.into()));
        let Some((inputs, elements)) = self.wanted else {
            return nonsense("it sends embeddings where text is due");
        };
        if self.embeddings.len() >= inputs {
            return nonsense("more embeddings than inputs");
        }
        if elements == 0 || embedding.len() != elements {
            return nonsense("an embedding of another length than it sells");
        }
        self.keep(size_of_val(embedding))?;
        self.embeddings.push(embedding.to_vec());
        Ok(())
    }

    fn judge(&self, end: End, signed: &SignedReceipt) -> Result<(), AskError> {
        let inner = &self.asker.inner;
        let asked = Asked {
            chain_id: inner.chain_id,
            node: self.node,
            caller: inner.blobs.contact().endpoint,
            ask: &self.ask,
        };
        let heard = match self.wanted {
            None => receipt::Heard::Text { said: &self.said, text: &self.text, end },
            Some((inputs, _)) if self.embeddings.len() == inputs && end == End::Stop => {
                receipt::Heard::Embeddings(&self.embeddings)
            }
            Some(_) => return Err(AskError::Nonsense("not every input has an embedding".into())),
        };
        receipt::check(&asked, &heard, signed)?;
        if signed.receipt.prompt_tokens != self.prompt_tokens {
            return Err(AskError::Nonsense("it counts the prompt's tokens twice".into()));
        }
        Ok(())
    }
}

/// How many embeddings are due, and how long each is by what is sold.
fn wanted(seller: &Seller, ask: &Ask) -> Option<(usize, usize)> {
    let Prompt::Inputs(inputs) = &ask.prompt else { return None };
    let offer = seller.offers.iter().find(|offer| offer.model == ask.model);
    let elements = match offer.map(|offer| offer.makes) {
        Some(Makes::Embeddings { dimensions }) => dimensions as usize,
        // None is taken then.
        Some(Makes::Text) | None => 0,
    };
    Some((inputs.len(), elements))
}

fn candidates(said: &Said) -> impl Iterator<Item = &Candidate> {
    said.likely.iter().flat_map(|(own, top)| std::iter::once(own).chain(top))
}

fn unexpected(reply: Reply) -> AskError {
    match reply {
        Reply::Refused { why, text } => {
            // The text is a stranger's.
            let shown = text.chars().filter(|letter| !letter.is_control());
            AskError::Refused { why, text: shown.take(MAX_TEXT_CHARS).collect() }
        }
        _ => AskError::Nonsense("it answers out of turn".into()),
    }
}
