//! Attention of a batch of rows over their sequences' pages: what each row sees is said by its [`Sight`].

use std::ops::Range;

use crate::blob::Architecture;
use crate::cache::{Cache, Table};
use crate::int1::attention::{PAGE, finish, weigh};
use crate::int1::block::{KEY, encode};
use crate::matrix::{Machine, pairs};

/// Where a row stands, and what it sees.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// Which of the tables.
    pub sequence: usize,
    /// Where in its sequence.
    pub position: usize,
    /// Positions of its sequence; not empty.
    pub seen: Range<usize>,
}

/// Queries, keys and values of all rows, and where keys and values are kept.
pub(crate) struct Heads<'a> {
    pub architecture: &'a Architecture,
    /// One row after the other: queries, keys, values.
    pub qkv: &'a [i32],
    /// One for each row.
    pub sights: &'a [Sight],
    pub tables: &'a [&'a Table],
    /// The layer of the cache.
    pub layer: usize,
    pub machine: &'a Machine,
}

impl<'a> Heads<'a> {
    fn queries(&self) -> usize {
        self.architecture.heads * self.architecture.head_width
    }

    fn keys(&self) -> usize {
        self.architecture.key_heads * self.architecture.head_width
    }

    fn row(&self, row: usize) -> &'a [i32] {
        let length = self.queries() + 2 * self.keys();
        &self.qkv[row * length..][..length]
    }

    /// Puts keys and values into the cache.
    pub fn store(&self, cache: &mut Cache) {
        let width = self.architecture.head_width;
        for (i, sight) in self.sights.iter().enumerate() {
            let (keys, values) = self.row(i)[self.queries()..].split_at(self.keys());
            for (head, (key, value)) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
                let table = self.tables[sight.sequence];
                cache.store(table, sight.position, self.layer, head, key, value);
            }
        }
    }

    /// Writes the attended values of all rows, 16 fractional bits.
    pub fn attend(&self, cache: &Cache, out: &mut Vec<i32>) {
        let a = self.architecture;
        let group = a.heads / a.key_heads * a.head_width;
        out.resize(self.sights.len() * self.queries(), 0);
        let mut pieces: Vec<_> = out
            .chunks_mut(group)
            .enumerate()
            .map(|(i, out)| (i / a.key_heads, i % a.key_heads, out))
            .collect();
        self.machine.workers.each(&mut pieces, |(row, key_head, out)| {
            let queries = &self.row(*row)[*key_head * group..][..group];
            for (query, out) in queries.chunks(a.head_width).zip(out.chunks_mut(a.head_width)) {
                self.one(query, &self.sights[*row], *key_head, cache, out);
            }
        });
    }

    /// One query over the positions it sees.
    fn one(&self, query: &[i32], sight: &Sight, key_head: usize, cache: &Cache, out: &mut [i32]) {
        let width = self.architecture.head_width;
        let mut mantissas = vec![0i16; width];
        let query_fraction = encode(query, 16, KEY, &mut mantissas);
        let mut words = vec![0u32; width / 2];
        pairs(&mantissas, &mut words);

        let first = sight.seen.start / PAGE;
        let base = first * PAGE;
        let table = self.tables[sight.sequence];
        let page = |index: usize| cache.page(table, first + index, self.layer, key_head);

        let pages = sight.seen.end.div_ceil(PAGE) - first;
        let mut exponents = vec![0i32; pages * PAGE];
        let mut fractions = vec![0i8; pages * PAGE];
        for index in 0..pages {
            let page = page(index);
            let dots = (self.machine.kernels.scores)(page.keys, &words);
            for (slot, dot) in dots.iter().enumerate() {
                let fraction = query_fraction + i32::from(page.key_fractions[slot]);
                exponents[index * PAGE + slot] =
                    self.architecture.score_factor.exponent(*dot, fraction);
            }
            fractions[index * PAGE..][..PAGE].copy_from_slice(page.value_fractions);
        }
        // Weights outside the range seen stay zero.
        let seen = sight.seen.start - base..sight.seen.end - base;
        let mut weights = vec![0u32; pages * PAGE];
        let weighing =
            weigh(&exponents[seen.clone()], &fractions[seen.clone()], &mut weights[seen]);
        let mut sums = vec![0i64; width];
        for (index, weights) in weights.as_chunks::<PAGE>().0.iter().enumerate() {
            (self.machine.kernels.mix)(page(index).values, weights, &mut sums);
        }
        finish(&sums, weighing, out);
    }
}
