// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Seals bind the contract that computes them.
contract Sealer {
    function seal(uint64 job, uint32 seq, address who, bytes32 answer, bytes32 salt) external view returns (bytes32) {
        return AuditRules.seal(job, seq, who, answer, salt);
    }
}

/// @dev Replicated ranges from their seal to their settlement.
contract ReplicasTest is ReplicaWorld {
    uint96 internal constant STAKE = 2_000 ether;

    uint64 internal id;
    /// @dev Ranges whose mate has committed to forged results.
    mapping(uint32 seq => bool) internal lied;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(20, 100 ether);
        id = replicated(40);
    }

    function escrow() internal view returns (uint256) {
        return book.job(id).escrow;
    }

    function wrongState(uint32 seq, IReplicas.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, state));
    }

    // ---------------------------------------------------------------- what happens when all do what they should

    function test_equalRootsAreBothPaid() public {
        mates(id, 4, STAKE);
        (uint32 seq, uint256 mate) = replica(id, false, false);
        ended(id, seq, IReplicas.Outcome.Matched);
        eq(replicas.mateOf(id, seq), mate, "the mate");
        eq(book.range(id, seq).root, found(id, seq, false).root, "unsealed");
        isEntry(id, mate, IWaiting.State.Waiting, 0);
        IAudits.Case memory c = audit(id, seq, false, 0);
        ok(c.outcome == IAudits.Outcome.Upheld, "audited as always");
        (uint256 first, uint256 second) = (free(ownerOf(1)), free(ownerOf(mate)));
        uint256 before = escrow();
        acknowledge(id, seq);
        uint256 worth = value(id, seq);
        uint256 charge = worth / 50 + (c.atProvidersCost ? c.first * c.fee : 0);
        if (charge > worth / 2) charge = worth / 2;
        eq(free(ownerOf(1)) - first, worth - worth / 100 - charge, "the primary, less its audit");
        eq(free(ownerOf(mate)) - second, worth - worth / 100 - worth / 50, "the mate, less its share for audits");
        eq(free(TREASURY), 2 * (worth / 100), "the fee of both");
        eq(free(address(audits)), charge + worth / 50, "the purse");
        eq(escrow(), before, "nothing comes back");
        eq(registry.provider(ownerOf(1)).exposure, 0, "no longer exposed");
        eq(registry.provider(ownerOf(mate)).exposure, STAKE, "its bond is");
    }

    function test_theMateIsWhomTheBeaconDraws() public {
        mates(id, 6, STAKE);
        uint32 seq = sealedRange(id, false);
        uint40 at = book.range(id, seq).at;
        uint256 mate = mateDrawn(id, seq);
        bytes32 seed = Draw.seedOf(randomness.value(pair(id, seq).round), id, seq, 0);
        uint32[] memory out = new uint32[](1);
        out[0] = 1;
        (uint32 number,) = waiting.drawn(id, seed, 0, out, at - 1, value(id, seq), PRICE);
        eq(mate, number, "who is drawn");
        isEntry(id, mate, IWaiting.State.Waiting, 1);
        eq(pair(id, seq).due, vm.getBlockTimestamp() + Parameters.REPLICA_TIME, "its time");
    }

    function test_itMayBeRevealedInAnyOrder() public {
        mates(id, 2, STAKE);
        (uint32 seq, uint256 mate) = bothCommitted(id, false, false);
        reveals(id, seq, mate, false);
        is_(id, seq, IReplicas.State.Revealing);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Matched);
    }

    /// @dev Who is at work for one range is drawn for others: it has time for each.
    function test_whoIsDrawnTwiceHasTimeForBoth() public {
        mates(id, 2, STAKE);
        uint32 one_ = sealedRange(id, false);
        passSeconds(1);
        uint32 two = sealedRange(id, false);
        mateDrawn(id, one_);
        replicas.draw(id, two);
        eq(pair(id, two).mate, 2, "the same one");
        isEntry(id, 2, IWaiting.State.Waiting, 2);
        eq(pair(id, two).due, vm.getBlockTimestamp() + 2 * Parameters.REPLICA_TIME, "time for both");
        commits(id, two, false);
        commits(id, one_, false);
        reveals(id, one_, 1, false);
        reveals(id, one_, 2, false);
        isEntry(id, 2, IWaiting.State.Waiting, 1);
        reveals(id, two, 2, false);
        reveals(id, two, 1, false);
        isEntry(id, 2, IWaiting.State.Waiting, 0);
    }

    /// @dev Where few wait, a crowd of ranges of one second is drawn from these few. Nobody gets more than it can do, and who does what
    /// it can is not fined.
    function test_manyRangesAtOnceMakeNobodyLate() public {
        mates(id, 2, STAKE);
        for (uint32 seq = 0; seq <= Parameters.MATE_DUTIES; ++seq) {
            eq(sealedRange(id, false), seq, "all in one second");
        }
        passBlocks(3);
        for (uint32 seq = 0; seq <= Parameters.MATE_DUTIES; ++seq) {
            replicas.draw(id, seq);
        }
        is_(id, uint32(Parameters.MATE_DUTIES), IReplicas.State.Alone);
        eq(pair(id, uint32(Parameters.MATE_DUTIES)).mate, 0, "one too many");
        for (uint32 seq = 0; seq < Parameters.MATE_DUTIES; ++seq) {
            passSeconds(Parameters.COMMIT_TIME / Parameters.SAMPLES);
            commits(id, seq, false);
            reveals(id, seq, 1, false);
            reveals(id, seq, 2, false);
            ended(id, seq, IReplicas.Outcome.Matched);
        }
        isEntry(id, 2, IWaiting.State.Waiting, 0);
        eq(registry.provider(ownerOf(2)).stake, STAKE, "it was never late");
    }

    function test_neitherThePrimaryNorTheClientIsDrawn() public {
        waits(id, 1, 1_000 ether);
        fund(CLIENT, STAKE);
        vm.prank(CLIENT);
        registry.register(CLIENT, 1, attributes(), bytes32(0), hex"01", STAKE, noConsent());
        vm.prank(CLIENT);
        waiting.wait(id, STAKE, 0);
        passSeconds(1);
        uint32 seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), 0, "nobody");
        is_(id, seq, IReplicas.State.Alone);
    }

    // ---------------------------------------------------------------- money

    function test_everythingIsReservedTwice() public {
        uint256 before = escrow();
        (uint32 seq,,) = claim(id, 1, 40);
        eq(before - escrow(), 2 * 40 * 7 * uint256(PRICE), "twice the ceiling");
        eq(registry.provider(ownerOf(1)).exposure, 2 * 40 * 7 * uint256(PRICE), "exposed twice");
        handIn(id, seq, false);
        eq(before - escrow(), 2 * value(id, seq), "twice what it is worth");
        eq(registry.provider(ownerOf(1)).exposure, 2 * value(id, seq), "exposed twice");
        (seq,,) = claim(id, 1, 40);
        uint256 rest = escrow();
        vm.prank(nodeOf(1));
        book.release(id, seq);
        uint32 count = book.range(id, seq).count;
        eq(escrow() - rest, 2 * count * 7 * uint256(PRICE), "released: twice");
        (seq,,) = claim(id, 1, 40);
        count = book.range(id, seq).count;
        rest = escrow();
        passSeconds(226);
        book.expire(id, one(seq));
        eq(escrow() - rest, 2 * count * 7 * uint256(PRICE), "expired: twice");
        eq(registry.provider(ownerOf(1)).exposure, 2 * value(id, 0), "and no longer exposed");
    }

    function test_anEscrowPaysForHalfAsMuch() public {
        IJobBook.Terms memory t = auditedTerms(40);
        t.replicas = 2;
        id = openJob(t, 3 * 7 * uint128(PRICE));
        ok(!book.job(id).dry, "one task, twice");
        (uint32 seq,, uint32 count) = claim(id, 1, 40);
        eq(count, 1, "tasks");
        ok(book.job(id).dry, "half a task is none");
        vm.prank(nodeOf(1));
        book.release(id, seq);
        uint64 poor = openJob(t, 2 * 7 * uint128(PRICE) - 1);
        ok(book.job(poor).dry, "dry from the beginning");
        refused(poor, IJobBook.Refusal.Dry);
        vm.prank(nodeOf(1));
        book.claim(poor, 40, 0);
    }

    function test_theTermsAreKeptAndOnlyAuditedJobsAreReplicated() public {
        ok(book.job(id).terms.audited && book.job(id).terms.replicas == 2, "both");
        IJobBook.Terms memory t = auditedTerms(40);
        for (uint8 n = 1; n < 6; ++n) {
            t.replicas = n;
            if (n == 2) continue;
            vm.prank(CLIENT);
            vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, IJobBook.Field.Replicas));
            book.open(t, 0);
        }
        (t.audited, t.replicas) = (false, 2);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, IJobBook.Field.Replicas));
        book.open(t, 0);
    }

    /// @dev All of a job's money goes to somebody or comes back.
    function test_theJobEndsWithNothingLeft() public {
        IJobBook.Terms memory t = auditedTerms(40);
        (t.replicas, t.taskCount, t.firstRange) = (2, 1, 1);
        uint256 client = free(CLIENT);
        id = openJob(t, 1_000 ether);
        mates(id, 3, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        uint256 held = locked(CLIENT);
        ok(held != 0, "locked");
        commits(id, seq, false);
        reveals(id, seq, 1, false);
        reveals(id, seq, pair(id, seq).mate, false);
        audit(id, seq, false, 0);
        acknowledge(id, seq);
        book.finish(id);
        eq(client - free(CLIENT), 2 * value(id, seq), "two parts");
    }

    // ---------------------------------------------------------------- alone

    function test_whereNobodyWaitsThePrimaryIsAlone() public {
        uint32 seq = sealedRange(id, false);
        uint256 before = escrow();
        eq(mateDrawn(id, seq), 0, "nobody");
        is_(id, seq, IReplicas.State.Alone);
        eq(pair(id, seq).due, vm.getBlockTimestamp() + Parameters.REVEAL_TIME, "its time");
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Alone);
        ok(case_(id, seq).state == IAudits.State.Submitted, "its audit begins");
        audit(id, seq, false, 0);
        acknowledge(id, seq);
        eq(escrow() - before, value(id, seq), "the mate's part comes back");
        eq(book.job(id).settledTasks, 40, "settled");
    }

    function test_whatIsNotDrawnInTimeIsAlone() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        uint40 due = pair(id, seq).due;
        eq(due, book.range(id, seq).at + Parameters.DRAW_SPAN, "the span");
        vm.warp(due);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooEarly.selector, due));
        replicas.advance(id, seq);
        vm.warp(due + 1);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.draw(id, seq);
        replicas.advance(id, seq);
        is_(id, seq, IReplicas.State.Alone);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Alone);
    }

    /// @dev Who lets a beacon lapse because its mate does not suit it is audited.
    function test_aLapsedBeaconDrawsNobodyAndTheRangeIsAudited() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        vm.roll(vm.getBlockNumber() + 300);
        passSeconds(300);
        replicas.draw(id, seq);
        is_(id, seq, IReplicas.State.Alone);
        reveals(id, seq, 1, false);
        eq(case_(id, seq).rate, Parameters.ONE, "surely");
    }

    function test_theBeaconMustBeKnown() public {
        uint32 seq = sealedRange(id, false);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.BeaconUnknown.selector, pair(id, seq).round));
        replicas.draw(id, seq);
    }

    /// @dev A primary that waits with its root until its record is better gains nothing.
    function test_theRateIsThatOfTheSubmission() public {
        uint64 single = audited(40);
        audit(single, work(single, false), false, 0);
        uint32 seq = sealedRange(id, false);
        uint256 rate = audits.rateNow(1);
        ok(rate < Parameters.ONE && pair(id, seq).rate == rate, "a record already");
        mateDrawn(id, seq);
        // A better one: not every range is audited any more.
        while (audits.rateNow(1) >= rate) {
            audit(single, work(single, false), false, 0);
        }
        reveals(id, seq, 1, false);
        eq(case_(id, seq).rate, rate, "that of the submission");
    }

    // ---------------------------------------------------------------- unequal

    function test_differentRootsAreWalkedDown() public {
        mates(id, 3, STAKE);
        (uint32 seq, uint256 mate) = replica(id, false, true);
        is_(id, seq, IReplicas.State.Walking);
        eq(replicas.mateOf(id, seq), 0, "no mate is paid");
        isEntry(id, mate, IWaiting.State.Waiting, 1);
        ok(case_(id, seq).state == IAudits.State.None, "no audit yet");
    }

    /// @dev Inflated units under a right root: the seals differ.
    function test_otherUnitsAreNoMatch() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        Found memory f = found(id, seq, false);
        f.units += 1;
        bytes32 seal_ = sealOf(id, seq, 2, f);
        vm.prank(nodeOf(2));
        replicas.commit(id, seq, seal_);
        vm.prank(nodeOf(2));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(2));
        reveals(id, seq, 1, false);
        is_(id, seq, IReplicas.State.Walking);
    }

    // ---------------------------------------------------------------- what is refused

    function test_aSealIsNeitherPaidNorAudited() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        passSeconds(4000);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, id, seq, IAudits.State.None));
        audits.draw(id, seq);
        // Unsealed, it is as any other.
        replicas.advance(id, seq);
        reveals(id, seq, 1, false);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
        audit(id, seq, false, 0);
        acknowledge(id, seq);
    }

    function test_aCopiedSealOpensNothing() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        bytes32 copied = book.range(id, seq).root;
        vm.prank(nodeOf(2));
        replicas.commit(id, seq, copied);
        reveals(id, seq, 1, false);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongSeal.selector, 2));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(registry.provider(ownerOf(2)).stake, 0, "as one who is silent");
    }

    function test_thePrimaryShowsWhatItSubmitted() public {
        uint32 seq;
        (seq,,) = claim(id, 1, 40);
        Found memory f = found(id, seq, false);
        // The seal says other units than the submission.
        bytes32 seal_ = sealOf(id, seq, 1, Found(f.root, f.units + 1, 0));
        vm.prank(nodeOf(1));
        book.submit(id, seq, seal_, f.units, 0, "content");
        mateDrawn(id, seq);
        bytes memory no = abi.encodeWithSelector(IReplicas.WrongSeal.selector, 1);
        vm.startPrank(nodeOf(1));
        vm.expectRevert(no);
        replicas.reveal(id, seq, f.root, f.units, 0, saltOf(1));
        vm.expectRevert(no);
        replicas.reveal(id, seq, f.root, f.units + 1, 0, saltOf(1));
        vm.stopPrank();
    }

    /// @dev The same numbers are in `crates/verification/src/replica.rs`; a third program computed them.
    function test_sealsAreThoseOfRust() public {
        address at = address(bytes20(hex"2222222222222222222222222222222222222222"));
        Sealer sealer = new Sealer();
        vm.etch(at, address(sealer).code);
        bytes32 root = hex"1111111111111111111111111111111111111111111111111111111111111111";
        bytes32 answer_ = keccak256(abi.encodePacked(root, uint64(1_234_567), uint32(3)));
        eq(answer_, hex"2000beae2ab40b9126a3d77f781ddb77b1b95817a110a20be5089923441cca81", "answer");
        bytes32 salt = hex"10d40b6655a74bb75c4c28196a4957e7ccd327afb569ccb7946ed2c5b8284e8d";
        address who = address(bytes20(hex"3333333333333333333333333333333333333333"));
        vm.chainId(31_337);
        eq(
            Sealer(at).seal(7, 9, who, answer_, salt),
            hex"2aebb7a1587c624eb608a4741b95a7c345f7df85d567433f32ffa6a8da350d82",
            "seal"
        );
    }

    function test_aRootOfZeroIsNone() public {
        (uint32 seq,,) = claim(id, 1, 40);
        Found memory f = Found(0, 1, 0);
        bytes32 seal_ = sealOf(id, seq, 1, f);
        vm.prank(nodeOf(1));
        book.submit(id, seq, seal_, 1, 0, "content");
        mateDrawn(id, seq);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongSeal.selector, 1));
        replicas.reveal(id, seq, 0, 1, 0, saltOf(1));
    }

    function test_wrongMovesAreRefused() public {
        mates(id, 3, STAKE);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotBench.selector, address(this)));
        replicas.submitted(id, 0, 1, 0);
        wrongState(0, IReplicas.State.None);
        replicas.draw(id, 0);
        wrongState(0, IReplicas.State.None);
        replicas.advance(id, 0);
        wrongState(0, IReplicas.State.None);
        replicas.reveal(id, 0, LIE, 1, 0, SALT);
        uint32 seq = sealedRange(id, false);
        wrongState(seq, IReplicas.State.Sealed);
        replicas.commit(id, seq, LIE);
        uint256 mate = mateDrawn(id, seq);
        wrongState(seq, IReplicas.State.Working);
        replicas.draw(id, seq);
        wrongState(seq, IReplicas.State.Working);
        replicas.reveal(id, seq, LIE, 1, 0, SALT);
        address other = nodeOf(mate == 2 ? 3 : 2);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, other));
        replicas.commit(id, seq, LIE);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, address(this)));
        replicas.commit(id, seq, LIE);
        vm.prank(nodeOf(mate));
        vm.expectRevert(IReplicas.EmptySeal.selector);
        replicas.commit(id, seq, 0);
        commits(id, seq, false);
        wrongState(seq, IReplicas.State.Revealing);
        replicas.commit(id, seq, LIE);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, other));
        replicas.reveal(id, seq, LIE, 1, 0, SALT);
        reveals(id, seq, mate, false);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(mate));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.ShownAlready.selector, mate));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(mate));
        reveals(id, seq, 1, false);
        wrongState(seq, IReplicas.State.Closed);
        replicas.advance(id, seq);
    }

    function test_lateMovesAreRefused() public {
        mates(id, 2, STAKE);
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        uint40 due = pair(id, seq).due;
        vm.warp(due + 1);
        vm.prank(nodeOf(2));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.commit(id, seq, LIE);
        vm.warp(due);
        commits(id, seq, false);
        due = pair(id, seq).due;
        eq(due, vm.getBlockTimestamp() + Parameters.REVEAL_TIME, "time to show");
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooEarly.selector, due));
        replicas.advance(id, seq);
        vm.warp(due + 1);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(1));
    }

    // ---------------------------------------------------------------- whatever happens

    /// @dev Each of both is on time or not, honest or not: every replica closes, no entry stays busy, and who did what it should
    /// loses nothing.
    function testFuzz_everyReplicaClosesAndTheHonestLoseNothing(uint256 seed) public {
        mates(id, 5, STAKE);
        for (uint256 n = 0; n < 3; ++n) {
            seed = uint256(keccak256(abi.encode(seed)));
            bool primarySilent = seed & 7 == 0;
            uint32 seq = sealedRange(id, false);
            if (seed >> 3 & 7 == 0) vm.warp(pair(id, seq).due + 1);
            else mateDrawn(id, seq);
            bool honest = true;
            uint256 mate = 0;
            for (uint256 step = 0; step < 12 && pair(id, seq).state != IReplicas.State.Closed; ++step) {
                IReplicas.State state = pair(id, seq).state;
                uint256 dice = seed >> 8 + 4 * step;
                if (state == IReplicas.State.Working && dice & 1 == 0) {
                    mate = pair(id, seq).mate;
                    honest = dice & 2 == 0;
                    commits(id, seq, !honest);
                } else if (state == IReplicas.State.Revealing && dice & 3 != 0) {
                    if (mate != 0 && pair(id, seq).shown & 2 == 0) reveals(id, seq, mate, !honest);
                    if (!primarySilent) reveals(id, seq, 1, false);
                } else if (state == IReplicas.State.Alone && !primarySilent) {
                    reveals(id, seq, 1, false);
                } else if (state == IReplicas.State.Walking && !primarySilent) {
                    // Its mate has lied, and does not go down with it.
                    walks(id, seq, 1, false, none());
                }
                if (pair(id, seq).state == IReplicas.State.Closed) break;
                if (pair(id, seq).state == state) passedOver(id, seq);
            }
            is_(id, seq, IReplicas.State.Closed);
            if (pair(id, seq).outcome == IReplicas.Outcome.Silent) return noEntryIsBusy();
            eq(registry.provider(ownerOf(1)).stake, 5_000 ether, "the primary did what it should");
        }
        noEntryIsBusy();
    }

    /// @dev Ranges in any state at a time, whoever is late or lies: when all are judged, what the job had is paid or with its client.
    function testFuzz_allOfAJobsMoneyIsPaidOrComesBack(uint256 seed) public {
        mates(id, 5, STAKE);
        uint32 n = 0;
        for (uint256 i = 0; i < 14; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            n = something(seed, n);
        }
        vm.prank(CLIENT);
        book.cancel(id);
        for (uint32 seq = 0; seq < n; ++seq) {
            toTheEnd(seq);
        }
        book.finish(id);
        (, uint128 held) = ledger.module(address(book));
        eq(held, 0, "nothing is left in the job");
        eq(locked(CLIENT), 0, "nothing is locked");
        eq(registry.provider(ownerOf(1)).exposure, 0, "nothing is exposed");
        noEntryIsBusy();
    }

    /// @dev Returns how many ranges there are.
    function something(uint256 seed, uint32 n) internal returns (uint32) {
        uint256 what = seed % 5;
        if (what < 2) {
            (uint32 count,,) = book.claimable(id, ownerOf(1));
            if (count == 0) return n;
            (uint32 seq,,) = claim(id, 1, 40);
            if (what == 0) handIn(id, seq, false);
            return seq + 1;
        }
        if (what == 2) passSeconds((seed >> 16) % 20 minutes);
        else if (n != 0) forward(uint32((seed >> 16) % n), seed >> 64);
        return n;
    }

    /// @dev The next move in a range, by whoever's it is.
    function forward(uint32 seq, uint256 dice) internal {
        IJobBook.Range memory r = book.range(id, seq);
        uint256 now_ = vm.getBlockTimestamp();
        if (r.state == IJobBook.RangeState.Claimed) {
            if (now_ <= r.at + 225) handIn(id, seq, false);
            else book.expire(id, one(seq));
        }
        IReplicas.Pair memory p = pair(id, seq);
        if (r.state != IJobBook.RangeState.Submitted || p.state == IReplicas.State.Closed) return;
        if (p.state == IReplicas.State.Disputed) return;
        if (now_ > p.due) return replicas.advance(id, seq);
        if (p.state == IReplicas.State.Sealed) {
            vm.roll(vm.getBlockNumber() + 3);
            replicas.draw(id, seq);
        } else if (p.state == IReplicas.State.Working) {
            lied[seq] = dice & 3 == 0;
            commits(id, seq, lied[seq]);
        } else if (p.state == IReplicas.State.Walking) {
            walkOn(seq, p, dice);
        } else if (p.state == IReplicas.State.Showing) {
            if (p.shown & 1 == 0) showsLeaf(id, seq, 1, false);
            else showsLeaf(id, seq, p.mate, lied[seq]);
        } else if (p.state == IReplicas.State.Alone || dice & 1 == 0) {
            if (p.shown & 1 == 0) reveals(id, seq, 1, false);
        } else if (p.shown & 2 == 0) {
            reveals(id, seq, p.mate, lied[seq]);
        }
    }

    function walkOn(uint32 seq, IReplicas.Pair memory p, uint256 dice) internal {
        bool primarys = p.shown == 0 ? dice & 1 == 0 : p.shown == 2;
        MerkleSum.Sibling[] memory theirs = p.shown == 0 ? none() : nodesBelow(id, seq, primarys && lied[seq]);
        if (primarys) walks(id, seq, 1, false, theirs);
        else walks(id, seq, p.mate, lied[seq], theirs);
    }

    /// @dev Whoever has a move left is late with it, but for a primary that is alone.
    function toTheEnd(uint32 seq) internal {
        IJobBook.Range memory r = book.range(id, seq);
        if (r.state == IJobBook.RangeState.Claimed) {
            if (vm.getBlockTimestamp() <= r.at + 225) vm.warp(r.at + 226);
            book.expire(id, one(seq));
        }
        if (r.state != IJobBook.RangeState.Submitted) return;
        while (pair(id, seq).state != IReplicas.State.Closed) {
            IReplicas.Pair memory p = pair(id, seq);
            bool late_ = vm.getBlockTimestamp() > p.due;
            if (p.state == IReplicas.State.Alone && !late_) {
                reveals(id, seq, 1, false);
                continue;
            }
            if (p.state == IReplicas.State.Disputed) {
                drawn(id, seq);
                while (case_(id, seq).state != IAudits.State.Closed) {
                    stage(id, seq, false, 0);
                }
                replicas.conclude(id, seq);
                continue;
            }
            if (!late_) vm.warp(p.due + 1);
            replicas.advance(id, seq);
        }
        if (book.range(id, seq).state != IJobBook.RangeState.Submitted) return;
        if (case_(id, seq).state != IAudits.State.Closed) audit(id, seq, false, 0);
        acknowledge(id, seq);
    }

    function noEntryIsBusy() internal view {
        for (uint256 n = 2; n <= 5; ++n) {
            eq(entry(id, n).busy, 0, "nobody is busy");
        }
    }

    function test_construction() public {
        address[6] memory all =
            [address(bench), address(book), address(registry), address(waiting), address(randomness), address(audits)];
        ok(canBeBuilt(all), "with all");
        for (uint256 i = 0; i < all.length; ++i) {
            address was = all[i];
            all[i] = address(0);
            ok(!canBeBuilt(all), "without one of them");
            all[i] = was;
        }
    }

    function canBeBuilt(address[6] memory a) internal returns (bool) {
        return created("Replicas", abi.encode(a[0], a[1], a[2], a[3], a[4], a[5])) != address(0);
    }
}
