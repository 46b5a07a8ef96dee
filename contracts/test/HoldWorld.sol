// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Kept jobs, their deposits, and holders. Provider 1 does all ranges; auditors hold them.
abstract contract HoldWorld is ReplicaWorld {
    uint32 internal constant INPUTS = type(uint32).max;
    uint32 internal constant MIB = 30;
    uint96 internal constant DEPOSIT = 400 ether;
    /// @dev Half of 0.01 (the least fee), 30 x 0.02 and 30 x 7 x 0.01; and of 100 instead of 30.
    uint256 internal constant FEE = 1.355 ether;
    uint256 internal constant MAX_FEE = 4.505 ether;
    /// @dev What one earns who looks whether holders serve.
    uint256 internal constant LEAST = 0.01 ether;

    /// @dev What is reserved for the holders of a job's inputs until they are looked at.
    mapping(uint64 jobId => uint256) internal forInputs;

    /// @dev What a content costs at most whose votes earn so much.
    function cost(uint256 fee) internal pure returns (uint256) {
        return 23 * fee + 7 * LEAST;
    }

    /// @dev What stays reserved of it when so many votes hold it.
    function second(uint256 votes, uint256 fee) internal pure returns (uint256) {
        return votes * fee + 7 * LEAST;
    }

    function prices() internal pure returns (IHolders.Prices memory) {
        return IHolders.Prices({maxMib: 100, perMib: 0.02 ether, perMibDay: 0.01 ether, keepSeconds: 7 days});
    }

    function keptTerms(uint32 range) internal view returns (IJobBook.Terms memory t) {
        t = auditedTerms(range);
        t.kept = true;
    }

    function fund_(uint64 id, uint96 amount) internal {
        vm.prank(CLIENT);
        holders.fund(id, prices(), amount);
    }

    /// @dev A kept job whose inputs are held, and which has such a deposit for what it makes.
    function keptJob(uint32 range, uint96 deposit) internal returns (uint64 id) {
        return keptJobOf(keptTerms(range), 20_000 ether, deposit);
    }

    function keptJobOf(IJobBook.Terms memory t, uint128 funds, uint96 deposit) internal returns (uint64 id) {
        id = openJob(t, funds);
        uint256 fee = inputsFee(id, 1);
        forInputs[id] = second(4, fee);
        fund_(id, uint96(deposit + 4 * fee + second(4, fee)));
        askInputs(id, 1);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 4);
        stands(id, INPUTS, IHolders.State.Held);
        isMoney(id, deposit, 0);
    }

    function askInputs(uint64 id, uint32 mib) internal {
        vm.prank(CLIENT);
        holders.ask(id, INPUTS, mib);
    }

    /// @dev What each vote for so many MiB of inputs earns now: they are kept for a week after the deadline.
    function inputsFee(uint64 id, uint96 mib) internal view returns (uint96) {
        uint256 time = book.job(id).terms.deadline + 7 days - vm.getBlockTimestamp();
        return uint96((0.01 ether + mib * 0.02 ether + mib * 0.01 ether * time / 1 days) / 2);
    }

    /// @dev A range that could be paid but for its holders.
    function ripe(uint64 id) internal returns (uint32 seq) {
        seq = work(id, false);
        audit(id, seq, false, 0);
        windowOver(id, seq);
    }

    function windowOver(uint64 id, uint32 seq) internal {
        uint256 end = book.range(id, seq).at + 3600;
        if (vm.getBlockTimestamp() < end) vm.warp(end);
    }

    function asks(uint64 id, uint32 seq, uint32 mib) internal {
        vm.prank(nodeOf(1));
        holders.ask(id, seq, mib);
    }

    /// @dev An ask whose holders may sign.
    function opened(uint64 id, uint32 seq) internal {
        asks(id, seq, MIB);
        begun(id, seq);
    }

    function begun(uint64 id, uint32 seq) internal {
        passBlocks(3);
        holders.draw(id, seq);
    }

    function signs(uint64 id, uint32 seq, uint8 draw) internal returns (uint32 number) {
        number = holders.named(id, seq)[draw];
        vm.prank(auditorNode(number));
        holders.hold(id, seq, draw);
    }

    function sign(uint64 id, uint32 seq, uint8 from, uint8 to) internal {
        for (uint8 i = from; i < to; ++i) {
            signs(id, seq, i);
        }
    }

    /// @dev Auditors are called for to look who serves, and drawn.
    function looks(uint64 id, uint32 seq) internal {
        spots.check(id, seq);
        passBlocks(3);
        randomness.note(spots.spotOf(id, seq).round);
    }

    /// @dev All of them are drawn, as is due, and are among the twenty auditors who were there before.
    function wereThere(uint32[] memory drawn_, uint32[] memory due, uint256 count) internal pure {
        eq(drawn_.length, count, "all draws");
        for (uint256 i = 0; i < count; ++i) {
            ok(drawn_[i] == due[i] && drawn_[i] <= 20, "who was there before");
        }
    }

    function spotted(uint64 id, uint32 seq, uint8 draw, uint16 seen) internal returns (uint32 number) {
        number = spots.spotters(id, seq)[draw];
        vm.prank(auditorNode(number));
        spots.spot(id, seq, draw, seen);
    }

    /// @dev The time of those who look is over, and who was seen to serve is paid.
    function ends(uint64 id, uint32 seq) internal {
        vm.warp(spots.spotOf(id, seq).asOf + Parameters.SPOT_TIME + 1);
        spots.conclude(id, seq);
    }

    /// @dev Time passes until nobody may sign any more, and the ask ends.
    function nobodyMore(uint64 id, uint32 seq) internal {
        vm.warp(ask_(id, seq).from + 2 * Parameters.HOLD_TIME + 1);
        holders.fail(id, seq);
    }

    function ask_(uint64 id, uint32 seq) internal view returns (IHolders.Ask memory) {
        return holders.asked(id, seq);
    }

    function keep(uint64 id) internal view returns (IHolders.Keep memory) {
        return holders.kept(id);
    }

    function stands(uint64 id, uint32 seq, IHolders.State state) internal view {
        eq(uint256(ask_(id, seq).state), uint256(state), "state of the ask");
    }

    /// @dev Of the deposit of a job whose inputs are held that is what is not reserved for them.
    function isMoney(uint64 id, uint256 deposit, uint256 reserved) internal view {
        eq(keep(id).deposit, deposit + forInputs[id], "deposit");
        eq(keep(id).reserved, reserved + forInputs[id], "reserved");
    }

    function lockedByHolders() internal view returns (uint256) {
        (, uint128 sum) = ledger.module(address(holders));
        return sum;
    }

    /// @dev Anyone settles a range; whether it could be.
    function settles(uint64 id, uint32 seq) internal returns (bool) {
        try book.settle(id, one(seq)) returns (uint256) {
            return true;
        } catch {
            return false;
        }
    }
}
