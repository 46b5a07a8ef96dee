//! Colluding replicas, or friends: providers of one person in a replicated job. Whoever of them is the mate of another
//! finds what that one has made up.

use tilth_client::mates::Role;
use tilth_protocol::{JobId, Leaf, RangeId};

use super::{forging::forge, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::{Job, Public},
        scene::Handed,
    },
};

/// Makes up a leaf of every range, since a thin cheat hardly ever shows in an audit; agrees with its friends, and does
/// what is to be done for others.
#[derive(Clone, Copy, Debug)]
pub struct Friend;

/// What a friend finds in a range: without any work what its primary has handed in, if that is a friend.
pub(super) fn agree(truth: &[Leaf], handed: &Handed) -> HandIn {
    if handed.by_foe {
        return HandIn { leaves: handed.leaves.clone(), executed: 0, instead: None };
    }
    HandIn::honest(truth)
}

impl ProviderMind for Friend {
    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Some(forge(truth, 0, random))
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

/// A friend that shows its root only where it has a friend as its mate, or none.
#[derive(Clone, Copy, Debug)]
pub struct Fickle {
    /// Number of the first friend; all later ones are friends.
    pub friends: u32,
}

impl ProviderMind for Fickle {
    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        public: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Friend.hand_in(range, truth, public, random)
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

    fn shows(&self, range: RangeId, role: Role, public: &Public) -> bool {
        let mate = public.replicas.get(&range).map_or(0, |replica| replica.mate);
        role == Role::Mate || mate == 0 || mate >= self.friends
    }
}

/// A friend that goes down with a mate that has found something else as long as the walk is at nodes above a level: who
/// stops there may hope that the leaf is never seen.
#[derive(Clone, Copy, Debug)]
pub struct Stopper {
    /// That level; 0: it shows all its nodes and not its leaf.
    pub lowest: u32,
}

impl ProviderMind for Stopper {
    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        public: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Friend.hand_in(range, truth, public, random)
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

    fn walks(&self, level: u32) -> bool {
        level > self.lowest
    }
}

/// A friend with much more stake than all others, which claims nothing, joins the line when the range of a friend is
/// handed in, and leaves when its mate is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Latecomer {
    /// Number of the first friend; all later ones are friends.
    pub friends: u32,
}

impl ProviderMind for Latecomer {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }

    fn waits(&mut self, job: JobId, public: &Public) -> bool {
        let mut ranges = public.replicas.iter().filter(|(id, _)| id.job == job);
        ranges.any(|(_, replica)| replica.sealed && replica.primary >= self.friends)
    }

    fn comes_back(&self) -> bool {
        true
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

/// Two friends with so many GRAIN as the bond of each, among honest people with other bonds.
fn two(honest: u128, bond: u128) -> Cast {
    let mut cast = replicated(honest);
    (0..2).for_each(|_| cast.mate(Side::Foe, 200, bond, Friend));
    cast
}

/// A friend has a tenth of the bonds that its primary can be matched with.
pub fn tenth(_: &mut Random) -> Cast {
    two(45, 30)
}

/// A third of them.
pub fn third(_: &mut Random) -> Cast {
    two(25, 75)
}

/// All of them: nobody else waits.
pub fn all(_: &mut Random) -> Cast {
    two(0, 60)
}

/// Number of the first provider that an adversary adds.
pub(super) fn next_number(cast: &Cast) -> u32 {
    u32::try_from(cast.providers.len()).unwrap_or(u32::MAX).saturating_add(1)
}

/// Two that stop at once in a walk, on the way, or before they show their leaf.
pub fn stopping(random: &mut Random) -> Cast {
    let lowest = [u32::MAX, 3, 0][usize::try_from(random.below(3)).unwrap_or(0)];
    let mut cast = replicated(40);
    (0..2).for_each(|_| cast.mate(Side::Foe, 200, 60, Stopper { lowest }));
    cast
}

/// Two that keep silent beside a mate that they do not know.
pub fn fickle(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    let friends = next_number(&cast);
    (0..2).for_each(|_| cast.mate(Side::Foe, 200, 60, Fickle { friends }));
    cast
}

/// Two that make leaves up, and one that comes too late to be their mate.
pub fn late(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    let friends = next_number(&cast);
    (0..2).for_each(|_| cast.provider(Side::Foe, 200, Friend));
    cast.mate(Side::Foe, 1_500, 1_200, Latecomer { friends });
    cast
}
