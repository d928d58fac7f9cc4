"""Recipient marks: protect --registry, and trace from a release and from what the audit recovers of it."""

import json
import stat
import unittest

from program import DATA, InTemporaryDirectory, needs, run, run_json

STORIES = DATA / "models/stories260K"


@needs(STORIES)
class Marks(InTemporaryDirectory):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = cls.path / "registry.json"
        cls.statistics = cls.path / "statistics.safetensors"
        run("calibrate", STORIES, "-o", cls.statistics, "--max-tokens", "2000", "--window", "200")
        for name in ("alice", "bob"):
            cls.protect(cls.path / name, "--recipient", name, "--registry", cls.registry)

    @classmethod
    def protect(cls, target, *flags, check=0):
        return run("protect", STORIES, "-o", target, "--calibration", cls.statistics, "--slowdown", "2", *flags,
                   check=check)

    def trace(self, suspect, *flags, check=0):
        return run_json("trace", suspect, "--registry", self.registry, *flags, check=check)

    def test_a_release_names_its_recipient_alone(self):
        for name in ("alice", "bob"):
            found = self.trace(self.path / name)
            self.assertEqual(found["named"], [name])
            self.assertEqual(found["matched_units"], found["units"])
            self.assertLess(found["recipients"][1]["z"], 5)

    def test_a_recovered_model_does_too(self):
        recovered = self.path / "recovered"
        report = run_json("audit", self.path / "bob", "--original", STORIES, "--attacks", "consistent_rounding",
                          "-o", recovered)
        # Marks do not hide the units from a comparison with the original.
        self.assertGreater(report["attacks"][0]["recovered_fraction"], 0.95)
        self.assertEqual(self.trace(recovered, "--base", STORIES)["named"], ["bob"])
        self.assertEqual(self.trace(recovered, "--weights", "q8_0")["named"], ["bob"])

    def test_the_original_and_an_unmarked_release_name_nobody(self):
        self.assertEqual(self.trace(STORIES, check=1)["named"], [])
        self.protect(self.path / "unmarked")
        self.assertEqual(self.trace(self.path / "unmarked", check=1)["named"], [])

    def test_a_marked_release_is_still_the_model(self):
        text = self.path / "text"
        text.write_text("Once upon a time there was a little girl who liked to play in the park. " * 30)
        prompts = self.path / "prompts.jsonl"
        prompts.write_text('{"prompt": "Once upon a time"}\n')
        result = run_json("verify", self.path / "alice", "--against", STORIES, "--text-file", text,
                          "--prompts-file", prompts, "--max-new-tokens", "16", check=None)
        self.assertLess(result["teacher_forced"]["mean_kl"], 1e-3)

    def test_keys_stay_in_the_registry(self):
        self.assertEqual(stat.S_IMODE(self.registry.stat().st_mode), 0o600)
        content = json.loads(self.registry.read_text())
        keys = [content["key"]] + [r["key"] for r in content["recipients"]]
        self.assertEqual(len(set(keys)), 3)
        done = run("trace", self.path / "alice", "--registry", self.registry, "-v")
        shown = (done.stdout + done.stderr).decode() + (self.path / "alice/unswift.json").read_text()
        for key in keys:
            self.assertNotIn(key, shown)

    def test_bad_registries_are_refused_and_left_alone(self):
        shared = self.path / "shared.json"
        shared.write_bytes(self.registry.read_bytes())
        shared.chmod(0o644)
        self.assertIn("only its owner", run("trace", self.path / "bob", "--registry", shared, check=2).stderr.decode())
        broken = self.path / "broken.json"
        broken.write_text("{")
        broken.chmod(0o600)
        self.protect(self.path / "never", "--recipient", "eve", "--registry", broken, check=2)
        self.assertEqual(broken.read_text(), "{")
        self.assertFalse((self.path / "never").exists())
        self.protect(self.path / "never", "--registry", self.registry, check=2)  # for whom?
        self.assertFalse((self.path / "never").exists())
        self.assertEqual([p.name for p in self.path.glob("unswift-*")], [])


if __name__ == "__main__":
    unittest.main()
