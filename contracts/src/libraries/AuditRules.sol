// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {Draw} from "./Draw.sol";
import {Parameters} from "./Parameters.sol";

/// @title The rules of an audit: who is audited, by how many, what they commit to, what their votes say, what is carried.
/// @notice Auditors re-execute the drawn leaves from their indices alone and commit to a salted hash of what they found before
/// the provider opens those leaves. If all agree with the provider it is upheld. Any dissent draws more votes, in
/// doubling numbers, until one answer is LEAD votes ahead of every other, or COMMITTEE votes were drawn. Votes are drawn by
/// stake with replacement: an auditor's answer counts as often as it was drawn.
/// @dev Pure. Amounts are below 2^96, shares in billionths; every rounding is against the one who might cheat. The same rules
/// in Rust: modules `audit` and `arithmetic` of the crate `verification`; both are held to vectors/trust.json.
library AuditRules {
    /// @notice Whether a range is audited, and who pays for it.
    enum Decision {
        Unaudited,
        AtClientsCost,
        AtProvidersCost
    }

    /// @notice What the votes so far mean. Undecided: nobody is paid for the range, and nobody loses stake. Unheard: nobody
    /// came; nobody could check the range, so nobody is paid for it.
    enum Verdict {
        Upheld,
        Overturned,
        More,
        Undecided,
        Unheard
    }

    /// @notice How many votes were drawn so far.
    /// @param first by the value of the range
    /// @param last in the last stage
    /// @param all in all stages, absent people's included
    struct Asked {
        uint256 first;
        uint256 last;
        uint256 all;
    }

    uint256 private constant MAX_AMOUNT = type(uint96).max;

    // ------------------------------------------------------------------ audits

    /// @notice How often a provider with this record is audited: floor + (1 - floor) x half / (half + record), rounded up.
    /// @param record value of its upheld audits, base units
    /// @param half record at which the part above the floor is halved, base units; 0 counts as 1
    function rate(uint256 record, uint256 half) internal pure returns (uint256) {
        record = _min(record, MAX_AMOUNT);
        half = half == 0 ? 1 : _min(half, MAX_AMOUNT);
        return Parameters.FLOOR_RATE + _divUp((Parameters.ONE - Parameters.FLOOR_RATE) * half, half + record);
    }

    /// @notice The rate at which a stake carries this exposure (the inverse of `exposure`): exposure / (stake + exposure),
    /// rounded up; 0 for none.
    function rateFor(uint256 stake, uint256 exposure_) internal pure returns (uint256) {
        (stake, exposure_) = (_min(stake, MAX_AMOUNT), _min(exposure_, MAX_AMOUNT));
        return exposure_ == 0 ? 0 : _divUp(Parameters.ONE * exposure_, stake + exposure_);
    }

    /// @notice Draws the decision about a range whose provider is audited at `rate_`.
    function decide(bytes32 seed, uint256 rate_) internal pure returns (Decision) {
        uint256 drawn = Draw.word(seed, Draw.DECISION, 0) % Parameters.ONE;
        if (drawn >= rate_) return Decision.Unaudited;
        return drawn < Parameters.FLOOR_RATE ? Decision.AtClientsCost : Decision.AtProvidersCost;
    }

    /// @notice Votes of the first stage: two, but one for a range worth at most `small`.
    function firstVotes(uint256 value, uint256 small) internal pure returns (uint256) {
        return value <= small ? 1 : 2;
    }

    /// @notice What somebody found in the drawn leaves: the hash of the leaves' hashes in the order of the draws.
    function answer(bytes32[] memory leafHashes) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(leafHashes));
    }

    /// @notice The answer of who drew the same leaf every time.
    function answerOfOne(bytes32 leafHash) internal pure returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](Parameters.SAMPLES);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = leafHash;
        }
        return answer(hashes);
    }

    /// @notice What is published before anything is shown. It binds chain, contract and sender, so nobody can show it again
    /// elsewhere or for somebody else, and the salt keeps anybody from trying outputs.
    function seal(uint64 job, uint32 seq, address who, bytes32 answer_, bytes32 salt) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(block.chainid, address(this), job, seq, who, answer_, salt));
    }

    /// @notice Counts the votes: answers of auditors that kept to their commitment, each as often as it was drawn. The provider's
    /// own answer is no vote.
    /// @return what they mean
    /// @return winner the answer that stands (Upheld, Overturned)
    /// @return more votes to be drawn (More)
    function verdict(bytes32 claimed, bytes32[] memory votes, Asked memory asked)
        internal
        pure
        returns (Verdict what, bytes32 winner, uint256 more)
    {
        uint256 left = asked.all < Parameters.COMMITTEE ? Parameters.COMMITTEE - asked.all : 0;
        if (_count(votes, claimed) == votes.length) {
            more = votes.length < asked.first ? _min(asked.first - votes.length, left) : 0;
            if (more != 0) return (Verdict.More, 0, more);
            return votes.length == 0 ? (Verdict.Unheard, bytes32(0), 0) : (Verdict.Upheld, claimed, 0);
        }
        for (uint256 i = 0; i < votes.length; ++i) {
            if (!_leads(votes, votes[i])) continue;
            return (votes[i] == claimed ? Verdict.Upheld : Verdict.Overturned, votes[i], 0);
        }
        if (left == 0) return (Verdict.Undecided, 0, 0);
        more = 2 * (asked.last > asked.first ? asked.last : asked.first);
        return (Verdict.More, 0, _min(more, left));
    }

    // ------------------------------------------------------------------ arithmetic

    /// @notice The chance that `samples` independent draws hit at least one of a fraction `wrong`: 1 - (1 - wrong)^samples,
    /// rounded down.
    function detection(uint256 wrong, uint256 samples) internal pure returns (uint256) {
        uint256 one = Parameters.ONE;
        uint256 miss = one;
        for (uint256 base = one - wrong; samples != 0; samples >>= 1) {
            if (samples & 1 == 1) miss = _divUp(miss * base, one);
            base = _divUp(base * base, one);
        }
        return one - miss;
    }

    /// @notice The value of unsettled work that a stake carries: stake x caught / (1 - caught), rounded down.
    /// @param caught audit rate times detection
    function exposure(uint256 stake, uint256 caught) internal pure returns (uint256) {
        if (caught >= Parameters.ONE) return MAX_AMOUNT;
        return _min(_min(stake, MAX_AMOUNT) * caught / (Parameters.ONE - caught), MAX_AMOUNT);
    }

    /// @notice What a fault costs: a share of the stake, but at least `floor` (so that no fault is too cheap to be worth a
    /// case), and never more than the stake.
    /// @param severity one of the shares in Parameters
    function penalty(uint256 severity, uint256 stake, uint256 floor) internal pure returns (uint256) {
        uint256 share = _min(stake, MAX_AMOUNT) * severity / Parameters.ONE;
        return _min(share < floor ? floor : share, stake);
    }

    // ------------------------------------------------------------------ private

    function _count(bytes32[] memory votes, bytes32 answer_) private pure returns (uint256 n) {
        for (uint256 i = 0; i < votes.length; ++i) {
            if (votes[i] == answer_) ++n;
        }
    }

    function _leads(bytes32[] memory votes, bytes32 answer_) private pure returns (bool) {
        uint256 mine = _count(votes, answer_);
        uint256 second = 0;
        for (uint256 i = 0; i < votes.length; ++i) {
            if (votes[i] == answer_) continue;
            uint256 theirs = _count(votes, votes[i]);
            if (theirs > second) second = theirs;
        }
        return mine >= second + Parameters.LEAD;
    }

    function _divUp(uint256 a, uint256 b) private pure returns (uint256) {
        return (a + b - 1) / b;
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
