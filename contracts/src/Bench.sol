// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IJudge, IJudged} from "./interfaces/IJudge.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Flags} from "./libraries/Flags.sol";

/// @title The judge of JobBook and Registry: passes on what they ask, and what those who judge decide.
/// @dev Holds nothing and keeps nothing, so there is nothing that a call from within a call could find half done.
contract Bench is IBench {
    IJudged public immutable jobBook;
    IRegistry public immutable registry;
    IAudits public immutable audits;

    modifier onlyJobBook() {
        if (msg.sender != address(jobBook)) revert NotJobBook(msg.sender);
        _;
    }

    modifier onlyTheBench() {
        if (msg.sender != address(audits)) revert NotOnTheBench(msg.sender);
        _;
    }

    /// @dev What nobody here knows must not pass as if it asked for nothing.
    modifier onlyKnown(uint8 flags) {
        if (flags & ~Flags.ACKNOWLEDGED != Flags.AUDITED) revert UnknownFlags(flags);
        _;
    }

    constructor(IJudged jobBook_, IRegistry registry_, IAudits audits_) {
        if (address(jobBook_) == address(0) || address(registry_) == address(0)) revert BadDeployment();
        if (address(audits_) == address(0)) revert BadDeployment();
        (jobBook, registry, audits) = (jobBook_, registry_, audits_);
    }

    // ------------------------------------------------------------------ JobBook

    /// @inheritdoc IJudge
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint8 flags) external onlyJobBook onlyKnown(flags) {
        audits.submitted(jobId, seq, provider);
    }

    /// @inheritdoc IJudge
    function bill(uint64 jobId, uint32 seq, uint256 value, uint8 flags)
        external
        view
        onlyKnown(flags)
        returns (bool mayPay, uint256 charge)
    {
        return audits.bill(jobId, seq, value);
    }

    /// @inheritdoc IJudge
    function room(uint64 jobId, uint32 provider, uint8 flags) external view onlyKnown(flags) returns (uint256) {
        return audits.room(provider);
    }

    // ------------------------------------------------------------------ who judges

    /// @inheritdoc IBench
    function reject(uint64 jobId, uint32 seq) external onlyTheBench {
        jobBook.reject(jobId, seq);
    }

    /// @inheritdoc IBench
    function punish(uint32 number, uint256 severity, address beneficiary) external onlyTheBench returns (uint128 cut) {
        return registry.punish(number, severity, beneficiary);
    }
}
