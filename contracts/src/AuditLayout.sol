// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title What Audits stores, and what the moves of a case share.
/// @dev Audits and AuditDesk build on it and nobody else: the code of AuditDesk runs on the storage of Audits, so whatever
/// either of them stores is declared here.
abstract contract AuditLayout {
    using SafeCast for uint256;

    /// @notice What both contracts are constructed with.
    struct Deployment {
        IBench bench;
        IJobBook jobBook;
        IRegistry registry;
        IAuditors auditors;
        ILedger ledger;
        IRandomness randomness;
        uint256 smallValue;
    }

    /// @dev What a case needs to know of its range, read when it is needed.
    struct Subject {
        IJobBook.Range range;
        address client;
        uint256 value;
        uint256 prepare;
    }

    IBench public immutable bench;
    IJobBook public immutable jobBook;
    IRegistry public immutable registry;
    IAuditors public immutable auditors;
    ILedger public immutable ledger;
    IRandomness public immutable randomness;
    /// @notice Ranges worth at most this have one auditor first; base units.
    uint256 public immutable smallValue;

    mapping(uint256 key => IAudits.Case) internal _cases;
    mapping(uint256 key => mapping(uint256 seat => IAudits.Seat)) internal _seats;
    mapping(uint32 provider => uint128) internal _record;
    mapping(address owner => uint128) internal _owed;

    constructor(Deployment memory d) {
        if (address(d.jobBook) == address(0) || address(d.registry) == address(0)) revert IAudits.BadDeployment();
        if (address(d.auditors) == address(0) || address(d.ledger) == address(0)) revert IAudits.BadDeployment();
        if (address(d.randomness) == address(0) || address(d.bench) == address(0)) revert IAudits.BadDeployment();
        (bench, jobBook, registry, auditors) = (d.bench, d.jobBook, d.registry, d.auditors);
        (ledger, randomness, smallValue) = (d.ledger, d.randomness, d.smallValue);
    }

    // ------------------------------------------------------------------ cases

    function _key(uint64 jobId, uint32 seq) internal pure returns (uint256) {
        return uint256(jobId) << 32 | seq;
    }

    function _caseIn(uint64 jobId, uint32 seq, IAudits.State state) internal view returns (IAudits.Case storage c) {
        c = _cases[_key(jobId, seq)];
        if (c.state != state) revert IAudits.WrongState(jobId, seq, c.state);
    }

    function _timely(uint64 jobId, uint32 seq, IAudits.State state) internal view returns (IAudits.Case storage c) {
        c = _caseIn(jobId, seq, state);
        if (block.timestamp > c.deadline) revert IAudits.TooLate(c.deadline);
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
    function _seed(IAudits.Case storage c, uint64 jobId, uint32 seq, uint8 stage) internal view returns (bytes32) {
        return Draw.seedOf(randomness.value(c.round), jobId, seq, stage);
    }

    function _leastFee() internal view returns (uint256) {
        return smallValue / Parameters.MIN_FEE_PART;
    }

    /// @dev What a vote earns at most for leaves that cost so much, each counted once.
    function _feeFor(uint256 worth) internal view returns (uint128) {
        uint256 fee = worth * Parameters.FEE_RATE / Parameters.ONE;
        return (fee < _leastFee() ? _leastFee() : fee).toUint128();
    }

    // ------------------------------------------------------------------ stages

    /// @dev Everybody drawn in this stage and not yet heard may commit.
    function _askForCommitments(uint64 jobId, uint32 seq, IAudits.Case storage c) internal {
        c.state = IAudits.State.Committing;
        c.deadline = _after(Parameters.COMMIT_TIME);
        emit IAudits.AuditStage(jobId, seq, c.stage, c.positions, c.deadline);
    }

    function _askForAnswers(uint64 jobId, uint32 seq, IAudits.Case storage c) internal {
        c.waiting = _inStage(jobId, seq, c, IAudits.SeatState.Committed).toUint8();
        c.state = IAudits.State.Revealing;
        c.deadline = _after(Parameters.REVEAL_TIME);
        emit IAudits.AuditRevealing(jobId, seq, c.deadline);
    }

    function _inStage(uint64 jobId, uint32 seq, IAudits.Case storage c, IAudits.SeatState state)
        internal
        view
        returns (uint256 n)
    {
        mapping(uint256 => IAudits.Seat) storage seats = _seats[_key(jobId, seq)];
        for (uint256 i = 0; i < c.given; ++i) {
            if (seats[i].stage == c.stage && seats[i].state == state) ++n;
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
