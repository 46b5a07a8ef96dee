//! What is fuzzed of the files beside weights as models are published: configurations, tokenizers, chat templates. The
//! weights are sound ones, so that what is said of them is believed. Runs as a test of `tilth-tensor`.

use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tilth_tensor::{
    blob::Blob,
    chat::{Message, Template},
    import::{self, Beside, Quantiser, pooling_folder},
    tokenizer::{LONGEST_TEXT, Tokenizer, Vocabulary},
};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[
    ("safetensors", safetensors),
    ("config", config),
    ("encoder_files", encoder_files),
    ("tokenizer", tokenizer),
    ("template", template),
];

/// Weights of one layer.
const DECODER: &[u8] = include_bytes!("../corpus/safetensors/small");
const ENCODER: &[u8] = include_bytes!("../corpus/safetensors/encoder");
/// What lies beside them.
const DECODER_CONFIG: &[u8] = include_bytes!("../corpus/config/llama");
const ENCODER_FILES: &[u8] = include_bytes!("../corpus/encoder_files/small");
const TOKENIZER: &[u8] = br#"{"added_tokens":[{"id":1,"content":"<|im_end|>","special":true}],
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
    "model":{"type":"BPE","vocab":{"a":0,"<|im_end|>":1},"merges":[]}}"#;

static VOCABULARY: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary::from_tokenizer_json(TOKENIZER).expect("it is sound"));

/// A safetensors file beside sound ones, as a decoder and as an encoder.
pub fn safetensors(data: &[u8]) {
    is_decoder(data);
    is_encoder(data);
}

/// A decoder's `config.json`.
pub fn config(data: &[u8]) {
    is_decoders(data);
}

/// The files beside an encoder's weights, as one object: `config`, `tokenizer`, `modules`, `pooling`, `lengths`.
pub fn encoder_files(data: &[u8]) {
    is_encoders(data);
}

/// A `tokenizer.json`: refused, or the same in a blob, and it cuts texts.
pub fn tokenizer(data: &[u8]) {
    vocabulary(data);
}

/// A chat template: refused, or it ends, and what it writes is bounded.
pub fn template(data: &[u8]) {
    conversation(data);
}

/// Whether these are a decoder's weights.
pub fn is_decoder(weights: &[u8]) -> bool {
    decoder(weights, DECODER_CONFIG)
}

/// Whether these are an encoder's weights.
pub fn is_encoder(weights: &[u8]) -> bool {
    encoder(weights, ENCODER_FILES)
}

/// Whether this is the configuration of a decoder with those weights.
pub fn is_decoders(config: &[u8]) -> bool {
    decoder(DECODER, config)
}

/// Whether these are the files of an encoder with those weights.
pub fn is_encoders(files: &[u8]) -> bool {
    encoder(ENCODER, files)
}

/// Whether a decoder was imported; then it runs.
fn decoder(weights: &[u8], config: &[u8]) -> bool {
    let (mut blob, quantiser) = (vec![], Quantiser::default());
    let read = import::safetensors(weights, config, TOKENIZER, None, quantiser, &mut blob);
    if read.is_ok() {
        super::models::run(&Blob::open(Arc::new(blob)).expect("what was written is read"));
    }
    read.is_ok()
}

/// Whether an encoder was imported; then it runs.
fn encoder(weights: &[u8], files: &[u8]) -> bool {
    let Ok(files) = serde_json::from_slice::<Value>(files) else { return false };
    let file = |name: &str| files[name].to_string().into_bytes();
    let (config, tokenizer) = (file("config"), file("tokenizer"));
    let (modules, pooling, lengths) = (file("modules"), file("pooling"), file("lengths"));
    let lengths = (!files["lengths"].is_null()).then_some(&*lengths);
    if let Ok(folder) = pooling_folder(&modules) {
        assert!(!folder.is_empty() && !folder.contains(['/', '.']), "{folder:?}");
    }
    let beside = Beside {
        config: &config,
        tokenizer: &tokenizer,
        modules: &modules,
        pooling: &pooling,
        lengths,
    };
    let mut blob = vec![];
    let read = import::encoder(weights, &beside, Quantiser::default(), &mut blob);
    if read.is_ok() {
        super::models::run(&Blob::open(Arc::new(blob)).expect("what was written is read"));
    }
    read.is_ok()
}

/// Whether a tokenizer was read, and is one.
pub fn vocabulary(file: &[u8]) -> bool {
    let Ok(vocabulary) = Vocabulary::from_tokenizer_json(file) else { return false };
    let shown = serde_json::to_vec(&vocabulary).expect("it is JSON");
    let read: Vocabulary = serde_json::from_slice(&shown).expect("it was shown");
    assert_eq!(read, vocabulary);
    let Ok(tokenizer) = Tokenizer::new(&vocabulary) else { return false };
    super::models::cut(&tokenizer);
    true
}

/// Whether a template writes this conversation.
pub fn conversation(source: &[u8]) -> bool {
    let Ok(source) = std::str::from_utf8(source) else { return false };
    let mut vocabulary = VOCABULARY.clone();
    vocabulary.chat_template = Some(source.to_owned());
    let Ok(template) = Template::new(&vocabulary) else { return false };
    let message =
        |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let messages = [
        message("system", "short"),
        message("user", " how many<|im_end|>\u{1f33e}?"),
        message("assistant", "<think>\n\n</think>\n\none"),
        message("user", ""),
    ];
    let tokenizer = Tokenizer::new(&vocabulary).expect("the vocabulary is sound");
    let [open, ended] = [true, false].map(|answer| template.render(&messages, answer));
    for text in [&open, &ended].into_iter().flatten() {
        assert!(text.len() <= LONGEST_TEXT, "{} bytes", text.len());
    }
    if open.is_ok() {
        let _ = template.tokens(&messages, true, &tokenizer);
    }
    open.is_ok() && ended.is_ok()
}
