// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Who re-executes samples of others' work.
/// @dev The line of stakes is a binary tree over the numbers in which a node keeps the sum of its left half only: a place is
/// found with one look-up per level, a stake changed with a write at every level where the path turns left. The tree grows
/// a level when the numbers reach its end; the new root's left half is the whole old line. Every sum is kept with the time
/// of its change, so that the line can be read as it stood at any moment: who changes its stake when a beacon is known
/// changes nothing that this beacon draws. A look-up reads the newest sum first, which nearly always answers, then halves.
contract Auditors is IAuditors {
    using SafeCast for uint256;
    using Checkpoints for Checkpoints.Trace208;

    struct Stake {
        uint96 active;
        uint96 leaving;
        uint40 readyAt;
    }

    struct Keys {
        address owner;
        address node;
    }

    /// @dev The whole line at some moment: its length, how many have a part of it, and the levels of the tree, which then had
    /// room for 2^levels numbers from 0 on (number 0 has no stake).
    struct Line {
        uint256 total;
        uint256 staked;
        uint256 levels;
    }

    /// @dev Parts of the line that are left out, in its order, and the length of the rest.
    struct Gaps {
        uint256[] starts;
        uint256[] lengths;
        uint256 used;
        uint256 left;
    }

    /// @dev As of when everything stands as it does now.
    uint40 private constant NOW = type(uint40).max;

    ILedger public immutable ledger;
    address public immutable judge;
    /// @inheritdoc IAuditors
    uint128 public immutable minStake;

    /// @inheritdoc IAuditors
    uint32 public count;
    /// @dev Packed: total 96 bits, staked 32, levels 8.
    Checkpoints.Trace208 private _line;
    mapping(uint256 levelAndNode => Checkpoints.Trace208 leftSum) private _left;
    mapping(uint32 number => Stake) private _stakes;
    mapping(uint32 number => Keys) private _keys;
    mapping(address owner => uint32 number) private _numbers;

    modifier onlyJudge() {
        if (msg.sender != judge) revert NotJudge(msg.sender);
        _;
    }

    constructor(ILedger ledger_, address judge_, uint128 minStake_) {
        (uint128 cap,) = ledger_.module(address(this));
        // With a cap of 96 bits no sum of stakes can overflow the narrow fields.
        if (judge_ == address(0) || minStake_ == 0 || cap == 0 || cap > type(uint96).max) revert BadDeployment();
        (ledger, judge, minStake) = (ledger_, judge_, minStake_);
    }

    // ------------------------------------------------------------------ auditors

    /// @inheritdoc IAuditors
    function join(address node, uint128 stake) external returns (uint32 number) {
        if (_numbers[msg.sender] != 0) revert AlreadyAuditor(msg.sender);
        number = ++count;
        _numbers[msg.sender] = number;
        _keys[number].owner = msg.sender;
        emit AuditorJoined(msg.sender, number, node);
        _takeNode(number, node);
        _add(number, stake);
    }

    /// @inheritdoc IAuditors
    function setNode(address node) external {
        uint32 number = _owned();
        emit AuditorNodeChanged(msg.sender, node);
        _takeNode(number, node);
    }

    /// @inheritdoc IAuditors
    function addStake(uint128 amount) external {
        _add(_owned(), amount);
    }

    /// @inheritdoc IAuditors
    function unstake(uint128 amount) external {
        uint32 number = _owned();
        Stake memory s = _stakes[number];
        if (amount == 0 || amount > s.active) revert BadStake(amount);
        uint256 rest = s.active - amount;
        if (rest != 0 && rest < minStake) revert BadStake(amount);
        _move(number, s.active, rest);
        s.active = rest.toUint96();
        s.leaving = (uint256(s.leaving) + amount).toUint96();
        s.readyAt = (block.timestamp + Parameters.THAWING).toUint40();
        _stakes[number] = s;
        emit AuditorUnstakeStarted(msg.sender, amount, s.active, s.leaving, s.readyAt);
    }

    /// @inheritdoc IAuditors
    function withdrawStake() external returns (uint128 amount) {
        Stake storage s = _stakes[_owned()];
        amount = s.leaving;
        if (amount == 0 || block.timestamp < s.readyAt) revert NotReady(s.readyAt);
        (s.leaving, s.readyAt) = (0, 0);
        emit AuditorStakeWithdrawn(msg.sender, amount);
        ledger.unlock(msg.sender, amount);
    }

    // ------------------------------------------------------------------ judge

    /// @inheritdoc IAuditors
    function punish(uint32 number, uint256 severity, address beneficiary) external onlyJudge returns (uint128 cut) {
        Stake memory s = _stakes[number];
        uint256 reach = uint256(s.active) + s.leaving;
        uint256 penalty = AuditRules.penalty(severity, reach, minStake / Parameters.FLOOR_PART);
        if (penalty == 0) return 0;
        cut = penalty.toUint128();
        uint256 fromActive = penalty < s.active ? penalty : s.active;
        _move(number, s.active, s.active - fromActive);
        s.active = (s.active - fromActive).toUint96();
        s.leaving = (s.leaving - (penalty - fromActive)).toUint96();
        _stakes[number] = s;
        address owner = _keys[number].owner;
        uint128 toBeneficiary = cut / 2;
        uint128 burned = cut - toBeneficiary;
        emit AuditorSlashed(owner, beneficiary, toBeneficiary, burned, s.active, s.leaving);
        ledger.slash(owner, beneficiary, toBeneficiary, burned);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IAuditors
    function auditor(uint32 number) external view returns (Auditor memory a) {
        Keys storage keys = _keys[number];
        if (keys.owner == address(0)) return a;
        Stake memory s = _stakes[number];
        return Auditor(number, keys.owner, keys.node, s.active, s.leaving, s.readyAt);
    }

    /// @inheritdoc IAuditors
    function numberOf(address owner) external view returns (uint32) {
        return _numbers[owner];
    }

    /// @inheritdoc IAuditors
    function total() external view returns (uint256) {
        return _lineAt(NOW).total;
    }

    /// @inheritdoc IAuditors
    function staked() external view returns (uint32) {
        return _lineAt(NOW).staked.toUint32();
    }

    /// @inheritdoc IAuditors
    function at(uint256 place, uint40 asOf) external view returns (uint32 number) {
        return _at(place, _lineAt(asOf), asOf);
    }

    /// @inheritdoc IAuditors
    function part(uint32 number, uint40 asOf) external view returns (uint256 start, uint256 length) {
        return _part(number, _lineAt(asOf), asOf);
    }

    /// @inheritdoc IAuditors
    function holder(uint32 number) external view returns (address owner, address node, uint256 reach) {
        Stake memory s = _stakes[number];
        return (_keys[number].owner, _keys[number].node, uint256(s.active) + s.leaving);
    }

    /// @inheritdoc IAuditors
    function drawn(bytes32 seed, uint8 purpose, uint32 first, uint256 wanted, uint32[] calldata out, uint40 asOf)
        external
        view
        returns (uint32[] memory numbers)
    {
        Line memory line = _lineAt(asOf);
        Gaps memory gaps = _gaps(out, line, asOf);
        if (gaps.left == 0) return numbers;
        numbers = new uint32[](wanted);
        for (uint32 n = 0; n < wanted; ++n) {
            uint256 place = Draw.word(seed, purpose, first + n) % gaps.left;
            for (uint256 i = 0; i < gaps.used && place >= gaps.starts[i]; ++i) {
                place += gaps.lengths[i];
            }
            numbers[n] = _at(place, line, asOf);
        }
    }

    // ------------------------------------------------------------------ private

    function _add(uint32 number, uint128 amount) private {
        Stake storage s = _stakes[number];
        uint256 active = s.active;
        uint256 more = active + amount;
        if (amount == 0 || more < minStake) revert BadStake(amount);
        _move(number, active, more);
        s.active = more.toUint96();
        emit AuditorStakeAdded(msg.sender, amount, s.active);
        ledger.lock(msg.sender, amount);
    }

    /// @dev The auditor's part of the line is now so long.
    function _move(uint32 number, uint256 before, uint256 now_) private {
        if (before == now_) return;
        Line memory line = _lineAt(NOW);
        // Makes room for the number: a new root over the whole line as it is.
        while (number >> line.levels != 0) {
            line.levels += 1;
            _set(_left[_key(line.levels, 0)], line.total);
        }
        line.total = line.total - before + now_;
        if (before == 0) ++line.staked;
        if (now_ == 0) --line.staked;
        _set(_line, line.total | line.staked << 96 | line.levels << 128);
        uint256 node = number;
        for (uint256 level = 1; level <= line.levels; ++level) {
            bool isLeft = node & 1 == 0;
            node >>= 1;
            if (!isLeft) continue;
            Checkpoints.Trace208 storage left = _left[_key(level, node)];
            _set(left, left.latest() - before + now_);
        }
    }

    /// @dev Within a second the last change counts.
    function _set(Checkpoints.Trace208 storage trace, uint256 value) private {
        trace.push(block.timestamp.toUint48(), value.toUint208());
    }

    /// @dev The value after all changes up to and including that second.
    function _get(Checkpoints.Trace208 storage trace, uint40 asOf) private view returns (uint256) {
        (, uint48 since, uint208 newest) = trace.latestCheckpoint();
        return since <= asOf ? newest : trace.upperLookupRecent(asOf);
    }

    function _lineAt(uint40 asOf) private view returns (Line memory) {
        uint256 packed = _get(_line, asOf);
        return Line(packed & type(uint96).max, packed >> 96 & type(uint32).max, packed >> 128);
    }

    function _at(uint256 place, Line memory line, uint40 asOf) private view returns (uint32) {
        if (place >= line.total) revert OffTheLine(place, line.total);
        uint256 node = 0;
        for (uint256 level = line.levels; level != 0; --level) {
            uint256 left = _get(_left[_key(level, node)], asOf);
            node <<= 1;
            if (place >= left) {
                place -= left;
                node |= 1;
            }
        }
        return node.toUint32();
    }

    /// @dev The parts of the line whose holders are left out, in its order.
    function _gaps(uint32[] calldata out, Line memory line, uint40 asOf) private view returns (Gaps memory g) {
        g.starts = new uint256[](out.length);
        g.lengths = new uint256[](out.length);
        g.left = line.total;
        for (uint256 n = 0; n < out.length; ++n) {
            (uint256 start, uint256 length) = _part(out[n], line, asOf);
            if (length == 0) continue;
            // Where it belongs in the order of the line; parts do not overlap, so equal starts are the same one.
            uint256 i = 0;
            while (i < g.used && g.starts[i] < start) ++i;
            if (i < g.used && g.starts[i] == start) continue;
            for (uint256 k = g.used; k > i; --k) {
                (g.starts[k], g.lengths[k]) = (g.starts[k - 1], g.lengths[k - 1]);
            }
            (g.starts[i], g.lengths[i]) = (start, length);
            ++g.used;
            g.left -= length;
        }
    }

    /// @dev The end of a part is the start of the next number's.
    function _part(uint256 number, Line memory line, uint40 asOf) private view returns (uint256 start, uint256 length) {
        if (number == 0) return (0, 0);
        start = _before(number, line, asOf);
        length = _before(number + 1, line, asOf) - start;
    }

    /// @dev The stakes of all smaller numbers.
    function _before(uint256 number, Line memory line, uint40 asOf) private view returns (uint256 sum) {
        // It joined later: the whole line is before it.
        if (number >> line.levels != 0) return line.total;
        for (uint256 level = 1; level <= line.levels; ++level) {
            bool isRight = number & 1 == 1;
            number >>= 1;
            if (isRight) sum += _get(_left[_key(level, number)], asOf);
        }
    }

    /// @dev A level has fewer than 2^32 nodes.
    function _key(uint256 level, uint256 node) private pure returns (uint256) {
        return level << 32 | node;
    }

    function _takeNode(uint32 number, address node) private {
        if (node == address(0)) revert BadNode(node);
        _keys[number].node = node;
    }

    function _owned() private view returns (uint32 number) {
        number = _numbers[msg.sender];
        if (number == 0) revert NotAuditor(msg.sender);
    }
}
