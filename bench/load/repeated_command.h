// RepeatedCommand: a shell command that is run again and again beside the load, one at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace postern::bench {

class RepeatedCommand {
 public:
  // Run every `every_us` microseconds, the first at once; when one takes longer, the next follows
  // its end. An empty command is never run.
  RepeatedCommand(std::string command, uint64_t every_us)
      : command_(std::move(command)), every_us_(every_us) {}
  ~RepeatedCommand();
  RepeatedCommand(const RepeatedCommand&) = delete;
  RepeatedCommand& operator=(const RepeatedCommand&) = delete;

  // Turn starts it when it is due (and `start`), and notes when it has ended.
  void Turn(uint64_t now_us, bool start);
  bool running() const { return pid_ > 0; }
  uint64_t succeeded() const { return succeeded_; }
  // Takes what the last run that failed ended with ("exit status 1"); empty: none has since.
  std::string TakeFailure();

 private:
  void Start();

  std::string command_;
  uint64_t every_us_;
  uint64_t due_us_ = 0;
  uint64_t succeeded_ = 0;
  pid_t pid_ = -1;
  std::string failure_;
};

}  // namespace postern::bench
