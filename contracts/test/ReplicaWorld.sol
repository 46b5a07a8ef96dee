// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {Trees} from "./Trees.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev Replicated jobs, primaries and mates. Provider 1 is the primary of all ranges; the others wait. Results are those of
/// AuditWorld.
abstract contract ReplicaWorld is AuditWorld {
    uint40 internal constant NOW = type(uint40).max;

    /// @dev What a provider found in a range.
    struct Found {
        bytes32 root;
        uint64 units;
        uint32 failures;
    }

    function replicated(uint32 range) internal returns (uint64 id) {
        IJobBook.Terms memory t = auditedTerms(range);
        t.replicas = 2;
        return openJob(t, 40_000 ether);
    }

    /// @dev Provider n waits with such a bond at any price; a second later it is on the line of whatever is submitted.
    function waits(uint64 id, uint256 n, uint96 bond) internal {
        waits(id, n, bond, 0);
    }

    function waits(uint64 id, uint256 n, uint96 bond, uint96 minPrice) internal {
        vm.prank(nodeOf(n));
        waiting.wait(id, bond, minPrice);
        passSeconds(1);
    }

    /// @dev Providers 2 ..= last, each with all its stake as its bond.
    function mates(uint64 id, uint256 last, uint96 stake) internal {
        for (uint256 n = 2; n <= last; ++n) {
            provider(n, 4, stake);
            waits(id, n, stake);
        }
    }

    function pair(uint64 id, uint32 seq) internal view returns (IReplicas.Pair memory) {
        return replicas.pair(id, seq);
    }

    function entry(uint64 id, uint256 n) internal view returns (IWaiting.Entry memory) {
        return waiting.entry(id, uint32(n));
    }

    function is_(uint64 id, uint32 seq, IReplicas.State state) internal view {
        eq(uint256(pair(id, seq).state), uint256(state), "state of the replica");
    }

    function ended(uint64 id, uint32 seq, IReplicas.Outcome outcome) internal view {
        is_(id, seq, IReplicas.State.Closed);
        eq(uint256(pair(id, seq).outcome), uint256(outcome), "outcome of the replica");
    }

    function isEntry(uint64 id, uint256 n, IWaiting.State state, uint256 busy) internal view {
        eq(uint256(entry(id, n).state), uint256(state), "state of the entry");
        eq(entry(id, n).busy, busy, "its ranges");
    }

    function value(uint64 id, uint32 seq) internal view returns (uint256) {
        IJobBook.Range memory r = book.range(id, seq);
        return uint256(r.units) * r.price;
    }

    function found(uint64 id, uint32 seq, bool forged) internal view returns (Found memory f) {
        uint128 tally;
        (f.root, tally) = MerkleSum.recomputeRoot(leaves(id, seq, forged));
        f.units = uint64(tally);
    }

    function saltOf(uint256 n) internal pure returns (bytes32) {
        return keccak256(abi.encode(SALT, n));
    }

    function sealOf(uint64 id, uint32 seq, uint256 n, Found memory f) internal view returns (bytes32) {
        bytes32 what = keccak256(abi.encodePacked(f.root, f.units, f.failures));
        return keccak256(abi.encodePacked(block.chainid, address(replicas), id, seq, ownerOf(n), what, saltOf(n)));
    }

    /// @dev Provider 1 claims a range and submits its seal.
    function sealedRange(uint64 id, bool forged) internal returns (uint32 seq) {
        (seq,,) = claim(id, 1, book.job(id).terms.firstRange);
        handIn(id, seq, forged);
    }

    function handIn(uint64 id, uint32 seq, bool forged) internal {
        Found memory f = found(id, seq, forged);
        bytes32 seal_ = sealOf(id, seq, 1, f);
        vm.prank(nodeOf(1));
        book.submit(id, seq, seal_, f.units, f.failures, "content");
    }

    /// @dev The number of the mate, 0 if there is none.
    function mateDrawn(uint64 id, uint32 seq) internal returns (uint256) {
        passBlocks(3);
        replicas.draw(id, seq);
        return pair(id, seq).mate;
    }

    function commits(uint64 id, uint32 seq, bool forged) internal {
        uint256 n = pair(id, seq).mate;
        bytes32 seal_ = sealOf(id, seq, n, found(id, seq, forged));
        vm.prank(nodeOf(n));
        replicas.commit(id, seq, seal_);
    }

    function reveals(uint64 id, uint32 seq, uint256 n, bool forged) internal {
        Found memory f = found(id, seq, forged);
        vm.prank(nodeOf(n));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(n));
    }

    /// @dev A range whose mate has committed.
    function bothCommitted(uint64 id, bool forged, bool mateForged) internal returns (uint32 seq, uint256 mate) {
        seq = sealedRange(id, forged);
        mate = mateDrawn(id, seq);
        commits(id, seq, mateForged);
    }

    /// @dev A whole replica in which both are on time.
    function replica(uint64 id, bool forged, bool mateForged) internal returns (uint32 seq, uint256 mate) {
        (seq, mate) = bothCommitted(id, forged, mateForged);
        reveals(id, seq, 1, forged);
        reveals(id, seq, mate, mateForged);
    }

    /// @dev Provider n posts its nodes of this step of a walk; `theirs` if the other one has posted its own.
    function walks(uint64 id, uint32 seq, uint256 n, bool forged, MerkleSum.Sibling[] memory theirs) internal {
        MerkleSum.Sibling[] memory mine = nodesBelow(id, seq, forged);
        vm.prank(nodeOf(n));
        replicas.walk(id, seq, mine, theirs);
    }

    function nodesBelow(uint64 id, uint32 seq, bool forged) internal view returns (MerkleSum.Sibling[] memory) {
        IReplicas.Pair memory p = pair(id, seq);
        uint256 levels = p.level < 4 ? p.level : 4;
        return Trees.nodes(leaves(id, seq, forged), p.level - levels, uint256(p.index) << levels, 1 << levels);
    }

    function none() internal pure returns (MerkleSum.Sibling[] memory) {
        return new MerkleSum.Sibling[](0);
    }

    function showsLeaf(uint64 id, uint32 seq, uint256 n, bool forged) internal {
        MerkleSum.Leaf memory leaf = leaves(id, seq, forged)[pair(id, seq).index];
        vm.prank(nodeOf(n));
        replicas.show(id, seq, leaf);
    }

    /// @dev Time passes until the replica's move is late, and it goes on.
    function passedOver(uint64 id, uint32 seq) internal {
        vm.warp(pair(id, seq).due + 1);
        replicas.advance(id, seq);
    }
}
