// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Crowd} from "./Crowd.sol";
import {CrowdKept} from "./CrowdKept.sol";
import {End, Hold, Twin} from "./CrowdLeaves.sol";
import {Network} from "./Network.sol";
import {Replica} from "./Replica.sol";
import {Tally} from "./Tally.sol";
import {IAuditors} from "../src/interfaces/IAuditors.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {ITabs} from "../src/interfaces/ITabs.sol";
import {IWaiting} from "../src/interfaces/IWaiting.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

contract InvariantsTest is Network {
    Replica internal replica;
    Tally internal tally;
    CrowdKept internal crowd;

    /// @dev The crowd's jobs are worth less than 5e9, so all have the shortest windows.
    function small() internal pure override returns (uint256) {
        return 5e9;
    }

    function minStake() internal pure override returns (uint128) {
        return 1e7;
    }

    function setUp() public override {
        super.setUp();
        bytes memory args = abi.encode(ledger, registry, book, waiting, small());
        replica = Replica(helper("Replica", args));
        address[7] memory at = [
            address(book),
            address(auditors),
            address(audits),
            address(replicas),
            address(tabs),
            address(holders),
            address(spots)
        ];
        tally = Tally(helper("Tally", abi.encode(replica, registry, at, FEE_BPS)));
        args = abi.encode(ledger, registry, book, replica, auditors, audits, tally, replicas, tabs, holders, spots);
        crowd = CrowdKept(helper("CrowdKept", args));
        vm.recordLogs();
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            address auditor = crowd.auditorOf(i);
            fund(auditor, 1e11);
            vm.prank(auditor);
            auditors.join(auditor, 5e8);
        }
        for (uint256 i = 0; i < 2; ++i) {
            fund(crowd.client(i), 1e12);
        }
        for (uint256 i = 0; i < 3; ++i) {
            (address owner, address node) = (crowd.owner(i), crowd.node(i));
            fund(owner, 1e12);
            IRegistry.Consent memory agreed = consent(i, owner);
            vm.prank(owner);
            registry.register(node, uint16(1 + i), attributes(), 0, "", 4e9, agreed);
        }
        fund(crowd.STEADY_CLIENT(), 1e13);
        steady(crowd.STEADY_OWNER(), crowd.STEADY());
        steady(crowd.MATE_OWNER(), crowd.MATE());
        replica.feed(vm.getRecordedLogs());
    }

    function steady(address owner, uint256 n) internal {
        fund(owner, 1e13);
        IRegistry.Consent memory given = consent(n, owner);
        vm.prank(owner);
        registry.register(nodeOf(n), 4, attributes(), 0, "", 4e9, given);
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(crowd);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev `workSometimes` and those like it are for the crowd: a case in every call would take all the time there is.
    function excludeSelectors() public view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0].addr = address(crowd);
        list[0].selectors = new bytes4[](3);
        (list[0].selectors[0], list[0].selectors[1]) = (Crowd.work.selector, Crowd.workTwice.selector);
        list[0].selectors[2] = CrowdKept.workKept.selector;
    }

    function everyone() internal view returns (address[] memory all) {
        all = new address[](12 + crowd.AUDITORS());
        for (uint256 i = 0; i < 2; ++i) {
            all[i] = crowd.client(i);
        }
        (all[2], all[3]) = (crowd.owner(1), crowd.owner(2));
        (all[4], all[5], all[6]) = (TREASURY, ledger.BURN_ACCOUNT(), CLIENT);
        (all[7], all[8]) = (address(0xE), address(audits));
        (all[9], all[10]) = (crowd.STEADY_CLIENT(), crowd.STEADY_OWNER());
        all[11] = crowd.MATE_OWNER();
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            all[12 + i] = crowd.auditorOf(i);
        }
    }

    /// forge-config: default.invariant.runs = 40
    /// forge-config: default.invariant.depth = 120
    function invariant_everything() public view {
        moneyIsConserved();
        lockedMoneyHasAReason();
        ledgerAndRegistryFollowFromEvents();
        auditsFollowFromEvents();
        tabsFollowFromEvents();
        for (uint64 id = 1; id <= replica.jobCount(); ++id) {
            jobFollowsFromEvents(id);
            if (replica.job(id).terms.replicas != 0) matesHaveReasons(id);
            if (replica.job(id).terms.kept) depositFollowsFromEvents(id);
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
        pairsUp(Twin.Matched, IReplicas.Outcome.Matched);
        pairsUp(Twin.MateWrong, IReplicas.Outcome.Alone);
        pairsUp(Twin.Undecided, IReplicas.Outcome.Unequal);
        pairsUp(Twin.BothWrong, IReplicas.Outcome.Unequal);
        pairsUp(Twin.MateLate, IReplicas.Outcome.Alone);
        pairsUp(Twin.MateSilent, IReplicas.Outcome.Alone);
        pairsUp(Twin.MateStops, IReplicas.Outcome.Alone);
        pairsUp(Twin.PrimarySilent, IReplicas.Outcome.Silent);
        pairsUp(Twin.PrimaryStops, IReplicas.Outcome.Silent);
        pairsUp(Twin.Undrawn, IReplicas.Outcome.Alone);
        isKept(Hold.Held, IHolders.State.Held);
        isKept(Hold.Unseen, IHolders.State.Held);
        isKept(Hold.Lost, IHolders.State.Lost);
        isKept(Hold.InputsLost, IHolders.State.Lost);
        isKept(Hold.Dropped, IHolders.State.Dropped);
        invariant_everything();
    }

    function reaches(End end, IAudits.Outcome outcome) internal {
        uint256 before = tally.closed(outcome);
        ok(crowd.work(uint8(end)) == outcome, string.concat("end number ", vm.toString(uint256(end))));
        eq(tally.closed(outcome), before + 1, "and is counted once");
    }

    function pairsUp(Twin twin, IReplicas.Outcome outcome) internal {
        uint256 before = tally.replicas(outcome);
        ok(crowd.workTwice(uint8(twin)) == outcome, string.concat("twin number ", vm.toString(uint256(twin))));
        eq(tally.replicas(outcome), before + 1, "and is counted once");
        uint64 id = uint64(book.jobCount());
        bool paid = tally.mateOf(id, 0) != address(0);
        ok(paid == (twin == Twin.Matched), "a mate is paid for a match, and for nothing else");
        ok(waiting.entry(id, 5).state == IWaiting.State.Nobody, "the mate leaves with its bond");
    }

    /// @dev In the end a steady client has what of its deposit did not become fees.
    function isKept(Hold hold, IHolders.State state) internal {
        (uint256 looked, uint256 served) = (tally.looked(), tally.served());
        ok(crowd.workKept(uint8(hold)) == state, string.concat("kept number ", vm.toString(uint256(hold))));
        eq(tally.looked() - looked, hold == Hold.Held ? 7 : hold == Hold.Unseen ? 3 : 0, "who has looked");
        ok((tally.served() != served) == (hold == Hold.Held), "who serves has the second half of its fee");
        IHolders.Keep memory k = holders.kept(uint64(book.jobCount()));
        eq(k.reserved, 0, "nothing is reserved in the end");
        eq(k.deposit, 0, "and it is closed");
    }

    /// @dev Fees and refunds are those of the events, and what is reserved is what can still become one: of asks that are open, and of
    /// those that are held until somebody has looked.
    function depositFollowsFromEvents(uint64 id) internal view {
        IHolders.Keep memory k = holders.kept(id);
        eq(k.deposit, tally.deposit(id), "deposit from events");
        ok(k.reserved <= k.deposit, "what is reserved is there");
        uint256 reserved = reservedFor(id, Parameters.INPUTS, holders.inputs(id).fee);
        uint256 unasked = 0;
        for (uint32 seq = 0; seq < replica.job(id).ranges; ++seq) {
            IHolders.Ask memory a = holders.asked(id, seq);
            reserved += reservedFor(id, seq, holders.feeFor(id, a.mib));
            IJobBook.RangeState state = replica.range(id, seq).state;
            bool isOut = state == IJobBook.RangeState.Claimed || state == IJobBook.RangeState.Submitted;
            if (isOut && a.state == IHolders.State.None) ++unasked;
        }
        eq(k.reserved, reserved, "reserved for what is asked for");
        bool covered = k.deposit - k.reserved >= unasked * holders.costFor(id, k.maxMib);
        ok(covered || tally.takenBack(id), "what is out can be asked for, unless its client has taken the deposit back");
        if (replica.job(id).ranges != 0) ok(holders.areInputsHeld(id), "nobody works where inputs are not held");
    }

    function reservedFor(uint64 id, uint32 seq, uint256 fee) internal view returns (uint256) {
        IHolders.Ask memory a = holders.asked(id, seq);
        ISpots.Spot memory s = spots.spotOf(id, seq);
        uint256 least = small() / Parameters.MIN_FEE_PART;
        ok(s.state == ISpots.SpotState.None || a.state == IHolders.State.Held, "looked at is what is held");
        if (a.state == IHolders.State.None || a.state > IHolders.State.Held) return 0;
        // Both asks, the second halves of as many as hold it at most, and seven who look.
        if (a.state != IHolders.State.Held) return (23 - uint256(a.spent) - a.votes) * fee + 7 * least;
        return s.state == ISpots.SpotState.Over ? 0 : a.votes * fee + (7 - uint256(s.votes)) * least;
    }

    /// @dev The line is that of the bonds of those that wait, and who is busy is the mate of so many open ranges. That bonds are
    /// exposure, `ledgerAndRegistryFollowFromEvents` says.
    function matesHaveReasons(uint64 id) internal view {
        uint256[6] memory busy;
        for (uint32 seq = 0; seq < replica.job(id).ranges; ++seq) {
            IReplicas.Pair memory p = replicas.pair(id, seq);
            IJobBook.RangeState state = replica.range(id, seq).state;
            bool closed = p.state == IReplicas.State.Closed;
            ok(closed == (p.outcome != IReplicas.Outcome.Open), "closed with an outcome");
            if (p.state != IReplicas.State.None && !closed) {
                // The verdict comes before what follows from it for the mate.
                bool judged = p.state == IReplicas.State.Disputed;
                ok(judged || state == IJobBook.RangeState.Submitted, "an open replica of a submitted range");
                if (p.mate != 0) busy[p.mate] += 1;
            }
            if (state != IJobBook.RangeState.Settled) continue;
            bool paid = tally.mateOf(id, seq) != address(0);
            ok(paid == (p.outcome == IReplicas.Outcome.Matched), "a mate is paid for a match, and for nothing else");
        }
        uint256 length = 0;
        for (uint32 number = 1; number <= 5; ++number) {
            IWaiting.Entry memory e = waiting.entry(id, number);
            eq(e.bond, replica.bondOf(id, number), "bond from events");
            eq(e.busy, busy[number], "as many duties as open ranges");
            if (e.state == IWaiting.State.Waiting) length += e.bond;
        }
        (uint256 total,) = waiting.line(id, type(uint40).max);
        eq(total, length, "the line is that of who waits");
    }

    function tabsFollowFromEvents() internal view {
        for (uint256 who = 0; who < 2; ++who) {
            for (uint32 number = 0; number <= 6; ++number) {
                for (uint256 n = 0; n < 2; ++n) {
                    uint256 total = tally.tab(crowd.client(who), bytes32(n), number);
                    eq(tabs.settled(crowd.client(who), bytes32(n), number), total, "tab from events");
                }
            }
        }
        (, uint128 held) = ledger.module(address(tabs));
        eq(held, 0, "tabs hold nothing");
        eq(replica.moduleLocked(address(tabs)), 0, "from events");
    }

    /// @dev Outcomes are those of the events, ranges are where their outcome puts them, and purse, fees and records are what the
    /// events add up to, to the unit.
    function auditsFollowFromEvents() internal view {
        eq(free(address(audits)), tally.purse(), "the purse: charges and halves of cuts, less what was collected");
        for (uint256 i = 0; i < crowd.AUDITORS(); ++i) {
            address who = crowd.auditorOf(i);
            eq(audits.owed(who), tally.owed(who), "earned and not collected");
        }
        for (uint32 number = 1; number <= 5; ++number) {
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
        IReplicas.Pair memory p = replicas.pair(id, seq);
        bool silent = p.outcome == IReplicas.Outcome.Silent;
        bool lost = holders.asked(id, seq).state == IHolders.State.Lost;
        ok(
            (rejected || silent || lost) == (state == IJobBook.RangeState.Rejected),
            "rejected by an audit, because its provider was silent, or because nobody could hold it"
        );
        if (state == IJobBook.RangeState.Settled) {
            // What the beacon spares needs no transaction of its own.
            bool spared = c.state == IAudits.State.Submitted || c.outcome == IAudits.Outcome.Unaudited;
            ok(spared || c.outcome == IAudits.Outcome.Upheld, "paid if spared or upheld");
        }
        bool judged = state == IJobBook.RangeState.Submitted || state == IJobBook.RangeState.Settled;
        judged = judged || rejected || lost;
        bool sealed_ =
            p.state != IReplicas.State.None && p.state != IReplicas.State.Disputed && p.state != IReplicas.State.Closed;
        ok((judged && !sealed_) == (c.state != IAudits.State.None), "a case for what was handed in and has a root");
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

    /// @dev Locked money of an account = escrow of its jobs + ceilings of claimed + value of submitted ranges + its deposits for
    /// holders + its stake, as provider or as auditor.
    function lockedMoneyHasAReason() internal view {
        address[] memory all = everyone();
        (uint256[] memory inJobsOf, uint256[] memory keptOf) = moneyInJobs(all);
        uint256 inJobs = 0;
        uint256 inStake = 0;
        uint256 inAudits = 0;
        uint256 inKept = 0;
        for (uint256 i = 0; i < all.length; ++i) {
            IRegistry.Provider memory p = registry.provider(all[i]);
            uint256 jobs = inJobsOf[i];
            IAuditors.Auditor memory a = auditors.auditor(auditors.numberOf(all[i]));
            uint256 stake = uint256(p.stake) + p.unbonding;
            uint256 auditing = uint256(a.stake) + a.leaving;
            eq(locked(all[i]), jobs + keptOf[i] + stake + auditing, "locked money has a reason");
            inJobs += jobs;
            inKept += keptOf[i];
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
        (, held) = ledger.module(address(holders));
        eq(held, inKept, "the Holders' share");
        eq(held, replica.moduleLocked(address(holders)), "from events");
        (, held) = ledger.module(address(audits));
        // What it has, `auditsFollowFromEvents` says.
        eq(held, 0, "the purse is free money");
    }

    /// @dev By the client's place in a list.
    function moneyInJobs(address[] memory all) internal view returns (uint256[] memory sums, uint256[] memory kept) {
        (sums, kept) = (new uint256[](all.length), new uint256[](all.length));
        for (uint64 id = 1; id <= book.jobCount(); ++id) {
            IJobBook.Job memory j = book.job(id);
            uint256 who = 0;
            while (all[who] != j.client) ++who;
            sums[who] += j.escrow;
            kept[who] += holders.kept(id).deposit;
            for (uint32 seq = 0; seq < j.ranges; ++seq) {
                IJobBook.RangeState state = book.range(id, seq).state;
                uint256 parts = replica.parts(id);
                if (state == IJobBook.RangeState.Claimed) sums[who] += parts * replica.ceiling(id, seq);
                if (state == IJobBook.RangeState.Submitted) sums[who] += parts * replica.value(id, seq);
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
        reachesEveryState(7);
    }

    function reachesEveryState(uint256 seed) internal {
        for (uint256 i = 0; i < 12; ++i) {
            timeRunsOut(i);
        }
        for (uint256 i = 0; goesOn(i); ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            anything(seed);
        }
        // The larger a provider's record, the more of its ranges the beacon spares.
        for (uint256 i = 0; i < 40 && tally.closed(IAudits.Outcome.Unaudited) == 0; ++i) {
            crowd.work(uint8(End.Upheld));
        }
        for (uint8 how = 0; how <= uint8(type(Twin).max); ++how) {
            crowd.workTwice(how);
        }
        for (uint8 how = 0; how <= uint8(type(Hold).max); ++how) {
            crowd.workKept(how);
        }
        invariant_everything();
        ok(bytes(unseen()).length == 0, string.concat("never accepted:", unseen()));
        for (uint256 i = 1; i <= uint256(type(IAudits.Outcome).max); ++i) {
            ok(tally.closed(IAudits.Outcome(i)) > 0, string.concat("outcome number ", vm.toString(i)));
        }
        for (uint256 i = 1; i <= uint256(type(IReplicas.Outcome).max); ++i) {
            ok(tally.replicas(IReplicas.Outcome(i)) > 0, string.concat("outcome of replicas number ", vm.toString(i)));
        }
        ok(tally.fullest() > 0 && tally.collected() > 0, "the purse fills and pays");
        for (uint256 i = uint256(IHolders.State.Again); i <= uint256(type(IHolders.State).max); ++i) {
            ok(tally.asks(IHolders.State(i)) > 0, string.concat("state of asks number ", vm.toString(i)));
        }
        ok(tally.looked() > 0 && tally.served() > 0, "holders are looked at and serve");
    }

    /// @dev A fuzzer likes the largest numbers there are. Where the crowd's own arithmetic cannot take them, what fails says nothing
    /// of the contracts.
    function test_theCrowdTakesTheLargestNumbers() public {
        uint256 most = type(uint256).max;
        for (uint256 i = 0; i < 4; ++i) {
            crowd.claimMore(152_448, 5188 + i, 45_056);
            crowd.submitAndClaim(most - i, 0, type(uint64).max, type(uint32).max, type(uint32).max);
        }
        for (uint8 what = 0; what < 32; ++what) {
            uint256 n = most - what;
            crowd.keeps(most, n, most);
            crowd.deposits(most, n, type(uint96).max, what);
            crowd.asksFor(most, n, type(uint32).max, what);
            crowd.holdOn(n, most, what);
            crowd.mate(most, n, type(uint96).max, what);
            crowd.second(n, most, what);
            crowd.audit(n, most, what, type(uint8).max);
            crowd.stake(most, type(uint96).max, what);
            crowd.auditorsStake(most, type(uint96).max, what);
        }
        for (uint256 i = 0; i < 8; ++i) {
            uint256 n = most - i;
            crowd.open(n, n, type(uint96).max);
            crowd.topUp(n, n, type(uint96).max);
            crowd.claim(n, n, type(uint32).max);
            crowd.submit(n, n, n, type(uint64).max, type(uint32).max);
            crowd.release(n, n);
            crowd.expire(n, n);
            crowd.acknowledge(n, n, n);
            crowd.settle(n, n);
            crowd.secondOn(n, n);
            crowd.auditOn(n, n);
            crowd.judge(n, type(uint8).max);
            crowd.settleTabs(n, n);
            crowd.changeProvider(n, type(uint16).max, type(uint64).max);
            crowd.collect(n);
            crowd.withdraw(n, type(uint96).max);
            crowd.finish(n);
            crowd.wait_(n);
        }
        invariant_everything();
    }

    /// @dev The crowd goes on until it has reached everything, as far as there is gas for it and for what comes after it.
    function goesOn(uint256 i) internal view returns (bool) {
        return gasleft() > 4e8 && (i < 2_000 || i % 50 != 0 || bytes(unseen()).length != 0);
    }

    /// @dev Somebody claims in the newest job. Every other one hands it in and its window passes, the others are late.
    function timeRunsOut(uint256 i) internal {
        crowd.open(i, uint256(keccak256(abi.encode("time", i))), 1e9);
        crowd.claim(i, 1, 9);
        if (i % 2 == 1) crowd.submitAndClaim(1, 0, 5, 0, 0);
        crowd.wait_(59);
        crowd.wait_(59);
        crowd.expire(1, 2);
        crowd.settle(1, 5);
    }

    /// @dev Of kept jobs.
    function keeping(uint256 seed) internal {
        uint256 a = seed >> 16;
        uint256 b = seed >> 80;
        uint256 what = seed % 8;
        if (what == 0) crowd.keeps(a, b, seed >> 24);
        else if (what == 1) crowd.deposits(a, b, uint96(seed >> 24), uint8(seed >> 32));
        else if (what < 4) crowd.asksFor(a, b, uint32(seed >> 24), uint8(seed >> 32));
        else if (what < 7) crowd.holdOn(a, b, uint8(seed >> 32));
        else crowd.workKeptSometimes(uint8(b >> 8), uint8(b));
    }

    function anything(uint256 seed) internal {
        if ((seed >> 240) % 8 == 0) return keeping(seed);
        uint256 a = seed >> 16;
        uint256 b = seed >> 80;
        uint256 what = seed % 48;
        if (what < 2) crowd.open(a, seed >> 24, uint96(b));
        else if (what == 2) crowd.topUp(a, b, uint96(seed >> 24));
        else if (what == 3) crowd.cancel(a, b, uint8(seed >> 24));
        else if (what < 8) crowd.claim(a, b, uint32(seed >> 24));
        else if (what < 12) crowd.submitAndClaim(a, b, uint64(seed >> 24), uint32(seed >> 32), uint32(seed >> 40));
        else if (what < 14) crowd.submit(a, b, seed >> 24, uint64(seed >> 24), uint32(seed >> 32));
        else if (what == 14) crowd.release(a, b);
        else if (what == 15) crowd.expire(a, b);
        else if (what < 18) crowd.acknowledge(a, b, seed >> 24);
        else if (what < 20) crowd.settle(a, b);
        else if (what == 20) crowd.finish(a);
        else if (what < 23) crowd.stake(a, uint96(b), uint8(seed >> 24));
        else if (what == 23) crowd.changeProvider(a, uint16(b), uint64(seed >> 24));
        else if (what == 24) crowd.withdraw(a, uint96(b));
        else if (what == 25) crowd.destroyBurned(uint8(a));
        else if (what < 28) crowd.audit(a, b, uint8(seed >> 24), uint8(seed >> 32));
        else if (what < 30) crowd.auditOn(a, b);
        else if (what == 30) crowd.auditorsStake(a, uint96(b), uint8(seed >> 24));
        else if (what == 31) crowd.collect(a);
        else if (what == 32) crowd.judge(a, uint8(b));
        else if (what == 33) crowd.workSometimes(uint8(b >> 8), uint8(b));
        else if (what < 38) crowd.mate(a, b, uint96(seed >> 24), uint8(seed >> 32));
        else if (what < 41) crowd.second(a, b, uint8(seed >> 24));
        else if (what < 43) crowd.secondOn(a, b);
        else if (what == 43) crowd.workTwiceSometimes(uint8(b >> 8), uint8(b));
        else if (what == 44) crowd.settleTabs(a, b);
        else crowd.wait_(a);
    }

    /// @dev The calls that the chain has never accepted from the crowd: letters of their contracts, and their places in the lists.
    function unseen() internal view returns (string memory) {
        bytes4[11] memory jobs = [
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
            IJobBook.finish.selector
        ];
        bytes4[7] memory cases = [
            IAudits.draw.selector,
            IAudits.name.selector,
            IAudits.commit.selector,
            IAudits.open.selector,
            IAudits.reveal.selector,
            IAudits.advance.selector,
            IAudits.collect.selector
        ];
        bytes4[3] memory entries = [IWaiting.wait.selector, IWaiting.leave.selector, IWaiting.evict.selector];
        bytes4[4] memory pairs =
            [IReplicas.draw.selector, IReplicas.commit.selector, IReplicas.reveal.selector, IReplicas.advance.selector];
        // So many have to move in time for these that the crowd comes to them by itself only once or twice.
        bytes4[3] memory walks = [IReplicas.walk.selector, IReplicas.show.selector, IReplicas.conclude.selector];
        bytes4[5] memory stakes = [
            IRegistry.addStake.selector,
            IRegistry.unstake.selector,
            IRegistry.withdrawStake.selector,
            IRegistry.setPaused.selector,
            IRegistry.update.selector
        ];
        bytes4[3] memory auditing =
            [IAuditors.addStake.selector, IAuditors.unstake.selector, IAuditors.withdrawStake.selector];
        bytes4[2] memory money = [ILedger.withdraw.selector, ILedger.destroyBurned.selector];
        bytes4[5] memory keeps = [
            IHolders.fund.selector,
            IHolders.close.selector,
            IHolders.ask.selector,
            IHolders.draw.selector,
            IHolders.hold.selector
        ];
        // For these so much time must pass that the crowd comes to them by itself only once or twice.
        bytes4[4] memory looks =
            [IHolders.fail.selector, ISpots.check.selector, ISpots.spot.selector, ISpots.conclude.selector];
        string memory never = "";
        for (uint256 i = 0; i < jobs.length; ++i) {
            never = string.concat(never, unseen(address(book), jobs[i], "J", i));
        }
        for (uint256 i = 0; i < cases.length; ++i) {
            never = string.concat(never, unseen(address(audits), cases[i], "C", i));
        }
        for (uint256 i = 0; i < entries.length; ++i) {
            never = string.concat(never, unseen(address(waiting), entries[i], "W", i));
        }
        for (uint256 i = 0; i < pairs.length; ++i) {
            never = string.concat(never, unseen(address(replicas), pairs[i], "P", i));
        }
        for (uint256 i = 0; i < walks.length; ++i) {
            if (crowd.acceptedToPlan(address(replicas), walks[i]) != 0) continue;
            never = string.concat(never, unseen(address(replicas), walks[i], "V", i));
        }
        for (uint256 i = 0; i < stakes.length; ++i) {
            never = string.concat(never, unseen(address(registry), stakes[i], "S", i));
        }
        for (uint256 i = 0; i < auditing.length; ++i) {
            never = string.concat(never, unseen(address(auditors), auditing[i], "A", i));
        }
        for (uint256 i = 0; i < money.length; ++i) {
            never = string.concat(never, unseen(address(ledger), money[i], "M", i));
        }
        for (uint256 i = 0; i < keeps.length; ++i) {
            never = string.concat(never, unseen(address(holders), keeps[i], "H", i));
        }
        for (uint256 i = 0; i < looks.length; ++i) {
            address at = i == 0 ? address(holders) : address(spots);
            if (crowd.acceptedToPlan(at, looks[i]) != 0) continue;
            never = string.concat(never, unseen(at, looks[i], "L", i));
        }
        return string.concat(never, unseen(address(tabs), ITabs.settle.selector, "T", 0));
    }

    function unseen(address to, bytes4 call_, string memory letter, uint256 n) internal view returns (string memory) {
        return crowd.accepted(to, call_) == 0 ? string.concat(" ", letter, vm.toString(n)) : "";
    }
}
