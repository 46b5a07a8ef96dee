//! One layer: attention, then the gated feed-forward part.

use super::{Row, refraction};
use crate::Result;
use crate::attend::{Heads, Sight};
use crate::blob::{Architecture, Blob};
use crate::cache::{Cache, Table};
use crate::int1::arithmetic::add;
use crate::int1::norm::{Gains, normalise};
use crate::int1::rotation::rotate;
use crate::matrix::{Block, Machine, Matrix, Space};

/// A layer's weights. Queries, keys and values are one matrix, gate and up another.
#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Gains,
    qkv: Matrix,
    qkv_bias: Option<Vec<i32>>,
    query_norm: Option<Gains>,
    key_norm: Option<Gains>,
    out: Matrix,
    attention_post_norm: Option<Gains>,
    hidden_norm: Gains,
    gate_up: Matrix,
    down: Matrix,
    hidden_post_norm: Option<Gains>,
}

/// Room that every layer uses again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub space: Space,
    inner: Vec<i32>,
    attended: Vec<i32>,
    branch: Vec<i32>,
}

/// What a pass through one layer works on.
pub(super) struct Pass<'a> {
    pub architecture: &'a Architecture,
    pub rows: &'a [Row],
    pub tables: &'a [&'a Table],
    pub turns: &'a [Vec<Vec<(i32, i32)>>],
    pub machine: &'a Machine,
    pub index: usize,
}

impl Pass<'_> {
    /// Every row sees itself and what came before, within the layer's window.
    fn sights(&self) -> Vec<Sight> {
        let window = self.architecture.layers[self.index].window;
        let sight = |row: &Row| {
            let position = row.position as usize;
            let begin = if window == 0 { 0 } else { (position + 1).saturating_sub(window) };
            Sight { sequence: row.sequence, position, seen: begin..position + 1 }
        };
        self.rows.iter().map(sight).collect()
    }
}

impl Layer {
    pub fn open(blob: &Blob, a: &Architecture, index: usize) -> Result<Self> {
        let name = |part: &str| format!("layer.{index}.{part}");
        let gains = |part: &str| blob.gains(&name(part), a.width, a.epsilon);
        let optional = |part: &str, length, epsilon| {
            let name = name(part);
            blob.has(&name).then(|| blob.gains(&name, length, epsilon)).transpose()
        };
        let query_width = a.heads * a.head_width;
        let all = query_width + 2 * a.key_heads * a.head_width;
        let bias = name("qkv_bias");
        let qkv_bias = blob.has(&bias).then(|| blob.biases(&bias, all, 16)).transpose()?;
        Ok(Self {
            attention_norm: gains("attention_norm")?,
            qkv: blob.matrix(&name("qkv"), all, a.width)?,
            qkv_bias,
            query_norm: optional("query_norm", a.head_width, a.head_epsilon)?,
            key_norm: optional("key_norm", a.head_width, a.head_epsilon)?,
            out: blob.matrix(&name("out"), a.width, query_width)?,
            attention_post_norm: optional("attention_post_norm", a.width, a.epsilon)?,
            hidden_norm: gains("hidden_norm")?,
            gate_up: blob.matrix(&name("gate_up"), 2 * a.hidden, a.width)?,
            down: blob.matrix(&name("down"), a.width, a.hidden)?,
            hidden_post_norm: optional("hidden_post_norm", a.width, a.epsilon)?,
        })
    }

    /// Adds what this layer has to say to the residual stream.
    pub fn run(&self, pass: &Pass<'_>, x: &mut [i32], cache: &mut Cache, buffers: &mut Buffers) {
        let a = pass.architecture;
        let Buffers { space, inner, attended, branch } = buffers;
        let block = normal(x, &self.attention_norm, pass);
        self.qkv.product(&block, 16, pass.machine, space, inner);
        self.turn(pass, inner);
        let sights = pass.sights();
        let heads = Heads {
            architecture: a,
            qkv: inner,
            sights: &sights,
            tables: pass.tables,
            layer: pass.index,
            machine: pass.machine,
        };
        heads.store(cache);
        heads.attend(cache, attended);
        let block = Block::new(
            pass.rows.len(),
            a.heads * a.head_width,
            &pass.machine.workers,
            |i, into| {
                into.set(&attended[i * a.heads * a.head_width..][..a.heads * a.head_width], 16);
            },
        );
        self.out.product(&block, a.residual_fraction, pass.machine, space, branch);
        join(x, branch, self.attention_post_norm.as_ref(), a);

        let block = normal(x, &self.hidden_norm, pass);
        self.gate_up.product(&block, 16, pass.machine, space, inner);
        let gate_up: &[i32] = inner;
        let block = Block::new(pass.rows.len(), a.hidden, &pass.machine.workers, |i, into| {
            let (gate, up) = gate_up[2 * i * a.hidden..][..2 * a.hidden].split_at(a.hidden);
            let products: Vec<i64> = gate
                .iter()
                .zip(up)
                .map(|(gate, up)| i64::from(a.gate.apply(*gate)) * i64::from(*up))
                .collect();
            into.set(&products, 32);
        });
        self.down.product(&block, a.residual_fraction, pass.machine, space, branch);
        join(x, branch, self.hidden_post_norm.as_ref(), a);
    }

    /// Biases, normalised heads, rotary positions.
    fn turn(&self, pass: &Pass<'_>, qkv: &mut [i32]) {
        let a = pass.architecture;
        let (queries, keys) = (a.heads * a.head_width, a.key_heads * a.head_width);
        let turns = &pass.turns[a.layers[pass.index].turns];
        let mut slots: Vec<_> = qkv.chunks_mut(queries + 2 * keys).zip(turns).collect();
        pass.machine.workers.each(&mut slots, |(row, angles)| {
            if let Some(bias) = &self.qkv_bias {
                for (x, bias) in row.iter_mut().zip(bias) {
                    *x = add(*x, *bias);
                }
            }
            let (query, key) = row[..queries + keys].split_at_mut(queries);
            for (part, norm) in [(query, &self.query_norm), (key, &self.key_norm)] {
                for head in part.chunks_mut(a.head_width) {
                    if let Some(gains) = norm {
                        let mut normal = vec![0; head.len()];
                        normalise(head, gains, &mut normal);
                        refraction(&mut normal, gains.fraction, 16);
                        head.copy_from_slice(&normal);
                    }
                    rotate(head, angles, a.pairing);
                }
            }
        });
    }
}

/// Normalised rows, encoded.
fn normal(x: &[i32], gains: &Gains, pass: &Pass<'_>) -> Block {
    let width = pass.architecture.width;
    Block::new(pass.rows.len(), width, &pass.machine.workers, |i, into| {
        let mut normal = vec![0; width];
        normalise(&x[i * width..][..width], gains, &mut normal);
        into.set(&normal, gains.fraction);
    })
}

/// Adds a branch to the stream, after its own normalisation where the model has one.
fn join(x: &mut [i32], branch: &mut [i32], norm: Option<&Gains>, a: &Architecture) {
    if let Some(gains) = norm {
        let mut normal = vec![0; a.width];
        for row in branch.chunks_mut(a.width) {
            normalise(row, gains, &mut normal);
            refraction(&mut normal, gains.fraction, a.residual_fraction);
            row.copy_from_slice(&normal);
        }
    }
    for (x, branch) in x.iter_mut().zip(branch) {
        *x = add(*x, *branch);
    }
}
