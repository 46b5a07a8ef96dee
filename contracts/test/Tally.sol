// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Replica} from "./Replica.sol";
import {Vm} from "./T.sol";
import {Audits} from "../src/Audits.sol";
import {Registry} from "../src/Registry.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IRandomness} from "../src/interfaces/IRandomness.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What became of audits and of kept ranges, reckoned from events alone: outcomes, records, what auditors are owed, and what the purse got and
/// gave. What one transaction may not do is refused at once; the rest is compared with the contracts by the invariants.
contract Tally {
    /// @dev What a case waits for: the beacon's round, 0 without a case, and the rate it decides by. `begun`: it has, and there is an audit.
    struct Due {
        uint64 round;
        uint32 rate;
        bool begun;
    }

    Replica internal immutable REPLICA;
    IRandomness internal immutable RANDOMNESS;
    Registry internal immutable REGISTRY;
    address internal immutable BOOK;
    address internal immutable AUDITORS;
    address internal immutable AUDITS;
    address internal immutable REPLICAS;
    address internal immutable TABS;
    address internal immutable HOLDERS;
    address internal immutable SPOTS;
    /// @dev Basis points of a range's value that go to the treasury.
    uint256 internal immutable FEE;

    mapping(uint256 key => IAudits.Outcome) public outcomeOf;
    mapping(IAudits.Outcome => uint256) public closed;
    mapping(uint32 provider => uint256) public record;
    mapping(address owner => uint256) public owed;
    mapping(IReplicas.Outcome => uint256) public replicas;
    mapping(address payer => mapping(bytes32 book => mapping(uint32 provider => uint256))) public tab;
    mapping(uint256 key => address) internal matePaid;
    mapping(uint256 key => bool) internal disputed;
    mapping(uint256 key => Due) internal dueOf;
    /// @dev What is left of a kept job's deposit, and how many ranges and inputs were held, lost and looked at.
    mapping(uint64 id => uint256) public deposit;
    mapping(IHolders.State => uint256) public asks;
    /// @dev Whether its client has taken something of it back, and neither anything was given out since nor has it funded all that is out.
    mapping(uint64 id => bool) public takenBack;
    uint256 public looked;
    uint256 public served;
    /// @dev What the purse has, the most that it ever had, and what it has given.
    uint256 public purse;
    uint256 public fullest;
    uint256 public collected;
    /// @dev Cases at their providers' cost, and what of their fees nothing but their ranges' charges brings in.
    mapping(uint256 key => bool) internal dear;
    mapping(uint256 key => uint256) internal booked;
    /// @dev Within one transaction.
    uint256 internal earned;
    uint256 internal slashed;
    uint256 internal worth;
    address internal overturned;
    bool internal lapsed;
    uint256 internal upheld;

    constructor(Replica replica, Registry registry, address[7] memory at, uint256 fee) {
        (REPLICA, REGISTRY, FEE) = (replica, registry, fee);
        (BOOK, AUDITORS, AUDITS, REPLICAS, TABS) = (at[0], at[1], at[2], at[3], at[4]);
        (HOLDERS, SPOTS) = (at[5], at[6]);
        RANDOMNESS = Audits(at[2]).randomness();
    }

    /// @dev The logs of one transaction, after the replica has read them.
    function feed(Vm.Log[] calldata logs) external {
        (earned, slashed, worth, overturned, lapsed, upheld) = (0, 0, 0, address(0), false, 0);
        for (uint256 i = 0; i < logs.length; ++i) {
            Vm.Log calldata log = logs[i];
            bytes32 kind = log.topics[0];
            if (log.emitter == AUDITS) onAudits(kind, log);
            else if (log.emitter == BOOK && kind == IJobBook.RangeSettled.selector) onSettled(log);
            else if (log.emitter == BOOK && kind == IJobBook.MateSettled.selector) onMateSettled(log);
            // Given out only where the deposit reaches for it and for all that are out: from now on what is out can be asked for.
            else if (log.emitter == BOOK && kind == IJobBook.RangeClaimed.selector) takenBack[idOf(log)] = false;
            else if (log.emitter == REPLICAS) onReplicas(kind, log);
            else if (log.emitter == TABS) onTabs(log);
            else if (log.emitter == HOLDERS || log.emitter == SPOTS) onHolders(kind, log);
            else if (log.emitter == AUDITORS && kind == IAuditors.AuditorSlashed.selector) onSlashed(log);
            else if (log.emitter == address(REGISTRY) && kind == IRegistry.StakeSlashed.selector) onSlashed(log);
        }
        require(earned <= worth / 2 + slashed, "a case costs the purse no more than it brings in");
        if (dear[upheld] && earned > slashed) booked[upheld] = earned - slashed;
        if (overturned == address(0)) return;
        IRegistry.Provider memory p = REGISTRY.provider(overturned);
        require(p.stake == 0 && p.unbonding == 0, "who is overturned has no stake left");
    }

    function idOf(Vm.Log calldata log) internal pure returns (uint64) {
        return uint64(uint256(log.topics[1]));
    }

    function keyOf(Vm.Log calldata log) internal pure returns (uint256) {
        return uint256(log.topics[1]) << 32 | uint256(log.topics[2]);
    }

    function onAudits(bytes32 kind, Vm.Log calldata log) internal {
        if (kind == IAudits.AuditClosed.selector) {
            onClosed(log);
        } else if (kind == IAudits.AuditDue.selector) {
            (uint64 round,, uint32 rate) = abi.decode(log.data, (uint64, uint32, uint32));
            onDue(keyOf(log), rate == Parameters.DISPUTED);
            dueOf[keyOf(log)] = Due(round, rate, false);
        } else if (kind == IAudits.AuditBegun.selector) {
            dueOf[keyOf(log)].begun = true;
            (dear[keyOf(log)],) = abi.decode(log.data, (bool, uint40));
        } else if (kind == IAudits.AuditDelayed.selector) {
            lapsed = true;
        } else if (kind == IAudits.FeeEarned.selector) {
            uint256 amount = abi.decode(log.data, (uint128));
            owed[address(uint160(uint256(log.topics[3])))] += amount;
            earned += amount;
        } else if (kind == IAudits.FeeCollected.selector) {
            (uint128 amount, uint128 left) = abi.decode(log.data, (uint128, uint128));
            address owner = address(uint160(uint256(log.topics[1])));
            // Checked: neither can become negative.
            owed[owner] -= amount;
            purse -= amount;
            collected += amount;
            require(left == owed[owner], "what is still owed");
            require(left == 0 || purse == 0, "paid as far as the purse reaches");
        }
    }

    /// @dev A dispute whose provider was right is followed by the ordinary audit: the case begins anew, and only so.
    function onDue(uint256 key, bool dispute) internal {
        IAudits.Outcome before = outcomeOf[key];
        if (before != IAudits.Outcome.Open) {
            require(disputed[key] && before == IAudits.Outcome.Upheld && !dispute, "a case begins once");
            closed[before] -= 1;
            outcomeOf[key] = IAudits.Outcome.Open;
        }
        disputed[key] = dispute;
    }

    function onClosed(Vm.Log calldata log) internal {
        (IAudits.Outcome outcome,, uint32 provider, uint128 after_) =
            abi.decode(log.data, (IAudits.Outcome, bytes32, uint32, uint128));
        uint256 key = keyOf(log);
        require(outcomeOf[key] == IAudits.Outcome.Open && outcome != IAudits.Outcome.Open, "a case is closed once");
        outcomeOf[key] = outcome;
        closed[outcome] += 1;
        (uint64 id, uint32 seq) = (uint64(key >> 32), uint32(key));
        worth = REPLICA.value(id, seq);
        if (outcome == IAudits.Outcome.Upheld && !disputed[key]) {
            record[provider] += worth;
            upheld = key;
        }
        // Delayed and closed at once: its beacon is lost.
        if (outcome == IAudits.Outcome.Overturned || lapsed) record[provider] = 0;
        require(after_ == record[provider], "record");
        if (outcome == IAudits.Outcome.Overturned) overturned = REPLICA.range(id, seq).provider;
    }

    /// @dev What neither the provider nor the treasury gets of an audited range goes to the purse: a fiftieth at least, half at most.
    function onSettled(Vm.Log calldata log) internal {
        (, uint128 fee,) = abi.decode(log.data, (uint128, uint128, bytes32));
        (uint64 id, uint32 seq) = (uint64(uint256(log.topics[1])), uint32(uint256(log.topics[2])));
        uint256 value = REPLICA.value(id, seq);
        uint256 charge = fee - value * FEE / 10_000;
        if (REPLICA.job(id).terms.audited) {
            require(value / 50 <= charge && charge <= value / 2, "charge");
            require(isCleared(id, seq), "paid before its audit has upheld it, and not spared one");
        } else {
            require(charge == 0, "plain work pays no audits");
        }
        gets(charge);
    }

    /// @dev Whether a range may be paid as far as audits go: its own has upheld it, whatever a dispute about one leaf has, or the
    /// beacon has spared it one, which needs no transaction. Never while a case is open, or when it was overturned or undecided.
    function isCleared(uint64 id, uint32 seq) internal view returns (bool) {
        uint256 key = uint256(id) << 32 | seq;
        Due memory d = dueOf[key];
        if (d.round == 0 || disputed[key]) return false;
        IAudits.Outcome outcome = outcomeOf[key];
        if (outcome != IAudits.Outcome.Open) {
            return outcome == IAudits.Outcome.Upheld || outcome == IAudits.Outcome.Unaudited;
        }
        bytes32 beacon = RANDOMNESS.value(d.round);
        if (d.begun || beacon == 0 || RANDOMNESS.lapses(d.round) != 0) return false;
        return AuditRules.decide(Draw.seedOf(beacon, id, seq, 0), d.rate) == AuditRules.Decision.Unaudited;
    }

    /// @dev A mate pays its share of the audits, and none of its primary's.
    function onMateSettled(Vm.Log calldata log) internal {
        address owner = address(uint160(uint256(log.topics[3])));
        if (owner == address(0)) return;
        (, uint128 fee) = abi.decode(log.data, (uint128, uint128));
        uint256 value = REPLICA.value(uint64(uint256(log.topics[1])), uint32(uint256(log.topics[2])));
        uint256 charge = fee - value * FEE / 10_000;
        require(charge == value / 50, "the mate's charge");
        require(matePaid[keyOf(log)] == address(0), "a mate is paid once");
        matePaid[keyOf(log)] = owner;
        gets(charge);
    }

    /// @dev Who is silent after its commitment, or wrong, loses its record and all that it has.
    function onReplicas(bytes32 kind, Vm.Log calldata log) internal {
        if (kind == IReplicas.ReplicaClosed.selector) {
            replicas[abi.decode(log.data, (IReplicas.Outcome))] += 1;
            return;
        }
        bool silent = kind == IReplicas.PrimaryLost.selector;
        if (kind == IReplicas.MateLost.selector) {
            (IReplicas.Fault why,) = abi.decode(log.data, (IReplicas.Fault, uint128));
            silent = why != IReplicas.Fault.Late;
        }
        if (!silent) return;
        uint32 number = uint32(uint256(log.topics[3]));
        record[number] = 0;
        IRegistry.Provider memory p = REGISTRY.providerByNumber(number);
        require(p.stake == 0 && p.unbonding == 0, "who is silent has no stake left");
    }

    /// @dev A deposit is what was funded, less fees, less what came back. What of it is reserved, the invariants say.
    function onHolders(bytes32 kind, Vm.Log calldata log) internal {
        uint64 id = idOf(log);
        if (kind == IHolders.KeepFunded.selector) {
            (, uint96 amount, uint96 left) = abi.decode(log.data, (IHolders.Prices, uint96, uint96));
            deposit[id] += amount;
            require(left == deposit[id], "the deposit after it was funded");
            if (reaches(id)) takenBack[id] = false;
        } else if (kind == IHolders.KeepClosed.selector) {
            (uint96 amount, uint96 left) = abi.decode(log.data, (uint96, uint96));
            deposit[id] -= amount;
            takenBack[id] = true;
            require(left == deposit[id], "the deposit after it was closed");
        } else if (kind == IHolders.Held.selector) {
            (, uint96 fee) = abi.decode(log.data, (uint8, uint96));
            deposit[id] -= fee;
        } else if (kind == ISpots.Spotted.selector) {
            (,, uint96 fee) = abi.decode(log.data, (uint8, uint16, uint96));
            deposit[id] -= fee;
            looked += 1;
        } else if (kind == ISpots.SpotOver.selector) {
            (uint16 bits, uint96 fee) = abi.decode(log.data, (uint16, uint96));
            for (; bits != 0; bits >>= 1) {
                if (bits & 1 == 0) continue;
                deposit[id] -= fee;
                served += 1;
            }
        } else if (kind == IHolders.RangeHeld.selector) {
            asks[IHolders.State.Held] += 1;
        } else if (kind == IHolders.HoldFailed.selector) {
            (IHolders.State state, uint128 cut) = abi.decode(log.data, (IHolders.State, uint128));
            asks[state] += 1;
            // A provider's cut is not of the deposit.
            if (uint32(uint256(log.topics[2])) == type(uint32).max) deposit[id] -= cut;
            else if (state == IHolders.State.Lost) onLost(keyOf(log));
        }
    }

    /// @dev Whether what is free of a deposit reaches for all that is out and one more, each as large as there may be.
    function reaches(uint64 id) internal view returns (bool) {
        IHolders holders = IHolders(HOLDERS);
        IHolders.Keep memory k = holders.kept(id);
        return k.deposit - k.reserved >= (IJobBook(BOOK).outstanding(id) + 1) * holders.costFor(id, k.maxMib);
    }

    /// @dev A range that nobody could hold brings the purse no less than if it were paid, as far as its provider's stake goes; and what
    /// its audit has added to the record is gone, if it was audited.
    function onLost(uint256 key) internal {
        (uint64 id, uint32 seq) = (uint64(key >> 32), uint32(key));
        IRegistry.Provider memory p = REGISTRY.provider(REPLICA.range(id, seq).provider);
        uint256 value = REPLICA.value(id, seq);
        bool isWhole = slashed >= booked[key] && slashed >= value / 50;
        require(isWhole || p.stake + p.unbonding == 0, "what nobody could hold costs the purse nothing");
        if (outcomeOf[key] != IAudits.Outcome.Upheld) return;
        uint256 sum = record[p.number];
        record[p.number] = sum > value ? sum - value : 0;
    }

    /// @dev A tab only grows, and what it grows by is paid.
    function onTabs(Vm.Log calldata log) internal {
        (bytes32 book, uint128 total, uint128 paid, uint128 fee,,) =
            abi.decode(log.data, (bytes32, uint128, uint128, uint128, uint64, bytes32));
        uint32 number = uint32(uint256(log.topics[2]));
        address payer = address(uint160(uint256(log.topics[1])));
        // Checked: no total shrinks.
        uint256 due = total - tab[payer][book][number];
        require(due != 0 && paid + fee == due && fee == due * FEE / 10_000, "what is due, less the fee");
        require(address(uint160(uint256(log.topics[3]))) == REPLICA.ownerOf(number), "to the owner");
        tab[payer][book][number] = total;
    }

    function onSlashed(Vm.Log calldata log) internal {
        (uint128 given, uint128 burned) = abi.decode(log.data, (uint128, uint128));
        require(burned >= given && burned - given <= 1, "half of a cut is burned");
        if (address(uint160(uint256(log.topics[2]))) != AUDITS) return;
        slashed += given;
        gets(given);
    }

    /// @dev Who was paid as the mate of a range.
    function mateOf(uint64 id, uint32 seq) external view returns (address) {
        return matePaid[uint256(id) << 32 | seq];
    }

    function gets(uint256 amount) internal {
        purse += amount;
        if (purse > fullest) fullest = purse;
    }
}
