// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Who waits in a replicated job, with what bond, and who is drawn.
contract WaitingTest is ReplicaWorld {
    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(7, 100 ether);
        id = replicated(40);
    }

    function exposure(uint256 n) internal view returns (uint256) {
        return registry.provider(ownerOf(n)).exposure;
    }

    function lineLength() internal view returns (uint256 total) {
        (total,) = waiting.line(id, NOW);
    }

    function nobody() internal pure returns (uint32[] memory) {
        return new uint32[](0);
    }

    // ---------------------------------------------------------------- waiting and leaving

    function test_waitTakesTheBondFromTheRoomAndMakesAPartOfTheLine() public {
        provider(2, 4, 100 ether);
        waits(id, 2, 60 ether, 3);
        IWaiting.Entry memory e = entry(id, 2);
        ok(e.bond == 60 ether && e.minPrice == 3 && e.leftAt == 0, "its terms");
        isEntry(id, 2, IWaiting.State.Waiting, 0);
        eq(exposure(2), 60 ether, "exposed");
        eq(registry.standingOf(ownerOf(2)).room, 40 ether, "its room");
        (uint256 total, uint256 n) = waiting.line(id, NOW);
        ok(total == 60 ether && n == 1, "the line");
        provider(3, 4, 100 ether);
        waits(id, 3, 100 ether);
        (total, n) = waiting.line(id, NOW);
        ok(total == 160 ether && n == 2, "a longer line");
        uint64 other = replicated(40);
        (total, n) = waiting.line(other, NOW);
        ok(total == 0 && n == 0, "every job has its own");
    }

    function test_whatWaitRefuses() public {
        provider(2, 4, 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NotNode.selector, address(this)));
        waiting.wait(id, 1 ether, 0);
        uint64 single = audited(40);
        vm.startPrank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NoMatesHere.selector, single));
        waiting.wait(single, 1 ether, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NoMatesHere.selector, 99));
        waiting.wait(99, 1 ether, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.BadBond.selector, 0, 100 ether));
        waiting.wait(id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.BadBond.selector, 100 ether + 1, 100 ether));
        waiting.wait(id, 100 ether + 1, 0);
        registry.setPaused(true);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.ProviderIsPaused.selector, 2));
        waiting.wait(id, 1 ether, 0);
        registry.setPaused(false);
        waiting.wait(id, 1 ether, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, 2, IWaiting.State.Waiting));
        waiting.wait(id, 1 ether, 0);
        vm.stopPrank();
    }

    function test_aMateMustHaveWhatTheJobNeeds() public {
        provider(2, 4, 100 ether);
        IJobBook.Terms memory t = auditedTerms(40);
        (t.replicas, t.minVramMib) = (2, 1 << 20);
        uint64 large = openJob(t, 1_000 ether);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NotQualified.selector, large, 2));
        waiting.wait(large, 1 ether, 0);
    }

    function test_aJobThatIsOverHasNoMates() public {
        provider(2, 4, 100 ether);
        vm.prank(CLIENT);
        book.cancel(id);
        // Ranges that are out may still need one.
        waits(id, 2, 1 ether);
        book.finish(id);
        provider(3, 4, 100 ether);
        vm.prank(nodeOf(3));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NoMatesHere.selector, id));
        waiting.wait(id, 1 ether, 0);
    }

    function test_whoLeavesIsOffTheLineAndItsBondStaysForTheSpan() public {
        mates(id, 2, 100 ether);
        uint256 left = vm.getBlockTimestamp();
        vm.prank(nodeOf(2));
        waiting.leave(id);
        eq(lineLength(), 0, "off the line");
        isEntry(id, 2, IWaiting.State.Left, 0);
        eq(exposure(2), 100 ether, "the bond stays");
        vm.warp(left + Parameters.DRAW_SPAN);
        vm.startPrank(nodeOf(2));
        bytes memory bound_ = abi.encodeWithSelector(IWaiting.StillBound.selector, left + Parameters.DRAW_SPAN, 0);
        vm.expectRevert(bound_);
        waiting.leave(id);
        vm.expectRevert(bound_);
        waiting.wait(id, 50 ether, 0);
        vm.warp(left + Parameters.DRAW_SPAN + 1);
        waiting.leave(id);
        eq(exposure(2), 0, "free");
        isEntry(id, 2, IWaiting.State.Nobody, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, 2, IWaiting.State.Nobody));
        waiting.leave(id);
        waiting.wait(id, 50 ether, 7);
        vm.stopPrank();
        eq(exposure(2), 50 ether, "another bond");
        eq(lineLength(), 50 ether, "on the line again");
    }

    function test_whoComesBackOnItsOldTermsNeedNotWait() public {
        mates(id, 2, 100 ether);
        vm.startPrank(nodeOf(2));
        waiting.leave(id);
        waiting.wait(id, 100 ether, 0);
        eq(lineLength(), 100 ether, "on the line");
        eq(exposure(2), 100 ether, "one bond");
        waiting.leave(id);
        vm.stopPrank();
        passSeconds(Parameters.DRAW_SPAN + 1);
        vm.prank(nodeOf(2));
        waiting.wait(id, 30 ether, 0);
        eq(exposure(2), 30 ether, "the old bond is free when other terms are possible");
    }

    /// @dev Who has lost its stake must not take up a line with bonds that nothing is behind.
    function test_whoseStakeWasCutDoesNotComeBack() public {
        mates(id, 3, 100 ether);
        vm.prank(nodeOf(2));
        waiting.leave(id);
        vm.prank(address(replicas));
        waiting.take(id, 3);
        vm.startPrank(address(bench));
        registry.punish(2, Parameters.ONE / 2, CLIENT);
        registry.punish(3, Parameters.ONE / 2, CLIENT);
        vm.stopPrank();
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.BadBond.selector, 100 ether, 50 ether));
        waiting.wait(id, 100 ether, 0);
        vm.prank(address(replicas));
        waiting.giveBack(id, 3);
        isEntry(id, 3, IWaiting.State.Left, 0);
        eq(lineLength(), 0, "nobody");
        passSeconds(2 * Parameters.DRAW_SPAN);
        vm.prank(nodeOf(3));
        waiting.leave(id);
        eq(exposure(3), 0, "its bond is free all the same");
    }

    function test_anybodyEvictsWhoHasLessThanItsBondToLose() public {
        mates(id, 3, 100 ether);
        bytes memory no = abi.encodeWithSelector(IWaiting.WrongState.selector, id, 2, IWaiting.State.Waiting);
        vm.expectRevert(no);
        waiting.evict(id, 2);
        vm.prank(address(bench));
        registry.punish(2, Parameters.ONE / 100, CLIENT);
        waiting.evict(id, 2);
        isEntry(id, 2, IWaiting.State.Left, 0);
        eq(lineLength(), 100 ether, "the other one");
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, 2, IWaiting.State.Left));
        waiting.evict(id, 2);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, 9, IWaiting.State.Nobody));
        waiting.evict(id, 9);
    }

    function test_onlyItselfLeaves() public {
        mates(id, 2, 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NotNode.selector, address(this)));
        waiting.leave(id);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, 1, IWaiting.State.Nobody));
        waiting.leave(id);
    }

    // ---------------------------------------------------------------- duties

    function test_onlyReplicasGiveDuties() public {
        mates(id, 2, 100 ether);
        bytes memory no = abi.encodeWithSelector(IWaiting.NotReplicas.selector, address(bench));
        vm.startPrank(address(bench));
        vm.expectRevert(no);
        waiting.take(id, 2);
        vm.expectRevert(no);
        waiting.giveBack(id, 2);
        vm.expectRevert(no);
        waiting.drop(id, 2);
        vm.stopPrank();
    }

    function test_whoHasDutiesStaysOnTheLineAndHasTimeForEach() public {
        mates(id, 2, 100 ether);
        uint256 now_ = vm.getBlockTimestamp();
        vm.startPrank(address(replicas));
        eq(waiting.take(id, 2), now_ + Parameters.REPLICA_TIME, "time for one");
        isEntry(id, 2, IWaiting.State.Waiting, 1);
        eq(waiting.take(id, 2), now_ + 2 * Parameters.REPLICA_TIME, "time for two");
        for (uint256 i = 3; i <= Parameters.MATE_DUTIES; ++i) {
            uint256 most = i < 4 ? i * Parameters.REPLICA_TIME : Parameters.DRAW_SPAN;
            eq(waiting.take(id, 2), now_ + most, "never longer than the span");
        }
        eq(waiting.take(id, 2), 0, "no more than it can do");
        isEntry(id, 2, IWaiting.State.Waiting, Parameters.MATE_DUTIES);
        waiting.giveBack(id, 2);
        eq(waiting.take(id, 2), now_ + Parameters.DRAW_SPAN, "one is over, and another one comes");
        for (uint256 i = 0; i < Parameters.MATE_DUTIES; ++i) {
            eq(lineLength(), 100 ether, "on the line all the time");
            waiting.giveBack(id, 2);
        }
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Waiting, 0);
        eq(lineLength(), 100 ether, "and afterwards");
        eq(exposure(2), 100 ether, "one bond for all");
        ok(Parameters.MATE_DUTIES * Parameters.MATE_LATE < Parameters.ONE, "which all of them, late, do not use up");
    }

    function test_whoLeftStaysAwayAndBoundUntilItsDutiesAreOver() public {
        mates(id, 2, 100 ether);
        vm.prank(address(replicas));
        waiting.take(id, 2);
        vm.prank(nodeOf(2));
        waiting.leave(id);
        isEntry(id, 2, IWaiting.State.Left, 1);
        // Drawn once more, for a range of before.
        vm.prank(address(replicas));
        waiting.take(id, 2);
        uint256 until = entry(id, 2).leftAt + Parameters.DRAW_SPAN;
        vm.warp(until + 1);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.StillBound.selector, until, 2));
        waiting.leave(id);
        vm.startPrank(address(replicas));
        waiting.giveBack(id, 2);
        waiting.drop(id, 2);
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Left, 0);
        eq(lineLength(), 0, "it stays away");
        vm.prank(nodeOf(2));
        waiting.leave(id);
        eq(exposure(2), 0, "free");
    }

    function test_whoComesBackWithDutiesIsOnTheLineAtOnce() public {
        mates(id, 2, 100 ether);
        vm.prank(address(replicas));
        waiting.take(id, 2);
        vm.startPrank(nodeOf(2));
        waiting.leave(id);
        eq(lineLength(), 0, "off it, whatever it has to do");
        waiting.wait(id, 100 ether, 0);
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Waiting, 1);
        eq(lineLength(), 100 ether, "on it");
        vm.prank(address(replicas));
        waiting.giveBack(id, 2);
        isEntry(id, 2, IWaiting.State.Waiting, 0);
        eq(lineLength(), 100 ether, "once");
    }

    /// @dev Other terms are another entry: what is due under the old ones comes first.
    function test_whoHasDutiesComesBackOnItsOldTermsOnly() public {
        mates(id, 2, 100 ether);
        vm.prank(address(replicas));
        waiting.take(id, 2);
        vm.prank(nodeOf(2));
        waiting.leave(id);
        uint256 until = entry(id, 2).leftAt + Parameters.DRAW_SPAN;
        vm.warp(until + 1);
        vm.startPrank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.StillBound.selector, until, 1));
        waiting.wait(id, 50 ether, 0);
        waiting.wait(id, 100 ether, 0);
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Waiting, 1);
    }

    /// @dev What it has to do goes on; it only gets nothing more.
    function test_whoHasDutiesAndLessThanItsBondToLoseGoesOffTheLine() public {
        mates(id, 3, 100 ether);
        vm.startPrank(address(replicas));
        for (uint32 n = 2; n <= 3; ++n) {
            waiting.take(id, n);
            waiting.take(id, n);
        }
        vm.stopPrank();
        vm.startPrank(address(bench));
        registry.punish(2, Parameters.ONE / 100, CLIENT);
        registry.punish(3, Parameters.ONE / 100, CLIENT);
        vm.stopPrank();
        waiting.evict(id, 2);
        isEntry(id, 2, IWaiting.State.Left, 2);
        eq(lineLength(), 100 ether, "the other one");
        vm.prank(address(replicas));
        waiting.giveBack(id, 3);
        isEntry(id, 3, IWaiting.State.Left, 1);
        eq(lineLength(), 0, "not before its last duty, either");
        vm.startPrank(address(replicas));
        waiting.giveBack(id, 2);
        waiting.giveBack(id, 2);
        waiting.drop(id, 3);
        vm.stopPrank();
        passSeconds(Parameters.DRAW_SPAN + 1);
        for (uint256 n = 2; n <= 3; ++n) {
            isEntry(id, n, IWaiting.State.Left, 0);
            vm.prank(nodeOf(n));
            waiting.leave(id);
            eq(exposure(n), 0, "its bond is free");
        }
    }

    function test_whoIsDroppedHasLeft() public {
        mates(id, 2, 100 ether);
        vm.startPrank(address(replicas));
        waiting.take(id, 2);
        waiting.drop(id, 2);
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Left, 0);
        eq(lineLength(), 0, "off the line");
        eq(exposure(2), 100 ether, "its bond stays for the span");
    }

    /// @dev What else it has to do stays; who comes back with that and is late again is dropped again.
    function test_whoIsDroppedKeepsItsOtherDuties() public {
        mates(id, 2, 100 ether);
        vm.startPrank(address(replicas));
        for (uint256 i = 0; i < 3; ++i) {
            waiting.take(id, 2);
        }
        waiting.drop(id, 2);
        isEntry(id, 2, IWaiting.State.Left, 2);
        waiting.drop(id, 2);
        vm.stopPrank();
        isEntry(id, 2, IWaiting.State.Left, 1);
        passSeconds(5);
        vm.prank(nodeOf(2));
        waiting.wait(id, 100 ether, 0);
        eq(lineLength(), 100 ether, "on the line again");
        vm.prank(address(replicas));
        waiting.drop(id, 2);
        isEntry(id, 2, IWaiting.State.Left, 0);
        eq(lineLength(), 0, "and off it");
        eq(entry(id, 2).leftAt, vm.getBlockTimestamp(), "since now");
        eq(exposure(2), 100 ether, "its bond stays for the span");
    }

    // ---------------------------------------------------------------- draws

    function test_smallBondsHighPricesAndLostStakesArePassedOver() public {
        mates(id, 4, 100 ether);
        provider(5, 4, 100 ether);
        waits(id, 5, 100 ether, 9);
        uint40 asOf = uint40(vm.getBlockTimestamp());
        for (uint256 i = 0; i < 20; ++i) {
            bytes32 seed = keccak256(abi.encode(i));
            (uint32 number, uint32 next) = waiting.drawn(id, seed, 0, nobody(), asOf, 100 ether, 9);
            ok(number >= 2 && next == 1, "the first one is fit");
            (number, next) = waiting.drawn(id, seed, 0, nobody(), asOf, 100 ether, 8);
            ok(number >= 2 && number <= 4, "who asks for more is passed over");
            (number, next) = waiting.drawn(id, seed, 0, nobody(), asOf, 100 ether + 1, 9);
            ok(number == 0 && next == 4, "nobody has such a bond");
        }
        vm.prank(address(bench));
        registry.punish(2, Parameters.ONE, CLIENT);
        for (uint256 i = 0; i < 20; ++i) {
            (uint32 number,) = waiting.drawn(id, keccak256(abi.encode(i)), 0, nobody(), asOf, 100 ether, 9);
            ok(number >= 3, "who has nothing left is passed over");
        }
    }

    function test_noMoreDrawsThanSoMany() public {
        mates(id, 12, 10 ether);
        (uint32 number, uint32 next) =
            waiting.drawn(id, "seed", 0, nobody(), uint40(vm.getBlockTimestamp()), 11 ether, 1);
        ok(number == 0, "nobody");
        eq(next, Parameters.MATE_DRAWS, "draws");
        (number, next) = waiting.drawn(id, "seed", next, nobody(), uint40(vm.getBlockTimestamp()), 10 ether, 1);
        ok(number == 0, "no draw is left");
    }

    /// @dev Whoever comes, goes or is drawn after the second that counts changes no draw.
    function test_theMomentOfADrawChangesNothing() public {
        mates(id, 6, 100 ether);
        uint40 asOf = uint40(vm.getBlockTimestamp() - 1);
        uint32[8] memory before;
        for (uint32 i = 0; i < 8; ++i) {
            (before[i],) = waiting.drawn(id, keccak256(abi.encode(i)), 0, nobody(), asOf, 50 ether, 1);
        }
        passSeconds(5);
        vm.prank(nodeOf(3));
        waiting.leave(id);
        vm.prank(address(replicas));
        waiting.take(id, 4);
        provider(7, 4, 900 ether);
        waits(id, 7, 900 ether);
        for (uint32 i = 0; i < 8; ++i) {
            (uint32 number,) = waiting.drawn(id, keccak256(abi.encode(i)), 0, nobody(), asOf, 50 ether, 1);
            eq(number, before[i], "who is drawn");
        }
    }

    /// @dev Whom Rust finds with the same seeds. People are digits, their numbers; 0 is nobody.
    function test_matesAreThePanelsOfRust() public {
        string memory json = crowd(0);
        bytes32[] memory seed = vm.parseJsonBytes32Array(json, ".votes.panels.seed");
        string[] memory first = vm.parseJsonStringArray(json, ".votes.panels.first");
        string[] memory out = vm.parseJsonStringArray(json, ".votes.panels.out");
        string[] memory members = vm.parseJsonStringArray(json, ".votes.panels.found");
        uint256 checked = 0;
        for (uint256 n = 0; n < seed.length; ++n) {
            // A mate's draws count from 0.
            if (vm.parseUint(first[n]) != 0) continue;
            uint32[] memory panel = digits(members[n]);
            for (uint32 i = 0; i < panel.length && i < Parameters.MATE_DRAWS; ++i) {
                (uint32 number, uint32 next) = waiting.drawn(id, seed[n], i, digits(out[n]), NOW, 1, 1);
                eq(number, panel[i], "who is drawn");
                eq(next, i + 1, "the next draw");
                ++checked;
            }
        }
        ok(checked >= 10, "there are vectors");
    }

    function test_fitMatesAreThoseOfRust() public {
        string memory json = crowd(1);
        bytes32[] memory seed = vm.parseJsonBytes32Array(json, ".votes.mates.seed");
        string[] memory first = vm.parseJsonStringArray(json, ".votes.mates.first");
        string[] memory out = vm.parseJsonStringArray(json, ".votes.mates.out");
        string[] memory worth = vm.parseJsonStringArray(json, ".votes.mates.value");
        string[] memory price = vm.parseJsonStringArray(json, ".votes.mates.price");
        string[] memory fit = vm.parseJsonStringArray(json, ".votes.mates.found");
        string[] memory next = vm.parseJsonStringArray(json, ".votes.mates.next");
        ok(seed.length >= 20, "there are vectors");
        for (uint256 n = 0; n < seed.length; ++n) {
            (uint32 number, uint32 after_) = waiting.drawn(
                id,
                seed[n],
                uint32(vm.parseUint(first[n])),
                digits(out[n]),
                NOW,
                vm.parseUint(worth[n]),
                vm.parseUint(price[n])
            );
            eq(number, vm.parseUint(fit[n]), "who is drawn");
            eq(after_, vm.parseUint(next[n]), "the next draw");
        }
    }

    /// @dev Those of the vectors wait, number n for n times `asking` at least.
    function crowd(uint96 asking) internal returns (string memory json) {
        json = vm.readFile("../vectors/trust.json");
        string[] memory stakes = vm.parseJsonStringArray(json, ".votes.stakes");
        for (uint256 i = 0; i < stakes.length; ++i) {
            uint96 bond = uint96(vm.parseUint(stakes[i]));
            // Provider 1 is there already.
            if (i != 0) provider(i + 1, 1, bond);
            waits(id, i + 1, bond, uint96(i + 1) * asking);
        }
    }

    function digits(string memory text) internal pure returns (uint32[] memory numbers) {
        bytes memory letters = bytes(text);
        numbers = new uint32[](letters.length);
        for (uint256 i = 0; i < letters.length; ++i) {
            numbers[i] = uint32(uint8(letters[i])) - 48;
        }
    }

    // ---------------------------------------------------------------- whatever happens

    /// @dev Whatever providers and Replicas do: the line is as long as the bonds of those that wait, exposure is what the entries
    /// hold, and all of it can be had back.
    function testFuzz_everyBondHasAReason(uint256 seed) public {
        for (uint256 n = 2; n <= 5; ++n) {
            provider(n, 4, 100 ether);
        }
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            change(seed, 2 + (seed >> 8) % 4);
            everyBondHasAReason();
        }
        for (uint256 n = 2; n <= 5; ++n) {
            while (entry(id, n).busy != 0) {
                vm.prank(address(replicas));
                waiting.giveBack(id, uint32(n));
            }
            IWaiting.State state = entry(id, n).state;
            if (state == IWaiting.State.Nobody) continue;
            vm.startPrank(nodeOf(n));
            if (state != IWaiting.State.Left) waiting.leave(id);
            passSeconds(Parameters.DRAW_SPAN + 1);
            waiting.leave(id);
            vm.stopPrank();
            eq(exposure(n), 0, "all is free");
        }
        eq(lineLength(), 0, "nobody waits");
    }

    function change(uint256 seed, uint256 n) internal {
        IWaiting.Entry memory e = entry(id, n);
        uint256 what = seed % 6;
        if (seed >> 64 & 3 == 0) passSeconds(seed >> 128 & 1 == 0 ? 1 : Parameters.DRAW_SPAN + 1);
        uint256 drawable = e.leftAt + Parameters.DRAW_SPAN;
        bool bound_ = e.busy != 0 || vm.getBlockTimestamp() <= drawable;
        if (what == 0 && e.state == IWaiting.State.Nobody) {
            vm.prank(nodeOf(n));
            waiting.wait(id, uint96(1 + (seed >> 16) % 100 ether), uint96(seed >> 200 & 7));
        } else if (what == 1 && e.state == IWaiting.State.Left) {
            vm.prank(nodeOf(n));
            waiting.wait(id, e.bond, e.minPrice);
        } else if (what == 2 && e.state != IWaiting.State.Nobody && (e.state != IWaiting.State.Left || !bound_)) {
            vm.prank(nodeOf(n));
            waiting.leave(id);
        } else if (what == 3 && e.state != IWaiting.State.Nobody) {
            vm.prank(address(replicas));
            waiting.take(id, uint32(n));
        } else if (what > 3 && e.busy != 0) {
            vm.startPrank(address(replicas));
            if (what == 4) waiting.giveBack(id, uint32(n));
            else waiting.drop(id, uint32(n));
            vm.stopPrank();
        }
    }

    function everyBondHasAReason() internal view {
        uint256 length = 0;
        for (uint256 n = 2; n <= 5; ++n) {
            IWaiting.Entry memory e = entry(id, n);
            eq(exposure(n), e.bond, "exposure is the bond");
            if (e.state == IWaiting.State.Nobody) eq(e.bond, 0, "nobody has no bond");
            if (e.state != IWaiting.State.Waiting) continue;
            length += e.bond;
            ok(e.busy <= Parameters.MATE_DUTIES, "no more than it can do");
        }
        eq(lineLength(), length, "the line is that of who waits");
    }

    function test_construction() public {
        ok(canBeBuilt(address(bench), address(book), address(registry), address(audits), address(replicas)), "with all");
        ok(!canBeBuilt(address(0), address(book), address(registry), address(audits), address(replicas)), "Bench");
        ok(!canBeBuilt(address(bench), address(0), address(registry), address(audits), address(replicas)), "JobBook");
        ok(!canBeBuilt(address(bench), address(book), address(0), address(audits), address(replicas)), "Registry");
        ok(!canBeBuilt(address(bench), address(book), address(registry), address(0), address(replicas)), "Audits");
        ok(!canBeBuilt(address(bench), address(book), address(registry), address(audits), address(0)), "Replicas");
    }

    function canBeBuilt(address a, address b, address c, address d, address e) internal returns (bool) {
        return created("Waiting", abi.encode(a, b, c, d, e)) != address(0);
    }
}
