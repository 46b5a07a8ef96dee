// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IAudits} from "./IAudits.sol";
import {IJudge} from "./IJudge.sol";

/// @title The one door between JobBook and Registry and those who judge ranges.
/// @notice JobBook and Registry know one judge and none of those who sit behind it. The JobBook passes on what a job asks for as flags;
/// itself it knows only what they mean for money and time (two providers are paid, late ranges are refused). The judge is fixed as
/// they are, at construction, so somebody else behind it is a new deployment of all.
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

    /// @notice Replicas only: a provider's record in audits is gone, because it was silent and lost all of its stake.
    function forget(uint32 number) external;

    /// @notice Who judges only: a provider's record in audits is smaller by the value (base units) of a range that nobody could hold.
    function strike(uint32 number, uint256 value) external;

    /// @notice Replicas only: a replicated range has this root, and its audit begins, at a rate of at least `rate` (billionths; 0: as
    /// its provider's record and exposure ask).
    /// @param provider number of its provider
    function audit(uint64 jobId, uint32 seq, uint32 provider, bytes32 root, uint256 rate) external;

    /// @notice Replicas only: the two providers of a range differ in one leaf. It has the primary's root, and auditors vote on that leaf.
    /// @param provider number of the primary
    /// @param position place of the leaf in the range
    /// @param claimed the primary's answer: that of an audit all of whose drawn leaves are this one
    /// @param worth what the leaf costs, base units
    function dispute(
        uint64 jobId,
        uint32 seq,
        uint32 provider,
        bytes32 root,
        uint32 position,
        bytes32 claimed,
        uint256 worth
    ) external;

    /// @notice What the audit of a range has come to, and the answer that stands.
    function verdictOf(uint64 jobId, uint32 seq) external view returns (IAudits.Outcome outcome, bytes32 answer);

    /// @notice Owner of the mate that gave this answer in a dispute (0: whatever it answered); 0: nobody.
    function accuserOf(uint64 jobId, uint32 seq, bytes32 answer) external view returns (address);

    /// @notice Waiting only: a provider's bond becomes exposure of its stake, see IRegistry.
    function expose(uint32 number, uint128 value) external;

    /// @notice Waiting only: the bond is free again.
    function free(uint32 number, uint128 value) external;
}
