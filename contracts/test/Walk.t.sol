// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {Trees} from "./Trees.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";
import {Walk} from "../src/libraries/Walk.sol";

/// @dev The library takes its lists from calldata.
contract Walker {
    function fold(MerkleSum.Sibling[] calldata nodes) external pure returns (bytes32) {
        return Walk.fold(nodes);
    }

    function firstDifference(MerkleSum.Sibling[] calldata a, MerkleSum.Sibling[] calldata b)
        external
        pure
        returns (uint256)
    {
        return Walk.firstDifference(a, b);
    }

    function mark(bytes32 hash, uint128 tally) external pure returns (bytes32) {
        return Walk.mark(hash, tally);
    }
}

/// @dev The rules of walks alone: what Rust computed is computed again here, and their properties are tried on any trees.
contract WalkTest is T {
    Walker internal walker = new Walker();

    string internal json;

    /// @dev Where a walk is.
    struct At {
        uint256 level;
        uint256 index;
        uint256 lower;
        uint256 first;
        uint256 count;
    }

    function someLeaves(uint256 count) internal pure returns (MerkleSum.Leaf[] memory leaves) {
        leaves = new MerkleSum.Leaf[](count);
        for (uint32 i = 0; i < count; ++i) {
            leaves[i] = MerkleSum.Leaf(9, i, 0, bytes32(bytes4(i)), 4, 1 + i % 7);
        }
    }

    /// @dev The same leaves, one of them with another first byte, or a unit more, or failed.
    function lied(uint256 count, uint256 at, uint256 kind) internal pure returns (MerkleSum.Leaf[] memory leaves) {
        leaves = someLeaves(count);
        MerkleSum.Leaf memory leaf = leaves[at];
        if (kind == 0) leaf.output |= bytes32(bytes1(0xff));
        else if (kind == 1) leaf.units += 1;
        else (leaf.status, leaf.output, leaf.size) = (1, 0, 0);
    }

    function markOf(MerkleSum.Leaf[] memory leaves, uint256 level, uint256 index) internal pure returns (bytes32) {
        (bytes32 hash, uint128 tally) = Trees.node(leaves, level, index);
        return keccak256(abi.encodePacked(hash, uint64(tally), uint32(tally >> 64)));
    }

    function list(MerkleSum.Leaf[] memory leaves, At memory at) internal pure returns (MerkleSum.Sibling[] memory) {
        return Trees.nodes(leaves, at.lower, at.first, at.count);
    }

    function goDown(At memory at, uint256 leaves) internal pure {
        (at.lower, at.first, at.count) = Walk.below(at.level, at.index, leaves);
    }

    function column(string memory name) internal view returns (string[] memory) {
        return vm.parseJsonStringArray(json, string.concat(".walks.", name));
    }

    function hashes(string memory name) internal view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(".walks.", name));
    }

    function cell(string memory name, uint256 row) internal view returns (uint256) {
        return vm.parseUint(column(name)[row]);
    }

    function parameter(string memory name) internal view returns (uint256) {
        return vm.parseUint(abi.decode(vm.parseJson(json, string.concat(".parameters.", name)), (string)));
    }

    function test_parametersAreThoseOfRust() public {
        json = vm.readFile("../vectors/trust.json");
        eq(Parameters.DISPUTED, parameter("disputedRate"), "rate of disputes");
        eq(Parameters.WALK_TIME, parameter("walkTime"), "time of a move");
        eq(Walk.LEVELS, parameter("walkLevels"), "levels of a step");
    }

    function test_walksAreThoseOfRust() public {
        json = vm.readFile("../vectors/trust.json");
        uint256 rows = column("leaves").length;
        ok(rows > 10, "there are some");
        for (uint256 row = 0; row < rows; ++row) {
            uint256 leaves = cell("leaves", row);
            At memory at = At(cell("level", row), cell("index", row), 0, 0, 0);
            goDown(at, leaves);
            eq(at.lower, cell("lower", row), "lower");
            eq(at.first, cell("first", row), "first");
            eq(at.count, cell("count", row), "count");
            MerkleSum.Sibling[] memory ours = list(someLeaves(leaves), at);
            MerkleSum.Sibling[] memory theirs = list(lied(leaves, cell("differs", row), cell("kind", row)), at);
            eq(walker.fold(ours), hashes("ours")[row], "ours");
            eq(walker.fold(theirs), hashes("theirs")[row], "theirs");
            eq(walker.firstDifference(ours, theirs), cell("place", row), "place");
        }
    }

    function test_theDeepestTreeHasSixSteps() public pure {
        uint256 leaves = (1 << 20) + 1;
        At memory at = At(Walk.height(leaves), 0, 0, 0, 0);
        eq(at.level, 21, "height");
        uint256 steps = 0;
        for (; at.level != 0; ++steps) {
            goDown(at, leaves);
            (at.level, at.index) = (at.lower, at.first + at.count - 1);
        }
        eq(steps, 6, "steps");
        eq(at.index, leaves - 1, "always the last one");
    }

    function test_heights() public pure {
        eq(Walk.height(1), 0, "one");
        eq(Walk.height(2), 1, "two");
        eq(Walk.height(3), 2, "three");
        eq(Walk.height(16), 4, "sixteen");
        eq(Walk.height(17), 5, "seventeen");
    }

    /// @dev Failures of a range have 32 bits, and what is cut off must not pass for nothing.
    function test_failuresOfAMarkHave32Bits() public {
        ok(walker.mark(0, MerkleSum.tallyOf(1, type(uint32).max)) != 0, "fits");
        vm.expectRevert(MerkleSum.TallyOverflow.selector);
        walker.mark(0, MerkleSum.tallyOf(1, uint64(1) << 32));
    }

    /// @dev The nodes of all steps of a level are those of the lower level, each once, and fold to theirs.
    function testFuzz_everyNodeIsInOneStep(uint256 count) public view {
        count = bound(count, 1, 120);
        MerkleSum.Leaf[] memory leaves = someLeaves(count);
        uint256 level = Walk.height(count);
        while (level != 0) {
            uint256 width = (count - 1 >> level) + 1;
            uint256 next = 0;
            At memory at;
            for (uint256 index = 0; index < width; ++index) {
                at = At(level, index, 0, 0, 0);
                goDown(at, count);
                eq(at.first, next, "in a row");
                ok(at.count != 0 && at.count <= 16, "at most 16");
                eq(walker.fold(list(leaves, at)), markOf(leaves, level, index), "they fold");
                next = at.first + at.count;
            }
            eq(next, (count - 1 >> at.lower) + 1, "all of them");
            level = at.lower;
        }
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves);
        eq(markOf(leaves, Walk.height(count), 0), Walk.mark(root, tally), "the top");
    }

    function testFuzz_aWalkEndsAtTheLeafThatDiffers(uint256 count, uint256 differs, uint256 kind) public view {
        count = bound(count, 1, 200);
        differs = bound(differs, 0, count - 1);
        MerkleSum.Leaf[] memory ours = someLeaves(count);
        MerkleSum.Leaf[] memory theirs = lied(count, differs, kind % 3);
        At memory at = At(Walk.height(count), 0, 0, 0, 0);
        uint256 steps = 0;
        for (; at.level != 0; ++steps) {
            goDown(at, count);
            (MerkleSum.Sibling[] memory a, MerkleSum.Sibling[] memory b) = (list(ours, at), list(theirs, at));
            eq(walker.fold(a), markOf(ours, at.level, at.index), "ours fold");
            eq(walker.fold(b), markOf(theirs, at.level, at.index), "theirs fold");
            at.index = at.first + walker.firstDifference(a, b);
            at.level = at.lower;
        }
        eq(at.index, differs, "the leaf");
        eq(steps, (Walk.height(count) + 3) / 4, "steps");
    }

    /// @dev Whatever is changed in a list, it folds to something else, or not at all.
    function testFuzz_noOtherListFolds(uint256 count, uint256 place, uint256 how) public {
        count = bound(count, 2, 120);
        MerkleSum.Leaf[] memory leaves = someLeaves(count);
        At memory at = At(Walk.height(count), 0, 0, 0, 0);
        goDown(at, count);
        MerkleSum.Sibling[] memory nodes = list(leaves, at);
        place = bound(place, 0, nodes.length - 1);
        how = how % 4;
        if (how == 0) nodes[place].hash ^= bytes32(uint256(1));
        else if (how == 1) nodes[place].tally += 1;
        else if (how == 2) nodes[place].tally += 1 << 64;
        else nodes[place].tally = type(uint64).max;
        if (how == 3) {
            // Every leaf costs something.
            vm.expectRevert(MerkleSum.TallyOverflow.selector);
            walker.fold(nodes);
            return;
        }
        ok(walker.fold(nodes) != markOf(leaves, at.level, 0), "something else");
    }
}
