//! Executing a stored chain again.

use super::{Progress, TransferError, check_whole};
use crate::{
    execution::execute,
    node::{Node, NodeError},
    state::{Commitment, Layer, Nothing, StateCommitment},
};

/// Executes every block from the genesis on in memory and compares all roots with the headers.
pub(super) fn replay(
    node: &Node,
    mut progress: impl FnMut(&Progress),
) -> Result<Progress, TransferError> {
    check_whole(node, 0)?;
    let failed = |number| move |reason| TransferError::Block { number, reason };
    let genesis = node.genesis.execute().map_err(|e| failed(0)(e.into()))?;
    let mut state = Layer::new(Nothing);
    state.absorb(&genesis.block.header, &genesis.diff);
    let mut commitment = Commitment::load(&state).map_err(NodeError::from)?;
    let mut parent = genesis.block.header;
    let last = node.head().header.number;
    let mut done = Progress::default();
    for number in 1..=last {
        let stored = node.head().block(number).map_err(NodeError::from)?;
        let block = stored.ok_or(TransferError::NoBlock { number, head: last })?;
        let (executed, advance) =
            execute(&node.spec, &parent, &block, &state, &mut commitment, &state)
                .map_err(|e| failed(number)(e.into()))?;
        node.check_receipts(number, &executed.receipts).map_err(failed(number))?;
        commitment.adopt(advance);
        state.absorb(&executed.block.header, &executed.diff);
        parent = executed.block.header;
        done.count(&block);
        progress(&done);
    }
    Ok(done)
}
