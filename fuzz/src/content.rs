//! What is fuzzed of content: which parts of sequences strangers ask for. Runs as a test of `tilth-client`, and under
//! libFuzzer with `--features client`.

use tilth_blobs::hostile;

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[("parts", parts)];

/// Requests for parts of sequences, as JSON in the place of their own encoding: how many places further each begins,
/// and which of its chunks by turns are left out and wanted. What is found to be wanted is what these say.
pub fn parts(data: &[u8]) {
    wanted(data);
}

/// What was found, if it is a request.
pub fn wanted(data: &[u8]) -> Option<Option<bool>> {
    let ranges = serde_json::from_slice(data).ok()?;
    let found = hostile::wants_parts(&ranges);
    let said: Vec<(u64, Vec<u64>)> = serde_json::from_slice(data).expect("it is the same form");
    let mut at = 0_u64;
    let starts: Vec<(u64, bool)> = said
        .iter()
        .map(|(further, chunks)| {
            at = at.checked_add(*further).expect("others are refused");
            (at, !chunks.is_empty())
        })
        .collect();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
    let behind_the_list = starts.iter().zip(ends).any(|((_, some), end)| *some && end > 1);
    let is_near = starts.last().is_none_or(|(at, _)| *at <= hostile::MAX_PARTS + 1);
    assert_eq!(found, is_near.then_some(behind_the_list), "{said:?}");
    Some(found)
}
