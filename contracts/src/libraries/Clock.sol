// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title The price of a job on the clock: a reverse Dutch auction that follows the job's own schedule.
/// @notice The client names a floor, a cap and a finish. Until 7/8 of the finish time all tasks are due at an even pace;
/// while the job keeps to that, a unit costs the floor. Every second that the job is behind raises the price, every claim
/// lowers it, and a job that is 1/8 of the finish time behind offers its cap. So at the finish even the last task is offered
/// at the cap, and nobody who claims at a price that suits them waits for others' sake.
///
///   slack    = finish / 8                                                      seconds, rounded down
///   behind   = elapsed x tasks - (finish - slack) x claimed                    seconds x tasks; 0 when negative
///   level    = min(65535, behind x 65535 / (slack x tasks))                    rounded down
///   price    = floor + (cap - floor) x level^2 / 65535^2                       base units per unit, rounded down
///
/// The square makes the price rise slowly near the floor and fast near the cap, like an exponential, in exact integers.
/// The claim's level (16 bits) is stored with its range, so a range costs no more storage than with a posted price.
/// @dev Ranges: elapsed < 2^40, 16 <= finish < 2^32, claimed <= tasks, 1 <= tasks < 2^32, floor <= cap < 2^96. Everything
/// stays below 2^128, no step can overflow. The same function is in the protocol crate; both read vectors/clock.json.
library Clock {
    /// @notice The level at which a unit costs the cap.
    uint256 internal constant TOP = type(uint16).max;
    /// @notice This part (1/x) of the finish time is kept for work that only the cap brings.
    uint256 internal constant SLACK = 8;
    /// @notice Shortest finish, seconds.
    uint32 internal constant MIN_FINISH = 16;

    /// @notice How far the job is behind its schedule: 0 (not at all) ..= TOP.
    /// @param elapsed seconds since the job was opened
    /// @param finish seconds after opening at which every task is offered at the cap
    /// @param claimed tasks that somebody holds or has done
    /// @param tasks all tasks
    function level(uint256 elapsed, uint256 finish, uint256 claimed, uint256 tasks) internal pure returns (uint256) {
        uint256 slack = finish / SLACK;
        uint256 passed = elapsed * tasks;
        uint256 due = (finish - slack) * claimed;
        if (passed <= due) return 0;
        uint256 reached = (passed - due) * TOP / (slack * tasks);
        return reached < TOP ? reached : TOP;
    }

    /// @notice The price of a unit at a level.
    function price(uint256 floor, uint256 cap, uint256 level_) internal pure returns (uint256) {
        return floor + (cap - floor) * level_ * level_ / (TOP * TOP);
    }
}
