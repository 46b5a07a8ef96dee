//! Whole stories of replicated ranges, as the chain tells them.

use alloy::{
    primitives::{Address, Log as Plain, aliases::U40},
    sol_types::SolEvent,
};
use tilth_contracts::{Replicas, bindings::replicas::MerkleSum};

use super::*;

// `IReplicas.Outcome`.
const MATCHED: u8 = 1;
const ALONE: u8 = 2;
const UNEQUAL: u8 = 3;
const SILENTLY: u8 = 4;

fn log<E: SolEvent>(event: &E) -> Log {
    let inner = Plain { address: Address::ZERO, data: event.encode_log_data() };
    let (block, transaction) = (Some(9), Some(B256::repeat_byte(7)));
    Log { inner, block_number: block, transaction_hash: transaction, ..Log::default() }
}

fn sealed(seq: u32, provider: u32) -> Log {
    log(&Replicas::MateDue { jobId: 7, seq, round: 3, provider, due: U40::from(5) })
}

fn drawn(seq: u32, number: u32) -> Log {
    log(&Replicas::MateDrawn { jobId: 7, seq, number, due: U40::from(5) })
}

fn committed(seq: u32) -> Log {
    let sealed_ = B256::repeat_byte(1);
    log(&Replicas::MateCommitted { jobId: 7, seq, sealed_, due: U40::from(5) })
}

fn shown(seq: u32, number: u32) -> Log {
    let root = B256::repeat_byte(2);
    log(&Replicas::RootShown { jobId: 7, seq, number, root, units: 5, failures: 0 })
}

fn mate_lost(seq: u32, number: u32, why: u8) -> Log {
    log(&Replicas::MateLost { jobId: 7, seq, number, why, cut: 50 })
}

fn closed(seq: u32, outcome: u8) -> Log {
    log(&Replicas::ReplicaClosed { jobId: 7, seq, outcome })
}

fn told(logs: &[Log]) -> Vec<Entry> {
    let entries: Vec<_> = logs.iter().filter_map(entry).collect();
    assert_eq!(entries.len(), logs.len(), "all of them are read");
    entries
}

fn range(seq: u32) -> RangeId {
    RangeId { job: JobId(7), seq }
}

#[test]
fn two_providers_find_the_same() {
    let story =
        [sealed(0, 5), drawn(0, 4), committed(0), shown(0, 4), shown(0, 5), closed(0, MATCHED)];
    let states = [
        (ReplicaState::Sealed, None),
        (ReplicaState::Working, Some(4)),
        (ReplicaState::Revealing, Some(4)),
        (ReplicaState::Revealing, Some(4)),
        (ReplicaState::Revealing, Some(4)),
        (ReplicaState::Closed, Some(4)),
    ];
    for (last, state) in states.into_iter().enumerate() {
        let replica = standings(&told(&story[..=last]))[&range(0)];
        assert_eq!((replica.state, replica.mate), state, "after {last}");
        assert_eq!(replica.outcome == ReplicaOutcome::Matched, last == 5);
    }
    let entries = told(&story);
    assert_eq!((entries[0].block, entries[0].transaction), (9, B256::repeat_byte(7)));
    assert_eq!(entries[2].what.hash(), Some(B256::repeat_byte(1)));
    assert_eq!(entries[3].what.hash(), Some(B256::repeat_byte(2)));
    assert_eq!(entries[5].what.words(), "roots: matched");
    let records = records(&entries);
    let one = Record { matched: 1, ..Record::default() };
    assert_eq!(records, BTreeMap::from([(4, one), (5, one)]));
    // What names it, and the end.
    let about = |number| of_provider(&entries, number).len();
    assert_eq!((about(5), about(4), about(6)), (3, 3, 0));
}

#[test]
fn who_is_late_or_silent_is_named_and_has_no_part_in_the_end() {
    let story = [
        sealed(0, 5),
        drawn(0, 4),
        mate_lost(0, 4, 0),
        drawn(0, 3),
        committed(0),
        shown(0, 5),
        mate_lost(0, 3, 1),
        closed(0, ALONE),
    ];
    let entries = told(&story);
    let replica = standings(&entries)[&range(0)];
    let (primary, mate) = (5, None);
    let (state, outcome) = (ReplicaState::Closed, ReplicaOutcome::Alone);
    assert_eq!(replica, Replica { primary, mate, state, outcome });
    let late = Record { late: 1, ..Record::default() };
    let silent = Record { silent: 1, ..Record::default() };
    assert_eq!(records(&entries), BTreeMap::from([(4, late), (3, silent)]));
    let words: Vec<_> = of_provider(&entries, 3).iter().map(|entry| entry.what.words()).collect();
    assert_eq!(words, ["drawn as mate", "mate was silent"]);
    assert_eq!(of_provider(&entries, 4)[1].what.cut(), Some(Amount(50)));
}

#[test]
fn a_provider_that_does_not_show_its_root_is_silent() {
    let lost = log(&Replicas::PrimaryLost { jobId: 7, seq: 1, number: 5, cut: 90 });
    let alone = log(&Replicas::NoMate { jobId: 7, seq: 1, lapsed: true, due: U40::from(5) });
    let story = [sealed(1, 5), alone, closed(1, SILENTLY), lost];
    let entries = told(&story);
    assert_eq!(standings(&entries)[&range(1)].outcome, ReplicaOutcome::Silent);
    assert_eq!(records(&entries)[&5], Record { silent: 1, ..Record::default() });
    assert_eq!(entries[3].what.cut(), Some(Amount(90)));
    assert_eq!(of_provider(&entries, 5).len(), 3, "seal, end and punishment");
}

#[test]
fn different_roots_are_walked_down_to_a_leaf() {
    let step =
        |level| log(&Replicas::WalkStep { jobId: 7, seq: 0, level, index: 0, due: U40::from(5) });
    let nodes = Vec::new();
    let posted = Replicas::NodesPosted {
        jobId: 7,
        seq: 0,
        number: 5,
        level: 3,
        index: 0,
        nodes,
        due: U40::from(5),
    };
    let output = B256::repeat_byte(3);
    let leaf = |index| {
        let leaf = MerkleSum::Leaf { job: 7, index, status: 0, output, size: 32, units: 1 };
        log(&Replicas::LeafShown { jobId: 7, seq: 0, number: 5, leaf })
    };
    let story = [
        (sealed(0, 5), ReplicaState::Sealed, "seal handed in"),
        (drawn(0, 4), ReplicaState::Working, "drawn as mate"),
        (committed(0), ReplicaState::Revealing, "mate committed"),
        (step(3), ReplicaState::Walking, "roots differ: nodes are awaited"),
        (log(&posted), ReplicaState::Walking, "nodes posted"),
        (step(0), ReplicaState::Showing, "roots differ: the leaf is awaited"),
        (leaf(41), ReplicaState::Showing, "leaf of task 41 shown"),
        (leaf(u32::MAX), ReplicaState::Showing, "leaf of the prepare phase shown"),
        (
            log(&Replicas::LeafDisputed { jobId: 7, seq: 0, position: 0 }),
            ReplicaState::Disputed,
            "leaf before the auditors",
        ),
        (mate_lost(0, 4, 2), ReplicaState::Disputed, "mate was wrong"),
        (closed(0, ALONE), ReplicaState::Closed, "roots: without a mate"),
    ];
    let entries = told(&story.each_ref().map(|(log, ..)| log.clone()));
    for (last, (_, state, words)) in story.iter().enumerate() {
        assert_eq!(standings(&entries[..=last])[&range(0)].state, *state, "{words}");
        assert_eq!(entries[last].what.words(), *words);
    }
    assert_eq!(entries[4].what.provider(), Some(5));
    assert_eq!((entries[6].what.provider(), entries[6].what.hash()), (Some(5), Some(output)));
    assert_eq!(records(&entries)[&4], Record { wrong: 1, ..Record::default() });
}

#[test]
fn different_roots_are_counted_with_both() {
    let story = [sealed(0, 5), drawn(0, 4), committed(0), closed(0, UNEQUAL), sealed(1, 4)];
    let entries = told(&story);
    let one = Record { unequal: 1, ..Record::default() };
    assert_eq!(records(&entries), BTreeMap::from([(4, one), (5, one)]));
    assert_eq!(standings(&entries)[&range(1)].state, ReplicaState::Sealed);
    // An end without a beginning, and an outcome that is not known yet.
    assert!(standings(&told(&[closed(2, MATCHED)])).is_empty());
    let strange = told(&[sealed(3, 5), closed(3, 77)]);
    assert_eq!(strange[1].what.words(), "over");
    assert_eq!(standings(&strange)[&range(3)].outcome, ReplicaOutcome::Open);
}
