//! Samples of products: each opened tile is computed anew from its rows and columns.

use tilth_protocol::challenge::{
    Hash, Path, ProductTask, Statement,
    product::{TILE, TILE_SUMS, TileAt, fill_row, tile_hash},
    seed::{Draw, Seed},
    tree::climb,
};

use super::Fault;

/// Judges the paths of the drawn tiles.
pub(super) fn check(
    statement: &Statement,
    task: &ProductTask,
    roots: &[Hash],
    draw: &mut Draw,
    paths: &[Path],
) -> Result<(), Fault> {
    let tiles = task.draw(draw);
    Fault::count("opened tiles", paths.len(), tiles.len())?;
    let first = Seed::of(statement);
    let seeds = ProductTask::seeds(first, roots);
    let mut rows = Rows::new(task.order);
    for (sample, (tile, path)) in tiles.into_iter().zip(paths).enumerate() {
        let round = tile.round as usize;
        let seed = seeds[round];
        let sums = rows.tile(&seed.left(), &first.right(), tile);
        let leaf = tile_hash(&seed.tile(), &sums);
        let root = climb(&seed.node(), &leaf, task.leaf(tile), task.tiles(), path);
        if root != Some(roots[round]) {
            let what = "the product's tile is not what its round's root commits to";
            return Err(Fault::Wrong { sample, what });
        }
    }
    Ok(())
}

/// Room for a tile's rows and columns.
struct Rows {
    order: usize,
    bytes: Vec<u8>,
    left: Vec<i16>,
    right: Vec<i16>,
}

impl Rows {
    fn new(order: u32) -> Self {
        let order = order as usize;
        let room = vec![0; order * TILE as usize];
        Self { order, bytes: vec![0; order], left: room.clone(), right: room }
    }

    /// The tile's sums.
    fn tile(&mut self, left: &Hash, right: &Hash, tile: TileAt) -> [i32; TILE_SUMS] {
        let Self { order, bytes, left: rows, right: columns } = self;
        for (key, first, numbers) in
            [(left, tile.row, &mut *rows), (right, tile.column, &mut *columns)]
        {
            for (index, numbers) in (first * TILE..).zip(numbers.chunks_exact_mut(*order)) {
                fill_row(key, index, bytes);
                for (number, byte) in numbers.iter_mut().zip(bytes.iter()) {
                    *number = i16::from(byte.cast_signed());
                }
            }
        }
        let mut sums = [0; TILE_SUMS];
        let pairs = rows
            .chunks_exact(*order)
            .flat_map(|row| columns.chunks_exact(*order).map(move |column| (row, column)));
        for (sum, (row, column)) in sums.iter_mut().zip(pairs) {
            // At most 2^15 products of at most 2^14: no overflow.
            *sum = row.iter().zip(column).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        }
        sums
    }
}
