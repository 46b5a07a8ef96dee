//! Mutations of seeds: of their bytes, and of their values where they are JSON.

use serde_json::{Value, json};

/// A target: its name, which is that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Makes inputs from seeds; the same sequence for the same name.
pub struct Mutator(u64);

impl Mutator {
    pub fn new(name: &str) -> Self {
        Self(name.bytes().fold(0x9e37_79b9_7f4a_7c15, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// The next number of a xorshift generator.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, or 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// The same sequence for the same seed.
    #[allow(dead_code, reason = "libFuzzer's door; the tests name their sequence")]
    pub fn seeded(seed: u32) -> Self {
        Self((0x9e37_79b9_7f4a_7c15 ^ u64::from(seed)).wrapping_mul(0x0100_0000_01b3) | 1)
    }

    /// An input made from one of the seeds.
    pub fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        if self.below(5) > 0
            && let Some(mutated) = self.json(&input)
        {
            return mutated;
        }
        for _ in 0..=self.below(4) {
            self.bytes(&mut input, seeds);
        }
        input
    }

    /// Changes values of JSON; `None` if the input is none.
    pub fn json(&mut self, input: &[u8]) -> Option<Vec<u8>> {
        let mut tree: Value = serde_json::from_slice(input).ok()?;
        for _ in 0..=self.below(3) {
            self.tree(&mut tree);
        }
        Some(tree.to_string().into_bytes())
    }

    fn bytes(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len());
        let byte = self.next().to_le_bytes()[0];
        match self.below(7) {
            0 if !input.is_empty() => input[at] ^= 1 << (byte % 8),
            1 if !input.is_empty() => {
                input[at] = [0, 0x7f, 0x80, 0xb7, 0xb8, 0xbf, 0xc0, 0xf7, 0xf8, 0xff]
                    [usize::from(byte % 10)]
            }
            2 => input.truncate(at),
            3 => input.insert(at, byte),
            4 if !input.is_empty() => {
                let end = at + self.below(input.len() - at);
                input.drain(at..end);
            }
            5 => {
                // Some bytes of another seed, such as a length that does not belong here.
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                let until = from + self.below((other.len() - from).min(64));
                input.splice(at..at, other[from..until].iter().copied());
            }
            _ if !input.is_empty() => {
                let end = (at + 8).min(input.len());
                let word = self.next().to_le_bytes();
                input[at..end].copy_from_slice(&word[..end - at]);
            }
            _ => input.push(byte),
        }
    }

    /// Changes one value somewhere in a tree.
    fn tree(&mut self, tree: &mut Value) {
        let deeper = self.below(8) > 0;
        match tree {
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.below(items.len());
                match self.below(8) {
                    0 => items.push(items[at].clone()),
                    1 => drop(items.remove(at)),
                    _ => self.tree(&mut items[at]),
                }
            }
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let at = self.below(fields.len());
                let name = fields.keys().nth(at).unwrap().clone();
                match self.below(8) {
                    0 => drop(fields.remove(&name)),
                    1 => {
                        let value = fields[&name].clone();
                        fields.insert(format!("{name}x"), value);
                    }
                    _ => self.tree(fields.get_mut(&name).unwrap()),
                }
            }
            Value::String(text) if self.below(2) == 0 => {
                let mut bytes = std::mem::take(text).into_bytes();
                self.bytes(&mut bytes, &[b"0x00ff".to_vec()]);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            other => *other = self.odd(),
        }
    }

    /// A value that decoders must survive.
    fn odd(&mut self) -> Value {
        let odd = [
            Value::Null,
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(1e300),
            json!(""),
            json!("0x"),
            json!("0x0"),
            json!("0x00"),
            json!("0x1"),
            json!("0xfffffffffffffffe"),
            json!("0xffffffffffffffff"),
            json!("0x10000000000000000"),
            json!(format!("0x{}", "f".repeat(64))),
            json!(format!("0x{}", "f".repeat(65))),
            json!(format!("0x{}", "0".repeat(40))),
            json!(format!("0x{}", "00".repeat(3000))),
            json!("latest"),
            json!("pending"),
            json!("finalized"),
            json!("earliest"),
            json!("\u{1f33e}"),
            json!([]),
            json!({}),
            json!([[[[[[[[]]]]]]]]),
            json!({ "blockHash": null, "requireCanonical": 1 }),
            json!([null, "0x", {}]),
        ];
        odd[self.below(odd.len())].clone()
    }
}
