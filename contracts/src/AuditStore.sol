// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title What Audits stores, its views, and what its moves share.
/// @dev Only Audits builds on it; apart for the reader's sake.
abstract contract AuditStore is IAudits {
    using SafeCast for uint256;

    /// @dev What a case needs to know of its range, read when it is needed.
    struct Subject {
        IJobBook.Range range;
        address client;
        uint256 value;
        uint256 prepare;
    }

    IJobBook public immutable jobBook;
    IRegistry public immutable registry;
    IAuditors public immutable auditors;
    ILedger public immutable ledger;
    IRandomness public immutable randomness;
    /// @notice Ranges worth at most this have one auditor first; base units.
    uint256 public immutable smallValue;

    mapping(uint256 key => Case) internal _cases;
    mapping(uint256 key => mapping(uint256 seat => Seat)) internal _seats;
    /// @inheritdoc IAudits
    mapping(uint32 provider => uint128) public record;
    /// @inheritdoc IAudits
    mapping(address owner => uint128) public owed;

    constructor(
        IJobBook jobBook_,
        IRegistry registry_,
        IAuditors auditors_,
        ILedger ledger_,
        IRandomness randomness_,
        uint256 smallValue_
    ) {
        (uint128 cap,) = ledger_.module(address(this));
        if (cap == 0 || address(jobBook_) == address(0) || address(randomness_) == address(0)) revert BadDeployment();
        if (address(registry_) == address(0) || address(auditors_) == address(0)) revert BadDeployment();
        (jobBook, registry, auditors) = (jobBook_, registry_, auditors_);
        (ledger, randomness, smallValue) = (ledger_, randomness_, smallValue_);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IAudits
    function auditCase(uint64 jobId, uint32 seq) external view returns (Case memory) {
        return _cases[_key(jobId, seq)];
    }

    /// @inheritdoc IAudits
    function seat(uint64 jobId, uint32 seq, uint8 number) external view returns (Seat memory) {
        return _seats[_key(jobId, seq)][number];
    }

    /// @inheritdoc IAudits
    function rateOf(uint32 provider) public view returns (uint256) {
        return AuditRules.rate(record[provider], smallValue * Parameters.HALF_RECORD_SMALL_VALUES);
    }

    // ------------------------------------------------------------------ small things

    function _key(uint64 jobId, uint32 seq) internal pure returns (uint256) {
        return uint256(jobId) << 32 | seq;
    }

    function _caseIn(uint64 jobId, uint32 seq, State state) internal view returns (Case storage c) {
        c = _cases[_key(jobId, seq)];
        if (c.state != state) revert WrongState(jobId, seq, c.state);
    }

    function _timely(uint64 jobId, uint32 seq, State state) internal view returns (Case storage c) {
        c = _caseIn(jobId, seq, state);
        if (block.timestamp > c.deadline) revert TooLate(c.deadline);
    }

    function _after(uint256 time) internal view returns (uint40) {
        return (block.timestamp + time).toUint40();
    }

    function _subject(uint64 jobId, uint32 seq) internal view returns (Subject memory s) {
        s.range = jobBook.range(jobId, seq);
        (s.client, s.prepare) = jobBook.subjectOf(jobId);
        s.value = uint256(s.range.units) * s.range.price;
    }

    /// @dev Only after `draw`, which keeps the beacon's value.
    function _seed(Case storage c, uint64 jobId, uint32 seq, uint8 stage) internal view returns (bytes32) {
        return Draw.seedOf(randomness.value(c.round), jobId, seq, stage);
    }

    function _decision(Case storage c, uint64 jobId, uint32 seq, bytes32 beacon)
        internal
        view
        returns (AuditRules.Decision)
    {
        return AuditRules.decide(Draw.seedOf(beacon, jobId, seq, 0), c.rate);
    }

    function _seatOf(uint64 jobId, uint32 seq, Case storage c, uint8 number, SeatState state)
        internal
        view
        returns (Seat storage s)
    {
        s = _seats[_key(jobId, seq)][number];
        if (number >= c.given || s.stage != c.stage || s.state != state) revert WrongSeat(number);
    }

    function _leastFee() internal view returns (uint256) {
        return smallValue / Parameters.MIN_FEE_PART;
    }

    /// @dev What the purse puts aside for the audit of a range worth so much.
    function _purseShare(uint256 value) internal pure returns (uint256) {
        return value * Parameters.PURSE_SHARE / Parameters.ONE;
    }

    /// @dev What the purse gets from a range worth so much when it is settled.
    function _charge(Case storage c, uint256 value, bool upheld) internal view returns (uint256 charge) {
        charge = value * Parameters.AUDIT_SHARE / Parameters.ONE;
        if (c.atProvidersCost && upheld) charge += uint256(c.fee) * c.first;
        uint256 most = value * Parameters.MAX_CHARGE / Parameters.ONE;
        if (charge > most) charge = most;
    }

    function _backing(uint32 provider) internal view returns (uint128 stake, uint128 unbonding, uint128 exposure) {
        return registry.backing(provider);
    }

    function _holder(uint32 auditor) internal view returns (address owner, address node, uint256 reach) {
        return auditors.holder(auditor);
    }

    // ------------------------------------------------------------------ seats

    function _inStage(uint64 jobId, uint32 seq, Case storage c, SeatState state) internal view returns (uint256 n) {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        for (uint256 i = 0; i < c.given; ++i) {
            if (seats[i].stage == c.stage && seats[i].state == state) ++n;
        }
    }

    /// @dev The answers of all who have revealed, each as often as it was drawn.
    function _votes(uint64 jobId, uint32 seq, Case storage c) internal view returns (bytes32[] memory votes) {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        votes = new bytes32[](c.votes);
        uint256 n = 0;
        for (uint256 i = 0; i < c.given; ++i) {
            if (seats[i].state != SeatState.Revealed) continue;
            for (uint256 more = seats[i].votes; more != 0; --more) {
                votes[n++] = seats[i].word;
            }
        }
        // Cuts the array to what was filled.
        assembly ("memory-safe") {
            mstore(votes, n)
        }
    }

    function _positionOf(uint256 positions, uint256 i) internal pure returns (uint256) {
        return positions >> 32 * i & type(uint32).max;
    }

    function _drawnBefore(uint256 positions, uint256 i, uint256 position) internal pure returns (bool) {
        for (uint256 j = 0; j < i; ++j) {
            if (_positionOf(positions, j) == position) return true;
        }
        return false;
    }
}
