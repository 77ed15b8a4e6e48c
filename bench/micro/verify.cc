#include "verify.h"

namespace postern::bench {
namespace {

bool anything_wrong = false;

}  // namespace

void Wrong(benchmark::State& state, const char* what) {
  anything_wrong = true;
  state.SkipWithError(what);
}

bool AnythingWrong() { return anything_wrong; }

void PerCore(benchmark::State& state, int64_t each) {
  state.SetItemsProcessed(state.iterations() * each);
}

}  // namespace postern::bench
