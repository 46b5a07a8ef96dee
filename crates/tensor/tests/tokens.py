"""Tokens by Hugging Face's tokenizers 0.23.3, for `tokens.rs`: of each rule by which byte-level pairs are cut, a small
tokenizer and what it makes of many texts.

tokens.py FOLDER      writes FOLDER/gpt2.json, smollm.json, llama3.json, qwen2.json: by hand, into vectors/tokens
"""

import json
import random
import sys
import unicodedata
from pathlib import Path

from pydoc_data import topics
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(numbers):
    regex = pre_tokenizers.Split(Regex(WORDS + numbers + REST), "isolated")
    return pre_tokenizers.Sequence([regex, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


RULES = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama3": split(r"\p{N}{1,3}"),
    "qwen2": split(r"\p{N}"),
}

RANGES = [(9, 13), (32, 127), (0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1E00, 0x2000),
          (0x2000, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF),
          (0x1F300, 0x1F6FF), (0x20000, 0x20100)]
# Where rules differ, or end: contractions, digits in rows, white space in every place, ends of lines.
ODD = ["'s", "'S", "'\u017f", "'re", "'LL", "'ve", "'", "''", "1234", "12 345", "7", "\u0663\u0664", "\u00bd", "\u2167", "\r\n", "\n\n ",
       " \n", "\t", "  ", "   ", "\u00a0", "\u3000", "\u2028", "...", "?!\n", "--", "a_b", "x=1;", "\u0301", "\u200d", "\ufeff"]


def texts():
    draw = random.Random(11)
    lines = [line for key in sorted(topics.topics) for line in topics.topics[key].split("\n") if line.strip()]
    yield from draw.sample(lines, 300)
    words = sorted({word for line in lines for word in line.split()})
    for _ in range(900):
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
        text = draw.choice(["", "", " "]).join(parts)
        # What has no meaning yet has one in the next edition of Unicode.
        yield "".join(c for c in text if unicodedata.category(c) != "Cn")


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = [topics.topics[key] for key in sorted(topics.topics)]
    for name, rule in RULES.items():
        # As Llama 3's: a piece that is a token is taken as it is.
        tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
        tokenizer.pre_tokenizer = rule
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=1000, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(corpus, trainer)
        if name == "qwen2":
            # Ours takes texts as they are; those below have their letters composed.
            tokenizer.normalizer = normalizers.NFC()
        sampled = [unicodedata.normalize("NFC", text) for text in texts()]
        sampled = [text for text in sampled if text]
        made = [[text, tokenizer.encode(text).ids] for text in sampled]
        rows = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in made)
        described = json.dumps(json.loads(tokenizer.to_str()), separators=(",", ":"))
        (folder / f"{name}.json").write_text(f'{{"tokenizer":{described},\n"texts":[\n{rows}\n]}}\n')
        print(name, len(made), "texts", sum(len(ids) for _, ids in made), "tokens")


main(*sys.argv[1:])
