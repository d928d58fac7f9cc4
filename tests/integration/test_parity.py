"""The same numbers as transformers: ids, greedy continuations, logits, mean NLL."""

import hashlib
import itertools
import json
import tempfile
import unittest

from program import DATA, SMOLLM2_GGUF, needs, read_safetensors, run_json, run_lines, smollm2

MODELS = DATA / "models"
SMOLLM2 = DATA / "goldens/smollm2-135m-instruct"
NEAR_TIE = 2e-3  # a greedy difference is allowed only where the golden's top-two margin is below


def load(path):
    return json.loads(path.read_text())


class GoldenChecks:
    """Comparisons with recorded answers; mixed into the test cases below."""

    def check_greedy(self, expected, ids, margins):
        """Returns the number of near ties that fell the other way (0 or 1)."""
        for position, (want, got) in enumerate(zip(expected, ids)):
            if want != got:
                self.assertLess(margins[position], NEAR_TIE, f"token {position}: {want} != {got}")
                return 1
        self.assertEqual(len(expected), len(ids))
        return 0

    def check_top(self, expected, top, tolerance):
        got = dict(map(tuple, top))
        for token, logit in expected:
            self.assertIn(token, got)
            self.assertLessEqual(abs(got[token] - logit), tolerance, f"token {token}")

    def check_prompts(self, model, prompts, expected, tolerance, top_key="top20"):
        new_tokens = len(expected[0]["new_ids"])
        generated = run_lines("generate", model, "--max-new-tokens", new_tokens, "--ignore-eos",
                              prompts=prompts)
        logits = run_lines("logits", model, "--top", "50", prompts=prompts)
        near_ties = 0
        for golden, result, line in zip(expected, generated, logits, strict=True):
            self.assertEqual(golden["prompt_ids"], result["prompt_ids"])
            near_ties += self.check_greedy(golden["new_ids"], result["ids"], golden["margins"])
            self.check_top(golden[top_key], line["top"], tolerance)
        print(f"{model.name}: {len(prompts)} prompts x {new_tokens} greedy ids, "
              f"{near_ties} near ties fell the other way")


class SmallModels(GoldenChecks, unittest.TestCase):
    @needs(MODELS)
    def test_small_llamas(self):
        for name in ("stories260K", "babyllama105"):
            model, golden = MODELS / name, load(MODELS / name / "golden.json")
            prompts = [{"prompt": prompt["text"]} for prompt in golden["prompts"]]
            self.check_prompts(model, prompts, golden["prompts"], 1e-4)
            self.check_nll(model, golden["nll"])

    def check_nll(self, model, golden):
        # Pieces of window - 1 ids, each run alone behind BOS; every id of a piece is scored.
        ids, piece = golden["token_ids"], golden["window"] - 1
        text = run_json("tokenize", model, "--no-special", "--text-file", model / "nll_text.txt")
        self.assertEqual(text["ids"][:len(ids)], ids)
        windows = [{"ids": [1] + ids[i:i + piece]} for i in range(0, len(ids), piece)]
        result = perplexity_of(model, windows, golden["window"])
        self.assertEqual(result["tokens"], golden["tokens_scored"])
        self.assertLessEqual(abs(result["mean_nll"] / golden["mean_nll"] - 1), 1e-4)

    @needs(MODELS)
    def test_gpt_nano_sort(self):
        model = MODELS / "gpt-nano-sort"
        golden = load(model / "golden.json")
        prompts = [{"ids": prompt["prompt_ids"]} for prompt in golden["prompts"]]
        self.check_prompts(model, prompts, golden["prompts"], 1e-4, top_key="top3")
        for prompt in golden["prompts"][:8]:
            result = run_json("tokenize", model, "--text", prompt["text"])
            self.assertEqual(result["ids"], prompt["prompt_ids"])

    @needs(MODELS)
    def test_gpt_nano_sort_nll(self):
        model = MODELS / "gpt-nano-sort"
        golden = load(model / "golden.json")["nll"]
        rows = [list(row) for row in itertools.product(range(3), repeat=6)]
        # ids 6..10 of a row: the whole row's NLL minus that of its first six ids.
        whole = perplexity_of(model, [{"ids": row + sorted(row)[:5]} for row in rows], 11)
        head = perplexity_of(model, [{"ids": row} for row in rows], 11)
        total = whole["mean_nll"] * whole["tokens"] - head["mean_nll"] * head["tokens"]
        tokens = whole["tokens"] - head["tokens"]
        self.assertEqual(tokens, golden["tokens_scored"])
        # The difference of two sums of about 5,000 nats: absolute, not relative.
        self.assertLessEqual(abs(total / tokens - golden["mean_nll"]), 1e-6)


def perplexity_of(model, lines, window):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        return run_json("perplexity", model, "--prompts-file", file.name, "--window", window)


@needs(SMOLLM2, SMOLLM2_GGUF)
class SmolLm2(GoldenChecks, unittest.TestCase):
    def test_import_is_exact(self):
        golden = load(SMOLLM2 / "tensors.json")
        expected = {row["name"]: row for row in golden["tensors"]}
        tensors = read_safetensors(smollm2() / "model.safetensors")
        self.assertEqual(sorted(expected), sorted(tensors))
        for name, (dtype, shape, data) in tensors.items():
            self.assertEqual(dtype, "BF16")
            self.assertEqual(shape, expected[name]["shape"])
            self.assertEqual(hashlib.sha256(data).hexdigest(), expected[name]["sha256_bf16"],
                             name)

    def test_chat_and_raw_prompts(self):
        golden = load(SMOLLM2 / "golden.json")
        prompts = ([{"messages": prompt["messages"]} for prompt in golden["chat"]] +
                   [{"prompt": prompt["text"]} for prompt in golden["raw"]])
        self.check_prompts(smollm2(), prompts, golden["chat"] + golden["raw"], 2e-3)

    def test_perplexity(self):
        golden = load(SMOLLM2 / "perplexity.json")
        windows, size = golden["windows"], golden["window"]
        result = run_json("perplexity", smollm2(), "--text-file", DATA / golden["text"],
                          "--window", size, "--max-tokens", windows * size)
        self.assertEqual(result["tokens"], golden["tokens_scored"])
        self.assertLessEqual(abs(result["mean_nll"] / golden["mean_nll"] - 1), 1e-4)


if __name__ == "__main__":
    unittest.main()
