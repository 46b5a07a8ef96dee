// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
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

    function state() internal view returns (IHolders.SpotState) {
        return holders.spotOf(id, seq).state;
    }

    function wrongSpot(IHolders.SpotState at) internal {
        vm.expectRevert(abi.encodeWithSelector(IHolders.WrongSpot.selector, id, seq, at));
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
        ok(state() == IHolders.SpotState.Over, "the last one ends it");
        uint32[] memory named_ = holders.named(id, seq);
        uint8[3] memory serve = [0, 2, 6];
        for (uint256 i = 0; i < 3; ++i) {
            due[named_[serve[i]]] += FEE;
        }
        sameMoney(due);
        // The fourth one's is free again.
        isMoney(id, DEPOSIT - 7 * FEE - 7 * LEAST, 0);
        wrongSpot(IHolders.SpotState.Over);
        holders.conclude(id, seq);
        wrongSpot(IHolders.SpotState.Over);
        holders.check(id, seq);
        wrongSpot(IHolders.SpotState.Over);
        holders.spot(id, seq, 0, 0);
    }

    function test_fourMustLookAndMostOfThemSee() public {
        timeOver();
        looks(id, seq);
        uint256[21] memory due = money();
        uint16[4] memory seen = [uint16(0x4d), 0x0d, 0x05, 0x04];
        for (uint8 i = 0; i < 4; ++i) {
            due[spotted(id, seq, i, seen[i])] += LEAST;
        }
        uint256 end = holders.spotOf(id, seq).asOf + Parameters.SPOT_TIME;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, end));
        holders.conclude(id, seq);
        passSeconds(1);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooLate.selector, end));
        holders.spot(id, seq, 4, 0);
        holders.conclude(id, seq);
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
        holders.conclude(id, seq);
        sameMoney(due);
        isMoney(id, DEPOSIT - 4 * FEE - 3 * LEAST, 0);
    }

    function test_whomNobodyCallsForInTimeNobodyLooksAt() public {
        uint256 end = ask_(id, seq).until + Parameters.SPOT_DUE;
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, end));
        holders.conclude(id, seq);
        passSeconds(1);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooLate.selector, end));
        holders.check(id, seq);
        holders.conclude(id, seq);
        isMoney(id, DEPOSIT - 4 * FEE, 0);
        ok(holders.mayPay(id, seq), "it was held all the same");
    }

    // ---------------------------------------------------------------- when, and who

    function test_nobodyLooksBeforeTheTimeIsOver() public {
        uint256 until = ask_(id, seq).until;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, until));
        holders.check(id, seq);
        wrongSpot(IHolders.SpotState.None);
        holders.spot(id, seq, 0, 0);
        uint32 other = ripe(id);
        vm.expectRevert(abi.encodeWithSelector(IHolders.WrongState.selector, id, other, IHolders.State.None));
        holders.check(id, other);
        vm.expectRevert(abi.encodeWithSelector(IHolders.WrongState.selector, id, other, IHolders.State.None));
        holders.conclude(id, other);
        // Its time is over meanwhile.
        ok(vm.getBlockTimestamp() > until, "later");
        holders.check(id, seq);
        wrongSpot(IHolders.SpotState.Asked);
        holders.check(id, seq);
    }

    function test_inputsAreLookedAtWhenTheirJobIsOver() public {
        (uint64 job, uint256 fee) = (id, holders.inputs(id).fee);
        uint256 until = ask_(job, INPUTS).until;
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, until));
        holders.check(job, INPUTS);
        vm.prank(CLIENT);
        book.cancel(job);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, until));
        holders.check(job, INPUTS);
        book.finish(job);
        // What it has made is kept for as long as was said.
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, ask_(id, seq).until));
        holders.check(id, seq);
        looks(job, INPUTS);
        uint256 before = free(auditorOwner(holders.named(job, INPUTS)[1]));
        uint256 locked = lockedByHolders();
        for (uint8 i = 0; i < 7; ++i) {
            spotted(job, INPUTS, i, 0xf);
        }
        eq(locked - lockedByHolders(), 4 * fee + 7 * LEAST, "all that was reserved for them");
        ok(free(auditorOwner(holders.named(job, INPUTS)[1])) >= before + fee, "its second half");
        ok(holders.areInputsHeld(job), "they were held");
    }

    function test_whoLooksIsDrawnFromTheLineBeforeItWasCalledFor() public {
        timeOver();
        passSeconds(1);
        holders.check(id, seq);
        uint40 asOf = uint40(vm.getBlockTimestamp() - 1);
        eq(holders.spotters(id, seq).length, 0, "nobody is drawn yet");
        auditor(21, 100_000 ether);
        passBlocks(3);
        randomness.note(holders.spotOf(id, seq).round);
        uint32[] memory out = new uint32[](0);
        bytes32 seed = Draw.seedOf(randomness.value(holders.spotOf(id, seq).round), id, seq, 0);
        uint32[] memory due = auditors.drawn(seed, Draw.SPOT, 0, 7, out, asOf);
        uint32[] memory drawn_ = holders.spotters(id, seq);
        eq(drawn_.length, 7, "all draws");
        for (uint256 i = 0; i < 7; ++i) {
            ok(drawn_[i] == due[i] && drawn_[i] <= 20, "who was there before");
        }
        address stranger = auditorNode(drawn_[0] == 1 ? 2 : 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotHolder.selector, stranger));
        holders.spot(id, seq, 0, 0);
        vm.startPrank(auditorNode(drawn_[0]));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotSigned.selector, 0x2));
        holders.spot(id, seq, 0, 0x2);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotAsked.selector, 7));
        holders.spot(id, seq, 7, 0x1);
        holders.spot(id, seq, 0, 0x1);
        vm.expectRevert(abi.encodeWithSelector(IHolders.SignedAlready.selector, 0));
        holders.spot(id, seq, 0, 0x1);
        vm.stopPrank();
    }

    function test_aBeaconThatNobodyKeptLetsNobodyLook() public {
        timeOver();
        holders.check(id, seq);
        uint64 round = holders.spotOf(id, seq).round;
        vm.expectRevert(abi.encodeWithSelector(IHolders.BeaconUnknown.selector, round));
        holders.spot(id, seq, 0, 0);
        passBlocks(300);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BeaconUnknown.selector, round));
        holders.spot(id, seq, 0, 0);
        passSeconds(Parameters.SPOT_TIME);
        holders.conclude(id, seq);
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
        holders.conclude(id, late_);
        ok(settles(id, late_), "and afterwards");
        ok(book.range(id, late_).state == IJobBook.RangeState.Settled, "settled");
    }
}
