// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC3009} from "./interfaces/IERC3009.sol";

/// @title Wrapped Grain: the native coin of a tilth chain as an ERC-20 token.
/// @notice One token is one coin held by this contract. Approvals by signature (ERC-2612) and transfers by signature
/// (ERC-3009) let an account without coins for gas act through a relay.
/// @dev Invariant: totalSupply() <= coins held here.
contract WGrain is ERC20, ERC20Permit, IERC3009 {
    /// @notice Coins behind burned tokens go here.
    address public constant BURN_ACCOUNT = 0x000000000000000000000000000000000000dEaD;

    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

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

    /// @inheritdoc IERC3009
    mapping(address authorizer => mapping(bytes32 nonce => bool)) public authorizationState;

    constructor() ERC20("Wrapped Grain", "WGRAIN") ERC20Permit("Wrapped Grain") {}

    /// @notice Sending coins is the same as `deposit`.
    receive() external payable {
        deposit();
    }

    /// @notice Wraps the coins sent along for the caller.
    function deposit() public payable {
        _mint(msg.sender, msg.value);
        emit Deposit(msg.sender, msg.value);
    }

    /// @notice Unwraps: burns the caller's tokens and sends it the coins.
    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        emit Withdrawal(msg.sender, amount);
        _sendCoins(msg.sender, amount);
    }

    /// @notice Takes tokens of the caller and the coins behind them out of circulation for ever.
    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
        _sendCoins(BURN_ACCOUNT, amount);
    }

    /// @inheritdoc IERC3009
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
    ) external {
        bytes32 typed = keccak256(
            abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
        );
        _authorize(from, validAfter, validBefore, nonce, typed, v, r, s);
        _transfer(from, to, value);
    }

    /// @inheritdoc IERC3009
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
    ) external {
        if (to != msg.sender) revert NotReceiver(to, msg.sender);
        bytes32 typed =
            keccak256(abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce));
        _authorize(from, validAfter, validBefore, nonce, typed, v, r, s);
        _transfer(from, to, value);
    }

    /// @inheritdoc IERC3009
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        _spend(authorizer, nonce);
        _checkSigner(authorizer, keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)), v, r, s);
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function _authorize(
        address from,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes32 typed,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) private {
        // Both bounds are exclusive, as ERC-3009 says.
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) {
            revert AuthorizationNotInTime(validAfter, validBefore);
        }
        _spend(from, nonce);
        _checkSigner(from, typed, v, r, s);
        emit AuthorizationUsed(from, nonce);
    }

    function _spend(address authorizer, bytes32 nonce) private {
        if (authorizationState[authorizer][nonce]) revert AuthorizationSpent(authorizer, nonce);
        authorizationState[authorizer][nonce] = true;
    }

    function _checkSigner(address authorizer, bytes32 typed, uint8 v, bytes32 r, bytes32 s) private view {
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecover(_hashTypedDataV4(typed), v, r, s);
        if (failure != ECDSA.RecoverError.NoError || signer != authorizer) revert BadSignature(authorizer);
    }

    // slither-disable-next-line arbitrary-send-eth
    function _sendCoins(address to, uint256 amount) private {
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert CoinTransferFailed(to, amount);
    }
}
