//! What the keeper of kept ranges needs of a party: what only that one can do, and where it stands.

use std::collections::BTreeSet;

use alloy::primitives::B256;
use tilth_protocol::{JobId, RangeId};

use super::{
    party::Party,
    words::{Effect, Part},
};
use crate::{Account, ChainError, audit::Millis};

/// What only one party can do, and what it wants to know.
pub trait Hand: Send + Sync + 'static {
    /// As the range's provider: how large what it has made is, MiB; as the client: how large the inputs are ([`Effect::Size`]).
    /// `None`: that cannot be found out now.
    fn size(&self, range: RangeId, part: Part) -> impl Future<Output = Option<u32>> + Send;

    /// As a holder: fetches, checks and keeps what a range has made, or the inputs of a job ([`Effect::Fetch`]). Whether all
    /// of it is here for good.
    fn fetch(
        &self,
        range: RangeId,
        part: Part,
        mib: u32,
        left: Millis,
    ) -> impl Future<Output = bool> + Send;

    /// As an auditor that is drawn to look who serves a range: fetches the piece of this draw from each of `holders`,
    /// draws and auditors' numbers ([`Effect::Inspect`]). Bits of the draws that have served it, draw 0 lowest;
    /// `None`: that cannot be found out now. Nobody else is asked.
    fn inspect(
        &self,
        range: RangeId,
        part: Part,
        draw: u8,
        seed: B256,
        holders: Vec<(u8, u32)>,
        left: Millis,
    ) -> impl Future<Output = Option<u16>> + Send {
        let _ = (range, part, draw, seed, holders, left);
        std::future::ready(None)
    }

    /// Learns of [`Effect::Show`], [`Effect::Keep`] and [`Effect::Forget`].
    fn note(&self, effect: &Effect);

    /// Nothing of the client's deposit is left that could be taken back now.
    fn closed(&self) {}

    /// A move failed: a role refills its key for gas here.
    fn failed(&self, error: &ChainError) -> impl Future<Output = ()> + Send;

    /// As an auditor: what its own notes, which outlast it, say that it has fetched and not let go. It is followed from
    /// the start, and no old logs are read again because of it: the block that [`Hand::read_up_to`] is told can be later
    /// than theirs, and must never lie on disk without these notes.
    fn noted(&self) -> BTreeSet<RangeId> {
        BTreeSet::new()
    }

    /// The past has been read, also what a late node did not have at first, and these are all ranges that are followed:
    /// what is kept of others can go.
    fn caught_up(&self, cases: Vec<RangeId>);

    /// All logs below this block need not be read again: of what is followed they said nothing first, or it is noted
    /// ([`Hand::noted`]). They have as many blocks on top as the network says.
    fn read_up_to(&self, block: u64);
}

/// Where and for whom kept ranges are followed.
#[derive(Clone, Debug)]
pub struct Post {
    /// Sends everything: a provider's and an auditor's is its node key.
    pub account: Account,
    /// Who we are.
    pub party: Party,
    /// First block to read. An auditor's: what its notes say besides ([`Hand::noted`]) no log has to.
    pub from_block: u64,
    /// A client's: the job. Others look at all.
    pub job: Option<JobId>,
    /// A client's: its deposit is filled up as long as it stays within this, base units.
    pub most: u128,
}
