// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {JobDesk} from "../src/JobDesk.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Audits of ranges from their submission to the verdict.
contract AuditsTest is AuditWorld {
    uint256 internal constant PEOPLE = 20;
    uint256 internal constant LIARS = 4;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 1_000 ether);
        id = audited(40);
    }

    function value(uint32 seq) internal view returns (uint256) {
        IJobBook.Range memory r = book.range(id, seq);
        return uint256(r.units) * r.price;
    }

    function is_(uint32 seq, IAudits.State state) internal view {
        eq(uint256(case_(id, seq).state), uint256(state), "state of the case");
    }

    function wrongState(uint32 seq, IAudits.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, id, seq, state));
    }

    // ---------------------------------------------------------------- what happens when all do what they should

    function test_honestRangeIsUpheldPaidAndPutOnRecord() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        is_(seq, IAudits.State.Submitted);
        // Worth more than the small value: two.
        ok(value(seq) > SMALL, "two auditors");
        IAudits.Case memory c = audit(id, seq, false, 0);
        ok(c.outcome == IAudits.Outcome.Upheld && c.votes == 2, "upheld by the first two votes");
        eq(audits.record(1), value(seq), "record");
        ok(audits.rateOf(1) < Parameters.ONE, "lower rate");
        paidPerVote(id, seq, c.fee);
        uint256 before = free(ownerOf(1));
        acknowledge(id, seq);
        uint256 charge = value(seq) / 50 + (c.atProvidersCost ? 2 * c.fee : 0);
        eq(free(address(audits)), charge, "purse");
        eq(free(ownerOf(1)) - before, value(seq) - value(seq) / 100 - charge, "earned");
        eq(registry.provider(ownerOf(1)).exposure, 0, "no longer exposed");
    }

    function test_feeFollowsTheUnitsThatWereDrawn() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        IAudits.Case memory c = audit(id, seq, false, 0);
        uint256 units = 0;
        uint32[] memory at = positions(id, seq);
        MerkleSum.Leaf[] memory all = leaves(id, seq, false);
        for (uint256 i = 0; i < at.length; ++i) {
            uint256 before = 0;
            for (uint256 j = 0; j < i; ++j) {
                if (at[j] == at[i]) ++before;
            }
            if (before == 0) units += all[at[i]].units;
        }
        eq(c.fee, units * PRICE * 5 / 4, "a quarter more than the provider, each leaf once");
    }

    function test_forgerLosesItsStakeAndItsTasksGoOutAgain() public {
        someAuditors(20, 100 ether);
        uint32 seq = work(id, true);
        uint256 unclaimed = book.job(id).unclaimed;
        uint256 client = free(CLIENT);
        IAudits.Case memory c = audit(id, seq, true, 0);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        eq(c.votes, 6, "two and four agree against the provider");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        eq(book.job(id).unclaimed, unclaimed + 40, "out again");
        eq(registry.provider(ownerOf(1)).stake, 0, "stake");
        eq(registry.provider(ownerOf(1)).exposure, 0, "exposure");
        uint256 purse = free(address(audits));
        ok(purse >= 6 * c.fee && purse < 6 * c.fee + 1e12, "the forger pays its auditors");
        uint256 burned = free(ledger.BURN_ACCOUNT());
        ok(burned >= 500 ether && burned <= 500 ether + 2, "half burned");
        eq(free(CLIENT) - client, 1_000 ether - burned - purse, "the rest to the client");
        eq(book.job(id).escrow, 20_000 ether, "every coin of the job is in its escrow");
        paidPerVote(id, seq, c.fee);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        vm.prank(CLIENT);
        book.acknowledge(id, one(seq));
    }

    /// @dev One wrong leaf of forty: overturned exactly when it is drawn, which happens to some and not to others.
    function test_oneForgedLeafIsFoundExactlyWhenItIsDrawn() public {
        someAuditors(20, 100 ether);
        uint256[2] memory seen;
        for (forgedAt = 0; forgedAt < 16; ++forgedAt) {
            uint32 seq = work(id, true);
            drawn(id, seq);
            if (case_(id, seq).state == IAudits.State.Closed) {
                acknowledge(id, seq);
                continue;
            }
            uint32[] memory at = positions(id, seq);
            bool hit = false;
            for (uint256 i = 0; i < at.length; ++i) {
                hit = hit || at[i] == forgedAt;
            }
            named(id, seq);
            while (case_(id, seq).state != IAudits.State.Closed) {
                stage(id, seq, true, 0);
            }
            IAudits.Outcome outcome = case_(id, seq).outcome;
            ok(outcome == (hit ? IAudits.Outcome.Overturned : IAudits.Outcome.Upheld), "as the draws say");
            ++seen[hit ? 1 : 0];
            if (!hit) {
                acknowledge(id, seq);
                continue;
            }
            fund(ownerOf(1), 1_000 ether);
            vm.prank(ownerOf(1));
            registry.addStake(1_000 ether);
        }
        ok(seen[0] != 0 && seen[1] != 0, "both happened");
    }

    function test_lyingAuditorLosesHalfAndTheProviderNothing() public {
        someAuditors(20, 100 ether);
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        uint256 liar = audits.seat(id, seq, 0).auditor;
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 1 << liar);
        }
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld");
        eq(c.votes, 14, "five of six are a lead of four, so eight more were asked");
        eq(stakeOf(liar), 50 ether, "half");
        eq(free(address(audits)), 25 ether, "half of that to the purse");
        eq(audits.owed(auditorOwner(liar)), 0, "and no fee");
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "stake");
    }

    function test_splitCommitteeDecidesNothingAndPunishesNobody() public {
        someAuditors(16, 100 ether);
        uint32 seq = work(id, false);
        drawn(id, seq);
        named(id, seq);
        // As many lies as truths: no lead of five among fifteen.
        uint256 liars = 0;
        while (case_(id, seq).state != IAudits.State.Closed) {
            liars = balanced(id, seq, liars);
            stage(id, seq, false, liars);
        }
        IAudits.Case memory c = case_(id, seq);
        ok(c.outcome == IAudits.Outcome.Undecided, "undecided");
        eq(c.votes, 15, "a full committee");
        for (uint256 i = 1; i <= 16; ++i) {
            eq(stakeOf(i), 100 ether, "nobody is punished");
        }
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "nobody is punished");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "nor paid");
        paidPerVote(id, seq, 0.01 ether);
    }

    /// @dev Eleven of fifteen votes that stand earn together what the case brings in, not eleven fees.
    function test_noCaseCostsThePurseMoreThanItBrings() public {
        someAuditors(20, 100 ether);
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        uint256 liar = audits.seat(id, seq, 0).auditor;
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 1 << liar);
        }
        IAudits.Case memory c = case_(id, seq);
        (, uint256 charge) = audits.bill(id, seq, value(seq));
        uint256 brings = (c.atProvidersCost ? charge : value(seq) * 2 / 5) + 25 ether;
        uint256 sum = 0;
        for (uint256 i = 1; i <= 20; ++i) {
            sum += audits.owed(auditorOwner(i));
        }
        ok(sum <= brings && sum + 20 > brings, "all that it brings and not more");
        ok(13 * c.fee > brings, "the fees would have been more");
    }

    // ---------------------------------------------------------------- who is silent

    function test_silentProviderIsOverturned() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        drawn(id, seq);
        uint40 deadline = case_(id, seq).deadline;
        vm.expectRevert(abi.encodeWithSelector(IAudits.TooEarly.selector, deadline));
        audits.advance(id, seq);
        vm.warp(deadline + 1);
        uint32[] memory at = positions(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IAudits.TooLate.selector, deadline));
        vm.prank(nodeOf(1));
        audits.name(id, seq, at);
        audits.advance(id, seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Overturned, "overturned");
        eq(registry.provider(ownerOf(1)).stake, 0, "stake");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
    }

    function test_leavesThatAreNotOpenedCostTheSame() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, true);
        named(id, seq);
        commit(id, seq, 0, truth(id, seq));
        commit(id, seq, 1, truth(id, seq));
        is_(seq, IAudits.State.Opening);
        vm.warp(case_(id, seq).deadline + 1);
        audits.advance(id, seq);
        eq(registry.provider(ownerOf(1)).stake, 0, "stake");
        eq(audits.record(1), 0, "record");
        eq(audits.owed(auditorOwner(audits.seat(id, seq, 1).auditor)), 0.01 ether, "the least fee for work done");
    }

    function test_absentAuditorIsReplacedBeforeAnythingIsOpened() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        commit(id, seq, 1, truth(id, seq));
        uint256 absent = audits.seat(id, seq, 0).auditor;
        late(id, seq);
        eq(case_(id, seq).votes, 3, "one more");
        eq(case_(id, seq).claimed, 0, "nothing is open");
        for (uint8 i = 1; i < case_(id, seq).given; ++i) {
            ok(audits.seat(id, seq, i).auditor != absent, "somebody else");
        }
        eq(stakeOf(absent), 100 ether, "whether that counts is not known yet");
        stage(id, seq, false, 0);
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "upheld");
        eq(stakeOf(absent), 100 ether, "it may be that nobody served it the inputs");
        eq(audits.owed(auditorOwner(absent)), 0, "no fee");
    }

    function test_whoDoesNotRevealPaysAndIsReplaced() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        commit(id, seq, 0, LIE);
        commit(id, seq, 1, truth(id, seq));
        opened(id, seq, false);
        reveal(id, seq, 1, truth(id, seq));
        uint256 silent = audits.seat(id, seq, 0).auditor;
        late(id, seq);
        eq(stakeOf(silent), 50 ether, "what a wrong vote costs");
        is_(seq, IAudits.State.Committing);
        eq(case_(id, seq).stage, 1, "second stage");
        stage(id, seq, false, 0);
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "upheld");
    }

    function test_withTooFewAuditorsNothingIsClaimedAndNothingIsPaid() public {
        someAuditors(6, 100 ether);
        eq(audits.room(1), 0, "nobody could be overturned");
        refused(id, IJobBook.Refusal.NoExposure);
        claim(id, 1, 1);
        auditor(7, 100 ether);
        (uint32 seq,,) = claim(id, 1, 40);
        for (uint256 i = 1; i <= 7; ++i) {
            vm.prank(auditorOwner(i));
            auditors.unstake(100 ether);
        }
        eq(auditors.staked(), 0, "all left");
        passSeconds(1);
        submit(id, 1, seq, 200, 0);
        passBlocks(3);
        audits.draw(id, seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "nobody can be drawn");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "not paid");
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "the provider lost nothing");
    }

    function test_excludedStakeDoesNotSwitchAuditsOff() public {
        someAuditors(7, 100 ether);
        fund(CLIENT, 10_000_000 ether);
        vm.prank(CLIENT);
        auditors.join(address(7), 10_000_000 ether);
        fund(ownerOf(1), 10_000_000 ether);
        vm.prank(ownerOf(1));
        auditors.join(address(8), 10_000_000 ether);
        passBlocks(1);
        IAudits.Case memory c = audit(id, work(id, true), true, 0);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned by the others");
        eq(c.votes, 6, "two and four");
        for (uint8 i = 0; i < c.given; ++i) {
            ok(audits.seat(id, 0, i).auditor <= 7, "neither client nor provider");
        }
    }

    function test_everybodyAbsentLeavesTheRangeUnpaid() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        drawn(id, seq);
        named(id, seq);
        for (uint256 i = 0; case_(id, seq).state != IAudits.State.Closed; ++i) {
            ok(i < 16, "ends within the committee");
            late(id, seq);
        }
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "undecided");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "nobody checked it, so it is not paid");
        for (uint256 i = 1; i <= 7; ++i) {
            eq(stakeOf(i), 100 ether, "nobody could have come, as far as anybody can tell");
        }
        // Fifteen least fees, and as much again.
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether - 0.3 ether, "who hands in what nobody can check pays");
        eq(free(address(audits)), 0.15 ether, "the purse");
        eq(free(ledger.BURN_ACCOUNT()), 0.15 ether, "burned");
    }

    // ---------------------------------------------------------------- money

    function test_nothingIsPaidBeforeTheAuditIsOver() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        notPaid(seq);
        drawn(id, seq);
        notPaid(seq);
        named(id, seq);
        notPaid(seq);
        stage(id, seq, false, 0);
        // Upheld: the client need not wait for the window, others must.
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
        vm.warp(block.timestamp + 3600);
        book.settle(id, one(seq));
        ok(book.range(id, seq).state == IJobBook.RangeState.Settled, "paid");
    }

    function notPaid(uint32 seq) internal {
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
    }

    function test_purseOwesWhatItCannotPay() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        IAudits.Case memory c = audit(id, seq, false, 0);
        address who = auditorOwner(audits.seat(id, seq, 0).auditor);
        vm.expectRevert(IAudits.NothingToCollect.selector);
        audits.collect(who);
        acknowledge(id, seq);
        uint256 purse = free(address(audits));
        uint256 due = uint256(c.fee) * audits.seat(id, seq, 0).votes;
        uint256 paid = purse < due ? purse : due;
        eq(audits.collect(who), paid, "as far as it reaches");
        eq(free(who), paid, "free");
        eq(audits.owed(who), due - paid, "still owed");
        eq(free(address(audits)), purse - paid, "purse");
        eq(locked(address(audits)), 0, "nothing stays locked");
    }

    function test_withARecordMostRangesArePaidWithoutADraw() public {
        someAuditors(7, 100 ether);
        uint256 unaudited = 0;
        for (uint256 i = 0; i < 24; ++i) {
            uint32 seq = work(id, false);
            passBlocks(3);
            (bool mayPay,) = audits.bill(id, seq, value(seq));
            if (mayPay) {
                ++unaudited;
                uint256 before = audits.record(1);
                acknowledge(id, seq);
                eq(audits.record(1), before, "what was not audited is not on record");
            } else {
                audit(id, seq, false, 0);
                acknowledge(id, seq);
            }
        }
        ok(audits.rateOf(1) < 900_000_000, "the rate fell");
        ok(unaudited != 0, "some were not audited");
    }

    function test_recordLowersWhatAStakeCarriesInAuditedJobs() public {
        someAuditors(7, 100 ether);
        // A newcomer is always audited, and two thirds of that count: a little less than two stakes.
        uint256 most = 2 * 1_000 ether;
        ok(audits.room(1) < most && audits.room(1) > most - most / 1e8, "two stakes");
        for (uint256 i = 0; i < 3; ++i) {
            uint32 seq = work(id, false);
            audit(id, seq, false, 0);
            acknowledge(id, seq);
        }
        uint256 carried = AuditRules.exposure(1_000 ether, counted(audits.rateOf(1)));
        eq(audits.room(1), carried, "nothing exposed");
        uint32 more = work(id, false);
        eq(audits.room(1), carried - value(more), "less what is exposed");
        // Without a stake worth a case there is no audited work.
        provider(2, 1, 0.99 ether);
        eq(audits.room(2), 0, "below the least stake");
        refused(id, IJobBook.Refusal.NoExposure);
        claim(id, 2, 1);
    }

    /// @dev What was claimed while the stake carried it is audited at the rate that it needs when it is submitted.
    function test_rateIsThatWhichTheExposureNeeds() public {
        someAuditors(7, 100 ether);
        for (uint256 i = 0; i < 3; ++i) {
            uint32 done = work(id, false);
            audit(id, done, false, 0);
            acknowledge(id, done);
        }
        vm.prank(address(bench));
        registry.punish(1, 960_000_000, CLIENT);
        uint256 usual = audits.rateOf(1);
        // It is claimed while there is stake, and submitted without.
        fund(ownerOf(1), 1_000 ether);
        vm.prank(ownerOf(1));
        registry.addStake(960 ether);
        (uint32 seq,,) = claim(id, 1, 40);
        vm.prank(address(bench));
        registry.punish(1, 960_000_000, CLIENT);
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves(id, seq, false));
        vm.prank(nodeOf(1));
        book.submit(id, seq, root, uint64(tally), 0, "content");
        uint256 rate = case_(id, seq).rate;
        ok(rate > usual, "more than the record says");
        ok(rate <= Parameters.ONE, "no oftener than always");
        if (rate == Parameters.ONE) {
            ok(AuditRules.exposure(40 ether, counted(rate)) <= value(seq), "not even that would carry more");
        } else {
            ok(AuditRules.exposure(40 ether, counted(rate)) >= value(seq), "the stake carries it at that rate");
            ok(AuditRules.exposure(40 ether, counted(rate - 2)) <= value(seq), "and at none below");
        }
    }

    /// @dev What of a rate counts where part of the auditors may be bought.
    function counted(uint256 rate) private pure returns (uint256) {
        return rate * Parameters.HONEST_FIRST / Parameters.ONE;
    }

    // ---------------------------------------------------------------- jobs that failures drain

    function test_rejectedFailuresDoNotKeepAJobDraining() public {
        someAuditors(7, 100 ether);
        IJobBook.Terms memory t = book.job(id).terms;
        (t.maxFailures, t.parallelism, t.window) = (5, 1, 3600);
        uint64 other = openJob(t, 1_000 ether);
        (uint32 seq,,) = claim(other, 1, 40);
        submit(other, 1, seq, 10, 6);
        ok(book.job(other).state == IJobBook.JobState.Draining, "too many failures");
        drawn(other, seq);
        vm.warp(case_(other, seq).deadline + 1);
        audits.advance(other, seq);
        ok(book.range(other, seq).state == IJobBook.RangeState.Rejected, "they were claimed only");
        ok(book.job(other).state == IJobBook.JobState.Open, "open again");
        eq(book.job(other).failures, 0, "failures");
    }

    // ---------------------------------------------------------------- what is refused

    function test_termsThatCannotBeAuditedAreRefused() public {
        IJobBook.Terms memory t = book.job(id).terms;
        // Eight tasks at twice their time take an hour.
        (t.rangeTimeout, t.targetSeconds) = (226, 60);
        badTerms(t, IJobBook.Field.RangeTimeout);
        t.rangeTimeout = 225;
        openJob(t, 0);
        // The least fees of a committee are 0.15.
        (t.price, t.unitCap) = (0.01 ether, 14);
        badTerms(t, IJobBook.Field.Price);
        t.audited = false;
        openJob(t, 0);
        (t.audited, t.unitCap) = (true, 15);
        openJob(t, 0);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.open(t, 0);
    }

    function badTerms(IJobBook.Terms memory t, IJobBook.Field field) internal {
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, field));
        vm.prank(CLIENT);
        book.open(t, 0);
    }

    function test_anAnswerOfZeroIsNone() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, false);
        named(id, seq);
        commit(id, seq, 0, 0);
        commit(id, seq, 1, truth(id, seq));
        opened(id, seq, false);
        bytes32 salt = keccak256(abi.encode(SALT, uint256(audits.seat(id, seq, 0).auditor)));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeal.selector, 0));
        audits.reveal(id, seq, 0, 0, salt);
    }

    function test_wrongMovesAreRefused() public {
        someAuditors(7, 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotBench.selector, address(this)));
        audits.submitted(id, 0, 1, 0);
        vm.prank(address(book));
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotBench.selector, address(book)));
        audits.submitted(id, 0, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotBench.selector, address(this)));
        audits.forget(1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotBench.selector, address(this)));
        audits.strike(1, 1);
        vm.startPrank(address(audits));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotJudge.selector, address(audits)));
        book.reject(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotJudge.selector, address(audits)));
        book.unseal(id, 0, LIE);
        vm.stopPrank();
        wrongState(0, IAudits.State.None);
        audits.draw(id, 0);
        wrongState(0, IAudits.State.None);
        audits.advance(id, 0);
        uint32 seq = work(id, false);
        uint64 round = case_(id, seq).round;
        eq(round, block.number + 2, "two blocks later");
        vm.roll(round);
        vm.expectRevert(abi.encodeWithSelector(IAudits.BeaconUnknown.selector, round));
        audits.draw(id, seq);
        drawn(id, seq);
        wrongState(seq, IAudits.State.Naming);
        audits.draw(id, seq);
        uint32[] memory at = positions(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotProvider.selector, address(this)));
        audits.name(id, seq, at);
        at[0] ^= 1;
        vm.startPrank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongPosition.selector, 0));
        audits.name(id, seq, at);
        at[0] ^= 1;
        at[1] = 40;
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongPosition.selector, 1));
        audits.name(id, seq, at);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongCount.selector, 7, 8));
        audits.name(id, seq, new uint32[](7));
        vm.stopPrank();
    }

    /// @dev Who commits has not seen the leaves.
    function staysShut(uint32 seq, IAudits.State state) internal {
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, false);
        wrongState(seq, state);
        audits.open(id, seq, list, proofs);
    }

    function test_wrongCommitmentsAndRevealsAreRefused() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, false);
        staysShut(seq, IAudits.State.Naming);
        named(id, seq);
        staysShut(seq, IAudits.State.Committing);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotSeatHolder.selector, address(this)));
        audits.commit(id, seq, 0, LIE);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeat.selector, 2));
        audits.commit(id, seq, 2, LIE);
        address first = auditorNode(audits.seat(id, seq, 0).auditor);
        vm.expectRevert(IAudits.EmptySeal.selector);
        vm.prank(first);
        audits.commit(id, seq, 0, 0);
        commit(id, seq, 0, truth(id, seq));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeat.selector, 0));
        vm.prank(first);
        audits.commit(id, seq, 0, LIE);
        wrongState(seq, IAudits.State.Committing);
        audits.reveal(id, seq, 0, LIE, SALT);
        staysShut(seq, IAudits.State.Committing);
        commit(id, seq, 1, truth(id, seq));
        // The first one's seal, copied: nobody can open it as its own.
        opened(id, seq, false);
        bytes32 answer_ = truth(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeal.selector, 0));
        audits.reveal(id, seq, 0, answer_, "another salt");
        bytes32 salt = keccak256(abi.encode(SALT, uint256(audits.seat(id, seq, 1).auditor)));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeal.selector, 1));
        audits.reveal(id, seq, 1, LIE, salt);
    }

    function test_openingsMustBeOfTheDrawnLeaves() public {
        someAuditors(7, 100 ether);
        uint32 seq = drawnTwo(id, false);
        // The provider names another leaf for a drawn unit; nobody sees it until it must open it.
        uint32[] memory at = positions(id, seq);
        at[1] = (at[1] + 1) % 40;
        vm.prank(nodeOf(1));
        audits.name(id, seq, at);
        commit(id, seq, 0, LIE);
        commit(id, seq, 1, LIE);
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, false);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotDrawn.selector, 1));
        audits.open(id, seq, list, proofs);
        list[0].units += 1;
        vm.expectPartialRevert(bytes4(keccak256("RootMismatch(bytes32,bytes32)")));
        audits.open(id, seq, list, proofs);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongCount.selector, 0, 8));
        audits.open(id, seq, new MerkleSum.Leaf[](0), proofs);
    }

    function test_plainJobsAreAsTheyWere() public {
        uint64 plain = openJob(terms(), 10 ether);
        (uint32 seq,,) = claim(plain, 1, 8);
        submit(plain, 1, seq, 10, 0);
        acknowledge(plain, seq);
        ok(book.range(plain, seq).state == IJobBook.RangeState.Settled, "paid at once");
        ok(case_(plain, seq).state == IAudits.State.None, "no case");
        eq(free(address(audits)), 0, "no charge");
        vm.prank(address(bench));
        vm.expectPartialRevert(IJobBook.WrongRangeState.selector);
        book.reject(plain, seq);
    }

    // ---------------------------------------------------------------- any sequence

    /// @dev Liars (four of twenty) lie, are absent or silent at random; honest people are on time. No coin appears or disappears,
    /// and as long as the draws give liars no more than a third of a committee, nobody honest loses anything and no forger
    /// is upheld.
    function testFuzz_honestPeopleNeverLose(uint256 seed, bool forged) public {
        someAuditors(PEOPLE, 100 ether);
        vm.roll(1_000 + seed % 1e9);
        uint256 supply = total();
        uint32 seq = work(id, forged);
        drawn(id, seq);
        named(id, seq);
        for (uint256 moves = 0; case_(id, seq).state != IAudits.State.Closed; ++moves) {
            ok(moves < 100, "every case ends");
            IAudits.Case memory c = case_(id, seq);
            for (uint8 i = 0; i < c.given; ++i) {
                seed = uint256(keccak256(abi.encode(seed)));
                if (case_(id, seq).state == c.state) move(seq, c, i, seed);
            }
            if (case_(id, seq).state == IAudits.State.Opening) opened(id, seq, forged);
            c = case_(id, seq);
            if (c.state == IAudits.State.Committing || c.state == IAudits.State.Revealing) {
                if (c.waiting != 0 && !waitsForHonest(seq, c)) {
                    vm.warp(c.deadline + 1);
                    audits.advance(id, seq);
                }
            }
        }
        IAudits.Case memory end = case_(id, seq);
        if (!forged && end.outcome == IAudits.Outcome.Upheld) acknowledge(id, seq);
        eq(total(), supply, "no coin appears or disappears");
        eq(total(), token.balanceOf(address(ledger)), "all of it is there");
        uint256 lies = 0;
        for (uint8 i = 0; i < end.given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            if (s.auditor <= LIARS) lies += s.votes;
        }
        if (lies > Parameters.COMMITTEE / 3) return;
        ok(end.outcome == (forged ? IAudits.Outcome.Overturned : IAudits.Outcome.Upheld), "the truth wins");
        for (uint256 i = 1 + LIARS; i <= PEOPLE; ++i) {
            eq(stakeOf(i), 100 ether, "an honest auditor keeps its stake");
        }
        eq(registry.provider(ownerOf(1)).stake, forged ? 0 : 1_000 ether, "the provider");
    }

    /// @dev Auditors 1 to LIARS are liars.
    function move(uint32 seq, IAudits.Case memory c, uint8 i, uint256 seed) internal {
        IAudits.Seat memory s = audits.seat(id, seq, i);
        if (s.stage != c.stage) return;
        bool liar = s.auditor <= LIARS;
        if (liar && seed % 4 == 0) return;
        bytes32 found = liar ? LIE : truth(id, seq);
        if (c.state == IAudits.State.Committing && s.state == IAudits.SeatState.Drawn) commit(id, seq, i, found);
        if (c.state == IAudits.State.Revealing && s.state == IAudits.SeatState.Committed) reveal(id, seq, i, found);
    }

    function waitsForHonest(uint32 seq, IAudits.Case memory c) internal view returns (bool) {
        for (uint8 i = 0; i < c.given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            if (s.stage != c.stage || s.auditor <= LIARS) continue;
            if (c.state == IAudits.State.Committing && s.state == IAudits.SeatState.Drawn) return true;
            if (c.state == IAudits.State.Revealing && s.state == IAudits.SeatState.Committed) return true;
        }
        return false;
    }

    /// @dev Everybody who can have money here.
    function total() internal view returns (uint256 sum) {
        for (uint256 i = 1; i <= PEOPLE; ++i) {
            sum += free(auditorOwner(i)) + locked(auditorOwner(i));
        }
        address[6] memory others =
            [CLIENT, TREASURY, ownerOf(1), address(audits), ledger.BURN_ACCOUNT(), address(auditors)];
        for (uint256 i = 0; i < others.length; ++i) {
            sum += free(others[i]) + locked(others[i]);
        }
    }
}
