// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Clock} from "./libraries/Clock.sol";
import {Sizing} from "./libraries/Sizing.sol";
import {Slots} from "./libraries/Slots.sol";

/// @title What the JobBook stores, its limits, and its views.
/// @dev Only JobBook builds on it; apart for the reader's sake.
abstract contract JobStore is IJobBook {
    using SafeCast for uint256;

    /// @dev A range: its head (packed, see Slots) and its root.
    struct Record {
        uint256 head;
        bytes32 root;
    }

    /// @dev A job. The first three words are packed, see Slots; `hot` changes with every call. `clock` is packed, too, and
    /// neither read nor written for a job with a posted price.
    struct Store {
        uint256 hot;
        uint256 cost;
        uint256 course;
        address client;
        uint64 requiredClass;
        uint32 minVramMib;
        address callback;
        bytes32 specHash;
        bytes32 resultRoot;
        uint256 clock;
        mapping(uint32 seq => Record) ranges;
        mapping(uint256 provider => uint256 pace) paces;
        mapping(uint256 depth => Piece) returned;
    }

    /// @dev Tasks that came back and go out again first.
    struct Piece {
        uint32 from;
        uint32 count;
    }

    // ------------------------------------------------------------------ constants

    /// @notice Most tasks of a job.
    uint32 public constant MAX_TASKS = 1 << 30;
    /// @notice Most tasks of a range.
    uint32 public constant MAX_RANGE_TASKS = Sizing.MAX_RANGE_TASKS;
    /// @notice Largest unit cap of a task: with 2^20 tasks of a range, sums stay below 2^64.
    uint64 public constant MAX_UNIT_CAP = 1 << 42;
    /// @notice Largest unit cap of a prepare phase.
    uint64 public constant MAX_PREPARE_CAP = 1 << 47;
    /// @notice Longest window, seconds. The Registry's unbonding time is longer than this and the next together.
    uint32 public constant MAX_WINDOW = 3 days;
    /// @notice Longest time for one range, seconds.
    uint32 public constant MAX_RANGE_TIMEOUT = 1 days;
    /// @notice Shortest time for one range, seconds.
    uint32 public constant MIN_RANGE_TIMEOUT = 5;
    /// @notice A deadline is at most this far in the future, seconds.
    uint40 public constant MAX_DURATION = 366 days;
    /// @notice Longest contact, bytes.
    uint256 public constant MAX_CONTACT_BYTES = 256;
    /// @notice Most range numbers in one call.
    uint256 public constant MAX_SEQS = 256;
    /// @notice Bond of a range in basis points of its largest value; lost when it expires.
    uint256 public constant BOND_BPS = 1_000;
    /// @notice Ranges that a provider may give back per job without losing the bond.
    uint8 public constant FREE_RELEASES = 3;
    /// @notice Hard cap of the protocol fee, basis points.
    uint16 public constant MAX_FEE_BPS = 500;
    /// @notice Gas that a callback contract gets.
    uint256 public constant CALLBACK_GAS = 300_000;

    uint256 internal constant BPS = 10_000;

    // ------------------------------------------------------------------ state

    ILedger internal immutable _ledger;
    IRegistry internal immutable _registry;
    /// @inheritdoc IJobBook
    address public immutable treasury;
    /// @inheritdoc IJobBook
    uint16 public immutable feeBps;
    /// @notice Jobs worth at most this get the shortest windows; base units.
    uint256 public immutable smallValue;

    /// @inheritdoc IJobBook
    uint64 public jobCount;
    // slither-disable-next-line uninitialized-state
    mapping(uint64 jobId => Store) internal _jobs;

    constructor(ILedger ledger_, IRegistry registry_, address treasury_, uint16 feeBps_, uint256 smallValue_) {
        if (treasury_ == address(0)) revert BadDeployment();
        if (address(registry_) == address(0)) revert BadDeployment();
        if (feeBps_ > MAX_FEE_BPS) revert BadDeployment();
        // All money of all jobs stays within 96 bits, so no escrow can overflow when something comes back.
        (uint128 cap,) = ledger_.module(address(this));
        if (cap == 0 || cap > type(uint96).max) revert BadDeployment();
        _ledger = ledger_;
        _registry = registry_;
        treasury = treasury_;
        feeBps = feeBps_;
        smallValue = smallValue_;
    }

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
    function minWindow(uint256 value) public view returns (uint32) {
        if (value <= smallValue) return 10 seconds;
        return value / 1_000 <= smallValue ? 10 minutes : 1 hours;
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
        j.terms.callback = s.callback;
        if (cost.clock) {
            Slots.Clock memory c = Slots.unpackClock(s.clock);
            (j.terms.floorPrice, j.terms.finishSeconds) = (c.floor.toUint96(), c.finish.toUint32());
        }
        _enter(s, cost, hot, course);
        j.price = cost.price.toUint96();
        if (j.state == JobState.Open) {
            if (j.unclaimed == 0 || block.timestamp > course.deadline) j.state = JobState.Draining;
            j.dry = j.unclaimed != 0 && _affordable(cost, hot.escrow) == 0;
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
    function pace(uint64 jobId, address provider) external view returns (Pace memory) {
        return Slots.unpackPace(_jobs[jobId].paces[_registry.standingOf(provider).number]);
    }

    /// @inheritdoc IJobBook
    function resultRoot(uint64 jobId) external view returns (bytes32) {
        return _jobs[jobId].resultRoot;
    }

    // ------------------------------------------------------------------ the clock

    /// @dev The clock of a job that is on one, as of now: where the job stood when this block began. That is where it stands
    /// until the block's first claim or return writes it down.
    function _tick(Store storage s, Slots.Hot memory hot, Slots.Course memory course)
        internal
        view
        returns (Slots.Clock memory c)
    {
        c = Slots.unpackClock(s.clock);
        if (c.at != block.timestamp) (c.at, c.unclaimed) = (block.timestamp, _unclaimed(hot, course));
    }

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

    /// @dev What a unit of a range costs. `cost` is as stored.
    function _priceOf(Store storage s, Slots.Cost memory cost, uint256 level) internal view returns (uint256) {
        return cost.clock ? Clock.price(Slots.unpackClock(s.clock).floor, cost.price, level) : cost.price;
    }

    // ------------------------------------------------------------------ small things

    function _clientJob(uint64 jobId) internal view returns (Store storage s, Slots.Hot memory hot) {
        s = _jobs[jobId];
        hot = Slots.unpackHot(s.hot);
        if (hot.state == JobState.None) revert NoSuchJob(jobId);
        if (s.client != msg.sender) revert NotClient(jobId, msg.sender);
    }

    function _unclaimed(Slots.Hot memory hot, Slots.Course memory course) internal pure returns (uint256) {
        return course.taskCount - hot.next + course.returnedTasks;
    }

    /// @dev Most units of a range: below 2^63 by MAX_UNIT_CAP, MAX_RANGE_TASKS and MAX_PREPARE_CAP.
    function _ceiling(Slots.Cost memory cost, uint256 count) internal pure returns (uint256) {
        return count * cost.unitCap + cost.prepareCap;
    }

    function _affordable(Slots.Cost memory cost, uint256 budget) internal pure returns (uint256) {
        return Sizing.affordable(budget, cost.price, cost.unitCap, cost.prepareCap);
    }

    function _checkSeqs(uint32[] calldata seqs) internal pure {
        if (seqs.length > MAX_SEQS) revert TooManyRanges(seqs.length, MAX_SEQS);
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function _checkTerms(Terms memory t) internal view {
        uint256 value = (uint256(t.taskCount) * t.unitCap + t.prepareCap) * t.price;
        _refuseIf(t.specHash == 0, Field.SpecHash);
        _refuseIf(t.taskCount == 0 || t.taskCount > MAX_TASKS, Field.TaskCount);
        _refuseIf(t.unitCap == 0 || t.unitCap > MAX_UNIT_CAP, Field.UnitCap);
        _refuseIf(t.prepareCap > MAX_PREPARE_CAP, Field.PrepareCap);
        _refuseIf(t.price == 0, Field.Price);
        _refuseIf(t.window < minWindow(value) || t.window > MAX_WINDOW, Field.Window);
        _refuseIf(t.rangeTimeout < MIN_RANGE_TIMEOUT || t.rangeTimeout > MAX_RANGE_TIMEOUT, Field.RangeTimeout);
        _refuseIf(t.targetSeconds == 0 || t.targetSeconds > t.rangeTimeout, Field.TargetSeconds);
        _refuseIf(t.parallelism == 0, Field.Parallelism);
        _refuseIf(t.firstRange == 0 || t.firstRange > MAX_RANGE_TASKS, Field.FirstRange);
        _refuseIf(t.deadline <= block.timestamp || t.deadline > block.timestamp + MAX_DURATION, Field.Deadline);
        _refuseIf(t.afterJob != 0, Field.AfterJob);
        _refuseIf(t.contact.length > MAX_CONTACT_BYTES, Field.Contact);
        bool clock = t.finishSeconds != 0;
        _refuseIf(clock ? t.floorPrice == 0 || t.floorPrice > t.price : t.floorPrice != 0, Field.FloorPrice);
        bool late = block.timestamp + t.finishSeconds > t.deadline;
        _refuseIf(clock && (late || t.finishSeconds < Clock.MIN_FINISH), Field.FinishSeconds);
    }

    function _refuseIf(bool wrong, Field field) internal pure {
        if (wrong) revert BadTerms(field);
    }
}
