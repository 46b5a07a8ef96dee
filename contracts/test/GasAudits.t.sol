// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev What audits cost, each call a transaction of its own. Ranges of 1,000 leaves; all accounts have history.
contract GasAuditsTest is AuditWorld {
    string internal constant GROUP = "audits";

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 16, 100_000 ether);
        someAuditors(20, 100 ether);
        id = audited(1_000);
        uint32 seq = work(id, false);
        audit(id, seq, false, 0);
        acknowledge(id, seq);
    }

    /// @dev A range of an audited job that is not drawn: what it costs more than a plain one.
    function test_rangeThatIsNotAudited() public {
        bool mayPay;
        uint32 seq;
        for (uint256 i = 0; i < 40 && !mayPay; ++i) {
            (seq,,) = claim(id, 1, 1_000);
            vm.snapshotGasLastCall(GROUP, "audited: claim");
            (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves(id, seq, false));
            vm.prank(nodeOf(1));
            book.submit(id, seq, root, uint64(tally), 0, "content");
            vm.snapshotGasLastCall(GROUP, "audited: submit");
            passBlocks(3);
            (mayPay,) = audits.bill(id, seq, 1);
            if (mayPay) break;
            audit(id, seq, false, 0);
            acknowledge(id, seq);
        }
        ok(mayPay, "one was not drawn");
        acknowledge(id, seq);
        vm.snapshotGasLastCall(GROUP, "audited: acknowledge 1, not drawn");
    }

    function test_wholeAudit() public {
        uint32 seq;
        uint256 all;
        while (true) {
            seq = work(id, false);
            passBlocks(3);
            audits.draw(id, seq);
            all = vm.snapshotGasLastCall(GROUP, "audited: draw, two seats");
            if (case_(id, seq).given == 2) break;
        }
        named(id, seq);
        all += vm.snapshotGasLastCall(GROUP, "audited: name");
        commit(id, seq, 0, truth(id, seq));
        all += vm.snapshotGasLastCall(GROUP, "audited: commit");
        commit(id, seq, 1, truth(id, seq));
        all += vm.snapshotGasLastCall(GROUP, "audited: commit, last");
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, false);
        audits.open(id, seq, list, proofs);
        all += vm.snapshotGasLastCall(GROUP, "audited: open, 8 leaves of 1,000");
        reveal(id, seq, 0, truth(id, seq));
        all += vm.snapshotGasLastCall(GROUP, "audited: reveal");
        reveal(id, seq, 1, truth(id, seq));
        all += vm.snapshotGasLastCall(GROUP, "audited: reveal, last, upheld");
        acknowledge(id, seq);
        vm.snapshotGasLastCall(GROUP, "audited: acknowledge 1, upheld");
        audits.collect(auditorOwner(audits.seat(id, seq, 0).auditor));
        vm.snapshotGasLastCall(GROUP, "audited: collect");
        vm.snapshotValue(GROUP, "audited: whole audit, two auditors agree", all);
    }

    function test_verdict() public {
        uint32 seq = drawnTwo(id, true);
        named(id, seq);
        stage(id, seq, true, 0);
        vm.snapshotGasLastCall(GROUP, "audited: reveal, last, four more drawn");
        stage(id, seq, true, 0);
        vm.snapshotGasLastCall(GROUP, "audited: reveal, last, overturned by six");
        eq(case_(id, seq).votes, 6, "votes");
        ok(case_(id, seq).outcome == IAudits.Outcome.Overturned, "overturned");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
    }

    function test_absence() public {
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        commit(id, seq, 0, truth(id, seq));
        vm.warp(case_(id, seq).deadline + 1);
        audits.advance(id, seq);
        vm.snapshotGasLastCall(GROUP, "audited: advance, one absent and replaced");
    }

    /// @dev A thousand auditors, a fifth of whom change their stake while the case is open, each in a second of its own: the
    /// line must be searched for how it was, and nobody can make that dear.
    function test_manyAuditorsWhoMoveTheirStake() public {
        for (uint256 n = 21; n <= 1_000; ++n) {
            auditor(n, 100 ether);
        }
        uint32 seq = work(id, false);
        while (true) {
            passBlocks(3);
            (bool mayPay,) = audits.bill(id, seq, 1);
            if (!mayPay) break;
            acknowledge(id, seq);
            seq = work(id, false);
        }
        for (uint256 n = 1; n <= 1_000; n += 5) {
            fund(auditorOwner(n), 1 ether);
            vm.prank(auditorOwner(n));
            auditors.addStake(1 ether);
            passSeconds(1);
        }
        audits.draw(id, seq);
        vm.snapshotGasLastCall(GROUP, "audited: draw, two seats, 1,000 auditors, 200 changes since");
        named(id, seq);
        split(seq);
        vm.snapshotGasLastCall(GROUP, "audited: reveal, last, four drawn, 1,000 auditors, 200 changes since");
        split(seq);
        vm.snapshotGasLastCall(GROUP, "audited: reveal, last, eight drawn, 1,000 auditors, 200 changes since");
        eq(case_(id, seq).votes, 14, "votes");
    }

    /// @dev One stage in which every other seat lies.
    function split(uint32 seq) internal {
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            commit(id, seq, seats[i], answerOf(seq, seats[i]));
        }
        if (case_(id, seq).state == IAudits.State.Opening) opened(id, seq, false);
        for (uint256 i = 0; i < seats.length; ++i) {
            reveal(id, seq, seats[i], answerOf(seq, seats[i]));
        }
    }

    function answerOf(uint32 seq, uint8 seat) internal view returns (bytes32) {
        return seat & 1 == 0 ? LIE : truth(id, seq);
    }

    function test_auditors() public {
        fund(auditorOwner(21), 100 ether);
        vm.prank(auditorOwner(21));
        auditors.join(auditorNode(21), 50 ether);
        vm.snapshotGasLastCall(GROUP, "audited: join as one of 21");
        vm.prank(auditorOwner(21));
        auditors.addStake(1 ether);
        vm.snapshotGasLastCall(GROUP, "audited: addStake");
        vm.prank(auditorOwner(21));
        auditors.unstake(51 ether);
        vm.snapshotGasLastCall(GROUP, "audited: unstake");
    }
}
