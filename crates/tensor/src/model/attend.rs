//! Attention of a batch of rows over their sequences' pages.

use super::layer::Pass;
use crate::blob::Architecture;
use crate::cache::Cache;
use crate::int1::attention::{PAGE, finish, weigh};
use crate::int1::block::{KEY, encode};
use crate::matrix::pairs;

/// Queries, keys and values of all rows, one row after the other.
pub(super) struct Heads<'a> {
    qkv: &'a [i32],
    queries: usize,
    keys: usize,
}

impl<'a> Heads<'a> {
    pub fn new(a: &Architecture, qkv: &'a [i32]) -> Self {
        Self { qkv, queries: a.heads * a.head_width, keys: a.key_heads * a.head_width }
    }

    fn row(&self, row: usize) -> &'a [i32] {
        let length = self.queries + 2 * self.keys;
        &self.qkv[row * length..][..length]
    }

    /// Puts keys and values into the cache.
    pub fn store(&self, pass: &Pass<'_>, cache: &mut Cache) {
        let width = pass.architecture.head_width;
        for (i, row) in pass.rows.iter().enumerate() {
            let (keys, values) = self.row(i)[self.queries..].split_at(self.keys);
            for (head, (key, value)) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
                cache.store(
                    pass.tables[row.sequence],
                    row.position as usize,
                    pass.index,
                    head,
                    key,
                    value,
                );
            }
        }
    }
}

/// Writes the attended values of all rows, 16 fractional bits.
pub(super) fn attend(heads: &Heads<'_>, pass: &Pass<'_>, cache: &Cache, out: &mut Vec<i32>) {
    let a = pass.architecture;
    let group = a.heads / a.key_heads * a.head_width;
    out.resize(pass.rows.len() * heads.queries, 0);
    let mut pieces: Vec<_> = out
        .chunks_mut(group.max(1))
        .enumerate()
        .map(|(i, out)| (i / a.key_heads, i % a.key_heads, out))
        .collect();
    pass.machine.workers.each(&mut pieces, |(row, key_head, out)| {
        let queries = &heads.row(*row)[*key_head * group..][..group];
        for (query, out) in queries.chunks(a.head_width).zip(out.chunks_mut(a.head_width)) {
            one(query, *row, *key_head, pass, cache, out);
        }
    });
}

/// One query over the positions it may see.
fn one(
    query: &[i32],
    row: usize,
    key_head: usize,
    pass: &Pass<'_>,
    cache: &Cache,
    out: &mut [i32],
) {
    let a = pass.architecture;
    let width = a.head_width;
    let mut mantissas = vec![0i16; width];
    let query_fraction = encode(query, 16, KEY, &mut mantissas);
    let mut words = vec![0u32; width / 2];
    pairs(&mantissas, &mut words);

    let end = pass.rows[row].position as usize + 1;
    let window = a.layers[pass.index].window;
    let begin = if window == 0 { 0 } else { end.saturating_sub(window) };
    let first = begin / PAGE;
    let base = first * PAGE;
    let table = pass.tables[pass.rows[row].sequence];
    let page = |index: usize| cache.page(table, first + index, pass.index, key_head);

    let pages = end.div_ceil(PAGE) - first;
    let mut exponents = vec![0i32; pages * PAGE];
    let mut fractions = vec![0i8; pages * PAGE];
    for index in 0..pages {
        let page = page(index);
        let dots = (pass.machine.kernels.scores)(page.keys, &words);
        for (slot, dot) in dots.iter().enumerate() {
            let fraction = query_fraction + i32::from(page.key_fractions[slot]);
            exponents[index * PAGE + slot] = a.score_factor.exponent(*dot, fraction);
        }
        fractions[index * PAGE..][..PAGE].copy_from_slice(page.value_fractions);
    }
    // Weights outside the range seen stay zero.
    let seen = begin - base..end - base;
    let mut weights = vec![0u32; pages * PAGE];
    let weighing = weigh(&exponents[seen.clone()], &fractions[seen.clone()], &mut weights[seen]);
    let mut sums = vec![0i64; width];
    for (index, weights) in weights.as_chunks::<PAGE>().0.iter().enumerate() {
        (pass.machine.kernels.mix)(page(index).values, weights, &mut sums);
    }
    finish(&sums, weighing, out);
}
