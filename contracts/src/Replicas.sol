// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IReplicas} from "./interfaces/IReplicas.sol";
import {IWaiting} from "./interfaces/IWaiting.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Replicated ranges: two providers that do not know each other before both have committed.
/// @dev Calls go to Bench, JobBook, Registry, Waiting and the beacon, none of which calls anybody it does not know. Every replica
/// closes: each state but the last has a deadline, after which anybody may call `advance`.
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
    function advance(uint64 jobId, uint32 seq) external {
        Pair storage p = _pairs[_key(jobId, seq)];
        State state = p.state;
        if (state == State.None || state == State.Closed) revert WrongState(jobId, seq, state);
        if (block.timestamp <= p.due) revert TooEarly(p.due);
        if (state == State.Sealed) {
            // Whom the beacon draws can be known before anybody calls `draw`: who lets the hour pass gains as little by it as who
            // lets the beacon lapse.
            p.lapsed = true;
            return _goAlone(jobId, seq, p);
        }
        if (state == State.Working) return _replace(jobId, seq, p);
        if (state == State.Revealing && p.shown & MATE == 0) _ruinMate(jobId, seq, p);
        // The primary has shown its root, and its mate, which is gone, has not.
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

    /// @dev The mate committed and shows nothing.
    function _ruinMate(uint64 jobId, uint32 seq, Pair storage p) private {
        bench.forget(p.mate);
        _loseMate(jobId, seq, p, Fault.Silent, Parameters.ROOT_NOT_SHOWN);
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

    // ------------------------------------------------------------------ ends

    /// @dev Both roots are shown.
    function _compare(uint64 jobId, uint32 seq, Pair storage p, IJobBook.Range memory range) private {
        bool equal = p.word == keccak256(abi.encodePacked(p.root, range.units, range.failures));
        waiting.giveBack(jobId, p.mate);
        _close(jobId, seq, p, equal ? Outcome.Matched : Outcome.Unequal);
    }

    /// @dev The range has a root, and its audit begins. A match never lowers the rate: where no honest provider waits, a friend does.
    function _close(uint64 jobId, uint32 seq, Pair storage p, Outcome outcome) private {
        _end(jobId, seq, p, outcome);
        bool surely = p.lapsed || outcome == Outcome.Unequal;
        bench.audit(jobId, seq, p.primary, p.root, surely ? Parameters.ONE : p.rate);
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
