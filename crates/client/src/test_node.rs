//! A chain's node that says what a test wants, over HTTP. For the tests of this crate, and of others that have no chain.

use std::sync::Arc;

use serde_json::{Value, json};
use tilth_contracts::Addresses;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{Link, Network};

/// What it says to a request: a result, or an error.
pub(crate) type Said = Result<Value, Value>;

/// Says to every request what is made of it, until the test is over. Gives its address.
pub(crate) async fn serve<S, F>(says: S) -> String
where
    S: Fn(Value) -> F + Send + Sync + 'static,
    F: Future<Output = Said> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let says = Arc::new(says);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&says)));
        }
    });
    url
}

/// A link to one, of a network that is not known.
pub(crate) async fn linked<S, F>(says: S) -> Link
where
    S: Fn(Value) -> F + Send + Sync + 'static,
    F: Future<Output = Said> + Send + 'static,
{
    Link::open(&serve(says).await, Addresses::predeployed()).unwrap()
}

/// A link to one, of a network with so many confirmations.
pub(crate) async fn linked_deep<S, F>(says: S, confirmations: u32) -> Link
where
    S: Fn(Value) -> F + Send + Sync + 'static,
    F: Future<Output = Said> + Send + 'static,
{
    let network = Network {
        rpc_url: serve(says).await,
        chain_id: 7,
        contracts: Addresses::predeployed().into(),
        first_block: 0,
        wraps_native: false,
        confirmations,
    };
    Link::to(&network).unwrap()
}

/// Answers on one connection.
async fn answer<S, F>(stream: TcpStream, says: Arc<S>) -> std::io::Result<()>
where
    S: Fn(Value) -> F + Send + Sync + 'static,
    F: Future<Output = Said> + Send + 'static,
{
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
        let mut told = json!({ "jsonrpc": "2.0", "id": asked["id"] });
        match says(asked).await {
            Ok(result) => told["result"] = result,
            Err(error) => told["error"] = error,
        }
        let text = told.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
        let whole = format!("{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(whole.as_bytes()).await?;
    }
}
