// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {Trees} from "./Trees.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Audited jobs, auditors, and what honest and dishonest ones do. Tasks write their index as 4 bytes and cost 1 + index % 7
/// units; a forger's results have another first byte.
abstract contract AuditWorld is Network {
    uint96 internal constant PRICE = 1 ether;
    bytes32 internal constant SALT = "salt";
    bytes32 internal constant LIE = "lie";

    /// @dev What a forger forges: all leaves, or only the one at this position.
    uint256 internal forgedAt = type(uint256).max;

    function auditorOwner(uint256 n) internal pure returns (address) {
        return address(uint160(0xD000 + n));
    }

    function auditorNode(uint256 n) internal pure returns (address) {
        return address(uint160(0xE000 + n));
    }

    /// @dev Auditor number n; they must join in order. A second later it is on the line of whatever is submitted.
    function auditor(uint256 n, uint128 stake) internal {
        fund(auditorOwner(n), stake);
        vm.prank(auditorOwner(n));
        eq(auditors.join(auditorNode(n), stake), n, "number");
        passSeconds(1);
    }

    function someAuditors(uint256 n, uint128 stake) internal {
        for (uint256 i = 1; i <= n; ++i) {
            auditor(i, stake);
        }
    }

    function audited(uint32 range) internal returns (uint64 id) {
        return openJob(auditedTerms(range), 20_000 ether);
    }

    function auditedTerms(uint32 range) internal view returns (IJobBook.Terms memory t) {
        t = terms();
        (t.audited, t.firstRange, t.unitCap, t.price, t.parallelism) = (true, range, 7, PRICE, 1);
        (t.window, t.taskCount, t.rangeTimeout) = (3600, 100_000, 225);
    }

    function leaves(uint64 id, uint32 seq, bool forged) internal view returns (MerkleSum.Leaf[] memory list) {
        IJobBook.Range memory r = book.range(id, seq);
        list = new MerkleSum.Leaf[](r.count);
        for (uint32 i = 0; i < r.count; ++i) {
            uint32 index = r.from + i;
            bool lie = forged && (forgedAt == type(uint256).max || forgedAt == i);
            bytes32 output = bytes32(bytes4(index)) | (lie ? bytes32(bytes1(0xff)) : bytes32(0));
            list[i] = MerkleSum.Leaf(id, index, 0, output, 4, 1 + index % 7);
        }
    }

    /// @dev Provider 1 claims and submits a range.
    function work(uint64 id, bool forged) internal returns (uint32 seq) {
        (seq,,) = claim(id, 1, book.job(id).terms.firstRange);
        submitWork(id, seq, forged);
    }

    function submitWork(uint64 id, uint32 seq, bool forged) internal {
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves(id, seq, forged));
        vm.prank(nodeOf(1));
        book.submit(id, seq, root, uint64(tally), 0, "content");
    }

    function passBlocks(uint256 n) internal {
        vm.roll(vm.getBlockNumber() + n);
        passSeconds(n);
    }

    function case_(uint64 id, uint32 seq) internal view returns (IAudits.Case memory) {
        return audits.auditCase(id, seq);
    }

    function drawn(uint64 id, uint32 seq) internal {
        passBlocks(3);
        audits.draw(id, seq);
    }

    /// @dev Public, or the compiler puts it whole into its only caller, whose stack is then too deep.
    function positions(uint64 id, uint32 seq) public view returns (uint32[] memory list) {
        MerkleSum.Leaf[] memory all = leaves(id, seq, false);
        IJobBook.Range memory r = book.range(id, seq);
        bytes32 seed = Draw.seedOf(randomness.value(case_(id, seq).round), id, seq, 0);
        list = new uint32[](Parameters.SAMPLES);
        for (uint32 i = 0; i < list.length; ++i) {
            (bool byUnits, uint256 value) = Draw.pick(seed, i, r.count, r.units);
            uint256 at = value;
            if (byUnits) {
                for (at = 0; value >= all[at].units; ++at) {
                    value -= all[at].units;
                }
            }
            list[i] = uint32(at);
        }
    }

    function named(uint64 id, uint32 seq) internal {
        uint32[] memory at = positions(id, seq);
        vm.prank(nodeOf(1));
        audits.name(id, seq, at);
    }

    function truth(uint64 id, uint32 seq) internal view returns (bytes32) {
        return answer(id, seq, false);
    }

    function answer(uint64 id, uint32 seq, bool forged) internal view returns (bytes32) {
        MerkleSum.Leaf[] memory all = leaves(id, seq, forged);
        bytes32[] memory hashes = new bytes32[](Parameters.SAMPLES);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = MerkleSum.leafHash(all[uint32(case_(id, seq).positions >> 32 * i)]);
        }
        return AuditRules.answer(hashes);
    }

    function seal(uint64 id, uint32 seq, uint256 who, bytes32 found) internal view returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                block.chainid, address(audits), id, seq, auditorOwner(who), found, keccak256(abi.encode(SALT, who))
            )
        );
    }

    function commit(uint64 id, uint32 seq, uint8 seat, bytes32 found) internal {
        uint256 who = audits.seat(id, seq, seat).auditor;
        bytes32 sealed_ = seal(id, seq, who, found);
        vm.prank(auditorNode(who));
        audits.commit(id, seq, seat, sealed_);
    }

    function reveal(uint64 id, uint32 seq, uint8 seat, bytes32 found) internal {
        uint256 who = audits.seat(id, seq, seat).auditor;
        audits.reveal(id, seq, seat, found, keccak256(abi.encode(SALT, who)));
    }

    function opened(uint64 id, uint32 seq, bool forged) internal {
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, forged);
        audits.open(id, seq, list, proofs);
    }

    function openings(uint64 id, uint32 seq, bool forged)
        internal
        view
        returns (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs)
    {
        MerkleSum.Leaf[] memory all = leaves(id, seq, forged);
        list = new MerkleSum.Leaf[](Parameters.SAMPLES);
        proofs = new MerkleSum.Sibling[][](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            uint32 at = uint32(case_(id, seq).positions >> 32 * i);
            (list[i], proofs[i]) = (all[at], Trees.prove(all, at));
        }
    }

    /// @dev Whether an auditor lies: its bit in `liars`.
    function found_(uint64 id, uint32 seq, uint8 seat, uint256 liars) internal view returns (bytes32) {
        return liars >> audits.seat(id, seq, seat).auditor & 1 == 1 ? LIE : truth(id, seq);
    }

    /// @dev One stage in which everybody is on time; liars all tell the same lie.
    function stage(uint64 id, uint32 seq, bool forged, uint256 liars) internal {
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            commit(id, seq, seats[i], found_(id, seq, seats[i], liars));
        }
        if (case_(id, seq).state == IAudits.State.Opening) opened(id, seq, forged);
        seats = seatsIn(id, seq, IAudits.SeatState.Committed);
        for (uint256 i = 0; i < seats.length; ++i) {
            reveal(id, seq, seats[i], found_(id, seq, seats[i], liars));
        }
    }

    /// @dev Seats of the current stage in this state.
    function seatsIn(uint64 id, uint32 seq, IAudits.SeatState state) internal view returns (uint8[] memory list) {
        IAudits.Case memory c = case_(id, seq);
        list = new uint8[](c.given);
        uint256 n = 0;
        for (uint8 i = 0; i < c.given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            if (s.stage == c.stage && s.state == state) list[n++] = i;
        }
        assembly ("memory-safe") {
            mstore(list, n)
        }
    }

    /// @dev The current stage ends without those who have not moved.
    function late(uint64 id, uint32 seq) internal {
        vm.warp(case_(id, seq).deadline + 1);
        audits.advance(id, seq);
    }

    /// @dev A range whose first two votes two people have; those before it stay as they are.
    function drawnTwo(uint64 id, bool forged) internal returns (uint32 seq) {
        do {
            seq = work(id, forged);
            drawn(id, seq);
        } while (case_(id, seq).given != 2);
    }

    /// @dev Liars so far, and of the new seats as many more as keep the votes even.
    function balanced(uint64 id, uint32 seq, uint256 liars) internal view returns (uint256) {
        uint8 given = case_(id, seq).given;
        int256 ahead = 0;
        for (uint8 i = 0; i < given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            if (s.state == IAudits.SeatState.Drawn && ahead >= 0) liars |= 1 << s.auditor;
            ahead += liars >> s.auditor & 1 == 1 ? -int256(uint256(s.votes)) : int256(uint256(s.votes));
        }
        return liars;
    }

    /// @dev What everybody who sits in a case is owed at so much per vote, if this is the only case.
    function paidPerVote(uint64 id, uint32 seq, uint256 fee) internal view {
        uint8 given = case_(id, seq).given;
        for (uint8 i = 0; i < given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            eq(audits.owed(auditorOwner(s.auditor)), fee * s.votes, "fee");
        }
    }

    /// @dev A whole case in which everybody is on time.
    function audit(uint64 id, uint32 seq, bool forged, uint256 liars) internal returns (IAudits.Case memory c) {
        drawn(id, seq);
        if (case_(id, seq).state == IAudits.State.Closed) return case_(id, seq);
        named(id, seq);
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, forged, liars);
        }
        return case_(id, seq);
    }

    function stakeOf(uint256 n) internal view returns (uint256) {
        return auditors.auditor(uint32(n)).stake;
    }
}
