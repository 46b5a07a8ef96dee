use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;

/// Connection `connection` of host `host`, each with a number of its own.
fn caller(host: u8, connection: u8) -> Caller {
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, host));
    Caller::new(Some(address), u64::from(host) * 256 + u64::from(connection))
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u8),
    /// The holder of this index among all.
    GiveBack(usize),
    /// The one that waits, of this index among all.
    Withdraw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..4, 0_u8..3).prop_map(|(host, connection)| Step::Ask(host, connection)),
        3 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Withdraw),
    ]
}

/// What should be so: who holds places and who waits, as plain lists in order of asking.
#[derive(Default)]
struct Model {
    held: Vec<Caller>,
    waiting: Vec<(Caller, u64)>,
}

impl Model {
    fn held_by(&self, is_it: impl Fn(&Caller) -> bool) -> usize {
        self.held.iter().filter(|caller| is_it(caller)).count()
    }

    fn of_host(&self, caller: Caller) -> usize {
        self.held_by(|held| held.host == caller.host)
    }

    fn of_connection(&self, caller: Caller) -> usize {
        self.held_by(|held| *held == caller)
    }
}

proptest! {
    #[test]
    fn places_go_to_those_that_hold_the_fewest_and_none_is_left_unused(
        count in 1_usize..6,
        with_room in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (mut shares, host_max, connection_max) = if with_room {
            (Shares::with_room(count), (count - count.div_ceil(4)).max(1), count.div_ceil(2))
        } else {
            (Shares::new(count), count, count)
        };
        let mut model = Model::default();
        for (ticket, step) in (0_u64..).zip(steps) {
            match step {
                Step::Ask(host, connection) => {
                    shares.ask(caller(host, connection), ticket);
                    model.waiting.push((caller(host, connection), ticket));
                }
                Step::GiveBack(index) if !model.held.is_empty() => {
                    let index = index % model.held.len();
                    shares.give_back(model.held.remove(index));
                }
                Step::Withdraw(index) if !model.waiting.is_empty() => {
                    let index = index % model.waiting.len();
                    let (caller, ticket) = model.waiting.remove(index);
                    prop_assert!(shares.withdraw(caller, |waits| *waits == ticket));
                    prop_assert!(!shares.withdraw(caller, |waits| *waits == ticket));
                }
                Step::GiveBack(_) | Step::Withdraw(_) => {}
            }
            let is_able = |model: &Model, caller: Caller| {
                model.of_host(caller) < host_max && model.of_connection(caller) < connection_max
            };
            while let Some((served, ticket)) = shares.serve() {
                // Each connection's in their order.
                let first = model.waiting.iter().position(|(caller, _)| *caller == served);
                let (_, expected) = model.waiting.remove(first.unwrap());
                prop_assert_eq!(ticket, expected);
                prop_assert!(is_able(&model, served));
                for (other, _) in &model.waiting {
                    if !is_able(&model, *other) {
                        continue;
                    }
                    prop_assert!(model.of_host(*other) >= model.of_host(served));
                    if other.host == served.host {
                        prop_assert!(model.of_connection(*other) >= model.of_connection(served));
                    }
                }
                model.held.push(served);
                prop_assert!(model.held.len() <= count);
            }
            let could = model.waiting.iter().any(|(caller, _)| is_able(&model, *caller));
            prop_assert!(model.held.len() == count || !could);
            prop_assert_eq!(shares.anybody_waits(), !model.waiting.is_empty());
            // Whoever holds nothing and wants nothing is forgotten.
            let mut known: Vec<_> =
                model.held.iter().chain(model.waiting.iter().map(|(caller, _)| caller)).collect();
            known.sort_unstable_by_key(|caller| caller.connection);
            known.dedup();
            let kept: usize = shares.hosts.iter().map(|host| host.connections.len()).sum();
            prop_assert_eq!(kept, known.len());
        }
    }

    /// However many connections a host has and however much it asks for.
    #[test]
    fn those_that_always_want_more_get_the_same(
        hosts in prop::collection::vec((1_u8..5, 1_usize..4), 2..6),
        rounds in 1_u64..20,
    ) {
        let mut shares = Shares::new(1);
        for (host, (connections, each)) in (0_u8..).zip(&hosts) {
            for connection in 0..*connections {
                for _ in 0..*each {
                    shares.ask(caller(host, connection), ());
                }
            }
        }
        let mut served: BTreeMap<Option<IpAddr>, BTreeMap<u64, u64>> = BTreeMap::new();
        for _ in 0..rounds * hosts.len() as u64 {
            let (caller, ()) = shares.serve().unwrap();
            *served.entry(caller.host).or_default().entry(caller.connection).or_default() += 1;
            prop_assert!(shares.serve().is_none());
            shares.give_back(caller);
            shares.ask(caller, ());
        }
        prop_assert_eq!(served.len(), hosts.len());
        for (connections, (wanted, _)) in served.values().zip(&hosts) {
            prop_assert_eq!(connections.values().sum::<u64>(), rounds);
            let all = (0..u64::from(*wanted)).map(|place| {
                connections.values().nth(usize::try_from(place).unwrap()).copied().unwrap_or(0)
            });
            let (least, most) = (all.clone().min().unwrap(), all.max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", connections);
        }
    }
}

#[test]
fn one_caller_leaves_room_for_the_next() {
    for (count, connection, host) in [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 2, 3), (16, 8, 12)] {
        let mut shares = Shares::with_room(count);
        for _ in 0..100 {
            shares.ask(caller(1, 1), ());
        }
        let served = std::iter::from_fn(|| shares.serve()).count();
        assert_eq!(served, connection, "{count}");
        for number in 2..102 {
            shares.ask(caller(1, number), ());
        }
        let more = std::iter::from_fn(|| shares.serve()).count();
        assert_eq!(served + more, host, "{count}");
        shares.ask(caller(2, 1), ());
        assert_eq!(shares.serve().map(|(who, ())| who), (count > 1).then_some(caller(2, 1)));
    }
}

#[test]
fn addresses_that_anybody_has_by_the_million_are_one_host() {
    let host = |text: &str| Caller::new(Some(text.parse().unwrap()), 7).host;
    assert_eq!(host("2001:db8::1"), host("2001:db8::ffff:2"));
    assert_ne!(host("2001:db8::1"), host("2001:db8:0:1::1"));
    assert_eq!(host("::ffff:10.0.0.1"), host("10.0.0.1"));
    assert_ne!(host("10.0.0.2"), host("10.0.0.1"));
    assert_eq!(Caller::default(), Caller::NODE);
}
