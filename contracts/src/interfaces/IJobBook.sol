// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Jobs and their ranges: who works on what, and who is paid.
/// @notice A client opens a job of `taskCount` independent tasks and funds it. Providers claim ranges of tasks, submit the
/// Merkle-sum root of their results, and are paid units x price when the client acknowledges or the window is over.
/// Tasks are never stored one by one.
/// @dev State machines:
///   job:   Open -> Draining -> Done          Open | Draining -> Cancelling -> Cancelled
///   range: Claimed -> Submitted -> Settled   Claimed -> Released | Expired (its tasks go out again under a new seq)
///          in audited jobs also Submitted -> Rejected (the same)
/// `Draining` is also shown for an open job that has nothing left to claim; a range that comes back makes it Open again.
/// Job ids count from 1, range numbers (seq) of a job from 0. All times are Unix seconds, all money base units.
interface IJobBook {
    enum JobState {
        None,
        Open,
        Draining,
        Cancelling,
        Done,
        Cancelled
    }

    enum RangeState {
        None,
        Claimed,
        Submitted,
        Settled,
        Released,
        Expired,
        Rejected
    }

    /// @notice Why a provider gets no range now.
    enum Refusal {
        None,
        NoSuchJob,
        NotOpen,
        NothingLeft,
        DeadlinePassed,
        Dry,
        NotRegistered,
        ProviderPaused,
        NoFreeSlot,
        NoExposure,
        NotQualified,
        PriceTooLow,
        WantZero
    }

    /// @notice A field of `Terms`, for `BadTerms`.
    enum Field {
        SpecHash,
        TaskCount,
        UnitCap,
        PrepareCap,
        Price,
        Window,
        RangeTimeout,
        TargetSeconds,
        Parallelism,
        FirstRange,
        Deadline,
        AfterJob,
        Contact,
        FloorPrice,
        FinishSeconds,
        Replicas,
        Kept
    }

    /// @notice What the client offers.
    /// @param specHash BLAKE3 hash of the canonical spec
    /// @param taskCount number of tasks, 1 ..= MAX_TASKS
    /// @param unitCap most units one task may cost, at least 1
    /// @param prepareCap most units of the prepare phase of one range; 0 = the program has no prepare phase
    /// @param price base units per unit, at least 1; the most that is paid when the job is on the clock
    /// @param floorPrice clock only: base units per unit while the job keeps to its schedule, 1 ..= price; else 0
    /// @param finishSeconds clock only: seconds after opening at which every task is offered at `price`, at least 16 and not
    /// after the deadline; 0 = posted price
    /// @param window seconds after submission from which anyone may settle; at least `minWindow(value)`
    /// @param rangeTimeout seconds after its claim from which a range may be expired, and in audited jobs not be handed in
    /// @param targetSeconds how long a provider should work on one range
    /// @param parallelism provider slots that the client expects
    /// @param firstRange tasks in a provider's first range, at least 1
    /// @param deadline Unix seconds: no claims after it
    /// @param maxFailures failed tasks after which the job stops softly; 0 = no limit
    /// @param requiredClass device class bits that a provider must have
    /// @param minVramMib video memory that a provider must have, MiB
    /// @param afterJob reserved, must be 0
    /// @param audited whether submitted ranges are subject to audits: then nothing is paid before the range's audit is over, an
    /// acknowledgement saves the window only, and a share of what ranges earn pays the auditors
    /// @param replicas audited jobs only: 0, or REPLICAS (2): then every range has a second provider, drawn when the first one has
    /// handed in a seal instead of a root, and each of the two gets units x price if their roots are equal
    /// @param kept audited jobs only: whether a range that the client does not acknowledge is paid only when drawn auditors hold what it
    /// has made, see IHolders; no range is given out before they hold its inputs, too
    /// @param callback contract whose `onJobDone` is called at the end; zero = none
    /// @param program what quotes are grouped by, the BLAKE3 hash of the program (event only, not checked); may be 0
    /// @param contact where spec and inputs are served (event only, opaque), at most MAX_CONTACT_BYTES
    struct Terms {
        bytes32 specHash;
        uint32 taskCount;
        uint64 unitCap;
        uint64 prepareCap;
        uint96 price;
        uint96 floorPrice;
        uint32 finishSeconds;
        uint32 window;
        uint32 rangeTimeout;
        uint16 targetSeconds;
        uint16 parallelism;
        uint32 firstRange;
        uint40 deadline;
        uint32 maxFailures;
        uint64 requiredClass;
        uint32 minVramMib;
        uint64 afterJob;
        bool audited;
        uint8 replicas;
        bool kept;
        address callback;
        bytes32 program;
        bytes contact;
    }

    /// @notice A job, for reading.
    /// @param unclaimed tasks that can be claimed (never claimed, or come back)
    /// @param settledTasks tasks of settled ranges
    /// @param ranges ranges ever claimed; the next one gets this seq
    /// @param outstanding ranges claimed or submitted and not yet judged
    /// @param failures failed tasks among all submitted ranges
    /// @param escrow money of the job that no range has reserved
    /// @param price what a claim in a block of this time pays per unit: the posted price, or what the clock says
    /// @param dry true when unclaimed tasks are left and the escrow does not pay for one of them at that price
    /// @param terms as opened; `program` and `contact` are empty here, they are only in the event
    struct Job {
        address client;
        JobState state;
        bool dry;
        bytes32 resultRoot;
        uint32 unclaimed;
        uint32 settledTasks;
        uint32 ranges;
        uint32 outstanding;
        uint32 failures;
        uint96 price;
        uint128 escrow;
        Terms terms;
    }

    /// @notice A range, for reading.
    /// @param provider owner account of the provider
    /// @param at when it was claimed, or, from its submission on, when it was submitted
    /// @param units claimed units; 0 until submitted
    /// @param failures tasks that did not end Ok; 0 until submitted
    /// @param price base units per unit, as agreed when it was claimed
    /// @param root Merkle-sum root of the leaves; 0 until submitted; of a replicated job the seal until the root is shown
    struct Range {
        address provider;
        RangeState state;
        uint32 from;
        uint32 count;
        uint64 units;
        uint32 failures;
        uint40 at;
        uint96 price;
        bytes32 root;
    }

    /// @notice What a provider has shown in one job; bounds the size of its next range.
    /// @param cap most tasks by doubling: firstRange, twice that after each on-time submission
    /// @param tasks tasks submitted within `busySeconds` (both are halved from time to time, so that old work fades)
    /// @param busySeconds seconds it worked; the provider's rate is tasks / busySeconds, unknown while it is 0
    /// @param lastSubmittedAt time of its last submission
    /// @param releases ranges it gave back; the first FREE_RELEASES are free
    struct Pace {
        uint32 cap;
        uint48 tasks;
        uint32 busySeconds;
        uint40 lastSubmittedAt;
        uint8 releases;
    }

    event JobOpened(
        uint64 indexed jobId, address indexed client, bytes32 indexed program, Terms terms, uint128 escrow, uint40 at
    );
    event JobFunded(uint64 indexed jobId, uint128 amount, uint128 escrow);
    /// @notice The escrow pays for no further task; `topUp` goes on with the job.
    event JobDry(uint64 indexed jobId, uint128 escrow);
    /// @notice Too many tasks failed: no more claims.
    event JobDraining(uint64 indexed jobId, uint32 failures);
    /// @notice Ranges with failures were rejected: there are no longer more than the job bears, and it gives out ranges again.
    event JobReopened(uint64 indexed jobId, uint32 failures);
    /// @notice The client stopped the job. Ranges already claimed are still judged and paid.
    event JobCancelled(uint64 indexed jobId, uint128 refunded);
    /// @notice The job is over (state Done or Cancelled); what was left went back to the client.
    event JobDone(uint64 indexed jobId, JobState state, bytes32 resultRoot, uint32 settledTasks, uint128 refunded);
    /// @notice The callback contract was told; `success` is false when it failed, which changes nothing else.
    event JobCallback(uint64 indexed jobId, address indexed callback, bool success);

    event RangeClaimed(
        uint64 indexed jobId,
        uint32 indexed seq,
        address indexed provider,
        uint32 from,
        uint32 count,
        uint96 price,
        uint128 escrow,
        uint40 at
    );
    /// @param contentHash BLAKE3 hash of the range's content (hash sequence: manifest, then large outputs)
    event RangeSubmitted(
        uint64 indexed jobId,
        uint32 indexed seq,
        address indexed provider,
        bytes32 root,
        uint64 units,
        uint32 failures,
        bytes32 contentHash,
        uint128 escrow,
        uint40 at
    );
    /// @param fee what did not go to the provider: the protocol fee and, in audited jobs, the charge for audits
    event RangeSettled(
        uint64 indexed jobId,
        uint32 indexed seq,
        address indexed provider,
        uint128 paid,
        uint128 fee,
        bytes32 resultRoot
    );
    /// @notice What became of the second part of a replicated range's money, said before RangeSettled: `provider`, who did it, too,
    /// gets `paid`, and `fee` is what did not go to it; or `provider` is zero and `paid` went back to the escrow.
    event MateSettled(uint64 indexed jobId, uint32 indexed seq, address indexed provider, uint128 paid, uint128 fee);
    /// @notice The root of a replicated range is known.
    event RangeUnsealed(uint64 indexed jobId, uint32 indexed seq, bytes32 root);
    /// @notice The provider gave the range back; `bond` is what that cost it.
    event RangeReleased(
        uint64 indexed jobId, uint32 indexed seq, address indexed provider, uint8 releases, uint128 bond, uint128 escrow
    );
    /// @notice The range was not submitted in time; `bond` was cut from the provider's stake.
    event RangeExpired(
        uint64 indexed jobId, uint32 indexed seq, address indexed provider, uint128 bond, uint128 escrow
    );

    /// @notice The range's results were overturned, or could not be judged; its tasks go out again.
    event RangeRejected(uint64 indexed jobId, uint32 indexed seq, address indexed provider, uint128 escrow);

    /// @notice Wrong constructor arguments: no treasury, purse or judge, no registry, a fee above the cap, or a ledger without
    /// a grant of at most 96 bits for this contract.
    error BadDeployment();
    /// @notice There is no such job.
    error NoSuchJob(uint64 jobId);
    /// @notice Only the judge may do this.
    error NotJudge(address caller);
    /// @notice Only the client of the job may do this.
    error NotClient(uint64 jobId, address caller);
    /// @notice The job is already cancelled or over.
    error JobOver(uint64 jobId, JobState state);
    /// @notice A field of the terms is outside its limits.
    error BadTerms(Field field);
    /// @notice The money does not fit: zero, or more than a job can hold.
    error BadFunds(uint256 funds);
    /// @notice No range for this provider now.
    error ClaimRefused(uint64 jobId, Refusal why);
    /// @notice The caller is not the node key of a registered provider.
    error NotNode(address caller);
    /// @notice The range belongs to another provider.
    error NotYourRange(uint64 jobId, uint32 seq);
    /// @notice The range is not in the state that the call needs (submitted twice, expired, never claimed).
    error WrongRangeState(uint64 jobId, uint32 seq, RangeState state);
    /// @notice A range of an audited job is late: it can be released or expired, and not be handed in any more.
    error SubmittedLate(uint64 jobId, uint32 seq);
    /// @notice More units than the cap of the range allows.
    error TooManyUnits(uint64 units, uint64 cap);
    /// @notice More failures than the range has leaves.
    error TooManyFailures(uint32 failures, uint32 leaves);
    /// @notice A root of zero is not a result.
    error EmptyRoot();
    /// @notice Not one of the ranges could be settled or expired now.
    error NothingToDo(uint64 jobId);
    /// @notice More range numbers than one call takes.
    error TooManyRanges(uint256 given, uint256 limit);
    /// @notice Tasks or ranges are still open.
    error NotFinished(uint64 jobId, uint32 unclaimed, uint32 outstanding);
    /// @notice Too little gas was sent to call the callback contract.
    error TooLittleGas(uint256 needed);

    function ledger() external view returns (address);
    function registry() external view returns (address);
    /// @notice The contract that decides about ranges of audited jobs.
    function judge() external view returns (address);
    /// @notice Account that gets the audits' share of settled ranges.
    function purse() external view returns (address);
    /// @notice Account that gets the protocol fee.
    function treasury() external view returns (address);
    /// @notice Protocol fee in basis points of what providers earn.
    function feeBps() external view returns (uint16);
    function jobCount() external view returns (uint64);

    /// @notice Shortest window for a job whose largest possible value is `value`; seconds.
    function minWindow(uint256 value) external view returns (uint32);

    /// @notice Opens a job and locks `funds` of the caller's free balance for it. The caller is the client.
    function open(Terms calldata terms, uint128 funds) external returns (uint64 jobId);

    /// @notice Client: locks more money for the job.
    function topUp(uint64 jobId, uint128 funds) external;

    /// @notice Client: stops new claims and gets the unreserved escrow back at once.
    function cancel(uint64 jobId) external;

    /// @notice Anyone, when nothing is outstanding and nothing can be claimed any more: ends the job, gives the rest back,
    /// tells the callback contract.
    function finish(uint64 jobId) external;

    /// @notice Node key: takes the next range, at most `want` tasks, at a price of at least `minPrice`. On the clock the price
    /// and the fair share follow from the job as it was when the block began: whatever else is in the block, and in whatever
    /// order, changes neither.
    function claim(uint64 jobId, uint32 want, uint96 minPrice) external returns (uint32 seq, uint32 from, uint32 count);

    /// @notice Node key: hands in the results of a range; in audited jobs within its `rangeTimeout`. In replicated jobs `root` is the
    /// seal of root, units and failures, see IReplicas.
    function submit(uint64 jobId, uint32 seq, bytes32 root, uint64 units, uint32 failures, bytes32 contentHash) external;

    /// @notice Node key: submits a range and claims the next one of the same job. When there is none for this provider,
    /// the submission still counts and `count` is 0.
    function submitAndClaim(
        uint64 jobId,
        uint32 seq,
        bytes32 root,
        uint64 units,
        uint32 failures,
        bytes32 contentHash,
        uint32 want,
        uint96 minPrice
    ) external returns (uint32 nextSeq, uint32 from, uint32 count);

    /// @notice Node key: gives a claimed range back. Free FREE_RELEASES times per job, then it costs the bond.
    function release(uint64 jobId, uint32 seq) external;

    /// @notice Anyone: takes back ranges that were not submitted in time. Ranges that are not late are skipped.
    function expire(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done);

    /// @notice Client: accepts submitted ranges; they are paid at once. Ranges in another state are skipped.
    function acknowledge(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done);

    /// @notice Anyone: pays submitted ranges whose window is over. Others are skipped.
    function settle(uint64 jobId, uint32[] calldata seqs) external returns (uint256 done);

    /// @notice What a judge needs to know of a job: its client, and how many leaves besides its tasks every range has (0 or 1).
    function subjectOf(uint64 jobId) external view returns (address client, uint256 prepareLeaves);

    /// @notice Whether drawn auditors hold a job's inputs, and its ranges are paid without the client only when such hold them.
    function isKept(uint64 jobId) external view returns (bool);

    /// @notice Ranges of a job that are claimed or submitted: neither paid nor come back.
    function outstanding(uint64 jobId) external view returns (uint256);

    function job(uint64 jobId) external view returns (Job memory);
    function range(uint64 jobId, uint32 seq) external view returns (Range memory);
    function pace(uint64 jobId, address provider) external view returns (Pace memory);
    function resultRoot(uint64 jobId) external view returns (bytes32);

    /// @notice What a claim by this provider (owner account) with the largest `want` would get now.
    function claimable(uint64 jobId, address provider) external view returns (uint32 count, uint96 price, Refusal why);
}

/// @title What a job's callback contract implements.
interface IJobCallback {
    /// @notice The job is over. `resultRoot` commits to all settled ranges in the order of their settlement.
    function onJobDone(uint64 jobId, bytes32 resultRoot) external;
}
