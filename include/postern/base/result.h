// Result<T>: the outcome of what the environment or the configuration can make fail.
// Our own bugs abort (base/check.h); what a peer did is an enum of the module concerned.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

// Where names a place in a configuration file. An empty file means: no such place is known.
// Lines and columns count from 1; 0 means unknown.
struct Where {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;

  // "file:line:column", shortened to what is known; empty without a file.
  std::string ToString() const;
};

// Error says what is wrong, where, and what the administrator can do about it.
struct Error {
  std::string what;    // one sentence without a full stop: "cannot open x: Permission denied"
  std::string remedy;  // what to do, as an instruction; may be empty
  Where where;

  // One line: "file:line:column: what; remedy".
  std::string ToString() const;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = std::expected<void, Error>;

// Fail makes the failure side of a Result.
inline std::unexpected<Error> Fail(std::string what, std::string remedy = {}, Where where = {}) {
  return std::unexpected(Error{std::move(what), std::move(remedy), std::move(where)});
}

// FailErrno is Fail with ": " and the system's words for `error_number` behind `what`.
std::unexpected<Error> FailErrno(std::string_view what, int error_number, std::string remedy = {});

// ErrnoText is the system's text for an errno value ("Permission denied").
std::string ErrnoText(int error_number);

}  // namespace postern
