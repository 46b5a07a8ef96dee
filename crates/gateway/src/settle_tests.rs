use std::sync::Arc;

use serde_json::{Value, json};
use tilth_contracts::Addresses;
use tilth_service::options;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;
use crate::books::{Denied, tests::charge};

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

    /// Answers on one connection.
    async fn answer(self: Arc<Self>, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? <= 2 {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let asked: Value = serde_json::from_slice(&body)?;
            let result = self.call(&asked["params"][0]).await;
            let text = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
            let whole = format!("{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(whole.as_bytes()).await?;
        }
    }

    /// A link to it.
    async fn serve(self: &Arc<Self>) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&node).answer(stream));
            }
        });
        Link::open(&url, Addresses::predeployed()).unwrap()
    }
}

#[tokio::test]
async fn each_payer_is_asked_once_with_the_others_and_those_who_owe_all_they_have_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    let nowhere = "http://127.0.0.1:1";
    let link = Link::open(nowhere, Addresses::predeployed()).unwrap();
    let settling = Settling::new(&link, 0, books.clone());
    let (first, second) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let (theirs, _) = books.create("theirs", Some(second), Amount(9)).await.unwrap();
    charge(&books, &theirs, 5, 7).await;
    // The chain would have to be asked about the node of the other's tab.
    assert_eq!(settling.statement(first, false).await.unwrap().lines, []);
    settling.statement(second, false).await.unwrap_err();
}

#[tokio::test]
async fn a_chain_that_is_away_costs_nothing_but_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let books = Books::open(&folder.path().join("books")).unwrap();
    let nowhere = "http://127.0.0.1:1";
    let link = Link::open(nowhere, Addresses::predeployed()).unwrap();
    let settling = Settling::new(&link, 0, books.clone());
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
