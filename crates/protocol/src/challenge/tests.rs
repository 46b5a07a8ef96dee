use super::{class::Measure, *};
use crate::encoding::{decode, encode};

pub(crate) fn statement(task: Task) -> Statement {
    Statement {
        subject: Subject { node: [1; 20], endpoint: [2; 32], device: "cpu".into() },
        asker: [3; 32],
        beacon: Beacon { chain_id: 4, block: 5, hash: [6; 32] },
        nonce: [7; 32],
        promise: Secret([8; 32]).promise(),
        task,
    }
}

const PRODUCTS: ProductTask = ProductTask { order: 64, rounds: 2, samples: 4 };
const MEMORY: MemoryTask =
    MemoryTask { lanes: 64, depth: 4, walks: 8, steps: 2, samples: 4, walk_samples: 2 };

#[test]
fn sizes_out_of_bounds_are_refused() {
    let products = |change: fn(&mut ProductTask)| {
        let mut task = PRODUCTS;
        change(&mut task);
        statement(Task::Products(task)).check()
    };
    assert!(products(|_| {}).is_ok());
    for wrong in [
        products(|task| task.order = 32),
        products(|task| task.order = 96),
        products(|task| task.order = 1 << 16),
        products(|task| task.rounds = 0),
        products(|task| task.rounds = 1025),
        products(|task| task.samples = 0),
        products(|task| task.samples = 1025),
    ] {
        assert!(wrong.is_err());
    }
    let memory = |change: fn(&mut MemoryTask)| {
        let mut task = MEMORY;
        change(&mut task);
        statement(Task::Memory(task)).check()
    };
    assert!(memory(|_| {}).is_ok());
    for wrong in [
        memory(|task| task.lanes = 32),
        memory(|task| task.lanes = 96),
        memory(|task| task.depth = 1),
        memory(|task| (task.lanes, task.depth) = (1 << 22, 1 << 16)),
        memory(|task| task.walks = 0),
        memory(|task| task.steps = 5_000),
        memory(|task| task.samples = 0),
        memory(|task| task.walk_samples = 9),
        // Each within its bounds, all openings together too long for an answer.
        memory(|task| (task.walks, task.walk_samples, task.steps) = (64, 64, 4096)),
    ] {
        assert!(wrong.is_err());
    }
    for odd in ["", "a b", "\u{7f}", "é", &"x".repeat(65)] {
        let mut asked = statement(Task::Products(PRODUCTS));
        asked.subject.device = odd.into();
        assert!(asked.check().is_err(), "{odd:?}");
    }
}

#[test]
fn statements_are_read_back_and_short() {
    let mut asked = statement(Task::Memory(MEMORY));
    asked.subject.device = "x".repeat(MAX_DEVICE_BYTES);
    let bytes = encode(&asked);
    assert!(bytes.len() <= MAX_STATEMENT_BYTES, "{}", bytes.len());
    assert_eq!(decode::<Statement>(&bytes, MAX_STATEMENT_BYTES).unwrap(), asked);
}

#[test]
fn every_word_of_a_statement_changes_the_seed() {
    let asked = statement(Task::Products(PRODUCTS));
    let base = seed::Seed::of(&asked);
    let bytes = encode(&asked);
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        let Ok(other) = decode::<Statement>(&other, MAX_STATEMENT_BYTES) else { continue };
        assert_ne!(seed::Seed::of(&other), base, "byte {at}");
    }
}

#[test]
fn a_promise_is_kept_by_its_secret_alone() {
    let secret = Secret([8; 32]);
    assert!(seed::is_walk_of(&secret.walk(), &secret.promise()));
    assert!(!seed::is_walk_of(&secret.0, &secret.promise()));
    assert!(!seed::is_walk_of(&Secret([9; 32]).walk(), &secret.promise()));
    assert!(!format!("{secret:?}").contains('8'), "a secret is not logged");
}

#[test]
fn paths_of_every_leaf_lead_to_the_root_and_no_other() {
    let key = [5; 32];
    for count in 1..=33_u64 {
        let leaves: Vec<Hash> =
            (0..count).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
        let tree = Tree::new(&key, leaves.clone());
        for (index, leaf) in (0..).zip(&leaves) {
            let path = tree.path(index).unwrap();
            assert!(path.0.len() <= count.next_power_of_two().ilog2() as usize);
            assert_eq!(tree::climb(&key, leaf, index, count, &path), Some(tree.root()));
            let other = (index + 1) % count;
            if other != index {
                assert_ne!(tree::climb(&key, leaf, other, count, &path), Some(tree.root()));
            }
            let mut long = path.clone();
            long.0.push([0; 32]);
            assert_eq!(tree::climb(&key, leaf, index, count, &long), None);
            if !path.0.is_empty() {
                let short = Path(path.0[1..].to_vec());
                assert_eq!(tree::climb(&key, leaf, index, count, &short), None);
            }
        }
        assert_eq!(tree.path(count), None);
    }
}

#[test]
fn a_row_does_not_depend_on_how_long_it_is() {
    let (mut long, mut short) = ([0; 4096], [0; 100]);
    product::fill_row(&[1; 32], 9, &mut long);
    product::fill_row(&[1; 32], 9, &mut short);
    assert_eq!(long[..100], short);
    product::fill_row(&[1; 32], 10, &mut short);
    assert_ne!(long[..100], short);
}

#[test]
fn challenges_of_all_classes_are_within_bounds_and_take_their_time() {
    for class in class::CLASSES.iter().filter(|class| class.measure == Measure::Int8) {
        let task = class.products(128);
        statement(Task::Products(task)).check().unwrap();
        let (work, aim) = (task.operations(), class.per_second * class::SECONDS);
        assert!(work <= aim && work * 10 >= aim * 8, "{}: {work} of {aim}", class.name);
        let deadline = class.deadline(&Task::Products(task));
        assert!((3_900..=4_750).contains(&deadline.commit_ms), "{}: {deadline:?}", class.name);
    }
    for mib in [0, 1, 7, 64, 1_000, 22_608, 81_920, 131_072, 1 << 20] {
        let task = class::memory(mib);
        statement(Task::Memory(task)).check().unwrap();
        let walked = u64::from(task.walks) * u64::from(task.steps);
        let most = (task.labels() / 8).min(1 << 22);
        assert!(walked <= most && walked * 2 >= most, "{mib} MiB: {walked} of {most}");
        let (bytes, aim) = (task.bytes(), u64::from(mib.max(1)) << 20);
        assert!(bytes <= aim && bytes * 100 >= aim * 99, "{mib} MiB: {bytes}");
    }
}

#[test]
fn what_is_filled_shows_a_little_more_graphics_memory() {
    for mib in [1, 16, 100, 8_192, 24_564, 81_920, 143_771] {
        let part = |mib: u32| u64::from(mib) * u64::from(class::VRAM_PERCENT) / 100;
        let filled = u32::try_from(part(mib)).unwrap();
        assert_eq!(class::vram(mib), class::memory(filled));
        let shown = class::shown_vram(filled);
        assert!(shown >= mib && class::vram(shown) == class::vram(mib), "{mib}: {shown}");
        assert_ne!(part(shown + 1), u64::from(filled), "no more is shown");
        statement(Task::Memory(class::vram(mib))).check().unwrap();
    }
}

#[test]
fn a_memory_takes_little_more_room_than_its_labels() {
    let task = class::memory(22_608);
    let more = Task::Memory(task).memory_bytes() - task.bytes();
    assert!(more * 200 < task.bytes(), "{more} of {}", task.bytes());
}

#[test]
fn a_class_is_held_with_headroom() {
    assert_eq!(class::bits(Measure::Int8, 1_249_999_999), 0);
    assert_eq!(class::bits(Measure::Int8, 1_250_000_000), 1 << 7);
    assert_eq!(class::bits(Measure::Int8, 2_000_000_000_000), 0b1111 << 7);
    assert_eq!(class::bits(Measure::Fill, u64::MAX), 0b1111 << 16);
    let strongest = class::strongest(Measure::Int8, 0b11 << 8 | 1 << 16).unwrap();
    assert_eq!(strongest.name, "int8-100g");
    assert_eq!(class::strongest(Measure::Fill, 0b11 << 8), None);
}

#[test]
fn every_class_has_a_name_and_a_bit_of_its_own() {
    let names: Vec<_> = class::names().collect();
    let bits: Vec<_> = names.iter().map(|name| class::bit_of(name).unwrap()).collect();
    assert_eq!(bits.iter().map(|bit| bit.count_ones()).sum::<u32>(), 13);
    assert_eq!(bits.iter().fold(0, |all, bit| all | bit).count_ones(), 13);
    assert_eq!(class::names_of(u64::MAX), names);
    assert_eq!(class::names_of(0b1 | 1 << 9), ["gpu", "int8-100g"]);
    assert_eq!(class::bit_of("fast"), None);
}

#[test]
fn a_class_is_shown_by_its_own_challenge_and_by_nothing_much_smaller() {
    for class in class::CLASSES {
        let least = class.least();
        assert!(least.check().is_ok() && class.is_shown_by(&least), "{}: {least:?}", class.name);
        let tiny = Task::Products(ProductTask { order: 64, rounds: 1, samples: 1 });
        assert!(!class.is_shown_by(&tiny) && !class.is_shown_by(&Task::Memory(class::memory(1))));
    }
}

#[test]
fn a_class_whose_challenge_does_not_fit_is_none() {
    let all = class::CLASSES.iter().fold(3, |bits, class| bits | class.bit);
    assert_eq!(class::provable(all, |_| true), all);
    assert_eq!(class::provable(all, |_| false), 3, "what a GPU is has no challenge of strength");
    let one_gib = class::provable(all, |task| task.memory_bytes() <= 1 << 30);
    let names = class::names_of(one_gib);
    assert!(names.contains(&"fill-100m") && !names.contains(&"fill-1g"), "{names:?}");
}
