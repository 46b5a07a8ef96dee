// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IJobBook} from "./interfaces/IJobBook.sol";
import {IJudge} from "./interfaces/IJudge.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Clock} from "./libraries/Clock.sol";
import {Flags} from "./libraries/Flags.sol";
import {Parameters} from "./libraries/Parameters.sol";
import {Sizing} from "./libraries/Sizing.sol";
import {Slots} from "./libraries/Slots.sol";

/// @title What the JobBook stores, and its limits.
/// @dev JobBook and JobDesk build on it and nobody else: the code of JobDesk runs on the storage of JobBook, so whatever
/// either of them stores is declared here.
abstract contract JobLayout {
    /// @notice What both contracts are constructed with.
    struct Deployment {
        ILedger ledger;
        IRegistry registry;
        IJudge judge;
        address purse;
        address treasury;
        uint16 feeBps;
        uint256 smallValue;
    }

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
    /// @notice Providers of a range in a replicated job: one that claims it, and one that is drawn later.
    uint8 public constant REPLICAS = 2;
    /// @notice Hard cap of the protocol fee, basis points.
    uint16 public constant MAX_FEE_BPS = 500;
    /// @notice Gas that a callback contract gets.
    uint256 public constant CALLBACK_GAS = 300_000;

    uint256 internal constant BPS = 10_000;

    // ------------------------------------------------------------------ state

    ILedger internal immutable _ledger;
    IRegistry internal immutable _registry;
    IJudge internal immutable _judge;
    /// @dev The account that audits are paid from.
    address internal immutable _purse;
    address internal immutable _treasury;
    uint16 internal immutable _feeBps;
    /// @notice Jobs worth at most this get the shortest windows; base units.
    uint256 public immutable smallValue;

    uint64 internal _jobCount;
    // slither-disable-next-line uninitialized-state
    mapping(uint64 jobId => Store) internal _jobs;

    constructor(Deployment memory d) {
        if (d.treasury == address(0) || address(d.judge) == address(0)) revert IJobBook.BadDeployment();
        if (address(d.ledger) == address(0) || address(d.registry) == address(0)) revert IJobBook.BadDeployment();
        if (d.purse == address(0)) revert IJobBook.BadDeployment();
        if (d.feeBps > MAX_FEE_BPS) revert IJobBook.BadDeployment();
        (_ledger, _registry, _judge, _purse) = (d.ledger, d.registry, d.judge, d.purse);
        (_treasury, _feeBps, smallValue) = (d.treasury, d.feeBps, d.smallValue);
    }

    // ------------------------------------------------------------------ what both need

    function _clientJob(uint64 jobId) internal view returns (Store storage s, Slots.Hot memory hot) {
        s = _jobs[jobId];
        hot = Slots.unpackHot(s.hot);
        if (hot.state == IJobBook.JobState.None) revert IJobBook.NoSuchJob(jobId);
        if (s.client != msg.sender) revert IJobBook.NotClient(jobId, msg.sender);
    }

    function _unclaimed(Slots.Hot memory hot, Slots.Course memory course) internal pure returns (uint256) {
        return course.taskCount - hot.next + course.returnedTasks;
    }

    /// @dev Shortest window for a job of so much value, seconds.
    function _minWindow(uint256 value) internal view returns (uint32) {
        if (value <= smallValue) return 10 seconds;
        return value / 1_000 <= smallValue ? 10 minutes : 1 hours;
    }

    /// @dev What a task of an audited job must be worth at its caps, and what an open audited range takes of its provider's exposure
    /// even if it is worth less: a range of dust is a case like any other.
    function _leastWorth() internal view returns (uint256) {
        return smallValue / Parameters.MIN_FEE_PART * Parameters.MIN_TASK_FEES;
    }

    /// @dev What all providers of a range may get together if each may get so much: a replicated range has two.
    function _forAll(Slots.Cost memory cost, uint256 value) internal pure returns (uint256) {
        return value << (cost.flags & Flags.REPLICATED) / Flags.REPLICATED;
    }

    /// @dev Tasks that an escrow pays for at their caps, to all providers of their range.
    function _payable(Slots.Cost memory cost, uint256 escrow) internal pure returns (uint256) {
        return _affordable(cost, escrow >> (cost.flags & Flags.REPLICATED) / Flags.REPLICATED);
    }

    function _affordable(Slots.Cost memory cost, uint256 budget) internal pure returns (uint256) {
        return Sizing.affordable(budget, cost.price, cost.unitCap, cost.prepareCap);
    }

    // ------------------------------------------------------------------ prices and bounds

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

    /// @dev What a unit of a range costs. `cost` is as stored.
    function _priceOf(Store storage s, Slots.Cost memory cost, uint256 level) internal view returns (uint256) {
        return cost.clock ? Clock.price(Slots.unpackClock(s.clock).floor, cost.price, level) : cost.price;
    }

    /// @dev Most units of a range: below 2^63 by MAX_UNIT_CAP, MAX_RANGE_TASKS and MAX_PREPARE_CAP.
    function _ceiling(Slots.Cost memory cost, uint256 count) internal pure returns (uint256) {
        return count * cost.unitCap + cost.prepareCap;
    }

    /// @dev What a submitted range worth so much takes of its provider's exposure. Never more than at its claim, because a task's
    /// caps are worth as much. In a replicated job it is twice that, for so much is paid for one wrong range if its mate is a friend.
    function _exposed(Slots.Cost memory cost, uint256 value) internal view returns (uint256) {
        if (cost.flags == 0) return value;
        uint256 least = _leastWorth();
        return _forAll(cost, value < least ? least : value);
    }

    function _checkSeqs(uint32[] calldata seqs) internal pure {
        if (seqs.length > MAX_SEQS) revert IJobBook.TooManyRanges(seqs.length, MAX_SEQS);
    }
}
