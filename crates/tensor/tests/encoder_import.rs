//! A small encoder as sentence-transformers lay one out: what is imported, and what is refused.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::fmt::Write;
use std::fs;

use tilth_tensor::blob::Pooling;
use tilth_tensor::encoder::Encoder;
use tilth_tensor::import::{self, Beside, Quantiser};
use tilth_tensor::int1::activation::Gate;
use tilth_tensor::matrix::Machine;
use tilth_tensor::shelf::Shelf;
use tilth_tensor::tokenizer::{Tokenizer, Vocabulary};

/// One layer, 8 wide, two heads, six tokens.
const TENSORS: [(&str, &[usize]); 25] = [
    ("embeddings.word_embeddings.weight", &[6, 8]),
    ("embeddings.position_embeddings.weight", &[12, 8]),
    ("embeddings.token_type_embeddings.weight", &[2, 8]),
    ("embeddings.LayerNorm.weight", &[8]),
    ("embeddings.LayerNorm.bias", &[8]),
    ("encoder.layer.0.attention.self.query.weight", &[8, 8]),
    ("encoder.layer.0.attention.self.query.bias", &[8]),
    ("encoder.layer.0.attention.self.key.weight", &[8, 8]),
    ("encoder.layer.0.attention.self.key.bias", &[8]),
    ("encoder.layer.0.attention.self.value.weight", &[8, 8]),
    ("encoder.layer.0.attention.self.value.bias", &[8]),
    ("encoder.layer.0.attention.output.dense.weight", &[8, 8]),
    ("encoder.layer.0.attention.output.dense.bias", &[8]),
    ("encoder.layer.0.attention.output.LayerNorm.weight", &[8]),
    ("encoder.layer.0.attention.output.LayerNorm.bias", &[8]),
    ("encoder.layer.0.intermediate.dense.weight", &[16, 8]),
    ("encoder.layer.0.intermediate.dense.bias", &[16]),
    ("encoder.layer.0.output.dense.weight", &[8, 16]),
    ("encoder.layer.0.output.dense.bias", &[8]),
    ("encoder.layer.0.output.LayerNorm.weight", &[8]),
    ("encoder.layer.0.output.LayerNorm.bias", &[8]),
    // Of other tasks.
    ("pooler.dense.weight", &[8, 8]),
    ("pooler.dense.bias", &[8]),
    ("embeddings.position_ids", &[1, 12]),
    ("extra.weight", &[8]),
];
/// How many belong to the encoder or are passed over.
const KNOWN: usize = TENSORS.len() - 1;

fn weights(count: usize) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), vec![]);
    for (i, (name, shape)) in TENSORS.into_iter().take(count).enumerate() {
        let begin = data.len();
        for j in 0..shape.iter().product::<usize>() {
            let number = f32::from(u8::try_from((i * 31 + j * 17) % 251).unwrap()) / 128.0 - 1.0;
            data.extend(number.to_le_bytes());
        }
        let comma = if i == 0 { "" } else { "," };
        let end = data.len();
        write!(
            header,
            r#"{comma}"{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
        )
        .unwrap();
    }
    header.push('}');
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

const CONFIG: &str = r#"{"model_type":"bert","_name_or_path":"someone/small","num_hidden_layers":1,"hidden_size":8,
    "num_attention_heads":2,"intermediate_size":16,"max_position_embeddings":12,"type_vocab_size":2,
    "layer_norm_eps":1e-12,"hidden_act":"gelu","position_embedding_type":"absolute"}"#;
const TOKENIZER: &str = r###"{"added_tokens":[{"id":0,"content":"[UNK]","special":true},{"id":1,"content":"[CLS]","special":true},
    {"id":2,"content":"[SEP]","special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,
    "handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
    "truncation":{"max_length":128},"padding":{"strategy":{"Fixed":128}},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},
    {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}]},
    "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
    "vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"seed":3,"##s":4,"row":5}}}"###;
const MODULES: &str = r#"[{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"},
    {"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
    {"idx":2,"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#;
const POOLING: &str = r#"{"word_embedding_dimension":8,"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true,
    "pooling_mode_max_tokens":false}"#;
const LENGTHS: &str = r#"{"max_seq_length":10,"do_lower_case":false}"#;

fn beside() -> Beside<'static> {
    Beside {
        config: CONFIG.as_bytes(),
        tokenizer: TOKENIZER.as_bytes(),
        modules: MODULES.as_bytes(),
        pooling: POOLING.as_bytes(),
        lengths: Some(LENGTHS.as_bytes()),
    }
}

#[test]
fn a_folder_is_imported_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("model");
    fs::create_dir_all(from.join("1_Pooling")).unwrap();
    for (name, text) in [
        ("config.json", CONFIG),
        ("tokenizer.json", TOKENIZER),
        ("modules.json", MODULES),
        ("1_Pooling/config.json", POOLING),
        ("sentence_bert_config.json", LENGTHS),
    ] {
        fs::write(from.join(name), text).unwrap();
    }
    fs::write(from.join("model.safetensors"), weights(KNOWN)).unwrap();
    let shelf = Shelf::new(folder.path().join("shelf"));
    let entry = shelf.import(&from).unwrap();
    assert_eq!(entry.header.name, "small");
    let a = &entry.header.architecture;
    assert_eq!((a.context, a.pooling, a.gate), (10, Some(Pooling::Mean), Gate::Gelu));
    // The blob is taken as it is, too.
    assert_eq!(shelf.import(&entry.path).unwrap().id, entry.id);
    let blob = tilth_tensor::blob::Blob::open(std::sync::Arc::new(fs::read(&entry.path).unwrap()));
    let blob = blob.unwrap();
    let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
    let tokens = tokenizer.encode_input("Seeds, ROW").unwrap();
    assert_eq!(tokens, [1, 3, 4, 0, 5, 2]);
    let encoder = Encoder::open(&blob).unwrap();
    let embedding = encoder.embed(&[&tokens], &Machine::new(1).unwrap()).unwrap();
    assert!(embedding[0].iter().any(|x| *x != 0) && embedding[0].len() == 8);
    // The pooling lies where modules.json says.
    fs::rename(from.join("1_Pooling"), from.join("rows")).unwrap();
    assert!(shelf.import(&from).unwrap_err().detail.contains("1_Pooling"));
    let elsewhere =
        |path: &str| fs::write(from.join("modules.json"), MODULES.replace("1_Pooling", path));
    elsewhere("rows").unwrap();
    assert_eq!(shelf.import(&from).unwrap().id, entry.id);
    for path in ["../rows", "/rows", "", "rows/.."] {
        elsewhere(path).unwrap();
        assert!(shelf.import(&from).unwrap_err().detail.contains("pooling in"), "{path}");
    }
    // Without what says how rows become an embedding, it is no model.
    fs::remove_file(from.join("modules.json")).unwrap();
    assert!(shelf.import(&from).unwrap_err().to_string().contains("bert"));
}

#[test]
fn what_would_be_another_model_is_refused() {
    let import = |weights: &[u8], beside: Beside<'_>| {
        import::encoder(weights, &beside, Quantiser::default(), &mut vec![]).map(drop)
    };
    let good = weights(KNOWN);
    import(&good, beside()).unwrap();
    let detail = |beside: Beside<'_>| import(&good, beside).unwrap_err().detail;
    let config = |from: &str, to: &str| {
        let changed = CONFIG.replace(from, to);
        assert_ne!(changed, CONFIG);
        detail(Beside { config: changed.as_bytes(), ..beside() })
    };
    assert!(config("absolute", "relative_key").contains("relative_key"));
    assert!(config(r#""gelu""#, r#""swish""#).contains("swish"));
    assert!(config(r#""model_type":"bert""#, r#""model_type":"mpnet""#).contains("mpnet"));
    assert!(config(r#""hidden_size":8"#, r#""hidden_size":9"#).contains("2 heads in 9"));
    assert!(config(r#""num_attention_heads":2"#, r#""num_attention_heads":0"#).contains("0 heads"));
    assert!(
        config(r#""num_attention_heads":2"#, r#""num_attention_heads":8"#)
            .contains("head_width is 1")
    );
    assert!(config(r#"embeddings":12"#, r#"embeddings":13"#).contains("positions are (12, 8)"));
    assert!(config(r#"layers":1"#, r#"layers":2"#).contains("blk.1.attn_q.weight is missing"));
    assert!(config("1e-12", "1.5").contains("epsilon 1.5"));
    // What is not known is named; what is off, or says nothing of the result, is let through.
    let with = |entry: &str| CONFIG.replacen('{', &format!("{{{entry},"), 1);
    let said = |entry: &str| detail(Beside { config: with(entry).as_bytes(), ..beside() });
    assert!(said(r#""quantization_config":{"bits":4}"#).contains("quantization_config"));
    assert!(said(r#""embedding_size":4"#).contains("embedding_size"));
    assert!(said(r#""is_decoder":true"#).contains("another use"));
    let harmless = with(
        r#""gradient_checkpointing":false,"hidden_dropout_prob":0.1,"classifier_dropout":null"#,
    );
    import(&good, Beside { config: harmless.as_bytes(), ..beside() }).unwrap();
    let weighted = POOLING.replacen('{', r#"{"weights":[1.0],"#, 1);
    assert!(detail(Beside { pooling: weighted.as_bytes(), ..beside() }).contains("weights in"));
    let modules = MODULES.replace(r#""path":"""#, r#""path":"0_Transformer""#);
    assert!(detail(Beside { modules: modules.as_bytes(), ..beside() }).contains("of its own"));
    let pooling = POOLING.replace("false", "true");
    assert!(detail(Beside { pooling: pooling.as_bytes(), ..beside() }).contains(" and "));
    let modules = MODULES.replace("Normalize", "Dense");
    let said = detail(Beside { modules: modules.as_bytes(), ..beside() });
    assert!(said.contains("Dense") && said.contains("modules.json"), "{said}");
    let said = import::pooling_folder(br#"[{"type":"a.Transformer"}]"#).unwrap_err().detail;
    assert!(said.contains("modules.json without a pooling"), "{said}");
    let lengths = LENGTHS.replace("false", "true");
    assert!(detail(Beside { lengths: Some(lengths.as_bytes()), ..beside() }).contains("do_lower"));
    let tokenizer = |from: &str, to: &str| {
        let changed = TOKENIZER.replace(from, to);
        assert_ne!(changed, TOKENIZER);
        detail(Beside { tokenizer: changed.as_bytes(), ..beside() })
    };
    assert!(tokenizer("BertPreTokenizer", "Whitespace").contains("Whitespace"));
    assert!(tokenizer("BertNormalizer", "NFKC").contains("NFKC"));
    assert!(tokenizer(r#""unk_token":"[UNK]""#, r#""unk_token":"[NO]""#).contains("[NO]"));
    assert!(tokenizer("per_word\":100", "per_word\":9999").contains("9999 characters"));
    assert!(tokenizer(r#""row":5"#, r#""row":5,"more":6"#).contains("7 tokens for 6"));
    let extra = weights(TENSORS.len());
    assert!(import(&extra, beside()).unwrap_err().detail.contains("extra.weight"));
    for length in (0..good.len()).step_by(13) {
        assert!(import(&good[..length], beside()).is_err(), "{length}");
    }
}

/// The seed of an encoder for the fuzz target of blobs, beside those of `import.rs`.
#[test]
#[ignore = "writes fuzz/corpus; by hand: cargo nextest run -p tilth-tensor --run-ignored only -E 'test(write_encoder_seed)'"]
fn write_encoder_seed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut blob = vec![];
    import::encoder(&weights(KNOWN), &beside(), Quantiser::default(), &mut blob).unwrap();
    fs::write(folder.join("model/encoder"), blob).unwrap();
}

#[test]
fn poolings_are_told_apart() {
    let pooling = |text: &'static str| {
        Beside { pooling: text.as_bytes(), ..beside() }.description().map(|d| d.pooling)
    };
    assert_eq!(pooling(POOLING), Ok(Pooling::Mean));
    assert_eq!(pooling(r#"{"pooling_mode_cls_token":true}"#), Ok(Pooling::First));
    assert_eq!(pooling(r#"{"embedding_dimension":8,"pooling_mode":"mean"}"#), Ok(Pooling::Mean));
    assert!(pooling(r#"{"pooling_mode_max_tokens":true}"#).is_err());
    assert!(pooling("{}").is_err());
}
