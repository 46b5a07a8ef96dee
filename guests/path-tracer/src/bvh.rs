//! Bounding volume hierarchies with four children per node, for triangles and for instances of meshes.
//!
//! [`build`] makes a binary tree by binned surface area and folds it into nodes of four; [`trace`] walks it
//! with four boxes or four triangles per step. Building is single-threaded and depends on nothing but its
//! input, so the tree, and with it every rounding, is the same everywhere.

pub mod build;
pub mod trace;

use crate::simd::{F4, Vec3x4};

/// A child word: empty when [`EMPTY`], a leaf when [`LEAF`] is set, else a node index.
pub const LEAF: u32 = 0x8000_0000;
/// The child word of an unused lane.
pub const EMPTY: u32 = 0xffff_ffff;

/// Boxes of four children, coordinates side by side.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Node {
    /// `[axis][low or high]`, so that a ray's sign picks its near and far planes.
    pub planes: [[F4; 2]; 3],
    /// Child words.
    pub children: [u32; 4],
}

/// Four triangles: first corner and the two edges from it.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Pack {
    /// First corners.
    pub corner: Vec3x4,
    /// First corner to second.
    pub edge1: Vec3x4,
    /// First corner to third.
    pub edge2: Vec3x4,
    /// Triangle numbers; [`EMPTY`] in unused lanes, whose edges are zero and are never hit.
    pub triangle: [u32; 4],
}
