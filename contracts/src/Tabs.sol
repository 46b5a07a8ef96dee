// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILedger} from "./interfaces/ILedger.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {ITabs} from "./interfaces/ITabs.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title What is owed to providers for single answers, settled in batches.
/// @dev Holds no money: it locks what is settled in the payer's account and pays it out in the same call, so its
/// locked sum in the Ledger is 0 between transactions. Calls go to the Registry (views) and the Ledger, neither of
/// which calls back.
contract Tabs is ITabs {
    /// @inheritdoc ITabs
    uint256 public constant MAX_LINES = Parameters.MAX_TAB_LINES;
    /// @inheritdoc ITabs
    uint16 public constant MAX_FEE_BPS = 500;

    uint256 private constant BPS = 10_000;

    /// @inheritdoc ITabs
    ILedger public immutable ledger;
    /// @inheritdoc ITabs
    IRegistry public immutable registry;
    /// @inheritdoc ITabs
    address public immutable treasury;
    /// @inheritdoc ITabs
    uint16 public immutable feeBps;

    mapping(address payer => mapping(bytes32 book => mapping(uint32 provider => uint128 total))) private _settled;

    constructor(ILedger ledger_, IRegistry registry_, address treasury_, uint16 feeBps_) {
        if (address(ledger_) == address(0) || address(registry_) == address(0)) revert BadDeployment();
        if (treasury_ == address(0) || feeBps_ > MAX_FEE_BPS) revert BadDeployment();
        (uint128 cap,) = ledger_.module(address(this));
        if (cap == 0) revert BadDeployment();
        (ledger, registry, treasury, feeBps) = (ledger_, registry_, treasury_, feeBps_);
    }

    /// @inheritdoc ITabs
    function settle(bytes32 book, Line[] calldata lines) external returns (uint128 amount) {
        if (lines.length > MAX_LINES) revert TooManyLines(lines.length, MAX_LINES);
        ILedger.Payment[] memory payments = new ILedger.Payment[](lines.length + 1);
        uint256 used = 0;
        uint128 fees = 0;
        for (uint256 i = 0; i < lines.length; ++i) {
            Line calldata line = lines[i];
            uint128 before = _settled[msg.sender][book][line.provider];
            if (line.total <= before) continue;
            address owner = registry.ownerOf(line.provider);
            if (owner == address(0)) revert NoSuchProvider(line.provider);
            _settled[msg.sender][book][line.provider] = line.total;
            uint128 due = line.total - before;
            // At most a twentieth of `due`.
            // forge-lint: disable-next-line(unsafe-typecast)
            uint128 fee = uint128(uint256(due) * feeBps / BPS);
            amount += due;
            fees += fee;
            payments[used++] = ILedger.Payment(owner, due - fee);
            emit TabSettled(
                msg.sender, line.provider, owner, book, line.total, due - fee, fee, line.answers, line.receipts
            );
        }
        if (amount == 0) return 0;
        if (fees != 0) payments[used++] = ILedger.Payment(treasury, fees);
        assembly ("memory-safe") {
            mstore(payments, used)
        }
        ledger.lock(msg.sender, amount);
        ledger.move(msg.sender, payments);
    }

    /// @inheritdoc ITabs
    function settled(address payer, bytes32 book, uint32 provider) external view returns (uint128) {
        return _settled[payer][book][provider];
    }

    /// @inheritdoc ITabs
    function settledOf(address payer, bytes32 book, uint32[] calldata providers)
        external
        view
        returns (uint128[] memory totals)
    {
        totals = new uint128[](providers.length);
        for (uint256 i = 0; i < providers.length; ++i) {
            totals[i] = _settled[payer][book][providers[i]];
        }
    }
}
