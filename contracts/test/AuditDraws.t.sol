// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Nobody who knows the beacon, or chooses when to call, changes who is drawn. Every attack plays the same case twice from the
/// same state, once as it is and once attacked, up to a full committee, and compares all seats.
contract AuditDrawsTest is AuditWorld {
    uint256 internal constant PEOPLE = 20;
    uint256 internal constant RICH = 1_000_000 ether;

    uint64 internal id;
    uint32 internal seq;
    uint256 internal joined = PEOPLE;
    uint256 internal seed;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 1_000 ether);
        someAuditors(PEOPLE, 100 ether);
        id = audited(40);
        seq = work(id, false);
        // A gentle start for those who are moved about below.
        for (uint256 n = 1; n <= PEOPLE; ++n) {
            fund(auditorOwner(n), 10_000 ether);
        }
    }

    function join(address owner, uint128 stake) internal {
        fund(owner, stake);
        vm.prank(owner);
        auditors.join(owner, stake);
        ++joined;
    }

    function leave(uint256 n) internal {
        uint128 stake = auditors.auditor(uint32(n)).stake;
        vm.prank(auditorOwner(n));
        auditors.unstake(stake);
    }

    function add(uint256 n, uint128 amount) internal {
        vm.prank(auditorOwner(n));
        auditors.addStake(amount);
    }

    /// @dev One call of somebody who wants other people to be drawn.
    function meddle() internal {
        seed = uint256(keccak256(abi.encode(seed)));
        uint256 who = 1 + (seed >> 8) % PEOPLE;
        uint128 active = auditors.auditor(uint32(who)).stake;
        if (seed % 5 == 0) {
            join(address(uint160(0xF0000 + joined)), uint128(10 ether + (seed >> 16) % RICH));
        } else if (seed % 5 == 1 && active != 0) {
            leave(who);
        } else if (seed % 5 == 2) {
            add(who, uint128(10 ether + (seed >> 16) % 90 ether));
        } else if (seed % 5 == 3) {
            vm.prank(address(audits));
            auditors.punish(uint32(who), Parameters.WRONG_AUDIT, address(audits));
        } else {
            passSeconds((seed >> 16) % 60);
        }
    }

    /// @dev Plays the case to its end, meddling `times` before every stage. Lies and truths are told so that neither gets far ahead.
    /// Returns who sat where with how many votes.
    function play(uint256 times) internal returns (uint32[] memory seats) {
        audits.draw(id, seq);
        named(id, seq);
        uint256 liars = 0;
        while (case_(id, seq).state != IAudits.State.Closed) {
            for (uint256 i = 0; i < times; ++i) {
                meddle();
            }
            liars = balanced(id, seq, liars);
            stage(id, seq, false, liars);
        }
        IAudits.Case memory c = case_(id, seq);
        ok(c.votes >= 14, "all stages");
        seats = new uint32[](2 * uint256(c.given));
        for (uint8 i = 0; i < c.given; ++i) {
            IAudits.Seat memory s = audits.seat(id, seq, i);
            (seats[2 * i], seats[2 * i + 1]) = (s.auditor, s.votes);
        }
    }

    function worth(uint32 other) internal view returns (uint256) {
        IJobBook.Range memory r = book.range(id, other);
        return uint256(r.units) * r.price;
    }

    function same(uint32[] memory one_, uint32[] memory other) internal pure {
        eq(keccak256(abi.encode(one_)), keccak256(abi.encode(other)), "the same people in the same seats");
    }

    function afterTheBeacon() internal {
        passBlocks(3);
        ok(randomness.value(case_(id, seq).round) != 0, "everybody can reckon what it draws");
    }

    /// @dev What the case draws when nobody meddles; the state is as it was afterwards.
    function undisturbed() internal returns (uint32[] memory seats) {
        uint256 state = vm.snapshotState();
        seats = play(0);
        ok(vm.revertToState(state), "back");
    }

    // ---------------------------------------------------------------- the beacon is known

    function test_stakeThatComesForTheDrawIsNotDrawn() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        join(address(0xF0000), uint128(RICH));
        add(7, 10_000 ether);
        same(play(0), seats);
    }

    function test_whoLeavesIsDrawnAllTheSame() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        uint256 state = vm.snapshotState();
        for (uint256 n = 1; n <= PEOPLE; ++n) {
            leave(n);
        }
        eq(auditors.total(), 0, "nobody is on the line any more");
        same(play(0), seats);
        ok(vm.revertToState(state), "back");
        // The same, but the first one who left does not come: its vote is taken by the next draw.
        leave(seats[0]);
        audits.draw(id, seq);
        named(id, seq);
        eq(case_(id, seq).given, 2, "two people");
        commit(id, seq, 1, truth(id, seq));
        late(id, seq);
        ok(audits.seat(id, seq, 2).auditor != seats[0], "somebody else");
        stage(id, seq, false, 0);
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "upheld by those who came");
        eq(auditors.auditor(seats[0]).leaving, 100 ether, "an absence costs nothing where nobody holds the inputs");
    }

    function test_stakeThatIsMovedAndMovedBackChangesNothing() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        // What steered draws when the line was read as it is: a little stake, another line; try, and try again.
        for (uint128 i = 1; i <= 8; ++i) {
            uint256 state = vm.snapshotState();
            add(1, i * 1 ether);
            same(play(0), seats);
            ok(vm.revertToState(state), "back");
        }
    }

    function test_clientAndProviderWhoJoinForItChangeNothing() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        join(CLIENT, uint128(RICH));
        join(ownerOf(1), uint128(RICH));
        same(play(0), seats);
    }

    function test_punishedElsewhereChangesNothing() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        for (uint32 n = 1; n <= 10; ++n) {
            vm.prank(address(audits));
            auditors.punish(n, Parameters.WRONG_AUDIT, address(audits));
        }
        same(play(0), seats);
    }

    function test_waitingChangesNothing() public {
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        randomness.note(case_(id, seq).round);
        passBlocks(100_000);
        same(play(0), seats);
    }

    // ---------------------------------------------------------------- the beacon is not known yet

    /// @dev The line is that of the second before the submission, so what happens in its block does not count either.
    function test_theBlockOfTheSubmissionIsTooLate() public {
        uint256 state = vm.snapshotState();
        afterTheBeacon();
        uint32[] memory seats = play(0);
        ok(vm.revertToState(state), "back");
        join(address(0xF0000), uint128(RICH));
        leave(3);
        afterTheBeacon();
        same(play(0), seats);
    }

    function test_aRoundThatMovedDrawsFromTheSameLine() public {
        passBlocks(300);
        audits.draw(id, seq);
        ok(randomness.lapses(case_(id, seq).round) == 1, "moved");
        afterTheBeacon();
        uint32[] memory seats = undisturbed();
        join(address(0xF0000), uint128(RICH));
        leave(seats[0]);
        same(play(0), seats);
    }

    // ---------------------------------------------------------------- any moves at any time

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_noSequenceOfMovesChangesADraw(uint256 seed_, uint8 sooner, uint8 later) public {
        seed = seed_;
        uint256 state = vm.snapshotState();
        afterTheBeacon();
        uint32[] memory seats = play(0);
        ok(vm.revertToState(state), "back");
        for (uint256 i = 0; i < sooner % 8; ++i) {
            meddle();
        }
        afterTheBeacon();
        for (uint256 i = 0; i < later % 8; ++i) {
            meddle();
        }
        same(play(later % 3), seats);
    }

    // ---------------------------------------------------------------- rounds that nobody kept

    function test_rangePaidWithoutADrawIsNeverAuditedLater() public {
        uint32 other;
        for (uint256 i = 0; i < 40; ++i) {
            other = work(id, false);
            passBlocks(3);
            (bool mayPay,) = audits.bill(id, other, worth(other));
            if (mayPay) break;
            audit(id, other, false, 0);
            acknowledge(id, other);
        }
        acknowledge(id, other);
        ok(case_(id, other).state == IAudits.State.Submitted, "state of the case");
        passBlocks(300);
        audits.draw(id, other);
        ok(case_(id, other).outcome == IAudits.Outcome.Unaudited, "paid is paid");
        eq(randomness.lapses(case_(id, other).round), 0, "no new round for it");
    }

    function test_lapsedRoundIsAuditedWhateverItSays() public {
        // A record, so that some ranges would not be audited.
        for (uint256 i = 0; i < 12; ++i) {
            uint32 done = work(id, false);
            audit(id, done, false, 0);
            acknowledge(id, done);
        }
        bool wouldBePaid = false;
        for (uint256 i = 0; i < 6; ++i) {
            uint32 other = work(id, false);
            passBlocks(300);
            audits.draw(id, other);
            ok(case_(id, other).state == IAudits.State.Submitted, "state of the case");
            uint64 round = case_(id, other).round;
            eq(randomness.lapses(round), 1, "moved, and it stays moved");
            vm.expectRevert(abi.encodeWithSelector(IAudits.BeaconUnknown.selector, round));
            audits.draw(id, other);
            passBlocks(3);
            (bool mayPay,) = audits.bill(id, other, worth(other));
            ok(!mayPay, "not paid without an audit");
            bytes32 laterSeed = Draw.seedOf(randomness.value(round), id, other, 0);
            if (AuditRules.decide(laterSeed, case_(id, other).rate) == AuditRules.Decision.Unaudited) {
                wouldBePaid = true;
            }
            audits.draw(id, other);
            ok(case_(id, other).state == IAudits.State.Naming, "state of the case");
            ok(case_(id, other).atProvidersCost, "waiting is at the provider's cost");
            named(id, other);
            stage(id, other, false, 0);
            acknowledge(id, other);
        }
        ok(wouldBePaid, "the later value would have spared one");
    }

    function test_roundLostTwiceEndsTheCaseWithoutPay() public {
        passBlocks(300);
        audits.draw(id, seq);
        passBlocks(300);
        audits.draw(id, seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "nobody can have it drawn again");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "not paid");
        eq(registry.provider(ownerOf(1)).exposure, 0, "nothing stays behind");
    }

    /// @dev Otherwise a forger would let every bad draw lapse and keep the record of its good ones.
    function test_roundLostTwiceCostsTheRecord() public {
        uint32 done = work(id, false);
        audit(id, done, false, 0);
        acknowledge(id, done);
        ok(audits.record(1) != 0, "a record");
        uint32 other = work(id, true);
        passBlocks(300);
        audits.draw(id, other);
        ok(audits.record(1) != 0, "it has only moved");
        passBlocks(300);
        audits.draw(id, other);
        eq(audits.record(1), 0, "no record any more");
        eq(audits.rateOf(1), Parameters.ONE, "audited like a newcomer");
    }

    // ---------------------------------------------------------------- who may not vote any more

    function test_whoHasNothingToLoseHasNoVote() public {
        afterTheBeacon();
        audits.draw(id, seq);
        named(id, seq);
        uint32 broke = audits.seat(id, seq, 0).auditor;
        vm.prank(address(audits));
        auditors.punish(broke, Parameters.ONE, address(audits));
        bytes32 sealed_ = seal(id, seq, broke, LIE);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NothingAtStake.selector, broke));
        vm.prank(auditorNode(broke));
        audits.commit(id, seq, 0, sealed_);
        // With something to lose it has one again.
        add(broke, 10 ether);
        commit(id, seq, 0, truth(id, seq));
    }

    /// @dev Later, those who were on the line may have taken out their stake: nobody is asked, and nobody is paid.
    function test_aDrawThatComesTooLateEndsTheCase() public {
        afterTheBeacon();
        randomness.note(case_(id, seq).round);
        uint256 last = book.range(id, seq).at + Parameters.DRAW_TIME;
        uint256 state = vm.snapshotState();
        vm.warp(last);
        audits.draw(id, seq);
        ok(case_(id, seq).state == IAudits.State.Naming, "just in time");
        ok(vm.revertToState(state), "back");
        vm.warp(last + 1);
        audits.draw(id, seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "nobody is asked any more");
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "not paid");
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "the provider lost nothing");
    }

    // ---------------------------------------------------------------- how long all of it may last

    /// @dev Whoever may have to pay at the end of a case, and whoever must have the inputs then, is bound from before it begins: of a
    /// dispute and the audit that follows it, too.
    function test_noCaseOutlivesWhatAnswersForIt() public view {
        // Fifteen people, one after the other.
        uint256 votes = Parameters.COMMITTEE * (Parameters.COMMIT_TIME + Parameters.REVEAL_TIME);
        // In a dispute nothing is named or opened.
        ok(Parameters.DISPUTE_DRAW_TIME + votes < Parameters.DRAW_TIME, "the audit after a dispute can be drawn");
        uint256 longest = Parameters.DRAW_TIME + Parameters.NAME_TIME + Parameters.OPEN_TIME + votes;
        ok(longest < Parameters.THAWING, "stake that leaves after a submission is there until the end");
        // From the claim on the provider's stake carries the range.
        uint256 range = Parameters.COMMIT_TIME / Parameters.SAMPLES / Parameters.SLOWNESS;
        uint256 unbonding = registry.UNBONDING();
        ok(range + longest < unbonding, "so is a provider's that leaves after its claim");
        ok(
            range + longest < Parameters.INPUTS_AFTER,
            "inputs are kept until the end for a range claimed at the deadline"
        );
        uint256 window = book.MAX_WINDOW();
        ok(window + book.MAX_RANGE_TIMEOUT() < unbonding, "a plain range is settled while the stake is there");
        // Whoever withholds a kept range has something to lose when its second ask fails, though its client asks both times.
        uint256 asks = Parameters.HOLD_ASKS * (Parameters.ASK_FIRST + 2 * Parameters.HOLD_TIME);
        ok(range + window + asks < unbonding, "a provider's stake is there for what its range is not held");
        ok(window + asks < Parameters.THAWING, "and auditors' that are drawn to hold it");
        // The audit may end long after the window.
        ok(range + longest + asks < unbonding, "so is a provider's after the longest case");
        ok(longest + asks < Parameters.THAWING, "and auditors'");
    }
}
