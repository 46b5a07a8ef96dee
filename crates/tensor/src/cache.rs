//! Keys and values of past positions, in pages that sequences take and give back.

use crate::int1::attention::PAGE;
use crate::int1::block::{KEY, VALUE, encode};
use crate::{Error, Result};

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Heads of keys and values per layer.
    pub heads: usize,
    /// Elements per head; even.
    pub width: usize,
}

impl Shape {
    /// Bytes of one page over all layers.
    #[must_use]
    pub fn page_bytes(self) -> usize {
        self.layers.saturating_mul(self.heads * PAGE * (4 * self.width + 2))
    }
}

/// The pages of all sequences.
#[derive(Debug)]
pub struct Cache {
    shape: Shape,
    keys: Vec<i16>,
    values: Vec<i16>,
    key_fractions: Vec<i8>,
    value_fractions: Vec<i8>,
    free: Vec<u32>,
    total: usize,
}

/// The positions of one sequence.
#[derive(Debug, Default)]
pub struct Table {
    pages: Vec<u32>,
}

impl Table {
    /// Whether there is room for this position.
    #[must_use]
    pub fn holds(&self, position: usize) -> bool {
        position / PAGE < self.pages.len()
    }
}

/// One page of one head.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// For each pair of elements, the two of each position.
    pub keys: &'a [i16],
    /// For each pair of positions, the two of each channel.
    pub values: &'a [i16],
    /// The keys' fractional bits, by position.
    pub key_fractions: &'a [i8; PAGE],
    /// The values' fractional bits, by position.
    pub value_fractions: &'a [i8; PAGE],
}

impl Cache {
    /// `pages` empty pages.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn new(shape: Shape, pages: usize) -> Result<Self> {
        let make = || {
            let numbers = u32::try_from(pages).ok()?;
            let slots = pages.checked_mul(shape.layers)?.checked_mul(shape.heads)?;
            let slots = slots.checked_mul(PAGE)?;
            let total = slots.checked_mul(shape.width)?;
            Some(Self {
                shape,
                keys: zeros(total)?,
                values: zeros(total)?,
                key_fractions: zeros(slots)?,
                value_fractions: zeros(slots)?,
                free: (0..numbers).rev().collect(),
                total: pages,
            })
        };
        make().ok_or_else(|| {
            Error::new(
                "no memory for the context",
                format!("{pages} pages of {} bytes", shape.page_bytes()),
                "Ask for fewer or shorter sequences",
            )
        })
    }

    /// Pages in all.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.total
    }

    /// Pages that no sequence holds.
    #[must_use]
    pub fn free_pages(&self) -> usize {
        self.free.len()
    }

    /// Pages for `positions` positions.
    #[must_use]
    pub fn needed(positions: usize) -> usize {
        positions.div_ceil(PAGE)
    }

    /// Makes room for `positions` positions in all. Returns whether there was enough.
    pub fn grow(&mut self, table: &mut Table, positions: usize) -> bool {
        let more = Self::needed(positions).saturating_sub(table.pages.len());
        if more > self.free.len() {
            return false;
        }
        table.pages.extend(self.free.drain(self.free.len() - more..).rev());
        true
    }

    /// Gives a sequence's pages back.
    pub fn release(&mut self, table: &mut Table) {
        self.free.append(&mut table.pages);
    }

    fn head(&self, page: u32, layer: usize, head: usize) -> usize {
        (page as usize * self.shape.layers + layer) * self.shape.heads + head
    }

    /// Stores key and value (16 fractional bits) of one head at a position that [`grow`](Self::grow)
    /// made room for.
    #[allow(clippy::cast_possible_truncation, reason = "fractions are within -3..=28")]
    pub fn store(
        &mut self,
        table: &Table,
        position: usize,
        layer: usize,
        head: usize,
        key: &[i32],
        value: &[i32],
    ) {
        let width = self.shape.width;
        let at = self.head(table.pages[position / PAGE], layer, head);
        let slot = position % PAGE;
        let mut mantissas = vec![0i16; width];
        self.key_fractions[at * PAGE + slot] = encode(key, 16, KEY, &mut mantissas) as i8;
        let keys = &mut self.keys[at * PAGE * width..(at + 1) * PAGE * width];
        for (column, two) in
            keys.as_chunks_mut::<{ 2 * PAGE }>().0.iter_mut().zip(mantissas.as_chunks::<2>().0)
        {
            column[2 * slot] = two[0];
            column[2 * slot + 1] = two[1];
        }
        self.value_fractions[at * PAGE + slot] = encode(value, 16, VALUE, &mut mantissas) as i8;
        let values = &mut self.values[at * PAGE * width..(at + 1) * PAGE * width];
        let row = &mut values[slot / 2 * 2 * width..][..2 * width];
        for (two, mantissa) in row.as_chunks_mut::<2>().0.iter_mut().zip(&mantissas) {
            two[slot % 2] = *mantissa;
        }
    }

    /// The `index`-th page of a sequence, for one head of a layer.
    #[must_use]
    pub fn page(&self, table: &Table, index: usize, layer: usize, head: usize) -> Page<'_> {
        let at = self.head(table.pages[index], layer, head);
        let span = PAGE * self.shape.width;
        Page {
            keys: &self.keys[at * span..(at + 1) * span],
            values: &self.values[at * span..(at + 1) * span],
            key_fractions: &self.key_fractions.as_chunks::<PAGE>().0[at],
            value_fractions: &self.value_fractions.as_chunks::<PAGE>().0[at],
        }
    }
}

fn zeros<T: Clone + Default>(length: usize) -> Option<Vec<T>> {
    let mut words = Vec::new();
    words.try_reserve_exact(length).ok()?;
    words.resize(length, T::default());
    Some(words)
}
