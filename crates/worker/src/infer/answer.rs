//! One answer as it grows: from tokens to text, and where it ends.

use tilth_protocol::infer::{Candidate, End, MAX_TOKEN_BYTES, Piece, Said};
use tilth_tensor::{
    engine::{self, Event},
    tokenizer::{Stream, Tokenizer},
};

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Answer {
    stops: Vec<String>,
    stream: Stream,
    /// Text that a stop text may begin in.
    held: String,
}

impl Answer {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self { stops: stops.to_vec(), stream: Stream::default(), held: String::new() }
    }

    /// Takes the next token in. Returns what can be said now, and whether that is all.
    pub(crate) fn take(&mut self, event: &Event, tokenizer: &Tokenizer) -> (Piece, Option<End>) {
        let said = vec![said(event, tokenizer)];
        if !tokenizer.is_special(event.token) {
            self.stream.push(tokenizer.token(event.token), &mut self.held);
        }
        let mut end = event.end.map(|end| match end {
            engine::End::Stop => End::Stop,
            engine::End::Length => End::Length,
        });
        if end.is_some() {
            self.stream.end(&mut self.held);
        }
        let text = match self.first_stop() {
            Some(at) => {
                end = Some(End::Stop);
                self.held.truncate(at);
                std::mem::take(&mut self.held)
            }
            None if end.is_some() => std::mem::take(&mut self.held),
            None => {
                let certain = self.held.len() - self.uncertain();
                let rest = self.held.split_off(certain);
                std::mem::replace(&mut self.held, rest)
            }
        };
        (Piece { said, text }, end)
    }

    /// Where the first stop text begins.
    fn first_stop(&self) -> Option<usize> {
        self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min()
    }

    /// Bytes at the end that a stop text may begin with.
    fn uncertain(&self) -> usize {
        let longest = |stop: &String| {
            let most = self.held.len().min(stop.len().saturating_sub(1));
            let ends_with = |length: &usize| {
                stop.is_char_boundary(*length) && self.held.ends_with(&stop[..*length])
            };
            (1..=most).rev().find(ends_with).unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

fn candidate(token: u32, log_probability: i32, tokenizer: &Tokenizer) -> Candidate {
    let bytes = tokenizer.token(token);
    let bytes = bytes[..bytes.len().min(MAX_TOKEN_BYTES)].to_vec();
    Candidate { token, bytes, log_probability }
}

fn said(event: &Event, tokenizer: &Tokenizer) -> Said {
    let likely = event.log_probability.as_ref().map(|(own, top)| {
        let top = top.iter().map(|(token, log)| candidate(*token, *log, tokenizer)).collect();
        (candidate(event.token, *own, tokenizer), top)
    });
    Said { token: event.token, likely }
}

#[cfg(test)]
mod tests {
    use tilth_tensor::{
        blob::Blob,
        import::{Family, synthetic},
        tokenizer::Vocabulary,
    };

    use super::*;

    /// What is said of a text whose bytes come one by one, piece by piece.
    fn pieces(text: &str, stops: &[&str]) -> (Vec<String>, Option<End>) {
        let blob = Blob::open(std::sync::Arc::new(synthetic(Family::Llama, 1).unwrap())).unwrap();
        let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut answer = Answer::new(&stops);
        let mut found = Vec::new();
        let length = text.len();
        for (i, byte) in text.bytes().enumerate() {
            let token = (0..256).find(|token| tokenizer.token(*token) == [byte]).unwrap();
            let end = (i + 1 == length).then_some(engine::End::Length);
            let event = Event { id: 0, token, log_probability: None, end };
            let (piece, end) = answer.take(&event, &tokenizer);
            found.push(piece.text);
            if end.is_some() {
                return (found, end);
            }
        }
        (found, None)
    }

    #[test]
    fn nothing_of_a_stop_text_is_ever_said() {
        let (said, end) = pieces("one two STOP three", &["STOP"]);
        assert_eq!((said.concat().as_str(), end), ("one two ", Some(End::Stop)));
        // What may become a stop text is held back, and said when it does not.
        let (said, end) = pieces("a STO ST STOSTOP", &["STOP", "zz"]);
        assert_eq!((said.concat().as_str(), end), ("a STO ST STO", Some(End::Stop)));
        assert_eq!(said[2], "");
        let (said, end) = pieces("ends with ST", &["STOP"]);
        assert_eq!((said.concat().as_str(), end), ("ends with ST", Some(End::Length)));
    }

    #[test]
    fn characters_are_said_when_they_are_whole() {
        let (said, _) = pieces("aé€😀b", &["€€"]);
        assert_eq!(said.concat(), "aé€😀b");
        assert!(said.iter().all(|piece| !piece.contains('\u{fffd}')));
        let (said, end) = pieces("x😀😀y", &["😀y"]);
        assert_eq!((said.concat().as_str(), end), ("x😀", Some(End::Stop)));
    }
}
