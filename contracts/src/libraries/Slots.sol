// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IJobBook} from "../interfaces/IJobBook.sol";

/// @title How the JobBook packs its records into storage words.
/// @notice A record is one memory struct of full words while a call works with it, and one or two packed words in storage.
/// Written by hand because the compiler copies packed structs field by field, which costs about 10,000 gas in the life
/// of a range and more code than fits into a contract.
/// @dev `pack*` reverts when a field does not fit, so no sum can run into its neighbour. Layouts from the high end.
library Slots {
    /// @notice What claims, submissions and settlements change.
    /// escrow 96 | next 32 | settledTasks 32 | failures 32 | ranges 32 | outstanding 24 | state 8
    struct Hot {
        uint256 escrow;
        uint256 next;
        uint256 settledTasks;
        uint256 failures;
        uint256 ranges;
        uint256 outstanding;
        IJobBook.JobState state;
    }

    /// @notice Terms about cost and size.
    /// price 96 | unitCap 48 | prepareCap 48 | rangeTimeout 24 | 4 free | flags 3 | clock 1 | targetSeconds 16 | parallelism 16
    /// `price` is the posted price, or the cap when `clock` is set. `flags` are those of the library Flags; 0 is the plain policy, all
    /// others are audited.
    struct Cost {
        uint256 price;
        uint256 unitCap;
        uint256 prepareCap;
        uint256 rangeTimeout;
        uint256 targetSeconds;
        uint256 parallelism;
        bool clock;
        uint8 flags;
    }

    /// @notice Jobs on the clock only: its terms, and where the job stood when the block of the last change began.
    /// floor 96 | start 40 | finish 32 | at 40 | unclaimed 32
    struct Clock {
        uint256 floor;
        uint256 start;
        uint256 finish;
        uint256 at;
        uint256 unclaimed;
    }

    /// @notice Terms about the course of the job, and what came back (the only part that changes).
    /// taskCount 32 | firstRange 24 | deadline 40 | maxFailures 32 | window 24 | returnedPieces 32 | returnedTasks 32
    /// | picky 1
    struct Course {
        uint256 taskCount;
        uint256 firstRange;
        uint256 deadline;
        uint256 maxFailures;
        uint256 window;
        uint256 returnedPieces;
        uint256 returnedTasks;
        bool picky;
    }

    /// @notice A range but for its root. `provider` is the provider's number, `at` as in `IJobBook.Range`.
    /// provider 32 | from 32 | count 32 | units 64 | failures 32 | at 40 | level 16 | state 8
    /// `level` gives the range's price in a job on the clock, see the library Clock; 0 otherwise.
    struct Head {
        uint256 provider;
        uint256 from;
        uint256 count;
        uint256 units;
        uint256 failures;
        uint256 at;
        uint256 level;
        IJobBook.RangeState state;
    }

    /// @notice A sum does not fit into its field: a limit is set wrongly.
    error FieldOverflow();

    uint256 private constant M16 = type(uint16).max;
    uint256 private constant M24 = type(uint24).max;
    uint256 private constant M32 = type(uint32).max;
    uint256 private constant M40 = type(uint40).max;
    uint256 private constant M48 = type(uint48).max;
    uint256 private constant M64 = type(uint64).max;

    function unpackHot(uint256 w) internal pure returns (Hot memory h) {
        h.escrow = w >> 160;
        h.next = w >> 128 & M32;
        h.settledTasks = w >> 96 & M32;
        h.failures = w >> 64 & M32;
        h.ranges = w >> 32 & M32;
        h.outstanding = w >> 8 & M24;
        h.state = IJobBook.JobState(w & 0xff);
    }

    function packHot(Hot memory h) internal pure returns (uint256) {
        _fits(h.escrow >> 96 | (h.next | h.settledTasks | h.failures | h.ranges) >> 32 | h.outstanding >> 24);
        return h.escrow << 160 | h.next << 128 | h.settledTasks << 96 | h.failures << 64 | h.ranges << 32
            | h.outstanding << 8 | uint256(h.state);
    }

    function unpackCost(uint256 w) internal pure returns (Cost memory c) {
        c.price = w >> 160;
        c.unitCap = w >> 112 & M48;
        c.prepareCap = w >> 64 & M48;
        c.rangeTimeout = w >> 40 & M24;
        c.targetSeconds = w >> 16 & M16;
        c.parallelism = w & M16;
        c.clock = w >> 32 & 1 == 1;
        // Three bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        c.flags = uint8(w >> 33 & 7);
    }

    function packCost(Cost memory c) internal pure returns (uint256) {
        _fits(c.price >> 96 | (c.unitCap | c.prepareCap) >> 48 | c.rangeTimeout >> 24);
        _fits((c.targetSeconds | c.parallelism) >> 16 | c.flags >> 3);
        return c.price << 160 | c.unitCap << 112 | c.prepareCap << 64 | c.rangeTimeout << 40 | c.targetSeconds << 16
            | c.parallelism | (c.clock ? 1 << 32 : 0) | uint256(c.flags) << 33;
    }

    function unpackClock(uint256 w) internal pure returns (Clock memory c) {
        c.floor = w >> 160;
        c.start = w >> 120 & M40;
        c.finish = w >> 88 & M32;
        c.at = w >> 48 & M40;
        c.unclaimed = w >> 16 & M32;
    }

    function packClock(Clock memory c) internal pure returns (uint256) {
        _fits(c.floor >> 96 | (c.start | c.at) >> 40 | (c.finish | c.unclaimed) >> 32);
        return c.floor << 160 | c.start << 120 | c.finish << 88 | c.at << 48 | c.unclaimed << 16;
    }

    function unpackCourse(uint256 w) internal pure returns (Course memory c) {
        c.taskCount = w >> 224;
        c.firstRange = w >> 200 & M24;
        c.deadline = w >> 160 & M40;
        c.maxFailures = w >> 128 & M32;
        c.window = w >> 104 & M24;
        c.returnedPieces = w >> 72 & M32;
        c.returnedTasks = w >> 40 & M32;
        c.picky = w & 1 == 1;
    }

    function packCourse(Course memory c) internal pure returns (uint256) {
        _fits((c.taskCount | c.maxFailures | c.returnedPieces | c.returnedTasks) >> 32);
        _fits((c.firstRange | c.window) >> 24 | c.deadline >> 40);
        return c.taskCount << 224 | c.firstRange << 200 | c.deadline << 160 | c.maxFailures << 128 | c.window << 104
            | c.returnedPieces << 72 | c.returnedTasks << 40 | (c.picky ? 1 : 0);
    }

    function unpackHead(uint256 w) internal pure returns (Head memory r) {
        r.provider = w >> 224;
        r.from = w >> 192 & M32;
        r.count = w >> 160 & M32;
        r.units = w >> 96 & M64;
        r.failures = w >> 64 & M32;
        r.at = w >> 24 & M40;
        r.level = w >> 8 & M16;
        r.state = IJobBook.RangeState(w & 0xff);
    }

    function packHead(Head memory r) internal pure returns (uint256) {
        _fits((r.provider | r.from | r.count | r.failures) >> 32 | r.units >> 64 | r.at >> 40 | r.level >> 16);
        return r.provider << 224 | r.from << 192 | r.count << 160 | r.units << 96 | r.failures << 64 | r.at << 24
            | r.level << 8 | uint256(r.state);
    }

    /// @dev A packed range in another state; cheaper than to unpack and pack it.
    function inState(uint256 w, IJobBook.RangeState state) internal pure returns (uint256) {
        return w & ~uint256(0xff) | uint256(state);
    }

    /// @dev A packed range, claimed until now, as submitted: provider, tasks and level stay.
    function submitted(uint256 w, uint256 units, uint256 failures, uint256 at) internal pure returns (uint256) {
        _fits(units >> 64 | failures >> 32 | at >> 40);
        return w & (type(uint256).max << 160 | M16 << 8) | units << 96 | failures << 64 | at << 24
            | uint256(IJobBook.RangeState.Submitted);
    }

    /// @dev cap 32 | tasks 48 | busySeconds 32 | lastSubmittedAt 40 | releases 8, from the low end.
    function unpackPace(uint256 w) internal pure returns (IJobBook.Pace memory p) {
        // Each cast keeps exactly the field's bits.
        // forge-lint: disable-start(unsafe-typecast)
        p.cap = uint32(w);
        p.tasks = uint48(w >> 32);
        p.busySeconds = uint32(w >> 80);
        p.lastSubmittedAt = uint40(w >> 112);
        p.releases = uint8(w >> 152);
        // forge-lint: disable-end(unsafe-typecast)
    }

    function packPace(IJobBook.Pace memory p) internal pure returns (uint256) {
        return uint256(p.cap) | uint256(p.tasks) << 32 | uint256(p.busySeconds) << 80 | uint256(p.lastSubmittedAt)
            << 112 | uint256(p.releases) << 152;
    }

    function _fits(uint256 tooHigh) private pure {
        if (tooHigh != 0) revert FieldOverflow();
    }
}
