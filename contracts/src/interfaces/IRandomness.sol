// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Numbers that nobody knew when others committed to something.
/// @notice A round is named when the commitment is made and gets its value later: from a block at least two after it, from the
/// validators' threshold signature, or from drand. Who uses this must not do anything that depends on when `value`
/// becomes known.
interface IRandomness {
    /// @notice The round for whatever is committed in this block. Its value is not known to anybody yet.
    function roundNow() external view returns (uint64 round);

    /// @notice The value of a round; 0 while it is not known here.
    function value(uint64 round) external view returns (bytes32);

    /// @notice How often the value was not kept in time, as far as `note` has seen: 0; 1: it is that of a later moment, and
    /// somebody may have waited for it; 2: there will never be one.
    function lapses(uint64 round) external view returns (uint8);

    /// @notice Anyone: keeps the value of a round for good. Returns 0 when there is none to keep yet.
    function note(uint64 round) external returns (bytes32);
}
