// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev An independent way to openings: builds every level in full.
library Trees {
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
