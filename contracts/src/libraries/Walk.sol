// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {MerkleSum} from "./MerkleSum.sol";

/// @title Walking down two Merkle-sum trees of one shape to the first leaf in which they differ.
/// @notice
///   level 0 are the leaves; node i of level l stands over the leaves i << l .. (i + 1) << l, as far as there are any
///   a step goes LEVELS levels down from a node (or to the leaves, if they are nearer), to the up to 16 nodes there
///   fold   = pair from left to right, level by level, an odd last node goes up unchanged, until one node is left
///   mark   = keccak256(hash b32, units u64, failures u32), tightly packed: what stands for a node
/// Nodes that fold to a node are the only ones that do: its hash commits to the hashes and the tallies below it. So a mark
/// is all that must be kept of each tree, and a list proves itself. Two lists of different nodes differ somewhere,
/// and in a sum that is not that of the leaves no list folds.
/// @dev Pure. The same rules in Rust: module `walk` of the crate `verification`; both are held to vectors/trust.json.
library Walk {
    /// @notice Levels of a step: 16 nodes are half a kilobyte of hashes, and the deepest tree (2^20 tasks and the prepare leaf) has 21
    /// levels.
    uint256 internal constant LEVELS = 4;

    /// @notice Level of the top node of a tree with so many leaves, at least one.
    function height(uint256 leaves) internal pure returns (uint256 h) {
        while (leaves - 1 >> h != 0) ++h;
    }

    /// @notice The nodes of the next step below a node.
    /// @return lower their level
    /// @return first index of the first one
    /// @return count how many they are
    function below(uint256 level, uint256 index, uint256 leaves)
        internal
        pure
        returns (uint256 lower, uint256 first, uint256 count)
    {
        uint256 levels = level < LEVELS ? level : LEVELS;
        lower = level - levels;
        first = index << levels;
        count = (leaves - 1 >> lower) + 1 - first;
        if (count > 1 << levels) count = 1 << levels;
    }

    /// @notice What stands for a node. Its failures must fit 32 bits, as those of a range do.
    function mark(bytes32 hash, uint128 tally) internal pure returns (bytes32) {
        if (tally >> 96 != 0) revert MerkleSum.TallyOverflow();
        // 64 and, as was just checked, 32 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return keccak256(abi.encodePacked(hash, uint64(tally), uint32(tally >> 64)));
    }

    /// @notice Mark of the node that nodes fold to; at least one.
    function fold(MerkleSum.Sibling[] calldata nodes) internal pure returns (bytes32) {
        uint256 n = nodes.length;
        bytes32[] memory hashes = new bytes32[](n);
        uint128[] memory tallies = new uint128[](n);
        for (uint256 i = 0; i < n; ++i) {
            (hashes[i], tallies[i]) = (nodes[i].hash, nodes[i].tally);
        }
        while (n > 1) {
            uint256 half = n >> 1;
            for (uint256 i = 0; i < half; ++i) {
                uint256 l = i << 1;
                hashes[i] = MerkleSum.nodeHash(hashes[l], tallies[l], hashes[l + 1], tallies[l + 1]);
                tallies[i] = MerkleSum.addTally(tallies[l], tallies[l + 1]);
            }
            if (n & 1 == 1) (hashes[half], tallies[half]) = (hashes[n - 1], tallies[n - 1]);
            n = (n + 1) >> 1;
        }
        return mark(hashes[0], tallies[0]);
    }

    /// @notice The first place in which two lists of the same length differ, in a hash or in a tally. There is one.
    function firstDifference(MerkleSum.Sibling[] calldata a, MerkleSum.Sibling[] calldata b)
        internal
        pure
        returns (uint256 i)
    {
        while (a[i].hash == b[i].hash && a[i].tally == b[i].tally) ++i;
    }
}
