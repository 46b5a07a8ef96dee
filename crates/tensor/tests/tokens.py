"""Tokens by Hugging Face's tokenizers 0.23.3, for `tokens.rs`: of each rule by which byte-level pairs are cut, a small
tokenizer and what it makes of many texts.

tokens.py FOLDER      writes FOLDER/gpt2.json, smollm.json, llama3.json, qwen2.json: by hand, into vectors/tokens
tokens.py FOLDER nfc  writes FOLDER/nfc.json: texts that are not in NFC, by the tokenizer in FOLDER/qwen2.json
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
            # The texts below have their letters composed; loose() has others.
            tokenizer.normalizer = normalizers.NFC()
        sampled = [unicodedata.normalize("NFC", text) for text in texts()]
        sampled = [text for text in sampled if text]
        made = [[text, tokenizer.encode(text).ids] for text in sampled]
        rows = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in made)
        described = json.dumps(json.loads(tokenizer.to_str()), separators=(",", ":"))
        (folder / f"{name}.json").write_text(f'{{"tokenizer":{described},\n"texts":[\n{rows}\n]}}\n')
        print(name, len(made), "texts", sum(len(ids) for _, ids in made), "tokens")


# What composes, in scripts of every kind: their letters are taken apart.
APART = [(0xC0, 0x233), (0x370, 0x3CE), (0x400, 0x45F), (0x1E00, 0x1EFF), (0x1F00, 0x1FFC), (0x3041, 0x30FE), (0xAC00, 0xD7A3),
         (0xAC00, 0xD7A3), (0x929, 0x934), (0x9CB, 0x9CC), (0xB94, 0xBCC), (0xDDA, 0xDDE), (0x1026, 0x1026), (0x1109A, 0x110AB)]
# What becomes another character, or several, and is never made of any.
OTHERS = [(0x340, 0x345), (0x374, 0x37E), (0x958, 0x95F), (0x9DC, 0x9DF), (0xF43, 0xFB9), (0x1F71, 0x1FFD), (0x2000, 0x2001), (0x2126, 0x212B),
          (0x2329, 0x232A), (0x2ADC, 0x2ADC), (0xF900, 0xFAD9), (0xFB1D, 0xFB4E), (0x1D15E, 0x1D1C0), (0x2F800, 0x2FA1D)]
MARKS = [(0x300, 0x36F), (0x323, 0x32E), (0x483, 0x487), (0x591, 0x5BD), (0x610, 0x61A), (0x64B, 0x655), (0x93C, 0x94D), (0xE38, 0xE4B), (0xF71, 0xF84),
         (0x1AB0, 0x1ABD), (0x3099, 0x309A), (0x1161, 0x11C2), (0x1E000, 0x1E02A)]
# Marks that the reference does not know to be some, and parts that it does not join: of Unicode 10 to 16.
LATER = ["\u1df6", "\u1df9", "\u0d3b", "\u1abf", "\u08d3", "\u09fe", "\u1715", "\U00010f46", "\U00010efd", "\U0001133b", "\U0001e130",
         "\U00011935\U00011930", "\U000113c2\U000113c9"]


def loose():
    draw = random.Random(13)
    words = sorted({word for key in sorted(topics.topics) for word in topics.topics[key].split()})
    some = lambda ranges: chr(draw.randint(*draw.choice(ranges)))
    meant = lambda text: "".join(c for c in text if unicodedata.category(c) != "Cn")
    apart = lambda: unicodedata.normalize(draw.choice(["NFD", "NFD", "NFC"]), meant(some(APART)))
    marks = lambda: meant("".join(some(MARKS) for _ in range(draw.randint(1, 4))))
    kinds = [
        lambda: "".join(apart() for _ in range(draw.randint(1, 6))),
        lambda: apart() + marks(),
        lambda: draw.choice("aeiouyAOUsS<=> \n.7") + marks(),
        lambda: meant("".join(some(OTHERS) for _ in range(draw.randint(1, 3)))),
        lambda: apart() + draw.choice(LATER) + marks(),
        lambda: draw.choice(words),
        lambda: draw.choice(ODD),
    ]
    for _ in range(900):
        yield draw.choice(["", "", " "]).join(draw.choice(kinds)() for _ in range(draw.randint(1, 8)))


def composed(folder):
    described = json.loads((Path(folder) / "qwen2.json").read_text())["tokenizer"]
    tokenizer = Tokenizer.from_str(json.dumps(described))
    texts = [text for text in loose() if text]
    made = [[text, tokenizer.normalizer.normalize_str(text), tokenizer.encode(text).ids] for text in texts]
    rows = ",\n".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) for row in made)
    (Path(folder) / "nfc.json").write_text(f"[\n{rows}\n]\n")
    changed = [row for row in made if row[0] != row[1]]
    longer = sum(len(row[1].encode()) > len(row[0].encode()) for row in made)
    print(len(made), "texts", len(changed), "changed", longer, "longer", sum(len(row[2]) for row in made), "tokens")


if sys.argv[2:] == ["nfc"]:
    composed(sys.argv[1])
else:
    main(*sys.argv[1:])
