// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What a range that nobody could hold costs the purse of the audits: nothing. Who is client and provider at once and shows its
/// results to auditors, but not to holders, must not be paid out of what others have brought in.
contract HoldPurseTest is HoldWorld {
    uint128 internal constant STAKE = 5_000 ether;

    uint64 internal id;

    /// @dev Who has what.
    struct Money {
        uint256 stake;
        uint256 purse;
        uint256 client;
        uint256 burned;
        uint256 owed;
    }

    function setUp() public override {
        super.setUp();
        provider(1, 4, STAKE);
        someAuditors(20, 100 ether);
        // Worth less than the small value: one vote, whose fee is up to half of what the range is worth.
        id = keptJob(8, DEPOSIT);
    }

    function money() internal view returns (Money memory m) {
        (m.stake, m.purse) = (registry.provider(ownerOf(1)).stake, free(address(audits)));
        (m.client, m.burned) = (free(CLIENT), free(ledger.BURN_ACCOUNT()));
        for (uint256 n = 1; n <= 20; ++n) {
            m.owed += audits.owed(auditorOwner(n));
        }
    }

    /// @dev A range that was audited at its provider's cost, and what its auditors have earned. What is not, is paid.
    function dear() internal returns (uint32 seq, uint256 booked) {
        while (true) {
            uint256 before = money().owed;
            seq = ripe(id);
            if (case_(id, seq).atProvidersCost) return (seq, money().owed - before);
            acknowledge(id, seq);
        }
    }

    /// @dev It is asked for twice, and nobody signs.
    function lost(uint32 seq) internal {
        opened(id, seq);
        nobodyMore(id, seq);
        opened(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        ok(book.range(id, seq).state == IJobBook.RangeState.Rejected, "rejected");
    }

    /// @dev As much as is due, up to how finely shares of a stake are told apart, in two cuts.
    function about(uint256 amount, uint256 due, string memory why) internal pure {
        ok(amount >= due && amount <= due + 2 * STAKE / 1e9, why);
    }

    function test_aRangeThatNobodyCouldHoldPaysItsAudit() public {
        (uint32 seq, uint256 booked) = dear();
        uint256 worth = value(id, seq);
        (, uint256 charge) = audits.bill(id, seq, worth);
        ok(worth <= SMALL && booked > worth / 10 && booked <= charge, "more than what is lost besides");
        Money memory before = money();
        lost(seq);
        Money memory now_ = money();
        uint256 came = now_.purse - before.purse;
        about(came, charge, "as much as if it were paid");
        ok(came >= booked, "what its auditors have earned");
        uint256 given = now_.client - before.client;
        about(given, worth / 20, "to the client half of a tenth, and no more");
        uint256 cut = before.stake - now_.stake;
        about(cut, 2 * charge + worth / 10, "all that it costs its provider");
        eq(now_.burned - before.burned, cut - came - given, "the rest is burned");
        ok(now_.burned - before.burned >= came + given, "at least half");
        eq(now_.owed, before.owed, "nobody earns anything by it");
    }

    function test_whereTheStakeIsShortTheAuditIsPaidFirst() public {
        (uint32 seq,) = dear();
        (, uint256 charge) = audits.bill(id, seq, value(id, seq));
        // So much is left of it, and twice as much is due.
        uint256 severity = Parameters.ONE - charge * Parameters.ONE / registry.provider(ownerOf(1)).stake;
        vm.prank(address(replicas));
        bench.punish(1, severity, TREASURY);
        Money memory before = money();
        ok(before.stake != 0 && before.stake < 2 * charge, "less than is due");
        lost(seq);
        Money memory now_ = money();
        eq(now_.stake, 0, "all of it");
        eq(now_.purse - before.purse, before.stake / 2, "as much as there is");
        eq(now_.client, before.client, "nothing is left for the client");
    }

    /// @dev The share of all ranges pays the audits at the floor rate, so it is due for those that were not audited, too.
    function test_aRangeThatWasNotAuditedBringsItsShare() public {
        id = keptJob(40, DEPOSIT);
        uint32 seq = ripe(id);
        while (case_(id, seq).outcome != IAudits.Outcome.Unaudited) {
            acknowledge(id, seq);
            seq = ripe(id);
        }
        uint256 worth = value(id, seq);
        uint256 record = audits.record(1);
        ok(record != 0, "what was audited before");
        Money memory before = money();
        lost(seq);
        Money memory now_ = money();
        about(now_.purse - before.purse, worth / 50, "its share");
        about(now_.client - before.client, worth / 20, "half of a tenth");
        eq(audits.record(1), record, "it has added nothing, and takes nothing");
    }

    /// @dev Else a record would cost a twentieth of what it says, and no work that anybody has seen. And whose range holders had no
    /// room for, as others fill their disks, keeps what it has earned before.
    function test_aRangeThatNobodyCouldHoldIsOnNoRecord() public {
        uint32 paid = ripe(id);
        acknowledge(id, paid);
        (uint32 seq,) = dear();
        uint256 record = audits.record(1);
        uint256 worth = value(id, seq);
        ok(worth != 0 && record >= value(id, paid) + worth, "upheld is on record");
        opened(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Again);
        eq(audits.record(1), record, "it may be held the second time");
        eq(registry.provider(ownerOf(1)).stake, STAKE, "and costs nothing so far");
        opened(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        eq(audits.record(1), record - worth, "what it was before");
        ok(audits.rateOf(1) < Parameters.ONE, "no newcomer");
    }

    /// @dev What the range has added may be gone already: overturned elsewhere in the meantime, it begins anew.
    function test_aRecordThatWasLostMeanwhileIsNoneThen() public {
        (uint32 seq,) = dear();
        vm.prank(address(replicas));
        bench.forget(1);
        lost(seq);
        eq(audits.record(1), 0, "a newcomer");
        eq(audits.rateOf(1), Parameters.ONE, "always audited");
    }
}
