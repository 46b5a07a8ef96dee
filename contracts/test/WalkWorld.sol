// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {Trees} from "./Trees.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev Replicas whose two providers, 1 and 2, differ in single leaves, on their way to a verdict.
abstract contract WalkWorld is ReplicaWorld {
    uint96 internal constant FIRST_STAKE = 5_000 ether;
    uint96 internal constant STAKE = 2_000 ether;
    uint256 internal constant PRIMARY = 1;
    uint256 internal constant MATE = 2;

    /// @dev How somebody is wrong about a leaf.
    enum Kind {
        Output,
        Units,
        Failed
    }

    struct Lie {
        uint256 at;
        Kind kind;
    }

    uint64 internal id;
    mapping(uint256 who => Lie[]) internal lies;
    /// @dev Units that somebody declares beyond those of its leaves.
    mapping(uint256 who => uint64) internal inflated;
    /// @dev The mate has the leaf of another task, or of another job, at place 7.
    bool internal misplaced;
    bool internal ofAnotherJob;

    function setUp() public virtual override {
        super.setUp();
        provider(1, 4, FIRST_STAKE);
        someAuditors(20, 100 ether);
        id = replicated(40);
    }

    function lie(uint256 who, uint256 at, Kind kind) internal {
        lies[who].push(Lie(at, kind));
    }

    /// @dev What a provider has found in a range.
    function treeOf(uint32 seq, uint256 who) internal view returns (MerkleSum.Leaf[] memory list) {
        MerkleSum.Leaf[] memory tasks = leaves(id, seq, false);
        list = tasks;
        if (book.job(id).terms.prepareCap != 0) {
            list = new MerkleSum.Leaf[](tasks.length + 1);
            list[0] = MerkleSum.Leaf(id, MerkleSum.PREPARE_INDEX, 0, bytes32(0), 0, 3);
            for (uint256 i = 0; i < tasks.length; ++i) {
                list[i + 1] = tasks[i];
            }
        }
        for (uint256 i = 0; i < lies[who].length; ++i) {
            Lie memory l = lies[who][i];
            MerkleSum.Leaf memory leaf = list[l.at];
            if (l.kind == Kind.Output) leaf.output |= bytes32(uint256(who) << 192);
            else if (l.kind == Kind.Units) leaf.units += uint64(who);
            else (leaf.status, leaf.output, leaf.size) = (uint8(who), 0, 0);
        }
        if (who == MATE && misplaced) list[7].index += 1;
        if (who == MATE && ofAnotherJob) list[7].job += 1;
    }

    function foundBy(uint32 seq, uint256 who) internal view returns (Found memory f) {
        uint128 tally;
        (f.root, tally) = MerkleSum.recomputeRoot(treeOf(seq, who));
        (f.units, f.failures) = (uint64(tally) + inflated[who], uint32(tally >> 64));
    }

    function revealsFound(uint32 seq, uint256 who) internal {
        Found memory f = foundBy(seq, who);
        vm.prank(nodeOf(who));
        replicas.reveal(id, seq, f.root, f.units, f.failures, saltOf(who));
    }

    /// @dev A range of which both have shown their roots. Only 2 can be its mate.
    function revealed() internal returns (uint32 seq) {
        if (registry.standingOf(ownerOf(MATE)).number == 0) mates(id, 2, STAKE);
        (seq,,) = claim(id, 1, book.job(id).terms.firstRange);
        Found memory f = foundBy(seq, PRIMARY);
        bytes32 seal_ = sealOf(id, seq, PRIMARY, f);
        vm.prank(nodeOf(PRIMARY));
        book.submit(id, seq, seal_, f.units, f.failures, "content");
        eq(mateDrawn(id, seq), MATE, "the mate");
        seal_ = sealOf(id, seq, MATE, foundBy(seq, MATE));
        vm.prank(nodeOf(MATE));
        replicas.commit(id, seq, seal_);
        revealsFound(seq, PRIMARY);
        revealsFound(seq, MATE);
    }

    // ---------------------------------------------------------------- the walk

    /// @dev The nodes that somebody has to post now.
    function nodesOf(uint32 seq, uint256 who) internal view returns (MerkleSum.Sibling[] memory) {
        IReplicas.Pair memory p = pair(id, seq);
        uint256 levels = p.level < 4 ? p.level : 4;
        return Trees.nodes(treeOf(seq, who), p.level - levels, uint256(p.index) << levels, 1 << levels);
    }

    function posts(uint32 seq, uint256 who) internal {
        MerkleSum.Sibling[] memory mine = nodesOf(seq, who);
        vm.prank(nodeOf(who));
        replicas.walk(id, seq, mine, none());
    }

    function bringsAlong(uint32 seq, uint256 who) internal {
        (MerkleSum.Sibling[] memory mine, MerkleSum.Sibling[] memory theirs) =
            (nodesOf(seq, who), nodesOf(seq, PRIMARY + MATE - who));
        vm.prank(nodeOf(who));
        replicas.walk(id, seq, mine, theirs);
    }

    /// @dev Both are on time, until they are at a leaf.
    function walksDown(uint32 seq, uint256 first) internal {
        while (pair(id, seq).state == IReplicas.State.Walking) {
            posts(seq, first);
            bringsAlong(seq, PRIMARY + MATE - first);
        }
        is_(id, seq, IReplicas.State.Showing);
        eq(pair(id, seq).level, 0, "at a leaf");
    }

    function shows(uint32 seq, uint256 who) internal {
        MerkleSum.Leaf memory leaf = treeOf(seq, who)[pair(id, seq).index];
        vm.prank(nodeOf(who));
        replicas.show(id, seq, leaf);
    }

    /// @dev A range about a leaf of which auditors are to vote.
    function disputed() internal returns (uint32 seq) {
        seq = revealed();
        walksDown(seq, PRIMARY);
        shows(seq, MATE);
        shows(seq, PRIMARY);
        is_(id, seq, IReplicas.State.Disputed);
    }

    // ---------------------------------------------------------------- the dispute

    /// @dev The answer that a leaf makes.
    function answerOf(uint32 seq, uint256 who) internal view returns (bytes32) {
        bytes32 hash = MerkleSum.leafHash(treeOf(seq, who)[pair(id, seq).index]);
        bytes32[] memory hashes = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            hashes[i] = hash;
        }
        return AuditRules.answer(hashes);
    }

    /// @dev All auditors vote so, until the case is closed.
    function votes(uint32 seq, bytes32 answer_) internal {
        drawn(id, seq);
        decides(seq, answer_);
    }

    /// @dev The same when the case is drawn already.
    function decides(uint32 seq, bytes32 answer_) internal {
        while (case_(id, seq).state != IAudits.State.Closed) {
            uint8[] memory seats = seatsIn(id, seq, IAudits.SeatState.Drawn);
            for (uint256 i = 0; i < seats.length; ++i) {
                commit(id, seq, seats[i], answer_);
            }
            seats = seatsIn(id, seq, IAudits.SeatState.Committed);
            for (uint256 i = 0; i < seats.length; ++i) {
                reveal(id, seq, seats[i], answer_);
            }
        }
    }

    /// @dev Provider 3 lies about nothing.
    function votesTheTruth(uint32 seq) internal {
        votes(seq, answerOf(seq, 3));
    }

    /// @dev Nobody comes to a case.
    function nobodyComes(uint32 seq) internal {
        drawn(id, seq);
        while (case_(id, seq).state != IAudits.State.Closed) {
            late(id, seq);
        }
    }

    function staked(uint256 who) internal view returns (uint256) {
        return registry.provider(ownerOf(who)).stake;
    }

    function rangeIs(uint32 seq, IJobBook.RangeState state) internal view {
        eq(uint256(book.range(id, seq).state), uint256(state), "state of the range");
    }
}
