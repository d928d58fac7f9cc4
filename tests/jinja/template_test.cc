// Errors, limits and time. What templates mean is in golden_test.cc.
#include "unswift/jinja/template.h"
#include "unswift/io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace unswift::jinja {
namespace {

using testing::HasSubstr;

/// The text, or "error: " and the message.
std::string Rendered(const std::string& source, const Limits& limits = {}, std::time_t now = 0) {
  const Result<Template> parsed = Template::Parse(source, "test", limits);
  if (!parsed) return "error: " + parsed.error().message;
  const Result<std::string> text = parsed->Render(OrderedJson::object(), now);
  return text ? *text : "error: " + text.error().message;
}

std::string Repeat(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

TEST(Template, ErrorsNameTheFileAndTheLine) {
  EXPECT_THAT(Rendered("a\n{% if x %}\n{{ 1 + }}"), HasSubstr("[parse_template] test: line 3: "));
  EXPECT_THAT(Rendered("a\n\n{{ none + 1 }}\n"), HasSubstr("[render_template] test: line 3: "));
  EXPECT_THAT(Rendered("{% macro m() %}\n{{ x.y }}{% endmacro %}\n{{ m() }}"),
              HasSubstr("line 2: 'x' is undefined"));
  EXPECT_THAT(Rendered("{% macro m() %}\n{% endmacro %}\n{{ m() + 1 }}"),
              HasSubstr("line 3: cannot add str and int"));
  EXPECT_THAT(Rendered("{{\n[1,\n2][5].x }}"), HasSubstr("line 3: "));
}

TEST(Template, ErrorsNameWhatIsKnown) {
  EXPECT_THAT(Rendered("{{ 1 | trimm }}"), HasSubstr("no filter 'trimm' (did you mean 'trim'?)"));
  EXPECT_THAT(Rendered("{{ 1 is strin }}"), HasSubstr("did you mean 'string'?"));
  EXPECT_THAT(Rendered("{% include 'x' %}"), HasSubstr("known: if, for, set, macro"));
}

TEST(Template, UnsupportedIsSaid) {
  for (const char* source :
       {"{% extends 'x' %}", "{{ '{:>3}'.format(1) }}", "{{ '%s' % 1 }}",
        "{% for x in [] recursive %}{% endfor %}", "{{ f(*x) }}", "{% call m() %}{% endcall %}",
        "{{ lipsum() }}", "{{ '\\N{DASH}' }}"}) {
    EXPECT_THAT(Rendered(source), HasSubstr("error: ")) << source;
  }
}

TEST(Template, SourceMustBeUtf8) {
  EXPECT_THAT(Rendered("a\xff"), HasSubstr("expected UTF-8"));
  Limits limits;
  limits.max_source_bytes = 10;
  EXPECT_EQ(Rendered("0123456789", limits), "0123456789");
  EXPECT_THAT(Rendered("01234567890", limits), HasSubstr("expected at most 10 bytes, got 11"));
}

TEST(Template, VariablesMustBeAnObject) {
  const Result<Template> parsed = Template::Parse("x", "test");
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->Render(OrderedJson::array()));
}

TEST(Template, StrftimeTellsTheGivenTime) {
  setenv("TZ", "UTC", 1);
  tzset();
  EXPECT_EQ(Rendered("{{ strftime_now('%d %b %Y') }}", {}, 86400), "02 Jan 1970");
  EXPECT_EQ(Rendered("{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A') }}", {}, 1'732'270'000),
            "2024-11-22 10:06:40 327 Friday");
  EXPECT_THAT(Rendered("{{ strftime_now(1) }}"), HasSubstr("expected a format"));
}

// What grows without bound must end in an error, and soon.
TEST(TemplateLimits, HostileTemplatesEnd) {
  const std::string loop = "{% for i in range(100000) %}";
  const std::string nested = loop + loop + "x{% endfor %}{% endfor %}";
  const std::string cases[] = {
      nested,
      "{% set ns = namespace(s='xxxxxxxx') %}" + loop + "{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s='x') %}" + loop + "{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = [ns.s, ns.s] %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}"
      "{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(60) %}"
      "{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
      "{% set ns = namespace(s=[1]) %}" + loop + "{% set ns.s = [ns.s.count] %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% set ns = namespace() %}{% set ns.f = ns %}" + loop + "{{ 'x' * 10000 }}{% endfor %}",
      "{{ 'x' * 9223372036854775807 }}",
      "{{ [0] * 9223372036854775807 }}",
      "{{ 'x' * 100000 | replace('x', 'y' * 100000) }}",
      "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
      "{{ ('x' * 100000).replace('', 'y' * 100000) }}",
      "{{ (' ' * 1000000) | join('x' * 100000) }}",
      "{{ [1] | tojson(indent=9999999) }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ -9223372036854775807 - 2 }}",
      "{{ 3 ** 99999999999 }}",
      "{{ 99999999999999999999 }}",
      "{{ (-9223372036854775807 - 1) // -1 }}",
      "{{ (-9223372036854775807 - 1) | abs }}",
      "{{ " + Repeat("(", 5000) + "1" + Repeat(")", 5000) + " }}",
      "{{ " + Repeat("[", 5000) + Repeat("]", 5000) + " }}",
      "{{ " + Repeat("{1:", 5000) + "1" + Repeat("}", 5000) + " }}",
      "{{ " + Repeat("not ", 5000) + "1 }}",
      "{{ " + Repeat("-", 5000) + "1 }}",
      "{{ 1" + Repeat(" + 1", 5000) + " }}",
      "{{ 1" + Repeat(" | abs", 5000) + " }}",
      "{{ x" + Repeat(".x", 5000) + " }}",
      "{{ 1" + Repeat(" if 1 else 1", 5000) + " }}",
      Repeat("{% if 1 %}", 5000) + Repeat("{% endif %}", 5000),
      Repeat("{% for x in [1] %}", 5000) + Repeat("{% endfor %}", 5000),
      "{% for " + Repeat("(", 5000) + "x" + Repeat(")", 5000) + " in [] %}{% endfor %}",
  };
  for (const std::string& source : cases) {
    EXPECT_THAT(Rendered(source).substr(0, 200), HasSubstr("error: ")) << source.substr(0, 100);
  }
}

TEST(TemplateLimits, HugeNumbersAreHandled) {
  EXPECT_EQ(Rendered("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  EXPECT_EQ(Rendered("{{ [1, 2, 3][::9223372036854775807] }}"), "[1]");
  EXPECT_EQ(Rendered("{{ [1, 2, 3][::-9223372036854775807] }}"), "[3]");
  EXPECT_EQ(Rendered("{{ [1, 2][9223372036854775807] is defined }}"), "False");
  EXPECT_EQ(Rendered("{{ 1e300 * 1e300 }}"), "inf");
  EXPECT_EQ(Rendered("{{ 1e300 | int }}"), "0") << "no integer of 64 bits";
}

TEST(TemplateLimits, LimitsAreThoseGiven) {
  Limits limits;
  limits.max_steps = 100;
  EXPECT_EQ(Rendered("{% for i in range(10) %}{{ i }}{% endfor %}", limits), "0123456789");
  EXPECT_THAT(Rendered("{% for i in range(100) %}{{ i }}{% endfor %}", limits),
              HasSubstr("expected at most 100 steps"));
  limits = {};
  limits.max_bytes = 4096;
  EXPECT_EQ(Rendered("{{ 'x' * 100 }}", limits).size(), 100u);
  EXPECT_THAT(Rendered("{{ 'x' * 5000 }}", limits), HasSubstr("expected at most 4096 bytes"));
}

TEST(Template, AMacroCarriedOutOfItsLoopIsRefused) {
  EXPECT_THAT(Rendered("{% set ns = namespace() %}{% for i in [1] %}{% macro m() %}{{ i }}"
                       "{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m() }}"),
              HasSubstr("outside of its loop"));
}

}  // namespace
}  // namespace unswift::jinja
