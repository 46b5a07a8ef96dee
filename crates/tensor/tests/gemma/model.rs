//! A small Gemma 3, as Hugging Face and llama.cpp publish models.

use std::fmt::Write;

pub const LAYERS: usize = 7;
pub const WIDTH: usize = 32;
const HEADS: usize = 2;
pub const HEAD: usize = 16;
const HIDDEN: usize = 48;

/// Bytes, tokens that steer, a line's end that is defined outright, pieces with their scores.
const STEERING: [&str; 3] = ["<bos>", "<start_of_turn>", "<end_of_turn>"];
const DEFINED: [&str; 1] = ["\n\n"];
const PIECES: [(&str, f32); 5] =
    [("\u{2581}", -5.0), ("a", -6.0), ("b", -7.0), ("ab", -1.0), ("\u{2581}ab", -2.0)];

fn tokens() -> Vec<String> {
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let rest = STEERING.iter().chain(&DEFINED).copied().chain(PIECES.iter().map(|piece| piece.0));
    bytes.chain(rest.map(str::to_owned)).collect()
}

/// Name in safetensors, name in GGUF, rows, columns; one row is a vector of gains.
fn tensors() -> Vec<(String, String, usize, usize)> {
    let embedding = ("model.embed_tokens.weight", "token_embd.weight", tokens().len(), WIDTH);
    let last = ("model.norm.weight", "output_norm.weight", 1, WIDTH);
    let mut all = vec![];
    for (theirs, ours, rows, columns) in [embedding, last] {
        all.push((theirs.to_owned(), ours.to_owned(), rows, columns));
    }
    for layer in 0..LAYERS {
        for (theirs, ours, rows, columns) in [
            ("input_layernorm", "attn_norm", 1, WIDTH),
            ("self_attn.q_proj", "attn_q", HEADS * HEAD, WIDTH),
            ("self_attn.k_proj", "attn_k", HEAD, WIDTH),
            ("self_attn.v_proj", "attn_v", HEAD, WIDTH),
            ("self_attn.o_proj", "attn_output", WIDTH, HEADS * HEAD),
            ("self_attn.q_norm", "attn_q_norm", 1, HEAD),
            ("self_attn.k_norm", "attn_k_norm", 1, HEAD),
            ("post_attention_layernorm", "post_attention_norm", 1, WIDTH),
            ("pre_feedforward_layernorm", "ffn_norm", 1, WIDTH),
            ("mlp.gate_proj", "ffn_gate", HIDDEN, WIDTH),
            ("mlp.up_proj", "ffn_up", HIDDEN, WIDTH),
            ("mlp.down_proj", "ffn_down", WIDTH, HIDDEN),
            ("post_feedforward_layernorm", "post_ffw_norm", 1, WIDTH),
        ] {
            let theirs = format!("model.layers.{layer}.{theirs}.weight");
            all.push((theirs, format!("blk.{layer}.{ours}.weight"), rows, columns));
        }
    }
    all
}

/// Numbers of eight bits, and in matrices the largest one in each group of columns, so that an import keeps them
/// exactly.
pub fn numbers(name: &str) -> (usize, Vec<f64>) {
    let all = tensors();
    let (seed, (_, _, rows, columns)) =
        (0u32..).zip(&all).find(|(_, (known, ..))| known == name).unwrap();
    let number = |i: usize| {
        let mut h = (i as u32).wrapping_mul(0x9E37_79B1) ^ (seed + 1).wrapping_mul(0x9E37_79B9);
        h = (h ^ h >> 15).wrapping_mul(0x2C1B_3C6D);
        h = (h ^ h >> 12).wrapping_mul(0x297A_2D39);
        let word = ((h ^ h >> 15) % 255) as i32 - 127;
        let leads = *rows > 1 && (i % columns).is_multiple_of(32);
        let word = if leads { if word < 0 { -127 } else { 127 } } else { word };
        f64::from(word) / 256.0
    };
    (*columns, (0..rows * columns).map(number).collect())
}

pub fn safetensors() -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), vec![]);
    for (name, _, rows, columns) in tensors() {
        let begin = data.len();
        numbers(&name).1.iter().for_each(|x| data.extend((*x as f32).to_le_bytes()));
        let shape = if rows == 1 { format!("[{columns}]") } else { format!("[{rows},{columns}]") };
        let comma = if begin == 0 { "" } else { "," };
        let end = data.len();
        write!(
            header,
            r#"{comma}"{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#
        )
        .unwrap();
    }
    header.push('}');
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

pub fn config() -> String {
    format!(
        r#"{{"model_type":"gemma3_text","architectures":["Gemma3ForCausalLM"],"num_hidden_layers":{LAYERS},
        "hidden_size":{WIDTH},"num_attention_heads":{HEADS},"num_key_value_heads":1,"head_dim":{HEAD},
        "intermediate_size":{HIDDEN},"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":1000000.0,
        "rope_local_base_freq":10000.0,"rope_scaling":{{"rope_type":"linear","factor":8.0}},
        "hidden_activation":"gelu_pytorch_tanh","query_pre_attn_scalar":24,"sliding_window":4,
        "_sliding_window_pattern":6,"attention_bias":false,"use_cache":true}}"#
    )
}

pub fn tokenizer() -> String {
    let all = tokens();
    let entry =
        |(id, text): (usize, &String)| format!("{}:{id}", serde_json::to_string(text).unwrap());
    let vocabulary: Vec<String> = all.iter().enumerate().map(entry).collect();
    let added: Vec<String> = (256..)
        .zip(
            STEERING
                .iter()
                .map(|text| (text, true))
                .chain(DEFINED.iter().map(|text| (text, false))),
        )
        .map(|(id, (text, special)): (usize, _)| {
            format!(
                r#"{{"id":{id},"content":{},"special":{special}}}"#,
                serde_json::to_string(text).unwrap()
            )
        })
        .collect();
    let merges = "[[\"a\",\"b\"],[\"\u{2581}\",\"ab\"]]";
    format!(
        r#"{{"added_tokens":[{}],"normalizer":{{"type":"Replace","pattern":{{"String":" "}},"content":"{}"}},
        "pre_tokenizer":{{"type":"Split","pattern":{{"String":" "}},"behavior":"MergedWithPrevious"}},
        "post_processor":{{"type":"TemplateProcessing","single":[{{"SpecialToken":{{"id":"<bos>","type_id":0}}}},
        {{"Sequence":{{"id":"A","type_id":0}}}}]}},
        "model":{{"type":"BPE","byte_fallback":true,"vocab":{{{}}},"merges":{merges}}}}}"#,
        added.join(","),
        '\u{2581}',
        vocabulary.join(","),
    )
}

/// Metadata alone: without tensors, and with some numbers more.
pub fn gguf(more: &[(&str, f32)]) -> Vec<u8> {
    gguf_with(more, vec![])
}

/// The whole model; its rotary frequencies are stretched as those of [`config`].
pub fn gguf_whole() -> Vec<u8> {
    gguf_with(&[("gemma3.rope.scaling.factor", 8.0)], tensors())
}

/// Where the type of a key's value stands, right behind the key.
pub fn behind(file: &[u8], key: &str) -> usize {
    let at = file.windows(key.len()).position(|window| window == key.as_bytes());
    at.unwrap() + key.len()
}

fn put_text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

fn gguf_with(more: &[(&str, f32)], tensors: Vec<(String, String, usize, usize)>) -> Vec<u8> {
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((tensors.len() as u64).to_le_bytes());
    let key = |file: &mut Vec<u8>, name: &str, kind: u32| {
        put_text(file, name);
        file.extend(kind.to_le_bytes());
    };
    let array = |file: &mut Vec<u8>, name: &str, kind: u32, count: usize| {
        key(file, name, 9);
        file.extend(kind.to_le_bytes());
        file.extend((count as u64).to_le_bytes());
    };
    file.extend((17 + more.len() as u64).to_le_bytes());
    for (name, value) in [("general.architecture", "gemma3"), ("tokenizer.ggml.model", "llama")] {
        key(&mut file, name, 8);
        put_text(&mut file, value);
    }
    for (name, value) in [
        ("gemma3.block_count", LAYERS),
        ("gemma3.embedding_length", WIDTH),
        ("gemma3.attention.head_count", HEADS),
        ("gemma3.attention.head_count_kv", 1),
        ("gemma3.attention.key_length", HEAD),
        ("gemma3.feed_forward_length", HIDDEN),
        ("gemma3.context_length", 64),
        ("gemma3.attention.sliding_window", 4),
        ("tokenizer.ggml.bos_token_id", 256),
    ] {
        key(&mut file, name, 4);
        file.extend((value as u32).to_le_bytes());
    }
    for (name, value) in [("gemma3.rope.freq_base", 1e6)].iter().chain(more) {
        key(&mut file, name, 6);
        file.extend(value.to_le_bytes());
    }
    for (name, value) in
        [("tokenizer.ggml.add_bos_token", true), ("tokenizer.ggml.add_space_prefix", false)]
    {
        key(&mut file, name, 7);
        file.push(u8::from(value));
    }
    put_tokens(&mut file, array);
    put_tensors(file, tensors)
}

/// The vocabulary: bytes, marks and pieces.
fn put_tokens(file: &mut Vec<u8>, array: impl Fn(&mut Vec<u8>, &str, u32, usize)) {
    let all = tokens();
    array(file, "tokenizer.ggml.tokens", 8, all.len());
    all.iter().for_each(|token| put_text(file, token));
    let before = all.len() - PIECES.len();
    array(file, "tokenizer.ggml.scores", 6, all.len());
    (0..before).for_each(|_| file.extend((-1000f32).to_le_bytes()));
    PIECES.iter().for_each(|(_, score)| file.extend(score.to_le_bytes()));
    array(file, "tokenizer.ggml.token_type", 5, all.len());
    for id in 0..all.len() {
        let kind: i32 = match id {
            0..256 => 6,
            256..259 => 3,
            259 => 4,
            _ => 1,
        };
        file.extend(kind.to_le_bytes());
    }
}

/// The file whole: where every tensor is, and then all of them.
fn put_tensors(mut file: Vec<u8>, tensors: Vec<(String, String, usize, usize)>) -> Vec<u8> {
    let mut data: Vec<u8> = vec![];
    for (theirs, ours, rows, columns) in tensors {
        put_text(&mut file, &ours);
        let sides = if rows == 1 { vec![columns] } else { vec![columns, rows] };
        file.extend((sides.len() as u32).to_le_bytes());
        sides.iter().for_each(|side| file.extend((*side as u64).to_le_bytes()));
        // Single precision.
        file.extend(0u32.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        for x in numbers(&theirs).1 {
            // Here gains have their one.
            let x = if rows == 1 { x as f32 + 1.0 } else { x as f32 };
            data.extend(x.to_le_bytes());
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(data);
    file
}
