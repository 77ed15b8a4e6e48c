// The fake worker is a hidden test case of this very program, since os::SpawnSelf starts that.
#include "tests/unit/master/fake_workers.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <vector>

#include "postern/os/process.h"
#include "postern/worker/protocol.h"
#include "tests/unit/catch.h"

namespace postern::master {
namespace {

constexpr const char* kVariable = "POSTERN_TEST_WORKER";

class FakeWorker {
 public:
  explicit FakeWorker(const std::string& behaviour) {
    std::istringstream words(behaviour);
    words >> word_ >> number_;
  }

  [[noreturn]] void Run() {
    for (;;) {
      worker::Message message;
      switch (worker::Receive(worker::kChannelFd, message)) {
        case os::ChannelOutcome::kOk:
          Obey(message);
          break;
        case os::ChannelOutcome::kWouldBlock: {
          pollfd wait{worker::kChannelFd, POLLIN, 0};
          ::poll(&wait, 1, -1);
          break;
        }
        case os::ChannelOutcome::kClosed:
          ::_exit(0);
      }
    }
  }

 private:
  bool Told(const std::string& word, uint64_t number) const {
    return word == word_ && number == number_;
  }

  static void Say(worker::MessageType type, uint64_t number, const std::string& text = {}) {
    worker::Message message;
    message.type = type;
    message.number = number;
    message.text = text;
    worker::Send(worker::kChannelFd, message);
  }

  void Prepare(uint64_t number) {
    if (Told("die", number)) ::_exit(7);
    if (Told("deaf", number)) return;
    if (Told("refuse", number)) {
      Say(worker::MessageType::kRefused, number, "told to refuse");
    } else {
      Say(worker::MessageType::kReady, number);
    }
  }

  void Switch(uint64_t number) {
    if (Told("stuck", number)) return;
    Say(worker::MessageType::kSwitched, number);
    for (const uint64_t part : serving_) Say(worker::MessageType::kReleased, part);
    serving_.swap(preparing_);
    preparing_.clear();
  }

  void Obey(const worker::Message& message) {
    switch (message.type) {
      case worker::MessageType::kStart:
        if (word_ != "refuse-start") return;
        Say(worker::MessageType::kRefused, 0, "no ring to be had");
        ::_exit(1);
      case worker::MessageType::kParts:
        for (const worker::PartEntry& part : message.parts) preparing_.push_back(part.id);
        return;
      case worker::MessageType::kPrepare:
        return Prepare(message.number);
      case worker::MessageType::kSwitch:
        return Switch(message.number);
      case worker::MessageType::kAbort:
        preparing_.clear();
        return;
      case worker::MessageType::kDrain:
      case worker::MessageType::kQuit:
        if (word_ != "stubborn") ::_exit(0);
        return;
      case worker::MessageType::kAsk:
        if (word_ != "mute") Say(worker::MessageType::kAnswer, message.number);
        return;
      case worker::MessageType::kAnswer:
      case worker::MessageType::kLog:
      case worker::MessageType::kSockets:
      case worker::MessageType::kReady:
      case worker::MessageType::kRefused:
      case worker::MessageType::kSwitched:
      case worker::MessageType::kReleased:
        return;
    }
  }

  std::string word_;
  uint64_t number_ = 0;
  std::vector<uint64_t> preparing_;
  std::vector<uint64_t> serving_;
};

}  // namespace

TEST_CASE("fake worker", "[.fake-worker]") {
  const char* behaviour = ::getenv(kVariable);
  FakeWorker(behaviour == nullptr ? "" : behaviour).Run();
}

Result<pid_t> SpawnFake(const Behaviours& behaviours, uint32_t id, int channel) {
  const auto found = behaviours.find(id);
  const std::string behaviour = found == behaviours.end() ? std::string() : found->second;
  ::setenv(kVariable, behaviour.c_str(), 1);
  Result<pid_t> pid =
      os::SpawnSelf({"[.fake-worker]", "-o", "/dev/null"}, {{channel, worker::kChannelFd}});
  ::unsetenv(kVariable);
  return pid;
}

}  // namespace postern::master
