//! The lines of a text that lies in memory. Only every so many lines it is remembered where they begin: a file of empty
//! lines takes no more memory than its own bytes.

/// Lines between two that are remembered.
const STEP: usize = 256;

/// A text of lines.
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where every [`STEP`]-th line begins.
    marks: Vec<usize>,
}

impl Lines {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let mut marks = Vec::new();
        let mut at = 0;
        for (number, line) in bytes.split(is_end).enumerate() {
            if number % STEP == 0 {
                marks.push(at);
            }
            at += line.len() + 1;
        }
        Self { bytes, marks }
    }

    /// A line without its end. After the last end there is one more, which may be empty.
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        let from = *self.marks.get(number / STEP)?;
        self.bytes.get(from..)?.split(is_end).nth(number % STEP)
    }
}

fn is_end(byte: &u8) -> bool {
    *byte == b'\n'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_and_none_beyond() {
        for text in ["", "\n", "a", "a\nb", "a\nb\n", &"x\n\nyy\n".repeat(700)] {
            let lines = Lines::new(text.as_bytes().to_vec());
            let whole: Vec<_> = text.split('\n').map(str::as_bytes).collect();
            for (number, line) in whole.iter().enumerate() {
                assert_eq!(lines.get(number), Some(*line), "{number}");
            }
            assert_eq!(lines.get(whole.len()), None);
            assert_eq!(lines.get(usize::MAX), None);
        }
        assert!(Lines::new(vec![b'\n'; 1 << 20]).marks.len() <= (1 << 12) + 1);
    }
}
