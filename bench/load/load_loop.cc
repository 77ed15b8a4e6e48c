// One turn: begin what may begin, wait for the ring, run timers and completions. Everything lives
// in one thread; several processes and not threads, because the ring and libssl then share nothing.
#include "bench/load/load_loop.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "postern/base/limits.h"
#include "postern/os/clock.h"
#include "postern/os/process.h"
#include "postern/os/socket.h"

namespace postern::bench {
namespace {

constexpr uint32_t kPoolSlots = 512;
constexpr uint64_t kRestMs = 50;         // before a failed connection is tried again
constexpr uint64_t kLongestWaitMs = 50;  // so that orders are seen
constexpr uint64_t kWindDownMs = 2000;
// Connections from one source address, after which the next one is taken: the kernel has some
// 28,000 ports (net.ipv4.ip_local_port_range), which stay taken for a while after use.
constexpr uint64_t kPerSource = 20'000;
constexpr uint64_t kSources = 200;

bool IsLoopback(const os::SocketAddress& address) {
  return address.family() == AF_INET && address.IpString().starts_with("127.");
}

// Connections to one loopback address come from several, or the ports would not do.
Status BindSource(int fd, uint64_t number) {
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + static_cast<uint32_t>(number % kSources));
  const int on = 1;
  if (::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
      ::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
    return FailErrno("cannot bind to a source address", errno);
  }
  return {};
}

bool LivesLong(ModeKind mode) {
  return mode == ModeKind::kIdle || mode == ModeKind::kEcho || mode == ModeKind::kBulk;
}

}  // namespace

uint64_t NowUs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

LoadLoop::LoadLoop(const Part& part)
    : part_(part),
      timeout_ms_(static_cast<uint64_t>(part.options.timeout_s * 1000)),
      count_limit_(Share(part.options.count)),
      server_name_(part.options.sni),
      sessions_(4 * Share(part.options.connections) + 16),
      text_(limits::kMaxPlaintext),
      rate_(part.options.mode == ModeKind::kEcho
                ? 0
                : part.options.rate / static_cast<double>(part.options.processes)) {}

LoadLoop::~LoadLoop() = default;

uint64_t LoadLoop::Share(uint64_t total) const {
  const uint64_t processes = part_.options.processes;
  return total / processes + (part_.index < total % processes ? 1 : 0);
}

Result<std::unique_ptr<LoadLoop>> LoadLoop::Create(const Part& part) {
  std::unique_ptr<LoadLoop> loop(new LoadLoop(part));
  if (Status set = loop->SetUp(); !set) return std::unexpected(set.error());
  return loop;
}

Status LoadLoop::SetUp() {
  const auto wanted = static_cast<uint32_t>(Share(options().connections));
  const uint64_t descriptors = os::RaiseDescriptorLimit();
  const uint64_t places = 2 * uint64_t{wanted} + limits::kDirectMargin;
  if (wanted + limits::kDirectMargin > descriptors) {
    return Fail(
        fmt::format("{} connections in one process, and RLIMIT_NOFILE is {}", wanted, descriptors),
        fmt::format("use --processes {} or more, or raise the limit (ulimit -n)",
                    options().connections / (descriptors - limits::kDirectMargin) + 1));
  }
  if (options().tls != TlsChoice::kPlain) {
    Result<tls::SslCtxPtr> context =
        MakeClientContext(options(), options().resume ? &sessions_ : nullptr);
    if (!context) return std::unexpected(context.error());
    context_ = std::move(*context);
    if (server_name_.empty() && !os::SocketAddress::FromIp(options().host, 0)) {
      server_name_ = options().host;
    }
  }
  auto ring = ring::Ring::Create(
      {.direct_descriptors = static_cast<uint32_t>(std::min(places, descriptors))});
  if (!ring) return std::unexpected(ring.error());
  ring_ = std::move(*ring);
  auto pool = ring::BufferPool::Create(ring_->native(),
                                       {.count = kPoolSlots, .length = limits::kFullRecord});
  if (!pool) return std::unexpected(pool.error());
  pool_ = std::move(*pool);
  io_.reset(new relay::StreamIo{*ring_, *pool_, starved_, true});
  now_ms_ = os::MonotonicMs();
  timers_ = std::make_unique<ring::TimerWheel>(now_ms_);
  for (uint32_t i = 0; i < wanted; ++i) {
    connections_.push_back(std::make_unique<Connection>(*this, i));
  }
  for (uint32_t i = wanted; i > 0; --i) free_.push_back(i - 1);
  mode_ = MakeMode(*this, options());
  return {};
}

Result<os::UniqueFd> LoadLoop::MakeSocket() {
  Result<os::UniqueFd> socket = os::MakeStream(part_.target.family());
  const uint64_t source = connected_++ / std::max<uint64_t>(1, kPerSource / options().processes);
  if (socket && source > 0 && IsLoopback(part_.target)) {
    if (Status bound = BindSource(socket->get(), source); !bound) {
      return std::unexpected(bound.error());
    }
  }
  return socket;
}

// --- The run ---

template <typename Condition>
void LoadLoop::TurnUntil(Condition condition) {
  while (!condition() && !gave_up_) Turn();
}

Tally LoadLoop::Run() {
  Prepare();
  part_.cell.phase.store(Phase::kReady);
  if (!gave_up_ && AwaitGo()) {
    mode_->OnGo();
    Measure();
    mode_->OnTimeOver();
    TurnUntil([this] { return mode_->finished(); });
  }
  negotiated_.AddTo(tally_);
  Tally result = std::move(tally_);
  Wind();
  return result;
}

void LoadLoop::Prepare() {
  // Opening connections is what idle measures.
  const bool measured = options().mode == ModeKind::kIdle;
  if (measured) StartMeasuring();
  TurnUntil([this] { return mode_->prepared() || part_.control.stop.load(); });
  if (measured) StopMeasuring();
}

bool LoadLoop::AwaitGo() {
  // Others are still preparing; what is open meanwhile must be watched.
  TurnUntil([this] { return part_.control.go.load() || part_.control.stop.load(); });
  return !gave_up_;
}

void LoadLoop::Measure() {
  const auto stopped = [this] { return part_.control.stop.load(std::memory_order_relaxed); };
  const auto until = [](double seconds) { return NowUs() + static_cast<uint64_t>(seconds * 1e6); };
  if (options().mode == ModeKind::kIdle) {
    const uint64_t end_us = until(options().hold_s);
    TurnUntil([&] { return stopped() || NowUs() >= end_us; });
    return;
  }
  const uint64_t warm_us = until(options().warmup_s);
  TurnUntil([&] { return stopped() || NowUs() >= warm_us; });
  StartMeasuring();
  const uint64_t end_us = options().duration_s > 0 ? until(options().duration_s) : UINT64_MAX;
  TurnUntil([&] {
    return stopped() || NowUs() >= end_us || (count_limit_ != 0 && tally_.count >= count_limit_);
  });
  StopMeasuring();
}

void LoadLoop::StartMeasuring() {
  // Failures stay: what went wrong while warming up went wrong.
  Tally fresh;
  fresh.failures = std::move(tally_.failures);
  fresh.specific = std::move(tally_.specific);
  fresh.bytes_checked = tally_.bytes_checked;
  fresh.bytes_right = tally_.bytes_right;
  const double planned = options().duration_s > 0 ? options().duration_s : 50;
  fresh.interval_s = std::clamp(planned / 50, 0.1, 1.0);
  tally_ = std::move(fresh);
  if (!LivesLong(options().mode)) negotiated_.Clear();
  cpu_at_start_ = CpuSeconds();
  started_us_ = NowUs();
  counting_ = true;
}

void LoadLoop::StopMeasuring() {
  counting_ = false;
  tally_.seconds = static_cast<double>(NowUs() - started_us_) * 1e-6;
  tally_.cpu_seconds = CpuSeconds() - cpu_at_start_;
}

void LoadLoop::Wind() {
  starting_ = gave_up_ = false;
  mode_->OnEnd();
  for (const auto& connection : connections_) {
    if (connection->is_open()) {
      connection->Close();
    } else if (!connection->ending()) {
      connection->Drop();
    }
  }
  const uint64_t end_ms = now_ms_ + kWindDownMs;
  TurnUntil([&] { return active() == 0 || now_ms_ >= end_ms; });
}

// --- One turn ---

void LoadLoop::Turn() {
  StartMore();
  ring_->Wait(WaitMs());
  now_ms_ = os::MonotonicMs();
  timers_->Advance(now_ms_);
  ring_->Dispatch();
  starved_.Revive(*pool_);
  if (starting_) mode_->OnTurn(NowUs());
  // By index: closing one may close another.
  for (size_t i = 0; i < closed_.size(); ++i) closed_[i]->FinishClosing();
  closed_.clear();
  if (HopeLost()) gave_up_ = true;
  ShowProgress();
}

bool LoadLoop::RoomForMore() const {
  if (free_.empty() || !starting_) return false;
  const bool one_each = options().mode == ModeKind::kHandshake ||
                        options().mode == ModeKind::kMix || options().mode == ModeKind::kChurn;
  return !one_each || !counting_ || count_limit_ == 0 || tally_.count + active() < count_limit_;
}

void LoadLoop::StartMore() {
  while (!resting_.empty() && resting_.front().until_ms <= now_ms_) {
    free_.push_back(resting_.front().index);
    resting_.pop_front();
  }
  // The mode is asked last but one: taking from the rate is for good.
  while (RoomForMore() && mode_->WantsMore() && rate_.Take(NowUs())) {
    Connection& connection = *connections_[free_.back()];
    free_.pop_back();
    connection.Open();
  }
}

void LoadLoop::Released(Connection& connection, bool clean) {
  mode_->OnClosed(connection, clean);
  if (clean) {
    free_.push_back(connection.index());
  } else {
    resting_.push_back({now_ms_ + kRestMs, connection.index()});
  }
}

bool LoadLoop::HopeLost() const {
  return starting_ && opened_ == 0 && tally_.failed() >= std::max<size_t>(20, connections_.size());
}

uint64_t LoadLoop::WaitMs() {
  uint64_t wait = timers_->NextDelay(now_ms_).value_or(kLongestWaitMs);
  if (rate_.limited() && !free_.empty()) wait = std::min(wait, rate_.Delay(NowUs()) / 1000 + 1);
  if (!closed_.empty()) wait = 0;
  return std::min({wait, kLongestWaitMs, mode_->LongestWaitMs()});
}

void LoadLoop::ShowProgress() {
  ProcessCell& cell = part_.cell;
  cell.count.store(tally_.count, std::memory_order_relaxed);
  cell.open.store(active(), std::memory_order_relaxed);
  if (!tally_.failures.empty()) {
    cell.failures.store(tally_.failed(), std::memory_order_relaxed);
  }
}

void LoadLoop::Count(uint64_t units) {
  if (!counting_) return;
  tally_.count += units;
  const double at = static_cast<double>(NowUs() - started_us_) * 1e-6;
  const auto interval = static_cast<size_t>(at / tally_.interval_s);
  if (interval >= tally_.intervals.size()) tally_.intervals.resize(interval + 1);
  tally_.intervals[interval] += units;
}

}  // namespace postern::bench
