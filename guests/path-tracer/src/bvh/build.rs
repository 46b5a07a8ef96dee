//! Builds the tree: binned surface-area heuristic, then four children per node.

use super::{EMPTY, LEAF, Node};
use crate::math::{Bounds, Vec3, max, min};
use crate::simd::F4;

const BINS: usize = 16;
/// Depth after which nodes are halved by count, which ends after at most 32 more levels.
const MAX_SAH_DEPTH: u32 = 48;

/// A finished tree: `nodes[0]` is the root, unless the whole tree is the single child word `root`.
pub struct Tree {
    /// Nodes of four children.
    pub nodes: Vec<Node>,
    /// Where to start.
    pub root: u32,
    /// The box around everything.
    pub bounds: Bounds,
}

enum Half {
    Leaf { first: usize, count: usize, bounds: Bounds },
    Inner { left: usize, right: usize, bounds: Bounds },
}

impl Half {
    fn bounds(&self) -> Bounds {
        match self {
            Half::Leaf { bounds, .. } | Half::Inner { bounds, .. } => *bounds,
        }
    }
}

/// Builds a tree over `items`. `emit` receives the item numbers of each leaf (at most `leaf_size`) and returns
/// the number (below 2^31 - 1) to store in the leaf's child word.
pub fn build(items: &[Bounds], leaf_size: usize, mut emit: impl FnMut(&[u32]) -> u32) -> Tree {
    if items.is_empty() {
        return Tree { nodes: Vec::new(), root: EMPTY, bounds: Bounds::EMPTY };
    }
    let mut order: Vec<u32> = (0..items.len() as u32).collect();
    let halves = split_all(items, &mut order, leaf_size);
    let mut nodes = Vec::with_capacity(halves.len() / 3 + 1);
    let root_index = halves.len() - 1;
    let root = fold(&halves, root_index, &order, &mut nodes, &mut emit);
    Tree { nodes, root, bounds: halves[root_index].bounds() }
}

/// The binary tree, children before parents; the root is last.
fn split_all(items: &[Bounds], order: &mut [u32], leaf_size: usize) -> Vec<Half> {
    enum Work {
        Split { first: usize, count: usize, depth: u32 },
        Join { bounds: Bounds },
    }
    let mut halves: Vec<Half> = Vec::with_capacity(items.len());
    let mut finished: Vec<usize> = Vec::new();
    let mut work = vec![Work::Split { first: 0, count: order.len(), depth: 0 }];
    while let Some(job) = work.pop() {
        match job {
            Work::Join { bounds } => {
                // The right half was pushed first and so is finished last.
                let (Some(right), Some(left)) = (finished.pop(), finished.pop()) else {
                    unreachable!("every join follows its two halves");
                };
                finished.push(halves.len());
                halves.push(Half::Inner { left, right, bounds });
            }
            Work::Split { first, count, depth } => {
                let part = &mut order[first..first + count];
                let bounds = part.iter().fold(Bounds::EMPTY, |b, &i| b.union(items[i as usize]));
                if count <= leaf_size {
                    finished.push(halves.len());
                    halves.push(Half::Leaf { first, count, bounds });
                    continue;
                }
                let at = partition(items, part, depth);
                work.push(Work::Join { bounds });
                work.push(Work::Split { first: first + at, count: count - at, depth: depth + 1 });
                work.push(Work::Split { first, count: at, depth: depth + 1 });
            }
        }
    }
    halves
}

/// Reorders `part` into two non-empty halves and says where the second begins.
fn partition(items: &[Bounds], part: &mut [u32], depth: u32) -> usize {
    let centres = part.iter().fold(Bounds::EMPTY, |b, &i| b.with(items[i as usize].centre()));
    let size = centres.high - centres.low;
    let half = part.len() / 2;
    if depth >= MAX_SAH_DEPTH || !(size.max_component() > 0.0) {
        return half;
    }
    let Some((axis, plane)) = best_plane(items, part, centres.low, size) else {
        return half;
    };
    let bin = |i: u32| bin_of(items[i as usize].centre()[axis], centres.low[axis], size[axis]);
    let mut at = 0;
    for k in 0..part.len() {
        if bin(part[k]) < plane {
            part.swap(at, k);
            at += 1;
        }
    }
    if at == 0 || at == part.len() { half } else { at }
}

fn bin_of(x: f32, low: f32, size: f32) -> usize {
    // `size` is not zero on a candidate axis; the cast saturates.
    (((x - low) / size * BINS as f32) as usize).min(BINS - 1)
}

/// The axis and first bin of the right half with the least surface-area cost.
fn best_plane(items: &[Bounds], part: &[u32], low: Vec3, size: Vec3) -> Option<(usize, usize)> {
    let mut best: Option<(f32, usize, usize)> = None;
    for axis in 0..3 {
        if !(size[axis] > 0.0) {
            continue;
        }
        let mut bins = [(Bounds::EMPTY, 0u32); BINS];
        for &i in part {
            let b = items[i as usize];
            let slot = &mut bins[bin_of(b.centre()[axis], low[axis], size[axis])];
            *slot = (slot.0.union(b), slot.1 + 1);
        }
        let mut right = [(0.0f32, 0u32); BINS];
        let mut sum = (Bounds::EMPTY, 0);
        for k in (1..BINS).rev() {
            sum = (sum.0.union(bins[k].0), sum.1 + bins[k].1);
            right[k] = (sum.0.half_area(), sum.1);
        }
        let mut left = (Bounds::EMPTY, 0u32);
        for k in 1..BINS {
            left = (left.0.union(bins[k - 1].0), left.1 + bins[k - 1].1);
            if left.1 == 0 || right[k].1 == 0 {
                continue;
            }
            let cost = left.0.half_area() * left.1 as f32 + right[k].0 * right[k].1 as f32;
            if best.is_none_or(|(c, _, _)| cost < c) {
                best = Some((cost, axis, k));
            }
        }
    }
    best.map(|(_, axis, plane)| (axis, plane))
}

/// Turns the binary subtree at `index` into nodes of four and returns its child word.
fn fold(
    halves: &[Half],
    index: usize,
    order: &[u32],
    nodes: &mut Vec<Node>,
    emit: &mut impl FnMut(&[u32]) -> u32,
) -> u32 {
    // Explicit stack: (binary node, parent node, lane). The tree may be deep for hostile input.
    let mut root = EMPTY;
    let mut work = vec![(index, None::<(usize, usize)>)];
    while let Some((at, parent)) = work.pop() {
        let word = match &halves[at] {
            Half::Leaf { first, count, .. } => LEAF | emit(&order[*first..*first + *count]),
            Half::Inner { .. } => {
                let kids = four_children(halves, at);
                let number = nodes.len();
                nodes.push(node_of(&kids.iter().map(|&k| halves[k].bounds()).collect::<Vec<_>>()));
                for (lane, &kid) in kids.iter().enumerate().rev() {
                    work.push((kid, Some((number, lane))));
                }
                number as u32
            }
        };
        match parent {
            Some((node, lane)) => nodes[node].children[lane] = word,
            None => root = word,
        }
    }
    root
}

/// Opens the largest inner child until there are four, or only leaves.
fn four_children(halves: &[Half], at: usize) -> Vec<usize> {
    let mut kids = vec![at];
    while kids.len() < 4 {
        let mut widest: Option<(f32, usize)> = None;
        for (slot, &k) in kids.iter().enumerate() {
            if let Half::Inner { bounds, .. } = &halves[k] {
                let area = bounds.half_area();
                if widest.is_none_or(|(a, _)| area > a) {
                    widest = Some((area, slot));
                }
            }
        }
        let Some((_, slot)) = widest else { break };
        if let Half::Inner { left, right, .. } = halves[kids[slot]] {
            kids[slot] = left;
            kids.insert(slot + 1, right);
        }
    }
    kids
}

fn node_of(boxes: &[Bounds]) -> Node {
    let lane = |f: &dyn Fn(&Bounds) -> f32, empty: f32| {
        let mut v = [empty; 4];
        for (slot, b) in v.iter_mut().zip(boxes) {
            *slot = f(b);
        }
        F4::new(v)
    };
    let axis = |a: usize| [lane(&|b| b.low[a], 1e30), lane(&|b| b.high[a], -1e30)];
    Node { planes: [axis(0), axis(1), axis(2)], children: [EMPTY; 4] }
}

/// The box of a triangle, widened a little so that rounding never loses it.
pub fn triangle_bounds(a: Vec3, b: Vec3, c: Vec3) -> Bounds {
    let mut t = Bounds::EMPTY.with(a).with(b).with(c);
    let slack = 1e-6 * max(t.low.abs().max_component(), t.high.abs().max_component());
    t.low = t.low - Vec3::splat(slack);
    t.high += Vec3::splat(slack);
    t.low = t.low.max(Vec3::splat(-1e29));
    t.high = Vec3 { x: min(t.high.x, 1e29), y: min(t.high.y, 1e29), z: min(t.high.z, 1e29) };
    t
}
