// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Who pays for an audit.
contract AuditPurseTest is AuditWorld {
    uint64 internal id;

    function setUp() public override {
        super.setUp();
        // Enough for some hundred ranges that nobody goes on with: only every twentieth is drawn below the floor.
        provider(1, 4, 100_000 ether);
        someAuditors(7, 100 ether);
        id = openJob(auditedTerms(40), 100_000 ether);
    }

    /// @dev What the beacon has drawn for the decision about a range, billionths.
    function decided(uint32 seq) internal view returns (uint256) {
        bytes32 seed = Draw.seedOf(randomness.value(case_(id, seq).round), id, seq, 0);
        return Draw.word(seed, Draw.DECISION, 0) % Parameters.ONE;
    }

    /// @dev A newcomer's, too: below the floor rate a range is audited whoever works for it, and the share that all of the job's
    /// ranges pay is all that it pays.
    function test_belowTheFloorAnAuditIsAtTheClientsCost() public {
        uint32 seq;
        bool isDear = true;
        while (isDear) {
            seq = work(id, false);
            drawn(id, seq);
            ok(case_(id, seq).state == IAudits.State.Naming, "a newcomer is always audited");
            isDear = case_(id, seq).atProvidersCost;
            ok(isDear == (decided(seq) >= Parameters.FLOOR_RATE), "at the provider's cost above the floor alone");
        }
        named(id, seq);
        // Called at two places, or the compiler puts it whole into this function, whose stack is then too deep.
        stage(id, seq, false, 0);
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 0);
        }
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld && case_(id, seq).fee != 0, "upheld, and it has a fee");
        IJobBook.Range memory r = book.range(id, seq);
        uint256 value = uint256(r.units) * r.price;
        (uint256 before, uint256 purse) = (free(ownerOf(1)), free(address(audits)));
        acknowledge(id, seq);
        eq(free(address(audits)) - purse, value / 50, "its share, and nothing for its audit");
        eq(free(ownerOf(1)) - before, value - value / 100 - value / 50, "what its provider has earned");
    }
}
