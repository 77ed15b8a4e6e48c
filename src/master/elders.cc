// A channel that is open is a process that lives: nobody else holds its other end.
#include "master/elders.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "postern/base/log.h"

namespace postern::master {

void Elders::Add(pid_t pid, HandoverChannel channel) {
  if (channel.open()) elders_.push_back({pid, std::move(channel), 0});
}

void Elders::SendAll(HandoverType type, uint64_t number) {
  for (Elder& elder : elders_) elder.channel.Send(type, number);
}

void Elders::PassOn(HandoverChannel& channel) const {
  for (const Elder& elder : elders_) {
    HandoverMessage message;
    message.type = HandoverType::kElder;
    message.number = static_cast<uint64_t>(elder.pid);
    channel.Send(message, {elder.channel.fd()});
  }
}

void Elders::KillAll() {
  for (const Elder& elder : elders_) ::kill(elder.pid, SIGKILL);
}

std::vector<Elders::View> Elders::List() const {
  std::vector<View> views;
  for (const Elder& elder : elders_) views.push_back({elder.pid, elder.connections});
  return views;
}

void Elders::AddPollFds(std::vector<pollfd>& fds) const {
  for (const Elder& elder : elders_) elder.channel.AddPollFd(fds);
}

bool Elders::Run() {
  bool reload = false;
  for (Elder& elder : elders_) {
    elder.channel.Flush();
    HandoverMessage message;
    while (elder.channel.Receive(message) == HandoverChannel::Outcome::kMessage) {
      if (message.type == HandoverType::kHolding) elder.connections = message.number;
      if (message.type == HandoverType::kReload) reload = true;
    }
  }
  std::erase_if(elders_, [](const Elder& elder) {
    if (elder.channel.open()) return false;
    LogLine(LogLevel::kInfo, "retired master ended").Field("pid", elder.pid);
    return true;
  });
  return reload;
}

}  // namespace postern::master
