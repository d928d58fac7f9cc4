#include "unswift/io/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "unswift/io/gguf_pre_tokenizers.h"
#include "unswift/io/json.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space

// tokenizer.ggml.token_type
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

struct Vocabulary {
  std::vector<std::string_view> tokens;
  std::vector<int64_t> types;  // kNormal throughout when the file has none
  std::unordered_map<std::string_view, int64_t> ids;

  bool IsSpecial(size_t id) const { return types[id] == kUnknown || types[id] == kControl; }
};

auto Invalid(const GgufFile& file, std::string_view why, ErrorCode code = ErrorCode::kInvalidData) {
  return MakeError(code, "[import_tokenizer] {}: {}", file.path().string(), why);
}

Result<Vocabulary> ReadVocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  UNSWIFT_ASSIGN_OR_RETURN(vocabulary.tokens,
                           file.GetArray<std::string_view>("tokenizer.ggml.tokens"));
  vocabulary.types.assign(vocabulary.tokens.size(), kNormal);
  if (file.Has("tokenizer.ggml.token_type")) {
    UNSWIFT_ASSIGN_OR_RETURN(vocabulary.types, file.GetArray<int64_t>("tokenizer.ggml.token_type"));
  }
  if (vocabulary.types.size() != vocabulary.tokens.size()) {
    return Invalid(file, fmt::format("expected {} elements in tokenizer.ggml.token_type, got {}",
                                     vocabulary.tokens.size(), vocabulary.types.size()));
  }
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!vocabulary.ids.emplace(vocabulary.tokens[id], id).second) {
      return Invalid(file, fmt::format("expected unique tokens, got '{}' twice",
                                       Shorten(vocabulary.tokens[id])));
    }
  }
  return vocabulary;
}

/// The token of an id that the file names under `key`; empty when it names none.
Result<std::optional<std::string>> NamedToken(const GgufFile& file, const Vocabulary& vocabulary,
                                              const std::string& key) {
  if (!file.Has(key)) return std::nullopt;
  UNSWIFT_ASSIGN_OR_RETURN(const int64_t id, file.Get<int64_t>(key));
  // Converters write -1, also as 2^32 - 1, for "none".
  if (id == -1 || id == UINT32_MAX) return std::nullopt;
  if (id < 0 || std::cmp_greater_equal(id, vocabulary.tokens.size())) {
    return Invalid(file, fmt::format("'{}': expected an id below {}, got {}", key,
                                     vocabulary.tokens.size(), id));
  }
  return std::string(vocabulary.tokens[id]);
}

/// Control and unknown tokens are special; user-defined ones are matched in the text, too.
Json AddedTokens(const Vocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!vocabulary.IsSpecial(id) && vocabulary.types[id] != kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", vocabulary.IsSpecial(id)}});
  }
  return added;
}

Json SpecialToken(const std::string& token, int type_id) {
  return {{"SpecialToken", {{"id", token}, {"type_id", type_id}}}};
}

/// Adds BOS before and EOS behind, as the file's flags say. Null when neither is added.
Result<Json> PostProcessor(const GgufFile& file, const Vocabulary& vocabulary, bool bos_default) {
  UNSWIFT_ASSIGN_OR_RETURN(const bool add_bos,
                           file.GetOr<bool>("tokenizer.ggml.add_bos_token", bos_default));
  UNSWIFT_ASSIGN_OR_RETURN(const bool add_eos,
                           file.GetOr<bool>("tokenizer.ggml.add_eos_token", false));
  if (!add_bos && !add_eos) return Json();
  Json tokens = Json::object();
  std::optional<std::string> bos, eos;
  for (auto [wanted, key, token] : {std::tuple(add_bos, "tokenizer.ggml.bos_token_id", &bos),
                                    std::tuple(add_eos, "tokenizer.ggml.eos_token_id", &eos)}) {
    if (!wanted) continue;
    UNSWIFT_ASSIGN_OR_RETURN(*token, NamedToken(file, vocabulary, key));
    if (!*token) return Invalid(file, fmt::format("expected a token under '{}'", key));
    tokens[**token] = {{"id", **token},
                       {"ids", Json::array({vocabulary.ids.at(**token)})},
                       {"tokens", Json::array({**token})}};
  }
  const auto around = [&](const char* sequence, int type_id) {
    Json parts = Json::array();
    if (bos) parts.push_back(SpecialToken(*bos, type_id));
    parts.push_back({{"Sequence", {{"id", sequence}, {"type_id", type_id}}}});
    if (eos) parts.push_back(SpecialToken(*eos, type_id));
    return parts;
  };
  Json pair = around("A", 0);
  for (Json& part : around("B", 1)) pair.push_back(std::move(part));
  return Json{{"type", "TemplateProcessing"},
              {"single", around("A", 0)},
              {"pair", std::move(pair)},
              {"special_tokens", std::move(tokens)}};
}

Json BpeModel(const Vocabulary& vocabulary, Json merges) {
  Json vocab = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    vocab[std::string(vocabulary.tokens[id])] = id;
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

Json TokenizerJson(const Vocabulary& vocabulary) {
  return {{"version", "1.0"},      {"truncation", nullptr},
          {"padding", nullptr},    {"added_tokens", AddedTokens(vocabulary)},
          {"normalizer", nullptr}, {"pre_tokenizer", nullptr}};
}

/// "left right", as the file has them.
Result<Json> ReadMerges(const GgufFile& file) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<std::string_view> merges,
                           file.GetArray<std::string_view>("tokenizer.ggml.merges"));
  for (std::string_view merge : merges) {
    const size_t space = merge.find(' ');
    const bool two = space != merge.npos && space > 0 && space + 1 < merge.size() &&
                     merge.find(' ', space + 1) == merge.npos;
    if (!two) {
      return Invalid(file, fmt::format("tokenizer.ggml.merges: expected two tokens, got '{}'",
                                       Shorten(merge)));
    }
  }
  return Json(merges);
}

Result<Json> ByteLevelTokenizer(const GgufFile& file, const Vocabulary& vocabulary) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name,
                           file.GetOr<std::string>("tokenizer.ggml.pre", ""));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string architecture,
                           file.GetOr<std::string>("general.architecture", ""));
  const auto found = FindGgufPreTokenizer(name, architecture);
  if (!found) return Invalid(file, found.error().message, found.error().code);
  const GgufPreTokenizer* pre = *found;
  UNSWIFT_ASSIGN_OR_RETURN(const bool prefix_space,
                           file.GetOr<bool>("tokenizer.ggml.add_space_prefix", false));
  UNSWIFT_ASSIGN_OR_RETURN(Json merges, ReadMerges(file));
  Json json = TokenizerJson(vocabulary);
  if (pre->nfc) json["normalizer"] = {{"type", "NFC"}};
  json["pre_tokenizer"] = PreTokenizerJson(*pre, prefix_space);
  UNSWIFT_ASSIGN_OR_RETURN(json["post_processor"], PostProcessor(file, vocabulary, pre->add_bos));
  json["decoder"] = ByteLevelJson(true, true);
  json["model"] = BpeModel(vocabulary, std::move(merges));
  json["model"]["ignore_merges"] = pre->ignore_merges;
  return json;
}

/// SentencePiece keeps no merges: it joins the adjacent pair whose joined piece scores highest.
/// Every way to split a piece into two pieces is therefore a merge with the piece's score as its
/// rank; equal ranks go by id (of the piece, then of the left and the right part).
Result<Json> MergesFromScores(const GgufFile& file, const Vocabulary& vocabulary) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::vector<double> scores,
                           file.GetArray<double>("tokenizer.ggml.scores"));
  if (scores.size() != vocabulary.tokens.size()) {
    return Invalid(file, fmt::format("expected {} elements in tokenizer.ggml.scores, got {}",
                                     vocabulary.tokens.size(), scores.size()));
  }
  using Merge = std::tuple<double, int64_t, int64_t, int64_t>;  // -score, piece, left, right
  std::vector<Merge> merges;
  const auto id_of = [&](std::string_view piece) {
    const auto found = vocabulary.ids.find(piece);
    return found == vocabulary.ids.end() || vocabulary.types[found->second] != kNormal
               ? int64_t{-1}
               : found->second;
  };
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != kNormal) continue;
    if (scores[id] != scores[id]) return Invalid(file, "tokenizer.ggml.scores: got NaN");
    const std::string_view piece = vocabulary.tokens[id];
    for (size_t cut = Utf8CharLength(piece); cut < piece.size();
         cut += Utf8CharLength(piece.substr(cut))) {
      const int64_t left = id_of(piece.substr(0, cut)), right = id_of(piece.substr(cut));
      if (left >= 0 && right >= 0) merges.emplace_back(-scores[id], id, left, right);
    }
  }
  std::sort(merges.begin(), merges.end());
  Json pairs = Json::array();  // pairs, since a piece may contain a space
  for (const auto& [rank, id, left, right] : merges) {
    pairs.push_back(Json::array({vocabulary.tokens[left], vocabulary.tokens[right]}));
  }
  return pairs;
}

Result<Json> SentencePieceTokenizer(const GgufFile& file, const Vocabulary& vocabulary) {
  UNSWIFT_ASSIGN_OR_RETURN(Json merges, MergesFromScores(file, vocabulary));
  UNSWIFT_ASSIGN_OR_RETURN(const bool prefix_space,
                           file.GetOr<bool>("tokenizer.ggml.add_space_prefix", true));
  UNSWIFT_ASSIGN_OR_RETURN(const std::optional<std::string> unknown,
                           NamedToken(file, vocabulary, "tokenizer.ggml.unknown_token_id"));
  const auto replace = [](std::string_view from, std::string_view to) -> Json {
    return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  Json normalizers = Json::array();
  Json decoders =
      Json::array({replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (prefix_space) {
    normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  normalizers.push_back(replace(" ", kSpaceMark));
  Json json = TokenizerJson(vocabulary);
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  UNSWIFT_ASSIGN_OR_RETURN(json["post_processor"], PostProcessor(file, vocabulary, true));
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  json["model"] = BpeModel(vocabulary, std::move(merges));
  json["model"]["unk_token"] = unknown ? Json(*unknown) : Json();
  json["model"]["fuse_unk"] = true;
  json["model"]["byte_fallback"] =
      std::find(vocabulary.types.begin(), vocabulary.types.end(), kByte) != vocabulary.types.end();
  return json;
}

}  // namespace

Result<Json> TokenizerJsonFromGguf(const GgufFile& file) {
  UNSWIFT_ASSIGN_OR_RETURN(const std::string model, file.Get<std::string>("tokenizer.ggml.model"));
  UNSWIFT_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(file));
  if (model == "gpt2") return ByteLevelTokenizer(file, vocabulary);
  if (model == "llama") return SentencePieceTokenizer(file, vocabulary);
  return Invalid(
      file, fmt::format("expected gpt2 or llama as tokenizer.ggml.model, got '{}'", Shorten(model)),
      ErrorCode::kUnsupported);
}

Result<Json> TokenizerConfigFromGguf(const GgufFile& file, int64_t model_max_length) {
  UNSWIFT_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(file));
  UNSWIFT_ASSIGN_OR_RETURN(const std::string model, file.Get<std::string>("tokenizer.ggml.model"));
  UNSWIFT_ASSIGN_OR_RETURN(const bool prefix_space,
                           file.GetOr<bool>("tokenizer.ggml.add_space_prefix", model == "llama"));
  Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"add_prefix_space", prefix_space},
               {"clean_up_tokenization_spaces", false},
               {"model_max_length", model_max_length}};
  for (auto [field, key] : {std::pair("bos_token", "tokenizer.ggml.bos_token_id"),
                            std::pair("eos_token", "tokenizer.ggml.eos_token_id"),
                            std::pair("pad_token", "tokenizer.ggml.padding_token_id"),
                            std::pair("unk_token", "tokenizer.ggml.unknown_token_id")}) {
    UNSWIFT_ASSIGN_OR_RETURN(const auto token, NamedToken(file, vocabulary, key));
    if (token) json[field] = *token;
  }
  if (file.Has("tokenizer.chat_template")) {
    UNSWIFT_ASSIGN_OR_RETURN(json["chat_template"],
                             file.Get<std::string>("tokenizer.chat_template"));
  }
  return json;
}

}  // namespace unswift
