// Three things have to be known of a text that the parser cannot tell. First, whether it is nested
// so deeply that the parser's tree would overflow the stack when it is destroyed: toml++ bounds
// lists in lists, but not the parts of a dotted key (each is a table within a table). Second,
// whether a character beyond ASCII stands outside of texts: for some of them toml++ 3.3 runs into
// undefined behaviour (is_non_ascii_horizontal_whitespace, found by fuzzing), and typographic
// quotes from a web page deserve better words than the parser has. Third, after a syntax error,
// which lines stand on their own, so that the rest of the file can still be checked.
//
// The scan knows texts, comments, brackets and dots, nothing else. On a correct file it agrees with
// the parser; behind the first error the parser is not run on the same text any more.
#include "scan.h"

namespace postern::config {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Scanned Run() {
    BeginLine();
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark
    while (at_ < text_.size()) Step();
    EndLine();
    return std::move(scanned_);
  }

 private:
  void BeginLine() {
    scanned_.lines.push_back({.begin = at_, .open = brackets_ > 0 || multi_line_});
    dots_ = 0;
  }
  void EndLine() {
    ScannedLine& line = scanned_.lines.back();
    line.size = at_ - line.begin;
  }
  void Newline() {
    EndLine();
    ++at_;
    BeginLine();
  }

  bool Follows(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void Step() {
    const char c = text_[at_];
    switch (c) {
      case '\n':
        Newline();
        return;
      case '#':
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        return;
      case '"':
      case '\'':
        SkipText(c);
        return;
      case '[':
      case '{':
        Deeper(++brackets_);
        dots_ = 0;
        break;
      case ']':
      case '}':
        if (brackets_ > 0) --brackets_;
        dots_ = 0;
        break;
      case '=':
      case ',':
        dots_ = 0;
        break;
      case '.':
        Deeper(++dots_);
        break;
      default:
        if (IsBeyondAscii(c)) Stray();
        break;
    }
    ++at_;
  }

  static bool IsBeyondAscii(char c) { return static_cast<unsigned char>(c) >= 0x80; }
  static bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

  void Stray() {
    if (scanned_.stray.line != 0) return;
    size_t size = 1;
    while (size < 4 && at_ + size < text_.size() && IsContinuation(text_[at_ + size])) ++size;
    uint32_t column = 1;
    for (size_t i = scanned_.lines.back().begin; i < at_; ++i) column += !IsContinuation(text_[i]);
    scanned_.stray = {static_cast<uint32_t>(scanned_.lines.size()), column,
                      text_.substr(at_, size)};
  }

  // Skips a text from its opening to behind its closing quotes. A text on one line ends with the
  // line, whatever became of its quote.
  void SkipText(char quote) {
    const std::string_view triple = quote == '"' ? R"(""")" : "'''";
    multi_line_ = Follows(triple);
    at_ += multi_line_ ? 3 : 1;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        if (!multi_line_) return;
        Newline();
      } else if (c == '\\' && quote == '"' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') {
        at_ += 2;
      } else if (multi_line_ && Follows(triple)) {
        at_ += 3;
        // Up to two quotes may stand right before the closing three (TOML 1.0, "String").
        for (int extra = 0; extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra) ++at_;
        multi_line_ = false;
        return;
      } else {
        ++at_;
        if (!multi_line_ && c == quote) return;
      }
    }
    multi_line_ = false;
  }

  void Deeper(uint32_t depth) {
    if (depth > kMaxNesting && !scanned_.too_deep.has_value()) {
      scanned_.too_deep = static_cast<uint32_t>(scanned_.lines.size());
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  uint32_t brackets_ = 0;
  uint32_t dots_ = 0;
  bool multi_line_ = false;
  Scanned scanned_;
};

}  // namespace

Scanned Scan(std::string_view text) { return Scanner(text).Run(); }

}  // namespace postern::config
