//! What Hugging Face's models call the tensors to which GGUF gives these names.

/// One kind's names: GGUF's and Hugging Face's.
#[derive(Debug)]
pub struct Names {
    /// Outside of layers.
    fixed: &'static [(&'static str, &'static str)],
    /// What stands before the number of a layer.
    layer: &'static str,
    /// Parts of layers, without `.weight` and `.bias`.
    parts: &'static [(&'static str, &'static str)],
    /// Endings of tensors that hold nothing that is needed: numbers that follow from the configuration, and parts
    /// that other tasks use.
    passed_over: &'static [&'static str],
}

/// Decoders of the Llama kind.
pub const LLAMA: Names = Names {
    fixed: &[
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output.weight", "lm_head.weight"),
        ("output_norm.weight", "model.norm.weight"),
    ],
    layer: "model.layers.",
    parts: &[
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ],
    passed_over: &[".rotary_emb.inv_freq"],
};

/// Gemma 3: its layers normalise before and after each part.
pub const GEMMA: Names = Names {
    fixed: LLAMA.fixed,
    layer: LLAMA.layer,
    parts: &[
        ("attn_norm", "input_layernorm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
    ],
    passed_over: LLAMA.passed_over,
};

/// Encoders of the BERT kind.
pub const BERT: Names = Names {
    fixed: &[
        ("token_embd.weight", "embeddings.word_embeddings.weight"),
        ("position_embd.weight", "embeddings.position_embeddings.weight"),
        ("token_types.weight", "embeddings.token_type_embeddings.weight"),
        ("token_embd_norm.weight", "embeddings.LayerNorm.weight"),
        ("token_embd_norm.bias", "embeddings.LayerNorm.bias"),
    ],
    layer: "encoder.layer.",
    parts: &[
        ("attn_q", "attention.self.query"),
        ("attn_k", "attention.self.key"),
        ("attn_v", "attention.self.value"),
        ("attn_output", "attention.output.dense"),
        ("attn_output_norm", "attention.output.LayerNorm"),
        ("ffn_up", "intermediate.dense"),
        ("ffn_down", "output.dense"),
        ("layer_output_norm", "output.LayerNorm"),
    ],
    passed_over: &["embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"],
};

impl Names {
    /// Hugging Face's name for a tensor that GGUF calls `name`.
    pub fn foreign(&self, name: &str) -> Option<String> {
        if let Some((_, theirs)) = self.fixed.iter().find(|(ours, _)| *ours == name) {
            return Some((*theirs).to_owned());
        }
        let (number, part) = name.strip_prefix("blk.")?.split_once('.')?;
        let (part, ending) = part.rsplit_once('.')?;
        let (_, part) = self.parts.iter().find(|(ours, _)| *ours == part)?;
        Some(format!("{}{number}.{part}.{ending}", self.layer))
    }

    /// The other way.
    pub fn ours(&self, name: &str) -> Option<String> {
        if let Some((ours, _)) = self.fixed.iter().find(|(_, theirs)| *theirs == name) {
            return Some((*ours).to_owned());
        }
        let (number, part) = name.strip_prefix(self.layer)?.split_once('.')?;
        let (part, ending) = part.rsplit_once('.')?;
        let (part, _) = self.parts.iter().find(|(_, theirs)| *theirs == part)?;
        Some(format!("blk.{number}.{part}.{ending}"))
    }

    /// Whether a tensor is not needed.
    pub fn passes_over(&self, name: &str) -> bool {
        self.passed_over.iter().any(|ending| name.ends_with(ending))
    }
}
