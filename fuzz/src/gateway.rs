//! What is fuzzed of the gateway: bodies of questions and of the operator's commands. Runs as a test of
//! `tilth-gateway`, and under libFuzzer with `--features gateway`.

use serde_json::Value;
use tilth_gateway::{hostile, parameters_with, prompt_with};
use tilth_protocol::infer::check_question;

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[("gateway", gateway)];

/// Of questions that name none.
const SEED: u64 = 77;
/// Most characters of a refusal.
const REFUSAL_MAX: usize = 600;

/// A body is refused in a few words, or what was read of it is within its bounds; whoever checks the answer reads the
/// same of it.
pub fn gateway(data: &[u8]) {
    for read in hostile::questions(data, SEED) {
        match read {
            Ok((prompt, parameters, answers)) => {
                check_question(&prompt, &parameters).expect("it was checked");
                assert!((1..=16).contains(&answers), "{answers} answers");
            }
            Err(refused) => {
                let message = refused["error"]["message"].as_str().expect("a reason");
                assert!((1..=REFUSAL_MAX).contains(&message.chars().count()), "{message}");
            }
        }
    }
    let _ = hostile::operators(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let (Some(tab), _) = hostile::in_path(text)
    {
        assert_eq!(hostile::in_path(&tab).0.as_ref(), Some(&tab), "{text}");
    }
    again(data);
}

/// What is JSON is looked at once more the way this program writes it: then no field is there twice, of which readers
/// of some of the fields take no notice and others do.
fn again(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if !value.is_object() {
        return;
    }
    let body = value.to_string();
    for (prompt, parameters, _) in hostile::questions(body.as_bytes(), SEED).into_iter().flatten() {
        let found = prompt_with(body.as_bytes(), &prompt.hash());
        assert_eq!(found.as_ref(), Ok(&prompt), "{body}");
        let made = parameters_with(body.as_bytes(), &prompt, &parameters);
        assert_eq!(made.as_ref(), Ok(&parameters), "{body}");
    }
}
