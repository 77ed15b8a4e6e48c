// A BIO between libssl and spans.
//
// Memory BIOs (BIO_s_mem) would do, but they copy every octet once more, keep a buffer per
// connection, and swallow what belongs to the caller: here octets that libssl did not ask for stay
// unread, so the record layer that follows the handshake finds them where they were.
#include "tls/wire_bio.h"

#include <algorithm>
#include <cstring>

namespace postern::tls {
namespace {

WireWindow& WindowOf(BIO* bio) { return *static_cast<WireWindow*>(BIO_get_data(bio)); }

int Read(BIO* bio, char* data, size_t size, size_t* count) {
  BIO_clear_retry_flags(bio);
  WireWindow& window = WindowOf(bio);
  const Bytes rest = window.in.subspan(window.read);
  *count = std::min(size, rest.size());
  if (*count == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(data, rest.data(), *count);
  window.read += *count;
  return 1;
}

int Write(BIO* bio, const char* data, size_t size, size_t* count) {
  BIO_clear_retry_flags(bio);
  WireWindow& window = WindowOf(bio);
  *count = 0;
  if (window.slot.empty()) {
    if (window.out == nullptr) return 0;
    const Bytes octets = AsBytes({data, size});
    window.out->insert(window.out->end(), octets.begin(), octets.end());
  } else {
    // A slot too small is a failure for good: libssl then breaks the connection off.
    if (size > window.slot.size() - window.written) return 0;
    std::memcpy(window.slot.data() + window.written, data, size);
    window.written += size;
  }
  *count = size;
  return 1;
}

long Control(BIO*, int command, long, void*) {
  // Nothing is buffered here, so a flush is done at once; libssl asks for nothing else.
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* Method() {
  static const BioMethodPtr method = [] {
    BioMethodPtr made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern wire"));
    if (made == nullptr || BIO_meth_set_read_ex(made.get(), Read) != 1 ||
        BIO_meth_set_write_ex(made.get(), Write) != 1 ||
        BIO_meth_set_ctrl(made.get(), Control) != 1) {
      return BioMethodPtr();
    }
    return made;
  }();
  return method.get();
}

}  // namespace

BioPtr MakeWireBio(WireWindow& window) {
  const BIO_METHOD* method = Method();
  BioPtr bio(method == nullptr ? nullptr : BIO_new(method));
  if (bio != nullptr) {
    BIO_set_data(bio.get(), &window);
    BIO_set_init(bio.get(), 1);
  }
  return bio;
}

}  // namespace postern::tls
