// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
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
        eq(registry.provider(ownerOf(1)).stake, 750 ether, "punished");
    }

    /// @dev What a later JobBook might ask for and nobody here does is refused, not passed over.
    function test_unknownFlagsAreRefused() public {
        uint32 seq = work(id, false);
        for (uint256 flags = 0; flags <= type(uint8).max; ++flags) {
            if (flags == Flags.AUDITED || flags == Flags.AUDITED | Flags.ACKNOWLEDGED) continue;
            bytes memory no = abi.encodeWithSelector(IBench.UnknownFlags.selector, flags);
            vm.expectRevert(no);
            bench.bill(id, seq, 1 ether, uint8(flags));
            vm.expectRevert(no);
            bench.room(id, 1, uint8(flags));
            vm.prank(address(book));
            vm.expectRevert(no);
            bench.submitted(id, seq + 1, 1, uint8(flags));
        }
    }

    function test_itSaysWhatAuditsSay() public {
        uint32 seq = work(id, false);
        (bool mayPay, uint256 charge) = bench.bill(id, seq, 1 ether, Flags.AUDITED);
        ok(!mayPay, "a newcomer is audited");
        eq(charge, 0.02 ether, "the share");
        (mayPay,) = bench.bill(id, seq, 1 ether, Flags.AUDITED | Flags.ACKNOWLEDGED);
        ok(!mayPay, "an acknowledgement is no audit");
        ok(audits.room(1) != 0, "has room");
        eq(bench.room(id, 1, Flags.AUDITED), audits.room(1), "room");
        eq(bench.room(id, 9, Flags.AUDITED), 0, "nobody has no room");
    }

    function test_construction() public {
        ok(created("Bench", abi.encode(book, registry, audits)) != address(0), "with everything");
        ok(created("Bench", abi.encode(address(0), registry, audits)) == address(0), "without JobBook");
        ok(created("Bench", abi.encode(book, address(0), audits)) == address(0), "without Registry");
        ok(created("Bench", abi.encode(book, registry, address(0))) == address(0), "without Audits");
    }
}
