//! Random programs and transactions from a seed: the same seed always gives the same sequence.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy},
    eips::{
        eip2718::Encodable2718,
        eip2930::{AccessList, AccessListItem},
        eip7702::Authorization,
    },
    primitives::{Address, B256, Bytes, TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};

use crate::fixture::signer;

/// Accounts that send transactions.
pub const SENDERS: u8 = 3;
/// An account that only signs authorisations.
pub const DELEGATOR: u8 = 7;
const CHAIN_ID: u64 = 7357;

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn byte(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(end.into())).unwrap()
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A transaction of the sequence.
#[derive(Clone, Debug)]
pub struct Act {
    /// What it is meant to do.
    pub what: &'static str,
    pub raw: Bytes,
    pub hash: B256,
}

/// Makes transactions one after the other.
pub struct Scribe {
    dice: Dice,
    nonces: [u64; SENDERS as usize],
    delegator_nonce: u64,
    /// Contracts that may exist.
    pub contracts: Vec<Address>,
}

impl Scribe {
    pub fn new(seed: u64) -> Self {
        let contracts = Vec::new();
        Self { dice: Dice::new(seed), nonces: [0; SENDERS as usize], delegator_nonce: 0, contracts }
    }

    pub fn set_nonce(&mut self, sender: u8, nonce: u64) {
        self.nonces[usize::from(sender)] = nonce;
    }

    pub fn set_delegator_nonce(&mut self, nonce: u64) {
        self.delegator_nonce = nonce;
    }

    /// A plain transfer from the first sender.
    pub fn transfer(&mut self, to: Address, value: u64) -> Act {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.next_nonce(),
            gas_limit: 21_000,
            max_fee_per_gas: 5_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            ..TxEip1559::default()
        };
        signed("transfer", transaction)
    }

    /// Deploys this code from the first sender.
    pub fn deploy(&mut self, runtime: &[u8]) -> Act {
        self.plain("deploy", TxKind::Create, deploying(runtime))
    }

    /// A call without data from the first sender.
    pub fn call(&mut self, to: Address) -> Act {
        self.plain("call", TxKind::Call(to), Bytes::new())
    }

    /// Coins from the first sender for code that runs when it gets them.
    pub fn pay(&mut self, to: Address, value: u64) -> Act {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.next_nonce(),
            gas_limit: 500_000,
            max_fee_per_gas: 5_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            ..TxEip1559::default()
        };
        signed("pay", transaction)
    }

    /// A call with data from the first sender that names what it will touch.
    pub fn listed(&mut self, to: Address, input: Bytes, items: Vec<AccessListItem>) -> Act {
        let transaction = TxEip2930 {
            chain_id: CHAIN_ID,
            nonce: self.next_nonce(),
            gas_limit: 500_000,
            gas_price: 5_000_000_000,
            to: TxKind::Call(to),
            access_list: AccessList(items),
            input,
            ..TxEip2930::default()
        };
        signed("call with access list", transaction)
    }

    /// Lets the delegating account act by the code of `target`, or by none, and calls it.
    pub fn delegate(&mut self, target: Address) -> Act {
        let chain_id = U256::from(CHAIN_ID);
        let nonce = self.delegator_nonce;
        self.delegator_nonce += 1;
        let terms = Authorization { chain_id, address: target, nonce };
        let signature = signer(DELEGATOR).sign_hash_sync(&terms.signature_hash()).unwrap();
        let transaction = TxEip7702 {
            chain_id: CHAIN_ID,
            nonce: self.next_nonce(),
            gas_limit: 500_000,
            max_fee_per_gas: 5_000_000_000,
            to: signer(DELEGATOR).address(),
            authorization_list: vec![terms.into_signed(signature)],
            ..TxEip7702::default()
        };
        signed("delegate", transaction)
    }

    fn next_nonce(&mut self) -> u64 {
        let nonce = self.nonces[0];
        self.nonces[0] += 1;
        nonce
    }

    fn plain(&mut self, what: &'static str, to: TxKind, input: Bytes) -> Act {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.next_nonce(),
            gas_limit: 500_000,
            max_fee_per_gas: 5_000_000_000,
            to,
            input,
            ..TxEip1559::default()
        };
        signed(what, transaction)
    }

    /// An address for a program or transaction to refer to.
    fn address(&mut self) -> Address {
        match self.dice.below(8) {
            0 => Address::with_last_byte(1 + self.dice.byte(10)),
            1 => Address::repeat_byte(0xa0 + self.dice.byte(4)),
            2 => signer(DELEGATOR).address(),
            3 => signer(self.dice.byte(SENDERS)).address(),
            _ if self.contracts.is_empty() => Address::repeat_byte(0xc0),
            _ => {
                let count = self.contracts.len() as u64;
                self.contracts[usize::try_from(self.dice.below(count)).unwrap()]
            }
        }
    }

    fn push_address(&mut self, code: &mut Vec<u8>) {
        code.push(0x73);
        let address = self.address();
        code.extend(address);
    }

    /// One thing a program does.
    fn gadget(&mut self, code: &mut Vec<u8>) {
        let (a, b) = (self.dice.byte(4), self.dice.byte(3));
        match self.dice.below(25) {
            0..=3 => code.extend([0x60, b, 0x60, a, 0x55]),
            4 => code.extend([0x60, a, 0x54, 0x50]),
            // A log with up to four topics and a word of memory.
            5 | 6 => {
                let topics = self.dice.byte(5);
                code.extend((0..topics).flat_map(|topic| [0x60, topic ^ a]));
                code.extend([0x60, 0x20, 0x60, 0x00, 0xa0 + topics]);
            }
            7..=9 => self.call_out(code),
            10 => {
                // create or create2 of: sstore(1, 1); return one byte of code.
                let init = [0x60, 1, 0x60, 1, 0x55, 0x60, 1, 0x60, 0, 0xf3];
                self.create(code, &init);
            }
            // One that destroys itself while it is made.
            11 => self.create(code, &[0x60, 1, 0x60, 1, 0x55, 0x60, 0xa0 | a, 0xff]),
            // One that fails with data.
            12 => self.create(code, &[0x60, 0x20, 0x60, 0, 0xfd]),
            // One whose code begins with 0xef.
            13 => self.create(code, &[0x60, 0xef, 0x60, 0, 0x53, 0x60, 1, 0x60, 0, 0xf3]),
            14 if self.dice.chance(3) => {
                self.push_address(code);
                code.push(0xff);
            }
            15 => {
                let look = [0x31, 0x3b, 0x3f][usize::from(b)];
                self.push_address(code);
                code.extend([look, 0x50]);
            }
            // Transient storage, there and back.
            16 => code.extend([0x60, b, 0x60, a, 0x5d, 0x60, a, 0x5c, 0x50]),
            17 => code.extend([0x60, 0x40, 0x60, a, 0x20, 0x60, 0x20, 0x52]),
            // Reads past the returned data.
            18 if self.dice.chance(3) => code.extend([0x60, 0xff, 0x60, 0, 0x60, 0, 0x3e]),
            // A custom error with one word.
            19 if self.dice.chance(3) => {
                code.extend([0x63, 0xde, 0xad, 0xbe, 0xef, 0x60, 0xe0, 0x1b, 0x60, 0, 0x52]);
                code.extend([0x60, 0x24, 0x60, 0, 0xfd]);
            }
            20 if self.dice.chance(3) => code.push([0xfe, 0x0c, 0xef][usize::from(b)]),
            21 if self.dice.chance(3) => code.extend([0x60, 0, 0x56]),
            22 if self.dice.chance(3) => code.extend([0x50, 0x50]),
            // For ever.
            23 if self.dice.chance(4) => {
                let here = u16::try_from(code.len()).unwrap().to_be_bytes();
                code.extend([0x5b, 0x61, here[0], here[1], 0x56]);
            }
            // More memory than gas can buy.
            24 if self.dice.chance(4) => code.extend([0x63, 0xff, 0xff, 0xff, 0xff, 0x51, 0x50]),
            _ => code.extend([0x60, a, 0x60, b, 0x01, 0x50]),
        }
    }

    fn call_out(&mut self, code: &mut Vec<u8>) {
        let value = if self.dice.chance(3) { self.dice.byte(4) } else { 0 };
        let kind = self.dice.below(6);
        // Return area, arguments.
        code.extend([0x60, 0x20, 0x60, 0, 0x60, 0x44, 0x60, 0]);
        let opcode = match kind {
            0 => 0xf4,
            1 => 0xfa,
            2 => 0xf2,
            _ => 0xf1,
        };
        if matches!(opcode, 0xf1 | 0xf2) {
            code.extend([0x60, value]);
        }
        self.push_address(code);
        // All gas, or not much.
        if self.dice.chance(2) {
            code.push(0x5a);
        } else {
            code.extend([0x61, 0x27, 0x10]);
        }
        code.extend([opcode, 0x50]);
    }

    fn create(&mut self, code: &mut Vec<u8>, init: &[u8]) {
        let mut word = [0; 32];
        word[..init.len()].copy_from_slice(init);
        code.push(0x7f);
        code.extend(word);
        code.extend([0x60, 0x00, 0x52]);
        let second = self.dice.chance(2);
        if second {
            code.extend([0x60, self.dice.byte(3)]);
        }
        let value = if self.dice.chance(3) { 1 } else { 0 };
        code.extend([0x60, u8::try_from(init.len()).unwrap(), 0x60, 0x00, 0x60, value]);
        code.extend([if second { 0xf5 } else { 0xf0 }, 0x50]);
    }

    fn program(&mut self) -> Vec<u8> {
        let mut code = Vec::new();
        for _ in 0..=self.dice.below(7) {
            self.gadget(&mut code);
        }
        code
    }

    /// The next transaction. It is valid; what it does may fail.
    #[expect(clippy::too_many_lines, reason = "one arm per kind of transaction")]
    pub fn act(&mut self) -> Act {
        let sender = self.dice.byte(SENDERS);
        let value = U256::from(if self.dice.chance(3) { self.dice.below(1000) } else { 0 });
        let mut gas = 60_000 + self.dice.below(400_000);
        let mut input = Bytes::new();
        let mut authorization = None;
        let (what, to) = match self.dice.below(10) {
            0 => ("transfer", TxKind::Call(self.address())),
            1 => {
                gas = 21_000;
                (
                    "transfer to a new account",
                    TxKind::Call(Address::repeat_byte(self.dice.byte(250) + 3)),
                )
            }
            2..=4 => {
                let runtime = self.program();
                input = deploying(&runtime);
                let nonce = self.nonces[usize::from(sender)];
                self.contracts.push(signer(sender).address().create(nonce));
                gas += 700_000;
                ("deploy", TxKind::Create)
            }
            5 => {
                input = match self.dice.below(4) {
                    0 => Bytes::from_static(&[0x60, 0x20, 0x60, 0, 0xfd]),
                    1 => Bytes::from_static(&[0xfe]),
                    2 => Bytes::from_static(&[0x60, 0xef, 0x60, 0, 0x53, 0x60, 1, 0x60, 0, 0xf3]),
                    // Three thousand bytes of code, which the gas does not pay for.
                    _ => {
                        gas = 200_000;
                        Bytes::from_static(&[0x61, 0x0b, 0xb8, 0x60, 0, 0xf3])
                    }
                };
                ("deploy that fails", TxKind::Create)
            }
            6 => {
                let nonce = self.delegator_nonce;
                self.delegator_nonce += 1;
                let target = if self.dice.chance(3) { Address::ZERO } else { self.address() };
                let terms =
                    Authorization { chain_id: U256::from(CHAIN_ID), address: target, nonce };
                let key = signer(DELEGATOR);
                let signature = key.sign_hash_sync(&terms.signature_hash()).unwrap();
                authorization = Some(terms.into_signed(signature));
                gas += 50_000;
                ("delegate", TxKind::Call(signer(DELEGATOR).address()))
            }
            _ => {
                let words = self.dice.below(3);
                input = (0..words).flat_map(|_| [0, 0, 0, self.dice.byte(9)]).collect();
                ("call", TxKind::Call(self.address()))
            }
        };
        let nonce = self.nonces[usize::from(sender)];
        self.nonces[usize::from(sender)] += 1;
        let key = signer(sender);
        let mut access_list = AccessList::default();
        if self.dice.chance(4) {
            let address = self.address();
            let storage_keys = vec![B256::with_last_byte(self.dice.byte(4))];
            access_list.0.push(AccessListItem { address, storage_keys });
            gas += 5_000;
        }
        let price = 5_000_000_000_u128;
        let tip = u128::from(self.dice.below(1_000_000));
        let envelope: TxEnvelope = match (authorization, self.dice.below(4)) {
            (Some(authorization), _) => sign(
                &key,
                TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: price,
                    max_priority_fee_per_gas: tip,
                    to: signer(DELEGATOR).address(),
                    value,
                    access_list,
                    authorization_list: vec![authorization],
                    input,
                },
            ),
            (None, 0) if access_list.0.is_empty() => sign(
                &key,
                TxLegacy {
                    chain_id: Some(CHAIN_ID),
                    nonce,
                    gas_price: price,
                    gas_limit: gas,
                    to,
                    value,
                    input,
                },
            ),
            (None, 0 | 1) => sign(
                &key,
                TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price: price,
                    gas_limit: gas,
                    to,
                    value,
                    access_list,
                    input,
                },
            ),
            (None, _) => sign(
                &key,
                TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: price,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list,
                    input,
                },
            ),
        };
        let (raw, hash) = (envelope.encoded_2718().into(), *envelope.tx_hash());
        Act { what, raw, hash }
    }
}

/// A transaction of the first sender.
fn signed<T: SignableTransaction<alloy::primitives::Signature>>(
    what: &'static str,
    transaction: T,
) -> Act
where
    alloy::consensus::Signed<T>: Into<TxEnvelope>,
{
    let envelope = sign(&signer(0), transaction);
    Act { what, raw: envelope.encoded_2718().into(), hash: *envelope.tx_hash() }
}

fn sign<T: SignableTransaction<alloy::primitives::Signature>>(
    key: &PrivateKeySigner,
    transaction: T,
) -> TxEnvelope
where
    alloy::consensus::Signed<T>: Into<TxEnvelope>,
{
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    transaction.into_signed(signature).into()
}

/// Creation code for a program of any length up to 64 KiB.
fn deploying(runtime: &[u8]) -> Bytes {
    let [high, low] = u16::try_from(runtime.len()).unwrap().to_be_bytes();
    let mut code = vec![0x61, high, low, 0x80, 0x60, 0x0c, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}
