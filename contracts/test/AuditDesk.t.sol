// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {AuditDesk} from "../src/AuditDesk.sol";
import {AuditLayout} from "../src/AuditLayout.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRandomness} from "../src/interfaces/IRandomness.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev The code of Audits that lies in a contract of its own.
contract AuditDeskTest is AuditWorld {
    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 1_000 ether);
        id = audited(40);
    }

    /// @dev The desk is code for Audits; by itself it has no cases.
    function test_theDeskAloneNamesAndOpensNothing() public {
        someAuditors(7, 100 ether);
        uint32 seq = work(id, false);
        drawn(id, seq);
        uint32[] memory at = positions(id, seq);
        vm.prank(nodeOf(1));
        vm.expectRevert(AuditDesk.OnlyThroughAudits.selector);
        auditDesk.name(id, seq, at);
        named(id, seq);
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, false);
        vm.expectRevert(AuditDesk.OnlyThroughAudits.selector);
        auditDesk.open(id, seq, list, proofs);
    }

    function test_theDeskIsBuiltWithAllItNeeds() public {
        AuditLayout.Deployment memory d = AuditLayout.Deployment(bench, book, registry, auditors, ledger, randomness, 1);
        ok(canBeBuilt(d), "with everything");
        d.bench = IBench(address(0));
        ok(!canBeBuilt(d), "without Bench");
        (d.bench, d.jobBook) = (bench, IJobBook(address(0)));
        ok(!canBeBuilt(d), "without JobBook");
        (d.jobBook, d.registry) = (book, IRegistry(address(0)));
        ok(!canBeBuilt(d), "without Registry");
        (d.registry, d.auditors) = (registry, IAuditors(address(0)));
        ok(!canBeBuilt(d), "without Auditors");
        (d.auditors, d.ledger) = (auditors, ILedger(address(0)));
        ok(!canBeBuilt(d), "without Ledger");
        (d.ledger, d.randomness) = (ledger, IRandomness(address(0)));
        ok(!canBeBuilt(d), "without a beacon");
    }

    function canBeBuilt(AuditLayout.Deployment memory d) internal returns (bool) {
        return created("AuditDesk", abi.encode(d)) != address(0);
    }
}
