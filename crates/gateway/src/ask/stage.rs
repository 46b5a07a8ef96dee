//! Providers that fail in every way, on the real wire, and a gateway in front of them.

use std::{collections::BTreeMap, time::Duration};

use alloy::signers::{SignerSync as _, local::PrivateKeySigner};
use tilth_blobs::{Blobs, Line, Talk};
use tilth_client::{
    Contacts, Link,
    infer::{Asker, Seller},
};
use tilth_contracts::Addresses;
use tilth_protocol::{
    Amount, ContentHash, decode, encode,
    infer::{
        Candidate, EmbeddingsHash, End, Input, MAX_TOKEN_BYTES, ModelOffer, Piece, Prices, Prompt,
        Question, Receipt, Reply, Said,
        message::{ALPN, MAX_QUESTION_BYTES},
        output_hash,
    },
};
use tilth_service::Registry;
use tokio::sync::mpsc;

use super::*;
use crate::settle::Settling;

pub(crate) use super::manners::Does;

pub(super) const MODEL: ContentHash = ContentHash([9; 32]);
/// How long anything may take here, on a machine that has much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Provider {
    pub(super) seller: Seller,
    _blobs: Blobs,
    _folder: tempfile::TempDir,
}

async fn endpoint(lines: Vec<Line>) -> (Blobs, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = nonce();
    let here = "127.0.0.1:0".parse().unwrap();
    let mut config = tilth_blobs::Config::new(folder.path().join("content"), secret, here);
    config.lines = lines;
    (Blobs::spawn(config).await.unwrap(), folder)
}

fn prices(price: u128) -> Prices {
    Prices { input: Amount(price), output: Amount(price) }
}

impl Provider {
    async fn start(does: Does, price: u128, market: &Arc<Market>) -> Self {
        let (ring, mut calls) = mpsc::channel(128);
        let (blobs, folder) = endpoint(vec![Line { alpn: ALPN, most: 128, calls: ring }]).await;
        let signer = PrivateKeySigner::random();
        // Ten more than it counts in a prompt.
        let narrow = matches!(does, Does::HasRoomForTen | Does::LiesOfRoom);
        let context = if narrow { 200 } else { 4096 };
        let (name, makes) = ("m".into(), does.makes());
        let offer = ModelOffer { model: MODEL, name, makes, context, prices: prices(price) };
        let seller = Seller {
            owner: signer.address(),
            node: signer.address(),
            contact: blobs.contact(),
            offers: vec![offer],
            busy: 0,
            round_trip: Duration::ZERO,
        };
        let market = Arc::clone(market);
        tokio::spawn(async move {
            while let Some(talk) = calls.recv().await {
                let (signer, market) = (signer.clone(), Arc::clone(&market));
                tokio::spawn(async move { answer(talk, does, &signer, &market).await });
            }
        });
        Self { seller, _blobs: blobs, _folder: folder }
    }
}

/// What is signed about an answer of so many tokens.
fn receipt(
    ask: &Ask,
    (talk, signer): (&Talk, &PrivateKeySigner),
    does: Does,
    output: [u8; 32],
    (prompt_tokens, output_tokens): (u32, u32),
) -> Box<SignedReceipt> {
    let due = ask.prices.cost(prompt_tokens, output_tokens).unwrap().0;
    let embeds = matches!(ask.prompt, Prompt::Inputs(_));
    let receipt = Receipt {
        chain_id: 1,
        node: signer.address().into(),
        caller: talk.remote(),
        nonce: ask.nonce,
        model: ask.model,
        prompt: ask.prompt.hash(),
        parameters: ask.parameters.clone(),
        output,
        prompt_tokens,
        output_tokens,
        end: if embeds { End::Stop } else { End::Length },
        prices: ask.prices,
        charge: Amount(if does == Does::Overcharges { due + 1 } else { due }),
    };
    let signature = signer.sign_hash_sync(&receipt.signing_hash()).unwrap().as_bytes();
    Box::new(SignedReceipt { receipt, signature })
}

/// All that is said to a question for embeddings.
fn embed(ask: &Ask, inputs: &[Input], who: (&Talk, &PrivateKeySigner), does: Does) -> Vec<Reply> {
    let one = |(number, input): (i32, &Input)| {
        let Input::Text(text) = input else { panic!("{input:?}") };
        let length = i32::try_from(text.len()).unwrap();
        let mut embedding = vec![number << 28, length << 24, 1 << 30];
        embedding.truncate(if does == Does::EmbedsShort { 2 } else { 3 });
        embedding
    };
    let mut all: Vec<Vec<i32>> = (1..).zip(inputs).map(one).collect();
    match does {
        Does::EmbedsTooFew => drop(all.pop()),
        Does::EmbedsTooMany => all.push(vec![0; 3]),
        _ => {}
    }
    let mut output = EmbeddingsHash::of(all.iter().map(Vec::as_slice));
    output[0] ^= u8::from(does == Does::SignsOtherEmbeddings);
    let tokens = 4 * u32::try_from(inputs.len()).unwrap();
    let receipt = receipt(ask, who, does, output, (tokens, 0));
    let mut replies = vec![Reply::Begun { prompt_tokens: tokens }];
    replies.extend(all.into_iter().map(Reply::Embedding));
    replies.push(Reply::Ended { end: End::Stop, receipt });
    replies
}

/// What is said at once.
fn first(does: Does, ask: &Ask, prompt_tokens: u32) -> Reply {
    let refused = |why| Reply::Refused { why, text: "no".into() };
    match does {
        Does::IsBusy => refused(Refusal::Busy),
        Does::SaysTooLong => refused(Refusal::TooLong { left: 0 }),
        Does::SaysInvalid => refused(Refusal::Invalid),
        Does::HasRoomForTen | Does::LiesOfRoom if ask.parameters.most > 10 => {
            refused(Refusal::TooLong { left: 10 })
        }
        _ => Reply::Begun { prompt_tokens },
    }
}

/// A token with its alternatives, if they are asked for.
fn likely(does: Does, ask: &Ask, token: u32) -> Option<(Candidate, Vec<Candidate>)> {
    let alternatives = ask.parameters.alternatives?;
    let (length, others) = match does {
        Does::SaysLongTokens => (2048, 0),
        Does::SaysMuch => (MAX_TOKEN_BYTES, usize::from(alternatives)),
        _ => (1, 0),
    };
    let own = Candidate { token, bytes: vec![b'a'; length], log_probability: -1 };
    Some((own.clone(), vec![own; others]))
}

/// Waits until a first token of this provider's was heard.
async fn heard(market: &Market, provider: &PrivateKeySigner) {
    while market.standing(provider.address()).first_ms == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Plays one conversation; ends when the other side does.
async fn answer(
    mut talk: Talk,
    does: Does,
    signer: &PrivateKeySigner,
    market: &Market,
) -> Option<()> {
    loop {
        let bytes = talk.hear(MAX_QUESTION_BYTES, SOON).await.ok()?;
        let Ok(Question::Ask(ask)) = decode(&bytes, MAX_QUESTION_BYTES) else { return None };
        if let Prompt::Inputs(inputs) = &ask.prompt {
            for reply in embed(&ask, inputs, (&talk, signer), does) {
                talk.say(&encode(&reply), SOON).await.ok()?;
            }
            continue;
        }
        let said = |token| Said { token, likely: likely(does, &ask, token) };
        let seed = ask.parameters.seed;
        let text = |token: u32| match does {
            Does::Counts(blanks) => format!("{seed}.{token};{:blanks$}", ""),
            _ => "a".into(),
        };
        let piece = |token| Piece { said: vec![said(token)], text: text(token) };
        let mut replies = Vec::new();
        let does = match does {
            Does::OnlyFirst if ask.parameters.stream == 0 => Does::Well,
            Does::OnlyFirst => Does::DiesInMidStream,
            _ => does,
        };
        let prompt_tokens = match does {
            Does::CountsTooMany => 4000,
            Does::HasRoomForTen => 190,
            _ => 2,
        };
        if does == Does::HangsUp {
            return None;
        }
        if does == Does::IsSilent {
            std::future::pending::<()>().await;
        }
        replies.push(first(does, &ask, prompt_tokens));
        let refuses = matches!(replies[0], Reply::Refused { .. });
        let tokens = match does {
            _ if refuses => 0,
            Does::DiesInMidStream | Does::Stalls => 1,
            Does::TalksOn => 500,
            Does::Counts(_) | Does::SaysMuch => ask.parameters.most,
            _ => 3,
        };
        replies.extend((0..tokens).map(|token| Reply::Piece(piece(token))));
        let said: Vec<_> = (0..tokens).map(said).collect();
        let signed: String = (0..tokens).map(text).collect();
        let signed = if does == Does::SignsAnother { "other" } else { &signed };
        let output = output_hash(&said, signed, End::Length);
        let receipt = receipt(&ask, (&talk, signer), does, output, (prompt_tokens, tokens));
        if !refuses && !matches!(does, Does::DiesInMidStream | Does::Stalls) {
            replies.push(Reply::Ended { end: End::Length, receipt });
        }
        for reply in &replies {
            let bytes = if does == Does::Babbles { vec![0xee; 40] } else { encode(reply) };
            talk.say(&bytes, SOON).await.ok()?;
        }
        if does == Does::DiesInMidStream {
            // What is said last may be lost: not before the other side has it.
            tokio::time::timeout(SOON, heard(market, signer)).await.ok();
            return None;
        }
    }
}

pub(crate) struct Scene {
    pub(crate) counter: Counter,
    pub(super) key: KeyId,
    pub(crate) secret: String,
    pub(crate) settling: Settling,
    _folders: Vec<tempfile::TempDir>,
    pub(super) providers: Vec<Provider>,
}

/// A gateway in front of providers with these manners, each dearer than the one before.
pub(crate) async fn scene(manners: &[Does]) -> Scene {
    let (blobs, folder) = endpoint(vec![]).await;
    let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
    let asker = Asker::new(blobs, 1);
    let contacts = Contacts::new(link.clone(), 0);
    let mut market = Market::new(asker, link.clone(), contacts, BTreeMap::new());
    // However slow this machine is, a provider that has failed does not come back in the middle of a test.
    market.stand_still();
    let market = Arc::new(market);
    let mut providers = Vec::new();
    for (price, does) in (1_000_000_000..).step_by(1_000_000_000).zip(manners) {
        providers.push(Provider::start(*does, price, &market).await);
    }
    market.set(providers.iter().map(|provider| provider.seller.clone()).collect());
    let books_folder = tempfile::tempdir().unwrap();
    let books = Books::open(&books_folder.path().join("books")).unwrap();
    let (key, secret) = books.create("k", None, Amount(u128::MAX >> 1)).await.unwrap();
    let measures = Measures::new(&Registry::new());
    let space = Space::new(256 << 20);
    let settling = Settling::new(&link, 0, books.clone());
    let counter = Counter { market, books, measures, space, tokens_max: 1000 };
    Scene { counter, key, secret, settling, _folders: vec![folder, books_folder], providers }
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        model: "m".into(),
        prompt: Prompt::Text("hi".into()),
        parameters: Parameters { most: 100, ..Parameters::default() },
        most_said: Some("max_tokens"),
        n: 1,
        stream: true,
        include_usage: false,
        echo: false,
        dimensions: None,
    }
}

impl Scene {
    pub(super) async fn begin(&self) -> Result<Begun, ApiError> {
        self.begin_with(&wanted(), SOON).await
    }

    pub(super) async fn begin_with(
        &self,
        wanted: &Wanted,
        time: Duration,
    ) -> Result<Begun, ApiError> {
        let listed = self.counter.market.resolve("m").unwrap();
        self.counter.begin(&self.key, wanted, &listed, 0, &mut Tries::new(time)).await
    }

    /// Tokens and whether the answer ended well.
    pub(super) async fn whole(&self) -> Result<usize, ApiError> {
        self.finish(self.begin().await?).await
    }

    pub(super) async fn finish(&self, mut begun: Begun) -> Result<usize, ApiError> {
        let mut tokens = 0;
        loop {
            match begun.next().await? {
                Next::Piece(piece) => tokens += piece.said.len(),
                Next::Embedding(_) => unreachable!("no embedding was asked for"),
                Next::Ended(due) => {
                    self.counter.settle(vec![due]).await?;
                    return Ok(tokens);
                }
            }
        }
    }

    /// Which provider would be asked first, by its number.
    pub(super) fn first(&self) -> usize {
        let (_, choices) = self.counter.market.choices(MODEL, 1, 1, |_| true).unwrap();
        let endpoint = choices[0].seller.contact.endpoint;
        let is_first = |provider: &Provider| provider.seller.contact.endpoint == endpoint;
        self.providers.iter().position(is_first).unwrap()
    }

    pub(crate) fn spent_and_held(&self) -> (u128, u128) {
        let budget = self.counter.books.keys()[0].1.budget;
        (budget.spent.0, budget.held.0)
    }
}
