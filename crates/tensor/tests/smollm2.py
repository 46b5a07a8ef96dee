"""Tokens of a sample, for `smollm2.rs` and `gemma/main.rs`: texts in many scripts, and of what rules differ in.

smollm2.py MODEL.gguf OUTPUT.json    by Hugging Face's tokenizers, with the vocabulary of the file (SmolLM2's)
smollm2.py URL OUTPUT.json           by a llama.cpp server at URL, with its model (ref.json of Gemma's test)
"""

import json
import random
import struct
import sys
import unicodedata
import urllib.request
from pathlib import Path

from pydoc_data import topics

RANGES = [(9, 13), (32, 127), (0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1E00, 0x2000),
          (0x2000, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF),
          (0x1F300, 0x1F6FF), (0x20000, 0x20100)]
ODD = ["'s", "'S", "'re", "'LL", "'", "''", "1234", "12 345", "7", "\u0663\u0664", "\u00bd", "\u2167", "\r\n", "\n\n ", " \n",
       "\t", "  ", "   ", "\u00a0", "\u3000", "\u2028", "...", "?!\n", "--", "a_b", "x=1;", "\u0301", "\u200d", "\ufeff",
       "<|im_start|>", "<|endoftext|>"]


def is_settled(c):
    """Whether every edition of Unicode that is in use takes it for the same: letter, number, or neither."""
    return unicodedata.ucd_3_2_0.category(c) != "Cn" or unicodedata.category(c) == "So"


def texts():
    lines = [line for key in sorted(topics.topics) for line in topics.topics[key].split("\n") if line.strip()]
    yield from lines
    words = sorted({word for line in lines for word in line.split()})
    draw = random.Random(11)
    for _ in range(10_000):
        parts = []
        for _ in range(draw.randint(1, 12)):
            kind = draw.random()
            if kind < 0.35:
                parts.append(draw.choice(words))
            elif kind < 0.7:
                parts.append(draw.choice(ODD))
            else:
                first, last = draw.choice(RANGES)
                parts.append("".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 4))))
        text = "".join(filter(is_settled, draw.choice(["", "", " "]).join(parts)))
        if text:
            yield text


class Gguf:
    """What a file says of itself, as far as its vocabulary."""

    NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, file):
        self.file = file
        magic, _version, _tensors, count = struct.unpack("<4sIQQ", file.read(24))
        assert magic == b"GGUF"
        self.said = {}
        for _ in range(count):
            name = self.text()
            self.said[name] = self.value(self.number("I"))

    def number(self, kind):
        return struct.unpack("<" + kind, self.file.read(struct.calcsize("<" + kind)))[0]

    def text(self):
        return self.file.read(self.number("Q")).decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.number("I"), self.number("Q")
            return [self.value(kind) for _ in range(count)]
        return self.number(self.NUMBERS[kind])


def by_tokenizers(path, sampled):
    from tokenizers import Tokenizer, models, pre_tokenizers

    with open(path, "rb") as file:
        said = Gguf(file).said
    # The rule below is this one.
    assert said["tokenizer.ggml.pre"] == "smollm", said["tokenizer.ggml.pre"]
    vocabulary = {token: number for number, token in enumerate(said["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in said["tokenizer.ggml.merges"]]
    # No special tokens: what a user writes is none.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return [encoding.ids for encoding in tokenizer.encode_batch(sampled)]


def by_server(url, sampled):
    for text in sampled:
        asked = json.dumps({"content": text, "add_special": False}).encode()
        request = urllib.request.Request(url.rstrip("/") + "/tokenize", asked, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            yield json.load(answer)["tokens"]


def main(source, output):
    sampled = list(texts())
    tokens = by_server(source, sampled) if source.startswith("http") else by_tokenizers(source, sampled)
    made = [{"text": text, "tokens": ids} for text, ids in zip(sampled, tokens)]
    Path(output).write_text(json.dumps(made))
    print(len(made), "texts", sum(len(one["tokens"]) for one in made), "tokens")


main(*sys.argv[1:])
