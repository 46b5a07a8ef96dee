// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IJudge} from "../src/interfaces/IJudge.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {Flags} from "../src/libraries/Flags.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev The door between JobBook and Registry and those who judge.
contract BenchTest is AuditWorld {
    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 1_000 ether);
        someAuditors(7, 100 ether);
        id = audited(40);
    }

    function test_itIsTheJudgeOfJobBookAndRegistryAndAuditsKeepThePurse() public view {
        ok(book.judge() == address(bench) && registry.judge() == address(bench), "one judge");
        ok(book.purse() == address(audits), "the purse");
        ok(address(bench.jobBook()) == address(book) && address(bench.registry()) == address(registry), "both");
        ok(address(bench.audits()) == address(audits) && address(audits.bench()) == address(bench), "who judges");
        ok(address(bench.replicas()) == address(replicas) && bench.waiting() == address(waiting), "replicas");
        ok(address(bench.holders()) == address(holders) && address(holders.bench()) == address(bench), "holders");
    }

    function test_onlyTheJobBookSaysWhatWasSubmitted() public {
        address[3] memory others = [address(audits), address(registry), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IBench.NotJobBook.selector, others[i]));
            bench.submitted(id, 0, 1, Flags.AUDITED);
        }
        ok(case_(id, 0).state == IAudits.State.None, "no case");
        vm.prank(address(book));
        bench.submitted(id, 0, 1, Flags.AUDITED);
        ok(case_(id, 0).state == IAudits.State.Submitted, "a case");
        vm.prank(address(book));
        bench.submitted(id, 1, 1, Flags.AUDITED | Flags.REPLICATED);
        ok(case_(id, 1).state == IAudits.State.None, "no case before there is a root");
        ok(replicas.pair(id, 1).state == IReplicas.State.Sealed, "a replica");
    }

    function test_onlyWhoJudgesRejectsAndPunishes() public {
        uint32 seq = work(id, false);
        address[4] memory others = [address(book), address(registry), address(auditDesk), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.startPrank(others[i]);
            bytes memory no = abi.encodeWithSelector(IBench.NotOnTheBench.selector, others[i]);
            vm.expectRevert(no);
            bench.reject(id, seq);
            vm.expectRevert(no);
            bench.punish(1, Parameters.ONE, CLIENT);
            vm.stopPrank();
        }
        vm.startPrank(address(audits));
        bench.reject(id, seq);
        eq(bench.punish(1, Parameters.ONE / 4, CLIENT), 250 ether, "what was taken");
        vm.stopPrank();
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
        seq = work(id, false);
        vm.startPrank(address(replicas));
        bench.reject(id, seq);
        bench.punish(1, 0, CLIENT);
        vm.stopPrank();
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "by Replicas");
        seq = work(id, false);
        vm.startPrank(address(holders));
        bench.reject(id, seq);
        bench.punish(1, 0, CLIENT);
        vm.stopPrank();
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "by Holders");
        eq(registry.provider(ownerOf(1)).stake, 750 ether, "punished");
    }

    function test_onlyReplicasUnseal() public {
        uint32 seq = work(id, false);
        address[4] memory others = [address(audits), address(waiting), address(book), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IBench.NotReplicas.selector, others[i]));
            bench.audit(id, seq, 1, LIE, 0);
            vm.stopPrank();
        }
        vm.prank(address(replicas));
        bench.audit(id, seq, 1, LIE, Parameters.ONE);
        eq(book.range(id, seq).root, LIE, "the root");
        eq(case_(id, seq).rate, Parameters.ONE, "the rate");
    }

    function test_onlyReplicasTakeARecord() public {
        audit(id, work(id, false), false, 0);
        ok(audits.record(1) != 0, "a record");
        address[5] memory others = [address(audits), address(holders), address(waiting), address(book), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IBench.NotReplicas.selector, others[i]));
            bench.forget(1);
        }
        ok(audits.record(1) != 0, "still there");
        vm.prank(address(replicas));
        bench.forget(1);
        eq(audits.record(1), 0, "gone");
    }

    function test_onlyWhoJudgesTakesAPartOfARecord() public {
        audit(id, work(id, false), false, 0);
        uint256 record = audits.record(1);
        ok(record > 2, "a record");
        address[4] memory others = [address(waiting), address(book), address(registry), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IBench.NotOnTheBench.selector, others[i]));
            bench.strike(1, 1);
        }
        eq(audits.record(1), record, "all of it");
        vm.startPrank(address(holders));
        bench.strike(1, 1);
        eq(audits.record(1), record - 1, "a part of it");
        eq(audits.record(2), 0, "nobody else's");
        // What it was may have been lost before.
        bench.strike(1, record);
        eq(audits.record(1), 0, "no less than nothing");
        bench.strike(1, type(uint256).max);
        eq(audits.record(1), 0, "nor then");
        vm.stopPrank();
    }

    function test_onlyWaitingTakesExposure() public {
        address[3] memory others = [address(audits), address(replicas), CLIENT];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.startPrank(others[i]);
            bytes memory no = abi.encodeWithSelector(IBench.NotWaiting.selector, others[i]);
            vm.expectRevert(no);
            bench.expose(1, 1);
            vm.expectRevert(no);
            bench.free(1, 1);
            vm.stopPrank();
        }
        vm.startPrank(address(waiting));
        bench.expose(1, 600 ether);
        eq(registry.provider(ownerOf(1)).exposure, 600 ether, "exposed");
        vm.expectRevert(
            abi.encodeWithSelector(IRegistry.ExposureExceeded.selector, ownerOf(1), 400 ether, 400 ether + 1)
        );
        bench.expose(1, 400 ether + 1);
        bench.free(1, 500 ether);
        vm.stopPrank();
        eq(registry.provider(ownerOf(1)).exposure, 100 ether, "free again");
    }

    /// @dev What a later JobBook might ask for and nobody here does is refused, not passed over.
    function test_unknownFlagsAreRefused() public {
        uint32 seq = work(id, false);
        for (uint256 flags = 0; flags <= type(uint8).max; ++flags) {
            if (flags & ~uint256(Flags.REPLICATED | Flags.KEPT | Flags.ACKNOWLEDGED) == Flags.AUDITED) continue;
            bytes memory no = abi.encodeWithSelector(IBench.UnknownFlags.selector, flags);
            vm.expectRevert(no);
            bench.bill(id, seq, 1 ether, uint8(flags));
        }
        for (uint256 flags = 0; flags <= type(uint8).max; ++flags) {
            // No client has acknowledged what is not handed in.
            if (flags & ~uint256(Flags.REPLICATED | Flags.KEPT) == Flags.AUDITED) continue;
            bytes memory no = abi.encodeWithSelector(IBench.UnknownFlags.selector, flags);
            vm.expectRevert(no);
            bench.room(id, 1, uint8(flags));
            vm.prank(address(book));
            vm.expectRevert(no);
            bench.submitted(id, seq + 1, 1, uint8(flags));
        }
    }

    function test_itSaysWhatAuditsSay() public {
        uint32 seq = work(id, false);
        IJudge.Bill memory bill = bench.bill(id, seq, 1 ether, Flags.AUDITED);
        ok(!bill.mayPay, "a newcomer is audited");
        eq(bill.charge, 0.02 ether, "the share");
        ok(bill.mate == 0 && bill.mateCharge == 0, "nobody else");
        ok(!bench.bill(id, seq, 1 ether, Flags.AUDITED | Flags.ACKNOWLEDGED).mayPay, "an acknowledgement is no audit");
        ok(audits.room(1) != 0, "has room");
        eq(bench.room(id, 1, Flags.AUDITED), audits.room(1), "room");
        eq(bench.room(id, 9, Flags.AUDITED), 0, "nobody has no room");
        eq(bench.room(id, 1, Flags.AUDITED | Flags.KEPT), 0, "nor has who asks for inputs that nobody holds");
    }

    function test_construction() public {
        address[6] memory all =
            [address(book), address(registry), address(audits), address(waiting), address(replicas), address(holders)];
        ok(canBeBuilt(all), "with all");
        for (uint256 i = 0; i < all.length; ++i) {
            address there = all[i];
            all[i] = address(0);
            ok(!canBeBuilt(all), "without one");
            all[i] = there;
        }
    }

    function canBeBuilt(address[6] memory all) internal returns (bool) {
        return created("Bench", abi.encode(all)) != address(0);
    }
}
