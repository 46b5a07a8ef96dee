// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";

/// @dev What people pay. Every measured call is a transaction of its own (`isolate`), so the figures include the 21,000 of
/// a transaction and its calldata. Written to snapshots/ and compared there by every test run.
contract GasTest is Network {
    string internal constant GROUP = "gas";
    uint96 internal constant PRICE = 1e12;
    uint256 internal constant PROVIDERS = 100;

    /// @dev Gas used so far by all providers and the client, per kind of call.
    uint256 internal submissions;
    uint256 internal total;

    function busyJob() internal returns (uint64 id) {
        IJobBook.Terms memory t = terms();
        t.taskCount = 1_000_000;
        t.firstRange = 100;
        for (uint256 i = 1; i <= 2; ++i) {
            provider(i, 16, 1_000 ether);
        }
        id = openJob(t, 10_000 ether);
        vm.snapshotGasLastCall(GROUP, "open");
        // Both providers and the treasury have money and history, as in a running network.
        for (uint256 i = 1; i <= 2; ++i) {
            (uint32 seq,,) = claim(id, i, 100);
            submit(id, i, seq, 100, 1);
            acknowledge(id, seq);
        }
    }

    function many(uint64 id, uint32 n) internal returns (uint32[] memory seqs) {
        seqs = new uint32[](n);
        for (uint256 i = 0; i < n; ++i) {
            (uint32 seq,,) = claim(id, 1, 10);
            submit(id, 1, seq, 10, 0);
            seqs[i] = seq;
        }
    }

    /// @dev The whole life of a range with a transaction for its claim and one for its submission, settled in batches of 50.
    function test_rangeLife() public {
        uint64 id = busyJob();
        (uint32 seq,,) = claim(id, 1, 100);
        uint256 life = vm.snapshotGasLastCall(GROUP, "claim");
        submit(id, 1, seq, 5_000, 0);
        life += vm.snapshotGasLastCall(GROUP, "submit");
        acknowledge(id, seq);
        uint256 alone = life + vm.snapshotGasLastCall(GROUP, "acknowledge 1");
        uint32[] memory seqs = many(id, 10);
        vm.prank(CLIENT);
        book.acknowledge(id, seqs);
        vm.snapshotGasLastCall(GROUP, "acknowledge 10");
        seqs = many(id, 50);
        vm.prank(CLIENT);
        book.acknowledge(id, seqs);
        life += vm.snapshotGasLastCall(GROUP, "acknowledge 50") / 50;
        vm.snapshotValue(GROUP, "range life", life);
        vm.snapshotValue(GROUP, "range life, settled alone", alone);
        vm.assertLe(life, 180_000, "whole life of a range");
    }

    /// @dev A provider in its stride: one transaction per range, and its share of a settlement of 50.
    function test_rangeLifeInStride() public {
        uint64 id = busyJob();
        (uint32 seq,,) = claim(id, 1, 100);
        vm.prank(nodeOf(1));
        book.submitAndClaim(id, seq, "root", 5_000, 0, "content", 100, PRICE);
        uint256 life = vm.snapshotGasLastCall(GROUP, "submitAndClaim");
        uint32[] memory seqs = many(id, 50);
        vm.prank(CLIENT);
        book.acknowledge(id, seqs);
        life += vm.snapshotGasLastCall(GROUP, "acknowledge 50 in stride") / 50;
        vm.snapshotValue(GROUP, "range life in stride", life);
        vm.assertLe(life, 140_000, "whole life of a range in stride");
    }

    /// @dev The same life in a job on the clock, where every block has one claim, so that each pays for the clock's slot.
    function test_rangeLifeOnTheClock() public {
        IJobBook.Terms memory t = terms();
        (t.taskCount, t.firstRange, t.floorPrice, t.finishSeconds) = (1_000_000, 100, PRICE / 10, 1_000_000);
        provider(1, 16, 1_000 ether);
        uint64 id = openJob(t, 10_000 ether);
        vm.snapshotGasLastCall(GROUP, "clock: open");
        (uint32 seq,,) = claim(id, 1, 100);
        submit(id, 1, seq, 100, 1);
        acknowledge(id, seq);
        vm.warp(block.timestamp + 200);
        (seq,,) = claim(id, 1, 100);
        uint256 life = vm.snapshotGasLastCall(GROUP, "clock: claim");
        submit(id, 1, seq, 5_000, 0);
        life += vm.snapshotGasLastCall(GROUP, "clock: submit");
        uint32[] memory seqs = many(id, 50);
        vm.prank(CLIENT);
        book.acknowledge(id, seqs);
        life += vm.snapshotGasLastCall(GROUP, "clock: acknowledge 50") / 50;
        vm.snapshotValue(GROUP, "clock: range life", life);
        vm.assertLe(life, 192_000, "whole life of a range on the clock");
    }

    function test_otherCalls() public {
        uint64 id = busyJob();
        (uint32 seq,,) = claim(id, 1, 100);
        vm.prank(nodeOf(1));
        book.release(id, seq);
        vm.snapshotGasLastCall(GROUP, "release");
        (seq,,) = claim(id, 2, 100);
        vm.warp(block.timestamp + 301);
        book.expire(id, one(seq));
        vm.snapshotGasLastCall(GROUP, "expire");
        (seq,,) = claim(id, 1, 100);
        submit(id, 1, seq, 100, 0);
        vm.warp(block.timestamp + 600);
        book.settle(id, one(seq));
        vm.snapshotGasLastCall(GROUP, "settle 1");
        vm.prank(CLIENT);
        book.topUp(id, 1 ether);
        vm.snapshotGasLastCall(GROUP, "topUp");
        vm.prank(CLIENT);
        book.cancel(id);
        vm.snapshotGasLastCall(GROUP, "cancel");
        book.finish(id);
        vm.snapshotGasLastCall(GROUP, "finish");
    }

    /// @dev A million tasks on a hundred providers that are all equally fast: 5 tasks a second each, ranges of 5 minutes. All
    /// gas of the job counts: open, first claims, every submission, settlements, finish.
    function test_aMillionTasksOnAHundredProviders() public {
        IJobBook.Terms memory t = terms();
        t.taskCount = 1_000_000;
        t.parallelism = 100;
        t.firstRange = 64;
        t.targetSeconds = 300;
        t.rangeTimeout = 3600;
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            provider(i, 1, 10_000 ether);
        }
        uint64 id = openJob(t, 200_000 ether);
        total = vm.snapshotGasLastCall(GROUP, "million: open");
        uint256[] memory doneAt = new uint256[](PROVIDERS);
        uint32[] memory held = new uint32[](PROVIDERS);
        uint32[] memory counts = new uint32[](PROVIDERS);
        for (uint256 i = 0; i < PROVIDERS; ++i) {
            (held[i],, counts[i]) = claim(id, i, type(uint32).max);
            total += vm.snapshotGasLastCall(GROUP, "million: first claim");
            doneAt[i] = block.timestamp + counts[i] / 5;
        }
        uint256 working = PROVIDERS;
        while (working != 0) {
            uint256 next = 0;
            for (uint256 i = 1; i < PROVIDERS; ++i) {
                if (doneAt[i] < doneAt[next]) next = i;
            }
            if (doneAt[next] > block.timestamp) vm.warp(doneAt[next]);
            vm.prank(nodeOf(next));
            (held[next],, counts[next]) =
                book.submitAndClaim(id, held[next], "root", counts[next], 0, "content", type(uint32).max, PRICE);
            total += vm.snapshotGasLastCall(GROUP, "million: last submission");
            ++submissions;
            doneAt[next] = counts[next] == 0 ? type(uint256).max : block.timestamp + counts[next] / 5;
            if (counts[next] == 0) --working;
        }
        settleAll(id);
        book.finish(id);
        total += vm.snapshotGasLastCall(GROUP, "million: last finish");
        ok(book.job(id).settledTasks == 1_000_000, "every task is settled");
        ok(book.job(id).state == IJobBook.JobState.Done, "done");
        vm.snapshotValue(GROUP, "task of 1,000,000", total / 1_000_000);
        vm.snapshotValue(GROUP, "ranges of 1,000,000 tasks", submissions);
        vm.assertLe(total, 200 * 1_000_000, "gas per task");
    }

    /// @dev As the client does it: the ranges of one provider together.
    function settleAll(uint64 id) internal {
        uint32 ranges = book.job(id).ranges;
        uint32[][] memory list = new uint32[][](PROVIDERS);
        uint256[] memory counts = new uint256[](PROVIDERS);
        for (uint32 seq = 0; seq < ranges; ++seq) {
            uint256 n = uint160(book.range(id, seq).provider) - uint160(ownerOf(0));
            if (list[n].length == 0) list[n] = new uint32[](256);
            list[n][counts[n]++] = seq;
        }
        for (uint256 n = 0; n < PROVIDERS; ++n) {
            uint32[] memory seqs = new uint32[](counts[n]);
            for (uint256 i = 0; i < seqs.length; ++i) {
                seqs[i] = list[n][i];
            }
            vm.prank(CLIENT);
            book.acknowledge(id, seqs);
            total += vm.snapshotGasLastCall(GROUP, "million: last settlement");
        }
    }
}
