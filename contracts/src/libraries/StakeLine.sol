// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {Draw} from "./Draw.sol";

/// @title A line of stakes: numbers from 1 on, each with a part as long as its stake, in their order.
/// @notice A binary tree over the numbers in which a node keeps the sum of its left half only: a place is found with one
/// look-up per level, a stake changed with a write at every level where the path turns left. The tree grows a level when the
/// numbers reach its end; the new root's left half is the whole old line. Every sum is kept with the time of its change, so
/// that the line can be read as it stood at any moment: who changes its stake when a beacon is known changes nothing that this
/// beacon draws. A look-up reads the newest sum first, which nearly always answers, then halves.
/// @dev The sum of all stakes must stay below 2^96: whoever keeps a line has a cap in the Ledger that sees to it.
library StakeLine {
    using SafeCast for uint256;
    using Checkpoints for Checkpoints.Trace208;

    /// @notice The line itself, in storage. `whole` is packed: total 96 bits, staked 32, levels 8.
    struct Line {
        Checkpoints.Trace208 whole;
        mapping(uint256 levelAndNode => Checkpoints.Trace208 leftSum) left;
    }

    /// @notice The whole line at some moment: its length, how many have a part of it, and the levels of the tree, which then
    /// had room for 2^levels numbers from 0 on (number 0 has no stake).
    struct Shape {
        uint256 total;
        uint256 staked;
        uint256 levels;
    }

    /// @dev Parts of the line that are left out, in its order, and the length of the rest.
    struct Gaps {
        uint256[] starts;
        uint256[] lengths;
        uint256 used;
        uint256 left;
    }

    /// @notice As of when everything stands as it does now.
    uint40 internal constant NOW = type(uint40).max;

    /// @notice No place on an empty line, or beyond its end.
    error OffTheLine(uint256 place, uint256 total);

    /// @notice A number's part of the line, until now `before` long, is from now on `now_` long.
    function set(Line storage self, uint32 number, uint256 before, uint256 now_) internal {
        if (before == now_) return;
        Shape memory line = shape(self, NOW);
        // Makes room for the number: a new root over the whole line as it is.
        while (number >> line.levels != 0) {
            line.levels += 1;
            // Of an empty line there is nothing to be kept, and what was never kept reads as 0.
            if (line.total != 0) _set(self.left[_key(line.levels, 0)], line.total);
        }
        line.total = line.total - before + now_;
        if (before == 0) ++line.staked;
        if (now_ == 0) --line.staked;
        _set(self.whole, line.total | line.staked << 96 | line.levels << 128);
        uint256 node = number;
        for (uint256 level = 1; level <= line.levels; ++level) {
            bool isLeft = node & 1 == 0;
            node >>= 1;
            if (!isLeft) continue;
            Checkpoints.Trace208 storage left = self.left[_key(level, node)];
            _set(left, left.latest() - before + now_);
        }
    }

    /// @notice The line after all changes up to and including that second.
    function shape(Line storage self, uint40 asOf) internal view returns (Shape memory) {
        uint256 packed = _get(self.whole, asOf);
        return Shape(packed & type(uint96).max, packed >> 96 & type(uint32).max, packed >> 128);
    }

    /// @notice In whose part of the line a place lay.
    function at(Line storage self, uint256 place, uint40 asOf) internal view returns (uint32 number) {
        return _at(self, place, shape(self, asOf), asOf);
    }

    /// @notice What was a number's part of the line: its first place and its length.
    function part(Line storage self, uint32 number, uint40 asOf) internal view returns (uint256 start, uint256 length) {
        return _part(self, number, shape(self, asOf), asOf);
    }

    /// @notice Who had the places that words of a seed name, modulo its length, on the line without some numbers: see the
    /// library Draw. With replacement. Empty when nobody else was there.
    /// @param out whom to leave out, in any order; the same one twice counts once, and 0 is nobody
    function drawn(
        Line storage self,
        bytes32 seed,
        uint8 purpose,
        uint32 first,
        uint256 wanted,
        uint32[] memory out,
        uint40 asOf
    ) internal view returns (uint32[] memory numbers) {
        Shape memory line = shape(self, asOf);
        Gaps memory gaps = _gaps(self, out, line, asOf);
        if (gaps.left == 0) return numbers;
        numbers = new uint32[](wanted);
        for (uint32 n = 0; n < wanted; ++n) {
            uint256 place = Draw.word(seed, purpose, first + n) % gaps.left;
            for (uint256 i = 0; i < gaps.used && place >= gaps.starts[i]; ++i) {
                place += gaps.lengths[i];
            }
            numbers[n] = _at(self, place, line, asOf);
        }
    }

    // ------------------------------------------------------------------ private

    /// @dev Within a second the last change counts.
    function _set(Checkpoints.Trace208 storage trace, uint256 value) private {
        trace.push(block.timestamp.toUint48(), value.toUint208());
    }

    /// @dev The value after all changes up to and including that second.
    function _get(Checkpoints.Trace208 storage trace, uint40 asOf) private view returns (uint256) {
        (, uint48 since, uint208 newest) = trace.latestCheckpoint();
        return since <= asOf ? newest : trace.upperLookupRecent(asOf);
    }

    function _at(Line storage self, uint256 place, Shape memory line, uint40 asOf) private view returns (uint32) {
        if (place >= line.total) revert OffTheLine(place, line.total);
        uint256 node = 0;
        for (uint256 level = line.levels; level != 0; --level) {
            uint256 left = _get(self.left[_key(level, node)], asOf);
            node <<= 1;
            if (place >= left) {
                place -= left;
                node |= 1;
            }
        }
        return node.toUint32();
    }

    /// @dev The parts of the line whose holders are left out, in its order.
    function _gaps(Line storage self, uint32[] memory out, Shape memory line, uint40 asOf)
        private
        view
        returns (Gaps memory g)
    {
        g.starts = new uint256[](out.length);
        g.lengths = new uint256[](out.length);
        g.left = line.total;
        for (uint256 n = 0; n < out.length; ++n) {
            (uint256 start, uint256 length) = _part(self, out[n], line, asOf);
            if (length == 0) continue;
            // Where it belongs in the order of the line; parts do not overlap, so equal starts are the same one.
            uint256 i = 0;
            while (i < g.used && g.starts[i] < start) ++i;
            if (i < g.used && g.starts[i] == start) continue;
            for (uint256 k = g.used; k > i; --k) {
                (g.starts[k], g.lengths[k]) = (g.starts[k - 1], g.lengths[k - 1]);
            }
            (g.starts[i], g.lengths[i]) = (start, length);
            ++g.used;
            g.left -= length;
        }
    }

    /// @dev The end of a part is the start of the next number's.
    function _part(Line storage self, uint256 number, Shape memory line, uint40 asOf)
        private
        view
        returns (uint256 start, uint256 length)
    {
        if (number == 0) return (0, 0);
        start = _before(self, number, line, asOf);
        length = _before(self, number + 1, line, asOf) - start;
    }

    /// @dev The stakes of all smaller numbers.
    function _before(Line storage self, uint256 number, Shape memory line, uint40 asOf)
        private
        view
        returns (uint256 sum)
    {
        // It joined later: the whole line is before it.
        if (number >> line.levels != 0) return line.total;
        for (uint256 level = 1; level <= line.levels; ++level) {
            bool isRight = number & 1 == 1;
            number >>= 1;
            if (isRight) sum += _get(self.left[_key(level, number)], asOf);
        }
    }

    /// @dev A level has fewer than 2^32 nodes.
    function _key(uint256 level, uint256 node) private pure returns (uint256) {
        return level << 32 | node;
    }
}
