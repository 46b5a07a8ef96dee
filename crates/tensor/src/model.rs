//! Decoders of the Llama kind: the forward pass over a batch of rows from any sequences.
//!
//! Every row is computed from its own token, position and sequence alone; that rows share a pass changes
//! when they are computed, never what. So any batch gives each sequence the bits it would have had alone.

mod layer;

use crate::blob::{Architecture, Blob};
use crate::cache::{Cache, Shape, Table};
use crate::int1::arithmetic::scale;
use crate::int1::attention::Factor;
use crate::int1::norm::{Gains, normalise};
use crate::int1::rotation::angles;
use crate::matrix::{Block, Machine, Matrix};
use crate::{Error, Result};

/// A model, ready to run.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    embedding: Matrix,
    layers: Vec<layer::Layer>,
    norm: Gains,
    head: Matrix,
}

/// One token of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which of the tables.
    pub sequence: usize,
    /// Where in its sequence.
    pub position: u32,
    /// The token.
    pub token: u32,
    /// Whether the logits that follow it are wanted.
    pub logits: bool,
}

impl Model {
    /// Reads a model from its blob. Weights stay where they are.
    ///
    /// # Errors
    /// When a part is missing or has another shape than the architecture says.
    pub fn open(blob: &Blob) -> Result<Self> {
        let architecture = blob.header().architecture.clone();
        if architecture.pooling.is_some() {
            return Err(Error::new(
                "the model does not write text",
                "it is an encoder: it makes embeddings",
                "Ask it for embeddings, or take another model",
            ));
        }
        let (width, vocabulary) = (architecture.width, architecture.vocabulary);
        let embedding = blob.matrix("embedding", vocabulary, width)?;
        let head = if blob.has("head") {
            blob.matrix("head", vocabulary, width)?
        } else {
            embedding.clone()
        };
        let layers = (0..architecture.layers.len())
            .map(|index| layer::Layer::open(blob, &architecture, index))
            .collect::<Result<_>>()?;
        let norm = blob.gains("norm", width, architecture.epsilon)?;
        Ok(Self { architecture, embedding, layers, norm, head })
    }

    /// The architecture.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The shape of the cache this model needs.
    #[must_use]
    pub fn cache_shape(&self) -> Shape {
        Shape {
            layers: self.layers.len(),
            heads: self.architecture.key_heads,
            width: self.architecture.head_width,
        }
    }

    /// Runs the rows, storing their keys and values, and returns for each row that wants them the logits
    /// (16 fractional bits).
    ///
    /// Rows of one sequence must be in ascending order without gaps, their tables grown beforehand.
    ///
    /// # Errors
    /// When a token or position does not exist. Nothing has been computed then.
    pub fn forward(
        &self,
        rows: &[Row],
        tables: &[&Table],
        cache: &mut Cache,
        machine: &Machine,
    ) -> Result<Vec<Vec<i32>>> {
        self.check(rows, tables)?;
        if rows.is_empty() {
            return Ok(vec![]);
        }
        Ok(machine.workers.within(|| self.logits(rows, tables, cache, machine)))
    }

    fn logits(
        &self,
        rows: &[Row],
        tables: &[&Table],
        cache: &mut Cache,
        machine: &Machine,
    ) -> Vec<Vec<i32>> {
        let mut x = self.embed(rows, machine);
        let turns = self.angles(rows);
        let mut buffers = layer::Buffers::default();
        for (index, layer) in self.layers.iter().enumerate() {
            let pass = layer::Pass {
                architecture: &self.architecture,
                rows,
                tables,
                turns: &turns,
                machine,
                index,
            };
            layer.run(&pass, &mut x, cache, &mut buffers);
        }
        let wanted: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].logits).collect();
        if wanted.is_empty() {
            return vec![];
        }
        let width = self.architecture.width;
        let block = Block::new(wanted.len(), width, &machine.workers, |i, into| {
            let mut normal = vec![0; width];
            normalise(&x[wanted[i] * width..][..width], &self.norm, &mut normal);
            into.set(&normal, self.norm.fraction);
        });
        let mut logits = vec![];
        self.head.product(&block, 16, machine, &mut buffers.space, &mut logits);
        logits.chunks(self.architecture.vocabulary).map(<[i32]>::to_vec).collect()
    }

    fn check(&self, rows: &[Row], tables: &[&Table]) -> Result<()> {
        for row in rows {
            if row.token as usize >= self.architecture.vocabulary
                || row.position as usize >= self.architecture.context
                || row.sequence >= tables.len()
                || !tables[row.sequence].holds(row.position as usize)
            {
                return Err(Error::new(
                    "a token cannot be computed",
                    format!("token {} at position {}", row.token, row.position),
                    "Keep to the model's vocabulary and context",
                ));
            }
        }
        Ok(())
    }

    fn embed(&self, rows: &[Row], machine: &Machine) -> Vec<i32> {
        let fraction = self.architecture.residual_fraction;
        let mut x = vec![0; rows.len() * self.architecture.width];
        let mut slots: Vec<_> = x.chunks_mut(self.architecture.width).zip(rows).collect();
        machine.workers.each(&mut slots, |(x, row)| {
            self.embedding.row(row.token as usize, fraction, x);
            if let Some(factor) = self.architecture.embedding_factor {
                for x in x.iter_mut() {
                    *x = multiply(*x, factor);
                }
            }
        });
        x
    }

    /// Per set of frequencies and row: cosines and sines.
    fn angles(&self, rows: &[Row]) -> Vec<Vec<Vec<(i32, i32)>>> {
        let sets = self.architecture.turns.iter();
        sets.map(|turns| rows.iter().map(|row| angles(turns, row.position)).collect()).collect()
    }
}

/// `x * factor`, saturated.
fn multiply(x: i32, factor: Factor) -> i32 {
    scale(i64::from(x) * i64::from(factor.mantissa), factor.fraction)
}

/// Brings a vector from `from` to `to` fractional bits.
fn refraction(x: &mut [i32], from: i32, to: i32) {
    if from != to {
        for x in x {
            *x = scale(i64::from(*x), from - to);
        }
    }
}
