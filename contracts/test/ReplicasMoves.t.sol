// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev The rows of the table of states in decision 0018 that the other tests of replicas pass over: every state against every move,
/// the last second of every deadline, and what a fault costs whoever has nothing. Where the rows are (R: Replicas.t.sol,
/// F: ReplicaFaults.t.sol, W: ReplicaWalks.t.sol, D: ReplicaDisputes.t.sol, the rest here; "late" is `advance` after the deadline):
///   submitted -> Sealed        R wrongMovesAreRefused (by Bench only), R whatIsNotDrawnInTimeIsAlone (its hour)
///   Sealed    draw, a mate     R theMateIsWhomTheBeaconDraws; last second: inItsLastSecondEveryMoveIsInTime
///             draw, nobody     R whereNobodyWaitsThePrimaryIsAlone, R manyRangesAtOnceMakeNobodyLate; 8 in vain: GasReplicas.t.sol
///             draw, lapsed     R aLapsedBeaconDrawsNobody..., aMovedRoundDrawsNobody..., aLostRoundDrawsNobody
///             late             R whatIsNotDrawnInTimeIsAlone, F whatIsNotDrawnInTimeIsSurelyAudited
///   Working   commit           R equalRootsAreBothPaid; with a new key: newKeysGoOnWithWhatTheOldOnesBegan
///             late, another    F aLateMateLosesATenthAndItsPlace, inTheLastSecondOfTheSpan..., whoHasLessThanTheFine...
///             late, none       F threeLateMatesAreEnough, F nobodyIsDrawnAfterTheSpan, aLateMateAfterWhichThereIsNobody...
///   Revealing both, either way R equalRootsAreBothPaid, R itMayBeRevealedInAnyOrder, R differentRootsAre..., R otherUnitsAreNoMatch
///             twice            R wrongMovesAreRefused (the mate), thePrimaryShowsOnce
///             late             F aSilentPrimary..., F aSilentMate..., F whoAreBothSilentBothLoseAll, aSilentMateLosesItsRecord
///   Alone     the primary's    R whereNobodyWaitsThePrimaryIsAlone; last second: aloneItsLastSecondIsInTimeAndTheNextIsNot
///             anybody else's   aloneNobodyElseMoves
///             late             aSilentPrimaryThatIsAloneLosesHalfToThePurse, F aSilentPrimaryLosesItsRecord
///   Walking   walk             W theWalkBeginsAtTheTop, W itEndsAtTheFirstLeafThatDiffers, W whoPostsFirstBeginsTheTimeAnew
///             late             W aMateThatStops..., W aPrimaryThatStops..., W whoBothStopBothLoseAllAtEveryStep
///   Showing   show             W aRangeOfOneLeafIsShownAtOnce, W wrongLeavesAreRefused; late: those of Walking
///   Disputed  conclude         D upheldTheMate..., D overturnedHalfGoes..., D overturnedAMate..., D undecidedNobody...
///             until then       D aDutyLastsUntilItsDisputeIsConcluded; other moves of the three: W everyMoveHasItsState
///   all       other moves      everyStateRefusesWhatIsNotItsMove, R wrongMovesAreRefused, R lateMovesAreRefused
contract ReplicasMovesTest is ReplicaWorld {
    uint96 internal constant STAKE = 2_000 ether;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(20, 100 ether);
        id = replicated(40);
    }

    function wrongState(uint32 seq, IReplicas.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, state));
    }

    function drawRefused(uint32 seq) internal {
        wrongState(seq, pair(id, seq).state);
        replicas.draw(id, seq);
    }

    /// @dev By the one who could commit if it were the time.
    function commitRefused(uint32 seq) internal {
        wrongState(seq, pair(id, seq).state);
        vm.prank(nodeOf(2));
        replicas.commit(id, seq, LIE);
    }

    /// @dev By both, each with what it would show.
    function revealsRefused(uint32 seq) internal {
        Found memory f = found(id, seq, false);
        for (uint256 n = 1; n <= 2; ++n) {
            wrongState(seq, pair(id, seq).state);
            vm.prank(nodeOf(n));
            replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(n));
        }
    }

    /// @dev In its last second nobody goes on without whose move it is.
    function notYet(uint32 seq) internal {
        uint40 due = pair(id, seq).due;
        vm.warp(due);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooEarly.selector, due));
        replicas.advance(id, seq);
    }

    // ---------------------------------------------------------------- states and moves

    function test_everyStateRefusesWhatIsNotItsMove() public {
        mates(id, 2, STAKE);
        // None.
        drawRefused(0);
        commitRefused(0);
        wrongState(0, IReplicas.State.None);
        replicas.advance(id, 0);
        uint32 seq = sealedRange(id, false);
        is_(id, seq, IReplicas.State.Sealed);
        commitRefused(seq);
        revealsRefused(seq);
        eq(mateDrawn(id, seq), 2, "the mate");
        is_(id, seq, IReplicas.State.Working);
        drawRefused(seq);
        revealsRefused(seq);
        commits(id, seq, false);
        is_(id, seq, IReplicas.State.Revealing);
        drawRefused(seq);
        commitRefused(seq);
        reveals(id, seq, 1, false);
        reveals(id, seq, 2, false);
        is_(id, seq, IReplicas.State.Closed);
        drawRefused(seq);
        commitRefused(seq);
        revealsRefused(seq);
        vm.warp(vm.getBlockTimestamp() + 30 days);
        wrongState(seq, IReplicas.State.Closed);
        replicas.advance(id, seq);
    }

    function test_aloneNobodyElseMoves() public {
        uint32 seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), 0, "nobody");
        // Who waits from now on is too late for this range.
        mates(id, 2, STAKE);
        is_(id, seq, IReplicas.State.Alone);
        drawRefused(seq);
        commitRefused(seq);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, nodeOf(2)));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(2));
        // Nobody's node key has no owner, and a mate that is not there has none either.
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, address(this)));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
    }

    /// @dev The primary shows once, too, and its mate's time goes on.
    function test_thePrimaryShowsOnce() public {
        mates(id, 2, STAKE);
        (uint32 seq,) = bothCommitted(id, false, false);
        reveals(id, seq, 1, false);
        uint40 due = pair(id, seq).due;
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.ShownAlready.selector, 1));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
        eq(pair(id, seq).due, due, "the same time");
        eq(book.range(id, seq).root, sealOf(id, seq, 1, f), "not unsealed before both have shown");
    }

    /// @dev Keys are replaced while a range is open: seals bind owners, so the new key goes on where the old one was, and the old one
    /// is nobody's.
    function test_newKeysGoOnWithWhatTheOldOnesBegan() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), 2, "the mate");
        newKey(2, 52);
        bytes32 sealed_ = sealOf(id, seq, 2, found(id, seq, false));
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, nodeOf(2)));
        replicas.commit(id, seq, sealed_);
        vm.prank(nodeOf(52));
        replicas.commit(id, seq, sealed_);
        newKey(1, 51);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(51));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
        vm.prank(nodeOf(52));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(2));
        ended(id, seq, IReplicas.Outcome.Matched);
    }

    function newKey(uint256 n, uint256 key) internal {
        IRegistry.Consent memory agreed = consent(key, ownerOf(n));
        vm.prank(ownerOf(n));
        registry.setNode(nodeOf(key), agreed);
    }

    // ---------------------------------------------------------------- to the second

    function test_inItsLastSecondEveryMoveIsInTime() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        passBlocks(3);
        notYet(seq);
        replicas.draw(id, seq);
        is_(id, seq, IReplicas.State.Working);
        notYet(seq);
        commits(id, seq, false);
        notYet(seq);
        reveals(id, seq, 2, false);
        notYet(seq);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Matched);
        eq(registry.provider(ownerOf(1)).stake, 5_000 ether, "nobody was late");
        eq(registry.provider(ownerOf(2)).stake, STAKE, "nobody was late");
    }

    function test_aloneItsLastSecondIsInTimeAndTheNextIsNot() public {
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        uint256 before = vm.snapshotState();
        notYet(seq);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Alone);
        ok(vm.revertToState(before), "back");
        uint40 due = pair(id, seq).due;
        vm.warp(due + 1);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
    }

    /// @dev The hour in which mates are drawn is that of the submission: its last second is in it.
    function test_inTheLastSecondOfTheSpanAnotherMateIsDrawn() public {
        mates(id, 4, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        uint256 end = book.range(id, seq).at + Parameters.DRAW_SPAN;
        ok(pair(id, seq).due < end, "it is late before");
        vm.warp(end);
        replicas.advance(id, seq);
        is_(id, seq, IReplicas.State.Working);
        eq(pair(id, seq).tries, 1, "one was late");
    }

    // ---------------------------------------------------------------- who is late

    function test_aLateMateAfterWhichThereIsNobodyLeavesThePrimaryAlone() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), 2, "the only one");
        passedOver(id, seq);
        is_(id, seq, IReplicas.State.Alone);
        eq(pair(id, seq).mate, 0, "no mate");
        ok(!pair(id, seq).lapsed, "and that is not the primary's doing");
        // What it has done meanwhile is nobody's.
        commitRefused(seq);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(replicas.mateOf(id, seq), 0, "no mate is paid");
    }

    /// @dev Punished elsewhere, it has less than the fine, or nothing: what there is goes, and the range goes on.
    function test_whoHasLessThanTheFineLosesWhatItHas() public {
        mates(id, 3, STAKE);
        uint256 before = vm.snapshotState();
        for (uint256 rest = 0; rest <= 1; ++rest) {
            uint32 seq = sealedRange(id, false);
            uint256 mate = mateDrawn(id, seq);
            vm.prank(address(bench));
            registry.punish(uint32(mate), Parameters.ONE - rest, CLIENT);
            uint256 has = registry.provider(ownerOf(mate)).stake;
            ok(has < value(id, seq) / 10 && (has != 0) == (rest != 0), "less than the fine");
            passedOver(id, seq);
            eq(registry.provider(ownerOf(mate)).stake, 0, "all that it had");
            isEntry(id, mate, IWaiting.State.Left, 0);
            is_(id, seq, IReplicas.State.Working);
            ok(vm.revertToState(before), "again");
        }
    }

    // ---------------------------------------------------------------- who is silent

    function test_aSilentPrimaryThatIsAloneLosesHalfToThePurse() public {
        uint256 escrow = book.job(id).escrow;
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Silent);
        eq(registry.provider(ownerOf(1)).stake, 0, "all of its stake");
        eq(registry.provider(ownerOf(1)).exposure, 0, "no longer exposed");
        eq(free(address(audits)), 2_500 ether, "half to the purse");
        eq(free(ledger.BURN_ACCOUNT()), 2_500 ether, "half burned");
        eq(book.job(id).escrow, escrow, "its money comes back");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        ok(case_(id, seq).state == IAudits.State.None, "there is nothing to audit");
    }

    function test_aSilentMateLosesItsRecord() public {
        provider(2, 4, STAKE);
        waits(id, 2, STAKE / 2);
        uint64 single = audited(40);
        (uint32 own,,) = claim(single, 2, 1);
        bytes32 root = found(single, own, false).root;
        vm.prank(nodeOf(2));
        book.submit(single, own, root, 1, 0, "content");
        drawn(single, own);
        uint32[] memory at = positions(single, own);
        vm.prank(nodeOf(2));
        audits.name(single, own, at);
        while (case_(single, own).state != IAudits.State.Closed) {
            stage(single, own, false, 0);
        }
        ok(audits.record(2) != 0, "a record");
        (uint32 seq,) = bothCommitted(id, false, false);
        reveals(id, seq, 1, false);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(audits.record(2), 0, "gone");
    }

    // ---------------------------------------------------------------- the beacon

    /// @dev Somebody else has the round moved, and its new value kept, before anybody draws: whom it would name is no mate.
    function test_aMovedRoundDrawsNobodyThoughItHasAValue() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        uint64 round = pair(id, seq).round;
        vm.roll(vm.getBlockNumber() + 300);
        randomness.note(round);
        vm.roll(vm.getBlockNumber() + 3);
        ok(randomness.note(round) != 0, "the new value");
        replicas.draw(id, seq);
        aloneAndSurelyAudited(seq);
    }

    function test_aLostRoundDrawsNobody() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        uint64 round = pair(id, seq).round;
        for (uint256 i = 1; i <= 2; ++i) {
            vm.roll(vm.getBlockNumber() + 300);
            randomness.note(round);
            eq(randomness.lapses(round), i, "lapsed");
        }
        replicas.draw(id, seq);
        aloneAndSurelyAudited(seq);
    }

    function aloneAndSurelyAudited(uint32 seq) internal {
        is_(id, seq, IReplicas.State.Alone);
        ok(pair(id, seq).lapsed, "lapsed");
        isEntry(id, 2, IWaiting.State.Waiting, 0);
        reveals(id, seq, 1, false);
        eq(case_(id, seq).rate, Parameters.ONE, "surely");
    }

    // ---------------------------------------------------------------- the job ends meanwhile

    /// @dev A client that cancels takes back what is not at work; what both parts of an open range need stays.
    function test_aCancelledJobPaysItsOpenReplicas() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        vm.prank(CLIENT);
        book.cancel(id);
        eq(locked(CLIENT), 2 * value(id, seq), "both parts");
        commits(id, seq, false);
        reveals(id, seq, 1, false);
        reveals(id, seq, 2, false);
        audit(id, seq, false, 0);
        uint256 before = free(ownerOf(2));
        acknowledge(id, seq);
        ok(free(ownerOf(2)) > before, "the mate is paid");
        book.finish(id);
        eq(locked(CLIENT), 0, "nothing is left");
    }

    /// @dev Nobody can wait in a job that is over, and who waits there still gets its bond back.
    function test_aJobThatEndsKeepsNobodysBond() public {
        mates(id, 2, STAKE);
        vm.prank(CLIENT);
        book.cancel(id);
        book.finish(id);
        vm.startPrank(nodeOf(2));
        waiting.leave(id);
        passSeconds(Parameters.DRAW_SPAN + 1);
        waiting.leave(id);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NoMatesHere.selector, id));
        waiting.wait(id, STAKE, 0);
        vm.stopPrank();
        eq(registry.provider(ownerOf(2)).exposure, 0, "free");
    }
}
