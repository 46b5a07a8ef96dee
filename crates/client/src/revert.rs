//! What a contract's refusal means to people.

use alloy::{primitives::Bytes, sol_types::SolError};
use tilth_protocol::Problem;

/// Explains revert data of any contract we call.
pub(crate) fn explain(action: &'static str, data: &Bytes) -> Problem {
    if let Ok(text) = alloy::sol_types::Revert::abi_decode(data) {
        return Problem::new(
            "a contract refused",
            text.reason,
            "the detail is the contract's own message",
        );
    }
    Problem::new(
        "a contract refused",
        format!("{action}: {data}"),
        "check the arguments and try again",
    )
}
