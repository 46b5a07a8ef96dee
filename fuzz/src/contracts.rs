//! What is fuzzed of contracts from the side of those who read them: logs and refusals. A node that lies, or a contract
//! that is not the right one, may say anything. Runs as a test of `tilth-client`, and under libFuzzer with
//! `--features client`.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256, Log as Plain, LogData, U256},
    rpc::types::Log,
};
use tilth_client::hostile;

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[("events", events), ("refusals", refusals)];

/// Most logs of a script, and most words of a log's data.
const LOGS_MAX: usize = 256;
const WORDS_MAX: usize = 64;

/// Logs of contracts. The bytes are a script of them: the event, its further topics, how many words of data, which of
/// them are not zero.
pub fn events(data: &[u8]) {
    read(data);
}

/// The first topics of the logs in a script that are events.
pub fn read(script: &[u8]) -> BTreeSet<B256> {
    let (mut script, known) = (Script(script), hostile::events());
    let logs: Vec<Log> = std::iter::from_fn(|| script.log(&known)).take(LOGS_MAX).collect();
    hostile::logs(&logs)
}

/// Refusals: every kind with these words behind it, and the bytes as they are. People can read what they are told, and
/// their terminals obey none of it.
pub fn refusals(data: &[u8]) {
    let told = |bytes: &[u8]| {
        let problem = hostile::explain(bytes);
        assert!(!problem.what.is_empty() && !problem.advice.is_empty(), "{problem:?}");
        let shown = problem.to_string();
        let obeyed = shown.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(obeyed, None, "{shown:?}");
    };
    told(data);
    for kind in hostile::refusals() {
        told(&[&kind[..], data].concat());
    }
}

/// What is left of a script.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below this, or zero.
    fn below(&mut self, bound: usize) -> Option<usize> {
        Some(usize::from(self.byte()?) % bound.max(1))
    }

    /// A small number, the largest one, one bit, or any.
    fn word(&mut self) -> Option<B256> {
        Some(match self.below(4)? {
            0 => B256::from(U256::from(self.byte()?)),
            1 => B256::repeat_byte(0xff),
            2 => B256::from(U256::from(1) << usize::from(self.byte()?)),
            _ => {
                let (word, rest) = self.0.split_first_chunk::<32>()?;
                self.0 = rest;
                B256::from(*word)
            }
        })
    }

    fn log(&mut self, known: &[B256]) -> Option<Log> {
        let mut topics = vec![*known.get(self.below(known.len())?)?];
        for _ in 0..self.below(4)? {
            topics.push(self.word()?);
        }
        let mut words = vec![B256::ZERO; self.below(WORDS_MAX)?];
        for _ in 0..self.below(8)? {
            let (at, word) = (self.below(words.len())?, self.word()?);
            if let Some(slot) = words.get_mut(at) {
                *slot = word;
            }
        }
        let data: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
        let data = LogData::new_unchecked(topics, data.into());
        let inner = Plain { address: Address::ZERO, data };
        Some(Log { inner, block_number: Some(5), ..Log::default() })
    }
}
