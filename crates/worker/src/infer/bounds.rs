//! What the protocol says of models is what the models here do. Neither crate sees the other, so it is compared where
//! both are seen, at build time.

use tilth_protocol::infer::{
    LONGER, MAX_ALTERNATIVES, MAX_ANSWER_TOKENS, MAX_PROMPT_BYTES,
    embed::{EMBEDDING_FRACTION, MAX_DIMENSIONS},
};
use tilth_tensor::{
    encoder::FRACTION,
    engine::MOST_ALTERNATIVES,
    int1::{attention::LONGEST_CONTEXT, norm::LONGEST},
    tokenizer::{self, LONGEST_TEXT},
};

const _: () = {
    assert!(MAX_ANSWER_TOKENS as usize == LONGEST_CONTEXT, "the longest answer");
    assert!(MAX_ALTERNATIVES as usize == MOST_ALTERNATIVES, "alternatives of a token");
    assert!(MAX_DIMENSIONS as usize == LONGEST, "elements of an embedding");
    assert!(EMBEDDING_FRACTION.cast_signed() == FRACTION, "fractional bits of an embedding");
    assert!(MAX_PROMPT_BYTES <= LONGEST_TEXT, "the longest prompt");
    assert!(LONGER == tokenizer::LONGER, "how much longer a normal form is");
};

#[cfg(test)]
mod tests {
    use tilth_protocol::infer::embed::single;
    use tilth_tensor::encoder::to_f32;

    #[test]
    fn both_crates_round_elements_alike() {
        let near = |place: i32| (-3..=3).map(move |by| place.saturating_add(by));
        let places = (0..31).flat_map(|bit| [1_i32 << bit, -(1_i32 << bit)]);
        let all: Vec<i32> = places.flat_map(near).chain([i32::MIN, i32::MAX, 0]).collect();
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let ours: Vec<f32> = all.iter().map(|element| single(*element)).collect();
        assert_eq!(bits(&to_f32(&all)), bits(&ours));
    }
}
