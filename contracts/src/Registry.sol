// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {AuditRules} from "./libraries/AuditRules.sol";

/// @title Who offers machines: keys, slots, attributes, stake.
/// @dev Claim, submit and settle write one slot per provider (`Hot`). Whatever a provider has claimed and was not paid for is worth its
/// stake at most. In audited jobs it is worth less: the judge's `room`, up to S*p*d/(1 - p*d) for stake S, audit rate p and detection d,
/// so that a cheat that is caught with probability p*d and then loses its stake does not pay. In plain jobs nobody is caught but by
/// the client, and this bounds what one provider can be paid for nothing. The bond of a range is a share of its value, so the stake that
/// carries the exposure carries all bonds too; no separate book of bonds is needed.
contract Registry is IRegistry, EIP712 {
    using SafeCast for uint256;

    /// @dev All that the JobBook's hot calls touch, packed into one word (the compiler would write it field by field):
    /// stake 96 | exposure 96 | slots 16 | held 16 | paused 1. Amounts of 96 bits hold 79 billion tokens of 18 decimals.
    struct Hot {
        uint256 stake;
        uint256 exposure;
        uint256 slots;
        uint256 held;
        bool paused;
    }

    struct NodeKey {
        address owner;
        uint32 number;
    }

    struct Cold {
        address owner;
        address node;
        Attributes attributes;
        bytes32 endpointId;
        uint96 unbonding;
        uint40 readyAt;
    }

    /// @inheritdoc IRegistry
    uint256 public constant EXPOSURE_BPS = 10_000;
    /// @inheritdoc IRegistry
    /// @dev Longer than the longest window and the longest time for a range of the JobBook together; longer than from a claim in an
    /// audited job to the end of the longest case about its range, after a dispute, too; and longer than both asks for holders of
    /// a kept range take after its window. AuditDraws.t.sol reckons it from their constants.
    uint40 public constant UNBONDING = 7 days;
    /// @inheritdoc IRegistry
    uint16 public constant MAX_SLOTS = 4096;
    /// @inheritdoc IRegistry
    uint256 public constant MAX_ENDPOINT_BYTES = 256;

    bytes32 public constant CONSENT_TYPEHASH = keccak256("NodeConsent(address owner,uint256 deadline)");

    uint256 private constant BPS = 10_000;

    ILedger public immutable ledger;
    address public immutable jobBook;
    address public immutable judge;

    /// @inheritdoc IRegistry
    uint32 public providerCount;

    mapping(address node => NodeKey) private _nodes;
    mapping(address owner => uint32 number) private _numbers;
    mapping(uint32 number => uint256) private _hot;
    mapping(uint32 number => Cold) private _cold;

    modifier onlyJudge() {
        if (msg.sender != judge) revert NotJudge(msg.sender);
        _;
    }

    modifier onlyJobBook() {
        if (msg.sender != jobBook) revert NotJobBook(msg.sender);
        _;
    }

    constructor(ILedger ledger_, address jobBook_, address judge_) EIP712("tilth Registry", "1") {
        if (jobBook_ == address(0)) revert NotJobBook(jobBook_);
        if (judge_ == address(0)) revert NotJudge(judge_);
        // With a cap of 96 bits no sum of stakes can overflow the narrow fields.
        (uint128 cap,) = ledger_.module(address(this));
        if (cap == 0 || cap > type(uint96).max) revert BadLedger(address(ledger_));
        ledger = ledger_;
        jobBook = jobBook_;
        judge = judge_;
    }

    // ------------------------------------------------------------------ providers

    /// @inheritdoc IRegistry
    function register(
        address node,
        uint16 slots,
        Attributes calldata attributes,
        bytes32 endpointId,
        bytes calldata endpoint,
        uint128 stake,
        Consent calldata consent
    ) external returns (uint32 number) {
        if (_numbers[msg.sender] != 0) revert AlreadyRegistered(msg.sender);
        _checkSlots(slots);
        number = ++providerCount;
        _numbers[msg.sender] = number;
        _store(number, Hot({stake: stake, exposure: 0, slots: slots, held: 0, paused: false}));
        Cold storage cold = _cold[number];
        cold.owner = msg.sender;
        cold.attributes = attributes;
        _takeNode(node, number, consent);
        cold.node = node;
        emit ProviderRegistered(msg.sender, number, node, slots, attributes, stake);
        _setEndpoint(number, endpointId, endpoint);
        if (stake != 0) ledger.lock(msg.sender, stake);
    }

    /// @inheritdoc IRegistry
    function update(uint16 slots, Attributes calldata attributes) external {
        uint32 number = _owned();
        _checkSlots(slots);
        Hot memory hot = _load(number);
        hot.slots = slots;
        _store(number, hot);
        _cold[number].attributes = attributes;
        emit ProviderUpdated(msg.sender, slots, attributes);
    }

    /// @inheritdoc IRegistry
    function setEndpoint(bytes32 endpointId, bytes calldata endpoint) external {
        _setEndpoint(_acting(), endpointId, endpoint);
    }

    /// @inheritdoc IRegistry
    function setNode(address node, Consent calldata consent) external {
        uint32 number = _owned();
        delete _nodes[_cold[number].node];
        _takeNode(node, number, consent);
        _cold[number].node = node;
        emit NodeChanged(msg.sender, node);
    }

    /// @inheritdoc IRegistry
    function setPaused(bool paused) external {
        uint32 number = _acting();
        Hot memory hot = _load(number);
        hot.paused = paused;
        _store(number, hot);
        emit PausedChanged(_cold[number].owner, paused);
    }

    // ------------------------------------------------------------------ stake

    /// @inheritdoc IRegistry
    function addStake(uint128 amount) external {
        uint32 number = _owned();
        if (amount == 0) revert BadAmount(amount);
        Hot memory hot = _load(number);
        hot.stake += amount;
        _store(number, hot);
        emit StakeAdded(msg.sender, amount, hot.stake.toUint128());
        ledger.lock(msg.sender, amount);
    }

    /// @inheritdoc IRegistry
    function unstake(uint128 amount) external {
        uint32 number = _owned();
        if (amount == 0) revert BadAmount(amount);
        Hot memory hot = _load(number);
        if (amount > hot.stake) revert StakeTooLow(hot.stake.toUint128(), amount);
        if (_allowed(hot.stake - amount) < hot.exposure) {
            revert StakeInUse(hot.stake.toUint128(), amount, hot.exposure.toUint128());
        }
        hot.stake -= amount;
        _store(number, hot);
        Cold storage cold = _cold[number];
        uint96 unbonding = (uint256(cold.unbonding) + amount).toUint96();
        uint40 readyAt = (block.timestamp + UNBONDING).toUint40();
        (cold.unbonding, cold.readyAt) = (unbonding, readyAt);
        emit UnstakeStarted(msg.sender, amount, hot.stake.toUint128(), unbonding, readyAt);
    }

    /// @inheritdoc IRegistry
    function withdrawStake() external returns (uint128 amount) {
        Cold storage cold = _cold[_owned()];
        amount = cold.unbonding;
        if (amount == 0 || block.timestamp < cold.readyAt) revert NotReady(cold.readyAt);
        (cold.unbonding, cold.readyAt) = (0, 0);
        emit StakeWithdrawn(msg.sender, amount);
        ledger.unlock(msg.sender, amount);
    }

    // ------------------------------------------------------------------ JobBook

    /// @inheritdoc IRegistry
    function reserve(uint32 number, uint128 value) external onlyJobBook {
        Hot memory hot = _load(number);
        if (hot.slots == 0) revert NotRegistered(address(0));
        if (hot.paused) revert ProviderIsPaused(_cold[number].owner);
        if (hot.held >= 2 * hot.slots) revert NoFreeSlot(_cold[number].owner, hot.held.toUint16());
        _expose(number, hot, value);
        hot.held += 1;
        _store(number, hot);
    }

    /// @inheritdoc IRegistry
    function submitted(address node, uint128 unused) external onlyJobBook returns (Standing memory) {
        NodeKey memory key = _nodes[node];
        if (key.number == 0) revert NotRegistered(node);
        Hot memory hot = _load(key.number);
        // The JobBook sees only afterwards that a range is somebody else's.
        if (hot.held == 0 || hot.exposure < unused) revert NotReserved(key.number);
        unchecked {
            hot.held -= 1;
            hot.exposure -= unused;
        }
        _store(key.number, hot);
        return _standing(key.owner, key.number, hot);
    }

    /// @inheritdoc IRegistry
    function settled(uint32 number, uint128 value) external onlyJobBook {
        _free(number, value);
    }

    /// @inheritdoc IRegistry
    function dropped(uint32 number, uint128 value, uint128 penalty, address beneficiary)
        external
        onlyJobBook
        returns (address owner, uint128 cut)
    {
        Hot memory hot = _load(number);
        hot.held -= 1;
        hot.exposure -= value;
        owner = _cold[number].owner;
        _store(number, hot);
        if (penalty != 0) cut = _cut(number, owner, hot, penalty, beneficiary);
    }

    // ------------------------------------------------------------------ judge

    /// @inheritdoc IRegistry
    function expose(uint32 number, uint128 value) external onlyJudge {
        Hot memory hot = _load(number);
        _expose(number, hot, value);
        _store(number, hot);
    }

    /// @inheritdoc IRegistry
    function free(uint32 number, uint128 value) external onlyJudge {
        _free(number, value);
    }

    /// @inheritdoc IRegistry
    function punish(uint32 number, uint256 severity, address beneficiary) external onlyJudge returns (uint128 cut) {
        Hot memory hot = _load(number);
        Cold storage cold = _cold[number];
        uint256 penalty = AuditRules.penalty(severity, hot.stake + cold.unbonding, 0);
        return _cut(number, cold.owner, hot, penalty, beneficiary);
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IRegistry
    function consentDigest(address owner, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CONSENT_TYPEHASH, owner, deadline)));
    }

    /// @inheritdoc IRegistry
    function nodeOwner(address node) external view returns (address) {
        return _nodes[node].owner;
    }

    /// @inheritdoc IRegistry
    function provider(address owner) external view returns (Provider memory) {
        return providerByNumber(_numbers[owner]);
    }

    /// @inheritdoc IRegistry
    function providerByNumber(uint32 number) public view returns (Provider memory p) {
        Cold storage cold = _cold[number];
        if (cold.owner == address(0)) return p;
        Hot memory hot = _load(number);
        p = Provider({
            number: number,
            owner: cold.owner,
            node: cold.node,
            slots: hot.slots.toUint16(),
            held: hot.held.toUint16(),
            paused: hot.paused,
            stake: hot.stake.toUint128(),
            exposure: hot.exposure.toUint128(),
            unbonding: cold.unbonding,
            unbondingReadyAt: cold.readyAt,
            attributes: cold.attributes,
            endpointId: cold.endpointId
        });
    }

    /// @inheritdoc IRegistry
    function backing(uint32 number) external view returns (uint128 stake, uint128 unbonding, uint128 exposure) {
        Hot memory hot = _load(number);
        return (hot.stake.toUint128(), _cold[number].unbonding, hot.exposure.toUint128());
    }

    /// @inheritdoc IRegistry
    function standing(address node) external view returns (Standing memory s) {
        NodeKey memory key = _nodes[node];
        if (key.number == 0) return s;
        return _standing(key.owner, key.number, _load(key.number));
    }

    /// @inheritdoc IRegistry
    function standingOf(address owner) external view returns (Standing memory s) {
        uint32 number = _numbers[owner];
        if (number == 0) return s;
        return _standing(owner, number, _load(number));
    }

    /// @inheritdoc IRegistry
    function qualifies(uint32 number, uint64 requiredClass, uint32 minVramMib) external view returns (bool) {
        Attributes storage a = _cold[number].attributes;
        return a.classBits & requiredClass == requiredClass && a.vramMib >= minVramMib;
    }

    /// @inheritdoc IRegistry
    function ownerOf(uint32 number) external view returns (address) {
        return _cold[number].owner;
    }

    // ------------------------------------------------------------------ private

    function _standing(address owner, uint32 number, Hot memory hot) private pure returns (Standing memory) {
        // Both were unpacked from 16 bits.
        // forge-lint: disable-start(unsafe-typecast)
        return Standing({
            number: number,
            owner: owner,
            slots: uint16(hot.slots),
            held: uint16(hot.held),
            paused: hot.paused,
            room: _room(hot)
        });
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @dev Value of unsettled work that a stake carries.
    function _allowed(uint256 stake) private pure returns (uint256) {
        return stake * EXPOSURE_BPS / BPS;
    }

    /// @dev Exposure may be above what the stake carries after a cut; then there is no room.
    function _room(Hot memory hot) private pure returns (uint128) {
        uint256 allowed = _allowed(hot.stake);
        // A 96-bit stake carries less than 128 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        return allowed > hot.exposure ? uint128(allowed - hot.exposure) : 0;
    }

    /// @dev More exposure, within the room there is; the caller stores it.
    function _expose(uint32 number, Hot memory hot, uint128 value) private view {
        uint128 room = _room(hot);
        if (value > room) revert ExposureExceeded(_cold[number].owner, room, value);
        hot.exposure += value;
    }

    function _free(uint32 number, uint128 value) private {
        Hot memory hot = _load(number);
        hot.exposure -= value;
        _store(number, hot);
    }

    /// @dev Cuts `penalty` from active stake first, then from what is leaving. At least half is burned.
    function _cut(uint32 number, address owner, Hot memory hot, uint256 penalty, address beneficiary)
        private
        returns (uint128 cut)
    {
        Cold storage cold = _cold[number];
        uint256 unbonding = cold.unbonding;
        uint256 reach = hot.stake + unbonding;
        cut = (penalty < reach ? penalty : reach).toUint128();
        if (cut == 0) return 0;
        uint256 fromStake = cut < hot.stake ? cut : hot.stake;
        hot.stake -= fromStake;
        _store(number, hot);
        if (cut != fromStake) {
            unbonding -= cut - fromStake;
            cold.unbonding = unbonding.toUint96();
        }
        uint128 toBeneficiary = cut / 2;
        uint128 burned = cut - toBeneficiary;
        emit StakeSlashed(owner, beneficiary, toBeneficiary, burned, hot.stake.toUint128(), unbonding.toUint128());
        ledger.slash(owner, beneficiary, toBeneficiary, burned);
    }

    function _load(uint32 number) private view returns (Hot memory hot) {
        uint256 w = _hot[number];
        hot.stake = w >> 160;
        hot.exposure = w >> 64 & type(uint96).max;
        hot.slots = w >> 48 & type(uint16).max;
        hot.held = w >> 32 & type(uint16).max;
        hot.paused = w & 1 == 1;
    }

    /// @dev Reverts when a field does not fit, so that none can run into its neighbour.
    function _store(uint32 number, Hot memory hot) private {
        if ((hot.stake | hot.exposure) >> 96 != 0) revert BadAmount(hot.stake | hot.exposure);
        if ((hot.slots | hot.held) >> 16 != 0) revert BadAmount(hot.slots | hot.held);
        _hot[number] = hot.stake << 160 | hot.exposure << 64 | hot.slots << 48 | hot.held << 32 | (hot.paused ? 1 : 0);
    }

    function _checkSlots(uint16 slots) private pure {
        if (slots == 0 || slots > MAX_SLOTS) revert BadSlots(slots, MAX_SLOTS);
    }

    /// @dev Gives the node key to the caller's provider, if the key agrees.
    function _takeNode(address node, uint32 number, Consent calldata consent) private {
        if (node == address(0) || _nodes[node].number != 0) revert NodeTaken(node);
        if (node != msg.sender) {
            bytes32 digest = consentDigest(msg.sender, consent.deadline);
            bool agrees = SignatureChecker.isValidSignatureNow(node, digest, consent.signature);
            if (!agrees || block.timestamp > consent.deadline) {
                revert NoConsent(node, msg.sender, consent.deadline);
            }
        }
        _nodes[node] = NodeKey({owner: msg.sender, number: number});
    }

    function _setEndpoint(uint32 number, bytes32 endpointId, bytes calldata endpoint) private {
        if (endpoint.length > MAX_ENDPOINT_BYTES) revert EndpointTooLong(endpoint.length, MAX_ENDPOINT_BYTES);
        _cold[number].endpointId = endpointId;
        emit EndpointChanged(_cold[number].owner, endpointId, endpoint);
    }

    /// @dev The number of the calling owner.
    function _owned() private view returns (uint32 number) {
        number = _numbers[msg.sender];
        if (number == 0) revert NotRegistered(msg.sender);
    }

    /// @dev The number of the calling owner or node key.
    function _acting() private view returns (uint32 number) {
        // Its own registration first: an owner may be the node key of another provider as well.
        number = _numbers[msg.sender];
        if (number == 0) number = _nodes[msg.sender].number;
        if (number == 0) revert NotRegistered(msg.sender);
    }
}
