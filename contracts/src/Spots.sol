// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {IHolders} from "./interfaces/IHolders.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {ISpots} from "./interfaces/ISpots.sol";
import {Draw} from "./libraries/Draw.sol";
import {HoldRules} from "./libraries/HoldRules.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Whether those who hold a content serve it when their time is over, by the eyes of newly drawn auditors.
/// @dev Calls go to Holders, Auditors and the beacon, none of which calls this one.
contract Spots is ISpots {
    using SafeCast for uint256;

    IHolders public immutable holders;
    IAuditors public immutable auditors;
    IRandomness public immutable randomness;

    mapping(uint256 key => Spot) private _spots;

    constructor(IHolders holders_, IAuditors auditors_, IRandomness randomness_) {
        if (address(holders_) == address(0) || address(auditors_) == address(0)) revert BadDeployment();
        if (address(randomness_) == address(0)) revert BadDeployment();
        (holders, auditors, randomness) = (holders_, auditors_, randomness_);
    }

    /// @inheritdoc ISpots
    function check(uint64 jobId, uint32 seq) external {
        uint256 until = _held(jobId, seq).until;
        Spot storage s = _spots[_key(jobId, seq)];
        if (s.state != SpotState.None) revert WrongSpot(jobId, seq, s.state);
        if (block.timestamp <= until && !holders.isGivenUp(jobId, seq)) revert TooEarly(until);
        uint256 end = until + Parameters.SPOT_DUE;
        if (block.timestamp > end) revert TooLate(end);
        (s.round, s.asOf, s.state) = (randomness.roundNow(), (block.timestamp - 1).toUint40(), SpotState.Asked);
        emit SpotAsked(jobId, seq, s.round, (s.asOf + Parameters.SPOT_TIME).toUint40());
    }

    /// @inheritdoc ISpots
    function spot(uint64 jobId, uint32 seq, uint8 draw, uint16 seen) external {
        Spot memory s = _spots[_key(jobId, seq)];
        if (s.state != SpotState.Asked) revert WrongSpot(jobId, seq, s.state);
        uint256 end = s.asOf + Parameters.SPOT_TIME;
        if (block.timestamp > end) revert TooLate(end);
        if (draw >= Parameters.SPOTTERS) revert NoSuchDraw(draw);
        if (s.bits >> draw & 1 != 0) revert LookedAlready(draw);
        if (seen & ~holders.asked(jobId, seq).bits != 0) revert NotSigned(seen);
        // Somebody may have waited for a value that suits it.
        bool known = randomness.note(s.round) != 0 && randomness.lapses(s.round) == 0;
        if (!known) revert BeaconUnknown(s.round);
        uint32[] memory numbers = _drawn(jobId, seq, s, draw, 1);
        if (numbers.length == 0) revert NotSpotter(msg.sender);
        address owner = _spotter(numbers[0]);
        (s.bits, s.votes) = (s.bits | uint256(1 << draw).toUint8(), s.votes + 1);
        // Four bits a draw: at most SPOTTERS.
        for (uint256 i = 0; i < Parameters.HOLDERS; ++i) {
            s.seen += (uint256(seen >> i & 1) << 4 * i).toUint64();
        }
        _spots[_key(jobId, seq)] = s;
        emit Spotted(jobId, seq, numbers[0], draw, seen, holders.payLook(jobId, owner));
    }

    /// @inheritdoc ISpots
    function conclude(uint64 jobId, uint32 seq) external {
        uint256 until = _held(jobId, seq).until;
        Spot storage s = _spots[_key(jobId, seq)];
        if (s.state == SpotState.Over) revert WrongSpot(jobId, seq, s.state);
        uint256 end = s.state == SpotState.None ? until + Parameters.SPOT_DUE : s.asOf + Parameters.SPOT_TIME;
        if (block.timestamp <= end) revert TooEarly(end);
        s.state = SpotState.Over;
        uint16 served = HoldRules.served(s.seen, s.votes).toUint16();
        uint96 fee = holders.payServed(jobId, seq, served, Parameters.SPOTTERS - s.votes);
        emit SpotOver(jobId, seq, served, fee);
    }

    /// @inheritdoc ISpots
    function spotOf(uint64 jobId, uint32 seq) external view returns (Spot memory) {
        return _spots[_key(jobId, seq)];
    }

    /// @inheritdoc ISpots
    function spotters(uint64 jobId, uint32 seq) external view returns (uint32[] memory numbers) {
        Spot memory s = _spots[_key(jobId, seq)];
        if (s.round == 0 || randomness.value(s.round) == 0) return numbers;
        return _drawn(jobId, seq, s, 0, Parameters.SPOTTERS);
    }

    /// @dev Whom the draws from `first` on name, without provider and client. Only while the beacon's value is known.
    function _drawn(uint64 jobId, uint32 seq, Spot memory s, uint32 first, uint256 wanted)
        private
        view
        returns (uint32[] memory)
    {
        (address client, address provider) = holders.partiesOf(jobId, seq);
        uint32[] memory out = new uint32[](2);
        (out[0], out[1]) = (auditors.numberOf(provider), auditors.numberOf(client));
        bytes32 seed = Draw.seedOf(randomness.value(s.round), jobId, seq, 0);
        return auditors.drawn(seed, Draw.SPOT, first, wanted, out, s.asOf);
    }

    /// @dev The owner of an auditor whose node key calls.
    function _spotter(uint32 number) private view returns (address) {
        (address owner, address node, uint256 reach) = auditors.holder(number);
        if (node != msg.sender) revert NotSpotter(msg.sender);
        // Who has nothing to lose now has no vote.
        if (reach == 0) revert NothingAtStake(number);
        return owner;
    }

    /// @dev The ask of a content that is held.
    function _held(uint64 jobId, uint32 seq) private view returns (IHolders.Ask memory a) {
        a = holders.asked(jobId, seq);
        if (a.state != IHolders.State.Held) revert NotHeld(jobId, seq, uint8(a.state));
    }

    function _key(uint64 jobId, uint32 seq) private pure returns (uint256) {
        return uint256(jobId) << 32 | seq;
    }
}
