//! Answering a challenge: the same steps on every device. What differs is the [`Engine`]; [`Reference`] is
//! the one that says what the others must compute, slowly and without tricks.

use super::{
    Commit, Hash, LabelOpening, MemoryTask, Openings, ProductTask, Secret, Statement, Task, Tree,
    WalkOpening,
    answer::{LabelProof, commit_digest, ends_digest, statement_digest},
    crown::{Crown, KEPT_BYTES, KEPT_LABELS, node_above},
    memory::{self, GROUP, LABEL_BYTES, Label, LabelAt, PARENTS, first_label, walk_step},
    product::{TILE, TILE_SUMS, fill_row, tile_hash},
    seed::{Draw, Seed, walk_key},
};
use crate::problem::Problem;

/// Keys of one round of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundKeys {
    /// Of the left matrix.
    pub left: Hash,
    /// Of the right matrix, the same in all rounds.
    pub right: Hash,
    /// Of the tiles' hashes.
    pub tile: Hash,
}

/// Keys of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryKeys {
    /// Of labels.
    pub label: Hash,
    /// Of groups.
    pub group: Hash,
    /// Of the tree's nodes.
    pub node: Hash,
}

/// A device that computes.
pub trait Engine {
    /// The hashes of all tiles of a round's product, row by row of tiles.
    ///
    /// # Errors
    /// The device fails.
    fn tiles(&mut self, task: &ProductTask, keys: &RoundKeys) -> Result<Vec<Hash>, Problem>;

    /// Fills the memory, keeps it, and gives its tree's root.
    ///
    /// # Errors
    /// The device fails, or has not so much memory.
    fn fill(&mut self, task: &MemoryTask, keys: &MemoryKeys) -> Result<Hash, Problem>;

    /// The ends of all walks through the memory that was filled.
    ///
    /// # Errors
    /// The device fails, or nothing was filled.
    fn walk(&mut self, task: &MemoryTask, key: &Hash) -> Result<Vec<Hash>, Problem>;

    /// A label's group with its path, from the memory that was filled.
    ///
    /// # Errors
    /// The device fails, or nothing was filled.
    fn read(&mut self, task: &MemoryTask, at: LabelAt) -> Result<LabelOpening, Problem>;
}

/// What an engine says when it is asked about a memory that it does not have.
pub fn nothing_filled() -> Problem {
    Problem::new("there is no memory to read", "none was filled", "report this as a bug")
}

/// One challenge being answered.
#[derive(Debug)]
pub struct Prover<E> {
    engine: E,
    statement: Statement,
    seed: Seed,
    fixed: Hash,
    roots: Vec<Hash>,
    trees: Vec<Tree>,
    walked: Option<(Hash, Tree)>,
}

fn out_of_turn(what: &str) -> Problem {
    Problem::new("a challenge is answered step by step", what, "report this as a bug")
}

impl<E: Engine> Prover<E> {
    /// Takes a statement.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn new(engine: E, statement: Statement) -> Result<Self, Problem> {
        statement.check().map_err(|error| {
            let advice = "ask within the bounds of docs/reference/challenge.md";
            Problem::new("the challenge is out of bounds", error.to_string(), advice)
        })?;
        let (seed, fixed) = (Seed::of(&statement), statement_digest(&statement));
        let (roots, trees) = (Vec::new(), Vec::new());
        Ok(Self { engine, statement, seed, fixed, roots, trees, walked: None })
    }

    /// Does the work.
    ///
    /// # Errors
    /// The device fails, or it was done already.
    pub fn commit(&mut self) -> Result<Commit, Problem> {
        if !self.roots.is_empty() {
            return Err(out_of_turn("the roots are fixed already"));
        }
        match self.statement.task {
            Task::Products(task) => {
                let (mut seed, right) = (self.seed, self.seed.right());
                for _ in 0..task.rounds {
                    let keys = RoundKeys { left: seed.left(), right, tile: seed.tile() };
                    let tree = Tree::new(&seed.node(), self.engine.tiles(&task, &keys)?);
                    let root = tree.root();
                    self.roots.push(root);
                    self.trees.push(tree);
                    seed = seed.next(&root);
                }
            }
            Task::Memory(task) => {
                let (label, group) = (self.seed.label(), self.seed.group());
                let keys = MemoryKeys { label, group, node: self.seed.node() };
                self.roots.push(self.engine.fill(&task, &keys)?);
            }
        }
        let commit = Commit { roots: self.roots.clone() };
        self.fixed = commit_digest(&self.fixed, &commit);
        Ok(commit)
    }

    /// Walks through the memory.
    ///
    /// # Errors
    /// The device fails, there is no memory, or it was done already.
    pub fn walk(&mut self, walk: &Hash) -> Result<Hash, Problem> {
        let (Task::Memory(task), [root], None) =
            (self.statement.task, self.roots.as_slice(), &self.walked)
        else {
            return Err(out_of_turn("there is no memory to walk through now"));
        };
        let key = walk_key(walk, root);
        let ends = Tree::new(&self.seed.node(), self.engine.walk(&task, &key)?);
        let root = ends.root();
        self.walked = Some((key, ends));
        self.fixed = ends_digest(&self.fixed, &root);
        Ok(root)
    }

    /// Opens what the secret draws. The promise is the caller's to check.
    ///
    /// # Errors
    /// The device fails, or the work is not done.
    pub fn open(&mut self, secret: &Secret) -> Result<Openings, Problem> {
        let mut draw = Draw::new(secret, &self.fixed);
        match self.statement.task {
            Task::Products(task) => {
                let path = |tile: super::product::TileAt| {
                    self.trees.get(tile.round as usize)?.path(task.leaf(tile))
                };
                let paths: Option<Vec<_>> = task.draw(&mut draw).into_iter().map(path).collect();
                paths.map(Openings::Products).ok_or_else(|| out_of_turn("the work is not done"))
            }
            Task::Memory(task) => {
                let labels = task.draw_labels(&mut draw);
                let labels =
                    labels.into_iter().map(|at| self.prove(&task, at)).collect::<Result<_, _>>()?;
                let walks = task.draw_walks(&mut draw);
                let walks = walks
                    .into_iter()
                    .map(|walk| self.show(&task, walk))
                    .collect::<Result<_, _>>()?;
                Ok(Openings::Memory { labels, walks })
            }
        }
    }

    fn prove(&mut self, task: &MemoryTask, at: LabelAt) -> Result<LabelProof, Problem> {
        let label = self.engine.read(task, at)?;
        let mut parents = Vec::new();
        if at.layer > 0 {
            let before = LabelAt { layer: at.layer - 1, lane: at.lane };
            let opening = self.engine.read(task, before)?;
            let places = task.parents(at, &label_of(task, before, &opening)?);
            parents.push(opening);
            for place in places {
                parents.push(self.engine.read(task, place)?);
            }
        }
        Ok(LabelProof { label, parents })
    }

    fn show(&mut self, task: &MemoryTask, walk: u32) -> Result<WalkOpening, Problem> {
        let (key, ends) = self.walked.as_ref().ok_or_else(|| out_of_turn("nobody has walked"))?;
        let path = ends.path(walk.into()).ok_or_else(|| out_of_turn("there is no such walk"))?;
        let (key, mut state) = (*key, first_label(key, walk));
        let mut reads = Vec::new();
        for _ in 0..task.steps {
            let at = task.next_step(&state);
            let opening = self.engine.read(task, at)?;
            state = walk_step(&key, &state, &label_of(task, at, &opening)?);
            reads.push(opening);
        }
        Ok(WalkOpening { path, reads })
    }
}

/// The label at `at` in its group.
fn label_of(task: &MemoryTask, at: LabelAt, opening: &LabelOpening) -> Result<Label, Problem> {
    let within = usize::try_from(task.number(at) % u64::from(GROUP)).unwrap_or(0);
    let label = opening.group.chunks_exact(LABEL_BYTES).nth(within);
    label.and_then(|label| label.try_into().ok()).ok_or_else(nothing_filled)
}

/// A memory that was filled, in this process.
#[derive(Debug)]
pub struct Filled {
    labels: Vec<Label>,
    crown: Crown,
}

impl Filled {
    /// Takes all labels, layer by layer, and hashes them into a tree.
    pub fn new(labels: Vec<Label>, keys: &MemoryKeys) -> Self {
        let pieces = labels.as_flattened().chunks(KEPT_BYTES);
        let nodes = pieces.map(|labels| node_above(keys, labels)).collect();
        Self::with_nodes(labels, nodes, keys)
    }

    /// As [`Filled::new`], with the nodes above all pieces of [`KEPT_BYTES`] made by the caller.
    pub fn with_nodes(labels: Vec<Label>, nodes: Vec<Hash>, keys: &MemoryKeys) -> Self {
        Self { labels, crown: Crown::new(keys, nodes) }
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.crown.root()
    }

    /// The label at `at`.
    pub fn label(&self, task: &MemoryTask, at: LabelAt) -> Option<&Label> {
        self.labels.get(usize::try_from(task.number(at)).ok()?)
    }

    /// The group of the label at `at`, with its path.
    pub fn read(&self, task: &MemoryTask, at: LabelAt) -> Option<LabelOpening> {
        let number = task.number(at);
        let first = usize::try_from(Crown::piece_of(number)).ok()?;
        let end = self.labels.len().min(first.saturating_add(KEPT_LABELS as usize));
        self.crown.open(number, self.labels.get(first..end)?.as_flattened())
    }

    /// Where a walk ends.
    pub fn walk(&self, task: &MemoryTask, key: &Hash, walk: u32) -> Option<Hash> {
        let mut state = first_label(key, walk);
        for _ in 0..task.steps {
            state = walk_step(key, &state, self.label(task, task.next_step(&state))?);
        }
        Some(state)
    }
}

/// One thread, no tricks.
#[derive(Debug, Default)]
pub struct Reference {
    filled: Option<Filled>,
}

impl Engine for Reference {
    fn tiles(&mut self, task: &ProductTask, keys: &RoundKeys) -> Result<Vec<Hash>, Problem> {
        let order = task.order as usize;
        let matrix = |key: &Hash| {
            let mut bytes = vec![0; order * order];
            for (index, row) in (0..).zip(bytes.chunks_exact_mut(order)) {
                fill_row(key, index, row);
            }
            bytes
        };
        let (left, right) = (matrix(&keys.left), matrix(&keys.right));
        let row = |matrix: &[u8], index: u32| {
            let from = index as usize * order;
            matrix[from..from + order].to_vec()
        };
        let mut hashes = Vec::new();
        for (down, across) in (0..task.side()).flat_map(|y| (0..task.side()).map(move |x| (y, x))) {
            let mut sums = [0; TILE_SUMS];
            let places = (0..TILE).flat_map(|y| (0..TILE).map(move |x| (y, x)));
            for (sum, (y, x)) in sums.iter_mut().zip(places) {
                let (row, column) = (row(&left, down * TILE + y), row(&right, across * TILE + x));
                let number = |byte: &u8| i32::from(byte.cast_signed());
                *sum = row.iter().zip(&column).map(|(a, b)| number(a) * number(b)).sum();
            }
            hashes.push(tile_hash(&keys.tile, &sums));
        }
        Ok(hashes)
    }

    fn fill(&mut self, task: &MemoryTask, keys: &MemoryKeys) -> Result<Hash, Problem> {
        let mut labels: Vec<Label> = Vec::new();
        let number = |at| usize::try_from(task.number(at)).unwrap_or(usize::MAX);
        for (layer, lane) in (0..task.depth).flat_map(|y| (0..task.lanes).map(move |x| (y, x))) {
            labels.push(match layer {
                0 => first_label(&keys.label, lane),
                _ => {
                    let before = labels[number(LabelAt { layer: layer - 1, lane })];
                    let places = task.parents(LabelAt { layer, lane }, &before);
                    let parents: [Label; PARENTS] = places.map(|place| labels[number(place)]);
                    memory::label(&keys.label, &before, &parents)
                }
            });
        }
        Ok(self.filled.insert(Filled::new(labels, keys)).root())
    }

    fn walk(&mut self, task: &MemoryTask, key: &Hash) -> Result<Vec<Hash>, Problem> {
        let filled = self.filled.as_ref();
        let end = |walk| filled.and_then(|filled| filled.walk(task, key, walk));
        (0..task.walks).map(|walk| end(walk).ok_or_else(nothing_filled)).collect()
    }

    fn read(&mut self, task: &MemoryTask, at: LabelAt) -> Result<LabelOpening, Problem> {
        self.filled.as_ref().and_then(|filled| filled.read(task, at)).ok_or_else(nothing_filled)
    }
}
