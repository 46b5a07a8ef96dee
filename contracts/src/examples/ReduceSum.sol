// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IJobBook} from "../interfaces/IJobBook.sol";
import {LeafCheck} from "../libraries/LeafCheck.sol";
import {MerkleSum} from "../libraries/MerkleSum.sol";

/// @title Example: adds up the inline results of a job on chain.
/// @notice Each task of the job writes one number of at most 32 bytes, most significant byte first. Whoever has the leaves
/// (they are in the ranges' manifests) hands them in range by range; nobody has to be trusted, because the root of all
/// leaves of a range is computed here and compared with what its provider submitted and the client accepted or let stand.
contract ReduceSum {
    IJobBook public immutable jobBook;
    uint64 public immutable jobId;

    /// @notice Sum over the ranges added so far.
    uint256 public sum;
    /// @notice Tasks added so far.
    uint32 public tasks;
    /// @notice Ranges added so far.
    mapping(uint32 seq => bool) public added;

    event RangeAdded(uint32 indexed seq, uint256 sum, uint32 tasks);

    error AlreadyAdded(uint32 seq);
    error NotSettled(uint32 seq);
    error WrongLeafCount(uint256 given, uint256 expected);
    error UnexpectedLeaf(uint256 position);
    error NotAnInlineValue(uint32 index);

    constructor(IJobBook jobBook_, uint64 jobId_) {
        (jobBook, jobId) = (jobBook_, jobId_);
    }

    /// @notice True when every task of the job is in the sum.
    function complete() external view returns (bool) {
        return tasks == jobBook.job(jobId).terms.taskCount;
    }

    /// @notice Adds a settled range. `leaves` are all its leaves in order, the prepare leaf first if there is one.
    function add(uint32 seq, MerkleSum.Leaf[] calldata leaves) external {
        if (added[seq]) revert AlreadyAdded(seq);
        IJobBook.Range memory r = jobBook.range(jobId, seq);
        if (r.state != IJobBook.RangeState.Settled) revert NotSettled(seq);
        uint256 extra = jobBook.job(jobId).terms.prepareCap == 0 ? 0 : 1;
        if (leaves.length != r.count + extra) revert WrongLeafCount(leaves.length, r.count + extra);
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves);
        LeafCheck.requireRoot(r, root, tally);
        uint256 total = sum;
        for (uint256 i = 0; i < leaves.length; ++i) {
            MerkleSum.Leaf calldata leaf = leaves[i];
            // The root commits to the leaves, but only these checks say that they are the leaves of this job's tasks.
            uint256 index = i < extra ? uint256(MerkleSum.PREPARE_INDEX) : uint256(r.from) + i - extra;
            if (leaf.job != jobId || leaf.index != index) revert UnexpectedLeaf(i);
            if (i < extra || leaf.status != 0) continue;
            if (leaf.size > 32) revert NotAnInlineValue(leaf.index);
            // An inline value is left-aligned.
            if (leaf.size != 0) total += uint256(leaf.output) >> (8 * (32 - leaf.size));
        }
        added[seq] = true;
        sum = total;
        tasks += r.count;
        emit RangeAdded(seq, total, tasks);
    }
}
