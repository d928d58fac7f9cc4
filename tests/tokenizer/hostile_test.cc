// Files that are broken, hostile or of an unsupported kind: each gives a clear error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tokenizer/tiny_tokenizer.h"

#include "unswift/io/json.h"

namespace unswift {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A sound document with every part; patched by RFC 7396 merge patches (null removes).
Json SoundDocument() {
  return Json::parse(R"({
    "version": "1.0",
    "added_tokens": [{"id": 4, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated"},
    "post_processor": {"type": "TemplateProcessing",
                       "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                       "special_tokens": {"<s>": {"ids": [4]}}},
    "decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "?": 3}, "merges": ["a b"],
              "unk_token": "?"}})");
}

struct HostileCase {
  const char* patch;
  ErrorCode code;
  const char* message;
};

constexpr ErrorCode kInvalid = ErrorCode::kInvalidData;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;

const HostileCase kCases[] = {
    {R"({"version": "2.0"})", kUnsupported, "version 1.0, got '2.0'"},
    {R"({"version": 1})", kInvalid, "'version'"},
    // model
    {R"({"model": null})", kInvalid, "model: expected an object"},
    {R"({"model": [1]})", kInvalid, "model"},
    {R"({"model": {"type": null, "merges": null}})", kInvalid, "'type'"},
    {R"({"model": {"type": "WordPiece"}})", kUnsupported,
     "model type 'WordPiece': expected one of BPE, Unigram, WordLevel"},
    {R"({"model": {"type": "Unigram", "vocab": {"a": 1}}})", kInvalid, "'vocab'"},
    {R"({"model": {"type": "Unigram", "vocab": [["a", 0], ["a", 1]], "unk_id": 0}})", kInvalid,
     "different pieces"},
    {R"({"model": {"type": "Unigram", "vocab": [["a"]], "unk_id": 0}})", kInvalid, "its score"},
    {R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}})", kInvalid, "'unk_id'"},
    {R"({"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": null}})", kInvalid,
     "'unk_id'"},
    {R"({"model": {"vocab": null}})", kInvalid, "'vocab': expected an object"},
    {R"({"model": {"vocab": []}})", kInvalid, "'vocab': expected an object"},
    {R"({"model": {"vocab": {"b": 0}}})", kInvalid, "one token with id 0"},
    {R"({"model": {"vocab": {"b": -1}}})", kInvalid,
     "id of token 'b': expected an integer in [0, "},
    {R"({"model": {"vocab": {"b": 1.5}}})", kInvalid, "got 1.5"},
    {R"({"model": {"vocab": {"b": "1"}}})", kInvalid, "got string"},
    {R"({"model": {"vocab": {"b": 4194304}}})", kInvalid, "got 4194304"},
    {R"({"model": {"vocab": {"b": 18446744073709551615}}})", kInvalid, "id of token 'b'"},
    {R"({"model": {"merges": null}})", kInvalid, "'merges': expected an array"},
    {R"({"model": {"merges": {}}})", kInvalid, "'merges': expected an array"},
    {R"({"model": {"merges": ["ab"]}})", kInvalid, "merge 0: expected"},
    {R"({"model": {"merges": ["a b", "a  b"]}})", kInvalid, "merge 1: expected"},
    {R"({"model": {"merges": [["a"]]}})", kInvalid, "merge 0: expected"},
    {R"({"model": {"merges": [["a", 1]]}})", kInvalid, "merge 0: expected"},
    {R"({"model": {"merges": [7]}})", kInvalid, "merge 0: expected"},
    {R"({"model": {"merges": ["a x"]}})", kInvalid, "merge 0: expected tokens of 'vocab', got 'x'"},
    {R"({"model": {"merges": ["b a"]}})", kInvalid,
     "merge 0: expected tokens of 'vocab', got 'ba'"},
    {R"({"model": {"unk_token": "<unk>"}})", kInvalid, "'unk_token': expected a token of 'vocab'"},
    {R"({"model": {"unk_token": 3}})", kInvalid, "'unk_token'"},
    {R"({"model": {"dropout": 0.1}})", kUnsupported, "dropout"},
    {R"({"model": {"continuing_subword_prefix": "##"}})", kUnsupported,
     "continuing_subword_prefix"},
    {R"({"model": {"end_of_word_suffix": "</w>"}})", kUnsupported, "end_of_word_suffix"},
    {R"({"model": {"fuse_unk": "yes"}})", kInvalid, "'fuse_unk'"},
    {R"({"model": {"type": "WordLevel", "unk_token": null}})", kInvalid, "unk_token"},
    {R"({"model": {"type": "WordLevel", "unk_token": "x"}})", kInvalid, "'unk_token'"},
    // added tokens
    {R"({"added_tokens": {}})", kInvalid, "'added_tokens': expected an array"},
    {R"({"added_tokens": [1]})", kInvalid, "expected an object"},
    {R"({"added_tokens": [{"id": 4}]})", kInvalid, "'content'"},
    {R"({"added_tokens": [{"content": "<s>"}]})", kInvalid, "id of token '<s>'"},
    {R"({"added_tokens": [{"id": -4, "content": "<s>"}]})", kInvalid, "id of token '<s>'"},
    {R"({"added_tokens": [{"id": 99999999, "content": "<s>"}]})", kInvalid, "id of token '<s>'"},
    {R"({"added_tokens": [{"id": 2, "content": "<s>"}]})", kInvalid, "which 'ab' has"},
    {R"({"added_tokens": [{"id": 4, "content": "ab"}]})", kInvalid, "expected id 2 as in 'vocab'"},
    {R"({"added_tokens": [{"id": 4, "content": "x"}, {"id": 4, "content": "y"}]})", kInvalid,
     "which 'x' has"},
    {R"({"added_tokens": [{"id": 4, "content": "x"}, {"id": 5, "content": "x"}]})", kInvalid,
     "listed twice"},
    {R"({"added_tokens": [{"id": 4, "content": "x", "special": 1}]})", kInvalid, "'special'"},
    // normalizers
    {R"({"normalizer": 1})", kInvalid, "normalizer: expected an object"},
    {R"({"normalizer": {"type": "BertNormalizer"}})", kUnsupported,
     "normalizer type 'BertNormalizer': expected one of Sequence, Prepend, Replace, NFC"},
    {R"({"normalizer": {"normalizers": {}}})", kInvalid, "'normalizers': expected an array"},
    {R"({"normalizer": {"type": "Prepend"}})", kInvalid, "'prepend'"},
    {R"({"normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}})", kInvalid,
     "'pattern'"},
    {R"({"normalizer": {"type": "Replace", "pattern": "x", "content": "x"}})", kInvalid,
     "'pattern'"},
    {R"({"normalizer": {"type": "Replace", "pattern": {"String": "x"}}})", kInvalid, "'content'"},
    {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "x"}, "content": "$1"}})",
     kUnsupported, "'$'"},
    // pre-tokenizers
    {R"({"pre_tokenizer": {"type": "BertPreTokenizer"}})", kUnsupported,
     "pre_tokenizer type 'BertPreTokenizer': expected one of Sequence, Split, ByteLevel, "
     "Metaspace, Digits"},
    {R"({"pre_tokenizer": {"pattern": {"Regex": "("}}})", kUnsupported, "PCRE2"},
    {R"({"pre_tokenizer": {"pattern": {"Regex": "\\h"}}})", kUnsupported, "construct '\\h'"},
    {R"({"pre_tokenizer": {"pattern": {"Regex": 1}}})", kInvalid, "'Regex'"},
    {R"({"pre_tokenizer": {"pattern": {"Glob": "x", "Regex": null}}})", kInvalid, "'String'"},
    {R"({"pre_tokenizer": {"behavior": "Sideways"}})", kUnsupported,
     "Split behavior type 'Sideways'"},
    {R"({"pre_tokenizer": {"behavior": null}})", kInvalid, "'behavior'"},
    {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "ab"}})", kInvalid, "one character"},
    {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": ""}})", kInvalid, "one character"},
    {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "x"}})",
     kUnsupported, "prepend_scheme"},
    {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "add_prefix_space": false,
         "prepend_scheme": "first"}})",
     kInvalid, "'never'"},
    // post-processors
    {R"({"post_processor": {"type": "BertProcessing"}})", kUnsupported,
     "post_processor type 'BertProcessing'"},
    {R"({"post_processor": {"single": null}})", kInvalid, "'single'"},
    {R"({"post_processor": {"single": [{"Sequence": {"id": "B"}}]}})", kInvalid, "sequence A"},
    {R"({"post_processor": {"single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}]}})",
     kInvalid, "once"},
    {R"({"post_processor": {"single": [{"Other": {}}]}})", kInvalid, "Sequence or SpecialToken"},
    {R"({"post_processor": {"special_tokens": null}})", kInvalid, "'special_tokens'"},
    {R"({"post_processor": {"special_tokens": {"<s>": {"ids": [77]}}}})", kInvalid,
     "ids of tokens, got 77"},
    {R"({"post_processor": {"special_tokens": {"<s>": {"ids": [-1]}}}})", kInvalid,
     "id of token '<s>'"},
    // decoders
    {R"({"decoder": {"type": "WordPiece"}})", kUnsupported,
     "decoder type 'WordPiece': expected one of"},
    {R"({"decoder": {"start": -1}})", kInvalid, "'start'"},
    {R"({"decoder": {"content": "ab"}})", kInvalid, "one character"},
    {R"({"decoder": {"type": "Replace", "pattern": {"Regex": "x"}, "content": " "}})", kUnsupported,
     "Regex"},
    {R"({"decoder": {"type": "Replace", "pattern": {"String": ""}, "content": " "}})", kInvalid,
     "'pattern'"},
};

TEST(Hostile, TheUnpatchedDocumentIsSound) {
  EXPECT_TRUE(Tokenizer::FromJson(SoundDocument(), "tiny.json"));
}

TEST(Hostile, EachFaultHasItsError) {
  for (const HostileCase& test : kCases) {
    Json document = SoundDocument();
    document.merge_patch(Json::parse(test.patch));
    const Result<Tokenizer> tokenizer = Tokenizer::FromJson(document, "tiny.json");
    ASSERT_FALSE(tokenizer) << test.patch;
    EXPECT_EQ(tokenizer.error().code, test.code) << test.patch << "\n" << tokenizer.error().message;
    EXPECT_THAT(tokenizer.error().message, AllOf(HasSubstr("tiny.json"), HasSubstr(test.message)))
        << test.patch;
  }
}

ErrorCode CodeWith(const char* key, const Json& part) {
  Json document = SoundDocument();
  document[key] = part;
  const Result<Tokenizer> tokenizer = Tokenizer::FromJson(document, "tiny.json");
  EXPECT_FALSE(tokenizer) << key;
  return tokenizer ? ErrorCode::kIo : tokenizer.error().code;
}

/// A Sequence of a Sequence of ...
Json Nested(const char* key, int depth) {
  Json part = {{"type", "Sequence"}, {key, Json::array()}};
  for (int i = 0; i < depth; ++i) {
    Json outer = {{"type", "Sequence"}, {key, Json::array()}};
    outer[key].push_back(std::move(part));
    part = std::move(outer);
  }
  return part;
}

TEST(Hostile, DeepNestingIsInvalid) {
  for (const int depth : {17, 200}) {
    EXPECT_EQ(CodeWith("normalizer", Nested("normalizers", depth)), kInvalid);
    EXPECT_EQ(CodeWith("pre_tokenizer", Nested("pretokenizers", depth)), kInvalid);
    EXPECT_EQ(CodeWith("post_processor", Nested("processors", depth)), kInvalid);
    EXPECT_EQ(CodeWith("decoder", Nested("decoders", depth)), kInvalid);
  }
}

TEST(Hostile, LongSequencesAreInvalid) {
  const Json parts(65, Json{{"type", "Digits"}});
  EXPECT_EQ(CodeWith("pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", parts}}), kInvalid);
}

TEST(Hostile, TextThatWouldGrowWithoutBoundIsInvalid) {
  Json document = BpeDocument({"a"});
  const Json byte_level = {{"type", "ByteLevel"}, {"use_regex", false}};
  document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json(60, byte_level)}};
  const auto ids = MustMake(document).Encode("\xC3\xA9\xC3\xA9", false);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, kInvalid);

  const Json doubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  EXPECT_EQ(CodeWith("decoder", {{"type", "Sequence"}, {"decoders", Json(60, doubling)}}),
            kInvalid);
}

TEST(Hostile, HugeAddedTokensAreInvalid) {
  EXPECT_EQ(CodeWith("added_tokens", Json::array({AddedTokenJson(4, std::string(1025, 'x'))})),
            kInvalid);
  Json many = Json::array();
  for (int i = 0; i < 9000; ++i) {
    const std::string number = std::to_string(i);
    many.push_back(AddedTokenJson(4 + i, number + std::string(1000, 'x')));
  }
  EXPECT_EQ(CodeWith("added_tokens", many), kInvalid);
  const Json long_prefix = {{"type", "Prepend"}, {"prepend", std::string(5000, 'x')}};
  Json document = SoundDocument();
  document["normalizer"] = long_prefix;
  document["added_tokens"][0]["normalized"] = true;
  EXPECT_FALSE(Tokenizer::FromJson(document, "tiny.json"));
}

TEST(Hostile, StringsThatAreNotUtf8AreInvalid) {
  const std::string bad = "\xE2\x96";
  Json document = SoundDocument();
  document["model"]["vocab"][bad] = 9;
  EXPECT_FALSE(Tokenizer::FromJson(document, "tiny.json"));
  EXPECT_EQ(CodeWith("normalizer", {{"type", "Prepend"}, {"prepend", bad}}), kInvalid);
  EXPECT_EQ(CodeWith("added_tokens", Json::array({AddedTokenJson(4, bad)})), kInvalid);
  EXPECT_EQ(CodeWith("decoder", {{"type", "Strip"}, {"content", bad}}), kInvalid);
}

TEST(Hostile, AnyJsonInAnyPlaceIsAnErrorAtWorst) {
  const std::vector<Json> values = {nullptr,
                                    true,
                                    -1,
                                    1e300,
                                    "x",
                                    "",
                                    Json::array(),
                                    Json::object(),
                                    Json::array({Json::array()}),
                                    Json{{"type", "Sequence"}}};
  const Json flat = SoundDocument().flatten();
  for (const auto& [path, ignored] : flat.items()) {
    for (const Json& value : values) {
      Json document = SoundDocument();
      document[Json::json_pointer(path)] = value;
      const Result<Tokenizer> tokenizer = Tokenizer::FromJson(document, "tiny.json");
      if (tokenizer) {
        const auto ids = tokenizer->Encode("ab <s> \xC3\xA9", true);
        if (ids) tokenizer->Decode(*ids, true);
      } else {
        EXPECT_THAT(tokenizer.error().message, HasSubstr("tiny.json"));
      }
    }
  }
}

}  // namespace
}  // namespace unswift
