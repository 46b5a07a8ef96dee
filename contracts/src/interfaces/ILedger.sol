// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title The one contract that holds money.
/// @notice Every account has a free balance (its owner may withdraw it) and a locked balance (a module holds it for a
/// purpose: escrow of a job, stake of a provider). There is no administrator, no proxy and no pause.
/// @dev All amounts are base units of the one payment token. Invariant: the sum of all free and locked balances is never
/// more than the tokens held by this contract, and it is exactly that unless somebody sent tokens here by mistake.
interface ILedger {
    /// @notice Balances of one account, one storage slot.
    struct Account {
        uint128 free;
        uint128 locked;
    }

    /// @notice The right of a module to lock money, and how much in all it may have locked at once.
    struct Grant {
        address module;
        uint128 cap;
    }

    /// @notice One credit of `move`.
    struct Payment {
        address to;
        uint128 amount;
    }

    /// @notice Tokens came in. `free` is the new free balance of `account`.
    event Deposited(address indexed account, address indexed payer, uint128 amount, uint128 free);
    /// @notice Tokens went out. `free` is the new free balance of `account`.
    event Withdrawn(address indexed account, address indexed to, uint128 amount, uint128 free);
    /// @notice A module locked money of an account.
    event Locked(address indexed module, address indexed account, uint128 amount, uint128 free, uint128 locked);
    /// @notice A module gave locked money back to its owner.
    event Unlocked(address indexed module, address indexed account, uint128 amount, uint128 free, uint128 locked);
    /// @notice A module paid locked money of `from` to the free balance of `to`.
    event Moved(
        address indexed module,
        address indexed from,
        address indexed to,
        uint128 amount,
        uint128 fromLocked,
        uint128 toFree
    );
    /// @notice A module took locked money of `from` out of circulation. `burned` is the total not yet destroyed.
    event Burned(address indexed module, address indexed from, uint128 amount, uint128 fromLocked, uint128 burned);
    /// @notice Burned money was destroyed in the token itself.
    event BurnedDestroyed(uint128 amount);
    /// @notice A module's right, written once at construction.
    event ModuleGranted(address indexed module, uint128 cap);

    /// @notice The account has less free money than the call needs.
    error InsufficientFree(address account, uint128 free, uint128 needed);
    /// @notice A module asked for more locked money than the account has: a broken invariant of that module.
    error InsufficientLocked(address account, uint128 locked, uint128 needed);
    /// @notice The caller is not a module of this ledger.
    error NotModule(address caller);
    /// @notice The module would lock more than its cap.
    error ModuleCapExceeded(address module, uint128 cap, uint128 locked, uint128 amount);
    /// @notice A module tried to give back or pay more than it has locked.
    error ModuleUnderflow(address module, uint128 locked, uint128 amount);
    /// @notice The token delivered another amount than was sent (fee on transfer, rebasing): such tokens are refused.
    error UnsupportedToken(uint256 expected, uint256 received);
    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The address is zero or one that can never hold money here.
    error BadAddress(address account);

    /// @notice The payment token.
    function token() external view returns (address);

    /// @notice Balances of an account.
    function account(address owner) external view returns (Account memory);

    /// @notice A module's cap and the total it has locked now; both 0 when it is not a module.
    function module(address module_) external view returns (uint128 cap, uint128 locked);

    /// @notice The account that burned money is credited to; nobody can act for it.
    function BURN_ACCOUNT() external view returns (address);

    /// @notice Deposits the caller's tokens (approve this contract first) for the caller.
    function deposit(uint128 amount) external;

    /// @notice Deposits the caller's tokens for another account.
    function depositFor(address account_, uint128 amount) external;

    /// @notice Deposits with an ERC-2612 permit of the caller, in one transaction.
    function depositPermit(uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Deposits for `from` with its EIP-3009 authorization; anyone may relay it and pay the gas.
    function depositWithAuthorization(
        address from,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Wraps the native coin sent along and credits it to `account_`. Only where the token is a wrapper (WGRAIN).
    function depositNative(address account_) external payable;

    /// @notice Sends free money of the caller to the caller as tokens.
    function withdraw(uint128 amount) external;

    /// @notice Sends free money of the caller to `to` as tokens.
    function withdrawTo(address to, uint128 amount) external;

    /// @notice Destroys what was burned so far in the token itself, if the token has `burn(uint256)`. Anyone may call.
    function destroyBurned() external returns (uint128 amount);

    /// @notice Modules only: free -> locked.
    function lock(address account_, uint128 amount) external;

    /// @notice Modules only: locked -> free of the same account.
    function unlock(address account_, uint128 amount) external;

    /// @notice Modules only: locked money of `from` to the free balances of others.
    function move(address from, Payment[] calldata payments) external;

    /// @notice Modules only: cuts locked money of `from`: `toBeneficiary` to the beneficiary's free balance, `toBurn` burned.
    function slash(address from, address beneficiary, uint128 toBeneficiary, uint128 toBurn) external;
}
