"""Releases: the original's tokens, the format, the dial, and what makes them worse."""

import json
import unittest

from program import DATA, InTemporaryDirectory, needs, read_safetensors, run, run_json, run_lines

MODELS = DATA / "models"
STORIES = MODELS / "stories260K"
SORT = MODELS / "gpt-nano-sort"


class Releases(InTemporaryDirectory):
    def statistics(self, model, *flags):
        path = self.path / f"{model.name}{'-'.join(map(str, flags))}.safetensors".replace("/", "_")
        if not path.exists():
            run("calibrate", model, "-o", path, "--max-tokens", "6400", *flags)
        return path

    def protect(self, name, model, *flags):
        """Returns the release's path and protect's report."""
        target = self.path / name
        report = run_json("protect", model, "-o", target, "--calibration", self.statistics(model),
                          *flags)
        return target, report

    def verify(self, release, model, *flags, check=0):
        return run_json("verify", release, "--against", model, "--max-tokens", "2048", *flags,
                        check=check)

    @needs(STORIES)
    def test_stories_release_is_the_original(self):
        release, report = self.protect("stories", STORIES)
        self.assertAlmostEqual(report["predicted_slowdown"], 4.0, delta=0.1)
        result = self.verify(release, STORIES)
        self.assertTrue(result["holds"])
        self.assertLess(result["teacher_forced"]["mean_kl"], 1e-6)
        self.assertEqual(result["greedy"]["identical"], result["greedy"]["prompts"])

    @needs(SORT)
    def test_plain_mlp_release_still_sorts(self):
        release, _ = self.protect("sort", SORT, "--order", "16")
        golden = json.loads((SORT / "golden.json").read_text())
        prompts = [{"ids": prompt["prompt_ids"]} for prompt in golden["prompts"]]
        results = run_lines("generate", release, "--max-new-tokens", "6", "--ignore-eos",
                            prompts=prompts)
        for prompt, result in zip(golden["prompts"], results, strict=True):
            self.assertEqual(prompt["new_ids"], result["ids"])
        # Its eleven positions are fewer than the questions have that verify asks by itself.
        result = self.verify(release, SORT)
        self.assertTrue(result["holds"])
        self.assertEqual(result["greedy"]["identical"], 8)

    @needs(STORIES)
    def test_variants_hold(self):
        variants = {
            "bf16": ["--dtype", "bf16", "--order", "12"],
            "f32": ["--dtype", "f32", "--order", "12"],
            "taylor": ["--basis", "taylor", "--order", "12", "--dtype", "f32"],
            "uniform": ["--allocation", "uniform", "--order", "12"],
            "signs": ["--sign-flip", "--seed", "5"],
            "units": ["--units", "100", "--order", "12"],
            "layers": ["--layers", "1,3-4", "--order", "12"],
        }
        for name, flags in variants.items():
            with self.subTest(name):
                release, _ = self.protect("variant-" + name, STORIES, *flags)
                self.assertTrue(self.verify(release, STORIES)["holds"])

    @needs(STORIES)
    def test_sign_flips_change_weights_not_the_function(self):
        plain, _ = self.protect("no-signs", STORIES, "--order", "12")
        flipped, _ = self.protect("with-signs", STORIES, "--order", "12", "--sign-flip")
        prompts = [{"prompt": "Once upon a time"}]
        first, second = (run_lines("logits", release, prompts=prompts)[0]["top"]
                         for release in (plain, flipped))
        self.assertEqual([token for token, _ in first], [token for token, _ in second])
        for (_, a), (_, b) in zip(first, second):
            self.assertAlmostEqual(a, b, delta=1e-4)
        shard = "model-00002-of-00006.safetensors"
        name = "model.layers.0.mlp.gate_proj.weight"
        self.assertNotEqual(read_safetensors(plain / shard)[name],
                            read_safetensors(flipped / shard)[name])

    @needs(STORIES)
    def test_carry_rounding_and_guard_matter(self):
        # Calibration on too little text, so that the guard has work to do.
        narrow = self.path / "narrow.safetensors"
        run("calibrate", STORIES, "-o", narrow, "--max-tokens", "64", "--window", "64",
            "--margin", "0")
        kl = {}
        for name, flags in {"carry": ["--dtype", "bf16"],
                            "nearest": ["--dtype", "bf16", "--rounding", "nearest"],
                            "guard": ["--dtype", "f32"],
                            "no guard": ["--dtype", "f32", "--guard", "none"]}.items():
            target = self.path / ("matter-" + name.replace(" ", "-"))
            run("protect", STORIES, "-o", target, "--calibration", narrow, "--order", "16", *flags)
            result = run_json("verify", target, "--against", STORIES, "--max-tokens", "2048",
                              check=None)
            kl[name] = result["teacher_forced"]["mean_kl"]
        print("mean KL:", {name: f"{value:.2e}" for name, value in kl.items()})
        self.assertGreater(kl["nearest"], 5 * kl["carry"])
        self.assertGreater(kl["no guard"], 5 * kl["guard"])

    @needs(STORIES)
    def test_the_paper_preset_diverges_where_it_must(self):
        release, report = self.protect("paper", STORIES, "--preset", "paper")
        self.assertEqual(report["mean_order"], 8)
        self.assertEqual(report["protected_units"], 5 * 120)  # 70 % of 172
        series = run_json("inspect", release)["series"]
        self.assertEqual((series["basis"], series["guard"], series["rounding"]),
                         ("taylor", "truncate", "nearest"))

    @needs(STORIES)
    def test_the_dial(self):
        for slowdown in (1.5, 2, 3, 4):  # f16 theta of a float32 model: 4.29 at order 32
            _, report = self.protect(f"dial-{slowdown}", STORIES, "--slowdown", slowdown)
            self.assertAlmostEqual(report["predicted_slowdown"], slowdown, delta=0.1)
        done = run("protect", STORIES, "-o", self.path / "never", "--slowdown", "100",
                   "--calibration", self.statistics(STORIES), check=2)
        self.assertIn(b"slowdown", done.stderr)
        self.assertFalse((self.path / "never").exists())

    @needs(STORIES)
    def test_the_original_down_proj_is_nowhere(self):
        release, _ = self.protect("nowhere", STORIES)
        original = read_safetensors(STORIES / "model.safetensors")
        rows = set()
        for name, (_, shape, data) in original.items():
            if name.endswith("down_proj.weight"):
                size = len(data) // shape[0]
                rows.update(data[i * size:i * size + 64] for i in range(shape[0]))
        for shard in release.glob("*.safetensors"):
            for name, (_, _, data) in read_safetensors(shard).items():
                self.assertNotIn("down_proj", name)
                self.assertFalse(any(row in data for row in rows), name)

    @needs(STORIES)
    def test_threads_and_seed_do_not_change_the_result(self):
        files = {}
        for threads in (1, 2, 3):
            target = self.path / f"threads-{threads}"
            run("protect", STORIES, "-o", target, "--max-tokens", "1600", "--threads", threads)
            files[threads] = {path.name: path.read_bytes() for path in target.iterdir()}
        self.assertEqual(files[1], files[2])
        self.assertEqual(files[1], files[3])
        other = self.path / "other-seed"
        run("protect", STORIES, "-o", other, "--max-tokens", "1600", "--seed", "1")
        self.assertNotEqual(files[1]["unswift.json"], (other / "unswift.json").read_bytes())

    @needs(STORIES)
    def test_manifest_shows_provenance(self):
        release, _ = self.protect("provenance", STORIES, "--recipient", "ACME", "--licence",
                                  "evaluation only", "--expires", "9999-12-31")
        info = run_json("inspect", release)
        self.assertEqual((info["recipient"], info["licence"], info["expires"]),
                         ("ACME", "evaluation only", "9999-12-31"))
        self.assertIn(b"ACME", run("generate", release, "--prompt", "Once").stderr)
        self.assertTrue(run_json("verify", release)["holds"])


if __name__ == "__main__":
    unittest.main()
