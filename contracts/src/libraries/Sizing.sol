// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {IJobBook} from "../interfaces/IJobBook.sol";

/// @title How many tasks a provider gets at once.
/// @notice Pure rules. A range is as large as the provider has shown it can do in the target time, and never so large
/// that the other providers have nothing to do at the end.
library Sizing {
    /// @notice Most tasks of one range; the same bound is in the protocol crate.
    uint32 internal constant MAX_RANGE_TASKS = 1 << 20;
    /// @dev A range is at most this part (1/x) of what is left per expected slot.
    uint256 private constant SHARE_OF_REST = 2;
    /// @dev But a fair share never falls below this part (1/x) of all tasks per expected slot: bounds the number of ranges.
    uint256 private constant SHARE_OF_ALL = 32;
    /// @dev Work older than about so many target times fades from the measured rate.
    uint256 private constant MEMORY = 4;

    /// @notice The largest range by what the provider has shown in this job.
    function paceCap(IJobBook.Pace memory p, uint256 firstRange, uint256 targetSeconds, uint256 slots)
        internal
        pure
        returns (uint256 cap)
    {
        cap = p.cap == 0 ? firstRange : p.cap;
        if (p.busySeconds != 0) {
            // tasks / busySeconds is the rate of the whole provider, a range is worked on by one slot.
            uint256 byRate = p.tasks * targetSeconds / (p.busySeconds * slots);
            if (byRate < cap) cap = byRate;
        }
        if (cap == 0) cap = 1;
    }

    /// @notice The largest range that leaves work for the others.
    function fairShare(uint256 unclaimed, uint256 taskCount, uint256 parallelism)
        internal
        pure
        returns (uint256 share)
    {
        share = unclaimed / (SHARE_OF_REST * parallelism);
        uint256 least = taskCount / (SHARE_OF_ALL * parallelism);
        if (share < least) share = least;
        if (share == 0) share = 1;
    }

    /// @notice Tasks that a budget pays for at their caps.
    function affordable(uint256 budget, uint256 price, uint256 unitCap, uint256 prepareCap)
        internal
        pure
        returns (uint256)
    {
        uint256 units = budget / price;
        return units <= prepareCap ? 0 : (units - prepareCap) / unitCap;
    }

    /// @notice The pace after a submission. A late one starts again with the first range (cap 0).
    /// @param p the pace before it, with its cap filled in
    /// @param since when the provider got to work on it: its claim, or the previous submission if that was later
    function afterSubmission(IJobBook.Pace memory p, uint256 targetSeconds, uint256 count, uint256 since, bool onTime)
        internal
        view
        returns (IJobBook.Pace memory)
    {
        uint256 busy = uint256(p.busySeconds) + (block.timestamp - since);
        uint256 tasks = uint256(p.tasks) + count;
        if (busy > MEMORY * (targetSeconds + 1)) {
            busy = busy / 2;
            tasks = tasks / 2;
        }
        uint256 cap = p.cap;
        if (!onTime) {
            cap = 0;
        } else if (2 * count > cap) {
            cap = 2 * count;
            if (cap > MAX_RANGE_TASKS) cap = MAX_RANGE_TASKS;
        }
        // cap <= 2^20 or a uint32; busy and tasks are bounded here, a slower provider only looks a little faster.
        // forge-lint: disable-start(unsafe-typecast)
        p.cap = uint32(cap);
        p.busySeconds = busy > type(uint32).max ? type(uint32).max : uint32(busy);
        p.tasks = tasks > type(uint48).max ? type(uint48).max : uint48(tasks);
        p.lastSubmittedAt = uint40(block.timestamp);
        // forge-lint: disable-end(unsafe-typecast)
        return p;
    }
}
