// Who holds a part is told by shared pointers: the last connection, handshake or listening socket
// that lets go of it unmaps it, and its id goes to the master, which wipes keys when the last
// worker has let go.
#include "generations.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace postern::worker {
namespace {

using generation::PartId;
using generation::PartKind;

// Tell wraps `object` so that dropping the last reference also notes `id` as released. The object
// goes first: when the note is read, the memory is unmapped.
template <typename T>
std::shared_ptr<T> Tell(std::shared_ptr<T> object, PartId id,
                        const std::shared_ptr<std::vector<PartId>>& released) {
  T* raw = object.get();
  return std::shared_ptr<T>(raw, [object = std::move(object), id, released](T*) mutable {
    object.reset();
    released->push_back(id);
  });
}

// The first server that only a path leads to; nullptr when there is none.
const generation::BackendSettings* BehindUnixSocket(const generation::Settings& settings) {
  for (const generation::BackendSettings& backend : settings.backends()) {
    for (const generation::ServerSettings& server : backend.servers) {
      for (const os::SocketAddress& address : server.addresses) {
        if (address.family() == AF_UNIX) return &backend;
      }
    }
  }
  return nullptr;
}

Status CheckReach(const generation::Settings& settings) {
  const generation::BackendSettings* backend = BehindUnixSocket(settings);
  if (backend == nullptr) return {};
  return Fail(fmt::format("[backends.{}] has a server behind a UNIX socket, which workers in an "
                          "empty root directory cannot reach; they have one because no server was "
                          "behind a UNIX socket at the start",
                          backend->name),
              "restart Postern");
}

}  // namespace

Generations::Incoming& Generations::IncomingFor(uint64_t number) {
  if (incoming_number_ != number) {
    incoming_ = Incoming{};
    incoming_number_ = number;
  }
  return incoming_;
}

void Generations::TakeParts(Message message) {
  Incoming& incoming = IncomingFor(message.number);
  for (size_t i = 0; i < message.parts.size() && i < message.fds.size(); ++i) {
    incoming.parts.push_back(message.parts[i]);
    incoming.fds.push_back(std::move(message.fds[i]));
  }
}

void Generations::TakeSockets(Message message) {
  Incoming& incoming = IncomingFor(message.number);
  for (size_t i = 0; i < message.sockets.size() && i < message.fds.size(); ++i) {
    incoming.sockets.push_back({message.sockets[i], std::move(message.fds[i])});
  }
}

Status Generations::Prepare(uint64_t number) {
  Incoming incoming = std::move(IncomingFor(number));
  incoming_ = Incoming{};
  incoming_number_ = 0;
  try {
    Result<Prepared> built = Build(incoming);
    if (!built) return std::unexpected(built.error());
    prepared_ = std::move(*built);
  } catch (const std::bad_alloc&) {
    return Fail("a worker has not enough memory for the new generation beside the one that serves",
                "give Postern more memory (its limits, its control group, the machine)");
  }
  prepared_number_ = number;
  return {};
}

void Generations::Abort(uint64_t number) {
  if (incoming_number_ == number) {
    incoming_ = Incoming{};
    incoming_number_ = 0;
  }
  if (prepared_number_ == number) {
    prepared_ = Prepared{};
    prepared_number_ = 0;
  }
}

Generations::Prepared Generations::Commit() {
  prepared_number_ = 0;
  return std::exchange(prepared_, Prepared{});
}

Result<generation::SettingsPtr> Generations::MapSettings(PartId id, int fd) {
  Result<generation::SettingsPtr> settings = generation::Settings::Map(fd);
  if (!settings) return settings;
  return Tell(std::move(*settings), id, released_);
}

Result<generation::SegmentPtr> Generations::MapSegment(const PartEntry& part, int fd) {
  if (generation::SegmentPtr known = segments_[part.id].lock()) return known;
  Result<generation::SegmentPtr> segment = generation::Segment::Map(part.id, part.kind, fd);
  if (!segment) return segment;
  generation::SegmentPtr telling = Tell(std::move(*segment), part.id, released_);
  segments_[part.id] = telling;
  return telling;
}

Result<generation::CertificateIndexPtr> Generations::MapIndex(
    PartId id, int fd, const std::map<PartId, generation::SegmentPtr>& segments) {
  if (generation::CertificateIndexPtr known = indexes_[id].lock()) return known;
  Result<generation::CertificateIndexPtr> index = generation::CertificateIndex::Map(fd, segments);
  if (!index) return index;
  generation::CertificateIndexPtr telling = Tell(std::move(*index), id, released_);
  indexes_[id] = telling;
  return telling;
}

Result<std::shared_ptr<tls::ServerContexts>> Generations::MakeContexts(
    PartId id, generation::CertificateIndexPtr index) {
  if (std::shared_ptr<tls::ServerContexts> known = contexts_[id].lock()) return known;
  // The newest that are alive; part ids grow.
  std::shared_ptr<tls::ServerContexts> before;
  for (const auto& [other, made] : contexts_) {
    if (std::shared_ptr<tls::ServerContexts> alive = made.lock()) before = std::move(alive);
  }
  Result<std::shared_ptr<tls::ServerContexts>> contexts =
      tls::ServerContexts::Create(std::move(index), ticket_keys_, before.get());
  if (contexts) contexts_[id] = *contexts;
  return contexts;
}

Result<Generations::Prepared> Generations::Build(Incoming& incoming) {
  std::map<PartId, generation::SegmentPtr> segments;
  generation::SettingsPtr settings;
  std::pair<PartId, int> index{0, -1};
  for (size_t i = 0; i < incoming.parts.size(); ++i) {
    const PartEntry& part = incoming.parts[i];
    const int fd = incoming.fds[i].get();
    switch (part.kind) {
      case PartKind::kSettings: {
        Result<generation::SettingsPtr> mapped = MapSettings(part.id, fd);
        if (!mapped) return std::unexpected(mapped.error());
        settings = std::move(*mapped);
        break;
      }
      case PartKind::kIndex:
        index = {part.id, fd};
        break;
      case PartKind::kCertificates:
      case PartKind::kKeys: {
        Result<generation::SegmentPtr> mapped = MapSegment(part, fd);
        if (!mapped) return std::unexpected(mapped.error());
        segments[part.id] = std::move(*mapped);
        break;
      }
    }
  }
  if (settings == nullptr || index.second < 0) {
    return Fail("the generation came without its settings or its name index");
  }
  if (empty_root_) {
    if (Status reached = CheckReach(*settings); !reached) return std::unexpected(reached.error());
  }
  Result<generation::CertificateIndexPtr> certificates =
      MapIndex(index.first, index.second, segments);
  if (!certificates) return std::unexpected(certificates.error());
  // Before the server's, which take the index.
  Result<std::shared_ptr<tls::ClientContexts>> client_contexts =
      tls::ClientContexts::Create(*settings, **certificates);
  if (!client_contexts) return std::unexpected(client_contexts.error());
  Result<std::shared_ptr<tls::ServerContexts>> contexts =
      MakeContexts(index.first, std::move(*certificates));
  if (!contexts) return std::unexpected(contexts.error());
  Result<std::vector<tls::PolicyContextPtr>> policies =
      tls::MakePolicyContexts(*settings, ticket_keys_, &session_ids_);
  if (!policies) return std::unexpected(policies.error());

  Prepared prepared;
  const size_t count = settings->sockets().size();
  std::vector<bool> there(count, false);
  for (const NumberedSocket& socket : incoming.sockets) {
    if (socket.number < count) there[socket.number] = true;
  }
  if (const auto gap = std::ranges::find(there, false); gap != there.end()) {
    return Fail(fmt::format("the generation came without its listening socket {}",
                            std::distance(there.begin(), gap)));
  }
  prepared.sockets = std::move(incoming.sockets);
  std::erase_if(prepared.sockets, [&](const NumberedSocket& s) { return s.number >= count; });
  prepared.view =
      std::make_shared<const View>(View{std::move(settings), std::move(*contexts),
                                        std::move(*policies), std::move(*client_contexts)});
  return prepared;
}

std::vector<PartId> Generations::TakeReleased() {
  std::vector<PartId> released;
  released.swap(*released_);
  for (const PartId id : released) {
    segments_.erase(id);
    contexts_.erase(id);
    indexes_.erase(id);
  }
  return released;
}

}  // namespace postern::worker
