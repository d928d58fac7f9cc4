"""Every architecture through the program: protect, verify, inspect; and what is said to the others."""

import json
import pathlib
import shutil
import tempfile
import unittest

from program import ROOT, read_safetensors, run, run_json, run_lines

FIXTURES = ROOT / "tests/golden/architectures"
NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/config.json"))


class Architectures(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="unswift-test-")
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)

    def model(self, name, **changes):
        """A copy of a fixture with a tokenizer (the fixtures share one) and some config keys changed."""
        target = self.path / name
        shutil.copytree(FIXTURES / name, target)
        shutil.copy(FIXTURES / "tokenizer.json", target)
        config = {**json.loads((target / "config.json").read_text()), **changes}
        (target / "config.json").write_text(json.dumps(config))
        return target

    def test_each_can_be_protected_and_verified(self):
        self.assertGreaterEqual(len(NAMES), 20)
        worst = {}
        for name in NAMES:
            with self.subTest(name):
                model, release = self.model(name), self.path / f"{name}-release"
                report = run_json("protect", model, "-o", release, "--max-tokens", "2048")
                # 4, or with order 32 everywhere what models with so small MLPs can have
                reached = abs(report["predicted_slowdown"] - 4.0) < 0.1
                self.assertTrue(reached or report["mean_order"] == 32.0, report)
                self.assertLess(report["predicted_slowdown"], 4.1)
                result = run_json("verify", release, "--against", model, "--max-tokens", "1024",
                                  "--max-new-tokens", "40", "--repetitions", "1")
                self.assertTrue(result["holds"])
                self.assertGreaterEqual(result["greedy"]["prompts"], 8)
                worst[name] = result["teacher_forced"]["max_kl"]
                series = run_json("inspect", release)["series"]
                config = run_json("inspect", model)
                self.assertEqual(series["units"],
                                 config["num_hidden_layers"] * config["intermediate_size"])
                self.check_down_proj_is_nowhere(model, release)
        print("max KL:", {name: f"{value:.1e}" for name, value in worst.items()})

    def check_down_proj_is_nowhere(self, model, release):
        """No protected output matrix is left, neither by name nor by its bytes."""
        down = ("down_proj.weight", "fc2.weight", "dense_4h_to_h.weight", "mlp.c_proj.weight")
        names, rows = set(), []
        for name, (_, shape, data) in read_safetensors(model / "model.safetensors").items():
            if name.endswith(down):
                names.add(name)
                size = len(data) // shape[0]
                rows += [data[i * size:i * size + 32] for i in range(shape[0])]
        self.assertTrue(names)
        for shard in release.glob("*.safetensors"):
            for name, (_, _, data) in read_safetensors(shard).items():
                self.assertNotIn(name, names)
                self.assertFalse(any(row in data for row in rows), name)

    def test_releases_give_the_recorded_logits(self):
        """Against transformers, not against the original as this program runs it."""
        for name in NAMES:
            with self.subTest(name):
                model, release = self.model(name), self.path / f"{name}-release"
                run("protect", model, "-o", release, "--order", "24", "--dtype", "f32",
                    "--max-tokens", "2048")
                golden = json.loads((model / "golden.json").read_text())["prompts"]
                lines = run_lines("logits", release, "--top", "96",
                                  prompts=[{"ids": prompt["ids"]} for prompt in golden])
                for prompt, line in zip(golden, lines, strict=True):
                    expected = prompt["logits"][-1]
                    self.assertEqual(len(line["top"]), len(expected))
                    scale = max(1.0, max(abs(value) for value in expected))
                    for token, logit in line["top"]:
                        self.assertAlmostEqual(logit, expected[token], delta=1e-2 * scale)

    def test_gpt_neox_by_either_name_of_its_head(self):
        model = self.model("gpt_neox")
        path = model / "model.safetensors"
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = data[8:8 + size].replace(b'"embed_out.weight"', b'"lm_head.weight"')
        self.assertLess(len(header), size)
        path.write_bytes(data[:8] + header.ljust(size) + data[8 + size:])
        prompt = json.loads((model / "golden.json").read_text())["prompts"][0]
        line, = run_lines("generate", model, "--max-new-tokens", "64", "--ignore-eos", prompts=[{"ids": prompt["ids"]}])
        self.assertEqual(line["ids"], prompt["greedy"])

    def test_what_is_not_supported_is_named(self):
        for name, changes, expected in (
                ("llama", {"model_type": "lama"}, ["'lama'", "did you mean 'llama'", "gpt_neox"]),
                ("qwen2", {"model_type": "qwen2_moe"}, ["'qwen2_moe'", "known:", "qwen3"]),
                ("llama_yarn", {"rope_parameters": {"rope_type": "mrope"}}, ["'mrope'", "longrope"]),
                ("mistral", {"hidden_act": "relu"}, ["'relu'", "known: silu"]),
                ("gemma3_parameters", {"layer_types": ["full_attention", "chunked_attention"]},
                 ["chunked_attention", "sliding_attention"]),
                ("gpt2", {"add_cross_attention": True}, ["add_cross_attention", "gpt2"]),
                ("gemma", {"architectures": ["GemmaForSequenceClassification"]},
                 ["GemmaForSequenceClassification", "known: GemmaForCausalLM"])):
            model = self.model(name, **changes)
            for command in (["inspect", model], ["generate", model, "--prompt", "x"],
                            ["protect", model, "-o", self.path / "never"]):
                with self.subTest(name, command=command[0]):
                    message = run(*command, check=2).stderr.decode()
                    for word in (*expected, "config.json"):
                        self.assertIn(word, message)
            self.assertFalse((self.path / "never").exists())


if __name__ == "__main__":
    unittest.main()
