// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev It is stake that votes, not accounts; and nobody is bled with ranges that nobody can look into.
contract AuditVotesTest is AuditWorld {
    uint256 internal constant BIG = 4;
    uint256 internal constant CROWD = 11;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 1_000 ether);
        id = audited(40);
    }

    function closed(uint32 seq) internal view returns (bool) {
        return case_(id, seq).state == IAudits.State.Closed;
    }

    // ---------------------------------------------------------------- stake votes

    /// @dev Four honest people with a hundred times the stake of each of eleven liars, who tell one story.
    function crowd() internal returns (uint256 liars) {
        someAuditors(BIG, 1_000 ether);
        for (uint256 n = BIG + 1; n <= BIG + CROWD; ++n) {
            auditor(n, 10 ether);
            liars |= 1 << n;
        }
    }

    /// @dev What the crowd says is what the forger claims, so the lie is the true answer here.
    function test_aCrowdOfSmallAccountsUpholdsNoForgery() public {
        uint256 liars = crowd();
        for (uint256 i = 0; i < 6; ++i) {
            uint32 seq = work(id, true);
            drawn(id, seq);
            named(id, seq);
            while (!closed(seq)) {
                seals(seq, liars);
            }
            ok(case_(id, seq).outcome == IAudits.Outcome.Overturned, "the stake has found it");
            fund(ownerOf(1), 1_000 ether);
            vm.prank(ownerOf(1));
            registry.addStake(1_000 ether);
        }
        for (uint256 n = 1; n <= BIG; ++n) {
            eq(stakeOf(n), 1_000 ether, "nobody honest pays");
        }
    }

    function test_aCrowdOfSmallAccountsFramesNobody() public {
        uint256 liars = crowd();
        for (uint256 i = 0; i < 6; ++i) {
            uint32 seq = work(id, false);
            IAudits.Case memory c = audit(id, seq, false, liars);
            ok(c.outcome == IAudits.Outcome.Upheld || c.outcome == IAudits.Outcome.Unaudited, "paid");
            acknowledge(id, seq);
        }
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "stake");
    }

    /// @dev One stage over a forged range in which liars say what its provider says.
    function seals(uint32 seq, uint256 liars) internal {
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            commit(id, seq, seats[i], sold(seq, seats[i], liars));
        }
        if (case_(id, seq).state == IAudits.State.Opening) opened(id, seq, true);
        seats = seatsIn(id, seq, IAudits.SeatState.Committed);
        for (uint256 i = 0; i < seats.length; ++i) {
            reveal(id, seq, seats[i], sold(seq, seats[i], liars));
        }
    }

    function sold(uint32 seq, uint8 seat, uint256 liars) internal view returns (bytes32) {
        return answer(id, seq, liars >> audits.seat(id, seq, seat).auditor & 1 == 1);
    }

    /// @dev Who is drawn again commits and reveals once, counts as often as it was drawn and is paid as often.
    function test_whoIsDrawnAgainHasOneSeatWithMoreVotes() public {
        someAuditors(6, 10 ether);
        auditor(7, 1_000_000 ether);
        // Large enough to bring in two fees.
        id = audited(100);
        uint32 seq = work(id, false);
        drawn(id, seq);
        IAudits.Case memory c = case_(id, seq);
        eq(c.votes, 2, "two votes");
        eq(c.given, 1, "one seat");
        eq(c.waiting, 1, "one move is awaited");
        eq(audits.seat(id, seq, 0).auditor, 7, "who has the stake");
        eq(audits.seat(id, seq, 0).votes, 2, "drawn twice");
        named(id, seq);
        commit(id, seq, 0, truth(id, seq));
        opened(id, seq, false);
        reveal(id, seq, 0, truth(id, seq));
        c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld by both votes");
        eq(audits.owed(auditorOwner(7)), 2 * uint256(c.fee), "both are paid");
        acknowledge(id, seq);
        eq(free(address(audits)), value(seq) / 50 + 2 * uint256(c.fee), "by the range that they were drawn for");
    }

    /// @dev More votes for who has answered already need no further move: a forger is overturned in one.
    function test_votesThatFallOnAnswersCountAtOnce() public {
        someAuditors(6, 10 ether);
        auditor(7, 1_000_000 ether);
        uint32 seq = work(id, true);
        drawn(id, seq);
        named(id, seq);
        stage(id, seq, true, 0);
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        eq(c.votes, 6, "two and four");
        eq(c.given, 1, "all of one");
        eq(c.stage, 1, "in the second stage");
    }

    /// @dev A wrong answer costs half of the stake, however often its seat was drawn.
    function test_aSeatWithManyVotesIsPunishedOnce() public {
        uint256 liars = 1 << 1;
        auditor(1, 300 ether);
        for (uint256 n = 2; n <= 8; ++n) {
            auditor(n, 100 ether);
        }
        uint256 most = 0;
        for (uint256 i = 0; i < 12 && most < 2; ++i) {
            uint256 before = stakeOf(1);
            uint32 seq = work(id, false);
            IAudits.Case memory c = audit(id, seq, false, liars);
            if (c.outcome == IAudits.Outcome.Undecided) continue;
            acknowledge(id, seq);
            uint256 votes = 0;
            for (uint8 n = 0; n < c.given; ++n) {
                if (audits.seat(id, seq, n).auditor == 1) votes = audits.seat(id, seq, n).votes;
            }
            eq(stakeOf(1), votes == 0 ? before : before - before / 2, "half or nothing");
            if (votes > most) most = votes;
        }
        ok(most >= 2, "once it had more than one vote");
    }

    // ---------------------------------------------------------------- a full committee

    /// @dev Five of the fifteen votes are sold and say what the forger says: never five fewer than the others, until the last one
    /// is cast. A vote more of theirs decides nothing, and the next range is handed in.
    function test_tenOfFifteenOverturnAndSlash() public {
        someAuditors(40, 100 ether);
        (uint32 seq, uint256 liars, uint256 lies) = (0, 0, 6);
        for (uint256 i = 0; i < 24 && lies != 5; ++i) {
            seq = work(id, true);
            (liars, lies) = divided(seq);
            bool isLed = case_(id, seq).outcome != IAudits.Outcome.Undecided;
            ok(isLed == (lies == 5), "nine of fifteen are no lead of five");
        }
        eq(lies, 5, "ten to five");
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        eq(c.votes, 15, "by a full committee");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        eq(registry.provider(ownerOf(1)).stake, 0, "the provider's stake is gone");
        for (uint256 n = 1; n <= 40; ++n) {
            eq(stakeOf(n), liars >> n & 1 == 1 ? 50 ether : 100 ether, "who upheld it loses half, and nobody else");
        }
    }

    /// @dev A case in which of all votes after each stage one, three and five are sold, as far as new seats allow. Whose they
    /// are, and how many votes they have in the end.
    function divided(uint32 seq) internal returns (uint256 liars, uint256 lies) {
        drawn(id, seq);
        named(id, seq);
        for (uint256 most = 1; !closed(seq); most = most < 5 ? most + 2 : 5) {
            liars = bought(seq, liars, most);
            seals(seq, liars);
        }
        lies = votesOf(seq, liars);
    }

    /// @dev Liars so far, and of the new seats as many as have no more than `most` votes together with them.
    function bought(uint32 seq, uint256 liars, uint256 most) internal view returns (uint256) {
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            uint256 more = liars | 1 << audits.seat(id, seq, seats[i]).auditor;
            if (votesOf(seq, more) <= most) liars = more;
        }
        return liars;
    }

    function votesOf(uint32 seq, uint256 who) internal view returns (uint256 votes) {
        uint8 given = case_(id, seq).given;
        for (uint8 i = 0; i < given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            if (who >> s.auditor & 1 == 1) votes += s.votes;
        }
    }

    // ---------------------------------------------------------------- nobody can look into it

    /// @dev One accomplice among the drawn says what the liar says; the others cannot fetch the tasks. They pay nothing.
    function test_anAccompliceMakesNobodyPayForItsAbsence() public {
        someAuditors(20, 100 ether);
        uint32 seq = work(id, false);
        drawn(id, seq);
        named(id, seq);
        late(id, seq);
        late(id, seq);
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        commit(id, seq, seats[0], truth(id, seq));
        while (!closed(seq)) {
            if (case_(id, seq).state == IAudits.State.Opening) opened(id, seq, false);
            seats = seatsIn(id, seq, IAudits.SeatState.Committed);
            if (case_(id, seq).state == IAudits.State.Revealing) reveal(id, seq, seats[0], truth(id, seq));
            else if (!closed(seq)) late(id, seq);
        }
        ok(case_(id, seq).absent > case_(id, seq).given / 2, "most did not come");
        for (uint256 n = 1; n <= 20; ++n) {
            eq(stakeOf(n), 100 ether, "nobody pays");
        }
    }

    /// @dev Even if what was handed in claims nothing at all, a stake carries only so many cases at a time.
    function test_openCasesAreBoundedByStake() public {
        someAuditors(7, 100 ether);
        // A task is worth 0.15 at its cap, the least there is, and a stake of one carries six.
        provider(2, 100, 1 ether);
        IJobBook.Terms memory t = book.job(id).terms;
        (t.price, t.unitCap, t.firstRange) = (0.01 ether, 15, 1);
        uint64 dust = openJob(t, 100 ether);
        for (uint32 i = 0; i < 6; ++i) {
            (uint32 seq,,) = claim(dust, 2, 1);
            submit(dust, 2, seq, 0, 0);
        }
        eq(registry.provider(ownerOf(2)).exposure, 0.9 ether, "six cases");
        eq(book.job(dust).escrow, 100 ether, "though the client owes nothing");
        refused(dust, IJobBook.Refusal.NoExposure);
        claim(dust, 2, 1);
        // One is rejected, the others are paid their nothing: both ways it is free again.
        passBlocks(3);
        for (uint32 seq = 0; seq < 6; ++seq) {
            audits.draw(dust, seq);
        }
        vm.warp(case_(dust, 0).deadline + 1);
        audits.advance(dust, 0);
        eq(registry.provider(ownerOf(2)).exposure, 0.75 ether, "rejected");
    }

    function test_paidRangesOfDustFreeTheirExposure() public {
        someAuditors(7, 100 ether);
        provider(2, 100, 100 ether);
        IJobBook.Terms memory t = book.job(id).terms;
        (t.price, t.unitCap, t.firstRange) = (0.01 ether, 15, 1);
        uint64 dust = openJob(t, 100 ether);
        (uint32 seq, uint32 from,) = claim(dust, 2, 1);
        MerkleSum.Leaf[] memory list = new MerkleSum.Leaf[](1);
        list[0] = MerkleSum.Leaf(dust, from, 0, bytes4(from), 4, 1);
        (bytes32 root,) = MerkleSum.recomputeRoot(list);
        vm.prank(nodeOf(2));
        book.submit(dust, seq, root, 1, 0, "content");
        eq(registry.provider(ownerOf(2)).exposure, 0.15 ether, "more than its worth");
        drawn(dust, seq);
        vm.prank(nodeOf(2));
        audits.name(dust, seq, new uint32[](8));
        // It is worth less than the small value, so one vote decides.
        commit(dust, seq, 0, truth(dust, seq));
        opened(dust, seq, false);
        reveal(dust, seq, 0, truth(dust, seq));
        uint256 before = free(ownerOf(2));
        acknowledge(dust, seq);
        eq(registry.provider(ownerOf(2)).exposure, 0, "paid");
        ok(free(ownerOf(2)) - before <= 0.01 ether, "what it is worth, not what it was exposed with");
    }

    // ---------------------------------------------------------------- late ranges

    /// @dev Work that took its provider longer than the bound takes its auditors longer than they have.
    function test_lateRangesOfAuditedJobsAreNotTaken() public {
        someAuditors(7, 100 ether);
        (uint32 seq,,) = claim(id, 1, 40);
        passSeconds(225);
        uint256 state = vm.snapshotState();
        submit(id, 1, seq, 200, 0);
        ok(vm.revertToState(state), "just in time; back");
        passSeconds(1);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.SubmittedLate.selector, id, seq));
        submit(id, 1, seq, 200, 0);
        vm.prank(nodeOf(1));
        book.release(id, seq);
        ok(book.range(id, seq).state == IJobBook.RangeState.Released, "it can be given back");
        // In plain jobs it counts as long as nobody has had it expired.
        uint64 plain = openJob(terms(), 10 ether);
        (seq,,) = claim(plain, 1, 8);
        passSeconds(301);
        submit(plain, 1, seq, 10, 0);
    }

    function value(uint32 seq) internal view returns (uint256) {
        IJobBook.Range memory r = book.range(id, seq);
        return uint256(r.units) * r.price;
    }
}
