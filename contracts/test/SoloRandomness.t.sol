// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {SoloRandomness} from "../src/SoloRandomness.sol";

/// @dev When rounds get their values, and what happens to those that nobody kept.
contract SoloRandomnessTest is T {
    SoloRandomness internal beacon = SoloRandomness(created("SoloRandomness", ""));

    function setUp() public {
        vm.roll(1_000);
    }

    function test_aRoundIsKnownAfterItsBlockOnly() public {
        uint64 round = beacon.roundNow();
        eq(round, 1_002, "two blocks later");
        for (uint256 at = 1_000; at <= 1_002; ++at) {
            vm.roll(at);
            eq(beacon.value(round), 0, "not known");
            eq(beacon.note(round), 0, "nothing to keep");
        }
        vm.roll(1_003);
        bytes32 value = beacon.value(round);
        ok(value != 0, "known");
        eq(value, keccak256(abi.encodePacked(round, blockhash(round))), "of the block's hash");
        eq(beacon.note(round), value, "kept");
        vm.roll(1_003 + 1_000);
        eq(beacon.value(round), value, "for good");
        eq(beacon.note(round), value, "noting again changes nothing");
    }

    function test_aForgottenRoundMovesOnce() public {
        uint64 round = beacon.roundNow();
        vm.roll(round + 256);
        ok(beacon.value(round) != 0, "the last chance");
        vm.roll(round + 257);
        eq(beacon.value(round), 0, "its hash is gone");
        eq(beacon.note(round), 0, "moved");
        uint256 to = round + 257 + 2;
        vm.roll(to);
        eq(beacon.note(round), 0, "not known yet");
        vm.roll(to + 1);
        bytes32 value = beacon.note(round);
        eq(value, keccak256(abi.encodePacked(round, blockhash(to))), "of the later block");
        vm.roll(to + 5);
        eq(beacon.note(round), value, "and stays there");
        eq(beacon.lapses(round), 1, "it was missed once");
    }

    function test_aRoundForgottenTwiceIsLost() public {
        uint64 round = beacon.roundNow();
        eq(beacon.lapses(round), 0, "not missed");
        vm.roll(round + 257);
        beacon.note(round);
        eq(beacon.lapses(round), 1, "missed once");
        vm.roll(round + 257 + 2 + 257);
        eq(beacon.note(round), 0, "no third chance");
        eq(beacon.lapses(round), 2, "missed twice");
        vm.roll(round + 257 + 2 + 257 + 3);
        eq(beacon.note(round), 0, "never");
        eq(beacon.value(round), 0, "never");
        eq(beacon.lapses(round), 2, "for good");
    }

    /// @dev Who would like another value cannot have a round moved whose block is to come, nor one that somebody has kept.
    function test_nobodyMovesARoundThatIsNotForgotten() public {
        uint64 round = beacon.roundNow();
        for (uint64 later = 0; later < 1_000; later += 333) {
            eq(beacon.note(round + later), 0, "to come");
            eq(beacon.lapses(round + later), 0, "not missed");
        }
        vm.roll(round + 256);
        bytes32 value = beacon.note(round);
        ok(value != 0, "kept in the last block");
        vm.roll(round + 257);
        eq(beacon.note(round), value, "for good");
        eq(beacon.lapses(round), 0, "never missed");
    }

    function test_differentRoundsHaveDifferentValues() public {
        vm.roll(1_100);
        ok(beacon.value(1_050) != beacon.value(1_051), "different blocks");
    }
}
