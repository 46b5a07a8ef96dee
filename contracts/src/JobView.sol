// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IJobBook} from "./interfaces/IJobBook.sol";
import {LeafCheck} from "./libraries/LeafCheck.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";

/// @title Questions about jobs that need more than one look into the JobBook.
/// @notice Holds nothing and changes nothing. Contracts that check leaves often may use the library LeafCheck instead.
contract JobView {
    IJobBook public immutable jobBook;

    constructor(IJobBook jobBook_) {
        jobBook = jobBook_;
    }

    /// @notice Checks that a leaf is what a submitted or settled range committed to. True, or reverts with the reason.
    /// @param position place of the leaf in its range: 0.., the prepare leaf (if the job has one) is at 0
    function checkLeaf(
        uint64 jobId,
        uint32 seq,
        MerkleSum.Leaf calldata leaf,
        uint32 position,
        MerkleSum.Sibling[] calldata proof
    ) external view returns (bool) {
        LeafCheck.check(jobBook, jobId, seq, leaf, position, proof);
        return true;
    }

    /// @notice Several ranges in one call: `count` from `first` on, cut at the last one.
    function ranges(uint64 jobId, uint32 first, uint32 count) external view returns (IJobBook.Range[] memory list) {
        uint256 end = uint256(first) + count;
        uint256 all = jobBook.job(jobId).ranges;
        if (end > all) end = all;
        if (first >= end) return list;
        list = new IJobBook.Range[](end - first);
        for (uint32 i = 0; i < list.length; ++i) {
            list[i] = jobBook.range(jobId, first + i);
        }
    }
}
