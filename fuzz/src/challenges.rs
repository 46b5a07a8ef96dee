//! What is fuzzed of challenges: what asker and provider say to each other, and transcripts from anybody. Like `words`,
//! plain functions of bytes; `tests/fuzz.rs` of `tilth-verification` runs them in every test run.

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use tilth_protocol::{
    challenge::{
        Hash, Task, Transcript,
        answer::{
            SIGNATURE_BYTES, commit_digest, ends_digest, openings_digest, signing_hash,
            statement_digest,
        },
        message::{MAX_QUESTION_BYTES, MAX_REPLY_BYTES, Question, Reply},
    },
    decode, encode,
};
use tilth_verification::challenge::{Fault, check};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] =
    &[("question", question), ("reply", reply), ("transcript", transcript)];

/// What an asker says: one value has one encoding, and what may be begun is within its bounds.
pub fn question(data: &[u8]) {
    let Ok(question) = decode::<Question>(data, MAX_QUESTION_BYTES) else { return };
    assert_eq!(encode(&question), data, "another encoding of the same question");
    if let Question::Ask(statement) = question
        && statement.check().is_ok()
    {
        // What is promised to a device before it begins.
        assert!(statement.task.memory_bytes() > 0 && statement.task.opening_bytes() > 0);
    }
}

/// What a provider says.
pub fn reply(data: &[u8]) {
    let Ok(reply) = decode::<Reply>(data, MAX_REPLY_BYTES) else { return };
    assert_eq!(encode(&reply), data, "another encoding of the same reply");
}

/// Work of a check that is small enough for thousands of them.
fn is_small(task: &Task) -> bool {
    match task {
        Task::Products(task) => task.order <= 256 && task.samples <= 64,
        Task::Memory(_) => true,
    }
}

/// A transcript as it came, and as if a provider had signed just that, so that its samples are looked at: then nobody
/// is at fault but the one who signed.
pub fn transcript(data: &[u8]) {
    let Ok(mut transcript) = Transcript::from_bytes(data) else { return };
    assert_eq!(transcript.to_bytes(), data, "another encoding of the same transcript");
    if !is_small(&transcript.statement.task) {
        return;
    }
    let _ = check(&transcript);
    let signer = PrivateKeySigner::from_bytes(&[0x11; 32].into()).expect("a valid key");
    let seal = |digest: &Hash| -> [u8; SIGNATURE_BYTES] {
        signer.sign_hash_sync(&signing_hash(digest)).expect("a key at hand signs").as_bytes()
    };
    transcript.statement.subject.node = signer.address().into();
    transcript.statement.promise = transcript.secret.promise();
    let mut fixed = statement_digest(&transcript.statement);
    fixed = commit_digest(&fixed, &transcript.commit.said);
    transcript.commit.signature = seal(&fixed);
    if let Some(ends) = &mut transcript.ends {
        fixed = ends_digest(&fixed, &ends.said);
        ends.signature = seal(&fixed);
    }
    let digest = openings_digest(&fixed, &transcript.secret, &transcript.openings.said);
    transcript.openings.signature = seal(&digest);
    let walked = matches!(transcript.statement.task, Task::Memory(_));
    match check(&transcript) {
        Ok(()) | Err(Fault::Statement(_)) => {}
        Err(Fault::Unsigned { .. }) => {
            assert_ne!(transcript.ends.is_some(), walked, "what was signed is not recognised");
        }
        Err(fault) => assert!(fault.is_providers(), "{fault}"),
    }
}
