"""Quantised weights and releases: the layout as docs/release_format.md has it, read on its own."""

import json
import math
import pathlib
import struct
import tempfile
import unittest

from program import DATA, SMOLLM2_GGUF, InTemporaryDirectory, needs, read_safetensors, run, run_json

STORIES = DATA / "models/stories260K"
WIKITEXT = DATA / "eval/wikitext-2-raw/wiki.test.noblank.txt"
TILE_BYTES = {"q8_0": 544, "q4_0": 288}


def unpack(data, shape, row, col):
    """One weight of a packed matrix."""
    _, tiles, size = shape
    tile = (row // 16 * tiles + col // 32) * size
    scale, = struct.unpack_from("<e", data, tile + 2 * (row % 16))
    c = col % 32
    if size == TILE_BYTES["q8_0"]:
        return scale * (data[tile + 32 + 64 * (c // 4) + 4 * (row % 16) + c % 4] - 128)
    byte = data[tile + 32 + 64 * (c // 8) + 4 * (row % 16) + c % 4]
    return scale * ((byte & 15 if c % 8 < 4 else byte >> 4) - 8)


def floats(tensor):
    dtype, shape, data = tensor
    assert dtype == "F32"
    return struct.unpack(f"<{len(data) // 4}f", data), shape


def silu(x):
    return x / (1.0 + math.exp(-x))


class QuantizedReleases(InTemporaryDirectory):
    def statistics(self):
        path = self.path / "stories.safetensors"
        if not path.exists():
            run("calibrate", STORIES, "-o", path, "--max-tokens", "6400")
        return path

    def protect(self, name, *flags, check=0):
        run("protect", STORIES, "-o", self.path / name, "--calibration", self.statistics(), *flags,
            check=check)
        return self.path / name

    def kl(self, model, *flags):
        result = run_json("verify", model, "--against", STORIES, "--max-tokens", "2048", *flags,
                          check=None)
        return result["teacher_forced"]["mean_kl"]

    @needs(STORIES)
    def test_theta_is_the_series_of_the_originals_columns(self):
        release = self.protect("theta", "--dtype", "q8_0", "--order", "12", "--units", "160")
        manifest = json.loads((release / "unswift.json").read_text())
        self.assertEqual(manifest["series"]["dtype"], "q8_0")
        tensors = read_safetensors(release / "model-00002-of-00006.safetensors")
        original = read_safetensors(STORIES / "model.safetensors")
        prefix = "model.layers.0.mlp."
        dtype, shape, theta = tensors[prefix + "series.theta"]
        features = manifest["series"]["layers"][0]["features"]
        self.assertEqual((dtype, shape), ("U8", [4, features // 32, 544]))
        orders = tensors[prefix + "series.orders"][2]
        centre, _ = floats(tensors[prefix + "series.centre"])
        inverse, _ = floats(tensors[prefix + "series.inv_radius"])
        down, (hidden, inner) = floats(original[prefix + "down_proj.weight"])
        gate, _ = floats(original[prefix + "gate_proj.weight"])
        moved, _ = floats(tensors[prefix + "gate_proj.weight"])
        counts = [sum(order >= n for order in orders) for n in range(orders[0] + 1)]
        self.assertEqual(sum(counts), features)
        self.assertTrue(all(count % 32 == 0 for count in counts))
        rows_of = {gate[j * hidden:(j + 1) * hidden]: j for j in range(inner)}
        error = total = 0.0
        for unit in range(0, 160, 7):
            source = rows_of[moved[unit * hidden:(unit + 1) * hidden]]
            for t in (-0.5, 0.0, 0.4):
                phi = silu(centre[unit] + t / inverse[unit])
                for row in range(0, hidden, 5):
                    value, column = 0.0, 0
                    for n in range(orders[unit] + 1):
                        chebyshev = math.cos(n * math.acos(t))
                        value += chebyshev * unpack(theta, shape, row, column + unit)
                        column += counts[n]
                    want = down[row * inner + source] * phi
                    error += (value - want) ** 2
                    total += want ** 2
        self.assertLess(math.sqrt(error / total), 0.02)

    @needs(STORIES)
    def test_carry_rounding_keeps_the_model(self):
        carried = self.protect("carried", "--dtype", "q8_0", "--order", "12", "--units", "160")
        nearest = self.protect("nearest", "--dtype", "q8_0", "--order", "12", "--units", "160",
                               "--rounding", "nearest")
        self.assertLess(self.kl(carried), 2e-5)
        self.assertLess(5 * self.kl(carried), self.kl(nearest))

    @needs(STORIES)
    def test_units_come_in_blocks(self):
        done = run("protect", STORIES, "-o", self.path / "none", "--calibration",
                   self.statistics(), "--dtype", "q4_0", check=2)
        self.assertIn(b"multiple of 32", done.stderr)
        self.assertFalse((self.path / "none").exists())

    @needs(STORIES)
    def test_weights_at_load(self):
        stored = self.kl(STORIES)
        self.assertLess(stored, 1e-12)
        errors = {name: self.kl(STORIES, "--weights", name) for name in ("bf16", "q8_0", "q4_0")}
        print({name: f"{kl:.1e}" for name, kl in errors.items()})
        self.assertLess(errors["bf16"], errors["q8_0"])
        self.assertLess(errors["q8_0"], 1e-3)
        self.assertLess(errors["q8_0"], errors["q4_0"])
        note = run("perplexity", STORIES, "--weights", "q8_0", "--text-file",
                   STORIES / "nll_text.txt").stderr
        self.assertIn(b"relative RMS error", note)


class QuantizedImport(unittest.TestCase):
    @needs(SMOLLM2_GGUF, WIKITEXT)
    def test_import_is_what_load_makes_of_the_floats(self):
        """Packed on disk or at load: the same bits, so the same numbers. And others refuse it."""
        with tempfile.TemporaryDirectory(prefix="unswift-test-") as directory:
            packed = pathlib.Path(directory) / "q8"
            report = run_json("import", SMOLLM2_GGUF, "-o", packed, "--dtype", "q8_0")
            self.assertGreater(report["relative_rms_error"], 1e-4)
            self.assertLess(report["relative_rms_error"], 1e-2)
            config = json.loads((packed / "config.json").read_text())
            self.assertEqual(config["model_type"], "unswift")
            plain = pathlib.Path(directory) / "f32"
            run("import", SMOLLM2_GGUF, "-o", plain, "--dtype", "f32")
            text = ["--text-file", WIKITEXT, "--max-tokens", "513", "--window", "512"]
            stored = run_json("perplexity", packed, *text)
            loaded = run_json("perplexity", plain, "--weights", "q8_0", *text)
            self.assertEqual(stored, loaded)


if __name__ == "__main__":
    unittest.main()
