//! What goes wrong in a round, decided by its seed alone. Pure: the same seed gives the same schedule
//! on every machine, whatever that machine is allowed to do.

use std::fmt;

/// Providers in a round.
pub const PROVIDERS: u8 = 3;
/// How long faults begin, in milliseconds after the first job was submitted.
const WINDOW_MS: u64 = 11_000;
/// Faults of one round: at least, at most.
const FAULTS: (u64, u64) = (8, 13);

/// A process that faults happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Node,
    Client,
    Provider(u8),
}

/// How a node's answers are wrong, as seen by one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It is so many blocks late with the latest block.
    StaleHead(u64),
    /// "latest" means the state so many blocks ago.
    OldState(u64),
    /// So many answers in a hundred never come; the connection is closed.
    Drops(u8),
    /// Every question is put to the node twice, and the second answer counts.
    Twice,
    /// Answers wait for up to so many milliseconds, so that later ones overtake earlier ones.
    Shuffles(u64),
    /// So many answers in a hundred are errors, of JSON-RPC or of HTTP.
    Errors(u8),
    /// It says it is another chain.
    WrongChain,
    /// So many answers in a hundred end in the middle.
    Cuts(u8),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The link of a role is down.
    Cut(Role),
    /// The link of a role carries so many kilobits a second in each direction.
    Slow(Role, u32),
    /// The link of a role loses so many packets in a hundred, in each direction.
    Lossy(Role, u8),
    /// Killed without warning, and started again at the end.
    Kill(Role),
    /// The disk under a role's folder has not a byte left.
    FullDisk(Role),
    /// The clock of a role is wrong by so many seconds.
    Clock(Role, i64),
    /// A second agent with the same keys, in another folder on another machine.
    Twin(u8),
    /// The node's answers to a role are wrong.
    Lies(Role, Lie),
}

/// One fault, in milliseconds from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: u64,
    pub lasts: u64,
    pub what: What,
}

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub at: u64,
    /// Different for every job of a round, so that a job on chain can be told by it.
    pub tasks: u32,
}

/// A round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it was made from, and what a repetition is asked for by; none if it was written by hand.
    pub seed: Option<u64>,
    pub orders: Vec<Order>,
    /// By beginning.
    pub faults: Vec<Fault>,
}

/// Numbers from a seed: SplitMix64, by its published constants.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }

    pub fn percent(&mut self, of: u8) -> bool {
        self.roll() % 100 < u64::from(of)
    }

    fn small(&mut self, least: u8, most: u8) -> u8 {
        u8::try_from(self.between(least.into(), most.into())).unwrap()
    }
}

impl Plan {
    /// The round of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut tasks = 0;
        let orders = [0, 2_500, 5_500, 8_500].map(|begin| {
            tasks += u32::from(dice.small(6, 10));
            let at = if begin == 0 { 0 } else { begin + dice.between(0, 2_000) };
            Order { at, tasks }
        });
        let wanted = usize::try_from(dice.between(FAULTS.0, FAULTS.1)).unwrap();
        let mut faults: Vec<Fault> = Vec::new();
        while faults.len() < wanted {
            let fault = fault(&mut dice);
            if !faults.iter().any(|other| fault.clashes(other)) {
                faults.push(fault);
            }
        }
        faults.sort_by_key(|fault| fault.at);
        Self { seed: Some(seed), orders: orders.to_vec(), faults }
    }

    /// A round written by hand: the disk under the node's folder, its chain's, is full while jobs are opened,
    /// worked on and handed in; the second time the node is killed meanwhile and comes back to a full disk.
    pub fn full_node() -> Self {
        let order = |at, tasks| Order { at, tasks };
        let fault = |at, lasts, what| Fault { at, lasts, what };
        let faults = vec![
            fault(1_500, 4_000, What::FullDisk(Role::Node)),
            fault(8_000, 5_000, What::FullDisk(Role::Node)),
            fault(9_000, 1_000, What::Kill(Role::Node)),
        ];
        let orders = vec![order(0, 8), order(2_500, 15), order(6_000, 24), order(9_500, 32)];
        Self { seed: None, orders, faults }
    }

    /// Which round it is, and how it is repeated.
    pub fn name(&self) -> String {
        match self.seed {
            Some(seed) => format!("the round of seed {seed} (cargo xtask faults --seeds {seed})"),
            None => "the round with a full disk of the node".to_owned(),
        }
    }

    /// When the last fault is over, in milliseconds.
    pub fn ends(&self) -> u64 {
        self.faults.iter().map(Fault::end).max().unwrap_or(0)
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let at = dice.between(300, WINDOW_MS);
    let role = match dice.between(0, 9) {
        0 | 1 => Role::Node,
        2 | 3 => Role::Client,
        _ => Role::Provider(dice.small(1, PROVIDERS)),
    };
    let (least, most, what) = match dice.between(0, 15) {
        0 | 1 => (500, 4_000, What::Cut(role)),
        2 => (1_500, 5_000, What::Slow(role, 64 << dice.between(0, 3))),
        3 => (1_500, 5_000, What::Lossy(role, dice.small(5, 40))),
        4..=7 => (200, 3_000, What::Kill(role)),
        8 => (1_500, 4_000, What::FullDisk(role)),
        9 | 10 => (1_500, 5_000, What::Clock(role, jump(role, dice))),
        11 => (3_000, 6_000, What::Twin(dice.small(1, PROVIDERS))),
        // Nobody stands between the node and itself.
        _ if role == Role::Node => (200, 3_000, What::Kill(role)),
        _ => (1_000, 4_000, What::Lies(role, lie(dice))),
    };
    Fault { at, lasts: dice.between(least, most), what }
}

/// What a block says of the time cannot be unsaid: a chain whose producer was ahead stands still until
/// the others have come up to it. So the node's clock goes ahead by seconds only; back by any time.
fn jump(role: Role, dice: &mut Dice) -> i64 {
    let ahead = dice.percent(50);
    let most = if ahead && role == Role::Node { 8 } else { 48 * 60 * 60 };
    let seconds = i64::try_from(dice.between(2, most)).unwrap();
    if ahead { seconds } else { -seconds }
}

fn lie(dice: &mut Dice) -> Lie {
    match dice.between(0, 7) {
        0 => Lie::StaleHead(dice.between(1, 20)),
        1 => Lie::OldState(dice.between(1, 20)),
        2 => Lie::Drops(dice.small(10, 60)),
        3 => Lie::Twice,
        4 => Lie::Shuffles(dice.between(50, 600)),
        5 => Lie::Errors(dice.small(10, 60)),
        6 => Lie::WrongChain,
        _ => Lie::Cuts(dice.small(10, 60)),
    }
}

impl Fault {
    pub fn end(&self) -> u64 {
        self.at + self.lasts
    }

    /// Whether both turn the same knob at the same time.
    fn clashes(&self, other: &Self) -> bool {
        self.what.knob() == other.what.knob() && self.at <= other.end() && other.at <= self.end()
    }
}

impl What {
    /// What is turned, and whose.
    fn knob(self) -> (&'static str, Role) {
        match self {
            Self::Cut(role) => ("cut", role),
            Self::Slow(role, _) => ("slow", role),
            Self::Lossy(role, _) => ("lossy", role),
            Self::Kill(role) => ("kill", role),
            Self::FullDisk(role) => ("disk", role),
            Self::Clock(role, _) => ("clock", role),
            Self::Twin(provider) => ("twin", Role::Provider(provider)),
            Self::Lies(role, _) => ("lies", role),
        }
    }

    /// Its name in counts.
    pub fn kind(self) -> &'static str {
        let Self::Lies(_, lie) = self else { return self.knob().0 };
        match lie {
            Lie::StaleHead(_) => "stale head",
            Lie::OldState(_) => "old state",
            Lie::Drops(_) => "dropped answers",
            Lie::Twice => "doubled questions",
            Lie::Shuffles(_) => "reordered answers",
            Lie::Errors(_) => "errors",
            Lie::WrongChain => "wrong chain",
            Lie::Cuts(_) => "cut answers",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Client => f.write_str("client"),
            Self::Provider(number) => write!(f, "provider-{number}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, role) = self.what.knob();
        let (kind, ms) = (self.what.kind(), self.lasts);
        write!(f, "{role}: {kind} for {ms} ms")?;
        match self.what {
            What::Cut(_) | What::Kill(_) | What::FullDisk(_) | What::Twin(_) => Ok(()),
            What::Slow(_, kilobits) => write!(f, " ({kilobits} kbit/s)"),
            What::Lossy(_, percent) => write!(f, " ({percent} %)"),
            What::Clock(_, seconds) => write!(f, " ({seconds:+} s)"),
            What::Lies(_, lie) => write!(f, " ({lie:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_seed_is_a_schedule(seed in any::<u64>()) {
            let plan = Plan::of(seed);
            prop_assert_eq!(&plan, &Plan::of(seed));
            let count = plan.faults.len() as u64;
            prop_assert!((FAULTS.0..=FAULTS.1).contains(&count));
            prop_assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            prop_assert!(plan.ends() <= WINDOW_MS + 6_000);
            for (index, one) in plan.faults.iter().enumerate() {
                let clash = plan.faults[..index].iter().any(|other| one.clashes(other));
                prop_assert!(!clash, "{one} happens twice at a time");
                prop_assert!(!matches!(one.what, What::Lies(Role::Node, _)), "{one}");
            }
            let tasks: BTreeSet<_> = plan.orders.iter().map(|order| order.tasks).collect();
            prop_assert_eq!(tasks.len(), plan.orders.len(), "jobs are told by their size");
        }

        #[test]
        fn seeds_differ(seed in any::<u64>()) {
            prop_assert_ne!(Plan::of(seed).faults, Plan::of(seed.wrapping_add(1)).faults);
        }
    }

    /// The rounds that run everywhere have every kind of fault, and kill every role.
    #[test]
    fn the_fixed_rounds_leave_nothing_out() {
        let faults: Vec<_> = crate::FIXED.iter().flat_map(|seed| Plan::of(*seed).faults).collect();
        let all: BTreeSet<_> = (0..500).flat_map(|seed| Plan::of(seed).faults).map(kind).collect();
        let fixed: BTreeSet<_> = faults.iter().copied().map(kind).collect();
        assert_eq!(fixed, all);
        for role in [Role::Node, Role::Client, Role::Provider(1)] {
            assert!(faults.iter().any(|fault| fault.what == What::Kill(role)), "{role}");
        }
    }

    fn kind(fault: Fault) -> &'static str {
        fault.what.kind()
    }
}
