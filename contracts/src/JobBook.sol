// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobBook, IJobCallback} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Sizing} from "./libraries/Sizing.sol";

/// @title Jobs and their ranges: posted price, one replica.
/// @dev Money of a job = escrow (unreserved) + ceilings of claimed ranges + units x price of submitted ranges; all of it is
/// locked in the Ledger for the client. The Ledger is touched at open, topUp, cancel, settle and finish only. A claim
/// writes the job's one hot slot and one new slot, a submission one more new slot (the root).
/// Calls go to the Ledger and the Registry, which call nobody, and last in `finish` to the job's callback contract.
contract JobBook is IJobBook {
    using SafeCast for uint256;

    /// @dev Terms that every call needs: two slots.
    struct Fixed {
        address client;
        uint96 price;
        uint64 unitCap;
        uint64 prepareCap;
        uint32 taskCount;
        uint32 window;
        uint32 rangeTimeout;
        uint16 targetSeconds;
        uint16 parallelism;
    }

    /// @dev Terms that claims need, and how much came back (written when it does): one slot.
    struct Course {
        uint32 firstRange;
        uint40 deadline;
        uint32 maxFailures;
        uint32 minVramMib;
        uint32 returnedPieces;
        uint32 returnedTasks;
        bool picky;
    }

    /// @dev The rest of the terms: two slots.
    struct Extra {
        address callback;
        uint64 requiredClass;
        bytes32 specHash;
    }

    /// @dev What claims, submissions and settlements change: one slot.
    struct Hot {
        uint96 escrow;
        uint32 next;
        uint32 settledTasks;
        uint32 failures;
        uint32 ranges;
        uint24 outstanding;
        JobState state;
    }

    /// @dev A range without its root: one slot. `provider` is the provider's number, `at` as in `IJobBook.Range`.
    struct Head {
        uint32 provider;
        uint32 from;
        uint32 count;
        uint64 units;
        uint32 failures;
        uint40 at;
        RangeState state;
    }

    /// @dev A range: two slots.
    struct Record {
        Head head;
        bytes32 root;
    }

    /// @dev Tasks that came back and go out again first.
    struct Piece {
        uint32 from;
        uint32 count;
    }

    /// @dev Payments of a settlement while it is being put together.
    struct Tab {
        ILedger.Payment[] payments;
        uint256 used;
        uint32 provider;
        address owner;
        uint256 value;
        uint256 paid;
        uint256 fees;
        bytes32 root;
        uint256 tasks;
        uint256 done;
    }

    // ------------------------------------------------------------------ constants

    /// @notice Most tasks of a job.
    uint32 public constant MAX_TASKS = 1 << 30;
    /// @notice Most tasks of a range.
    uint32 public constant MAX_RANGE_TASKS = Sizing.MAX_RANGE_TASKS;
    /// @notice Largest unit cap of a task: with 2^20 tasks of a range, sums stay below 2^64.
    uint64 public constant MAX_UNIT_CAP = 1 << 42;
    /// @notice Largest unit cap of a prepare phase.
    uint64 public constant MAX_PREPARE_CAP = 1 << 62;
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

    uint256 private constant BPS = 10_000;

    // ------------------------------------------------------------------ state

    ILedger private immutable _ledger;
    IRegistry private immutable _registry;
    /// @inheritdoc IJobBook
    address public immutable treasury;
    /// @inheritdoc IJobBook
    uint16 public immutable feeBps;
    /// @notice Jobs worth at most this get the shortest windows; base units.
    uint256 public immutable smallValue;

    /// @inheritdoc IJobBook
    uint64 public jobCount;
    /// @inheritdoc IJobBook
    mapping(uint64 jobId => bytes32) public resultRoot;

    mapping(uint64 jobId => Fixed) private _fixed;
    mapping(uint64 jobId => Course) private _course;
    mapping(uint64 jobId => Extra) private _extra;
    mapping(uint64 jobId => Hot) private _hot;
    mapping(uint64 jobId => mapping(uint32 seq => Record)) private _ranges;
    mapping(uint64 jobId => mapping(uint32 provider => Pace)) private _paces;
    mapping(uint64 jobId => mapping(uint32 depth => Piece)) private _returned;

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

    // ------------------------------------------------------------------ client

    /// @inheritdoc IJobBook
    function open(Terms memory terms, uint128 funds) external returns (uint64 jobId) {
        _checkTerms(terms);
        if (funds > type(uint96).max) revert BadFunds(funds);
        jobId = ++jobCount;
        Fixed memory f = Fixed({
            client: msg.sender,
            price: terms.price,
            unitCap: terms.unitCap,
            prepareCap: terms.prepareCap,
            taskCount: terms.taskCount,
            window: terms.window,
            rangeTimeout: terms.rangeTimeout,
            targetSeconds: terms.targetSeconds,
            parallelism: terms.parallelism
        });
        _fixed[jobId] = f;
        _course[jobId] = Course({
            firstRange: terms.firstRange,
            deadline: terms.deadline,
            maxFailures: terms.maxFailures,
            minVramMib: terms.minVramMib,
            returnedPieces: 0,
            returnedTasks: 0,
            picky: terms.requiredClass != 0 || terms.minVramMib != 0
        });
        _extra[jobId] = Extra({callback: terms.callback, requiredClass: terms.requiredClass, specHash: terms.specHash});
        // Bounded above.
        // forge-lint: disable-next-line(unsafe-typecast)
        _hot[jobId].escrow = uint96(funds);
        _hot[jobId].state = JobState.Open;
        emit JobOpened(jobId, msg.sender, terms, funds, uint40(block.timestamp));
        if (_affordable(f, funds) == 0) emit JobDry(jobId, funds);
        if (funds != 0) _ledger.lock(msg.sender, funds);
    }

    /// @inheritdoc IJobBook
    function topUp(uint64 jobId, uint128 funds) external {
        Hot storage hot = _clientJob(jobId);
        if (hot.state != JobState.Open) revert JobOver(jobId, hot.state);
        uint256 escrow = uint256(hot.escrow) + funds;
        if (funds == 0 || escrow > type(uint96).max) revert BadFunds(funds);
        // forge-lint: disable-next-line(unsafe-typecast)
        hot.escrow = uint96(escrow);
        emit JobFunded(jobId, funds, escrow.toUint128());
        _ledger.lock(msg.sender, funds);
    }

    /// @inheritdoc IJobBook
    function cancel(uint64 jobId) external {
        Hot storage hot = _clientJob(jobId);
        if (hot.state != JobState.Open && hot.state != JobState.Draining) revert JobOver(jobId, hot.state);
        uint128 refund = hot.escrow;
        hot.escrow = 0;
        hot.state = JobState.Cancelling;
        emit JobCancelled(jobId, refund);
        if (refund != 0) _ledger.unlock(msg.sender, refund);
    }

    /// @inheritdoc IJobBook
    function acknowledge(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        _clientJob(jobId);
        return _settle(jobId, seqs, 0);
    }

    // ------------------------------------------------------------------ provider

    /// @inheritdoc IJobBook
    function claim(uint64 jobId, uint32 want, uint96 minPrice)
        external
        returns (uint32 seq, uint32 from, uint32 count)
    {
        Refusal why;
        (why, seq, from, count) = _claim(jobId, _registry.standing(msg.sender), want, minPrice);
        if (why != Refusal.None) revert ClaimRefused(jobId, why);
    }

    /// @inheritdoc IJobBook
    function submit(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 contentHash)
        external
    {
        _submit(jobId, seq, root, units, failures, contentHash);
    }

    /// @inheritdoc IJobBook
    function submitAndClaim(
        uint64 jobId,
        uint32 seq,
        bytes32 root,
        uint64 units,
        uint32 failures,
        bytes32 contentHash,
        uint32 want,
        uint96 minPrice
    ) external returns (uint32 nextSeq, uint32 from, uint32 count) {
        IRegistry.Standing memory s = _submit(jobId, seq, root, units, failures, contentHash);
        (, nextSeq, from, count) = _claim(jobId, s, want, minPrice);
    }

    /// @inheritdoc IJobBook
    function release(uint64 jobId, uint32 seq) external {
        Head memory r = _loadHead(jobId, seq);
        if (r.state != RangeState.Claimed) revert WrongRangeState(jobId, seq, r.state);
        uint32 number = _registry.standing(msg.sender).number;
        if (number == 0) revert NotNode(msg.sender);
        if (r.provider != number) revert NotYourRange(jobId, seq);
        Pace storage p = _paces[jobId][number];
        bool free = p.releases < FREE_RELEASES;
        if (p.releases < type(uint8).max) p.releases += 1;
        (uint96 escrow, address owner, uint128 bond) =
            _takeBack(jobId, seq, r, RangeState.Released, free ? 0 : BOND_BPS);
        emit RangeReleased(jobId, seq, owner, p.releases, bond, escrow);
    }

    // ------------------------------------------------------------------ anyone

    /// @inheritdoc IJobBook
    function expire(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        _checkSeqs(seqs);
        uint256 timeout = _fixed[jobId].rangeTimeout;
        for (uint256 i = 0; i < seqs.length; ++i) {
            Head memory r = _loadHead(jobId, seqs[i]);
            if (r.state != RangeState.Claimed || block.timestamp <= r.at + timeout) continue;
            _paces[jobId][r.provider].cap = 0;
            (uint96 escrow, address owner, uint128 bond) = _takeBack(jobId, seqs[i], r, RangeState.Expired, BOND_BPS);
            emit RangeExpired(jobId, seqs[i], owner, bond, escrow);
            ++done;
        }
        if (done == 0) revert NothingToDo(jobId);
    }

    /// @inheritdoc IJobBook
    function settle(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        return _settle(jobId, seqs, _fixed[jobId].window);
    }

    /// @inheritdoc IJobBook
    function finish(uint64 jobId) external {
        Hot storage hot = _hot[jobId];
        JobState state = hot.state;
        if (state == JobState.None) revert NoSuchJob(jobId);
        if (state == JobState.Done || state == JobState.Cancelled) revert JobOver(jobId, state);
        Fixed memory f = _loadFixed(jobId);
        Course memory course = _loadCourse(jobId);
        uint32 unclaimed = _unclaimed(hot, f, course);
        bool mayClaim = state == JobState.Open && unclaimed != 0 && block.timestamp <= course.deadline;
        if (hot.outstanding != 0 || mayClaim) revert NotFinished(jobId, unclaimed, hot.outstanding);
        state = state == JobState.Cancelling ? JobState.Cancelled : JobState.Done;
        uint128 refund = hot.escrow;
        (hot.escrow, hot.state) = (0, state);
        bytes32 root = resultRoot[jobId];
        emit JobDone(jobId, state, root, hot.settledTasks, refund);
        if (refund != 0) _ledger.unlock(f.client, refund);
        _callBack(jobId, _extra[jobId].callback, root);
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
        Hot memory hot = _loadHot(jobId);
        Fixed memory f = _loadFixed(jobId);
        Course memory course = _loadCourse(jobId);
        Extra memory extra = _extra[jobId];
        j.client = f.client;
        j.state = hot.state;
        j.unclaimed = _unclaimed(hot, f, course);
        if (j.state == JobState.Open) {
            if (j.unclaimed == 0 || block.timestamp > course.deadline) j.state = JobState.Draining;
            j.dry = j.unclaimed != 0 && _affordable(f, hot.escrow) == 0;
        }
        j.resultRoot = resultRoot[jobId];
        j.settledTasks = hot.settledTasks;
        j.ranges = hot.ranges;
        j.outstanding = hot.outstanding;
        j.failures = hot.failures;
        j.escrow = hot.escrow;
        j.terms.specHash = extra.specHash;
        j.terms.taskCount = f.taskCount;
        j.terms.unitCap = f.unitCap;
        j.terms.prepareCap = f.prepareCap;
        j.terms.price = f.price;
        j.terms.window = f.window;
        j.terms.rangeTimeout = f.rangeTimeout;
        j.terms.targetSeconds = f.targetSeconds;
        j.terms.parallelism = f.parallelism;
        j.terms.firstRange = course.firstRange;
        j.terms.deadline = course.deadline;
        j.terms.maxFailures = course.maxFailures;
        j.terms.minVramMib = course.minVramMib;
        j.terms.requiredClass = extra.requiredClass;
        j.terms.callback = extra.callback;
    }

    /// @inheritdoc IJobBook
    function range(uint64 jobId, uint32 seq) external view returns (Range memory) {
        Head memory r = _loadHead(jobId, seq);
        return Range({
            provider: r.provider == 0 ? address(0) : _registry.ownerOf(r.provider),
            state: r.state,
            from: r.from,
            count: r.count,
            units: r.units,
            failures: r.failures,
            at: r.at,
            root: _ranges[jobId][seq].root
        });
    }

    /// @inheritdoc IJobBook
    function pace(uint64 jobId, address provider) external view returns (Pace memory) {
        return _loadPace(jobId, _registry.standingOf(provider).number);
    }

    /// @inheritdoc IJobBook
    function claimable(uint64 jobId, address provider) external view returns (uint32 count, uint96 price, Refusal why) {
        price = _fixed[jobId].price;
        uint256 tasks;
        (why, tasks) = _offer(jobId, _loadHot(jobId), _registry.standingOf(provider), type(uint32).max, 0);
        count = tasks.toUint32();
    }

    // ------------------------------------------------------------------ claims

    /// @dev What a provider would get now. All rules that bound a range are here.
    function _offer(uint64 jobId, Hot memory hot, IRegistry.Standing memory s, uint256 want, uint96 minPrice)
        private
        view
        returns (Refusal, uint256 count)
    {
        if (hot.state == JobState.None) return (Refusal.NoSuchJob, 0);
        if (hot.state != JobState.Open) return (Refusal.NotOpen, 0);
        if (s.number == 0) return (Refusal.NotRegistered, 0);
        if (s.paused) return (Refusal.ProviderPaused, 0);
        if (s.held >= 2 * uint256(s.slots)) return (Refusal.NoFreeSlot, 0);
        if (want == 0) return (Refusal.WantZero, 0);
        Course memory course = _loadCourse(jobId);
        if (block.timestamp > course.deadline) return (Refusal.DeadlinePassed, 0);
        Fixed memory f = _loadFixed(jobId);
        if (f.price < minPrice) return (Refusal.PriceTooLow, 0);
        uint256 fresh = f.taskCount - hot.next;
        uint256 unclaimed = fresh + course.returnedTasks;
        if (unclaimed == 0) return (Refusal.NothingLeft, 0);
        if (course.picky && !_registry.qualifies(s.number, _extra[jobId].requiredClass, course.minVramMib)) {
            return (Refusal.NotQualified, 0);
        }
        count = course.returnedPieces == 0 ? fresh : _returned[jobId][course.returnedPieces - 1].count;
        count = _min(count, want);
        count = _min(count, Sizing.MAX_RANGE_TASKS);
        count = _min(count, Sizing.fairShare(unclaimed, f.taskCount, f.parallelism));
        count = _min(count, Sizing.paceCap(_loadPace(jobId, s.number), course.firstRange, f.targetSeconds, s.slots));
        count = _min(count, _affordable(f, hot.escrow));
        if (count == 0) return (Refusal.Dry, 0);
        count = _min(count, _affordable(f, s.room));
        if (count == 0) return (Refusal.NoExposure, 0);
        return (Refusal.None, count);
    }

    function _claim(uint64 jobId, IRegistry.Standing memory s, uint32 want, uint96 minPrice)
        private
        returns (Refusal why, uint32 seq, uint32 from, uint32 count)
    {
        Hot memory hot = _loadHot(jobId);
        uint256 tasks;
        (why, tasks) = _offer(jobId, hot, s, want, minPrice);
        if (why != Refusal.None) return (why, 0, 0, 0);
        count = tasks.toUint32();
        Fixed memory f = _loadFixed(jobId);
        Course memory course = _loadCourse(jobId);
        if (course.returnedPieces == 0) {
            from = hot.next;
            hot.next += count;
        } else {
            from = _popReturned(jobId, course, count);
        }
        uint96 value = _ceiling(f, count) * f.price;
        hot.escrow -= value;
        seq = hot.ranges;
        hot.ranges += 1;
        hot.outstanding += 1;
        _storeHot(jobId, hot);
        _ranges[jobId][seq].head = Head({
            provider: s.number,
            from: from,
            count: count,
            units: 0,
            failures: 0,
            at: uint40(block.timestamp),
            state: RangeState.Claimed
        });
        emit RangeClaimed(jobId, seq, s.owner, from, count, f.price, hot.escrow, uint40(block.timestamp));
        if (_affordable(f, hot.escrow) == 0 && _unclaimed(hot, f, course) != 0) emit JobDry(jobId, hot.escrow);
        _registry.reserve(s.number, value);
    }

    /// @dev Takes `count` tasks from the top piece of the stack.
    function _popReturned(uint64 jobId, Course memory course, uint32 count) private returns (uint32 from) {
        uint32 top = course.returnedPieces - 1;
        Piece memory piece = _returned[jobId][top];
        from = piece.from;
        course.returnedTasks -= count;
        if (count == piece.count) course.returnedPieces = top;
        // A piece that is used up stays behind as an empty one, above the stack.
        _returned[jobId][top] = Piece({from: from + count, count: piece.count - count});
        _course[jobId] = course;
    }

    // ------------------------------------------------------------------ submissions

    function _submit(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 contentHash)
        private
        returns (IRegistry.Standing memory s)
    {
        Head memory r = _loadHead(jobId, seq);
        if (r.state != RangeState.Claimed) revert WrongRangeState(jobId, seq, r.state);
        if (root == 0) revert EmptyRoot();
        Fixed memory f = _loadFixed(jobId);
        uint64 cap = _ceiling(f, r.count);
        if (units > cap) revert TooManyUnits(units, cap);
        uint32 leaves = f.prepareCap == 0 ? r.count : r.count + 1;
        if (failures > leaves) revert TooManyFailures(failures, leaves);
        uint96 unused = (cap - units) * f.price;
        s = _registry.submitted(msg.sender, unused);
        if (r.provider != s.number) revert NotYourRange(jobId, seq);

        _paceAfter(jobId, f, r);
        r.units = units;
        r.failures = failures;
        r.at = uint40(block.timestamp);
        r.state = RangeState.Submitted;
        _ranges[jobId][seq] = Record({head: r, root: root});

        Hot memory hot = _loadHot(jobId);
        hot.escrow += unused;
        if (failures != 0) {
            hot.failures += failures;
            uint32 limit = _course[jobId].maxFailures;
            if (hot.state == JobState.Open && limit != 0 && hot.failures > limit) {
                hot.state = JobState.Draining;
                emit JobDraining(jobId, hot.failures);
            }
        }
        _storeHot(jobId, hot);
        emit RangeSubmitted(
            jobId, seq, s.owner, root, units, failures, contentHash, hot.escrow, uint40(block.timestamp)
        );
    }

    function _paceAfter(uint64 jobId, Fixed memory f, Head memory r) private {
        Pace memory p = _loadPace(jobId, r.provider);
        if (p.cap == 0) p.cap = _course[jobId].firstRange;
        uint256 since = p.lastSubmittedAt > r.at ? p.lastSubmittedAt : r.at;
        bool onTime = block.timestamp <= uint256(r.at) + f.rangeTimeout;
        _paces[jobId][r.provider] = Sizing.afterSubmission(p, f.targetSeconds, r.count, since, onTime);
    }

    /// @dev A claimed range comes back: its money to the escrow, its tasks to the stack, `bondBps` of its value from the
    /// provider's stake.
    function _takeBack(uint64 jobId, uint32 seq, Head memory r, RangeState state, uint256 bondBps)
        private
        returns (uint96 escrow, address owner, uint128 bond)
    {
        r.state = state;
        _ranges[jobId][seq].head = r;
        Fixed memory f = _loadFixed(jobId);
        uint96 value = _ceiling(f, r.count) * f.price;
        Hot memory hot = _loadHot(jobId);
        hot.escrow += value;
        hot.outstanding -= 1;
        _storeHot(jobId, hot);
        Course memory course = _loadCourse(jobId);
        _returned[jobId][course.returnedPieces] = Piece({from: r.from, count: r.count});
        course.returnedPieces += 1;
        course.returnedTasks += r.count;
        _course[jobId] = course;
        escrow = hot.escrow;
        (owner, bond) = _registry.dropped(r.provider, value, (uint256(value) * bondBps / BPS).toUint128(), f.client);
    }

    // ------------------------------------------------------------------ settlement

    /// @dev Pays submitted ranges that are at least `wait` seconds old; skips all others.
    function _settle(uint64 jobId, uint32[] calldata seqs, uint256 wait) private returns (uint256) {
        _checkSeqs(seqs);
        Tab memory tab;
        tab.payments = new ILedger.Payment[](seqs.length + 1);
        tab.root = resultRoot[jobId];
        uint256 price = _fixed[jobId].price;
        for (uint256 i = 0; i < seqs.length; ++i) {
            Head memory r = _loadHead(jobId, seqs[i]);
            if (r.state != RangeState.Submitted || block.timestamp < uint256(r.at) + wait) continue;
            r.state = RangeState.Settled;
            _ranges[jobId][seqs[i]].head = r;
            _addToTab(tab, jobId, seqs[i], r, price);
        }
        if (tab.done == 0) revert NothingToDo(jobId);
        _closeProvider(tab);
        Hot memory hot = _loadHot(jobId);
        hot.settledTasks += tab.tasks.toUint32();
        hot.outstanding -= tab.done.toUint24();
        _storeHot(jobId, hot);
        resultRoot[jobId] = tab.root;
        if (tab.fees != 0) tab.payments[tab.used++] = ILedger.Payment(treasury, tab.fees.toUint128());
        _pay(_fixed[jobId].client, tab);
        return tab.done;
    }

    function _addToTab(Tab memory tab, uint64 jobId, uint32 seq, Head memory r, uint256 price) private {
        if (r.provider != tab.provider) {
            _closeProvider(tab);
            tab.provider = r.provider;
            tab.owner = _registry.ownerOf(r.provider);
        }
        uint256 value = r.units * price;
        uint256 fee = value * feeBps / BPS;
        tab.value += value;
        tab.paid += value - fee;
        tab.fees += fee;
        tab.tasks += r.count;
        tab.done += 1;
        bytes32 root = _ranges[jobId][seq].root;
        tab.root = keccak256(abi.encodePacked(tab.root, seq, r.from, r.count, root, r.units, r.failures));
        emit RangeSettled(jobId, seq, tab.owner, (value - fee).toUint128(), fee.toUint128(), tab.root);
    }

    /// @dev Writes down what the provider of the last ranges gets, and frees its exposure.
    function _closeProvider(Tab memory tab) private {
        if (tab.provider == 0) return;
        if (tab.value != 0) _registry.settled(tab.provider, tab.value.toUint128());
        if (tab.paid != 0) tab.payments[tab.used++] = ILedger.Payment(tab.owner, tab.paid.toUint128());
        (tab.value, tab.paid) = (0, 0);
    }

    function _pay(address client, Tab memory tab) private {
        ILedger.Payment[] memory payments = tab.payments;
        uint256 used = tab.used;
        if (used == 0) return;
        // Cuts the array to what was filled.
        assembly ("memory-safe") {
            mstore(payments, used)
        }
        _ledger.move(client, payments);
    }

    /// @dev Tells the callback contract, with bounded gas and without reading what it returns: it can block nothing.
    function _callBack(uint64 jobId, address callback, bytes32 root) private {
        if (callback == address(0)) return;
        // A call gets at most 63/64 of the gas left; the rest must do for the event.
        uint256 needed = CALLBACK_GAS * 64 / 63 + 10_000;
        if (gasleft() < needed) revert TooLittleGas(needed);
        bytes memory data = abi.encodeCall(IJobCallback.onJobDone, (jobId, root));
        uint256 gasLimit = CALLBACK_GAS;
        bool success;
        assembly ("memory-safe") {
            success := call(gasLimit, callback, 0, add(data, 0x20), mload(data), 0, 0)
        }
        emit JobCallback(jobId, callback, success);
    }

    // ------------------------------------------------------------------ small things

    function _clientJob(uint64 jobId) private view returns (Hot storage hot) {
        hot = _hot[jobId];
        if (hot.state == JobState.None) revert NoSuchJob(jobId);
        if (_fixed[jobId].client != msg.sender) revert NotClient(jobId, msg.sender);
    }

    function _unclaimed(Hot memory hot, Fixed memory f, Course memory course) private pure returns (uint32) {
        return f.taskCount - hot.next + course.returnedTasks;
    }

    /// @dev Most units of a range: below 2^63 by MAX_UNIT_CAP, MAX_RANGE_TASKS and MAX_PREPARE_CAP.
    function _ceiling(Fixed memory f, uint32 count) private pure returns (uint64) {
        return uint64(count) * f.unitCap + f.prepareCap;
    }

    function _affordable(Fixed memory f, uint256 budget) private pure returns (uint256) {
        return Sizing.affordable(budget, f.price, f.unitCap, f.prepareCap);
    }

    // One function per packed struct: unpacking a slot in many places would not fit into the size limit.

    function _loadHot(uint64 jobId) private view returns (Hot memory) {
        return _hot[jobId];
    }

    function _storeHot(uint64 jobId, Hot memory hot) private {
        _hot[jobId] = hot;
    }

    function _loadFixed(uint64 jobId) private view returns (Fixed memory) {
        return _fixed[jobId];
    }

    function _loadCourse(uint64 jobId) private view returns (Course memory) {
        return _course[jobId];
    }

    function _loadHead(uint64 jobId, uint32 seq) private view returns (Head memory) {
        return _ranges[jobId][seq].head;
    }

    function _loadPace(uint64 jobId, uint32 provider) private view returns (Pace memory) {
        return _paces[jobId][provider];
    }

    function _checkSeqs(uint32[] calldata seqs) private pure {
        if (seqs.length > MAX_SEQS) revert TooManyRanges(seqs.length, MAX_SEQS);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _checkTerms(Terms memory t) private view {
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
    }

    function _refuseIf(bool wrong, Field field) private pure {
        if (wrong) revert BadTerms(field);
    }
}
