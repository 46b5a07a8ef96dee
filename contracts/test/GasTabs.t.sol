// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";

/// @dev What settling tabs costs; written to snapshots/tabs.json and compared there by every test run.
contract GasTabsTest is Network {
    string internal constant GROUP = "tabs";
    bytes32 internal constant BOOK = "book";
    /// @dev Nothing in it is settled yet.
    bytes32 internal constant NEW_BOOK = "another book";

    function lines(uint32 n, uint128 total) internal pure returns (ITabs.Line[] memory all) {
        all = new ITabs.Line[](n);
        for (uint32 i = 0; i < n; ++i) {
            all[i] = ITabs.Line({provider: i + 1, total: total, answers: 1_000, receipts: keccak256("receipts")});
        }
    }

    function settle(bytes32 book_, uint32 n, uint128 total, string memory name) internal returns (uint256) {
        ITabs.Line[] memory all = lines(n, total);
        vm.prank(CLIENT);
        tabs.settle(book_, all);
        return vm.snapshotGasLastCall(GROUP, name);
    }

    function test_settle() public {
        for (uint256 i = 1; i <= 100; ++i) {
            provider(i, 1, 0);
        }
        settle(BOOK, 1, 1 ether, "settle 1, new");
        settle(BOOK, 1, 2 ether, "settle 1");
        settle(BOOK, 1, 2 ether, "settle 1, nothing due");
        uint256 fresh = settle(NEW_BOOK, 100, 3 ether, "settle 100, new");
        uint256 again = settle(NEW_BOOK, 100, 4 ether, "settle 100");
        vm.assertLe(fresh, 7_500_000, "a full batch of new tabs fits any block");
        vm.assertLe(again / 100, 30_000, "a line of a full batch");
    }
}
