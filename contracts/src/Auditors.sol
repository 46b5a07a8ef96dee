// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Parameters} from "./libraries/Parameters.sol";
import {StakeLine} from "./libraries/StakeLine.sol";

/// @title Who re-executes samples of others' work.
/// @dev The line of stakes is a StakeLine over the numbers of auditors, which count from 1.
contract Auditors is IAuditors {
    using SafeCast for uint256;
    using StakeLine for StakeLine.Line;

    struct Stake {
        uint96 active;
        uint96 leaving;
        uint40 readyAt;
    }

    struct Keys {
        address owner;
        address node;
    }

    ILedger public immutable ledger;
    address public immutable judge;
    /// @inheritdoc IAuditors
    uint128 public immutable minStake;

    /// @inheritdoc IAuditors
    uint32 public count;
    StakeLine.Line private _line;
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
        _line.set(number, s.active, rest);
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
        _line.set(number, s.active, s.active - fromActive);
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
        return _line.shape(StakeLine.NOW).total;
    }

    /// @inheritdoc IAuditors
    function staked() external view returns (uint32) {
        return _line.shape(StakeLine.NOW).staked.toUint32();
    }

    /// @inheritdoc IAuditors
    function at(uint256 place, uint40 asOf) external view returns (uint32 number) {
        return _line.at(place, asOf);
    }

    /// @inheritdoc IAuditors
    function part(uint32 number, uint40 asOf) external view returns (uint256 start, uint256 length) {
        return _line.part(number, asOf);
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
        return _line.drawn(seed, purpose, first, wanted, out, asOf);
    }

    // ------------------------------------------------------------------ private

    function _add(uint32 number, uint128 amount) private {
        Stake storage s = _stakes[number];
        uint256 active = s.active;
        uint256 more = active + amount;
        if (amount == 0 || more < minStake) revert BadStake(amount);
        _line.set(number, active, more);
        s.active = more.toUint96();
        emit AuditorStakeAdded(msg.sender, amount, s.active);
        ledger.lock(msg.sender, amount);
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
