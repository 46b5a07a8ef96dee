// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {Holders} from "../src/Holders.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Kept ranges from their deposit to their settlement.
contract HoldersTest is HoldWorld {
    uint96 internal constant STAKE = 5_000 ether;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, STAKE);
        someAuditors(20, 100 ether);
        id = keptJob(40, DEPOSIT);
    }

    function wrongState(uint32 seq, IHolders.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IHolders.WrongState.selector, id, seq, state));
    }

    // ---------------------------------------------------------------- what happens when all do what they should

    function test_aRangeIsPaidWhenFourOfSevenHoldIt() public {
        uint32 seq = ripe(id);
        ok(!settles(id, seq), "nobody has asked");
        asks(id, seq, MIB);
        stands(id, seq, IHolders.State.Asked);
        isMoney(id, DEPOSIT, cost(FEE));
        ok(!settles(id, seq), "nobody is drawn");
        begun(id, seq);
        stands(id, seq, IHolders.State.Open);
        eq(ask_(id, seq).from, vm.getBlockTimestamp(), "holders may sign from now on");
        uint256[21] memory before;
        for (uint256 n = 1; n <= 20; ++n) {
            before[n] = free(auditorOwner(n));
        }
        uint8[4] memory draws = [6, 0, 3, 2];
        for (uint256 i = 0; i < 4; ++i) {
            ok(!settles(id, seq), "too few");
            before[signs(id, seq, draws[i])] += FEE;
        }
        stands(id, seq, IHolders.State.Held);
        eq(ask_(id, seq).bits, 0x4d, "who has signed");
        eq(ask_(id, seq).until, vm.getBlockTimestamp() + 7 days, "until");
        for (uint256 n = 1; n <= 20; ++n) {
            eq(free(auditorOwner(n)), before[n], "each vote has its fee");
        }
        isMoney(id, DEPOSIT - 4 * FEE, second(4, FEE));
        ok(settles(id, seq), "paid");
        ok(book.range(id, seq).state == IJobBook.RangeState.Settled, "settled");
        wrongState(seq, IHolders.State.Held);
        holders.hold(id, seq, 4);
    }

    function test_inTheSecondHourEightOfFifteenAreNeeded() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 3);
        passSeconds(Parameters.HOLD_TIME);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotAsked.selector, 7));
        holders.hold(id, seq, 7);
        passSeconds(1);
        sign(id, seq, 8, 12);
        stands(id, seq, IHolders.State.Open);
        passSeconds(Parameters.HOLD_TIME - 1);
        signs(id, seq, 14);
        stands(id, seq, IHolders.State.Held);
        isMoney(id, DEPOSIT - 8 * FEE, second(8, FEE));
        ok(settles(id, seq), "paid");
    }

    function test_aClientThatHasItAcknowledgesAndNothingIsSpent() public {
        uint32 seq = ripe(id);
        acknowledge(id, seq);
        isMoney(id, DEPOSIT, 0);
        seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 2);
        acknowledge(id, seq);
        address node = auditorNode(holders.named(id, seq)[2]);
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(IHolders.RangeIsOver.selector, id, seq));
        holders.hold(id, seq, 2);
        holders.fail(id, seq);
        stands(id, seq, IHolders.State.Dropped);
        isMoney(id, DEPOSIT - 2 * FEE, 0);
    }

    function test_theProviderOfAReplicatedRangeAndItsMateArePaidWhenItIsHeld() public {
        IJobBook.Terms memory t = keptTerms(40);
        t.replicas = 2;
        id = keptJobOf(t, 40_000 ether, DEPOSIT);
        mates(id, 3, 2_000 ether);
        (uint32 seq, uint256 mate) = replica(id, false, false);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotPayable.selector, id, seq));
        holders.ask(id, seq, MIB);
        audit(id, seq, false, 0);
        windowOver(id, seq);
        ok(!settles(id, seq), "not held");
        opened(id, seq);
        sign(id, seq, 0, 4);
        uint256 before = free(ownerOf(mate));
        ok(settles(id, seq), "paid");
        uint256 worth = value(id, seq);
        eq(free(ownerOf(mate)) - before, worth - worth / 100 - worth / 50, "the mate");
        ok(book.job(id).terms.kept && book.job(id).terms.replicas == 2, "both are kept in the terms");
    }

    // ---------------------------------------------------------------- what nobody could hold

    function test_aRangeThatNobodyCouldHoldTwiceIsRejectedAndCostsATenth() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 3);
        vm.warp(ask_(id, seq).from + 2 * Parameters.HOLD_TIME);
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, vm.getBlockTimestamp()));
        holders.fail(id, seq);
        sign(id, seq, 8, 12);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Again);
        ok(!settles(id, seq) && !holders.mayPay(id, seq), "not paid");
        eq(uint256(book.range(id, seq).state), uint256(IJobBook.RangeState.Submitted), "nor rejected");
        isMoney(id, DEPOSIT - 7 * FEE, cost(FEE) - 7 * FEE);
        opened(id, seq);
        eq(ask_(id, seq).asked, 2, "asked twice");
        isMoney(id, DEPOSIT - 7 * FEE, cost(FEE) - 7 * FEE);
        (uint256 stake, uint256 mine) = (registry.provider(ownerOf(1)).stake, free(CLIENT));
        (uint256 burned, uint256 worth) = (free(ledger.BURN_ACCOUNT()), value(id, seq));
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        isMoney(id, DEPOSIT - 7 * FEE, 0);
        eq(uint256(book.range(id, seq).state), uint256(IJobBook.RangeState.Rejected), "rejected");
        mine = free(CLIENT) - mine;
        ok(mine >= worth / 20 && mine <= worth / 20 + stake / 1e9, "half of a tenth of its value to the client");
        // Nothing was paid here, so what the purse has is of the cut for the audit.
        uint256 cut = stake - registry.provider(ownerOf(1)).stake - 2 * free(address(audits));
        ok(cut >= worth / 10 && cut <= worth / 10 + stake / 1e9, "a tenth of its value");
        burned = free(ledger.BURN_ACCOUNT()) - burned;
        eq(burned, cut - mine + free(address(audits)), "the other half burned");
        wrongState(seq, IHolders.State.Lost);
        holders.fail(id, seq);
        ok(!holders.mayPay(id, seq), "never paid");
    }

    function test_whatFailedOnceMayBeHeldTheSecondTime() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 3);
        nobodyMore(id, seq);
        uint64 round = ask_(id, seq).round;
        opened(id, seq);
        ok(ask_(id, seq).round != round && ask_(id, seq).bits == 0, "others are drawn");
        sign(id, seq, 0, 4);
        stands(id, seq, IHolders.State.Held);
        isMoney(id, DEPOSIT - 7 * FEE, second(4, FEE));
        ok(settles(id, seq), "paid");
    }

    function test_aBeaconThatNobodyKeptIsAFailedAsk() public {
        uint32 seq = ripe(id);
        asks(id, seq, MIB);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BeaconUnknown.selector, ask_(id, seq).round));
        holders.draw(id, seq);
        passBlocks(300);
        holders.draw(id, seq);
        stands(id, seq, IHolders.State.Again);
        asks(id, seq, MIB);
        passBlocks(300);
        holders.draw(id, seq);
        stands(id, seq, IHolders.State.Lost);
        isMoney(id, DEPOSIT, 0);
        ok(registry.provider(ownerOf(1)).stake < STAKE, "it costs as much");
    }

    function test_whatIsOverCostsNobodyAnything() public {
        uint32[3] memory seqs;
        for (uint256 i = 0; i < 3; ++i) {
            seqs[i] = ripe(id);
        }
        asks(id, seqs[0], MIB);
        asks(id, seqs[1], MIB);
        begun(id, seqs[1]);
        opened(id, seqs[2]);
        nobodyMore(id, seqs[2]);
        for (uint256 i = 0; i < 3; ++i) {
            acknowledge(id, seqs[i]);
            holders.fail(id, seqs[i]);
            stands(id, seqs[i], IHolders.State.Dropped);
            wrongState(seqs[i], IHolders.State.Dropped);
            holders.fail(id, seqs[i]);
        }
        isMoney(id, DEPOSIT, 0);
        eq(registry.provider(ownerOf(1)).stake, STAKE, "nobody is punished");
        uint32 seq = ripe(id);
        asks(id, seq, MIB);
        acknowledge(id, seq);
        passBlocks(300);
        holders.draw(id, seq);
        stands(id, seq, IHolders.State.Dropped);
    }

    function test_whatIsNotOverDoesNotFail() public {
        uint32 seq = ripe(id);
        wrongState(seq, IHolders.State.None);
        holders.fail(id, seq);
        wrongState(seq, IHolders.State.None);
        holders.draw(id, seq);
        wrongState(seq, IHolders.State.None);
        holders.hold(id, seq, 0);
        asks(id, seq, MIB);
        wrongState(seq, IHolders.State.Asked);
        holders.fail(id, seq);
        begun(id, seq);
        wrongState(seq, IHolders.State.Open);
        holders.draw(id, seq);
        nobodyMore(id, seq);
        wrongState(seq, IHolders.State.Again);
        holders.fail(id, seq);
    }

    // ---------------------------------------------------------------- waived

    function test_whereNobodyCanBePaidForHoldingARangeIsPaidWithout() public {
        // For two asks of the largest size, or six of this one.
        id = keptJob(40, uint96(2 * cost(MAX_FEE)));
        uint32 seq = ripe(id);
        uint32 other = ripe(id);
        ok(!holders.mayPay(id, seq) && !settles(id, seq), "it can be held");
        asks(id, seq, MIB);
        ok(!holders.mayPay(id, other) && !settles(id, other), "so can the other one");
        vm.prank(CLIENT);
        holders.close(id);
        ok(holders.mayPay(id, other), "nothing is left for this one");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.IsWaived.selector, id, other));
        holders.ask(id, other, 1);
        ok(settles(id, other), "paid");
        ok(!settles(id, seq), "not the one that was asked for");
        begun(id, seq);
        nobodyMore(id, seq);
        ok(!settles(id, seq), "nor when it has failed once");
        asks(id, seq, MIB);
        begun(id, seq);
        sign(id, seq, 0, 4);
        ok(settles(id, seq), "held");
    }

    function test_aClientMayTakeBackWhatIsFreeAndMoreMayBeAdded() public {
        uint32 seq = ripe(id);
        uint32 other = ripe(id);
        asks(id, seq, MIB);
        uint256 before = free(CLIENT);
        vm.prank(CLIENT);
        eq(holders.close(id), DEPOSIT - cost(FEE), "what is free");
        eq(free(CLIENT) - before, DEPOSIT - cost(FEE), "comes back");
        isMoney(id, cost(FEE), cost(FEE));
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NothingFree.selector, id));
        holders.close(id);
        ok(holders.mayPay(id, other), "nothing is left");
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.NoExposure);
        book.claim(id, 40, 0);
        // For what is out, which counts whether it was asked for or not, and for one more.
        fund_(id, uint96(3 * cost(MAX_FEE)));
        ok(!holders.mayPay(id, other), "there is something again");
        (uint32 next,,) = claim(id, 1, 40);
        ok(next > other, "work goes on");
        begun(id, seq);
        sign(id, seq, 0, 4);
        vm.prank(CLIENT);
        eq(holders.close(id), 15 * FEE + 3 * cost(MAX_FEE), "the rest");
        eq(lockedByHolders(), second(4, FEE) + forInputs[id], "nothing but what holders may still earn");
        address[2] memory others = [ownerOf(1), nodeOf(1)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IHolders.NotClient.selector, id, others[i]));
            holders.close(id);
        }
    }

    // ---------------------------------------------------------------- deposits

    function test_nothingIsAskedForBeforeThePricesAreKnown() public {
        id = openJob(keptTerms(40), 20_000 ether);
        eq(bench.room(id, 1, 5), 0, "no room");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotKept.selector, id));
        holders.ask(id, 0, 1);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotKept.selector, id));
        holders.ask(id, INPUTS, 1);
        ok(holders.mayPay(id, 0), "nothing is to be held");
    }

    function test_pricesStayAsTheyAre() public {
        IHolders.Prices[4] memory others = [prices(), prices(), prices(), prices()];
        others[0].maxMib = 101;
        others[1].perMib -= 1;
        others[2].perMibDay += 1;
        others[3].keepSeconds -= 1;
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(CLIENT);
            vm.expectRevert(abi.encodeWithSelector(IHolders.PricesAreFixed.selector, id));
            holders.fund(id, others[i], DEPOSIT);
        }
        fund_(id, 1);
        isMoney(id, uint256(DEPOSIT) + 1, 0);
    }

    function test_pricesHaveLimits() public {
        id = openJob(keptTerms(40), 20_000 ether);
        IHolders.Prices[4] memory bad = [prices(), prices(), prices(), prices()];
        bad[0].maxMib = 0;
        bad[1].keepSeconds = 0;
        bad[2].keepSeconds = uint32(Parameters.MAX_KEEP) + 1;
        bad[3].maxMib = (4 << 10) + 1;
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(CLIENT);
            vm.expectRevert(IHolders.BadPrices.selector);
            holders.fund(id, bad[i], DEPOSIT);
        }
        uint256 least = cost(MAX_FEE);
        uint96[2] memory few = [uint96(0), uint96(least - 1)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(CLIENT);
            vm.expectRevert(abi.encodeWithSelector(IHolders.BadFunds.selector, few[i], least));
            holders.fund(id, prices(), few[i]);
        }
        eq(keep(id).maxMib, 0, "nothing has happened");
        // However dear: a sum that fits no deposit is said to be one.
        bad[2] = IHolders.Prices(4 << 10, type(uint96).max, type(uint96).max, uint32(Parameters.MAX_KEEP));
        vm.prank(CLIENT);
        vm.expectPartialRevert(IHolders.BadFunds.selector);
        holders.fund(id, bad[2], type(uint96).max);
        bad[0] = IHolders.Prices(1, 0, 0, 1);
        vm.prank(CLIENT);
        holders.fund(id, bad[0], 0.185 ether);
        eq(holders.feeFor(id, 1), 0.005 ether, "half of the least fee");
        eq(holders.costFor(id, 1), 0.185 ether, "of both asks, the second halves, and who looks");
    }

    function test_onlyTheClientOfAKeptJobFunds() public {
        vm.prank(ownerOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotClient.selector, id, ownerOf(1)));
        holders.fund(id, prices(), DEPOSIT);
        uint64 plain = audited(40);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotKept.selector, plain));
        holders.fund(plain, prices(), DEPOSIT);
        vm.prank(CLIENT);
        book.cancel(id);
        book.finish(id);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotKept.selector, id));
        holders.fund(id, prices(), DEPOSIT);
        vm.prank(CLIENT);
        eq(holders.close(id), DEPOSIT, "what is left");
        eq(lockedByHolders(), forInputs[id], "but for who holds its inputs");
    }

    function test_onlyAuditedJobsAreKept() public {
        IJobBook.Terms memory t = keptTerms(40);
        t.audited = false;
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, IJobBook.Field.Kept));
        book.open(t, 0);
        ok(book.job(id).terms.kept && book.job(id).terms.audited, "in the terms");
        ok(!book.job(audited(40)).terms.kept, "others are not");
    }

    // ---------------------------------------------------------------- asks

    function test_askedIsForWhatCouldBePaidOtherwise() public {
        uint32 seq = work(id, false);
        bytes memory no = abi.encodeWithSelector(IHolders.NotPayable.selector, id, seq);
        windowOver(id, seq);
        vm.startPrank(nodeOf(1));
        vm.expectRevert(no);
        holders.ask(id, seq, MIB);
        vm.stopPrank();
        uint32 young = work(id, false);
        audit(id, young, false, 0);
        vm.warp(book.range(id, young).at + 3599);
        vm.startPrank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotPayable.selector, id, young));
        holders.ask(id, young, MIB);
        vm.warp(book.range(id, young).at + 3600);
        holders.ask(id, young, MIB);
        wrongState(young, IHolders.State.Asked);
        holders.ask(id, young, MIB);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotPayable.selector, id, 99));
        holders.ask(id, 99, MIB);
        vm.stopPrank();
        acknowledge(id, young);
        vm.prank(nodeOf(1));
        wrongState(young, IHolders.State.Asked);
        holders.ask(id, young, MIB);
    }

    function test_theProviderStatesTheSizeAndTheClientPaysForNotKnowingIt() public {
        provider(2, 1, 100 ether);
        uint32 seq = ripe(id);
        address[3] memory others = [nodeOf(2), ownerOf(1), auditorNode(1)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IHolders.NotYours.selector, others[i]));
            holders.ask(id, seq, 100);
        }
        uint32[2] memory bad = [uint32(0), 101];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(nodeOf(1));
            vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, bad[i], 100));
            holders.ask(id, seq, bad[i]);
        }
        vm.warp(book.range(id, seq).at + 3600 + Parameters.ASK_FIRST);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, 99, 100));
        holders.ask(id, seq, 99);
        vm.prank(CLIENT);
        holders.ask(id, seq, 100);
        isMoney(id, DEPOSIT, cost(MAX_FEE));
        begun(id, seq);
        nobodyMore(id, seq);
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, 101, 100));
        holders.ask(id, seq, 101);
        asks(id, seq, 100);
        begun(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
    }

    // ---------------------------------------------------------------- holders

    function test_holdersAreWhomTheBeaconDraws() public {
        uint32 seq = ripe(id);
        eq(holders.named(id, seq).length, 0, "nobody");
        asks(id, seq, MIB);
        eq(holders.named(id, seq).length, 0, "not known yet");
        begun(id, seq);
        bytes32 seed = Draw.seedOf(randomness.value(ask_(id, seq).round), id, seq, 0);
        uint32[] memory numbers = auditors.drawn(seed, 4, 0, 15, new uint32[](0), book.range(id, seq).at - 1);
        uint32[] memory named_ = holders.named(id, seq);
        eq(named_.length, 15, "draws");
        for (uint256 i = 0; i < 15; ++i) {
            eq(named_[i], numbers[i], "who is drawn");
        }
        address node = auditorNode(named_[0] == 1 ? 2 : 1);
        vm.startPrank(node);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotHolder.selector, node));
        holders.hold(id, seq, 0);
        vm.stopPrank();
        signs(id, seq, 0);
        vm.prank(auditorNode(named_[0]));
        vm.expectRevert(abi.encodeWithSelector(IHolders.SignedAlready.selector, 0));
        holders.hold(id, seq, 0);
        passSeconds(Parameters.HOLD_TIME + 1);
        vm.prank(auditorNode(named_[0]));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotAsked.selector, 15));
        holders.hold(id, seq, 15);
        passSeconds(Parameters.HOLD_TIME);
        vm.prank(auditorNode(named_[1]));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotAsked.selector, 1));
        holders.hold(id, seq, 1);
    }

    /// @dev They are auditors with nearly all of the stake, and are not drawn.
    function test_providerAndClientDoNotHoldTheirOwn() public {
        address[2] memory own = [ownerOf(1), CLIENT];
        for (uint256 i = 0; i < 2; ++i) {
            fund(own[i], 100_000 ether);
            vm.prank(own[i]);
            auditors.join(own[i], 100_000 ether);
            passSeconds(1);
        }
        uint32 seq = ripe(id);
        opened(id, seq);
        uint32[] memory named_ = holders.named(id, seq);
        for (uint256 i = 0; i < 15; ++i) {
            ok(named_[i] != 0 && named_[i] <= 20, "somebody else");
        }
    }

    function test_whoHasNothingAtStakeHasNoVote() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        uint32 number = holders.named(id, seq)[0];
        vm.prank(address(audits));
        auditors.punish(number, Parameters.ONE, CLIENT);
        vm.prank(auditorNode(number));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NothingAtStake.selector, number));
        holders.hold(id, seq, 0);
    }

    function test_whoJoinsLaterIsNotDrawn() public {
        uint32 seq = ripe(id);
        asks(id, seq, MIB);
        passBlocks(3);
        uint32[] memory before = holders.named(id, seq);
        auditor(21, 100_000 ether);
        holders.draw(id, seq);
        uint32[] memory after_ = holders.named(id, seq);
        for (uint256 i = 0; i < 15; ++i) {
            eq(before[i], after_[i], "who is drawn");
        }
    }

    function test_anAuditorSaysWhereItServes() public {
        vm.prank(auditorNode(3));
        holders.announce(3, hex"c0ffee");
        vm.prank(auditorNode(3));
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadContact.selector, 257));
        holders.announce(3, new bytes(257));
        vm.prank(auditorNode(3));
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotHolder.selector, auditorNode(3)));
        holders.announce(4, hex"c0ffee");
    }

    // ---------------------------------------------------------------- deployment

    function test_construction() public {
        Holders.Deployment memory d =
            Holders.Deployment(bench, book, registry, auditors, audits, ledger, randomness, address(spots), SMALL);
        // This ledger grants it nothing.
        ok(created("Holders", abi.encode(d)) == address(0), "no grant");
        d.ledger = ledgerOfNext(CAP + 1);
        ok(created("Holders", abi.encode(d)) == address(0), "more than 96 bits");
        d.ledger = ledgerOfNext(CAP);
        address next = created("Holders", abi.encode(d));
        ok(next != address(0), "with all");
        for (uint256 i = 0; i < 8; ++i) {
            address[9] memory parts = [
                address(bench),
                address(book),
                address(registry),
                address(auditors),
                address(audits),
                address(ledgerOfNext(CAP)),
                address(randomness),
                address(spots),
                address(uint160(SMALL))
            ];
            parts[i] = address(0);
            ok(created("Holders", abi.encode(parts)) == address(0), "without one");
        }
    }

    // ---------------------------------------------------------------- money

    /// @dev The largest content of a range that there is is asked for and held like any other.
    function test_rangesAreAsLargeAsTheyMayBe() public {
        id = openJob(keptTerms(40), 20_000 ether);
        IHolders.Prices memory largest = prices();
        largest.maxMib = 4 << 10;
        vm.prank(CLIENT);
        holders.fund(id, largest, 10_000 ether);
        eq(keep(id).maxMib, 4_096, "MiB");
        askInputs(id, 1);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 4);
        uint32 seq = ripe(id);
        asks(id, seq, 4_096);
        begun(id, seq);
        sign(id, seq, 0, 4);
        ok(settles(id, seq), "held");
    }

    /// @dev Whatever happens, and in whatever order: a deposit is what was funded less fees less what came back, to
    /// the unit, and in the end nothing of it is reserved.
    function testFuzz_depositsAreFeesAndRefunds(uint256 luck) public {
        uint256 others = DEPOSIT + forInputs[id];
        uint256 funded = 3 * cost(MAX_FEE) + 40 ether;
        id = keptJob(20, uint96(funded));
        uint256 theirs = auditorsMoney();
        uint256 refunds = 0;
        uint32[3] memory seqs;
        for (uint256 i = 0; i < 3; ++i) {
            seqs[i] = ripe(id);
        }
        // Audits are paid out of the purse when they are collected, and they are not.
        eq(auditorsMoney(), theirs, "nobody has collected");
        uint256 mine = free(CLIENT);
        for (uint256 step = 0; step < 12; ++step) {
            luck = uint256(keccak256(abi.encode(luck)));
            does(seqs[luck % 3], luck >> 8);
            if (luck >> 128 & 7 == 0) refunds += closes();
            isWhole(seqs, others);
        }
        for (uint256 i = 0; i < 3; ++i) {
            ends(seqs[i], luck >> 16 * i);
        }
        isMoney(id, keep(id).deposit - forInputs[id], 0);
        refunds += closes();
        eq(funded, auditorsMoney() - theirs + refunds, "fees and refunds");
        eq(lockedByHolders(), others + forInputs[id], "the other job's, and what is for the inputs");
        ok(free(CLIENT) >= mine + refunds, "it has them");
    }

    function auditorsMoney() internal view returns (uint256 sum) {
        for (uint256 n = 1; n <= 20; ++n) {
            sum += free(auditorOwner(n));
        }
    }

    function closes() internal returns (uint256) {
        if (keep(id).deposit == keep(id).reserved) return 0;
        vm.prank(CLIENT);
        return holders.close(id);
    }

    /// @dev What is locked is what is left, and what is reserved is what open asks, and who holds, may still cost.
    function isWhole(uint32[3] memory seqs, uint256 others) internal view {
        uint256 reserved = forInputs[id];
        for (uint256 i = 0; i < 3; ++i) {
            IHolders.Ask memory a = ask_(id, seqs[i]);
            uint256 fee = holders.feeFor(id, a.mib);
            if (a.state == IHolders.State.Held) reserved += second(a.votes, fee);
            if (a.state == IHolders.State.None || a.state >= IHolders.State.Held) continue;
            reserved += cost(fee) - (uint256(a.spent) + a.votes) * fee;
        }
        eq(keep(id).reserved, reserved, "reserved");
        ok(keep(id).reserved <= keep(id).deposit, "it is there");
        eq(lockedByHolders(), others + keep(id).deposit, "locked");
    }

    /// @dev Somebody does the next thing with an ask, or its range is over.
    function does(uint32 seq, uint256 luck) internal {
        IHolders.State state = ask_(id, seq).state;
        bool submitted = book.range(id, seq).state == IJobBook.RangeState.Submitted;
        if (submitted && luck & 15 == 0) return acknowledge(id, seq);
        if (submitted && luck & 15 == 1) return void(settles(id, seq));
        if (state == IHolders.State.None || state == IHolders.State.Again) {
            if (!submitted || state == IHolders.State.None && holders.mayPay(id, seq)) return;
            // The second time as large as the first, or smaller.
            uint256 most = state == IHolders.State.Again ? ask_(id, seq).mib : 100;
            return asks(id, seq, uint32(luck & 64 == 0 ? most : 1 + (luck >> 8) % most));
        }
        if (state == IHolders.State.Asked) {
            passBlocks(luck & 64 == 0 ? 3 : 300);
            return holders.draw(id, seq);
        }
        if (state != IHolders.State.Open) return;
        if (!submitted) return holders.fail(id, seq);
        if (luck & 32 == 0) passSeconds(Parameters.HOLD_TIME);
        if (vm.getBlockTimestamp() > ask_(id, seq).from + 2 * Parameters.HOLD_TIME) return holders.fail(id, seq);
        for (uint8 i = 0; i < 15; ++i) {
            bool first = vm.getBlockTimestamp() <= ask_(id, seq).from + Parameters.HOLD_TIME;
            if (ask_(id, seq).state != IHolders.State.Open || first && i >= 7) return;
            if (luck >> (32 + i) & 1 == 1 && ask_(id, seq).bits >> i & 1 == 0) signs(id, seq, i);
        }
    }

    function ends(uint32 seq, uint256 luck) internal {
        if (book.range(id, seq).state == IJobBook.RangeState.Submitted) acknowledge(id, seq);
        IHolders.State state = ask_(id, seq).state;
        bool isOpen = state != IHolders.State.None && state < IHolders.State.Held;
        if (isOpen) holders.fail(id, seq);
        if (state == IHolders.State.Held) lookedAt(seq, luck);
    }

    /// @dev Some look at who holds a range, and see some of them.
    function lookedAt(uint32 seq, uint256 luck) internal {
        IHolders.Ask memory a = ask_(id, seq);
        if (vm.getBlockTimestamp() <= a.until) vm.warp(a.until + 1);
        if (luck & 1 == 0 && vm.getBlockTimestamp() <= a.until + Parameters.SPOT_DUE) {
            looks(id, seq);
            for (uint8 i = 0; i < 7; ++i) {
                if (luck >> i & 2 != 0) spotted(id, seq, i, uint16(luck >> 8) & a.bits);
            }
        }
        if (spots.spotOf(id, seq).state == ISpots.SpotState.Over) return;
        passSeconds(Parameters.SPOT_DUE + Parameters.SPOT_TIME + 1);
        spots.conclude(id, seq);
    }

    function void(bool) internal pure {}
}
