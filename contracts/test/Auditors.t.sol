// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {AuditWorld} from "./AuditWorld.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";
import {StakeLine} from "../src/libraries/StakeLine.sol";

/// @dev Auditors' stake, the line they are drawn from, and their punishment.
contract AuditorsTest is AuditWorld {
    uint40 internal constant NOW = type(uint40).max;

    /// @dev All stakes at the end of a second, by number; what the tree must say about it for good.
    struct Moment {
        uint40 at;
        uint256[] stakes;
    }

    Moment[] internal moments;

    function test_joinLocksStakeAndMakesAPartOfTheLine() public {
        auditor(1, 10 ether);
        auditor(2, 30 ether);
        IAuditors.Auditor memory a = auditors.auditor(2);
        eq(a.owner, auditorOwner(2), "owner");
        eq(a.node, auditorNode(2), "node");
        eq(a.stake, 30 ether, "stake");
        eq(auditors.total(), 40 ether, "line");
        eq(locked(auditorOwner(2)), 30 ether, "locked");
        eq(auditors.at(10 ether - 1, NOW), 1, "the first one's last place");
        eq(auditors.at(10 ether, NOW), 2, "the second one's first place");
        vm.expectRevert(abi.encodeWithSelector(StakeLine.OffTheLine.selector, 40 ether, 40 ether));
        auditors.at(40 ether, NOW);
        eq(auditors.auditor(3).number, 0, "nobody");
        (address owner, address node, uint256 reach) = auditors.holder(2);
        ok(owner == auditorOwner(2) && node == auditorNode(2) && reach == 30 ether, "the same in short");
        (owner,, reach) = auditors.holder(3);
        ok(owner == address(0) && reach == 0, "nobody");
    }

    function test_whatJoinRefuses() public {
        fund(auditorOwner(1), 100 ether);
        vm.startPrank(auditorOwner(1));
        vm.expectRevert(abi.encodeWithSelector(IAuditors.BadStake.selector, 9 ether));
        auditors.join(auditorNode(1), 9 ether);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.BadNode.selector, address(0)));
        auditors.join(address(0), 10 ether);
        auditors.join(auditorNode(1), 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.AlreadyAuditor.selector, auditorOwner(1)));
        auditors.join(auditorNode(1), 10 ether);
        auditors.addStake(1);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.BadStake.selector, 0));
        auditors.addStake(0);
        auditors.setNode(address(7));
        vm.stopPrank();
        eq(auditors.auditor(1).node, address(7), "new key");
        eq(auditors.auditor(1).stake, 10 ether + 1, "more stake");
        vm.expectRevert(abi.encodeWithSelector(IAuditors.NotAuditor.selector, address(this)));
        auditors.addStake(1);
    }

    function test_stakeThawsBeforeItIsFree() public {
        auditor(1, 30 ether);
        vm.startPrank(auditorOwner(1));
        vm.expectRevert(abi.encodeWithSelector(IAuditors.BadStake.selector, 25 ether));
        auditors.unstake(25 ether);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.NotReady.selector, 0));
        auditors.withdrawStake();
        auditors.unstake(20 ether);
        eq(auditors.total(), 10 ether, "no part of the line any more");
        uint40 ready = uint40(block.timestamp + Parameters.THAWING);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.NotReady.selector, ready));
        auditors.withdrawStake();
        // Punished meanwhile: half of everything, the active part first.
        vm.stopPrank();
        vm.prank(address(audits));
        eq(auditors.punish(1, Parameters.WRONG_AUDIT, address(audits)), 15 ether, "half of both");
        eq(auditors.total(), 0, "all of the active part");
        vm.warp(ready);
        vm.prank(auditorOwner(1));
        eq(auditors.withdrawStake(), 15 ether, "what is left can be taken out");
        eq(free(auditorOwner(1)), 15 ether, "free");
        eq(locked(auditorOwner(1)), 0, "nothing stays behind");
    }

    function test_onlyTheJudgePunishesAndNeverForLessThanTheFloor() public {
        auditor(1, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IAuditors.NotJudge.selector, address(this)));
        auditors.punish(1, 1, CLIENT);
        vm.startPrank(address(audits));
        eq(auditors.punish(1, 1, CLIENT), 0.1 ether, "a hundredth of the least stake");
        eq(auditors.punish(1, Parameters.ONE, CLIENT), 9.9 ether, "all");
        eq(auditors.punish(1, Parameters.ONE, CLIENT), 0, "there is no more");
        eq(auditors.punish(2, Parameters.ONE, CLIENT), 0, "nobody");
        vm.stopPrank();
        eq(free(ledger.BURN_ACCOUNT()), 5 ether, "half burned");
    }

    function test_construction() public {
        ok(canBeBuilt(ledgerOfNext(CAP), address(audits), MIN_STAKE), "with all");
        ok(!canBeBuilt(ledgerOfNext(CAP), address(0), MIN_STAKE), "without a judge");
        ok(!canBeBuilt(ledgerOfNext(CAP), address(audits), 0), "without a least stake");
        ok(!canBeBuilt(ledgerOfNext(CAP + 1), address(audits), MIN_STAKE), "with a right to more than 96 bits of money");
        ok(!canBeBuilt(ledger, address(audits), MIN_STAKE), "without a right in the ledger");
    }

    function canBeBuilt(ILedger ledger_, address judge, uint128 least) internal returns (bool) {
        return created("Auditors", abi.encode(ledger_, judge, least)) != address(0);
    }

    /// @dev Auditors with the stakes of the vectors.
    function vectors() internal returns (string memory json) {
        json = vm.readFile("../vectors/trust.json");
        string[] memory stakes = vm.parseJsonStringArray(json, ".votes.stakes");
        for (uint256 i = 0; i < stakes.length; ++i) {
            auditor(i + 1, uint128(vm.parseUint(stakes[i])));
        }
    }

    /// @dev Whom Rust finds with the same seeds. People are digits, their numbers; 0 is nobody.
    function test_votesAreThoseOfRust() public {
        string memory json = vectors();
        bytes32[] memory seed = vm.parseJsonBytes32Array(json, ".votes.draws.seed");
        string[] memory first = vm.parseJsonStringArray(json, ".votes.draws.first");
        string[] memory wanted = vm.parseJsonStringArray(json, ".votes.draws.wanted");
        string[] memory out = vm.parseJsonStringArray(json, ".votes.draws.out");
        string[] memory found = vm.parseJsonStringArray(json, ".votes.draws.found");
        ok(seed.length >= 20, "there are vectors");
        for (uint256 n = 0; n < seed.length; ++n) {
            uint32 from = uint32(vm.parseUint(first[n]));
            uint32[] memory got =
                auditors.drawn(seed[n], Draw.AUDITOR, from, vm.parseUint(wanted[n]), digits(out[n]), NOW);
            eq(keccak256(abi.encode(got)), keccak256(abi.encode(digits(found[n]))), "who is drawn");
        }
    }

    /// @dev Holders are drawn as auditors are, with words of their own.
    function test_holdersAreThoseOfRust() public {
        string memory json = vectors();
        bytes32[] memory seed = vm.parseJsonBytes32Array(json, ".votes.holders.seed");
        string[] memory out = vm.parseJsonStringArray(json, ".votes.holders.out");
        string[] memory found = vm.parseJsonStringArray(json, ".votes.holders.found");
        ok(seed.length >= 10, "there are vectors");
        for (uint256 n = 0; n < seed.length; ++n) {
            uint32[] memory got = auditors.drawn(seed[n], Draw.HOLDER, 0, Parameters.HOLDERS, digits(out[n]), NOW);
            eq(keccak256(abi.encode(got)), keccak256(abi.encode(digits(found[n]))), "who is drawn");
        }
    }

    /// @dev Mates are drawn one at a time, each without those before it.
    function test_panelsAreThoseOfRust() public {
        string memory json = vectors();
        bytes32[] memory seed = vm.parseJsonBytes32Array(json, ".votes.panels.seed");
        string[] memory first = vm.parseJsonStringArray(json, ".votes.panels.first");
        string[] memory wanted = vm.parseJsonStringArray(json, ".votes.panels.wanted");
        string[] memory out = vm.parseJsonStringArray(json, ".votes.panels.out");
        string[] memory found = vm.parseJsonStringArray(json, ".votes.panels.found");
        string[] memory next = vm.parseJsonStringArray(json, ".votes.panels.next");
        ok(seed.length >= 20, "there are vectors");
        for (uint256 n = 0; n < seed.length; ++n) {
            uint256 seats = vm.parseUint(wanted[n]);
            uint32 i = uint32(vm.parseUint(first[n]));
            string memory members = "";
            while (bytes(members).length < seats) {
                uint32[] memory got =
                    auditors.drawn(seed[n], Draw.REPLICA, i, 1, digits(string.concat(out[n], members)), NOW);
                if (got.length == 0) break;
                members = string.concat(members, vm.toString(got[0]));
                ++i;
            }
            eq(keccak256(bytes(members)), keccak256(bytes(found[n])), "who is drawn");
            eq(i, vm.parseUint(next[n]), "the next draw");
        }
    }

    function digits(string memory text) internal pure returns (uint32[] memory numbers) {
        bytes memory letters = bytes(text);
        numbers = new uint32[](letters.length);
        for (uint256 i = 0; i < letters.length; ++i) {
            numbers[i] = uint32(uint8(letters[i])) - 48;
        }
    }

    /// @dev The tree against the plain line, whatever joins, leaves and is punished, now and at every moment before.
    function testFuzz_theLineIsThatOfTheStakesInOrder(uint256 seed) public {
        uint256 n = 0;
        for (uint256 i = 0; i < 40; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            n = change(seed, n);
            // Often several changes fall into one second.
            if (seed >> 128 & 1 == 1) endSecond(n);
        }
        endSecond(n);
        uint256 inLedger = 0;
        uint256 staked = 0;
        for (uint32 i = 1; i <= n; ++i) {
            IAuditors.Auditor memory a = auditors.auditor(i);
            inLedger += a.stake + a.leaving;
            eq(locked(a.owner), a.stake + a.leaving, "locked money has a reason");
            if (a.stake != 0) ++staked;
        }
        eq(auditors.staked(), staked, "how many");
        (, uint128 held) = ledger.module(address(auditors));
        eq(held, inLedger, "the module's share");
        // The last one, and some before it.
        eq(isTheLine(moments[moments.length - 1], n, seed), auditors.total(), "length");
        for (uint256 i = 0; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            isTheLine(moments[seed % moments.length], n, seed >> 8);
        }
        vm.expectRevert(abi.encodeWithSelector(StakeLine.OffTheLine.selector, 0, 0));
        auditors.at(0, moments[0].at - 1);
    }

    /// @dev Somebody joins, leaves, adds stake or is punished. Returns how many ever joined.
    function change(uint256 seed, uint256 n) internal returns (uint256) {
        uint256 who = n == 0 ? 0 : 1 + (seed >> 8) % n;
        uint128 amount = uint128(10 ether + (seed >> 16) % 50 ether);
        if (seed % 5 < 2 || n == 0) {
            fund(auditorOwner(n + 1), amount);
            vm.prank(auditorOwner(n + 1));
            return auditors.join(auditorNode(n + 1), amount);
        }
        if (seed % 5 == 2) {
            uint128 all = auditors.auditor(uint32(who)).stake;
            if (all == 0) return n;
            vm.prank(auditorOwner(who));
            auditors.unstake(all);
        } else if (seed % 5 == 3) {
            fund(auditorOwner(who), amount);
            vm.prank(auditorOwner(who));
            auditors.addStake(amount);
        } else {
            vm.prank(address(audits));
            auditors.punish(uint32(who), (seed >> 16) % 1e9, address(audits));
        }
        return n;
    }

    function endSecond(uint256 n) internal {
        Moment storage m = moments.push();
        m.at = uint40(vm.getBlockTimestamp());
        m.stakes.push(0);
        for (uint32 i = 1; i <= n; ++i) {
            m.stakes.push(auditors.auditor(i).stake);
        }
        passSeconds(1);
    }

    /// @dev Compares the tree with the plain line of one moment; `n` have joined up to now. Returns the line's length.
    function isTheLine(Moment memory m, uint256 n, uint256 seed) internal returns (uint256 end) {
        for (uint32 i = 1; i <= n; ++i) {
            uint256 stake = i < m.stakes.length ? m.stakes[i] : 0;
            (uint256 from, uint256 length) = auditors.part(i, m.at);
            eq(length, stake, "length of the part");
            if (stake == 0) continue;
            eq(from, end, "start of the part");
            eq(auditors.at(end, m.at), i, "first place");
            eq(auditors.at(end + stake - 1, m.at), i, "last place");
            eq(auditors.at(end + seed % stake, m.at), i, "any place");
            end += stake;
        }
        vm.expectRevert(abi.encodeWithSelector(StakeLine.OffTheLine.selector, end, end));
        auditors.at(end, m.at);
        isDrawnFrom(m, n, seed, end);
    }

    /// @dev Draws against the plain line without those who are left out.
    function isDrawnFrom(Moment memory m, uint256 n, uint256 seed, uint256 length) internal view {
        uint32[] memory out = new uint32[](6);
        for (uint256 i = 0; i < out.length; ++i) {
            // Some twice, some who are nobody, some who joined later.
            uint256 who = (seed >> 8 * i) % (n + 3);
            out[i] = uint32(who);
            if (who < m.stakes.length) (length, m.stakes[who]) = (length - m.stakes[who], 0);
        }
        uint32[] memory found = auditors.drawn(bytes32(seed), Draw.AUDITOR, 7, 3, out, m.at);
        if (length == 0) return eq(found.length, 0, "nobody is left");
        eq(found.length, 3, "every draw finds somebody");
        for (uint32 i = 0; i < 3; ++i) {
            uint256 place = Draw.word(bytes32(seed), Draw.AUDITOR, 7 + i) % length;
            uint32 who_ = 1;
            while (place >= m.stakes[who_]) {
                place -= m.stakes[who_];
                ++who_;
            }
            eq(found[i], who_, "who is drawn");
        }
    }
}
