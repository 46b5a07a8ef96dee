// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {WalkWorld} from "./WalkWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Leaves in which two providers differ, before the auditors: what they decide, and whose money it is then.
contract ReplicaDisputesTest is WalkWorld {
    uint256 internal constant AT = 23;

    /// @dev What a case's auditors have earned.
    function owedToAll() internal view returns (uint256 sum) {
        for (uint256 n = 1; n <= 20; ++n) {
            sum += audits.owed(auditorOwner(n));
        }
    }

    function concluded(uint32 seq, IReplicas.Outcome outcome) internal {
        replicas.conclude(id, seq);
        ended(id, seq, outcome);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, IReplicas.State.Closed));
        replicas.conclude(id, seq);
    }

    // ---------------------------------------------------------------- the case

    function test_aDisputeIsACaseAboutOneLeaf() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        IAudits.Case memory c = case_(id, seq);
        ok(c.state == IAudits.State.Submitted, "waits for its beacon");
        eq(c.rate, Parameters.DISPUTED, "is a dispute");
        eq(c.provider, PRIMARY, "the primary's");
        for (uint256 i = 0; i < Parameters.SAMPLES; ++i) {
            eq(uint32(c.positions >> 32 * i), AT, "always the same leaf");
        }
        eq(c.claimed, answerOf(seq, PRIMARY), "what the primary says");
        // A leaf of 1 + 23 % 7 units.
        eq(c.fee, 3 * uint256(PRICE) * 5 / 4, "once its price, and a quarter");
        eq(book.range(id, seq).root, foundBy(seq, PRIMARY).root, "unsealed");
        eq(pair(id, seq).due, 0, "no time of its own");
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
        drawn(id, seq);
        c = case_(id, seq);
        ok(c.state == IAudits.State.Committing, "nothing is to be named");
        eq(c.votes, Parameters.LEAD, "as many votes as a lead has");
        ok(!c.atProvidersCost, "at nobody's cost yet");
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            commit(id, seq, seats[i], answerOf(seq, PRIMARY));
        }
        ok(case_(id, seq).state == IAudits.State.Revealing, "nor opened");
    }

    function test_aDisputeIsForReplicasOnly() public {
        vm.expectRevert(abi.encodeWithSelector(IBench.NotReplicas.selector, address(this)));
        bench.dispute(id, 0, 1, LIE, 0, LIE, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotBench.selector, address(this)));
        audits.dispute(id, 0, 1, 0, LIE, 0);
        eq(bench.accuserOf(id, 0, 0), address(0), "nobody");
    }

    function test_aLeafOfNoWorthHasTheLeastFee() public {
        lie(MATE, 0, Kind.Output);
        uint96 least = uint96(small() / Parameters.MIN_FEE_PART);
        IJobBook.Terms memory t = auditedTerms(40);
        // A cap that may be audited, of which its first leaf needs one unit.
        (t.replicas, t.price, t.unitCap) = (2, least / 2, 30);
        id = openJob(t, 1_000 ether);
        uint32 seq = disputed();
        eq(case_(id, seq).fee, least, "the least fee");
    }

    /// @dev Nobody has more open disputes than it may have duties: what they cost the purse is what one stake must bear.
    function test_aDutyLastsUntilItsDisputeIsConcluded() public {
        lie(MATE, AT, Kind.Output);
        uint32 first = disputed();
        for (uint256 i = 1; i < Parameters.MATE_DUTIES; ++i) {
            disputed();
        }
        isEntry(id, MATE, IWaiting.State.Waiting, Parameters.MATE_DUTIES);
        uint32 seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), 0, "it has all that it may have");
        is_(id, seq, IReplicas.State.Alone);
        nobodyComes(first);
        isEntry(id, MATE, IWaiting.State.Waiting, Parameters.MATE_DUTIES);
        concluded(first, IReplicas.Outcome.Unequal);
        isEntry(id, MATE, IWaiting.State.Waiting, Parameters.MATE_DUTIES - 1);
        seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), MATE, "and now one less");
    }

    // ---------------------------------------------------------------- the primary is right

    /// @dev The decision's own example: a mate with one flipped bit loses its stake, and the job completes.
    function test_upheldTheMateLosesAllAndTheRangeIsPaid() public {
        IJobBook.Terms memory t = auditedTerms(40);
        (t.replicas, t.taskCount) = (2, 40);
        uint256 client = free(CLIENT);
        id = openJob(t, 1_000 ether);
        lie(MATE, 7, Kind.Output);
        uint32 seq = disputed();
        votesTheTruth(seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "upheld");
        eq(audits.record(1), 0, "no record by a dispute");
        paidPerVote(id, seq, case_(id, seq).fee);
        uint256 purse = free(address(audits));
        concluded(seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
        eq(free(address(audits)) - purse, STAKE / 2, "half of it to the purse");
        ok(STAKE / 2 > owedToAll(), "which pays the auditors");
        isEntry(id, MATE, IWaiting.State.Left, 0);
        eq(pair(id, seq).mate, 0, "no mate");
        eq(staked(PRIMARY), FIRST_STAKE, "the primary loses nothing");
        IAudits.Case memory c = audit(id, seq, false, 0);
        (uint256 first, uint256 worth) = (free(ownerOf(PRIMARY)), value(id, seq));
        uint256 charge = worth / 50 + (c.atProvidersCost ? uint256(c.fee) * c.first : 0);
        if (charge > worth / 2) charge = worth / 2;
        acknowledge(id, seq);
        eq(free(ownerOf(PRIMARY)) - first, worth - worth / 100 - charge, "paid, less fee and share");
        // Nobody waits any more; the rest is done by one.
        for (uint32 done = book.range(id, seq).count; done < 40; done += book.range(id, seq).count) {
            seq = sealedRange(id, false);
            eq(mateDrawn(id, seq), 0, "no mate");
            reveals(id, seq, PRIMARY, false);
            audit(id, seq, false, 0);
            acknowledge(id, seq);
            worth += value(id, seq);
        }
        book.finish(id);
        eq(client - free(CLIENT), worth, "every task once");
        eq(registry.provider(ownerOf(PRIMARY)).exposure, 0, "no longer exposed");
    }

    /// @dev A verdict on one leaf lets nothing be paid: first comes the audit that any range has, at the rate of its submission.
    function test_whatWasDisputedIsAuditedAllTheSame() public {
        lie(MATE, AT, Kind.Units);
        uint32 seq = disputed();
        votesTheTruth(seq);
        notPaid(seq);
        concluded(seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
        IAudits.Case memory c = case_(id, seq);
        ok(c.state == IAudits.State.Submitted && c.outcome == IAudits.Outcome.Open, "anew");
        eq(c.rate, pair(id, seq).rate, "at the rate of the submission");
        ok(c.claimed == 0 && c.positions == 0 && c.given == 0 && c.votes == 0, "nothing is left of the dispute");
        notPaid(seq);
        c = audit(id, seq, false, 0);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld");
        eq(audits.record(1), value(id, seq), "a record, as by any audit");
        uint256 before = book.job(id).escrow;
        acknowledge(id, seq);
        eq(book.job(id).escrow - before, value(id, seq), "the mate's part comes back");
    }

    function notPaid(uint32 seq) internal {
        vm.warp(vm.getBlockTimestamp() + 2 hours);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
    }

    function test_aMateLosesItsRecord() public {
        lie(MATE, AT, Kind.Output);
        uint64 replicated_ = id;
        provider(2, 4, STAKE);
        waits(id, 2, STAKE / 2);
        // As a primary of another job it earns one.
        id = audited(40);
        (uint32 seq,,) = claim(id, 2, 40);
        Found memory f = found(id, seq, false);
        vm.prank(nodeOf(2));
        book.submit(id, seq, f.root, f.units, 0, "content");
        drawn(id, seq);
        uint32[] memory at = positions(id, seq);
        vm.prank(nodeOf(2));
        audits.name(id, seq, at);
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 0);
        }
        ok(audits.record(2) != 0, "a record");
        id = replicated_;
        seq = disputed();
        votesTheTruth(seq);
        concluded(seq, IReplicas.Outcome.Alone);
        eq(audits.record(2), 0, "gone");
    }

    // ---------------------------------------------------------------- the primary is wrong

    function test_overturnedHalfGoesToTheMateThatIsRight() public {
        uint256 escrow = book.job(id).escrow;
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = disputed();
        uint256 mates_ = free(ownerOf(MATE));
        (uint256 client, uint256 purse) = (free(CLIENT), free(address(audits)));
        votesTheTruth(seq);
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        eq(c.claimed, answerOf(seq, MATE), "the answer that stands");
        uint256 fees = Parameters.LEAD * uint256(c.fee);
        eq(owedToAll(), fees, "the auditors' fees");
        eq(staked(PRIMARY), 0, "all of its stake");
        // The fees first, once more burned; half of the rest.
        uint256 share = (2 * fees * 1e9 + FIRST_STAKE - 1) / FIRST_STAKE;
        uint256 cut = uint256(FIRST_STAKE) * share / 1e9;
        eq(free(address(audits)) - purse, cut / 2, "the fees to the purse");
        eq(free(ownerOf(MATE)) - mates_, (FIRST_STAKE - cut) / 2, "half of the rest to the mate");
        eq(free(CLIENT), client, "and not to the client");
        rangeIs(seq, IJobBook.RangeState.Rejected);
        eq(book.job(id).escrow, escrow, "twice its money comes back");
        concluded(seq, IReplicas.Outcome.Unequal);
        eq(staked(MATE), STAKE, "the mate loses nothing");
        isEntry(id, MATE, IWaiting.State.Waiting, 0);
        eq(replicas.mateOf(id, seq), 0, "and is not paid");
    }

    function test_overturnedAMateThatIsWrongTooLosesAll() public {
        lie(PRIMARY, AT, Kind.Units);
        lie(MATE, AT, Kind.Units);
        uint32 seq = disputed();
        (uint256 mates_, uint256 client) = (free(ownerOf(MATE)), free(CLIENT));
        votesTheTruth(seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Overturned, "overturned");
        eq(staked(PRIMARY), 0, "the primary");
        ok(free(CLIENT) - client > FIRST_STAKE / 2 - 100 ether, "half to the client");
        uint256 purse = free(address(audits));
        concluded(seq, IReplicas.Outcome.Unequal);
        eq(staked(MATE), 0, "the mate");
        eq(free(ownerOf(MATE)), mates_, "earns nothing");
        eq(free(address(audits)) - purse, STAKE / 2, "half of it to the purse");
        isEntry(id, MATE, IWaiting.State.Left, 0);
    }

    function test_aRecordEndsWithADisputeThatIsLost() public {
        uint64 single = audited(40);
        uint32 seq = work(single, false);
        audit(single, seq, false, 0);
        ok(audits.record(1) != 0, "a record");
        lie(PRIMARY, AT, Kind.Failed);
        seq = disputed();
        votesTheTruth(seq);
        eq(audits.record(1), 0, "gone");
    }

    // ---------------------------------------------------------------- nothing is decided

    function test_undecidedNobodyLosesAnything() public {
        uint256 escrow = book.job(id).escrow;
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = disputed();
        nobodyComes(seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "undecided");
        rangeIs(seq, IJobBook.RangeState.Rejected);
        concluded(seq, IReplicas.Outcome.Unequal);
        eq(staked(PRIMARY), FIRST_STAKE, "the primary loses nothing");
        eq(staked(MATE), STAKE, "nor does the mate");
        isEntry(id, MATE, IWaiting.State.Waiting, 0);
        eq(book.job(id).escrow, escrow, "twice its money comes back");
    }

    function test_whatNobodyDrawsInTimeIsUndecided() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        passBlocks(3);
        randomness.note(case_(id, seq).round);
        vm.warp(book.range(id, seq).at + Parameters.DISPUTE_DRAW_TIME + 1);
        audits.draw(id, seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "undecided");
        concluded(seq, IReplicas.Outcome.Unequal);
        eq(staked(MATE), STAKE, "nobody loses");
    }

    /// @dev However late it is drawn and however long it lasts: there is time to draw the audit that follows, so nobody who was right
    /// works for nothing.
    function test_theLatestDisputeLeavesTimeForTheAuditOfItsRange() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        passBlocks(3);
        randomness.note(case_(id, seq).round);
        uint256 latest = book.range(id, seq).at + Parameters.DISPUTE_DRAW_TIME;
        vm.warp(latest);
        audits.draw(id, seq);
        ok(case_(id, seq).state == IAudits.State.Committing, "in time");
        decides(seq, answerOf(seq, 3));
        // As long as fifteen people need, one after the other.
        uint256 last = latest + Parameters.COMMITTEE * (Parameters.COMMIT_TIME + Parameters.REVEAL_TIME);
        vm.warp(last);
        concluded(seq, IReplicas.Outcome.Alone);
        vm.warp(last + 1 days);
        ok(audit(id, seq, false, 0).outcome == IAudits.Outcome.Upheld, "upheld");
        acknowledge(id, seq);
        rangeIs(seq, IJobBook.RangeState.Settled);
    }

    /// @dev The beacon is moved once; the dispute is nobody's cost all the same.
    function test_aLapsedBeaconIsMoved() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        vm.roll(vm.getBlockNumber() + 300);
        audits.draw(id, seq);
        ok(case_(id, seq).state == IAudits.State.Submitted, "moved");
        votesTheTruth(seq);
        ok(!case_(id, seq).atProvidersCost, "not at its cost");
        concluded(seq, IReplicas.Outcome.Alone);
    }

    // ---------------------------------------------------------------- auditors

    /// @dev It has nearly all of the stake, and is drawn at no stage.
    function test_theMatesOwnerDoesNotSitInItsOwnDispute() public {
        address owner = ownerOf(MATE);
        fund(owner, 100_000 ether);
        vm.prank(owner);
        auditors.join(owner, 100_000 ether);
        passSeconds(1);
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = disputed();
        eq(bench.accuserOf(id, seq, 0), owner, "whatever it answered");
        eq(bench.accuserOf(id, seq, answerOf(seq, MATE)), owner, "what it answered");
        eq(bench.accuserOf(id, seq, answerOf(seq, PRIMARY)), address(0), "not what it did not");
        nobodyComes(seq);
        uint8 given = case_(id, seq).given;
        ok(given > Parameters.LEAD, "more than those of the first stage");
        for (uint8 i = 0; i < given; ++i) {
            ok(audits.seat(id, seq, i).auditor <= 20, "somebody else");
        }
    }

    /// @dev Who votes for the mate's lie loses half of its stake, and more are called.
    function test_aLyingAuditorIsOutvoted() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        drawn(id, seq);
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        uint256 liar = audits.seat(id, seq, seats[0]).auditor;
        while (case_(id, seq).state != IAudits.State.Closed) {
            seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
            for (uint256 i = 0; i < seats.length; ++i) {
                commit(id, seq, seats[i], vote(seq, seats[i], liar));
            }
            seats = seatsIn(id, seq, IAudits.SeatState.Committed);
            for (uint256 i = 0; i < seats.length; ++i) {
                reveal(id, seq, seats[i], vote(seq, seats[i], liar));
            }
        }
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld");
        eq(c.votes, Parameters.COMMITTEE, "more were called");
        eq(stakeOf(liar), 50 ether, "half of its stake");
        concluded(seq, IReplicas.Outcome.Alone);
    }

    /// @dev One vote for what is claimed lets an ordinary range be paid. Here it would burn somebody, whichever of both it is for.
    function test_noAnswerStandsWithoutALead() public {
        lie(PRIMARY, AT, Kind.Output);
        for (uint256 who = PRIMARY; who <= MATE; ++who) {
            uint256 state = vm.snapshotState();
            uint32 seq = disputed();
            drawn(id, seq);
            bool voted = false;
            while (case_(id, seq).state != IAudits.State.Closed) {
                uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
                // Of all who are asked only the first one comes.
                if (!voted) commit(id, seq, seats[0], answerOf(seq, who));
                voted = true;
                if (case_(id, seq).state == IAudits.State.Committing) late(id, seq);
                seats = seatsIn(id, seq, IAudits.SeatState.Committed);
                if (case_(id, seq).state != IAudits.State.Revealing) continue;
                for (uint256 i = 0; i < seats.length; ++i) {
                    reveal(id, seq, seats[i], answerOf(seq, who));
                }
            }
            ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "undecided");
            concluded(seq, IReplicas.Outcome.Unequal);
            eq(staked(PRIMARY), FIRST_STAKE, "the primary loses nothing");
            eq(staked(MATE), STAKE, "nor does the mate");
            vm.revertToState(state);
        }
    }

    function vote(uint32 seq, uint8 seat, uint256 liar) internal view returns (bytes32) {
        return answerOf(seq, audits.seat(id, seq, seat).auditor == liar ? MATE : PRIMARY);
    }

    // ---------------------------------------------------------------- whatever happens

    /// @dev One of both lies in any way, comes late at any step or never; auditors are honest. Who is honest and on time loses nothing,
    /// who lies and who is late loses all, the replica closes, and nobody stays busy.
    function testFuzz_whoIsHonestAndOnTimeLosesNothing(uint256 seed) public {
        uint256 liar = seed & 1 == 0 ? PRIMARY : MATE;
        uint256 stop = (seed >> 1) % 6;
        uint256 honest = PRIMARY + MATE - liar;
        uint32 count = uint32(1 + (seed >> 8) % 60);
        IJobBook.Terms memory t = auditedTerms(count);
        t.replicas = 2;
        uint256 client = free(CLIENT);
        id = openJob(t, 10_000 ether);
        lie(liar, (seed >> 32) % count, Kind((seed >> 64) % 3));
        uint32 seq = revealed();
        for (uint256 step = 0; pair(id, seq).state == IReplicas.State.Walking; ++step) {
            posts(seq, honest);
            if (step == stop) break;
            bringsAlong(seq, liar);
        }
        if (pair(id, seq).state == IReplicas.State.Showing) {
            shows(seq, honest);
            if (stop != 4) shows(seq, liar);
        }
        if (pair(id, seq).state == IReplicas.State.Disputed) {
            votesTheTruth(seq);
            replicas.conclude(id, seq);
        } else {
            passedOver(id, seq);
        }
        is_(id, seq, IReplicas.State.Closed);
        eq(staked(liar), 0, "who lies or is late loses all");
        eq(staked(honest), honest == PRIMARY ? FIRST_STAKE : STAKE, "who is honest loses nothing");
        eq(entry(id, MATE).busy, 0, "nobody is busy");
        uint256 worth = value(id, seq);
        if (liar == MATE) {
            if (case_(id, seq).state != IAudits.State.Closed) audit(id, seq, false, 0);
            acknowledge(id, seq);
        } else {
            rangeIs(seq, IJobBook.RangeState.Rejected);
            worth = 0;
        }
        vm.prank(CLIENT);
        book.cancel(id);
        book.finish(id);
        eq(client - free(CLIENT), worth, "the client pays for what was done, once");
        eq(locked(CLIENT), 40_000 ether, "what is in its other job");
        eq(registry.provider(ownerOf(PRIMARY)).exposure, 0, "nothing is exposed");
    }
}
