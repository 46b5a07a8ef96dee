// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IJobBook} from "../interfaces/IJobBook.sol";
import {MerkleSum} from "./MerkleSum.sol";

/// @title Checks single results against what providers submitted, for use inside any contract.
library LeafCheck {
    /// @notice The range has no results, or they were not accepted.
    error NoResults(uint64 jobId, uint32 seq, IJobBook.RangeState state);
    /// @notice The leaf is of another job.
    error LeafOfAnotherJob(uint64 jobId, uint64 leafJob);
    /// @notice The leaf's task is not at this position of the range.
    error LeafMisplaced(uint32 index, uint32 position);
    /// @notice The opening leads to another root.
    error RootMismatch(bytes32 expected, bytes32 computed);
    /// @notice The opening leads to another sum of units and failures than was submitted.
    error TallyMismatch(uint128 expected, uint128 computed);

    /// @notice Reverts unless `leaf` is what the submitted or settled range committed to at `position`.
    /// @param position place of the leaf in its range: 0.., the prepare leaf (if the job has one) is at 0
    function check(
        IJobBook book,
        uint64 jobId,
        uint32 seq,
        MerkleSum.Leaf memory leaf,
        uint32 position,
        MerkleSum.Sibling[] calldata proof
    ) internal view {
        IJobBook.Range memory r = book.range(jobId, seq);
        if (r.state != IJobBook.RangeState.Submitted && r.state != IJobBook.RangeState.Settled) {
            revert NoResults(jobId, seq, r.state);
        }
        checkIn(r, jobId, book.job(jobId).terms.prepareCap == 0 ? 0 : 1, leaf, position, proof);
    }

    /// @notice The same for a range that was read already.
    /// @param prepare 1 when the job has a prepare phase, else 0
    /// @return hash of the leaf
    /// @return unitsBefore units of all leaves before it
    function checkIn(
        IJobBook.Range memory r,
        uint64 jobId,
        uint256 prepare,
        MerkleSum.Leaf memory leaf,
        uint32 position,
        MerkleSum.Sibling[] calldata proof
    ) internal pure returns (bytes32 hash, uint256 unitsBefore) {
        if (leaf.job != jobId) revert LeafOfAnotherJob(jobId, leaf.job);
        if (leaf.index != indexAt(r, prepare, position)) revert LeafMisplaced(leaf.index, position);
        hash = MerkleSum.leafHash(leaf);
        bytes32 root;
        uint128 tally;
        (root, tally, unitsBefore) =
            MerkleSum.opened(hash, MerkleSum.leafTally(leaf), position, uint256(r.count) + prepare, proof);
        requireRoot(r, root, tally);
    }

    /// @notice Index of the leaf at a position of a range.
    /// @param prepare 1 when the job has a prepare phase, else 0
    function indexAt(IJobBook.Range memory r, uint256 prepare, uint256 position) internal pure returns (uint256) {
        return position < prepare ? uint256(MerkleSum.PREPARE_INDEX) : uint256(r.from) + position - prepare;
    }

    /// @notice Reverts unless a computed root and tally are those that the range was submitted with.
    function requireRoot(IJobBook.Range memory r, bytes32 root, uint128 tally) internal pure {
        if (root != r.root) revert RootMismatch(r.root, root);
        uint128 expected = MerkleSum.tallyOf(r.units, r.failures);
        if (tally != expected) revert TallyMismatch(expected, tally);
    }
}
