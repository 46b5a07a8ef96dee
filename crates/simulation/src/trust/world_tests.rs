//! Blocks that are taken back.

use tilth_contracts::{JobBook, SoloRandomness};

use super::*;
use crate::adversary::proposing;

/// Ranges of the first job that are claimed or handed in, at the head of the chain.
fn outstanding(world: &mut World) -> u32 {
    let book = world.scene.farm.addresses().job_book;
    world.scene.farm.read(book, &JobBook::jobCall { jobId: 1 }).unwrap().outstanding
}

/// The beacon of a block.
fn beacon(world: &mut World, round: u64) -> B256 {
    let randomness = world.scene.farm.addresses().randomness;
    world.scene.farm.read(randomness, &SoloRandomness::valueCall { round }).unwrap()
}

#[test]
fn what_is_taken_back_waits_again_and_comes_under_another_beacon() {
    let mut random = Random::new(7);
    let cast = proposing::reorganising(&mut random);
    let mut world = World::new(&Farm::new().unwrap(), cast, random).unwrap();
    // First they try a task.
    world.act().unwrap();
    world.block().unwrap();
    world.act().unwrap();
    let sent: Vec<_> = world.scene.pool.iter().map(|tx| (tx.from, tx.data.clone())).collect();
    assert!(sent.len() > 1, "providers claim");
    world.block().unwrap();
    assert!(world.scene.pool.is_empty() && outstanding(&mut world) > 0);
    assert!(world.scene.public.ranges.is_empty(), "nobody has heard of it");
    let claimed_in = world.scene.farm.block;
    world.seal(true);
    let (head, first) = (world.scene.farm.block, beacon(&mut world, claimed_in));

    // In the one block on top of it there is nothing to take back.
    world.take_back(1);
    assert!(world.scene.pool.is_empty() && outstanding(&mut world) > 0);
    world.take_back(2);
    assert_eq!((world.scene.farm.block, outstanding(&mut world)), (head, 0));
    let mut waiting: Vec<_> =
        world.scene.pool.iter().map(|tx| (tx.from, tx.data.clone())).collect();
    waiting.sort();
    let mut all = sent;
    all.sort();
    assert_eq!(waiting, all);
    let second = beacon(&mut world, claimed_in);
    assert!(first != second && !first.is_zero() && !second.is_zero());

    let outcome = world.finish().unwrap();
    assert_eq!(outcome.faults, Vec::<String>::new());
    assert!(outcome.counts.undone_blocks > 1);
}
