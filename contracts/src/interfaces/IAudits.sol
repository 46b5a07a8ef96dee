// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

import {MerkleSum} from "../libraries/MerkleSum.sol";

/// @title Blind audits of submitted ranges, and what their votes lead to.
/// @notice
///   Submitted -draw-> Closed (not audited)
///             -draw-> Naming -name-> Committing -all committed-> Opening -open-> Revealing -all revealed-> Closed
///                                        ^--------------------- more auditors -----------------|   (Opening only once)
///   Whoever is late is passed over by `advance`, which anyone may call: a silent provider is overturned, absent auditors are
///   replaced by the next draw.
///   Votes are drawn by stake and with replacement: who is drawn again has one more vote on its one seat, for which it commits
///   and reveals once. So it is stake that votes, in however many accounts it lies.
/// @dev A case is named by job and range. Seats count from 0 over all stages.
interface IAudits {
    enum State {
        None,
        Submitted,
        Naming,
        Committing,
        Opening,
        Revealing,
        Closed
    }

    enum Outcome {
        Open,
        Unaudited,
        Upheld,
        Overturned,
        Undecided
    }

    enum SeatState {
        Drawn,
        Committed,
        Revealed,
        Absent,
        NotRevealed
    }

    /// @notice A case, for reading and as stored.
    /// @param round of the beacon that decides
    /// @param deadline Unix seconds up to which the next move is possible; 0 before the draw and after the end
    /// @param rate audit rate of the provider when it submitted, at least what its exposure then asks of its stake; billionths;
    /// Parameters.DISPUTED: a dispute
    /// @param provider number of the provider
    /// @param stage 0, then one more with every call for more auditors
    /// @param first votes that the value asks for
    /// @param last votes drawn at the beginning of the last stage
    /// @param given seats given so far
    /// @param votes drawn so far, those of lost seats included; COMMITTEE also when nobody is left to be drawn
    /// @param absent seats whose holders did not commit
    /// @param waiting seats of this stage whose move is awaited
    /// @param nextDraw the draw of this stage with which the next vote is drawn
    /// @param atProvidersCost whether the first votes are paid out of what the range earns
    /// @param claimed what the opened leaves say; 0 until opened. In a dispute: what the provider's leaf says, and in the end the answer
    /// that stands
    /// @param positions places of the drawn leaves, 32 bits each, draw 0 lowest
    /// @param fee of each vote at most, base units; 0 until opened
    struct Case {
        uint64 round;
        uint40 deadline;
        uint32 rate;
        uint32 provider;
        uint8 stage;
        uint8 first;
        uint8 last;
        uint8 given;
        uint8 votes;
        uint8 absent;
        uint8 waiting;
        uint8 nextDraw;
        State state;
        Outcome outcome;
        bool atProvidersCost;
        bytes32 claimed;
        uint256 positions;
        uint128 fee;
    }

    /// @notice A seat of a case.
    /// @param auditor its number
    /// @param stage in which it was drawn first
    /// @param votes how often it was drawn
    /// @param word the sealed commitment, or from `reveal` on the answer
    struct Seat {
        uint32 auditor;
        uint8 stage;
        SeatState state;
        uint8 votes;
        bytes32 word;
    }

    /// @notice A range waits for its beacon.
    event AuditDue(uint64 indexed jobId, uint32 indexed seq, uint64 round, uint32 provider, uint32 rate);
    /// @notice Nobody kept the round's value in time. The first time it is said the round has moved: the range is audited whatever
    /// the later value says, at the provider's cost. The second time there is no value any more: the case ends undecided, and
    /// the provider's record with it.
    event AuditDelayed(uint64 indexed jobId, uint32 indexed seq, uint64 round);
    /// @notice A range is audited at whose cost. A dispute is at nobody's but the loser's: its stages begin without this.
    event AuditBegun(uint64 indexed jobId, uint32 indexed seq, bool atProvidersCost, uint40 deadline);
    /// @notice An auditor was drawn. Said of a seat again: it has one more vote.
    event SeatGiven(uint64 indexed jobId, uint32 indexed seq, uint32 indexed auditor, uint8 seat, uint8 stage);
    /// @notice The auditors of this stage may commit.
    event AuditStage(uint64 indexed jobId, uint32 indexed seq, uint8 stage, uint256 positions, uint40 deadline);
    event AuditCommitted(uint64 indexed jobId, uint32 indexed seq, uint8 seat, bytes32 sealed_);
    /// @notice All committed: the provider must open its leaves.
    event AuditOpening(uint64 indexed jobId, uint32 indexed seq, uint40 deadline);
    /// @notice The leaves are open: `claimed` is the provider's answer, `fee` what each vote earns.
    event AuditOpened(uint64 indexed jobId, uint32 indexed seq, bytes32 claimed, uint128 fee);
    event AuditRevealing(uint64 indexed jobId, uint32 indexed seq, uint40 deadline);
    event AuditRevealed(uint64 indexed jobId, uint32 indexed seq, uint8 seat, bytes32 answer);
    /// @notice An auditor was late. `state` is Absent or NotRevealed. An absence is said with a cut of 0 when it is noticed, and again
    /// with its cut if it counts when the votes have decided.
    event SeatLost(uint64 indexed jobId, uint32 indexed seq, uint8 seat, SeatState state, uint128 cut);
    /// @notice The case is over. `record` is the provider's record after it.
    event AuditClosed(
        uint64 indexed jobId, uint32 indexed seq, Outcome outcome, bytes32 answer, uint32 provider, uint128 record
    );
    /// @notice An auditor's vote was overturned.
    event WrongAudit(uint64 indexed jobId, uint32 indexed seq, uint8 seat, uint128 cut);
    /// @notice More is owed to an auditor's owner.
    event FeeEarned(uint64 indexed jobId, uint32 indexed seq, address indexed owner, uint128 amount);
    event FeeCollected(address indexed owner, uint128 amount, uint128 stillOwed);

    /// @notice Only the Bench may call this.
    error NotBench(address caller);
    /// @notice The case is not in the state that the call needs.
    error WrongState(uint64 jobId, uint32 seq, State state);
    /// @notice The beacon of this round is not known yet.
    error BeaconUnknown(uint64 round);
    /// @notice The time for this move is over; `advance` goes on.
    error TooLate(uint40 deadline);
    /// @notice The time for the others' moves is not over.
    error TooEarly(uint40 deadline);
    /// @notice The caller is not the provider's node key.
    error NotProvider(address caller);
    /// @notice The caller is not the auditor's node key.
    error NotSeatHolder(address caller);
    /// @notice There is no such seat in this stage, or it has moved.
    error WrongSeat(uint8 seat);
    /// @notice A position is not the one drawn, or outside the range.
    error WrongPosition(uint256 draw);
    /// @notice The opened leaf is not the one drawn.
    error NotDrawn(uint256 draw);
    /// @notice Another number of leaves than was drawn.
    error WrongCount(uint256 given, uint256 due);
    /// @notice Salt and answer do not give the commitment.
    error WrongSeal(uint8 seat);
    /// @notice A commitment of zero is none.
    error EmptySeal();
    /// @notice The auditor has lost or taken out all of its stake since it was on the line: its seat stays empty.
    error NothingAtStake(uint32 auditor);
    /// @notice Nothing is owed, or the purse is empty.
    error NothingToCollect();
    /// @notice Wrong constructor arguments.
    error BadDeployment();

    /// @notice Bench only: a range of an audited job was submitted, or, if it is replicated, its root is known.
    /// @param provider number of its provider
    /// @param rate at which it is audited at least, billionths; 0: as the provider's record and exposure ask
    function submitted(uint64 jobId, uint32 seq, uint32 provider, uint256 rate) external;

    /// @notice Bench only: the two providers of a replicated range differ in one leaf, which both have shown. All drawn leaves are this
    /// one, and nothing is to be named or opened. LEAD votes are drawn first, and no answer stands that does not lead by as many: one of
    /// the two loses all. A provider that is upheld earns no record by it, and is not paid before an ordinary case (`submitted`) that
    /// takes the place of this one says so; what an overturned one loses goes after the fees to the mate, if it is right (else to the
    /// client).
    /// @param position place of the leaf in the range
    /// @param claimed the answer that the provider's leaf makes
    /// @param worth what the provider's leaf costs, base units
    function dispute(uint64 jobId, uint32 seq, uint32 provider, uint32 position, bytes32 claimed, uint256 worth)
        external;

    /// @notice Bench only: a provider was silent where it had to show what it had committed to. Its record begins anew.
    function forget(uint32 provider) external;

    /// @notice Bench only: nobody could hold an upheld range worth `value` (base units), so it is on its provider's record no more. What
    /// else is on it stays.
    function strike(uint32 provider, uint256 value) external;

    /// @notice Whether a submitted range worth `value` may be paid as far as its audit goes, and what of it goes to the purse.
    function bill(uint64 jobId, uint32 seq, uint256 value) external view returns (bool mayPay, uint256 charge);

    /// @notice Value that a provider may still take on in audited jobs: what its stake carries at its audit rate, less its
    /// exposure. The Registry's own bound holds besides.
    function room(uint32 provider) external view returns (uint256);

    /// @notice Anyone, once the beacon is known: decides whether a range is audited, and draws the votes from the line of
    /// stakes as it stood in the second before the submission. A beacon that nobody kept in time is moved and no more is done.
    /// Later than DRAW_TIME after the submission (a dispute: DISPUTE_DRAW_TIME), a range that is to be audited ends undecided.
    function draw(uint64 jobId, uint32 seq) external;

    /// @notice Provider's node: says at which positions the drawn leaves are. Those drawn by position are checked at once,
    /// those drawn by units when they are opened.
    function name(uint64 jobId, uint32 seq, uint32[] calldata positions) external;

    /// @notice Auditor's node: commits to what it found, see AuditRules.seal; `who` is the auditor's owner.
    function commit(uint64 jobId, uint32 seq, uint8 seat, bytes32 sealed_) external;

    /// @notice Anyone, meant for the provider: opens the drawn leaves, in the order of the draws. What is wrong with a leaf or its
    /// path is said with the errors of LeafCheck and MerkleSum (in AuditDesk's ABI).
    function open(uint64 jobId, uint32 seq, MerkleSum.Leaf[] calldata leaves, MerkleSum.Sibling[][] calldata proofs)
        external;

    /// @notice Anyone who knows the salt: shows what a seat committed to.
    function reveal(uint64 jobId, uint32 seq, uint8 seat, bytes32 answer, bytes32 salt) external;

    /// @notice Anyone, after the deadline: goes on without those who are late.
    function advance(uint64 jobId, uint32 seq) external;

    /// @notice Anyone: pays an auditor what it has earned, as far as the purse reaches.
    function collect(address owner) external returns (uint128 amount);

    function auditCase(uint64 jobId, uint32 seq) external view returns (Case memory);
    function seat(uint64 jobId, uint32 seq, uint8 number) external view returns (Seat memory);

    /// @notice Value of a provider's upheld audits since it was last overturned, less that of ranges that nobody could hold; base units.
    function record(uint32 provider) external view returns (uint128);

    /// @notice How often a provider is audited now; billionths.
    function rateOf(uint32 provider) external view returns (uint256);

    /// @notice How often a range is audited that is submitted now: as the provider's record asks, and its exposure of its stake;
    /// billionths.
    function rateNow(uint32 provider) external view returns (uint256);

    /// @notice What an auditor has earned and not collected; base units.
    function owed(address owner) external view returns (uint128);
}
