// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {Vm} from "./T.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook, IJobCallback} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev Takes no coins, and would like to be called.
contract Stubborn {
    receive() external payable {
        revert("no coins");
    }
}

/// @dev A client whose job tells it that it is done: it tries to be paid out of it a second time.
contract Greedy is IJobCallback {
    IJobBook internal immutable BOOK;
    ILedger internal immutable LEDGER;
    uint256 public refused;

    constructor(IJobBook book, ILedger ledger) {
        (BOOK, LEDGER) = (book, ledger);
    }

    function open(IJobBook.Terms calldata terms, uint128 funds) external {
        BOOK.open(terms, funds);
    }

    function onJobDone(uint64 id, bytes32) external {
        uint32[] memory seqs = new uint32[](1);
        try BOOK.finish(id) {}
        catch {
            ++refused;
        }
        try BOOK.cancel(id) {}
        catch {
            ++refused;
        }
        try BOOK.acknowledge(id, seqs) {}
        catch {
            ++refused;
        }
        try BOOK.settle(id, seqs) {}
        catch {
            ++refused;
        }
        // What was its own is its own, in the middle of this call, too.
        LEDGER.withdraw(LEDGER.account(address(this)).free);
    }
}

/// @dev What somebody who means harm may try where money is: each test is a suspicion that came to nothing.
contract HostileMoneyTest is Network {
    bytes internal constant OVERFLOW = abi.encodeWithSignature("Panic(uint256)", 0x11);

    function plain() internal view returns (IJobBook.Terms memory t) {
        t = terms();
        (t.taskCount, t.firstRange, t.parallelism) = (8, 8, 1);
    }

    /// @dev Somebody registers whose owner is this account and whose node key is that of provider n.
    function providerAs(address owner, uint256 n, uint128 stake) internal {
        fund(owner, stake);
        IRegistry.Consent memory agreed = consent(n, owner);
        vm.prank(owner);
        registry.register(nodeOf(n), 4, attributes(), 0, "", stake, agreed);
    }

    // ---------------------------------------------------------------- who is paid and does not want to be

    /// @dev Payments are entries in the Ledger: who takes no coins stops nobody's settlement, and can still take out its tokens.
    function test_whoTakesNoCoinsStopsNoSettlement() public {
        address stubborn = address(new Stubborn());
        providerAs(stubborn, 1, 1 ether);
        provider(2, 4, 1 ether);
        IJobBook.Terms memory t = plain();
        t.firstRange = 2;
        uint64 id = openJob(t, 1 ether);
        uint32[] memory seqs = new uint32[](2);
        for (uint256 n = 1; n <= 2; ++n) {
            (seqs[n - 1],,) = claim(id, n, 2);
            submit(id, n, seqs[n - 1], 100, 0);
        }
        vm.prank(CLIENT);
        eq(book.acknowledge(id, seqs), 2, "both");
        uint256 paid = 100 * uint256(t.price);
        paid -= paid / 100;
        eq(free(ownerOf(2)), paid, "the other one");
        eq(free(stubborn), paid, "and it");
        vm.startPrank(stubborn);
        ledger.withdraw(uint128(paid));
        eq(token.balanceOf(stubborn), paid, "as tokens");
        vm.stopPrank();
        eq(free(stubborn), 0, "all of it");
    }

    /// @dev The same for what a punishment brings, and for a job's money that comes back.
    function test_whoTakesNoCoinsIsRefundedAndCompensated() public {
        address stubborn = address(new Stubborn());
        fund(stubborn, 10 ether);
        provider(1, 4, 1 ether);
        IJobBook.Terms memory t = plain();
        vm.prank(stubborn);
        uint64 id = book.open(t, 10 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 8);
        passSeconds(301);
        book.expire(id, one(seq));
        uint256 bond = count * 100 * uint256(t.price) / 10;
        eq(free(stubborn), bond / 2, "its part of the bond");
        vm.prank(stubborn);
        book.cancel(id);
        book.finish(id);
        eq(free(stubborn), 10 ether + bond / 2, "and its money");
        eq(locked(stubborn), 0, "all of it");
    }

    function test_whoComesBackInFindsItsJobOver() public {
        Greedy greedy = new Greedy(book, ledger);
        fund(address(greedy), 5 ether);
        IJobBook.Terms memory t = plain();
        t.callback = address(greedy);
        greedy.open(t, 5 ether);
        uint64 id = book.jobCount();
        vm.prank(address(greedy));
        book.cancel(id);
        uint256 held = token.balanceOf(address(ledger));
        eq(free(address(greedy)), 5 ether, "what nobody works for is back");
        book.finish(id);
        eq(greedy.refused(), 4, "nothing can be done to a job that is over");
        eq(token.balanceOf(address(greedy)), 5 ether, "its own, once");
        eq(held - token.balanceOf(address(ledger)), 5 ether, "and nobody else's");
    }

    /// @dev The JobBook calls back as itself, and other contracts obey it: none of them must know the call.
    function test_aCallbackIntoAnyOfTheContractsDoesNothing() public {
        address[11] memory all = [
            address(token),
            address(ledger),
            address(registry),
            address(book),
            address(desk),
            address(auditors),
            address(audits),
            address(bench),
            address(waiting),
            address(replicas),
            address(tabs)
        ];
        for (uint256 i = 0; i < all.length; ++i) {
            IJobBook.Terms memory t = plain();
            t.callback = all[i];
            uint64 id = openJob(t, 1 ether);
            vm.prank(CLIENT);
            book.cancel(id);
            vm.recordLogs();
            book.finish(id);
            Vm.Log[] memory logs = vm.getRecordedLogs();
            eq(logs.length, 2, "done, and called back");
            ok(logs[1].topics[0] == IJobBook.JobCallback.selector, "the event");
            ok(!abi.decode(logs[1].data, (bool)), "refused");
        }
        eq(free(CLIENT), 1_000_000 ether, "all is back");
    }

    // ---------------------------------------------------------------- the largest amounts

    /// @dev All the money that all jobs may hold is in one range of one task.
    function test_oneRangeIsWorthAllThatAllJobsMayHold() public {
        fund(CLIENT, CAP);
        provider(1, 1, CAP);
        IJobBook.Terms memory t = plain();
        (t.taskCount, t.unitCap, t.price, t.window) = (2, 1, uint96(CAP), 3600);
        uint64 id = openJob(t, CAP);
        vm.startPrank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadFunds.selector, 1));
        book.topUp(id, 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleCapExceeded.selector, address(book), CAP, CAP, 1));
        book.open(t, 1);
        vm.stopPrank();
        (uint32 seq,, uint32 count) = claim(id, 1, 2);
        eq(count, 1, "one task");
        eq(registry.provider(ownerOf(1)).exposure, CAP, "all of a stake answers for it");
        eq(book.job(id).escrow, 0, "all of the money");
        submit(id, 1, seq, 1, 0);
        acknowledge(id, seq);
        eq(free(ownerOf(1)), CAP - uint256(CAP) / 100, "paid");
        eq(free(TREASURY), uint256(CAP) / 100, "the fee");
        eq(registry.provider(ownerOf(1)).exposure, 0, "no longer exposed");
        // It can be worth as much again.
        vm.prank(ownerOf(1));
        book.open(t, CAP - CAP / 100);
    }

    function test_noStakeIsLargerThanWhatAllMayStake() public {
        provider(1, 1, CAP);
        provider(2, 1, 0);
        fund(ownerOf(1), 2);
        fund(ownerOf(2), 2);
        vm.prank(ownerOf(2));
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleCapExceeded.selector, address(registry), CAP, CAP, 1));
        registry.addStake(1);
        vm.startPrank(ownerOf(1));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadAmount.selector, uint256(1) << 96));
        registry.addStake(1);
        registry.unstake(CAP);
        // What leaves still counts.
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleCapExceeded.selector, address(registry), CAP, CAP, 1));
        registry.addStake(1);
        passSeconds(registry.UNBONDING());
        eq(registry.withdrawStake(), CAP, "all of it");
        registry.addStake(1);
        vm.stopPrank();
        vm.prank(ownerOf(2));
        registry.addStake(1);
    }

    function test_noLineOfAuditorsIsLongerThanWhatAllMayStake() public {
        (address first, address second) = (ownerOf(1), ownerOf(2));
        fund(first, 2 * CAP);
        fund(second, MIN_STAKE);
        vm.startPrank(first);
        vm.expectRevert(abi.encodeWithSignature("SafeCastOverflowedUintDowncast(uint8,uint256)", 96, 1 << 96));
        auditors.join(first, CAP + 1);
        auditors.join(first, CAP);
        vm.expectRevert(abi.encodeWithSignature("SafeCastOverflowedUintDowncast(uint8,uint256)", 96, 1 << 96));
        auditors.addStake(1);
        vm.stopPrank();
        vm.prank(second);
        vm.expectPartialRevert(ILedger.ModuleCapExceeded.selector);
        auditors.join(second, MIN_STAKE);
        eq(auditors.total(), CAP, "the line");
        eq(auditors.at(CAP - 1, type(uint40).max), 1, "its last place");
        eq(auditors.count(), 1, "nobody else");
        vm.prank(address(audits));
        eq(auditors.punish(1, 1e9, CLIENT), CAP, "all of it at once");
        eq(auditors.total(), 0, "nothing is left");
    }

    function test_tabsAddUpWithinWhatTheyMay() public {
        provider(1, 1, 0);
        fund(CLIENT, CAP);
        ITabs.Line[] memory lines = new ITabs.Line[](2);
        (lines[0], lines[1]) = (ITabs.Line(1, CAP, 0, 0), ITabs.Line(1, CAP + 1, 0, 0));
        vm.startPrank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleCapExceeded.selector, address(tabs), CAP, 0, CAP + 1));
        tabs.settle("book", lines);
        // Two statements whose sum is no number.
        (lines[0].total, lines[1].provider, lines[1].total) = (type(uint128).max, 2, 1);
        vm.stopPrank();
        provider(2, 1, 0);
        vm.startPrank(CLIENT);
        vm.expectRevert(OVERFLOW);
        tabs.settle("book", lines);
        // Nobody has number 0, but nothing is due to nobody.
        lines[0] = ITabs.Line(0, 0, 0, 0);
        eq(tabs.settle("book", lines), 1, "the other line");
        lines[0].total = 1;
        vm.expectRevert(abi.encodeWithSelector(ITabs.NoSuchProvider.selector, 0));
        tabs.settle("book", lines);
        vm.stopPrank();
    }

    // ---------------------------------------------------------------- jobs that never were

    function test_whatNeverWasOpenedGivesAndTakesNothing() public {
        provider(1, 4, 1 ether);
        openJob(plain(), 1 ether);
        uint64[3] memory ids = [uint64(0), 2, type(uint64).max];
        for (uint256 i = 0; i < ids.length; ++i) {
            nothingIn(ids[i]);
            nobodyJudges(ids[i]);
        }
        eq(book.jobCount(), 1, "one job");
        eq(free(CLIENT), 1_000_000 ether - 1 ether, "its money");
    }

    function nothingIn(uint64 id) internal {
        bytes memory none = abi.encodeWithSelector(IJobBook.NoSuchJob.selector, id);
        bytes memory nothing = abi.encodeWithSelector(IJobBook.NothingToDo.selector, id);
        bytes memory noRange =
            abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, uint32(0), IJobBook.RangeState.None);
        vm.startPrank(CLIENT);
        vm.expectRevert(none);
        book.topUp(id, 1);
        vm.expectRevert(none);
        book.cancel(id);
        vm.expectRevert(none);
        book.acknowledge(id, one(0));
        vm.expectRevert(none);
        book.finish(id);
        vm.expectRevert(nothing);
        book.settle(id, one(0));
        vm.expectRevert(nothing);
        book.settle(id, new uint32[](0));
        vm.expectRevert(nothing);
        book.expire(id, one(0));
        vm.stopPrank();
        vm.startPrank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.ClaimRefused.selector, id, IJobBook.Refusal.NoSuchJob));
        book.claim(id, 1, 0);
        vm.expectRevert(noRange);
        book.submit(id, 0, "root", 0, 0, 0);
        vm.expectRevert(noRange);
        book.release(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IWaiting.NoMatesHere.selector, id));
        waiting.wait(id, 1, 0);
        vm.stopPrank();
        (uint32 count,, IJobBook.Refusal why) = book.claimable(id, ownerOf(1));
        ok(count == 0 && why == IJobBook.Refusal.NoSuchJob, "nothing to claim");
        IJobBook.Job memory j = book.job(id);
        ok(j.state == IJobBook.JobState.None && j.client == address(0) && !j.dry, "nobody's");
        ok(book.range(id, 0).state == IJobBook.RangeState.None && book.resultRoot(id) == 0, "no results");
        eq(view_.ranges(id, 0, 9).length, 0, "no ranges");
    }

    function nobodyJudges(uint64 id) internal {
        bytes memory noCase = abi.encodeWithSelector(IAudits.WrongState.selector, id, uint32(0), IAudits.State.None);
        vm.startPrank(nodeOf(1));
        vm.expectRevert(noCase);
        audits.draw(id, 0);
        vm.expectRevert(noCase);
        audits.name(id, 0, new uint32[](8));
        vm.expectRevert(noCase);
        audits.commit(id, 0, 0, "seal");
        vm.expectRevert(noCase);
        audits.open(id, 0, new MerkleSum.Leaf[](8), new MerkleSum.Sibling[][](8));
        vm.expectRevert(noCase);
        audits.reveal(id, 0, 0, "answer", "salt");
        vm.expectRevert(noCase);
        audits.advance(id, 0);
        bytes memory noPair = abi.encodeWithSelector(IReplicas.WrongState.selector, id, 0, IReplicas.State.None);
        vm.expectRevert(noPair);
        replicas.draw(id, 0);
        vm.expectRevert(noPair);
        replicas.commit(id, 0, "seal");
        vm.expectRevert(noPair);
        replicas.reveal(id, 0, "root", 0, 0, "salt");
        vm.expectRevert(noPair);
        replicas.advance(id, 0);
        vm.stopPrank();
        (bool mayPay, uint256 charge) = audits.bill(id, 0, 0);
        ok(!mayPay && charge == 0, "nothing to be paid");
    }

    // ---------------------------------------------------------------- who is several people

    /// @dev A client that works for itself pays the fee, and what it loses by it is half burned: nothing comes out of nowhere.
    function test_aClientThatWorksForItselfGainsNothing() public {
        providerAs(CLIENT, 1, 10 ether);
        uint256 before = free(CLIENT) + locked(CLIENT);
        IJobBook.Terms memory t = plain();
        uint64 first = openJob(t, 1 ether);
        uint64 id = first;
        (uint32 seq,,) = claim(id, 1, 8);
        submit(id, 1, seq, 100, 0);
        acknowledge(id, seq);
        uint256 fee = 100 * uint256(t.price) / 100;
        eq(before - free(CLIENT) - locked(CLIENT), fee, "the fee");
        id = openJob(t, 1 ether);
        uint32 count;
        (seq,, count) = claim(id, 1, 8);
        passSeconds(301);
        book.expire(id, one(seq));
        uint256 bond = count * 100 * uint256(t.price) / 10;
        eq(before - free(CLIENT) - locked(CLIENT), fee + bond - bond / 2, "and half of the bond");
        for (; id >= first; --id) {
            vm.prank(CLIENT);
            book.cancel(id);
            book.finish(id);
        }
        uint128 rest = registry.provider(CLIENT).stake;
        vm.prank(CLIENT);
        registry.unstake(rest);
        passSeconds(registry.UNBONDING());
        vm.prank(CLIENT);
        registry.withdrawStake();
        eq(locked(CLIENT), 0, "nothing stays locked");
        eq(before - free(CLIENT), fee + bond - bond / 2, "to the unit");
    }

    /// @dev Numbers are for ever: a node key that another provider takes over brings nothing of the one it was.
    function test_aNodeKeyThatChangesHandsBringsNoRanges() public {
        provider(1, 4, 1 ether);
        provider(2, 4, 1 ether);
        uint64 id = openJob(plain(), 1 ether);
        (uint32 seq,,) = claim(id, 1, 8);
        IRegistry.Consent memory agreed = consent(51, ownerOf(1));
        vm.prank(ownerOf(1));
        registry.setNode(nodeOf(51), agreed);
        agreed = consent(1, ownerOf(2));
        vm.prank(ownerOf(2));
        registry.setNode(nodeOf(1), agreed);
        vm.startPrank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotYourRange.selector, id, seq));
        book.release(id, seq);
        // It holds nothing that it could hand in.
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReserved.selector, uint32(2)));
        book.submit(id, seq, "root", 100, 0, 0);
        vm.stopPrank();
        IJobBook.Terms memory t = plain();
        uint64 other = openJob(t, 1 ether);
        vm.startPrank(nodeOf(1));
        book.claim(other, 8, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotYourRange.selector, id, seq));
        book.submit(id, seq, "root", 100, 0, 0);
        vm.stopPrank();
        vm.prank(nodeOf(51));
        book.submit(id, seq, "root", 100, 0, 0);
        acknowledge(id, seq);
        eq(free(ownerOf(2)), 0, "nothing for the key's new owner");
        ok(free(ownerOf(1)) != 0, "its own for the old one");
    }

    function test_whoHasTakenOutEverythingKeepsItsNumber() public {
        address owner = provider(1, 4, 1 ether);
        vm.startPrank(owner);
        registry.unstake(1 ether);
        passSeconds(registry.UNBONDING());
        registry.withdrawStake();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.AlreadyRegistered.selector, owner));
        registry.register(owner, 1, attributes(), 0, "", 0, noConsent());
        vm.stopPrank();
        provider(2, 1, 0);
        eq(registry.provider(ownerOf(2)).number, 2, "no number twice");
        eq(registry.ownerOf(1), owner, "still its owner");
    }

    /// @dev Nobody asks a key whether an auditor may name it: it gives that auditor's votes away and takes nothing from its own.
    function test_anotherAuditorsKeyCanBeNamedAndHarmsOnlyWhoDoes() public {
        fund(ownerOf(1), MIN_STAKE);
        fund(ownerOf(2), MIN_STAKE);
        vm.prank(ownerOf(1));
        auditors.join(nodeOf(1), MIN_STAKE);
        vm.prank(ownerOf(2));
        auditors.join(nodeOf(1), MIN_STAKE);
        IAuditors.Auditor memory first = auditors.auditor(1);
        ok(first.node == nodeOf(1) && first.owner == ownerOf(1), "as before");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IAuditors.NotAuditor.selector, nodeOf(1)));
        auditors.unstake(MIN_STAKE);
    }

    // ---------------------------------------------------------------- blocks of one second

    /// @dev Blocks that share a second are one block to the clock: who fills the second one gets no other price.
    function test_blocksOfOneSecondHaveOnePrice() public {
        provider(1, 4, 100 ether);
        IJobBook.Terms memory t = terms();
        (t.floorPrice, t.finishSeconds) = (1e11, 8_000);
        uint64 id = openJob(t, 10 ether);
        passSeconds(500);
        uint96 price = book.job(id).price;
        ok(price > t.floorPrice && price < t.price, "between floor and cap");
        for (uint256 i = 0; i < 3; ++i) {
            (uint32 seq,,) = claim(id, 1, 8);
            eq(book.range(id, seq).price, price, "the same in each");
            vm.roll(vm.getBlockNumber() + 1);
        }
        passSeconds(1);
        ok(book.job(id).price < price, "what was claimed counts from the next second on");
    }
}
