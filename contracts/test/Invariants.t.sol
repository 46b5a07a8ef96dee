// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Network} from "./Network.sol";
import {Replica} from "./Replica.sol";
import {T, Vm} from "./T.sol";
import {Trees} from "./Trees.sol";
import {Auditors} from "../src/Auditors.sol";
import {Audits} from "../src/Audits.sol";
import {JobBook} from "../src/JobBook.sol";
import {Ledger} from "../src/Ledger.sol";
import {Registry} from "../src/Registry.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev What became of audits, reckoned from events alone: outcomes, records, what auditors are owed, and what the purse got and
/// gave. What one transaction may not do is refused at once; the rest is compared with the contracts by the invariants.
contract Tally {
    Replica internal immutable REPLICA;
    Registry internal immutable REGISTRY;
    address internal immutable BOOK;
    address internal immutable AUDITORS;
    address internal immutable AUDITS;
    /// @dev Basis points of a range's value that go to the treasury.
    uint256 internal immutable FEE;

    mapping(uint256 key => IAudits.Outcome) public outcomeOf;
    mapping(IAudits.Outcome => uint256) public closed;
    mapping(uint32 provider => uint256) public record;
    mapping(address owner => uint256) public owed;
    /// @dev What the purse has, the most that it ever had, and what it has given.
    uint256 public purse;
    uint256 public fullest;
    uint256 public collected;
    /// @dev Within one transaction.
    uint256 internal earned;
    uint256 internal slashed;
    uint256 internal worth;
    address internal overturned;
    bool internal lapsed;

    constructor(Replica replica, Registry registry, address[3] memory at, uint256 fee) {
        (REPLICA, REGISTRY, FEE) = (replica, registry, fee);
        (BOOK, AUDITORS, AUDITS) = (at[0], at[1], at[2]);
    }

    /// @dev The logs of one transaction, after the replica has read them.
    function feed(Vm.Log[] calldata logs) external {
        (earned, slashed, worth, overturned, lapsed) = (0, 0, 0, address(0), false);
        for (uint256 i = 0; i < logs.length; ++i) {
            Vm.Log calldata log = logs[i];
            bytes32 kind = log.topics[0];
            if (log.emitter == AUDITS) onAudits(kind, log);
            else if (log.emitter == BOOK && kind == IJobBook.RangeSettled.selector) onSettled(log);
            else if (log.emitter == AUDITORS && kind == IAuditors.AuditorSlashed.selector) onSlashed(log);
            else if (log.emitter == address(REGISTRY) && kind == IRegistry.StakeSlashed.selector) onSlashed(log);
        }
        require(earned <= worth / 2 + slashed, "a case costs the purse no more than it brings in");
        if (overturned == address(0)) return;
        IRegistry.Provider memory p = REGISTRY.provider(overturned);
        require(p.stake == 0 && p.unbonding == 0, "who is overturned has no stake left");
    }

    function keyOf(Vm.Log calldata log) internal pure returns (uint256) {
        return uint256(log.topics[1]) << 32 | uint256(log.topics[2]);
    }

    function onAudits(bytes32 kind, Vm.Log calldata log) internal {
        if (kind == IAudits.AuditClosed.selector) {
            onClosed(log);
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

    function onClosed(Vm.Log calldata log) internal {
        (IAudits.Outcome outcome,, uint32 provider, uint128 after_) =
            abi.decode(log.data, (IAudits.Outcome, bytes32, uint32, uint128));
        uint256 key = keyOf(log);
        require(outcomeOf[key] == IAudits.Outcome.Open && outcome != IAudits.Outcome.Open, "a case is closed once");
        outcomeOf[key] = outcome;
        closed[outcome] += 1;
        (uint64 id, uint32 seq) = (uint64(key >> 32), uint32(key));
        worth = REPLICA.value(id, seq);
        if (outcome == IAudits.Outcome.Upheld) record[provider] += worth;
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
        if (REPLICA.job(id).terms.audited) require(value / 50 <= charge && charge <= value / 2, "charge");
        else require(charge == 0, "plain work pays no audits");
        gets(charge);
    }

    function onSlashed(Vm.Log calldata log) internal {
        (uint128 given, uint128 burned) = abi.decode(log.data, (uint128, uint128));
        require(burned >= given && burned - given <= 1, "half of a cut is burned");
        if (address(uint160(uint256(log.topics[2]))) != AUDITS) return;
        slashed += given;
        gets(given);
    }

    function gets(uint256 amount) internal {
        purse += amount;
        if (purse > fullest) fullest = purse;
    }
}

/// @dev How a case is played to its end.
enum End {
    Unheard,
    Divided,
    Framed,
    Unnamed,
    Unopened,
    Upheld
}

/// @dev Does what clients, providers and strangers may try, in any order and with any arguments. Calls may be refused; what
/// was accepted is in the events, which go to the replica.
contract Crowd is T {
    uint256 internal constant CLIENTS = 2;
    uint256 internal constant PROVIDERS = 3;
    uint256 public constant AUDITORS = 7;

    Ledger internal ledger;
    Registry internal registry;
    JobBook internal book;
    Replica internal replica;
    Auditors internal auditors;
    Audits internal audits;
    Tally internal tally;
    uint40 internal now_;
    uint256 internal block_ = 1_000;
    uint64 internal drawnJob;
    uint32 internal drawnSeq;
    /// @dev What somebody committed to last.
    mapping(uint64 => mapping(uint32 => mapping(uint8 seat => bytes32))) internal said;
    bytes32 internal constant SALT = "salt";
    /// @dev A client and a provider whom nobody else acts for, so that nothing keeps them from working.
    address public constant STEADY_CLIENT = address(0xC0FF);
    address public constant STEADY_OWNER = address(0xA0FF);
    uint256 public constant STEADY = 0xFF;
    /// @dev Accepted calls per kind, to see that the crowd gets somewhere.
    mapping(bytes4 => uint256) public accepted;

    constructor(
        Ledger ledger_,
        Registry registry_,
        JobBook book_,
        Replica replica_,
        Auditors auditors_,
        Audits audits_,
        Tally tally_
    ) {
        (ledger, registry, book, replica) = (ledger_, registry_, book_, replica_);
        (auditors, audits, tally) = (auditors_, audits_, tally_);
        now_ = 1_800_000_000;
    }

    /// @dev Provider 0's owner is client 0 as well: working on one's own jobs must break nothing.
    function client(uint256 n) public pure returns (address) {
        return address(uint160(0xC000 + n % CLIENTS));
    }

    function owner(uint256 n) public pure returns (address) {
        return n % PROVIDERS == 0 ? client(0) : address(uint160(0xA000 + n % PROVIDERS));
    }

    function node(uint256 n) public pure returns (address) {
        return vm.addr(0xB000 + n % PROVIDERS);
    }

    /// @dev As many auditors as audited work asks for, each its own node key.
    function auditorOf(uint256 n) public pure returns (address) {
        return address(uint160(0xD000 + n % AUDITORS));
    }

    function act(address sender, address to, bytes memory data) internal {
        vm.warp(now_);
        vm.roll(block_);
        vm.recordLogs();
        vm.prank(sender);
        (bool done,) = to.call(data);
        // Logs of a refused call are recorded, too, though no chain would show them.
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (!done) return;
        replica.feed(logs);
        tally.feed(logs);
        accepted[bytes4(data)] += 1;
    }

    /// @dev Mostly one of the last four, which are not over yet, and seldom one of those that `work` has been through with.
    function someJob(uint256 n) internal view returns (uint64 id) {
        uint256 all = replica.jobCount();
        id = uint64(n % 4 != 0 && all > 4 ? all - (n >> 2) % 4 : n % (all + 1));
        for (uint256 i = 0; i < 8 && id > 1 && replica.job(id).client == STEADY_CLIENT; ++i) {
            --id;
        }
    }

    function someSeq(uint64 id, uint256 n) internal view returns (uint32) {
        return uint32(n % (uint256(replica.job(id).ranges) + 1));
    }

    function seqs(uint64 id, uint256 n) internal view returns (uint32[] memory list) {
        list = new uint32[](n % 6);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = someSeq(id, uint256(keccak256(abi.encode(n, i))));
        }
    }

    function open(uint256 who, uint256 seed, uint96 funds) external {
        IJobBook.Terms memory t;
        t.specHash = bytes32(seed | 1);
        t.taskCount = uint32(1 + seed % 60);
        t.unitCap = uint64(1 + (seed >> 8) % 50);
        t.prepareCap = uint64((seed >> 16) % 3 == 0 ? (seed >> 20) % 40 : 0);
        t.price = uint96(1 + (seed >> 32) % 1e6);
        t.window = uint32(10 + (seed >> 48) % 30);
        t.rangeTimeout = uint32(5 + (seed >> 56) % 40);
        t.targetSeconds = uint16(1 + (seed >> 64) % 5);
        t.parallelism = uint16(1 + (seed >> 72) % 3);
        t.firstRange = uint32(1 + (seed >> 80) % 4);
        t.deadline = now_ + uint40(60 + (seed >> 88) % 3000);
        t.maxFailures = uint32((seed >> 96) % 20);
        t.requiredClass = (seed >> 104) % 4 == 0 ? 2 : 0;
        t.program = bytes32(seed >> 200);
        t.audited = (seed >> 128) % 3 == 0;
        // Mostly worth an audit, or few audited jobs would be opened.
        if (t.audited && (seed >> 136) % 8 != 0) (t.unitCap, t.price) = (t.unitCap + 7, t.price + 1e6);
        if ((seed >> 112) % 2 == 0) {
            t.floorPrice = uint96(1 + (seed >> 120) % t.price);
            t.finishSeconds = uint32(16 + (seed >> 152) % 200);
        }
        act(client(who), address(book), abi.encodeCall(IJobBook.open, (t, uint128(bound(funds, 0, 3e9)))));
    }

    function topUp(uint256 who, uint256 j, uint96 funds) external {
        act(client(who), address(book), abi.encodeCall(IJobBook.topUp, (someJob(j), uint128(bound(funds, 0, 1e9)))));
    }

    function cancel(uint256 who, uint256 j, uint8 seldom) external {
        if (seldom % 8 == 0) act(client(who), address(book), abi.encodeCall(IJobBook.cancel, (someJob(j))));
    }

    function claim(uint256 who, uint256 j, uint32 want) public {
        act(node(who), address(book), abi.encodeCall(IJobBook.claim, (someJob(j), want % 50, 0)));
    }

    /// @dev Claims again, so that there is always something to submit.
    function claimMore(uint256 who, uint256 j, uint32 want) external {
        claim(who, j, want);
    }

    function submit(uint256 who, uint256 j, uint256 n, uint64 units, uint32 failures) external {
        uint64 id = someJob(j);
        uint32 seq = heldSeq(id, n);
        address sender = replica.provider(replica.range(id, seq).provider).node;
        if (who % 4 == 0) sender = node(who / 4);
        units = uint64(bound(units, 0, replica.mostUnits(id, seq) + 1));
        failures %= 4;
        // Some hand in what they cannot open.
        bytes32 root = n % 8 == 0 ? keccak256(abi.encode(n)) : rootOf(id, seq, units, failures);
        act(sender, address(book), abi.encodeCall(IJobBook.submit, (id, seq, root, units, failures, bytes32(n))));
    }

    /// @dev A claimed range, if a few tries find one.
    function heldSeq(uint64 id, uint256 n) internal view returns (uint32 seq) {
        seq = someSeq(id, n);
        for (uint256 i = 0; i < 8 && replica.range(id, seq).state != IJobBook.RangeState.Claimed; ++i) {
            seq = someSeq(id, uint256(keccak256(abi.encode(n, i))));
        }
    }

    /// @dev Submits what somebody really holds, and claims on.
    function submitAndClaim(uint256 j, uint256 n, uint64 units, uint32 failures, uint32 want) external {
        uint64 id = someJob(j);
        uint32 seq = heldSeq(id, n);
        IRegistry.Provider memory p = replica.provider(replica.range(id, seq).provider);
        units = uint64(bound(units, 0, replica.mostUnits(id, seq)));
        failures %= 2;
        bytes32 root = rootOf(id, seq, units, failures);
        act(
            p.node,
            address(book),
            abi.encodeCall(IJobBook.submitAndClaim, (id, seq, root, units, failures, 0, want % 50, 0))
        );
    }

    /// @dev Mostly who holds the range gives it back.
    function release(uint256 who, uint256 j, uint256 n) external {
        uint64 id = someJob(j);
        uint32 seq = heldSeq(id, n);
        address sender = replica.provider(replica.range(id, seq).provider).node;
        if (who % 4 == 0) sender = node(who / 4);
        act(sender, address(book), abi.encodeCall(IJobBook.release, (id, seq)));
    }

    function expire(uint256 j, uint256 n) external {
        uint64 id = someJob(j);
        uint32[] memory list = seqs(id, n);
        if (list.length != 0) list[0] = heldSeq(id, n);
        act(address(0xE), address(book), abi.encodeCall(IJobBook.expire, (id, list)));
    }

    function acknowledge(uint256 who, uint256 j, uint256 n) external {
        uint64 id = someJob(j);
        act(client(who), address(book), abi.encodeCall(IJobBook.acknowledge, (id, seqs(id, n))));
    }

    function settle(uint256 j, uint256 n) external {
        uint64 id = someJob(j);
        act(address(0xE), address(book), abi.encodeCall(IJobBook.settle, (id, seqs(id, n))));
    }

    function finish(uint256 j) external {
        act(address(0xE), address(book), abi.encodeCall(IJobBook.finish, (someJob(j))));
    }

    function stake(uint256 who, uint96 amount, uint8 what) external {
        bytes memory data = abi.encodeCall(IRegistry.addStake, (uint128(bound(amount, 0, 1e8))));
        if (what % 4 == 1) data = abi.encodeCall(IRegistry.unstake, (uint128(bound(amount, 0, 1e9))));
        if (what % 4 == 2) data = abi.encodeCall(IRegistry.withdrawStake, ());
        if (what % 4 == 3) data = abi.encodeCall(IRegistry.setPaused, (amount % 4 == 0));
        act(owner(who), address(registry), data);
    }

    function changeProvider(uint256 who, uint16 slots, uint64 class) external {
        IRegistry.Attributes memory a = IRegistry.Attributes(class % 4, 1, 1, "");
        act(owner(who), address(registry), abi.encodeCall(IRegistry.update, (slots % 5, a)));
    }

    function withdraw(uint256 who, uint96 amount) external {
        act(client(who), address(ledger), abi.encodeCall(ILedger.withdraw, (uint128(bound(amount, 0, 1e9)))));
    }

    /// @dev What happens around an audit: everybody may move, be late or lie, so cases come to many outcomes.
    function audit(uint256 j, uint256 n, uint8 what, uint8 seat) external {
        uint64 id = someJob(j);
        uint32 seq = someSeq(id, n);
        for (uint256 i = 0; i < 8 && audits.auditCase(id, seq).state == IAudits.State.None; ++i) {
            seq = someSeq(id, uint256(keccak256(abi.encode(n, i))));
        }
        // Mostly the last case that was drawn, or none would get far.
        bool open_ = audits.auditCase(drawnJob, drawnSeq).deadline != 0;
        if (what % 3 != 0 && open_) (id, seq) = (drawnJob, drawnSeq);
        IAudits.Case memory c = audits.auditCase(id, seq);
        if (c.state == IAudits.State.Submitted) {
            act(address(0xE), address(audits), abi.encodeCall(IAudits.draw, (id, seq)));
            if (audits.auditCase(id, seq).state == IAudits.State.Naming) (drawnJob, drawnSeq) = (id, seq);
        } else if (c.state == IAudits.State.Naming && what % 4 != 0) {
            nameLeaves(id, seq, c);
        } else if (c.state == IAudits.State.Committing && what % 4 != 0) {
            // Mostly what the leaves say.
            commitTo(id, seq, seat % c.given, n % 8 == 0 ? bytes32(uint256(1)) : answerTo(id, seq, c));
        } else if (c.state == IAudits.State.Opening && what % 4 != 0) {
            openLeaves(id, seq, c);
        } else if (c.state == IAudits.State.Revealing && what % 8 != 0) {
            revealAll(id, seq, c);
        } else {
            if (what % 2 == 0 && c.deadline > now_) now_ = c.deadline + 1;
            act(address(0xE), address(audits), abi.encodeCall(IAudits.advance, (id, seq)));
        }
    }

    function nameLeaves(uint64 id, uint32 seq, IAudits.Case memory c) internal {
        address sender = replica.provider(replica.range(id, seq).provider).node;
        act(sender, address(audits), abi.encodeCall(IAudits.name, (id, seq, positions(id, seq, c))));
    }

    function commitTo(uint64 id, uint32 seq, uint8 number, bytes32 answer) internal {
        IAudits.Seat memory s = audits.seat(id, seq, number);
        IAuditors.Auditor memory a = auditors.auditor(s.auditor);
        if (s.state == IAudits.SeatState.Drawn) said[id][seq][number] = answer;
        bytes32 sealed_ = seal(id, seq, a.owner, answer);
        act(a.node, address(audits), abi.encodeCall(IAudits.commit, (id, seq, number, sealed_)));
    }

    function openLeaves(uint64 id, uint32 seq, IAudits.Case memory c) internal {
        MerkleSum.Leaf[] memory all = leaves(id, seq);
        MerkleSum.Leaf[] memory drawn = new MerkleSum.Leaf[](8);
        MerkleSum.Sibling[][] memory proofs = new MerkleSum.Sibling[][](8);
        for (uint256 i = 0; i < 8; ++i) {
            uint256 at = uint32(c.positions >> 32 * i);
            (drawn[i], proofs[i]) = (all[at], Trees.prove(all, at));
        }
        act(address(0xE), address(audits), abi.encodeCall(IAudits.open, (id, seq, drawn, proofs)));
    }

    function revealAll(uint64 id, uint32 seq, IAudits.Case memory c) internal {
        for (uint8 number = 0; number < c.given; ++number) {
            if (audits.seat(id, seq, number).state != IAudits.SeatState.Committed) continue;
            bytes32 answer = said[id][seq][number];
            act(address(0xE), address(audits), abi.encodeCall(IAudits.reveal, (id, seq, number, answer, SALT)));
        }
    }

    /// @dev Somebody is paid what it has earned as far as the purse reaches.
    function collect(uint256 who) public {
        act(address(0xE), address(audits), abi.encodeCall(IAudits.collect, (auditorOf(who))));
    }

    /// @dev Plays a case that the crowd has left open to one of its ends.
    function judge(uint256 n, uint8 end) external {
        uint256 jobs = replica.jobCount();
        for (uint256 back = 0; back < 4 && back < jobs; ++back) {
            uint64 id = uint64(jobs - (n % 4 + back) % (jobs < 4 ? jobs : 4));
            if (!replica.job(id).terms.audited) continue;
            uint32 ranges = replica.job(id).ranges;
            for (uint32 seq = 0; seq < ranges; ++seq) {
                IAudits.State state = audits.auditCase(id, seq).state;
                if (state == IAudits.State.None || state == IAudits.State.Closed) continue;
                return play(id, seq, End(end % 6));
            }
        }
    }

    /// @dev Whole work of those who are steady, up to the payment of what was upheld. How its case ends is for the auditors and
    /// its provider to choose, all but `Divided`, which the draw of the votes may decide after all.
    function work(uint8 end) public returns (IAudits.Outcome) {
        uint64 id = steadyJob();
        if (id == 0) return IAudits.Outcome.Open;
        uint32 count = replica.range(id, 0).count;
        bytes memory submission =
            abi.encodeCall(IJobBook.submit, (id, 0, rootOf(id, 0, uint64(count) * 8, 0), uint64(count) * 8, 0, 0));
        act(vm.addr(0xB000 + STEADY), address(book), submission);
        play(id, 0, End(end % 6));
        uint32[] memory list = new uint32[](1);
        act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.acknowledge, (id, list)));
        return audits.auditCase(id, 0).outcome;
    }

    function workSometimes(uint8 end, uint8 seldom) external {
        if (seldom % 4 == 0) work(end);
    }

    /// @dev A job with a claimed range, and people with so much stake that it can be audited. 0: none was opened.
    function steadyJob() internal returns (uint64 id) {
        for (uint256 i = 0; i < AUDITORS; ++i) {
            address who = auditorOf(i);
            if (auditors.auditor(auditors.numberOf(who)).stake >= 1e7) continue;
            act(who, address(auditors), abi.encodeCall(IAuditors.addStake, (1e8)));
        }
        if (replica.provider(STEADY_OWNER).stake < 4e9) {
            act(STEADY_OWNER, address(registry), abi.encodeCall(IRegistry.addStake, (4e9)));
        }
        // The line of stakes is read as of the second before a submission.
        (now_, block_) = (now_ + 2, block_ + 1);
        IJobBook.Terms memory t;
        (t.specHash, t.taskCount, t.unitCap, t.price) = (bytes32(uint256(1)), 4, 8, 1e8);
        (t.window, t.rangeTimeout, t.targetSeconds, t.parallelism) = (30, 100, 5, 1);
        (t.firstRange, t.deadline, t.audited) = (4, now_ + 1000, true);
        uint256 before = replica.jobCount();
        act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.open, (t, 32e8)));
        if (replica.jobCount() == before) return 0;
        id = uint64(before + 1);
        act(vm.addr(0xB000 + STEADY), address(book), abi.encodeCall(IJobBook.claim, (id, 4, 0)));
    }

    function play(uint64 id, uint32 seq, End end) internal {
        // Fifteen votes, each asked alone, with all that comes before and after.
        for (uint256 i = 0; i < 64; ++i) {
            IAudits.Case memory c = audits.auditCase(id, seq);
            if (c.state == IAudits.State.None || c.state == IAudits.State.Closed) return;
            if (c.state == IAudits.State.Submitted) {
                block_ += 3;
                act(address(0xE), address(audits), abi.encodeCall(IAudits.draw, (id, seq)));
                continue;
            }
            if (c.state == IAudits.State.Naming && end != End.Unnamed) nameLeaves(id, seq, c);
            else if (c.state == IAudits.State.Committing && end != End.Unheard) commitAll(id, seq, c, end);
            else if (c.state == IAudits.State.Opening && end != End.Unopened) openLeaves(id, seq, c);
            else if (c.state == IAudits.State.Revealing) revealAll(id, seq, c);
            IAudits.Case memory later = audits.auditCase(id, seq);
            if (later.state != c.state || later.stage != c.stage || later.deadline == 0) continue;
            if (now_ <= later.deadline) now_ = later.deadline + 1;
            act(address(0xE), address(audits), abi.encodeCall(IAudits.advance, (id, seq)));
        }
    }

    function commitAll(uint64 id, uint32 seq, IAudits.Case memory c, End end) internal {
        bytes32 truth = answerTo(id, seq, c);
        for (uint8 number = 0; number < c.given; ++number) {
            if (audits.seat(id, seq, number).state != IAudits.SeatState.Drawn) continue;
            bytes32 answer = truth;
            if (end == End.Framed) answer = "another";
            if (end == End.Divided) answer = bytes32(uint256(number) + 1);
            commitTo(id, seq, number, answer);
        }
    }

    function positions(uint64 id, uint32 seq, IAudits.Case memory c) internal view returns (uint32[] memory list) {
        IJobBook.Range memory r = replica.range(id, seq);
        uint256 leaves_ = uint256(r.count) + (replica.job(id).terms.prepareCap == 0 ? 0 : 1);
        bytes32 seed = Draw.seedOf(audits.randomness().value(c.round), id, seq, 0);
        list = new uint32[](8);
        for (uint32 i = 0; i < 8; ++i) {
            (bool byUnits, uint256 value) = Draw.pick(seed, i, leaves_, r.units);
            uint256 at = value;
            if (byUnits) {
                MerkleSum.Leaf[] memory all = leaves(id, seq);
                for (at = 0; value >= all[at].units; ++at) {
                    value -= all[at].units;
                }
            }
            list[i] = uint32(at);
        }
    }

    /// @dev Leaves of a range as the crowd hands them in: what a task may take at most until the units are used up. The prepare
    /// leaf takes first.
    function leaves(uint64 id, uint32 seq) internal view returns (MerkleSum.Leaf[] memory) {
        return leavesWith(id, seq, replica.range(id, seq).units, replica.range(id, seq).failures);
    }

    function leavesWith(uint64 id, uint32 seq, uint256 units, uint256 failures)
        internal
        view
        returns (MerkleSum.Leaf[] memory list)
    {
        IJobBook.Range memory r = replica.range(id, seq);
        IJobBook.Terms memory t = replica.job(id).terms;
        uint256 prepare = t.prepareCap == 0 ? 0 : 1;
        list = new MerkleSum.Leaf[](r.count + prepare);
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 most = i < prepare ? t.prepareCap : t.unitCap;
            uint64 taken = uint64(units < most ? units : most);
            units -= taken;
            uint32 index = i < prepare ? MerkleSum.PREPARE_INDEX : uint32(r.from + i - prepare);
            list[i] = MerkleSum.Leaf(id, index, i < failures ? 1 : 0, 0, 0, taken);
        }
    }

    function rootOf(uint64 id, uint32 seq, uint64 units, uint32 failures) internal view returns (bytes32 root) {
        if (replica.range(id, seq).count == 0) return "nothing";
        (root,) = MerkleSum.recomputeRoot(leavesWith(id, seq, units, failures));
    }

    function answerTo(uint64 id, uint32 seq, IAudits.Case memory c) internal view returns (bytes32) {
        MerkleSum.Leaf[] memory all = leaves(id, seq);
        bytes32[] memory hashes = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            hashes[i] = MerkleSum.leafHash(all[uint32(c.positions >> 32 * i)]);
        }
        return AuditRules.answer(hashes);
    }

    function seal(uint64 id, uint32 seq, address who, bytes32 answer) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(block.chainid, address(audits), id, seq, who, answer, SALT));
    }

    function auditorsStake(uint256 who, uint96 amount, uint8 what) external {
        bytes memory data = abi.encodeCall(IAuditors.addStake, (uint128(bound(amount, 0, 1e7))));
        if (what % 4 == 1) data = abi.encodeCall(IAuditors.unstake, (uint128(bound(amount, 0, 2e7))));
        if (what % 4 == 2) data = abi.encodeCall(IAuditors.withdrawStake, ());
        act(auditorOf(who), address(auditors), data);
    }

    function destroyBurned(uint8 seldom) external {
        if (seldom % 8 == 0) act(address(0xE), address(ledger), abi.encodeCall(ILedger.destroyBurned, ()));
    }

    function wait_(uint256 seconds_) external {
        now_ += uint40(bound(seconds_, 1, seconds_ % 16 == 0 ? 8 days : 30));
        block_ += bound(seconds_ >> 8, 1, 4);
        vm.warp(now_);
    }
}

contract InvariantsTest is Network {
    Replica internal replica;
    Tally internal tally;
    Crowd internal crowd;

    /// @dev The crowd's jobs are worth less than 5e9, so all have the shortest windows.
    function small() internal pure override returns (uint256) {
        return 5e9;
    }

    function minStake() internal pure override returns (uint128) {
        return 1e7;
    }

    function setUp() public override {
        super.setUp();
        replica = new Replica(address(ledger), address(registry), address(book), small());
        tally = new Tally(replica, registry, [address(book), address(auditors), address(audits)], FEE_BPS);
        crowd = new Crowd(ledger, registry, book, replica, auditors, audits, tally);
        vm.recordLogs();
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            address auditor = crowd.auditorOf(i);
            fund(auditor, 1e11);
            vm.prank(auditor);
            auditors.join(auditor, 5e8);
        }
        for (uint256 i = 0; i < 2; ++i) {
            fund(crowd.client(i), 1e10);
        }
        for (uint256 i = 0; i < 3; ++i) {
            (address owner, address node) = (crowd.owner(i), crowd.node(i));
            fund(owner, 1e9);
            IRegistry.Consent memory agreed = consent(i, owner);
            vm.prank(owner);
            registry.register(node, uint16(1 + i), attributes(), 0, "", 1e8, agreed);
        }
        fund(crowd.STEADY_CLIENT(), 1e13);
        fund(crowd.STEADY_OWNER(), 1e13);
        (address steady, address key) = (crowd.STEADY_OWNER(), nodeOf(crowd.STEADY()));
        IRegistry.Consent memory given = consent(crowd.STEADY(), steady);
        vm.prank(steady);
        registry.register(key, 4, attributes(), 0, "", 4e9, given);
        replica.feed(vm.getRecordedLogs());
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(crowd);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev `workSometimes` is for the crowd: a case in every call would take all the time there is.
    function excludeSelectors() public view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0].addr = address(crowd);
        list[0].selectors = new bytes4[](1);
        list[0].selectors[0] = Crowd.work.selector;
    }

    function everyone() internal view returns (address[] memory all) {
        all = new address[](11 + crowd.AUDITORS());
        for (uint256 i = 0; i < 2; ++i) {
            all[i] = crowd.client(i);
        }
        (all[2], all[3]) = (crowd.owner(1), crowd.owner(2));
        (all[4], all[5], all[6]) = (TREASURY, ledger.BURN_ACCOUNT(), CLIENT);
        (all[7], all[8]) = (address(0xE), address(audits));
        (all[9], all[10]) = (crowd.STEADY_CLIENT(), crowd.STEADY_OWNER());
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            all[11 + i] = crowd.auditorOf(i);
        }
    }

    /// forge-config: default.invariant.runs = 40
    /// forge-config: default.invariant.depth = 120
    function invariant_everything() public view {
        moneyIsConserved();
        lockedMoneyHasAReason();
        ledgerAndRegistryFollowFromEvents();
        auditsFollowFromEvents();
        for (uint64 id = 1; id <= replica.jobCount(); ++id) {
            jobFollowsFromEvents(id);
        }
        eq(book.jobCount(), replica.jobCount(), "every job is in the events");
    }

    /// @dev Wherever the crowd has come to, every end of a case can still be reached, and pays whom it should.
    function afterInvariant() public {
        // A provider with a record is not always audited: it loses it first, if it has one.
        for (uint256 i = 0; i < 16 && audits.record(4) != 0; ++i) {
            crowd.work(uint8(End.Unnamed));
        }
        reaches(End.Unheard, IAudits.Outcome.Undecided);
        reaches(End.Framed, IAudits.Outcome.Overturned);
        reaches(End.Unopened, IAudits.Outcome.Overturned);
        reaches(End.Upheld, IAudits.Outcome.Upheld);
        ok(tally.purse() > 0, "an upheld range leaves something in the purse");
        uint256 before = tally.collected();
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            crowd.collect(i);
        }
        ok(tally.collected() > before, "auditors are paid out of it");
        invariant_everything();
    }

    function reaches(End end, IAudits.Outcome outcome) internal {
        uint256 before = tally.closed(outcome);
        ok(crowd.work(uint8(end)) == outcome, string.concat("end number ", vm.toString(uint256(end))));
        eq(tally.closed(outcome), before + 1, "and is counted once");
    }

    /// @dev Outcomes are those of the events, ranges are where their outcome puts them, and purse, fees and records are what the
    /// events add up to, to the unit.
    function auditsFollowFromEvents() internal view {
        eq(free(address(audits)), tally.purse(), "the purse: charges and halves of cuts, less what was collected");
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            address who = crowd.auditorOf(i);
            eq(audits.owed(who), tally.owed(who), "earned and not collected");
        }
        for (uint32 number = 1; number <= 4; ++number) {
            eq(audits.record(number), tally.record(number), "record from events");
        }
        uint256[5] memory seen;
        for (uint64 id = 1; id <= replica.jobCount(); ++id) {
            if (!replica.job(id).terms.audited) continue;
            for (uint32 seq = 0; seq < replica.job(id).ranges; ++seq) {
                seen[uint256(caseFollowsFromEvents(id, seq))] += 1;
            }
        }
        for (uint256 i = 1; i < seen.length; ++i) {
            eq(seen[i], tally.closed(IAudits.Outcome(i)), "as many cases as events say");
        }
    }

    function caseFollowsFromEvents(uint64 id, uint32 seq) internal view returns (IAudits.Outcome) {
        IAudits.Case memory c = audits.auditCase(id, seq);
        IJobBook.RangeState state = replica.range(id, seq).state;
        ok(c.outcome == tally.outcomeOf(uint256(id) << 32 | seq), "outcome from events");
        ok((c.state == IAudits.State.Closed) == (c.outcome != IAudits.Outcome.Open), "closed with an outcome");
        bool rejected = c.outcome == IAudits.Outcome.Overturned || c.outcome == IAudits.Outcome.Undecided;
        ok(rejected == (state == IJobBook.RangeState.Rejected), "rejected by an audit, and by nothing else");
        if (state == IJobBook.RangeState.Settled) {
            // What the beacon spares needs no transaction of its own.
            bool spared = c.state == IAudits.State.Submitted || c.outcome == IAudits.Outcome.Unaudited;
            ok(spared || c.outcome == IAudits.Outcome.Upheld, "paid if spared or upheld");
        }
        bool judged = state == IJobBook.RangeState.Submitted || state == IJobBook.RangeState.Settled || rejected;
        ok(judged == (c.state != IAudits.State.None), "a case for what was handed in");
        return c.outcome;
    }

    function moneyIsConserved() internal view {
        uint256 sum = 0;
        address[] memory all = everyone();
        for (uint256 i = 0; i < all.length; ++i) {
            sum += free(all[i]) + locked(all[i]);
        }
        eq(sum, token.balanceOf(address(ledger)), "sum of all accounts = tokens held");
        eq(token.totalSupply(), address(token).balance, "each token is one coin");
    }

    /// @dev Locked money of an account = escrow of its jobs + ceilings of claimed + value of submitted ranges + its stake, as
    /// provider or as auditor.
    function lockedMoneyHasAReason() internal view {
        address[] memory all = everyone();
        uint256[] memory inJobsOf = moneyInJobs(all);
        uint256 inJobs = 0;
        uint256 inStake = 0;
        uint256 inAudits = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            IRegistry.Provider memory p = registry.provider(all[i]);
            uint256 jobs = inJobsOf[i];
            IAuditors.Auditor memory a = auditors.auditor(auditors.numberOf(all[i]));
            uint256 stake = uint256(p.stake) + p.unbonding;
            uint256 auditing = uint256(a.stake) + a.leaving;
            eq(locked(all[i]), jobs + stake + auditing, "locked money has a reason");
            inJobs += jobs;
            inStake += stake;
            inAudits += auditing;
        }
        (, uint128 held) = ledger.module(address(book));
        eq(held, inJobs, "the JobBook's share");
        eq(held, replica.moduleLocked(address(book)), "from events");
        (, held) = ledger.module(address(registry));
        eq(held, inStake, "the Registry's share");
        eq(held, replica.moduleLocked(address(registry)), "from events");
        (, held) = ledger.module(address(auditors));
        eq(held, inAudits, "the Auditors' share");
        (, held) = ledger.module(address(audits));
        // What it has, `auditsFollowFromEvents` says.
        eq(held, 0, "the purse is free money");
    }

    /// @dev By the client's place in a list.
    function moneyInJobs(address[] memory all) internal view returns (uint256[] memory sums) {
        sums = new uint256[](all.length);
        for (uint64 id = 1; id <= book.jobCount(); ++id) {
            IJobBook.Job memory j = book.job(id);
            uint256 who = 0;
            while (all[who] != j.client) ++who;
            sums[who] += j.escrow;
            for (uint32 seq = 0; seq < j.ranges; ++seq) {
                IJobBook.RangeState state = book.range(id, seq).state;
                if (state == IJobBook.RangeState.Claimed) sums[who] += replica.ceiling(id, seq);
                if (state == IJobBook.RangeState.Submitted) sums[who] += replica.value(id, seq);
            }
        }
    }

    function ledgerAndRegistryFollowFromEvents() internal view {
        address[] memory all = everyone();
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i] == CLIENT) continue; // funded before the recording
            bytes32 real = keccak256(abi.encode(ledger.account(all[i])));
            eq(real, keccak256(abi.encode(replica.account(all[i]))), "account from events");
            IRegistry.Provider memory p = registry.provider(all[i]);
            IRegistry.Provider memory copy = replica.provider(all[i]);
            eq(keccak256(abi.encode(p)), keccak256(abi.encode(copy)), "provider from events");
            ok(p.held <= 8 && (p.number == 0 || p.slots >= 1), "held ranges are bounded");
        }
    }

    function jobFollowsFromEvents(uint64 id) internal view {
        IJobBook.Job memory j = book.job(id);
        Replica.JobCopy memory copy = replica.job(id);
        eq(j.client, copy.client, "client");
        eq(j.escrow, copy.escrow, "escrow");
        eq(j.ranges, copy.ranges, "ranges");
        eq(j.outstanding, copy.outstanding, "outstanding");
        eq(j.settledTasks, copy.settledTasks, "settled");
        eq(j.failures, copy.failures, "failures");
        eq(j.resultRoot, copy.resultRoot, "result root");
        eq(j.unclaimed, copy.terms.taskCount - copy.next + copy.returnedTasks, "unclaimed");
        bool shown = copy.state == IJobBook.JobState.Open && j.state == IJobBook.JobState.Draining;
        ok(shown || j.state == copy.state, "state");
        if (j.state != IJobBook.JobState.None) eq(j.price, replica.priceNow(id), "price in force");
        ok(j.price <= copy.terms.price && j.price >= copy.terms.floorPrice, "price within floor and cap");
        (copy.terms.program, copy.terms.contact) = (0, "");
        eq(keccak256(abi.encode(j.terms)), keccak256(abi.encode(copy.terms)), "terms");
        uint256 alive = 0;
        uint256 outstanding = 0;
        for (uint32 seq = 0; seq < j.ranges; ++seq) {
            IJobBook.Range memory r = book.range(id, seq);
            eq(keccak256(abi.encode(r)), keccak256(abi.encode(replica.range(id, seq))), "range from events");
            ok(replica.timesPaid(id, seq) == (r.state == IJobBook.RangeState.Settled ? 1 : 0), "paid once or never");
            if (r.state == IJobBook.RangeState.Claimed || r.state == IJobBook.RangeState.Submitted) ++outstanding;
            if (r.state <= IJobBook.RangeState.Settled) alive += r.count;
        }
        eq(outstanding, j.outstanding, "outstanding ranges");
        eq(alive + j.unclaimed, j.terms.taskCount, "every task is in one live range or unclaimed");
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 real = keccak256(abi.encode(book.pace(id, crowd.owner(i))));
            eq(real, keccak256(abi.encode(replica.pace(id, crowd.owner(i)))), "pace from events");
        }
    }

    /// @dev The crowd must get somewhere, or the invariants above say nothing.
    function test_theCrowdReachesEveryState() public {
        uint256 seed = 7;
        for (uint256 i = 0; i < 2400; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 a = seed >> 16;
            uint256 b = seed >> 80;
            uint256 what = seed % 32;
            if (what == 0) crowd.open(a, seed >> 24, uint96(b));
            else if (what == 1) crowd.topUp(a, b, uint96(seed >> 24));
            else if (what == 2) crowd.cancel(a, b, uint8(seed >> 24));
            else if (what < 7) crowd.claim(a, b, uint32(seed >> 24));
            else if (what < 11) crowd.submitAndClaim(a, b, uint64(seed >> 24), uint32(seed >> 32), uint32(seed >> 40));
            else if (what == 11) crowd.submit(a, b, seed >> 24, uint64(seed >> 24), uint32(seed >> 32));
            else if (what == 12) crowd.release(a, b, seed >> 24);
            else if (what == 13) crowd.expire(a, b);
            else if (what < 16) crowd.acknowledge(a, b, seed >> 24);
            else if (what < 18) crowd.settle(a, b);
            else if (what == 18) crowd.finish(a);
            else if (what == 19) crowd.stake(a, uint96(b), uint8(seed >> 24));
            else if (what == 20) crowd.changeProvider(a, uint16(b), uint64(seed >> 24));
            else if (what == 21) crowd.withdraw(a, uint96(b));
            else if (what == 22) crowd.destroyBurned(uint8(a));
            else if (what < 26) crowd.audit(a, b, uint8(seed >> 24), uint8(seed >> 32));
            else if (what == 26) crowd.auditorsStake(a, uint96(b), uint8(seed >> 24));
            else if (what == 27) crowd.collect(a);
            else if (what < 30) crowd.judge(a, uint8(b));
            else if (what == 30) crowd.workSometimes(uint8(b >> 8), uint8(b));
            else crowd.wait_(a);
        }
        // The larger a provider's record, the more of its ranges the beacon spares.
        for (uint256 i = 0; i < 40 && tally.closed(IAudits.Outcome.Unaudited) == 0; ++i) {
            crowd.work(uint8(End.Upheld));
        }
        invariant_everything();
        bytes4[20] memory calls = [
            IJobBook.open.selector,
            IJobBook.topUp.selector,
            IJobBook.cancel.selector,
            IJobBook.claim.selector,
            IJobBook.submit.selector,
            IJobBook.submitAndClaim.selector,
            IJobBook.release.selector,
            IJobBook.expire.selector,
            IJobBook.acknowledge.selector,
            IJobBook.settle.selector,
            IJobBook.finish.selector,
            IRegistry.unstake.selector,
            ILedger.destroyBurned.selector,
            IAudits.draw.selector,
            IAudits.name.selector,
            IAudits.commit.selector,
            IAudits.open.selector,
            IAudits.reveal.selector,
            IAudits.advance.selector,
            IAudits.collect.selector
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            ok(crowd.accepted(calls[i]) > 0, string.concat("accepted call number ", vm.toString(i)));
        }
        for (uint256 i = 1; i <= uint256(type(IAudits.Outcome).max); ++i) {
            ok(tally.closed(IAudits.Outcome(i)) > 0, string.concat("outcome number ", vm.toString(i)));
        }
        ok(tally.fullest() > 0 && tally.collected() > 0, "the purse fills and pays");
    }
}
