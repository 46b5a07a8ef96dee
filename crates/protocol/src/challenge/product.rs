//! Chained exact products: in every round a fresh int8 matrix times one that stays, exact in int32, hashed
//! tile by tile. The next round's matrix depends on the hash of all of this one's product.
//!
//! Row `i` of the left matrix of a round is the first `order` bytes of `BLAKE3 keyed(key, i)` (extended
//! output, `i` as eight bytes, little-endian), each byte as a signed number; column `j` of the right one
//! likewise. So any row or column is made without the others. A tile is [`TILE`] x [`TILE`] sums, hashed
//! whole, so nothing short of all its sums leads to its hash: no sum of sums, which could be had from sums
//! of rows and columns, stands for it.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{
    Hash, OutOfBounds,
    seed::{Draw, Seed},
};

/// Rows and columns of a tile. 64 sums are 256 bytes, four blocks of BLAKE3, so hashing costs little beside
/// `order` multiplications a sum, and the checker recomputes a whole tile from 16 rows and columns.
pub const TILE: u32 = 8;
/// Sums of a tile.
pub const TILE_SUMS: usize = 64;
/// Largest order. `2^15 * 2^7 * 2^7 = 2^29` fits int32 with room.
pub const MAX_ORDER: u32 = 1 << 15;
/// Smallest order: a block of the extended output.
pub const MIN_ORDER: u32 = 64;
/// Most rounds.
pub const MAX_ROUNDS: u32 = 1024;
/// Most samples.
pub const MAX_SAMPLES: u32 = 1024;

/// The sizes of a challenge of products.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case")]
pub struct ProductTask {
    /// Rows and columns: a power of two from [`MIN_ORDER`] to [`MAX_ORDER`].
    pub order: u32,
    /// Rounds, 1 to [`MAX_ROUNDS`].
    pub rounds: u32,
    /// Tiles that are opened, 1 to [`MAX_SAMPLES`].
    pub samples: u32,
}

/// Where a tile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileAt {
    /// The round.
    pub round: u32,
    /// Its row among tiles.
    pub row: u32,
    /// Its column among tiles.
    pub column: u32,
}

impl ProductTask {
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        let (low, high) = (u64::from(MIN_ORDER), u64::from(MAX_ORDER));
        OutOfBounds::check("order of the matrices", self.order.into(), low, high)?;
        OutOfBounds::power("order of the matrices", self.order)?;
        OutOfBounds::check("number of rounds", self.rounds.into(), 1, MAX_ROUNDS.into())?;
        OutOfBounds::check("number of samples", self.samples.into(), 1, MAX_SAMPLES.into())
    }

    /// Tiles in a row or column.
    pub fn side(&self) -> u32 {
        self.order / TILE
    }

    /// Tiles of a product.
    pub fn tiles(&self) -> u64 {
        u64::from(self.side()) * u64::from(self.side())
    }

    /// Multiplications and additions of all rounds, counted as two operations each.
    pub fn operations(&self) -> u64 {
        let order = u64::from(self.order);
        2 * order * order * order * u64::from(self.rounds)
    }

    pub(super) fn opening_bytes(&self) -> u64 {
        let nodes = u64::from(self.tiles().ilog2());
        u64::from(self.samples) * (4 + 32 * nodes)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        // Both matrices, the product and its tree; trees of all rounds stay until they are opened.
        let sums = u64::from(self.order) * u64::from(self.order);
        6 * sums + u64::from(self.rounds) * self.tiles() * 64
    }

    /// Which tiles are opened.
    pub fn draw(&self, draw: &mut Draw) -> Vec<TileAt> {
        let side = self.side();
        let tile = |_| TileAt {
            round: draw.below(self.rounds),
            row: draw.below(side),
            column: draw.below(side),
        };
        (0..self.samples).map(tile).collect()
    }

    /// A tile's place in its round's tree.
    pub fn leaf(&self, tile: TileAt) -> u64 {
        u64::from(tile.row) * u64::from(self.side()) + u64::from(tile.column)
    }

    /// The seeds of all rounds, given the roots.
    pub fn seeds(first: Seed, roots: &[Hash]) -> Vec<Seed> {
        let next = |seed: &mut Seed, root: &Hash| {
            let this = *seed;
            *seed = seed.next(root);
            Some(this)
        };
        roots.iter().scan(first, next).collect()
    }
}

/// Fills `bytes` with row or column `index` of the matrix with this key.
pub fn fill_row(key: &Hash, index: u32, bytes: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&u64::from(index).to_le_bytes());
    hasher.finalize_xof().fill(bytes);
}

/// The hash of a tile: of its sums, row by row, as little-endian int32.
pub fn tile_hash(key: &Hash, sums: &[i32; TILE_SUMS]) -> Hash {
    let mut bytes = [0; TILE_SUMS * 4];
    for (place, sum) in bytes.chunks_exact_mut(4).zip(sums) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    *blake3::keyed_hash(key, &bytes).as_bytes()
}
