// Log lines. logfmt is what people read and `grep`; JSON is what collectors eat. Both carry the
// same fields in the same order, time first, so that one description in docs/ serves both.
#include "postern/base/log.h"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <ctime>

namespace postern {
namespace {

// Length of the well-formed UTF-8 sequence at text[at], or 0 (RFC 3629 section 4).
size_t Utf8Length(std::string_view text, size_t at) {
  const auto octet = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned char low = 0x80, unsigned char high = 0xBF) {
    return i < text.size() && octet(i) >= low && octet(i) <= high;
  };
  const unsigned char lead = octet(at);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(at + 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;
    return follows(at + 1, low, high) && follows(at + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(at + 1, low, high) && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

bool NeedsQuotes(std::string_view value) {
  for (size_t i = 0; i < value.size(); ++i) {
    const auto c = static_cast<unsigned char>(value[i]);
    if (c <= 0x20 || c == 0x7F || c == '"' || c == '=' || c == '\\' || c >= 0x80) return true;
  }
  return value.empty();
}

// Time as RFC 3339 in UTC with milliseconds.
std::string TimeText() {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     now.tv_usec / 1000);
}

}  // namespace

std::string_view ToString(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kNotice:
      return "notice";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

Logging& GlobalLogging() {
  static Logging logging;
  return logging;
}

void AppendLogfmtValue(std::string& out, std::string_view value) {
  if (!NeedsQuotes(value)) {
    out += value;
    return;
  }
  out += '"';
  for (size_t i = 0; i < value.size();) {
    const auto c = static_cast<unsigned char>(value[i]);
    const size_t length = Utf8Length(value, i);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += value[i++];
    } else if (c == '\n') {
      out += "\\n";
      ++i;
    } else if (c == '\r') {
      out += "\\r";
      ++i;
    } else if (c == '\t') {
      out += "\\t";
      ++i;
    } else if (c < 0x20 || c == 0x7F || length == 0) {
      out += fmt::format("\\x{:02x}", c);
      ++i;
    } else {
      out += value.substr(i, length);
      i += length;
    }
  }
  out += '"';
}

void AppendJsonString(std::string& out, std::string_view value) {
  out += '"';
  for (size_t i = 0; i < value.size();) {
    const auto c = static_cast<unsigned char>(value[i]);
    const size_t length = Utf8Length(value, i);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += value[i++];
    } else if (c == '\n') {
      out += "\\n";
      ++i;
    } else if (c == '\r') {
      out += "\\r";
      ++i;
    } else if (c == '\t') {
      out += "\\t";
      ++i;
    } else if (c < 0x20 || c == 0x7F) {
      out += fmt::format("\\u{:04x}", c);
      ++i;
    } else if (length == 0) {
      out += "\xEF\xBF\xBD";
      ++i;
    } else {
      out += value.substr(i, length);
      i += length;
    }
  }
  out += '"';
}

LogLine::LogLine(LogLevel level, std::string_view event)
    : level_(level), wanted_(level >= GlobalLogging().least) {
  if (!wanted_) return;
  text_.reserve(256);
  if (GlobalLogging().format == LogFormat::kJson) text_ += '{';
  Raw("time", TimeText());
  Field("level", ToString(level));
  Field("process", GlobalLogging().process);
  Field("event", event);
}

LogLine::~LogLine() {
  if (!wanted_) return;
  if (GlobalLogging().format == LogFormat::kJson) text_ += '}';
  text_ += '\n';
  if (LogSink* sink = GlobalLogging().sink; sink != nullptr) {
    sink->Write(level_, text_);
  } else {
    [[maybe_unused]] const ssize_t written = ::write(2, text_.data(), text_.size());
  }
}

void LogLine::Key(std::string_view key) {
  const bool json = GlobalLogging().format == LogFormat::kJson;
  if (text_.size() > (json ? 1U : 0U)) text_ += json ? ',' : ' ';
  if (json) {
    text_ += '"';
    text_ += key;
    text_ += "\":";
  } else {
    text_ += key;
    text_ += '=';
  }
}

void LogLine::Raw(std::string_view key, std::string_view value) {
  Key(key);
  if (GlobalLogging().format == LogFormat::kJson) {
    AppendJsonString(text_, value);
  } else {
    text_ += value;
  }
}

LogLine& LogLine::Field(std::string_view key, std::string_view value) & {
  if (!wanted_ || value.empty()) return *this;
  Key(key);
  if (GlobalLogging().format == LogFormat::kJson) {
    AppendJsonString(text_, value);
  } else {
    AppendLogfmtValue(text_, value);
  }
  return *this;
}

LogLine& LogLine::Field(std::string_view key, int64_t value) & {
  if (!wanted_) return *this;
  Key(key);
  text_ += fmt::to_string(value);
  return *this;
}

LogLine& LogLine::Field(std::string_view key, uint64_t value) & {
  if (!wanted_) return *this;
  Key(key);
  text_ += fmt::to_string(value);
  return *this;
}

LogLine& LogLine::Field(std::string_view key, bool value) & {
  if (!wanted_) return *this;
  Key(key);
  text_ += value ? "true" : "false";
  return *this;
}

LogLine& LogLine::FieldMs(std::string_view key, uint64_t milliseconds) & {
  if (!wanted_) return *this;
  Key(key);
  text_ += fmt::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
  return *this;
}

}  // namespace postern
