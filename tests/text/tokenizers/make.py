"""Makes the small tokenizers in this folder and expected.json: texts and their ids by PyPI's `tokenizers`, against which
tests/text/bpe_test.cpp and tests/text/wordpiece_test.cpp hold ours. `texts()` and `load()` serve
tests/python/tokenizers_test.py as well.

    python tests/text/tokenizers/make.py    # with tokenizers 0.23.3
"""

import json
import random
import unicodedata
from pathlib import Path

from tokenizers import (AddedToken, BertWordPieceTokenizer, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

FOLDER = Path(__file__).parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
TRAINING = [
    "It was the best of times, it was the worst of times; it was the age of wisdom, it was the age of foolishness.\n",
    "The river runs through the old town, and nobody remembers who built the bridge that crosses the water there.\n",
    "    for (int i = 0; i < 100; ++i) {\n        total += values[i] * 2.5;\n    }\n\n",
    "Don't they're we'll I'm you've he'd she's THE HOUSE'S.\n\n\nIn 1984 and 2001, 365 days of 24 hours.\n",
    "Größe, naïve café, déjà vu; 日本語のテキスト 漢字 漢字. The end of the story was the beginning of the next.\n",
] * 20

HARD = [
    "", " ", "  ", "\n", "\n\n", "a", " a", "a ", "a\nb", "a\n\nb", "a \n b", "a\r\nb\r\n\r\n  c", "\t\ttab\t x",
    "don't we'll I'M THEY'RE it'ſ 'S 'lL 'x '", "x's'd", "12345 67 8.9 ½ Ⅷ ٣٤٥٦", "Größe naïve é e\u0301 ñ",
    "日本語のテキスト、スペースなし。漢字", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "a\u200bb\u200dc\u00adsoft\u00adhyphen", "nul\0in\0side",
    "\ufffd a\ufffdb", "\ue000 private \U000f0000x",
    "\u00a0no-break\u3000ideo\u2028line\u2029para\u0085next\u1680ogham\u2003em\u202fnn\u205fmm",
    "«quotes» “curly” ‘x’ – — … ‽ ؟ 。！", "a" * 100, "a" * 101, "é" * 100, "é" * 101, "x" * 99 + "\u0301yy", "ab" * 50,
    " " * 50, " " * 50 + "x", "x" + "\n" * 20 + " y",
    "= = Heading = =\n <unk> @-@ [UNK] [SEP] [CLS] [PAD] [MASK] [unk] [UNK][SEP]x[UNK]y [UN", "▁▁a ▁b▁ c",
    "\u166d \U000111c9 \u061d \u2e52 \U0001e95e \u0890a \U00013430x", "\U0002b8f0 \U0002b930 \U00020000 㐀",
    "<s>Hello</s> world <unk> <|endoftext|><|endoftext|>x <|mask|>  y   <|mask|> <|r|>   z <|r|>\n\n q <tool call> plain "
    "plainly two words tworaw words raw nor mal", "<|begin_of_text|>hi<|end_of_text|>", "<0x41> <0x0A>", "tail   ",
    "\u0301 combining first", "$100,000.00!!!\n\n\n", "http://example.com/?q=1&b=2#frag", "\x1b[31mred\x1b[0m",
    "\u202eright to left\u202c", "".join(map(chr, range(0x110))), "e\u0301\u0323 x\u20dd",
    "the best of the old river town, and the foolishness was 1984.\n" * 3,
]
PARTS = ["the", " the", "ing", " ", "  ", "\n", "\r", "\t", "'s", "'", "'LL", "é", "漢", "▁", "123", "4", ".", "!", "-", "<s>",
         "</s>", "<unk>", "[UNK]", "[SEP]", "<|mask|>", "<|r|>", "<|endoftext|>", "\u00a0", "\u200b", "\u0301", "🙂", "\0",
         "two words", "plain", "\u3000", "Ω", "x", "Zz"]


def character(source):
    """Any that Unicode 3.2 has: of letters newer than Unicode 15 `tokenizers` knows more than utf8proc."""
    while True:
        drawn = chr(source.choice([source.randrange(0x20, 0x3000), source.randrange(0xE000, 0x11000),
                                   source.randrange(0x11000, 0x110000)]))
        if unicodedata.ucd_3_2_0.category(drawn) != "Cn":
            return drawn


def texts(count, seed=1):
    """Hard ones, then random ones."""
    source = random.Random(seed)
    return HARD + ["".join(source.choice(PARTS) if source.random() < .85 else character(source)
                           for _ in range(source.randrange(1, 30))) for _ in range(count)]


def load(path):
    """The tokenizer that ecp should agree with."""
    if path.suffix == ".txt":
        return BertWordPieceTokenizer(str(path), lowercase=False, strip_accents=False)
    return Tokenizer.from_file(str(path))


def byte_level(pre_tokenizer, **model):
    made = Tokenizer(models.BPE(**model))
    made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(TRAINING, trainer)
    return made


def gpt2():
    made = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def prefix():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))


def llama3():
    made = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                      ignore_merges=True)
    made.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", AddedToken("<|mask|>", lstrip=True, special=True),
                             AddedToken("<|r|>", rstrip=True, special=True)])
    made.add_tokens([AddedToken("<tool call>", normalized=False), "plain", "two words"])
    begin = ("<|begin_of_text|>", made.token_to_id("<|begin_of_text|>"))
    made.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[begin])
    return made


def llama2():
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    made.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=450, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], limit_alphabet=70,
        show_progress=False))
    file = json.loads(made.to_str())
    file["pre_tokenizer"] = None
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] in special]
    # As in Llama's file: merges as strings.
    file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
    made = Tokenizer.from_str(json.dumps(file))
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                      decoders.Strip(" ", 1, 0)])
    return file | {"decoder": json.loads(made.to_str())["decoder"]}


def metaspace(scheme, split=True, fuse=True):
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    made.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    made.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"],
                                                           limit_alphabet=50, show_progress=False))
    made.add_tokens(["two words", AddedToken("raw", normalized=False)])
    return made


def whole():
    """Merges may reach over spaces; a normalized added token with a space."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], limit_alphabet=50,
                                                           show_progress=False))
    made.add_tokens(["</s>", "nor mal"])
    return made


def wordpiece():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x21, 0x7F)), "é", "ö", "ß", "日", "本", "語",
              "漢", "。", "、", "“", "’", "…", "«", "»", "＝", "▁", "e\u0301", "the", "best", "times", "town", "river", "house",
              "soft", "Heading", "private", "text", "##es", "##ing", "##ness", "##hyphen", "##Ω", "##é",
              "##\u0301", "a" * 100, *("##" + chr(c) for c in range(0x61, 0x7B)), *("##" + str(i) for i in range(10)), "##yy"]
    return "".join(piece + "\n" for piece in pieces)


def make():
    made = {"gpt2": gpt2(), "prefix": prefix(), "llama3": llama3(), "llama2": llama2(), "first": metaspace("first"),
            "never": metaspace("never", fuse=False), "nosplit": metaspace("always", split=False), "whole": whole()}
    for name, tokenizer in made.items():
        file = tokenizer if isinstance(tokenizer, dict) else json.loads(tokenizer.to_str())
        compact = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
        (FOLDER / f"{name}.json").write_text(compact + "\n", encoding="utf-8")
    (FOLDER / "vocab.txt").write_text(wordpiece(), encoding="utf-8")
    examples = texts(20)
    ids = {}
    for path in sorted([*FOLDER.glob("*.json"), FOLDER / "vocab.txt"]):
        if path.name != "expected.json":
            tokenizer = load(path)
            ids[path.name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in examples]
    with open(FOLDER / "expected.json", "w", encoding="utf-8") as out:
        out.write(json.dumps({"texts": examples, "ids": ids}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    make()
