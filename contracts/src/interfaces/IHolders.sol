// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title Who has signed that it holds what a range has made, or the inputs of a job.
/// @notice
///   None -ask-> Asked -draw-> Open -hold, by a majority-> Held (the range may be paid)
///                 |            +---- too few, in time ---> Again -ask-> Asked, once more
///                 +--- nobody kept the beacon ---------------+ or, the second time, Lost (the range is rejected)
///   Asked, Open, Again -fail, the range is paid or rejected already, or the job gives out none any more-> Dropped
///   A range of a kept job whose client does not acknowledge it is paid when a majority of drawn auditors have signed
///   that they have fetched its content and keep it. Its provider asks for that when the range could be paid otherwise.
///   Holders are paid out of a deposit of the client's. No range is given out for which it does not reach, whatever sizes
///   are asked for; where the client has taken it back and it does not cover an ask of the largest size, the range is paid as
///   if its job were not kept (waived).
///   The inputs of a kept job (spec, program, files) are asked for by its client, in the same way: their number is
///   Parameters.INPUTS (2^32 - 1). No range of the job is given out before they are held. Lost, or given up
///   when they were asked for twice, they cost their client INPUTS_LOST, and the job stays without work.
///   When the time is over for which they are kept, Spots has those who hold them looked at, which the second halves of fees depend on.
/// @dev Named by job and range. Money: a job's deposit is what was funded, less fees, less what `close` gave back,
/// and lies in the Ledger, locked for the client. What may still be spent on an ask is `reserved`.
interface IHolders {
    enum State {
        None,
        Asked,
        Open,
        Again,
        Held,
        Lost,
        Dropped
    }

    /// @notice What a client offers to holders, once and for all.
    /// @param maxMib largest content of a range, MiB: by the limits of the job's spec; 1 ..= MOST_MIB
    /// @param perMib base units for fetching a MiB
    /// @param perMibDay base units for keeping a MiB for a day
    /// @param keepSeconds how long a range is kept once it is held, 1 ..= MAX_KEEP
    struct Prices {
        uint32 maxMib;
        uint96 perMib;
        uint96 perMibDay;
        uint32 keepSeconds;
    }

    /// @notice The deposit of a job, for reading and as stored (two words).
    /// @param deposit what is left of it, base units
    /// @param reserved what of it open asks may still cost
    struct Keep {
        uint96 deposit;
        uint96 reserved;
        uint32 maxMib;
        uint96 perMib;
        uint96 perMibDay;
        uint32 keepSeconds;
    }

    /// @notice An ask, for reading and as stored (one word).
    /// @param round of the beacon that draws
    /// @param from Unix seconds: when the draws were known and holders may sign; in Again when it failed; 0 before
    /// @param until Unix seconds up to which it is kept; 0 until held
    /// @param mib size of the content, rounded up
    /// @param bits draws that have signed, draw 0 lowest
    /// @param votes how many of them
    /// @param spent votes of the ask before, which are paid
    /// @param asked how often it was asked for
    struct Ask {
        uint64 round;
        uint40 from;
        uint40 until;
        uint32 mib;
        uint16 bits;
        uint8 votes;
        uint8 spent;
        uint8 asked;
        State state;
    }

    /// @notice How the inputs of a job were asked for, for reading and as stored (one word).
    /// @param asOf Unix seconds: draws are of the line of stakes as it was then, the second before the latest ask; 0: never asked
    /// @param fee what each vote earns when it is signed, base units: for keeping them until INPUTS_AFTER after the
    /// job's deadline
    struct Inputs {
        uint40 asOf;
        uint96 fee;
    }

    /// @notice The deposit of a job is now so large. The first time, these are its prices for ever.
    event KeepFunded(uint64 indexed jobId, address indexed client, Prices prices, uint96 amount, uint96 deposit);
    /// @notice The client has taken back what of the deposit was free; `deposit` is left for open asks.
    event KeepClosed(uint64 indexed jobId, uint96 amount, uint96 deposit);
    /// @notice Holders are asked for, the first or second time. `reserved` is the job's after it; `provider` is zero for the inputs.
    event HoldAsked(
        uint64 indexed jobId,
        uint32 indexed seq,
        address indexed provider,
        uint64 round,
        uint32 mib,
        uint8 asked,
        uint96 reserved
    );
    /// @notice Who is drawn may sign from now on: see `named`.
    event HoldersDrawn(uint64 indexed jobId, uint32 indexed seq, uint40 from);
    /// @notice An auditor has signed for one of its draws, and has got its fee.
    event Held(uint64 indexed jobId, uint32 indexed seq, uint32 indexed number, uint8 draw, uint96 fee);
    /// @notice Enough have signed: the range may be paid, and those whose draws are in `bits` keep it until then.
    event RangeHeld(uint64 indexed jobId, uint32 indexed seq, uint16 bits, uint40 until);
    /// @notice An ask has failed. `state` is what became of it: Again; Lost, and `cut` was taken from the provider, besides what gives
    /// the purse of the audits as much as if the range were paid, as far as the stake goes (not what its mate would be charged; of
    /// inputs: burned from the deposit); or Dropped, because the range was over (of inputs that were asked for twice: the same).
    event HoldFailed(uint64 indexed jobId, uint32 indexed seq, State state, uint128 cut);
    /// @notice Where clients find what an auditor holds (opaque).
    event HolderContact(uint32 indexed number, bytes contact);

    /// @notice The job has no deposit, or is not one that can have one: not kept, or over.
    error NotKept(uint64 jobId);
    /// @notice Only the client of the job may do this.
    error NotClient(uint64 jobId, address caller);
    /// @notice A size or a time is outside its limits.
    error BadPrices();
    /// @notice The prices of a job stay as they were given first.
    error PricesAreFixed(uint64 jobId);
    /// @notice After this the free deposit must cover an ask of the largest size, and it must fit.
    error BadFunds(uint256 amount, uint256 least);
    /// @notice Nothing of the deposit is free.
    error NothingFree(uint64 jobId);
    /// @notice The ask is not in the state that the call needs.
    error WrongState(uint64 jobId, uint32 seq, State state);
    /// @notice The caller is neither the node key of the range's provider nor the client, who alone asks for the inputs.
    error NotYours(address caller);
    /// @notice The size is none, or another one than it must be: at most the largest (of inputs: MOST_INPUTS_MIB); of the
    /// client's ask the largest (but for the inputs); the second time that of the first, or a smaller one of the provider's.
    error BadSize(uint256 mib, uint256 due);
    /// @notice The range is not submitted, its window is not over, or its audit or replica does not let it be paid yet.
    error NotPayable(uint64 jobId, uint32 seq);
    /// @notice The deposit does not cover an ask of the largest size: the range is paid without holders.
    error IsWaived(uint64 jobId, uint32 seq);
    /// @notice What is free of the deposit does not pay for holders of the inputs.
    error TooLittleFree(uint256 free, uint256 cost);
    /// @notice The beacon of this round is not known yet.
    error BeaconUnknown(uint64 round);
    /// @notice The range is paid or rejected already, or the job whose inputs these are gives out no ranges any more: nobody need
    /// hold it.
    error RangeIsOver(uint64 jobId, uint32 seq);
    /// @notice There is no such draw, it is not asked yet, or the time of all is over.
    error NotAsked(uint8 draw);
    /// @notice The draw has signed.
    error SignedAlready(uint8 draw);
    /// @notice The caller is not the node key of the auditor whom the draw names.
    error NotHolder(address caller);
    /// @notice The auditor has lost or taken out all of its stake since it was on the line.
    error NothingAtStake(uint32 auditor);
    /// @notice The time of holders, or that in which a range's provider alone asks, is not over.
    error TooEarly(uint256 end);
    /// @notice Only Spots may do this.
    error NotSpots(address caller);
    /// @notice The contact is longer than MAX_HOLDER_CONTACT.
    error BadContact(uint256 length);
    /// @notice Wrong constructor arguments, or a ledger without a grant of at most 96 bits for this contract.
    error BadDeployment();

    /// @notice Client of a kept job: adds to its deposit. The first time it gives the prices, too; later the same ones are given
    /// again.
    function fund(uint64 jobId, Prices calldata prices, uint96 amount) external;

    /// @notice Client: takes back what of the deposit is free, at any time. What is submitted then is paid without
    /// holders, and nothing more is given out before it is funded again.
    function close(uint64 jobId) external returns (uint96 amount);

    /// @notice Node key of the range's provider, when all but holders let the range be paid: asks for holders of its
    /// content, `mib` MiB large; the second time no larger than the first. The client may, too: for the largest
    /// size ASK_FIRST after the window (where the audit ends later than that, at once), or for that of the first ask ASK_FIRST after
    /// that has failed.
    /// For the inputs (`seq` INPUTS) the client, of any size up to MOST_INPUTS_MIB: until they are held its job has no room for
    /// anybody.
    function ask(uint64 jobId, uint32 seq, uint32 mib) external;

    /// @notice Anyone, once the beacon is known: holders may sign. A beacon that nobody kept in time is a failed ask.
    function draw(uint64 jobId, uint32 seq) external;

    /// @notice Node key of the auditor whom the draw names: has fetched the range's content, found it to be what was
    /// submitted (the inputs: what the spec names) and no larger than stated, and keeps it. Draws 0 .. FIRST_HOLDERS in the
    /// first HOLD_TIME, all HOLDERS in the second.
    function hold(uint64 jobId, uint32 seq, uint8 draw) external;

    /// @notice Anyone: ends an ask for which too few have signed in time, or whose range is over.
    function fail(uint64 jobId, uint32 seq) external;

    /// @notice Node key of an auditor: says where clients find what it holds.
    function announce(uint32 number, bytes calldata contact) external;

    /// @notice Spots: the owner of an auditor that has looked whether a content of this job is served has its fee, the least of an audit.
    function payLook(uint64 jobId, address owner) external returns (uint96 fee);

    /// @notice Spots: those whose draws are in `served` get the second half of their fee, `fee` for each. What was reserved for
    /// others, and for so many draws of those who look that have not, is free again.
    function payServed(uint64 jobId, uint32 seq, uint16 served, uint256 unlooked) external returns (uint96 fee);

    function kept(uint64 jobId) external view returns (Keep memory);
    function asked(uint64 jobId, uint32 seq) external view returns (Ask memory);

    /// @notice How a job's inputs were asked for; how that stands says `asked` with INPUTS.
    function inputs(uint64 jobId) external view returns (Inputs memory);

    /// @notice Numbers of the auditors whom the HOLDERS draws of an ask name; the same one may be named again. Empty
    /// while the beacon is not known, or when nobody was on the line.
    function named(uint64 jobId, uint32 seq) external view returns (uint32[] memory numbers);

    /// @notice Who never holds or looks at a content: the client, and the owner of the range's provider (0 for inputs).
    function partiesOf(uint64 jobId, uint32 seq) external view returns (address client, address provider);

    /// @notice Whether nobody can need a content any more before its time is over: a job's inputs, when it is over.
    function isGivenUp(uint64 jobId, uint32 seq) external view returns (bool);

    /// @notice What each vote earns when it is signed for so much content, and once more when it is seen to serve: half of its fee; base
    /// units.
    function feeFor(uint64 jobId, uint32 mib) external view returns (uint256);

    /// @notice The most that so much content costs: both asks, the second halves, and who looks; base units.
    function costFor(uint64 jobId, uint32 mib) external view returns (uint256);

    /// @notice Whether the inputs of a kept job are held: before that nobody gets a range of it.
    function areInputsHeld(uint64 jobId) external view returns (bool);

    /// @notice Whether a kept job may give out a range: its inputs are held, and what is free of the deposit pays for holders of that
    /// one and of all that are claimed or submitted, each of the largest size. So nobody who splits a job and overstates sizes
    /// brings it about that others' ranges, or its own, are paid without holders; the job waits for its client instead.
    function mayGiveOut(uint64 jobId) external view returns (bool);

    /// @notice Whether a range may be paid without its client's acknowledgement as far as holders go: it is held, or
    /// nobody can be paid for holding it.
    function mayPay(uint64 jobId, uint32 seq) external view returns (bool);
}
