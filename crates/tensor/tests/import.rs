//! The same small model as GGUF and as safetensors: what is imported, and what is refused.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test values are within range"
)]

use std::fmt::Write;
use std::sync::Arc;

use tilth_tensor::blob::{Blob, Pooling};
use tilth_tensor::cache::{Cache, Table};
use tilth_tensor::import::{self, Quantiser};
use tilth_tensor::int1::rotation::Pairing;
use tilth_tensor::matrix::Machine;
use tilth_tensor::model::{Model, Row};
use tilth_tensor::tokenizer::{NormalForm, Tokenizer, Vocabulary};

/// Name in GGUF, name in safetensors, rows, columns.
const TENSORS: [(&str, &str, usize, usize); 11] = [
    ("token_embd.weight", "model.embed_tokens.weight", 258, 32),
    ("output_norm.weight", "model.norm.weight", 1, 32),
    ("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight", 1, 32),
    ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", 32, 32),
    ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", 16, 32),
    ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", 16, 32),
    ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", 32, 32),
    ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", 1, 32),
    ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", 32, 32),
    ("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", 32, 32),
    ("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", 32, 32),
];

/// The numbers of a tensor; all fit half precision exactly.
fn numbers(tensor: usize) -> impl Iterator<Item = f32> {
    let (_, _, rows, columns) = TENSORS[tensor];
    (0..rows * columns).map(move |i| ((i * 37 + tensor * 11) % 255) as f32 / 256.0 - 0.5)
}

/// The characters that stand for the bytes, "th", and an end.
fn tokens() -> Vec<String> {
    let prints = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let rank = |byte: u32| (0..byte).filter(|below| !prints(below)).count() as u32;
    let stand_in = |byte: u32| if prints(&byte) { byte } else { 256 + rank(byte) };
    let mut tokens: Vec<String> =
        (0..256).map(|byte| char::from_u32(stand_in(byte)).unwrap().to_string()).collect();
    tokens.extend(["th".to_owned(), "<|im_end|>".to_owned()]);
    tokens
}

struct Gguf(Vec<u8>);

impl Gguf {
    fn text(&mut self, text: &str) {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.text(key);
        self.0.extend(kind.to_le_bytes());
        self.0.extend(value);
    }

    fn texts(&mut self, key: &str, texts: &[String]) {
        self.entry(key, 9, &8u32.to_le_bytes());
        self.0.extend((texts.len() as u64).to_le_bytes());
        texts.iter().for_each(|text| self.text(text));
    }

    fn word(&mut self, key: &str, value: u32) {
        self.entry(key, 4, &value.to_le_bytes());
    }

    fn named(&mut self, key: &str, value: &str) {
        self.entry(key, 8, &[]);
        self.text(value);
    }
}

/// A GGUF file with half-precision matrices.
fn gguf(architecture: &str) -> Vec<u8> {
    gguf_with(architecture, None)
}

/// The same with one vector more.
fn gguf_with(architecture: &str, more: Option<(&str, &[f32])>) -> Vec<u8> {
    let mut file = Gguf(b"GGUF\x03\0\0\0".to_vec());
    file.0.extend((TENSORS.len() as u64 + u64::from(more.is_some())).to_le_bytes());
    file.0.extend(15u64.to_le_bytes());
    file.named("general.architecture", architecture);
    for (key, value) in [
        ("block_count", 1),
        ("embedding_length", 32),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("feed_forward_length", 32),
        ("context_length", 64),
    ] {
        file.word(&format!("{architecture}.{key}"), value);
    }
    file.entry(&format!("{architecture}.rope.freq_base"), 6, &10_000f32.to_le_bytes());
    file.entry(
        &format!("{architecture}.attention.layer_norm_rms_epsilon"),
        6,
        &1e-5f32.to_le_bytes(),
    );
    file.named("tokenizer.ggml.model", "gpt2");
    file.named("tokenizer.ggml.pre", "smollm");
    file.texts("tokenizer.ggml.tokens", &tokens());
    file.texts("tokenizer.ggml.merges", &["t h".to_owned()]);
    file.entry("tokenizer.ggml.token_type", 9, &5u32.to_le_bytes());
    file.0.extend(258u64.to_le_bytes());
    (0..258).for_each(|i| file.0.extend((if i == 257 { 3i32 } else { 1 }).to_le_bytes()));
    file.word("tokenizer.ggml.eos_token_id", 257);
    let mut data = vec![];
    for (i, (name, _, rows, columns)) in TENSORS.into_iter().enumerate() {
        file.text(name);
        let sides = if rows == 1 { vec![columns] } else { vec![columns, rows] };
        file.0.extend((sides.len() as u32).to_le_bytes());
        sides.iter().for_each(|side| file.0.extend((*side as u64).to_le_bytes()));
        file.0.extend(u32::from(rows > 1).to_le_bytes());
        file.0.extend((data.len() as u64).to_le_bytes());
        for number in numbers(i) {
            if rows > 1 {
                data.extend(half(number).to_le_bytes())
            } else {
                data.extend(number.to_le_bytes())
            }
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    if let Some((name, numbers)) = more {
        file.text(name);
        file.0.extend(1u32.to_le_bytes());
        file.0.extend((numbers.len() as u64).to_le_bytes());
        file.0.extend(0u32.to_le_bytes());
        file.0.extend((data.len() as u64).to_le_bytes());
        numbers.iter().for_each(|number| data.extend(number.to_le_bytes()));
    }
    file.0.resize(file.0.len().next_multiple_of(32), 0);
    file.0.extend(data);
    file.0
}

/// Half precision of a number that it holds exactly.
fn half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    if x == 0.0 {
        return sign;
    }
    sign | ((((bits >> 23 & 255) - 112) << 10) as u16) | (bits >> 13 & 1023) as u16
}

fn safetensors() -> (Vec<u8>, String, String) {
    let (mut header, mut data) = (String::from("{\"__metadata__\":{\"format\":\"pt\"}"), vec![]);
    for (i, (_, name, rows, columns)) in TENSORS.into_iter().enumerate() {
        let shape = if rows == 1 { format!("[{columns}]") } else { format!("[{rows},{columns}]") };
        let begin = data.len();
        numbers(i).for_each(|number| data.extend(number.to_le_bytes()));
        let end = data.len();
        write!(
            header,
            ",\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}"
        )
        .unwrap();
    }
    header.push('}');
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let config = r#"{"model_type":"llama","num_hidden_layers":1,"hidden_size":32,"num_attention_heads":2,
        "num_key_value_heads":1,"intermediate_size":32,"max_position_embeddings":64,"rms_norm_eps":1e-5,
        "rope_theta":10000.0}"#;
    let vocabulary: Vec<String> = tokens()[..257]
        .iter()
        .enumerate()
        .map(|(id, text)| format!("{}:{id}", serde_json::to_string(text).unwrap()))
        .collect();
    let tokenizer = format!(
        r#"{{"added_tokens":[{{"id":257,"content":"<|im_end|>"}}],"pre_tokenizer":{{"type":"Sequence","pretokenizers":
        [{{"type":"Digits","individual_digits":true}},{{"type":"ByteLevel","add_prefix_space":false}}]}},"model":{{"type":"BPE","vocab":
        {{{}}},"merges":["t h"]}}}}"#,
        vocabulary.join(",")
    );
    (file, config.to_owned(), tokenizer)
}

fn imported_gguf(architecture: &str) -> Blob {
    let mut blob = vec![];
    let (id, size) = import::gguf(&gguf(architecture), Quantiser::default(), &mut blob).unwrap();
    assert_eq!((id, size), (blake3::hash(&blob), blob.len()));
    Blob::open(Arc::new(blob)).unwrap()
}

#[test]
fn both_containers_give_the_same_weights_and_tokens() {
    let ours = imported_gguf("llama");
    let (file, config, tokenizer) = safetensors();
    let mut blob = vec![];
    import::safetensors(
        &file,
        config.as_bytes(),
        tokenizer.as_bytes(),
        None,
        Quantiser::default(),
        &mut blob,
    )
    .unwrap();
    let theirs = Blob::open(Arc::new(blob)).unwrap();
    assert_eq!(
        ours.header().sections.keys().collect::<Vec<_>>(),
        theirs.header().sections.keys().collect::<Vec<_>>()
    );
    for (name, rows) in
        [("embedding", 258), ("layer.0.qkv", 64), ("layer.0.gate_up", 64), ("layer.0.down", 32)]
    {
        let (ours, theirs) =
            (ours.matrix(name, rows, 32).unwrap(), theirs.matrix(name, rows, 32).unwrap());
        for row in 0..rows {
            let (mut a, mut b) = ([0; 32], [0; 32]);
            ours.row(row, 20, &mut a);
            theirs.row(row, 20, &mut b);
            assert_eq!(a, b, "{name} {row}");
        }
    }
    // llama.cpp's files of this family are reordered; Hugging Face's are not.
    assert_eq!(ours.header().architecture.pairing, Pairing::Neighbours);
    assert_eq!(theirs.header().architecture.pairing, Pairing::Halves);
    let (mut ours, theirs) = (Vocabulary::open(&ours).unwrap(), Vocabulary::open(&theirs).unwrap());
    ours.ends.dedup();
    assert_eq!(ours, theirs);
}

#[test]
fn an_imported_model_runs_and_reads() {
    let blob = imported_gguf("llama");
    let model = Model::open(&blob).unwrap();
    let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
    let tokens = tokenizer.encode_template("the 12<|im_end|>").unwrap();
    assert_eq!(tokens, [256, u32::from(b'e'), 32, u32::from(b'1'), u32::from(b'2'), 257]);
    assert_eq!(
        tokenizer.encode("<|im_end|>").unwrap().len(),
        10,
        "plain text has no special tokens"
    );
    assert_eq!(tokenizer.decode(&tokens), "the 12");
    assert_eq!(tokenizer.decode(&[0xf0, 0x9f, 0x8c]), "\u{fffd}");
    assert_eq!(tokenizer.decode(&[0xf0, 0x9f, 0x8c, 0xbe, 0xff, 65]), "🌾\u{fffd}A");
    let mut cache = Cache::new(model.cache_shape(), 1).unwrap();
    let mut table = Table::default();
    let row = |token| Row { sequence: 0, position: 0, token, logits: true };
    let machine = Machine::new(1).unwrap();
    let refused = model.forward(&[row(1)], &[&table], &mut cache, &machine).unwrap_err();
    assert!(refused.detail.contains("token 1 at position 0"), "no page was taken: {refused}");
    assert!(cache.grow(&mut table, 1));
    assert!(model.forward(&[row(258)], &[&table], &mut cache, &machine).is_err());
    assert_eq!(model.forward(&[row(1)], &[&table], &mut cache, &machine).unwrap()[0].len(), 258);
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |file: &[u8]| {
        import::gguf(file, Quantiser::default(), &mut vec![]).unwrap_err().to_string()
    };
    let good = gguf("llama");
    assert!(refused(b"PK\x03\x04").contains("not a GGUF file"));
    assert!(refused(&gguf("mamba")).contains("the architecture mamba"));
    assert!(refused(&good[..good.len() - 40]).contains("cut short"));
    // Half of the file is a header that ends too early.
    assert!(
        refused(&good[..1000]).contains("left") || refused(&good[..1000]).contains("ends within")
    );
    let mut many = good.clone();
    many[8..16].fill(0xff);
    assert!(refused(&many).contains("tensors"));
    // A vocabulary of 2^62 tokens in a file of some kilobytes.
    let mut huge = good.clone();
    let at = huge.windows(22).position(|w| w == b"tokenizer.ggml.tokens\x09").unwrap() + 21 + 4 + 4;
    huge[at..at + 8].copy_from_slice(&(1u64 << 62).to_le_bytes());
    assert!(refused(&huge).contains("entries in the"));
    let mut nan = good;
    let end = nan.len();
    nan[end - 64..end - 62].copy_from_slice(&[0x00, 0x7e]);
    assert!(refused(&nan).contains("not a finite number"));
}

/// A value of another type is not a value that is missing, for which something else would be taken in silence.
#[test]
fn values_of_another_type_are_refused() {
    let good = gguf("llama");
    let retyped = |key: &str, before: &[u8], kind: u32| {
        let key = [key.as_bytes(), before].concat();
        let at = good.windows(key.len()).position(|window| window == key).unwrap() + key.len();
        let mut file = good.clone();
        file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        import::gguf(&file, Quantiser::default(), &mut vec![]).unwrap_err().detail
    };
    let (real, unsigned) = (6, 4);
    let found = retyped("llama.attention.head_count_kv", &[], real);
    assert!(found.contains("head_count_kv is not a count"), "{found}");
    let found = retyped("llama.rope.freq_base", &[], unsigned);
    assert!(found.contains("freq_base is not a real number"), "{found}");
    let found = retyped("tokenizer.ggml.eos_token_id", &[], real);
    assert!(found.contains("eos_token_id is not the number of a token"), "{found}");
    // The type of a list's entries.
    let found = retyped("tokenizer.ggml.token_type", &9u32.to_le_bytes(), real);
    assert!(found.contains("token_type is not a list of whole numbers"), "{found}");
}

/// What a configuration says beyond the known is refused: it would be another model.
#[test]
fn configurations_are_taken_whole() {
    let (file, config, tokenizer) = safetensors();
    let import = |config: &str, tokenizer: &str| {
        let mut blob = vec![];
        import::safetensors(
            &file,
            config.as_bytes(),
            tokenizer.as_bytes(),
            None,
            Quantiser::default(),
            &mut blob,
        )
        .map(|_| Blob::open(Arc::new(blob)).unwrap())
    };
    let with = |entry: &str| config.replacen('{', &format!("{{{entry},"), 1);
    let detail = |entry: &str| import(&with(entry), &tokenizer).unwrap_err().detail;
    assert!(detail(r#""use_sliding_window":true"#).contains("use_sliding_window"));
    assert!(detail(r#""hidden_act":"gelu""#).contains("gelu"));
    assert!(detail(r#""partial_rotary_factor":0.5"#).contains("partial_rotary_factor"));
    assert!(detail(r#""quantization_config":{}"#).contains("quantization_config"));
    // Nobody knows what it does, so it is not left out in silence.
    assert!(detail(r#""residual_multiplier":0.22"#).contains("residual_multiplier"));
    assert!(detail(r#""layer_types":["sliding_attention"]"#).contains("layer_types"));
    import(
        &with(r#""residual_multiplier":null,"torch_dtype":"bfloat16","mlp_bias":false"#),
        &tokenizer,
    )
    .unwrap();
    assert!(
        detail(r#""rope_parameters":{"rope_type":"yarn","factor":4.0}"#).contains("scaling yarn")
    );
    assert!(detail(r#""rope_scaling":{"rope_type":"linear"}"#).contains("factor of 0"));
    assert!(
        detail(r#""rope_scaling":{"rope_type":"linear","factor":2.0,"beta_fast":1.0}"#)
            .contains("beta_fast")
    );
    let bases = r#""rope_parameters":{"rope_type":"default","rope_theta":5e5}"#;
    assert!(detail(bases).contains("rope_theta"));
    // Newer files say base and scaling in one place: the same model.
    let scaled = import(&with(r#""rope_scaling":{"type":"linear","factor":2.0}"#), &tokenizer);
    let newer = config.replace(
        r#""rope_theta":10000.0"#,
        r#""rope_parameters":{"rope_type":"linear","type":"linear","factor":2.0,"rope_theta":10000.0}"#,
    );
    let newer = import(&newer, &tokenizer).unwrap();
    assert_eq!(newer.header().architecture, scaled.unwrap().header().architecture);
    let plain = import(&config, &tokenizer).unwrap();
    assert_ne!(plain.header().architecture.turns, newer.header().architecture.turns);
}

/// A bias that the family does not have, and frequencies that are none.
#[test]
fn tensors_that_nothing_takes_are_refused() {
    let refused =
        |file: &[u8]| import::gguf(file, Quantiser::default(), &mut vec![]).unwrap_err().detail;
    let extra = |name: &str, numbers: &[f32]| gguf_with("llama", Some((name, numbers)));
    assert!(refused(&extra("blk.0.attn_q.bias", &[0.5; 32])).contains("attn_q.bias"));
    assert!(refused(&extra("blk.0.ffn_gate_inp.weight", &[0.5; 32])).contains("ffn_gate_inp"));
    assert!(refused(&extra("rope_freqs.weight", &[1.0; 7])).contains("rope_freqs"));
    assert!(refused(&extra("rope_freqs.weight", &[0.0; 8])).contains("divides a frequency by 0"));
    assert!(refused(&extra("rope_freqs.weight", &[f32::NAN; 8])).contains("by NaN"));
    let good = extra("rope_freqs.weight", &[2.0; 8]);
    let mut blob = vec![];
    import::gguf(&good, Quantiser::default(), &mut blob).unwrap();
    let turns = |blob: Blob| blob.header().architecture.turns[0].clone();
    let halved = turns(Blob::open(Arc::new(blob)).unwrap());
    let plain = turns(imported_gguf("llama"));
    assert!(halved.iter().zip(&plain).all(|(half, whole)| (whole / 2).abs_diff(*half) < 4096));
}

/// Added tokens that are not special are part of answers, and what users write may be them.
#[test]
fn added_tokens_are_shown_unless_special() {
    let (_, _, tokenizer) = safetensors();
    let tokenizer = tokenizer.replace(
        r#"[{"id":257,"content":"<|im_end|>"}]"#,
        r#"[{"id":257,"content":"<|im_end|>","special":true},{"id":258,"content":"<think>","special":false}]"#,
    );
    let vocabulary = Vocabulary::from_tokenizer_json(tokenizer.as_bytes()).unwrap();
    assert_eq!((&*vocabulary.special, &*vocabulary.shown), (&[257, 258][..], &[258][..]));
    let tokenizer = Tokenizer::new(&vocabulary).unwrap();
    let tokens = tokenizer.encode_template("<think>a<|im_end|>").unwrap();
    assert_eq!(tokens, [258, u32::from(b'a'), 257]);
    assert_eq!(tokenizer.decode(&tokens), "<think>a");
    assert!(!tokenizer.is_special(258) && tokenizer.is_special(257));
    assert_eq!(tokenizer.guard("<think>"), "<think>");
    assert_ne!(tokenizer.guard("<|im_end|>"), "<|im_end|>");
}

fn with(vocabulary: &Vocabulary, token: usize, text: &str) -> Vec<String> {
    let mut tokens = vocabulary.tokens.clone();
    text.clone_into(&mut tokens[token]);
    tokens
}

/// Special tokens are cut out first, then what is between them is composed.
#[test]
fn text_between_special_tokens_is_composed() {
    let (_, _, json) = safetensors();
    let json = json.replacen('{', r#"{"normalizer":{"type":"NFC"},"#, 1);
    let vocabulary = Vocabulary::from_tokenizer_json(json.as_bytes()).unwrap();
    assert_eq!(vocabulary.form, Some(NormalForm::Nfc));
    let tokenizer = Tokenizer::new(&vocabulary).unwrap();
    let bytes = |text: &str| -> Vec<u32> { text.bytes().map(u32::from).collect() };
    // Behind the token the mark has nothing to join with; as text its last sign takes it.
    let text = "e\u{301}<|im_end|>\u{338}a\u{30a}";
    let cut = [bytes("\u{e9}"), vec![257], bytes("\u{338}\u{e5}")].concat();
    assert_eq!(tokenizer.encode_template(text).unwrap(), cut);
    let whole = bytes("\u{e9}<|im_end|\u{226f}\u{e5}");
    assert_eq!(tokenizer.encode(text).unwrap(), whole);
    assert_eq!(tokenizer.encode_template(&tokenizer.guard(text)).unwrap(), whole);
    // What becomes a special token's text by being composed is none: U+37E is written as a semicolon.
    let other = Vocabulary { tokens: with(&vocabulary, 257, "a;"), ..vocabulary.clone() };
    let other = Tokenizer::new(&other).unwrap();
    assert_eq!(other.encode_template("a\u{37e}").unwrap(), bytes("a;"));
    assert_eq!(other.encode_template("a;").unwrap(), [257]);
}

/// Blobs from before normal forms keep their bytes; what does not know them refuses those that have one.
#[test]
fn normal_forms_are_told_only_where_there_is_one() {
    let (_, _, json) = safetensors();
    let plain = Vocabulary::from_tokenizer_json(json.as_bytes()).unwrap();
    let told = serde_json::to_string(&plain).unwrap();
    assert!(told.starts_with(r#"{"splitting":"digits","tokens":["#), "{told:.40}");
    let formed = Vocabulary { form: Some(NormalForm::Nfc), ..plain };
    let told = serde_json::to_string(&formed).unwrap();
    assert!(told.starts_with(r#"{"form":"nfc","splitting":"#), "{told:.40}");
    assert_eq!(serde_json::from_str::<Vocabulary>(&told).unwrap(), formed);
    let unknown = told.replacen("nfc", "nfkc", 1);
    assert!(serde_json::from_str::<Vocabulary>(&unknown).is_err());
}

/// Files in GGUF name no form: it is that of the models that are cut so.
#[test]
fn qwen_s_text_is_composed_whatever_it_comes_in() {
    let form = |pre: &str| {
        let mut named = 6_u64.to_le_bytes().to_vec();
        named.extend(b"smollm");
        let mut file = gguf("qwen2");
        let at = file.windows(named.len()).position(|part| part == named).unwrap();
        let length = (pre.len() as u64).to_le_bytes();
        drop(file.splice(at..at + named.len(), length.into_iter().chain(pre.bytes())));
        import::Gguf::parse(&file).unwrap().vocabulary().unwrap().form
    };
    assert_eq!(form("qwen2"), Some(NormalForm::Nfc));
    assert_eq!([form("smollm"), form("gpt-2")], [None; 2]);
}

/// A vocabulary beyond the bounds, or one that names tokens which do not exist.
#[test]
fn vocabularies_are_bounded() {
    let (_, _, tokenizer) = safetensors();
    let good = Vocabulary::from_tokenizer_json(tokenizer.as_bytes()).unwrap();
    let refused = |change: fn(&mut Vocabulary)| {
        let mut vocabulary = good.clone();
        change(&mut vocabulary);
        Tokenizer::new(&vocabulary).unwrap_err().detail
    };
    assert!(refused(|v| v.tokens.resize(300_000, "th".into())).contains("300000 tokens"));
    assert!(refused(|v| v.tokens[256] = "t".repeat(5000)).contains("5000 bytes in a token"));
    assert!(refused(|v| v.tokens[257] = "<".repeat(129)).contains("129 bytes in a special token"));
    assert!(refused(|v| v.special.push(258)).contains("token 258 does not exist"));
    assert!(refused(|v| v.shown.push(999)).contains("token 999"));
    assert!(refused(|v| v.first = Some(u32::MAX)).contains("does not exist"));
    assert!(refused(|v| v.ends = vec![0; 65]).contains("65 ends"));
    assert!(refused(|v| v.chat_template = Some("x".repeat(300_000))).contains("chat template"));
    assert!(refused(|v| v.merges = vec![[0, 999]]).contains("merge 0"));
    let normal_words = |v: &mut Vocabulary| {
        let blob = import::synthetic_encoder(Pooling::Mean, 1).unwrap();
        *v = Vocabulary::open(&Blob::open(Arc::new(blob)).unwrap()).unwrap();
        v.form = Some(NormalForm::Nfc);
    };
    assert!(refused(normal_words).contains("a normal form"));
}

/// Every cut of a blob is refused.
#[test]
fn cut_blobs_are_refused() {
    let mut blob = vec![];
    import::gguf(&gguf("llama"), Quantiser::default(), &mut blob).unwrap();
    for length in (0..blob.len()).step_by(7) {
        assert!(Blob::open(Arc::new(blob[..length].to_vec())).is_err(), "{length}");
    }
}

#[test]
#[ignore = "writes fuzz/corpus; by hand: cargo nextest run -p tilth-tensor --run-ignored only -E 'test(write_corpus)'"]
fn write_corpus() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut blob = vec![];
    import::gguf(&gguf("llama"), Quantiser::default(), &mut blob).unwrap();
    let (file, ..) = safetensors();
    for (name, bytes) in [("gguf", gguf("llama")), ("model", blob), ("safetensors", file)] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("small"), bytes).unwrap();
    }
}
