//! The operator's side of the paths under `/admin/`: a socket in a folder that nobody else may enter. There is no
//! secret that could be told to the wrong one.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tilth_service::Doing;
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// Most bytes of an answer: all keys, or a thousand receipts of at most 20 KiB each (8 with stop texts of nothing but
/// escapes, and 12 of the largest schema).
pub(crate) const MAX_ANSWER: usize = 20 << 20;
/// Most bytes of a key as it is shown: a name of 128 bytes, each of which may take six, and nine numbers.
const KEY_BYTES: usize = 1600;
const _: () = assert!(crate::books::MAX_KEYS * KEY_BYTES <= MAX_ANSWER);
/// Most receipts in one list.
pub const MAX_RECEIPTS: usize = 1000;
/// Most tabs in one list.
pub const MAX_OWED: usize = 1000;
/// Most node keys that are shown of a tab: its provider may have had any number of them.
pub(crate) const MAX_OWED_NODES: usize = 100;
/// Most bytes of a tab as it is shown, beside its node keys: five accounts and hashes, and six numbers.
const OWED_BYTES: usize = 1 << 10;
/// Bytes of a node key as it is shown.
const NODE_BYTES: usize = 45;
const _: () = assert!(MAX_OWED * (OWED_BYTES + MAX_OWED_NODES * NODE_BYTES) <= MAX_ANSWER);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the gateway did not do what its operator wants.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// None runs in the folder, or it does not answer.
    #[error(transparent)]
    Away(#[from] io::Error),
    /// It refuses, or cannot.
    #[error("{message}")]
    Refused {
        /// Why, in its own words.
        message: String,
        /// What to do about it, if it says so.
        advice: Option<String>,
    },
}

/// Asks the gateway that runs in a folder.
///
/// # Errors
/// [`CallError`].
pub fn call<'a>(
    dir: &'a Path,
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
) -> Doing<'a, Result<Value, CallError>> {
    Box::pin(async move {
        let asked = timeout(PATIENCE, ask(dir, method, path, body)).await;
        asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    })
}

/// Where the operator is heard.
fn socket(dir: &Path) -> PathBuf {
    dir.join("operator").join("socket")
}

/// Listens for the operator. Only one gateway works in a folder, so a socket that is there already is nobody's.
pub(crate) fn listen(dir: &Path) -> io::Result<UnixListener> {
    let path = socket(dir);
    let folder = path.with_file_name("");
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        }
        made => made?,
    }
    close(dir)?;
    UnixListener::bind(&path)
}

/// Removes the socket.
pub(crate) fn close(dir: &Path) -> io::Result<()> {
    match fs::remove_file(socket(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn ask(
    dir: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, CallError> {
    let stream = UnixStream::connect(socket(dir)).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    // Ends with the request.
    let driving = tokio::spawn(connection);
    let body = body.map_or_else(String::new, ToString::to_string);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "operator")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let reply = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = reply.status();
    let body = Limited::new(reply.into_body(), MAX_ANSWER).collect().await;
    driving.abort();
    let body = body.map_err(io::Error::other)?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    if status.is_success() {
        return Ok(answer);
    }
    let said = |field: &str| answer["error"][field].as_str().map(str::to_owned);
    let message = said("message").unwrap_or_else(|| "it refuses without a word".to_owned());
    Err(CallError::Refused { message, advice: said("advice") })
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{
        Amount, ContentHash,
        infer::{
            End, Form, MAX_STOP_BYTES, MAX_STOPS, Parameters, Prices, Receipt, Schema,
            SignedReceipt,
            schema::{Bounds, Field, Kind, MAX_ALL_LITERAL_BYTES, MAX_CHOICES, MAX_NODES, Node},
        },
    };

    use super::*;

    /// As large as one is as JSON: keys, texts and bounds with as many letters as there may be.
    fn large_schema() -> Schema {
        let plain = |kind| Node { kind, or_null: false };
        let field = |node: u8| Field { key: format!("{node:03}"), node, required: false };
        let fields: Vec<Field> = (1..64).map(field).collect();
        let mut spare = MAX_ALL_LITERAL_BYTES - 3 * (fields.len() + 3 * MAX_CHOICES);
        let mut text = |number: usize| {
            let more = spare.min(252);
            spare -= more;
            format!("{number:03}{}", "x".repeat(more))
        };
        let mut nodes = vec![plain(Kind::Object(fields))];
        for _ in 0..3 {
            nodes.push(plain(Kind::Enum((0..MAX_CHOICES).map(&mut text).collect())));
        }
        let bounds = Bounds { least: Some(i64::MIN), most: Some(i64::MIN + 1) };
        nodes.resize(MAX_NODES, plain(Kind::Bounded(bounds)));
        Schema::new(nodes).unwrap()
    }

    #[test]
    fn a_list_of_the_largest_receipts_is_read() {
        let parameters = Parameters {
            most: u32::MAX,
            temperature: u32::MAX,
            top_k: u32::MAX,
            top_p: u32::MAX,
            seed: u64::MAX,
            stream: u32::MAX,
            // Six bytes for each.
            stops: vec!["\u{1}".repeat(MAX_STOP_BYTES); MAX_STOPS],
            alternatives: Some(u8::MAX),
            form: Form::Schema(Box::new(large_schema())),
        };
        let receipt = Receipt {
            chain_id: u64::MAX,
            node: [0xff; 20],
            caller: [0xff; 32],
            nonce: [0xff; 32],
            model: ContentHash([0xff; 32]),
            prompt: [0xff; 32],
            parameters,
            output: [0xff; 32],
            prompt_tokens: u32::MAX,
            output_tokens: u32::MAX,
            end: End::Length,
            prices: Prices { input: Amount(u128::MAX), output: Amount(u128::MAX) },
            charge: Amount(u128::MAX),
        };
        let signed = SignedReceipt { receipt, signature: [0xff; 65] };
        let shown = serde_json::json!({
            "number": u64::MAX, "key": "f".repeat(64), "receipt": signed,
        });
        // And a comma.
        let bytes = shown.to_string().len() + 1;
        assert!((16 << 10..=MAX_ANSWER / MAX_RECEIPTS).contains(&bytes), "{bytes}");
    }

    #[tokio::test]
    async fn only_its_owner_reaches_the_socket_and_one_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        drop(listen(dir).unwrap());
        assert!(socket(dir).exists(), "as a killed gateway leaves it");
        assert!(UnixStream::connect(socket(dir)).await.is_err());
        fs::set_permissions(dir.join("operator"), fs::Permissions::from_mode(0o755)).unwrap();
        let listener = listen(dir).unwrap();
        let mode = fs::metadata(dir.join("operator")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let (called, heard) = tokio::join!(UnixStream::connect(socket(dir)), listener.accept());
        assert!(called.is_ok() && heard.is_ok());
        close(dir).unwrap();
        close(dir).unwrap();
        assert!(!socket(dir).exists());
        let nobody = call(dir, Method::GET, "/admin/keys", None).await;
        assert!(matches!(nobody, Err(CallError::Away(_))), "{nobody:?}");
    }
}
