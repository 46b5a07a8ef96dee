// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Who of those who hold a content still serves it when their time is over.
/// @notice
///   None -check, when the time is over for which it is kept-> Asked -conclude, two hours later-> Over
///     +--- nobody calls for it in a day: conclude ------------------------------------------------^
///   Seven newly drawn auditors fetch a drawn piece of 16 KiB from every holder, and say which of them serve (`spot`). Who is
///   seen to serve by most of them has the second half of its fee; the rest of what was reserved is free again.
/// @dev Named by job and range, or Parameters.INPUTS for a job's inputs. All money is in Holders.
interface ISpots {
    enum SpotState {
        None,
        Asked,
        Over
    }

    /// @notice Who has looked whether a content is served, for reading and as stored (one word).
    /// @param round of the beacon that draws who looks, and which pieces
    /// @param asOf Unix seconds: they are drawn from the line of stakes as it was then, the second before they were called for
    /// @param seen by how many each draw of holders was seen to serve, 4 bits each, draw 0 lowest
    /// @param bits draws of those that have looked, draw 0 lowest
    /// @param votes how many of them
    struct Spot {
        uint64 round;
        uint40 asOf;
        uint64 seen;
        uint8 bits;
        uint8 votes;
        SpotState state;
    }

    /// @notice Auditors are called for to look whether a content is served, up to `until`, Unix seconds. Holders' `named` are those
    /// of its holders, `spotters` those who look.
    event SpotAsked(uint64 indexed jobId, uint32 indexed seq, uint64 round, uint40 until);
    /// @notice An auditor has looked for one of its draws, and got its fee: it was served by those whose draws are in `seen`.
    event Spotted(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, uint8 draw, uint16 seen, uint96 fee);
    /// @notice Nobody need keep the content any more. Whose draws are in `served` got the second half of their fee for each.
    event SpotOver(uint64 indexed jobId, uint32 indexed seq, uint16 served, uint96 fee);

    /// @notice The content is not held: `state` is that of its ask, an IHolders.State.
    error NotHeld(uint64 jobId, uint32 seq, uint8 state);
    /// @notice That is not where looking at the holders of this content stands.
    error WrongSpot(uint64 jobId, uint32 seq, SpotState state);
    /// @notice The time to keep it, or to look, is not over.
    error TooEarly(uint256 end);
    /// @notice The time to call for who looks, or to look, is over.
    error TooLate(uint256 end);
    /// @notice There is no such draw.
    error NoSuchDraw(uint8 draw);
    /// @notice The draw has looked.
    error LookedAlready(uint8 draw);
    /// @notice Nobody has signed for one of these draws of holders.
    error NotSigned(uint16 seen);
    /// @notice The beacon of this round is not known.
    error BeaconUnknown(uint64 round);
    /// @notice The caller is not the node key of the auditor whom the draw names.
    error NotSpotter(address caller);
    /// @notice The auditor has lost or taken out all of its stake since it was on the line.
    error NothingAtStake(uint32 auditor);
    /// @notice Wrong constructor arguments.
    error BadDeployment();

    /// @notice Anyone, when the time is over for which a content is kept (of inputs also: when their job is over), up to SPOT_DUE
    /// later: auditors are drawn to look whether its holders serve it.
    function check(uint64 jobId, uint32 seq) external;

    /// @notice Node key of the auditor whom the draw of `spotters` names: has fetched its piece from those holders whose draws are
    /// in `seen`, within SPOT_TIME after `check`.
    function spot(uint64 jobId, uint32 seq, uint8 draw, uint16 seen) external;

    /// @notice Anyone: ends it when the time of those who look is over, or when nobody has called for them in time.
    function conclude(uint64 jobId, uint32 seq) external;

    /// @notice How looking at the holders of a content stands.
    function spotOf(uint64 jobId, uint32 seq) external view returns (Spot memory);

    /// @notice Numbers of the auditors whom the SPOTTERS draws name that look; the same one may be named again. Empty while the
    /// beacon is not known, or when nobody was on the line.
    function spotters(uint64 jobId, uint32 seq) external view returns (uint32[] memory numbers);
}
