"""Runs the program on every file of cases.py: the exit status and the message are those of the table, never a
signal, never more than a little memory."""

import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cases import CASES  # noqa: E402
from program import PROGRAM, ROOT, run  # noqa: E402

MEMORY = 2 << 30  # of address space; the program alone, with its threads' stacks, takes a part of it
SECONDS = 60  # of CPU


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.work)
        run("import", ROOT / "tests/golden/gguf/llama.gguf", "-o", cls.work / "model")

    def arguments(self, kind, data):
        """Puts the file where the program will read it; returns the command."""
        if kind == "gguf":
            path = self.work / "hostile.gguf"
            path.write_bytes(data)
            return ["import", path, "-o", self.work / "imported"]
        model = self.work / "hostile"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(self.work / "model", model)
        name, command = {
            "safetensors": ("model.safetensors", ["generate", model, "--prompt", "ab", "--max-new-tokens", "2"]),
            "config": ("config.json", ["inspect", model]),
            "tokenizer": ("tokenizer.json", ["tokenize", model, "--text", "a" * 300 + "cb"]),
            "template": ("tokenizer_config.json",
                         ["generate", model, "--chat", "--prompt", "ab", "--max-new-tokens", "2"]),
            "manifest": ("unswift.json", ["inspect", model]),
        }[kind]
        (model / name).write_bytes(data)
        return command

    def test_every_case(self):
        for name, kind, data, status, words in CASES:
            with self.subTest(kind=kind, name=name):
                command = self.arguments(kind, data)
                done = subprocess.run([PROGRAM, *map(str, command), "--threads", "1"], preexec_fn=limited,
                                      stdin=subprocess.DEVNULL, capture_output=True)
                message = done.stderr.decode()  # fails when it is not UTF-8
                self.assertEqual(done.returncode, status, message)
                self.assertIn(words, message)
                self.assertNotIn("\x1b", message)
                self.assertLess(len(message), 2000)
                self.assertFalse((self.work / "imported").exists())


if __name__ == "__main__":
    unittest.main()
