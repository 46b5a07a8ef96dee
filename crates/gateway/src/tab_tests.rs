use proptest::prelude::*;

use super::*;

const OWN: Address = Address::repeat_byte(0xa);
const OTHER: Address = Address::repeat_byte(0xb);
const BOOK: B256 = B256::repeat_byte(7);

fn node(number: u8) -> Address {
    Address::repeat_byte(number)
}

fn tab(owner: Option<Address>, number: u8, charges: &[u128]) -> Tab {
    let sum = charges.iter().fold(Sum::default(), |sum, charge| {
        sum.with(Amount(*charge), &charge.to_be_bytes()).unwrap()
    });
    Tab { owner, node: node(number), sum }
}

fn numbers(all: &[(u8, u32)]) -> BTreeMap<Address, u32> {
    all.iter().map(|(byte, number)| (node(*byte), *number)).collect()
}

#[test]
fn nodes_of_one_provider_are_one_line_and_keys_without_an_owner_are_the_operators() {
    let tabs = [
        tab(None, 1, &[5, 6]),
        tab(None, 2, &[7]),
        tab(Some(OWN), 1, &[100]),
        tab(Some(OTHER), 3, &[1]),
        tab(None, 9, &[2]),
    ];
    let mut known = Known { numbers: numbers(&[(1, 4), (2, 4), (3, 5)]), ..Known::default() };
    let open = owed(&tabs, &known).unwrap();
    assert_eq!(open.len(), 4, "{open:#?}");
    assert_eq!((open[0].payer, open[0].provider, &open[0].nodes), (None, None, &vec![node(9)]));
    assert_eq!((open[1].total, open[1].answers), (Amount(18), 3));
    assert_eq!(open[1].nodes, [node(1), node(2)]);
    assert_eq!(statement(&open, OWN, BOOK).due(), Some(Amount(100)));

    // Now the first owner pays for those without one as well, from the same tab.
    known.operator = Some(OWN);
    known.settled.insert((OWN, 4), Amount(100));
    let open = owed(&tabs, &known).unwrap();
    let stated = statement(&open, OWN, BOOK);
    assert_eq!(stated.lines.len(), 1, "a node without a number cannot be paid: {stated:?}");
    assert_eq!((stated.lines[0].total, stated.lines[0].due()), (Amount(118), Amount(18)));
    assert_eq!(statement(&open, OTHER, BOOK).due(), Some(Amount(1)));
    assert_eq!(statement(&open, node(1), BOOK).lines, []);
    let due = due_by_payer(&open);
    // With the two units of the node that cannot be paid.
    assert_eq!((due[&OWN], due[&OTHER], due.len()), (Amount(20), Amount(1), 2));
}

#[test]
fn owners_whose_payer_has_no_more_than_is_due_are_uncovered() {
    let tabs = [tab(None, 1, &[4]), tab(Some(OWN), 1, &[5]), tab(Some(OTHER), 1, &[7])];
    let owners = BTreeSet::from([None, Some(OWN), Some(OTHER), Some(node(3))]);
    let free: BTreeMap<_, _> = [(OWN, 9), (OTHER, 7)].map(|(who, free)| (who, Amount(free))).into();
    let look = |operator: Option<Address>, free: &BTreeMap<Address, Amount>| {
        let known = Known { numbers: numbers(&[(1, 4)]), operator, ..Known::default() };
        uncovered(owners.clone(), operator, free, &owed(&tabs, &known).unwrap())
    };
    // One has more than is due from it, one as much; of one nothing is known, and nobody pays for no owner's keys.
    assert_eq!(look(None, &free), BTreeSet::from([Some(OTHER)]));
    // Whoever pays for those as well has both to pay.
    assert_eq!(look(Some(OWN), &free), BTreeSet::from([None, Some(OWN), Some(OTHER)]));
    let more = BTreeMap::from([(OWN, Amount(10)), (OTHER, Amount(8)), (node(3), Amount(0))]);
    assert_eq!(look(Some(OWN), &more), BTreeSet::from([Some(node(3))]));
}

#[test]
fn the_hash_is_of_these_receipts_in_this_order() {
    let hash = |charges: &[u128]| tab(None, 1, charges).sum.receipts;
    assert_eq!(hash(&[1, 2]), hash(&[1, 2]));
    assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
    assert_ne!(hash(&[1]), hash(&[1, 0]));
    let line = |tabs: &[Tab]| {
        let known = Known { numbers: numbers(&[(1, 4), (2, 4)]), ..Known::default() };
        owed(tabs, &known).unwrap()[0].receipts
    };
    let (first, second) = (tab(None, 1, &[1]), tab(None, 2, &[2]));
    assert_eq!(line(&[first, second]), line(&[second, first]), "whatever the books' order");
    assert_ne!(line(&[first]), line(&[first, second]));
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let full = tab(None, 1, &[u128::MAX]);
    assert_eq!(full.sum.with(Amount(1), b""), None);
    let known = Known { numbers: numbers(&[(1, 4), (2, 4)]), ..Known::default() };
    assert_eq!(owed(&[full, tab(None, 2, &[1])], &known), None);
}

#[test]
fn groups_are_named_by_texts_that_are_read_again() {
    for payer in [None, Some(OWN)] {
        for (provider, node) in [(None, Some(node(1))), (Some(0), None), (Some(u32::MAX), None)] {
            let group = Group { payer, provider, node };
            assert_eq!(group.to_string().parse(), Ok(group), "{group}");
        }
    }
    for wrong in ["", "0", "7", "-.-", "-.-.-.-", "-.x.-", "-.-1.-", "0x1.4.-", "-.4294967296.-"] {
        assert_eq!(wrong.parse::<Group>(), Err(NoGroup), "{wrong}");
    }
}

#[test]
fn each_of_what_is_owed_says_which_it_is() {
    let tabs: Vec<Tab> = (1..9)
        .map(|number| tab((number % 3 == 0).then_some(OWN), number, &[number.into()]))
        .collect();
    let known = Known { numbers: numbers(&[(2, 4), (3, 4), (5, 4), (6, 2)]), ..Known::default() };
    let owed = owed(&tabs, &known).unwrap();
    let groups: Vec<Group> = owed.iter().map(Owed::group).collect();
    assert!(groups.is_sorted_by(|one, next| one < next), "{groups:?}");
    assert_eq!(page(&owed, None, 99), owed);
    assert_eq!(page(&owed, Some(groups[1]), 2), &owed[2..4]);
    assert_eq!(page(&owed, groups.last().copied(), 2), []);
}

/// What may happen to a gateway and its payer, in any order.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// An answer of a node is charged.
    Charge(u8, u128),
    /// A statement is made out of what is known.
    State,
    /// The statement is in a block: once, twice, or again later.
    Pay,
    /// The chain is asked, and the answer written down.
    Look,
    /// Killed: what was stated but not sent is forgotten.
    Kill,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0_u8..4, 0_u128..1_000).prop_map(|(node, charge)| Happens::Charge(node, charge)),
        2 => Just(Happens::State),
        3 => Just(Happens::Pay),
        1 => Just(Happens::Look),
        1 => Just(Happens::Kill),
    ]
}

/// The contract's rule: the total above the one before is paid.
fn settle(chain: &mut BTreeMap<u32, u128>, paid: &mut BTreeMap<u32, u128>, stated: &Statement) {
    for line in &stated.lines {
        let before = chain.entry(line.provider).or_default();
        let due = line.total.0.saturating_sub(*before);
        *before += due;
        *paid.entry(line.provider).or_default() += due;
    }
}

proptest! {
    #[test]
    fn nothing_is_paid_twice_and_in_the_end_everything_once(
        steps in prop::collection::vec(happens(), 0..80),
    ) {
        // Nodes 0 and 1 are one provider's.
        let numbers = numbers(&[(0, 1), (1, 1), (2, 2), (3, 3)]);
        let mut known = Known { numbers, operator: Some(OWN), ..Known::default() };
        let mut sums = [Sum::default(); 4];
        let (mut chain, mut paid) = (BTreeMap::new(), BTreeMap::new());
        let mut stated = None;
        let all = |sums: &[Sum; 4], known: &Known| {
            let tabs = (0..4).map(|number| Tab {
                owner: None,
                node: node(number),
                sum: sums[usize::from(number)],
            });
            owed(&tabs.collect::<Vec<_>>(), known).unwrap()
        };
        let look = |chain: &BTreeMap<u32, u128>, known: &mut Known| {
            for (number, total) in chain {
                known.settled.insert((OWN, *number), Amount(*total));
            }
        };
        for step in steps.into_iter().chain([Happens::State, Happens::Pay, Happens::Pay]) {
            match step {
                Happens::Charge(node, charge) => {
                    let sum = &mut sums[usize::from(node)];
                    *sum = sum.with(Amount(charge), b"receipt").unwrap();
                }
                Happens::State => stated = Some(statement(&all(&sums, &known), OWN, BOOK)),
                Happens::Pay => {
                    if let Some(stated) = &stated {
                        settle(&mut chain, &mut paid, stated);
                    }
                }
                Happens::Look => look(&chain, &mut known),
                Happens::Kill => stated = None,
            }
            for one in all(&sums, &known) {
                let number = one.provider.unwrap();
                let paid = paid.get(&number).copied().unwrap_or(0);
                prop_assert!(paid <= one.total.0, "never more than was charged");
                prop_assert!(one.settled.0 <= paid, "what is known is never ahead of the chain");
                prop_assert_eq!(one.due().0 + one.settled.0, one.total.0);
            }
        }
        look(&chain, &mut known);
        let charged: u128 = sums.iter().map(|sum| sum.amount.0).sum();
        prop_assert_eq!(paid.values().sum::<u128>(), charged);
        prop_assert_eq!(statement(&all(&sums, &known), OWN, BOOK).due(), Some(Amount(0)));
    }

    /// Whatever comes and goes between the pages.
    #[test]
    fn what_is_owed_all_the_time_is_on_exactly_one_page(
        kept in prop::collection::btree_set(0_u8..120, 0..30),
        changing in prop::collection::vec(prop::collection::btree_set(0_u8..120, 0..30), 40),
        most in 1_usize..8,
    ) {
        // The same tab is every time of the same payer, and of the same provider or of none.
        let of = |number: &u8| {
            let owner = [None, Some(OWN), Some(OTHER)][usize::from(number % 3)];
            Tab { owner, ..tab(None, *number, &[1]) }
        };
        let known: Vec<(u8, u32)> =
            (0..120).filter(|n| n % 4 > 0).map(|n| (n, u32::from(n) + 7)).collect();
        let known = Known { numbers: numbers(&known), ..Known::default() };
        let due = |tabs: &BTreeSet<u8>| {
            owed(&tabs.iter().map(of).collect::<Vec<_>>(), &known).unwrap()
        };
        let (mut seen, mut last, mut is_over) = (Vec::new(), None, false);
        for others in &changing {
            let now = due(&kept.union(others).copied().collect());
            let page = page(&now, last, most);
            seen.extend(page.iter().map(Owed::group));
            last = page.last().map(Owed::group).or(last);
            if page.len() < most {
                is_over = true;
                break;
            }
        }
        prop_assert!(is_over || seen.len() == most * changing.len());
        prop_assert!(seen.is_sorted_by(|one, next| one < next), "none comes twice: {:?}", seen);
        if is_over {
            for one in due(&kept) {
                prop_assert!(seen.contains(&one.group()), "{:?} is missing", one);
            }
        }
    }
}
