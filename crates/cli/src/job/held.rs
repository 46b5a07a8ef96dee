//! Who holds the inputs and the ranges of a kept job, whether they were seen to serve it, and what is left of its deposit.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};
use tilth_client::{ChainError, Chronicle, Link, RangeView};
use tilth_contracts::{HoldState, Holders, RangeState, SpotState, Spots};
use tilth_protocol::{Amount, RangeId};
use tilth_verification::holding::{SPOTTERS, is_majority, served};

/// What the chain says of a kept job.
#[derive(Debug, Default)]
pub struct Kept {
    pub ranges: BTreeMap<u32, Held>,
    pub inputs: Option<Held>,
    /// What is left of its deposit.
    pub deposit: Option<Amount>,
    /// What of that may still be earned.
    pub reserved: Option<Amount>,
}

/// How a range or the inputs are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub state: HoldState,
    /// What became of those who hold it when their time was over; `None`: it is not, or nobody has called for anybody.
    pub look: Option<Look>,
}

/// How looking at holders stands. An auditor that was drawn several times counts as often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    state: SpotState,
    /// How many have looked.
    votes: u8,
    /// Draws of holders that have signed, draw 0 lowest.
    signed: u16,
    /// Those of them that most have seen to serve.
    served: u16,
    /// Numbers of the auditors whom these name.
    served_by: Vec<u32>,
}

impl Held {
    /// What is to be known of a look, for programs.
    pub fn look_json(&self) -> Option<Value> {
        let look = self.look.as_ref()?;
        Some(json!({
            "state": look.state.to_string(), "votes": look.votes,
            "signed": look.signed.count_ones(), "served": look.served.count_ones(),
            "served-by": look.served_by,
        }))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(look) = &self.look else { return write!(f, "{}", self.state) };
        if look.state != SpotState::Over {
            return write!(f, "{}, {} ({} of {SPOTTERS})", self.state, look.state, look.votes);
        }
        // Nobody need have it any more.
        match look.votes {
            0 => write!(f, "was {}, nobody looked", self.state),
            votes if is_majority(votes.into(), SPOTTERS) => {
                let (served, signed) = (look.served.count_ones(), look.signed.count_ones());
                write!(f, "was {}, served by {served} of {signed}", self.state)
            }
            votes => write!(
                f,
                "was {}, looked at by {votes} of {SPOTTERS}: too few, nobody is paid",
                self.state
            ),
        }
    }
}

/// Reads it. Of what is not handed in nobody has anything.
pub async fn kept(link: &Link, history: &Chronicle) -> Result<Kept, ChainError> {
    if !history.terms.kept {
        return Ok(Kept::default());
    }
    let job = history.job;
    let mut ranges = BTreeMap::new();
    for range in history.ranges.values().filter(|range| is_handed_in(range)) {
        let held = held(link, RangeId { job, seq: range.seq }).await?;
        ranges.extend(held.map(|held| (range.seq, held)));
    }
    let inputs = held(link, RangeId::inputs(job)).await?;
    let call = Holders::keptCall { jobId: job.0 };
    let keep = link.read(link.addresses().holders, call).await?;
    let [deposit, reserved] =
        [keep.deposit, keep.reserved].map(|amount| Some(Amount(amount.to::<u128>())));
    Ok(Kept { ranges, inputs, deposit, reserved })
}

fn is_handed_in(range: &RangeView) -> bool {
    matches!(range.state, RangeState::Submitted | RangeState::Settled | RangeState::Rejected)
}

/// How one of them is held; a state that this version does not know is not said.
async fn held(link: &Link, range: RangeId) -> Result<Option<Held>, ChainError> {
    let (holders, job, seq) = (link.addresses().holders, range.job.0, range.seq);
    let ask = link.read(holders, Holders::askedCall { jobId: job, seq }).await?;
    let Ok(state) = HoldState::try_from(ask.state) else { return Ok(None) };
    if state != HoldState::Held {
        return Ok(Some(Held { state, look: None }));
    }
    let spot = link.read(link.addresses().spots, Spots::spotOfCall { jobId: job, seq }).await?;
    let (votes, signed) = (spot.votes, ask.bits);
    let look = match SpotState::try_from(spot.state) {
        Err(_) | Ok(SpotState::None) => None,
        Ok(state @ SpotState::Asked) => {
            Some(Look { state, votes, signed, served: 0, served_by: Vec::new() })
        }
        Ok(state @ SpotState::Over) => {
            let named = link.read(holders, Holders::namedCall { jobId: job, seq }).await?;
            let served = served(spot.seen, votes.into());
            Some(Look { state, votes, signed, served, served_by: serving(&named, served) })
        }
    };
    Ok(Some(Held { state, look }))
}

/// Numbers of those whose draws have served, each once.
fn serving(named: &[u32], served: u16) -> Vec<u32> {
    let draws = (0_u32..16).zip(named).filter(|(draw, _)| served >> draw & 1 == 1);
    let numbers: std::collections::BTreeSet<u32> = draws.map(|(_, number)| *number).collect();
    numbers.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_whether_holders_were_seen_to_serve() {
        let state = HoldState::Held;
        let said = |look| Held { state, look }.to_string();
        assert_eq!(said(None), "held");
        let (signed, served_by) = (0b101_1101, vec![2, 9]);
        let look = |state, votes, served| {
            Some(Look { state, votes, signed, served, served_by: served_by.clone() })
        };
        let over = SpotState::Over;
        assert_eq!(said(look(SpotState::Asked, 3, 0)), "held, being looked at (3 of 7)");
        assert_eq!(said(look(over, 4, 0b1001)), "was held, served by 2 of 5");
        assert_eq!(said(look(over, 7, 0)), "was held, served by 0 of 5");
        // That is not the fault of those who held it.
        let few = "was held, looked at by 3 of 7: too few, nobody is paid";
        assert_eq!(said(look(over, 3, 0)), few);
        assert_eq!(said(look(over, 0, 0)), "was held, nobody looked");
        let shown = Held { state, look: look(over, 4, 0b1001) }.look_json().unwrap();
        let due = json!({
            "state": "looked at", "votes": 4, "signed": 5, "served": 2, "served-by": [2, 9],
        });
        assert_eq!(shown, due);
        assert_eq!(Held { state, look: None }.look_json(), None);
    }

    #[test]
    fn who_serves_is_named_once() {
        assert_eq!(serving(&[4, 2, 4, 7, 9], 0b1_0111), [2, 4, 9]);
        assert_eq!(serving(&[], u16::MAX), [] as [u32; 0]);
    }
}
