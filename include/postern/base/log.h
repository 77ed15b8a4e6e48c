// Structured log lines: one event, a level, and fields; written as logfmt or as JSON.
//
// A line is built in a LogLine and handed to the process's LogSink. The sink decides how it
// travels: the master writes at once, a worker queues for its ring. Values are escaped here, so
// that nothing a peer sent can forge a line or a field.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace postern {

enum class LogLevel : uint8_t { kDebug, kInfo, kNotice, kWarning, kError };
enum class LogFormat : uint8_t { kLogfmt, kJson };

std::string_view ToString(LogLevel level);

// LogSink takes finished lines (each ends in '\n'). `level` is given again for sinks that need it
// apart from the text (syslog's priority).
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Write(LogLevel level, std::string_view line) = 0;
};

// Logging is the process-wide set-up. Not thread safe: set it before threads start, and log from
// the main thread of the process only.
struct Logging {
  LogLevel least = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
  std::string process;      // "master", "worker/3", "cli": the field `process`
  LogSink* sink = nullptr;  // borrowed; nullptr writes to descriptor 2
};
Logging& GlobalLogging();

// LogLine collects one event and writes it when it goes out of scope:
//   LogLine(LogLevel::kWarning, "backend unreachable").Field("server", name);
// `event` is a fixed phrase of ours, in lower case, that an operator can search for.
class LogLine {
 public:
  LogLine(LogLevel level, std::string_view event);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  // Keys are [a-z0-9_]; an empty text value is left out.
  LogLine& Field(std::string_view key, std::string_view value) &;
  LogLine& Field(std::string_view key, int64_t value) &;
  LogLine& Field(std::string_view key, uint64_t value) &;
  LogLine& Field(std::string_view key, bool value) &;
  LogLine& Field(std::string_view key, const char* value) & {
    return Field(key, std::string_view(value));
  }
  LogLine& Field(std::string_view key, int value) & {
    return Field(key, static_cast<int64_t>(value));
  }
  LogLine& Field(std::string_view key, unsigned value) & {
    return Field(key, static_cast<uint64_t>(value));
  }
  // FieldMs writes milliseconds as seconds with three decimals ("1.250").
  LogLine& FieldMs(std::string_view key, uint64_t milliseconds) &;

  template <typename V>
  LogLine&& Field(std::string_view key, V&& value) && {
    static_cast<LogLine&>(*this).Field(key, std::forward<V>(value));
    return std::move(*this);
  }

 private:
  void Key(std::string_view key);
  void Raw(std::string_view key, std::string_view value);

  LogLevel level_;
  bool wanted_;
  std::string text_;
};

// AppendLogfmtValue appends `value`, quoted and escaped where it has to be; AppendJsonString
// appends it as a JSON string with its quotes. Octets that are not UTF-8 are written as \xNN
// (logfmt) or replaced by U+FFFD (JSON).
void AppendLogfmtValue(std::string& out, std::string_view value);
void AppendJsonString(std::string& out, std::string_view value);

}  // namespace postern
