// RepeatedCommand: a shell command that is run again and again beside the load, one at a time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace postern::bench {

class RepeatedCommand {
 public:
  // Run every `every_us` microseconds, the first at once; when one takes longer, the next follows
  // its end. One that takes longer than `limit_us` is killed and has failed. An empty command is
  // never run.
  RepeatedCommand(std::string command, uint64_t every_us, uint64_t limit_us)
      : command_(std::move(command)), every_us_(every_us), limit_us_(limit_us) {}
  ~RepeatedCommand() { Kill(); }
  RepeatedCommand(const RepeatedCommand&) = delete;
  RepeatedCommand& operator=(const RepeatedCommand&) = delete;

  // Turn starts it when it is due (and `start`), and notes when it has ended.
  void Turn(uint64_t now_us, bool start);
  bool running() const { return pid_ > 0 && !killed_; }
  // Kill ends it, with all that it has started, and does not wait for that.
  void Kill();
  uint64_t succeeded() const { return succeeded_; }
  // Takes what the last run that failed ended with ("exit status 1"); empty: none has since.
  std::string TakeFailure();

 private:
  void Start();
  void NoteEnd(int status);

  std::string command_;
  uint64_t every_us_;
  uint64_t limit_us_;
  uint64_t due_us_ = 0;
  uint64_t started_us_ = 0;
  uint64_t succeeded_ = 0;
  pid_t pid_ = -1;
  bool killed_ = false;
  std::string failure_;
};

}  // namespace postern::bench
