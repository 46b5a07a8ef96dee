// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title What the JobBook asks about ranges of audited jobs.
/// @notice Jobs under the plain policy never call it. `flags` are those of the library Flags; whoever does not know one of them
/// refuses the call.
interface IJudge {
    /// @notice What is to be paid for a range.
    /// @param mayPay whether anything may be paid now
    /// @param charge what of its provider's part goes to the purse for audits; base units
    /// @param mate number of the provider that did it, too, and gets as much; 0: nobody has earned that
    /// @param mateCharge what of the mate's part goes to the purse; base units
    struct Bill {
        bool mayPay;
        uint256 charge;
        uint32 mate;
        uint256 mateCharge;
    }

    /// @notice JobBook only: a range of an audited job was submitted.
    /// @param provider number of its provider
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint8 flags) external;

    /// @notice Whether a submitted range worth `value` to each of its providers may be paid, and to whom.
    function bill(uint64 jobId, uint32 seq, uint256 value, uint8 flags) external view returns (Bill memory);

    /// @notice Value that a provider may still take on in a job that asks for this: what its stake carries at its audit rate,
    /// less its exposure; in a kept job 0 until its inputs are held, and while its deposit does not reach for one more range. The Registry's own
    /// bound holds besides.
    function room(uint64 jobId, uint32 provider, uint8 flags) external view returns (uint256);
}

/// @title What the judge asks of the JobBook.
interface IJudged {
    /// @notice Judge only: the results of a submitted range do not count. Its money goes back to the escrow, its tasks out again.
    function reject(uint64 jobId, uint32 seq) external;

    /// @notice Judge only: a submitted range of a replicated job has this root; until now its seal stood there.
    function unseal(uint64 jobId, uint32 seq, bytes32 root) external;
}
