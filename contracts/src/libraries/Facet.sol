// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Code of a contract that does not fit into it and lies in another one.
/// @dev Both are deployed together and know each other for ever; the other's storage layout must be this one's.
library Facet {
    /// @dev Ends the call: runs it as it came with that contract's code on this contract's storage, and returns or reverts with
    /// what comes of it. Only for addresses that are immutable.
    function run(address code) internal {
        assembly ("memory-safe") {
            // A call into nothing succeeds, and would pass for one that did what it should.
            if iszero(extcodesize(code)) { revert(0, 0) }
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let success := delegatecall(gas(), code, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(success) { revert(free, returndatasize()) }
            return(free, returndatasize())
        }
    }
}
