// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {AuditLayout} from "./AuditLayout.sol";
import {AuditStore} from "./AuditStore.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {IJobBook} from "./interfaces/IJobBook.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {AuditRules} from "./libraries/AuditRules.sol";
import {Draw} from "./libraries/Draw.sol";
import {Facet} from "./libraries/Facet.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title Blind audits of submitted ranges.
/// @dev The purse is this contract's own account in the Ledger: shares of settled ranges and of punished auditors come in,
/// fees go out, and what it cannot pay yet stays owed. Calls go to Bench, JobBook, Registry, Auditors, Ledger and the beacon,
/// none of which calls anybody it does not know. Loops run over at most COMMITTEE seats, SAMPLES leaves. Naming and opening the
/// leaves is AuditDesk's code.
contract Audits is AuditStore {
    using SafeCast for uint256;

    /// @dev Whose work is paid: seats in this state whose answer is the winner (0: any), the fee for each of their votes, and what
    /// all of them together may get.
    struct Earners {
        SeatState state;
        bytes32 winner;
        uint256 fee;
        uint256 budget;
    }

    /// @dev The contract whose code names and opens the leaves.
    address private immutable _desk;

    modifier onlyBench() {
        if (msg.sender != address(bench)) revert NotBench(msg.sender);
        _;
    }

    constructor(Deployment memory d, address desk_) AuditLayout(d) {
        (uint128 cap,) = d.ledger.module(address(this));
        if (cap == 0 || desk_ == address(0)) revert BadDeployment();
        _desk = desk_;
    }

    // ------------------------------------------------------------------ Bench

    /// @inheritdoc IAudits
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint256 rate) external onlyBench {
        Case storage c = _cases[_key(jobId, seq)];
        // A dispute comes first: of all that is in its case nothing is left, and none of its seats counts.
        if (rate != 0 && _isDispute(c)) delete _cases[_key(jobId, seq)];
        // The rate is that of the submission: nobody gains by waiting for a better one.
        uint256 asked = rateNow(provider);
        _await(jobId, seq, c, provider, rate > asked ? rate : asked);
    }

    /// @inheritdoc IAudits
    function dispute(uint64 jobId, uint32 seq, uint32 provider, uint32 position, bytes32 claimed, uint256 worth)
        external
        onlyBench
    {
        Case storage c = _cases[_key(jobId, seq)];
        // Eight times the same.
        c.positions = uint256(position) * (type(uint256).max / type(uint32).max);
        (c.claimed, c.fee) = (claimed, _feeFor(worth));
        _await(jobId, seq, c, provider, Parameters.DISPUTED);
    }

    /// @inheritdoc IAudits
    function forget(uint32 provider) external onlyBench {
        _record[provider] = 0;
    }

    /// @inheritdoc IAudits
    function strike(uint32 provider, uint256 value) external onlyBench {
        // It may have been lost since, and begun anew.
        uint256 sum = _record[provider];
        _record[provider] = sum > value ? (sum - value).toUint128() : 0;
    }

    /// @inheritdoc IAudits
    function bill(uint64 jobId, uint32 seq, uint256 value) external view returns (bool mayPay, uint256 charge) {
        Case storage c = _cases[_key(jobId, seq)];
        if (c.state == State.Submitted) {
            // Most ranges are not audited; nobody need send a transaction to say so.
            bytes32 beacon = randomness.value(c.round);
            mayPay = beacon != 0 && randomness.lapses(c.round) == 0
                && _decision(c, jobId, seq, beacon) == AuditRules.Decision.Unaudited;
        } else {
            // What was found of one leaf says nothing of the others: a dispute lets nothing be paid, the audit that follows it does.
            mayPay = !_isDispute(c) && (c.outcome == Outcome.Unaudited || c.outcome == Outcome.Upheld);
        }
        charge = _charge(c, value, c.outcome == Outcome.Upheld);
    }

    /// @inheritdoc IAudits
    function room(uint32 provider) external view returns (uint256) {
        (uint256 stake,, uint256 exposure) = _backing(provider);
        if (stake < smallValue / Parameters.MIN_STAKE_PART) return 0;
        // Too few to overturn anybody: there are no audits yet, so nothing is claimed under them.
        if (auditors.staked() < Parameters.MIN_AUDITORS) return 0;
        uint256 carried = AuditRules.exposure(stake, rateOf(provider) * Parameters.HONEST_FIRST / Parameters.ONE);
        return carried > exposure ? carried - exposure : 0;
    }

    // ------------------------------------------------------------------ moves

    /// @inheritdoc IAudits
    function draw(uint64 jobId, uint32 seq) external {
        Case storage c = _caseIn(jobId, seq, State.Submitted);
        Subject memory subject = _subject(jobId, seq);
        // Paid already, because the beacon said so: nothing is left to be audited.
        if (subject.range.state != IJobBook.RangeState.Submitted) {
            return _close(jobId, seq, c, Outcome.Unaudited, 0);
        }
        uint8 lapses = randomness.lapses(c.round);
        bytes32 beacon = randomness.note(c.round);
        if (beacon == 0) return _missed(jobId, seq, c, lapses);
        AuditRules.Decision decision = AuditRules.Decision.AtProvidersCost;
        // Who waited for another value gains nothing by it.
        if (lapses == 0) decision = _decision(c, jobId, seq, beacon);
        if (decision == AuditRules.Decision.Unaudited) return _close(jobId, seq, c, Outcome.Unaudited, 0);
        uint8 first = 0;
        uint256 time = _isDispute(c) ? Parameters.DISPUTE_DRAW_TIME : Parameters.DRAW_TIME;
        if (block.timestamp <= subject.range.at + time) {
            uint256 wanted = _isDispute(c) ? Parameters.LEAD : AuditRules.firstVotes(subject.value, smallValue);
            first = _drawVotes(jobId, seq, c, subject, wanted);
        }
        // Nobody can be drawn, so nobody can check it, so it is not paid.
        if (first == 0) return _undecided(jobId, seq, c);
        (c.first, c.last) = (first, first);
        if (_isDispute(c)) return _askForCommitments(jobId, seq, c);
        c.atProvidersCost = decision == AuditRules.Decision.AtProvidersCost;
        c.state = State.Naming;
        c.deadline = _after(Parameters.NAME_TIME);
        emit AuditBegun(jobId, seq, c.atProvidersCost, c.deadline);
    }

    /// @inheritdoc IAudits
    function name(uint64 jobId, uint32 seq, uint32[] calldata positions) external {
        Facet.run(_desk);
    }

    /// @inheritdoc IAudits
    function commit(uint64 jobId, uint32 seq, uint8 number, bytes32 sealed_) external {
        Case storage c = _timely(jobId, seq, State.Committing);
        Seat storage s = _seatOf(jobId, seq, c, number, SeatState.Drawn);
        (, address node, uint256 reach) = _holder(s.auditor);
        if (node != msg.sender) revert NotSeatHolder(msg.sender);
        // It had stake when it was drawn from, but who has nothing to lose now has no vote.
        if (reach == 0) revert NothingAtStake(s.auditor);
        if (sealed_ == 0) revert EmptySeal();
        (s.word, s.state) = (sealed_, SeatState.Committed);
        c.waiting -= 1;
        emit AuditCommitted(jobId, seq, number, sealed_);
        if (c.waiting == 0) _afterCommitments(jobId, seq, c);
    }

    /// @inheritdoc IAudits
    function open(uint64 jobId, uint32 seq, MerkleSum.Leaf[] calldata leaves, MerkleSum.Sibling[][] calldata proofs)
        external
    {
        Facet.run(_desk);
    }

    /// @inheritdoc IAudits
    function reveal(uint64 jobId, uint32 seq, uint8 number, bytes32 answer, bytes32 salt) external {
        Case storage c = _timely(jobId, seq, State.Revealing);
        Seat storage s = _seatOf(jobId, seq, c, number, SeatState.Committed);
        (address owner,,) = _holder(s.auditor);
        bytes32 sealed_ = AuditRules.seal(jobId, seq, owner, answer, salt);
        // No leaves hash to 0, and the rules use it for "no answer".
        if (answer == 0 || sealed_ != s.word) revert WrongSeal(number);
        (s.word, s.state) = (answer, SeatState.Revealed);
        c.waiting -= 1;
        emit AuditRevealed(jobId, seq, number, answer);
        if (c.waiting == 0) _judge(jobId, seq, c);
    }

    /// @inheritdoc IAudits
    function advance(uint64 jobId, uint32 seq) external {
        Case storage c = _cases[_key(jobId, seq)];
        State state = c.state;
        if (c.deadline == 0) revert WrongState(jobId, seq, state);
        if (block.timestamp <= c.deadline) revert TooEarly(c.deadline);
        if (state == State.Naming || state == State.Opening) {
            return _overturn(jobId, seq, c, _subject(jobId, seq), Parameters.NOT_OPENED, 0);
        }
        if (state == State.Revealing) {
            _loseSeats(jobId, seq, c, SeatState.Committed, SeatState.NotRevealed, Parameters.NOT_REVEALED);
            return _judge(jobId, seq, c);
        }
        // What that costs is seen when the votes have decided: maybe nobody could have come.
        uint256 missing = _loseSeats(jobId, seq, c, SeatState.Drawn, SeatState.Absent, 0);
        // Others vote for the absent, as long as there are votes; who committed already waits for them.
        uint256 left = Parameters.COMMITTEE - c.votes;
        _drawVotes(jobId, seq, c, _subject(jobId, seq), missing < left ? missing : left);
        if (c.waiting != 0) return _askForCommitments(jobId, seq, c);
        _afterCommitments(jobId, seq, c);
    }

    /// @inheritdoc IAudits
    function collect(address owner) external returns (uint128 amount) {
        uint128 due = _owed[owner];
        uint128 purse = ledger.account(address(this)).free;
        amount = due < purse ? due : purse;
        if (amount == 0) revert NothingToCollect();
        _owed[owner] = due - amount;
        emit FeeCollected(owner, amount, due - amount);
        ILedger.Payment[] memory payments = new ILedger.Payment[](1);
        payments[0] = ILedger.Payment(owner, amount);
        ledger.lock(address(this), amount);
        ledger.move(address(this), payments);
    }

    // ------------------------------------------------------------------ stages

    /// @dev A case waits for its beacon.
    function _await(uint64 jobId, uint32 seq, Case storage c, uint32 provider, uint256 rate) private {
        c.round = randomness.roundNow();
        c.rate = rate.toUint32();
        c.provider = provider;
        c.state = State.Submitted;
        emit AuditDue(jobId, seq, c.round, provider, c.rate);
    }

    /// @dev The beacon has no value now. A move must stay, so this reverts only when nothing happened.
    function _missed(uint64 jobId, uint32 seq, Case storage c, uint8 before) private {
        uint8 lapses = randomness.lapses(c.round);
        if (lapses == before && lapses < 2) revert BeaconUnknown(c.round);
        emit AuditDelayed(jobId, seq, c.round);
        if (lapses < 2) return;
        // A forger whose draw is bad could let it lapse: then at least its record is gone.
        _record[c.provider] = 0;
        _undecided(jobId, seq, c);
    }

    /// @dev Draws so many votes, or none where nobody is left; from now on the new seats are awaited. The line is that of the
    /// second before the submission, when nobody could know what the beacon would say: joining, leaving, more or less stake
    /// since then, and the moment of the call, change no draw. Who was on it and is gone is drawn, and absent.
    function _drawVotes(uint64 jobId, uint32 seq, Case storage c, Subject memory subject, uint256 wanted)
        private
        returns (uint8 drawn)
    {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        uint256 given = c.given;
        // Without the provider's owner, the client, all who were silent here, and in a dispute the mate's owner.
        uint32[] memory out = new uint32[](given + 3);
        (out[0], out[1]) = (auditors.numberOf(subject.range.provider), auditors.numberOf(subject.client));
        if (_isDispute(c)) out[2] = auditors.numberOf(bench.accuserOf(jobId, seq, 0));
        for (uint256 n = 0; n < given; ++n) {
            if (seats[n].state >= SeatState.Absent) out[n + 3] = seats[n].auditor;
        }
        uint32[] memory numbers =
            auditors.drawn(_seed(c, jobId, seq, c.stage), Draw.AUDITOR, c.nextDraw, wanted, out, subject.range.at - 1);
        for (uint256 i = 0; i < numbers.length; ++i) {
            uint256 n = 0;
            while (n < given && seats[n].auditor != numbers[i]) ++n;
            if (n == given) seats[given++] = Seat(numbers[i], c.stage, SeatState.Drawn, 0, 0);
            seats[n].votes += 1;
            emit SeatGiven(jobId, seq, numbers[i], n.toUint8(), c.stage);
        }
        drawn = numbers.length.toUint8();
        (c.waiting, c.given, c.nextDraw) = ((given - c.given).toUint8(), given.toUint8(), c.nextDraw + drawn);
        c.votes = drawn < wanted ? uint8(Parameters.COMMITTEE) : c.votes + drawn;
    }

    function _afterCommitments(uint64 jobId, uint32 seq, Case storage c) private {
        if (_inStage(jobId, seq, c, SeatState.Committed) == 0) return _judge(jobId, seq, c);
        if (c.claimed != 0) return _askForAnswers(jobId, seq, c);
        c.state = State.Opening;
        c.deadline = _after(Parameters.OPEN_TIME);
        emit AuditOpening(jobId, seq, c.deadline);
    }

    /// @dev Counts the votes and does what they mean.
    function _judge(uint64 jobId, uint32 seq, Case storage c) private {
        Subject memory subject = _subject(jobId, seq);
        AuditRules.Verdict what;
        bytes32 winner;
        // In a dispute one of two loses all, so neither answer stands without a lead, as one that is only claimed does.
        bytes32 claimed = _isDispute(c) ? bytes32(0) : c.claimed;
        while (true) {
            uint256 more;
            (what, winner, more) =
                AuditRules.verdict(claimed, _votes(jobId, seq, c), AuditRules.Asked(c.first, c.last, c.votes));
            if (what != AuditRules.Verdict.More) break;
            c.stage += 1;
            c.nextDraw = 0;
            c.last = _drawVotes(jobId, seq, c, subject, more);
            if (c.waiting != 0) return _askForCommitments(jobId, seq, c);
            // Only people who have answered already were drawn, or nobody is left: counted once more.
        }
        if (what == AuditRules.Verdict.Unheard) {
            // Nobody of a whole committee could check it. Its provider is there to serve what its tasks need, and who invents
            // roots that nobody can look into pays what the committee would have earned, once more burned.
            if (c.claimed == 0) _feesFrom(c.provider, Parameters.MIN_TASK_FEES * _leastFee());
            return _undecided(jobId, seq, c);
        }
        if (what == AuditRules.Verdict.Overturned && winner != c.claimed) {
            return _overturn(jobId, seq, c, subject, Parameters.WRONG_RESULT, winner);
        }
        // In a dispute who leads with the provider's answer has overturned none.
        if (what == AuditRules.Verdict.Upheld || what == AuditRules.Verdict.Overturned) {
            uint256 brings = c.atProvidersCost ? _charge(c, subject.value, true) : _purseShare(subject.value);
            _pay(jobId, seq, c, Earners(SeatState.Revealed, winner, c.fee, brings));
            // A friend that disputes would be a cheap record.
            uint256 sum = _record[c.provider] + (_isDispute(c) ? 0 : subject.value);
            _record[c.provider] = sum > type(uint96).max ? type(uint96).max : sum.toUint128();
            return _close(jobId, seq, c, Outcome.Upheld, winner);
        }
        // Nothing was decided and nothing comes in: the least fee, whatever was done.
        _pay(jobId, seq, c, Earners(SeatState.Revealed, 0, _leastFee(), _purseShare(subject.value)));
        _undecided(jobId, seq, c);
    }

    /// @dev Nobody is paid for the range, and its provider loses nothing.
    function _undecided(uint64 jobId, uint32 seq, Case storage c) private {
        _close(jobId, seq, c, Outcome.Undecided, 0);
        _reject(jobId, seq);
    }

    /// @dev The provider's results do not count, and its stake pays for it, the auditors' fees first. `winner` 0: it was
    /// silent, there are no votes; who committed before has worked, how much, nobody knows.
    function _overturn(
        uint64 jobId,
        uint32 seq,
        Case storage c,
        Subject memory subject,
        uint256 severity,
        bytes32 winner
    ) private {
        _record[c.provider] = 0;
        _close(jobId, seq, c, Outcome.Overturned, winner);
        _reject(jobId, seq);
        Earners memory e = Earners(SeatState.Revealed, winner, c.fee, _purseShare(subject.value));
        if (winner == 0) (e.state, e.fee) = (SeatState.Committed, _leastFee());
        e.budget += _feesFrom(c.provider, e.fee * _count(jobId, seq, c, e));
        address to = subject.client;
        if (_isDispute(c)) {
            c.claimed = winner;
            address accuser = bench.accuserOf(jobId, seq, winner);
            if (accuser != address(0)) to = accuser;
        }
        bench.punish(c.provider, severity, to);
        _pay(jobId, seq, c, e);
    }

    /// @dev Cuts from a provider's stake what gives the purse so much, if there is so much: half of a cut is burned.
    function _feesFrom(uint32 provider, uint256 fees) private returns (uint256) {
        (uint256 stake, uint256 unbonding,) = _backing(provider);
        stake += unbonding;
        if (stake == 0 || fees == 0) return 0;
        uint256 share = (2 * fees * Parameters.ONE + stake - 1) / stake;
        if (share > Parameters.ONE) share = Parameters.ONE;
        return bench.punish(provider, share, address(this)) / 2;
    }

    /// @dev A range that is not submitted any more has nothing to be taken back; the case must end all the same.
    function _reject(uint64 jobId, uint32 seq) private {
        if (jobBook.range(jobId, seq).state != IJobBook.RangeState.Submitted) return;
        bench.reject(jobId, seq);
    }

    /// @dev Punishes who voted otherwise than the winner, and gives everybody who earned it for each vote the fee or an equal part
    /// of the budget, whichever is less. Half of what is punished adds to the budget. Who was absent pays if others hold what
    /// the tasks need and no more people were absent than came: then they could have come, too.
    function _pay(uint64 jobId, uint32 seq, Case storage c, Earners memory e) private {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        bool isFault = c.absent != 0 && 2 * uint256(c.absent) <= c.given && jobBook.isKept(jobId);
        for (uint8 i = 0; i < c.given && e.winner != 0; ++i) {
            Seat storage s = seats[i];
            if (s.state == SeatState.Revealed && s.word != e.winner) {
                uint128 cut = _cut(s.auditor, Parameters.WRONG_AUDIT);
                e.budget += cut / 2;
                emit WrongAudit(jobId, seq, i, cut);
            } else if (isFault && s.state == SeatState.Absent) {
                uint128 cut = _cut(s.auditor, Parameters.ABSENT);
                emit SeatLost(jobId, seq, i, SeatState.Absent, cut);
            }
        }
        uint256 earners = _count(jobId, seq, c, e);
        if (earners == 0) return;
        uint256 part = e.budget / earners;
        uint128 fee = (e.fee < part ? e.fee : part).toUint128();
        for (uint8 i = 0; i < c.given; ++i) {
            if (!_earns(seats[i], e)) continue;
            (address owner,,) = _holder(seats[i].auditor);
            uint128 earned = fee * seats[i].votes;
            _owed[owner] += earned;
            emit FeeEarned(jobId, seq, owner, earned);
        }
    }

    /// @dev Votes that are paid.
    function _count(uint64 jobId, uint32 seq, Case storage c, Earners memory e) private view returns (uint256 n) {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        for (uint256 i = 0; i < c.given; ++i) {
            if (_earns(seats[i], e)) n += seats[i].votes;
        }
    }

    function _earns(Seat storage s, Earners memory e) private view returns (bool) {
        return s.state == e.state && (e.winner == 0 || s.word == e.winner);
    }

    function _close(uint64 jobId, uint32 seq, Case storage c, Outcome outcome, bytes32 answer) private {
        (c.state, c.outcome, c.deadline) = (State.Closed, outcome, 0);
        emit AuditClosed(jobId, seq, outcome, answer, c.provider, _record[c.provider]);
    }

    /// @dev Cuts an auditor's stake for the purse.
    function _cut(uint32 auditor, uint256 severity) private returns (uint128) {
        return auditors.punish(auditor, severity, address(this));
    }

    /// @dev Seats of this stage that are still in `from` are lost, and this at once if `severity` is not 0. Returns their votes.
    function _loseSeats(uint64 jobId, uint32 seq, Case storage c, SeatState from, SeatState to, uint256 severity)
        private
        returns (uint256 votes)
    {
        mapping(uint256 => Seat) storage seats = _seats[_key(jobId, seq)];
        for (uint8 i = 0; i < c.given; ++i) {
            Seat storage s = seats[i];
            if (s.stage != c.stage || s.state != from) continue;
            s.state = to;
            votes += s.votes;
            uint128 cut = 0;
            if (severity == 0) c.absent += 1;
            else cut = _cut(s.auditor, severity);
            emit SeatLost(jobId, seq, i, to, cut);
        }
    }
}
