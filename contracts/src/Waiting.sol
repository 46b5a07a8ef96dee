// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IWaiting} from "./interfaces/IWaiting.sol";
import {Draw} from "./libraries/Draw.sol";
import {Parameters} from "./libraries/Parameters.sol";
import {StakeLine} from "./libraries/StakeLine.sol";

/// @title The lines from which mates are drawn, one for every replicated job.
/// @dev Over the numbers of providers, which count from 1. Calls go to Bench, JobBook, Registry and Audits, none of which calls this
/// one. The sum of a line's bonds is below 2^96: they are exposure, which stake carries, and all stake lies under a cap of 96 bits.
contract Waiting is IWaiting {
    using SafeCast for uint256;
    using StakeLine for StakeLine.Line;

    IBench public immutable bench;
    IJobBook public immutable jobBook;
    IRegistry public immutable registry;
    IAudits public immutable audits;
    address public immutable replicas;

    mapping(uint64 jobId => StakeLine.Line) private _lines;
    mapping(uint64 jobId => mapping(uint32 number => Entry)) private _entries;

    modifier onlyReplicas() {
        if (msg.sender != replicas) revert NotReplicas(msg.sender);
        _;
    }

    constructor(IBench bench_, IJobBook jobBook_, IRegistry registry_, IAudits audits_, address replicas_) {
        if (address(bench_) == address(0) || address(jobBook_) == address(0)) revert BadDeployment();
        if (address(registry_) == address(0) || address(audits_) == address(0)) revert BadDeployment();
        if (replicas_ == address(0)) revert BadDeployment();
        (bench, jobBook, registry, audits, replicas) = (bench_, jobBook_, registry_, audits_, replicas_);
    }

    // ------------------------------------------------------------------ providers

    /// @inheritdoc IWaiting
    function wait(uint64 jobId, uint96 bond, uint96 minPrice) external {
        IRegistry.Standing memory p = registry.standing(msg.sender);
        if (p.number == 0) revert NotNode(msg.sender);
        if (p.paused) revert ProviderIsPaused(p.number);
        IJobBook.Job memory job = jobBook.job(jobId);
        if (job.terms.replicas == 0 || job.state >= IJobBook.JobState.Done) revert NoMatesHere(jobId);
        Entry memory e = _entries[jobId][p.number];
        if (e.state == State.Waiting) revert WrongState(jobId, p.number, e.state);
        bool back = e.state == State.Left && e.bond == bond && e.minPrice == minPrice;
        if (back) {
            // A part of the line must have something behind it: stake may have been cut since.
            if (_reach(p.number) < bond) revert BadBond(bond, _reach(p.number));
            e.state = State.Waiting;
        } else {
            if (e.state == State.Left) _free(jobId, p.number, e);
            if (!registry.qualifies(p.number, job.terms.requiredClass, job.terms.minVramMib)) {
                revert NotQualified(jobId, p.number);
            }
            uint256 room = _room(p.number);
            if (bond == 0 || bond > room) revert BadBond(bond, room);
            e = Entry({bond: bond, minPrice: minPrice, leftAt: 0, busy: 0, state: State.Waiting});
            bench.expose(p.number, bond);
        }
        _lines[jobId].set(p.number, 0, bond);
        _entries[jobId][p.number] = e;
        emit ProviderWaits(jobId, p.number, bond, minPrice);
    }

    /// @inheritdoc IWaiting
    function leave(uint64 jobId) external {
        uint32 number = registry.standing(msg.sender).number;
        if (number == 0) revert NotNode(msg.sender);
        Entry memory e = _entries[jobId][number];
        if (e.state == State.Nobody) revert WrongState(jobId, number, e.state);
        if (e.state == State.Left) {
            _free(jobId, number, e);
            delete _entries[jobId][number];
            return;
        }
        _takeOff(jobId, number, e);
        _entries[jobId][number] = e;
    }

    /// @inheritdoc IWaiting
    function evict(uint64 jobId, uint32 number) external {
        Entry memory e = _entries[jobId][number];
        if (e.state != State.Waiting || _reach(number) >= e.bond) revert WrongState(jobId, number, e.state);
        _takeOff(jobId, number, e);
        _entries[jobId][number] = e;
    }

    // ------------------------------------------------------------------ Replicas

    /// @inheritdoc IWaiting
    function take(uint64 jobId, uint32 number) external onlyReplicas returns (uint40 due) {
        Entry memory e = _entries[jobId][number];
        if (e.state == State.Nobody) revert WrongState(jobId, number, e.state);
        if (e.busy >= Parameters.MATE_DUTIES) return 0;
        // It stays on the line. Were it off until its ranges are closed, who hands in honest ones first would use up all others, and
        // be alone with its friend for the next.
        e.busy += 1;
        uint256 time = Parameters.REPLICA_TIME * e.busy;
        due = (block.timestamp + (time < Parameters.DRAW_SPAN ? time : Parameters.DRAW_SPAN)).toUint40();
        _entries[jobId][number] = e;
    }

    /// @inheritdoc IWaiting
    function giveBack(uint64 jobId, uint32 number) external onlyReplicas {
        Entry memory e = _entries[jobId][number];
        e.busy -= 1;
        if (e.state == State.Waiting && _reach(number) < e.bond) _takeOff(jobId, number, e);
        _entries[jobId][number] = e;
    }

    /// @inheritdoc IWaiting
    function drop(uint64 jobId, uint32 number) external onlyReplicas {
        Entry memory e = _entries[jobId][number];
        e.busy -= 1;
        if (e.state == State.Waiting) _takeOff(jobId, number, e);
        _entries[jobId][number] = e;
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IWaiting
    function entry(uint64 jobId, uint32 number) external view returns (Entry memory) {
        return _entries[jobId][number];
    }

    /// @inheritdoc IWaiting
    function line(uint64 jobId, uint40 asOf) external view returns (uint256 total, uint256 waiting) {
        StakeLine.Shape memory shape = _lines[jobId].shape(asOf);
        return (shape.total, shape.staked);
    }

    /// @inheritdoc IWaiting
    function drawn(
        uint64 jobId,
        bytes32 seed,
        uint32 first,
        uint32[] calldata out,
        uint40 asOf,
        uint256 value,
        uint256 price
    ) external view returns (uint32 number, uint32 next) {
        uint32[] memory before = new uint32[](out.length + Parameters.MATE_DRAWS);
        for (uint256 i = 0; i < out.length; ++i) {
            before[i] = out[i];
        }
        // The draws before `first` are made again: whom they found stays left out.
        for (next = 0; next < Parameters.MATE_DRAWS;) {
            uint32[] memory found = _lines[jobId].drawn(seed, Draw.REPLICA, next, 1, before, asOf);
            if (found.length == 0) return (0, next);
            before[out.length + next] = found[0];
            ++next;
            if (next > first && _fits(jobId, found[0], value, price)) return (found[0], next);
        }
    }

    // ------------------------------------------------------------------ private

    /// @dev Only what stays the same while the entry can be drawn; but whose stake was cut meanwhile has nothing to lose.
    function _fits(uint64 jobId, uint32 number, uint256 value, uint256 price) private view returns (bool) {
        Entry memory e = _entries[jobId][number];
        if (e.bond < value || e.minPrice > price) return false;
        return _reach(number) >= value;
    }

    /// @dev What a provider has to lose.
    function _reach(uint32 number) private view returns (uint256) {
        (uint256 stake, uint256 unbonding,) = registry.backing(number);
        return stake + unbonding;
    }

    /// @dev What the provider may take on: by its audit rate, and by what its stake carries in every job.
    function _room(uint32 number) private view returns (uint256 room) {
        room = audits.room(number);
        uint256 carried = registry.standing(msg.sender).room;
        if (carried < room) room = carried;
    }

    /// @dev Who is on the line leaves it. The caller stores the entry.
    function _takeOff(uint64 jobId, uint32 number, Entry memory e) private {
        _lines[jobId].set(number, e.bond, 0);
        (e.leftAt, e.state) = (block.timestamp.toUint40(), State.Left);
        emit ProviderLeft(jobId, number);
    }

    /// @dev The bond of an entry that has left. The caller stores what comes instead.
    function _free(uint64 jobId, uint32 number, Entry memory e) private {
        uint256 until = e.leftAt + Parameters.DRAW_SPAN;
        if (e.busy != 0 || block.timestamp <= until) revert StillBound(until, e.busy);
        emit BondFreed(jobId, number, e.bond);
        bench.free(number, e.bond);
    }
}
