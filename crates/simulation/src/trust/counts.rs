//! What oracles count.

use super::sample::Sample;

/// What a stranger may change something of, in the order of [`Counts::strangers`].
pub const CONTRACTS: [&str; 7] =
    ["JobBook", "Audits", "SoloRandomness", "Replicas", "Waiting", "Holders", "Spots"];

/// Numbers of a world, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ranges handed in with something wrong.
    pub false_ranges: u64,
    /// Of those, paid.
    pub false_paid: u64,
    /// What clients paid for wrong leaves, base units.
    pub paid_for_nothing: u128,
    /// Half of what was cut for them, base units: what clients got back.
    pub compensation: u128,
    /// What honest people's stakes lost, base units.
    pub honest_cut: u128,
    /// Honest ranges that were not paid.
    pub honest_unpaid: u64,
    /// Honest ranges.
    pub honest_ranges: u64,
    /// Ranges that were handed in by the machine of the real program.
    pub by_machine: u64,
    /// How often such machines died with something at stake, and ranges that were handed in by one that had died before.
    pub restarts: [u64; 2],
    /// Acknowledgements of honest clients, and how many of them the machine of the real program has asked for.
    pub acknowledged: [u64; 2],
    /// Cases that came to a verdict.
    pub verdicts: u64,
    /// Jobs that were cancelled, ranges of them that were in work then, ranges that were handed in and not judged, and
    /// how many of all these were paid.
    pub cancelled: [u64; 4],
    /// Audited ranges that were paid because auditors have upheld them, and because the beacon has spared them.
    pub paid: [u64; 2],
    /// Tries of foes to have something paid that were refused: of clients, and of providers.
    pub refused_pay: [u64; 2],
    /// Transactions that a block left out, once for each block.
    pub left_waiting: u64,
    /// Seconds that blocks were ahead of the true time, all together.
    pub ahead: u64,
    /// Transactions of strangers that have changed something, by [`CONTRACTS`].
    pub strangers: [u64; CONTRACTS.len()],
    /// Blocks with transactions that were taken back.
    pub undone_blocks: u64,
    /// Replicas that came to each `ReplicaOutcome`, by its number.
    pub replicas: [u64; 5],
    /// False ranges with a mate that found the same, against the chance that the first mate drawn was a friend that might
    /// have more to do.
    pub matches: Sample,
    /// Asks for holders of kept ranges that came to each `HoldState`, by its number; the first of all: ranges that were paid
    /// without, because no deposit paid for holders.
    pub holds: [u64; 7],
    /// The same of asks for holders of inputs, without which nobody works.
    pub inputs: [u64; 7],
    /// Asks that were held, against what the stake of those says who sign when they are drawn: all that are not absent where the
    /// range is served, and liars alone where it is withheld.
    pub held: Sample,
    /// Contents whose holders were looked at by too few, and by enough.
    pub spots: [u64; 2],
    /// Of those: with holders that serve who were seen to, against what the stake of those says who see them.
    pub served: Sample,
    /// The same for holders that do not serve.
    pub unserved: Sample,
    /// Votes in audits that went to whom the beacon draws.
    pub seats: u64,
    /// Absences in audits that cost something.
    pub absences: u64,
    /// Disputes that somebody was drawn for, and that nobody had drawn in time.
    pub disputes: [u64; 2],
    /// Votes in disputes whose mate is an auditor, too: none of them was its own.
    pub left_out: u64,
    /// False ranges found so and upheld all the same, against the chance that all who were drawn first were bought.
    pub bought: Sample,
    /// Ranges of which no wrong leaf was drawn, voted down, against [`FRAMED`](super::oracle::FRAMED).
    pub framed: Sample,
    /// The same that nobody decided, against [`NO_LEAD`](super::oracle::NO_LEAD).
    pub no_lead: Sample,
    /// Ranges that were audited, against what the rates say.
    pub audits: Sample,
    /// Audits of false ranges that hit a wrong leaf, against 1 - (1-f)^4 (1-v)^4.
    pub hits: Sample,
}

impl Counts {
    /// Adds those of another world.
    pub fn merge(&mut self, other: &Self) {
        self.false_ranges += other.false_ranges;
        self.false_paid += other.false_paid;
        self.paid_for_nothing += other.paid_for_nothing;
        self.compensation += other.compensation;
        self.honest_cut += other.honest_cut;
        self.honest_unpaid += other.honest_unpaid;
        self.honest_ranges += other.honest_ranges;
        self.by_machine += other.by_machine;
        self.restarts.iter_mut().zip(other.restarts).for_each(|(sum, more)| *sum += more);
        self.acknowledged.iter_mut().zip(other.acknowledged).for_each(|(sum, more)| *sum += more);
        self.verdicts += other.verdicts;
        self.cancelled.iter_mut().zip(other.cancelled).for_each(|(sum, more)| *sum += more);
        self.paid.iter_mut().zip(other.paid).for_each(|(sum, more)| *sum += more);
        self.refused_pay.iter_mut().zip(other.refused_pay).for_each(|(sum, more)| *sum += more);
        self.left_waiting += other.left_waiting;
        self.ahead += other.ahead;
        self.strangers.iter_mut().zip(other.strangers).for_each(|(sum, more)| *sum += more);
        self.undone_blocks += other.undone_blocks;
        self.replicas.iter_mut().zip(other.replicas).for_each(|(sum, more)| *sum += more);
        self.matches.merge(&other.matches);
        self.holds.iter_mut().zip(other.holds).for_each(|(sum, more)| *sum += more);
        self.inputs.iter_mut().zip(other.inputs).for_each(|(sum, more)| *sum += more);
        self.held.merge(&other.held);
        self.spots.iter_mut().zip(other.spots).for_each(|(sum, more)| *sum += more);
        self.served.merge(&other.served);
        self.unserved.merge(&other.unserved);
        self.seats += other.seats;
        self.absences += other.absences;
        self.disputes.iter_mut().zip(other.disputes).for_each(|(sum, more)| *sum += more);
        self.left_out += other.left_out;
        self.bought.merge(&other.bought);
        self.framed.merge(&other.framed);
        self.no_lead.merge(&other.no_lead);
        self.audits.merge(&other.audits);
        self.hits.merge(&other.hits);
    }
}
