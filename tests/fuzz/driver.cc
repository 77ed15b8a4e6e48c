// The main of every fuzz target: replays a corpus, and searches for inputs that break the parser.
// libFuzzer would do both, but comes with clang only, and the clang of Debian 12 cannot compile
// std::expected. So this one works with g++ alone. Built with -fsanitize-coverage=trace-pc it keeps
// the inputs that reach new edges and mutates those further; without, it mutates the corpus
// blindly. The targets define LLVMFuzzerTestOneInput, so libFuzzer and AFL++ can take them as they
// are.
//
//   fuzz-NAME PATH...                       runs every file once
//   fuzz-NAME --seconds N [--seed N] [--keep DIRECTORY] PATH...   searches; new inputs go to
//   DIRECTORY
//
// An input that crashes is written to crash-NAME.bin in the working directory before it is tried.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

// Longer inputs find little that shorter ones do not, and cost more.
constexpr size_t kMaxInput = 64 * 1024;
constexpr size_t kEdges = 1 << 16;

// How often each edge (a pair of code addresses, hashed) was taken by the current input. Plain
// types: the callback that counts must not call anything, since all that it calls would call it.
uint8_t edges[kEdges];
uintptr_t previous_location = 0;
bool tracing = false;

struct Options {
  std::vector<std::filesystem::path> corpus;
  std::chrono::seconds duration{0};
  uint64_t seed = 1;
  std::filesystem::path keep;
};

Input ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return Input(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::filesystem::path> CorpusFiles(const Options& options) {
  std::vector<std::filesystem::path> files;
  for (const auto& path : options.corpus) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

// Execute runs the target on a copy of exactly the input's size, so that the address sanitizer sees
// a read of one octet beyond it.
void Execute(const Input& input) {
  const auto exact = std::make_unique<uint8_t[]>(input.size());
  std::ranges::copy(input, exact.get());
  previous_location = 0;
  tracing = true;
  LLVMFuzzerTestOneInput(exact.get(), input.size());
  tracing = false;
}

// Searcher keeps a population of inputs and mutates its members.
class Searcher {
 public:
  Searcher(const Options& options, std::string name)
      : options_(options), name_(std::move(name)), random_(options.seed) {
    crash_file_ = ::open(CrashName().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_TRUNC, 0644);
  }
  Searcher(const Searcher&) = delete;
  Searcher& operator=(const Searcher&) = delete;
  // Reached only when nothing crashed.
  ~Searcher() {
    ::close(crash_file_);
    std::filesystem::remove(CrashName());
  }

  void Add(Input input) {
    Execute(input);
    IsNew();
    population_.push_back(std::move(input));
  }

  void Search() {
    if (population_.empty()) population_.emplace_back();
    const auto end = std::chrono::steady_clock::now() + options_.duration;
    while (std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 64; ++i) Try(Mutate(population_[Below(population_.size())]));
    }
    std::printf(
        "%s: %zu inputs tried, %zu in the population, %zu edges\n", name_.c_str(), tried_,
        population_.size(),
        static_cast<size_t>(std::ranges::count_if(seen_, [](auto bits) { return bits != 0; })));
  }

 private:
  std::string CrashName() const { return "crash-" + name_ + ".bin"; }

  size_t Below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random_);
  }

  void Try(Input input) {
    // Written first: when the target aborts there is nobody left to write it.
    if (::ftruncate(crash_file_, 0) != 0 || ::pwrite(crash_file_, input.data(), input.size(), 0) !=
                                                static_cast<ssize_t>(input.size())) {
      std::perror("cannot write the input under test");
      std::exit(2);
    }
    Execute(input);
    ++tried_;
    if (!IsNew()) return;
    if (!options_.keep.empty()) Keep(input);
    population_.push_back(std::move(input));
  }

  // IsNew tells whether the last input took an edge never taken before, or took one in a new order
  // of magnitude, and forgets its counts.
  bool IsNew() {
    bool found = false;
    for (size_t word = 0; word < kEdges; word += sizeof(uint64_t)) {
      // Nearly all are zero, and this runs once per input.
      uint64_t counts = 0;
      std::memcpy(&counts, edges + word, sizeof counts);
      if (counts == 0) continue;
      for (size_t i = word; i < word + sizeof counts; ++i) {
        const auto magnitude = static_cast<uint8_t>(std::bit_floor(edges[i]));
        found = found || (seen_[i] & magnitude) != magnitude;
        seen_[i] = static_cast<uint8_t>(seen_[i] | magnitude);
      }
    }
    std::memset(edges, 0, sizeof edges);
    return found;
  }

  void Keep(const Input& input) {
    const size_t hash =
        std::hash<std::string_view>{}({reinterpret_cast<const char*>(input.data()), input.size()});
    std::ofstream(options_.keep / std::to_string(hash), std::ios::binary)
        .write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
  }

  Input Mutate(Input input) {
    const size_t steps = size_t{1} << Below(5);
    for (size_t i = 0; i < steps; ++i) MutateOnce(input);
    if (input.size() > kMaxInput) input.resize(kMaxInput);
    return input;
  }

  void MutateOnce(Input& input) {
    // Values at which lengths and counters break.
    static constexpr std::array<uint64_t, 10> kEdgeValues = {
        0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, ~uint64_t{0}};
    const size_t at = Below(input.size() + 1);
    const size_t rest = input.size() - at;
    const auto begin = input.begin() + static_cast<ptrdiff_t>(at);
    const size_t length = rest == 0 ? 0 : 1 + Below(std::min<size_t>(rest, 32));
    const auto end = begin + static_cast<ptrdiff_t>(length);
    switch (Below(7)) {
      case 0:
        if (rest > 0) *begin = static_cast<uint8_t>(*begin ^ (1U << Below(8)));
        break;
      case 1:
        if (rest > 0) *begin = static_cast<uint8_t>(Below(256));
        break;
      case 2:
        input.insert(begin, 1 + Below(8), static_cast<uint8_t>(Below(256)));
        break;
      case 3:
        input.erase(begin, end);
        break;
      case 4: {
        const Input piece(begin, end);
        const size_t to = Below(input.size() + 1);
        input.insert(input.begin() + static_cast<ptrdiff_t>(to), piece.begin(), piece.end());
        break;
      }
      case 5: {
        uint64_t value = kEdgeValues[Below(kEdgeValues.size())];
        if (Below(2) == 0) value = std::byteswap(value);
        if (rest > 0) std::memcpy(&*begin, &value, std::min(rest, size_t{1} << Below(4)));
        break;
      }
      case 6: {
        const Input& other = population_[Below(population_.size())];
        if (other.empty()) break;
        const size_t from = Below(other.size());
        const size_t count = 1 + Below(std::min<size_t>(other.size() - from, 64));
        input.insert(begin, other.begin() + static_cast<ptrdiff_t>(from),
                     other.begin() + static_cast<ptrdiff_t>(from + count));
        break;
      }
    }
  }

  const Options& options_;
  std::string name_;
  std::mt19937_64 random_;
  int crash_file_ = -1;
  std::vector<Input> population_;
  std::array<uint8_t, kEdges> seen_{};
  size_t tried_ = 0;
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--seconds" && has_value) {
      options.duration = std::chrono::seconds(std::strtoul(argv[++i], nullptr, 10));
    } else if (argument == "--seed" && has_value) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--keep" && has_value) {
      options.keep = argv[++i];
    } else {
      options.corpus.emplace_back(argument);
    }
  }
  return options;
}

}  // namespace

#if defined(__GNUC__) && !defined(__clang__)
#define NOT_TRACED __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined")))
#else
#define NOT_TRACED
#endif

// Called at every basic block of the code under test when that is built for it.
extern "C" NOT_TRACED void __sanitizer_cov_trace_pc();
extern "C" NOT_TRACED void __sanitizer_cov_trace_pc() {
  if (!tracing) return;
  const auto location = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  const uintptr_t mixed = (location >> 1U) ^ (location >> 17U);
  uint8_t& count = edges[(mixed ^ previous_location) % kEdges];
  if (count < 255) ++count;
  previous_location = mixed >> 1U;
}

int main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  const std::string name = std::filesystem::path(argv[0]).filename();
  const auto files = CorpusFiles(options);
  if (options.duration.count() == 0) {
    for (const auto& file : files) {
      std::printf("%s\n", file.c_str());
      std::fflush(stdout);  // The last line names the culprit when this one crashes.
      Execute(ReadFile(file));
    }
    std::printf("%s: %zu inputs replayed\n", name.c_str(), files.size());
    return files.empty() ? 1 : 0;
  }
  Searcher searcher(options, name);
  for (const auto& file : files) searcher.Add(ReadFile(file));
  searcher.Search();
  return 0;
}
