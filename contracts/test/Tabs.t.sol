// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {Vm} from "./T.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";

contract TabsTest is Network {
    bytes32 internal constant BOOK = "book";
    uint256 internal constant PROVIDERS = 3;
    address internal constant OTHER = address(0x07E4);

    function setUp() public override {
        super.setUp();
        for (uint256 i = 1; i <= PROVIDERS; ++i) {
            provider(i, 1, 0);
        }
        fund(OTHER, 1_000 ether);
    }

    function numberOf(uint256 n) internal view returns (uint32) {
        return registry.provider(ownerOf(n)).number;
    }

    function line(uint256 n, uint128 total) internal view returns (ITabs.Line memory) {
        return ITabs.Line({provider: numberOf(n), total: total, answers: 7, receipts: keccak256(abi.encode(n, total))});
    }

    function just(uint256 n, uint128 total) internal view returns (ITabs.Line[] memory lines) {
        lines = new ITabs.Line[](1);
        lines[0] = line(n, total);
    }

    function settle(address payer, bytes32 book_, ITabs.Line[] memory lines) internal returns (uint128) {
        vm.prank(payer);
        return tabs.settle(book_, lines);
    }

    /// @dev All that anybody has in the ledger: nothing is made and nothing lost.
    function all() internal view returns (uint256 sum) {
        sum = free(CLIENT) + free(OTHER) + free(TREASURY) + locked(CLIENT) + locked(OTHER);
        for (uint256 i = 1; i <= PROVIDERS; ++i) {
            sum += free(ownerOf(i)) + locked(ownerOf(i));
        }
    }

    function test_whatIsAboveTheLastTotalIsPaidOnceLessTheFee() public {
        uint256 had = free(CLIENT);
        ITabs.Line[] memory lines = new ITabs.Line[](2);
        (lines[0], lines[1]) = (line(1, 1_000_099), line(2, 99));
        eq(settle(CLIENT, BOOK, lines), 1_000_198, "taken");
        eq(free(CLIENT), had - 1_000_198, "from the payer");
        eq(locked(CLIENT), 0, "nothing stays locked");
        eq(free(ownerOf(1)), 1_000_099 - 10_000, "to the owner, the fee rounded down");
        eq(free(ownerOf(2)), 99, "no fee of dust");
        eq(free(TREASURY), 10_000, "the fee");
        eq(tabs.settled(CLIENT, BOOK, numberOf(1)), 1_000_099, "the total");
        // The same again, and an older one: as after a crash, or from an earlier copy of the books.
        eq(settle(CLIENT, BOOK, lines), 0, "twice pays once");
        eq(settle(CLIENT, BOOK, just(1, 5)), 0, "less pays nothing");
        eq(tabs.settled(CLIENT, BOOK, numberOf(1)), 1_000_099, "no total shrinks");
        (lines[0], lines[1]) = (line(1, 1_000_199), line(1, 1_000_299));
        eq(settle(CLIENT, BOOK, lines), 200, "twice in one batch: each pays its part");
        eq(free(CLIENT), had - 1_000_398, "all in all");
        (, uint128 held) = ledger.module(address(tabs));
        eq(held, 0, "the module holds nothing");
    }

    function test_tabsOfOtherPayersAndOtherBooksAreOtherTabs() public {
        settle(CLIENT, BOOK, just(1, 500));
        eq(settle(OTHER, BOOK, just(1, 300)), 300, "another payer");
        eq(settle(CLIENT, "second", just(1, 200)), 200, "another book");
        uint32[] memory providers = new uint32[](3);
        (providers[0], providers[1], providers[2]) = (numberOf(1), numberOf(2), 999);
        uint128[] memory totals = tabs.settledOf(CLIENT, BOOK, providers);
        eq(totals[0], 500, "the first");
        eq(uint256(totals[1]) + totals[2], 0, "no tab");
    }

    function test_whoeverOwnsTheNumberIsPaidWhateverTheNodeKey() public {
        settle(CLIENT, BOOK, just(1, 10_000));
        IRegistry.Consent memory agreed = consent(77, ownerOf(1));
        vm.prank(ownerOf(1));
        registry.setNode(nodeOf(77), agreed);
        eq(settle(CLIENT, BOOK, just(1, 20_000)), 10_000, "the same tab");
        eq(free(ownerOf(1)), 19_800, "the same owner");
        // Working for oneself costs the fee and nothing else.
        fund(ownerOf(1), 1 ether);
        uint256 had = free(ownerOf(1));
        settle(ownerOf(1), BOOK, just(1, 10_000));
        eq(free(ownerOf(1)), had - 100, "the fee");
    }

    function test_eventsSayWhatWasPaidForWhat() public {
        vm.recordLogs();
        settle(CLIENT, BOOK, just(2, 10_000));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[0].emitter, address(tabs), "first of all");
        eq(
            logs[0].topics[0],
            keccak256("TabSettled(address,uint32,address,bytes32,uint128,uint128,uint128,uint64,bytes32)"),
            "the event"
        );
        eq(logs[0].topics[1], bytes32(uint256(uint160(CLIENT))), "payer");
        eq(logs[0].topics[2], bytes32(uint256(numberOf(2))), "provider");
        eq(logs[0].topics[3], bytes32(uint256(uint160(ownerOf(2)))), "owner");
        bytes32 receipts = keccak256(abi.encode(uint256(2), uint128(10_000)));
        eq(
            keccak256(logs[0].data),
            keccak256(abi.encode(BOOK, uint128(10_000), uint128(9_900), uint128(100), uint64(7), receipts)),
            "the rest"
        );
        vm.recordLogs();
        settle(CLIENT, BOOK, just(2, 10_000));
        eq(vm.getRecordedLogs().length, 0, "what pays nothing says nothing");
    }

    function test_whatCannotBeIsRefusedWhole() public {
        ITabs.Line[] memory lines = new ITabs.Line[](2);
        (lines[0], lines[1]) = (line(1, 100), line(1, 100));
        lines[1].provider = 999;
        vm.expectRevert(abi.encodeWithSelector(ITabs.NoSuchProvider.selector, uint32(999)));
        settle(CLIENT, BOOK, lines);
        eq(free(ownerOf(1)), 0, "none of it");
        lines = new ITabs.Line[](101);
        vm.expectRevert(abi.encodeWithSelector(ITabs.TooManyLines.selector, 101, 100));
        settle(CLIENT, BOOK, lines);
        uint128 had = uint128(free(OTHER));
        ITabs.Line[] memory dear = just(1, had + 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, OTHER, had, had + 1));
        settle(OTHER, BOOK, dear);
        eq(tabs.settled(OTHER, BOOK, numberOf(1)), 0, "what was not paid is not settled");
        eq(settle(OTHER, BOOK, just(1, had)), had, "all there is");
        dear = just(1, type(uint128).max);
        vm.expectPartialRevert(ILedger.InsufficientFree.selector);
        settle(CLIENT, BOOK, dear);
        eq(settle(CLIENT, BOOK, new ITabs.Line[](0)), 0, "an empty batch");
    }

    function test_deploymentsThatCannotWorkAreRefused() public {
        ok(tabsWith(ledgerOfNext(1), address(registry), TREASURY, 500) != address(0), "with all");
        tabsRefuse(ledgerOfNext(1), address(registry), address(0), FEE_BPS, "without a treasury");
        tabsRefuse(ledgerOfNext(1), address(registry), TREASURY, 501, "with a fee above the cap");
        tabsRefuse(ledgerOfNext(1), address(0), TREASURY, FEE_BPS, "without a registry");
        tabsRefuse(ILedger(address(0)), address(registry), TREASURY, FEE_BPS, "without a ledger");
        tabsRefuse(ledger, address(registry), TREASURY, FEE_BPS, "without a right in the ledger");
    }

    /// @dev For the reason that it gives itself: a call to no ledger would fail without one.
    function tabsRefuse(ILedger ledger_, address registry_, address treasury, uint16 fee, string memory why) internal {
        address at = tabsWith(ledger_, registry_, treasury, fee);
        bytes4 reason;
        assembly ("memory-safe") {
            // What the constructor reverted with.
            if gt(returndatasize(), 3) {
                mstore(0, 0)
                returndatacopy(0, 0, 4)
                reason := mload(0)
            }
        }
        ok(at == address(0) && reason == ITabs.BadDeployment.selector, why);
    }

    function tabsWith(ILedger ledger_, address registry_, address treasury, uint16 fee) internal returns (address) {
        return created("Tabs", abi.encode(ledger_, registry_, treasury, fee));
    }

    /// @dev Any statements in any order, each sent as often as one likes: everybody has at the end what the highest totals
    /// say, to the unit, and what each call says that it took is what it took.
    function testFuzz_anyOrderPaysTheHighestTotals(uint128[12] calldata totals, uint256 who) public {
        uint256 sum = all();
        uint128[4] memory highest;
        uint256[4] memory got;
        uint256 fees = 0;
        (uint256 client, uint256 other) = (free(CLIENT), free(OTHER));
        for (uint256 i = 0; i < totals.length; ++i) {
            uint256 pick = (who >> (8 * i)) % 256;
            address payer = pick % 2 == 0 ? CLIENT : OTHER;
            uint256 n = 1 + pick % 2;
            uint128 total = uint128(bound(totals[i], 0, 900 ether));
            uint256 slot = n;
            uint128 due = total > highest[slot] ? total - highest[slot] : 0;
            eq(settle(payer, BOOK, just(n, total)), due, "taken");
            eq(settle(payer, BOOK, just(n, total)), 0, "and once");
            if (due != 0) highest[slot] = total;
            got[slot] += due - uint256(due) * FEE_BPS / 10_000;
            fees += uint256(due) * FEE_BPS / 10_000;
            eq(tabs.settled(payer, BOOK, numberOf(n)), highest[slot], "the total");
        }
        eq(client - free(CLIENT), highest[1], "the client paid its highest total");
        eq(other - free(OTHER), highest[2], "so did the other");
        eq(free(ownerOf(1)), got[1], "the first provider");
        eq(free(ownerOf(2)), got[2], "the second provider");
        eq(free(TREASURY), fees, "the fees");
        eq(all(), sum, "nothing is made and nothing lost");
        (, uint128 held) = ledger.module(address(tabs));
        eq(held, 0, "the module holds nothing");
    }
}
