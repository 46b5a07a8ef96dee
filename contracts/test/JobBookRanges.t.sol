// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";

/// @dev Claiming, submitting, releasing and expiring ranges.
contract JobBookRangesTest is Network {
    uint96 internal constant PRICE = 1e12;

    function roomOf(uint256 n) internal view returns (uint256) {
        return registry.standing(nodeOf(n)).room;
    }

    function expectRefusal(uint64 id, uint256 n, uint32 want, uint96 minPrice, IJobBook.Refusal why) internal {
        vm.prank(nodeOf(n));
        refused(id, why);
        book.claim(id, want, minPrice);
    }

    function test_claimTakesTheNextTasksAndReserves() public {
        provider(1, 2, 100 ether);
        uint64 id = openJob(terms(), 10 ether);
        (uint32 seq, uint32 from, uint32 count) = claim(id, 1, 100);
        eq(seq, 0, "seq");
        eq(from, 0, "from");
        eq(count, 8, "the first range is the client's hint");
        eq(book.job(id).escrow, 10 ether - 8 * 100 * uint256(PRICE), "ceiling reserved");
        eq(roomOf(1), 100 ether - 8 * 100 * uint256(PRICE), "exposure");
        eq(registry.standing(nodeOf(1)).held, 1, "held");
        (seq, from, count) = claim(id, 1, 3);
        eq(seq, 1, "next seq");
        eq(from, 8, "next tasks");
        eq(count, 3, "no more than wanted");
        IJobBook.Range memory r = book.range(id, 1);
        eq(r.provider, ownerOf(1), "owner");
        ok(r.state == IJobBook.RangeState.Claimed && r.at == block.timestamp, "claimed now");
        IJobBook.Range[] memory list = view_.ranges(id, 0, 10);
        eq(list.length, 2, "two ranges");
        eq(keccak256(abi.encode(list[1])), keccak256(abi.encode(r)), "the same");
        eq(view_.ranges(id, 2, 10).length, 0, "none further");
    }

    function test_refusals() public {
        IJobBook.Terms memory t = terms();
        t.requiredClass = 4;
        t.taskCount = 4;
        uint64 picky = openJob(t, 10 ether);
        t.requiredClass = 0;
        uint64 id = openJob(t, 10 ether);
        uint64 poor = openJob(t, 50 * PRICE);
        address owner = provider(1, 1, 1 ether);
        provider(2, 1, 0);
        expectRefusal(99, 1, 1, 0, IJobBook.Refusal.NoSuchJob);
        expectRefusal(id, 3, 1, 0, IJobBook.Refusal.NotRegistered);
        expectRefusal(id, 1, 0, 0, IJobBook.Refusal.WantZero);
        expectRefusal(id, 1, 1, PRICE + 1, IJobBook.Refusal.PriceTooLow);
        expectRefusal(picky, 1, 1, 0, IJobBook.Refusal.NotQualified);
        expectRefusal(poor, 1, 1, 0, IJobBook.Refusal.Dry);
        expectRefusal(id, 2, 1, 0, IJobBook.Refusal.NoExposure);
        vm.prank(owner);
        registry.setPaused(true);
        expectRefusal(id, 1, 1, 0, IJobBook.Refusal.ProviderPaused);
        vm.prank(owner);
        registry.setPaused(false);
        claim(id, 1, 1);
        claim(id, 1, 1);
        expectRefusal(id, 1, 1, 0, IJobBook.Refusal.NoFreeSlot);
        provider(4, 1, 1 ether);
        claim(id, 4, 1);
        claim(id, 4, 1);
        provider(5, 1, 1 ether);
        expectRefusal(id, 5, 1, 0, IJobBook.Refusal.NothingLeft);
        vm.warp(t.deadline + 1);
        expectRefusal(picky, 5, 1, 0, IJobBook.Refusal.DeadlinePassed);
        (uint32 count,, IJobBook.Refusal why) = book.claimable(picky, ownerOf(5));
        ok(count == 0 && why == IJobBook.Refusal.DeadlinePassed, "claimable says the same");
    }

    function test_claimableForeseesTheClaim() public {
        provider(1, 1, 1 ether);
        uint64 id = openJob(terms(), 10 ether);
        (uint32 count, uint96 price, IJobBook.Refusal why) = book.claimable(id, ownerOf(1));
        ok(why == IJobBook.Refusal.None && price == PRICE, "claimable");
        (,, uint32 got) = claim(id, 1, type(uint32).max);
        eq(count, got, "as foreseen");
    }

    function test_exposureBoundsTheRange() public {
        provider(1, 1, 250 * uint128(PRICE));
        uint64 id = openJob(terms(), 10 ether);
        (,, uint32 count) = claim(id, 1, 100);
        eq(count, 2, "stake carries two tasks of 100 units");
    }

    function test_escrowBoundsTheRangeAndTopUpGoesOn() public {
        provider(1, 2, 1 ether);
        uint64 id = openJob(terms(), 350 * uint128(PRICE));
        (,, uint32 count) = claim(id, 1, 100);
        eq(count, 3, "funds for three tasks");
        ok(book.job(id).dry, "dry");
        expectRefusal(id, 1, 1, 0, IJobBook.Refusal.Dry);
        vm.prank(CLIENT);
        book.topUp(id, 60 * PRICE);
        (,, count) = claim(id, 1, 100);
        eq(count, 1, "goes on");
    }

    function test_prepareIsPaidPerRange() public {
        IJobBook.Terms memory t = terms();
        t.prepareCap = 1000;
        provider(1, 1, 10 ether);
        uint64 id = openJob(t, 1 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 100);
        eq(book.job(id).escrow, 1 ether - (uint256(count) * 100 + 1000) * PRICE, "prepare is part of the ceiling");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.TooManyUnits.selector, 1801, 1800));
        book.submit(id, seq, "r", 1801, 0, 0);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.TooManyFailures.selector, 10, 9));
        book.submit(id, seq, "r", 1800, 10, 0);
        submit(id, 1, seq, 1800, 9);
    }

    function test_fairShare() public {
        IJobBook.Terms memory t = terms();
        t.firstRange = 1000;
        t.parallelism = 4;
        provider(1, 10, 1000 ether);
        uint64 id = openJob(t, 100 ether);
        (,, uint32 count) = claim(id, 1, 1000);
        eq(count, 125, "1000 / (2 x 4)");
        (,, count) = claim(id, 1, 1000);
        eq(count, 109, "875 / (2 x 4)");
        for (uint256 i = 0; i < 14; ++i) {
            (,, count) = claim(id, 1, 1000);
        }
        (,, count) = claim(id, 1, 1000);
        ok(count >= 7, "never below 1000 / (32 x 4)");
    }

    function test_paceDoublesAndTheRateTakesOver() public {
        IJobBook.Terms memory t = terms();
        t.taskCount = 100_000;
        t.parallelism = 1;
        t.firstRange = 1;
        provider(1, 1, 1000 ether);
        uint64 id = openJob(t, 100 ether);
        uint32 expected = 1;
        for (uint256 i = 0; i < 6; ++i) {
            (uint32 seq,, uint32 count) = claim(id, 1, type(uint32).max);
            eq(count, expected, "doubles");
            submit(id, 1, seq, 1, 0);
            expected *= 2;
        }
        // 63 tasks so far; the next range takes 32 s: 127 tasks in 32 s, so about 238 in the target time of 60 s.
        (uint32 slow,, uint32 n) = claim(id, 1, type(uint32).max);
        vm.warp(block.timestamp + 32);
        submit(id, 1, slow, 1, 0);
        IJobBook.Pace memory p = book.pace(id, ownerOf(1));
        eq(p.tasks, 127, "tasks");
        eq(p.busySeconds, 32, "seconds");
        (slow,, n) = claim(id, 1, type(uint32).max);
        eq(n, 128, "still bounded by doubling");
        vm.warp(block.timestamp + 200);
        submit(id, 1, slow, 1, 0);
        (slow,, n) = claim(id, 1, type(uint32).max);
        eq(n, uint256(255) * 60 / 232, "now bounded by the rate");
    }

    function test_lateSubmissionStartsAgain() public {
        IJobBook.Terms memory t = terms();
        provider(1, 1, 1000 ether);
        uint64 id = openJob(t, 100 ether);
        (uint32 seq,,) = claim(id, 1, 100);
        submit(id, 1, seq, 1, 0);
        eq(book.pace(id, ownerOf(1)).cap, 16, "doubled");
        (seq,,) = claim(id, 1, 100);
        vm.warp(block.timestamp + 301);
        submit(id, 1, seq, 1, 0);
        eq(book.pace(id, ownerOf(1)).cap, 0, "late, and not expired by anyone: counts, but starts again");
    }

    function test_submitReturnsTheUnusedPart() public {
        provider(1, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,,) = claim(id, 1, 8);
        vm.prank(nodeOf(1));
        book.submit(id, seq, "root", 300, 2, "content");
        IJobBook.Job memory j = book.job(id);
        eq(j.escrow, 1 ether - 300 * uint256(PRICE), "the rest is back");
        eq(j.failures, 2, "failures");
        eq(roomOf(1), 1 ether - 300 * uint256(PRICE), "exposure is what was earned");
        eq(registry.standing(nodeOf(1)).held, 0, "no longer held");
        IJobBook.Range memory r = book.range(id, seq);
        ok(r.state == IJobBook.RangeState.Submitted && r.root == "root" && r.units == 300 && r.failures == 2, "range");
    }

    function test_onlyTheProviderSubmitsOnceAndARealRoot() public {
        provider(1, 1, 1 ether);
        provider(2, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,,) = claim(id, 1, 8);
        claim(id, 2, 8);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotYourRange.selector, id, seq));
        book.submit(id, seq, "r", 1, 0, 0);
        vm.prank(ownerOf(1));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotRegistered.selector, ownerOf(1)));
        book.submit(id, seq, "r", 1, 0, 0);
        vm.prank(nodeOf(1));
        vm.expectRevert(IJobBook.EmptyRoot.selector);
        book.submit(id, seq, 0, 1, 0, 0);
        submit(id, 1, seq, 1, 0);
        vm.prank(nodeOf(1));
        vm.expectRevert(
            abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, seq, IJobBook.RangeState.Submitted)
        );
        book.submit(id, seq, "r", 1, 0, 0);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, 9, IJobBook.RangeState.None));
        book.submit(id, 9, "r", 1, 0, 0);
    }

    function test_submitAndClaim() public {
        provider(1, 1, 1 ether);
        IJobBook.Terms memory t = terms();
        t.taskCount = 12;
        t.parallelism = 1;
        t.firstRange = 6;
        uint64 id = openJob(t, 1 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 6);
        vm.prank(nodeOf(1));
        uint32 from;
        (seq, from, count) = book.submitAndClaim(id, seq, "r", 100, 0, 0, 6, PRICE);
        eq(seq, 1, "next");
        eq(from, 6, "next tasks");
        eq(count, 3, "half of the rest");
        vm.prank(nodeOf(1));
        (,, count) = book.submitAndClaim(id, seq, "r", 100, 0, 0, 6, PRICE + 1);
        eq(count, 0, "the price is too low, but the submission counts");
        ok(book.range(id, 1).state == IJobBook.RangeState.Submitted, "submitted");
    }

    function test_tooManyFailuresStopTheJobSoftly() public {
        IJobBook.Terms memory t = terms();
        t.maxFailures = 5;
        provider(1, 2, 1 ether);
        uint64 id = openJob(t, 1 ether);
        (uint32 a,,) = claim(id, 1, 8);
        (uint32 b,,) = claim(id, 1, 8);
        submit(id, 1, a, 1, 5);
        ok(book.job(id).state == IJobBook.JobState.Open, "at the limit");
        submit(id, 1, b, 1, 1);
        ok(book.job(id).state == IJobBook.JobState.Draining, "above it");
        expectRefusal(id, 1, 1, 0, IJobBook.Refusal.NotOpen);
        acknowledge(id, a);
        acknowledge(id, b);
        book.finish(id);
        ok(book.job(id).state == IJobBook.JobState.Done, "done with what there is");
        eq(locked(CLIENT), 0, "refunded");
    }

    /// @dev Held ranges and exposure are counted down before the JobBook sees whose range it is.
    function test_whoHoldsNothingOrLessHandsInNothingOfOthers() public {
        provider(1, 1, 1 ether);
        provider(2, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 8);
        ok(count > 1, "more than one task");
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReserved.selector, uint32(2)));
        book.submit(id, seq, "r", 1, 0, 0);
        (,, uint32 less) = claim(id, 2, 1);
        eq(less, 1, "one task");
        vm.startPrank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReserved.selector, uint32(2)));
        book.submit(id, seq, "r", 1, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotYourRange.selector, id, seq));
        book.submit(id, seq, "r", 100 * uint64(count), 0, 0);
        vm.stopPrank();
        eq(registry.standing(nodeOf(2)).held, 1, "it holds what it held");
        submit(id, 1, seq, 1, 0);
    }

    function test_releasedTasksGoOutFirstInPieces() public {
        provider(1, 1, 1 ether);
        provider(2, 4, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 8);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotYourRange.selector, id, seq));
        book.release(id, seq);
        vm.prank(address(0xDEF));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotNode.selector, address(0xDEF)));
        book.release(id, seq);
        vm.prank(nodeOf(1));
        book.release(id, seq);
        IJobBook.Job memory j = book.job(id);
        eq(j.escrow, 1 ether, "all money is back");
        eq(j.unclaimed, 1000, "all tasks are back");
        eq(roomOf(1), 1 ether, "no exposure, no cut");
        uint32 from;
        (seq, from, count) = claim(id, 2, 5);
        ok(seq == 1 && from == 0 && count == 5, "first piece");
        (seq, from, count) = claim(id, 2, 5);
        ok(from == 5 && count == 3, "rest of it");
        (seq, from, count) = claim(id, 2, 5);
        ok(from == 8 && count == 5, "then new tasks");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, 0, IJobBook.RangeState.Released));
        book.release(id, 0);
    }

    function test_theFourthReleaseCostsTheBond() public {
        address owner = provider(1, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        for (uint256 i = 0; i < 4; ++i) {
            (uint32 seq,,) = claim(id, 1, 8);
            eq(registry.provider(owner).stake, 1 ether, "free so far");
            vm.prank(nodeOf(1));
            book.release(id, seq);
        }
        uint256 bond = 800 * uint256(PRICE) / 10;
        eq(registry.provider(owner).stake, 1 ether - bond, "a tenth of the range's largest value");
        eq(free(ledger.BURN_ACCOUNT()), bond / 2, "half burned");
        eq(book.pace(id, owner).releases, 4, "counted");
    }

    function test_expiry() public {
        address owner = provider(1, 2, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        uint256 clientBefore = free(CLIENT);
        (uint32 a,,) = claim(id, 1, 8);
        (uint32 b,,) = claim(id, 1, 8);
        submit(id, 1, b, 10, 0);
        uint32[] memory seqs = new uint32[](4);
        (seqs[0], seqs[1], seqs[2], seqs[3]) = (a, b, a, 77);
        vm.warp(block.timestamp + 300);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.expire(id, seqs);
        vm.warp(block.timestamp + 1);
        eq(book.expire(id, seqs), 1, "once, and only the late one");
        ok(book.range(id, a).state == IJobBook.RangeState.Expired, "expired");
        uint256 bond = 800 * uint256(PRICE) / 10;
        eq(registry.provider(owner).stake, 1 ether - bond, "bond cut");
        eq(free(CLIENT) - clientBefore, bond / 2, "part of it to the client");
        eq(book.job(id).unclaimed, 1000 - 8, "tasks are back");
        eq(book.pace(id, owner).cap, 0, "starts small again");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, a, IJobBook.RangeState.Expired));
        book.submit(id, a, "r", 1, 0, 0);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(a));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.TooManyRanges.selector, 257, 256));
        book.expire(id, new uint32[](257));
    }

    function test_pausedProviderMayStillSubmit() public {
        address owner = provider(1, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,,) = claim(id, 1, 8);
        vm.prank(owner);
        registry.setPaused(true);
        submit(id, 1, seq, 10, 0);
    }

    function test_replacedNodeKeyTakesOverTheRanges() public {
        address owner = provider(1, 1, 1 ether);
        uint64 id = openJob(terms(), 1 ether);
        (uint32 seq,,) = claim(id, 1, 8);
        IRegistry.Consent memory agreed = consent(9, owner);
        vm.prank(owner);
        registry.setNode(nodeOf(9), agreed);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotRegistered.selector, nodeOf(1)));
        book.submit(id, seq, "r", 1, 0, 0);
        submit(id, 9, seq, 1, 0);
    }

    function testFuzz_aRangeNeverExceedsAnyBound(
        uint32 want,
        uint32 tasks,
        uint16 parallelism,
        uint32 first,
        uint96 funds,
        uint96 stake,
        uint64 unitCap,
        uint64 prepareCap
    ) public {
        IJobBook.Terms memory t = terms();
        t.taskCount = uint32(bound(tasks, 1, 1 << 30));
        t.parallelism = uint16(bound(parallelism, 1, type(uint16).max));
        t.firstRange = uint32(bound(first, 1, 1 << 20));
        t.unitCap = uint64(bound(unitCap, 1, 1 << 42));
        t.prepareCap = uint64(bound(prepareCap, 0, 1 << 40));
        t.price = 7;
        t.window = 3600;
        funds = uint96(bound(funds, 0, 100_000 ether));
        stake = uint96(bound(stake, 0, 100_000 ether));
        provider(1, 1, stake);
        uint64 id = openJob(t, funds);
        (uint32 count,, IJobBook.Refusal why) = book.claimable(id, ownerOf(1));
        want = uint32(bound(want, 1, type(uint32).max));
        if (why != IJobBook.Refusal.None) {
            uint256 least = (uint256(t.unitCap) + t.prepareCap) * 7;
            ok(least > funds || least > stake, "refused only when not even one task fits");
            return;
        }
        (,, uint32 got) = claim(id, 1, want);
        eq(got, want < count ? want : count, "want or what is claimable");
        ok(got >= 1 && got <= t.firstRange && got <= t.taskCount && got <= 1 << 20, "bounds");
        uint256 value = (uint256(got) * t.unitCap + t.prepareCap) * 7;
        ok(value <= funds && value <= stake, "paid for and carried by stake");
        eq(book.job(id).escrow, funds - value, "reserved to the unit");
    }
}
