// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Who re-executes samples of others' work: keys, stake, and the line of stakes they are drawn from.
/// @notice An auditor is known by its owner account (cold key, holds the money); its node key (hot) commits and reveals.
/// @dev Stake lies in the Ledger, locked by this module. Numbers count from 1 and are never used twice; an auditor without
/// stake has no part of the line. Only the judge punishes.
/// The line is kept as it stood at every moment. `asOf` is a Unix second: all changes up to and including it count, none after
/// it. What is read for a second that is not over may still change; who draws must name one before the beacon was known.
interface IAuditors {
    /// @notice An auditor, for reading.
    /// @param number 1, 2, 3, ...; 0 when the owner is none
    /// @param stake active stake, the auditor's part of the line; base units
    /// @param leaving stake that is leaving, still slashable; base units
    /// @param readyAt Unix seconds from which `withdrawStake` works; 0 when nothing is leaving
    struct Auditor {
        uint32 number;
        address owner;
        address node;
        uint128 stake;
        uint128 leaving;
        uint40 readyAt;
    }

    event AuditorJoined(address indexed owner, uint32 indexed number, address indexed node);
    event AuditorNodeChanged(address indexed owner, address indexed node);
    event AuditorStakeAdded(address indexed owner, uint128 amount, uint128 stake);
    event AuditorUnstakeStarted(address indexed owner, uint128 amount, uint128 stake, uint128 leaving, uint40 readyAt);
    event AuditorStakeWithdrawn(address indexed owner, uint128 amount);
    /// @notice Stake was cut. `stake` and `leaving` are what is left.
    event AuditorSlashed(
        address indexed owner,
        address indexed beneficiary,
        uint128 toBeneficiary,
        uint128 burned,
        uint128 stake,
        uint128 leaving
    );

    /// @notice The account is not an auditor.
    error NotAuditor(address account);
    /// @notice The owner is an auditor already.
    error AlreadyAuditor(address owner);
    /// @notice The node key is zero.
    error BadNode(address node);
    /// @notice The amount is zero, does not fit, or leaves a stake that is not zero and below the least.
    error BadStake(uint256 amount);
    /// @notice Nothing is leaving, or its time has not come.
    error NotReady(uint40 readyAt);
    /// @notice Only the judge may call this.
    error NotJudge(address caller);
    /// @notice Wrong constructor arguments: no judge, or a ledger without a grant of at most 96 bits for this contract.
    error BadDeployment();

    /// @notice Makes the caller an auditor with a node key and locks `stake` of its free balance.
    function join(address node, uint128 stake) external returns (uint32 number);

    /// @notice Owner: replaces the node key.
    function setNode(address node) external;

    /// @notice Owner: locks more of its free balance.
    function addStake(uint128 amount) external;

    /// @notice Owner: starts taking stake out; what stays is zero or at least the least stake. Asking again adds to the one
    /// record and starts its time anew. Seats already given stay given.
    function unstake(uint128 amount) external;

    /// @notice Owner: after the thawing time, makes what left free again.
    function withdrawStake() external returns (uint128 amount);

    /// @notice How many auditors ever joined; their numbers are 1..=count.
    function count() external view returns (uint32);

    /// @notice Sum of all active stakes now: the length of the line.
    function total() external view returns (uint256);

    /// @notice How many auditors have active stake now.
    function staked() external view returns (uint32);

    /// @notice Least stake of an auditor; base units.
    function minStake() external view returns (uint128);

    /// @notice An auditor by number; all zero when there is none.
    function auditor(uint32 number) external view returns (Auditor memory);

    /// @notice The number of an owner; 0 when it is none.
    function numberOf(address owner) external view returns (uint32);

    /// @notice In whose part of the line a place lay: stakes in the order of numbers, 0 <= place < the length then.
    function at(uint256 place, uint40 asOf) external view returns (uint32 number);

    /// @notice What was an auditor's part of the line: its first place and its length; the length is 0 for who had no active
    /// stake then.
    function part(uint32 number, uint40 asOf) external view returns (uint256 start, uint256 length);

    /// @notice Keys of an auditor, and all that it can lose: active and leaving stake. All zero when there is none.
    function holder(uint32 number) external view returns (address owner, address node, uint256 reach);

    /// @notice Who had the places that words of a seed name, modulo its length, on the line without some people: see the library
    /// Draw. With replacement, so the same one may be drawn again. Empty when nobody else was there.
    /// @param first draw
    /// @param wanted how many draws
    /// @param out whom to leave out, in any order; the same one twice counts once, and 0 is nobody
    function drawn(bytes32 seed, uint8 purpose, uint32 first, uint256 wanted, uint32[] calldata out, uint40 asOf)
        external
        view
        returns (uint32[] memory numbers);

    /// @notice Judge only: cuts a share (billionths) of active and leaving stake, at least the floor of Parameters, at
    /// least half of it burned, the rest to `beneficiary`.
    function punish(uint32 number, uint256 severity, address beneficiary) external returns (uint128 cut);
}
