// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {JobLayout} from "./JobLayout.sol";
import {Clock} from "./libraries/Clock.sol";
import {Flags} from "./libraries/Flags.sol";
import {Slots} from "./libraries/Slots.sol";

/// @title The JobBook's views, and what its calls share.
/// @dev Only JobBook builds on it; apart for the reader's sake.
abstract contract JobStore is JobLayout, IJobBook {
    using SafeCast for uint256;

    // ------------------------------------------------------------------ views

    /// @inheritdoc IJobBook
    function ledger() external view returns (address) {
        return address(_ledger);
    }

    /// @inheritdoc IJobBook
    function registry() external view returns (address) {
        return address(_registry);
    }

    /// @inheritdoc IJobBook
    function judge() external view returns (address) {
        return address(_judge);
    }

    /// @inheritdoc IJobBook
    function purse() external view returns (address) {
        return _purse;
    }

    /// @inheritdoc IJobBook
    function treasury() external view returns (address) {
        return _treasury;
    }

    /// @inheritdoc IJobBook
    function feeBps() external view returns (uint16) {
        return _feeBps;
    }

    /// @inheritdoc IJobBook
    function jobCount() external view returns (uint64) {
        return _jobCount;
    }

    /// @inheritdoc IJobBook
    function minWindow(uint256 value) external view returns (uint32) {
        return _minWindow(value);
    }

    /// @inheritdoc IJobBook
    function job(uint64 jobId) external view returns (Job memory j) {
        Store storage s = _jobs[jobId];
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        Slots.Course memory course = Slots.unpackCourse(s.course);
        j.client = s.client;
        j.state = hot.state;
        j.unclaimed = _unclaimed(hot, course).toUint32();
        j.resultRoot = s.resultRoot;
        // Every field below was unpacked from exactly the bits of its type.
        // forge-lint: disable-start(unsafe-typecast)
        j.settledTasks = uint32(hot.settledTasks);
        j.ranges = uint32(hot.ranges);
        j.outstanding = uint32(hot.outstanding);
        j.failures = uint32(hot.failures);
        j.escrow = uint128(hot.escrow);
        j.terms.specHash = s.specHash;
        j.terms.taskCount = uint32(course.taskCount);
        j.terms.unitCap = uint64(cost.unitCap);
        j.terms.prepareCap = uint64(cost.prepareCap);
        j.terms.price = uint96(cost.price);
        j.terms.window = uint32(course.window);
        j.terms.rangeTimeout = uint32(cost.rangeTimeout);
        j.terms.targetSeconds = uint16(cost.targetSeconds);
        j.terms.parallelism = uint16(cost.parallelism);
        j.terms.firstRange = uint32(course.firstRange);
        j.terms.deadline = uint40(course.deadline);
        j.terms.maxFailures = uint32(course.maxFailures);
        // forge-lint: disable-end(unsafe-typecast)
        (j.terms.requiredClass, j.terms.minVramMib) = (s.requiredClass, s.minVramMib);
        (j.terms.callback, j.terms.audited) = (s.callback, cost.flags != 0);
        j.terms.replicas = cost.flags & Flags.REPLICATED == 0 ? 0 : REPLICAS;
        j.terms.kept = cost.flags & Flags.KEPT != 0;
        if (cost.clock) {
            Slots.Clock memory c = Slots.unpackClock(s.clock);
            (j.terms.floorPrice, j.terms.finishSeconds) = (c.floor.toUint96(), c.finish.toUint32());
        }
        _enter(s, cost, hot, course);
        j.price = cost.price.toUint96();
        if (j.state == JobState.Open) {
            if (j.unclaimed == 0 || block.timestamp > course.deadline) j.state = JobState.Draining;
            j.dry = j.unclaimed != 0 && _payable(cost, hot.escrow) == 0;
        }
    }

    /// @inheritdoc IJobBook
    function range(uint64 jobId, uint32 seq) external view returns (Range memory) {
        Store storage s = _jobs[jobId];
        Record storage record = s.ranges[seq];
        Slots.Head memory r = Slots.unpackHead(record.head);
        uint256 price = r.provider == 0 ? 0 : _priceOf(s, Slots.unpackCost(s.cost), r.level);
        // Every field was unpacked from exactly the bits of its type.
        // forge-lint: disable-start(unsafe-typecast)
        return Range({
            provider: r.provider == 0 ? address(0) : _registry.ownerOf(uint32(r.provider)),
            state: r.state,
            from: uint32(r.from),
            count: uint32(r.count),
            units: uint64(r.units),
            failures: uint32(r.failures),
            at: uint40(r.at),
            price: uint96(price),
            root: record.root
        });
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @inheritdoc IJobBook
    function subjectOf(uint64 jobId) external view returns (address client, uint256 prepareLeaves) {
        Store storage s = _jobs[jobId];
        return (s.client, Slots.unpackCost(s.cost).prepareCap == 0 ? 0 : 1);
    }

    /// @inheritdoc IJobBook
    function isKept(uint64 jobId) external view returns (bool) {
        return Slots.unpackCost(_jobs[jobId].cost).flags & Flags.KEPT != 0;
    }

    /// @inheritdoc IJobBook
    function outstanding(uint64 jobId) external view returns (uint256) {
        return Slots.unpackHot(_jobs[jobId].hot).outstanding;
    }

    /// @inheritdoc IJobBook
    function pace(uint64 jobId, address provider) external view returns (Pace memory) {
        return Slots.unpackPace(_jobs[jobId].paces[_registry.standingOf(provider).number]);
    }

    /// @inheritdoc IJobBook
    function resultRoot(uint64 jobId) external view returns (bytes32) {
        return _jobs[jobId].resultRoot;
    }

    // ------------------------------------------------------------------ the clock

    /// @dev From here on `cost.price` is the price in force, if the job is on the clock.
    /// @return word the clock to be stored if something is claimed; 0 with a posted price
    /// @return level of the price
    /// @return shared tasks that were unclaimed when the block began
    function _enter(Store storage s, Slots.Cost memory cost, Slots.Hot memory hot, Slots.Course memory course)
        internal
        view
        returns (uint256 word, uint256 level, uint256 shared)
    {
        if (!cost.clock) return (0, 0, 0);
        Slots.Clock memory c = _tick(s, hot, course);
        shared = c.unclaimed;
        level = Clock.level(block.timestamp - c.start, c.finish, course.taskCount - shared, course.taskCount);
        cost.price = Clock.price(c.floor, cost.price, level);
        word = Slots.packClock(c);
    }

    // ------------------------------------------------------------------ small things

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
