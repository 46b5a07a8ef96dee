//! One layer: attention over the whole text, then the feed-forward part; each branch is added to its input and
//! the sum is normalised.

use crate::Result;
use crate::attend::{Heads, Sight};
use crate::blob::{Architecture, Blob};
use crate::cache::{Cache, Table};
use crate::int1::arithmetic::add;
use crate::int1::layer_norm::{LayerNorm, layer_normalise};
use crate::matrix::{Block, Machine, Matrix, Space};

/// A matrix and what is added to its products.
#[derive(Debug)]
struct Dense {
    weights: Matrix,
    biases: Vec<i32>,
    /// Of biases and results.
    fraction: i32,
}

impl Dense {
    fn open(blob: &Blob, name: &str, rows: usize, columns: usize, fraction: i32) -> Result<Self> {
        Ok(Self {
            weights: blob.matrix(name, rows, columns)?,
            biases: blob.biases(&format!("{name}_bias"), rows, fraction)?,
            fraction,
        })
    }

    /// Products of the block's vectors, with biases.
    fn run(&self, block: &Block, machine: &Machine, space: &mut Space, out: &mut Vec<i32>) {
        self.weights.product(block, self.fraction, machine, space, out);
        for row in out.chunks_mut(self.biases.len()) {
            for (x, bias) in row.iter_mut().zip(&self.biases) {
                *x = add(*x, *bias);
            }
        }
    }
}

/// A layer's weights. Queries, keys and values are one matrix.
#[derive(Debug)]
pub(super) struct Layer {
    qkv: Dense,
    out: Dense,
    attention_norm: LayerNorm,
    up: Dense,
    down: Dense,
    hidden_norm: LayerNorm,
}

/// Room that every layer uses again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    space: Space,
    inner: Vec<i32>,
    attended: Vec<i32>,
    branch: Vec<i32>,
}

/// What a pass through all layers works on.
pub(super) struct Pass<'a> {
    pub architecture: &'a Architecture,
    pub sights: &'a [Sight],
    pub tables: &'a [&'a Table],
    pub machine: &'a Machine,
}

impl Layer {
    pub fn open(blob: &Blob, a: &Architecture, index: usize) -> Result<Self> {
        let name = |part: &str| format!("layer.{index}.{part}");
        let stream = a.residual_fraction;
        let inside = a.heads * a.head_width;
        let norm = |part: &str| blob.layer_norm(&name(part), a.width, a.epsilon, stream);
        Ok(Self {
            qkv: Dense::open(blob, &name("qkv"), 3 * inside, a.width, 16)?,
            out: Dense::open(blob, &name("out"), a.width, inside, stream)?,
            attention_norm: norm("attention_norm")?,
            up: Dense::open(blob, &name("up"), a.hidden, a.width, 16)?,
            down: Dense::open(blob, &name("down"), a.width, a.hidden, stream)?,
            hidden_norm: norm("hidden_norm")?,
        })
    }

    /// Brings the stream through this layer.
    pub fn run(&self, pass: &Pass<'_>, x: &mut [i32], cache: &mut Cache, buffers: &mut Buffers) {
        let a = pass.architecture;
        let Buffers { space, inner, attended, branch } = buffers;
        let block = pass.block(x, a.width, a.residual_fraction);
        self.qkv.run(&block, pass.machine, space, inner);
        let heads = Heads {
            architecture: a,
            qkv: inner,
            sights: pass.sights,
            tables: pass.tables,
            layer: 0,
            machine: pass.machine,
        };
        heads.store(cache);
        heads.attend(cache, attended);
        let block = pass.block(attended, a.heads * a.head_width, 16);
        self.out.run(&block, pass.machine, space, branch);
        pass.join(x, branch, &self.attention_norm);

        let block = pass.block(x, a.width, a.residual_fraction);
        self.up.run(&block, pass.machine, space, inner);
        let mut rows: Vec<&mut [i32]> = inner.chunks_mut(a.hidden).collect();
        pass.machine.workers.each(&mut rows, |row| {
            for x in row.iter_mut() {
                *x = a.gate.apply(*x);
            }
        });
        let block = pass.block(inner, a.hidden, 16);
        self.down.run(&block, pass.machine, space, branch);
        pass.join(x, branch, &self.hidden_norm);
    }
}

impl Pass<'_> {
    /// Rows of `width`, encoded.
    fn block(&self, x: &[i32], width: usize, fraction: i32) -> Block {
        Block::new(self.sights.len(), width, &self.machine.workers, |i, into| {
            into.set(&x[i * width..][..width], fraction);
        })
    }

    /// Adds a branch to the stream and normalises the sum.
    fn join(&self, x: &mut [i32], branch: &[i32], norm: &LayerNorm) {
        let width = self.architecture.width;
        let mut rows: Vec<_> = x.chunks_mut(width).zip(branch.chunks(width)).collect();
        self.machine.workers.each(&mut rows, |(x, branch)| {
            let sum: Vec<i32> = x.iter().zip(*branch).map(|(x, branch)| add(*x, *branch)).collect();
            layer_normalise(&sum, norm, x);
        });
    }
}
