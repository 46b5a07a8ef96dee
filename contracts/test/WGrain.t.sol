// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {WGrain} from "../src/WGrain.sol";

/// @dev Refuses coins.
contract NoCoins {
    function wrapAndUnwrap(WGrain token) external payable {
        token.deposit{value: msg.value}();
        token.withdraw(msg.value);
    }
}

contract WGrainTest is T {
    uint256 internal constant KEY = 0xA11CE;
    address internal alice;
    address internal constant BOB = address(0xB0B);
    WGrain internal token;

    function setUp() public {
        vm.warp(1_000_000);
        alice = vm.addr(KEY);
        token = WGrain(payable(created("WGrain", "")));
        vm.deal(alice, 10 ether);
        vm.prank(alice);
        token.deposit{value: 10 ether}();
    }

    function test_wrapAndUnwrap() public {
        eq(token.balanceOf(alice), 10 ether, "wrapped");
        eq(address(token).balance, 10 ether, "coins held");
        vm.prank(alice);
        token.withdraw(4 ether);
        eq(alice.balance, 4 ether, "coins back");
        eq(token.totalSupply(), 6 ether, "supply");
        vm.prank(alice);
        (bool sent,) = address(token).call{value: 1 ether}("");
        ok(sent && token.balanceOf(alice) == 7 ether, "plain transfer wraps");
        eq(token.decimals(), 18, "decimals");
    }

    function test_burnTakesCoinsOutOfCirculation() public {
        vm.prank(alice);
        token.burn(3 ether);
        eq(token.totalSupply(), 7 ether, "supply");
        eq(address(token).balance, 7 ether, "backing");
        eq(token.BURN_ACCOUNT().balance, 3 ether, "burned coins");
    }

    function test_unwrapToAContractThatRefusesCoinsFails() public {
        NoCoins receiver = new NoCoins();
        vm.deal(address(this), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(WGrain.CoinTransferFailed.selector, address(receiver), 1 ether));
        receiver.wrapAndUnwrap{value: 1 ether}(token);
    }

    function authorization(bytes32 kind, address to, uint256 value, uint256 until, bytes32 nonce, uint256 key)
        internal
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 inner = keccak256(abi.encode(kind, alice, to, value, 0, until, nonce));
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), inner)));
    }

    function test_transferWithAuthorization() public {
        uint256 until = block.timestamp + 10;
        (uint8 v, bytes32 r, bytes32 s) =
            authorization(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), BOB, 2 ether, until, "n", KEY);
        token.transferWithAuthorization(alice, BOB, 2 ether, 0, until, "n", v, r, s);
        eq(token.balanceOf(BOB), 2 ether, "moved by signature");
        ok(token.authorizationState(alice, "n"), "spent");
        vm.expectRevert(abi.encodeWithSelector(WGrain.AuthorizationSpent.selector, alice, bytes32("n")));
        token.transferWithAuthorization(alice, BOB, 2 ether, 0, until, "n", v, r, s);
    }

    function test_authorizationsOfOthersLateOnesAndChangedOnesFail() public {
        uint256 until = block.timestamp + 10;
        bytes32 kind = token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH();
        (uint8 v, bytes32 r, bytes32 s) = authorization(kind, BOB, 2 ether, until, "n", 0xBAD);
        vm.expectRevert(abi.encodeWithSelector(WGrain.BadSignature.selector, alice));
        token.transferWithAuthorization(alice, BOB, 2 ether, 0, until, "n", v, r, s);
        (v, r, s) = authorization(kind, BOB, 2 ether, until, "n", KEY);
        vm.expectRevert(abi.encodeWithSelector(WGrain.BadSignature.selector, alice));
        token.transferWithAuthorization(alice, BOB, 3 ether, 0, until, "n", v, r, s);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(WGrain.AuthorizationNotInTime.selector, 0, until));
        token.transferWithAuthorization(alice, BOB, 2 ether, 0, until, "n", v, r, s);
    }

    function test_receiveIsForTheReceiverOnlyAndAnotherKindOfSignature() public {
        uint256 until = block.timestamp + 10;
        (uint8 v, bytes32 r, bytes32 s) =
            authorization(token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(), BOB, 1 ether, until, "n", KEY);
        vm.expectRevert(abi.encodeWithSelector(WGrain.NotReceiver.selector, BOB, address(this)));
        token.receiveWithAuthorization(alice, BOB, 1 ether, 0, until, "n", v, r, s);
        vm.expectRevert(abi.encodeWithSelector(WGrain.BadSignature.selector, alice));
        token.transferWithAuthorization(alice, BOB, 1 ether, 0, until, "n", v, r, s);
        vm.prank(BOB);
        token.receiveWithAuthorization(alice, BOB, 1 ether, 0, until, "n", v, r, s);
        eq(token.balanceOf(BOB), 1 ether, "received");
    }

    function test_cancelledAuthorizationIsWorthNothing() public {
        bytes32 inner = keccak256(abi.encode(token.CANCEL_AUTHORIZATION_TYPEHASH(), alice, bytes32("n")));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), inner)));
        token.cancelAuthorization(alice, "n", v, r, s);
        uint256 until = block.timestamp + 10;
        (v, r, s) = authorization(token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), BOB, 1 ether, until, "n", KEY);
        vm.expectRevert(abi.encodeWithSelector(WGrain.AuthorizationSpent.selector, alice, bytes32("n")));
        token.transferWithAuthorization(alice, BOB, 1 ether, 0, until, "n", v, r, s);
    }

    function testFuzz_supplyIsBacked(uint96 wrap, uint96 unwrap, uint96 burned) public {
        vm.deal(BOB, wrap);
        vm.startPrank(BOB);
        token.deposit{value: wrap}();
        token.withdraw(bound(unwrap, 0, wrap));
        token.burn(bound(burned, 0, token.balanceOf(BOB)));
        vm.stopPrank();
        eq(address(token).balance, token.totalSupply(), "each token is one coin");
    }
}
