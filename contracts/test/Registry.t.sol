// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";

/// @dev A node that is a contract: agrees when it is told "yes".
contract Wallet {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return keccak256(signature) == keccak256("yes") ? this.isValidSignature.selector : bytes4(0);
    }
}

contract RegistryTest is Network {
    address internal constant OTHER = address(0x07E4);

    function asBook() internal {
        vm.prank(address(book));
    }

    function test_registration() public {
        address owner = provider(1, 4, 10 ether);
        IRegistry.Provider memory p = registry.provider(owner);
        eq(p.number, 1, "number");
        eq(p.owner, owner, "owner");
        eq(p.node, nodeOf(1), "node");
        eq(p.slots, 4, "slots");
        eq(p.stake, 10 ether, "stake");
        eq(p.endpointId, bytes32(uint256(2)), "endpoint");
        eq(p.attributes.vramMib, 4096, "attributes");
        eq(locked(owner), 10 ether, "stake is locked");
        eq(registry.nodeOwner(nodeOf(1)), owner, "node's owner");
        eq(registry.providerCount(), 1, "count");
        eq(registry.providerByNumber(1).owner, owner, "by number");
        IRegistry.Standing memory s = registry.standing(nodeOf(1));
        eq(s.room, 10 ether, "1.0 x stake");
        eq(registry.standingOf(owner).number, 1, "by owner");
        eq(registry.standing(OTHER).number, 0, "unknown");
        eq(registry.provider(OTHER).number, 0, "unknown");
    }

    function test_registrationLimits() public {
        IRegistry.Consent memory agreed = consent(1, OTHER);
        vm.startPrank(OTHER);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadSlots.selector, 0, 4096));
        registry.register(nodeOf(1), 0, attributes(), 0, "", 0, agreed);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadSlots.selector, 4097, 4096));
        registry.register(nodeOf(1), 4097, attributes(), 0, "", 0, agreed);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.EndpointTooLong.selector, 257, 256));
        registry.register(nodeOf(1), 1, attributes(), 0, new bytes(257), 0, agreed);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NodeTaken.selector, address(0)));
        registry.register(address(0), 1, attributes(), 0, "", 0, agreed);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InsufficientFree.selector, OTHER, 0, 1));
        registry.register(nodeOf(1), 1, attributes(), 0, "", 1, agreed);
        registry.register(nodeOf(1), 1, attributes(), 0, new bytes(256), 0, agreed);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.AlreadyRegistered.selector, OTHER));
        registry.register(nodeOf(2), 1, attributes(), 0, "", 0, agreed);
    }

    function test_aNodeKeyBelongsToOneProvider() public {
        provider(1, 1, 0);
        IRegistry.Consent memory agreed = consent(1, OTHER);
        vm.prank(OTHER);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NodeTaken.selector, nodeOf(1)));
        registry.register(nodeOf(1), 1, attributes(), 0, "", 0, agreed);
    }

    function refusedConsent(address owner, IRegistry.Consent memory consent_) internal {
        bytes memory no = abi.encodeWithSelector(IRegistry.NoConsent.selector, nodeOf(1), owner, consent_.deadline);
        vm.startPrank(owner);
        vm.expectRevert(no);
        registry.register(nodeOf(1), 1, attributes(), 0, "", 0, consent_);
        vm.stopPrank();
    }

    /// @dev Somebody reads a registration that waits to be included, and hurries to be first with its node key.
    function test_aStrangerCannotTakeANodeKey() public {
        refusedConsent(OTHER, noConsent());
        refusedConsent(OTHER, consent(1, ownerOf(1)));
        refusedConsent(OTHER, consent(2, OTHER));
        address owner = provider(1, 1, 0);
        eq(registry.nodeOwner(nodeOf(1)), owner, "the registration in question works");
        provider(2, 1, 0);
        IRegistry.Consent memory agreed = consent(3, ownerOf(1));
        vm.prank(ownerOf(2));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NoConsent.selector, nodeOf(3), ownerOf(2), agreed.deadline));
        registry.setNode(nodeOf(3), agreed);
        vm.prank(ownerOf(1));
        registry.setNode(nodeOf(3), agreed);
        eq(registry.nodeOwner(nodeOf(3)), owner, "a new node key as well");
    }

    function test_consentIsForOneTimeAndOneChain() public {
        IRegistry.Consent memory agreed = consent(1, OTHER);
        vm.warp(agreed.deadline + 1);
        refusedConsent(OTHER, agreed);
        vm.warp(agreed.deadline);
        IRegistry.Consent memory longer = IRegistry.Consent(agreed.deadline + 1, agreed.signature);
        refusedConsent(OTHER, longer);
        // As a number: the compiler would read block.chainid again instead of keeping it.
        vm.chainId(31_338);
        refusedConsent(OTHER, agreed);
        vm.chainId(31_337);
        vm.prank(OTHER);
        registry.register(nodeOf(1), 1, attributes(), 0, "", 0, agreed);
    }

    function test_anOwnerMayBeItsOwnNode() public {
        vm.prank(OTHER);
        registry.register(OTHER, 1, attributes(), 0, "", 0, noConsent());
        eq(registry.nodeOwner(OTHER), OTHER, "no signature is needed to agree with oneself");
    }

    function test_aContractAgreesInItsOwnWay() public {
        address wallet = address(new Wallet());
        IRegistry.Consent memory wrong = IRegistry.Consent(block.timestamp, "no");
        vm.startPrank(OTHER);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NoConsent.selector, wallet, OTHER, block.timestamp));
        registry.register(wallet, 1, attributes(), 0, "", 0, wrong);
        registry.register(wallet, 1, attributes(), 0, "", 0, IRegistry.Consent(block.timestamp, "yes"));
        eq(registry.nodeOwner(wallet), OTHER, "agreed");
    }

    function test_nodeKeyCanBeReplaced() public {
        address owner = provider(1, 1, 0);
        IRegistry.Consent memory agreed = consent(9, owner);
        vm.prank(owner);
        registry.setNode(nodeOf(9), agreed);
        eq(registry.nodeOwner(nodeOf(1)), address(0), "the old key is nobody's");
        eq(registry.nodeOwner(nodeOf(9)), owner, "new key");
        vm.prank(nodeOf(1));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotRegistered.selector, nodeOf(1)));
        registry.setPaused(true);
        vm.prank(nodeOf(9));
        registry.setPaused(true);
        ok(registry.provider(owner).paused, "paused by the node");
    }

    function test_nodeMayNotActAsOwner() public {
        provider(1, 1, 10 ether);
        vm.startPrank(nodeOf(1));
        bytes memory no = abi.encodeWithSelector(IRegistry.NotRegistered.selector, nodeOf(1));
        vm.expectRevert(no);
        registry.setNode(OTHER, noConsent());
        vm.expectRevert(no);
        registry.unstake(1);
        vm.expectRevert(no);
        registry.update(2, attributes());
        vm.expectRevert(no);
        registry.withdrawStake();
        registry.setEndpoint("here", hex"0102");
        eq(registry.provider(ownerOf(1)).endpointId, "here", "the node may say where it is");
    }

    function test_anOwnerThatIsAnothersNodeKeyActsForItself() public {
        address both = nodeOf(3);
        IRegistry.Consent memory agreed = consent(1, both);
        vm.prank(both);
        registry.register(nodeOf(1), 1, attributes(), 0, "", 0, agreed);
        agreed = consent(3, OTHER);
        vm.prank(OTHER);
        registry.register(both, 1, attributes(), 0, "", 0, agreed);
        vm.prank(both);
        registry.setPaused(true);
        ok(registry.provider(both).paused, "acts for itself");
        ok(!registry.provider(OTHER).paused, "not for the other");
    }

    function test_stakeLeavesSlowly() public {
        address owner = provider(1, 1, 10 ether);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.StakeTooLow.selector, 10 ether, 11 ether));
        registry.unstake(11 ether);
        registry.unstake(4 ether);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReady.selector, block.timestamp + 7 days));
        registry.withdrawStake();
        vm.warp(block.timestamp + 6 days);
        registry.unstake(1 ether);
        vm.warp(block.timestamp + 2 days);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReady.selector, block.timestamp + 5 days));
        registry.withdrawStake();
        vm.warp(block.timestamp + 5 days);
        eq(registry.withdrawStake(), 5 ether, "both parts");
        eq(free(owner), 5 ether, "free again");
        eq(locked(owner), 5 ether, "the rest is staked");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotReady.selector, 0));
        registry.withdrawStake();
    }

    function test_stakeUnderExposureStays() public {
        address owner = provider(1, 1, 10 ether);
        asBook();
        registry.reserve(1, 7 ether);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.StakeInUse.selector, 10 ether, 4 ether, 7 ether));
        registry.unstake(4 ether);
        registry.unstake(3 ether);
    }

    function test_reserveIsBoundedByStakeSlotsAndPause() public {
        address owner = provider(1, 1, 10 ether);
        asBook();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ExposureExceeded.selector, owner, 10 ether, 11 ether));
        registry.reserve(1, 11 ether);
        asBook();
        registry.reserve(1, 1);
        asBook();
        registry.reserve(1, 1);
        asBook();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NoFreeSlot.selector, owner, 2));
        registry.reserve(1, 1);
        asBook();
        registry.submitted(nodeOf(1), 1);
        vm.prank(owner);
        registry.setPaused(true);
        asBook();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ProviderIsPaused.selector, owner));
        registry.reserve(1, 1);
        asBook();
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotRegistered.selector, address(0)));
        registry.reserve(9, 1);
    }

    function test_onlyTheJobBook() public {
        provider(1, 1, 10 ether);
        bytes memory no = abi.encodeWithSelector(IRegistry.NotJobBook.selector, OTHER);
        vm.startPrank(OTHER);
        vm.expectRevert(no);
        registry.reserve(1, 1);
        vm.expectRevert(no);
        registry.submitted(nodeOf(1), 0);
        vm.expectRevert(no);
        registry.settled(1, 0);
        vm.expectRevert(no);
        registry.dropped(1, 0, 1, OTHER);
    }

    function test_cutTakesActiveStakeFirstThenWhatIsLeaving() public {
        address owner = provider(1, 1, 10 ether);
        vm.prank(owner);
        registry.unstake(6 ether);
        asBook();
        registry.reserve(1, 4 ether);
        asBook();
        (address who, uint128 cut) = registry.dropped(1, 4 ether, 7 ether, CLIENT);
        eq(who, owner, "owner");
        eq(cut, 7 ether, "cut");
        IRegistry.Provider memory p = registry.provider(owner);
        eq(p.stake, 0, "active stake went first");
        eq(p.unbonding, 3 ether, "then the leaving one");
        eq(free(ledger.BURN_ACCOUNT()), 3.5 ether, "half is burned");
        eq(free(CLIENT), 1_000_000 ether + 3.5 ether, "half to the client");
        eq(locked(owner), 3 ether, "locked = stake + leaving");
        vm.warp(block.timestamp + 7 days);
        vm.prank(owner);
        eq(registry.withdrawStake(), 3 ether, "no more than is left leaves");
    }

    function test_cutEndsAtNothing() public {
        address owner = provider(1, 1, 1 ether);
        asBook();
        registry.reserve(1, 1 ether);
        asBook();
        (, uint128 cut) = registry.dropped(1, 1 ether, 5 ether, CLIENT);
        eq(cut, 1 ether, "all there was");
        eq(registry.standingOf(owner).room, 0, "no room without stake");
    }

    function testFuzz_atLeastHalfOfACutIsBurned(uint96 stake, uint96 leaving, uint96 penalty) public {
        stake = uint96(bound(stake, 1, 1e27));
        address owner = provider(1, 1, stake);
        leaving = uint96(bound(leaving, 0, stake));
        if (leaving != 0) {
            vm.prank(owner);
            registry.unstake(leaving);
        }
        asBook();
        registry.reserve(1, 0);
        uint256 before = free(CLIENT);
        asBook();
        (, uint128 cut) = registry.dropped(1, 0, penalty, CLIENT);
        eq(cut, penalty < stake ? penalty : stake, "cut");
        uint256 burned = free(ledger.BURN_ACCOUNT());
        eq(burned + free(CLIENT) - before, cut, "burned + paid = cut");
        ok(burned * 2 >= cut, "at least half");
        IRegistry.Provider memory p = registry.provider(owner);
        eq(uint256(p.stake) + p.unbonding, locked(owner), "books agree");
    }

    function test_qualification() public {
        provider(1, 1, 0);
        ok(registry.qualifies(1, 3, 4096), "has both bits and the memory");
        ok(registry.qualifies(1, 1, 0), "needs less");
        ok(!registry.qualifies(1, 4, 0), "bit missing");
        ok(!registry.qualifies(1, 0, 4097), "memory missing");
    }

    function test_constructionChecksTheLedger() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.BadLedger.selector, address(ledger)));
        created("Registry", abi.encode(ledger, book, audits));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotJudge.selector, address(0)));
        created("Registry", abi.encode(ledger, book, address(0)));
    }

    function test_onlyTheJudgeTakesAndFreesExposureAndNeverMoreThanTheStakeCarries() public {
        address owner = provider(1, 1, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotJudge.selector, address(this)));
        registry.expose(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotJudge.selector, address(this)));
        registry.free(1, 1);
        vm.startPrank(address(bench));
        registry.expose(1, 4 ether);
        eq(registry.standingOf(owner).room, 6 ether, "room");
        vm.expectRevert(abi.encodeWithSelector(IRegistry.ExposureExceeded.selector, owner, 6 ether, 6 ether + 1));
        registry.expose(1, 6 ether + 1);
        vm.stopPrank();
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.StakeInUse.selector, 10 ether, 7 ether, 4 ether));
        registry.unstake(7 ether);
        vm.prank(address(bench));
        registry.free(1, 4 ether);
        eq(registry.provider(owner).exposure, 0, "free");
        vm.prank(owner);
        registry.unstake(10 ether);
    }

    function test_onlyTheJudgePunishesAndItReachesLeavingStake() public {
        address owner = provider(1, 1, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.NotJudge.selector, address(this)));
        registry.punish(1, 1e9, CLIENT);
        vm.prank(owner);
        registry.unstake(4 ether);
        uint256 before = free(CLIENT);
        vm.prank(address(bench));
        eq(registry.punish(1, 8e8, CLIENT), 8 ether, "four fifths of both");
        IRegistry.Provider memory p = registry.provider(owner);
        eq(p.stake, 0, "active first");
        eq(p.unbonding, 2 ether, "then what is leaving");
        eq(free(CLIENT) - before, 4 ether, "half to the harmed");
        eq(free(ledger.BURN_ACCOUNT()), 4 ether, "half burned");
        vm.prank(address(bench));
        eq(registry.punish(1, 1e9, CLIENT), 2 ether, "the rest");
        vm.prank(address(bench));
        eq(registry.punish(1, 1e9, CLIENT), 0, "nothing is left");
        eq(locked(owner), 0, "nothing is left");
    }
}
