// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Trees} from "./Trees.sol";
import {WalkWorld} from "./WalkWorld.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Different roots on their way down to one leaf: what is refused, who is late, where it ends.
contract ReplicaWalksTest is WalkWorld {
    function wrongNodes(uint256 who) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongNodes.selector, uint32(who)));
    }

    function wrongLeaf(uint256 who) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongLeaf.selector, uint32(who)));
    }

    function wrongState(uint32 seq, IReplicas.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, state));
    }

    // ---------------------------------------------------------------- down

    function test_theWalkBeginsAtTheTop() public {
        lie(MATE, 23, Kind.Output);
        uint32 seq = revealed();
        IReplicas.Pair memory p = pair(id, seq);
        ok(p.state == IReplicas.State.Walking, "walking");
        eq(p.leaves, 40, "leaves");
        eq(p.level, 6, "of 64");
        eq(p.index, 0, "the top");
        eq(p.shown, 0, "nobody has moved");
        eq(p.due, vm.getBlockTimestamp() + Parameters.WALK_TIME, "its time");
        isEntry(id, MATE, IWaiting.State.Waiting, 1);
        rangeIs(seq, IJobBook.RangeState.Submitted);
        eq(book.range(id, seq).root, sealOf(id, seq, PRIMARY, foundBy(seq, PRIMARY)), "still sealed");
    }

    function test_itEndsAtTheFirstLeafThatDiffers() public {
        lie(MATE, 23, Kind.Output);
        lie(MATE, 31, Kind.Units);
        lie(PRIMARY, 30, Kind.Failed);
        uint32 seq = revealed();
        posts(seq, MATE);
        bringsAlong(seq, PRIMARY);
        IReplicas.Pair memory p = pair(id, seq);
        eq(p.level, 2, "four levels down");
        eq(p.index, 5, "above 20 to 23");
        eq(p.shown, 0, "nobody has moved");
        eq(p.due, vm.getBlockTimestamp() + Parameters.WALK_TIME, "anew");
        posts(seq, PRIMARY);
        bringsAlong(seq, MATE);
        is_(id, seq, IReplicas.State.Showing);
        eq(pair(id, seq).index, 23, "the leaf");
        shows(seq, PRIMARY);
        is_(id, seq, IReplicas.State.Showing);
        shows(seq, MATE);
        is_(id, seq, IReplicas.State.Disputed);
    }

    /// @dev The other one must bring along what is posted first, so its time begins then.
    function test_whoPostsFirstBeginsTheTimeAnew() public {
        lie(MATE, 3, Kind.Output);
        uint32 seq = revealed();
        vm.warp(pair(id, seq).due);
        posts(seq, PRIMARY);
        uint40 due = pair(id, seq).due;
        eq(due, vm.getBlockTimestamp() + Parameters.WALK_TIME, "anew");
        vm.warp(due);
        bringsAlong(seq, MATE);
        eq(pair(id, seq).due, due + Parameters.WALK_TIME, "and again");
    }

    /// @dev Only one list folds, so it is nobody's business whose it is and who has shown it.
    function test_bothListsMayComeAtOnce() public {
        lie(MATE, 3, Kind.Output);
        uint32 seq = revealed();
        bringsAlong(seq, MATE);
        eq(pair(id, seq).level, 2, "down");
        posts(seq, MATE);
        bringsAlong(seq, MATE);
        eq(pair(id, seq).index, 3, "the leaf");
    }

    function test_aRangeOfOneLeafIsShownAtOnce() public {
        IJobBook.Terms memory t = auditedTerms(1);
        (t.replicas, t.taskCount) = (2, 1);
        id = openJob(t, 1_000 ether);
        lie(MATE, 0, Kind.Units);
        uint32 seq = revealed();
        is_(id, seq, IReplicas.State.Showing);
        shows(seq, MATE);
        shows(seq, PRIMARY);
        is_(id, seq, IReplicas.State.Disputed);
        votesTheTruth(seq);
        replicas.conclude(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
    }

    function test_thePreparePhaseHasALeaf() public {
        IJobBook.Terms memory t = auditedTerms(20);
        (t.replicas, t.prepareCap) = (2, 5);
        id = openJob(t, 40_000 ether);
        lie(MATE, 0, Kind.Units);
        uint32 seq = revealed();
        eq(pair(id, seq).leaves, 21, "one more");
        walksDown(seq, MATE);
        eq(pair(id, seq).index, 0, "the first one");
        MerkleSum.Leaf memory leaf = treeOf(seq, MATE)[0];
        eq(leaf.index, MerkleSum.PREPARE_INDEX, "of the prepare phase");
        shows(seq, MATE);
        shows(seq, PRIMARY);
        votesTheTruth(seq);
        replicas.conclude(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
    }

    // ---------------------------------------------------------------- what cannot be walked

    /// @dev Inflated units under a right root fail at the first step.
    function test_declaredUnitsMustBeThoseOfTheLeaves() public {
        inflated[PRIMARY] = 1;
        uint32 seq = revealed();
        is_(id, seq, IReplicas.State.Walking);
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        for (uint256 i = 0; i < mine.length; ++i) {
            mine[i].tally += 1;
            vm.prank(nodeOf(PRIMARY));
            wrongNodes(PRIMARY);
            replicas.walk(id, seq, mine, none());
            mine[i].tally -= 1;
        }
        vm.prank(nodeOf(PRIMARY));
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, mine, none());
        posts(seq, MATE);
        uint256 before = free(ownerOf(MATE));
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Silent);
        eq(staked(PRIMARY), 0, "all of its stake");
        eq(free(ownerOf(MATE)) - before, FIRST_STAKE / 2, "half of it");
    }

    function test_aMateThatInflatesIsStuck() public {
        inflated[MATE] = 1;
        uint32 seq = revealed();
        MerkleSum.Sibling[] memory mine = nodesOf(seq, MATE);
        vm.prank(nodeOf(MATE));
        wrongNodes(MATE);
        replicas.walk(id, seq, mine, none());
        posts(seq, PRIMARY);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
    }

    /// @dev A sum that is wrong on the way only, under a root made for it: a step further nothing folds.
    function test_aSumThatLiesOnTheWayIsStuckThere() public {
        provider(2, 4, STAKE);
        waits(id, 2, STAKE);
        (uint32 seq,,) = claim(id, 1, 40);
        handIn(id, seq, false);
        eq(mateDrawn(id, seq), MATE, "the mate");
        // Ten nodes at level 2, one of them with a unit more.
        MerkleSum.Sibling[] memory nodes = levelOf(seq, 2);
        nodes[4].tally += 1;
        Found memory f;
        uint128 tally;
        (f.root, tally) = top(nodes);
        f.units = uint64(tally);
        bytes32 seal_ = sealOf(id, seq, MATE, f);
        vm.prank(nodeOf(MATE));
        replicas.commit(id, seq, seal_);
        vm.prank(nodeOf(MATE));
        replicas.reveal(id, seq, f.root, f.units, 0, saltOf(MATE));
        revealsFound(seq, PRIMARY);
        vm.prank(nodeOf(MATE));
        replicas.walk(id, seq, nodes, none());
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        vm.prank(nodeOf(PRIMARY));
        replicas.walk(id, seq, mine, nodes);
        eq(pair(id, seq).index, 4, "where it lies");
        MerkleSum.Sibling[] memory honest = nodesOf(seq, PRIMARY);
        vm.prank(nodeOf(MATE));
        wrongNodes(MATE);
        replicas.walk(id, seq, honest, none());
        honest[0].tally += 1;
        vm.prank(nodeOf(MATE));
        wrongNodes(MATE);
        replicas.walk(id, seq, honest, none());
        posts(seq, PRIMARY);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
    }

    /// @dev The primary's nodes of a whole level.
    function levelOf(uint32 seq, uint256 level) internal view returns (MerkleSum.Sibling[] memory) {
        return Trees.nodes(treeOf(seq, PRIMARY), level, 0, type(uint32).max);
    }

    function top(MerkleSum.Sibling[] memory nodes) internal pure returns (bytes32, uint128) {
        uint256 n = nodes.length;
        MerkleSum.Sibling[] memory list = new MerkleSum.Sibling[](n);
        for (uint256 i = 0; i < n; ++i) {
            list[i] = MerkleSum.Sibling(nodes[i].hash, nodes[i].tally);
        }
        for (; n > 1; n = (n + 1) / 2) {
            for (uint256 i = 0; i < n; i += 2) {
                if (i + 1 == n) {
                    list[i / 2] = MerkleSum.Sibling(list[i].hash, list[i].tally);
                    continue;
                }
                (bytes32 a, uint128 s, bytes32 b, uint128 t) =
                    (list[i].hash, list[i].tally, list[i + 1].hash, list[i + 1].tally);
                list[i / 2] = MerkleSum.Sibling(MerkleSum.nodeHash(a, s, b, t), s + t);
            }
        }
        return (list[0].hash, list[0].tally);
    }

    // ---------------------------------------------------------------- who is late

    function test_aMateThatStopsIsPassedOverAtEveryStep() public {
        for (uint256 stop = 0; stop < 4; ++stop) {
            uint256 state = vm.snapshotState();
            uint32 seq = stoppedAt(stop, PRIMARY);
            uint256 purse = free(address(audits));
            passedOver(id, seq);
            ended(id, seq, IReplicas.Outcome.Alone);
            eq(staked(MATE), 0, "all of its stake");
            eq(free(address(audits)) - purse, STAKE / 2, "half of it to the purse");
            eq(audits.record(uint32(MATE)), 0, "no record");
            isEntry(id, MATE, IWaiting.State.Left, 0);
            eq(staked(PRIMARY), FIRST_STAKE, "the primary loses nothing");
            eq(book.range(id, seq).root, foundBy(seq, PRIMARY).root, "unsealed");
            audit(id, seq, false, 0);
            uint256 before = book.job(id).escrow;
            acknowledge(id, seq);
            eq(book.job(id).escrow - before, value(id, seq), "the mate's part comes back");
            vm.revertToState(state);
        }
    }

    function test_aPrimaryThatStopsIsSilentAtEveryStep() public {
        for (uint256 stop = 0; stop < 4; ++stop) {
            uint256 state = vm.snapshotState();
            uint32 seq = stoppedAt(stop, MATE);
            uint256 before = free(ownerOf(MATE));
            passedOver(id, seq);
            ended(id, seq, IReplicas.Outcome.Silent);
            eq(staked(PRIMARY), 0, "all of its stake");
            eq(free(ownerOf(MATE)) - before, FIRST_STAKE / 2, "half of it to the mate");
            rangeIs(seq, IJobBook.RangeState.Rejected);
            eq(book.job(id).escrow, 20_000 ether, "twice its money comes back");
            isEntry(id, MATE, IWaiting.State.Waiting, 0);
            eq(staked(MATE), STAKE, "the mate loses nothing");
            vm.revertToState(state);
        }
    }

    function test_whoBothStopBothLoseAllAtEveryStep() public {
        for (uint256 stop = 0; stop < 4; ++stop) {
            uint256 state = vm.snapshotState();
            uint32 seq = stoppedAt(stop, 0);
            passedOver(id, seq);
            ended(id, seq, IReplicas.Outcome.Silent);
            eq(staked(PRIMARY), 0, "the primary");
            eq(staked(MATE), 0, "the mate");
            eq(free(address(audits)), (FIRST_STAKE + STAKE) / 2, "the purse");
            rangeIs(seq, IJobBook.RangeState.Rejected);
            isEntry(id, MATE, IWaiting.State.Left, 0);
            vm.revertToState(state);
        }
    }

    /// @dev Both have made so many moves; then only this one goes on (0: nobody).
    function stoppedAt(uint256 stop, uint256 goesOn) internal returns (uint32 seq) {
        // Three steps and the leaf.
        IJobBook.Terms memory t = auditedTerms(300);
        t.replicas = 2;
        id = openJob(t, 20_000 ether);
        lie(MATE, 123, Kind.Output);
        seq = revealed();
        for (uint256 step = 0; step < stop; ++step) {
            posts(seq, step % 2 == 0 ? PRIMARY : MATE);
            bringsAlong(seq, step % 2 == 0 ? MATE : PRIMARY);
        }
        is_(id, seq, stop == 3 ? IReplicas.State.Showing : IReplicas.State.Walking);
        if (goesOn == 0) return seq;
        if (stop == 3) shows(seq, goesOn);
        else posts(seq, goesOn);
    }

    function test_lateMovesAreRefused() public {
        lie(MATE, 3, Kind.Output);
        uint32 seq = revealed();
        uint40 due = pair(id, seq).due;
        vm.warp(due);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooEarly.selector, due));
        replicas.advance(id, seq);
        vm.warp(due + 1);
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        vm.prank(nodeOf(PRIMARY));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.walk(id, seq, mine, none());
        vm.warp(due);
        walksDown(seq, MATE);
        due = pair(id, seq).due;
        vm.warp(due + 1);
        MerkleSum.Leaf memory leaf = treeOf(seq, MATE)[3];
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.TooLate.selector, due));
        replicas.show(id, seq, leaf);
        vm.warp(due);
        shows(seq, MATE);
        shows(seq, PRIMARY);
    }

    // ---------------------------------------------------------------- what is refused

    function test_wrongListsAreRefused() public {
        lie(MATE, 23, Kind.Output);
        uint32 seq = revealed();
        (MerkleSum.Sibling[] memory mine, MerkleSum.Sibling[] memory theirs) =
            (nodesOf(seq, PRIMARY), nodesOf(seq, MATE));
        address node = nodeOf(PRIMARY);
        vm.startPrank(node);
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, theirs, none());
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, none(), none());
        wrongNodes(MATE);
        replicas.walk(id, seq, mine, mine);
        replicas.walk(id, seq, mine, none());
        wrongNodes(MATE);
        replicas.walk(id, seq, mine, none());
        vm.stopPrank();
        vm.startPrank(nodeOf(MATE));
        // The first one has come before it.
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, theirs, none());
        wrongNodes(MATE);
        replicas.walk(id, seq, mine, theirs);
        MerkleSum.Sibling[] memory longer = new MerkleSum.Sibling[](mine.length + 1);
        for (uint256 i = 0; i < longer.length; ++i) {
            longer[i] = mine[i < mine.length ? i : 0];
        }
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, theirs, longer);
        mine[1].tally += 1;
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, theirs, mine);
        mine[1].tally -= 1;
        replicas.walk(id, seq, theirs, mine);
        vm.stopPrank();
        eq(pair(id, seq).level, 2, "down");
    }

    /// @dev What folds, but from another level: the number of nodes is fixed.
    function test_aStepIsFourLevels() public {
        lie(MATE, 23, Kind.Output);
        uint32 seq = revealed();
        MerkleSum.Sibling[] memory three = levelOf(seq, 3);
        vm.prank(nodeOf(PRIMARY));
        wrongNodes(PRIMARY);
        replicas.walk(id, seq, three, none());
    }

    function test_onlyTheTwoWalk() public {
        lie(MATE, 23, Kind.Output);
        uint32 seq = revealed();
        provider(3, 4, STAKE);
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        address[3] memory others = [nodeOf(3), ownerOf(PRIMARY), address(this)];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, others[i]));
            replicas.walk(id, seq, mine, none());
        }
        walksDown(seq, MATE);
        MerkleSum.Leaf memory leaf = treeOf(seq, PRIMARY)[23];
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, address(this)));
        replicas.show(id, seq, leaf);
    }

    function test_wrongLeavesAreRefused() public {
        lie(MATE, 23, Kind.Output);
        uint32 seq = revealed();
        walksDown(seq, MATE);
        (MerkleSum.Leaf memory leaf, MerkleSum.Leaf memory other) = (treeOf(seq, PRIMARY)[23], treeOf(seq, MATE)[23]);
        vm.startPrank(nodeOf(PRIMARY));
        wrongLeaf(PRIMARY);
        replicas.show(id, seq, other);
        leaf.units += 1;
        wrongLeaf(PRIMARY);
        replicas.show(id, seq, leaf);
        leaf.units -= 1;
        replicas.show(id, seq, leaf);
        vm.expectRevert(abi.encodeWithSelector(IReplicas.ShownAlready.selector, uint32(PRIMARY)));
        replicas.show(id, seq, leaf);
        vm.stopPrank();
    }

    /// @dev In its tree stands the leaf of another task, or of another job: it folds, but cannot be shown.
    function test_aLeafThatIsNotAtItsPlaceCannotBeShown() public {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            (misplaced, ofAnotherJob) = (i == 0, i == 1);
            uint32 seq = revealed();
            walksDown(seq, MATE);
            eq(pair(id, seq).index, 7, "where it is");
            MerkleSum.Leaf memory leaf = treeOf(seq, MATE)[7];
            vm.prank(nodeOf(MATE));
            wrongLeaf(MATE);
            replicas.show(id, seq, leaf);
            shows(seq, PRIMARY);
            passedOver(id, seq);
            ended(id, seq, IReplicas.Outcome.Alone);
            eq(staked(MATE), 0, "all of its stake");
            vm.revertToState(state);
        }
    }

    function test_everyMoveHasItsState() public {
        lie(MATE, 23, Kind.Output);
        wrongState(0, IReplicas.State.None);
        replicas.walk(id, 0, none(), none());
        MerkleSum.Leaf memory leaf;
        wrongState(0, IReplicas.State.None);
        replicas.show(id, 0, leaf);
        wrongState(0, IReplicas.State.None);
        replicas.conclude(id, 0);
        uint32 seq = revealed();
        wrongState(seq, IReplicas.State.Walking);
        replicas.show(id, seq, leaf);
        wrongState(seq, IReplicas.State.Walking);
        replicas.conclude(id, seq);
        wrongState(seq, IReplicas.State.Walking);
        replicas.reveal(id, seq, LIE, 1, 0, SALT);
        walksDown(seq, PRIMARY);
        wrongState(seq, IReplicas.State.Showing);
        replicas.walk(id, seq, none(), none());
        shows(seq, PRIMARY);
        shows(seq, MATE);
        wrongState(seq, IReplicas.State.Disputed);
        replicas.walk(id, seq, none(), none());
        wrongState(seq, IReplicas.State.Disputed);
        replicas.show(id, seq, leaf);
        wrongState(seq, IReplicas.State.Disputed);
        replicas.conclude(id, seq);
        vm.warp(vm.getBlockTimestamp() + 1 days);
        wrongState(seq, IReplicas.State.Disputed);
        replicas.advance(id, seq);
    }

    // ---------------------------------------------------------------- any trees

    /// @dev Both may be wrong about several leaves: the walk ends at the first in which they differ, and each can show its own.
    function testFuzz_theWalkEndsWhereTheTreesDiffer(uint256 seed) public {
        uint32 count = uint32(1 + seed % 70);
        IJobBook.Terms memory t = auditedTerms(count);
        t.replicas = 2;
        id = openJob(t, 20_000 ether);
        for (uint256 i = 0; i < 3; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            // Each leaf once, or two lies of one kind may cancel out.
            uint256 at = (seed >> 8) % count;
            if (i == 0 || seed & 1 == 0) lieOnce(seed & 2 == 0 ? PRIMARY : MATE, at, Kind(seed % 3));
        }
        uint32 seq = revealed();
        MerkleSum.Leaf[] memory ours = treeOf(seq, PRIMARY);
        MerkleSum.Leaf[] memory theirs = treeOf(seq, MATE);
        uint256 first = 0;
        while (MerkleSum.leafHash(ours[first]) == MerkleSum.leafHash(theirs[first])) ++first;
        walksDown(seq, seed & 4 == 0 ? PRIMARY : MATE);
        eq(pair(id, seq).index, first, "the leaf");
        shows(seq, seed & 8 == 0 ? PRIMARY : MATE);
        shows(seq, seed & 8 == 0 ? MATE : PRIMARY);
        is_(id, seq, IReplicas.State.Disputed);
        eq(uint32(case_(id, seq).positions), first, "what is voted on");
    }

    function lieOnce(uint256 who, uint256 at, Kind kind) internal {
        for (uint256 n = PRIMARY; n <= MATE; ++n) {
            for (uint256 i = 0; i < lies[n].length; ++i) {
                if (lies[n][i].at == at) return;
            }
        }
        lie(who, at, kind);
    }
}
