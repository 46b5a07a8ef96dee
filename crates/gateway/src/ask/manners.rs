//! Manners of the providers on stage.

use tilth_protocol::infer::Makes;

/// What a provider does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Three tokens and a right receipt.
    Well,
    /// Hangs up before it says anything.
    HangsUp,
    /// Hangs up after the first token.
    DiesInMidStream,
    /// Says that it waits for others.
    IsBusy,
    /// Charges more than its prices make.
    Overcharges,
    /// Signs another answer than it gave.
    SignsAnother,
    /// Counts more tokens in the prompt than it can have.
    CountsTooMany,
    /// Talks without end.
    TalksOn,
    /// Answers with bytes that are nothing.
    Babbles,
    /// Says that the question is too long for it.
    SaysTooLong,
    /// Says that the question breaks rules.
    SaysInvalid,
    /// Has room for ten tokens of an answer.
    HasRoomForTen,
    /// Says that there is room for ten, and counts a prompt that leaves more.
    LiesOfRoom,
    /// Has embeddings of three elements for inputs of four tokens: the input's place, its length, and one.
    Embeds,
    /// As that, and leaves the last one out.
    EmbedsTooFew,
    /// As that, and has one more than there are inputs.
    EmbedsTooMany,
    /// As that, with two elements.
    EmbedsShort,
    /// As that, and signs others.
    SignsOtherEmbeddings,
    /// Says tokens of two kilobytes.
    SaysLongTokens,
    /// Says one token and then nothing.
    Stalls,
    /// Says nothing at all.
    IsSilent,
    /// Says as many tokens as it is asked for, each with all alternatives, all of them as long as tokens may be.
    SaysMuch,
    /// Says as many tokens as it is asked for, each with the question's seed, its own number and so many blanks.
    Counts(usize),
    /// Answers the first of several answers well, and hangs up in the middle of the others.
    OnlyFirst,
}

impl Does {
    /// What it says that its model makes.
    pub(super) fn makes(self) -> Makes {
        match self {
            Self::Embeds
            | Self::EmbedsTooFew
            | Self::EmbedsTooMany
            | Self::EmbedsShort
            | Self::SignsOtherEmbeddings => Makes::Embeddings { dimensions: 3 },
            _ => Makes::Text,
        }
    }
}
