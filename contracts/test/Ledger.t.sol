// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {T} from "./T.sol";
import {Ledger} from "../src/Ledger.sol";
import {WGrain} from "../src/WGrain.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";

/// @dev Keeps a hundredth of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    constructor() {
        _mint(msg.sender, 1000 ether);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && to != address(0)) {
            super._update(from, address(1), value / 100);
            value -= value / 100;
        }
        super._update(from, to, value);
    }
}

/// @dev Calls back into the ledger during a transfer, as tokens with hooks do.
contract HookToken is ERC20("Hook", "HOOK") {
    Ledger internal ledger;
    bytes internal call_;

    function arm(Ledger ledger_, bytes calldata data) external {
        (ledger, call_) = (ledger_, data);
        _mint(msg.sender, 10 ether);
        _mint(address(this), 10 ether);
        _approve(address(this), address(ledger_), type(uint256).max);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (to != address(ledger) || call_.length == 0 || from == address(0)) return;
        bytes memory data = call_;
        delete call_;
        (bool done, bytes memory why) = address(ledger).call(data);
        if (!done) {
            assembly {
                revert(add(why, 32), mload(why))
            }
        }
    }
}

/// @dev A token of any supply that cannot be burned.
contract PlainToken is ERC20("Plain", "PLN") {
    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }
}

/// @dev Burns half of what it says that it burns.
contract HalfBurner is PlainToken(100 ether) {
    function burn(uint256 amount) external {
        _burn(msg.sender, amount / 2);
    }
}

/// @dev Tells whoever gets it, as tokens with hooks do, and is its own worst owner: paid out, it wants to be paid again.
contract WayOutToken is ERC20("Out", "OUT") {
    Ledger internal ledger;
    bytes4 public why;

    function begin(Ledger ledger_, uint128 amount) external {
        ledger = ledger_;
        _mint(address(this), amount);
        _approve(address(this), address(ledger_), amount);
        ledger_.deposit(amount);
    }

    function takeOut(uint128 amount) external {
        ledger.withdraw(amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(ledger) || from == address(0)) return;
        (, bytes memory answer) = address(ledger).call(abi.encodeCall(Ledger.withdraw, (uint128(value))));
        why = bytes4(answer);
    }
}

contract LedgerTest is T {
    uint256 internal constant KEY = 0xA11CE;
    address internal constant BOB = address(0xB0B);
    address internal constant MODULE = address(0x300D);
    address internal constant SMALL = address(0x5A11);
    address internal alice;
    WGrain internal token;
    Ledger internal ledger;

    function setUp() public {
        vm.warp(1_000_000);
        alice = vm.addr(KEY);
        token = WGrain(payable(created("WGrain", "")));
        ledger = make(address(token));
        vm.deal(alice, 100 ether);
        vm.startPrank(alice);
        token.deposit{value: 50 ether}();
        token.approve(address(ledger), 40 ether);
        ledger.deposit(30 ether);
        vm.stopPrank();
    }

    function make(address token_) internal returns (Ledger) {
        ILedger.Grant[] memory grants = new ILedger.Grant[](2);
        grants[0] = ILedger.Grant(MODULE, 1000 ether);
        grants[1] = ILedger.Grant(SMALL, 5 ether);
        return Ledger(created("Ledger", abi.encode(token_, grants)));
    }

    function free(address who) internal view returns (uint256) {
        return ledger.account(who).free;
    }

    function locked(address who) internal view returns (uint256) {
        return ledger.account(who).locked;
    }

    // ---------------------------------------------------------------- ways in and out

    function test_depositAndWithdraw() public {
        eq(free(alice), 30 ether, "deposited");
        vm.prank(alice);
        ledger.depositFor(BOB, 5 ether);
        eq(free(BOB), 5 ether, "deposited for another");
        vm.prank(alice);
        ledger.withdraw(10 ether);
        vm.prank(BOB);
        ledger.withdrawTo(alice, 5 ether);
        eq(token.balanceOf(alice), 30 ether, "tokens back");
        eq(token.balanceOf(address(ledger)), 20 ether, "held");
    }

    function test_withdrawOfMoreThanFreeFails() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, alice, 30 ether, 30 ether + 1));
        ledger.withdraw(30 ether + 1);
        vm.prank(MODULE);
        ledger.lock(alice, 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, alice, 30 ether - 1, 30 ether));
        ledger.withdraw(30 ether);
    }

    function test_zeroAndBadAddressesFail() public {
        vm.startPrank(alice);
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.deposit(0);
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.withdraw(0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, address(0)));
        ledger.depositFor(address(0), 1);
        address burned = ledger.BURN_ACCOUNT();
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, burned));
        ledger.depositFor(burned, 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, address(ledger)));
        ledger.withdrawTo(address(ledger), 1);
    }

    function test_permit() public {
        uint256 until = block.timestamp + 1;
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 inner = keccak256(abi.encode(kind, alice, address(ledger), 15 ether, 0, until));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), inner)));
        // Somebody uses the signature first to be in the way: the deposit still works.
        vm.prank(BOB);
        token.permit(alice, address(ledger), 15 ether, until, v, r, s);
        vm.prank(alice);
        ledger.depositPermit(15 ether, until, v, r, s);
        eq(free(alice), 45 ether, "deposited");
    }

    function test_authorizationIsForThisLedgerOnlyAndCreditsItsSigner() public {
        uint256 until = block.timestamp + 10;
        bytes32 kind = token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH();
        bytes32 inner = keccak256(abi.encode(kind, alice, address(ledger), 7 ether, 0, until, bytes32("n")));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(KEY, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), inner)));
        vm.prank(BOB);
        ledger.depositWithAuthorization(alice, 7 ether, 0, until, "n", v, r, s);
        eq(free(alice), 37 ether, "credited to the signer, not to the relay");
        vm.expectRevert(abi.encodeWithSelector(WGrain.AuthorizationSpent.selector, alice, bytes32("n")));
        ledger.depositWithAuthorization(alice, 7 ether, 0, until, "n", v, r, s);
    }

    function test_nativeCoinIsWrappedAndCredited() public {
        vm.prank(alice);
        ledger.depositNative{value: 2 ether}(BOB);
        eq(free(BOB), 2 ether, "credited");
        eq(token.balanceOf(address(ledger)), 32 ether, "held as tokens");
        eq(address(ledger).balance, 0, "no coins stay");
    }

    function test_feeTokensAreRefused() public {
        FeeToken fee = new FeeToken();
        Ledger other = make(address(fee));
        fee.approve(address(other), 100 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.UnsupportedToken.selector, 100 ether, 99 ether));
        other.deposit(100 ether);
    }

    function test_tokenHooksCannotComeBackIn() public {
        HookToken hook = new HookToken();
        Ledger other = make(address(hook));
        hook.arm(other, abi.encodeCall(Ledger.deposit, (1 ether)));
        hook.approve(address(other), 5 ether);
        vm.expectRevert(bytes4(keccak256("ReentrancyGuardReentrantCall()")));
        other.deposit(5 ether);
    }

    function test_whatIsPaidOutCannotBeTakenTwice() public {
        WayOutToken out = new WayOutToken();
        Ledger other = make(address(out));
        out.begin(other, 10 ether);
        out.takeOut(4 ether);
        ok(out.why() == bytes4(keccak256("ReentrancyGuardReentrantCall()")), "no way back in");
        eq(other.account(address(out)).free, 6 ether, "taken once");
        eq(out.balanceOf(address(other)), 6 ether, "and paid once");
    }

    function test_aTokenWithoutPermitIsPaidInByItsAllowance() public {
        PlainToken plain = new PlainToken(10 ether);
        Ledger other = make(address(plain));
        plain.approve(address(other), 3 ether);
        other.depositPermit(3 ether, block.timestamp, 27, 0, 0);
        eq(other.account(address(this)).free, 3 ether, "deposited");
        vm.expectPartialRevert(bytes4(keccak256("ERC20InsufficientAllowance(address,uint256,uint256)")));
        other.depositPermit(3 ether, block.timestamp, 27, 0, 0);
    }

    /// @dev What the token cannot burn stays where nobody can take it, and stops nothing else.
    function test_whatCannotBeBurnedStays() public {
        PlainToken plain = new PlainToken(10 ether);
        HalfBurner half = new HalfBurner();
        Ledger stuck = withBurned(plain, 2 ether);
        vm.expectRevert(bytes(""));
        stuck.destroyBurned();
        Ledger other = withBurned(half, 2 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.UnsupportedToken.selector, 2 ether, 1 ether));
        other.destroyBurned();
        address nobody = stuck.BURN_ACCOUNT();
        eq(stuck.account(nobody).free, 2 ether, "there");
        eq(other.account(nobody).free, 2 ether, "there");
        other.withdraw(3 ether);
        vm.prank(MODULE);
        other.lock(address(this), 1);
    }

    /// @dev A ledger with 5 coins of this contract, and so many burned.
    function withBurned(ERC20 token_, uint128 amount) internal returns (Ledger other) {
        other = make(address(token_));
        token_.approve(address(other), 5 ether + amount);
        other.deposit(5 ether + amount);
        vm.startPrank(MODULE);
        other.lock(address(this), amount);
        other.slash(address(this), BOB, 0, amount);
        vm.stopPrank();
    }

    /// @dev An account holds less than 2^128. Whoever filled one up by gifts could keep it from being paid: so the token must have
    /// less than that in all.
    function test_aTokenMustHaveLessThanAnAccountHolds() public {
        uint128 most = type(uint128).max;
        PlainToken plain = new PlainToken(2 * uint256(most));
        Ledger other = make(address(plain));
        plain.approve(address(other), type(uint256).max);
        other.depositFor(BOB, most);
        bytes memory overflow = abi.encodeWithSignature("Panic(uint256)", 0x11);
        vm.expectRevert(overflow);
        other.depositFor(BOB, 1);
        other.deposit(1);
        vm.startPrank(MODULE);
        other.lock(address(this), 1);
        ILedger.Payment[] memory payments = new ILedger.Payment[](1);
        payments[0] = ILedger.Payment(BOB, 1);
        vm.expectRevert(overflow);
        other.move(address(this), payments);
        // Two payments whose sum is no number.
        payments = new ILedger.Payment[](2);
        (payments[0], payments[1]) = (ILedger.Payment(alice, most), ILedger.Payment(alice, 1));
        vm.expectRevert(overflow);
        other.move(address(this), payments);
        vm.expectRevert(overflow);
        other.slash(address(this), alice, most, 1);
        vm.stopPrank();
        vm.prank(BOB);
        other.withdraw(most);
    }

    function test_gifts() public {
        vm.prank(alice);
        token.transfer(address(ledger), 3 ether);
        eq(free(alice), 30 ether, "a plain transfer credits nobody");
        vm.prank(alice);
        ledger.deposit(1 ether);
        eq(free(alice), 31 ether, "and does not disturb deposits");
    }

    // ---------------------------------------------------------------- modules

    function test_lockUnlockMoveSlash() public {
        vm.startPrank(MODULE);
        ledger.lock(alice, 20 ether);
        ledger.unlock(alice, 2 ether);
        ILedger.Payment[] memory payments = new ILedger.Payment[](2);
        payments[0] = ILedger.Payment(BOB, 5 ether);
        payments[1] = ILedger.Payment(alice, 1 ether);
        ledger.move(alice, payments);
        ledger.slash(alice, BOB, 2 ether, 4 ether);
        vm.stopPrank();
        eq(free(alice), 13 ether, "10 never locked, 2 unlocked, 1 paid to itself");
        eq(locked(alice), 6 ether, "left");
        eq(free(BOB), 7 ether, "paid");
        eq(free(ledger.BURN_ACCOUNT()), 4 ether, "burned");
        (uint128 cap, uint128 held) = ledger.module(MODULE);
        eq(cap, 1000 ether, "cap");
        eq(held, 6 ether, "the module's books");
        eq(ledger.destroyBurned(), 4 ether, "destroyed");
        eq(token.balanceOf(address(ledger)), 26 ether, "destroyed in the token");
        eq(token.totalSupply(), 46 ether, "supply");
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.destroyBurned();
    }

    /// @dev Whoever is punished for its own good, or for nobody's, loses what is burned and no more.
    function test_slashedForOneselfOrForNobody() public {
        address nobody = ledger.BURN_ACCOUNT();
        vm.startPrank(MODULE);
        ledger.lock(alice, 10 ether);
        ledger.slash(alice, alice, 2 ether, 3 ether);
        eq(free(alice), 22 ether, "its half is free");
        eq(locked(alice), 5 ether, "left");
        eq(free(nobody), 3 ether, "burned");
        ledger.slash(alice, nobody, 2 ether, 2 ether);
        eq(free(nobody), 7 ether, "both halves");
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, address(0)));
        ledger.slash(alice, address(0), 0, 1);
        // Payments to oneself, to nobody, and of nothing.
        ILedger.Payment[] memory payments = new ILedger.Payment[](3);
        (payments[0], payments[1]) = (ILedger.Payment(alice, 1 ether), ILedger.Payment(nobody, 0));
        payments[2] = ILedger.Payment(address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, address(0)));
        ledger.move(alice, payments);
        payments[2].to = BOB;
        ledger.move(alice, payments);
        ledger.move(alice, new ILedger.Payment[](0));
        ledger.lock(alice, 0);
        ledger.unlock(alice, 0);
        vm.stopPrank();
        eq(free(alice), 23 ether, "paid to itself");
        eq(locked(alice) + free(BOB), 0, "nothing is left, and nothing else was paid");
        (, uint128 held) = ledger.module(MODULE);
        eq(held, 0, "the module's books");
    }

    function test_onlyModules() public {
        bytes memory no = abi.encodeWithSelector(ILedger.NotModule.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(no);
        ledger.lock(alice, 1);
        vm.expectRevert(no);
        ledger.unlock(alice, 1);
        vm.expectRevert(no);
        ledger.move(alice, new ILedger.Payment[](0));
        vm.expectRevert(no);
        ledger.slash(alice, BOB, 1, 1);
    }

    function test_capsBoundWhatAModuleMayLock() public {
        vm.startPrank(SMALL);
        ledger.lock(alice, 4 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleCapExceeded.selector, SMALL, 5 ether, 4 ether, 2 ether));
        ledger.lock(alice, 2 ether);
        ledger.unlock(alice, 4 ether);
        ledger.lock(alice, 5 ether);
    }

    function test_aModuleCannotTouchWhatAnotherLocked() public {
        vm.prank(MODULE);
        ledger.lock(alice, 20 ether);
        vm.startPrank(SMALL);
        ledger.lock(alice, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleUnderflow.selector, SMALL, 1 ether, 2 ether));
        ledger.unlock(alice, 2 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ModuleUnderflow.selector, SMALL, 1 ether, 2 ether));
        ledger.slash(alice, BOB, 1 ether, 1 ether);
    }

    function test_moreThanIsLockedOrFreeFails() public {
        vm.startPrank(MODULE);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, BOB, 0, 1));
        ledger.lock(BOB, 1);
        ledger.lock(alice, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientLocked.selector, BOB, 0, 1 ether));
        ledger.unlock(BOB, 1 ether);
    }

    function test_construction() public {
        ILedger.Grant[] memory grants = new ILedger.Grant[](2);
        grants[0] = ILedger.Grant(MODULE, 1);
        grants[1] = ILedger.Grant(MODULE, 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, MODULE));
        created("Ledger", abi.encode(token, grants));
        vm.expectRevert(abi.encodeWithSelector(ILedger.BadAddress.selector, BOB));
        created("Ledger", abi.encode(BOB, new ILedger.Grant[](0)));
    }

    function testFuzz_moneyIsConserved(uint96 lock_, uint96 pay, uint96 cut, uint96 back) public {
        uint128 a = uint128(bound(lock_, 0, 30 ether));
        uint128 b = uint128(bound(pay, 0, a));
        uint128 c = uint128(bound(cut, 0, a - b));
        uint128 d = uint128(bound(back, 0, a - b - c));
        vm.startPrank(MODULE);
        ledger.lock(alice, a);
        ILedger.Payment[] memory payments = new ILedger.Payment[](1);
        payments[0] = ILedger.Payment(BOB, b);
        ledger.move(alice, payments);
        ledger.slash(alice, BOB, c / 2, c - c / 2);
        ledger.unlock(alice, d);
        uint256 all = free(alice) + locked(alice) + free(BOB) + free(ledger.BURN_ACCOUNT());
        eq(all, token.balanceOf(address(ledger)), "sum of accounts = tokens held");
        (, uint128 held) = ledger.module(MODULE);
        eq(held, locked(alice), "module's book = locked");
    }
}
