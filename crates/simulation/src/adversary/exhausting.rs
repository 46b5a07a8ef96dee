//! A primary that keeps all mates at work that it does not know, and makes leaves up when they are.

use tilth_client::mates::Role;
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_verification::replica::MATE_DUTIES;

use super::{
    AUDITORS, PROVIDERS,
    colluding::{agree, next_number},
    forging::forge,
    mates::Standby,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::{Job, Public, Replica},
        scene::Handed,
    },
};

/// Three honest mates have all that they may have after some forty ranges; the rest is for forging.
const TASKS: u32 = 128;

/// Hands in honest ranges of one task each, and shows their roots as late as it can, until all who are honest have so much
/// to do; then it makes a leaf of every range up.
#[derive(Clone, Copy, Debug)]
struct Exhauster {
    /// Number of the first friend; all later ones are friends, and all before it are honest and wait.
    friends: u32,
    /// Open ranges that each who is honest is the mate of.
    duties: usize,
}

impl Exhauster {
    fn has_used_up(&self, public: &Public) -> bool {
        let open = |number: u32| {
            let is_its = |replica: &&Replica| replica.mate == number && !replica.over;
            public.replicas.values().filter(is_its).count()
        };
        (1..self.friends).all(|number| open(number) >= self.duties)
    }
}

impl ProviderMind for Exhauster {
    fn asks_for(&self, public: &Public) -> u32 {
        if self.has_used_up(public) { u32::MAX } else { 1 }
    }

    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        public: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        let used_up = self.has_used_up(public);
        Some(if used_up { forge(truth, 0, random) } else { HandIn::honest(truth) })
    }

    fn holds_back(&self, range: RangeId, role: Role, public: &Public) -> bool {
        let mate = public.replicas.get(&range).map_or(0, |replica| replica.mate);
        role == Role::Primary && mate != 0 && mate < self.friends
    }
}

/// The friend: there to be its mate.
#[derive(Clone, Copy, Debug)]
struct Accomplice;

impl ProviderMind for Accomplice {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }

    fn replicate(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        handed: &Handed,
        _: &mut Random,
    ) -> Option<HandIn> {
        Some(agree(truth, handed))
    }
}

/// Both, with a quarter of the bonds, and honest people who are there to be mates. All of these have one range to do when it
/// begins to forge, or in half of the worlds all that they may have.
pub fn cast(random: &mut Random) -> Cast {
    let duties = if random.below(2) == 0 { 1 } else { MATE_DUTIES };
    let mut cast = Cast::honest(TASKS, 0, AUDITORS);
    cast.clients[0].replicated = true;
    (0..=PROVIDERS).for_each(|_| cast.mate(Side::Honest, 200, 40, Standby));
    let friends = next_number(&cast);
    cast.provider(Side::Foe, 400, Exhauster { friends, duties: duties.into() });
    cast.mate(Side::Foe, 200, 40, Accomplice);
    // Nobody else works for this job, and who is found out works no more.
    cast.allowed.undone = true;
    cast
}
