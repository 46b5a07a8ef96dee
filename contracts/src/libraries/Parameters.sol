// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.30;

/// @title The numbers of audits, replicas and holders, and of what else a deployment cannot choose, with their units and reasons.
/// @notice Shares and chances are billionths. Who is audited, by how many, what their votes mean and what faults cost are
/// constants of the Rust crate `verification`, too, and so are COMMIT_TIME and, but for a contact's length, all about holders;
/// both are held to vectors/trust.json. So are the times,
/// tries and draws of mates, and MAX_TAB_LINES is one of `client`, whose tests read those here. The other times and all about who
/// pays are here only. What stake carries in every job, bonds and windows are the Registry's and the
/// JobBook's own, least stake and small value the deployment's. What follows from all of them, and what does not ("Known
/// holes"): docs/reference/trust.md.
library Parameters {
    /// @notice The whole, billionths: a product of two shares and 96 bits of money fits 128 bits.
    uint256 internal constant ONE = 1_000_000_000;

    // ------------------------------------------------------------------ who is audited

    /// @notice Audit rate below which no record brings anybody, billionths. At this rate a stake carries 1/29 of itself. The
    /// client pays for audits at this rate, whoever works for it.
    uint256 internal constant FLOOR_RATE = 50_000_000;
    /// @notice What of an audit counts when it is reckoned what a stake carries, billionths: two thirds. With a quarter of the
    /// auditors' stake bought, a forged range of at most the small value is overturned with 67.4 % (it passes at once with 25 %, and
    /// stays undecided with 7.6 %), and a larger one with more. So forging does not pay on average while no more than a quarter is.
    uint256 internal constant HONEST_FIRST = 666_666_666;
    /// @notice The record that halves what a newcomer's rate is above the floor, in small values: ten jobs of the largest
    /// small size.
    uint256 internal constant HALF_RECORD_SMALL_VALUES = 10;
    /// @notice Leaves drawn per audit, half of them by units. Who has a third of its units wrong is missed once in five
    /// audits by the draws by units alone.
    uint256 internal constant SAMPLES = 8;

    // ------------------------------------------------------------------ how it is judged

    /// @notice Votes by which an answer must lead. With a fifth of the auditors' stake lying, a lead of five for a wrong
    /// answer is 1,024 times less likely than for the right one, in however many accounts either stake lies.
    uint256 internal constant LEAD = 5;
    /// @notice Most votes of a case: ten of fifteen is a lead of five.
    uint256 internal constant COMMITTEE = 15;
    /// @notice Auditors with stake without which there is no audited work: as many as a lead has votes, and two more for the
    /// provider's owner and the client, who may be auditors and are left out. Votes go by stake, so this bounds no crowd; it
    /// keeps the machines of one or two people from being all that a young network's verdicts rest on.
    uint256 internal constant MIN_AUDITORS = LEAD + 2;

    // ------------------------------------------------------------------ what faults cost, billionths of the stake

    /// @notice A result was overturned. The rule of exposure takes the whole stake as the stake of the game.
    uint256 internal constant WRONG_RESULT = ONE;
    /// @notice Drawn leaves were not named or opened in time: must cost what a wrong result costs, or a cheat would
    /// rather be silent.
    uint256 internal constant NOT_OPENED = ONE;
    /// @notice An auditor's commitment was overturned. A wrong vote needs company to do harm; half leaves room for a
    /// broken memory module.
    uint256 internal constant WRONG_AUDIT = ONE / 2;
    /// @notice An auditor committed and did not reveal: what a wrong vote costs. The leaves are open before it must reveal, so
    /// whoever sees that it was wrong would rather be silent if that were cheaper.
    uint256 internal constant NOT_REVEALED = WRONG_AUDIT;
    /// @notice A drawn auditor did not commit: a machine may be down; a hundred absences cost a tenth. Only in kept jobs, for
    /// elsewhere whoever has the inputs may not have served them, and only where votes decide and no more people were absent than
    /// came: it may be that nobody could execute the tasks.
    uint256 internal constant ABSENT = ONE / 1_000;
    /// @notice No fault costs less than this part (1/x) of the least stake: dust is not worth a case.
    uint256 internal constant FLOOR_PART = 100;

    /// @notice A provider with less than this part (1/x) of the small value staked gets no work in audited jobs.
    uint256 internal constant MIN_STAKE_PART = 100;

    // ------------------------------------------------------------------ how long, seconds

    /// @notice After the submission, for anybody to draw: later the stake of who is drawn may be gone, and nobody is asked any
    /// more. The provider wants its pay, the client its results and auditors their fees, so somebody draws within minutes.
    uint256 internal constant DRAW_TIME = 5 days;
    /// @notice The same for a dispute. When it is over its range is audited, and that must be drawn in DRAW_TIME after the submission, too: so
    /// more than a day is left for it, however long the dispute has lasted.
    uint256 internal constant DISPUTE_DRAW_TIME = DRAW_TIME / 2;
    /// @notice For the provider to say which leaves the drawn units belong to: an agent that was down restarts in minutes.
    uint256 internal constant NAME_TIME = 30 minutes;
    /// @notice For the auditors of a stage to re-execute and commit: SAMPLES tasks, each within SLOWNESS times the time of a range.
    /// Audited jobs whose ranges may take longer than this / SAMPLES / SLOWNESS are not opened.
    uint256 internal constant COMMIT_TIME = 1 hours;
    /// @notice Time of an auditor for a task, in times of a range: it must fetch what the task needs, and its machine may be
    /// slower than the provider's.
    uint256 internal constant SLOWNESS = 2;
    /// @notice For the provider to open the leaves.
    uint256 internal constant OPEN_TIME = 30 minutes;
    /// @notice For the auditors of a stage to reveal; and for the providers of a replicated range to show their roots.
    uint256 internal constant REVEAL_TIME = 30 minutes;
    /// @notice Auditors' leaving stake stays slashable so long: whoever had stake at a submission has something to lose until its
    /// case is over. The longest case asks fifteen people one after the other, after the latest draw:
    /// DRAW_TIME + 15 x (COMMIT_TIME + REVEAL_TIME) + NAME_TIME + OPEN_TIME = 6 days less half an hour.
    uint256 internal constant THAWING = 7 days;

    // ------------------------------------------------------------------ who pays

    /// @notice Part of every settled range of an audited job that goes to the purse of the audits, billionths. It covers the
    /// floor rate for ranges of 50 leaves and more: 5 % x 2 auditors x 1.25 x 8 / 50 = 2 %.
    uint256 internal constant AUDIT_SHARE = 20_000_000;
    /// @notice What an auditor earns per unit it re-executes, in the range's price, billionths: a quarter more than the
    /// provider, who chose the work.
    uint256 internal constant FEE_RATE = 1_250_000_000;
    /// @notice Least fee of an audit: this part (1/x) of the small value, for its two transactions.
    uint256 internal constant MIN_FEE_PART = 10_000;
    /// @notice The most that audits may take of what a range earns, billionths: half.
    uint256 internal constant MAX_CHARGE = 500_000_000;
    /// @notice Value of a range that the purse puts aside for each audit, billionths: the share of all ranges over the audits
    /// at the floor rate, 2 % / 5 %. No case costs the purse more than this and what the case itself brings in.
    uint256 internal constant PURSE_SHARE = AUDIT_SHARE * ONE / FLOOR_RATE;
    /// @notice One task of an audited job is worth at least so many least fees at its caps: those of a whole committee. A submitted
    /// range takes as much of its provider's exposure until it is paid or rejected, whatever it is worth, and so much
    /// goes to the purse, and as much again is burned, if nobody of a whole committee can look into it. So a stake carries no
    /// more open cases than it pays for.
    uint256 internal constant MIN_TASK_FEES = COMMITTEE;

    // ------------------------------------------------------------------ replicas

    /// @notice From the submission of a replicated range on, seconds, mates are drawn so long; and so long an entry that left the line
    /// can still be drawn, and keeps its bond. Anybody draws within a minute of the beacon; an hour gives three mates, one after
    /// the other, their time, and nobody must stay longer than that for others' sake.
    uint256 internal constant DRAW_SPAN = 1 hours;
    /// @notice For a mate to run a range and commit, seconds: as an auditor's leaf may take SLOWNESS times a range's longest time
    /// (COMMIT_TIME / SAMPLES / SLOWNESS = 225 s), so may this, and as long again for what ran in its slot when it was drawn.
    uint256 internal constant REPLICA_TIME = 15 minutes;
    /// @notice Mates that may be late with one range: who is drawn knew that it waited, so three in a row have a reason that the next
    /// one would share.
    uint256 internal constant REPLICA_TRIES = 3;
    /// @notice Most draws for one range, unfit entries included: bounds the gas of a draw. Entries with bonds too small for a
    /// job's ranges have a small part of its line.
    uint256 internal constant MATE_DRAWS = 8;
    /// @notice Ranges that a mate has open in a job at most: in DRAW_SPAN it has the time of an auditor's leaf for each (COMMIT_TIME /
    /// SAMPLES = 450 s). Where few wait, ranges that are submitted in one second are all drawn from these few, and who has more to do
    /// than anybody can would be fined for it.
    uint256 internal constant MATE_DUTIES = DRAW_SPAN * SAMPLES / COMMIT_TIME;
    /// @notice What a mate that is late loses, billionths of the range's value: what a claimed range costs that is not handed in
    /// (JobBook.BOND_BPS).
    uint256 internal constant MATE_LATE = ONE / 10;
    /// @notice Committed and not shown: must cost what a wrong result costs, or who sees the other's root would rather be silent.
    uint256 internal constant ROOT_NOT_SHOWN = ONE;
    /// @notice For the next move of a walk, seconds: as for naming. Who posts its nodes first begins this time anew, for the other one must
    /// bring them along. A walk has at most six steps and the leaf: six hours and a half, if both always wait for the last moment.
    uint256 internal constant WALK_TIME = 30 minutes;
    /// @notice Rate of a case that is a dispute: it is above ONE, so it is surely audited, and told apart by it.
    uint256 internal constant DISPUTED = 2 * ONE;

    // ------------------------------------------------------------------ holders

    /// @notice For the first holders to fetch a range's content and to sign, and as long again for all, seconds: some GiB at the speed of a
    /// home's line.
    uint256 internal constant HOLD_TIME = 1 hours;
    /// @notice Draws that are asked first. Four of them must sign: with a fifth of the auditors' stake lying that many would in 3 %.
    uint256 internal constant FIRST_HOLDERS = 7;
    /// @notice Draws that are asked when the first do not do: eight must sign.
    uint256 internal constant HOLDERS = 15;
    /// @notice Asks for one range: too many may be away once.
    uint256 internal constant HOLD_ASKS = 2;
    /// @notice So long after the window of its range, and again after a first ask has failed, a provider alone asks for holders,
    /// seconds: only it knows the size. The client states the largest one; where holders have no room for that, a client that is
    /// always first takes work for nothing. Where the audit ends later than this after the window, the client may be first, and the
    /// second ask is the provider's.
    uint256 internal constant ASK_FIRST = 1 hours;
    /// @notice What a provider loses whose range nobody could hold, billionths of the range's value: what a claimed range costs that is
    /// not handed in (JobBook.BOND_BPS); at least INPUTS_LOST least fees, for those who are drawn come twice for a range of dust, too.
    /// Twice what the range is charged for audits comes before it, half for the purse.
    uint256 internal constant NOT_HELD = ONE / 10;
    /// @notice Of a holder's fee one of so many parts is paid when it signs, and the other one when it is seen to serve in the end.
    uint256 internal constant HOLD_PARTS = 2;
    /// @notice Most votes of an ask that is held: a majority of all. For so many the second part is reserved.
    uint256 internal constant MOST_HELD = HOLDERS / 2 + 1;
    /// @notice Draws of auditors that look whether holders serve: as many as are asked first to hold.
    uint256 internal constant SPOTTERS = FIRST_HOLDERS;
    /// @notice What a client loses whose inputs nobody could hold in two asks, or that gives up in the second one, least fees: as much as who comes for it would have earned, by then. An honest one
    /// pays it once in 100,000 jobs with a fifth of the stake silent.
    uint256 internal constant INPUTS_LOST = MOST_HELD;
    /// @notice For them to fetch a piece of 16 KiB from every holder and to say what they have seen, seconds.
    uint256 internal constant SPOT_TIME = 2 hours;
    /// @notice For anybody to call for them when the time of holders is over, seconds: holders do, who want the second part. Later nobody
    /// need have anything any more.
    uint256 internal constant SPOT_DUE = 1 days;
    /// @notice Largest content of a range that a client may state, MiB: 4 GiB, a part of the disk that auditors set aside in most places, and
    /// what a home's line fetches in HOLD_TIME (9 Mbit/s). Who states more than holders have room for could not be served by anybody,
    /// and its provider would pay for that.
    uint256 internal constant MOST_MIB = 4 << 10;
    /// @notice Largest inputs of a job that may be asked for, MiB: 64 GiB, what a line of 80 Mbit/s fetches in both HOLD_TIMEs. Models and
    /// data sets are larger than what a range makes of them; what nobody has room for fails, and costs nobody but its client.
    uint256 internal constant MOST_INPUTS_MIB = 64 << 10;
    /// @notice Longest time for which a range is kept, seconds: as long as a job lasts.
    uint256 internal constant MAX_KEEP = 366 days;
    /// @notice What stands for a job's inputs where a range is named otherwise. No job has so many ranges.
    uint32 internal constant INPUTS = type(uint32).max;
    /// @notice So long after a job's deadline its inputs are kept, seconds: until the longest case about a range that was claimed then
    /// is over.
    uint256 internal constant INPUTS_AFTER = THAWING;
    /// @notice Longest contact of a holder, bytes.
    uint256 internal constant MAX_HOLDER_CONTACT = 256;

    // ------------------------------------------------------------------ tabs

    /// @notice Most lines of a batch in which tabs are settled. At some 60,000 gas for the first line of a tab a full
    /// batch takes a fifth of a block of 30 million gas.
    uint256 internal constant MAX_TAB_LINES = 100;
}
