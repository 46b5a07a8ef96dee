//! Providers are paid for single answers: what the receipts say, once, whatever is killed in between.

use serde_json::{Value, json};

use crate::{
    net::{base_units, eventually},
    shop::{Shop, question},
};

fn free(shop: &Shop, account: &str) -> u128 {
    base_units(&shop.net.json(&["account", "show", account])["free"])
}

fn owed(shop: &Shop) -> Vec<Value> {
    shop.net.json(&["gateway", "owed"]).as_array().unwrap().clone()
}

fn due(shop: &Shop) -> u128 {
    owed(shop).iter().map(|one| base_units(&one["amount"])).sum()
}

/// Asks until it is answered: a network that was just started may not sell yet.
fn ask(shop: &Shop, key: &str) {
    eventually("an answer", || (shop.ask(key, &question(10)).status == 200).then_some(()));
}

/// What all receipts charge, and how many they are.
fn charged(shop: &Shop) -> (u128, usize) {
    let receipts = shop.net.json(&["gateway", "receipts"]);
    let receipts = receipts.as_array().unwrap();
    let charge = |one: &Value| base_units(&one["receipt"]["receipt"]["charge"]);
    (receipts.iter().map(charge).sum(), receipts.len())
}

/// Fees are a hundredth, rounded down for each provider.
fn fees(lines: &[Value]) -> u128 {
    lines.iter().map(|one| base_units(&one["amount"]) / 100).sum()
}

#[test]
fn providers_are_paid_what_the_receipts_say_and_only_once() {
    let mut shop = Shop::open(2);
    let (free_key, own_key) = (shop.key("1"), shop.key_of("own", "client"));
    for _ in 0..3 {
        ask(&shop, &free_key);
    }
    let (without_owner, _) = charged(&shop);
    ask(&shop, &own_key);
    let (all, answers) = charged(&shop);
    assert_eq!((due(&shop), answers), (all, 4), "nothing is settled yet");
    let (payer, first, second) =
        (free(&shop, "client"), free(&shop, "provider-1"), free(&shop, "provider-2"));

    // An owner pays for its own keys alone.
    let own = owed(&shop).into_iter().filter(|one| !one["payer"].is_null()).collect::<Vec<_>>();
    let done = shop.net.json(&["gateway", "settle"]);
    assert_eq!(base_units(&done["settled"]["fees"]), fees(&own), "{done}");
    assert_eq!(free(&shop, "client"), payer - (all - without_owner), "{done}");
    assert_eq!(due(&shop), without_owner, "{done}");
    assert!(done["without-payer"].as_u64().unwrap() > 0, "{done}");

    // And the operator for all others: to the last base unit.
    let others = owed(&shop);
    let done = shop.net.json(&["gateway", "settle", "--operator"]);
    assert_eq!(free(&shop, "client"), payer - all, "{done}");
    let earned = free(&shop, "provider-1") - first + free(&shop, "provider-2") - second;
    let fee = fees(&own) + fees(&others);
    assert_eq!(earned, all - fee, "{done}");
    assert_eq!(owed(&shop), Vec::<Value>::new());

    // Once, even if the gateway is killed, and forgets what it has not looked up.
    let again = shop.net.json(&["gateway", "settle", "--operator"]);
    assert_eq!(again["settled"]["paid"], "0", "{again}");
    shop.net.kill();
    shop.reopen(2);
    let again = shop.net.json(&["gateway", "settle"]);
    assert_eq!((base_units(&again["settled"]["paid"]), free(&shop, "client")), (0, payer - all));
    let history = shop.net.json(&["gateway", "owed", "--all"]);
    let sum = |field: &str| -> u128 {
        history.as_array().unwrap().iter().map(|one| base_units(&one[field])).sum()
    };
    assert_eq!((sum("total"), sum("settled"), sum("amount")), (all, all, 0), "{history}");

    // The provider's own account of it.
    let reports: u128 = ["provider-1", "provider-2"]
        .iter()
        .map(|name| {
            let report = shop.net.json(&["provider", "earnings", name, "--by", "job"]);
            base_units(&report["total"]["paid"])
        })
        .sum();
    assert_eq!(reports, all - fee);

    // Later answers are settled on top; somebody else cannot become the operator.
    ask(&shop, &free_key);
    let (more, _) = charged(&shop);
    let refused = shop.net.tilth(&["gateway", "settle", "--operator", "--account", "provider-1"]);
    assert!(refused.problem().contains("for good"), "{refused:?}");
    shop.net.json(&["gateway", "settle"]);
    assert_eq!(free(&shop, "client"), payer - more);
}

#[test]
fn a_balance_that_does_not_reach_pays_nothing_and_says_so() {
    let shop = Shop::open(1);
    shop.net.json(&["account", "new", "pauper"]);
    ask(&shop, &shop.key_of("pauper", "pauper"));
    ask(&shop, &shop.key("1"));
    let before = due(&shop);
    let refused = shop.net.tilth(&["gateway", "settle", "--account", "pauper"]);
    assert!(refused.problem().contains("the balance is too small"), "{refused:?}");
    assert_eq!(due(&shop), before);
    let nobody = shop.net.tilth(&["gateway", "settle", "--key", "/nowhere/at-all.key"]);
    assert!(nobody.problem().contains("the key file cannot be used"), "{nobody:?}");
    // Dust may wait, and is paid when it is asked for.
    let waits = shop.net.json(&["gateway", "settle", "--operator", "--above", "1"]);
    assert_eq!((&waits["settled"]["tabs"], due(&shop)), (&json!(0), before), "{waits}");
    let few = ["gateway", "settle", "--most", "0.000000000000000001"];
    let refused = shop.net.tilth(&few);
    assert!(refused.problem().contains("more is due than may be paid"), "{refused:?}");
    assert_eq!(due(&shop), before, "nothing is paid");
    let paid = shop.net.json(&["gateway", "settle", "--most", "1"]);
    assert_eq!(paid["settled"]["tabs"], 1, "{paid}");
    assert!(due(&shop) < before, "{paid}");
}

#[test]
fn a_gateway_with_an_account_pays_by_itself() {
    let mut shop = Shop::open(1);
    let model = shop.model.to_str().unwrap().to_owned();
    // Dear, so that one answer is more than dust.
    let dear = ["--model", &model, "--gateway", "127.0.0.1:0", "--output-price", "100000"];
    shop.net.kill();
    shop.net.up(1, &dear);
    let key = shop.key("900");
    ask(&shop, &key);
    let (all, _) = charged(&shop);
    let (payer, earned) = (free(&shop, "client"), free(&shop, "provider-1"));
    assert_eq!(due(&shop), all);
    shop.net.kill();
    shop.net.up(1, &[&dear[..], &["--gateway-payer", "client"]].concat());
    eventually("nothing is owed any more", || (due(&shop) == 0).then_some(()));
    assert_eq!(free(&shop, "client"), payer - all);
    assert_eq!(free(&shop, "provider-1"), earned + all - all / 100);
}
