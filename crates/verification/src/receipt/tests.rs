use alloy_primitives::{Signature, U256};
use proptest::prelude::*;
use tilth_protocol::{
    ContentHash,
    infer::{Input, Parameters},
};

use super::*;

/// Signs with the key 1, whose address is public knowledge, by the nonce 1: `r` is the generator's x.
///
/// `s = (h + r) mod n`, so signing takes no library.
fn sign(receipt: Receipt) -> SignedReceipt {
    let n = U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    )
    .unwrap();
    let r = U256::from_str_radix(
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        16,
    )
    .unwrap();
    let hash = U256::from_be_bytes(receipt.signing_hash().0);
    let s = (hash % n).add_mod(r, n);
    // The generator's y is even; taking the smaller s turns the parity.
    let (s, odd) = if s > n >> 1 { (n - s, true) } else { (s, false) };
    let signature = Signature::new(r, s, odd).as_bytes();
    SignedReceipt { receipt, signature }
}

/// Of the private key 1.
const NODE: [u8; 20] = alloy_primitives::hex!("7e5f4552091a69125d5dfcb7b8c2659029395bdf");

fn ask() -> Ask {
    Ask {
        model: ContentHash([4; 32]),
        prompt: Prompt::Text("once".into()),
        parameters: Parameters { most: 3, ..Parameters::default() },
        prices: Prices { input: Amount(1_000_000), output: Amount(2_000_000) },
        nonce: [9; 32],
    }
}

fn said() -> Vec<Said> {
    vec![Said { token: 5, likely: None }, Said { token: 6, likely: None }]
}

fn receipt() -> Receipt {
    let ask = ask();
    Receipt {
        chain_id: 7,
        node: NODE,
        caller: [2; 32],
        nonce: ask.nonce,
        model: ask.model,
        prompt: ask.prompt.hash(),
        parameters: ask.parameters,
        output: output_hash(&said(), "upon", End::Stop),
        prompt_tokens: 2,
        output_tokens: 2,
        end: End::Stop,
        prices: ask.prices,
        charge: Amount(6),
    }
}

fn judge(receipt: Receipt) -> Result<(), Fault> {
    let (ask, said) = (ask(), said());
    let asked = Asked { chain_id: 7, node: NODE, caller: [2; 32], ask: &ask };
    let heard = Heard::Text { said: &said, text: "upon", end: End::Stop };
    check(&asked, &heard, &sign(receipt))
}

#[test]
fn a_right_receipt_passes_and_any_other_does_not() {
    assert_eq!(judge(receipt()), Ok(()));
    type Change = fn(&mut Receipt);
    let changes: [(Change, Fault); 11] = [
        (|r| r.chain_id = 8, Fault::Asked("chain")),
        (|r| r.caller[0] = 9, Fault::Asked("caller")),
        (|r| r.nonce[0] = 1, Fault::Asked("nonce")),
        (|r| r.model.0[0] = 1, Fault::Asked("model")),
        (|r| r.prompt[0] ^= 1, Fault::Asked("prompt")),
        (|r| r.parameters.seed = 1, Fault::Asked("way of choosing")),
        (|r| r.prices.input.0 = 1, Fault::Asked("price")),
        (|r| r.output_tokens = 3, Fault::Heard("number of tokens")),
        (|r| r.output[0] ^= 1, Fault::Heard("answer")),
        (|r| r.charge.0 = 7, Fault::Charge { found: 7, due: Some(Amount(6)) }),
        (|r| r.prompt_tokens = 5000, Fault::Tokens { of: "prompt", found: 5000, most: 1028 }),
    ];
    for (change, fault) in changes {
        let mut changed = receipt();
        change(&mut changed);
        assert_eq!(judge(changed), Err(fault));
    }
}

#[test]
fn only_the_provider_signs() {
    let mut signed = sign(receipt());
    assert_eq!(signer(&signed), Some(Address::from(NODE)));
    signed.receipt.output_tokens += 1;
    assert_ne!(signer(&signed), Some(Address::from(NODE)));
}

#[test]
fn computing_again_finds_every_lie() {
    let (prompt, said) = (ask().prompt, said());
    let heard = Heard::Text { said: &said, text: "upon", end: End::Stop };
    let again = Again { prompt: &prompt, prompt_tokens: 2, heard };
    assert_eq!(compare(&sign(receipt()), &again), Ok(()));
    let more = Receipt { prompt_tokens: 3, charge: Amount(7), ..receipt() };
    assert_eq!(compare(&sign(more), &again), Err(Fault::Heard("number of prompt tokens")));
    let other = Heard::Text { said: &said, text: "on", end: End::Stop };
    let again = Again { heard: other, ..again };
    assert_eq!(compare(&sign(receipt()), &again), Err(Fault::Heard("answer")));
}

#[test]
fn receipts_for_embeddings_are_for_these_and_count_no_tokens_of_an_answer() {
    let prompt = Prompt::Inputs(vec![Input::Text("a".into()), Input::Tokens(vec![5, 6])]);
    let ask = Ask { prompt: prompt.clone(), parameters: Parameters::NONE, ..ask() };
    let came = [vec![1, -2], vec![3, 4]];
    let right = Receipt {
        prompt: prompt.hash(),
        parameters: Parameters::NONE,
        output: EmbeddingsHash::of(came.iter().map(Vec::as_slice)),
        prompt_tokens: 7,
        output_tokens: 0,
        end: End::Stop,
        charge: Amount(7),
        ..receipt()
    };
    let judged = |change: fn(&mut Receipt)| {
        let mut changed = right.clone();
        change(&mut changed);
        let signed = sign(changed);
        let asked = Asked { chain_id: 7, node: NODE, caller: [2; 32], ask: &ask };
        let heard = Heard::Embeddings(&came);
        let again = Again { prompt: &prompt, prompt_tokens: 7, heard };
        [check(&asked, &heard, &signed), compare(&signed, &again)]
    };
    assert_eq!(judged(|_| {}), [Ok(()), Ok(())]);
    let both = |fault: Fault| -> [Result<(), Fault>; 2] { [Err(fault.clone()), Err(fault)] };
    assert_eq!(judged(|r| r.output[0] ^= 1), both(Fault::Heard("answer")));
    assert_eq!(judged(|r| r.end = End::Length), both(Fault::Heard("end")));
    assert_eq!(judged(|r| r.output_tokens = 1), both(Fault::Heard("number of tokens")));
    let charge = Fault::Charge { found: 8, due: Some(Amount(7)) };
    assert_eq!(judged(|r| r.charge.0 = 8), both(charge));
    // More than the inputs can have is seen without the model, any other number with it.
    let most = prompt.most_tokens();
    let [checked, compared] = judged(|r| (r.prompt_tokens, r.charge.0) = (1000, 1000));
    assert_eq!(checked, Err(Fault::Tokens { of: "prompt", found: 1000, most }));
    assert_eq!(compared, Err(Fault::Heard("number of prompt tokens")));
}

proptest! {
    #[test]
    fn signatures_of_noise_are_nobodys(bytes in proptest::collection::vec(any::<u8>(), 65)) {
        let signature = <[u8; 65]>::try_from(bytes.as_slice()).unwrap();
        let signed = SignedReceipt { receipt: receipt(), signature };
        prop_assert_ne!(signer(&signed), Some(Address::from(NODE)));
    }
}

#[test]
fn a_receipt_has_one_signature_and_no_other_form_of_it() {
    let signed = sign(receipt());
    assert_eq!(signer(&signed), Some(Address::from(NODE)));
    let parity = signed.signature[64];
    assert!(matches!(parity, 27 | 28), "{parity}");
    // The same signature to a library that is generous: as a bare parity, and with a chain's number.
    for other in [parity - 27, parity - 27 + 35, parity + 2] {
        let mut changed = signed.clone();
        changed.signature[64] = other;
        assert_eq!(signer(&changed), None, "{other}");
    }
}
