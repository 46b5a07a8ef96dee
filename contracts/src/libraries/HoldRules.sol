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

    /// @notice The most that a content costs whose votes earn so much: the first parts of both asks, the second parts of the one
    /// that is held, and who looks whether it is served; base units.
    /// @param fee_ what a vote earns when it is signed
    /// @param least what one earns that looks: the least fee of an audit
    function cost(uint256 fee_, uint256 least) internal pure returns (uint256) {
        return (Parameters.HOLDERS + Parameters.MOST_HELD) * fee_ + Parameters.SPOTTERS * least;
    }

    /// @notice What a provider loses whose range nobody could hold in two asks: a tenth of its value (NOT_HELD), and at least what
    /// those who came for it would have earned (INPUTS_LOST least fees); base units. Twice what it is charged for audits comes before.
    /// @param value of the range, base units, below 2^96
    /// @param least least fee of an audit, base units, below 2^96
    function lost(uint256 value, uint256 least) internal pure returns (uint256 due) {
        due = value * Parameters.NOT_HELD / Parameters.ONE;
        uint256 floor = Parameters.INPUTS_LOST * least;
        if (due < floor) due = floor;
    }

    /// @notice Which draws of holders have been seen to serve: by most of those who looked, if a majority of all did.
    /// @param seen by how many each was seen, 4 bits a draw, draw 0 lowest
    /// @param votes how many looked
    function served(uint256 seen, uint256 votes) internal pure returns (uint256 bits) {
        if (2 * votes <= Parameters.SPOTTERS) return 0;
        for (uint256 i = 0; i < Parameters.HOLDERS; ++i) {
            if (2 * (seen >> 4 * i & 15) > votes) bits |= 1 << i;
        }
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
