// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Crowd} from "./Crowd.sol";
import {End, Hold, Piece} from "./CrowdLeaves.sol";
import {Replica} from "./Replica.sol";
import {Tally} from "./Tally.sol";
import {Auditors} from "../src/Auditors.sol";
import {Audits} from "../src/Audits.sol";
import {Holders} from "../src/Holders.sol";
import {JobBook} from "../src/JobBook.sol";
import {Ledger} from "../src/Ledger.sol";
import {Registry} from "../src/Registry.sol";
import {Replicas} from "../src/Replicas.sol";
import {Spots} from "../src/Spots.sol";
import {Tabs} from "../src/Tabs.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {ISpots} from "../src/interfaces/ISpots.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev The crowd where jobs are kept: deposits, asks for inputs and ranges, who holds them, and who looks at that.
contract CrowdKept is Crowd {
    Holders internal immutable HOLDERS;
    Spots internal immutable SPOTS;

    /// @dev The crowd's kept jobs, and what somebody has asked for in them.
    uint64[] internal keeping;
    Piece[] internal asked;

    constructor(
        Ledger ledger_,
        Registry registry_,
        JobBook book_,
        Replica replica_,
        Auditors auditors_,
        Audits audits_,
        Tally tally_,
        Replicas replicas_,
        Tabs tabs_,
        Holders holders_,
        Spots spots_
    ) Crowd(ledger_, registry_, book_, replica_, auditors_, audits_, tally_, replicas_, tabs_) {
        (HOLDERS, SPOTS) = (holders_, spots_);
    }

    function pricesOf(uint256 seed) internal pure returns (IHolders.Prices memory) {
        (uint256 perMib, uint256 perMibDay) = ((seed >> 8) % 1e5, (seed >> 32) % 1e5);
        return IHolders.Prices(uint32(1 + seed % 8), uint96(perMib), uint96(perMibDay), uint32(60 + seed % 600));
    }

    function known() internal {
        vm.warp(now_);
        vm.roll(block_);
    }

    // ---------------------------------------------------------------- anything

    /// @dev Somebody opens a kept job, funds it and asks for its inputs, which most who are drawn hold: then others work on it.
    function keeps(uint256 who, uint256 seed, uint256 bits) external {
        uint256 before = replica.jobCount();
        act(client(who), address(book), abi.encodeCall(IJobBook.open, (keptTerms(seed), uint128(3e9))));
        if (replica.jobCount() == before) return;
        uint64 id = uint64(before + 1);
        keeping.push(id);
        bytes memory data = abi.encodeCall(IHolders.fund, (id, pricesOf(seed), uint96(1e6 + (seed >> 64) % 1e9)));
        act(client(who), address(HOLDERS), data);
        Piece memory p = Piece(id, Parameters.INPUTS);
        asks(client(who), p, uint32(1 + (seed >> 96) % 4));
        begins(p);
        signs(p, bits | bits >> 16);
        if (HOLDERS.areInputsHeld(id)) ours.push(id);
    }

    function keptTerms(uint256 seed) internal view returns (IJobBook.Terms memory t) {
        t.specHash = bytes32(seed | 1);
        t.taskCount = uint32(1 + seed % 40);
        (t.unitCap, t.price) = (uint64(8 + (seed >> 8) % 50), uint96(1e6 + (seed >> 16) % 1e6));
        (t.window, t.rangeTimeout) = (uint32(10 + (seed >> 40) % 30), uint32(5 + (seed >> 48) % 40));
        (t.targetSeconds, t.parallelism) = (uint16(1 + (seed >> 56) % 5), 2);
        (t.firstRange, t.maxFailures) = (uint32(1 + (seed >> 64) % 4), 20);
        (t.deadline, t.audited, t.kept) = (now_ + uint40(600 + (seed >> 72) % 20_000), true, true);
    }

    /// @dev More money for a kept job, at its prices or at others, or what is free of it back.
    function deposits(uint256 who, uint256 j, uint96 amount, uint8 what) external {
        if (keeping.length == 0) return;
        uint64 id = lastOf(keeping, j, 4);
        bytes memory data = abi.encodeCall(IHolders.close, (id));
        if (what % 4 != 0) {
            IHolders.Keep memory k = HOLDERS.kept(id);
            IHolders.Prices memory prices = IHolders.Prices(k.maxMib, k.perMib, k.perMibDay, k.keepSeconds);
            if (what % 8 == 1) prices = pricesOf(amount);
            data = abi.encodeCall(IHolders.fund, (id, prices, uint96(bound(amount, 0, 1e9))));
        }
        act(clientOf(id, who), address(HOLDERS), data);
    }

    /// @dev Holders of a range that was handed in are asked for, mostly by its provider and in time.
    function asksFor(uint256 who, uint256 j, uint32 mib, uint8 what) external {
        Piece memory p = handedInKept(j);
        if (p.id == 0) return;
        uint32 most = HOLDERS.kept(p.id).maxMib;
        IHolders.Ask memory a = HOLDERS.asked(p.id, p.seq);
        if (what % 4 != 0 || what % 16 == 8) windowPasses(p);
        // Its client has to wait for its provider. Seldom, for it is long.
        if (what % 16 == 8) now_ += uint40(Parameters.ASK_FIRST);
        // Mostly a size that there may be.
        mib = uint32(bound(mib, what % 16 == 2 ? 0 : 1, uint256(most) + (what % 16 == 3 ? 1 : 0)));
        if (what % 8 < 2) mib = most;
        // The second time as large as the first, or smaller.
        if (a.state == IHolders.State.Again) mib = what % 8 == 2 ? uint32(bound(mib, 1, a.mib)) : a.mib;
        asks(what % 8 == 0 ? clientOf(p.id, who) : what % 8 == 1 ? node(who) : holderOf(p), p, mib);
    }

    function windowPasses(Piece memory p) internal {
        uint40 end = replica.range(p.id, p.seq).at + uint40(replica.job(p.id).terms.window);
        if (now_ < end) now_ = end;
    }

    /// @dev One of those handed in last whose jobs are kept, if there is one.
    function handedInKept(uint256 j) internal view returns (Piece memory p) {
        uint256 most = handed.length < 24 ? handed.length : 24;
        for (uint256 i = 0; i < most; ++i) {
            // What comes from the fuzzer may be the largest number there is.
            p = handed[handed.length - 1 - (j % most + i) % most];
            bool submitted = replica.range(p.id, p.seq).state == IJobBook.RangeState.Submitted;
            if (submitted && replica.job(p.id).terms.kept) return p;
        }
        return Piece(0, 0);
    }

    /// @dev The next thing with something that was asked for, or nothing until its time is over.
    function holdOn(uint256 j, uint256 bits, uint8 what) external {
        if (asked.length == 0) return;
        Piece memory p = asked[asked.length - 1 - j % (asked.length < 6 ? asked.length : 6)];
        IHolders.Ask memory a = HOLDERS.asked(p.id, p.seq);
        // Seldom, for it is long.
        bool waits = what % 16 == 0;
        if (a.state == IHolders.State.Asked) {
            if (what % 8 == 1) block_ += 300;
            if (what % 8 != 2) begins(p);
            else fails(p);
        } else if (a.state == IHolders.State.Open) {
            if (waits) now_ += uint40(Parameters.HOLD_TIME);
            signs(p, bits);
            // Time never runs backwards.
            uint40 over = a.from + uint40(2 * Parameters.HOLD_TIME + 1);
            if (what % 32 == 16 && now_ < over) now_ = over;
            if (waits || what % 8 == 2) fails(p);
        } else if (a.state == IHolders.State.Again) {
            bool isInputs = p.seq == Parameters.INPUTS;
            if (what % 8 == 2) fails(p);
            else asks(isInputs ? replica.job(p.id).client : holderOf(p), p, a.mib);
        } else if (a.state == IHolders.State.Held) {
            looks(p, bits, what);
        }
    }

    /// @dev When it need not be kept any more somebody calls for those who look; some of them come, and see some.
    function looks(Piece memory p, uint256 bits, uint8 what) internal {
        IHolders.Ask memory a = HOLDERS.asked(p.id, p.seq);
        ISpots.Spot memory s = SPOTS.spotOf(p.id, p.seq);
        bool near = a.until < now_ + 1 hours || what % 64 == 0;
        if (what % 4 != 0 && near && now_ <= a.until) now_ = a.until + 1;
        if (s.state == ISpots.SpotState.None) {
            if (what % 64 == 1) now_ += uint40(Parameters.SPOT_DUE);
            act(address(0xE), address(SPOTS), abi.encodeCall(ISpots.check, (p.id, p.seq)));
            block_ += 3;
        } else if (s.state == ISpots.SpotState.Asked) {
            spots(p, bits, bits >> 16);
        }
        if (what % 16 == 3) now_ += uint40(Parameters.SPOT_TIME);
        act(address(0xE), address(SPOTS), abi.encodeCall(ISpots.conclude, (p.id, p.seq)));
    }

    // ---------------------------------------------------------------- moves

    function asks(address sender, Piece memory p, uint32 mib) internal {
        bool done = act(sender, address(HOLDERS), abi.encodeCall(IHolders.ask, (p.id, p.seq, mib)));
        if (done && HOLDERS.asked(p.id, p.seq).asked == 1) asked.push(p);
    }

    function begins(Piece memory p) internal {
        block_ += 3;
        act(address(0xE), address(HOLDERS), abi.encodeCall(IHolders.draw, (p.id, p.seq)));
    }

    function fails(Piece memory p) internal {
        act(address(0xE), address(HOLDERS), abi.encodeCall(IHolders.fail, (p.id, p.seq)));
    }

    /// @dev Those of the drawn sign whose bits are set.
    function signs(Piece memory p, uint256 bits) internal {
        known();
        uint32[] memory numbers = HOLDERS.named(p.id, p.seq);
        for (uint8 i = 0; i < numbers.length; ++i) {
            if (bits >> i & 1 == 0) continue;
            address sender = auditors.auditor(numbers[i]).node;
            act(sender, address(HOLDERS), abi.encodeCall(IHolders.hold, (p.id, p.seq, i)));
        }
    }

    /// @dev Those look whose bits are set; each is served by others of those who hold it.
    function spots(Piece memory p, uint256 bits, uint256 seen) internal {
        known();
        uint32[] memory numbers = SPOTS.spotters(p.id, p.seq);
        uint16 signed = HOLDERS.asked(p.id, p.seq).bits;
        for (uint8 i = 0; i < numbers.length; ++i) {
            if (bits >> i & 1 == 0) continue;
            address sender = auditors.auditor(numbers[i]).node;
            bytes memory data = abi.encodeCall(ISpots.spot, (p.id, p.seq, i, uint16(seen >> 3 * i) & signed));
            act(sender, address(SPOTS), data);
        }
    }

    // ---------------------------------------------------------------- to a plan

    /// @dev A kept range of those who are steady, up to the end of its holders' time. What became of its ask, or of that for the
    /// inputs, if they were not held.
    function workKept(uint8 how) public toPlan returns (IHolders.State) {
        uint64 id = steadyOpen(0, true);
        if (id == 0) return IHolders.State.None;
        Hold hold = Hold(how % 5);
        IHolders.State state;
        bytes memory data = abi.encodeCall(IHolders.fund, (id, pricesOf(2), 1e9));
        act(STEADY_CLIENT, address(HOLDERS), data);
        Piece memory p = Piece(id, Parameters.INPUTS);
        asks(STEADY_CLIENT, p, 2);
        if (hold == Hold.InputsLost) {
            state = loses(STEADY_CLIENT, p, 2);
        } else if (hold == Hold.Dropped) {
            begins(p);
            signs(p, 1);
            act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.cancel, (id)));
            fails(p);
            state = HOLDERS.asked(id, p.seq).state;
        } else {
            begins(p);
            signs(p, 0x7f);
            state = steadyRange(id, hold);
        }
        endsJob(id);
        return state;
    }

    function steadyRange(uint64 id, Hold hold) internal returns (IHolders.State) {
        address sender = vm.addr(0xB000 + STEADY);
        Piece memory p = Piece(id, 0);
        act(sender, address(book), abi.encodeCall(IJobBook.claim, (id, 4, 0)));
        uint64 units = uint64(replica.range(id, 0).count) * 8;
        bytes32 root = handedIn(id, 0, units, 0);
        act(sender, address(book), abi.encodeCall(IJobBook.submit, (id, 0, root, units, 0, 0)));
        play(id, 0, End.Upheld);
        windowPasses(p);
        asks(sender, p, 3);
        if (hold == Hold.Lost) return loses(sender, p, 3);
        begins(p);
        signs(p, 0x7f);
        act(address(0xE), address(book), abi.encodeCall(IJobBook.settle, (id, new uint32[](1))));
        uint40 until = HOLDERS.asked(id, 0).until;
        if (now_ <= until) now_ = until + 1;
        act(address(0xE), address(SPOTS), abi.encodeCall(ISpots.check, (id, 0)));
        block_ += 3;
        // All see all, or three come and see nobody.
        if (hold == Hold.Held) spots(p, 0x7f, type(uint256).max);
        else spots(p, 7, 0);
        ends(p);
        return HOLDERS.asked(id, 0).state;
    }

    /// @dev Nobody signs, twice.
    function loses(address sender, Piece memory p, uint32 mib) internal returns (IHolders.State) {
        for (uint256 i = 0; i < 2; ++i) {
            if (i == 1) asks(sender, p, mib);
            begins(p);
            now_ += uint40(2 * Parameters.HOLD_TIME + 1);
            fails(p);
        }
        return HOLDERS.asked(p.id, p.seq).state;
    }

    /// @dev Whoever still looks has had its time.
    function ends(Piece memory p) internal {
        if (SPOTS.spotOf(p.id, p.seq).state == ISpots.SpotState.Over) return;
        now_ += uint40(Parameters.SPOT_TIME + 1);
        act(address(0xE), address(SPOTS), abi.encodeCall(ISpots.conclude, (p.id, p.seq)));
    }

    /// @dev The client ends its job; who holds its inputs is looked at, by nobody who comes; and it has the rest of its deposit.
    function endsJob(uint64 id) internal {
        act(STEADY_CLIENT, address(book), abi.encodeCall(IJobBook.cancel, (id)));
        act(address(0xE), address(book), abi.encodeCall(IJobBook.finish, (id)));
        Piece memory p = Piece(id, Parameters.INPUTS);
        act(address(0xE), address(SPOTS), abi.encodeCall(ISpots.check, (id, p.seq)));
        ends(p);
        act(STEADY_CLIENT, address(HOLDERS), abi.encodeCall(IHolders.close, (id)));
    }

    function workKeptSometimes(uint8 how, uint8 seldom) external {
        if (seldom % 4 == 0) workKept(how);
    }
}
