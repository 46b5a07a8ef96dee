//! What an auditor's memory of what it holds remembers, and what it makes room for.

use super::*;

const SHELF: Shelf = Shelf { chain_id: 7, holders: Address::repeat_byte(2) };

fn range(seq: u32) -> RangeId {
    RangeId { job: JobId(3), seq }
}

fn open(root: &Path) -> Holds {
    Holds::open(root, SHELF, 5, 10 * MIB).unwrap()
}

fn fits(holds: &Holds, range: RangeId, mib: u32) -> bool {
    holds.admit(range, mib).is_ok()
}

#[test]
fn what_is_held_is_known_to_the_next_life() {
    let dir = tempfile::tempdir().unwrap();
    let holds = open(dir.path());
    assert!(fits(&holds, range(1), 4) && fits(&holds, range(2), 4));
    assert!(!fits(&holds, range(3), 3), "both are coming");
    assert!(fits(&holds, range(2), 6), "instead of what it was");
    holds.came(range(1), 4).unwrap();
    holds.left(range(2));
    assert!(holds.has(range(2)), "what came of it is still to be removed");
    holds.forget(range(2));
    assert!(!holds.has(range(2)) && !holds.has(range(3)));
    holds.keep(range(1), 9_000);
    holds.announced(vec![1, 2]).unwrap();
    holds.read_up_to(204);
    assert_eq!(holds.next_block(), 5, "not worth a write");
    holds.read_up_to(205);
    let shown = HeldRange { range: range(1), mib: 4, until: Some(9) };
    assert_eq!(held(dir.path()).unwrap(), [shown], "while it is open, too");
    drop(holds);

    let holds = open(dir.path());
    assert_eq!((holds.all(), holds.next_block()), (vec![range(1)], 205));
    assert!(holds.is_announced(&[1, 2]) && !holds.is_announced(&[]));
    assert!(holds.has(range(1)) && !holds.has(range(2)));
    assert!(fits(&holds, range(4), 6) && !fits(&holds, range(4), 7));
    // What was fetched again is kept for as long as before.
    holds.came(range(1), 4).unwrap();
    assert_eq!(holds.lock().held[&range(1)].until, 9_000);
    holds.forget(range(1));
    assert!(open(dir.path()).all().is_empty());
    assert!(held(&dir.path().join("another")).unwrap().is_empty());
}

/// Else a restart would read the chain from the oldest range that is kept, or would not know of one.
#[test]
fn a_later_block_is_noted_with_the_ranges_that_are_taken_up_without_logs() {
    let dir = tempfile::tempdir().unwrap();
    let holds = open(dir.path());
    assert!(holds.noted().is_empty());
    assert!(fits(&holds, range(1), 2) && fits(&holds, range(2), 2));
    assert!(holds.noted().is_empty(), "they are not here yet");
    holds.came(range(1), 2).unwrap();
    holds.came(range(2), 2).unwrap();
    assert_eq!(holds.noted(), BTreeSet::from([range(1), range(2)]));
    holds.read_up_to(900);
    // Asked for anew while it is being unpinned, it would be noted nowhere.
    holds.let_go(range(1));
    assert_eq!(holds.noted(), BTreeSet::from([range(2)]));
    drop(holds);

    let holds = open(dir.path());
    assert_eq!(holds.noted(), BTreeSet::from([range(1), range(2)]), "nobody has unpinned it");
    assert_eq!(holds.next_block(), 900);
    holds.let_go(range(1));
    holds.forget(range(1));
    // What is being unpinned would take along what is fetched meanwhile.
    holds.let_go(range(2));
    assert!(!fits(&holds, range(2), 2) && holds.came(range(2), 2).is_err());
    holds.stays(range(2));
    assert_eq!(holds.noted(), BTreeSet::from([range(2)]), "it could not be unpinned");
    holds.let_go(range(2));
    holds.forget(range(2));
    assert!(fits(&holds, range(2), 2));
    holds.came(range(2), 2).unwrap();
    assert_eq!(holds.noted(), BTreeSet::from([range(2)]), "fetched again");
    drop(holds);
    fs::remove_file(dir.path().join(FILE)).unwrap();
    let holds = open(dir.path());
    assert_eq!((holds.noted(), holds.next_block()), (BTreeSet::new(), 5), "by the logs alone");
}

/// That is over soon, and no room on the disk helps.
#[test]
fn what_is_being_removed_is_not_said_to_find_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let holds = open(dir.path());
    assert!(fits(&holds, range(1), 4));
    holds.let_go(range(1));
    for error in [holds.came(range(1), 4), holds.admit(range(1), 4)].map(Result::unwrap_err) {
        assert!(matches!(error, HoldError::Going), "{error}");
        assert!(error.advice().unwrap().contains("tried again"), "{error}");
    }
    let error = holds.admit(range(2), 11).unwrap_err();
    assert!(matches!(error, HoldError::Full(11)), "{error}");
    holds.forget(range(1));
    assert!(fits(&holds, range(1), 4), "it is over");
}

#[test]
fn inputs_leave_half_of_the_disk_to_ranges() {
    let dir = tempfile::tempdir().unwrap();
    let holds = open(dir.path());
    let inputs = |job| RangeId::inputs(JobId(job));
    assert!(!fits(&holds, inputs(1), 6), "half of ten");
    assert!(fits(&holds, inputs(1), 3) && fits(&holds, inputs(2), 2));
    assert!(!fits(&holds, inputs(3), 1), "both together have it");
    assert!(fits(&holds, range(1), 5) && !fits(&holds, range(2), 1));
    holds.left(inputs(2));
    holds.came(inputs(1), 3).unwrap();
    assert!(fits(&holds, range(2), 2) && !fits(&holds, inputs(2), 1), "now nothing is left");
}

#[test]
fn the_memory_of_another_chain_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = Shelf { chain_id: 8, ..SHELF };
    let error = Holds::open(dir.path(), other, 5, 0).unwrap_err();
    assert!(matches!(error, ProviderError::OtherNetwork { .. }), "{error}");
    fs::write(dir.path().join(FILE), "{").unwrap();
    assert!(held(dir.path()).is_err());
    assert_eq!(open(dir.path()).next_block(), 5, "the chain says it again");
}

#[test]
fn names_of_content_are_those_of_no_job() {
    assert_eq!(tag(range(4)).unwrap(), Tag::new("hold/3/4").unwrap());
}
