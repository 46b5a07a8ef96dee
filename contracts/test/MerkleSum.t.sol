// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {Trees} from "./Trees.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

contract Tree {
    function root(MerkleSum.Leaf[] calldata leaves) external pure returns (bytes32, uint128) {
        return MerkleSum.recomputeRoot(leaves);
    }

    function opened(MerkleSum.Leaf calldata leaf, uint256 position, uint256 count, MerkleSum.Sibling[] calldata proof)
        external
        pure
        returns (bytes32, uint128)
    {
        return MerkleSum.rootOf(MerkleSum.leafHash(leaf), MerkleSum.leafTally(leaf), position, count, proof);
    }

    function add(uint128 a, uint128 b) external pure returns (uint128) {
        return MerkleSum.addTally(a, b);
    }
}

contract MerkleSumTest is T {
    Tree internal tree = new Tree();

    function someLeaves(uint256 count, uint256 seed) internal pure returns (MerkleSum.Leaf[] memory leaves) {
        leaves = new MerkleSum.Leaf[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            leaves[i] =
                MerkleSum.Leaf(7, uint32(i), uint8(r % 4), bytes32(r), uint64(r >> 8 & 63), uint64(r >> 32 & 0xffff));
        }
    }

    function testFuzz_everyOpeningLeadsToTheRoot(uint256 count, uint256 position, uint256 seed) public view {
        count = bound(count, 1, 70);
        position = bound(position, 0, count - 1);
        MerkleSum.Leaf[] memory leaves = someLeaves(count, seed);
        (bytes32 root, uint128 tally) = tree.root(leaves);
        (bytes32 got, uint128 gotTally) = tree.opened(leaves[position], position, count, Trees.prove(leaves, position));
        eq(got, root, "root");
        eq(gotTally, tally, "tally");
        uint256 units = 0;
        uint256 failures = 0;
        for (uint256 i = 0; i < count; ++i) {
            units += leaves[i].units;
            if (leaves[i].status != 0) ++failures;
        }
        eq(tally, failures << 64 | units, "the tally is the sum of all leaves");
    }

    function testFuzz_aChangedLeafOrProofLeadsElsewhere(uint256 count, uint256 position, uint256 seed, uint8 what)
        public
        view
    {
        count = bound(count, 2, 70);
        position = bound(position, 0, count - 1);
        MerkleSum.Leaf[] memory leaves = someLeaves(count, seed);
        (bytes32 root,) = tree.root(leaves);
        MerkleSum.Sibling[] memory proof = Trees.prove(leaves, position);
        MerkleSum.Leaf memory leaf = leaves[position];
        what = what % 8;
        if (what == 0) leaf.units += 1;
        if (what == 1) leaf.status = leaf.status == 0 ? 1 : 0;
        if (what == 2) leaf.output = keccak256(abi.encode(leaf.output));
        if (what == 3) leaf.index += 1;
        if (what == 4) leaf.job += 1;
        if (what == 5) leaf.size += 1;
        if (what == 6) proof[seed % proof.length].tally += 1;
        if (what == 7) proof[seed % proof.length].hash = keccak256(abi.encode(proof[seed % proof.length].hash));
        (bytes32 got,) = tree.opened(leaf, position, count, proof);
        ok(got != root, "a change keeps the root");
    }

    function test_wrongShapesAreRefused() public {
        MerkleSum.Leaf[] memory leaves = someLeaves(5, 1);
        MerkleSum.Sibling[] memory proof = Trees.prove(leaves, 1);
        vm.expectRevert(abi.encodeWithSelector(MerkleSum.PositionOutOfRange.selector, 5, 5));
        tree.opened(leaves[1], 5, 5, proof);
        vm.expectRevert(abi.encodeWithSelector(MerkleSum.WrongProofLength.selector, proof.length));
        tree.opened(leaves[1], 1, 2, proof);
        vm.expectRevert(abi.encodeWithSelector(MerkleSum.WrongProofLength.selector, proof.length));
        tree.opened(leaves[1], 1, 100, proof);
        vm.expectRevert(abi.encodeWithSelector(MerkleSum.PositionOutOfRange.selector, 0, 0));
        tree.root(new MerkleSum.Leaf[](0));
    }

    function test_tallyHalvesDoNotRunIntoEachOther() public {
        uint128 max = type(uint64).max;
        vm.expectRevert(MerkleSum.TallyOverflow.selector);
        tree.add(max, 1);
        vm.expectRevert(MerkleSum.TallyOverflow.selector);
        tree.add(max << 64, 1 << 64);
        eq(tree.add(max << 64, max), type(uint128).max, "both halves full");
    }

    function testFuzz_tallySum(uint64 a, uint64 b, uint64 c, uint64 d) public view {
        vm.assume(uint256(a) + b <= type(uint64).max && uint256(c) + d <= type(uint64).max);
        uint128 sum = tree.add(MerkleSum.tallyOf(a, c), MerkleSum.tallyOf(b, d));
        eq(sum, MerkleSum.tallyOf(a + b, c + d), "sum by halves");
    }

    /// @dev The same trees as the Rust crate `verification`.
    function test_goldenVectors() public view {
        string memory json = vm.readFile("../vectors/merkle_sum.json");
        uint256 cases = 0;
        while (vm.keyExistsJson(json, string.concat(".cases[", vm.toString(cases), "]"))) {
            checkCase(json, string.concat(".cases[", vm.toString(cases), "]"));
            ++cases;
        }
        ok(cases >= 4, "the file has cases");
    }

    function checkCase(string memory json, string memory path) internal view {
        uint64 job = uint64(vm.parseJsonUint(json, ".job"));
        uint256 n = 0;
        while (vm.keyExistsJson(json, string.concat(path, ".leaves[", vm.toString(n), "]"))) ++n;
        MerkleSum.Leaf[] memory leaves = new MerkleSum.Leaf[](n);
        for (uint256 i = 0; i < n; ++i) {
            string memory leaf = string.concat(path, ".leaves[", vm.toString(i), "]");
            leaves[i] = MerkleSum.Leaf({
                job: job,
                index: uint32(vm.parseJsonUint(json, string.concat(leaf, ".index"))),
                status: uint8(vm.parseJsonUint(json, string.concat(leaf, ".status"))),
                output: vm.parseJsonBytes32(json, string.concat(leaf, ".output")),
                size: uint64(vm.parseJsonUint(json, string.concat(leaf, ".size"))),
                units: uint64(vm.parseJsonUint(json, string.concat(leaf, ".units")))
            });
            eq(MerkleSum.leafHash(leaves[i]), vm.parseJsonBytes32(json, string.concat(leaf, ".hash")), "leaf hash");
        }
        (bytes32 root, uint128 tally) = tree.root(leaves);
        eq(root, vm.parseJsonBytes32(json, string.concat(path, ".root")), "root");
        uint256 units = vm.parseJsonUint(json, string.concat(path, ".units"));
        uint256 failures = vm.parseJsonUint(json, string.concat(path, ".failures"));
        eq(tally, failures << 64 | units, "tally");
        for (uint256 i = 0; vm.keyExistsJson(json, string.concat(path, ".openings[", vm.toString(i), "]")); ++i) {
            checkOpening(json, string.concat(path, ".openings[", vm.toString(i), "]"), leaves, root);
        }
    }

    function checkOpening(string memory json, string memory path, MerkleSum.Leaf[] memory leaves, bytes32 root)
        internal
        view
    {
        uint256 position = vm.parseJsonUint(json, string.concat(path, ".position"));
        bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(path, ".hashes"));
        string[] memory tallies = vm.parseJsonStringArray(json, string.concat(path, ".tallies"));
        MerkleSum.Sibling[] memory proof = new MerkleSum.Sibling[](hashes.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            proof[i] = MerkleSum.Sibling(hashes[i], uint128(vm.parseUint(tallies[i])));
        }
        (bytes32 got,) = tree.opened(leaves[position], position, leaves.length, proof);
        eq(got, root, "opening of the Rust side");
    }
}
