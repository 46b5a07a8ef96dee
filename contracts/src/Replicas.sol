// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IReplicas} from "./interfaces/IReplicas.sol";
import {IWaiting} from "./interfaces/IWaiting.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {LeafCheck} from "./libraries/LeafCheck.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";
import {Parameters} from "./libraries/Parameters.sol";
import {Walk} from "./libraries/Walk.sol";

/// @title Replicated ranges: two providers that do not know each other before both have committed.
/// @dev Calls go to Bench, JobBook, Registry, Waiting and the beacon, none of which calls anybody it does not know. Every replica
/// closes: each state but the last has a deadline, after which anybody may call `advance`, or is a case of Audits, which ends.
contract Replicas is IReplicas {
    using SafeCast for uint256;

    uint8 private constant PRIMARY = 1;
    uint8 private constant MATE = 2;

    IBench public immutable bench;
    IJobBook public immutable jobBook;
    IRegistry public immutable registry;
    IWaiting public immutable waiting;
    IRandomness public immutable randomness;
    /// @notice Account that audits are paid from: it gets what mates lose.
    address public immutable purse;

    mapping(uint256 key => Pair) private _pairs;

    constructor(
        IBench bench_,
        IJobBook jobBook_,
        IRegistry registry_,
        IWaiting waiting_,
        IRandomness randomness_,
        address purse_
    ) {
        if (address(bench_) == address(0) || address(jobBook_) == address(0)) {
            revert BadDeployment();
        }
        if (address(registry_) == address(0) || address(waiting_) == address(0)) revert BadDeployment();
        if (address(randomness_) == address(0) || purse_ == address(0)) revert BadDeployment();
        (bench, jobBook, registry) = (bench_, jobBook_, registry_);
        (waiting, randomness, purse) = (waiting_, randomness_, purse_);
    }

    // ------------------------------------------------------------------ Bench

    /// @inheritdoc IReplicas
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint256 rate) external {
        if (msg.sender != address(bench)) revert NotBench(msg.sender);
        Pair storage p = _pairs[_key(jobId, seq)];
        p.round = randomness.roundNow();
        p.due = _after(Parameters.DRAW_SPAN);
        p.primary = provider;
        // Nobody gains by showing its root later, when its record may be better.
        p.rate = rate.toUint32();
        p.state = State.Sealed;
        emit MateDue(jobId, seq, p.round, provider, p.due);
    }

    // ------------------------------------------------------------------ moves

    /// @inheritdoc IReplicas
    function draw(uint64 jobId, uint32 seq) external {
        Pair storage p = _timely(jobId, seq, State.Sealed);
        bytes32 beacon = randomness.note(p.round);
        if (randomness.lapses(p.round) != 0) {
            // Somebody may have waited for a value that suits it: no mate, and an audit whatever the record.
            p.lapsed = true;
            return _goAlone(jobId, seq, p);
        }
        if (beacon == 0) revert BeaconUnknown(p.round);
        _drawMate(jobId, seq, p, jobBook.range(jobId, seq));
    }

    /// @inheritdoc IReplicas
    function commit(uint64 jobId, uint32 seq, bytes32 sealed_) external {
        Pair storage p = _timely(jobId, seq, State.Working);
        if (registry.nodeOwner(msg.sender) != registry.ownerOf(p.mate)) revert NotYours(msg.sender);
        if (sealed_ == 0) revert EmptySeal();
        p.word = sealed_;
        p.state = State.Revealing;
        p.due = _after(Parameters.REVEAL_TIME);
        emit MateCommitted(jobId, seq, sealed_, p.due);
    }

    /// @inheritdoc IReplicas
    function reveal(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 salt) external {
        Pair storage p = _pairs[_key(jobId, seq)];
        if (p.state != State.Revealing && p.state != State.Alone) revert WrongState(jobId, seq, p.state);
        if (block.timestamp > p.due) revert TooLate(p.due);
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        address owner = registry.nodeOwner(msg.sender);
        // Nobody's node key has no owner, and a range has one.
        bool isPrimary = owner == range.provider;
        bool isMate = !isPrimary && p.state == State.Revealing && owner == registry.ownerOf(p.mate);
        if (!isPrimary && !isMate) revert NotYours(msg.sender);
        (uint32 number, uint8 who) = isPrimary ? (p.primary, PRIMARY) : (p.mate, MATE);
        if (p.shown & who != 0) revert ShownAlready(number);
        bytes32 answer = keccak256(abi.encodePacked(root, units, failures));
        bytes32 sealed_ = AuditRules.seal(jobId, seq, owner, answer, salt);
        if (root == 0 || sealed_ != (isPrimary ? range.root : p.word)) revert WrongSeal(number);
        if (isPrimary) {
            // It is paid for what it submitted.
            if (units != range.units || failures != range.failures) revert WrongSeal(number);
            p.root = root;
        } else {
            p.word = answer;
        }
        p.shown |= who;
        emit RootShown(jobId, seq, number, root, units, failures);
        if (p.state == State.Alone) return _close(jobId, seq, p, Outcome.Alone);
        if (p.shown == PRIMARY | MATE) _compare(jobId, seq, p, range);
    }

    /// @inheritdoc IReplicas
    function walk(uint64 jobId, uint32 seq, MerkleSum.Sibling[] calldata mine, MerkleSum.Sibling[] calldata theirs)
        external
    {
        Pair storage p = _timely(jobId, seq, State.Walking);
        (uint32 number, uint8 who) = _caller(p);
        (bytes32 own, bytes32 other) = who == PRIMARY ? (p.node, p.word) : (p.word, p.node);
        (uint256 lower, uint256 first, uint256 count) = Walk.below(p.level, p.index, p.leaves);
        if (mine.length != count || Walk.fold(mine) != own) revert WrongNodes(number);
        if (p.shown == 0 && theirs.length == 0) {
            p.shown = who;
            // The other one must bring these along.
            p.due = _after(Parameters.WALK_TIME);
            emit NodesPosted(jobId, seq, number, p.level, p.index, mine, p.due);
            return;
        }
        // Only they fold to it, whoever brings them.
        if (theirs.length != count || Walk.fold(theirs) != other) revert WrongNodes(p.primary + p.mate - number);
        uint256 at = Walk.firstDifference(mine, theirs);
        own = Walk.mark(mine[at].hash, mine[at].tally);
        other = Walk.mark(theirs[at].hash, theirs[at].tally);
        (p.node, p.word) = who == PRIMARY ? (own, other) : (other, own);
        _goDown(jobId, seq, p, lower, first + at);
    }

    /// @inheritdoc IReplicas
    function show(uint64 jobId, uint32 seq, MerkleSum.Leaf calldata leaf) external {
        Pair storage p = _timely(jobId, seq, State.Showing);
        (uint32 number, uint8 who) = _caller(p);
        if (p.shown & who != 0) revert ShownAlready(number);
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        (, uint256 prepare) = jobBook.subjectOf(jobId);
        bool inPlace = leaf.job == jobId && leaf.index == LeafCheck.indexAt(range, prepare, p.index);
        bytes32 hash = MerkleSum.leafHash(leaf);
        bytes32 mark = Walk.mark(hash, MerkleSum.leafTally(leaf));
        if (!inPlace || mark != (who == PRIMARY ? p.node : p.word)) revert WrongLeaf(number);
        bytes32 answer = AuditRules.answerOfOne(hash);
        if (who == PRIMARY) (p.node, p.units) = (answer, leaf.units);
        else p.word = answer;
        p.shown |= who;
        emit LeafShown(jobId, seq, number, leaf);
        if (p.shown == PRIMARY | MATE) _dispute(jobId, seq, p, range.price);
    }

    /// @inheritdoc IReplicas
    function conclude(uint64 jobId, uint32 seq) external {
        Pair storage p = _pairs[_key(jobId, seq)];
        (IAudits.Outcome outcome, bytes32 answer) = bench.verdictOf(jobId, seq);
        if (p.state != State.Disputed || outcome == IAudits.Outcome.Open) revert WrongState(jobId, seq, p.state);
        bool upheld = outcome == IAudits.Outcome.Upheld;
        bool wrong = upheld || outcome == IAudits.Outcome.Overturned && answer != p.word;
        if (wrong) _ruinMate(jobId, seq, p, Fault.Wrong);
        else waiting.giveBack(jobId, p.mate);
        // Both have chosen the leaf that was judged. Were the range paid for it, a mate that is wrong in a leaf of no account would
        // spare a friend the audit of all others.
        if (upheld) return _close(jobId, seq, p, Outcome.Alone);
        _end(jobId, seq, p, Outcome.Unequal);
    }

    /// @inheritdoc IReplicas
    function advance(uint64 jobId, uint32 seq) external {
        Pair storage p = _pairs[_key(jobId, seq)];
        State state = p.state;
        bool open = state != State.None && state != State.Disputed && state != State.Closed;
        if (!open) revert WrongState(jobId, seq, state);
        if (block.timestamp <= p.due) revert TooEarly(p.due);
        if (state == State.Sealed) {
            // Whom the beacon draws can be known before anybody calls `draw`: who lets the hour pass gains as little by it as who
            // lets the beacon lapse.
            p.lapsed = true;
            return _goAlone(jobId, seq, p);
        }
        if (state == State.Working) return _replace(jobId, seq, p);
        if (p.mate != 0 && p.shown & MATE == 0) _ruinMate(jobId, seq, p, Fault.Silent);
        // The primary has shown what it had to, and its mate, which is gone, has not.
        if (p.shown & PRIMARY != 0) return _close(jobId, seq, p, Outcome.Alone);
        _reject(jobId, seq, p);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IReplicas
    function pair(uint64 jobId, uint32 seq) external view returns (Pair memory) {
        return _pairs[_key(jobId, seq)];
    }

    /// @inheritdoc IReplicas
    function mateOf(uint64 jobId, uint32 seq) external view returns (uint32) {
        Pair storage p = _pairs[_key(jobId, seq)];
        return p.outcome == Outcome.Matched ? p.mate : 0;
    }

    /// @inheritdoc IReplicas
    function accuserOf(uint64 jobId, uint32 seq, bytes32 answer) external view returns (address) {
        Pair storage p = _pairs[_key(jobId, seq)];
        bool accuses = p.state == State.Disputed && (answer == 0 || p.word == answer);
        return accuses ? registry.ownerOf(p.mate) : address(0);
    }

    // ------------------------------------------------------------------ mates

    /// @dev The next mate, or none. Only after `draw`, which keeps the beacon's value.
    function _drawMate(uint64 jobId, uint32 seq, Pair storage p, IJobBook.Range memory range) private {
        (address client,) = jobBook.subjectOf(jobId);
        uint32[] memory out = new uint32[](2);
        (out[0], out[1]) = (p.primary, registry.standingOf(client).number);
        bytes32 seed = Draw.seedOf(randomness.value(p.round), jobId, seq, 0);
        uint256 value = uint256(range.units) * range.price;
        (uint32 number, uint32 next) = waiting.drawn(jobId, seed, p.nextDraw, out, range.at - 1, value, range.price);
        p.nextDraw = uint256(next).toUint8();
        uint40 due = number == 0 ? 0 : waiting.take(jobId, number);
        // Nobody, or one who could not be in time. In its place the next one would be whom a friend wants, who draws others first.
        if (due == 0) return _goAlone(jobId, seq, p);
        (p.mate, p.state, p.due) = (number, State.Working, due);
        emit MateDrawn(jobId, seq, number, due);
    }

    /// @dev The mate is late. Another one, while there is time and there were not too many.
    function _replace(uint64 jobId, uint32 seq, Pair storage p) private {
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        uint256 value = uint256(range.units) * range.price;
        _loseMate(jobId, seq, p, Fault.Late, _share(p.mate, value * Parameters.MATE_LATE / Parameters.ONE));
        p.tries += 1;
        bool over = block.timestamp > range.at + Parameters.DRAW_SPAN;
        if (over || p.tries >= Parameters.REPLICA_TRIES) return _goAlone(jobId, seq, p);
        _drawMate(jobId, seq, p, range);
    }

    /// @dev The mate committed, and shows nothing or was wrong.
    function _ruinMate(uint64 jobId, uint32 seq, Pair storage p, Fault why) private {
        bench.forget(p.mate);
        _loseMate(jobId, seq, p, why, why == Fault.Wrong ? Parameters.WRONG_RESULT : Parameters.ROOT_NOT_SHOWN);
    }

    function _loseMate(uint64 jobId, uint32 seq, Pair storage p, Fault why, uint256 severity) private {
        uint32 number = p.mate;
        p.mate = 0;
        waiting.drop(jobId, number);
        emit MateLost(jobId, seq, number, why, bench.punish(number, severity, purse));
    }

    /// @dev The share of a provider's stake that so much is, billionths.
    function _share(uint32 number, uint256 amount) private view returns (uint256 share) {
        (uint256 stake, uint256 unbonding,) = registry.backing(number);
        stake += unbonding;
        if (stake == 0) return 0;
        share = (amount * Parameters.ONE + stake - 1) / stake;
        if (share > Parameters.ONE) share = Parameters.ONE;
    }

    function _goAlone(uint64 jobId, uint32 seq, Pair storage p) private {
        p.state = State.Alone;
        p.due = _after(Parameters.REVEAL_TIME);
        emit NoMate(jobId, seq, p.lapsed, p.due);
    }

    // ------------------------------------------------------------------ walks

    /// @dev Which of both the caller works for.
    function _caller(Pair storage p) private view returns (uint32 number, uint8 who) {
        address owner = registry.nodeOwner(msg.sender);
        // Nobody's node key has no owner, and both have one.
        if (owner == registry.ownerOf(p.primary)) return (p.primary, PRIMARY);
        if (owner == registry.ownerOf(p.mate)) return (p.mate, MATE);
        revert NotYours(msg.sender);
    }

    /// @dev The trees of both differ below this node, or in this leaf.
    function _goDown(uint64 jobId, uint32 seq, Pair storage p, uint256 level, uint256 index) private {
        p.state = level == 0 ? State.Showing : State.Walking;
        (p.level, p.index, p.shown) = (level.toUint8(), index.toUint32(), 0);
        p.due = _after(Parameters.WALK_TIME);
        emit WalkStep(jobId, seq, p.level, p.index, p.due);
    }

    /// @dev The range has a root, but its ordinary audit begins only if the auditors find the primary's leaf to be right.
    function _dispute(uint64 jobId, uint32 seq, Pair storage p, uint256 price) private {
        (p.state, p.due) = (State.Disputed, 0);
        emit LeafDisputed(jobId, seq, p.index);
        bench.dispute(jobId, seq, p.primary, p.root, p.index, p.node, p.units * price);
    }

    // ------------------------------------------------------------------ ends

    /// @dev Both roots are shown.
    function _compare(uint64 jobId, uint32 seq, Pair storage p, IJobBook.Range memory range) private {
        bytes32 answer = keccak256(abi.encodePacked(p.root, range.units, range.failures));
        if (p.word == answer) {
            waiting.giveBack(jobId, p.mate);
            return _close(jobId, seq, p, Outcome.Matched);
        }
        // Answers are marks of the top.
        p.node = answer;
        (, uint256 prepare) = jobBook.subjectOf(jobId);
        p.leaves = (range.count + prepare).toUint32();
        _goDown(jobId, seq, p, Walk.height(p.leaves), 0);
    }

    /// @dev The range has a root, and its audit begins. A match never lowers the rate: where no honest provider waits, a friend does.
    function _close(uint64 jobId, uint32 seq, Pair storage p, Outcome outcome) private {
        _end(jobId, seq, p, outcome);
        bench.audit(jobId, seq, p.primary, p.root, p.lapsed ? Parameters.ONE : p.rate);
    }

    /// @dev The primary did not show what it had committed to. If its mate did, it has worked for nothing and gets the part that is
    /// not burned.
    function _reject(uint64 jobId, uint32 seq, Pair storage p) private {
        address to = purse;
        if (p.mate != 0) {
            to = registry.ownerOf(p.mate);
            waiting.giveBack(jobId, p.mate);
        }
        _end(jobId, seq, p, Outcome.Silent);
        bench.reject(jobId, seq);
        bench.forget(p.primary);
        emit PrimaryLost(jobId, seq, p.primary, bench.punish(p.primary, Parameters.ROOT_NOT_SHOWN, to));
    }

    function _end(uint64 jobId, uint32 seq, Pair storage p, Outcome outcome) private {
        (p.state, p.outcome, p.due) = (State.Closed, outcome, 0);
        emit ReplicaClosed(jobId, seq, outcome);
    }

    // ------------------------------------------------------------------ small things

    function _key(uint64 jobId, uint32 seq) private pure returns (uint256) {
        return uint256(jobId) << 32 | seq;
    }

    function _timely(uint64 jobId, uint32 seq, State state) private view returns (Pair storage p) {
        p = _pairs[_key(jobId, seq)];
        if (p.state != state) revert WrongState(jobId, seq, p.state);
        if (block.timestamp > p.due) revert TooLate(p.due);
    }

    function _after(uint256 time) private view returns (uint40) {
        return (block.timestamp + time).toUint40();
    }
}
