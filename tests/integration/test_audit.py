"""The audit: releases of real models, attacked with what a recipient has, against the originals."""

import json
import unittest

from program import (DATA, SMOLLM2_GGUF, InTemporaryDirectory, needs, read_safetensors,
                     run, run_json, smollm2)

STORIES = DATA / "models" / "stories260K"
SORT = DATA / "models" / "gpt-nano-sort"


def bf16(data):
    return memoryview(data).cast("H")


class Audit(InTemporaryDirectory):
    def release(self, name, model, *flags):
        statistics = self.path / f"{model.name}.stats"
        if not statistics.exists():
            run("calibrate", model, "-o", statistics, "--max-tokens", "6400")
        target = self.path / name
        run("protect", model, "-o", target, "--calibration", statistics, *flags)
        return target

    def audit(self, release, *flags):
        report = run_json("audit", release, *flags)
        return {attack["name"]: attack for attack in report["attacks"]}, report["summary"]

    @needs(STORIES)
    def test_json_has_the_promised_fields(self):
        release = self.release("fields", STORIES, "--order", "12")
        report = run_json("audit", release)
        self.assertEqual(
            [attack["name"] for attack in report["attacks"]],
            ["direct", "least_squares", "ratio", "rank1", "consistent_rounding", "quantized",
             "black_box", "align", "collapse"])
        for attack in report["attacks"]:
            for field in ("game", "recovered_fraction", "max_relative_error", "seconds", "speedup",
                          "verdict"):
                self.assertIn(field, attack)
        self.assertEqual(list(report["summary"]["games"]),
                         sorted(["EXTRACT", "EQUIV", "SPEED", "TRACE", "TAMPER"]))

    @needs(STORIES)
    def test_a_float32_model_comes_back_as_good_as_the_fit(self):
        for name, flags in {"f32": ["--dtype", "f32"], "signs": ["--sign-flip"],
                            "taylor": ["--basis", "taylor", "--dtype", "f32"]}.items():
            with self.subTest(name):
                release = self.release("stories-" + name, STORIES, "--order", "16", *flags)
                attacks, _ = self.audit(release, "--original", STORIES)
                best = attacks["consistent_rounding"]
                self.assertGreater(best["recovered_fraction"], 0.99)
                self.assertEqual(attacks["collapse"]["details"]["greedy_identical"], 4)

    @needs(SORT)
    def test_a_plain_mlp_comes_back(self):
        release = self.release("sort", SORT, "--order", "16")
        recovered = self.path / "sort-recovered"
        attacks, _ = self.audit(release, "--original", SORT, "-o", recovered)
        self.assertGreater(attacks["consistent_rounding"]["recovered_fraction"], 0.9)
        golden = json.loads((SORT / "golden.json").read_text())
        prompts = self.path / "sort.jsonl"
        prompts.write_text("".join(json.dumps({"ids": prompt["prompt_ids"]}) + "\n"
                                   for prompt in golden["prompts"]))
        lines = run("generate", recovered, "--prompts-file", prompts, "--max-new-tokens", "6",
                    "--ignore-eos").stdout.splitlines()
        for prompt, line in zip(golden["prompts"], lines, strict=True):
            self.assertEqual(prompt["new_ids"], json.loads(line)["ids"])

    @needs(SMOLLM2_GGUF)
    def test_smollm2_comes_back(self):
        original = smollm2()
        recovered = self.path / "smollm2-recovered"
        release = self.release("smollm2", original, "--slowdown", "2", "--sign-flip")
        attacks, summary = self.audit(release, "--original", original, "-o", recovered)
        best = attacks["consistent_rounding"]
        # Every column comes back up to its factor; a few units of low order get a wrong factor.
        self.assertEqual(attacks["rank1"]["recovered_fraction"], 1.0)
        self.assertLess(attacks["rank1"]["max_relative_error"], 1e-3)
        self.assertGreater(best["recovered_fraction"], 0.999)
        self.assertGreater(best["exact_fraction"], 0.99)
        self.assertEqual(attacks["collapse"]["recovered_fraction"], 1.0)
        self.assertIn("speed_over_original", attacks["collapse"]["details"])
        print(f"{summary['seconds']:.1f} s:", best["verdict"], attacks["collapse"]["verdict"])
        self.check_columns(original, recovered)

    def check_columns(self, original, recovered):
        """The recovered file itself: the same columns as the original's, in another order."""
        tensors = {}
        for shard in original.glob("*.safetensors"):
            tensors.update(read_safetensors(shard))
        name = "model.layers.7.mlp.{}.weight"
        found = read_safetensors(recovered / "model-00009-of-00031.safetensors")
        hidden, inner = tensors[name.format("down_proj")][1]
        self.assertEqual(found[name.format("down_proj")][1], [hidden, inner])

        def columns(source):
            up = source[name.format("up_proj")][2]
            down = bf16(source[name.format("down_proj")][2])
            return {up[2 * hidden * j:2 * hidden * (j + 1)]: down[j::inner].tolist()
                    for j in range(inner)}

        truth, got = columns(tensors), columns(found)
        self.assertEqual(truth.keys(), got.keys())
        different = sum(a != b for key in truth for a, b in zip(truth[key], got[key]))
        self.assertLess(different, 0.01 * hidden * inner)

    @needs(STORIES)
    def test_bad_requests(self):
        release = self.release("bad", STORIES, "--order", "8")
        for arguments, word in ((["audit", STORIES], b"release"),
                                (["audit", release, "--attacks", "rank2"], b"rank1"),
                                (["audit", release, "--original", release], b"original"),
                                (["audit", release, "-o", release], b"exist")):
            self.assertIn(word, run(*arguments, check=2).stderr)


if __name__ == "__main__":
    unittest.main()
