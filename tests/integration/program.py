"""Runs the unswift program for the integration tests, and finds models and golden values."""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("UNSWIFT_PROGRAM", ROOT / "build/release/unswift"))
DATA = pathlib.Path(os.environ.get("UNSWIFT_TEST_DATA", ROOT.parent / "shared/data"))
SMOLLM2_GGUF = pathlib.Path(
    os.environ.get("UNSWIFT_SMOLLM2_GGUF", ROOT / "build/assets/SmolLM2-135M-Instruct.Q4_1.gguf"))


def needs(*paths):
    """Decorator: skips, saying why, unless every path exists."""
    missing = [str(path) for path in paths if not path.exists()]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


class InTemporaryDirectory(unittest.TestCase):
    """Tests that share the directory `path`, which goes with them."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="unswift-test-")
        cls.path = pathlib.Path(cls.directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()


def run(*arguments, check=0, **kwargs):
    """Runs the program; fails unless the exit status is `check` (None = any)."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **kwargs)
    if check is not None and done.returncode != check:
        raise AssertionError(f"unswift {' '.join(map(str, arguments))}: exit {done.returncode}, "
                             f"expected {check}\n{done.stderr.decode()}")
    return done


def run_json(*arguments, check=0, **kwargs):
    return json.loads(run(*arguments, "--json", check=check, **kwargs).stdout)


def run_lines(*arguments, prompts, **kwargs):
    """Runs a command that takes --prompts-file; returns its JSON lines."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for prompt in prompts:
            file.write(json.dumps(prompt) + "\n")
        file.flush()
        output = run(*arguments, "--prompts-file", file.name, **kwargs).stdout
    return [json.loads(line) for line in output.splitlines()]


def smollm2(_cache={}):
    """The imported SmolLM2-135M-Instruct, made once per process under build/."""
    if not _cache:
        target = ROOT / "build/assets/smollm2-135m"
        if not target.exists():
            run("import", SMOLLM2_GGUF, "-o", target)
        _cache["path"] = target
    return _cache["path"]


def read_safetensors(path):
    """{name: (dtype, shape, bytes)} of one file."""
    data = pathlib.Path(path).read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    return {name: (entry["dtype"], entry["shape"],
                   data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
            for name, entry in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)
