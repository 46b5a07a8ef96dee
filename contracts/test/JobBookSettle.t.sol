// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {ReduceSum} from "../src/examples/ReduceSum.sol";
import {IJobBook, IJobCallback} from "../src/interfaces/IJobBook.sol";
import {LeafCheck} from "../src/libraries/LeafCheck.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

contract Listener is IJobCallback {
    uint64 public jobId;
    bytes32 public root;
    IJobBook.JobState public seen;

    function onJobDone(uint64 jobId_, bytes32 root_) external {
        (jobId, root) = (jobId_, root_);
        seen = IJobBook(msg.sender).job(jobId_).state;
    }
}

/// @dev Everything a callback can do wrong.
contract BadListener is IJobCallback {
    uint256 internal how;
    uint256 internal sink;

    constructor(uint256 how_) {
        how = how_;
    }

    function onJobDone(uint64 jobId, bytes32) external {
        if (how == 0) revert("no");
        if (how == 1) IJobBook(msg.sender).finish(jobId);
        if (how == 2) while (true) ++sink;
        assembly {
            revert(0, 1000000)
        }
    }
}

/// @dev Settlement, the accumulator, callbacks, and checking results.
contract JobBookSettleTest is Network {
    uint96 internal constant PRICE = 1e12;

    function smallJob(uint32 tasks, address callback) internal returns (uint64 id) {
        IJobBook.Terms memory t = terms();
        t.taskCount = tasks;
        t.parallelism = 1;
        t.firstRange = tasks;
        t.callback = callback;
        id = openJob(t, 1 ether);
    }

    function submitLeaves(uint64 id, uint256 n, uint32 seq, MerkleSum.Leaf[] memory leaves) internal {
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves);
        vm.prank(nodeOf(n));
        book.submit(id, seq, root, uint64(tally), uint32(tally >> 64), "content");
    }

    /// @dev Works the whole job off with one provider and acknowledges it.
    function work(uint64 id) internal returns (uint32 ranges) {
        while (book.job(id).unclaimed != 0) {
            (uint32 seq, uint32 from, uint32 count) = claim(id, 1, type(uint32).max);
            submitLeaves(id, 1, seq, leavesOf(id, from, count, 10));
            acknowledge(id, seq);
            ++ranges;
        }
    }

    function test_acknowledgePaysAtOnce() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(8, address(0));
        (uint32 seq,,) = claim(id, 1, 4);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
        submit(id, 1, seq, 300, 0);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotClient.selector, id, address(this)));
        book.acknowledge(id, one(seq));
        acknowledge(id, seq);
        uint256 cost = 300 * uint256(PRICE);
        eq(free(ownerOf(1)), cost - cost / 100, "paid but for the fee");
        eq(free(TREASURY), cost / 100, "fee");
        eq(registry.standing(nodeOf(1)).room, 1 ether, "no exposure left");
        eq(book.job(id).settledTasks, 4, "settled");
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
    }

    function test_anyoneSettlesAfterTheWindow() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(8, address(0));
        (uint32 seq,,) = claim(id, 1, 4);
        submit(id, 1, seq, 300, 0);
        vm.warp(block.timestamp + 599);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
        vm.warp(block.timestamp + 1);
        eq(book.settle(id, one(seq)), 1, "settled");
        ok(book.range(id, seq).state == IJobBook.RangeState.Settled, "state");
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
    }

    function test_batchOfSeveralProvidersSkipsWhatIsNotReady() public {
        provider(1, 4, 1 ether);
        provider(2, 4, 1 ether);
        uint64 id = smallJob(64, address(0));
        uint32[] memory seqs = new uint32[](7);
        for (uint256 i = 0; i < 5; ++i) {
            (uint32 seq,,) = claim(id, 1 + i % 2, 4);
            seqs[i] = seq;
            if (i != 3) submit(id, 1 + i % 2, seq, uint64(100 + i), 0);
        }
        (seqs[5], seqs[6]) = (seqs[0], 99);
        vm.prank(CLIENT);
        eq(book.acknowledge(id, seqs), 4, "four were ready");
        uint256 first = (100 + 102 + 104) * uint256(PRICE);
        uint256 second = 101 * uint256(PRICE);
        eq(free(ownerOf(1)), first - first / 100, "first provider");
        eq(free(ownerOf(2)), second - second / 100, "second provider");
        eq(free(TREASURY), first / 100 + second / 100, "fees");
        eq(book.job(id).outstanding, 1, "one is still claimed");
    }

    function test_resultRootIsTheChainOfSettledRanges() public {
        provider(1, 2, 1 ether);
        uint64 id = smallJob(16, address(0));
        (uint32 a,,) = claim(id, 1, 4);
        (uint32 b,,) = claim(id, 1, 4);
        submit(id, 1, a, 10, 1);
        submit(id, 1, b, 20, 0);
        acknowledge(id, b);
        acknowledge(id, a);
        bytes32 root = keccak256(
            abi.encodePacked(bytes32(0), b, uint32(4), uint32(4), keccak256(abi.encode(id, b)), uint64(20), uint32(0))
        );
        root = keccak256(
            abi.encodePacked(root, a, uint32(0), uint32(4), keccak256(abi.encode(id, a)), uint64(10), uint32(1))
        );
        eq(book.resultRoot(id), root, "in the order of settlement");
        eq(book.job(id).resultRoot, root, "same in the job");
    }

    function test_finishTellsTheCallbackAfterEverythingIsDone() public {
        Listener listener = new Listener();
        provider(1, 1, 1 ether);
        uint64 id = smallJob(20, address(listener));
        work(id);
        book.finish(id);
        eq(listener.jobId(), id, "told");
        eq(listener.root(), book.resultRoot(id), "with the root");
        ok(listener.seen() == IJobBook.JobState.Done, "the job was over already");
        eq(locked(CLIENT), 0, "rest refunded");
    }

    function test_badCallbacksBlockNothing() public {
        provider(1, 1, 1 ether);
        for (uint256 how = 0; how < 4; ++how) {
            uint64 id = smallJob(4, address(new BadListener(how)));
            work(id);
            book.finish{gas: 1_000_000}(id);
            ok(book.job(id).state == IJobBook.JobState.Done, "done");
        }
        uint64 plain = smallJob(4, address(0xE0A));
        work(plain);
        book.finish(plain);
    }

    function test_tooLittleGasForTheCallbackIsRefusedNotSwallowed() public {
        Listener listener = new Listener();
        provider(1, 1, 1 ether);
        uint64 id = smallJob(4, address(listener));
        work(id);
        vm.expectPartialRevert(IJobBook.TooLittleGas.selector);
        book.finish{gas: 350_000}(id);
        eq(listener.jobId(), 0, "nobody can make it miss the call");
        book.finish{gas: 600_000}(id);
        eq(listener.jobId(), id, "told");
    }

    // ---------------------------------------------------------------- leaves

    function proofOf(MerkleSum.Leaf[] memory leaves) internal pure returns (MerkleSum.Sibling[] memory proof) {
        // Opening of position 1 of 3: sibling leaf 0, then leaf 2 that went up alone.
        proof = new MerkleSum.Sibling[](2);
        proof[0] = MerkleSum.Sibling(MerkleSum.leafHash(leaves[0]), MerkleSum.leafTally(leaves[0]));
        proof[1] = MerkleSum.Sibling(MerkleSum.leafHash(leaves[2]), MerkleSum.leafTally(leaves[2]));
    }

    function test_checkLeafNeedsASubmission() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(6, address(0));
        claim(id, 1, 3);
        MerkleSum.Leaf[] memory leaves = leavesOf(id, 0, 3, 10);
        MerkleSum.Sibling[] memory proof = proofOf(leaves);
        vm.expectRevert(abi.encodeWithSelector(LeafCheck.NoResults.selector, id, 0, IJobBook.RangeState.Claimed));
        view_.checkLeaf(id, 0, leaves[1], 1, proof);
    }

    function threeLeaves(uint64 lie) internal returns (uint64 id, MerkleSum.Leaf[] memory leaves) {
        provider(1, 1, 1 ether);
        id = smallJob(6, address(0));
        claim(id, 1, 3);
        leaves = leavesOf(id, 0, 3, 10);
        (bytes32 root, uint128 tally) = MerkleSum.recomputeRoot(leaves);
        vm.prank(nodeOf(1));
        book.submit(id, 0, root, uint64(tally) + lie, 0, "content");
    }

    function test_checkLeafAcceptsOnlyTheRightLeafAtItsPlace() public {
        (uint64 id, MerkleSum.Leaf[] memory leaves) = threeLeaves(0);
        MerkleSum.Sibling[] memory proof = proofOf(leaves);
        ok(view_.checkLeaf(id, 0, leaves[1], 1, proof), "right");
        vm.expectRevert(abi.encodeWithSelector(LeafCheck.LeafMisplaced.selector, 1, 0));
        view_.checkLeaf(id, 0, leaves[1], 0, proof);
        leaves[1].job = 9;
        vm.expectRevert(abi.encodeWithSelector(LeafCheck.LeafOfAnotherJob.selector, id, 9));
        view_.checkLeaf(id, 0, leaves[1], 1, proof);
        leaves[1].job = id;
        leaves[1].output = "other";
        vm.expectPartialRevert(LeafCheck.RootMismatch.selector);
        view_.checkLeaf(id, 0, leaves[1], 1, proof);
    }

    function testFuzz_aLyingUnitSumIsRefusedByEveryOpening(uint64 lie, uint8 position) public {
        lie = uint64(bound(lie, 1, 270));
        (uint64 id, MerkleSum.Leaf[] memory leaves) = threeLeaves(lie);
        uint32 at_ = uint32(position % 3);
        MerkleSum.Sibling[] memory proof = proofOf(leaves);
        if (at_ == 0) proof[0] = MerkleSum.Sibling(MerkleSum.leafHash(leaves[1]), MerkleSum.leafTally(leaves[1]));
        if (at_ == 2) {
            bytes32 pair = MerkleSum.nodeHash(MerkleSum.leafHash(leaves[0]), 10, MerkleSum.leafHash(leaves[1]), 10);
            proof = new MerkleSum.Sibling[](1);
            proof[0] = MerkleSum.Sibling(pair, 20);
        }
        vm.expectRevert(abi.encodeWithSelector(LeafCheck.TallyMismatch.selector, 30 + lie, 30));
        view_.checkLeaf(id, 0, leaves[at_], at_, proof);
    }

    function test_prepareLeafIsFirst() public {
        provider(1, 1, 1 ether);
        IJobBook.Terms memory t = terms();
        t.prepareCap = 50;
        uint64 id = openJob(t, 1 ether);
        claim(id, 1, 1);
        MerkleSum.Leaf[] memory leaves = new MerkleSum.Leaf[](2);
        leaves[0] = MerkleSum.Leaf(id, MerkleSum.PREPARE_INDEX, 0, 0, 0, 40);
        leaves[1] = MerkleSum.Leaf(id, 0, 1, 0, 0, 100);
        submitLeaves(id, 1, 0, leaves);
        MerkleSum.Sibling[] memory proof = new MerkleSum.Sibling[](1);
        proof[0] = MerkleSum.Sibling(MerkleSum.leafHash(leaves[1]), MerkleSum.leafTally(leaves[1]));
        ok(view_.checkLeaf(id, 0, leaves[0], 0, proof), "prepare leaf");
        proof[0] = MerkleSum.Sibling(MerkleSum.leafHash(leaves[0]), MerkleSum.leafTally(leaves[0]));
        ok(view_.checkLeaf(id, 0, leaves[1], 1, proof), "task");
        eq(book.range(id, 0).failures, 1, "the failure is in the tally");
    }

    // ---------------------------------------------------------------- reduce

    function test_reduceSumAddsEveryTaskOnce() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(50, address(0));
        uint32 ranges = work(id);
        ok(ranges > 3, "several ranges");
        ReduceSum sum = ReduceSum(created("ReduceSum", abi.encode(book, id)));
        for (uint32 i = ranges; i > 0; --i) {
            ok(!sum.complete(), "not yet");
            IJobBook.Range memory r = book.range(id, i - 1);
            sum.add(i - 1, leavesOf(id, r.from, r.count, 10));
        }
        eq(sum.sum(), 50 * 49 / 2, "0 + 1 + ... + 49");
        ok(sum.complete(), "complete");
        MerkleSum.Leaf[] memory leaves = leavesOf(id, 0, 1, 10);
        vm.expectRevert(abi.encodeWithSelector(ReduceSum.AlreadyAdded.selector, 0));
        sum.add(0, leaves);
    }

    function test_reduceSumRefusesOtherValuesAndUnsettledRanges() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(8, address(0));
        (uint32 seq,, uint32 count) = claim(id, 1, 4);
        MerkleSum.Leaf[] memory leaves = leavesOf(id, 0, count, 10);
        submitLeaves(id, 1, seq, leaves);
        ReduceSum sum = ReduceSum(created("ReduceSum", abi.encode(book, id)));
        vm.expectRevert(abi.encodeWithSelector(ReduceSum.NotSettled.selector, seq));
        sum.add(seq, leaves);
        acknowledge(id, seq);
        leaves[2].output = bytes32(bytes4(uint32(1000)));
        vm.expectPartialRevert(LeafCheck.RootMismatch.selector);
        sum.add(seq, leaves);
        MerkleSum.Leaf[] memory fewer = leavesOf(id, 0, count - 1, 10);
        vm.expectRevert(abi.encodeWithSelector(ReduceSum.WrongLeafCount.selector, count - 1, count));
        sum.add(seq, fewer);
    }

    function test_reduceSumRefusesTheLeavesOfOtherTasks() public {
        provider(1, 1, 1 ether);
        uint64 id = smallJob(8, address(0));
        (uint32 seq,, uint32 count) = claim(id, 1, 4);
        MerkleSum.Leaf[] memory leaves = leavesOf(id, 4, count, 10);
        submitLeaves(id, 1, seq, leaves);
        acknowledge(id, seq);
        ReduceSum sum = ReduceSum(created("ReduceSum", abi.encode(book, id)));
        vm.expectRevert(abi.encodeWithSelector(ReduceSum.UnexpectedLeaf.selector, 0));
        sum.add(seq, leaves);
    }
}
