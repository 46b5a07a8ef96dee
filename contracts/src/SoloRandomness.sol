// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IRandomness} from "./interfaces/IRandomness.sol";

/// @title Randomness of a chain that one operator runs: hashes of its blocks.
/// @notice The operator can make a block anew until it likes the hash. On such a chain it decides about everything else, too; who
/// does not trust it must use another chain, whose contracts are deployed with another IRandomness.
/// @dev A round is the number of the block whose hash gives its value. Hashes are there for 256 blocks; within those anyone may
/// `note` a value, and whoever a value serves has a reason to. A round that all of them forgot moves to a later
/// block, once and for all who rest on it; forgotten again it is lost and never has a value, so that nobody can have it drawn
/// until it likes the result. Who rests on a round must look at `lapses`.
contract SoloRandomness is IRandomness {
    /// @notice Blocks between a commitment and the block that gives its round's value: neither the commitment's block nor the
    /// next one, which may be in the making.
    uint64 public constant DELAY = 2;
    /// @dev How long block hashes are there.
    uint256 private constant REACH = 256;
    uint64 private constant LOST = type(uint64).max;

    mapping(uint64 round => bytes32) private _kept;
    /// @dev The later block; LOST: none.
    mapping(uint64 round => uint64) private _movedTo;

    /// @notice The round has a value, for good.
    event Noted(uint64 indexed round, bytes32 value);
    /// @notice Nobody noted the round's value in time: it will be that of a later block.
    event Moved(uint64 indexed round, uint64 to);
    /// @notice Nobody noted it then either: it will never have a value.
    event Lost(uint64 indexed round);

    /// @inheritdoc IRandomness
    function roundNow() external view returns (uint64) {
        return _ahead();
    }

    /// @inheritdoc IRandomness
    function value(uint64 round) public view returns (bytes32) {
        bytes32 kept = _kept[round];
        if (kept != 0) return kept;
        bytes32 hash = blockhash(_source(round));
        return hash == 0 ? bytes32(0) : keccak256(abi.encodePacked(round, hash));
    }

    /// @inheritdoc IRandomness
    function note(uint64 round) external returns (bytes32 found) {
        found = value(round);
        if (_kept[round] != 0) return found;
        if (found != 0) {
            _kept[round] = found;
            emit Noted(round, found);
        } else if (block.number > _source(round) + REACH) {
            bool again = _movedTo[round] != 0;
            _movedTo[round] = again ? LOST : _ahead();
            if (again) emit Lost(round);
            else emit Moved(round, _ahead());
        }
    }

    /// @inheritdoc IRandomness
    function lapses(uint64 round) external view returns (uint8) {
        uint64 moved = _movedTo[round];
        if (moved == 0) return 0;
        return moved == LOST ? 2 : 1;
    }

    /// @dev The block whose hash gives the value.
    function _source(uint64 round) private view returns (uint256) {
        uint64 moved = _movedTo[round];
        return moved == 0 ? round : moved;
    }

    function _ahead() private view returns (uint64) {
        // No chain has 2^64 blocks.
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(block.number) + DELAY;
    }
}
