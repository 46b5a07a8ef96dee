// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IJudge} from "./IJudge.sol";

/// @title The one door between JobBook and Registry and those who judge ranges.
/// @notice JobBook and Registry know one judge, and pass on flags whose meaning only it knows: who sits behind it changes their code only
/// where they must be told more. It is fixed at construction as they are, so somebody else behind it is a new deployment of all.
interface IBench is IJudge {
    /// @notice Only the JobBook may call this.
    error NotJobBook(address caller);
    /// @notice Only a contract that judges may call this.
    error NotOnTheBench(address caller);
    /// @notice Only the Replicas contract may call this.
    error NotReplicas(address caller);
    /// @notice Only the Waiting contract may call this.
    error NotWaiting(address caller);
    /// @notice A range that is not audited, or asks for something that nobody here does.
    error UnknownFlags(uint8 flags);
    /// @notice Wrong constructor arguments.
    error BadDeployment();

    /// @notice Who judges only: see IJudged.
    function reject(uint64 jobId, uint32 seq) external;

    /// @notice Who judges only: cuts a share (billionths) of a provider's stake, see IRegistry.
    /// @return cut what was taken
    function punish(uint32 number, uint256 severity, address beneficiary) external returns (uint128 cut);

    /// @notice Replicas only: a provider lost all of its stake because it was silent; its record in audits goes, too.
    function forget(uint32 number) external;

    /// @notice Replicas only: a replicated range has this root, and its audit begins, at a rate of at least `rate` (billionths; 0: as
    /// its provider's record and exposure ask).
    /// @param provider number of its provider
    function audit(uint64 jobId, uint32 seq, uint32 provider, bytes32 root, uint256 rate) external;

    /// @notice Waiting only: a provider's bond becomes exposure of its stake, see IRegistry.
    function expose(uint32 number, uint128 value) external;

    /// @notice Waiting only: the bond is free again.
    function free(uint32 number, uint128 value) external;
}
