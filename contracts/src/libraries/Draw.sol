// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title What is drawn from a beacon: decisions, leaves, people.
/// @notice
///   seed       = keccak256(beacon b32, job u64, seq u32, stage u8), tightly packed
///   word(p, i) = keccak256(seed b32, purpose u8, i u32), tightly packed, a number of 256 bits
///   leaf i     = even i, or no units at all:  position  word(LEAF, i) mod leaves
///                odd i:                       unit      word(LEAF, i) mod units
///   person i   = the one in whose part of the line of stakes word(PERSON, i) mod the line's length lies
/// The line is the one of before the commitment, so no stake that moves when the beacon is known changes who is drawn. Two things
/// can: whoever makes the beacon can choose it (on a chain that one operator runs), and who was drawn and stays silent is left
/// out of the case's later draws, which moves those. Who is left out has no part of the line, so every draw finds somebody while
/// anybody is left; who sits already keeps its part and may be drawn again. Mates are drawn without replacement, on the line of
/// the bonds in their job: whom draw i has found is left out of draw i + 1, fit or not (Waiting.drawn).
/// Half of the leaves go by position and half by units, so that neither many small wrong results nor one large one can hide.
/// A drawn unit belongs to the leaf whose units it is among when the leaves' units stand in a row (MerkleSum.opened
/// gives the units before a leaf). The same rules in Rust: module `draw` of the crate `verification`; both are
/// held to vectors/trust.json.
library Draw {
    /// @notice Whether a range is audited.
    uint8 internal constant DECISION = 0;
    /// @notice Which leaves.
    uint8 internal constant LEAF = 1;
    /// @notice Which auditors.
    uint8 internal constant AUDITOR = 2;
    /// @notice Which providers do a range, too.
    uint8 internal constant REPLICA = 3;
    /// @notice Which auditors hold what a range has made.
    uint8 internal constant HOLDER = 4;
    /// @notice Which auditors look whether they serve it.
    uint8 internal constant SPOT = 5;

    /// @notice The seed of a stage of a range: 0 for its first audit, then one more with every escalation.
    function seedOf(bytes32 beacon, uint64 job, uint32 seq, uint8 stage) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(beacon, job, seq, stage));
    }

    /// @notice The word of draw `i`.
    function word(bytes32 seed, uint8 purpose, uint32 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(seed, purpose, i)));
    }

    /// @notice Draw `i` among `leaves` leaves (at least one) with `units` units in all.
    /// @return byUnits whether `value` is a unit, not a position
    function pick(bytes32 seed, uint32 i, uint256 leaves, uint256 units)
        internal
        pure
        returns (bool byUnits, uint256 value)
    {
        uint256 drawn = word(seed, LEAF, i);
        byUnits = i & 1 == 1 && units != 0;
        value = drawn % (byUnits ? units : leaves);
    }

    /// @notice Whether a leaf is the one that was drawn.
    /// @param position of the leaf
    /// @param unitsBefore units of all leaves before it
    /// @param leafUnits its own units
    function isAnsweredBy(bool byUnits, uint256 value, uint256 position, uint256 unitsBefore, uint256 leafUnits)
        internal
        pure
        returns (bool)
    {
        return byUnits ? value >= unitsBefore && value - unitsBefore < leafUnits : value == position;
    }
}
