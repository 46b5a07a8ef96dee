// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {Parameters} from "./Parameters.sol";

/// @title The rules of kept ranges: who may sign when, how many are enough, what a signature earns.
/// @dev Pure. The same rules in Rust: module `holding` of the crate `verification`; both are held to
/// vectors/trust.json.
library HoldRules {
    /// @notice What a holder earns when it signs: half of the least fee, of fetching and of keeping, rounded down;
    /// base units.
    /// @param least least fee of an audit, base units, below 2^96
    /// @param mib size of the content, MiB, below 2^32
    /// @param perMib base units for fetching a MiB, below 2^96
    /// @param perMibDay base units for keeping a MiB for a day, below 2^96
    /// @param keepSeconds how long it is kept, below 2^32
    function fee(uint256 least, uint256 mib, uint256 perMib, uint256 perMibDay, uint256 keepSeconds)
        internal
        pure
        returns (uint256)
    {
        return (least + mib * perMib + mib * perMibDay * keepSeconds / 1 days) / Parameters.HOLD_PARTS;
    }

    /// @notice How many draws may sign so many seconds after the first may; 0: none any more.
    function openDraws(uint256 elapsed) internal pure returns (uint256) {
        if (elapsed <= Parameters.HOLD_TIME) return Parameters.FIRST_HOLDERS;
        return elapsed <= 2 * Parameters.HOLD_TIME ? Parameters.HOLDERS : 0;
    }

    /// @notice Whether so many votes of so many are enough: 4 of 7, 8 of 15.
    function isMajority(uint256 votes, uint256 open) internal pure returns (bool) {
        return open != 0 && 2 * votes > open;
    }
}
