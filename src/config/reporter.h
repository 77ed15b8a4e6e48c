// Reporter collects what is wrong with one configuration file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postern/base/result.h"

namespace postern::config {

class Reporter {
 public:
  explicit Reporter(std::string file) : file_(std::move(file)) {}

  Where At(uint32_t line, uint32_t column) const { return {file_, line, column}; }
  const std::string& file() const { return file_; }

  void Fault(Where where, std::string what, std::string remedy);
  void Warn(Where where, std::string what, std::string remedy);
  // Missing is Fault for something that is not in the file. It is left out when part of the file
  // could not be read: it may have stood there.
  void Missing(Where where, std::string what, std::string remedy);
  // SetDamaged says that part of the file was skipped after a syntax error.
  void SetDamaged() { damaged_ = true; }

  bool failed() const { return !faults_.empty(); }
  // Both in the order of the file.
  std::vector<Error> TakeFaults();
  std::vector<Error> TakeWarnings();

 private:
  std::string file_;
  bool damaged_ = false;
  std::vector<Error> faults_;
  std::vector<Error> warnings_;
};

}  // namespace postern::config
