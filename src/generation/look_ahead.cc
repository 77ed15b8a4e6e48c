// Threads take the next few pairs from a common counter. They work even when there is one pair:
// what the key arithmetic leaves in a thread's memory is wiped with its end, and so is never
// inherited by a worker that is forked later.
#include "generation/look_ahead.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "postern/pki/plain_pair.h"

namespace postern::generation {
namespace {

constexpr size_t kMaxThreads = 8;
constexpr size_t kPairsPerThread = 64;  // some milliseconds' work, far more than a thread costs
constexpr size_t kPairsAtOnce = 16;

size_t ThreadsFor(size_t pairs) {
  const size_t cpus = std::max(std::thread::hardware_concurrency(), 1U);
  return std::min({cpus, kMaxThreads, (pairs + kPairsPerThread - 1) / kPairsPerThread});
}

// Signals go to threads that wait for them, never to one of these.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

Looked Look(const CertificateFiles& files, const StoredCertificate* stored,
            pki::KnownCertificates& known) {
  Looked looked;
  if (stored != nullptr && stored->chain_path == files.files.chain && Unchanged(*stored)) {
    looked.unchanged = true;
  } else if (std::optional<pki::Pair> pair = pki::LoadPlainPair(files.files, known)) {
    looked.pair = std::make_unique<pki::Pair>(std::move(*pair));
  }
  return looked;
}

}  // namespace

bool Unchanged(const StoredCertificate& known) {
  const Result<pki::FileStamp> certificate = pki::StampOf(known.certificate_path);
  const Result<pki::FileStamp> key = pki::StampOf(known.key_path);
  if (!certificate || !key || !known.certificate_stamp.SameFile(*certificate) ||
      !known.key_stamp.SameFile(*key)) {
    return false;
  }
  if (known.chain_path.empty()) return true;
  const Result<pki::FileStamp> chain = pki::StampOf(known.chain_path);
  return chain && known.chain_stamp.SameFile(*chain);
}

std::vector<Looked> LookAhead(const std::vector<CertificateFiles>& files,
                              const std::vector<StoredPtr>& known) {
  std::vector<Looked> looked(files.size());
  std::atomic<size_t> next{0};
  std::atomic<bool> without_memory{false};
  const auto work = [&] {
    try {
      pki::KnownCertificates certificates;
      for (;;) {
        const size_t first = next.fetch_add(kPairsAtOnce);
        if (first >= files.size() || without_memory.load()) return;
        const size_t end = std::min(files.size(), first + kPairsAtOnce);
        for (size_t i = first; i < end; ++i) {
          looked[i] = Look(files[i], known[i].get(), certificates);
        }
      }
    } catch (const std::bad_alloc&) {
      without_memory.store(true);
    }
  };
  const BlockSignals blocked;
  std::vector<std::jthread> threads;  // joined when they go
  try {
    for (size_t i = 0; i < ThreadsFor(files.size()); ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // Those that there are do it all; without any, every pair goes the long way.
  }
  threads.clear();
  if (without_memory.load()) throw std::bad_alloc();  // to whoever asked for it all
  return looked;
}

}  // namespace postern::generation
