//! Which bytes may follow in a whole number within bounds, digit by digit: those with which it can still become one of
//! the numbers that there may be (`docs/reference/int1.md`, section 13). Pure.
//!
//! Whether it can is seen from how many digits there are and how they stand to the first ones of the nearest and of the
//! farthest number of its sign. So a number has few places, however many there may be.

use std::cmp::Ordering;

use tilth_protocol::infer::schema::Bounds;

/// More digits than any bound has; behind so many it only matters that there are.
const MANY: u8 = 20;

/// Where in a whole number with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Digits {
    /// Behind a zero that nothing follows.
    Zero,
    /// Behind a sign or none, and digits that do not begin with zero.
    Begun {
        minus: bool,
        /// How many, at most [`MANY`].
        said: u8,
        /// How they stand to as many first ones of the nearest number; equal if there are more than it has.
        near: Ordering,
        /// The same of the farthest; equal if there is none.
        far: Ordering,
    },
}

/// The numbers of one sign that there may be, without it; zero is none of them.
#[derive(Clone, Copy)]
struct Sizes {
    near: u64,
    /// `None`: without end.
    far: Option<u64>,
}

impl Sizes {
    /// Those of this sign; `None` if there are none.
    fn of(bounds: Bounds, minus: bool) -> Option<Self> {
        let Bounds { least, most } = bounds;
        let (near, far, sign) = if minus { (most, least, -1_i128) } else { (least, most, 1) };
        let size = |bound: i64| sign * i128::from(bound);
        let near = near.map_or(1, size).max(1);
        let far = far.map(size);
        if far.is_some_and(|far| far < near) {
            return None;
        }
        let far = far.map(u64::try_from).transpose().ok()?;
        Some(Self { near: near.try_into().ok()?, far })
    }
}

/// How many digits a size has. None is zero.
fn length(size: u64) -> u8 {
    // At most 20.
    u8::try_from(size.ilog10()).map_or(MANY, |behind| behind + 1)
}

/// The digit at this place, if it has so many.
fn digit(size: u64, place: u8) -> Option<u8> {
    let behind = length(size).checked_sub(place)?.checked_sub(1)?;
    let digit = size / 10_u64.pow(behind.into()) % 10;
    Some(b'0' + u8::try_from(digit).ok()?)
}

impl Digits {
    const fn begun(minus: bool) -> Self {
        Self::Begun { minus, said: 0, near: Ordering::Equal, far: Ordering::Equal }
    }

    /// Of this first byte, if it can be one.
    pub(super) fn begin(bounds: Bounds, byte: u8) -> Option<Self> {
        match byte {
            b'-' => Sizes::of(bounds, true).map(|_| Self::begun(true)),
            b'0' => bounds.contains(0).then_some(Self::Zero),
            byte => Self::begun(false).with(bounds, byte),
        }
    }

    /// With this byte, if it belongs to it.
    pub(super) fn with(self, bounds: Bounds, byte: u8) -> Option<Self> {
        let Self::Begun { minus, said, near, far } = self else { return None };
        let lowest = if said == 0 { b'1' } else { b'0' };
        if !(lowest..=b'9').contains(&byte) {
            return None;
        }
        let sizes = Sizes::of(bounds, minus)?;
        let beside = |size: u64, before: Ordering| {
            digit(size, said).map_or(Ordering::Equal, |other| before.then(byte.cmp(&other)))
        };
        let next = Self::Begun {
            minus,
            said: (said + 1).min(MANY),
            near: beside(sizes.near, near),
            far: sizes.far.map_or(Ordering::Equal, |size| beside(size, far)),
        };
        let leads = match sizes.far {
            // However small it is, digits make it large enough.
            None => true,
            Some(size) => (1..=length(size)).any(|all| next.fits(sizes, all)),
        };
        leads.then_some(next)
    }

    /// Whether nothing need follow.
    pub(super) fn may_end(self, bounds: Bounds) -> bool {
        match self {
            Self::Zero => true,
            Self::Begun { said: 0, .. } => false,
            Self::Begun { minus, said, .. } => {
                Sizes::of(bounds, minus).is_some_and(|sizes| self.fits(sizes, said))
            }
        }
    }

    /// Whether some number that there may be has so many digits in all, and begins with these.
    fn fits(self, sizes: Sizes, all: u8) -> bool {
        let Self::Begun { said, near, far, .. } = self else { return false };
        let reaches = match all.cmp(&length(sizes.near)) {
            Ordering::Less => false,
            // With nines behind it.
            Ordering::Equal => near != Ordering::Less,
            Ordering::Greater => true,
        };
        let keeps = match sizes.far.map(|size| all.cmp(&length(size))) {
            None | Some(Ordering::Less) => true,
            // With zeros behind it.
            Some(Ordering::Equal) => far != Ordering::Greater,
            Some(Ordering::Greater) => false,
        };
        said <= all && reaches && keeps
    }
}

#[cfg(test)]
#[path = "digits_tests.rs"]
mod tests;
