use proptest::prelude::*;

use super::{
    message::{MAX_QUESTION_BYTES, MAX_REPLY_BYTES},
    receipt::MAX_RECEIPT_BYTES,
    schema::{Bounds, Field, Kind, Node},
    *,
};
use crate::{Amount, decode, encode};

fn receipt() -> Receipt {
    Receipt {
        chain_id: 7,
        node: [1; 20],
        caller: [2; 32],
        nonce: [3; 32],
        model: ContentHash([4; 32]),
        prompt: Prompt::Text("once".into()).hash(),
        parameters: Parameters { stops: vec!["x".repeat(256); 4], ..Parameters::default() },
        output: output_hash(&[Said { token: 5, likely: None }], "upon", End::Length),
        prompt_tokens: 2,
        output_tokens: 1,
        end: End::Length,
        prices: Prices { input: Amount(1_000_000), output: Amount(3_000_000) },
        charge: Amount(5),
    }
}

/// One with nearly as many keys and texts as there may be.
fn large_schema() -> Form {
    let plain = |kind| Node { kind, or_null: false };
    let field =
        |node: u8| Field { key: format!("{node:03}"), node, required: node.is_multiple_of(2) };
    let texts =
        |count: usize| -> Vec<String> { (0..count).map(|number| format!("{number:09}")).collect() };
    let mut nodes = vec![plain(Kind::Object((1..64).map(field).collect()))];
    nodes.extend([64, 64, 60].map(|count| plain(Kind::Enum(texts(count)))));
    let bounds = Bounds { least: Some(i64::MIN), most: Some(i64::MAX) };
    nodes.resize(schema::MAX_NODES, plain(Kind::Bounded(bounds)));
    Form::Schema(Box::new(Schema::new(nodes).unwrap()))
}

fn signed() -> SignedReceipt {
    SignedReceipt { receipt: receipt(), signature: [7; 65] }
}

#[test]
fn receipts_survive_their_encoding_and_fit() {
    let bytes = encode(&signed());
    assert!(bytes.len() <= MAX_RECEIPT_BYTES, "{}", bytes.len());
    assert_eq!(decode::<SignedReceipt>(&bytes, MAX_RECEIPT_BYTES), Ok(signed()));
    let mut held = signed();
    held.receipt.parameters.form = large_schema();
    let bytes = encode(&held);
    assert!((3 << 10..=MAX_RECEIPT_BYTES).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(decode::<SignedReceipt>(&bytes, MAX_RECEIPT_BYTES), Ok(held));
}

/// Books and signatures from before there were schemas are what they were.
#[test]
fn forms_keep_their_bytes() {
    for (form, bytes) in [(Form::Text, [0_u8]), (Form::JsonObject, [1])] {
        assert_eq!(encode(&form), bytes);
    }
    assert_eq!(encode(&large_schema())[0], 2);
}

/// Computed apart from this code, of the bytes that receipts had before there were schemas.
#[test]
fn receipts_without_a_schema_are_signed_as_they_were() {
    let held = |form| {
        let stops = vec!["x".to_owned()];
        let (temperature, top_k, seed) = (1 << 16, 40, 11);
        let parameters =
            Parameters { most: 9, temperature, top_k, seed, stops, form, ..Parameters::default() };
        Receipt { prompt: [5; 32], output: [6; 32], parameters, ..receipt() }
    };
    for (form, due) in [
        (Form::Text, "49c93fedca1e4264a1df4b1b04c572b5561e8614fb0d017e314240c54119429f"),
        (Form::JsonObject, "26c5c246cacc19d537b8d7d49344945ac77ca16509659eeb8059ef6490b40975"),
    ] {
        assert_eq!(alloy_primitives::hex::encode(held(form).signing_hash()), due);
    }
}

#[test]
fn whatever_a_receipt_says_is_signed() {
    let base = receipt().signing_hash();
    let changes: [fn(&mut Receipt); 11] = [
        |r| r.parameters.form = Form::JsonObject,
        |r| r.parameters.form = large_schema(),
        |r| r.chain_id += 1,
        |r| r.node[0] ^= 1,
        |r| r.nonce[31] ^= 1,
        |r| r.model.0[0] ^= 1,
        |r| r.parameters.seed += 1,
        |r| r.output[0] ^= 1,
        |r| r.output_tokens += 1,
        |r| r.end = End::Stop,
        |r| r.charge.0 += 1,
    ];
    for change in changes {
        let mut changed = receipt();
        change(&mut changed);
        assert_ne!(changed.signing_hash(), base);
    }
    // And whatever its schema says.
    let of = |form: Form| {
        let mut held = receipt();
        held.parameters.form = form;
        held.signing_hash()
    };
    let Form::Schema(schema) = large_schema() else { panic!("no schema") };
    let mut nodes: Vec<Node> = (*schema).into();
    nodes[63].or_null = true;
    let other = Form::Schema(Box::new(Schema::new(nodes).unwrap()));
    assert_ne!(of(other), of(large_schema()));
}

#[test]
fn the_largest_question_and_piece_fit_into_their_frames() {
    let message = Message { role: "r".repeat(MAX_ROLE_BYTES), content: "c".repeat(1024) };
    let prompt = Prompt::Chat(vec![message; MAX_MESSAGES]);
    prompt.check().unwrap();
    let ask = message::Ask {
        model: ContentHash::default(),
        prompt,
        parameters: Parameters { form: large_schema(), ..receipt().parameters },
        prices: Prices::default(),
        nonce: [0; 32],
    };
    assert!(encode(&Question::Ask(Box::new(ask.clone()))).len() <= MAX_QUESTION_BYTES);
    let each = MAX_PROMPT_BYTES / embed::MAX_INPUTS;
    let prompt = Prompt::Inputs(vec![Input::Text("i".repeat(each)); embed::MAX_INPUTS]);
    check_question(&prompt, &Parameters::NONE).unwrap();
    let ask = message::Ask { prompt, parameters: Parameters::NONE, ..ask };
    assert!(encode(&Question::Ask(Box::new(ask))).len() <= MAX_QUESTION_BYTES);
    let widest = Reply::Embedding(vec![1; embed::MAX_DIMENSIONS as usize]);
    assert!(encode(&widest).len() <= MAX_REPLY_BYTES);
    let candidate = Candidate { token: 0, bytes: vec![0; MAX_TOKEN_BYTES], log_probability: 0 };
    let likely = Some((candidate.clone(), vec![candidate; MAX_ALTERNATIVES.into()]));
    let said = vec![Said { token: 0, likely }; message::MAX_PIECE_TOKENS];
    let piece = Reply::Piece(Piece { said, text: "t".repeat(8 << 10) });
    assert!(encode(&piece).len() <= MAX_REPLY_BYTES);
}

#[test]
fn absurd_parameters_are_named() {
    let refused = |change: fn(&mut Parameters), names: &str| {
        let mut parameters = Parameters::default();
        parameters.check().unwrap();
        change(&mut parameters);
        let error = parameters.check().expect_err(names).to_string();
        assert!(error.contains(names), "{error}");
    };
    refused(|p| p.most = 0, "most tokens");
    refused(|p| p.most = u32::MAX, "most tokens");
    refused(|p| p.temperature = u32::MAX, "temperature");
    refused(|p| p.top_p = 65_537, "top-p");
    refused(|p| p.stream = 128, "number of the answer");
    refused(|p| p.stops = vec!["a".into(); 5], "stop texts");
    refused(|p| p.stops = vec![String::new()], "stop text's length");
    refused(|p| p.alternatives = Some(21), "alternatives");
    assert!(Prompt::Chat(vec![]).check().is_err());
    assert!(Prompt::Text("x".repeat(MAX_PROMPT_BYTES + 1)).check().is_err());
    let message = Message { role: "us er".into(), content: String::new() };
    assert!(Prompt::Chat(vec![message]).check().is_err());
}

#[test]
fn prices_round_up_and_never_overflow_silently() {
    let prices = Prices { input: Amount(1), output: Amount(0) };
    assert_eq!(prices.cost(0, 9), Some(Amount(0)));
    assert_eq!(prices.cost(1, 0), Some(Amount(1)), "a part of a base unit is a whole one");
    assert_eq!(prices.cost(1_000_001, 0), Some(Amount(2)));
    let dear = Prices { input: Amount(u128::MAX), output: Amount(1) };
    assert_eq!(dear.cost(2, 1), None);
    assert!(dear.check().is_err());
    let highest = Amount(receipt::MAX_TOKEN_PRICE);
    let most = Prices { input: highest, output: highest };
    most.check().unwrap();
    // 2^96 times 2^32 is the most that 128 bits hold, once.
    assert!(most.cost(u32::MAX, 0).is_some());
    assert_eq!(most.cost(u32::MAX, u32::MAX), None);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<SignedReceipt>(&bytes, MAX_RECEIPT_BYTES);
        let _ = decode::<Question>(&bytes, MAX_QUESTION_BYTES);
        let _ = decode::<Reply>(&bytes, MAX_REPLY_BYTES);
    }

    #[test]
    fn cost_grows_with_tokens(a in 0u32.., b in 0u32.., input in 0u128..1 << 90, output in 0u128..1 << 90) {
        let prices = Prices { input: Amount(input), output: Amount(output) };
        if let (Some(less), Some(more)) = (prices.cost(a / 2, b / 2), prices.cost(a, b)) {
            prop_assert!(less <= more);
        }
    }
}
