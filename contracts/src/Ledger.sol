// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IERC3009} from "./interfaces/IERC3009.sol";

/// @dev What `depositNative` needs of the token.
interface IWrapper {
    function deposit() external payable;
}

/// @dev What `destroyBurned` needs of the token.
interface IBurnable {
    function burn(uint256 amount) external;
}

/// @title The one contract that holds money.
/// @dev Modules are fixed at construction and bounded by caps; there is no administrator. Calls of modules never touch
/// the token, so no transfer, blocklist or pause of the token can stop a settlement or a slash. Burned money is credited
/// to an account that nobody can act for, and destroyed in the token later by anyone, where the token can.
contract Ledger is ILedger, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev What a module may lock and has locked, one slot.
    struct Capability {
        uint128 cap;
        uint128 locked;
    }

    /// @inheritdoc ILedger
    address public constant BURN_ACCOUNT = 0x000000000000000000000000000000000000dEaD;

    /// @inheritdoc ILedger
    address public immutable token;

    mapping(address owner => Account) private _accounts;
    mapping(address module => Capability) private _modules;

    modifier onlyModule() {
        if (_modules[msg.sender].cap == 0) revert NotModule(msg.sender);
        _;
    }

    /// @param token_ the payment token: an ERC-20 without transfer fees or rebasing, of which there are less than 2^128 base units in
    /// all; else somebody could fill an account by gifts until no payment to it fits
    /// @param grants the modules and their caps, for ever
    constructor(address token_, Grant[] memory grants) {
        if (token_.code.length == 0) revert BadAddress(token_);
        token = token_;
        for (uint256 i = 0; i < grants.length; ++i) {
            Grant memory grant = grants[i];
            if (grant.module == address(0) || _modules[grant.module].cap != 0) revert BadAddress(grant.module);
            if (grant.cap == 0) revert ZeroAmount();
            _modules[grant.module].cap = grant.cap;
            emit ModuleGranted(grant.module, grant.cap);
        }
    }

    // ------------------------------------------------------------------ deposit and withdraw

    /// @inheritdoc ILedger
    function deposit(uint128 amount) external nonReentrant {
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ILedger
    function depositFor(address account_, uint128 amount) external nonReentrant {
        _pull(account_, amount);
    }

    /// @inheritdoc ILedger
    function depositPermit(uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        // Somebody may have used the signature already to be in the way; then the allowance is there all the same.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _pull(msg.sender, amount);
    }

    /// @inheritdoc ILedger
    function depositWithAuthorization(
        address from,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        uint256 before = _held();
        IERC3009(token).receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        _credit(from, from, amount, before);
    }

    /// @inheritdoc ILedger
    function depositNative(address account_) external payable nonReentrant {
        if (msg.value > type(uint128).max) revert UnsupportedToken(type(uint128).max, msg.value);
        uint256 before = _held();
        IWrapper(token).deposit{value: msg.value}();
        // forge-lint: disable-next-line(unsafe-typecast)
        _credit(account_, msg.sender, uint128(msg.value), before);
    }

    /// @inheritdoc ILedger
    function withdraw(uint128 amount) external nonReentrant {
        _push(msg.sender, amount);
    }

    /// @inheritdoc ILedger
    function withdrawTo(address to, uint128 amount) external nonReentrant {
        _push(to, amount);
    }

    /// @inheritdoc ILedger
    // slither-disable-next-line reentrancy-balance
    function destroyBurned() external nonReentrant returns (uint128 amount) {
        amount = _accounts[BURN_ACCOUNT].free;
        if (amount == 0) revert ZeroAmount();
        _accounts[BURN_ACCOUNT].free = 0;
        emit BurnedDestroyed(amount);
        uint256 before = _held();
        IBurnable(token).burn(amount);
        uint256 gone = before - _held();
        if (gone != amount) revert UnsupportedToken(amount, gone);
    }

    // ------------------------------------------------------------------ modules

    /// @inheritdoc ILedger
    function lock(address account_, uint128 amount) external onlyModule {
        Account storage a = _accounts[account_];
        uint128 free = a.free;
        if (free < amount) revert InsufficientFree(account_, free, amount);
        Capability storage c = _modules[msg.sender];
        if (amount > c.cap - c.locked) revert ModuleCapExceeded(msg.sender, c.cap, c.locked, amount);
        c.locked += amount;
        a.free = free - amount;
        a.locked += amount;
        emit Locked(msg.sender, account_, amount, a.free, a.locked);
    }

    /// @inheritdoc ILedger
    function unlock(address account_, uint128 amount) external onlyModule {
        uint128 left = _take(account_, amount);
        uint128 free = _accounts[account_].free + amount;
        _accounts[account_].free = free;
        emit Unlocked(msg.sender, account_, amount, free, left);
    }

    /// @inheritdoc ILedger
    function move(address from, Payment[] calldata payments) external onlyModule {
        uint128 total = 0;
        for (uint256 i = 0; i < payments.length; ++i) {
            total += payments[i].amount;
        }
        uint128 left = _take(from, total) + total;
        for (uint256 i = 0; i < payments.length; ++i) {
            (address to, uint128 amount) = (payments[i].to, payments[i].amount);
            if (to == address(0)) revert BadAddress(to);
            left -= amount;
            uint128 free = _accounts[to].free + amount;
            _accounts[to].free = free;
            emit Moved(msg.sender, from, to, amount, left, free);
        }
    }

    /// @inheritdoc ILedger
    function slash(address from, address beneficiary, uint128 toBeneficiary, uint128 toBurn) external onlyModule {
        if (beneficiary == address(0)) revert BadAddress(beneficiary);
        uint128 left = _take(from, toBeneficiary + toBurn);
        uint128 free = _accounts[beneficiary].free + toBeneficiary;
        _accounts[beneficiary].free = free;
        emit Moved(msg.sender, from, beneficiary, toBeneficiary, left + toBurn, free);
        uint128 burned = _accounts[BURN_ACCOUNT].free + toBurn;
        _accounts[BURN_ACCOUNT].free = burned;
        emit Burned(msg.sender, from, toBurn, left, burned);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc ILedger
    function account(address owner) external view returns (Account memory) {
        return _accounts[owner];
    }

    /// @inheritdoc ILedger
    function module(address module_) external view returns (uint128 cap, uint128 locked) {
        Capability storage c = _modules[module_];
        return (c.cap, c.locked);
    }

    // ------------------------------------------------------------------ private

    /// @dev Takes money that the calling module has locked out of an account; the caller credits it somewhere.
    function _take(address from, uint128 amount) private returns (uint128 left) {
        Capability storage c = _modules[msg.sender];
        uint128 moduleLocked = c.locked;
        if (moduleLocked < amount) revert ModuleUnderflow(msg.sender, moduleLocked, amount);
        uint128 locked = _accounts[from].locked;
        if (locked < amount) revert InsufficientLocked(from, locked, amount);
        c.locked = moduleLocked - amount;
        left = locked - amount;
        _accounts[from].locked = left;
    }

    function _held() private view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }

    function _pull(address account_, uint128 amount) private {
        uint256 before = _held();
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _credit(account_, msg.sender, amount, before);
    }

    /// @dev Credits a deposit after it came in. Every way in is nonReentrant, so nothing else can have moved `_held()`.
    function _credit(address account_, address payer, uint128 amount, uint256 before) private {
        if (amount == 0) revert ZeroAmount();
        if (account_ == address(0) || account_ == BURN_ACCOUNT) revert BadAddress(account_);
        uint256 received = _held() - before;
        if (received != amount) revert UnsupportedToken(amount, received);
        uint128 free = _accounts[account_].free + amount;
        _accounts[account_].free = free;
        emit Deposited(account_, payer, amount, free);
    }

    function _push(address to, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        if (to == address(0) || to == address(this)) revert BadAddress(to);
        uint128 free = _accounts[msg.sender].free;
        if (free < amount) revert InsufficientFree(msg.sender, free, amount);
        _accounts[msg.sender].free = free - amount;
        emit Withdrawn(msg.sender, to, amount, free - amount);
        IERC20(token).safeTransfer(to, amount);
    }
}
