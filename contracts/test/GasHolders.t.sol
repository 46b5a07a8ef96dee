// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What kept ranges cost, each call a transaction of its own. Twenty auditors; all accounts have history.
contract GasHoldersTest is HoldWorld {
    string internal constant GROUP = "holders";

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 16, 100_000 ether);
        someAuditors(20, 100 ether);
        for (uint256 n = 1; n <= 20; ++n) {
            fund(auditorOwner(n), 1);
        }
        id = keptJob(40, DEPOSIT);
        uint32 seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 4);
        settles(id, seq);
    }

    function test_heldRange() public {
        (uint32 seq,,) = claim(id, 1, 40);
        vm.snapshotGasLastCall(GROUP, "kept: claim");
        vm.prank(nodeOf(1));
        book.release(id, seq);
        seq = ripe(id);
        asks(id, seq, MIB);
        vm.snapshotGasLastCall(GROUP, "kept: ask");
        begun(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: draw");
        signs(id, seq, 0);
        vm.snapshotGasLastCall(GROUP, "kept: hold, first");
        signs(id, seq, 1);
        vm.snapshotGasLastCall(GROUP, "kept: hold");
        signs(id, seq, 2);
        signs(id, seq, 3);
        vm.snapshotGasLastCall(GROUP, "kept: hold, last");
        stands(id, seq, IHolders.State.Held);
        book.settle(id, one(seq));
        vm.snapshotGasLastCall(GROUP, "kept: settle 1, held");
    }

    function test_acknowledgedRange() public {
        uint32 seq = ripe(id);
        acknowledge(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: acknowledge 1");
    }

    function test_lostRange() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        nobodyMore(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: fail, first");
        asks(id, seq, MIB);
        vm.snapshotGasLastCall(GROUP, "kept: ask again");
        begun(id, seq);
        nobodyMore(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: fail, second");
        stands(id, seq, IHolders.State.Lost);
    }

    function test_spots() public {
        uint32 seq = ripe(id);
        opened(id, seq);
        sign(id, seq, 0, 4);
        book.settle(id, one(seq));
        vm.warp(ask_(id, seq).until + 1);
        spots.check(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: check");
        passBlocks(3);
        randomness.note(spots.spotOf(id, seq).round);
        spotted(id, seq, 0, 0xf);
        spotted(id, seq, 1, 0xf);
        vm.snapshotGasLastCall(GROUP, "kept: spot");
        for (uint8 i = 2; i < 7; ++i) {
            spotted(id, seq, i, 0xf);
        }
        ends(id, seq);
        vm.snapshotGasLastCall(GROUP, "kept: conclude, four are paid");
        ok(spots.spotOf(id, seq).state == ISpots.SpotState.Over, "over");
        vm.warp(ask_(id, INPUTS).until + Parameters.SPOT_DUE + 1);
        spots.conclude(id, INPUTS);
        vm.snapshotGasLastCall(GROUP, "kept: conclude, nobody has looked");
    }

    function test_inputs() public {
        uint64 other = openJob(keptTerms(40), 20_000 ether);
        fund_(other, DEPOSIT);
        askInputs(other, MIB);
        vm.snapshotGasLastCall(GROUP, "kept: ask for inputs");
        begun(other, INPUTS);
        signs(other, INPUTS, 0);
        signs(other, INPUTS, 1);
        vm.snapshotGasLastCall(GROUP, "kept: hold inputs");
    }

    function test_deposit() public {
        uint64 other = openJob(keptTerms(40), 20_000 ether);
        fund_(other, DEPOSIT);
        vm.snapshotGasLastCall(GROUP, "kept: fund");
        fund_(other, 1 ether);
        vm.snapshotGasLastCall(GROUP, "kept: fund more");
        vm.prank(CLIENT);
        holders.close(other);
        vm.snapshotGasLastCall(GROUP, "kept: close");
    }
}
