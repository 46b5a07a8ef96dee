// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {MerkleSum} from "../libraries/MerkleSum.sol";

/// @title Second providers of ranges, drawn when the first ones have committed.
/// @notice
///   Sealed -draw-> Working -commit-> Revealing -equal roots----------> Closed: Matched
///     |     ^------- late ----|          +-different roots-> Walking
///     |                       |          +---- only the primary -----> Closed: Alone
///     |                       |          +---- not the primary ------> Closed: Silent (the range is rejected)
///     +--- nobody, or late ---+--> Alone ----- the primary reveals --> Closed: Alone, or Silent
///   Walking -at a leaf-> Showing -both-> Disputed -conclude----------> Closed: Alone, or Unequal (the range is rejected)
///     +----------------------+---- late: as in Revealing
///   The provider of a range (its primary) hands in a seal in the place of the root. Then a mate is drawn from those that wait in the
///   job, runs the range, and commits to a seal of its own. When both have, both show what is in them. `advance`, which anyone may
///   call, passes over whoever is late.
///   A seal is AuditRules.seal of this contract: `who` is the owner, `answer` is keccak256(root b32, units u64, failures u32),
///   tightly packed. When a replica closes with a root, the range's ordinary audit begins.
///   Different roots are walked down, see the library Walk: in every step both post the nodes that fold to their own node, the second
///   one together with those of the first, and the first ones in which they differ are next. The walk begins with what both
///   have declared, so a sum that is not that of the leaves cannot be walked. At a leaf both show it, and auditors vote on it (a
///   dispute, see IAudits). Who is late in a step is as one who does not show its root.
/// @dev Named by job and range.
interface IReplicas {
    enum State {
        None,
        Sealed,
        Working,
        Revealing,
        Alone,
        Walking,
        Showing,
        Disputed,
        Closed
    }

    /// @notice Alone is also who had a mate that was wrong. Unequal: auditors have voted against the primary, or not decided; the range
    /// is rejected.
    enum Outcome {
        Open,
        Matched,
        Alone,
        Unequal,
        Silent
    }

    /// @notice Why a mate lost its place.
    enum Fault {
        Late,
        Silent,
        Wrong
    }

    /// @notice A replicated range, for reading and as stored.
    /// @param round of the beacon that draws
    /// @param due Unix seconds: up to then the next move is possible; 0 when closed
    /// @param primary number of the range's provider
    /// @param mate number of the mate; 0: none, or none any more
    /// @param tries mates that were late
    /// @param nextDraw draws that are used up
    /// @param shown who has shown its root, in a walk its nodes of this step, or its leaf: 1 the primary, 2 the mate
    /// @param rate at which the range is audited at least, billionths
    /// @param lapsed nobody drew, or kept the beacon, in time: there is no mate, and the range is audited whatever the record
    /// @param root of the primary; 0 until shown
    /// @param word the mate's seal, and from its `reveal` on its answer; 0 until committed. In a walk: the mark of its node, and of its
    /// leaf the answer of an audit all of whose drawn leaves are that one
    /// @param node the same of the primary, from the beginning of a walk on
    /// @param units of the primary's leaf, once it is shown
    /// @param leaves of the range, from the beginning of a walk on
    /// @param index of the nodes at which the walk is, in their level
    /// @param level of these nodes; 0: leaves
    struct Pair {
        uint64 round;
        uint40 due;
        uint32 primary;
        uint32 mate;
        uint8 tries;
        uint8 nextDraw;
        uint8 shown;
        uint32 rate;
        bool lapsed;
        State state;
        Outcome outcome;
        bytes32 root;
        bytes32 word;
        bytes32 node;
        uint64 units;
        uint32 leaves;
        uint32 index;
        uint8 level;
    }

    /// @notice A range of this provider waits for its beacon; mates are drawn until `due`.
    event MateDue(uint64 indexed jobId, uint32 indexed seq, uint64 round, uint32 provider, uint40 due);
    /// @notice A mate has time until `due` to run the range and to commit.
    event MateDrawn(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, uint40 due);
    /// @notice The range has no mate and gets none: its primary must show its root. `lapsed`: nobody drew, or kept the beacon, in time.
    event NoMate(uint64 indexed jobId, uint32 indexed seq, bool lapsed, uint40 due);
    /// @notice Both have committed: both must show their roots.
    event MateCommitted(uint64 indexed jobId, uint32 indexed seq, bytes32 sealed_, uint40 due);
    event RootShown(
        uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, bytes32 root, uint64 units, uint32 failures
    );
    /// @notice The trees of both differ below this node, at level 0 in this leaf: both must move until `due`.
    event WalkStep(uint64 indexed jobId, uint32 indexed seq, uint8 level, uint32 index, uint40 due);
    /// @notice The nodes below the node at which the walk is, of the one who came first; the other one has time until `due`.
    event NodesPosted(
        uint64 indexed jobId,
        uint32 indexed seq,
        uint32 indexed number,
        uint8 level,
        uint32 index,
        MerkleSum.Sibling[] nodes,
        uint40 due
    );
    event LeafShown(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, MerkleSum.Leaf leaf);
    /// @notice Both have shown the leaf at this position: auditors vote on it.
    event LeafDisputed(uint64 indexed jobId, uint32 indexed seq, uint32 position);
    /// @notice A mate did not do its duty, or was wrong, and lost so much of its stake.
    event MateLost(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, Fault why, uint128 cut);
    /// @notice A primary did not show its root, or was late in a walk, and lost so much: all of its stake.
    event PrimaryLost(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, uint128 cut);
    event ReplicaClosed(uint64 indexed jobId, uint32 indexed seq, Outcome outcome);

    /// @notice Only the Bench may call this.
    error NotBench(address caller);
    /// @notice The replica is not in the state that the call needs.
    error WrongState(uint64 jobId, uint32 seq, State state);
    /// @notice The beacon of this round is not known yet.
    error BeaconUnknown(uint64 round);
    /// @notice The time for this move is over; `advance` goes on.
    error TooLate(uint40 due);
    /// @notice The time for the others' moves is not over.
    error TooEarly(uint40 due);
    /// @notice The caller is not the node key of a provider whose move this is.
    error NotYours(address caller);
    /// @notice A commitment of zero is none.
    error EmptySeal();
    /// @notice What is shown does not give the seal, or differs from what the range was submitted with.
    error WrongSeal(uint32 number);
    /// @notice It is shown already.
    error ShownAlready(uint32 number);
    /// @notice These nodes are not those of this provider below the node at which the walk is.
    error WrongNodes(uint32 number);
    /// @notice This is not the leaf of this provider at which the walk has ended.
    error WrongLeaf(uint32 number);
    /// @notice Wrong constructor arguments.
    error BadDeployment();

    /// @notice Bench only: a range of a replicated job was submitted, with a seal in the place of its root.
    /// @param rate at which it is audited at least, billionths: that of the submission
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint256 rate) external;

    /// @notice Anyone, once the beacon is known: draws the mate from the job's line as it stood in the second before the submission,
    /// without the primary and the client.
    function draw(uint64 jobId, uint32 seq) external;

    /// @notice The mate's node key: commits to what it found.
    function commit(uint64 jobId, uint32 seq, bytes32 sealed_) external;

    /// @notice Node key of the primary or the mate: shows what is in its seal.
    function reveal(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 salt) external;

    /// @notice Node key of the primary or the mate: shows its nodes of this step of the walk.
    /// @param mine as many as there are, up to 16, from left to right
    /// @param theirs those that the other one has posted; empty if it has not
    function walk(uint64 jobId, uint32 seq, MerkleSum.Sibling[] calldata mine, MerkleSum.Sibling[] calldata theirs)
        external;

    /// @notice Node key of the primary or the mate: shows its leaf at the end of the walk.
    function show(uint64 jobId, uint32 seq, MerkleSum.Leaf calldata leaf) external;

    /// @notice Anyone, once the auditors have decided a dispute: the mate loses all if it is wrong, else it gets its place back. Where the
    /// primary is right the range's ordinary audit begins.
    function conclude(uint64 jobId, uint32 seq) external;

    /// @notice Anyone, after the deadline: goes on without who is late.
    function advance(uint64 jobId, uint32 seq) external;

    function pair(uint64 jobId, uint32 seq) external view returns (Pair memory);

    /// @notice Number of the mate that is paid with a range once its audit lets it be paid; 0: none.
    function mateOf(uint64 jobId, uint32 seq) external view returns (uint32);

    /// @notice Owner of the mate that gave this answer in a dispute (0: whatever it answered); 0: nobody.
    function accuserOf(uint64 jobId, uint32 seq, bytes32 answer) external view returns (address);
}
