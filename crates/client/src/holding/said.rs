//! What is told of a range: how it stands, and up to when it is kept.

use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_protocol::RangeId;

use super::{
    case::Case,
    party::{Party, Rules},
    view::View,
    words::Effect,
};

/// How a kept range stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the contract says.
    Open(HoldState),
    /// The deposit pays nobody for holding it: it is paid without.
    Waived,
    /// Nothing more happens to its ask.
    Over(HoldState),
    /// It is held, and the time of its holders is over: whether they have been looked at.
    Spot(SpotState),
}

impl Standing {
    /// Whether the range may be paid, as far as holders go.
    pub fn may_be_paid(self) -> bool {
        matches!(self, Self::Waived | Self::Over(HoldState::Held) | Self::Spot(_))
    }
}

/// Says how a range stands and what is kept of it, where that is new.
pub(super) fn say(
    rules: Rules,
    range: RangeId,
    case: &mut Case,
    view: &View,
    out: &mut Vec<Effect>,
) {
    if let Some(standing) = stands(rules.party, view)
        && case.shown != Some(standing)
    {
        case.shown = Some(standing);
        out.push(Effect::Show { range, standing });
    }
    let until = view.kept_until();
    if view.is_kept() && case.kept != Some((view.part, until)) {
        case.kept = Some((view.part, until));
        out.push(Effect::Keep { range, until });
    }
}

/// How a range stands, if the chain knows of it and it concerns us.
fn stands(party: Party, view: &View) -> Option<Standing> {
    if view.state == HoldState::Held {
        return match (party, view.spot.state) {
            // Of what others hold it only looks whether they do.
            (Party::Auditor(_), _) if view.draws == 0 => None,
            // It is paid, or will be, whoever holds it then.
            (Party::Provider(_), _) | (_, SpotState::None) => Some(Standing::Over(view.state)),
            (_, state) => Some(Standing::Spot(state)),
        };
    }
    if view.is_over() {
        return Some(Standing::Over(view.state));
    }
    if view.range != RangeState::Submitted {
        return None;
    }
    Some(if view.is_waived() { Standing::Waived } else { Standing::Open(view.state) })
}
