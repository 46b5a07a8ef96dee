// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title ERC-3009: transfers by signature.
interface IERC3009 {
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
}

/// @title The native coin as an ERC-20 token.
interface IWGrain is IERC20Metadata, IERC20Permit, IERC3009 {
    event Deposit(address indexed account, uint256 amount);
    event Withdrawal(address indexed account, uint256 amount);

    /// @notice The chain refused the native coin transfer.
    error CoinTransferFailed(address to, uint256 amount);
    /// @notice The authorization is not valid yet or no longer.
    error AuthorizationNotInTime(uint256 validAfter, uint256 validBefore);
    /// @notice The authorization was used or cancelled before.
    error AuthorizationSpent(address authorizer, bytes32 nonce);
    /// @notice The signature is not the authorizer's.
    error BadSignature(address authorizer);
    /// @notice Only the receiver named in the authorization may use it.
    error NotReceiver(address to, address caller);

    /// @notice Wraps the coins sent along for the caller.
    function deposit() external payable;
    /// @notice Unwraps: burns the caller's tokens and sends it the coins.
    function withdraw(uint256 amount) external;
    /// @notice Takes tokens of the caller and the coins behind them out of circulation for ever.
    function burn(uint256 amount) external;
}
