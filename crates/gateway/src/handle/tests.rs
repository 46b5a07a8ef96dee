//! The door with many before it, and providers on the real wire behind it.

use std::{net::SocketAddr, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tilth_protocol::Amount;
use tilth_service::{Registry, Scope};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::*;
use crate::{
    api::{embed, request},
    ask::stage::{Does, SOON, Scene, scene},
    books::Denied,
    budget::Short,
    measure::Measures,
    space::Space,
};

struct Open {
    scene: Scene,
    address: SocketAddr,
    _scope: Scope,
}

async fn open(manners: &[Does], connections: usize, idle: Duration) -> Open {
    open_before(scene(manners).await, connections, idle).await
}

async fn open_before(scene: Scene, connections: usize, idle: Duration) -> Open {
    open_for(scene, connections, idle, 256).await
}

/// With so many questions of one key at the same time.
async fn open_for(scene: Scene, connections: usize, idle: Duration, each: u32) -> Open {
    open_taking(scene, connections, idle, each, BODY_TIME).await
}

/// With bodies that may take so long.
async fn open_taking(
    scene: Scene,
    connections: usize,
    idle: Duration,
    each: u32,
    body_time: Duration,
) -> Open {
    let scope = Scope::new("test");
    let service = Arc::new(Service {
        counter: scene.counter.clone(),
        body_bytes: 1 << 20,
        body_time,
        questions: Arc::new(Semaphore::new(256)),
        questions_each: each,
        answer_time: 2 * SOON,
        settling: scene.settling.clone(),
        spawner: scope.spawner(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = crate::server::serve(listener, service, connections, idle);
    scope.spawn("http", tilth_service::OnFailure::Log, serving);
    Open { scene, address, _scope: scope }
}

/// Waits until something is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Open {
    async fn try_send(&self, method: &str, path: &str, body: Value) -> Option<(u16, String)> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let driving = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "x")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.scene.secret))
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let reply = sender.send_request(request).await.ok()?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.ok()?.to_bytes();
        driving.abort();
        Some((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        self.try_send(method, path, body).await.unwrap()
    }

    async fn ask(&self, question: Value) -> (u16, String) {
        self.send("POST", "/v1/completions", question).await
    }

    /// Asks and reads nothing of the answer but its first bytes, which say that it goes well.
    async fn ask_and_stop(&self, question: &Value) -> TcpStream {
        let (stream, status) = self.ask_and_see(question).await;
        assert_eq!(status, 200);
        stream
    }

    /// Asks and reads the status alone.
    async fn ask_and_see(&self, question: &Value) -> (TcpStream, u16) {
        let question = question.to_string();
        let mut stream = self.begin("/v1/completions", question.len(), &question).await;
        let status = status_of(&mut stream).await;
        (stream, status)
    }

    /// Begins a question whose body has so many bytes; these are sent.
    async fn begin(&self, path: &str, length: usize, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-length: {length}\r\n\r\n{sent}",
            self.scene.secret
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// The status of an answer of which nothing was read yet.
async fn status_of(stream: &mut TcpStream) -> u16 {
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    let status = std::str::from_utf8(&status).unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    status.parse().unwrap()
}

fn question(most: u32, seed: u64) -> Value {
    json!({ "model": "m", "prompt": "hi", "max_tokens": most, "seed": seed, "stream": true })
}

/// All that a stream says, which must be whole.
fn text_of(stream: &str) -> String {
    let mut events: Vec<_> = stream.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.pop(), Some("data: [DONE]"), "{stream}");
    events
        .into_iter()
        .map(|event| {
            let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            event["choices"][0]["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_streams_at_the_same_time_lose_nothing() {
    let open = Arc::new(open(&[Does::Counts(0), Does::Counts(0)], 100, SOON).await);
    let mut streams = JoinSet::new();
    for seed in 0..64 {
        let open = Arc::clone(&open);
        streams.spawn(async move { (seed, open.ask(question(50, seed)).await) });
    }
    while let Some(ended) = streams.join_next().await {
        let (seed, (status, stream)) = ended.unwrap();
        assert_eq!(status, 200, "{stream}");
        let whole: String = (0..50).map(|token| format!("{seed}.{token};")).collect();
        assert_eq!(text_of(&stream), whole);
    }
    let record = open.scene.counter.books.keys().remove(0).1;
    assert_eq!((record.answers, record.output_tokens), (64, 64 * 50));
    assert_eq!(record.budget.held, Amount(0));
    let owed = open.scene.counter.books.owed().unwrap();
    assert_eq!(record.budget.spent.0, owed.iter().map(|owed| owed.due().0).sum::<u128>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_reading_keep_nobody_waiting_and_are_not_written_for() {
    let open = open(&[Does::Counts(900)], 100, SOON).await;
    // Seventeen megabytes each: more than any buffers on the way take.
    let mut much = question(1000, 1);
    much["n"] = 16.into();
    let stuck = [open.ask_and_stop(&much).await, open.ask_and_stop(&much).await];
    for seed in 0..5 {
        let (status, stream) = open.ask(question(3, seed)).await;
        assert_eq!(status, 200, "{stream}");
        assert!(text_of(&stream).starts_with(&format!("{seed}.0;")));
    }
    let under_way = &open.scene.counter.measures.under_way;
    assert!(under_way.value() > 0, "all of it was taken from the provider, and lies somewhere");
    drop(stuck);
    eventually("who hangs up is forgotten", || under_way.value() == 0).await;
    assert_eq!(open.scene.spent_and_held().1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_take_places_for_a_while_only() {
    let idle = async |address: SocketAddr| {
        let mut idle = Vec::new();
        for _ in 0..4 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        idle
    };
    // For much longer than this takes.
    let patient = open(&[Does::Well], 4, 10 * SOON).await;
    let _idle = idle(patient.address).await;
    let mut refused = TcpStream::connect(patient.address).await.unwrap();
    let mut said = String::new();
    let _ = refused.read_to_string(&mut said).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let open = open(&[Does::Well], 4, Duration::from_millis(500)).await;
    let _idle = idle(open.address).await;
    let until = Instant::now() + SOON;
    let answered = loop {
        match open.try_send("GET", "/v1/models", Value::Null).await {
            Some((200, models)) => break models,
            other => assert!(Instant::now() < until, "{other:?}"),
        }
    };
    assert!(answered.contains("\"id\":\"m\""), "{answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_answers_all_are_charged_or_none() {
    let whole = |n: u32| json!({ "model": "m", "prompt": "hi", "max_tokens": 9, "n": n });
    let good = open(&[Does::Well], 9, SOON).await;
    assert_eq!(good.ask(whole(3)).await.0, 200);
    assert_eq!(good.scene.spent_and_held(), (3 * 5 * 1_000, 0));
    let bad = open(&[Does::OnlyFirst], 9, SOON).await;
    assert_eq!(bad.ask(whole(2)).await.0, 502);
    eventually("nothing is held", || bad.scene.spent_and_held() == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_off_says_so_and_costs_nothing() {
    for bad in [Does::DiesInMidStream, Does::SignsAnother, Does::Overcharges] {
        let open = open(&[bad, Does::Well], 9, SOON).await;
        let (status, stream) = open.ask(question(50, 1)).await;
        assert!(status == 200 && !stream.contains("[DONE]"), "{bad:?}: {status} {stream}");
        let mut events = stream.trim_end().split("\n\n").map(|event| {
            let event = event.strip_prefix("data: ").unwrap();
            serde_json::from_str::<Value>(event).unwrap()
        });
        assert_eq!(events.next().unwrap()["choices"][0]["text"], "a", "{bad:?}: {stream}");
        let error = &events.last().unwrap()["error"];
        assert_eq!(error["code"], "provider_failed", "{bad:?}: {stream}");
        eventually("nothing is held", || open.scene.spent_and_held() == (0, 0)).await;
        assert_eq!(open.scene.counter.measures.broken_streams.value(), 1, "{bad:?}");
        let (_, again) = open.ask(question(50, 1)).await;
        assert_eq!(text_of(&again), "aaa", "{bad:?}: the next question goes to another");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_answers_in_one_stream_are_all_whole() {
    let open = open(&[Does::Counts(9)], 9, SOON).await;
    let mut several = question(50, 7);
    several["n"] = 3.into();
    let (status, stream) = open.ask(several).await;
    assert_eq!(status, 200, "{stream}");
    let mut texts = vec![String::new(); 3];
    for event in stream.split("\n\n").filter_map(|event| event.strip_prefix("data: {")) {
        let event: Value = serde_json::from_str(&format!("{{{event}")).unwrap();
        let choice = &event["choices"][0];
        let index = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
        texts[index].push_str(choice["text"].as_str().unwrap());
    }
    let whole: String = (0..50).map(|token| format!("7.{token};{:9}", "")).collect();
    assert_eq!(texts, [whole.as_str(); 3]);
    assert!(stream.ends_with("data: [DONE]\n\n"), "{stream}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_come_in_every_spelling_and_poor_keys_are_refused_before_their_question_is_read() {
    let open = open(&[Does::Well], 9, SOON).await;
    for path in ["/v1/models/m", "/v1/models/%6D"] {
        assert_eq!(open.send("GET", path, Value::Null).await.0, 200, "{path}");
    }
    assert_eq!(open.send("GET", "/v1/models/%6D%2F", Value::Null).await.0, 404);
    assert_eq!(open.send("GET", "/admin/keys", Value::Null).await.0, 404);
    let books = &open.scene.counter.books;
    books.set_budget(&books.keys()[0].0, Amount(0)).await.unwrap();
    let mut stream = open.begin("/v1/completions", 1000, "").await;
    assert_eq!(status_of(&mut stream).await, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_a_body_too_slowly_is_told_so_and_its_place_is_free_again() {
    let text = question(9, 1).to_string();
    let (half, rest) = text.split_at(text.len() / 2);
    // One question at a time: the second would be told that there is no place if the first still had it.
    let (soon, one) = (Duration::from_millis(300), 1);
    let hasty = open_taking(scene(&[Does::Well]).await, 9, SOON, one, soon).await;
    let books = &hasty.scene.counter.books;
    let key = books.keys().remove(0).0;
    for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] {
        let mut stream = hasty.begin(path, text.len(), half).await;
        let mut told = String::new();
        // Nothing follows on a connection whose body was not read to its end.
        tokio::time::timeout(SOON, stream.read_to_string(&mut told)).await.unwrap().unwrap();
        assert!(told.starts_with("HTTP/1.1 408 "), "{path}: {told}");
        assert!(told.ends_with('}') && told.contains("The body took too long"), "{path}: {told}");
        assert!(books.visit(&key, one).is_ok(), "{path}: its place is free again");
    }
    assert_eq!(hasty.scene.counter.measures.refused.value(), 3);
    assert_eq!(hasty.scene.spent_and_held(), (0, 0));

    // Where there is time enough, the same two halves are a question.
    let patient = open_taking(scene(&[Does::Well]).await, 9, SOON, one, 10 * SOON).await;
    let mut stream = patient.begin("/v1/completions", text.len(), half).await;
    let requests = &patient.scene.counter.measures.requests;
    eventually("it has begun", || requests.value() == 1).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    assert_eq!(status_of(&mut stream).await, 200);
}

/// Both inputs of these tests.
fn inputs(more: &Value) -> Value {
    let mut question = json!({ "model": "m", "input": ["one", "three"] });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    question
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_come_in_order_in_both_forms_and_are_charged_by_their_inputs() {
    let open = open(&[Does::Embeds], 9, SOON).await;
    let due = json!([[0.25, 0.046_875, 1.0], [0.5, 0.078_125, 1.0]]);
    let ask = async |more: Value| {
        let (status, body) = open.send("POST", "/v1/embeddings", inputs(&more)).await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, plain) = ask(json!({})).await;
    assert_eq!(status, 200, "{plain}");
    assert_eq!((&plain["object"], &plain["model"]), (&"list".into(), &"m".into()));
    assert_eq!(plain["usage"], json!({ "prompt_tokens": 8, "total_tokens": 8 }));
    assert_eq!(plain["tilth"]["receipt"]["receipt"]["output-tokens"], 0);
    let (_, packed) = ask(json!({ "encoding_format": "base64", "dimensions": 3 })).await;
    for index in 0..2_usize {
        let (one, same) = (&plain["data"][index], &packed["data"][index]);
        assert_eq!((&one["index"], &one["object"]), (&index.into(), &"embedding".into()));
        assert_eq!(one["embedding"], due[index]);
        let bytes = STANDARD.decode(same["embedding"].as_str().unwrap()).unwrap();
        let numbers = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert_eq!(json!(numbers.collect::<Vec<_>>()), due[index]);
    }
    assert_eq!(open.scene.spent_and_held(), (2 * 8 * 1_000, 0));
    let (status, listed) = open.send("GET", "/v1/models/m", Value::Null).await;
    assert_eq!(status, 200);
    assert!(listed.contains(r#""makes":{"embeddings":{"dimensions":3}}"#), "{listed}");

    for (more, param) in [
        (json!({ "dimensions": 2 }), "dimensions"),
        (json!({ "input": "" }), "input"),
        (json!({ "encoding_format": "xml" }), "encoding_format"),
    ] {
        let (status, error) = ask(more).await;
        assert_eq!((status, &error["error"]["param"]), (400, &param.into()), "{error}");
    }
    // What the model does not make.
    let (status, error) = open.ask(question(3, 1)).await;
    assert!(status == 400 && error.contains("/v1/embeddings"), "{error}");
    let writes = open_before(scene(&[Does::Well]).await, 9, SOON).await;
    let (status, error) = writes.send("POST", "/v1/embeddings", inputs(&json!({}))).await;
    assert!(status == 400 && error.contains("/v1/chat/completions"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embeddings_of_liars_are_not_taken_and_another_is_asked() {
    use Does::{EmbedsShort, EmbedsTooFew, EmbedsTooMany, SignsOtherEmbeddings};
    for bad in [EmbedsShort, EmbedsTooFew, EmbedsTooMany, SignsOtherEmbeddings] {
        let open = open(&[bad, Does::Embeds], 9, SOON).await;
        let (status, body) = open.send("POST", "/v1/embeddings", inputs(&json!({}))).await;
        assert_eq!(status, 200, "{bad:?}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["data"][1]["embedding"], json!([0.5, 0.078_125, 1.0]), "{bad:?}");
        // At the price of the second.
        assert_eq!(open.scene.spent_and_held(), (8 * 2_000, 0), "{bad:?}");
        assert_eq!(open.scene.counter.measures.failures.value(), 1, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_a_model_makes_those_decide_who_sell_it_and_the_question_if_they_are_even() {
    let most_write = open(&[Does::Embeds, Does::Well, Does::Well], 9, SOON).await;
    let (status, error) = most_write.send("POST", "/v1/embeddings", inputs(&json!({}))).await;
    assert!(status == 400 && error.contains("/v1/chat/completions"), "{status} {error}");
    let (_, listed) = most_write.send("GET", "/v1/models", Value::Null).await;
    assert!(listed.contains(r#""makes":"text""#), "{listed}");
    let even = open(&[Does::Embeds, Does::Well], 9, SOON).await;
    let (status, made) = even.send("POST", "/v1/embeddings", inputs(&json!({}))).await;
    assert_eq!(status, 200, "{made}");
    let (status, said) = even.ask(question(3, 1)).await;
    assert_eq!((status, text_of(&said).as_str()), (200, "aaa"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_read_its_answers_keeps_its_places_and_its_share_of_the_memory() {
    const ALL: usize = 96 << 20;
    let mut scene = scene(&[Does::Counts(900)]).await;
    // For both, nine times about one megabyte: twice as it comes, and once as it is written.
    scene.counter.space = Space::shared(ALL, 80 << 20);
    let open = open_for(scene, 20, SOON, 2).await;
    // More than any buffers on the way take, so that most of it lies here as long as nobody reads it.
    let whole = json!({ "model": "m", "prompt": "hi", "max_tokens": 1000, "seed": 1, "n": 9 });
    let unread = tokio::join!(open.ask_and_stop(&whole), open.ask_and_stop(&whole));
    let space = &open.scene.counter.space;
    assert!(space.left() < ALL - (12 << 20), "both wait for their readers");
    // They are whole and charged, and still they are its questions.
    assert_eq!(open.scene.counter.books.keys()[0].1.answers, 2 * 9);
    let (status, error) = open.ask(question(3, 2)).await;
    assert!(status == 429 && error.contains("rate_limit_exceeded"), "{status} {error}");
    drop(unread);
    eventually("all of it is free again", || space.left() == ALL).await;
    assert_eq!(open.ask(question(3, 2)).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_has_its_share_of_the_memory_and_no_more() {
    let mut scene = scene(&[Does::Counts(900)]).await;
    scene.counter.space = Space::shared(64 << 20, 100_000);
    let open = open_before(scene, 9, SOON).await;
    let whole = |most: u32| json!({ "model": "m", "prompt": "hi", "max_tokens": most });
    let (status, error) = open.ask(whole(1000)).await;
    assert!(status == 429 && error.contains("rate_limit_exceeded"), "{status} {error}");
    let measures = &open.scene.counter.measures;
    assert_eq!((measures.failures.value(), measures.retries.value()), (0, 0), "nobody's fault");
    assert_eq!(open.ask(whole(9)).await.0, 200);
    // A stream of that length ends in the middle, and says why.
    let (status, stream) = open.ask(question(1000, 1)).await;
    assert_eq!(status, 200);
    let last = stream.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.contains("rate_limit_exceeded"), "{last}");
    assert_eq!(measures.broken_streams.value(), 1);
    eventually("nothing is held", || open.scene.spent_and_held().1 == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_for_which_there_is_no_memory_are_given_up_and_cost_nothing() {
    let mut scene = scene(&[Does::Counts(900), Does::Counts(900)]).await;
    scene.counter.space = Space::new(100_000);
    let open = open_before(scene, 9, SOON).await;
    let whole = |most: u32| json!({ "model": "m", "prompt": "hi", "max_tokens": most });
    let (status, error) = open.ask(whole(1000)).await;
    assert!(status == 503 && error.contains("gateway_full"), "{status} {error}");
    let measures = &open.scene.counter.measures;
    assert_eq!((measures.failures.value(), measures.retries.value()), (0, 0), "nobody's fault");
    eventually("nothing is held", || open.scene.spent_and_held() == (0, 0)).await;
    // What fits is answered, and its memory is free again when it is read.
    assert_eq!(open.ask(whole(9)).await.0, 200);
    let space = &open.scene.counter.space;
    eventually("the memory is free again", || space.left() == 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_larger_than_what_is_kept_of_one_are_nobodys_fault() {
    let open = open(&[Does::SaysMuch, Does::Well], 9, SOON).await;
    // Each token takes more than twenty kilobytes.
    let much = json!({
        "model": "m", "messages": [{ "role": "user", "content": "hi" }],
        "max_completion_tokens": 1000, "logprobs": true, "top_logprobs": 20,
    });
    let (status, error) = open.send("POST", "/v1/chat/completions", much).await;
    assert!(status == 400 && error.contains("max_completion_tokens"), "{status} {error}");
    let measures = &open.scene.counter.measures;
    assert_eq!((measures.failures.value(), measures.retries.value()), (0, 0), "nobody's fault");
    eventually("nothing is held", || open.scene.spent_and_held() == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_has_its_share_of_the_questions_and_no_more() {
    let open = open_for(scene(&[Does::Counts(900)]).await, 200, SOON, 2).await;
    // More than any buffers on the way take, so that it is under way as long as nobody reads it.
    let mut much = question(1000, 1);
    much["n"] = 16.into();
    let asked = [open.ask_and_stop(&much).await, open.ask_and_stop(&much).await];
    let (status, error) = open.ask(question(9, 3)).await;
    assert!(status == 429 && error.contains("rate_limit_exceeded"), "{status} {error}");
    drop(asked);
    let until = Instant::now() + SOON;
    loop {
        let (_, again) = open.ask_and_see(&question(9, 4)).await;
        if again == 200 {
            break;
        }
        assert!(again == 429 && Instant::now() < until, "{again}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn the_document_says_what_is_served() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let asked = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
    for path in ["/v1/models", "/v1/models/{id}", "/health", "/openapi.json"] {
        assert!(document["paths"][path]["get"].is_object(), "{path}");
    }
    for path in asked {
        for status in ["400", "401", "404", "405", "408", "413", "429", "500", "502", "503", "504"]
        {
            let answer = &document["paths"][path]["post"]["responses"][status];
            assert!(answer.is_object(), "{path} {status}");
        }
        let short = &document["paths"][path]["post"]["responses"]["429"]["description"];
        for denied in
            [Denied::Short(Short { asked: 1, left: 0 }), Denied::TooMany, Denied::Uncovered]
        {
            let code = ApiError::of_denied(&denied).code.unwrap();
            assert!(short.as_str().unwrap().contains(code), "{path} {code}");
        }
    }
    let schemas = &document["components"]["schemas"];
    let most = json!(crate::Limits::default().answer_tokens_max);
    for (question, field) in [
        ("ChatQuestion", "max_tokens"),
        ("ChatQuestion", "max_completion_tokens"),
        ("TextQuestion", "max_tokens"),
    ] {
        assert_eq!(schemas[question]["properties"][field]["maximum"], most, "{question} {field}");
    }
    for question in ["ChatQuestion", "TextQuestion"] {
        let format = &schemas[question]["properties"]["response_format"]["properties"];
        assert_eq!(format["type"]["enum"], json!(["text", "json_object", "json_schema"]));
        assert!(format["json_schema"]["properties"]["schema"].is_object(), "{question}");
    }
    let inputs = &schemas["EmbeddingsQuestion"]["properties"]["input"]["oneOf"];
    assert_eq!(inputs[1]["maxItems"], json!(tilth_protocol::infer::embed::MAX_INPUTS));
}

/// A field that is described and passed over would be taken for what it says.
#[test]
fn every_field_of_a_question_that_the_document_has_is_read() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let is_taken = |kind: &str, question: &Value| {
        let body = question.to_string();
        match kind {
            "ChatQuestion" => request::read(Kind::Chat, body.as_bytes(), 0).is_ok(),
            "TextQuestion" => request::read(Kind::Text, body.as_bytes(), 0).is_ok(),
            _ => embed::read(body.as_bytes()).is_ok(),
        }
    };
    let said = json!([{ "role": "user", "content": "hi" }]);
    for (kind, prompt, said) in [
        ("ChatQuestion", "messages", said),
        ("TextQuestion", "prompt", "hi".into()),
        ("EmbeddingsQuestion", "input", "hi".into()),
    ] {
        let plain = json!({ "model": "m", prompt: said });
        assert!(is_taken(kind, &plain), "{kind}");
        let schema = &document["components"]["schemas"][kind];
        assert_eq!(schema["required"], json!(["model", prompt]), "{kind}");
        for field in ["model", prompt] {
            let mut fewer = plain.clone();
            fewer.as_object_mut().unwrap().remove(field);
            assert!(!is_taken(kind, &fewer), "{kind} {field}");
        }
        for field in schema["properties"].as_object().unwrap().keys() {
            let mut absurd = plain.clone();
            absurd[field.as_str()] = json!([[[]]]);
            assert!(!is_taken(kind, &absurd), "{kind} {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_the_document_is_there_and_its_statuses_are_described() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let open = open(&[Does::Well], 100, SOON).await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap();
        let place = path.replace("{id}", "m");
        for (method, described) in methods {
            let (status, body) = open.send(&method.to_uppercase(), &place, json!({})).await;
            // A question that asks nothing is at fault, not the path.
            let due = if method == "get" { 200 } else { 400 };
            assert_eq!(status, due, "{method} {path}: {body}");
            assert!(described["responses"][status.to_string()].is_object(), "{method} {path}");
            let (status, body) = open.send("DELETE", &place, json!({})).await;
            assert!([404, 405].contains(&status), "{path}: {status} {body}");
            assert!(described["responses"][status.to_string()].is_object(), "{path} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_watches_is_told_what_was_done() {
    let registry = Registry::new();
    let mut scene = scene(&[Does::HangsUp, Does::Well]).await;
    scene.counter.measures = Measures::new(&registry);
    Measures::watch(&registry, &scene.counter.market);
    scene.settling.watch(&registry);
    let open = open_before(scene, 9, SOON).await;
    let whole = json!({ "model": "m", "prompt": "hi", "max_tokens": 9 });
    assert_eq!(open.ask(whole).await.0, 200);
    assert_eq!(open.ask(json!({})).await.0, 400);
    eventually("both have hung up", || open.scene.counter.measures.connections.value() == 0).await;
    let text = registry.render();
    // Of three tokens behind two, at two thousand base units each.
    for line in [
        "requests_total 2",
        "refused_total 1",
        "answers_total 1",
        "prompt_tokens_total 2",
        "output_tokens_total 3",
        "retries_total 1",
        "provider_failures_total 1",
        "broken_streams_total 0",
        "first_token_seconds_count 1",
        "first_token_seconds_bucket{le=\"+Inf\"} 1",
        "connections 0",
        "under_way 0",
        "providers 2",
        "models 1",
        "owed_grain 0.00000000000001",
    ] {
        let line = format!("\ntilth_gateway_{line}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}
