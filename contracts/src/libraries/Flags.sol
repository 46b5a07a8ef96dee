// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title What the JobBook tells the Bench about a range: what its job asks for, and what its client has said.
/// @dev The JobBook keeps 1, 2 and 4 of a job as they are here.
library Flags {
    /// @notice The job is audited.
    uint8 internal constant AUDITED = 1;
    /// @notice Every range has a second provider, which is drawn when the first one has committed to its root (audited jobs only).
    uint8 internal constant REPLICATED = 2;
    /// @notice Without its client's acknowledgement a range is paid only when drawn auditors hold what it has made, as far as the client's
    /// deposit pays them (audited jobs only).
    uint8 internal constant KEPT = 4;
    /// @notice The client has acknowledged the range (in `bill` only).
    uint8 internal constant ACKNOWLEDGED = 8;
}
