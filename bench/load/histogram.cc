// Places grow with the value, as in HDR histograms: each power of two is cut into kParts, and what
// is below 2 * kParts is exact. Keeping every value would cost 8 octets per handshake, and memory
// traffic that the server under test would feel.
#include "bench/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace postern::bench {
namespace {

constexpr unsigned kPartBits = 5;
constexpr uint64_t kParts = uint64_t{1} << kPartBits;

}  // namespace

size_t Histogram::PlaceOf(uint64_t microseconds) {
  if (microseconds < 2 * kParts) return microseconds;
  const unsigned shift = static_cast<unsigned>(std::bit_width(microseconds)) - kPartBits - 1;
  return shift * kParts + (microseconds >> shift);
}

uint64_t Histogram::UpperEnd(size_t place) {
  if (place < 2 * kParts) return place;
  const uint64_t shift = place / kParts - 1;
  const uint64_t part = place - shift * kParts;
  return ((part + 1) << shift) - 1;
}

void Histogram::Add(uint64_t microseconds) {
  AddPlace(microseconds, 1);
  SetEnds(std::min(min_, microseconds), std::max(max_, microseconds));
}

void Histogram::AddPlace(uint64_t upper, uint64_t count) {
  const size_t place = PlaceOf(upper);
  if (place >= counts_.size()) counts_.resize(place + 1);
  counts_[place] += count;
  total_ += count;
}

void Histogram::SetEnds(uint64_t least, uint64_t greatest) {
  min_ = least;
  max_ = greatest;
}

void Histogram::Merge(const Histogram& other) {
  if (other.total_ == 0) return;
  counts_.resize(std::max(counts_.size(), other.counts_.size()));
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
  SetEnds(std::min(min_, other.min_), std::max(max_, other.max_));
}

uint64_t Histogram::Percentile(double part) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(part * static_cast<double>(total_)));
  uint64_t seen = 0;
  for (size_t place = 0; place < counts_.size(); ++place) {
    seen += counts_[place];
    if (seen > 0 && seen >= wanted) return std::clamp(UpperEnd(place), min(), max_);
  }
  return max_;
}

std::vector<std::pair<uint64_t, uint64_t>> Histogram::Places() const {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (size_t place = 0; place < counts_.size(); ++place) {
    if (counts_[place] != 0) places.emplace_back(UpperEnd(place), counts_[place]);
  }
  return places;
}

}  // namespace postern::bench
