// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Trees} from "./Trees.sol";
import {WalkWorld} from "./WalkWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What somebody who means harm may try with a walk and a dispute: each test is a suspicion that came to nothing.
contract HostileWalksTest is WalkWorld {
    uint256 internal constant AT = 23;

    // ---------------------------------------------------------------- what is counted at the end

    /// @dev All money in the ledger is somebody's, and all of it is there.
    function moneyIsConserved() internal view {
        uint256 sum =
            free(CLIENT) + locked(CLIENT) + free(TREASURY) + free(ledger.BURN_ACCOUNT()) + free(address(audits));
        for (uint256 n = 1; n <= 3; ++n) {
            sum += free(ownerOf(n)) + locked(ownerOf(n));
        }
        for (uint256 n = 1; n <= 20; ++n) {
            sum += free(auditorOwner(n)) + locked(auditorOwner(n));
        }
        eq(sum, token.balanceOf(address(ledger)), "money is conserved");
    }

    /// @dev Nothing of the job is left: no range, no exposure of its primary, no duty, and no money that is locked for it.
    function nothingIsLeft() internal {
        IJobBook.JobState state = book.job(id).state;
        if (state == IJobBook.JobState.Open || state == IJobBook.JobState.Draining) {
            vm.prank(CLIENT);
            book.cancel(id);
        }
        // The job that the world opens first, and this one.
        book.finish(id);
        if (id != 1) {
            vm.prank(CLIENT);
            book.cancel(1);
            book.finish(1);
        }
        eq(locked(CLIENT), 0, "nothing is locked for the client");
        eq(registry.provider(ownerOf(PRIMARY)).exposure, 0, "the primary answers for nothing");
        eq(entry(id, MATE).busy, 0, "the mate has no duty");
        eq(registry.provider(ownerOf(MATE)).exposure, entry(id, MATE).bond, "and only its bond is exposed");
        vm.startPrank(nodeOf(MATE));
        if (entry(id, MATE).state == IWaiting.State.Waiting) waiting.leave(id);
        passSeconds(Parameters.DRAW_SPAN + 1);
        waiting.leave(id);
        vm.stopPrank();
        eq(registry.provider(ownerOf(MATE)).exposure, 0, "nor that");
        moneyIsConserved();
    }

    /// @dev After its audit, if that is not over, a range is paid.
    function isPaid(uint32 seq) internal {
        if (case_(id, seq).state != IAudits.State.Closed) audit(id, seq, false, 0);
        acknowledge(id, seq);
    }

    function stillBound(uint256 busy) internal {
        uint256 until = entry(id, MATE).leftAt + Parameters.DRAW_SPAN;
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.StillBound.selector, until, busy));
        waiting.leave(id);
    }

    function leavesTheLine() internal {
        vm.prank(nodeOf(MATE));
        waiting.leave(id);
    }

    // ---------------------------------------------------------------- one leaf is not the range

    /// @dev A forger and its friend differ in one leaf of no account, in which the forger is right. The vote on that leaf must not stand
    /// for the audit of all the others: the friend's stake is behind eight such ranges at once.
    function test_aFriendThatIsWrongSparesNoAudit() public {
        for (uint256 i = 5; i < 40; ++i) {
            lie(PRIMARY, i, Kind.Output);
        }
        lie(MATE, 3, Kind.Output);
        uint32 seq = disputed();
        eq(pair(id, seq).index, 3, "the leaf that both have chosen");
        votesTheTruth(seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "the forger is right in it");
        vm.warp(vm.getBlockTimestamp() + 2 hours);
        notPaid(seq);
        replicas.conclude(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "the friend's stake");
        notPaid(seq);
        // A newcomer's range is surely audited.
        drawn(id, seq);
        notPaid(seq);
        named(id, seq);
        votesAgainst(seq);
        ok(case_(id, seq).outcome == IAudits.Outcome.Overturned, "overturned");
        eq(staked(PRIMARY), 0, "and the forger's");
        rangeIs(seq, IJobBook.RangeState.Rejected);
        notPaid(seq);
        nothingIsLeft();
    }

    /// @dev Honest auditors vote on what the primary opens, stage by stage.
    function votesAgainst(uint32 seq) internal {
        while (case_(id, seq).state != IAudits.State.Closed) {
            bytes32 found = truth(id, seq);
            uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
            for (uint256 i = 0; i < seats.length; ++i) {
                commit(id, seq, seats[i], found);
            }
            if (case_(id, seq).state == IAudits.State.Opening) opensItsOwn(seq);
            seats = seatsIn(id, seq, IAudits.SeatState.Committed);
            for (uint256 i = 0; i < seats.length; ++i) {
                reveal(id, seq, seats[i], found);
            }
        }
    }

    function opensItsOwn(uint32 seq) internal {
        MerkleSum.Leaf[] memory all = treeOf(seq, PRIMARY);
        MerkleSum.Leaf[] memory list = new MerkleSum.Leaf[](Parameters.SAMPLES);
        MerkleSum.Sibling[][] memory proofs = new MerkleSum.Sibling[][](Parameters.SAMPLES);
        for (uint256 i = 0; i < list.length; ++i) {
            uint32 at = uint32(case_(id, seq).positions >> 32 * i);
            (list[i], proofs[i]) = (all[at], Trees.prove(all, at));
        }
        audits.open(id, seq, list, proofs);
    }

    function notPaid(uint32 seq) internal {
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.settle(id, one(seq));
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.acknowledge(id, one(seq));
    }

    /// @dev What a dispute has drawn, counted and paid is not counted again in the audit that follows it.
    function test_theAuditAfterADisputeBeginsFromNothing() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = disputed();
        votesTheTruth(seq);
        uint8 seats = case_(id, seq).given;
        ok(seats != 0, "somebody was drawn");
        replicas.conclude(id, seq);
        uint256 before = owedToAll();
        bytes32 found = answerOf(seq, PRIMARY);
        // A seat of the dispute is nobody's any more.
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongState.selector, id, seq, IAudits.State.Submitted));
        audits.reveal(id, seq, 0, found, SALT);
        IAudits.Case memory c = audit(id, seq, false, 0);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld");
        uint256 earned = owedToAll() - before;
        ok(earned != 0 && earned <= c.fee * uint256(c.votes), "its own votes are paid, and no others");
        vm.prank(CLIENT);
        book.acknowledge(id, one(seq));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, IReplicas.State.Closed));
        replicas.conclude(id, seq);
        nothingIsLeft();
    }

    function owedToAll() internal view returns (uint256 sum) {
        for (uint256 n = 1; n <= 20; ++n) {
            sum += audits.owed(auditorOwner(n));
        }
    }

    // ---------------------------------------------------------------- trees that are none

    /// @dev The nodes of a level from those of the level below.
    function up(MerkleSum.Sibling[] memory low) internal pure returns (MerkleSum.Sibling[] memory high) {
        high = new MerkleSum.Sibling[]((low.length + 1) / 2);
        for (uint256 i = 0; i < high.length; ++i) {
            MerkleSum.Sibling memory l = low[2 * i];
            high[i] = MerkleSum.Sibling(l.hash, l.tally);
            if (2 * i + 1 == low.length) continue;
            MerkleSum.Sibling memory r = low[2 * i + 1];
            high[i].hash = MerkleSum.nodeHash(l.hash, l.tally, r.hash, r.tally);
            unchecked {
                high[i].tally = l.tally + r.tally;
            }
        }
    }

    /// @dev Provider 2 has committed to the tree over these nodes, which lie on that level, and both have shown their roots.
    function mateStandsOn(uint256 level, MerkleSum.Sibling[] memory nodes) internal returns (uint32 seq) {
        uint256 height = level;
        for (; nodes.length > 1; ++height) {
            nodes = up(nodes);
        }
        eq(height, 6, "as high as the range's tree");
        Found memory f = Found(nodes[0].hash, uint64(nodes[0].tally), uint32(nodes[0].tally >> 64));
        mates(id, 2, STAKE);
        seq = sealedRange(id, false);
        eq(mateDrawn(id, seq), MATE, "the mate");
        bytes32 seal_ = sealOf(id, seq, MATE, f);
        vm.startPrank(nodeOf(MATE));
        replicas.commit(id, seq, seal_);
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(MATE));
        vm.stopPrank();
        revealsFound(seq, PRIMARY);
        is_(id, seq, IReplicas.State.Walking);
    }

    /// @dev The leaves of the range that is handed in next.
    function nextLeaves() internal view returns (MerkleSum.Sibling[] memory list) {
        list = new MerkleSum.Sibling[](40);
        for (uint32 i = 0; i < list.length; ++i) {
            MerkleSum.Leaf memory leaf = MerkleSum.Leaf(id, i, 0, bytes32(bytes4(i)), 4, 1 + i % 7);
            list[i] = MerkleSum.Sibling(MerkleSum.leafHash(leaf), MerkleSum.leafTally(leaf));
        }
    }

    function levelTwo(MerkleSum.Sibling[] memory low) internal pure returns (MerkleSum.Sibling[] memory) {
        return up(up(low));
    }

    /// @dev The mate's tree goes on below a leaf: it walks down to it, and then has nothing to show.
    function test_aNodeInThePlaceOfALeafCannotBeShown() public {
        MerkleSum.Sibling[] memory low = nextLeaves();
        bytes32 below = MerkleSum.nodeHash(low[9].hash, 1, low[8].hash, low[9].tally - 1);
        low[9].hash = below;
        uint32 seq = mateStandsOn(0, low);
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        vm.prank(nodeOf(MATE));
        replicas.walk(id, seq, levelTwo(low), mine);
        MerkleSum.Sibling[] memory four = new MerkleSum.Sibling[](4);
        for (uint256 i = 0; i < 4; ++i) {
            four[i] = low[8 + i];
        }
        mine = nodesOf(seq, PRIMARY);
        vm.prank(nodeOf(MATE));
        replicas.walk(id, seq, four, mine);
        eq(pair(id, seq).index, 9, "the leaf that is none");
        MerkleSum.Leaf memory leaf = treeOf(seq, PRIMARY)[9];
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongLeaf.selector, uint32(MATE)));
        replicas.show(id, seq, leaf);
        shows(seq, PRIMARY);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
        isPaid(seq);
        nothingIsLeft();
    }

    /// @dev Sums that run over their 64 bits, or failures over their 32, cannot be walked, and stop nobody else.
    function test_sumsThatRunOverAreStuck() public {
        for (uint256 how = 0; how < 3; ++how) {
            uint256 state = vm.snapshotState();
            MerkleSum.Sibling[] memory two = levelTwo(nextLeaves());
            // The sum of two nodes' units; that of two nodes' failures; failures that fit a node and not a range.
            if (how == 0) (two[0].tally, two[1].tally) = (1 << 63, 1 << 63);
            else if (how == 1) (two[0].tally, two[1].tally) = (1 << 127, 1 << 127);
            else two[4].tally |= 1 << 96;
            uint32 seq = mateStandsOn(2, two);
            MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
            vm.prank(nodeOf(MATE));
            vm.expectRevert(MerkleSum.TallyOverflow.selector);
            replicas.walk(id, seq, two, none());
            vm.prank(nodeOf(PRIMARY));
            vm.expectRevert(MerkleSum.TallyOverflow.selector);
            replicas.walk(id, seq, mine, two);
            posts(seq, PRIMARY);
            passedOver(id, seq);
            ended(id, seq, IReplicas.Outcome.Alone);
            eq(staked(MATE), 0, "all of its stake");
            eq(staked(PRIMARY), FIRST_STAKE, "the other one loses nothing");
            vm.revertToState(state);
        }
    }

    // ---------------------------------------------------------------- other paths, meanwhile

    /// @dev While both walk, nothing else that ends ranges touches theirs.
    function test_nothingElseEndsARangeThatIsWalked() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = revealed();
        otherPathsAreClosed(seq);
        walksDown(seq, MATE);
        otherPathsAreClosed(seq);
        shows(seq, PRIMARY);
        otherPathsAreClosed(seq);
        shows(seq, MATE);
        otherPathsAreClosed(seq);
        votesTheTruth(seq);
        otherPathsAreClosed(seq);
        replicas.conclude(id, seq);
        isPaid(seq);
        nothingIsLeft();
    }

    function otherPathsAreClosed(uint32 seq) internal {
        uint256 state = vm.snapshotState();
        vm.warp(vm.getBlockTimestamp() + 40 days);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NothingToDo.selector, id));
        book.expire(id, one(seq));
        notPaid(seq);
        vm.prank(nodeOf(PRIMARY));
        vm.expectRevert(
            abi.encodeWithSelector(IJobBook.WrongRangeState.selector, id, seq, IJobBook.RangeState.Submitted)
        );
        book.release(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotJudge.selector, address(this)));
        book.reject(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IJobBook.NotJudge.selector, address(this)));
        book.unseal(id, seq, LIE);
        vm.expectRevert(abi.encodeWithSelector(IBench.NotOnTheBench.selector, address(this)));
        bench.reject(id, seq);
        vm.expectRevert(abi.encodeWithSelector(IBench.NotReplicas.selector, address(this)));
        bench.audit(id, seq, uint32(PRIMARY), LIE, 0);
        vm.expectPartialRevert(IJobBook.NotFinished.selector);
        book.finish(id);
        vm.revertToState(state);
    }

    /// @dev The client cancels while both walk. Who stops pays as ever, and all that is not earned comes back at the end.
    function test_aCancelledJobsWalksEnd() public {
        for (uint256 stops = 0; stops <= 2; ++stops) {
            uint256 state = vm.snapshotState();
            uint256 client = free(CLIENT) + locked(CLIENT);
            lie(MATE, AT, Kind.Output);
            uint32 seq = revealed();
            vm.prank(CLIENT);
            book.cancel(id);
            eq(locked(CLIENT), 2 * value(id, seq), "both parts stay");
            if (stops != 0) {
                posts(seq, PRIMARY + MATE - stops);
                passedOver(id, seq);
            } else {
                walksDown(seq, PRIMARY);
                shows(seq, MATE);
                shows(seq, PRIMARY);
                votesTheTruth(seq);
                replicas.conclude(id, seq);
            }
            uint256 worth = 0;
            if (stops != PRIMARY) {
                isPaid(seq);
                worth = value(id, seq);
            }
            nothingIsLeft();
            eq(client - free(CLIENT), worth, "paid once, or not at all");
            vm.revertToState(state);
        }
    }

    /// @dev Who has a dispute before the auditors cannot end it before they do.
    function test_aVerdictIsWaitedFor() public {
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = disputed();
        notConcluded(seq);
        drawn(id, seq);
        notConcluded(seq);
        uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
        for (uint256 i = 0; i < seats.length; ++i) {
            commit(id, seq, seats[i], answerOf(seq, MATE));
            notConcluded(seq);
        }
        for (uint256 i = 0; i < seats.length; ++i) {
            notConcluded(seq);
            reveal(id, seq, seats[i], answerOf(seq, MATE));
        }
        replicas.conclude(id, seq);
        ended(id, seq, IReplicas.Outcome.Unequal);
        nothingIsLeft();
    }

    function notConcluded(uint32 seq) internal {
        vm.expectRevert(abi.encodeWithSelector(IReplicas.WrongState.selector, id, seq, IReplicas.State.Disputed));
        replicas.conclude(id, seq);
    }

    /// @dev A beacon that nobody keeps, twice: nothing is decided, nobody loses anything, and it ends.
    function test_aDisputeWithoutABeaconEnds() public {
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = disputed();
        for (uint256 i = 0; i < 2; ++i) {
            notConcluded(seq);
            vm.roll(vm.getBlockNumber() + 600);
            audits.draw(id, seq);
        }
        ok(case_(id, seq).outcome == IAudits.Outcome.Undecided, "undecided");
        rangeIs(seq, IJobBook.RangeState.Rejected);
        replicas.conclude(id, seq);
        ended(id, seq, IReplicas.Outcome.Unequal);
        eq(staked(PRIMARY), FIRST_STAKE, "the primary's stake");
        eq(staked(MATE), STAKE, "and the mate's");
        nothingIsLeft();
    }

    // ---------------------------------------------------------------- who wants to be gone

    /// @dev A mate that leaves the line in a walk has its duty and its bond until the walk is over, however often it leaves; and comes
    /// back and leaves again meanwhile as it likes.
    function test_whoLeavesInAWalkAndLeavesAgainIsBoundUntilItsEnd() public {
        lie(PRIMARY, AT, Kind.Output);
        uint32 seq = revealed();
        leavesTheLine();
        isEntry(id, MATE, IWaiting.State.Left, 1);
        stillBound(1);
        posts(seq, MATE);
        bringsAlong(seq, PRIMARY);
        passSeconds(Parameters.WALK_TIME - 1);
        stillBound(1);
        // Back on its old terms, and gone again: its bond is there once.
        waits(id, MATE, STAKE);
        isEntry(id, MATE, IWaiting.State.Waiting, 1);
        eq(registry.provider(ownerOf(MATE)).exposure, STAKE, "one bond");
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.WrongState.selector, id, uint32(MATE), IWaiting.State.Waiting));
        waiting.wait(id, STAKE, 0);
        leavesTheLine();
        (uint256 total,) = waiting.line(id, NOW);
        eq(total, 0, "nobody waits");
        // Other terms are another bond, and the first one is not free.
        uint256 until = entry(id, MATE).leftAt + Parameters.DRAW_SPAN;
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.StillBound.selector, until, 1));
        waiting.wait(id, STAKE / 2, 0);
        stakeStays();
        vm.warp(pair(id, seq).due);
        walksDown(seq, MATE);
        shows(seq, MATE);
        shows(seq, PRIMARY);
        passSeconds(2 * Parameters.DRAW_SPAN);
        stillBound(1);
        votesTheTruth(seq);
        stillBound(1);
        replicas.conclude(id, seq);
        isEntry(id, MATE, IWaiting.State.Left, 0);
        stakeStays();
        nothingIsLeft();
        isEntry(id, MATE, IWaiting.State.Nobody, 0);
        vm.prank(ownerOf(MATE));
        registry.unstake(STAKE);
    }

    function stakeStays() internal {
        vm.prank(ownerOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IRegistry.StakeInUse.selector, STAKE, 1, STAKE));
        registry.unstake(1);
    }

    /// @dev Who left and then stops loses its stake all the same, its entry ends, and its bond is no longer exposed in the end.
    function test_whoLeavesAndStopsLosesAll() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = revealed();
        leavesTheLine();
        posts(seq, PRIMARY);
        passedOver(id, seq);
        ended(id, seq, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
        isEntry(id, MATE, IWaiting.State.Left, 0);
        vm.prank(nodeOf(MATE));
        vm.expectRevert(abi.encodeWithSelector(IWaiting.BadBond.selector, STAKE, 0));
        waiting.wait(id, STAKE, 0);
        isPaid(seq);
        nothingIsLeft();
    }

    /// @dev A mate that is out in one range has its other walks still, as who it is in them: it may win them with nothing at stake.
    function test_twoWalksOfOneMateEndEachForItself() public {
        lie(MATE, AT, Kind.Output);
        uint32 first = revealed();
        uint32 second = revealed();
        isEntry(id, MATE, IWaiting.State.Waiting, 2);
        posts(first, PRIMARY);
        posts(second, MATE);
        passedOver(id, first);
        ended(id, first, IReplicas.Outcome.Alone);
        eq(staked(MATE), 0, "all of its stake");
        isEntry(id, MATE, IWaiting.State.Left, 1);
        stillBound(1);
        uint256 before = free(ownerOf(MATE));
        vm.warp(pair(id, second).due + 1);
        replicas.advance(id, second);
        ended(id, second, IReplicas.Outcome.Silent);
        eq(staked(PRIMARY), 0, "the primary was late in that one");
        eq(free(ownerOf(MATE)) - before, FIRST_STAKE / 2, "half of it");
        isEntry(id, MATE, IWaiting.State.Left, 0);
        isPaid(first);
        nothingIsLeft();
    }

    /// @dev A node key that changes in a walk walks on, and the old one is nobody's.
    function test_aNewNodeKeyWalksOn() public {
        lie(MATE, AT, Kind.Output);
        uint32 seq = revealed();
        MerkleSum.Sibling[] memory mine = nodesOf(seq, PRIMARY);
        IRegistry.Consent memory agreed = consent(51, ownerOf(PRIMARY));
        vm.prank(ownerOf(PRIMARY));
        registry.setNode(nodeOf(51), agreed);
        vm.prank(nodeOf(PRIMARY));
        vm.expectRevert(abi.encodeWithSelector(IReplicas.NotYours.selector, nodeOf(PRIMARY)));
        replicas.walk(id, seq, mine, none());
        vm.prank(nodeOf(51));
        replicas.walk(id, seq, mine, none());
        bringsAlong(seq, MATE);
        eq(pair(id, seq).level, 2, "down");
    }

    // ---------------------------------------------------------------- whatever happens

    /// @dev Both move or do not, in any order; the client may cancel, auditors may not come: every walk ends, nobody has a duty then, and
    /// no money is lost or left behind.
    /// forge-config: default.fuzz.runs = 96
    function testFuzz_everyWalkEnds(uint256 seed) public {
        uint32 count = uint32(1 + seed % 50);
        IJobBook.Terms memory t = auditedTerms(count);
        t.replicas = 2;
        id = openJob(t, 2_000 ether);
        lie(MATE, (seed >> 8) % count, Kind((seed >> 16) % 3));
        if (seed >> 24 & 1 == 1) lie(PRIMARY, (seed >> 32) % count, Kind.Output);
        uint32 seq = revealed();
        for (uint256 i = 0; pair(id, seq).state != IReplicas.State.Closed; ++i) {
            ok(i < 60, "it ends");
            seed = uint256(keccak256(abi.encode(seed)));
            if (seed % 16 == 0 && book.job(id).state == IJobBook.JobState.Open) {
                vm.prank(CLIENT);
                book.cancel(id);
            }
            moves(seq, seed >> 8);
        }
        if (case_(id, seq).state == IAudits.State.Submitted) {
            if (seed & 1 == 0) nobodyComes(seq);
            else auditsAnything(seq);
        }
        if (book.range(id, seq).state == IJobBook.RangeState.Submitted) acknowledge(id, seq);
        nothingIsLeft();
    }

    function moves(uint32 seq, uint256 seed) internal {
        IReplicas.Pair memory p = pair(id, seq);
        uint256 who = p.shown == 0 ? 1 + seed % 2 : PRIMARY + MATE - p.shown;
        if (p.state == IReplicas.State.Disputed) {
            if (seed >> 8 & 1 == 0) nobodyComes(seq);
            else votesTheTruth(seq);
            replicas.conclude(id, seq);
        } else if ((seed >> 16) % 8 == 0) {
            passedOver(id, seq);
        } else if (p.state == IReplicas.State.Showing) {
            shows(seq, who);
        } else if (p.shown != 0 || (seed >> 24) % 4 == 0) {
            bringsAlong(seq, who);
        } else {
            posts(seq, who);
        }
    }

    /// @dev The audit of what the primary has: right or wrong, it ends.
    function auditsAnything(uint32 seq) internal {
        drawn(id, seq);
        if (case_(id, seq).state != IAudits.State.Naming) return;
        // Output and status do not change whose units are drawn.
        named(id, seq);
        votesAgainst(seq);
    }
}
