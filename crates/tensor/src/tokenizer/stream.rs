//! Text from tokens that come one after the other.

/// Bytes that come in pieces, as text: characters are handed on when they are whole.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    held: Vec<u8>,
}

impl Stream {
    /// Adds bytes; appends what has become whole characters to `text`.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.held.extend_from_slice(bytes);
        let mut done = 0;
        for chunk in self.held.utf8_chunks() {
            text.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            // An incomplete character at the end waits for the rest.
            let incomplete = done + invalid.len() == self.held.len()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if !invalid.is_empty() && !incomplete {
                text.push('\u{fffd}');
            }
            if !incomplete {
                done += invalid.len();
            }
        }
        self.held.drain(..done);
    }

    /// Ends the text; a character that never became whole is U+FFFD.
    pub fn end(&mut self, text: &mut String) {
        if !self.held.is_empty() {
            text.push('\u{fffd}');
            self.held.clear();
        }
    }
}
