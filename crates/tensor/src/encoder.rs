//! Encoders of the BERT kind: from the tokens of a text to one vector that stands for it (int1.md, sections 10
//! and 12).
//!
//! An embedding depends on the blob and its own tokens alone, not on what else is computed with it.

mod layer;

use crate::attend::Sight;
use crate::blob::{Architecture, Blob, Pooling};
use crate::cache::{Cache, Shape, Table};
use crate::int1::arithmetic::add;
use crate::int1::direction::direction;
use crate::int1::layer_norm::{LayerNorm, layer_normalise};
use crate::matrix::{Machine, Matrix};
use crate::{Error, Result};

pub use crate::int1::direction::FRACTION;

/// Rows that pass together, unless one text alone has more: what they need stays in the cache of the processor,
/// and memory does not grow with the number of texts.
const TOGETHER: usize = 512;

/// An encoder, ready to run.
#[derive(Debug)]
pub struct Encoder {
    architecture: Architecture,
    pooling: Pooling,
    embedding: Matrix,
    positions: Matrix,
    norm: LayerNorm,
    layers: Vec<layer::Layer>,
}

impl Encoder {
    /// Reads an encoder from its blob. Weights stay where they are.
    ///
    /// # Errors
    /// When a part is missing or has another shape than the architecture says, or the model is none.
    pub fn open(blob: &Blob) -> Result<Self> {
        let architecture = blob.header().architecture.clone();
        let Some(pooling) = architecture.pooling else {
            return Err(Error::new(
                "the model makes no embeddings",
                "it is a decoder: it writes text",
                "Ask it for text, or take another model",
            ));
        };
        let a = &architecture;
        let layers = (0..a.layers.len())
            .map(|index| layer::Layer::open(blob, a, index))
            .collect::<Result<_>>()?;
        Ok(Self {
            embedding: blob.matrix("embedding", a.vocabulary, a.width)?,
            positions: blob.matrix("positions", a.context, a.width)?,
            norm: blob.layer_norm("norm", a.width, a.epsilon, a.residual_fraction)?,
            layers,
            pooling,
            architecture,
        })
    }

    /// Elements of an embedding.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.architecture.width
    }

    /// The most tokens of a text, with those that the tokenizer puts around it.
    #[must_use]
    pub fn context(&self) -> usize {
        self.architecture.context
    }

    /// The embedding of each text, given as the tokens of
    /// [`Tokenizer::encode_input`](crate::tokenizer::Tokenizer::encode_input): vectors of length one with
    /// [`FRACTION`] (30) fractional bits.
    ///
    /// # Errors
    /// When a text is empty or longer than the context, or has a token that does not exist. Nothing has been
    /// computed then. Also when there is no memory for a text.
    pub fn embed(&self, texts: &[&[u32]], machine: &Machine) -> Result<Vec<Vec<i32>>> {
        texts.iter().try_for_each(|text| self.check(text))?;
        let mut embeddings = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut rows = 0;
            let fits = rest.iter().take_while(|text| {
                rows += text.len();
                rows <= TOGETHER
            });
            let (together, others) = rest.split_at(fits.count().max(1));
            machine.workers.within(|| self.pass(together, machine, &mut embeddings))?;
            rest = others;
        }
        Ok(embeddings)
    }

    fn check(&self, text: &[u32]) -> Result<()> {
        let refuse =
            |detail, advice| Err(Error::new("the text cannot be embedded", detail, advice));
        if text.is_empty() {
            return refuse("it has no tokens".to_owned(), "Leave empty texts out");
        }
        if text.len() > self.context() {
            return refuse(
                format!("{} tokens, at most {}", text.len(), self.context()),
                "Cut the text into parts",
            );
        }
        match text.iter().find(|token| **token as usize >= self.architecture.vocabulary) {
            None => Ok(()),
            Some(token) => refuse(
                format!("token {token} of {}", self.architecture.vocabulary),
                "Use the model's own tokenizer",
            ),
        }
    }

    /// Appends the embeddings of a few texts.
    fn pass(&self, texts: &[&[u32]], machine: &Machine, into: &mut Vec<Vec<i32>>) -> Result<()> {
        let a = &self.architecture;
        // Keys and values are of use within their layer only: one layer's room serves all.
        let shape = Shape { layers: 1, heads: a.heads, width: a.head_width };
        let pages = texts.iter().map(|text| Cache::needed(text.len())).sum();
        let mut cache = Cache::new(shape, pages)?;
        let mut tables = vec![];
        let mut sights = vec![];
        for (sequence, text) in texts.iter().enumerate() {
            let mut table = Table::default();
            cache.grow(&mut table, text.len());
            tables.push(table);
            let sight = |position| Sight { sequence, position, seen: 0..text.len() };
            sights.extend((0..text.len()).map(sight));
        }
        let tables: Vec<&Table> = tables.iter().collect();
        let mut x = self.rows(texts, machine);
        let pass = layer::Pass { architecture: a, sights: &sights, tables: &tables, machine };
        let mut buffers = layer::Buffers::default();
        for layer in &self.layers {
            layer.run(&pass, &mut x, &mut cache, &mut buffers);
        }
        let mut rest = &*x;
        for text in texts {
            let (rows, others) = rest.split_at(text.len() * a.width);
            into.push(self.pool(rows));
            rest = others;
        }
        Ok(())
    }

    /// The stream before the first layer: token and position, normalised.
    fn rows(&self, texts: &[&[u32]], machine: &Machine) -> Vec<i32> {
        let a = &self.architecture;
        let tokens: Vec<(usize, u32)> =
            texts.iter().flat_map(|text| text.iter().copied().enumerate()).collect();
        let mut x = vec![0; tokens.len() * a.width];
        let mut slots: Vec<_> = x.chunks_mut(a.width).zip(tokens).collect();
        machine.workers.each(&mut slots, |(x, (position, token))| {
            let (mut sum, mut place) = (vec![0; a.width], vec![0; a.width]);
            self.embedding.row(*token as usize, a.residual_fraction, &mut sum);
            self.positions.row(*position, a.residual_fraction, &mut place);
            for (sum, place) in sum.iter_mut().zip(place) {
                *sum = add(*sum, place);
            }
            layer_normalise(&sum, &self.norm, x);
        });
        x
    }

    /// From rows to one vector of length one. A mean has the direction of the sum.
    fn pool(&self, rows: &[i32]) -> Vec<i32> {
        let width = self.architecture.width;
        let rows = match self.pooling {
            Pooling::Mean => rows,
            Pooling::First => &rows[..width],
        };
        let mut sums = vec![0i64; width];
        for row in rows.chunks(width) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += i64::from(*x);
            }
        }
        let mut embedding = vec![0; width];
        direction(&sums, &mut embedding);
        embedding
    }
}

/// An embedding as floating-point numbers, rounded to nearest: for what leaves tilth. What is hashed, compared or
/// paid for are the integers.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to single precision is what is wanted"
)]
pub fn to_f32(embedding: &[i32]) -> Vec<f32> {
    let unit = f64::from(1 << FRACTION);
    embedding.iter().map(|x| (f64::from(*x) / unit) as f32).collect()
}
