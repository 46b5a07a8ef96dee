// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobBook, IJobCallback} from "./interfaces/IJobBook.sol";
import {JobLayout} from "./JobLayout.sol";
import {Clock} from "./libraries/Clock.sol";
import {Flags} from "./libraries/Flags.sol";
import {Parameters} from "./libraries/Parameters.sol";
import {Slots} from "./libraries/Slots.sol";

/// @title Where jobs are opened, funded and ended, and where ranges come back: code of the JobBook that does not fit into it.
/// @notice JobBook runs this code on its own storage (DELEGATECALL), always this contract and none else. Called directly it
/// refuses.
contract JobDesk is JobLayout {
    using SafeCast for uint256;

    /// @notice This is code for the JobBook; a job opened here would be nobody's.
    error OnlyThroughJobBook();

    address private immutable _self = address(this);

    modifier throughJobBook() {
        if (address(this) == _self) revert OnlyThroughJobBook();
        _;
    }

    constructor(Deployment memory d) JobLayout(d) {}

    /// @notice See IJobBook.open.
    function open(IJobBook.Terms memory terms, uint128 funds) external throughJobBook returns (uint64 jobId) {
        _checkTerms(terms);
        if (funds > type(uint96).max) revert IJobBook.BadFunds(funds);
        jobId = ++_jobCount;
        Store storage s = _jobs[jobId];
        Slots.Cost memory cost = Slots.Cost({
            price: terms.price,
            unitCap: terms.unitCap,
            prepareCap: terms.prepareCap,
            rangeTimeout: terms.rangeTimeout,
            targetSeconds: terms.targetSeconds,
            parallelism: terms.parallelism,
            clock: terms.finishSeconds != 0,
            flags: (terms.audited ? Flags.AUDITED : 0) | (terms.replicas == 0 ? 0 : Flags.REPLICATED)
                | (terms.kept ? Flags.KEPT : 0)
        });
        s.cost = Slots.packCost(cost);
        s.course = Slots.packCourse(
            Slots.Course({
                taskCount: terms.taskCount,
                firstRange: terms.firstRange,
                deadline: terms.deadline,
                maxFailures: terms.maxFailures,
                window: terms.window,
                returnedPieces: 0,
                returnedTasks: 0,
                picky: terms.requiredClass | terms.minVramMib != 0
            })
        );
        (s.client, s.requiredClass, s.minVramMib) = (msg.sender, terms.requiredClass, terms.minVramMib);
        (s.callback, s.specHash) = (terms.callback, terms.specHash);
        Slots.Hot memory hot;
        (hot.escrow, hot.state) = (funds, IJobBook.JobState.Open);
        s.hot = Slots.packHot(hot);
        if (cost.clock) {
            cost.price = terms.floorPrice;
            s.clock = Slots.packClock(
                Slots.Clock({
                    floor: terms.floorPrice, start: block.timestamp, finish: terms.finishSeconds, at: 0, unclaimed: 0
                })
            );
        }
        emit IJobBook.JobOpened(jobId, msg.sender, terms.program, terms, funds, uint40(block.timestamp));
        if (_payable(cost, funds) == 0) emit IJobBook.JobDry(jobId, funds);
        if (funds != 0) _ledger.lock(msg.sender, funds);
    }

    /// @notice See IJobBook.topUp.
    function topUp(uint64 jobId, uint128 funds) external throughJobBook {
        (Store storage s, Slots.Hot memory hot) = _clientJob(jobId);
        if (hot.state != IJobBook.JobState.Open) revert IJobBook.JobOver(jobId, hot.state);
        hot.escrow += funds;
        if (funds == 0 || hot.escrow > type(uint96).max) revert IJobBook.BadFunds(funds);
        s.hot = Slots.packHot(hot);
        emit IJobBook.JobFunded(jobId, funds, hot.escrow.toUint128());
        _ledger.lock(msg.sender, funds);
    }

    /// @notice See IJobBook.cancel.
    function cancel(uint64 jobId) external throughJobBook {
        (Store storage s, Slots.Hot memory hot) = _clientJob(jobId);
        if (hot.state != IJobBook.JobState.Open && hot.state != IJobBook.JobState.Draining) {
            revert IJobBook.JobOver(jobId, hot.state);
        }
        uint128 refund = hot.escrow.toUint128();
        (hot.escrow, hot.state) = (0, IJobBook.JobState.Cancelling);
        s.hot = Slots.packHot(hot);
        emit IJobBook.JobCancelled(jobId, refund);
        if (refund != 0) _ledger.unlock(msg.sender, refund);
    }

    /// @notice See IJobBook.finish.
    function finish(uint64 jobId) external throughJobBook {
        Store storage s = _jobs[jobId];
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        if (hot.state == IJobBook.JobState.None) revert IJobBook.NoSuchJob(jobId);
        if (hot.state == IJobBook.JobState.Done || hot.state == IJobBook.JobState.Cancelled) {
            revert IJobBook.JobOver(jobId, hot.state);
        }
        Slots.Course memory course = Slots.unpackCourse(s.course);
        uint256 unclaimed = _unclaimed(hot, course);
        bool mayClaim = hot.state == IJobBook.JobState.Open && unclaimed != 0 && block.timestamp <= course.deadline;
        if (hot.outstanding != 0 || mayClaim) {
            revert IJobBook.NotFinished(jobId, unclaimed.toUint32(), hot.outstanding.toUint32());
        }
        uint128 refund = hot.escrow.toUint128();
        hot.escrow = 0;
        hot.state = hot.state == IJobBook.JobState.Cancelling ? IJobBook.JobState.Cancelled : IJobBook.JobState.Done;
        s.hot = Slots.packHot(hot);
        bytes32 root = s.resultRoot;
        emit IJobBook.JobDone(jobId, hot.state, root, hot.settledTasks.toUint32(), refund);
        if (refund != 0) _ledger.unlock(s.client, refund);
        _callBack(jobId, s.callback, root);
    }

    // ------------------------------------------------------------------ ranges that come back

    /// @notice See IJobBook.release.
    function release(uint64 jobId, uint32 seq) external throughJobBook {
        Store storage s = _jobs[jobId];
        Slots.Head memory r = Slots.unpackHead(s.ranges[seq].head);
        if (r.state != IJobBook.RangeState.Claimed) revert IJobBook.WrongRangeState(jobId, seq, r.state);
        uint256 number = _registry.standing(msg.sender).number;
        if (number == 0) revert IJobBook.NotNode(msg.sender);
        if (r.provider != number) revert IJobBook.NotYourRange(jobId, seq);
        IJobBook.Pace memory p = Slots.unpackPace(s.paces[number]);
        bool free = p.releases < FREE_RELEASES;
        if (p.releases < type(uint8).max) p.releases += 1;
        s.paces[number] = Slots.packPace(p);
        (uint128 escrow, address owner, uint128 bond) =
            _takeBack(s, seq, r, IJobBook.RangeState.Released, free ? 0 : BOND_BPS);
        emit IJobBook.RangeReleased(jobId, seq, owner, p.releases, bond, escrow);
    }

    /// @notice See IJobBook.expire.
    function expire(uint64 jobId, uint32[] calldata seqs) external throughJobBook returns (uint256 done) {
        _checkSeqs(seqs);
        Store storage s = _jobs[jobId];
        uint256 timeout = Slots.unpackCost(s.cost).rangeTimeout;
        for (uint256 i = 0; i < seqs.length; ++i) {
            Slots.Head memory r = Slots.unpackHead(s.ranges[seqs[i]].head);
            if (r.state != IJobBook.RangeState.Claimed || block.timestamp <= r.at + timeout) continue;
            IJobBook.Pace memory p = Slots.unpackPace(s.paces[r.provider]);
            p.cap = 0;
            s.paces[r.provider] = Slots.packPace(p);
            (uint128 escrow, address owner, uint128 bond) =
                _takeBack(s, seqs[i], r, IJobBook.RangeState.Expired, BOND_BPS);
            emit IJobBook.RangeExpired(jobId, seqs[i], owner, bond, escrow);
            ++done;
        }
        if (done == 0) revert IJobBook.NothingToDo(jobId);
    }

    /// @notice See IJudged.reject.
    function reject(uint64 jobId, uint32 seq) external throughJobBook {
        if (msg.sender != address(_judge)) revert IJobBook.NotJudge(msg.sender);
        Store storage s = _jobs[jobId];
        Slots.Head memory r = Slots.unpackHead(s.ranges[seq].head);
        if (r.state != IJobBook.RangeState.Submitted) revert IJobBook.WrongRangeState(jobId, seq, r.state);
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        uint256 value = r.units * _priceOf(s, cost, r.level);
        uint128 escrow = _putBack(s, seq, r, IJobBook.RangeState.Rejected, cost.clock, _forAll(cost, value));
        if (r.failures != 0) _reopen(jobId, s);
        _registry.settled(r.provider.toUint32(), _exposed(cost, value).toUint128());
        emit IJobBook.RangeRejected(jobId, seq, _registry.ownerOf(r.provider.toUint32()), escrow);
    }

    /// @notice See IJudged.unseal.
    function unseal(uint64 jobId, uint32 seq, bytes32 root) external throughJobBook {
        if (msg.sender != address(_judge)) revert IJobBook.NotJudge(msg.sender);
        Record storage record = _jobs[jobId].ranges[seq];
        IJobBook.RangeState state = Slots.unpackHead(record.head).state;
        if (state != IJobBook.RangeState.Submitted) revert IJobBook.WrongRangeState(jobId, seq, state);
        record.root = root;
        emit IJobBook.RangeUnsealed(jobId, seq, root);
    }

    /// @dev Failures that a rejected range only claimed must not end the job.
    function _reopen(uint64 jobId, Store storage s) private {
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        if (hot.state != IJobBook.JobState.Draining || hot.failures > Slots.unpackCourse(s.course).maxFailures) return;
        hot.state = IJobBook.JobState.Open;
        s.hot = Slots.packHot(hot);
        emit IJobBook.JobReopened(jobId, hot.failures.toUint32());
    }

    /// @dev A claimed range comes back, `bondBps` of its value from the provider's stake.
    function _takeBack(Store storage s, uint32 seq, Slots.Head memory r, IJobBook.RangeState state, uint256 bondBps)
        private
        returns (uint128 escrow, address owner, uint128 bond)
    {
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        uint256 value = _ceiling(cost, r.count) * _priceOf(s, cost, r.level);
        uint256 taken = _forAll(cost, value);
        escrow = _putBack(s, seq, r, state, cost.clock, taken);
        (owner, bond) =
            _registry.dropped(r.provider.toUint32(), taken.toUint128(), (value * bondBps / BPS).toUint128(), s.client);
    }

    /// @dev A range comes back: its money to the escrow, its tasks to the stack.
    function _putBack(
        Store storage s,
        uint32 seq,
        Slots.Head memory r,
        IJobBook.RangeState state,
        bool clock,
        uint256 value
    ) private returns (uint128 escrow) {
        Record storage record = s.ranges[seq];
        record.head = Slots.inState(record.head, state);
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        Slots.Course memory course = Slots.unpackCourse(s.course);
        if (clock) s.clock = Slots.packClock(_tick(s, hot, course));
        hot.escrow += value;
        hot.outstanding -= 1;
        // Failures of a range that only now comes back do not count.
        hot.failures -= r.failures;
        s.hot = Slots.packHot(hot);
        s.returned[course.returnedPieces] = Piece({from: r.from.toUint32(), count: r.count.toUint32()});
        course.returnedPieces += 1;
        course.returnedTasks += r.count;
        s.course = Slots.packCourse(course);
        escrow = hot.escrow.toUint128();
    }

    // ------------------------------------------------------------------ private

    /// @dev Tells the callback contract, with bounded gas and without reading what it returns: it can block nothing.
    function _callBack(uint64 jobId, address callback, bytes32 root) private {
        if (callback == address(0)) return;
        // A call gets at most 63/64 of the gas left; the rest must do for the event.
        uint256 needed = CALLBACK_GAS * 64 / 63 + 10_000;
        if (gasleft() < needed) revert IJobBook.TooLittleGas(needed);
        bytes memory data = abi.encodeCall(IJobCallback.onJobDone, (jobId, root));
        uint256 gasLimit = CALLBACK_GAS;
        bool success;
        assembly ("memory-safe") {
            success := call(gasLimit, callback, 0, add(data, 0x20), mload(data), 0, 0)
        }
        emit IJobBook.JobCallback(jobId, callback, success);
    }

    function _checkTerms(IJobBook.Terms memory t) private view {
        uint256 value = (uint256(t.taskCount) * t.unitCap + t.prepareCap) * t.price;
        _refuseIf(t.specHash == 0, IJobBook.Field.SpecHash);
        _refuseIf(t.taskCount == 0 || t.taskCount > MAX_TASKS, IJobBook.Field.TaskCount);
        _refuseIf(t.unitCap == 0 || t.unitCap > MAX_UNIT_CAP, IJobBook.Field.UnitCap);
        _refuseIf(t.prepareCap > MAX_PREPARE_CAP, IJobBook.Field.PrepareCap);
        _refuseIf(t.price == 0, IJobBook.Field.Price);
        _refuseIf(t.window < _minWindow(value) || t.window > MAX_WINDOW, IJobBook.Field.Window);
        _refuseIf(t.rangeTimeout < MIN_RANGE_TIMEOUT || t.rangeTimeout > MAX_RANGE_TIMEOUT, IJobBook.Field.RangeTimeout);
        _refuseIf(t.targetSeconds == 0 || t.targetSeconds > t.rangeTimeout, IJobBook.Field.TargetSeconds);
        _refuseIf(t.parallelism == 0, IJobBook.Field.Parallelism);
        _refuseIf(t.firstRange == 0 || t.firstRange > MAX_RANGE_TASKS, IJobBook.Field.FirstRange);
        _refuseIf(t.deadline <= block.timestamp || t.deadline > block.timestamp + MAX_DURATION, IJobBook.Field.Deadline);
        _refuseIf(t.afterJob != 0, IJobBook.Field.AfterJob);
        _refuseIf(t.contact.length > MAX_CONTACT_BYTES, IJobBook.Field.Contact);
        bool clock = t.finishSeconds != 0;
        _refuseIf(clock ? t.floorPrice == 0 || t.floorPrice > t.price : t.floorPrice != 0, IJobBook.Field.FloorPrice);
        bool late = block.timestamp + t.finishSeconds > t.deadline;
        _refuseIf(clock && (late || t.finishSeconds < Clock.MIN_FINISH), IJobBook.Field.FinishSeconds);
        _refuseIf(t.replicas != 0 && (t.replicas != REPLICAS || !t.audited), IJobBook.Field.Replicas);
        _refuseIf(t.kept && !t.audited, IJobBook.Field.Kept);
        if (t.audited) _checkAudited(t, clock ? t.floorPrice : t.price);
    }

    /// @dev What cannot be audited in time, or is not worth an audit, is not opened as audited.
    function _checkAudited(IJobBook.Terms memory t, uint256 lowest) private view {
        bool slow = uint256(t.rangeTimeout) * Parameters.SLOWNESS * Parameters.SAMPLES > Parameters.COMMIT_TIME;
        _refuseIf(slow, IJobBook.Field.RangeTimeout);
        _refuseIf((uint256(t.unitCap) + t.prepareCap) * lowest < _leastWorth(), IJobBook.Field.Price);
    }

    function _refuseIf(bool wrong, IJobBook.Field field) private pure {
        if (wrong) revert IJobBook.BadTerms(field);
    }
}
