use std::sync::Arc;

use alloy::{primitives::hex, sol_types::SolCall as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tilth_contracts::{Addresses, Registry as Nodes};
use tilth_service::options;
use tokio::sync::watch;

use super::*;
use crate::books::{Denied, tests::charge};

#[allow(dead_code, reason = "the client's own tests use more of it")]
#[path = "../../client/src/test_node.rs"]
pub(super) mod test_node;

/// Empty books in a folder.
pub(crate) fn empty() -> (TempDir, Books) {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    (folder, books)
}

/// Settles books on a chain that is away.
pub(crate) fn away(books: &Books) -> Settling {
    let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
    Settling::new(&link, 0, books.clone())
}

/// A node on which accounts have as many units free as their last byte says, and nothing is settled.
#[derive(Debug, Default)]
struct Node {
    /// Whose accounts were asked for.
    asked: watch::Sender<Vec<u8>>,
}

impl Node {
    /// What a call gives. No account is told before three were asked for.
    async fn call(&self, call: &Value) -> String {
        let to: Address = call["to"].as_str().unwrap().parse().unwrap();
        if to != Addresses::predeployed().ledger {
            // One total.
            return format!("0x{:064x}{:064x}{:064x}", 32, 1, 0);
        }
        let input = call["input"].as_str().or(call["data"].as_str()).unwrap();
        let account = u8::from_str_radix(&input[input.len() - 2..], 16).unwrap();
        self.asked.send_modify(|asked| asked.push(account));
        self.asked.subscribe().wait_for(|asked| asked.len() >= 3).await.unwrap();
        format!("0x{account:064x}{:064x}", 0)
    }

    /// A link to it.
    async fn serve(self: &Arc<Self>) -> Link {
        let node = Arc::clone(self);
        let says = move |asked: Value| {
            let node = Arc::clone(&node);
            async move { Ok::<Value, Value>(node.call(&asked["params"][0]).await.into()) }
        };
        Link::open(&test_node::serve(says).await, Addresses::predeployed()).unwrap()
    }
}

#[tokio::test]
async fn each_payer_is_asked_once_with_the_others_and_those_who_owe_all_they_have_are_refused() {
    let (_folder, books) = empty();
    let [node, poor, rich, operator] = [1, 5, 7, 9].map(Address::repeat_byte);
    books.adopt(operator).await.unwrap();
    books.see(vec![(node, 4)], Vec::new()).await.unwrap();
    let mut keys = Vec::new();
    for (owner, spent) in [(Some(poor), 5), (Some(rich), 6), (Some(operator), 4), (None, 4)] {
        let (key, _) = books.create("key", owner, Amount(100)).await.unwrap();
        charge(&books, &key, spent, 1).await;
        keys.push(key);
    }
    let node = Arc::new(Node::default());
    let settling = Settling::new(&node.serve().await, 0, books.clone());
    assert_eq!(settling.cover().await.unwrap(), 1);
    let mut asked = node.asked.borrow().clone();
    asked.sort_unstable();
    assert_eq!(asked, [5, 7, 9]);
    let is_refused = |key| matches!(books.visit(key, 9), Err(Denied::Uncovered));
    let refused: Vec<bool> = keys.iter().map(is_refused).collect();
    assert_eq!(refused, [true, false, false, false]);
}

#[test]
fn amounts_are_read_as_people_write_them() {
    let mut limits = crate::Limits::default();
    for (text, amount) in [("\"0.5\"", GRAIN / 2), ("0.05", GRAIN / 20), ("2", 2 * GRAIN), ("0", 0)]
    {
        options::set(&mut limits, "settle-above", text).unwrap();
        assert_eq!(limits.settle_above, Grain(Amount(amount)), "{text}");
    }
    for wrong in ["much", "-1", "true", "\"\""] {
        let refused = options::set(&mut limits, "settle-above", wrong).unwrap_err();
        assert!(refused.to_string().contains("GRAIN"), "{refused}");
    }
    let file = options::file(&crate::Limits::default());
    let mut again = crate::Limits::default();
    options::read(&mut again, &file).unwrap();
    assert_eq!(again.settle_above, crate::Limits::default().settle_above);
}

#[tokio::test]
async fn nobody_waits_for_what_is_looked_up_about_others() {
    let (_folder, books) = empty();
    let settling = away(&books);
    let (first, second) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let (theirs, _) = books.create("theirs", Some(second), Amount(9)).await.unwrap();
    charge(&books, &theirs, 5, 7).await;
    // The chain would have to be asked about the node of the other's tab.
    assert_eq!(settling.statement(first, false).await.unwrap().lines, []);
    settling.statement(second, false).await.unwrap_err();
}

#[tokio::test]
async fn a_chain_that_is_away_costs_nothing_but_the_answer() {
    let (_folder, books) = empty();
    let settling = away(&books);
    // Nothing is owed: nobody is asked.
    let (first, second) = (Address::repeat_byte(1), Address::repeat_byte(2));
    assert_eq!(settling.statement(first, false).await.unwrap().lines, []);
    assert_eq!(books.known().unwrap().operator, None);
    settling.statement(first, true).await.unwrap();
    let refused = settling.statement(second, true).await.unwrap_err();
    let SettleError::Books(error) = &refused else { panic!("{refused:?}") };
    assert_eq!(*error, BooksError::Operator(first));
    assert!(refused.problem().to_string().contains("from that account"));
}

/// A chain on which each node is its own owner's, and a provider with the number of its last byte; of node 5 it says
/// only this.
async fn chain_without_five(error: Value) -> Link {
    let says = move |asked: Value| {
        if asked["method"] == "eth_blockNumber" {
            return std::future::ready(Ok("0x9".into()));
        }
        let call = &asked["params"][0];
        let input = call["input"].as_str().or(call["data"].as_str()).unwrap();
        let (selector, account) = (&input[2..10], &input[input.len() - 40..]);
        let to: Address = call["to"].as_str().unwrap().parse().unwrap();
        let told: test_node::Said = if to == Addresses::predeployed().tabs {
            // Three units of one tab, and nothing of the other.
            Ok(format!("0x{:064x}{:064x}{:064x}{:064x}", 32, 2, 3, 0).into())
        } else if selector == hex::encode(Nodes::providerCall::SELECTOR) {
            let number = u8::from_str_radix(&account[38..], 16).unwrap();
            Ok(format!("0x{number:064x}{}", "0".repeat(14 * 64)).into())
        } else if account.ends_with("05") {
            Err(error.clone())
        } else {
            Ok(format!("0x{account:0>64}").into())
        };
        std::future::ready(told)
    };
    Link::open(&test_node::serve(says).await, Addresses::predeployed()).unwrap()
}

#[tokio::test]
async fn a_node_of_which_the_chain_says_nothing_keeps_no_other_from_being_paid() {
    // For good, and as one says it that is asked too much.
    for (code, is_away) in [(-32_602, false), (429, true)] {
        let (_folder, books) = empty();
        let payer = Address::repeat_byte(9);
        let (key, _) = books.create("key", Some(payer), Amount(100)).await.unwrap();
        for node in [4, 5, 6] {
            charge(&books, &key, 10, node).await;
        }
        let link = chain_without_five(json!({ "code": code, "message": "not this one" })).await;
        let link = link.with_patience(Duration::ZERO);
        let settling = Settling { link, first_block: 0, books: books.clone() };
        assert_eq!(settling.look().await.is_err(), is_away, "{code}");
        let known = books.known().unwrap();
        let numbers: Vec<u32> = known.numbers.into_values().collect();
        // What was found before the chain was away need not be asked for again.
        assert_eq!(numbers, if is_away { vec![4] } else { vec![4, 6] }, "{code}");
        let settled = if is_away { BTreeMap::new() } else { [((payer, 4), Amount(3))].into() };
        assert_eq!(known.settled, settled, "{code}");
    }
}

/// A chain on which three units of each tab are settled and two are free to every payer; of payer 5 it says only this.
async fn chain_without_payer_five(error: Value) -> Link {
    let says = move |asked: Value| {
        let call = &asked["params"][0];
        let input = call["input"].as_str().or(call["data"].as_str()).unwrap();
        let to: Address = call["to"].as_str().unwrap().parse().unwrap();
        // The first argument, and only that, is the payer.
        let told: test_node::Said = if input[10..74].ends_with("05") {
            Err(error.clone())
        } else if to == Addresses::predeployed().tabs {
            Ok(format!("0x{:064x}{:064x}{:064x}", 32, 1, 3).into())
        } else {
            Ok(format!("0x{:064x}{:064x}", 2, 0).into())
        };
        std::future::ready(told)
    };
    let link = Link::open(&test_node::serve(says).await, Addresses::predeployed()).unwrap();
    link.with_patience(Duration::ZERO)
}

#[tokio::test]
async fn a_payer_of_whom_the_chain_says_nothing_keeps_no_other_from_being_seen() {
    for (code, is_away) in [(-32_602, false), (429, true)] {
        let (_folder, books) = empty();
        let payers = [4, 5, 6].map(Address::repeat_byte);
        books.see(vec![(Address::repeat_byte(1), 7)], Vec::new()).await.unwrap();
        let mut keys = Vec::new();
        for payer in payers {
            let (key, _) = books.create("key", Some(payer), Amount(100)).await.unwrap();
            charge(&books, &key, 10, 1).await;
            keys.push(key);
        }
        let says = json!({ "code": code, "message": "not this one" });
        let link = chain_without_payer_five(says).await;
        let settling = Settling { link, first_block: 0, books: books.clone() };
        assert_eq!(settling.look().await.is_err(), is_away, "{code}");
        let seen = books.known().unwrap().settled.into_keys().map(|(payer, _)| payer);
        let before = if is_away { vec![payers[0]] } else { vec![payers[0], payers[2]] };
        assert_eq!(seen.collect::<Vec<_>>(), before, "{code}");
        // Whoever asks is told, of itself alone.
        assert!(settling.statement(payers[1], false).await.is_err(), "{code}");
        let stated = settling.statement(payers[2], false).await.unwrap();
        assert_eq!(stated.due(), Some(Amount(7)), "{code}");

        let is_refused = |key| matches!(books.visit(key, 9), Err(Denied::Uncovered));
        let refused = || keys.iter().map(is_refused).collect::<Vec<bool>>();
        assert_eq!(settling.cover().await.ok(), (!is_away).then_some(2), "{code}");
        assert_eq!(refused(), [!is_away, false, !is_away], "{code}");
        // It is as it was, and so are they all while the chain is away.
        books.refuse(BTreeSet::from([Some(payers[1])]));
        assert_eq!(settling.cover().await.ok(), (!is_away).then_some(3), "{code}");
        assert_eq!(refused(), [!is_away, true, !is_away], "{code}");
    }
}
