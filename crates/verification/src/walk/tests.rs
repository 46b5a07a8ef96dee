use proptest::prelude::*;
use tilth_protocol::{JobId, Leaf, Status};

use super::*;

const JOB: JobId = JobId(7);

fn leaves(count: u32) -> Vec<Leaf> {
    (0..count)
        .map(|index| match index % 5 {
            4 => Leaf::failed(index, Status::Trap, 100),
            _ => Leaf::finished(index, &index.to_le_bytes(), u64::from(index % 7) + 1),
        })
        .collect()
}

fn tree(leaves: &[Leaf]) -> MerkleSum {
    MerkleSum::build(JOB, leaves).unwrap()
}

/// One leaf as somebody has it who is wrong about it: in its output, its units, or how it ended.
fn wrong(leaf: Leaf, how: u32) -> Leaf {
    let mut wrong = leaf;
    match how % 3 {
        0 => wrong.output[31] ^= 1,
        1 => wrong.units += 1,
        _ => wrong.status = Status::BadOutput,
    }
    wrong
}

/// What the contract keeps of a walk.
struct Book {
    leaves: u32,
    at: Place,
    marks: [B256; 2],
}

impl Book {
    fn new(trees: [&MerkleSum; 2]) -> Self {
        let leaves = trees[0].count();
        Self { leaves, at: Place::top(leaves), marks: trees.map(top) }
    }

    /// A step; `false` if a list is refused.
    fn walk(&mut self, lists: [&[Node]; 2]) -> bool {
        let step = self.at.below(self.leaves).unwrap();
        for (list, mark_) in lists.into_iter().zip(self.marks) {
            let is_it = fold(list).map(mark) == Some(mark_);
            if list.len() != step.count as usize || !is_it {
                return false;
            }
        }
        let at = first_difference(lists[0], lists[1]).unwrap();
        self.at = step.place(at).unwrap();
        self.marks = lists.map(|list| mark(list[at]));
        true
    }
}

fn top(tree: &MerkleSum) -> B256 {
    let root = tree.root();
    mark((root.hash, root.tally))
}

fn list(tree: &MerkleSum, at: Place) -> &[Node] {
    tree.below(at).unwrap()
}

#[test]
fn the_top_is_as_high_as_the_tree() {
    for (leaves, level) in
        [(1, 0), (2, 1), (3, 2), (16, 4), (17, 5), (10_001, 14), (1 << 20, 20), ((1 << 20) + 1, 21)]
    {
        assert_eq!(Place::top(leaves), Place { level, index: 0 }, "{leaves}");
    }
    assert_eq!(tree(&leaves(17)).level(5).unwrap().len(), 1);
    assert!(tree(&leaves(17)).level(6).is_none());
}

#[test]
fn the_deepest_walk_has_six_steps() {
    let leaves = (1 << 20) + 1;
    let (mut at, mut steps) = (Place::top(leaves), 0);
    while !at.is_leaf() {
        let step = at.below(leaves).unwrap();
        at = step.place(step.count as usize - 1).unwrap();
        steps += 1;
    }
    assert_eq!(steps, 6);
    assert_eq!(at.index, leaves - 1, "always the last one");
}

#[test]
fn outside_the_tree_is_nothing() {
    let tree = tree(&leaves(17));
    assert!(tree.below(Place { level: 4, index: 1 }).is_some());
    assert_eq!(Place { level: 4, index: 2 }.below(17), None);
    assert_eq!(Place { level: 32, index: u32::MAX }.below(17), None);
    assert_eq!(Place::default().below(0), None);
    let step = Place { level: 4, index: 1 }.below(17).unwrap();
    assert_eq!(step, Step { level: 0, first: 16, count: 1 });
    assert_eq!(step.place(1), None);
    assert_eq!(fold(&[]), None);
    assert_eq!(first_difference(&[], &[]), None);
}

proptest! {
    #[test]
    fn every_node_is_in_one_step_and_folds_to_the_node_above(count in 1_u32..300) {
        let tree = tree(&leaves(count));
        let mut level = Place::top(count).level;
        while level > 0 {
            let width = u32::try_from(tree.level(level).unwrap().len()).unwrap();
            let mut next = 0;
            let mut lower = 0;
            for index in 0..width {
                let at = Place { level, index };
                let step = at.below(count).unwrap();
                prop_assert_eq!(step.first, next, "in a row");
                prop_assert!((1..=16).contains(&step.count));
                let nodes = list(&tree, at);
                prop_assert_eq!(fold(nodes), Some(tree.level(level).unwrap()[index as usize]));
                (next, lower) = (step.first + step.count, step.level);
            }
            prop_assert_eq!(next as usize, tree.level(lower).unwrap().len(), "all of them");
            level = lower;
        }
    }

    #[test]
    fn a_walk_ends_at_the_first_leaf_that_differs(count in 1_u32..600, places in prop::collection::vec((any::<u32>(), any::<u32>()), 1..4)) {
        let ours = leaves(count);
        let mut theirs = ours.clone();
        for (place, how) in places {
            let at = (place % count) as usize;
            theirs[at] = wrong(ours[at], how);
        }
        let first = ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap();
        let trees = [&tree(&ours), &tree(&theirs)];
        let mut book = Book::new(trees);
        let mut steps = 0;
        while !book.at.is_leaf() {
            let at = book.at;
            prop_assert!(book.walk(trees.map(|tree| list(tree, at))));
            steps += 1;
        }
        prop_assert_eq!(book.at.index as usize, first);
        prop_assert_eq!(steps, Place::top(count).level.div_ceil(LEVELS));
        for (leaf, mark_) in [ours[first], theirs[first]].iter().zip(book.marks) {
            prop_assert_eq!(mark((leaf.hash(JOB), leaf.tally())), mark_, "whoever has the leaf can show it");
        }
    }

    /// Inflated units or failures under a right root: there is no list for them.
    #[test]
    fn a_sum_that_is_not_that_of_the_leaves_cannot_be_walked(count in 2_u32..300, extra in 1_u64..1000, failure: bool) {
        let tree = tree(&leaves(count));
        let mut root = tree.root();
        if failure { root.tally.failures += 1 } else { root.tally.units += extra }
        let at = Place::top(count);
        let lied = mark((root.hash, root.tally));
        prop_assert_ne!(fold(list(&tree, at)).map(mark), Some(lied));
        // Nor with the difference put anywhere in it: another list has another hash.
        for place in 0..list(&tree, at).len() {
            let mut changed = list(&tree, at).to_vec();
            if failure { changed[place].1.failures += 1 } else { changed[place].1.units += extra }
            prop_assert_ne!(fold(&changed).map(mark), Some(lied));
        }
    }

    #[test]
    fn no_other_list_folds_to_a_node(count in 2_u32..300, place: u32, flip in 0_usize..6) {
        let tree = tree(&leaves(count));
        let at = Place::top(count);
        let nodes = list(&tree, at);
        let mut changed = nodes.to_vec();
        let place = place as usize % changed.len();
        match flip {
            0 => changed[place].0.0[0] ^= 1,
            1 => changed[place].1.units += 1,
            2 => changed[place].1.failures += 1,
            3 => changed.push(nodes[place]),
            4 => { changed.remove(place); }
            _ => changed.rotate_left(1),
        }
        prop_assert!(fold(&changed).map(mark) != Some(top(&tree)), "{}", flip);
    }

    /// Where only a sum differs, whoever has lied about it comes no further.
    #[test]
    fn who_lies_about_a_sum_on_the_way_is_stuck(count in 17_u32..300, place: u32, extra in 1_u64..1000) {
        let honest = tree(&leaves(count));
        let at = Place::top(count);
        let mut lie = list(&honest, at).to_vec();
        let place = place as usize % lie.len();
        lie[place].1.units += extra;
        let (hash, tally) = fold(&lie).unwrap();
        let mut book = Book { leaves: count, at, marks: [top(&honest), mark((hash, tally))] };
        prop_assert!(book.walk([list(&honest, at), &lie]));
        prop_assert_eq!(book.at.index as usize, place, "that node");
        while !book.at.is_leaf() {
            let nodes = list(&honest, book.at);
            let mut again = nodes.to_vec();
            again[0].1.units += extra;
            if !book.walk([nodes, &again]) {
                return Ok(());
            }
            prop_assert_eq!(nodes.len(), 1, "a node that goes up alone is what it is above");
        }
        // Above a single leaf: it cannot be shown.
        prop_assert_ne!(mark(honest.level(0).unwrap()[book.at.index as usize]), book.marks[1]);
    }
}
