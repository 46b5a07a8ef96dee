// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {ILedger} from "./ILedger.sol";
import {IRegistry} from "./IRegistry.sol";

/// @title What is owed to providers for single answers, settled in batches.
/// @notice A tab is what one payer owes one provider by one book: the running total of the provider's signed
/// receipts. The payer states the total and pays what it is above the total stated before. So a call that happens
/// twice, or is made again after a crash, pays once; the chain's total is the last word.
/// @dev The seam to payment channels: a voucher is the same statement (payer, book, provider, total), signed by the
/// payer and handed in by the provider. Nobody can settle for another account here.
interface ITabs {
    /// @notice One tab of a batch.
    /// @param provider number in the Registry
    /// @param total all that was owed by this tab since it began, settled or not; base units
    /// @param answers receipts in the total
    /// @param receipts what the payer's books hash these receipts to; not checked here, kept in the event so that
    /// the payer cannot tell another story later
    struct Line {
        uint32 provider;
        uint128 total;
        uint64 answers;
        bytes32 receipts;
    }

    /// @notice A tab was settled up to `total`: `paid` came to the provider's owner, `fee` to the treasury.
    event TabSettled(
        address indexed payer,
        uint32 indexed provider,
        address indexed owner,
        bytes32 book,
        uint128 total,
        uint128 paid,
        uint128 fee,
        uint64 answers,
        bytes32 receipts
    );

    /// @notice The constructor was given something that cannot work.
    error BadDeployment();
    /// @notice No provider has this number.
    error NoSuchProvider(uint32 provider);
    /// @notice The batch has more lines than one transaction may settle.
    error TooManyLines(uint256 lines, uint256 most);

    /// @notice Most lines of a batch.
    function MAX_LINES() external view returns (uint256);

    /// @notice Hard cap of the protocol fee, basis points.
    function MAX_FEE_BPS() external view returns (uint16);

    /// @notice Where the money is.
    function ledger() external view returns (ILedger);

    /// @notice Who has which number.
    function registry() external view returns (IRegistry);

    /// @notice Who gets the fee.
    function treasury() external view returns (address);

    /// @notice Protocol fee, basis points of what is settled, rounded down for each line.
    function feeBps() external view returns (uint16);

    /// @notice Pays from the caller's free balance what the lines' totals are above those settled before. Lines that
    /// are not above are skipped: somebody was faster, most likely the caller itself.
    /// @param book whose totals these are; whoever keeps several books for one account gives each its own
    /// @return amount what was taken from the caller, fee included; base units
    function settle(bytes32 book, Line[] calldata lines) external returns (uint128 amount);

    /// @notice What was settled by a tab since it began, fees included; base units.
    function settled(address payer, bytes32 book, uint32 provider) external view returns (uint128);

    /// @notice The same for several providers, in their order.
    function settledOf(address payer, bytes32 book, uint32[] calldata providers)
        external
        view
        returns (uint128[] memory totals);
}
