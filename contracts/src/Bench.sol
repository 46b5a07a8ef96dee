// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAudits} from "./interfaces/IAudits.sol";
import {IBench} from "./interfaces/IBench.sol";
import {IHolders} from "./interfaces/IHolders.sol";
import {IJudge, IJudged} from "./interfaces/IJudge.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IReplicas} from "./interfaces/IReplicas.sol";
import {Flags} from "./libraries/Flags.sol";
import {Parameters} from "./libraries/Parameters.sol";

/// @title The judge of JobBook and Registry: passes on what they ask, and what those who judge decide.
/// @dev Holds nothing and keeps nothing, so there is nothing that a call from within a call could find half done.
contract Bench is IBench {
    /// @dev What a job can ask for here besides its audits.
    uint8 private constant JOB_FLAGS = Flags.REPLICATED | Flags.KEPT;

    IJudged public immutable jobBook;
    IRegistry public immutable registry;
    IAudits public immutable audits;
    address public immutable waiting;
    IReplicas public immutable replicas;
    IHolders public immutable holders;

    modifier onlyJobBook() {
        if (msg.sender != address(jobBook)) revert NotJobBook(msg.sender);
        _;
    }

    modifier onlyTheBench() {
        bool judges = msg.sender == address(audits) || msg.sender == address(replicas) || msg.sender == address(holders);
        if (!judges) revert NotOnTheBench(msg.sender);
        _;
    }

    modifier onlyReplicas() {
        if (msg.sender != address(replicas)) revert NotReplicas(msg.sender);
        _;
    }

    modifier onlyWaiting() {
        if (msg.sender != waiting) revert NotWaiting(msg.sender);
        _;
    }

    /// @dev What nobody here knows must not pass as if it asked for nothing.
    modifier onlyKnown(uint8 flags, uint8 known) {
        if (flags & ~known != Flags.AUDITED) revert UnknownFlags(flags);
        _;
    }

    constructor(
        IJudged jobBook_,
        IRegistry registry_,
        IAudits audits_,
        address waiting_,
        IReplicas replicas_,
        IHolders holders_
    ) {
        if (address(jobBook_) == address(0) || address(registry_) == address(0)) {
            revert BadDeployment();
        }
        if (address(audits_) == address(0) || waiting_ == address(0)) revert BadDeployment();
        if (address(replicas_) == address(0) || address(holders_) == address(0)) revert BadDeployment();
        (jobBook, registry, audits) = (jobBook_, registry_, audits_);
        (waiting, replicas, holders) = (waiting_, replicas_, holders_);
    }

    // ------------------------------------------------------------------ JobBook

    /// @inheritdoc IJudge
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint8 flags)
        external
        onlyJobBook
        onlyKnown(flags, JOB_FLAGS)
    {
        // What is audited is a root, and of a replicated range there is none yet.
        if (flags & Flags.REPLICATED != 0) {
            return replicas.submitted(jobId, seq, provider, audits.rateNow(provider));
        }
        audits.submitted(jobId, seq, provider, 0);
    }

    /// @inheritdoc IJudge
    function bill(uint64 jobId, uint32 seq, uint256 value, uint8 flags)
        external
        view
        onlyKnown(flags, JOB_FLAGS | Flags.ACKNOWLEDGED)
        returns (Bill memory b)
    {
        // Without a case there is nothing to pay, and a replicated range has none before its replica is closed.
        (b.mayPay, b.charge) = audits.bill(jobId, seq, value);
        // Whose client has it need not be held by others.
        if (b.mayPay && flags & (Flags.KEPT | Flags.ACKNOWLEDGED) == Flags.KEPT) b.mayPay = holders.mayPay(jobId, seq);
        if (flags & Flags.REPLICATED == 0) return b;
        b.mate = replicas.mateOf(jobId, seq);
        if (b.mate != 0) b.mateCharge = value * Parameters.AUDIT_SHARE / Parameters.ONE;
    }

    /// @inheritdoc IJudge
    function room(uint64 jobId, uint32 provider, uint8 flags)
        external
        view
        onlyKnown(flags, JOB_FLAGS)
        returns (uint256)
    {
        // Whoever claims must know that its tasks can be had, and that others are paid for holding what it makes.
        if (flags & Flags.KEPT != 0 && !holders.mayGiveOut(jobId)) return 0;
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

    /// @inheritdoc IBench
    function forget(uint32 number) external onlyReplicas {
        audits.forget(number);
    }

    /// @inheritdoc IBench
    function strike(uint32 number, uint256 value) external onlyTheBench {
        audits.strike(number, value);
    }

    /// @inheritdoc IBench
    function audit(uint64 jobId, uint32 seq, uint32 provider, bytes32 root, uint256 rate) external onlyReplicas {
        jobBook.unseal(jobId, seq, root);
        audits.submitted(jobId, seq, provider, rate);
    }

    /// @inheritdoc IBench
    function dispute(
        uint64 jobId,
        uint32 seq,
        uint32 provider,
        bytes32 root,
        uint32 position,
        bytes32 claimed,
        uint256 worth
    ) external onlyReplicas {
        jobBook.unseal(jobId, seq, root);
        audits.dispute(jobId, seq, provider, position, claimed, worth);
    }

    /// @inheritdoc IBench
    function verdictOf(uint64 jobId, uint32 seq) external view returns (IAudits.Outcome, bytes32) {
        IAudits.Case memory c = audits.auditCase(jobId, seq);
        return (c.outcome, c.claimed);
    }

    /// @inheritdoc IBench
    function accuserOf(uint64 jobId, uint32 seq, bytes32 answer) external view returns (address) {
        return replicas.accuserOf(jobId, seq, answer);
    }

    /// @inheritdoc IBench
    function expose(uint32 number, uint128 value) external onlyWaiting {
        registry.expose(number, value);
    }

    /// @inheritdoc IBench
    function free(uint32 number, uint128 value) external onlyWaiting {
        registry.free(number, value);
    }
}
