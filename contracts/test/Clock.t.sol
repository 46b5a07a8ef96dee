// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {Clock} from "../src/libraries/Clock.sol";

/// @dev The price function alone: golden vectors shared with Rust, and its properties over the whole range of arguments.
contract ClockTest is T {
    uint256 internal constant MAX_TASKS = 1 << 30;

    function column(string memory json, string memory name) internal pure returns (string[] memory) {
        return vm.parseJsonStringArray(json, string.concat(".", name));
    }

    function test_goldenVectors() public view {
        string memory json = vm.readFile("../vectors/clock.json");
        string[] memory elapsed = column(json, "elapsed");
        string[] memory finish = column(json, "finish");
        string[] memory claimed = column(json, "claimed");
        string[] memory tasks = column(json, "tasks");
        string[] memory floor = column(json, "floor");
        string[] memory cap = column(json, "cap");
        string[] memory level = column(json, "level");
        string[] memory price = column(json, "price");
        ok(level.length > 100 && price.length == level.length, "there are vectors");
        for (uint256 i = 0; i < level.length; ++i) {
            uint256 got = Clock.level(
                vm.parseUint(elapsed[i]), vm.parseUint(finish[i]), vm.parseUint(claimed[i]), vm.parseUint(tasks[i])
            );
            eq(got, vm.parseUint(level[i]), "level");
            eq(Clock.price(vm.parseUint(floor[i]), vm.parseUint(cap[i]), got), vm.parseUint(price[i]), "price");
        }
    }

    struct Moment {
        uint256 finish;
        uint256 tasks;
        uint256 claimed;
        uint256 elapsed;
    }

    function moment(uint32 finish, uint32 tasks, uint32 claimed, uint40 elapsed)
        internal
        pure
        returns (Moment memory m)
    {
        m.finish = bound(finish, Clock.MIN_FINISH, type(uint32).max);
        m.tasks = bound(tasks, 1, MAX_TASKS);
        m.claimed = bound(claimed, 0, m.tasks);
        // Mostly within the time of the job, sometimes far beyond.
        m.elapsed = elapsed % 8 == 0 ? elapsed : elapsed % (m.finish + 2);
    }

    function levelOf(Moment memory m) internal pure returns (uint256) {
        return Clock.level(m.elapsed, m.finish, m.claimed, m.tasks);
    }

    function testFuzz_levelRisesWithTimeAndFallsWithClaims(
        uint32 finish,
        uint32 tasks,
        uint32 claimed,
        uint40 elapsed,
        uint32 later,
        uint32 more
    ) public pure {
        Moment memory m = moment(finish, tasks, claimed, elapsed);
        uint256 now_ = levelOf(m);
        ok(now_ <= Clock.TOP, "never above the top");
        m.elapsed += later;
        uint256 then_ = levelOf(m);
        ok(then_ >= now_, "time never lowers it");
        m.claimed = bound(more, m.claimed, m.tasks);
        ok(levelOf(m) <= then_, "claims never raise it");
    }

    function testFuzz_scheduleIsKeptByTheFloorAndFinishedByTheCap(
        uint32 finish,
        uint32 tasks,
        uint32 claimed,
        uint40 elapsed
    ) public pure {
        Moment memory m = moment(finish, tasks, claimed, elapsed);
        uint256 slack = m.finish / Clock.SLACK;
        uint256 even = m.elapsed * m.tasks;
        uint256 due = (m.finish - slack) * m.claimed;
        if (even <= due) eq(levelOf(m), 0, "not behind");
        if (even >= due + slack * m.tasks) eq(levelOf(m), Clock.TOP, "an eighth of the time behind");
        m.elapsed = m.finish;
        eq(levelOf(m), Clock.TOP, "at the finish even the last task is offered at the cap");
        (m.elapsed, m.claimed) = (slack, 0);
        eq(levelOf(m), Clock.TOP, "nobody came");
    }

    function testFuzz_priceIsWithinFloorAndCapAndRisesWithTheLevel(uint96 floor, uint96 cap, uint16 a, uint16 b)
        public
        pure
    {
        if (floor > cap) (floor, cap) = (cap, floor);
        if (a > b) (a, b) = (b, a);
        uint256 low = Clock.price(floor, cap, a);
        uint256 high = Clock.price(floor, cap, b);
        ok(floor <= low && low <= high && high <= cap, "ordered");
        eq(Clock.price(floor, cap, 0), floor, "floor");
        eq(Clock.price(floor, cap, Clock.TOP), cap, "cap");
    }

    function test_extremesDoNotOverflow() public pure {
        uint256 all = MAX_TASKS;
        eq(Clock.level(type(uint40).max, type(uint32).max, 0, all), Clock.TOP, "latest");
        eq(Clock.level(type(uint40).max, 16, all, all), Clock.TOP, "all claimed, long after");
        eq(Clock.level(0, type(uint32).max, all, all), 0, "all claimed at once");
        eq(Clock.price(1, type(uint96).max, Clock.TOP), type(uint96).max, "highest");
        eq(Clock.price(type(uint96).max, type(uint96).max, Clock.TOP), type(uint96).max, "both highest");
    }
}
