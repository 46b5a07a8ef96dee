//! What the transactions of the long chain run, and the chance that chooses.

use alloy::primitives::{Address, Bytes, U256};

use super::{DELEGATORS, SENDERS};
use crate::fixture::signer;

/// A precompile of some fork, and an input that it sometimes takes.
pub fn precompile(chance: &mut Chance) -> (Address, Bytes) {
    let number = 1 + chance.byte() % 0x11;
    let p256 = chance.below(12) == 0;
    let address =
        if p256 { Address::left_padding_from(&[1, 0]) } else { Address::with_last_byte(number) };
    let input = match number {
        5 => {
            // Three lengths, then so many bytes of base, exponent and modulus.
            let lengths = [1 + chance.below(40), chance.below(36), 1 + chance.below(40)];
            let sum = usize::try_from(lengths.iter().sum::<u64>()).unwrap();
            let words = lengths.iter().flat_map(|length| U256::from(*length).to_be_bytes::<32>());
            words.chain(chance.bytes(sum)).collect()
        }
        // The empty input is the point at infinity.
        6..=8 if chance.below(2) == 0 => {
            vec![0; 192 * usize::from(chance.byte() % 2)]
        }
        9 => {
            let mut input = chance.bytes(213);
            (input[0], input[1], input[2], input[212]) = (0, 0, 0, input[212] & 1);
            input
        }
        _ => {
            let length = usize::from(chance.byte());
            // Blob commitments are not for this chain.
            chance.bytes(if length == 192 { 191 } else { length })
        }
    };
    (address, input.into())
}

/// Code of random opcodes that mostly have what they need on the stack.
pub fn program(chance: &mut Chance, contracts: &[Address]) -> Vec<u8> {
    let mut code = Vec::new();
    for _ in 0..=chance.below(9) {
        let (a, b) = (chance.byte() % 4, chance.byte() % 4);
        match chance.below(16) {
            0 | 1 => code.extend([0x60, b, 0x60, a, 0x55]),
            // Slots change from what they were.
            2 => code.extend([0x60, a, 0x54, 0x60, 1, 0x01, 0x60, a, 0x55]),
            3 => {
                code.extend([0x60, 7].repeat(usize::from(a)));
                code.extend([0x60, 32, 0x60, 0, 0xa0 + a]);
            }
            // What the block and the transaction are like.
            4..=6 => {
                const ASKS: [u8; 17] = [
                    0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x41, 0x42, 0x43, 0x44, 0x45,
                    0x46, 0x47, 0x48, 0x4a,
                ];
                let ask = ASKS[usize::from(chance.byte()) % ASKS.len()];
                code.extend([ask, 0x60, a, 0x55]);
            }
            7 => code.extend([0x60, 1 + b, 0x43, 0x03, 0x40, 0x60, a, 0x55]),
            8 => {
                // Balance, size and hash of code.
                let ask = [0x31, 0x3b, 0x3f][usize::from(b) % 3];
                code.push(0x73);
                code.extend(chance.address(contracts));
                code.extend([ask, 0x60, a, 0x55]);
            }
            9 | 10 => call(chance, contracts, &mut code),
            11 => create(&mut code, a, None),
            12 => create(&mut code, a, Some(b)),
            // Shifts, PUSH0, transient storage, MCOPY, BLOBHASH, CLZ: each from its fork on.
            13 => match chance.below(6) {
                0 => code.extend([0x60, 0xff, 0x60, a, 0x1b + a % 3, 0x60, b, 0x55]),
                1 => code.extend([0x5f, 0x60, a, 0x55]),
                2 => code.extend([0x60, b, 0x60, a, 0x5d, 0x60, a, 0x5c, 0x60, a, 0x55]),
                3 => code.extend([0x60, 32, 0x60, 0, 0x60, 64, 0x5e]),
                4 => code.extend([0x60, a, 0x49, 0x60, b, 0x55]),
                _ => code.extend([0x60, b, 0x1e, 0x60, a, 0x55]),
            },
            14 if a == 0 => {
                code.push(0x73);
                code.extend(chance.address(contracts));
                code.push(0xff);
            }
            14 => code.extend([0x60, 32, 0x60, 0, 0xf3]),
            _ => match b {
                0 => code.extend([0x60, 32, 0x60, 0, 0xfd]),
                1 => code.push(0xfe),
                _ => code.extend([0x60, a, 0x60, 0, 0x52]),
            },
        }
    }
    code
}

fn call(chance: &mut Chance, contracts: &[Address], code: &mut Vec<u8>) {
    let kind = [0xf1, 0xf1, 0xf2, 0xf4, 0xfa][usize::from(chance.byte()) % 5];
    code.extend([0x60, 32, 0x60, 32, 0x60, 32, 0x60, 0]);
    if kind < 0xf4 {
        code.extend([0x60, chance.byte() % 3]);
    }
    code.push(0x73);
    code.extend(chance.address(contracts));
    code.extend([0x61, 0x75, 0x30, kind, 0x60, chance.byte() % 4, 0x55]);
}

/// Creates a contract of one byte that has written a slot.
fn create(code: &mut Vec<u8>, value: u8, salt: Option<u8>) {
    let init = [0x60, 1, 0x60, value, 0x55, 0x60, 1, 0x60, 0, 0xf3];
    code.push(0x69);
    code.extend(init);
    code.extend([0x60, 0, 0x52]);
    if let Some(salt) = salt {
        code.extend([0x60, salt]);
    }
    code.extend([0x60, 10, 0x60, 22, 0x60, value % 2, if salt.is_some() { 0xf5 } else { 0xf0 }]);
    code.extend([0x60, 3, 0x55]);
}

/// Creation code for a program.
pub fn deploying(runtime: &[u8]) -> Bytes {
    let [high, low] = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    let mut code = vec![0x61, high, low, 0x80, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

/// A xorshift generator.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() / 7 % bound
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[3]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// An account that sends, a contract, a precompile, or one that nobody has seen.
    pub fn address(&mut self, contracts: &[Address]) -> Address {
        match self.below(6) {
            0 => signer(self.byte() % (SENDERS + DELEGATORS)).address(),
            1..=3 => contracts[usize::try_from(self.below(contracts.len() as u64)).unwrap()],
            4 => Address::with_last_byte(self.byte() % 12),
            _ => Address::repeat_byte(self.byte()),
        }
    }
}
