//! A walk's transactions, from the leaves of one of its two providers; and what a log says about another's nodes.

use alloy::{primitives::Log, sol_types::SolEvent};
use tilth_contracts::{
    Replicas,
    bindings::replicas::MerkleSum::{Leaf as OnChainLeaf, Sibling},
};
use tilth_protocol::{JobId, Leaf, RangeId, Tally};
use tilth_verification::{
    MerkleSum,
    walk::{Node, Place},
};

use super::words::{Effect, Event};
use crate::{Account, ChainError};

/// What is sent in a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Our nodes, with those of the other one if there are any.
    Walk(Replicas::walkCall),
    /// Our leaf.
    Show(Replicas::showCall),
}

impl Move {
    /// What an effect asks for, by whom has found these leaves. `None`: nothing of a walk, or its place is not in them.
    pub fn of(effect: &Effect, leaves: &[Leaf]) -> Option<Self> {
        let range = effect.range();
        let (job, seq) = (range.job, range.seq);
        match effect {
            Effect::Post { at, theirs, .. } => {
                let tree = MerkleSum::build(job, leaves).ok()?;
                let mine = tree.below(*at)?.iter().map(sibling).collect();
                let theirs = theirs.iter().map(sibling).collect();
                Some(Self::Walk(Replicas::walkCall { jobId: job.0, seq, mine, theirs }))
            }
            Effect::Open { position, .. } => {
                let leaf = on_chain(job, leaves.get(usize::try_from(*position).ok()?)?);
                Some(Self::Show(Replicas::showCall { jobId: job.0, seq, leaf }))
            }
            _ => None,
        }
    }

    pub(super) async fn send(self, account: &Account) -> Result<(), ChainError> {
        let replicas = account.link().addresses().replicas;
        match self {
            Self::Walk(call) => account.execute(replicas, call).await,
            Self::Show(call) => account.execute(replicas, call).await,
        }
        .map(drop)
    }
}

/// Whether a log says what somebody has posted first.
pub(super) fn posted(log: &Log) -> Option<Event> {
    let said = Replicas::NodesPosted::decode_log(log).ok()?;
    let nodes = said.nodes.iter().map(node).collect::<Option<_>>()?;
    let at = Place { level: u32::from(said.level), index: said.index };
    let range = RangeId { job: JobId(said.jobId), seq: said.seq };
    Some(Event::Posted { range, number: said.number, at, nodes })
}

fn sibling((hash, tally): &Node) -> Sibling {
    Sibling { hash: *hash, tally: tally.packed() }
}

/// `None`: its failures are more than a range can have, and the contract refuses such.
fn node(sibling: &Sibling) -> Option<Node> {
    let units = u64::try_from(sibling.tally & u128::from(u64::MAX)).ok()?;
    let failures = u32::try_from(sibling.tally >> 64).ok()?;
    Some((sibling.hash, Tally { units, failures }))
}

fn on_chain(job: JobId, leaf: &Leaf) -> OnChainLeaf {
    OnChainLeaf {
        job: job.0,
        index: leaf.index,
        status: leaf.status as u8,
        output: leaf.output.into(),
        size: leaf.size,
        units: leaf.units,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, aliases::U40};
    use tilth_protocol::Status;

    use super::*;
    use crate::mates::words::{Part, Role};

    const RANGE: RangeId = RangeId { job: JobId(7), seq: 3 };

    fn leaves() -> Vec<Leaf> {
        let task = |index: u32| Leaf::finished(index, &index.to_be_bytes(), 5);
        (0..20).map(task).chain([Leaf::failed(20, Status::Trap, 9)]).collect()
    }

    fn post(at: Place, theirs: Vec<Node>) -> Effect {
        let part = Part { from: 0, count: 21 };
        Effect::Post { range: RANGE, role: Role::Mate, part, at, theirs, left: 1 }
    }

    #[test]
    fn nodes_are_those_of_the_tree_and_come_back_as_they_were() {
        let leaves = leaves();
        let tree = MerkleSum::build(RANGE.job, &leaves).unwrap();
        let top = Place::top(21);
        let theirs = tree.below(top).unwrap().to_vec();
        let Some(Move::Walk(call)) = Move::of(&post(top, theirs.clone()), &leaves) else {
            panic!("nothing is sent")
        };
        assert_eq!((call.jobId, call.seq), (7, 3));
        assert_eq!(call.mine, call.theirs);
        assert_eq!(call.mine.len(), 11);
        // The last one is the leaf that failed.
        assert_eq!(call.mine[10].tally, 1 << 64 | 9);
        let said = Replicas::NodesPosted {
            jobId: 7,
            seq: 3,
            number: 4,
            level: 5,
            index: 0,
            nodes: call.mine.clone(),
            due: U40::from(9),
        };
        let log = Log { address: Address::ZERO, data: said.encode_log_data() };
        let heard = Event::Posted { range: RANGE, number: 4, at: top, nodes: theirs };
        assert_eq!(posted(&log), Some(heard));
        let mut strange = said;
        strange.nodes[0].tally = u128::MAX;
        let log = Log { address: Address::ZERO, data: strange.encode_log_data() };
        assert_eq!(posted(&log), None);
    }

    #[test]
    fn what_is_not_in_the_leaves_is_not_sent() {
        let leaves = leaves();
        assert_eq!(Move::of(&post(Place { level: 5, index: 1 }, Vec::new()), &leaves), None);
        assert_eq!(Move::of(&post(Place::top(21), Vec::new()), &[]), None);
        assert_eq!(Move::of(&Effect::Advance { range: RANGE }, &leaves), None);
        let part = Part { from: 0, count: 21 };
        let open =
            |position| Effect::Open { range: RANGE, role: Role::Mate, part, position, left: 1 };
        assert_eq!(Move::of(&open(21), &leaves), None);
        let Some(Move::Show(call)) = Move::of(&open(20), &leaves) else {
            panic!("nothing is sent")
        };
        let leaf = call.leaf;
        assert_eq!((leaf.job, leaf.index, leaf.status, leaf.units), (7, 20, 1, 9));
    }
}
