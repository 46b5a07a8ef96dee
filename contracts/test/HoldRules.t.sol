// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {HoldRules} from "../src/libraries/HoldRules.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev The rules of kept ranges alone: what Rust computed is computed again here.
contract HoldRulesTest is T {
    string internal json;

    function setUp() public {
        json = vm.readFile("../vectors/trust.json");
    }

    function column(string memory table, string memory name) internal view returns (uint256[] memory numbers) {
        string[] memory texts = vm.parseJsonStringArray(json, string.concat(".holding.", table, ".", name));
        numbers = new uint256[](texts.length);
        for (uint256 i = 0; i < texts.length; ++i) {
            numbers[i] = vm.parseUint(texts[i]);
        }
    }

    function parameter(string memory name) internal view returns (uint256) {
        return vm.parseUint(abi.decode(vm.parseJson(json, string.concat(".holding.parameters.", name)), (string)));
    }

    function test_parametersAreThoseOfRust() public view {
        eq(Parameters.HOLD_TIME, parameter("holdTime"), "time");
        eq(Parameters.ASK_FIRST, parameter("askFirst"), "time of the provider alone");
        eq(Parameters.FIRST_HOLDERS, parameter("firstHolders"), "first");
        eq(Parameters.HOLDERS, parameter("holders"), "all");
        eq(Parameters.HOLD_ASKS, parameter("asks"), "asks");
        eq(Parameters.NOT_HELD, parameter("notHeld"), "penalty");
        eq(Parameters.INPUTS_LOST, parameter("inputsLost"), "lost inputs, and the least for a range");
        eq(Parameters.MAX_KEEP, parameter("maxKeep"), "longest time");
        eq(Parameters.MOST_MIB, parameter("mostMib"), "largest content of a range");
        eq(Parameters.MOST_INPUTS_MIB, parameter("mostInputsMib"), "largest inputs");
        eq(Parameters.INPUTS, parameter("inputs"), "inputs");
        eq(Parameters.INPUTS_AFTER, parameter("inputsAfter"), "how long inputs are kept");
        eq(Draw.HOLDER, parameter("purpose"), "purpose");
        eq(Draw.SPOT, parameter("spot"), "purpose of who looks");
        eq(Parameters.MOST_HELD, parameter("mostHeld"), "most votes that are held");
        eq(Parameters.SPOTTERS, parameter("spotters"), "who looks");
        eq(Parameters.SPOT_TIME, parameter("spotTime"), "time to look");
        eq(Parameters.SPOT_DUE, parameter("spotDue"), "time to call for that");
    }

    function test_feesAreThoseOfRust() public view {
        uint256[] memory least = column("fees", "least");
        uint256[] memory mib = column("fees", "mib");
        uint256[] memory perMib = column("fees", "perMib");
        uint256[] memory perMibDay = column("fees", "perMibDay");
        uint256[] memory keepSeconds = column("fees", "keepSeconds");
        uint256[] memory fee = column("fees", "fee");
        uint256[] memory cost = column("fees", "cost");
        ok(fee.length >= 20, "there are vectors");
        for (uint256 i = 0; i < fee.length; ++i) {
            uint256 got = HoldRules.fee(least[i], mib[i], perMib[i], perMibDay[i], keepSeconds[i]);
            eq(got, fee[i], "fee");
            eq(HoldRules.cost(got, least[i]), cost[i], "cost");
        }
    }

    function test_majoritiesAreThoseOfRust() public view {
        uint256[] memory elapsed = column("majorities", "elapsed");
        uint256[] memory votes = column("majorities", "votes");
        uint256[] memory open = column("majorities", "open");
        uint256[] memory held = column("majorities", "held");
        ok(held.length >= 20, "there are vectors");
        for (uint256 i = 0; i < held.length; ++i) {
            uint256 got = HoldRules.openDraws(elapsed[i]);
            eq(got, open[i], "draws");
            ok(HoldRules.isMajority(votes[i], got) == (held[i] == 1), "majority");
        }
    }

    function test_whatALostRangeCostsIsThatOfRust() public view {
        uint256[] memory value = column("lost", "value");
        uint256[] memory least = column("lost", "least");
        uint256[] memory due = column("lost", "due");
        ok(due.length >= 20, "there are vectors");
        for (uint256 i = 0; i < due.length; ++i) {
            eq(HoldRules.lost(value[i], least[i]), due[i], "what it costs");
        }
    }

    function test_whoServesIsThoseOfRust() public view {
        uint256[] memory seen = column("served", "seen");
        uint256[] memory votes = column("served", "votes");
        uint256[] memory bits = column("served", "bits");
        ok(bits.length >= 20, "there are vectors");
        for (uint256 i = 0; i < bits.length; ++i) {
            eq(HoldRules.served(seen[i], votes[i]), bits[i], "served");
        }
    }

    /// @dev What is reserved with the first ask pays for both.
    function test_twoAsksCostNoMoreThanAllDraws() public pure {
        uint256 worst = (Parameters.HOLDERS - 1) / 2;
        ok(!HoldRules.isMajority(worst, Parameters.HOLDERS), "a first ask that fails");
        ok(HoldRules.isMajority(worst + 1, Parameters.HOLDERS), "a second one that does not");
        eq(2 * worst + 1, Parameters.HOLDERS, "together");
        ok(!HoldRules.isMajority(0, 0) && Parameters.HOLDERS <= 16, "bits");
    }
}
