"""Bad input: exit 2, a one-line reason that names what is wrong, and nothing under the target's name."""

import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from program import (DATA, PROGRAM, InTemporaryDirectory, needs, read_safetensors,
                     run, run_json, write_safetensors)

STORIES = DATA / "models/stories260K"
LAYER = "model.layers.2.mlp.down_proj.weight"


@needs(STORIES)
class BadInput(InTemporaryDirectory):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.statistics = cls.path / "statistics.safetensors"
        run("calibrate", STORIES, "-o", cls.statistics, "--max-tokens", "512")
        cls.release = cls.path / "release"
        run("protect", STORIES, "-o", cls.release, "--calibration", cls.statistics)

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(dir=self.path))

    def model(self):
        """A fresh, writable copy of the original."""
        copy = self.work / "model"
        shutil.copytree(STORIES, copy, copy_function=shutil.copyfile)
        os.chmod(copy, 0o755)
        return copy

    def refused(self, *arguments, names=(), target=None, **kwargs):
        done = run(*arguments, check=2, **kwargs)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for name in names:
            self.assertIn(name, lines[0])
        if target is not None:
            self.assertFalse(target.exists())
            self.assertEqual([p.name for p in target.parent.iterdir() if "partial" in p.name], [])
        return lines[0]

    def protect_refused(self, model, *names, flags=()):
        target = self.work / "target"
        return self.refused("protect", model, "-o", target, "--calibration", self.statistics,
                            *flags, names=names, target=target)

    def edit_tensors(self, model, edit):
        tensors = read_safetensors(model / "model.safetensors")
        edit(tensors)
        write_safetensors(model / "model.safetensors", tensors)

    def edit_header(self, model, edit):
        path = model / "model.safetensors"
        data = path.read_bytes()
        size, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + size])
        edit(header)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])

    def edit_config(self, model, **changes):
        config = json.loads((model / "config.json").read_text())
        for key, value in changes.items():
            if value is None:
                config.pop(key)
            else:
                config[key] = value
        (model / "config.json").write_text(json.dumps(config))

    def test_safetensors_files(self):
        data = (STORIES / "model.safetensors").read_bytes()
        size, = struct.unpack("<Q", data[:8])
        cases = {
            "empty": b"",
            "four bytes": data[:4],
            "header cut": data[:8 + size // 2],
            "header length beyond the file": struct.pack("<Q", len(data) * 2) + data[8:],
            "header length of 2^63": struct.pack("<Q", 1 << 63) + data[8:],
            "data cut": data[:-1000],
            "data too long": data + b"x" * 100,
            "not JSON": data[:8] + b"?" * size + data[8 + size:],
        }
        for name, content in cases.items():
            with self.subTest(name):
                model = self.model()
                (model / "model.safetensors").write_bytes(content)
                self.protect_refused(model, "model.safetensors")
                shutil.rmtree(model)

    def test_safetensors_headers(self):
        def overlap(header):
            header[LAYER]["data_offsets"] = header["model.norm.weight"]["data_offsets"]

        def beyond(header):
            begin, end = header[LAYER]["data_offsets"]
            header[LAYER]["data_offsets"] = [begin + (1 << 40), end + (1 << 40)]

        def dtype(header):
            header[LAYER]["dtype"] = "F31"

        for edit in (overlap, beyond, dtype):
            with self.subTest(edit.__name__):
                model = self.model()
                self.edit_header(model, edit)
                message = self.protect_refused(model, "model.safetensors")
                self.assertTrue(LAYER in message or "model.norm.weight" in message or
                                "tensor" in message, message)
                shutil.rmtree(model)

    def test_tensors_that_do_not_fit_the_config(self):
        def missing(tensors):
            del tensors[LAYER]

        def shape(tensors):
            dtype, (rows, cols), data = tensors[LAYER]
            tensors[LAYER] = (dtype, [cols, rows], data)

        def dtype(tensors):
            _, shape_, data = tensors[LAYER]
            tensors[LAYER] = ("I32", shape_, data)

        def not_a_number(tensors):
            dtype_, shape_, data = tensors[LAYER]
            tensors[LAYER] = (dtype_, shape_, data[:400] + struct.pack("<f", float("nan")) + data[404:])

        for edit in (missing, shape, dtype, not_a_number):
            with self.subTest(edit.__name__):
                model = self.model()
                self.edit_tensors(model, edit)
                self.protect_refused(model, LAYER)
                shutil.rmtree(model)

    def test_configs(self):
        cases = {
            "unknown architecture": ({"model_type": "lama"}, "llama"),
            "missing key": ({"hidden_size": None}, "hidden_size"),
            "wrong type": ({"num_hidden_layers": "five"}, "num_hidden_layers"),
            "negative": ({"intermediate_size": -4}, "intermediate_size"),
            "heads": ({"num_key_value_heads": 3}, "num_key_value_heads"),
            "activation": ({"hidden_act": "relu"}, "relu"),
        }
        for name, (changes, word) in cases.items():
            with self.subTest(name):
                model = self.model()
                self.edit_config(model, **changes)
                self.protect_refused(model, word)
                self.refused("inspect", model, names=[word])
                shutil.rmtree(model)

    def test_missing_files(self):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            with self.subTest(name):
                model = self.model()
                (model / name).unlink()
                self.protect_refused(model, name.split(".")[0])
                self.refused("generate", model, "--prompt", "x", names=[name.split(".")[0]])
                shutil.rmtree(model)

    def test_statistics(self):
        tensors = read_safetensors(self.statistics)
        path = self.work / "bad.safetensors"
        target = self.work / "target"

        def write(changed):
            header = {"__metadata__": {"format": "unswift-statistics-1", "tokens": "512"}}
            offset, blob = 0, b""
            for name, (dtype, shape, data) in changed.items():
                header[name] = {"dtype": dtype, "shape": shape,
                                "data_offsets": [offset, offset + len(data)]}
                offset, blob = offset + len(data), blob + data
            text = json.dumps(header).encode()
            path.write_bytes(struct.pack("<Q", len(text)) + text + blob)

        write(tensors)  # the same again is accepted
        run("protect", STORIES, "-o", self.work / "good", "--calibration", path)
        dtype, shape, data = tensors["histogram"]
        nan = struct.pack("<f", float("nan"))
        cases = {
            "NaN": {**tensors, "histogram": (dtype, shape, data[:4000] + nan + data[4004:])},
            "missing": {name: value for name, value in tensors.items() if name != "max"},
        }
        for name, changed in cases.items():
            with self.subTest(name):
                write(changed)
                self.refused("protect", STORIES, "-o", target, "--calibration", path,
                             names=["bad.safetensors"], target=target)
        # Statistics of another model.
        self.refused("protect", DATA / "models/babyllama105", "-o", target, "--calibration",
                     self.statistics, names=["expected"], target=target)

    def test_release_that_does_not_match_its_manifest(self):
        rng = random.Random(7)
        for path in sorted(self.release.iterdir()):
            with self.subTest(path.name):
                copy = self.work / "copy"
                shutil.copytree(self.release, copy)
                data = bytearray((copy / path.name).read_bytes())
                if path.name == "unswift.json":
                    position = data.index(b'"sha256": "') + 20
                else:
                    position = rng.randrange(len(data))
                data[position] ^= 1 << rng.randrange(8)
                (copy / path.name).write_bytes(data)
                self.refused("generate", copy, "--prompt", "Once")
                self.assertIn(run("verify", copy, check=None).returncode, (1, 2))
                shutil.rmtree(copy)
        for change in ("added", "removed"):
            with self.subTest(change):
                copy = self.work / "copy"
                shutil.copytree(self.release, copy)
                if change == "added":
                    (copy / "extra.txt").write_text("x")
                else:
                    (copy / "tokenizer_config.json").unlink()
                self.refused("generate", copy, "--prompt", "Once", names=["manifest"])
                self.assertFalse(run_json("verify", copy, check=1)["holds"])
                shutil.rmtree(copy)

    def test_targets(self):
        existing = self.work / "existing"
        existing.mkdir()
        (existing / "keep").write_text("mine")
        self.refused("protect", STORIES, "-o", existing, "--calibration", self.statistics,
                     names=["existing"])
        self.assertEqual((existing / "keep").read_text(), "mine")
        self.refused("protect", STORIES, "-o", self.work / "no/such/parent", "--calibration",
                     self.statistics, names=["parent"])
        run("protect", STORIES, "-o", existing, "--calibration", self.statistics, "--force")
        self.assertTrue(run_json("verify", existing)["holds"])

    def test_read_only_target(self):
        if os.geteuid() == 0:
            # Root may write anywhere; a file system that refuses everybody is /proc.
            parent = pathlib.Path("/proc")
        else:
            parent = self.work / "read-only"
            parent.mkdir(mode=0o555)
        self.refused("protect", STORIES, "-o", parent / "target", "--calibration", self.statistics)

    def test_full_disk(self):
        mount = self.work / "small"
        mount.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", mount],
                              capture_output=True)
        if done.returncode != 0:
            self.skipTest("needs the right to mount a small tmpfs")
        try:
            self.refused("protect", STORIES, "-o", mount / "target", "--calibration",
                         self.statistics, names=["No space left"], target=mount / "target")
            self.refused("calibrate", STORIES, "-o", mount / "stats", "--max-tokens", "64",
                         names=["No space left"], target=mount / "stats")
        finally:
            subprocess.run(["umount", mount], check=True)

    def test_usage(self):
        for arguments in ((), ("no-such-command",), ("protect", STORIES), ("inspect", "/nowhere"),
                          ("generate", STORIES, "--temperature", "-1"),
                          ("protect", STORIES, "-o", "x", "--order", "3", "--slowdown", "2")):
            with self.subTest(arguments):
                self.assertEqual(run(*arguments, check=None).returncode, 2)
        self.assertFalse(os.path.exists("x"))

    def test_killed_at_random_moments(self):
        target = self.work / "target"
        command = [PROGRAM, "protect", STORIES, "-o", target, "--calibration", self.statistics]
        start = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        duration = time.monotonic() - start
        shutil.rmtree(target)
        rng = random.Random(3)
        killed = 0
        for _ in range(20):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, duration))
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += process.returncode != 0
            if target.exists():
                self.assertTrue(run_json("verify", target)["holds"])
                shutil.rmtree(target)
        print(f"killed {killed} of 20 runs; nothing half-made under the target's name")
        run(*command[1:])
        self.assertTrue(run_json("verify", target)["holds"])
        left = [path.name for path in self.work.iterdir() if "partial" in path.name]
        self.assertEqual(left, [])  # what dead runs left is gone

if __name__ == "__main__":
    unittest.main()
