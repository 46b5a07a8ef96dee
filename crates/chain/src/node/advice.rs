//! What a person can do about the errors of a node.

use super::NodeError;
use crate::execution::ExecutionError;

impl NodeError {
    /// What a person can do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::OtherGenesis { .. } | Self::OtherChain { .. } => {
                "use the genesis the folder was made with, or start with a fresh folder"
            }
            Self::NoRandomness(_) => {
                "the system's source of random bytes must work before anything is signed here"
            }
            Self::Genesis(_) => "correct the genesis",
            Self::OtherForks(_) => {
                "use the schedule of forks the folder was last opened with; only forks after its \
                 last block can be moved. For another past, import its blocks into a fresh folder"
            }
            Self::WrongState { .. } => {
                "the database is damaged: see what `tilth node fsck` says, or start from a snapshot \
                 or a copy"
            }
            Self::UnknownParent(_) | Self::NotNext { .. } => {
                "hand in the blocks before it first, oldest first"
            }
            Self::OtherFinal { .. } => {
                "if this is a block that the others have agreed on, this node has followed another branch to its end: start it again with a fresh \
                 folder or a snapshot of the chain that is to be followed"
            }
            Self::BeforeHeld { .. } => {
                "leave it out: if it is the chain's, it is final here already. To compare it, ask \
                 a node that holds the chain from its genesis"
            }
            Self::TooManyHeld { .. } => {
                "wait until a block becomes final before more are handed in"
            }
            Self::State(error) => error.advice(),
            Self::Execution(error) => of_execution(error),
        }
    }
}

fn of_execution(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::State(error) => error.advice(),
        ExecutionError::Timestamp { .. }
        | ExecutionError::Invalid { .. }
        | ExecutionError::Transaction { .. }
        | ExecutionError::Mismatch { .. } => {
            "correct the block's attributes, or take the block from another node"
        }
        ExecutionError::ProofOfWork { .. } => {
            "import the chain's blocks up to the merge first, or choose a genesis that is proof \
             of stake from its first block on (terminalTotalDifficulty 0)"
        }
        ExecutionError::SystemContract { .. } => {
            "put the contract into the genesis, or let the fork that calls it begin after the \
             block that deploys it"
        }
        ExecutionError::Machine(_) => {
            "run `tilth node fsck`, and report this as a bug if nothing is wrong"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChainError, execution::InvalidBlock, state::StateError};

    fn advice(error: impl Into<NodeError>) -> String {
        let error: NodeError = error.into();
        ChainError::from(error).problem().advice
    }

    #[test]
    fn the_database_is_checked_only_where_it_may_be_wrong() {
        let innocent = [
            ExecutionError::Timestamp { timestamp: 1, parent: 2 },
            ExecutionError::ProofOfWork { number: 1 },
            ExecutionError::Invalid { number: 1, reason: InvalidBlock::DaoMark },
            ExecutionError::SystemContract {
                address: Default::default(),
                reason: "no code".to_owned(),
            },
        ];
        for error in innocent {
            let text = error.to_string();
            let advice = advice(error);
            assert!(!advice.is_empty() && !advice.contains("fsck"), "{text}: {advice}");
        }
        assert!(advice(ExecutionError::Machine("broken".to_owned())).contains("fsck"));
        assert!(advice(StateError::Damaged { what: "header" }).contains("fsck"));
    }

    #[test]
    fn a_folder_is_given_up_only_when_it_follows_another_chain() {
        assert!(advice(NodeError::OtherFinal { number: 7 }).contains("fresh folder"));
        let harmless = [
            NodeError::BeforeHeld { number: 7, first: 9 },
            NodeError::NotNext { number: 7, head: 3 },
            NodeError::UnknownParent(Default::default()),
            NodeError::TooManyHeld { max: 1 },
        ];
        for error in harmless {
            let text = error.to_string();
            let advice = advice(error);
            assert!(!advice.contains("fresh") && !advice.contains("snapshot"), "{text}: {advice}");
        }
    }

    #[test]
    fn a_state_that_cannot_be_read_says_nothing_about_the_block() {
        let damaged = StateError::Damaged { what: "header" };
        let error = NodeError::from(ExecutionError::State(damaged));
        assert!(matches!(error, NodeError::State(StateError::Damaged { .. })), "{error}");
        let error = NodeError::from(ExecutionError::ProofOfWork { number: 1 });
        assert!(matches!(error, NodeError::Execution(_)), "{error}");
    }
}
