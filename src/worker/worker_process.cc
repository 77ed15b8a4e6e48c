// The worker's loop: wait, take the time, run timers and completions, then the work that is done
// once per turn (revive starved receives, admit who waits, report released parts, flush the log).
#include "worker_process.h"

#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <new>

#include "postern/base/check.h"
#include "postern/base/limits.h"
#include "postern/base/log.h"
#include "postern/os/clock.h"

namespace postern::worker {
namespace {

constexpr uint16_t kRecordGroup = 0;
constexpr uint16_t kPlainGroup = 1;
// A worker whose master is gone gives its connections this long.
constexpr uint64_t kOrphanDrainMs = 30'000;
// Descriptor places that a table gets at least, so that a reload may raise limits.connections.
constexpr uint64_t kDirectFloor = 32'768;

// What closes, or connects anew, holds its places a moment longer: hence the margin.
size_t SessionPlaces(uint32_t table) {
  return (table - std::min(limits::kDirectMargin, table / 4)) / 2;
}

// What a worker may come to have of all connections: the kernel spreads clients evenly, but for
// chance.
uint32_t ShareOf(uint32_t all, uint32_t workers) {
  return workers == 1 ? all : all / workers + all / workers / 4 + 1;
}

// The table holds two places per connection and a margin, as far as RLIMIT_NOFILE allows.
uint32_t DirectDescriptors(const Start& start) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const uint64_t wanted = uint64_t{2} * ShareOf(start.max_connections, start.workers);
  const uint64_t table = std::max(wanted, kDirectFloor) + limits::kDirectMargin;
  return static_cast<uint32_t>(std::min<uint64_t>(table, limit.rlim_cur));
}

Result<SharedPages> MapPages(const std::vector<os::UniqueFd>& pages, uint32_t worker) {
  if (pages.size() != 5) return Fail("the master's start message lacks its shared pages");
  Result<os::Mapping> control = os::MapFd(pages[0].get(), os::MapMode::kReadOnly);
  if (!control) return std::unexpected(control.error());
  Result<os::Mapping> counters = os::MapFd(pages[1].get(), os::MapMode::kShared);
  if (!counters) return std::unexpected(counters.error());
  Result<shm::TicketKeys> keys = shm::TicketKeys::Map(pages[2].get());
  if (!keys) return std::unexpected(keys.error());
  Result<shm::AddressTable> addresses = shm::AddressTable::Map(pages[3].get(), worker);
  if (!addresses) return std::unexpected(addresses.error());
  Result<shm::SessionIdCache> session_ids = shm::SessionIdCache::Map(pages[4].get());
  if (!session_ids) return std::unexpected(session_ids.error());
  if (control->size() < sizeof(shm::ControlPage) ||
      counters->size() < sizeof(shm::WorkerCounters)) {
    return Fail("a shared page of the master's is too small");
  }
  return SharedPages{std::move(*control), std::move(*counters), std::move(*keys),
                     std::move(*addresses), std::move(*session_ids)};
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::Create(int channel, const Start& start,
                                                             std::vector<os::UniqueFd> fds) {
  Result<SharedPages> pages = MapPages(fds, start.id);
  if (!pages) return std::unexpected(pages.error());
  Result<std::unique_ptr<ring::Ring>> ring =
      ring::Ring::Create({.entries = limits::kRingEntries,
                          .completions = limits::kCompletionEntries,
                          .direct_descriptors = DirectDescriptors(start),
                          .restricted = start.sandbox != config::SandboxMode::kOff});
  if (!ring) return std::unexpected(ring.error());
  Result<std::unique_ptr<ring::BufferPool>> record_pool = ring::BufferPool::Create(
      (*ring)->native(),
      {.group = kRecordGroup, .count = start.buffers, .offset = 0, .length = limits::kFullRecord});
  if (!record_pool) return std::unexpected(record_pool.error());
  Result<std::unique_ptr<ring::BufferPool>> plain_pool =
      ring::BufferPool::Create((*ring)->native(), {.group = kPlainGroup,
                                                   .count = start.buffers,
                                                   .offset = limits::kSlotHeadroom,
                                                   .length = limits::kMaxPlaintext});
  if (!plain_pool) return std::unexpected(plain_pool.error());
  return std::unique_ptr<WorkerProcess>(new WorkerProcess(channel, start, std::move(*pages),
                                                          std::move(*ring), std::move(*record_pool),
                                                          std::move(*plain_pool)));
}

WorkerProcess::WorkerProcess(int channel, const Start& start, SharedPages pages,
                             std::unique_ptr<ring::Ring> ring,
                             std::unique_ptr<ring::BufferPool> record_pool,
                             std::unique_ptr<ring::BufferPool> plain_pool)
    : channel_(channel),
      start_(start),
      places_(SessionPlaces(DirectDescriptors(start))),
      now_ms_(os::MonotonicMs()),
      pages_(std::move(pages)),
      counters_(*reinterpret_cast<shm::WorkerCounters*>(pages_.counters.mutable_bytes().data())),
      ring_(std::move(ring)),
      record_pool_(std::move(record_pool)),
      plain_pool_(std::move(plain_pool)),
      timers_(now_ms_),
      log_(*ring_, timers_, counters_, now_ms_),
      client_io_{*ring_, *record_pool_, starved_of_record_, true},
      plain_client_io_{*ring_, *plain_pool_, starved_of_plain_, true},
      backend_io_{*ring_, *plain_pool_, starved_of_plain_, false},
      tls_backend_io_{*ring_, *record_pool_, starved_of_record_, false},
      keywords_({.backends = backend_io_,
                 .tls_backends = tls_backend_io_,
                 .timers = timers_,
                 .picker = picker_,
                 .now_ms = now_ms_,
                 .scratch = scratch_}),
      admission_(pages_.addresses, counters_, timers_, now_ms_),
      session_io_{.clients = client_io_,
                  .plain_clients = plain_client_io_,
                  .backends = backend_io_,
                  .tls_backends = tls_backend_io_,
                  .timers = timers_,
                  .picker = picker_,
                  .counters = counters_,
                  .table = sessions_,
                  .now_ms = now_ms_,
                  .scratch = scratch_,
                  .keywords = &keywords_,
                  .admission = &admission_},
      generations_(pages_.ticket_keys, pages_.session_ids, start.empty_root),
      acceptors_(*ring_, timers_, counters_, now_ms_,
                 {.before = [this] { SwitchIfTold(); },
                  .admit = [this](Acceptors::Connection c) { Admit(std::move(c)); }}),
      memory_return_(timers_, now_ms_),
      partings_(timers_, now_ms_),
      channel_poll_(this, ring::Calls<&WorkerProcess::OnChannel>),
      drain_timer_(this, [](void* self) { static_cast<WorkerProcess*>(self)->OnDrainTimeout(); }),
      memory_(os::MemoryWatch::Open()),
      memory_timer_(this, [](void*) {}),
      room_timer_(this, [](void*) {}) {}

WorkerProcess::~WorkerProcess() = default;

const shm::ControlPage& WorkerProcess::control_page() const {
  return *reinterpret_cast<const shm::ControlPage*>(pages_.control.bytes().data());
}

void WorkerProcess::SetLog(Message message) {
  Logging& logging = GlobalLogging();
  logging.least = message.log.least;
  logging.format = message.log.format;
  logging.sink = &log_;
  if (!message.fds.empty()) log_.SetDestination(std::move(message.fds[0]), message.log.syslog);
}

bool WorkerProcess::Run() {
  ring_->PollMultishot(channel_poll_, channel_, POLLIN);
  ReadChannel();
  while (!quit_ && !Drained()) {
    ring_->Wait(timers_.NextDelay(now_ms_));
    now_ms_ = os::MonotonicMs();
    timers_.Advance(now_ms_);
    ring_->Dispatch();
    starved_of_record_.Revive(*record_pool_);
    starved_of_plain_.Revive(*plain_pool_);
    counters_.buffers_starved.Set(record_pool_->exhausted() + plain_pool_->exhausted());
    AdmitWaiting();
    acceptors_.Collect();
    memory_return_.Observe(counters_.handshaking.Get());
    SendReleased();
    FlushTelling();
    log_.Flush();
  }
  if (!quit_) Settle();
  log_.FlushNow();
  GlobalLogging().sink = nullptr;
  return !quit_;
}

// After an orderly drain nothing is left in flight, so that everything can be destroyed as usual
// (and the leak checkers can see it).
void WorkerProcess::Settle() {
  acceptors_.Collect();
  ring_->Cancel(channel_poll_);
  log_.Stop();
  while (channel_poll_.in_flight() || log_.writing()) {
    ring_->Wait(std::nullopt);
    ring_->Dispatch();
  }
}

// --- Orders from the master ---

void WorkerProcess::OnChannel(ring::Completion completion) {
  if (completion.result == -ECANCELED) return;  // by us: the end, or the master is gone
  if (completion.result < 0) {
    MasterGone();
    return;
  }
  ReadChannel();
  if (!completion.more() && !master_gone_) {
    ring_->PollMultishot(channel_poll_, channel_, POLLIN);
  }
}

void WorkerProcess::ReadChannel() {
  for (;;) {
    Message message;
    switch (Receive(channel_, message)) {
      case os::ChannelOutcome::kOk:
        Obey(std::move(message));
        break;
      case os::ChannelOutcome::kWouldBlock:
        return;
      case os::ChannelOutcome::kClosed:
        MasterGone();
        return;
    }
  }
}

void WorkerProcess::Obey(Message message) {
  switch (message.type) {
    case MessageType::kLog:
      SetLog(std::move(message));
      return;
    case MessageType::kParts:
      generations_.TakeParts(std::move(message));
      return;
    case MessageType::kSockets:
      generations_.TakeSockets(std::move(message));
      return;
    case MessageType::kPrepare:
      Prepare(message.number);
      return;
    case MessageType::kSwitch:
      SwitchIfTold();
      return;
    case MessageType::kAbort:
      generations_.Abort(message.number);
      return;
    case MessageType::kDrain:
      BeginDrain(message.number);
      return;
    case MessageType::kQuit:
      quit_ = true;
      return;
    case MessageType::kAsk:
      Tell(MessageType::kAnswer, message.number);
      return;
    case MessageType::kStart:
    case MessageType::kReady:
    case MessageType::kRefused:
    case MessageType::kSwitched:
    case MessageType::kReleased:
    case MessageType::kAnswer:
      // Not for us, or not now: the master has a bug.
      POSTERN_CHECK(false);
  }
}

void WorkerProcess::Prepare(uint64_t number) {
  const Status prepared = generations_.Prepare(number);
  if (prepared) {
    Tell(MessageType::kReady, number);
    return;
  }
  LogLine(LogLevel::kError, "generation refused")
      .Field("generation", number)
      .Field("reason", prepared.error().ToString());
  Tell(MessageType::kRefused, number, prepared.error().ToString());
}

void WorkerProcess::SwitchIfTold() {
  const uint64_t told = control_page().generation.load(std::memory_order_acquire);
  if (generations_.prepared() == 0 || generations_.prepared() != told) return;
  Generations::Prepared next = generations_.Commit();
  view_ = std::move(next.view);
  counters_.generation.Set(told);
  if (draining_) return;  // no new connections, so nothing to switch
  acceptors_.Switch(view_, std::move(next.sockets));
  keywords_.Serve(view_->settings, view_->client_contexts);
  Tell(MessageType::kSwitched, told);
}

void WorkerProcess::SendReleased() {
  for (const generation::PartId id : generations_.TakeReleased()) Tell(MessageType::kReleased, id);
}

void WorkerProcess::Tell(MessageType type, uint64_t number, std::string text) {
  Message message;
  message.type = type;
  message.number = number;
  message.text = std::move(text);
  telling_.push_back(std::move(message));
  FlushTelling();
}

void WorkerProcess::FlushTelling() {
  while (!telling_.empty() && !master_gone_) {
    switch (Send(channel_, telling_.front())) {
      case os::ChannelOutcome::kOk:
        telling_.pop_front();
        break;
      case os::ChannelOutcome::kWouldBlock:
        return;  // the next turn tries again; the master reads soon
      case os::ChannelOutcome::kClosed:
        MasterGone();
        return;
    }
  }
}

void WorkerProcess::MasterGone() {
  if (master_gone_) return;
  master_gone_ = true;
  ring_->Cancel(channel_poll_);
  if (draining_ && drain_timer_.armed()) return;
  LogLine(LogLevel::kWarning, "master is gone").Field("action", "draining");
  BeginDrain(kOrphanDrainMs);
}

// --- The end ---

void WorkerProcess::BeginDrain(uint64_t timeout_ms) {
  // Without limit: after an upgrade, when a successor accepts from the same queues, and has room.
  if (!draining_) acceptors_.Stop(timeout_ms == kNoDrainLimit);
  draining_ = true;
  keywords_.Stop();
  if (timeout_ms != kNoDrainLimit && !words_said_) {
    timers_.Arm(drain_timer_, now_ms_ + timeout_ms);
  }
}

void WorkerProcess::OnDrainTimeout() {
  if (words_said_) {
    quit_ = true;  // last words had their time too
    return;
  }
  words_said_ = true;
  waiting_.clear();
  sessions_.EndAll(mail::Occasion::kShutdown, session::How::kDrained);
  constexpr uint64_t kLastWordsMs = 4'000;
  timers_.Arm(drain_timer_, now_ms_ + kLastWordsMs);
}

bool WorkerProcess::Drained() const {
  return draining_ && sessions_.empty() && waiting_.empty() && acceptors_.empty() &&
         keywords_.idle();
}

}  // namespace postern::worker
