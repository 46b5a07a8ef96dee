// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAuditors} from "./interfaces/IAuditors.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IHolders} from "./interfaces/IHolders.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRandomness} from "./interfaces/IRandomness.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Draw} from "./libraries/Draw.sol";
import {HoldRules} from "./libraries/HoldRules.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Kept jobs: worked on when drawn auditors hold their inputs, and paid without their client when such auditors
/// hold what a range has made.
/// @dev Calls go to Bench, JobBook, Registry, Auditors, Audits, the Ledger and the beacon, none of which calls this
/// one but for views; Spots, which does, is not called. A first ask that fails has at most (HOLDERS - 1) / 2 votes, and a second one needs at most one
/// more: together never more than HOLDERS, so what is reserved with the first pays for both. The second halves are those of
/// the votes that are held, at most MOST_HELD.
contract Holders is IHolders {
    using SafeCast for uint256;

    /// @notice What this contract is constructed with. `spots`: who alone has second halves paid.
    struct Deployment {
        IBench bench;
        IJobBook jobBook;
        IRegistry registry;
        IAuditors auditors;
        IAudits audits;
        ILedger ledger;
        IRandomness randomness;
        address spots;
        uint256 smallValue;
    }

    /// @dev Of what an ask is: a range, or the inputs of a job (then without a provider). `asOf` is the second whose line
    /// of stakes draws, `due` whether anybody need hold it, `until` when the inputs need not be kept any more.
    struct Subject {
        address client;
        address provider;
        uint256 asOf;
        uint256 until;
        bool due;
    }

    IBench public immutable bench;
    IJobBook public immutable jobBook;
    IRegistry public immutable registry;
    IAuditors public immutable auditors;
    IAudits public immutable audits;
    ILedger public immutable ledger;
    IRandomness public immutable randomness;
    address public immutable spots;
    /// @notice The least fee is a part of it, as that of audits; base units.
    uint256 public immutable smallValue;

    mapping(uint64 jobId => Keep) private _kept;
    mapping(uint256 key => Ask) private _asks;
    mapping(uint64 jobId => Inputs) private _inputs;

    constructor(Deployment memory d) {
        if (address(d.bench) == address(0) || address(d.jobBook) == address(0)) revert BadDeployment();
        if (address(d.registry) == address(0) || address(d.auditors) == address(0)) revert BadDeployment();
        if (address(d.audits) == address(0) || address(d.randomness) == address(0)) revert BadDeployment();
        if (address(d.ledger) == address(0) || d.spots == address(0)) revert BadDeployment();
        (uint128 cap,) = d.ledger.module(address(this));
        // With a cap of 96 bits no sum of deposits can overflow the narrow fields.
        if (cap == 0 || cap > type(uint96).max) revert BadDeployment();
        (bench, jobBook, registry, auditors) = (d.bench, d.jobBook, d.registry, d.auditors);
        (audits, ledger, randomness) = (d.audits, d.ledger, d.randomness);
        (spots, smallValue) = (d.spots, d.smallValue);
    }

    modifier onlySpots() {
        if (msg.sender != spots) revert NotSpots(msg.sender);
        _;
    }

    // ------------------------------------------------------------------ client

    /// @inheritdoc IHolders
    function fund(uint64 jobId, Prices calldata prices, uint96 amount) external {
        IJobBook.Job memory job = jobBook.job(jobId);
        if (job.client != msg.sender) revert NotClient(jobId, msg.sender);
        if (!job.terms.kept || job.state >= IJobBook.JobState.Done) revert NotKept(jobId);
        Keep memory k = _kept[jobId];
        if (k.maxMib == 0) {
            if (prices.maxMib == 0 || prices.maxMib > Parameters.MOST_MIB) revert BadPrices();
            if (prices.keepSeconds == 0 || prices.keepSeconds > Parameters.MAX_KEEP) revert BadPrices();
            (k.maxMib, k.keepSeconds) = (prices.maxMib, prices.keepSeconds);
            (k.perMib, k.perMibDay) = (prices.perMib, prices.perMibDay);
        } else {
            // Whoever has claimed a range of the job relies on somebody's holding it for this.
            bool same = prices.maxMib == k.maxMib && prices.keepSeconds == k.keepSeconds;
            if (!same || prices.perMib != k.perMib || prices.perMibDay != k.perMibDay) revert PricesAreFixed(jobId);
        }
        uint256 deposit = uint256(k.deposit) + amount;
        uint256 least = _cost(k, k.maxMib);
        if (amount == 0 || deposit > type(uint96).max || deposit - k.reserved < least) revert BadFunds(amount, least);
        k.deposit = deposit.toUint96();
        _kept[jobId] = k;
        emit KeepFunded(jobId, msg.sender, prices, amount, k.deposit);
        ledger.lock(msg.sender, amount);
    }

    /// @inheritdoc IHolders
    function close(uint64 jobId) external returns (uint96 amount) {
        (address client,) = jobBook.subjectOf(jobId);
        if (client != msg.sender) revert NotClient(jobId, msg.sender);
        Keep storage k = _kept[jobId];
        amount = k.deposit - k.reserved;
        if (amount == 0) revert NothingFree(jobId);
        k.deposit = k.reserved;
        emit KeepClosed(jobId, amount, k.reserved);
        ledger.unlock(msg.sender, amount);
    }

    // ------------------------------------------------------------------ provider and client

    /// @inheritdoc IHolders
    function ask(uint64 jobId, uint32 seq, uint32 mib) external {
        Keep storage k = _keep(jobId);
        Ask memory a = _asks[_key(jobId, seq)];
        if (a.state != State.None && a.state != State.Again) revert WrongState(jobId, seq, a.state);
        IJobBook.Job memory job = jobBook.job(jobId);
        address provider = address(0);
        if (seq == Parameters.INPUTS) _askForInputs(k, jobId, a, job, mib);
        else provider = _askForRange(k, jobId, seq, a, job, mib);
        uint256 fee = _feeOf(k, jobId, seq, mib);
        if (a.state == State.None) {
            k.reserved += HoldRules.cost(fee, _least()).toUint96();
        } else {
            // A smaller size than before: votes that are still to come cost less.
            uint256 left = Parameters.HOLDERS + Parameters.MOST_HELD - a.votes;
            k.reserved -= (left * (_feeOf(k, jobId, seq, a.mib) - fee)).toUint96();
        }
        (a.round, a.mib, a.from) = (randomness.roundNow(), mib, 0);
        // What the votes of the ask before have cost stays spent.
        (a.spent, a.votes, a.bits) = (a.votes, 0, 0);
        (a.asked, a.state) = (a.asked + 1, State.Asked);
        _asks[_key(jobId, seq)] = a;
        emit HoldAsked(jobId, seq, provider, a.round, mib, a.asked, k.reserved);
    }

    // ------------------------------------------------------------------ anyone

    /// @inheritdoc IHolders
    function draw(uint64 jobId, uint32 seq) external {
        Ask storage a = _asks[_key(jobId, seq)];
        if (a.state != State.Asked) revert WrongState(jobId, seq, a.state);
        bytes32 beacon = randomness.note(a.round);
        // Somebody may have waited for a value that suits it.
        if (randomness.lapses(a.round) != 0) return _failed(jobId, seq, a);
        if (beacon == 0) revert BeaconUnknown(a.round);
        (a.from, a.state) = (block.timestamp.toUint40(), State.Open);
        emit HoldersDrawn(jobId, seq, a.from);
    }

    /// @inheritdoc IHolders
    function fail(uint64 jobId, uint32 seq) external {
        Ask storage a = _asks[_key(jobId, seq)];
        State state = a.state;
        if (state != State.Asked && state != State.Open && state != State.Again) revert WrongState(jobId, seq, state);
        if (!_subject(jobId, seq).due) return _drop(jobId, seq, a);
        if (state != State.Open) revert WrongState(jobId, seq, state);
        uint256 end = a.from + 2 * Parameters.HOLD_TIME;
        if (block.timestamp <= end) revert TooEarly(end);
        _failed(jobId, seq, a);
    }

    // ------------------------------------------------------------------ auditors

    /// @inheritdoc IHolders
    function hold(uint64 jobId, uint32 seq, uint8 draw_) external {
        Ask memory a = _asks[_key(jobId, seq)];
        if (a.state != State.Open) revert WrongState(jobId, seq, a.state);
        uint256 open = HoldRules.openDraws(block.timestamp - a.from);
        if (draw_ >= open) revert NotAsked(draw_);
        if (a.bits >> draw_ & 1 != 0) revert SignedAlready(draw_);
        Subject memory subject = _subject(jobId, seq);
        if (!subject.due) revert RangeIsOver(jobId, seq);
        uint32[] memory numbers = _named(jobId, seq, a.round, subject, draw_, 1);
        if (numbers.length == 0) revert NotHolder(msg.sender);
        address owner = _holder(numbers[0]);
        Keep storage k = _kept[jobId];
        uint96 fee = _feeOf(k, jobId, seq, a.mib).toUint96();
        (k.deposit, k.reserved) = (k.deposit - fee, k.reserved - fee);
        (a.bits, a.votes) = (a.bits | uint256(1 << draw_).toUint16(), a.votes + 1);
        emit Held(jobId, seq, numbers[0], draw_, fee);
        if (HoldRules.isMajority(a.votes, open)) {
            _release(k, jobId, seq, a, a.votes);
            if (seq != Parameters.INPUTS) subject.until = block.timestamp + k.keepSeconds;
            (a.state, a.until) = (State.Held, subject.until.toUint40());
            emit RangeHeld(jobId, seq, a.bits, a.until);
        }
        _asks[_key(jobId, seq)] = a;
        ILedger.Payment[] memory payments = new ILedger.Payment[](1);
        payments[0] = ILedger.Payment(owner, fee);
        ledger.move(subject.client, payments);
    }

    /// @inheritdoc IHolders
    function announce(uint32 number, bytes calldata contact) external {
        (, address node,) = auditors.holder(number);
        if (node != msg.sender) revert NotHolder(msg.sender);
        if (contact.length > Parameters.MAX_HOLDER_CONTACT) revert BadContact(contact.length);
        emit HolderContact(number, contact);
    }

    // ------------------------------------------------------------------ Spots

    /// @inheritdoc IHolders
    function payLook(uint64 jobId, address owner) external onlySpots returns (uint96 fee) {
        fee = _least().toUint96();
        Keep storage k = _kept[jobId];
        (k.deposit, k.reserved) = (k.deposit - fee, k.reserved - fee);
        ILedger.Payment[] memory payments = new ILedger.Payment[](1);
        payments[0] = ILedger.Payment(owner, fee);
        (address client,) = jobBook.subjectOf(jobId);
        ledger.move(client, payments);
    }

    /// @inheritdoc IHolders
    function payServed(uint64 jobId, uint32 seq, uint16 served, uint256 unlooked)
        external
        onlySpots
        returns (uint96 fee)
    {
        Ask memory a = _asks[_key(jobId, seq)];
        Keep storage k = _kept[jobId];
        fee = _feeOf(k, jobId, seq, a.mib).toUint96();
        k.reserved -= (uint256(a.votes) * fee + unlooked * _least()).toUint96();
        if (served == 0) return fee;
        Subject memory subject = _subject(jobId, seq);
        uint32[] memory numbers = _named(jobId, seq, a.round, subject, 0, Parameters.HOLDERS);
        ILedger.Payment[] memory payments = new ILedger.Payment[](Parameters.MOST_HELD);
        uint256 n = 0;
        for (uint256 i = 0; i < numbers.length; ++i) {
            if (served >> i & 1 == 0) continue;
            (address owner,,) = auditors.holder(numbers[i]);
            payments[n++] = ILedger.Payment(owner, fee);
        }
        // Cuts the array to what was filled.
        assembly ("memory-safe") {
            mstore(payments, n)
        }
        k.deposit -= (n * fee).toUint96();
        ledger.move(subject.client, payments);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IHolders
    function kept(uint64 jobId) external view returns (Keep memory) {
        return _kept[jobId];
    }

    /// @inheritdoc IHolders
    function asked(uint64 jobId, uint32 seq) external view returns (Ask memory) {
        return _asks[_key(jobId, seq)];
    }

    /// @inheritdoc IHolders
    function inputs(uint64 jobId) external view returns (Inputs memory) {
        return _inputs[jobId];
    }

    /// @inheritdoc IHolders
    function named(uint64 jobId, uint32 seq) external view returns (uint32[] memory numbers) {
        Ask storage a = _asks[_key(jobId, seq)];
        if (a.round == 0 || randomness.value(a.round) == 0) return numbers;
        return _named(jobId, seq, a.round, _subject(jobId, seq), 0, Parameters.HOLDERS);
    }

    /// @inheritdoc IHolders
    function partiesOf(uint64 jobId, uint32 seq) external view returns (address client, address provider) {
        Subject memory subject = _subject(jobId, seq);
        return (subject.client, subject.provider);
    }

    /// @inheritdoc IHolders
    function isGivenUp(uint64 jobId, uint32 seq) external view returns (bool) {
        return seq == Parameters.INPUTS && jobBook.job(jobId).state >= IJobBook.JobState.Done;
    }

    /// @inheritdoc IHolders
    function feeFor(uint64 jobId, uint32 mib) external view returns (uint256) {
        return _fee(_kept[jobId], mib);
    }

    /// @inheritdoc IHolders
    function costFor(uint64 jobId, uint32 mib) external view returns (uint256) {
        return _cost(_kept[jobId], mib);
    }

    /// @inheritdoc IHolders
    function areInputsHeld(uint64 jobId) external view returns (bool) {
        return _asks[_key(jobId, Parameters.INPUTS)].state == State.Held;
    }

    /// @inheritdoc IHolders
    function mayGiveOut(uint64 jobId) external view returns (bool) {
        if (_asks[_key(jobId, Parameters.INPUTS)].state != State.Held) return false;
        Keep memory k = _kept[jobId];
        return k.deposit - k.reserved >= (jobBook.outstanding(jobId) + 1) * _cost(k, k.maxMib);
    }

    /// @inheritdoc IHolders
    function mayPay(uint64 jobId, uint32 seq) external view returns (bool) {
        State state = _asks[_key(jobId, seq)].state;
        return state == State.Held || state == State.None && _isWaived(_kept[jobId]);
    }

    // ------------------------------------------------------------------ asks

    /// @dev Whether a range may be asked for with this size; its provider.
    function _askForRange(Keep storage k, uint64 jobId, uint32 seq, Ask memory a, IJobBook.Job memory job, uint256 mib)
        private
        view
        returns (address)
    {
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        if (!_isPayable(jobId, seq, range, job.terms.window)) revert NotPayable(jobId, seq);
        uint256 due = a.state == State.Again ? a.mib : k.maxMib;
        if (registry.nodeOwner(msg.sender) != range.provider) {
            // The client knows no size, and pays for what it does not know.
            if (msg.sender != job.client) revert NotYours(msg.sender);
            uint256 since = a.state == State.Again ? a.from : range.at + job.terms.window;
            if (block.timestamp < since + Parameters.ASK_FIRST) revert TooEarly(since + Parameters.ASK_FIRST);
        } else if (mib != 0 && mib < due) {
            due = mib;
        }
        if (mib != due) revert BadSize(mib, due);
        if (a.state == State.None && _isWaived(k)) revert IsWaived(jobId, seq);
        return range.provider;
    }

    /// @dev Whether the inputs may be asked for with this size. Up to MOST_INPUTS_MIB that is any that the deposit pays for.
    function _askForInputs(Keep storage k, uint64 jobId, Ask memory a, IJobBook.Job memory job, uint256 mib) private {
        if (msg.sender != job.client) revert NotYours(msg.sender);
        if (!_givesOut(job)) revert RangeIsOver(jobId, Parameters.INPUTS);
        uint256 due = mib < Parameters.MOST_INPUTS_MIB ? mib : Parameters.MOST_INPUTS_MIB;
        if (a.state == State.Again) due = a.mib;
        if (mib == 0 || mib != due) revert BadSize(mib, due);
        // Stake that comes or goes from now on changes nobody's draw.
        _inputs[jobId].asOf = (block.timestamp - 1).toUint40();
        if (a.state == State.Again) return;
        uint256 fee = _feeFor(k, mib, _inputsUntil(job) - block.timestamp);
        (uint256 free, uint256 cost) = (k.deposit - k.reserved, HoldRules.cost(fee, _least()));
        if (free < cost) revert TooLittleFree(free, cost);
        _inputs[jobId].fee = fee.toUint96();
    }

    // ------------------------------------------------------------------ ends

    /// @dev Too few have signed, or could have.
    function _failed(uint64 jobId, uint32 seq, Ask storage a) private {
        Subject memory subject = _subject(jobId, seq);
        if (!subject.due) return _drop(jobId, seq, a);
        if (a.asked < Parameters.HOLD_ASKS) {
            (a.from, a.state) = (block.timestamp.toUint40(), State.Again);
            emit HoldFailed(jobId, seq, State.Again, 0);
            return;
        }
        a.state = State.Lost;
        uint256 freed = _release(_kept[jobId], jobId, seq, a, 0);
        uint128 cut =
            seq == Parameters.INPUTS ? _fine(jobId, subject.client, freed) : _punish(jobId, seq, subject.client);
        emit HoldFailed(jobId, seq, State.Lost, cut);
    }

    /// @dev Of inputs that nobody could hold no provider has taken anything on. Their client has cost others their time and their place, and
    /// pays for it out of what was reserved for that; nobody has it, or somebody would want it to fail.
    function _fine(uint64 jobId, address client, uint256 freed) private returns (uint128 cut) {
        uint256 due = Parameters.INPUTS_LOST * _least();
        // Only where the least fee is one base unit is less left.
        cut = (due < freed ? due : freed).toUint128();
        _kept[jobId].deposit -= uint256(cut).toUint96();
        ledger.slash(client, client, 0, cut);
    }

    /// @dev A range that nobody could hold does not count, at a tenth of its value, and at least what lost inputs cost. That comes after
    /// what is due for its audit: with both, a small range that was audited at its provider's cost may cost more than it takes of the
    /// exposure, so a stake that is exposed to the last unit may not have all of it.
    function _punish(uint64 jobId, uint32 seq, address client) private returns (uint128) {
        bench.reject(jobId, seq);
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        uint32 number = registry.standingOf(range.provider).number;
        _payAudit(jobId, seq, range, number);
        uint256 penalty = HoldRules.lost(uint256(range.units) * range.price, _least());
        return bench.punish(number, _share(number, penalty), client);
    }

    /// @dev The audit has promised its auditors what the range would have brought the purse, so stake brings it: twice as much,
    /// for half of a cut is burned. And what the range has added to its provider's record goes: nobody gets one by ranges that are
    /// never paid. No more than that goes: fifteen others may have had no room for it, through no fault of its provider's.
    function _payAudit(uint64 jobId, uint32 seq, IJobBook.Range memory range, uint32 number) private {
        uint256 value = uint256(range.units) * range.price;
        (, uint256 charge) = audits.bill(jobId, seq, value);
        bench.punish(number, _share(number, 2 * charge), address(audits));
        if (audits.auditCase(jobId, seq).outcome == IAudits.Outcome.Upheld) bench.strike(number, value);
    }

    /// @dev Nobody need hold it any more. What was not spent never will be. Who gives up its inputs when it has asked for them
    /// twice has had others come for nothing all the same.
    function _drop(uint64 jobId, uint32 seq, Ask storage a) private {
        a.state = State.Dropped;
        uint256 freed = _release(_kept[jobId], jobId, seq, a, 0);
        bool isFined = seq == Parameters.INPUTS && a.asked == Parameters.HOLD_ASKS;
        uint128 cut = isFined ? _fine(jobId, jobBook.job(jobId).client, freed) : 0;
        emit HoldFailed(jobId, seq, State.Dropped, cut);
    }

    /// @dev What was reserved for an ask and has not become a fee is free again, but for the second halves of so many votes and
    /// who looks then.
    function _release(Keep storage k, uint64 jobId, uint32 seq, Ask memory a, uint256 held)
        private
        returns (uint256 freed)
    {
        uint256 left = Parameters.HOLDERS + Parameters.MOST_HELD - a.spent - a.votes - held;
        freed = left * _feeOf(k, jobId, seq, a.mib);
        if (held == 0) freed += Parameters.SPOTTERS * _least();
        k.reserved -= freed.toUint96();
    }

    // ------------------------------------------------------------------ draws

    /// @dev Whom the draws from `first` on name, on the line of the second before the submission (of inputs: before the ask),
    /// without provider and client. Only while the beacon's value is known.
    function _named(uint64 jobId, uint32 seq, uint64 round, Subject memory subject, uint32 first, uint256 wanted)
        private
        view
        returns (uint32[] memory)
    {
        uint32[] memory out = new uint32[](2);
        (out[0], out[1]) = (auditors.numberOf(subject.provider), auditors.numberOf(subject.client));
        bytes32 seed = Draw.seedOf(randomness.value(round), jobId, seq, 0);
        return auditors.drawn(seed, Draw.HOLDER, first, wanted, out, subject.asOf.toUint40());
    }

    /// @dev The owner of an auditor whose node key calls.
    function _holder(uint32 number) private view returns (address) {
        (address owner, address node, uint256 reach) = auditors.holder(number);
        if (node != msg.sender) revert NotHolder(msg.sender);
        // It had stake when it was drawn from, but who has nothing to lose now has no vote.
        if (reach == 0) revert NothingAtStake(number);
        return owner;
    }

    // ------------------------------------------------------------------ small things

    function _key(uint64 jobId, uint32 seq) private pure returns (uint256) {
        return uint256(jobId) << 32 | seq;
    }

    function _keep(uint64 jobId) private view returns (Keep storage k) {
        k = _kept[jobId];
        if (k.maxMib == 0) revert NotKept(jobId);
    }

    function _subject(uint64 jobId, uint32 seq) private view returns (Subject memory s) {
        if (seq == Parameters.INPUTS) {
            IJobBook.Job memory job = jobBook.job(jobId);
            (s.client, s.asOf) = (job.client, _inputs[jobId].asOf);
            (s.until, s.due) = (_inputsUntil(job), _givesOut(job));
            return s;
        }
        IJobBook.Range memory range = jobBook.range(jobId, seq);
        (s.client,) = jobBook.subjectOf(jobId);
        (s.provider, s.asOf, s.due) = (range.provider, range.at - 1, _isSubmitted(range));
    }

    /// @dev When nobody can need the inputs of a job any more, if it is not over before; Unix seconds.
    function _inputsUntil(IJobBook.Job memory job) private view returns (uint256) {
        uint256 last = job.terms.deadline < block.timestamp ? block.timestamp : job.terms.deadline;
        return last + Parameters.INPUTS_AFTER;
    }

    /// @dev Whether a job gives out ranges, or could again.
    function _givesOut(IJobBook.Job memory job) private pure returns (bool) {
        return job.state == IJobBook.JobState.Open || job.state == IJobBook.JobState.Draining;
    }

    function _isSubmitted(IJobBook.Range memory range) private pure returns (bool) {
        return range.state == IJobBook.RangeState.Submitted;
    }

    /// @dev Whether all but holders let the range be paid without its client.
    function _isPayable(uint64 jobId, uint32 seq, IJobBook.Range memory range, uint256 window)
        private
        view
        returns (bool mayBePaid)
    {
        if (!_isSubmitted(range) || block.timestamp < range.at + window) return false;
        (mayBePaid,) = audits.bill(jobId, seq, uint256(range.units) * range.price);
    }

    /// @dev Nobody could be paid for holding the next range, whatever its size. `mayGiveOut` lets it come to that by `close` alone: an
    /// ask takes no more than what was free for its range when that was claimed.
    function _isWaived(Keep memory k) private view returns (bool) {
        return k.maxMib == 0 || k.deposit - k.reserved < _cost(k, k.maxMib);
    }

    /// @dev The least fee of an audit, and what one who looks earns.
    function _least() private view returns (uint256) {
        return smallValue / Parameters.MIN_FEE_PART;
    }

    /// @dev What a vote earns when it is signed for content of this size that is kept so long.
    function _feeFor(Keep memory k, uint256 mib, uint256 time) private view returns (uint256) {
        return HoldRules.fee(_least(), mib, k.perMib, k.perMibDay, time);
    }

    /// @dev The same for a range.
    function _fee(Keep memory k, uint256 mib) private view returns (uint256) {
        return _feeFor(k, mib, k.keepSeconds);
    }

    /// @dev What a vote of an ask earns. Of inputs it stays what it was when they were asked for first.
    function _feeOf(Keep storage k, uint64 jobId, uint32 seq, uint256 mib) private view returns (uint256) {
        return seq == Parameters.INPUTS ? _inputs[jobId].fee : _fee(k, mib);
    }

    function _cost(Keep memory k, uint256 mib) private view returns (uint256) {
        return HoldRules.cost(_fee(k, mib), _least());
    }

    /// @dev The share of a provider's stake that so much is, billionths.
    function _share(uint32 number, uint256 amount) private view returns (uint256 share) {
        (uint256 stake, uint256 unbonding,) = registry.backing(number);
        stake += unbonding;
        if (stake == 0) return 0;
        share = (amount * Parameters.ONE + stake - 1) / stake;
        if (share > Parameters.ONE) share = Parameters.ONE;
    }
}
