// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Who wants to be paid for what nobody can have, or to have work for nothing, by asks for holders.
contract HostileHoldersTest is HoldWorld {
    uint96 internal constant STAKE = 5_000 ether;
    uint32 internal constant MOST = 100;
    /// @dev What a deposit loses at once to a range of the largest size that four hold: what they have, and what stays reserved.
    uint256 internal constant WORN = 8 * MAX_FEE + 7 * LEAST;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 8, STAKE);
        someAuditors(20, 100 ether);
    }

    function hasNoWork() internal {
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.NoExposure);
        book.claim(id, 1, 0);
    }

    function isFree(uint256 amount) internal view {
        eq(keep(id).deposit - keep(id).reserved, amount, "what is free of the deposit");
    }

    /// @dev When the client, who knows no size, may ask for it first.
    function clientsTurn(uint32 seq) internal view returns (uint256) {
        return book.range(id, seq).at + 3600 + Parameters.ASK_FIRST;
    }

    function clientAsks(uint32 seq, uint32 mib) internal {
        vm.prank(CLIENT);
        holders.ask(id, seq, mib);
    }

    function tooEarly(uint256 end) internal {
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooEarly.selector, end));
    }

    // ---------------------------------------------------------------- asks that use up a deposit

    /// @dev It splits its job and asks for small ranges as if they were the largest there are, to have what it withholds paid.
    function test_asksOfItsOwnWaiveNothing() public {
        id = keptJob(4, uint96(3 * cost(MAX_FEE)));
        uint32[3] memory seqs = [ripe(id), ripe(id), ripe(id)];
        hasNoWork();
        asks(id, seqs[0], MOST);
        asks(id, seqs[1], MOST);
        ok(!holders.mayPay(id, seqs[2]) && !settles(id, seqs[2]), "the deposit reaches for this one, too");
        hasNoWork();
        asks(id, seqs[2], MOST);
        isMoney(id, 3 * cost(MAX_FEE), 3 * cost(MAX_FEE));
        for (uint256 i = 0; i < 3; ++i) {
            ok(!settles(id, seqs[i]), "nobody holds it");
        }
    }

    /// @dev It has them held, too, which nothing forbids: what is stated is paid for. Then the job waits for its client.
    function test_aDepositThatIsReallyUsedUpWaivesNothing() public {
        id = keptJob(4, uint96(2 * cost(MAX_FEE)));
        uint256 left = 2 * cost(MAX_FEE);
        uint256 done = 0;
        while (left >= cost(MAX_FEE)) {
            uint32 seq = ripe(id);
            ok(!holders.mayPay(id, seq), "it can be asked for");
            asks(id, seq, MOST);
            begun(id, seq);
            sign(id, seq, 0, 4);
            ok(settles(id, seq), "held");
            left -= WORN;
            ++done;
            isFree(left);
        }
        ok(done == 3 && book.outstanding(id) == 0, "nothing is out");
        hasNoWork();
        fund_(id, uint96(cost(MAX_FEE) - left));
        isFree(cost(MAX_FEE));
        uint32 next = ripe(id);
        ok(!holders.mayPay(id, next), "it can be asked for");
        hasNoWork();
    }

    /// @dev Whatever is asked for, in whatever order, and whatever becomes of it.
    /// forge-config: default.fuzz.runs = 64
    function testFuzz_nothingThatIsOutIsEverWaived(uint256 luck) public {
        id = keptJob(4, uint96(2 * cost(MAX_FEE) + 50 ether));
        uint32[8] memory seqs;
        // Whatever luck says, one is out.
        seqs[0] = claimed();
        uint256 n = 1;
        ok(!holders.mayPay(id, seqs[0]), "the first one can be asked for");
        for (uint256 step = 0; step < 16; ++step) {
            luck = uint256(keccak256(abi.encode(luck)));
            (uint32 count,,) = book.claimable(id, ownerOf(1));
            if (luck & 1 == 0 && count != 0 && n < 8) seqs[n++] = luck & 2 == 0 ? ripe(id) : claimed();
            else if (n != 0) moves(seqs[(luck >> 8) % n], luck >> 16);
            uint256 unasked = 0;
            for (uint256 i = 0; i < n; ++i) {
                bool isOut = isClaimed(seqs[i]) || isSubmitted(seqs[i]);
                if (!isOut || ask_(id, seqs[i]).state != IHolders.State.None) continue;
                ok(!holders.mayPay(id, seqs[i]), "it can be asked for");
                ++unasked;
            }
            ok(keep(id).deposit - keep(id).reserved >= unasked * cost(MAX_FEE), "all of them at a time");
        }
    }

    function isSubmitted(uint32 seq) internal view returns (bool) {
        return book.range(id, seq).state == IJobBook.RangeState.Submitted;
    }

    function isClaimed(uint32 seq) internal view returns (bool) {
        return book.range(id, seq).state == IJobBook.RangeState.Claimed;
    }

    function claimed() internal returns (uint32 seq) {
        (seq,,) = claim(id, 1, 4);
    }

    /// @dev Handed in if there is still time for it, mostly, or never.
    function worksOrNot(uint32 seq, uint256 luck) internal {
        uint256 end = book.range(id, seq).at + 225;
        if (luck & 3 != 0 && vm.getBlockTimestamp() <= end) {
            submitWork(id, seq, false);
            audit(id, seq, false, 0);
            return windowOver(id, seq);
        }
        if (vm.getBlockTimestamp() <= end) vm.warp(end + 1);
        book.expire(id, one(seq));
    }

    /// @dev The next thing with a range.
    function moves(uint32 seq, uint256 luck) internal {
        if (isClaimed(seq)) return worksOrNot(seq, luck);
        IHolders.Ask memory a = ask_(id, seq);
        bool isOpen = a.state != IHolders.State.None && a.state < IHolders.State.Held;
        if (!isSubmitted(seq)) {
            if (isOpen) holders.fail(id, seq);
        } else if (luck & 7 == 0) {
            acknowledge(id, seq);
        } else if (a.state == IHolders.State.None) {
            asks(id, seq, luck & 8 == 0 ? MOST : uint32(1 + (luck >> 8) % MOST));
        } else if (a.state == IHolders.State.Again) {
            asks(id, seq, uint32(1 + (luck >> 8) % a.mib));
        } else if (a.state == IHolders.State.Asked) {
            begun(id, seq);
        } else if (a.state == IHolders.State.Held) {
            settles(id, seq);
        } else if (luck & 8 == 0 && vm.getBlockTimestamp() <= a.from + Parameters.HOLD_TIME) {
            sign(id, seq, 0, 4);
        } else {
            uint256 end = a.from + 2 * Parameters.HOLD_TIME + 1;
            if (vm.getBlockTimestamp() < end) vm.warp(end);
            holders.fail(id, seq);
        }
    }

    // ---------------------------------------------------------------- who states the size

    /// @dev It has the results, and asks for more than anybody has room for in the second in which the window is over.
    function test_aClientThatIsAlwaysFirstTakesNoWorkForNothing() public {
        id = keptJob(40, DEPOSIT);
        uint32 seq = ripe(id);
        uint256 turn = clientsTurn(seq);
        vm.prank(CLIENT);
        tooEarly(turn);
        holders.ask(id, seq, MOST);
        vm.warp(turn - 1);
        vm.prank(CLIENT);
        tooEarly(turn);
        holders.ask(id, seq, MOST);
        // The provider was down for an hour, and three have room for so much.
        vm.warp(turn);
        clientAsks(seq, MOST);
        begun(id, seq);
        sign(id, seq, 0, 3);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Again);
        isMoney(id, DEPOSIT - 3 * MAX_FEE, 20 * MAX_FEE + 7 * LEAST);
        turn = vm.getBlockTimestamp() + Parameters.ASK_FIRST;
        vm.prank(CLIENT);
        tooEarly(turn);
        holders.ask(id, seq, MOST);
        // It says how large it is, which nobody else knows.
        uint32[2] memory bad = [uint32(0), MOST + 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(nodeOf(1));
            vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, bad[i], MOST));
            holders.ask(id, seq, bad[i]);
        }
        asks(id, seq, MIB);
        eq(ask_(id, seq).mib, MIB, "the size");
        isMoney(id, DEPOSIT - 3 * MAX_FEE, 20 * FEE + 7 * LEAST);
        begun(id, seq);
        sign(id, seq, 0, 4);
        ok(settles(id, seq), "held");
        isMoney(id, DEPOSIT - 3 * MAX_FEE - 4 * FEE, second(4, FEE));
    }

    /// @dev The client's hour begins with the end of the window, whenever the audit ends. After a late one it may be first; the next
    /// hour is its provider's, which says how large it is.
    function test_whoseAuditEndsLateHasTheSecondAsk() public {
        id = keptJob(40, DEPOSIT);
        uint32 seq = work(id, false);
        passBlocks(3);
        randomness.note(case_(id, seq).round);
        vm.warp(clientsTurn(seq));
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotPayable.selector, id, seq));
        holders.ask(id, seq, MOST);
        audit(id, seq, false, 0);
        clientAsks(seq, MOST);
        begun(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Again);
        uint256 turn = vm.getBlockTimestamp() + Parameters.ASK_FIRST;
        vm.prank(CLIENT);
        tooEarly(turn);
        holders.ask(id, seq, MOST);
        opened(id, seq);
        eq(ask_(id, seq).mib, MIB, "the true size");
        sign(id, seq, 0, 4);
        ok(settles(id, seq), "held");
    }

    /// @dev A range for which its provider never asks does not stay as it is for ever.
    function test_aClientAsksWhereItsProviderDoesNot() public {
        id = keptJob(40, DEPOSIT);
        uint32 seq = ripe(id);
        vm.warp(clientsTurn(seq));
        clientAsks(seq, MOST);
        begun(id, seq);
        nobodyMore(id, seq);
        passSeconds(Parameters.ASK_FIRST);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, MIB, MOST));
        holders.ask(id, seq, MIB);
        clientAsks(seq, MOST);
        begun(id, seq);
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        isMoney(id, DEPOSIT, 0);
    }

    /// @dev A beacon that nobody kept gives nobody's hour away.
    function test_aLapseLeavesTheProviderItsHourToo() public {
        id = keptJob(40, DEPOSIT);
        uint32 seq = ripe(id);
        asks(id, seq, MIB);
        passBlocks(300);
        holders.draw(id, seq);
        stands(id, seq, IHolders.State.Again);
        uint256 turn = vm.getBlockTimestamp() + Parameters.ASK_FIRST;
        vm.warp(turn - 1);
        vm.prank(CLIENT);
        tooEarly(turn);
        holders.ask(id, seq, MIB);
        vm.warp(turn);
        clientAsks(seq, MIB);
        eq(ask_(id, seq).from, 0, "nobody may sign yet");
    }

    // ---------------------------------------------------------------- dust

    /// @dev Up to fifteen draws come twice for what is worth next to nothing.
    function test_aRangeOfDustCostsWhatItsHoldersWouldHaveEarned() public {
        IJobBook.Terms memory t = keptTerms(1);
        t.price = 0.03 ether;
        id = keptJobOf(t, 20_000 ether, DEPOSIT);
        uint32 seq = ripe(id);
        eq(value(id, seq), 0.03 ether, "one unit");
        opened(id, seq);
        nobodyMore(id, seq);
        opened(id, seq);
        (uint256 mine, uint256 burned) = (free(CLIENT), free(ledger.BURN_ACCOUNT()));
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        // Nothing was paid here, so what the purse has is of the cut for the audit.
        uint256 cut = STAKE - registry.provider(ownerOf(1)).stake - 2 * free(address(audits));
        // A share of the stake is cut, rounded up.
        ok(cut >= 8 * LEAST && cut <= 8 * LEAST + STAKE / 1e9, "eight least fees");
        mine = free(CLIENT) - mine;
        ok(mine >= 4 * LEAST && mine <= 4 * LEAST + STAKE / 1e9, "half of it to the client");
        burned = free(ledger.BURN_ACCOUNT()) - burned;
        eq(burned, cut - mine + free(address(audits)), "the other burned");
    }

    function test_nobodyLosesMoreThanItHas() public {
        IJobBook.Terms memory t = keptTerms(1);
        t.price = 0.03 ether;
        id = keptJobOf(t, 20_000 ether, DEPOSIT);
        uint32 seq = ripe(id);
        opened(id, seq);
        nobodyMore(id, seq);
        opened(id, seq);
        // What is left of its stake after a fault elsewhere: half of what this one costs.
        uint32 number = registry.standingOf(ownerOf(1)).number;
        uint256 severity = Parameters.ONE - 4 * LEAST * Parameters.ONE / STAKE;
        vm.prank(address(audits));
        bench.punish(number, severity, CLIENT);
        uint256 left = registry.provider(ownerOf(1)).stake;
        ok(left != 0 && left <= 4 * LEAST, "nearly nothing");
        nobodyMore(id, seq);
        stands(id, seq, IHolders.State.Lost);
        eq(registry.provider(ownerOf(1)).stake, 0, "all of it");
    }
}
