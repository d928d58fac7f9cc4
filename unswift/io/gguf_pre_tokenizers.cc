#include "unswift/io/gguf_pre_tokenizers.h"

#include <algorithm>
#include <string>
#include <vector>

#include "unswift/base/registry.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

// Patterns as in the tokenizer.json of the models that llama.cpp named these rows after.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                                    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr GgufPreTokenizer kRows[] = {
    {.name = "gpt-2"},
    {.name = "phi-2"},
    {.name = "mpt"},
    {.name = "olmo"},
    {.name = "jais"},
    {.name = "exaone4"},
    {.name = "gigachat"},
    {.name = "granite-docling"},
    {.name = "mellum"},
    {.name = "trillion"},
    {.name = "smollm", .individual_digits = true},
    {.name = "starcoder", .individual_digits = true},
    {.name = "refact", .individual_digits = true},
    {.name = "command-r", .individual_digits = true},
    {.name = "codeshell", .individual_digits = true},
    {.name = "exaone", .individual_digits = true},
    {.name = "minerva-7b", .individual_digits = true},
    {.name = "llama-bpe", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "falcon-h1", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "lfm2", .splits = {kLlama3}, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .splits = {kLlama3}},
    {.name = "dbrx", .splits = {kLlama3}},
    {.name = "chatglm-bpe", .splits = {kLlama3}},
    {.name = "glm4", .splits = {kLlama3}, .ignore_merges = true},
    {.name = "qwen2", .splits = {kQwen2}, .nfc = true},
    {.name = "deepseek-r1-qwen", .splits = {kQwen2}},
    {.name = "stablelm2", .splits = {kQwen2}},
    {.name = "megrez", .splits = {kQwen2}},
    {.name = "hunyuan", .splits = {kQwen2}},
    {.name = "grok-2", .splits = {kQwen2}},
    {.name = "solar-open", .splits = {kQwen2}},
    {.name = "qwen35", .splits = {kQwen35}, .nfc = true},
    {.name = "tekken", .splits = {kTekken}, .ignore_merges = true, .add_bos = true},
    {.name = "gpt-4o", .splits = {kGpt4o}},
    {.name = "llama4", .splits = {kGpt4o}},
    {.name = "kanana2", .splits = {kGpt4o}},
    {.name = "deepseek-coder",
     .splits = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
                "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", R"(\p{N})"}},
    {.name = "deepseek-v3",
     .splits = {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kDeepSeekV3}},
    {.name = "falcon", .splits = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
};

/// Families whose models have had one pre-tokenizer, for files older than tokenizer.ggml.pre.
struct FamilyRow {
  std::string_view architecture, name;
};
constexpr FamilyRow kFamilies[] = {
    {"gpt2", "gpt-2"},  {"gptneox", "gpt-2"}, {"phi2", "phi-2"},
    {"qwen2", "qwen2"}, {"qwen3", "qwen2"},
};

Json Split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

}  // namespace

Result<const GgufPreTokenizer*> FindGgufPreTokenizer(std::string_view name,
                                                     std::string_view architecture) {
  if (name.empty() || name == "default") {
    const auto family =
        std::find_if(std::begin(kFamilies), std::end(kFamilies),
                     [&](const auto& row) { return row.architecture == architecture; });
    if (family == std::end(kFamilies)) {
      return MakeError(ErrorCode::kUnsupported,
                       "expected tokenizer.ggml.pre, without which the ids of a '{}' "
                       "model cannot be told; convert the model again with a newer converter",
                       Shorten(architecture));
    }
    name = family->name;
  }
  std::vector<std::string> known;
  for (const GgufPreTokenizer& row : kRows) {
    if (row.name == name) return &row;
    known.emplace_back(row.name);
  }
  return MakeError(ErrorCode::kUnsupported, "tokenizer.ggml.pre: {}",
                   UnknownName("pre-tokenizer", Shorten(name), known).message);
}

Json ByteLevelJson(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json PreTokenizerJson(const GgufPreTokenizer& row, bool add_prefix_space) {
  Json steps = Json::array();
  if (row.individual_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  for (const std::string_view split : row.splits) {
    if (!split.empty()) steps.push_back(Split(split));
  }
  Json byte_level = ByteLevelJson(add_prefix_space, row.splits[0].empty());
  if (steps.empty()) return byte_level;
  steps.push_back(std::move(byte_level));
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

}  // namespace unswift
