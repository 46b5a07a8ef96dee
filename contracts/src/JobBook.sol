// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {IJudge, IJudged} from "./interfaces/IJudge.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {JobLayout} from "./JobLayout.sol";
import {JobStore} from "./JobStore.sol";
import {Facet} from "./libraries/Facet.sol";
import {Flags} from "./libraries/Flags.sol";
import {Sizing} from "./libraries/Sizing.sol";
import {Slots} from "./libraries/Slots.sol";

/// @title Jobs and their ranges: posted price or clock, plain, audited, or audited and replicated.
/// @dev Money of a job = escrow (unreserved) + ceilings of claimed ranges + units x price of submitted ranges, the last two
/// twice in a replicated job; all of it is locked in the Ledger for the client. The Ledger is touched at open, topUp, cancel,
/// settle and finish only. A claim writes the job's one hot slot and one new slot, a submission one more new slot (the root).
/// In a job on the clock the first claim or return of a block writes the clock's slot, too; every range has its own price
/// there, kept as a level. Calls go to the Ledger and the Registry, which call nobody, in audited jobs to the judge, and last
/// in `finish` to the job's callback contract. Opening a job, topping it up, cancelling and finishing it, and
/// ranges that come back, are JobDesk's code.
contract JobBook is JobStore, IJudged {
    using SafeCast for uint256;

    /// @dev Payments of a settlement while it is being put together.
    struct Tab {
        ILedger.Payment[] payments;
        uint256 used;
        uint256 provider;
        address owner;
        uint256 exposed;
        uint256 paid;
        uint256 fees;
        uint256 charges;
        uint256 returned;
        bytes32 root;
        uint256 tasks;
        uint256 done;
    }

    /// @dev The contract whose code opens and ends jobs.
    address private immutable _desk;

    constructor(Deployment memory d, address desk_) JobLayout(d) {
        // All money of all jobs stays within 96 bits, so no escrow can overflow when something comes back.
        (uint128 cap,) = d.ledger.module(address(this));
        if (cap == 0 || cap > type(uint96).max || desk_ == address(0)) revert BadDeployment();
        _desk = desk_;
    }

    // ------------------------------------------------------------------ client

    /// @inheritdoc IJobBook
    function open(Terms calldata terms, uint128 funds) external returns (uint64 jobId) {
        Facet.run(_desk);
    }

    /// @inheritdoc IJobBook
    function topUp(uint64 jobId, uint128 funds) external {
        Facet.run(_desk);
    }

    /// @inheritdoc IJobBook
    function cancel(uint64 jobId) external {
        Facet.run(_desk);
    }

    /// @inheritdoc IJobBook
    function acknowledge(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        _clientJob(jobId);
        return _settle(jobId, seqs, false);
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
        IRegistry.Standing memory p = _submit(jobId, seq, root, units, failures, contentHash);
        (, nextSeq, from, count) = _claim(jobId, p, want, minPrice);
    }

    /// @inheritdoc IJobBook
    function release(uint64 jobId, uint32 seq) external {
        Facet.run(_desk);
    }

    // ------------------------------------------------------------------ anyone

    /// @inheritdoc IJobBook
    function expire(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        Facet.run(_desk);
    }

    /// @inheritdoc IJobBook
    function settle(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done) {
        return _settle(jobId, seqs, true);
    }

    /// @inheritdoc IJobBook
    function finish(uint64 jobId) external {
        Facet.run(_desk);
    }

    // ------------------------------------------------------------------ claims

    /// @dev What a provider would get now. All rules that bound a range are here.
    function _offer(
        uint64 jobId,
        Store storage s,
        Slots.Cost memory cost,
        Slots.Hot memory hot,
        Slots.Course memory course,
        IRegistry.Standing memory p,
        uint256 shared,
        uint256 want,
        uint256 minPrice
    ) private view returns (Refusal, uint256 count) {
        if (hot.state == JobState.None) return (Refusal.NoSuchJob, 0);
        if (hot.state != JobState.Open) return (Refusal.NotOpen, 0);
        if (p.number == 0) return (Refusal.NotRegistered, 0);
        if (p.paused) return (Refusal.ProviderPaused, 0);
        if (p.held >= 2 * uint256(p.slots)) return (Refusal.NoFreeSlot, 0);
        if (want == 0) return (Refusal.WantZero, 0);
        if (block.timestamp > course.deadline) return (Refusal.DeadlinePassed, 0);
        if (cost.price < minPrice) return (Refusal.PriceTooLow, 0);
        uint256 unclaimed = _unclaimed(hot, course);
        if (unclaimed == 0) return (Refusal.NothingLeft, 0);
        if (course.picky && !_registry.qualifies(p.number, s.requiredClass, s.minVramMib)) {
            return (Refusal.NotQualified, 0);
        }
        count = course.returnedPieces == 0 ? course.taskCount - hot.next : s.returned[course.returnedPieces - 1].count;
        count = _min(count, want);
        count = _min(count, Sizing.MAX_RANGE_TASKS);
        if (!cost.clock) shared = unclaimed;
        count = _min(count, Sizing.fairShare(shared, course.taskCount, cost.parallelism));
        Pace memory shown = Slots.unpackPace(s.paces[p.number]);
        count = _min(count, Sizing.paceCap(shown, course.firstRange, cost.targetSeconds, p.slots));
        count = _min(count, _payable(cost, hot.escrow));
        if (count == 0) return (Refusal.Dry, 0);
        uint256 room = p.room;
        if (cost.flags != 0) room = _min(room, _judge.room(jobId, p.number, cost.flags));
        // It answers for what all providers of its ranges may get.
        count = _min(count, _payable(cost, room));
        if (count == 0) return (Refusal.NoExposure, 0);
        return (Refusal.None, count);
    }

    function _claim(uint64 jobId, IRegistry.Standing memory p, uint256 want, uint256 minPrice)
        private
        returns (Refusal why, uint32 seq, uint32 from, uint32 count)
    {
        Store storage s = _jobs[jobId];
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        Slots.Course memory course = Slots.unpackCourse(s.course);
        Slots.Head memory r;
        uint256 clock;
        {
            uint256 shared;
            if (cost.clock) (clock, r.level, shared) = _enter(s, cost, hot, course);
            (why, r.count) = _offer(jobId, s, cost, hot, course, p, shared, want, minPrice);
        }
        if (why != Refusal.None) return (why, 0, 0, 0);
        if (clock != 0) s.clock = clock;
        if (course.returnedPieces == 0) {
            r.from = hot.next;
            hot.next += r.count;
        } else {
            r.from = _popReturned(s, course, r.count);
        }
        uint256 taken = _forAll(cost, _ceiling(cost, r.count) * cost.price);
        hot.escrow -= taken;
        // Every cast below is of a field that Slots unpacked from, or packs into, that many bits.
        // forge-lint: disable-start(unsafe-typecast)
        seq = uint32(hot.ranges);
        hot.ranges += 1;
        hot.outstanding += 1;
        s.hot = Slots.packHot(hot);
        (r.provider, r.at, r.state) = (p.number, block.timestamp, RangeState.Claimed);
        s.ranges[seq].head = Slots.packHead(r);
        (from, count) = (uint32(r.from), uint32(r.count));
        _announceClaim(jobId, seq, p.owner, from, count, cost, hot);
        // What paid for this range pays for another task.
        if (hot.escrow < taken && _payable(cost, hot.escrow) == 0 && _unclaimed(hot, course) != 0) {
            emit JobDry(jobId, uint128(hot.escrow));
        }
        _registry.reserve(p.number, uint128(taken));
        // forge-lint: disable-end(unsafe-typecast)
    }

    function _announceClaim(
        uint64 jobId,
        uint32 seq,
        address owner,
        uint32 from,
        uint32 count,
        Slots.Cost memory cost,
        Slots.Hot memory hot
    ) private {
        emit RangeClaimed(
            jobId, seq, owner, from, count, uint96(cost.price), uint128(hot.escrow), uint40(block.timestamp)
        );
    }

    /// @dev Takes `count` tasks from the top piece of the stack.
    function _popReturned(Store storage s, Slots.Course memory course, uint256 count) private returns (uint256 from) {
        uint256 top = course.returnedPieces - 1;
        Piece storage piece = s.returned[top];
        uint256 there = piece.count;
        from = piece.from;
        course.returnedTasks -= count;
        if (count == there) course.returnedPieces = top;
        // A piece that is used up stays behind as an empty one, above the stack.
        (piece.from, piece.count) = ((from + count).toUint32(), (there - count).toUint32());
        s.course = Slots.packCourse(course);
    }

    // ------------------------------------------------------------------ submissions

    function _submit(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 contentHash)
        private
        returns (IRegistry.Standing memory p)
    {
        Store storage s = _jobs[jobId];
        Record storage record = s.ranges[seq];
        uint256 head = record.head;
        Slots.Head memory r = Slots.unpackHead(head);
        if (r.state != RangeState.Claimed) revert WrongRangeState(jobId, seq, r.state);
        if (root == 0) revert EmptyRoot();
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        uint256 cap = _ceiling(cost, r.count);
        if (units > cap) revert TooManyUnits(units, cap.toUint64());
        uint256 leaves = cost.prepareCap == 0 ? r.count : r.count + 1;
        if (failures > leaves) revert TooManyFailures(failures, leaves.toUint32());
        if (cost.clock) cost.price = _priceOf(s, cost, r.level);
        uint256 unused = (cap - units) * cost.price;
        uint256 freed = unused;
        if (cost.flags != 0) {
            // Its auditors have a multiple of this time, and no more.
            if (block.timestamp > r.at + cost.rangeTimeout) revert SubmittedLate(jobId, seq);
            freed = _forAll(cost, cap * cost.price) - _exposed(cost, units * cost.price);
        }
        // It was part of the escrow, which has 96 bits; the same holds for the escrow below.
        // forge-lint: disable-start(unsafe-typecast)
        p = _registry.submitted(msg.sender, uint128(freed));
        if (r.provider != p.number) revert NotYourRange(jobId, seq);

        _paceAfter(s, cost, r);
        record.head = Slots.submitted(head, units, failures, block.timestamp);
        record.root = root;

        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        hot.escrow += _forAll(cost, unused);
        if (failures != 0) {
            hot.failures += failures;
            uint256 limit = Slots.unpackCourse(s.course).maxFailures;
            if (hot.state == JobState.Open && limit != 0 && hot.failures > limit) {
                hot.state = JobState.Draining;
                emit JobDraining(jobId, hot.failures.toUint32());
            }
        }
        s.hot = Slots.packHot(hot);
        emit RangeSubmitted(
            jobId, seq, p.owner, root, units, failures, contentHash, uint128(hot.escrow), uint40(block.timestamp)
        );
        // forge-lint: disable-end(unsafe-typecast)
        if (cost.flags != 0) _judge.submitted(jobId, seq, p.number, cost.flags);
    }

    function _paceAfter(Store storage s, Slots.Cost memory cost, Slots.Head memory r) private {
        Pace memory p = Slots.unpackPace(s.paces[r.provider]);
        // In its stride a provider has a cap, and the course need not be read.
        if (p.cap == 0) p.cap = Slots.unpackCourse(s.course).firstRange.toUint32();
        uint256 since = p.lastSubmittedAt > r.at ? p.lastSubmittedAt : r.at;
        bool onTime = block.timestamp <= r.at + cost.rangeTimeout;
        s.paces[r.provider] = Slots.packPace(Sizing.afterSubmission(p, cost.targetSeconds, r.count, since, onTime));
    }

    // ------------------------------------------------------------------ judge

    /// @inheritdoc IJudged
    function reject(uint64 jobId, uint32 seq) external {
        Facet.run(_desk);
    }

    /// @inheritdoc IJudged
    function unseal(uint64 jobId, uint32 seq, bytes32 root) external {
        Facet.run(_desk);
    }

    // ------------------------------------------------------------------ settlement

    /// @dev Pays submitted ranges, with `wait` only those whose window is over; skips all others.
    function _settle(uint64 jobId, uint32[] calldata seqs, bool wait) private returns (uint256) {
        _checkSeqs(seqs);
        Store storage s = _jobs[jobId];
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        uint256 window = wait ? Slots.unpackCourse(s.course).window : 0;
        uint8 flags = wait ? cost.flags : cost.flags | Flags.ACKNOWLEDGED;
        Tab memory tab;
        tab.payments = new ILedger.Payment[](_forAll(cost, seqs.length) + 2);
        tab.root = s.resultRoot;
        for (uint256 i = 0; i < seqs.length; ++i) {
            uint32 seq = seqs[i];
            Record storage record = s.ranges[seq];
            uint256 head = record.head;
            Slots.Head memory r = Slots.unpackHead(head);
            if (r.state != RangeState.Submitted || block.timestamp < r.at + window) continue;
            uint256 value = r.units * (cost.clock ? _priceOf(s, cost, r.level) : cost.price);
            uint256 charge = 0;
            if (cost.flags != 0) {
                IJudge.Bill memory bill = _judge.bill(jobId, seq, value, flags);
                if (!bill.mayPay) continue;
                charge = bill.charge;
                tab.charges += charge;
                if (cost.flags & Flags.REPLICATED != 0) _addMate(tab, jobId, seq, value, bill);
            }
            record.head = Slots.inState(head, RangeState.Settled);
            _addToTab(tab, jobId, seq, r, record.root, value, charge);
            tab.exposed += _exposed(cost, value);
        }
        if (tab.done == 0) revert NothingToDo(jobId);
        _closeProvider(tab);
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        hot.settledTasks += tab.tasks;
        hot.outstanding -= tab.done;
        hot.escrow += tab.returned;
        s.hot = Slots.packHot(hot);
        s.resultRoot = tab.root;
        if (tab.fees != 0) tab.payments[tab.used++] = ILedger.Payment(_treasury, tab.fees.toUint128());
        if (tab.charges != 0) {
            tab.payments[tab.used++] = ILedger.Payment(_purse, tab.charges.toUint128());
        }
        _pay(s.client, tab);
        return tab.done;
    }

    function _addToTab(
        Tab memory tab,
        uint64 jobId,
        uint32 seq,
        Slots.Head memory r,
        bytes32 root,
        uint256 value,
        uint256 charge
    ) private {
        // Fields that were unpacked from so many bits; a value that fitted into an escrow of 96 bits.
        // forge-lint: disable-start(unsafe-typecast)
        if (r.provider != tab.provider) {
            _closeProvider(tab);
            tab.provider = r.provider;
            tab.owner = _registry.ownerOf(uint32(r.provider));
        }
        uint256 fee = value * _feeBps / BPS;
        tab.fees += fee;
        // What does not go to the provider.
        fee += charge;
        tab.paid += value - fee;
        tab.tasks += r.count;
        tab.done += 1;
        tab.root = keccak256(
            abi.encodePacked(tab.root, seq, uint32(r.from), uint32(r.count), root, uint64(r.units), uint32(r.failures))
        );
        emit RangeSettled(jobId, seq, tab.owner, uint128(value - fee), uint128(fee), tab.root);
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @dev The part of a range's second provider. Where none has earned it, it goes back to the escrow.
    function _addMate(Tab memory tab, uint64 jobId, uint32 seq, uint256 value, IJudge.Bill memory bill) private {
        address owner;
        uint256 fee = 0;
        if (bill.mate == 0) {
            tab.returned += value;
        } else {
            owner = _registry.ownerOf(bill.mate);
            fee = value * _feeBps / BPS;
            tab.fees += fee;
            tab.charges += bill.mateCharge;
            // What does not go to the mate.
            fee += bill.mateCharge;
            if (value != fee) tab.payments[tab.used++] = ILedger.Payment(owner, (value - fee).toUint128());
        }
        emit MateSettled(jobId, seq, owner, (value - fee).toUint128(), fee.toUint128());
    }

    /// @dev Writes down what the provider of the last ranges gets, and frees its exposure.
    function _closeProvider(Tab memory tab) private {
        if (tab.provider == 0) return;
        if (tab.exposed != 0) _registry.settled(tab.provider.toUint32(), tab.exposed.toUint128());
        if (tab.paid != 0) tab.payments[tab.used++] = ILedger.Payment(tab.owner, tab.paid.toUint128());
        (tab.exposed, tab.paid) = (0, 0);
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

    // ------------------------------------------------------------------ foresight

    /// @inheritdoc IJobBook
    function claimable(uint64 jobId, address provider) external view returns (uint32 count, uint96 price, Refusal why) {
        Store storage s = _jobs[jobId];
        Slots.Cost memory cost = Slots.unpackCost(s.cost);
        Slots.Hot memory hot = Slots.unpackHot(s.hot);
        Slots.Course memory course = Slots.unpackCourse(s.course);
        (,, uint256 shared) = _enter(s, cost, hot, course);
        price = cost.price.toUint96();
        uint256 tasks;
        (why, tasks) = _offer(jobId, s, cost, hot, course, _registry.standingOf(provider), shared, type(uint32).max, 0);
        count = tasks.toUint32();
    }
}
