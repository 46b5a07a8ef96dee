// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What it costs to be late or silent in a replicated range, and what a forger can win.
contract ReplicaFaultsTest is ReplicaWorld {
    uint96 internal constant STAKE = 2_000 ether;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(20, 100 ether);
        id = replicated(40);
    }

    function escrow() internal view returns (uint256) {
        return book.job(id).escrow;
    }

    // ---------------------------------------------------------------- who is late

    function test_aLateMateLosesATenthAndItsPlace() public {
        mates(id, 4, STAKE);
        uint32 seq = sealedRange(id, false);
        uint256 mate = mateDrawn(id, seq);
        uint256 purse = free(address(audits));
        passedOver(id, seq);
        uint256 cut = STAKE - registry.provider(ownerOf(mate)).stake;
        // Shares are billionths, rounded up.
        ok(cut >= value(id, seq) / 10 && cut <= value(id, seq) / 10 + STAKE / 1e9, "a tenth of the value");
        eq(free(address(audits)) - purse, cut / 2, "half of it to the purse");
        isEntry(id, mate, IWaiting.State.Left, 0);
        is_(id, seq, IReplicas.State.Working);
        ok(pair(id, seq).mate != mate && pair(id, seq).tries == 1, "another one");
        commits(id, seq, false);
        reveals(id, seq, 1, false);
        reveals(id, seq, pair(id, seq).mate, false);
        ended(id, seq, IReplicas.Outcome.Matched);
    }

    function test_threeLateMatesAreEnough() public {
        mates(id, 6, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        for (uint256 i = 0; i < 3; ++i) {
            is_(id, seq, IReplicas.State.Working);
            passedOver(id, seq);
        }
        is_(id, seq, IReplicas.State.Alone);
        eq(pair(id, seq).mate, 0, "no mate");
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(case_(id, seq).rate, audits.rateOf(1), "the usual rate");
    }

    function test_nobodyIsDrawnAfterTheSpan() public {
        mates(id, 4, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        vm.warp(book.range(id, seq).at + Parameters.DRAW_SPAN + 1);
        replicas.advance(id, seq);
        is_(id, seq, IReplicas.State.Alone);
        eq(pair(id, seq).tries, 1, "only one was late");
    }

    function test_aSilentPrimaryLosesAllAndHalfGoesToItsMate() public {
        mates(id, 3, STAKE);
        uint256 before = escrow();
        (uint32 seq, uint256 mate) = bothCommitted(id, false, false);
        reveals(id, seq, mate, false);
        uint256 mates_ = free(ownerOf(mate));
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Silent);
        eq(registry.provider(ownerOf(1)).stake, 0, "all of its stake");
        eq(free(ownerOf(mate)) - mates_, 2_500 ether, "half");
        eq(escrow(), before, "twice its money comes back");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        isEntry(id, mate, IWaiting.State.Waiting, 0);
        eq(registry.provider(ownerOf(mate)).stake, STAKE, "the mate loses nothing");
    }

    function test_aSilentPrimaryLosesItsRecord() public {
        uint64 single = audited(40);
        uint32 seq = work(single, false);
        audit(single, seq, false, 0);
        ok(audits.record(1) != 0, "a record");
        seq = sealedRange(id, false);
        mateDrawn(id, seq);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Silent);
        eq(audits.record(1), 0, "gone");
        eq(registry.provider(ownerOf(1)).stake, 0, "all of its stake");
    }

    function test_aSilentMateLosesAllAndThePrimaryGoesOn() public {
        mates(id, 3, STAKE);
        (uint32 seq, uint256 mate) = bothCommitted(id, false, false);
        reveals(id, seq, 1, false);
        uint256 purse = free(address(audits));
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(replicas.mateOf(id, seq), 0, "no mate");
        eq(registry.provider(ownerOf(mate)).stake, 0, "all of its stake");
        eq(free(address(audits)) - purse, STAKE / 2, "half to the purse");
        isEntry(id, mate, IWaiting.State.Left, 0);
        eq(registry.provider(ownerOf(1)).stake, 5_000 ether, "the primary loses nothing");
        ok(case_(id, seq).state == IAudits.State.Submitted, "its audit begins");
    }

    function test_whoAreBothSilentBothLoseAll() public {
        mates(id, 2, STAKE);
        (uint32 seq,) = bothCommitted(id, false, false);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Silent);
        eq(registry.provider(ownerOf(1)).stake, 0, "the primary");
        eq(registry.provider(ownerOf(2)).stake, 0, "the mate");
        eq(free(address(audits)), (5_000 ether + STAKE) / 2, "the purse");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
    }

    // ---------------------------------------------------------------- what a forger can win

    /// @dev Whom a kept beacon draws can be known before anybody calls `draw`. A primary that does not like it could let the hour pass.
    function test_whatIsNotDrawnInTimeIsSurelyAudited() public {
        uint64 single = audited(40);
        audit(single, work(single, false), false, 0);
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        ok(pair(id, seq).rate < Parameters.ONE, "a record already");
        passBlocks(3);
        ok(randomness.note(pair(id, seq).round) != 0, "the beacon is kept");
        passedOver(id, seq);
        is_(id, seq, IReplicas.State.Alone);
        ok(pair(id, seq).lapsed, "as if it had lapsed");
        reveals(id, seq, 1, false);
        eq(case_(id, seq).rate, Parameters.ONE, "surely");
    }

    /// @dev A match is no proof: the audit overturns it as any other, and neither part is paid.
    function test_forgersThatMatchAreNotPaid() public {
        mates(id, 2, STAKE);
        uint256 before = escrow();
        (uint32 seq, uint256 mate) = replica(id, true, true);
        ended(id, seq, IReplicas.Outcome.Matched);
        uint256 mates_ = free(ownerOf(mate));
        IAudits.Case memory c = audit(id, seq, true, 0);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        eq(escrow(), before, "twice its money comes back");
        eq(free(ownerOf(mate)), mates_, "the friend gets nothing");
        eq(registry.provider(ownerOf(1)).stake, 0, "all of the primary's stake");
        eq(registry.provider(ownerOf(1)).exposure, 0, "no longer exposed");
    }

    /// @dev A forger whose mate is a friend gets both parts of a range, and its stake alone answers for it. So the stake carries half as
    /// much as in a job with audits alone; or what pays in neither part would pay in both.
    function test_aStakeAnswersForWhatBothGet() public {
        uint64 single = audited(40);
        uint128 stake = 10 * 7 * uint128(PRICE);
        provider(2, 4, stake);
        (,, uint32 count) = claim(single, 2, 40);
        eq(count, 10, "as much as its stake carries");
        provider(3, 4, stake);
        (uint32 most,,) = book.claimable(id, ownerOf(3));
        eq(most, 5, "claimable: half of it");
        uint256 before = escrow();
        (,, count) = claim(id, 3, 40);
        eq(count, 5, "half of it");
        ok(before - escrow() <= stake, "what it can win is not more than it can lose");
        eq(registry.standingOf(ownerOf(3)).room, 0, "all of its room");
        refused(id, IJobBook.Refusal.NoExposure);
        vm.prank(nodeOf(3));
        book.claim(id, 40, 0);
    }
}
