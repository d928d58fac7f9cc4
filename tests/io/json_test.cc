#include "unswift/io/json.h"

#include <string>

#include "tests/base/expect_error.h"
#include "tests/testing/test_data.h"

namespace unswift {
namespace {

std::string Nested(int depth, char open, char close) {
  return std::string(depth, open) + std::string(depth, close);
}

/// {"a":{"a":...1...}}
std::string NestedObjects(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += "{\"a\":";
  return text + "1" + std::string(depth, '}');
}

TEST(ParseJson, BuildsTheDocument) {
  const std::string text =
      R"({"a": [1, -2, 3.5, true, null, "x\u00e9\n", {}], "b": {"c": {"d": []}}, "": 18446744073709551615})";
  const auto json = ParseJson(text, "test");
  ASSERT_TRUE(Succeeds(json));
  EXPECT_TRUE(*json == Json::parse(text)) << json->dump();
}

TEST(ParseJson, ScalarsAreDocuments) {
  EXPECT_TRUE(ParseJson("7", "test").value() == Json(7));
  EXPECT_TRUE(ParseJson(" null ", "test").value().is_null());
}

TEST(ParseJson, RefusesBadSyntax) {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\"}", "{a: 1}", "[1] 2", "'a'", "nul", "\"\x01\"", "// c\n1", "NaN",
        "01", "1e999", "\"\\ud800\"", "\"\xff\"", "[\"\xc0\x80\"]"}) {
    EXPECT_TRUE(
        FailsWith(ParseJson(text, "request"), ErrorCode::kInvalidData, "[parse_json] request: "))
        << text;
  }
}

TEST(ParseJson, MessagesStayShort) {
  const auto result = ParseJson("[\"" + std::string(1 << 20, 'x') + "\xff\"]", "file");
  ASSERT_FALSE(result);
  EXPECT_LT(result.error().message.size(), 300u);
}

TEST(ParseJson, RefusesDuplicateKeys) {
  EXPECT_TRUE(FailsWith(ParseJson(R"({"k": 1, "k": 2})", "f"), ErrorCode::kInvalidData,
                        "expected unique keys, got 'k' twice"));
  EXPECT_TRUE(FailsWith(ParseJson(R"([{"x": {"k": 1, "\u006b": 2}}])", "f"),
                        ErrorCode::kInvalidData, "got 'k' twice"));
  EXPECT_TRUE(Succeeds(ParseJson(R"([{"k": 1}, {"k": 2, "x": {"k": 3}}])", "f")));
}

TEST(ParseJson, HoldsTheDepthLimit) {
  const JsonLimits limits = {.max_bytes = 1000, .max_depth = 5};
  EXPECT_TRUE(Succeeds(ParseJson(Nested(5, '[', ']'), "f", limits)));
  EXPECT_TRUE(FailsWith(ParseJson(Nested(6, '[', ']'), "f", limits), ErrorCode::kInvalidData,
                        "expected at most 5 levels"));
  EXPECT_TRUE(Succeeds(ParseJson(NestedObjects(5), "f", limits)));
  EXPECT_TRUE(FailsWith(ParseJson(NestedObjects(6), "f", limits), ErrorCode::kInvalidData,
                        "expected at most 5 levels"));
  EXPECT_TRUE(Succeeds(ParseJson("[[[]],[[[[]]]]]", "f", limits)));  // closed levels do not count
}

TEST(ParseJson, SurvivesAMillionLevels) {
  for (const std::string& text :
       {Nested(1'000'000, '[', ']'), std::string(1'000'000, '['), NestedObjects(1'000'000)}) {
    EXPECT_TRUE(FailsWith(ParseJson(text, "f"), ErrorCode::kInvalidData, "levels of nesting"));
  }
}

TEST(ParseJson, HoldsTheSizeLimit) {
  const JsonLimits limits = {.max_bytes = 4, .max_depth = 5};
  EXPECT_TRUE(Succeeds(ParseJson("1234", "f", limits)));
  EXPECT_TRUE(FailsWith(ParseJson("12345", "f", limits), ErrorCode::kInvalidData,
                        "expected at most 4 bytes, got 5"));
}

TEST(ReadJson, NamesTheFile) {
  const TempDir dir;
  WriteTextFile(dir / "good.json", "{\"a\": 1}");
  WriteTextFile(dir / "bad.json", "{\"a\": }");
  EXPECT_TRUE(ReadJson(dir / "good.json").value() == Json({{"a", 1}}));
  EXPECT_TRUE(FailsWith(ReadJson(dir / "bad.json"), ErrorCode::kInvalidData, "bad.json"));
  EXPECT_TRUE(FailsWith(ReadJson(dir / "absent.json"), ErrorCode::kNotFound, "absent.json"));
  EXPECT_TRUE(FailsWith(ReadJson(dir / "good.json", {.max_bytes = 3, .max_depth = 2}),
                        ErrorCode::kInvalidData, "expected at most 3 bytes"));
}

TEST(ReadJsonLines, SkipsBlankLinesAndNamesBadOnes) {
  const TempDir dir;
  const JsonLimits limits;
  WriteTextFile(dir / "good", "{\"a\":1}\r\n\n  \n[2]\n3");
  const auto lines = ReadJsonLines(dir / "good", limits);
  ASSERT_TRUE(Succeeds(lines));
  ASSERT_EQ(lines->size(), 3u);
  EXPECT_TRUE((*lines)[0] == Json({{"a", 1}}) && (*lines)[2] == Json(3));
  WriteTextFile(dir / "bad", "1\n\n{\n");
  EXPECT_TRUE(
      FailsWith(ReadJsonLines(dir / "bad", limits), ErrorCode::kInvalidData, "bad: line 3"));
}

const Json& Fields() {
  static const Json fields = Json::parse(R"({
    "yes": true, "int": -5, "big": 9223372036854775807, "too_big": 9223372036854775808,
    "huge": 1e300, "float": 2.5, "whole": 4096.0, "text": "t", "none": null, "list": [1]})");
  return fields;
}

TEST(GetField, ReadsEachType) {
  EXPECT_EQ(GetField<bool>(Fields(), "yes", "f").value(), true);
  EXPECT_EQ(GetField<int64_t>(Fields(), "int", "f").value(), -5);
  EXPECT_EQ(GetField<int64_t>(Fields(), "big", "f").value(), INT64_MAX);
  EXPECT_EQ(GetField<int64_t>(Fields(), "whole", "f").value(), 4096);
  EXPECT_EQ(GetField<double>(Fields(), "float", "f").value(), 2.5);
  EXPECT_EQ(GetField<double>(Fields(), "int", "f").value(), -5.0);
  EXPECT_EQ(GetField<std::string>(Fields(), "text", "f").value(), "t");
}

TEST(GetField, RefusesOtherTypes) {
  const auto code = ErrorCode::kInvalidData;
  for (const char* key : {"float", "too_big", "huge", "yes", "text", "list"}) {
    EXPECT_TRUE(FailsWith(GetField<int64_t>(Fields(), key, "config.json"), code, "64-bit integer"))
        << key;
    EXPECT_TRUE(FailsWith(GetFieldOr<int64_t>(Fields(), key, 1, "config.json"), code, key));
  }
  EXPECT_TRUE(FailsWith(GetField<bool>(Fields(), "int", "f"), code, "true or false, got -5"));
  EXPECT_TRUE(FailsWith(GetField<double>(Fields(), "text", "f"), code, "a number, got a string"));
  EXPECT_TRUE(FailsWith(GetField<double>(Fields(), "yes", "f"), code, "a number, got boolean"));
  EXPECT_TRUE(FailsWith(GetField<std::string>(Fields(), "list", "f"), code, "a string, got array"));
}

TEST(GetField, MissingAndNull) {
  for (const char* key : {"absent", "none"}) {
    EXPECT_TRUE(FailsWith(GetField<double>(Fields(), key, "config.json"), ErrorCode::kNotFound,
                          "[get_field] config.json: '" + std::string(key) + "'"));
    EXPECT_EQ(GetFieldOr<bool>(Fields(), key, true, "f").value(), true);
    EXPECT_EQ(GetFieldOr<int64_t>(Fields(), key, 3, "f").value(), 3);
    EXPECT_EQ(GetFieldOr<double>(Fields(), key, 0.5, "f").value(), 0.5);
    EXPECT_EQ(GetFieldOr<std::string>(Fields(), key, "d", "f").value(), "d");
  }
  EXPECT_EQ(GetFieldOr<int64_t>(Fields(), "int", 3, "f").value(), -5);
  EXPECT_TRUE(FailsWith(GetFieldOr<int64_t>(Json::array(), "a", 3, "f"), ErrorCode::kInvalidData,
                        "expected an object"));
}

}  // namespace
}  // namespace unswift
