//! What is fuzzed of models for hire: what callers and providers say to each other, their receipts, and the programs
//! that are not WebAssembly. Like `words`, plain functions of bytes; `tests/fuzz.rs` of `tilth-verification` runs them
//! in every test run.

use serde_json::Value;
use tilth_protocol::{
    GpuProgram, decode, encode,
    infer::{
        Prompt, SignedReceipt, check_question,
        message::{MAX_QUESTION_BYTES, MAX_REPLY_BYTES, Question, Reply},
        program::InferProgram,
        receipt::MAX_RECEIPT_BYTES,
    },
    spec::{MAX_MEMORY_BYTES, MAX_OUTPUT_BYTES, MAX_UNIT_CAP},
};
use tilth_verification::receipt::{check_charge, signer};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] =
    &[("infer", infer), ("infer_program", infer_program), ("gpu_program", gpu_program)];

/// What JSON says, if it says such a thing. Written out, it says the same.
macro_rules! same_as_json {
    ($said:ty, $json:expr) => {
        serde_json::from_value::<$said>($json.clone()).ok().inspect(|said| {
            let shown = serde_json::to_string(said).expect("it is JSON");
            let read: $said = serde_json::from_str(&shown).expect("it was shown");
            assert_eq!(&read, said);
        })
    };
}

/// Questions, replies and receipts: one value has one encoding, and what may be asked is counted. Receipts and
/// prompts come as JSON, too, in files that anybody may have written.
pub fn infer(data: &[u8]) {
    if let Ok(question) = decode::<Question>(data, MAX_QUESTION_BYTES) {
        assert_eq!(encode(&question), data, "another encoding of the same question");
        if let Question::Ask(ask) = question
            && check_question(&ask.prompt, &ask.parameters).is_ok()
        {
            // No provider may count more than this, so it must be more than nothing.
            assert!(ask.prompt.most_tokens() > 0, "{ask:?}");
        }
    }
    if let Ok(reply) = decode::<Reply>(data, MAX_REPLY_BYTES) {
        assert_eq!(encode(&reply), data, "another encoding of the same reply");
    }
    if let Ok(signed) = decode::<SignedReceipt>(data, MAX_RECEIPT_BYTES) {
        assert_eq!(encode(&signed), data, "another encoding of the same receipt");
        receipt(&signed);
    }
    let Ok(file) = serde_json::from_slice::<Value>(data) else { return };
    for place in [&file, &file["receipt"]] {
        if let Some(signed) = same_as_json!(SignedReceipt, place) {
            receipt(&signed);
        }
    }
    // As it is kept beside a receipt.
    if let Some(prompt) = same_as_json!(Prompt, file["prompt"])
        && prompt.check().is_ok()
    {
        assert!(prompt.most_tokens() > 0, "{prompt:?}");
    }
}

/// Whoever signed a receipt has signed all of it, and what is charged is what tokens and prices make.
fn receipt(signed: &SignedReceipt) {
    let mut other = signed.clone();
    other.receipt.charge.0 ^= 1;
    if let Some(by) = signer(signed) {
        assert_ne!(signer(&other), Some(by), "one signature for two receipts");
    }
    let charges = [signed, &other].map(|signed| check_charge(&signed.receipt).is_ok());
    assert_ne!(charges, [true; 2], "two charges for the same tokens");
}

/// The program of an `infer` job is refused, or within its bounds and the same bytes again.
pub fn infer_program(data: &[u8]) {
    let Ok(program) = InferProgram::from_bytes(data) else { return };
    assert_eq!(program.to_bytes(), data, "another encoding of the same program");
    program.check().expect("it was checked");
}

/// A GPU program is refused, or the same bytes again, and what it takes is known before it runs.
pub fn gpu_program(data: &[u8]) {
    let Ok(program) = GpuProgram::from_bytes(data) else { return };
    assert_eq!(program.to_bytes(), data, "another encoding of the same program");
    program.check().expect("it was checked");
    assert!((1..=MAX_UNIT_CAP).contains(&program.units()), "{} units", program.units());
    assert!(program.memory_bytes() <= MAX_MEMORY_BYTES, "{} bytes", program.memory_bytes());
    let output = program.output_bytes();
    assert!((1..=MAX_OUTPUT_BYTES).contains(&output), "{output} bytes of output");
}
