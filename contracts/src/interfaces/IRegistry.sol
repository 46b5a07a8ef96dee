// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Who offers machines: keys, slots, attributes, stake.
/// @notice A provider is known by its owner account (cold key, holds the money). Its node key (hot) does the daily calls
/// and can move no money. The provider's number is the short form of its identity inside range records.
/// @dev Stake lies in the Ledger, locked by this module. Exposure is the value of the provider's unsettled ranges.
interface IRegistry {
    /// @notice What a machine says about itself. Checked by jobs with requirements.
    /// @param classBits device class bits (bit meanings: protocol crate)
    /// @param memoryMib memory a tenant can use, MiB
    /// @param vramMib memory of the largest graphics card, MiB
    /// @param region short region name, ASCII, zero-padded
    struct Attributes {
        uint64 classBits;
        uint32 memoryMib;
        uint32 vramMib;
        bytes8 region;
    }

    /// @notice Everything about a provider, for reading.
    /// @param number 1, 2, 3, ...; 0 when the owner is not registered
    /// @param slots ranges it works on at the same time
    /// @param held ranges claimed and not yet submitted, at most 2 x slots
    /// @param stake active stake; base units
    /// @param exposure value of unsettled ranges; base units
    /// @param unbonding stake that is leaving, still slashable; base units
    /// @param unbondingReadyAt Unix seconds from which `withdrawStake` works; 0 when nothing is leaving
    struct Provider {
        uint32 number;
        address owner;
        address node;
        uint16 slots;
        uint16 held;
        bool paused;
        uint128 stake;
        uint128 exposure;
        uint128 unbonding;
        uint40 unbondingReadyAt;
        Attributes attributes;
        bytes32 endpointId;
    }

    /// @notice What a claim needs to know, from the node key.
    /// @param room value that the provider may still take on; base units
    struct Standing {
        uint32 number;
        address owner;
        uint16 slots;
        uint16 held;
        bool paused;
        uint128 room;
    }

    /// @notice A node key's agreement to work for an owner: its EIP-712 signature of
    /// `NodeConsent(address owner,uint256 deadline)`. Without it a stranger who sees a node key in a pending registration
    /// could register it first, for itself.
    /// @param deadline Unix seconds up to which it may be used
    /// @param signature 65 bytes r | s | v, or what the node accepts by ERC-1271 if it is a contract
    struct Consent {
        uint256 deadline;
        bytes signature;
    }

    event ProviderRegistered(
        address indexed owner,
        uint32 indexed number,
        address indexed node,
        uint16 slots,
        Attributes attributes,
        uint128 stake
    );
    event ProviderUpdated(address indexed owner, uint16 slots, Attributes attributes);
    /// @notice How to reach the provider: iroh endpoint id and encoded addresses (opaque to the contract).
    event EndpointChanged(address indexed owner, bytes32 endpointId, bytes endpoint);
    event NodeChanged(address indexed owner, address indexed node);
    event PausedChanged(address indexed owner, bool paused);
    event StakeAdded(address indexed owner, uint128 amount, uint128 stake);
    event UnstakeStarted(address indexed owner, uint128 amount, uint128 stake, uint128 unbonding, uint40 readyAt);
    event StakeWithdrawn(address indexed owner, uint128 amount);
    /// @notice Stake was cut. `stake` and `unbonding` are what is left.
    event StakeSlashed(
        address indexed owner,
        address indexed beneficiary,
        uint128 toBeneficiary,
        uint128 burned,
        uint128 stake,
        uint128 unbonding
    );

    /// @notice The account is not a registered provider or node key.
    error NotRegistered(address account);
    /// @notice The owner is registered already.
    error AlreadyRegistered(address owner);
    /// @notice The node key is zero or belongs to another provider.
    error NodeTaken(address node);
    /// @notice The node key has not agreed to work for this owner, or the time to use its agreement is over.
    error NoConsent(address node, address owner, uint256 deadline);
    /// @notice The number of slots is 0 or above the limit.
    error BadSlots(uint16 slots, uint16 limit);
    /// @notice The encoded endpoint is too long.
    error EndpointTooLong(uint256 length, uint256 limit);
    /// @notice Only the JobBook may call this.
    error NotJobBook(address caller);
    /// @notice Only the judge of audited jobs may call this.
    error NotJudge(address caller);
    /// @notice Stake is needed to cover unsettled work.
    error StakeInUse(uint128 stake, uint128 requested, uint128 exposure);
    /// @notice More was asked for than the provider has staked.
    error StakeTooLow(uint128 stake, uint128 requested);
    /// @notice Nothing is leaving, or its time has not come.
    error NotReady(uint40 readyAt);
    /// @notice The amount is zero or does not fit.
    error BadAmount(uint256 amount);
    /// @notice The provider has no exposure left for this value.
    error ExposureExceeded(address owner, uint128 room, uint128 value);
    /// @notice The provider already holds two ranges per slot.
    error NoFreeSlot(address owner, uint16 held);
    /// @notice The ledger gave this contract no right to lock money, or a cap above 96 bits.
    error BadLedger(address ledger);
    /// @notice The provider paused itself.
    error ProviderIsPaused(address owner);
    /// @notice The provider holds no range, or none worth so much: what it hands in is not its own.
    error NotReserved(uint32 number);

    /// @notice Value of unsettled work allowed per stake, in basis points.
    function EXPOSURE_BPS() external view returns (uint256);
    /// @notice Seconds that leaving stake stays slashable.
    function UNBONDING() external view returns (uint40);
    /// @notice Largest number of slots of one provider.
    function MAX_SLOTS() external view returns (uint16);
    /// @notice Longest encoded endpoint, bytes.
    function MAX_ENDPOINT_BYTES() external view returns (uint256);

    /// @notice What a node key signs to agree to work for `owner` until `deadline`.
    function consentDigest(address owner, uint256 deadline) external view returns (bytes32);

    /// @notice Registers the caller as the owner of a provider and locks `stake` of its free balance.
    /// @param consent the node key's agreement; not looked at when the node key is the caller itself
    function register(
        address node,
        uint16 slots,
        Attributes calldata attributes,
        bytes32 endpointId,
        bytes calldata endpoint,
        uint128 stake,
        Consent calldata consent
    ) external returns (uint32 number);

    /// @notice Owner: changes slots and attributes. Ranges already held stay held.
    function update(uint16 slots, Attributes calldata attributes) external;

    /// @notice Owner or node: says where the provider is reached now.
    function setEndpoint(bytes32 endpointId, bytes calldata endpoint) external;

    /// @notice Owner: replaces the hot key. The old key can do nothing from then on.
    /// @param consent as in `register`
    function setNode(address node, Consent calldata consent) external;

    /// @notice Owner or node: a paused provider gets no new ranges; submitting and settling go on.
    function setPaused(bool paused) external;

    /// @notice Owner: locks more of its free balance as stake.
    function addStake(uint128 amount) external;

    /// @notice Owner: starts taking stake out. Asking again adds to the one record and starts its time anew.
    function unstake(uint128 amount) external;

    /// @notice Owner: after the unbonding time, makes what left free again.
    function withdrawStake() external returns (uint128 amount);

    /// @notice The owner of a node key; zero when there is none.
    function nodeOwner(address node) external view returns (address);

    /// @notice All about the provider of an owner; all zero when not registered.
    function provider(address owner) external view returns (Provider memory);

    /// @notice The same by number.
    function providerByNumber(uint32 number) external view returns (Provider memory);

    /// @notice What stands behind a provider's work: its active stake, what is leaving and still slashable, and its exposure;
    /// base units, all zero when there is no such provider.
    function backing(uint32 number) external view returns (uint128 stake, uint128 unbonding, uint128 exposure);

    /// @notice How many providers ever registered; their numbers are 1..=count.
    function providerCount() external view returns (uint32);

    /// @notice What a claim needs to know about the provider of a node key; number 0 when there is none.
    function standing(address node) external view returns (Standing memory);

    /// @notice The same by owner account.
    function standingOf(address owner) external view returns (Standing memory);

    /// @notice The owner of a provider by number; zero when there is none.
    function ownerOf(uint32 number) external view returns (address);

    /// @notice True when the provider has all class bits and enough video memory.
    function qualifies(uint32 number, uint64 requiredClass, uint32 minVramMib) external view returns (bool);

    /// @notice JobBook only: a range was claimed: one more held, its largest value exposed.
    function reserve(uint32 number, uint128 value) external;

    /// @notice JobBook only: the provider of a node key submitted a range: one less held, the unused part of its value (in
    /// audited jobs not the last of it) no longer exposed. Refused to who holds nothing, or nothing worth so much; otherwise the
    /// caller checks that the range is that provider's.
    /// @return standing after it
    function submitted(address node, uint128 unused) external returns (Standing memory);

    /// @notice JobBook only: submitted work was settled or rejected: what it took is no longer exposed.
    function settled(uint32 number, uint128 value) external;

    /// @notice JobBook only: a range was released or expired: one less held, its value no longer exposed, and `penalty`
    /// cut from the stake (active first, then leaving), half of it burned, the rest to `beneficiary`.
    /// @return owner of the provider
    /// @return cut what was really taken: less than `penalty` when the stake does not reach
    function dropped(uint32 number, uint128 value, uint128 penalty, address beneficiary)
        external
        returns (address owner, uint128 cut);

    /// @notice Judge only: a provider takes on so much without a claim: a mate's bond. Within what its stake carries.
    function expose(uint32 number, uint128 value) external;

    /// @notice Judge only: what `expose` took is free again.
    function free(uint32 number, uint128 value) external;

    /// @notice Judge only: cuts a share (billionths) of the stake, active first, then leaving; half of it burned, the rest to
    /// `beneficiary`.
    /// @return cut what was taken
    function punish(uint32 number, uint256 severity, address beneficiary) external returns (uint128 cut);
}
