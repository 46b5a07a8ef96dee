//! Who decides when two say different things of a range, as people are told it: before money moves and ever after.

use tilth_verification::audit::{COMMITTEE, LEAD};

/// Votes of a whole [`COMMITTEE`] that are a [`LEAD`], whatever the others say.
const OF_ALL: u32 = COMMITTEE.saturating_add(LEAD).div_ceil(2);

/// On every chain that is a committee of auditors: none executes a disputed step itself.
pub fn referee(audited: bool) -> String {
    if audited {
        format!("auditors, {OF_ALL} of {COMMITTEE} or a lead of {LEAD}")
    } else {
        "none: what was handed in is paid after the window, as in every plain job".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use tilth_verification::audit::{Asked, Verdict, verdict};

    use super::*;

    #[test]
    fn the_committees_last_word_is_as_the_rules_have_it() {
        assert_eq!(referee(true), "auditors, 10 of 15 or a lead of 5");
        assert!(referee(false).starts_with("none"));
        let [right, wrong] = [1, 2].map(B256::repeat_byte);
        let asked = Asked { first: 2, last: 1, all: COMMITTEE };
        let votes = |for_right: u32| -> Vec<B256> {
            let count = |count: u32| usize::try_from(count).unwrap();
            let all = std::iter::repeat_n(right, count(for_right));
            all.chain(std::iter::repeat_n(wrong, count(COMMITTEE - for_right))).collect()
        };
        // The claim of the provider is another one, so nothing stands without a lead.
        let claimed = B256::repeat_byte(3);
        let decides = |for_right| verdict(claimed, &votes(for_right), asked);
        assert_eq!(decides(OF_ALL), Verdict::Overturned(right));
        assert_eq!(decides(OF_ALL - 1), Verdict::Undecided, "one vote fewer is no lead");
    }
}
