// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {AuditLayout} from "./AuditLayout.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {LeafCheck} from "./libraries/LeafCheck.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Where the drawn leaves are named and opened: code of Audits that does not fit into it.
/// @notice Audits runs this code on its own storage (DELEGATECALL), always this contract and none else. Called directly it
/// refuses.
contract AuditDesk is AuditLayout {
    using SafeCast for uint256;

    /// @notice This is code for Audits; here are no cases.
    error OnlyThroughAudits();

    address private immutable _self = address(this);

    modifier throughAudits() {
        if (address(this) == _self) revert OnlyThroughAudits();
        _;
    }

    constructor(Deployment memory d) AuditLayout(d) {}

    /// @notice See IAudits.name.
    function name(uint64 jobId, uint32 seq, uint32[] calldata positions) external throughAudits {
        IAudits.Case storage c = _timely(jobId, seq, IAudits.State.Naming);
        Subject memory subject = _subject(jobId, seq);
        if (registry.nodeOwner(msg.sender) != subject.range.provider) revert IAudits.NotProvider(msg.sender);
        if (positions.length != Parameters.SAMPLES) revert IAudits.WrongCount(positions.length, Parameters.SAMPLES);
        uint256 leaves = uint256(subject.range.count) + subject.prepare;
        bytes32 seed = _seed(c, jobId, seq, 0);
        uint256 packed = 0;
        for (uint32 i = 0; i < positions.length; ++i) {
            (bool byUnits, uint256 value) = Draw.pick(seed, i, leaves, subject.range.units);
            uint256 position = positions[i];
            if (byUnits ? position >= leaves : position != value) revert IAudits.WrongPosition(i);
            packed |= position << 32 * uint256(i);
        }
        c.positions = packed;
        _askForCommitments(jobId, seq, c);
    }

    /// @notice See IAudits.open.
    function open(uint64 jobId, uint32 seq, MerkleSum.Leaf[] calldata leaves, MerkleSum.Sibling[][] calldata proofs)
        external
        throughAudits
    {
        IAudits.Case storage c = _timely(jobId, seq, IAudits.State.Opening);
        if (leaves.length != Parameters.SAMPLES) revert IAudits.WrongCount(leaves.length, Parameters.SAMPLES);
        if (proofs.length != Parameters.SAMPLES) revert IAudits.WrongCount(proofs.length, Parameters.SAMPLES);
        Subject memory subject = _subject(jobId, seq);
        bytes32 seed = _seed(c, jobId, seq, 0);
        bytes32[] memory hashes = new bytes32[](leaves.length);
        uint256 units = 0;
        for (uint32 i = 0; i < leaves.length; ++i) {
            uint256 position = _positionOf(c.positions, i);
            uint256 before;
            (hashes[i], before) =
                LeafCheck.checkIn(subject.range, jobId, subject.prepare, leaves[i], position.toUint32(), proofs[i]);
            (bool byUnits, uint256 value) =
                Draw.pick(seed, i, uint256(subject.range.count) + subject.prepare, subject.range.units);
            if (!Draw.isAnsweredBy(byUnits, value, position, before, leaves[i].units)) revert IAudits.NotDrawn(i);
            // Who draws a leaf twice executes it once.
            if (!_drawnBefore(c.positions, i, position)) units += leaves[i].units;
        }
        c.claimed = AuditRules.answer(hashes);
        c.fee = _feeFor(units * subject.range.price);
        emit IAudits.AuditOpened(jobId, seq, c.claimed, c.fee);
        _askForAnswers(jobId, seq, c);
    }
}
