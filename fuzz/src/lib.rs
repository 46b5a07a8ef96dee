//! Fuzz targets of the node; see `targets`.
#[path = "../../crates/chain/tests/it/fixture.rs"]
#[expect(dead_code, reason = "the fixture serves the tests, too")]
mod fixture;
pub mod targets;
