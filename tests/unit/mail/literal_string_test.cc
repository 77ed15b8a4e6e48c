#include "mail/literal_string.h"

#include <string>

#include "tests/unit/catch.h"

namespace postern::mail {
namespace {

using namespace std::string_literals;

}  // namespace

TEST_CASE("literal mark: what announces a literal") {
  struct Case {
    const char* line;
    uint32_t size;
    bool synchronising;
  };
  for (const Case& c :
       {Case{"a LOGIN {5}", 5, true}, Case{"a LOGIN {5+}", 5, false}, Case{"{0}", 0, true},
        Case{" \"user\" {12+}", 12, false}, Case{"~{7}", 7, true},
        Case{"\"a\\\"{1}\" {2}", 2, true}, Case{"{007+}", 7, false},
        Case{"{4294967295}", UINT32_MAX, true}, Case{"{4294967296}", UINT32_MAX, true},
        Case{"{99999999999999999999+}", UINT32_MAX, false}, Case{"{{3}", 3, true}}) {
    INFO(c.line);
    const auto mark = FindLiteralMark(c.line);
    REQUIRE(mark);
    CHECK(mark->size == c.size);
    CHECK(mark->synchronising == c.synchronising);
  }
}

TEST_CASE("literal mark: what does not") {
  for (const char* line :
       {"", "}", "{}", "{+}", "{-1}", "{ 5}", "{5 }", "{5} ", "{5", "5}", "{5++}", "{+5}", "{0x5}",
        "{5}x", "\"open {5}", "\"a\\\" {5+}", "{5\"}"}) {
    INFO(line);
    CHECK_FALSE(FindLiteralMark(line));
  }
}

TEST_CASE("strings: quoted and literal") {
  struct Case {
    std::string text;
    std::string value;
    std::string rest;
  };
  for (const Case& c :
       {Case{"\"\"", "", ""}, Case{"\"a b\" c", "a b", " c"}, Case{"\"a\\\"b\\\\\"", "a\"b\\", ""},
        Case{"\"\xC3\xBC\"", "\xC3\xBC", ""}, Case{"{3}\r\nabc", "abc", ""},
        Case{"{3+}\r\na\r\n x", "a\r\n", " x"}, Case{"{0}\r\n", "", ""},
        Case{"{1}\r\n\0)"s, "\0"s, ")"}, Case{"{5}\r\n{1}\r\n", "{1}\r\n", ""}}) {
    INFO(c.text);
    std::string_view text = c.text;
    const auto value = TakeString(text);
    REQUIRE(value);
    CHECK(*value == c.value);
    CHECK(text == c.rest);
  }
}

TEST_CASE("strings: what is none") {
  for (const char* wrong : {"", "a", "NIL", "\"", "\"a", "\"a\\", "\"a\\\"", "\"a\\b\"",
                            "\"a\r\nb\"", "\"a\nb\"", "{3}", "{3}\nabc", "{3}\r\nab", "{x}\r\nabc",
                            "{3} \r\nabc", "{1}{3}\r\nabc", " {3}\r\nabc", "{4294967296}\r\nabc"}) {
    INFO(wrong);
    std::string_view text = wrong;
    CHECK_FALSE(TakeString(text));
  }
}

}  // namespace postern::mail
