// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {CrowdLeaves, End, Piece, Twin} from "./CrowdLeaves.sol";
import {Replica} from "./Replica.sol";
import {Vm} from "./T.sol";
import {Tally} from "./Tally.sol";
import {Trees} from "./Trees.sol";
import {Auditors} from "../src/Auditors.sol";
import {Audits} from "../src/Audits.sol";
import {JobBook} from "../src/JobBook.sol";
import {Ledger} from "../src/Ledger.sol";
import {Registry} from "../src/Registry.sol";
import {Replicas} from "../src/Replicas.sol";
import {Tabs} from "../src/Tabs.sol";
import {Waiting} from "../src/Waiting.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Does what clients, providers and strangers may try, in any order and with any arguments. Calls may be refused; what
/// was accepted is in the events, which go to the replica.
contract Crowd is CrowdLeaves {
    uint256 internal constant CLIENTS = 2;
    uint256 internal constant PROVIDERS = 3;
    uint256 public constant AUDITORS = 7;

    Ledger internal ledger;
    Registry internal registry;
    JobBook internal book;
    Auditors internal auditors;
    Tally internal tally;
    Waiting internal waiting;
    Tabs internal tabs;
    uint40 internal now_;
    uint256 internal block_ = 1_000;

    /// @dev The crowd's own jobs, and of these the ones that are replicated.
    uint64[] internal ours;
    uint64[] internal twice;
    /// @dev What somebody has claimed, and what somebody has handed in; some of it has gone on since.
    Piece[] internal held;
    Piece[] internal handed;
    /// @dev The last case that was drawn, and the last range that got a mate.
    Piece internal lastCase;
    Piece internal lastPair;
    /// @dev What somebody committed to last.
    mapping(uint64 => mapping(uint32 => mapping(uint8 seat => bytes32))) internal said;
    /// @dev What a mate has committed to last.
    mapping(uint64 => mapping(uint32 => bytes32)) internal found;
    /// @dev A client and a provider whom nobody else acts for, so that nothing keeps them from working.
    address public constant STEADY_CLIENT = address(0xC0FF);
    address public constant STEADY_OWNER = address(0xA0FF);
    uint256 public constant STEADY = 0xFF;
    /// @dev And somebody who waits where they work.
    address public constant MATE_OWNER = address(0xA1FF);
    uint256 public constant MATE = 0x1FF;
    /// @dev Accepted calls per contract and kind, to see that the crowd gets somewhere. What is played to a plan is not the crowd's
    /// doing, and does not count.
    mapping(address to => mapping(bytes4 => uint256)) public accepted;
    mapping(address to => mapping(bytes4 => uint256)) public acceptedToPlan;
    bool internal planned;

    constructor(
        Ledger ledger_,
        Registry registry_,
        JobBook book_,
        Replica replica_,
        Auditors auditors_,
        Audits audits_,
        Tally tally_,
        Replicas replicas_,
        Tabs tabs_
    ) {
        (ledger, registry, book, replica) = (ledger_, registry_, book_, replica_);
        (auditors, audits, tally, replicas, tabs) = (auditors_, audits_, tally_, replicas_, tabs_);
        waiting = Waiting(address(replicas_.waiting()));
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

    function act(address sender, address to, bytes memory data) internal returns (bool done) {
        vm.warp(now_);
        vm.roll(block_);
        vm.recordLogs();
        vm.prank(sender);
        (done,) = to.call(data);
        // Logs of a refused call are recorded, too, though no chain would show them.
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (!done) return false;
        replica.feed(logs);
        tally.feed(logs);
        if (planned) acceptedToPlan[to][bytes4(data)] += 1;
        else accepted[to][bytes4(data)] += 1;
    }

    /// @dev What is done here follows a plan to its end.
    modifier toPlan() {
        bool before = planned;
        planned = true;
        _;
        planned = before;
    }

    /// @dev Mostly one of the crowd's last four, which are not over yet, and seldom any.
    function someJob(uint256 n) internal view returns (uint64) {
        if (n % 8 == 0 || ours.length == 0) return uint64((n >> 3) % (replica.jobCount() + 1));
        return lastOf(ours, n >> 3, 4);
    }

    function lastOf(uint64[] storage list, uint256 n, uint256 most) internal view returns (uint64) {
        return list[list.length - 1 - n % (list.length < most ? list.length : most)];
    }

    /// @dev Mostly one of the last jobs of a list in which there is something to claim and money for it; 0 if there is none.
    function goingOn(uint64[] storage list, uint256 n) internal view returns (uint64 id) {
        if (n % 8 == 0) return someJob(n >> 3);
        for (uint256 i = 0; i < 3 && i < list.length; ++i) {
            id = lastOf(list, (n >> 3) + i, 3);
            Replica.JobCopy memory job = replica.job(id);
            bool left = job.next < job.terms.taskCount || job.returnedTasks != 0;
            uint256 task = (uint256(job.terms.unitCap) + job.terms.prepareCap) * job.terms.price;
            left = left && job.escrow >= task * replica.parts(id);
            if (left && job.state == IJobBook.JobState.Open && now_ <= job.terms.deadline) return id;
        }
        return 0;
    }

    /// @dev Mostly a range of the list that still is in this state, else any. What is not any more leaves the list.
    function pieceIn(Piece[] storage list, uint256 n, IJobBook.RangeState state) internal returns (Piece memory p) {
        for (uint256 i = 0; i < 8 && n % 8 != 0 && list.length != 0; ++i) {
            uint256 at = uint256(keccak256(abi.encode(n, i))) % list.length;
            p = list[at];
            if (replica.range(p.id, p.seq).state == state) return p;
            list[at] = list[list.length - 1];
            list.pop();
        }
        p.id = someJob(n >> 3);
        p.seq = someSeq(p.id, n >> 8);
    }

    function open(uint256 who, uint256 seed, uint96 funds) public {
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
        t.deadline = now_ + uint40(60 + (seed >> 88) % 20_000);
        t.maxFailures = uint32((seed >> 96) % 20);
        t.requiredClass = (seed >> 104) % 4 == 0 ? 2 : 0;
        t.program = bytes32(seed >> 200);
        t.audited = (seed >> 128) % 2 == 0;
        // Mostly worth an audit, or few audited jobs would be opened.
        if (t.audited && (seed >> 136) % 8 != 0) (t.unitCap, t.price) = (t.unitCap + 7, t.price + 1e6);
        if (t.audited && (seed >> 140) % 2 == 0) t.replicas = 2;
        if ((seed >> 112) % 2 == 0) {
            t.floorPrice = uint96(1 + (seed >> 120) % t.price);
            t.finishSeconds = uint32(16 + (seed >> 152) % 200);
        }
        bytes memory data = abi.encodeCall(IJobBook.open, (t, uint128(bound(funds, 0, 3e9))));
        if (!act(client(who), address(book), data)) return;
        ours.push(replica.jobCount());
        if (t.replicas != 0) twice.push(replica.jobCount());
    }

    /// @dev A replicated job with a posted price, for anybody to work on. 0: none was opened.
    function openTwice(uint256 n) internal returns (uint64) {
        uint256 seed = uint256(keccak256(abi.encode(n)));
        seed = seed & ~uint256(1 << 128 | 1 << 140) | 1 << 104 | 1 << 112 | 1 << 136;
        uint256 before = twice.length;
        open(n, seed, 3e9 - 1);
        return twice.length == before ? 0 : twice[before];
    }

    /// @dev Mostly the one who may.
    function clientOf(uint64 id, uint256 who) internal view returns (address) {
        return who % 8 == 0 ? client(who >> 3) : replica.job(id).client;
    }

    function topUp(uint256 who, uint256 j, uint96 funds) external {
        uint64 id = someJob(j);
        act(clientOf(id, who), address(book), abi.encodeCall(IJobBook.topUp, (id, uint128(bound(funds, 0, 1e9)))));
    }

    function cancel(uint256 who, uint256 j, uint8 seldom) external {
        uint64 id = someJob(j);
        if (seldom % 4 == 0) act(clientOf(id, who), address(book), abi.encodeCall(IJobBook.cancel, (id)));
    }

    function claim(uint256 who, uint256 j, uint32 want) public {
        // Often in one in which others wait.
        uint64 id = goingOn(j % 3 == 0 ? twice : ours, j);
        // Where nothing goes on, somebody opens another job.
        if (id == 0) open(who >> 8, uint256(keccak256(abi.encode(who, j))), 3e9 - 1);
        if (id == 0) id = someJob(j);
        claims(id, node(who), abi.encodeCall(IJobBook.claim, (id, want % 50, 0)));
    }

    /// @dev A call by which somebody may get a range of this job.
    function claims(uint64 id, address sender, bytes memory data) internal returns (bool done) {
        uint32 before = replica.job(id).ranges;
        done = act(sender, address(book), data);
        if (replica.job(id).ranges != before) held.push(Piece(id, before));
    }

    /// @dev Claims again, so that there is always something to submit.
    function claimMore(uint256 who, uint256 j, uint32 want) external {
        claim(who, j, want);
    }

    function submit(uint256 who, uint256 j, uint256 n, uint64 units, uint32 failures) external {
        Piece memory p = pieceIn(held, j, IJobBook.RangeState.Claimed);
        if (isLate(p, n)) return expires(p, new uint32[](1));
        address sender = who % 4 == 0 ? node(who / 4) : holderOf(p);
        units = uint64(bound(units, 0, replica.mostUnits(p.id, p.seq) + 1));
        failures %= 4;
        // Some hand in what they cannot open.
        bytes32 root = n % 8 == 0 ? keccak256(abi.encode(n)) : handedIn(p.id, p.seq, units, failures);
        bytes memory data = abi.encodeCall(IJobBook.submit, (p.id, p.seq, root, units, failures, bytes32(n)));
        if (act(sender, address(book), data)) handed.push(p);
    }

    /// @dev Submits what somebody really holds, and claims on.
    function submitAndClaim(uint256 j, uint256 n, uint64 units, uint32 failures, uint32 want) external {
        Piece memory p = pieceIn(held, j, IJobBook.RangeState.Claimed);
        if (isLate(p, n)) return expires(p, new uint32[](1));
        units = uint64(bound(units, 0, replica.mostUnits(p.id, p.seq)));
        failures %= 2;
        bytes32 root = handedIn(p.id, p.seq, units, failures);
        bytes memory data =
            abi.encodeCall(IJobBook.submitAndClaim, (p.id, p.seq, root, units, failures, 0, want % 50, 0));
        if (claims(p.id, holderOf(p), data)) handed.push(p);
    }

    function holderOf(Piece memory p) internal view returns (address) {
        return replica.provider(replica.range(p.id, p.seq).provider).node;
    }

    /// @dev Whether it is too late to hand it in. Mostly somebody puts it off then, or soon everybody would hold as much as it may.
    function isLate(Piece memory p, uint256 n) internal view returns (bool) {
        if (n % 4 == 0 || !replica.job(p.id).terms.audited) return false;
        return now_ > replica.range(p.id, p.seq).at + replica.job(p.id).terms.rangeTimeout;
    }

    /// @dev Mostly who holds the range gives it back.
    function release(uint256 who, uint256 j) external {
        Piece memory p = pieceIn(held, j, IJobBook.RangeState.Claimed);
        address sender = who % 4 == 0 ? node(who / 4) : holderOf(p);
        act(sender, address(book), abi.encodeCall(IJobBook.release, (p.id, p.seq)));
    }

    function expire(uint256 j, uint256 n) external {
        Piece memory p = pieceIn(held, j, IJobBook.RangeState.Claimed);
        expires(p, seqs(p.id, n));
    }

    /// @dev This range, if the list is not empty, and what else is in it.
    function expires(Piece memory p, uint32[] memory list) internal {
        if (list.length != 0) list[0] = p.seq;
        act(address(0xE), address(book), abi.encodeCall(IJobBook.expire, (p.id, list)));
    }

    function acknowledge(uint256 who, uint256 j, uint256 n) external {
        Piece memory p = pieceIn(handed, j, IJobBook.RangeState.Submitted);
        uint32[] memory list = seqs(p.id, n);
        if (list.length != 0) list[0] = p.seq;
        act(clientOf(p.id, who), address(book), abi.encodeCall(IJobBook.acknowledge, (p.id, list)));
    }

    function settle(uint256 j, uint256 n) external {
        Piece memory p = pieceIn(handed, j, IJobBook.RangeState.Submitted);
        uint32[] memory list = seqs(p.id, n);
        if (list.length != 0) list[0] = p.seq;
        act(address(0xE), address(book), abi.encodeCall(IJobBook.settle, (p.id, list)));
    }

    function finish(uint256 j) external {
        act(address(0xE), address(book), abi.encodeCall(IJobBook.finish, (someJob(j))));
    }

    function stake(uint256 who, uint96 amount, uint8 what) external {
        bytes memory data = abi.encodeCall(IRegistry.addStake, (uint128(bound(amount, 0, 4e9))));
        // Mostly who has lost its stake puts down another, or soon nobody could work in audited jobs.
        IRegistry.Provider memory p = replica.provider(owner(who));
        if (p.stake < 1e8 && amount % 8 != 0) what = 0;
        if (p.unbonding != 0 && now_ >= p.unbondingReadyAt) what = 2;
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
    function audit(uint256 j, uint256 n, uint8 what, uint8 seat) public {
        Piece memory p = someCase(j, what);
        (uint64 id, uint32 seq) = (p.id, p.seq);
        IAudits.Case memory c = audits.auditCase(id, seq);
        bool waits = c.deadline != 0 && (what % 8 == 0 || now_ > c.deadline);
        if (c.state == IAudits.State.Submitted) {
            if (what % 4 != 0 && block_ <= c.round) block_ = c.round + 1;
            act(address(0xE), address(audits), abi.encodeCall(IAudits.draw, (id, seq)));
            if (audits.auditCase(id, seq).deadline != 0) lastCase = p;
        } else if (c.deadline == 0 || waits) {
            if (what % 16 == 0 && c.deadline > now_) now_ = c.deadline + 1;
            act(address(0xE), address(audits), abi.encodeCall(IAudits.advance, (id, seq)));
        } else if (c.state == IAudits.State.Naming) {
            nameLeaves(id, seq, c);
        } else if (c.state == IAudits.State.Committing) {
            // Mostly what the leaves say, and one who has not yet.
            for (uint256 i = 0; i < c.given && audits.seat(id, seq, seat % c.given).word != 0; ++i) {
                seat = (seat % c.given) + 1;
            }
            commitTo(id, seq, seat % c.given, n % 8 == 0 ? bytes32(uint256(1)) : answerTo(id, seq, c));
        } else if (c.state == IAudits.State.Opening) {
            openLeaves(id, seq, c);
        } else {
            revealAll(id, seq, c);
        }
    }

    /// @dev Mostly the last case that was drawn, or that of the last range with a mate, or none would get far.
    function someCase(uint256 j, uint8 what) internal returns (Piece memory p) {
        p = lastCase;
        if (what % 3 != 0 && audits.auditCase(p.id, p.seq).deadline != 0) return p;
        p = lastPair;
        if (what % 3 != 0 && audits.auditCase(p.id, p.seq).state == IAudits.State.Submitted) return p;
        for (uint256 i = 0; i < 4; ++i) {
            p = pieceIn(handed, j, IJobBook.RangeState.Submitted);
            if (audits.auditCase(p.id, p.seq).state != IAudits.State.None) return p;
            j = uint256(keccak256(abi.encode(j)));
        }
    }

    /// @dev A case is not left alone until it is closed or somebody's time has to run out.
    function auditOn(uint256 j, uint256 n) external {
        for (uint8 i = 0; i < 24; ++i) {
            audit(j, n, 1, i);
            if (audits.auditCase(lastCase.id, lastCase.seq).deadline == 0) return;
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
    function work(uint8 end) public toPlan returns (IAudits.Outcome) {
        uint64 id = steadyJob(0);
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

    /// @dev A job with a claimed range. 0: none was opened.
    function steadyJob(uint8 replicas_) internal returns (uint64 id) {
        id = steadyOpen(replicas_, false);
        if (id == 0) return 0;
        if (replicas_ != 0) steadyMate(id);
        act(vm.addr(0xB000 + STEADY), address(book), abi.encodeCall(IJobBook.claim, (id, 4, 0)));
    }

    /// @dev A job, and people with so much stake that it can be audited. 0: none was opened.
    function steadyOpen(uint8 replicas_, bool kept) internal returns (uint64) {
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
        (t.replicas, t.kept) = (replicas_, kept);
        uint256 before = replica.jobCount();
        act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.open, (t, 64e8)));
        return replica.jobCount() == before ? 0 : uint64(before + 1);
    }

    /// @dev It waits with a bond for the whole job, a second before anything is claimed.
    function steadyMate(uint64 id) internal {
        if (replica.provider(MATE_OWNER).stake < 4e9) {
            act(MATE_OWNER, address(registry), abi.encodeCall(IRegistry.addStake, (4e9)));
        }
        act(vm.addr(0xB000 + MATE), address(waiting), abi.encodeCall(IWaiting.wait, (id, 32e8, 0)));
        (now_, block_) = (now_ + 2, block_ + 1);
    }

    /// @dev A replicated range of those who are steady, up to its payment, and its mate leaves with its bond.
    function workTwice(uint8 how) public toPlan returns (IReplicas.Outcome) {
        uint64 id = steadyJob(2);
        if (id == 0) return IReplicas.Outcome.Open;
        Twin twin = Twin(how % 10);
        uint64 units = uint64(replica.range(id, 0).count) * 8;
        bytes memory submission = abi.encodeCall(IJobBook.submit, (id, 0, handedIn(id, 0, units, 0), units, 0, 0));
        act(vm.addr(0xB000 + STEADY), address(book), submission);
        block_ += 3;
        bool walk = twin == Twin.MateStops || twin == Twin.PrimaryStops;
        bool lies = walk || twin == Twin.MateWrong || twin == Twin.Undecided || twin == Twin.BothWrong;
        for (uint256 i = 0; i < 12 && isOpen(id, 0); ++i) {
            IReplicas.Pair memory p = replicas.pair(id, 0);
            if (p.state == IReplicas.State.Disputed) break;
            if (stops(twin, p)) now_ = p.due + 1;
            step(id, 0, p, lies, twin == Twin.PrimarySilent || twin == Twin.PrimaryStops);
        }
        play(id, 0, twin == Twin.Undecided ? End.Unheard : twin == Twin.BothWrong ? End.Framed : End.Upheld);
        if (isOpen(id, 0)) step(id, 0, replicas.pair(id, 0), lies, false);
        // After a dispute the range is audited as any other.
        if (lies) play(id, 0, End.Upheld);
        act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.acknowledge, (id, new uint32[](1))));
        bytes memory leave = abi.encodeCall(IWaiting.leave, (id));
        if (waiting.entry(id, 5).state != IWaiting.State.Left) act(vm.addr(0xB000 + MATE), address(waiting), leave);
        now_ += uint40(Parameters.DRAW_SPAN + 1);
        act(vm.addr(0xB000 + MATE), address(waiting), leave);
        return replicas.pair(id, 0).outcome;
    }

    function workTwiceSometimes(uint8 how, uint8 seldom) external {
        if (seldom % 4 == 0) workTwice(how);
    }

    /// @dev Providers wait in replicated jobs, leave them, and are put off their lines.
    function mate(uint256 who, uint256 j, uint96 bond, uint8 what) external {
        if (what % 4 == 1) return leaves_(who);
        uint64 id = goingOn(twice, j);
        if (id == 0) id = openTwice(j);
        if (what % 4 == 3) {
            bytes memory data = abi.encodeCall(IWaiting.evict, (id, uint32(who % 5)));
            act(node(who), address(waiting), what % 8 == 3 ? poorEntry(data) : data);
            return;
        }
        uint96 least = what % 8 == 0 ? bond % 4e6 : 0;
        bond = uint96(bound(bond, what % 16 == 0 ? 0 : 2e8, 6e8));
        // Mostly all of them, for who is primary or client is no mate.
        for (uint256 i = 0; i < (what % 8 == 0 ? 1 : PROVIDERS); ++i) {
            act(node(who % PROVIDERS + i), address(waiting), abi.encodeCall(IWaiting.wait, (id, bond, least)));
        }
        // A second later they are on the line of what is submitted then.
        (now_, block_) = (now_ + 1, block_ + 1);
    }

    /// @dev Somebody wants to be gone from where it waits, or its bond back, in all jobs but the last: bonds are exposure.
    function leaves_(uint256 who) internal {
        uint32 number = replica.provider(owner(who)).number;
        for (uint256 i = 2; i <= 8 && i <= twice.length; ++i) {
            uint64 id = twice[twice.length - i];
            if (replica.bondOf(id, number) == 0) continue;
            act(node(who), address(waiting), abi.encodeCall(IWaiting.leave, (id)));
        }
    }

    /// @dev Puts somebody off a line who waits without the stake for its bond, if there is anybody.
    function poorEntry(bytes memory otherwise) internal view returns (bytes memory) {
        for (uint32 number = 1; number <= PROVIDERS; ++number) {
            IRegistry.Provider memory p = replica.provider(replica.ownerOf(number));
            for (uint256 i = 0; i < 8 && i < twice.length; ++i) {
                uint64 id = twice[twice.length - 1 - i];
                if (p.stake + p.unbonding >= replica.bondOf(id, number)) continue;
                if (waiting.entry(id, number).state != IWaiting.State.Waiting) continue;
                return abi.encodeCall(IWaiting.evict, (id, number));
            }
        }
        return otherwise;
    }

    /// @dev The next move in a replica, by whoever's it is, or by nobody until it is late.
    function second(uint256 j, uint256 n, uint8 what) public {
        Piece memory piece = somePair(j, what);
        (uint64 id, uint32 seq) = (piece.id, piece.seq);
        IReplicas.Pair memory p = replicas.pair(id, seq);
        if (what % 16 == 0 && p.due >= now_) now_ = p.due + 1;
        // Mostly when its beacon is known.
        if (what % 4 != 0 && p.state == IReplicas.State.Sealed && block_ <= p.round) block_ = p.round + 1;
        step(id, seq, p, what % 4 == 1, n % 2 == 0);
        if (replicas.pair(id, seq).state == IReplicas.State.Working) lastPair = piece;
    }

    /// @dev Mostly the last one that got a mate, or none would get far.
    function somePair(uint256 j, uint8 what) internal returns (Piece memory p) {
        p = lastPair;
        if (what % 3 != 0 && isOpen(p.id, p.seq)) return p;
        for (uint256 i = 0; i < 4; ++i) {
            p = pieceIn(handed, j, IJobBook.RangeState.Submitted);
            if (isOpen(p.id, p.seq)) return p;
            j = uint256(keccak256(abi.encode(j)));
        }
    }

    /// @dev A replica is not left alone until it is closed or auditors have to vote. Its mate finds something else.
    function secondOn(uint256 j, uint256 n) external {
        for (uint256 i = 0; i < 12; ++i) {
            second(j, n, n & 2 == 0 ? 1 : 2);
            IReplicas.State state = replicas.pair(lastPair.id, lastPair.seq).state;
            if (state == IReplicas.State.Disputed || !isOpen(lastPair.id, lastPair.seq)) return;
        }
    }

    function step(uint64 id, uint32 seq, IReplicas.Pair memory p, bool lies, bool mateFirst) internal {
        bool byMate = p.shown == 0 ? mateFirst : p.shown == 1;
        if (p.state == IReplicas.State.Disputed) {
            act(address(0xE), address(replicas), abi.encodeCall(IReplicas.conclude, (id, seq)));
        } else if (p.state == IReplicas.State.Sealed && now_ <= p.due) {
            act(address(0xE), address(replicas), abi.encodeCall(IReplicas.draw, (id, seq)));
        } else if (now_ > p.due) {
            act(address(0xE), address(replicas), abi.encodeCall(IReplicas.advance, (id, seq)));
        } else if (p.state == IReplicas.State.Working) {
            IRegistry.Provider memory m = replica.provider(replica.ownerOf(p.mate));
            IJobBook.Range memory r = replica.range(id, seq);
            (found[id][seq],) = MerkleSum.recomputeRoot(leavesOfMate(id, seq, lies));
            bytes32 sealed_ = sealOf(id, seq, m.owner, found[id][seq], r.units, r.failures);
            act(m.node, address(replicas), abi.encodeCall(IReplicas.commit, (id, seq, sealed_)));
        } else if (p.state == IReplicas.State.Walking) {
            MerkleSum.Sibling[] memory theirs;
            if (p.shown != 0) theirs = nodes(id, seq, p, !byMate);
            bytes memory data = abi.encodeCall(IReplicas.walk, (id, seq, nodes(id, seq, p, byMate), theirs));
            act(nodeOf(id, seq, p, byMate), address(replicas), data);
        } else if (p.state == IReplicas.State.Showing) {
            MerkleSum.Leaf[] memory all = byMate ? leavesOfMate(id, seq, true) : leaves(id, seq);
            act(nodeOf(id, seq, p, byMate), address(replicas), abi.encodeCall(IReplicas.show, (id, seq, all[p.index])));
        } else {
            show(id, seq, p, p.state == IReplicas.State.Revealing && byMate);
        }
    }

    function show(uint64 id, uint32 seq, IReplicas.Pair memory p, bool byMate) internal {
        IJobBook.Range memory r = replica.range(id, seq);
        bytes32 root = byMate ? found[id][seq] : rootOf(id, seq, r.units, r.failures);
        bytes memory data = abi.encodeCall(IReplicas.reveal, (id, seq, root, r.units, r.failures, SALT));
        act(nodeOf(id, seq, p, byMate), address(replicas), data);
    }

    /// @dev Somebody pays its tabs: lines that grow and lines that do not, of those that there are and of one that is not.
    function settleTabs(uint256 who, uint256 seed) external {
        ITabs.Line[] memory lines = new ITabs.Line[](seed % 4);
        for (uint256 i = 0; i < lines.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            lines[i].provider = uint32(seed % 8 == 0 ? (seed >> 8) % 7 : 1 + (seed >> 8) % 5);
            lines[i].total = uint128((seed >> 16) % 1e6);
        }
        act(client(who), address(tabs), abi.encodeCall(ITabs.settle, (bytes32(seed % 2), lines)));
    }

    function play(uint64 id, uint32 seq, End end) internal toPlan {
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

    function auditorsStake(uint256 who, uint96 amount, uint8 what) external {
        bytes memory data = abi.encodeCall(IAuditors.addStake, (uint128(bound(amount, 0, 1e7))));
        // Who may take out what is leaving does.
        for (uint256 i = 0; i < AUDITORS; ++i) {
            IAuditors.Auditor memory a = auditors.auditor(auditors.numberOf(auditorOf(i)));
            if (a.leaving != 0 && now_ >= a.readyAt) (who, what) = (i, 2);
        }
        if (what % 4 == 1) data = abi.encodeCall(IAuditors.unstake, (uint128(bound(amount, 0, 2e7))));
        if (what % 4 == 2) data = abi.encodeCall(IAuditors.withdrawStake, ());
        act(auditorOf(who), address(auditors), data);
    }

    function destroyBurned(uint8 seldom) external {
        if (seldom % 4 == 0) act(address(0xE), address(ledger), abi.encodeCall(ILedger.destroyBurned, ()));
    }

    function wait_(uint256 seconds_) external {
        now_ += uint40(seconds_ % 16 == 0 ? 8 days : bound(seconds_, 1, 30));
        block_ += bound(seconds_ >> 8, 1, 4);
        vm.warp(now_);
    }
}
