// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Merkle-sum trees over the leaves of a range.
/// @notice Every node commits a hash and a tally; the tally of a node is the sum of its children's. So whoever opens one
/// leaf also checks that the total of units and failures that the provider claimed is the sum of its leaves.
/// @dev tally = failures << 64 | units.
///   leaf hash = keccak256(0x00, job u64, index u32, status u8, output b32, size u64, units u64), tightly packed
///   node hash = keccak256(0x01, left hash, left tally u128, right hash, right tally u128), tightly packed
/// Levels are paired from left to right; an odd last node goes up unchanged. The same rules in Rust: crate `verification`;
/// both are held to vectors/merkle_sum.json.
library MerkleSum {
    /// @notice What a provider claims about one task.
    /// @param job job id
    /// @param index task index; PREPARE_INDEX for the prepare leaf
    /// @param status 0 Ok, 1 Trap, 2 OutOfFuel, 3 BadOutput
    /// @param output up to 32 bytes inline, left-aligned and zero-padded; else the BLAKE3 hash
    /// @param size length of the output, bytes
    /// @param units units charged
    struct Leaf {
        uint64 job;
        uint32 index;
        uint8 status;
        bytes32 output;
        uint64 size;
        uint64 units;
    }

    /// @notice One step of an opening, from the leaf upwards.
    struct Sibling {
        bytes32 hash;
        uint128 tally;
    }

    /// @notice Index of the leaf that stands for the prepare phase of a range.
    uint32 internal constant PREPARE_INDEX = type(uint32).max;

    /// @notice The position is not below the number of leaves, or there are none.
    error PositionOutOfRange(uint256 position, uint256 leafCount);
    /// @notice The opening has too few or too many siblings.
    error WrongProofLength(uint256 given);
    /// @notice The sum of units or of failures does not fit.
    error TallyOverflow();

    /// @notice Hash of a leaf.
    function leafHash(Leaf memory leaf) internal pure returns (bytes32) {
        return
            keccak256(abi.encodePacked(uint8(0), leaf.job, leaf.index, leaf.status, leaf.output, leaf.size, leaf.units));
    }

    /// @notice Tally of a leaf: its units, and one failure when it is not Ok.
    function leafTally(Leaf memory leaf) internal pure returns (uint128) {
        return tallyOf(leaf.units, leaf.status == 0 ? 0 : 1);
    }

    /// @notice Units and failures as one number.
    function tallyOf(uint64 units, uint64 failures) internal pure returns (uint128) {
        return (uint128(failures) << 64) | units;
    }

    /// @notice Checked sum of two tallies: neither units nor failures may overflow 64 bits.
    function addTally(uint128 a, uint128 b) internal pure returns (uint128) {
        uint256 units = uint256(uint64(a)) + uint64(b);
        uint256 failures = uint256(a >> 64) + (b >> 64);
        if (units > type(uint64).max || failures > type(uint64).max) revert TallyOverflow();
        // Both halves were just checked to fit into 64 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return tallyOf(uint64(units), uint64(failures));
    }

    /// @notice Hash of an inner node.
    function nodeHash(bytes32 left, uint128 leftTally, bytes32 right, uint128 rightTally)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(uint8(1), left, leftTally, right, rightTally));
    }

    /// @notice The root that an opening leads to.
    /// @param position place of the leaf, from 0
    /// @param leafCount number of leaves of the tree; gives the sides, and the levels where the node goes up alone
    function rootOf(bytes32 hash, uint128 tally, uint256 position, uint256 leafCount, Sibling[] calldata proof)
        internal
        pure
        returns (bytes32, uint128)
    {
        (hash, tally,) = opened(hash, tally, position, leafCount, proof);
        return (hash, tally);
    }

    /// @notice The root that an opening leads to, and the units of all leaves before this one: the sums of the siblings on
    /// its left. They mean nothing unless the root and its tally are those that were submitted.
    function opened(bytes32 hash, uint128 tally, uint256 position, uint256 leafCount, Sibling[] calldata proof)
        internal
        pure
        returns (bytes32, uint128, uint256 unitsBefore)
    {
        if (position >= leafCount) revert PositionOutOfRange(position, leafCount);
        uint256 used = 0;
        while (leafCount > 1) {
            bool alone = position == leafCount - 1 && position & 1 == 0;
            if (!alone) {
                if (used == proof.length) revert WrongProofLength(proof.length);
                Sibling calldata sibling = proof[used++];
                if (position & 1 == 0) {
                    hash = nodeHash(hash, tally, sibling.hash, sibling.tally);
                } else {
                    hash = nodeHash(sibling.hash, sibling.tally, hash, tally);
                    // The low half of a tally; no sum of the tree is above 64 bits.
                    unitsBefore += sibling.tally & type(uint64).max;
                }
                tally = addTally(tally, sibling.tally);
            }
            position >>= 1;
            leafCount = (leafCount + 1) >> 1;
        }
        if (used != proof.length) revert WrongProofLength(proof.length);
        return (hash, tally, unitsBefore);
    }

    /// @notice The root of all leaves of a range, for contracts that aggregate inline outputs.
    function recomputeRoot(Leaf[] memory leaves) internal pure returns (bytes32, uint128) {
        uint256 n = leaves.length;
        if (n == 0) revert PositionOutOfRange(0, 0);
        bytes32[] memory hashes = new bytes32[](n);
        uint128[] memory tallies = new uint128[](n);
        for (uint256 i = 0; i < n; ++i) {
            hashes[i] = leafHash(leaves[i]);
            tallies[i] = leafTally(leaves[i]);
        }
        while (n > 1) {
            uint256 half = n >> 1;
            for (uint256 i = 0; i < half; ++i) {
                uint256 l = i << 1;
                hashes[i] = nodeHash(hashes[l], tallies[l], hashes[l + 1], tallies[l + 1]);
                tallies[i] = addTally(tallies[l], tallies[l + 1]);
            }
            if (n & 1 == 1) {
                hashes[half] = hashes[n - 1];
                tallies[half] = tallies[n - 1];
            }
            n = (n + 1) >> 1;
        }
        return (hashes[0], tallies[0]);
    }
}
