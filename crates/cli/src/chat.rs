//! `tilth chat`: talks with a model that a provider sells, from the terminal, without a gateway.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use serde_json::json;
use tilth_client::{
    Contacts,
    infer::{Asker, Heard, Seller, fixed, nonce, sellers},
};
use tilth_protocol::{
    Amount, Harmless, Problem,
    infer::{Makes, Message, ModelOffer, Parameters, Prompt, SignedReceipt, message::Ask},
};

use crate::{
    Ended,
    args::{Chat, Common},
    place::Place,
    print_json,
    store::Store,
};

pub async fn chat(common: Common, args: Chat) -> Ended {
    let parameters = parameters(&args)?;
    let place = Place::open(&common)?;
    let store = Store::open(&place.dir, None).await?;
    let chain_id = place.link.chain_id().await.map_err(|error| error.problem())?;
    let asker = Asker::new(store.blobs.clone(), chain_id);
    let contacts = Contacts::new(place.link.clone(), place.network.first_block);
    let found = sellers::find(&place.link, &contacts, &asker).await;
    let found = found.map_err(|error| error.problem())?;
    let (seller, offer) = choose(&found, args.model.as_deref())?;
    let mut messages: Vec<_> = args.system.iter().map(|text| message("system", text)).collect();
    let mut talk = Talk { common: &common, args: &args, asker, seller, offer, parameters };
    let ended = if args.text.is_empty() {
        talk.converse(&mut messages).await
    } else {
        messages.push(message("user", &args.text.join(" ")));
        talk.answer(&mut messages).await
    };
    drop(talk);
    store.close().await;
    ended.map(|()| ExitCode::SUCCESS)
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn parameters(args: &Chat) -> Result<Parameters, Problem> {
    let temperature = fixed(args.temperature, 2.0).ok_or_else(|| {
        let detail = format!("{} is not between 0 and 2", args.temperature);
        Problem::new("the temperature is not possible", detail, "write 0 to 2")
    })?;
    let (most, seed) = (args.max_tokens, args.seed);
    Ok(Parameters { most, temperature, seed, ..Parameters::default() })
}

/// The cheapest offer of the model that is meant.
fn choose<'a>(
    sellers: &'a [Seller],
    wanted: Option<&str>,
) -> Result<(&'a Seller, &'a ModelOffer), Problem> {
    let all = sellers.iter().flat_map(|seller| seller.offers.iter().map(move |o| (seller, o)));
    let all = all.filter(|(_, offer)| offer.makes == Makes::Text);
    let hash = wanted.and_then(|wanted| wanted.parse().ok());
    let meant = |offer: &ModelOffer| {
        // What looks like a hash is one, and no provider's name for something else.
        wanted.is_none_or(|name| match hash {
            Some(hash) => offer.model == hash,
            None => offer.name == name,
        })
    };
    let fitting: Vec<_> = all.filter(|(_, offer)| meant(offer)).collect();
    let Some((_, first)) = fitting.first() else {
        return Err(Problem::new(
            "nobody sells this model",
            wanted.unwrap_or("any").to_owned(),
            "start a provider with a model: `tilth up --model FILE`",
        ));
    };
    if fitting.iter().any(|(_, offer)| offer.model != first.model) {
        let mut names: Vec<_> =
            fitting.iter().map(|(_, o)| format!("{} ({})", o.name, o.model)).collect();
        names.sort();
        names.dedup();
        let detail = names.join(", ");
        return Err(Problem::new("several models are meant", detail, "name one hash with --model"));
    }
    let price = |offer: &ModelOffer| offer.prices.cost(1000, 1000).unwrap_or(Amount(u128::MAX));
    let cheapest = fitting.into_iter().min_by_key(|(_, offer)| price(offer));
    cheapest.ok_or_else(|| Problem::new("nobody sells this model", "", "try again later"))
}

/// A conversation.
struct Talk<'a> {
    common: &'a Common,
    args: &'a Chat,
    asker: Asker,
    seller: &'a Seller,
    offer: &'a ModelOffer,
    parameters: Parameters,
}

impl Talk<'_> {
    /// Reads lines until the input ends.
    async fn converse(&mut self, messages: &mut Vec<Message>) -> Result<(), Problem> {
        let shows = io::stdin().is_terminal();
        if shows {
            eprintln!("{} by {}; end with Ctrl-D", Harmless(&self.offer.name), self.seller.owner);
        }
        loop {
            if shows {
                eprint!("> ");
            }
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                io::stdin().lock().read_line(&mut line).map(|read| (read > 0).then_some(line))
            });
            let line = line.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            let line = line.map_err(|error| {
                let advice = "type UTF-8 text, one line at a time";
                Problem::new("the input cannot be read", error.to_string(), advice)
            })?;
            let Some(line) = line else { return Ok(()) };
            if !line.trim().is_empty() {
                messages.push(message("user", line.trim()));
                self.answer(messages).await?;
            }
        }
    }

    /// Has the last message answered, and shows the answer as it comes.
    async fn answer(&mut self, messages: &mut Vec<Message>) -> Result<(), Problem> {
        let prompt = Prompt::Chat(messages.clone());
        let ask = Ask {
            model: self.offer.model,
            prompt: prompt.clone(),
            parameters: self.parameters.clone(),
            prices: self.offer.prices,
            nonce: nonce(),
        };
        let asked = self.asker.ask(self.seller, ask).await;
        let mut answering = asked.map_err(|error| error.problem())?;
        let mut text = String::new();
        loop {
            match answering.next().await.map_err(|error| error.problem())? {
                Heard::Piece(piece) => {
                    text.push_str(&piece.text);
                    if !self.common.json {
                        // A model's words are a stranger's: they do not reach the terminal as commands.
                        print!("{}", Harmless(&piece.text));
                        // Shown as it comes, if it can be shown at all.
                        let _ = io::stdout().flush();
                    }
                }
                // A chat is asked for text, and nothing else is taken then.
                Heard::Embedding(_) => {}
                Heard::Ended { receipt, .. } => {
                    self.ended(&prompt, &text, &receipt)?;
                    messages.push(message("assistant", &text));
                    return Ok(());
                }
            }
        }
    }

    fn ended(&self, prompt: &Prompt, text: &str, receipt: &SignedReceipt) -> Result<(), Problem> {
        if let Some(dir) = &self.args.receipts {
            keep(dir, prompt, receipt)?;
        }
        if self.common.json {
            return print_json(&json!({ "text": text, "receipt": receipt, "prompt": prompt }));
        }
        println!();
        let said = &receipt.receipt;
        eprintln!(
            "  {} + {} tokens, {} GRAIN",
            said.prompt_tokens, said.output_tokens, said.charge
        );
        Ok(())
    }
}

/// Writes a receipt with its prompt, for `tilth verify --receipt`.
fn keep(dir: &Path, prompt: &Prompt, receipt: &SignedReceipt) -> Result<(), Problem> {
    let name = alloy::primitives::hex::encode(&receipt.receipt.nonce[..8]);
    let text = json!({ "receipt": receipt, "prompt": prompt }).to_string();
    let write = || {
        fs::create_dir_all(dir)?;
        fs::write(dir.join(format!("{name}.receipt")), text)
    };
    write().map_err(|error: io::Error| {
        let detail = format!("{}: {error}", dir.display());
        Problem::new("the receipt cannot be written", detail, "name another folder")
    })
}
