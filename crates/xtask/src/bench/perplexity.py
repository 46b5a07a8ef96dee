"""Perplexity in single precision: a forward pass of the Llama graph over the weights of a GGUF file.

perplexity.py MODEL.gguf TOKENS        a file of token numbers, one a line; windows of 512
"""

import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

WINDOW = 512


class Model:
    def __init__(self, path):
        reader = GGUFReader(path)

        def number(key):
            return reader.fields["llama." + key].contents()

        self.layers, self.width = number("block_count"), number("embedding_length")
        self.heads, self.key_heads = number("attention.head_count"), number("attention.head_count_kv")
        self.epsilon = np.float32(number("attention.layer_norm_rms_epsilon"))
        self.base = number("rope.freq_base")
        self.t = {t.name: dequantize(np.array(t.data), t.tensor_type).astype(np.float32) for t in reader.tensors}

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon) * self.t[name + ".weight"]

    def heads_of(self, x, name, count):
        x = (x @ self.t[name + ".weight"].T).reshape(len(x), count, -1)
        return x.swapaxes(0, 1)

    def rotate(self, x):
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[1])[:, None] * self.base ** (-np.arange(half) / half)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        # Files of this family are reordered so that neighbours turn together.
        a, b = x[..., 0::2], x[..., 1::2]
        return np.stack((a * cos - b * sin, a * sin + b * cos), -1).reshape(x.shape)

    def logits(self, tokens):
        x = self.t["token_embd.weight"][tokens]
        future = np.triu(np.full((len(x), len(x)), -np.inf, np.float32), 1)
        for i in range(self.layers):
            n = self.norm(x, f"blk.{i}.attn_norm")
            q = self.rotate(self.heads_of(n, f"blk.{i}.attn_q", self.heads))
            k = self.rotate(self.heads_of(n, f"blk.{i}.attn_k", self.key_heads))
            v = self.heads_of(n, f"blk.{i}.attn_v", self.key_heads)
            group = self.heads // self.key_heads
            k, v = k.repeat(group, 0), v.repeat(group, 0)
            scores = q @ k.swapaxes(1, 2) / np.float32(np.sqrt(q.shape[-1])) + future
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
            seen = (shares @ v).swapaxes(0, 1).reshape(len(x), -1)
            x = x + seen @ self.t[f"blk.{i}.attn_output.weight"].T
            n = self.norm(x, f"blk.{i}.ffn_norm")
            gate = n @ self.t[f"blk.{i}.ffn_gate.weight"].T
            up = n @ self.t[f"blk.{i}.ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self.t[f"blk.{i}.ffn_down.weight"].T
        head = self.t.get("output.weight", self.t["token_embd.weight"])
        return self.norm(x, "output_norm") @ head.T


def main(path, tokens):
    model = Model(path)
    tokens = np.loadtxt(tokens, dtype=np.int64)
    total, count = 0.0, 0
    for start in range(0, len(tokens), WINDOW):
        window = tokens[start : start + WINDOW]
        logits = model.logits(window)[:-1].astype(np.float64)
        highest = logits.max(-1)
        sums = highest + np.log(np.exp(logits - highest[:, None]).sum(-1))
        total += (sums - logits[np.arange(len(logits)), window[1:]]).sum()
        count += len(logits)
    print(f"{count} tokens, perplexity {np.exp(total / count):.4f}")


main(*sys.argv[1:])
