"""Hostile files: what each is, and what the program makes of it.

One row per file: (name, kind, bytes, exit status, words of the message). The kinds and how each file is
given to the program are in test_hostile.py. A file that is refused ends in exit 2 with a message; one that
is odd but well-formed in exit 0.
"""

import json
import struct

KIB = 1024
DEEP = 100_000


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def gguf(tensors, values, rest=b"", version=3):
    return struct.pack("<IIQQ", 0x46554747, version, tensors, values) + rest


def text(string):
    data = string if isinstance(string, bytes) else string.encode()
    return struct.pack("<Q", len(data)) + data


def tokenizer(**changes):
    document = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}
    document.update(changes)
    return json.dumps(document).encode()


def template(source):
    return json.dumps({"chat_template": source}).encode()


def manifest(**changes):
    document = {"format": "unswift-release", "format_version": 1, "series": {}, "files": []}
    document.update(changes)
    return json.dumps(document).encode()


LOOP = "{% for i in range(100000) %}"
NESTED_ARRAYS = b"".join(struct.pack("<IQ", 9, 1) for _ in range(DEEP))

CASES = [
    # safetensors
    ("empty", "safetensors", b"", 2, "safetensors"),
    ("seven bytes", "safetensors", b"\x00" * 7, 2, "safetensors"),
    ("header of 2^64 - 1 bytes", "safetensors", b"\xff" * 8 + b"{}", 2, "header"),
    ("header of 2^63 bytes", "safetensors", struct.pack("<Q", 1 << 63) + b"{}", 2, "header"),
    ("header longer than the file", "safetensors", struct.pack("<Q", 100) + b"{}", 2, "header"),
    ("header is no JSON", "safetensors", safetensors(b"{"), 2, "JSON"),
    ("header is an array", "safetensors", safetensors([]), 2, "a header that starts with"),
    ("header is not UTF-8", "safetensors", safetensors(b'{"\xff": 1}'), 2, "expected JSON"),
    ("header nested 100,000 deep", "safetensors", safetensors(b'{"a":' + b"[" * DEEP), 2, "nesting"),
    ("one key twice", "safetensors", safetensors(b'{"a": 1, "a": 2}'), 2, "twice"),
    ("negative offset", "safetensors", safetensors({"a": entry("F32", [1], -4, 0)}), 2, "'a'"),
    ("offsets past the end", "safetensors", safetensors({"a": entry("F32", [4], 0, 16)}, b"\0" * 8), 2, "'a'"),
    ("offsets backwards", "safetensors", safetensors({"a": entry("F32", [1], 8, 4)}, b"\0" * 8), 2, "'a'"),
    ("overlapping tensors", "safetensors", safetensors(
        {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, b"\0" * 12), 2, "tensor"),
    ("a hole between tensors", "safetensors", safetensors(
        {"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, b"\0" * 12), 2, "tensor"),
    ("shape that overflows", "safetensors", safetensors({"a": entry("F32", [1 << 40, 1 << 40], 0, 4)}, b"\0" * 4), 2, "'a'"),
    ("shape of another size", "safetensors", safetensors({"a": entry("F32", [3], 0, 4)}, b"\0" * 4), 2, "'a'"),
    ("unknown dtype", "safetensors", safetensors({"a": entry("F31", [1], 0, 4)}, b"\0" * 4), 2, "F31"),
    # GGUF
    ("empty", "gguf", b"", 2, "GGUF"),
    ("magic alone", "gguf", b"GGUF", 2, "version"),
    ("version 1", "gguf", gguf(0, 0, version=1), 2, "version 2 or 3"),
    ("big-endian", "gguf", struct.pack(">I", 3).join([b"GGUF", b"\0" * 16]), 2, "big-endian"),
    ("2^64 - 1 tensors", "gguf", gguf(2**64 - 1, 0), 2, "do not fit"),
    ("2^64 - 1 values", "gguf", gguf(0, 2**64 - 1), 2, "do not fit"),
    ("key of 2^64 - 1 bytes", "gguf", gguf(0, 1, b"\xff" * 24), 2, "key"),
    ("array of 2^63 elements", "gguf", gguf(0, 1, text("a") + struct.pack("<IIQ", 9, 0, 1 << 63)), 2, "does not fit"),
    ("arrays nested 100,000 deep", "gguf", gguf(0, 1, text("a") + struct.pack("<I", 9) + NESTED_ARRAYS), 2, "levels"),
    ("value of an unknown type", "gguf", gguf(0, 1, text("a") + struct.pack("<I", 99) + b"\0" * 8), 2, "type 99"),
    ("bool of 2", "gguf", gguf(0, 1, text("a") + struct.pack("<IB", 7, 2) + b"\0" * 8), 2, "'a'"),
    ("one key twice", "gguf", gguf(0, 2, (text("a") + struct.pack("<II", 4, 1)) * 2), 2, "twice"),
    ("tensor of 5 dimensions", "gguf", gguf(1, 0, text("t") + struct.pack("<I", 5) + b"\x01" * 64), 2, "4 dimensions"),
    ("tensor whose size overflows", "gguf", gguf(
        1, 0, text("t") + struct.pack("<IQQIQ", 2, 1 << 62, 1 << 62, 0, 0)), 2, "overflows"),
    ("tensor of an unknown type", "gguf", gguf(1, 0, text("t") + struct.pack("<IQIQ", 1, 4, 1000, 0)), 2, "1000"),
    ("half a block", "gguf", gguf(1, 0, text("t") + struct.pack("<IQIQ", 1, 100, 12, 0)), 2, "whole Q4_K blocks"),
    ("tensor past the end", "gguf", gguf(1, 0, text("t") + struct.pack("<IQIQ", 1, 4, 0, 1 << 40) + b"\0" * 64), 2, "past the end"),
    ("alignment of 0", "gguf", gguf(0, 1, text("general.alignment") + struct.pack("<II", 4, 0)), 2, "alignment"),
    ("unknown architecture", "gguf", gguf(0, 1, text("general.architecture") + struct.pack("<I", 8) + text("lama")), 2, "did you mean 'llama'"),
    ("name with a line end", "gguf", gguf(0, 1, text("general.architecture") + struct.pack("<I", 8) + text("a\nb\x1b[2J")), 2, "architecture"),
    # config.json
    ("empty", "config", b"", 2, "config.json"),
    ("nested 100,000 deep", "config", b"[" * DEEP, 2, "nesting"),
    ("a number", "config", b"1", 2, "config.json"),
    ("other model type", "config", b'{"model_type": "lama"}', 2, "did you mean 'llama'"),
    ("sizes of 2^63", "config", json.dumps({"model_type": "llama", "hidden_size": 2**63}).encode(), 2, "config.json"),
    ("number beyond a double", "config", b'{"model_type": "llama", "rms_norm_eps": 1e999}', 2, "config.json"),
    ("NUL bytes", "config", b"\x00" * 64, 2, "config.json"),
    # tokenizer.json
    ("empty", "tokenizer", b"", 2, "tokenizer.json"),
    ("no model", "tokenizer", b"{}", 2, "model"),
    ("other model", "tokenizer", tokenizer(model={"type": "WordPiece"}), 2, "WordPiece"),
    ("piece without a score", "tokenizer", tokenizer(model={"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}), 2, "score"),
    ("id of 2^62", "tokenizer", tokenizer(model={"type": "BPE", "vocab": {"a": 2**62}, "merges": []}), 2, "tokenizer.json"),
    ("negative id", "tokenizer", tokenizer(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}), 2, "tokenizer.json"),
    ("merge of unknown tokens", "tokenizer", tokenizer(
        model={"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}), 2, "tokenizer.json"),
    ("pattern that does not compile", "tokenizer", tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}), 2, "tokenizer.json"),
    ("pattern that backtracks for ever", "tokenizer", tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(?:a+)+b"}, "behavior": "Isolated", "invert": False}), 2, "pattern"),
    ("pattern nested 100,000 deep", "tokenizer", tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(" * DEEP + ")" * DEEP}, "behavior": "Isolated", "invert": False}), 2, "tokenizer.json"),
    # chat templates
    ("not closed", "template", template("{% if x %}"), 2, "endif"),
    ("endless loops", "template", template(LOOP * 3 + "{% endfor %}" * 3), 2, "expected at most"),
    ("doubling text", "template", template(
        "{% set ns = namespace(s='x') %}" + LOOP + "{% set ns.s = ns.s ~ ns.s %}{% endfor %}"), 2, "bytes"),
    ("nesting lists", "template", template(
        "{% set ns = namespace(s=[]) %}" + LOOP + "{% set ns.s = [ns.s] %}{% endfor %}"), 2, "levels"),
    ("endless recursion", "template", template("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), 2, "nested"),
    ("100,000 brackets", "template", template("{{ " + "(" * DEEP + "1" + ")" * DEEP + " }}"), 2, "too deeply"),
    ("100,000 blocks", "template", template("{% if 1 %}" * DEEP), 2, "too deeply"),
    ("text of 2^63 bytes", "template", template("{{ 'x' * 9223372036854775807 }}"), 2, "bytes"),
    ("Python's internals", "template", template("{{ ''.__class__.__mro__ }}"), 2, "__class__"),
    ("refuses every conversation", "template", template("{{ raise_exception('never') }}"), 2, "never"),
    ("says nothing", "template", template(""), 2, "prompt"),
    ("a template that is a number", "template", b'{"chat_template": 1}', 2, "chat_template"),
    # unswift.json
    ("empty", "manifest", b"", 2, "unswift.json"),
    ("an array", "manifest", b"[]", 2, "unswift.json"),
    ("newer version", "manifest", manifest(format_version=2**40), 2, "version"),
    ("series is a list", "manifest", manifest(series=[]), 2, "unswift.json"),
    ("a path that leaves the directory", "manifest", manifest(
        files=[{"path": "../../etc/passwd", "bytes": 1, "sha256": "a" * 64}]), 2, "unswift.json"),
    ("nested 100,000 deep", "manifest", b'{"format":' + b"[" * DEEP, 2, "nesting"),
]
