//! The page that lists the methods says what the node does.

use std::collections::BTreeSet;

/// What the second column says of a served method.
const SERVED: &str = "served";

/// Names and what is said of them, from the page's table with this heading.
fn listed(heading: &str) -> Vec<(&'static str, &'static str)> {
    let page = include_str!("../../../../docs/reference/rpc.md");
    let (_, table) = page.split_once(&format!("| method | {heading} |\n|---|---|\n")).unwrap();
    let table = table.split("\n\n").next().unwrap();
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.splitn(2, "` | ");
        Some((cells.next()?, cells.next()?))
    };
    table.lines().map(|line| row(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

#[test]
fn every_method_of_geth_is_served_or_refused_with_a_reason() {
    let listed = listed("here");
    assert!(listed.is_sorted_by(|a, b| a.0 < b.0), "each method stands once, in order");
    let served: BTreeSet<_> =
        listed.iter().filter(|(_, said)| *said == SERVED).map(|(name, _)| *name).collect();
    let table: BTreeSet<_> = super::methods().names().into_iter().collect();
    assert_eq!(served, table);
    for (name, said) in listed.iter().filter(|(_, said)| *said != SERVED) {
        let reason = said.strip_prefix("no: ").unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(reason.len() > 10, "{name}: {reason}");
    }
    assert!(listed.len() > 115, "{}", listed.len());
}

#[test]
fn every_subscription_is_on_the_page() {
    let listed = listed("subjects");
    let subjects = listed.iter().flat_map(|(method, subjects)| {
        let namespace = method.strip_suffix("_subscribe").unwrap();
        subjects.split(", ").map(move |subject| (namespace, subject))
    });
    assert_eq!(subjects.collect::<BTreeSet<_>>(), super::subscriptions::subjects().collect());
}
