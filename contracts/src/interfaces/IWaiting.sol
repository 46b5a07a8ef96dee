// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Providers that wait in replicated jobs to be drawn as mates.
/// @notice
///   Nobody -wait-> Waiting -leave-> Left -leave, later-> Nobody             Left -wait, the same terms-> Waiting
/// Every replicated job has a line of its own, on which an entry's part is as long as its bond. The bond is exposure of the provider's
/// stake: no money moves. Whoever is drawn stays on the line, and may be drawn again before its ranges are closed, for MATE_DUTIES
/// of them at a time: so nobody can use up those that it does not know. One bond is behind all of them: being late with each costs
/// a tenth of a range's value, so all together less than the bond; who commits and is silent loses its whole stake; and what two
/// friends can win is exposure of the primary, both parts of it (docs/decisions/0018).
/// A range's line is that of the second before its submission, so who has left may still be drawn. Bond and least price of an entry
/// stay as they are for as long as that can be, and the moment of a draw changes nothing but whether its mate has as much to do as
/// it may have. Then there is no mate: in no moment is it another one.
interface IWaiting {
    enum State {
        Nobody,
        Waiting,
        Left
    }

    /// @notice A provider's entry in a job, for reading and as stored (one word).
    /// @param bond base units: the part of the line, and the largest value of a range that it is drawn for
    /// @param minPrice base units per unit: it is drawn for no range that pays less
    /// @param leftAt Unix seconds: when it left the line the last time
    /// @param busy its ranges that are not closed
    struct Entry {
        uint96 bond;
        uint96 minPrice;
        uint40 leftAt;
        uint16 busy;
        State state;
    }

    /// @notice A provider is on the line of a job.
    event ProviderWaits(uint64 indexed jobId, uint32 indexed number, uint96 bond, uint96 minPrice);
    /// @notice A provider is off the line of a job: it left, or lost its place because it was late or silent, or has less than its
    /// bond to lose.
    event ProviderLeft(uint64 indexed jobId, uint32 indexed number);
    /// @notice A provider that left has its bond back.
    event BondFreed(uint64 indexed jobId, uint32 indexed number, uint96 bond);

    /// @notice Only the Replicas contract may call this.
    error NotReplicas(address caller);
    /// @notice The caller is not the node key of a registered provider.
    error NotNode(address caller);
    /// @notice The job is over, or not replicated: nobody is drawn there.
    error NoMatesHere(uint64 jobId);
    /// @notice The provider has paused itself.
    error ProviderIsPaused(uint32 number);
    /// @notice The job needs machines of a kind that the provider has not.
    error NotQualified(uint64 jobId, uint32 number);
    /// @notice The bond is zero, or more than the provider may take on in audited jobs, or, if it comes back, than it has to lose.
    error BadBond(uint256 bond, uint256 room);
    /// @notice The entry cannot do this in its state.
    error WrongState(uint64 jobId, uint32 number, State state);
    /// @notice The entry can still be drawn, or has ranges that are not closed: its bond and its terms stay. `until` is when nobody
    /// can draw it any more.
    error StillBound(uint256 until, uint16 busy);
    /// @notice Wrong constructor arguments.
    error BadDeployment();

    /// @notice Node key: waits to be drawn in a replicated job that is not over, with a bond of its room. An entry that has left may come
    /// back on its old terms at any time, with what it has to do, and on others when its bond is free.
    function wait(uint64 jobId, uint96 bond, uint96 minPrice) external;

    /// @notice Node key: off the line at once, whatever it has to do; and, called again when the entry can be drawn no more and all
    /// its ranges are closed, the bond is free.
    function leave(uint64 jobId) external;

    /// @notice Anyone: off the line with an entry whose provider has less than its bond to lose. It would only waste draws.
    function evict(uint64 jobId, uint32 number) external;

    /// @notice Replicas only: who was drawn has a duty. On the line or off it, it stays there.
    /// @return due Unix seconds up to which it has time: REPLICA_TIME for it and for every range before that is not closed,
    /// DRAW_SPAN at most; 0: it has MATE_DUTIES of them already, and gets no more
    function take(uint64 jobId, uint32 number) external returns (uint40 due);

    /// @notice Replicas only: a duty is over. Off the line, if its stake does not reach its bond any more.
    function giveBack(uint64 jobId, uint32 number) external;

    /// @notice Replicas only: a duty was not done: the entry is off the line, as if it had left.
    function drop(uint64 jobId, uint32 number) external;

    function entry(uint64 jobId, uint32 number) external view returns (Entry memory);

    /// @notice Length of a job's line and how many are on it, after all changes up to and including that second.
    function line(uint64 jobId, uint40 asOf) external view returns (uint256 total, uint256 waiting);

    /// @notice Whom a seed names as mate: the draws 0 .. MATE_DRAWS find one entry each, never one twice. The mate is the first from
    /// draw `first` on that is fit: with a bond of at least `value`, a least price of at most `price`, and a stake that reaches
    /// `value`.
    /// @param out whom to leave out from the beginning
    /// @return number 0: nobody
    /// @return next the draw after the last one that was made
    function drawn(
        uint64 jobId,
        bytes32 seed,
        uint32 first,
        uint32[] calldata out,
        uint40 asOf,
        uint256 value,
        uint256 price
    ) external view returns (uint32 number, uint32 next);
}
