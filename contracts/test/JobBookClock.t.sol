// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Clock} from "../src/libraries/Clock.sol";

/// @dev Jobs on the clock: price in force, blocks, and money at each range's own price.
contract JobBookClockTest is Network {
    uint96 internal constant FLOOR = 1e11;
    uint96 internal constant CAP_PRICE = 1e12;
    uint32 internal constant FINISH = 8000;

    function clockTerms() internal view returns (IJobBook.Terms memory t) {
        t = terms();
        (t.price, t.floorPrice, t.finishSeconds) = (CAP_PRICE, FLOOR, FINISH);
        t.firstRange = 100;
        t.rangeTimeout = 86_400;
    }

    function priceNow(uint64 id) internal view returns (uint256) {
        return book.job(id).price;
    }

    function pass(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function bad(IJobBook.Terms memory t, IJobBook.Field field) internal {
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.BadTerms.selector, field));
        book.open(t, 1 ether);
    }

    function test_termsAreKeptAndBounded() public {
        IJobBook.Terms memory t = clockTerms();
        t.program = "program";
        uint64 id = openJob(t, 1 ether);
        IJobBook.Terms memory kept = book.job(id).terms;
        (t.program, t.contact) = (0, "");
        eq(keccak256(abi.encode(kept)), keccak256(abi.encode(t)), "terms but for program and contact");
        t.floorPrice = 0;
        bad(t, IJobBook.Field.FloorPrice);
        t.floorPrice = t.price + 1;
        bad(t, IJobBook.Field.FloorPrice);
        (t.floorPrice, t.finishSeconds) = (1, 0);
        bad(t, IJobBook.Field.FloorPrice);
        t.finishSeconds = Clock.MIN_FINISH - 1;
        bad(t, IJobBook.Field.FinishSeconds);
        t.finishSeconds = uint32(t.deadline - block.timestamp + 1);
        bad(t, IJobBook.Field.FinishSeconds);
        t.finishSeconds -= 1;
        openJob(t, 1 ether);
    }

    function test_priceFollowsTheSchedule() public {
        provider(1, 8, 1000 ether);
        uint64 id = openJob(clockTerms(), 10 ether);
        eq(priceNow(id), FLOOR, "opens at the floor");
        pass(500);
        uint256 level = 500 * uint256(65535) / 1000;
        uint256 half = FLOOR + (CAP_PRICE - FLOOR) * level * level / (65535 ** 2);
        eq(priceNow(id), half, "half of the slack: a quarter of the way");
        pass(499);
        uint256 high = priceNow(id);
        ok(high > 99 * CAP_PRICE / 100 && high < CAP_PRICE, "nearly there");
        pass(1);
        eq(priceNow(id), CAP_PRICE, "an eighth of the time without a claim");
        (,, uint32 count) = claim(id, 1, 100);
        eq(count, 100, "all of it");
        eq(priceNow(id), CAP_PRICE, "the same until the next block");
        pass(1);
        // 100 of 1000 tasks are due after 700 s.
        level = (1001 - 700) * uint256(65535) / 1000;
        eq(priceNow(id), FLOOR + (CAP_PRICE - FLOOR) * level * level / (65535 ** 2), "a claim lowers it");
        (,, count) = claim(id, 1, 100);
        pass(1);
        eq(priceNow(id), FLOOR, "ahead of its schedule");
        vm.warp(block.timestamp + FINISH);
        eq(priceNow(id), CAP_PRICE, "after the finish everything is offered at the cap");
        (,, count) = claim(id, 1, type(uint32).max);
        ok(count > 0, "and can be had");
    }

    function test_slippageGuard() public {
        provider(1, 8, 1000 ether);
        uint64 id = openJob(clockTerms(), 10 ether);
        pass(700);
        uint96 now_ = uint96(priceNow(id));
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.PriceTooLow);
        book.claim(id, 1, now_ + 1);
        vm.prank(nodeOf(1));
        (uint32 seq,,) = book.claim(id, 10, now_);
        eq(book.range(id, seq).price, now_, "the price in force is what the range is paid");
        pass(1);
        vm.prank(nodeOf(1));
        (,, uint32 count) = book.submitAndClaim(id, seq, "r", 1, 0, 0, 10, CAP_PRICE);
        eq(count, 0, "submitted, and nothing claimed below what was asked");
        (count, now_,) = book.claimable(id, ownerOf(1));
        ok(count != 0 && now_ == priceNow(id), "claimable says the price in force");
    }

    /// @dev Three providers in one block, in every order, with a range that comes back in between.
    function testFuzz_orderInABlockChangesNeitherPriceNorShare(uint256 seed, uint16 wait, bool comesBack) public {
        IJobBook.Terms memory t = clockTerms();
        t.firstRange = 1000;
        for (uint256 i = 1; i <= 4; ++i) {
            provider(i, 8, 1000 ether);
        }
        uint64 id = openJob(t, 10 ether);
        (uint32 held,,) = claim(id, 4, 30);
        pass(1 + wait % FINISH);
        (uint32 share, uint96 price,) = book.claimable(id, ownerOf(1));
        uint256[3] memory order = [uint256(1), 2, 3];
        for (uint256 i = 0; i < 3; ++i) {
            uint256 j = i + (seed >> (8 * i)) % (3 - i);
            (order[i], order[j]) = (order[j], order[i]);
        }
        for (uint256 i = 0; i < 3; ++i) {
            if (comesBack && i == seed % 3) {
                vm.prank(nodeOf(4));
                book.release(id, held);
                // The piece goes out first and is smaller than a share; it goes to one who is not compared.
                (,, uint32 piece) = claim(id, 4, 30);
                eq(piece, 30, "the piece");
            }
            (uint32 seq,, uint32 count) = claim(id, order[i], type(uint32).max);
            eq(book.range(id, seq).price, price, "the same price for everybody");
            eq(count, share, "the same share for everybody");
        }
    }

    function test_returnsCountFromTheNextBlockOn() public {
        provider(1, 8, 1000 ether);
        uint64 id = openJob(clockTerms(), 10 ether);
        (uint32 seq,,) = claim(id, 1, 100);
        pass(900);
        uint256 before = priceNow(id);
        ok(before > FLOOR && before < CAP_PRICE, "a little late");
        vm.prank(nodeOf(1));
        book.release(id, seq);
        eq(priceNow(id), before, "not in this block");
        pass(1);
        ok(priceNow(id) > before, "in the next");
    }

    /// @dev Two ranges at two prices: what is unused comes back at the range's own price, what is used is paid at it.
    function test_moneyAtTheRangesOwnPrice() public {
        address owner = provider(1, 8, 1000 ether);
        uint64 id = openJob(clockTerms(), 10 ether);
        (uint32 a,,) = claim(id, 1, 10);
        pass(600);
        (uint32 b,,) = claim(id, 1, 20);
        (uint256 pa, uint256 pb) = (book.range(id, a).price, book.range(id, b).price);
        ok(pa == FLOOR && pb > pa, "two prices");
        eq(book.job(id).escrow, 10 ether - 1000 * pa - 2000 * pb, "ceilings");
        eq(registry.standing(nodeOf(1)).room, 1000 ether - 1000 * pa - 2000 * pb, "exposure");
        pass(200);
        submit(id, 1, a, 700, 0);
        submit(id, 1, b, 100, 0);
        eq(book.job(id).escrow, 10 ether - 700 * pa - 100 * pb, "refunds");
        eq(book.range(id, b).price, pb, "kept");
        uint32[] memory seqs = new uint32[](2);
        (seqs[0], seqs[1]) = (a, b);
        vm.prank(CLIENT);
        book.acknowledge(id, seqs);
        uint256 fees = 700 * pa / 100 + 100 * pb / 100;
        eq(free(owner), 700 * pa + 100 * pb - fees, "paid");
        eq(free(TREASURY), fees, "fee");
        eq(registry.standing(nodeOf(1)).room, 1000 ether, "nothing exposed");
        vm.prank(CLIENT);
        book.cancel(id);
        book.finish(id);
        eq(locked(CLIENT), 0, "nothing is left behind");
    }

    function test_expiryAndBondAtTheRangesOwnPrice() public {
        IJobBook.Terms memory t = clockTerms();
        t.rangeTimeout = 300;
        address owner = provider(1, 8, 1000 ether);
        uint64 id = openJob(t, 10 ether);
        pass(400);
        (uint32 seq,,) = claim(id, 1, 10);
        uint256 price = book.range(id, seq).price;
        ok(price > FLOOR && price < CAP_PRICE, "in between");
        pass(301);
        book.expire(id, one(seq));
        eq(book.job(id).escrow, 10 ether, "all of it is back");
        eq(registry.provider(owner).stake, 1000 ether - 1000 * price / 10, "a tenth of its value at its price");
        eq(registry.standing(nodeOf(1)).room, 1000 ether - 1000 * price / 10, "no exposure");
        eq(book.range(id, seq).price, price, "still to be seen");
    }

    function test_dryAtThePriceInForce() public {
        provider(1, 8, 1000 ether);
        uint64 id = openJob(clockTerms(), 100 * FLOOR);
        ok(!book.job(id).dry, "one task at the floor");
        pass(300);
        ok(book.job(id).dry, "none at the price now");
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.Dry);
        book.claim(id, 1, 0);
        vm.prank(CLIENT);
        book.topUp(id, 100 * CAP_PRICE);
        ok(!book.job(id).dry, "goes on");
        (,, uint32 count) = claim(id, 1, 100);
        ok(count >= 1, "goes on");
    }

    function test_postedPriceHasNoClock() public {
        provider(1, 8, 1000 ether);
        uint64 id = openJob(terms(), 10 ether);
        pass(10 days);
        eq(priceNow(id), terms().price, "posted");
        (uint32 seq,,) = claim(id, 1, 100);
        eq(book.range(id, seq).price, terms().price, "posted");
        eq(book.range(id, 99).price, 0, "no such range, no price");
    }
}
