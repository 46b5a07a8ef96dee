//! What the command line asks of the worlds of audits.

use std::ops::Range;

use crate::adversary::ALL;

/// Which worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The seeds.
    pub seeds: Range<u64>,
    /// All with this adversary, by its place in [`ALL`].
    pub only: Option<usize>,
}

impl Options {
    /// Reads `[--seeds A..B] [--only NAME]`; without seeds ten of each adversary.
    ///
    /// # Errors
    /// Naming what is not understood.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let mut options = Self { seeds: 0..10 * ALL.len() as u64, only: None };
        for pair in words.chunks(2) {
            let [option, value] = pair else {
                return Err(format!("{} wants a value", pair.concat()));
            };
            match option.as_str() {
                "--seeds" => options.seeds = seeds(value)?,
                "--only" => options.only = Some(place(value)?),
                _ => {
                    return Err(format!(
                        "there is no option {option}; there are --seeds and --only"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let numbers = text.split_once("..").and_then(|(from, to)| {
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    numbers.ok_or_else(|| format!("--seeds {text}: two numbers A..B with A below B"))
}

fn place(name: &str) -> Result<usize, String> {
    ALL.iter().position(|adversary| adversary.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|adversary| adversary.name).collect();
        format!("there is no adversary {name:?}; there are: {}", names.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, String> {
        let words: Vec<String> =
            text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        Options::read(&words)
    }

    #[test]
    fn only_what_is_understood_is_done() {
        assert_eq!(read(""), Ok(Options { seeds: 0..720, only: None }));
        assert_eq!(read("--only nobody --seeds 3..5"), Ok(Options { seeds: 3..5, only: Some(0) }));
        for wrong in [
            "--seeds 5",
            "--seeds 5..5",
            "--seeds 9..5",
            "--seeds a..5",
            "--seeds -1..5",
            "--seeds ..5",
        ] {
            assert!(read(wrong).is_err_and(|text| text.contains("A below B")), "{wrong}");
        }
        assert!(read("--only nobdy").is_err_and(|text| text.contains("nobody")));
        assert!(read("--only").is_err_and(|text| text.contains("wants a value")));
        assert!(read("--seed 1..2").is_err_and(|text| text.contains("no option")));
    }
}
