// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev When the time of holders is over: who still serves, and has the second half of its fee.
contract HoldSpotsTest is HoldWorld {
    uint64 internal id;
    uint32 internal seq;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(20, 100 ether);
        id = keptJob(40, DEPOSIT);
        seq = ripe(id);
        opened(id, seq);
        // Draws 0, 2, 3 and 6.
        uint8[4] memory draws = [6, 0, 3, 2];
        for (uint256 i = 0; i < 4; ++i) {
            signs(id, seq, draws[i]);
        }
        settles(id, seq);
    }

    function state() internal view returns (ISpots.SpotState) {
        return spots.spotOf(id, seq).state;
    }

    function wrongSpot(ISpots.SpotState at) internal {
        vm.expectRevert(abi.encodeWithSelector(ISpots.WrongSpot.selector, id, seq, at));
    }

    function timeOver() internal {
        vm.warp(ask_(id, seq).until + 1);
    }

    function money() internal view returns (uint256[21] memory all) {
        for (uint256 n = 1; n <= 20; ++n) {
            all[n] = free(auditorOwner(n));
        }
    }

    function sameMoney(uint256[21] memory due) internal view {
        for (uint256 n = 1; n <= 20; ++n) {
            eq(free(auditorOwner(n)), due[n], "what an auditor has");
        }
    }

    // ---------------------------------------------------------------- who serves

    function test_whoServesHasTheSecondHalfOfItsFee() public {
        eq(ask_(id, seq).bits, 0x4d, "who has signed");
        timeOver();
        looks(id, seq);
        uint256[21] memory due = money();
        // All see draws 0 and 2, four of seven draw 6, three draw 3.
        for (uint8 i = 0; i < 7; ++i) {
            uint16 seen = i < 4 ? 0x45 : 0x0d;
            due[spotted(id, seq, i, seen)] += LEAST;
        }
        ok(state() == ISpots.SpotState.Asked, "no vote ends it, or the last one would pay for the end");
        ends(id, seq);
        uint32[] memory named_ = holders.named(id, seq);
        uint8[3] memory serve = [0, 2, 6];
        for (uint256 i = 0; i < 3; ++i) {
            due[named_[serve[i]]] += FEE;
        }
        sameMoney(due);
        // The fourth one's is free again.
        isMoney(id, DEPOSIT - 7 * FEE - 7 * LEAST, 0);
        wrongSpot(ISpots.SpotState.Over);
        spots.conclude(id, seq);
        wrongSpot(ISpots.SpotState.Over);
        spots.check(id, seq);
        wrongSpot(ISpots.SpotState.Over);
        spots.spot(id, seq, 0, 0);
    }

    function test_fourMustLookAndMostOfThemSee() public {
        timeOver();
        looks(id, seq);
        uint256[21] memory due = money();
        uint16[4] memory seen = [uint16(0x4d), 0x0d, 0x05, 0x04];
        for (uint8 i = 0; i < 4; ++i) {
            due[spotted(id, seq, i, seen[i])] += LEAST;
        }
        uint256 end = spots.spotOf(id, seq).asOf + Parameters.SPOT_TIME;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, end));
        spots.conclude(id, seq);
        passSeconds(1);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooLate.selector, end));
        spots.spot(id, seq, 4, 0);
        spots.conclude(id, seq);
        uint32[] memory named_ = holders.named(id, seq);
        // Draw 0 by three, draw 2 by all, draw 3 by two of four.
        due[named_[0]] += FEE;
        due[named_[2]] += FEE;
        sameMoney(due);
        isMoney(id, DEPOSIT - 6 * FEE - 4 * LEAST, 0);
    }

    function test_whereTooFewLookNobodyIsPaid() public {
        timeOver();
        looks(id, seq);
        for (uint8 i = 0; i < 3; ++i) {
            spotted(id, seq, i, 0x4d);
        }
        passSeconds(Parameters.SPOT_TIME + 1);
        uint256[21] memory due = money();
        spots.conclude(id, seq);
        sameMoney(due);
        isMoney(id, DEPOSIT - 4 * FEE - 3 * LEAST, 0);
    }

    function test_whomNobodyCallsForInTimeNobodyLooksAt() public {
        uint256 end = ask_(id, seq).until + Parameters.SPOT_DUE;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, end));
        spots.conclude(id, seq);
        passSeconds(1);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooLate.selector, end));
        spots.check(id, seq);
        spots.conclude(id, seq);
        isMoney(id, DEPOSIT - 4 * FEE, 0);
        ok(holders.mayPay(id, seq), "it was held all the same");
    }

    // ---------------------------------------------------------------- when, and who

    function test_nobodyLooksBeforeTheTimeIsOver() public {
        uint256 until = ask_(id, seq).until;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, until));
        spots.check(id, seq);
        wrongSpot(ISpots.SpotState.None);
        spots.spot(id, seq, 0, 0);
        uint32 other = ripe(id);
        vm.expectRevert(abi.encodeWithSelector(ISpots.NotHeld.selector, id, other, IHolders.State.None));
        spots.check(id, other);
        vm.expectRevert(abi.encodeWithSelector(ISpots.NotHeld.selector, id, other, IHolders.State.None));
        spots.conclude(id, other);
        // Its time is over meanwhile.
        ok(vm.getBlockTimestamp() > until, "later");
        spots.check(id, seq);
        wrongSpot(ISpots.SpotState.Asked);
        spots.check(id, seq);
    }

    function test_inputsAreLookedAtWhenTheirJobIsOver() public {
        (uint64 job, uint256 fee) = (id, holders.inputs(id).fee);
        uint256 until = ask_(job, INPUTS).until;
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, until));
        spots.check(job, INPUTS);
        vm.prank(CLIENT);
        book.cancel(job);
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, until));
        spots.check(job, INPUTS);
        book.finish(job);
        // What it has made is kept for as long as was said.
        vm.expectRevert(abi.encodeWithSelector(ISpots.TooEarly.selector, ask_(id, seq).until));
        spots.check(id, seq);
        looks(job, INPUTS);
        uint256 before = free(auditorOwner(holders.named(job, INPUTS)[1]));
        uint256 locked = lockedByHolders();
        for (uint8 i = 0; i < 7; ++i) {
            spotted(job, INPUTS, i, 0xf);
        }
        ends(job, INPUTS);
        eq(locked - lockedByHolders(), 4 * fee + 7 * LEAST, "all that was reserved for them");
        ok(free(auditorOwner(holders.named(job, INPUTS)[1])) >= before + fee, "its second half");
        ok(holders.areInputsHeld(job), "they were held");
    }

    function test_whoLooksIsDrawnFromTheLineBeforeItWasCalledFor() public {
        timeOver();
        passSeconds(1);
        spots.check(id, seq);
        uint40 asOf = uint40(vm.getBlockTimestamp() - 1);
        eq(spots.spotters(id, seq).length, 0, "nobody is drawn yet");
        auditor(21, 100_000 ether);
        passBlocks(3);
        randomness.note(spots.spotOf(id, seq).round);
        uint32[] memory out = new uint32[](0);
        bytes32 seed = Draw.seedOf(randomness.value(spots.spotOf(id, seq).round), id, seq, 0);
        uint32[] memory due = auditors.drawn(seed, Draw.SPOT, 0, 7, out, asOf);
        uint32[] memory drawn_ = spots.spotters(id, seq);
        wereThere(drawn_, due, 7);
        address stranger = auditorNode(drawn_[0] == 1 ? 2 : 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ISpots.NotSpotter.selector, stranger));
        spots.spot(id, seq, 0, 0);
        vm.startPrank(auditorNode(drawn_[0]));
        vm.expectRevert(abi.encodeWithSelector(ISpots.NotSigned.selector, 0x2));
        spots.spot(id, seq, 0, 0x2);
        vm.expectRevert(abi.encodeWithSelector(ISpots.NoSuchDraw.selector, 7));
        spots.spot(id, seq, 7, 0x1);
        spots.spot(id, seq, 0, 0x1);
        vm.expectRevert(abi.encodeWithSelector(ISpots.LookedAlready.selector, 0));
        spots.spot(id, seq, 0, 0x1);
        vm.stopPrank();
    }

    function test_aBeaconThatNobodyKeptLetsNobodyLook() public {
        timeOver();
        spots.check(id, seq);
        uint64 round = spots.spotOf(id, seq).round;
        vm.expectRevert(abi.encodeWithSelector(ISpots.BeaconUnknown.selector, round));
        spots.spot(id, seq, 0, 0);
        passBlocks(300);
        vm.expectRevert(abi.encodeWithSelector(ISpots.BeaconUnknown.selector, round));
        spots.spot(id, seq, 0, 0);
        passSeconds(Parameters.SPOT_TIME);
        spots.conclude(id, seq);
        isMoney(id, DEPOSIT - 4 * FEE, 0);
    }

    /// @dev A range that is held may be paid at any time, also while somebody looks, and afterwards.
    function test_itIsPaidWheneverThatIsCalledFor() public {
        uint32 late_ = ripe(id);
        opened(id, late_);
        sign(id, late_, 0, 4);
        vm.warp(ask_(id, late_).until + 1);
        looks(id, late_);
        ok(holders.mayPay(id, late_), "while somebody looks");
        passSeconds(Parameters.SPOT_TIME + 1);
        spots.conclude(id, late_);
        ok(settles(id, late_), "and afterwards");
        ok(book.range(id, late_).state == IJobBook.RangeState.Settled, "settled");
    }

    // ---------------------------------------------------------------- whose the money is

    function test_onlySpotsHaveAnybodyPaid() public {
        timeOver();
        address[3] memory others = [CLIENT, nodeOf(1), address(this)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IHolders.NotSpots.selector, others[i]));
            holders.payLook(id, others[i]);
            vm.expectRevert(abi.encodeWithSelector(IHolders.NotSpots.selector, others[i]));
            holders.payServed(id, seq, 0x4d, 7);
            vm.stopPrank();
        }
    }

    /// @dev Seven votes of an ask that fails and eight of the second one: what was reserved for both is just enough for the second
    /// halves and who looks, too.
    function test_asManyVotesAsThereCanBeAreAllPaid() public {
        (uint96 deposit, uint96 reserved) = (keep(id).deposit, keep(id).reserved);
        uint32 most = ripe(id);
        opened(id, most);
        sign(id, most, 0, 3);
        passSeconds(Parameters.HOLD_TIME + 1);
        sign(id, most, 7, 11);
        nobodyMore(id, most);
        asks(id, most, MIB);
        begun(id, most);
        sign(id, most, 0, 3);
        passSeconds(Parameters.HOLD_TIME + 1);
        sign(id, most, 7, 12);
        stands(id, most, IHolders.State.Held);
        vm.warp(ask_(id, most).until + 1);
        looks(id, most);
        for (uint8 i = 0; i < 7; ++i) {
            spotted(id, most, i, ask_(id, most).bits);
        }
        ends(id, most);
        eq(deposit - keep(id).deposit, cost(FEE), "all that it can cost");
        eq(keep(id).reserved, reserved, "and nothing else is reserved for it");
    }

    function test_construction() public {
        ok(created("Spots", abi.encode(holders, auditors, randomness)) != address(0), "with all");
        for (uint256 i = 0; i < 3; ++i) {
            address[3] memory parts = [address(holders), address(auditors), address(randomness)];
            parts[i] = address(0);
            ok(created("Spots", abi.encode(parts)) == address(0), "without one");
        }
    }
}
