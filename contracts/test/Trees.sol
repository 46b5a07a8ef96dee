// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev An independent way to openings: builds every level in full.
library Trees {
    /// @dev Nodes of a level from `first` on, at most `count`; level 0 are the leaves.
    function nodes(MerkleSum.Leaf[] memory leaves, uint256 level, uint256 first, uint256 count)
        internal
        pure
        returns (MerkleSum.Sibling[] memory list)
    {
        uint256 width = (leaves.length + (1 << level) - 1) >> level;
        if (first + count > width) count = width - first;
        list = new MerkleSum.Sibling[](count);
        for (uint256 i = 0; i < count; ++i) {
            (list[i].hash, list[i].tally) = node(leaves, level, first + i);
        }
    }

    /// @dev By descent: a node is the tree of the leaves below it.
    function node(MerkleSum.Leaf[] memory leaves, uint256 level, uint256 index)
        internal
        pure
        returns (bytes32 hash, uint128 tally)
    {
        if (level == 0) return (MerkleSum.leafHash(leaves[index]), MerkleSum.leafTally(leaves[index]));
        (hash, tally) = node(leaves, level - 1, 2 * index);
        if ((2 * index + 1) << (level - 1) >= leaves.length) return (hash, tally);
        (bytes32 right, uint128 rightTally) = node(leaves, level - 1, 2 * index + 1);
        return (MerkleSum.nodeHash(hash, tally, right, rightTally), MerkleSum.addTally(tally, rightTally));
    }

    function prove(MerkleSum.Leaf[] memory leaves, uint256 position)
        internal
        pure
        returns (MerkleSum.Sibling[] memory proof)
    {
        uint256 n = leaves.length;
        bytes32[] memory h = new bytes32[](n);
        uint128[] memory t = new uint128[](n);
        for (uint256 i = 0; i < n; ++i) {
            (h[i], t[i]) = (MerkleSum.leafHash(leaves[i]), MerkleSum.leafTally(leaves[i]));
        }
        MerkleSum.Sibling[] memory all = new MerkleSum.Sibling[](32);
        uint256 used = 0;
        while (n > 1) {
            uint256 other = position ^ 1;
            if (other < n) all[used++] = MerkleSum.Sibling(h[other], t[other]);
            for (uint256 i = 0; i < n; i += 2) {
                bool pair = i + 1 < n;
                h[i / 2] = pair ? MerkleSum.nodeHash(h[i], t[i], h[i + 1], t[i + 1]) : h[i];
                t[i / 2] = pair ? MerkleSum.addTally(t[i], t[i + 1]) : t[i];
            }
            position /= 2;
            n = (n + 1) / 2;
        }
        proof = new MerkleSum.Sibling[](used);
        for (uint256 i = 0; i < used; ++i) {
            proof[i] = all[i];
        }
    }
}
