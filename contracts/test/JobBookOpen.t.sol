// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {JobDesk} from "../src/JobDesk.sol";
import {JobLayout} from "../src/JobLayout.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IJudge} from "../src/interfaces/IJudge.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";

/// @dev Opening, funding, cancelling and finishing jobs.
contract JobBookOpenTest is Network {
    function test_openLocksTheFundsAndKeepsTheTerms() public {
        IJobBook.Terms memory t = terms();
        t.prepareCap = 50;
        t.requiredClass = 1;
        t.minVramMib = 2;
        t.maxFailures = 9;
        t.callback = address(0xCA11);
        uint64 id = openJob(t, 10 ether);
        eq(id, 1, "first job");
        eq(locked(CLIENT), 10 ether, "locked");
        IJobBook.Job memory j = book.job(id);
        eq(j.client, CLIENT, "client");
        ok(j.state == IJobBook.JobState.Open, "open");
        eq(j.unclaimed, t.taskCount, "unclaimed");
        eq(j.escrow, 10 ether, "escrow");
        ok(!j.dry, "not dry");
        t.contact = "";
        eq(keccak256(abi.encode(j.terms)), keccak256(abi.encode(t)), "terms but for the contact");
        eq(openJob(terms(), 0), 2, "second job");
        ok(book.job(2).dry, "without money it waits");
    }

    function test_openNeedsFreeMoney() public {
        vm.prank(address(0xBEEF));
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, address(0xBEEF), 0, 1));
        book.open(terms(), 1);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadFunds.selector, uint256(1) << 96));
        book.open(terms(), uint128(1) << 96);
    }

    function bad(IJobBook.Terms memory t, IJobBook.Field field) internal {
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, field));
        book.open(t, 1 ether);
    }

    function test_termsAreBounded() public {
        IJobBook.Terms memory t = terms();
        t.specHash = 0;
        bad(t, IJobBook.Field.SpecHash);
        t = terms();
        t.taskCount = 0;
        bad(t, IJobBook.Field.TaskCount);
        t.taskCount = book.MAX_TASKS() + 1;
        bad(t, IJobBook.Field.TaskCount);
        t = terms();
        t.unitCap = 0;
        bad(t, IJobBook.Field.UnitCap);
        t.unitCap = book.MAX_UNIT_CAP() + 1;
        bad(t, IJobBook.Field.UnitCap);
        t = terms();
        t.prepareCap = book.MAX_PREPARE_CAP() + 1;
        bad(t, IJobBook.Field.PrepareCap);
        t = terms();
        t.price = 0;
        bad(t, IJobBook.Field.Price);
        t = terms();
        t.window = 9;
        bad(t, IJobBook.Field.Window);
        t.window = 3 days + 1;
        bad(t, IJobBook.Field.Window);
        t = terms();
        t.rangeTimeout = 4;
        bad(t, IJobBook.Field.RangeTimeout);
        t.rangeTimeout = 1 days + 1;
        bad(t, IJobBook.Field.RangeTimeout);
        t = terms();
        t.targetSeconds = 0;
        bad(t, IJobBook.Field.TargetSeconds);
        t.targetSeconds = 301;
        bad(t, IJobBook.Field.TargetSeconds);
        t = terms();
        t.parallelism = 0;
        bad(t, IJobBook.Field.Parallelism);
        t = terms();
        t.firstRange = 0;
        bad(t, IJobBook.Field.FirstRange);
        t.firstRange = (1 << 20) + 1;
        bad(t, IJobBook.Field.FirstRange);
        t = terms();
        t.deadline = uint40(block.timestamp);
        bad(t, IJobBook.Field.Deadline);
        t.deadline = uint40(block.timestamp + 367 days);
        bad(t, IJobBook.Field.Deadline);
        t = terms();
        t.afterJob = 1;
        bad(t, IJobBook.Field.AfterJob);
        t = terms();
        t.contact = new bytes(257);
        bad(t, IJobBook.Field.Contact);
    }

    function test_windowsGrowWithValue() public {
        eq(book.minWindow(SMALL), 10, "small");
        eq(book.minWindow(SMALL + 1), 600, "just above");
        eq(book.minWindow(SMALL * 100), 600, "medium");
        eq(book.minWindow(SMALL * 1001), 3600, "large");
        IJobBook.Terms memory t = terms();
        t.price = 2e17;
        t.window = 600;
        openJob(t, 1 ether);
        t.price = 2e19;
        bad(t, IJobBook.Field.Window);
    }

    function test_topUp() public {
        uint64 id = openJob(terms(), 0);
        vm.prank(CLIENT);
        book.topUp(id, 3 ether);
        eq(book.job(id).escrow, 3 ether, "escrow");
        ok(!book.job(id).dry, "goes on");
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadFunds.selector, 0));
        book.topUp(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotClient.selector, id, address(this)));
        book.topUp(id, 1);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NoSuchJob.selector, 99));
        book.topUp(99, 1);
    }

    function test_cancelRefundsAtOnceAndFinishEnds() public {
        provider(1, 1, 100 ether);
        uint64 id = openJob(terms(), 10 ether);
        (uint32 seq,, uint32 count) = claim(id, 1, 5);
        uint256 before = free(CLIENT);
        vm.prank(CLIENT);
        book.cancel(id);
        uint256 ceiling = uint256(count) * 100 * 1e12;
        eq(free(CLIENT) - before, 10 ether - ceiling, "all but the claimed range");
        ok(book.job(id).state == IJobBook.JobState.Cancelling, "cancelling");
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.NotOpen);
        book.claim(id, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotFinished.selector, id, 995, 1));
        book.finish(id);
        submit(id, 1, seq, 40, 0);
        acknowledge(id, seq);
        book.finish(id);
        ok(book.job(id).state == IJobBook.JobState.Cancelled, "cancelled");
        eq(locked(CLIENT), 0, "nothing is left behind");
        eq(free(CLIENT) + free(ownerOf(1)) + free(TREASURY), before + 10 ether, "the work was paid, the rest is back");
        eq(free(ownerOf(1)) + free(TREASURY), 40 * 1e12, "40 units");
        vm.expectRevert(abi.encodeWithSelector(IJobBook.JobOver.selector, id, IJobBook.JobState.Cancelled));
        book.finish(id);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.JobOver.selector, id, IJobBook.JobState.Cancelled));
        book.cancel(id);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.JobOver.selector, id, IJobBook.JobState.Cancelled));
        book.topUp(id, 1);
    }

    function test_finishAfterTheDeadlineWithoutAllTasks() public {
        IJobBook.Terms memory t = terms();
        uint64 id = openJob(t, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotFinished.selector, id, 1000, 0));
        book.finish(id);
        vm.warp(t.deadline);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotFinished.selector, id, 1000, 0));
        book.finish(id);
        vm.warp(t.deadline + 1);
        ok(book.job(id).state == IJobBook.JobState.Draining, "no more claims");
        book.finish(id);
        ok(book.job(id).state == IJobBook.JobState.Done, "done");
        eq(locked(CLIENT), 0, "refunded");
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NoSuchJob.selector, 77));
        book.finish(77);
    }

    function deployment() internal view returns (JobLayout.Deployment memory) {
        return JobLayout.Deployment(ledger, registry, bench, address(audits), TREASURY, 100, 1);
    }

    /// @dev JobDesk checks what both are constructed with, and needs no right in the Ledger.
    function test_constructionOfBoth() public {
        ok(deskCanBeBuilt(deployment()), "with all");
        JobLayout.Deployment memory d = deployment();
        d.ledger = ILedger(address(0));
        ok(!deskCanBeBuilt(d), "without a ledger");
        d = deployment();
        d.treasury = address(0);
        ok(!deskCanBeBuilt(d), "without a treasury");
        d = deployment();
        d.registry = IRegistry(address(0));
        ok(!deskCanBeBuilt(d), "without a registry");
        d = deployment();
        d.judge = IJudge(address(0));
        ok(!deskCanBeBuilt(d), "without a judge");
        d = deployment();
        d.purse = address(0);
        ok(!deskCanBeBuilt(d), "without a purse");
        d = deployment();
        d.feeBps = 500;
        ok(deskCanBeBuilt(d), "with the highest fee");
        d.feeBps = 501;
        ok(!deskCanBeBuilt(d), "with a fee above the cap");
    }

    function deskCanBeBuilt(JobLayout.Deployment memory d) internal returns (bool) {
        return created("JobDesk", abi.encode(d)) != address(0);
    }

    function test_construction() public {
        ok(bookWith(CAP, address(desk)) != address(0), "with all");
        ok(bookWith(CAP, address(0)) == address(0), "without a desk");
        ok(bookWith(CAP + 1, address(desk)) == address(0), "with a right to more than 96 bits of money");
        ok(created("JobBook", abi.encode(deployment(), desk)) == address(0), "without a right in the ledger");
    }

    function bookWith(uint128 cap, address desk_) internal returns (address) {
        JobLayout.Deployment memory d = deployment();
        d.ledger = ledgerOfNext(cap);
        return created("JobBook", abi.encode(d, desk_));
    }

    /// @dev A call into an account without code succeeds: who opened a job there would have nothing.
    function test_aDeskThatIsNotThereIsNoticed() public {
        address nowhere = address(0xDE5C);
        IJobBook other = IJobBook(bookWith(CAP, nowhere));
        IJobBook.Terms memory t = terms();
        vm.startPrank(CLIENT);
        vm.expectRevert(bytes(""));
        other.open(t, 0);
        vm.etch(nowhere, address(desk).code);
        eq(other.open(t, 0), 1, "there it is");
        vm.stopPrank();
    }

    /// @dev The desk is code for the JobBook; by itself it has no money to lock and its jobs are nobody's.
    function test_theDeskAloneOpensAndEndsNothing() public {
        IJobBook.Terms memory t = terms();
        vm.startPrank(CLIENT);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.open(t, 1 ether);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.open(t, 0);
        uint64 id = book.open(t, 1 ether);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.topUp(id, 1 ether);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.cancel(id);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.finish(id);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.release(id, 0);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.expire(id, one(0));
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.reject(id, 0);
        vm.expectRevert(JobDesk.OnlyThroughJobBook.selector);
        desk.unseal(id, 0, "root");
        book.cancel(id);
        vm.stopPrank();
        eq(book.jobCount(), 1, "no other job of the JobBook");
        eq(locked(CLIENT), 0, "no money");
    }
}
