//! What is paid, when, and how results are judged.

use serde::{Deserialize, Serialize};
use tilth_protocol::{Amount, Clock, Price, Problem};

/// The terms of payment and schedule that go on chain beside the spec's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Offer {
    /// Per unit; on the clock the most that is paid.
    pub price: Price,
    /// The clock, if the price is not posted; its cap is `price`.
    pub clock: Option<Clock>,
    /// Challenge window, seconds; `None`: the shortest that the contract allows for the value.
    pub window_s: Option<u32>,
    /// Seconds after its claim from which a range may be expired.
    pub range_timeout_s: u32,
    /// How long one range should take, seconds.
    pub target_s: u16,
    /// Seconds from opening after which nothing is claimed any more.
    pub deadline_s: u32,
    /// Provider slots expected.
    pub parallelism: u16,
    /// Tasks in a provider's first range.
    pub first_range: u32,
    /// Failed tasks after which the job stops softly; 0: never.
    pub max_failures: u32,
    /// Whether samples of what is submitted are re-executed by auditors before it is paid.
    #[serde(default)]
    pub audited: bool,
    /// Providers of a range, each of which is paid for it: 1, or [`MAX_REPLICAS`](super::MAX_REPLICAS) in an audited job.
    #[serde(default = "one_replica")]
    pub replicas: u8,
    /// For how long auditors keep what is not acknowledged, seconds; `None`: it is paid without anybody having it.
    #[serde(default)]
    pub keep_s: Option<u32>,
    /// Class bits that a provider must have.
    pub required_class: u64,
    /// Graphics memory that a provider must have, MiB.
    #[serde(default)]
    pub min_vram_mib: u32,
}

fn one_replica() -> u8 {
    1
}

impl Offer {
    /// Whether it has what its replicas and its holders need. A job file is not asked: a command line may still say more.
    ///
    /// # Errors
    /// Several providers for a range, and nobody who would judge between them; holders, and nobody who would draw them.
    pub fn check(&self) -> Result<(), Problem> {
        if self.replicas > 1 && !self.audited {
            let replicas = self.replicas;
            return Err(Problem::new(
                "a job with replicas must be audited",
                format!("replicas is {replicas}, and nobody would judge between two results"),
                "add `audited = true` under [verification] (or --audited), or leave out `replicas`",
            ));
        }
        if let Some(keep) = self.keep_s.filter(|_| !self.audited) {
            return Err(Problem::new(
                "a job that is to be kept must be audited",
                format!("keep is {keep} s, and those who hold its results are its auditors"),
                "add `audited = true` under [verification] (or --audited), or leave out `keep`",
            ));
        }
        Ok(())
    }

    /// What all providers of a range get together if each gets so much; `None` if it is too much.
    pub fn for_all(&self, each: Amount) -> Option<Amount> {
        each.0.checked_mul(u128::from(self.replicas.max(1))).map(Amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(audited: bool, replicas: u8) -> Offer {
        Offer {
            price: Price(1),
            clock: None,
            window_s: None,
            range_timeout_s: 60,
            target_s: 10,
            deadline_s: 60,
            parallelism: 1,
            first_range: 1,
            max_failures: 0,
            audited,
            replicas,
            keep_s: None,
            required_class: 0,
            min_vram_mib: 0,
        }
    }

    #[test]
    fn replicas_are_for_audited_jobs_alone() {
        for (audited, replicas) in [(false, 1), (true, 1), (true, 2)] {
            assert_eq!(offer(audited, replicas).check(), Ok(()), "{audited} {replicas}");
        }
        let problem = offer(false, 2).check().unwrap_err();
        assert!(problem.what.contains("must be audited"), "{problem}");
        assert!(problem.detail.contains("replicas is 2"), "{problem}");
        assert!(problem.advice.contains("--audited"), "{problem}");
    }

    #[test]
    fn only_auditors_hold_what_is_kept() {
        for (audited, keep_s) in [(true, Some(86_400)), (true, None), (false, None)] {
            assert_eq!(Offer { keep_s, ..offer(audited, 1) }.check(), Ok(()));
        }
        let problem = Offer { keep_s: Some(86_400), ..offer(false, 1) }.check().unwrap_err();
        assert!(problem.what.contains("must be audited"), "{problem}");
    }

    #[test]
    fn every_provider_of_a_range_is_paid_for() {
        let most = Amount(u128::MAX / 2 + 1);
        assert_eq!(offer(true, 1).for_all(most), Some(most));
        assert_eq!(offer(true, 2).for_all(Amount(7)), Some(Amount(14)));
        assert_eq!(offer(true, 2).for_all(most), None, "more than there can be");
    }

    #[test]
    fn offers_of_earlier_versions_have_one_provider() {
        let mut written = serde_json::to_value(offer(true, 2)).unwrap();
        let read: Offer = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(read, offer(true, 2));
        for later in ["replicas", "keep-s"] {
            written.as_object_mut().unwrap().remove(later).unwrap();
        }
        let read: Offer = serde_json::from_value(written).unwrap();
        assert_eq!(read, offer(true, 1));
    }
}
