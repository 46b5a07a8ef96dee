//! Who must have a job's results before they are paid without its client, as people are told it: before money moves and ever after.

use tilth_verification::holding::{FIRST_HOLDERS, HOLDERS};

/// Votes of the first holders that are a majority of them.
const FIRST_HELD: usize = majority(FIRST_HOLDERS);
/// Votes of all of them that are one.
const ALL_HELD: usize = majority(HOLDERS);

const fn majority(open: usize) -> usize {
    (open / 2).saturating_add(1)
}

/// What `--keep` asks for, and what follows without it.
pub fn availability(kept: bool) -> String {
    if kept {
        format!(
            "held by {FIRST_HELD} of {FIRST_HOLDERS} drawn holders within an hour, or {ALL_HELD} of {HOLDERS} within two"
        )
    } else {
        "none: after the window what the client does not acknowledge is paid whether anybody can fetch it or not; \
         `--audited --keep 7` asks for holders"
            .to_owned()
    }
}

/// The same for programs: of a job that is not kept nobody.
pub fn holders(kept: bool) -> Option<&'static str> {
    kept.then_some("holders")
}

#[cfg(test)]
mod tests {
    use tilth_verification::holding::{HOLD_TIME_S, is_majority, open_draws};

    use super::*;

    #[test]
    fn as_many_as_are_enough_by_the_rules_are_named() {
        let said = "held by 4 of 7 drawn holders within an hour, or 8 of 15 within two";
        assert_eq!((availability(true).as_str(), holders(true)), (said, Some("holders")));
        let none = availability(false);
        assert!(none.starts_with("none") && none.contains("`--audited --keep 7`"), "{none}");
        assert_eq!(holders(false), None);
        for (hours, enough, drawn) in [(1, FIRST_HELD, FIRST_HOLDERS), (2, ALL_HELD, HOLDERS)] {
            assert_eq!(open_draws(hours * 3_600), drawn, "within so many hours");
            assert!(is_majority(enough, drawn) && !is_majority(enough - 1, drawn));
        }
        assert_eq!((HOLD_TIME_S, open_draws(7_201)), (3_600, 0));
    }
}
