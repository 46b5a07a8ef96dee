//! `eth_simulateV1`.

use std::rc::Rc;

use alloy_eips::{BlockId, BlockNumberOrTag};

use super::{Arguments, Rpc, error::RpcError};
use crate::{
    message::Watch,
    simulate::{Bounds, On, Request, SimulateError, SimulatedBlock, simulate},
};

pub(super) fn simulate_v1(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Vec<SimulatedBlock>, RpcError> {
    let request: Request = args.required()?;
    let block: Option<BlockId> = args.take_optional()?;
    let head = rpc.head();
    let pending = match block {
        Some(BlockId::Number(BlockNumberOrTag::Pending)) => Some(rpc.pending()?),
        Some(_) | None => None,
    };
    let on = match &pending {
        Some(pending) => On::Pending(pending),
        None => {
            let number = head.existing(block)?;
            head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
            On::Block(&head, number)
        }
    };
    let limits = &rpc.node.limits;
    let watch = Rc::new(Watch::start(&rpc.turns, limits.call_time_max));
    let bounds = Bounds { gas_max: limits.call_gas_max, watch };
    simulate(&rpc.node.spec, on, &request, &bounds)
        .map_err(|SimulateError { code, message }| RpcError::coded(code, message))
}
