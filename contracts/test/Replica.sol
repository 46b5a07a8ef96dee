// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Vm} from "./T.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";

/// @dev What an indexer would do: rebuilds the state of all contracts from their events alone, with no call to them.
/// The sizing rules (pace) and the clock are written here a second time, in the plainest way. Times of events without one are
/// those of their block, which is fed as soon as it is there.
contract Replica {
    struct JobCopy {
        IJobBook.JobState state;
        address client;
        IJobBook.Terms terms;
        uint128 escrow;
        uint32 next;
        uint32 returnedTasks;
        uint32 settledTasks;
        uint32 ranges;
        uint32 outstanding;
        uint32 failures;
        bytes32 resultRoot;
        uint40 openedAt;
        uint256 blockTime;
        uint32 blockUnclaimed;
    }

    mapping(address => ILedger.Account) internal accounts_;
    mapping(address => IRegistry.Provider) internal providers_;
    mapping(uint64 => JobCopy) internal jobs_;
    mapping(uint64 => mapping(uint32 => IJobBook.Range)) internal ranges_;
    mapping(uint64 => mapping(address => IJobBook.Pace)) internal paces_;
    mapping(uint64 => mapping(uint32 => uint256)) public timesPaid;
    mapping(address => uint128) public moduleLocked;
    mapping(uint32 number => address) public ownerOf;
    /// @dev Bonds of those that wait in a job, or have left it and may still be drawn.
    mapping(uint64 => mapping(uint32 number => uint96)) public bondOf;
    uint64 public jobCount;

    address internal immutable LEDGER;
    address internal immutable REGISTRY;
    address internal immutable BOOK;
    address internal immutable WAITING;
    uint256 internal immutable smallValue;
    address internal constant BURN_ACCOUNT = 0x000000000000000000000000000000000000dEaD;

    constructor(address ledger, address registry, address book, address waiting, uint256 smallValue_) {
        (LEDGER, REGISTRY, BOOK, WAITING, smallValue) = (ledger, registry, book, waiting, smallValue_);
    }

    function account(address a) external view returns (ILedger.Account memory) {
        return accounts_[a];
    }

    function provider(address a) external view returns (IRegistry.Provider memory) {
        return providers_[a];
    }

    function job(uint64 id) external view returns (JobCopy memory) {
        return jobs_[id];
    }

    function range(uint64 id, uint32 seq) external view returns (IJobBook.Range memory) {
        return ranges_[id][seq];
    }

    function pace(uint64 id, address a) external view returns (IJobBook.Pace memory) {
        return paces_[id][a];
    }

    function feed(Vm.Log[] calldata logs) external {
        for (uint256 i = 0; i < logs.length; ++i) {
            Vm.Log calldata log = logs[i];
            if (log.emitter == LEDGER) onLedger(log);
            else if (log.emitter == REGISTRY) onRegistry(log);
            else if (log.emitter == BOOK) onBook(log);
            else if (log.emitter == WAITING) onWaiting(log);
        }
    }

    function addressAt(Vm.Log calldata log, uint256 n) internal pure returns (address) {
        return address(uint160(uint256(log.topics[n])));
    }

    // ---------------------------------------------------------------- ledger

    function onLedger(Vm.Log calldata log) internal {
        bytes32 kind = log.topics[0];
        if (kind == ILedger.Deposited.selector || kind == ILedger.Withdrawn.selector) {
            (, uint128 free) = abi.decode(log.data, (uint128, uint128));
            accounts_[addressAt(log, 1)].free = free;
        } else if (kind == ILedger.Locked.selector || kind == ILedger.Unlocked.selector) {
            (uint128 amount, uint128 free, uint128 locked) = abi.decode(log.data, (uint128, uint128, uint128));
            accounts_[addressAt(log, 2)] = ILedger.Account(free, locked);
            if (kind == ILedger.Locked.selector) moduleLocked[addressAt(log, 1)] += amount;
            else moduleLocked[addressAt(log, 1)] -= amount;
        } else if (kind == ILedger.Moved.selector) {
            (uint128 amount, uint128 fromLocked, uint128 toFree) = abi.decode(log.data, (uint128, uint128, uint128));
            accounts_[addressAt(log, 2)].locked = fromLocked;
            accounts_[addressAt(log, 3)].free = toFree;
            moduleLocked[addressAt(log, 1)] -= amount;
        } else if (kind == ILedger.Burned.selector) {
            (uint128 amount, uint128 fromLocked, uint128 burned) = abi.decode(log.data, (uint128, uint128, uint128));
            accounts_[addressAt(log, 2)].locked = fromLocked;
            accounts_[BURN_ACCOUNT].free = burned;
            moduleLocked[addressAt(log, 1)] -= amount;
        } else if (kind == ILedger.BurnedDestroyed.selector) {
            accounts_[BURN_ACCOUNT].free = 0;
        } else {
            revert("a ledger event that the replica does not know");
        }
    }

    // ---------------------------------------------------------------- registry

    function onRegistry(Vm.Log calldata log) internal {
        bytes32 kind = log.topics[0];
        address owner = addressAt(log, 1);
        IRegistry.Provider storage p = providers_[owner];
        if (kind == IRegistry.ProviderRegistered.selector) {
            (uint16 slots, IRegistry.Attributes memory a, uint128 stake) =
                abi.decode(log.data, (uint16, IRegistry.Attributes, uint128));
            (p.number, p.owner, p.node) = (uint32(uint256(log.topics[2])), owner, addressAt(log, 3));
            (p.slots, p.attributes, p.stake) = (slots, a, stake);
            ownerOf[p.number] = owner;
        } else if (kind == IRegistry.ProviderUpdated.selector) {
            (p.slots, p.attributes) = abi.decode(log.data, (uint16, IRegistry.Attributes));
        } else if (kind == IRegistry.EndpointChanged.selector) {
            (p.endpointId,) = abi.decode(log.data, (bytes32, bytes));
        } else if (kind == IRegistry.NodeChanged.selector) {
            p.node = addressAt(log, 2);
        } else if (kind == IRegistry.PausedChanged.selector) {
            p.paused = abi.decode(log.data, (bool));
        } else if (kind == IRegistry.StakeAdded.selector) {
            (, p.stake) = abi.decode(log.data, (uint128, uint128));
        } else if (kind == IRegistry.UnstakeStarted.selector) {
            (, p.stake, p.unbonding, p.unbondingReadyAt) = abi.decode(log.data, (uint128, uint128, uint128, uint40));
        } else if (kind == IRegistry.StakeWithdrawn.selector) {
            (p.unbonding, p.unbondingReadyAt) = (0, 0);
        } else if (kind == IRegistry.StakeSlashed.selector) {
            (,, p.stake, p.unbonding) = abi.decode(log.data, (uint128, uint128, uint128, uint128));
        } else {
            revert("a registry event that the replica does not know");
        }
    }

    // ---------------------------------------------------------------- mates

    /// @dev A bond is exposure until it is freed; whoever comes back on its old terms never had it back.
    function onWaiting(Vm.Log calldata log) internal {
        bytes32 kind = log.topics[0];
        (uint64 id, uint32 number) = (uint64(uint256(log.topics[1])), uint32(uint256(log.topics[2])));
        IRegistry.Provider storage p = providers_[ownerOf[number]];
        if (kind == IWaiting.ProviderWaits.selector) {
            (uint96 bond,) = abi.decode(log.data, (uint96, uint96));
            require(bondOf[id][number] == 0 || bondOf[id][number] == bond, "another bond before the old one is free");
            p.exposure += bond - bondOf[id][number];
            bondOf[id][number] = bond;
        } else if (kind == IWaiting.BondFreed.selector) {
            uint96 bond = abi.decode(log.data, (uint96));
            require(bond == bondOf[id][number], "the bond");
            p.exposure -= bond;
            bondOf[id][number] = 0;
        } else {
            require(kind == IWaiting.ProviderLeft.selector, "an event of Waiting that the replica does not know");
        }
    }

    // ---------------------------------------------------------------- jobs

    function onBook(Vm.Log calldata log) internal {
        bytes32 kind = log.topics[0];
        uint64 id = uint64(uint256(log.topics[1]));
        if (kind == IJobBook.JobDry.selector || kind == IJobBook.JobCallback.selector) return;
        if (kind == IJobBook.JobOpened.selector) {
            onOpened(id, log);
        } else if (kind == IJobBook.JobFunded.selector) {
            (, jobs_[id].escrow) = abi.decode(log.data, (uint128, uint128));
        } else if (kind == IJobBook.JobDraining.selector) {
            jobs_[id].state = IJobBook.JobState.Draining;
        } else if (kind == IJobBook.JobReopened.selector) {
            jobs_[id].state = IJobBook.JobState.Open;
        } else if (kind == IJobBook.JobCancelled.selector) {
            (jobs_[id].state, jobs_[id].escrow) = (IJobBook.JobState.Cancelling, 0);
        } else if (kind == IJobBook.JobDone.selector) {
            onDone(id, log);
        } else if (kind == IJobBook.RangeClaimed.selector) {
            onClaimed(id, log);
        } else if (kind == IJobBook.RangeSubmitted.selector) {
            onSubmitted(id, log);
        } else if (kind == IJobBook.RangeSettled.selector) {
            onSettled(id, log);
        } else if (kind == IJobBook.MateSettled.selector) {
            onMateSettled(id, log);
        } else if (kind == IJobBook.RangeUnsealed.selector) {
            IJobBook.Range storage r = ranges_[id][uint32(uint256(log.topics[2]))];
            require(r.state == IJobBook.RangeState.Submitted && jobs_[id].terms.replicas == 2, "unsealed");
            r.root = abi.decode(log.data, (bytes32));
        } else if (kind == IJobBook.RangeReleased.selector) {
            onReleased(id, log);
        } else if (kind == IJobBook.RangeExpired.selector) {
            onExpired(id, log);
        } else if (kind == IJobBook.RangeRejected.selector) {
            onRejected(id, log);
        } else {
            revert("a job event that the replica does not know");
        }
    }

    function onOpened(uint64 id, Vm.Log calldata log) internal {
        require(id == ++jobCount, "jobs are numbered without gaps");
        JobCopy storage j = jobs_[id];
        (IJobBook.Terms memory t, uint128 escrow, uint40 time) = abi.decode(log.data, (IJobBook.Terms, uint128, uint40));
        require(log.topics[3] == t.program, "program");
        (j.state, j.client, j.terms, j.escrow) = (IJobBook.JobState.Open, addressAt(log, 2), t, escrow);
        j.openedAt = time;
    }

    function onDone(uint64 id, Vm.Log calldata log) internal {
        (jobs_[id].state,,,) = abi.decode(log.data, (IJobBook.JobState, bytes32, uint32, uint128));
        jobs_[id].escrow = 0;
    }

    function onClaimed(uint64 id, Vm.Log calldata log) internal {
        JobCopy storage j = jobs_[id];
        uint32 seq = uint32(uint256(log.topics[2]));
        address owner = addressAt(log, 3);
        (uint32 from, uint32 count, uint96 price, uint128 escrow, uint40 time) =
            abi.decode(log.data, (uint32, uint32, uint96, uint128, uint40));
        newBlock(j);
        require(seq == j.ranges && price == price_(j, time, j.blockUnclaimed), "claim");
        j.ranges += 1;
        j.outstanding += 1;
        j.escrow = escrow;
        if (from == j.next) j.next += count;
        else j.returnedTasks -= count;
        ranges_[id][seq] = IJobBook.Range(owner, IJobBook.RangeState.Claimed, from, count, 0, 0, time, price, 0);
        providers_[owner].held += 1;
        providers_[owner].exposure += parts(id) * ceiling(id, seq);
    }

    function onSubmitted(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        IJobBook.Range storage r = ranges_[id][seq];
        require(r.state == IJobBook.RangeState.Claimed, "submitted without a claim");
        uint40 claimedAt = r.at;
        uint128 escrow;
        (r.root, r.units, r.failures,, escrow, r.at) =
            abi.decode(log.data, (bytes32, uint64, uint32, bytes32, uint128, uint40));
        r.state = IJobBook.RangeState.Submitted;
        jobs_[id].escrow = escrow;
        jobs_[id].failures += r.failures;
        IRegistry.Provider storage p = providers_[r.provider];
        p.held -= 1;
        p.exposure -= parts(id) * ceiling(id, seq) - exposed(id, seq);
        pace_(jobs_[id].terms, paces_[id][r.provider], claimedAt, r.at, r.count);
    }

    function pace_(IJobBook.Terms storage t, IJobBook.Pace storage p, uint40 claimedAt, uint40 time, uint32 count)
        internal
    {
        uint40 since = claimedAt > p.lastSubmittedAt ? claimedAt : p.lastSubmittedAt;
        p.busySeconds += uint32(time - since);
        p.tasks += count;
        if (p.busySeconds > 4 * (uint32(t.targetSeconds) + 1)) {
            p.busySeconds /= 2;
            p.tasks /= 2;
        }
        if (time - claimedAt > t.rangeTimeout) {
            p.cap = 0;
        } else {
            uint32 cap = p.cap == 0 ? t.firstRange : p.cap;
            p.cap = 2 * count > cap ? 2 * count : cap;
        }
        p.lastSubmittedAt = time;
    }

    function onSettled(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        IJobBook.Range storage r = ranges_[id][seq];
        JobCopy storage j = jobs_[id];
        require(r.state == IJobBook.RangeState.Submitted, "paid for a range that is not submitted");
        (uint128 paid, uint128 fee, bytes32 root) = abi.decode(log.data, (uint128, uint128, bytes32));
        require(paid + fee == value(id, seq), "paid is units x price");
        j.resultRoot = keccak256(abi.encodePacked(j.resultRoot, seq, r.from, r.count, r.root, r.units, r.failures));
        require(root == j.resultRoot, "accumulator");
        r.state = IJobBook.RangeState.Settled;
        j.settledTasks += r.count;
        j.outstanding -= 1;
        providers_[r.provider].exposure -= exposed(id, seq);
        timesPaid[id][seq] += 1;
    }

    /// @dev Said before the range is settled: its second part is paid, or comes back.
    function onMateSettled(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        require(ranges_[id][seq].state == IJobBook.RangeState.Submitted, "a mate of a range that is not submitted");
        (uint128 paid, uint128 fee) = abi.decode(log.data, (uint128, uint128));
        require(paid + fee == value(id, seq) && jobs_[id].terms.replicas == 2, "as much as the other part");
        if (addressAt(log, 3) != address(0)) return;
        require(fee == 0, "nobody's part pays nothing");
        jobs_[id].escrow += paid;
    }

    function onReleased(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        (uint8 releases,, uint128 escrow) = abi.decode(log.data, (uint8, uint128, uint128));
        paces_[id][ranges_[id][seq].provider].releases = releases;
        comesBack(id, seq, IJobBook.RangeState.Released, escrow);
    }

    function onExpired(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        (, uint128 escrow) = abi.decode(log.data, (uint128, uint128));
        paces_[id][ranges_[id][seq].provider].cap = 0;
        comesBack(id, seq, IJobBook.RangeState.Expired, escrow);
    }

    function onRejected(uint64 id, Vm.Log calldata log) internal {
        uint32 seq = uint32(uint256(log.topics[2]));
        IJobBook.Range storage r = ranges_[id][seq];
        require(r.state == IJobBook.RangeState.Submitted, "rejected without a submission");
        newBlock(jobs_[id]);
        r.state = IJobBook.RangeState.Rejected;
        jobs_[id].escrow = abi.decode(log.data, (uint128));
        jobs_[id].outstanding -= 1;
        jobs_[id].failures -= r.failures;
        jobs_[id].returnedTasks += r.count;
        providers_[r.provider].exposure -= exposed(id, seq);
    }

    function comesBack(uint64 id, uint32 seq, IJobBook.RangeState state, uint128 escrow) internal {
        IJobBook.Range storage r = ranges_[id][seq];
        require(r.state == IJobBook.RangeState.Claimed, "came back without a claim");
        newBlock(jobs_[id]);
        r.state = state;
        jobs_[id].escrow = escrow;
        jobs_[id].outstanding -= 1;
        jobs_[id].returnedTasks += r.count;
        IRegistry.Provider storage p = providers_[r.provider];
        p.held -= 1;
        p.exposure -= parts(id) * ceiling(id, seq);
    }

    /// @dev Before something is claimed or comes back: remembers how much was left when the block began.
    function newBlock(JobCopy storage j) internal {
        if (j.blockTime == block.timestamp) return;
        (j.blockTime, j.blockUnclaimed) = (block.timestamp, unclaimed(j));
    }

    function unclaimed(JobCopy storage j) internal view returns (uint32) {
        return j.terms.taskCount - j.next + j.returnedTasks;
    }

    /// @dev The price at a time, with so many tasks unclaimed: how late the job is, in 65535ths of an eighth of its time.
    function price_(JobCopy storage j, uint256 time, uint256 left) internal view returns (uint256) {
        IJobBook.Terms storage t = j.terms;
        if (t.finishSeconds == 0) return t.price;
        uint256 slack = t.finishSeconds / 8;
        int256 due = int256((t.finishSeconds - slack) * (t.taskCount - left));
        int256 late = int256((time - j.openedAt) * t.taskCount) - due;
        int256 level = late * 65535 / int256(slack * t.taskCount);
        if (level < 0) level = 0;
        if (level > 65535) level = 65535;
        return t.floorPrice + uint256(t.price - t.floorPrice) * uint256(level) ** 2 / 65535 ** 2;
    }

    /// @dev What a claim would pay now.
    function priceNow(uint64 id) external view returns (uint256) {
        JobCopy storage j = jobs_[id];
        return price_(j, block.timestamp, j.blockTime == block.timestamp ? j.blockUnclaimed : unclaimed(j));
    }

    /// @dev Most units of a range.
    function mostUnits(uint64 id, uint32 seq) public view returns (uint256) {
        IJobBook.Terms storage t = jobs_[id].terms;
        return uint256(ranges_[id][seq].count) * t.unitCap + t.prepareCap;
    }

    /// @dev How often everything is reserved.
    function parts(uint64 id) public view returns (uint128) {
        return jobs_[id].terms.replicas == 0 ? 1 : 2;
    }

    /// @dev Largest value of a range.
    function ceiling(uint64 id, uint32 seq) public view returns (uint128) {
        return uint128(mostUnits(id, seq) * ranges_[id][seq].price);
    }

    /// @dev What a submitted range takes of its provider's exposure: its value, in audited jobs at least fifteen ten-thousandths of
    /// the small value; for both of its parts, if it has a mate.
    function exposed(uint64 id, uint32 seq) public view returns (uint128) {
        uint128 least = jobs_[id].terms.audited ? uint128(smallValue / 10_000 * 15) : 0;
        return parts(id) * (value(id, seq) < least ? least : value(id, seq));
    }

    /// @dev Value of a submitted range.
    function value(uint64 id, uint32 seq) public view returns (uint128) {
        return uint128(uint256(ranges_[id][seq].units) * ranges_[id][seq].price);
    }
}
