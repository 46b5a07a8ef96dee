"""What all-MiniLM-L6-v2 gives, in single precision: tokens by Hugging Face's tokenizers, embeddings by NumPy.

minilm.py MODEL_FOLDER OUTPUT.json
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
from pydoc_data import topics
from safetensors.numpy import load_file
from tokenizers import Tokenizer

# As the model's publishers set it.
LONGEST = 256

SENTENCES = [
    "The capital of France is Paris.",
    "A farmer sells wheat at the market every Saturday morning.",
    "How do I rent a graphics card by the hour?",
    "Every result is metered and checkable.",
    "L'été dernier, nous avons visité la Bretagne.",
    "Die Würde des Menschen ist unantastbar.",
    "El veloz murciélago hindú comía feliz cardillo y kiwi.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "東京は日本の首都です。",
    "我喜欢学习新的语言。",
    "한국어 문장도 하나 있습니다.",
    "هذه جملة باللغة العربية.",
    "यह हिंदी में एक वाक्य है।",
    "Ο γρήγορος βάτραχος πηδά πάνω από τον τεμπέλη σκύλο.",
    "İstanbul'da hava bugün çok güzel.",
    "fn main() { println!(\"{}\", 6 * 7); }",
    "SELECT name, price FROM offers WHERE price < 100 ORDER BY price;",
    "E = mc², and 2 + 2 = 4; 3.14159 is close to π.",
    "https://example.org/a/b?c=d&e=f#g",
    "😀 emoji 🌾 in a sentence 👩‍🌾!",
    "ALL CAPITALS WITH NUMBERS 12345 AND SIGNS #$%&*()",
    "a",
    "?",
    "",
    "  spaces\tand\nlines  ",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 101 + " too long a word",
    "café naïve façade Ångström coöperate",
    "The bank raised its rates; the river bank was flooded.",
    "Colourless green ideas sleep furiously.",
]


def sentences():
    """Those above, and sentences of Python's own documentation."""
    text = " ".join(" ".join(topics.topics[key].split()) for key in sorted(topics.topics))
    parts = [part.strip() for part in text.split(". ")]
    parts = [part for part in parts if 30 <= len(part) <= 600]
    return SENTENCES + random.Random(6).sample(parts, 170)


def sample():
    """Texts whose tokens are compared: documentation, every character of the first planes, random strings."""
    for key in sorted(topics.topics):
        yield from (line for line in topics.topics[key].split("\n") if line)
    for start in range(0, 0x20000, 64):
        codes = [c for c in range(start, start + 64) if not 0xD800 <= c < 0xE000]
        yield " ".join("a" + chr(c) + "b " + chr(c) for c in codes)
    draw = random.Random(7)
    ranges = [(32, 127), (0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1E00, 0x2000),
              (0x2000, 0x2BFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF),
              (0x1F300, 0x1F6FF), (0x20000, 0x2B820), (0x2F800, 0x2FA1F)]
    words = [word for word in topics.topics["assignment"].split() if word.isalpha()]
    for _ in range(20_000):
        parts = []
        for _ in range(draw.randint(1, 20)):
            if draw.random() < 0.5:
                parts.append(draw.choice(words))
            else:
                first, last = draw.choice(ranges)
                parts.append("".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 6))))
        yield draw.choice(["", " "]).join(parts)


class Encoder:
    def __init__(self, folder):
        self.t = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text())
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.epsilon = np.float32(config["layer_norm_eps"])

    def dense(self, x, name):
        return x @ self.t[name + ".weight"].T + self.t[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon)
        return x * self.t[name + ".weight"] + self.t[name + ".bias"]

    def embed(self, ids):
        t = self.t
        x = t["embeddings.word_embeddings.weight"][ids]
        x = x + t["embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm(x + t["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        erf = np.vectorize(math.erf, otypes=[np.float32])
        for i in range(self.layers):
            layer = f"encoder.layer.{i}."
            q, k, v = (
                self.dense(x, layer + "attention.self." + part).reshape(len(ids), self.heads, -1).swapaxes(0, 1)
                for part in ("query", "key", "value")
            )
            scores = q @ k.swapaxes(1, 2) / np.float32(math.sqrt(q.shape[-1]))
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            shares = shares / shares.sum(-1, keepdims=True)
            seen = (shares @ v).swapaxes(0, 1).reshape(len(ids), -1)
            out = self.dense(seen, layer + "attention.output.dense")
            x = self.norm(x + out, layer + "attention.output.LayerNorm")
            up = self.dense(x, layer + "intermediate.dense")
            up = up * np.float32(0.5) * (1 + erf(up / np.float32(math.sqrt(2))))
            x = self.norm(x + self.dense(up, layer + "output.dense"), layer + "output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def main(folder, output):
    folder = Path(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    # What a user writes is no special token.
    tokenizer.encode_special_tokens = True
    encoder = Encoder(folder)
    embedded = []
    for text in sentences():
        ids = tokenizer.encode(text).ids
        if len(ids) > LONGEST:
            continue
        embedded.append({"text": text, "tokens": ids, "embedding": encoder.embed(ids).tolist()})
    texts = list(sample())
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    sampled = [{"text": text, "tokens": ids} for text, ids in zip(texts, tokens)]
    Path(output).write_text(json.dumps({"embedded": embedded, "sampled": sampled}))


main(*sys.argv[1:])
