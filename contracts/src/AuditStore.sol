// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditLayout} from "./AuditLayout.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title The views of Audits, and what its moves share.
/// @dev Only Audits builds on it; apart for the reader's sake.
abstract contract AuditStore is AuditLayout, IAudits {
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
    function record(uint32 provider) external view returns (uint128) {
        return _record[provider];
    }

    /// @inheritdoc IAudits
    function owed(address owner) external view returns (uint128) {
        return _owed[owner];
    }

    /// @inheritdoc IAudits
    function rateOf(uint32 provider) public view returns (uint256) {
        return AuditRules.rate(_record[provider], smallValue * Parameters.HALF_RECORD_SMALL_VALUES);
    }

    /// @inheritdoc IAudits
    function rateNow(uint32 provider) public view returns (uint256 rate) {
        // What was claimed at a higher rate, or before stake was lost, is audited at the rate that the exposure asks for.
        (uint256 stake,, uint256 exposure) = _backing(provider);
        uint256 needed = AuditRules.rateFor(stake, exposure) * Parameters.ONE;
        needed = (needed + Parameters.HONEST_FIRST - 1) / Parameters.HONEST_FIRST;
        if (needed > Parameters.ONE) needed = Parameters.ONE;
        rate = rateOf(provider);
        if (rate < needed) rate = needed;
    }

    // ------------------------------------------------------------------ small things

    function _decision(Case storage c, uint64 jobId, uint32 seq, bytes32 beacon)
        internal
        view
        returns (AuditRules.Decision)
    {
        return AuditRules.decide(Draw.seedOf(beacon, jobId, seq, 0), c.rate);
    }

    /// @dev Whether it is about one leaf in which two providers of a range differ.
    function _isDispute(Case storage c) internal view returns (bool) {
        return c.rate == Parameters.DISPUTED;
    }

    function _seatOf(uint64 jobId, uint32 seq, Case storage c, uint8 number, SeatState state)
        internal
        view
        returns (Seat storage s)
    {
        s = _seats[_key(jobId, seq)][number];
        if (number >= c.given || s.stage != c.stage || s.state != state) revert WrongSeat(number);
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
}
