// Generations: the parts of generations that this worker holds: received, prepared, switched to,
// released.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/base/result.h"
#include "postern/generation/certificate_index.h"
#include "postern/generation/part.h"
#include "postern/generation/settings.h"
#include "postern/os/unique_fd.h"
#include "postern/shm/session_id_cache.h"
#include "postern/shm/ticket_keys.h"
#include "postern/tls/client_contexts.h"
#include "postern/tls/policy.h"
#include "postern/tls/server_contexts.h"
#include "postern/worker/protocol.h"

namespace postern::worker {

// View is a generation as a worker uses it. Listening sockets hold it for the connections to come;
// a connection takes the settings for its life and the contexts for its handshake.
struct View {
  generation::SettingsPtr settings;
  std::shared_ptr<tls::ServerContexts> contexts;
  std::vector<tls::PolicyContextPtr> policies;  // by listener
  // For TLS with servers; needed until the last such handshake of a connection is over.
  std::shared_ptr<tls::ClientContexts> client_contexts;
};
using ViewPtr = std::shared_ptr<const View>;

// A listening socket and its number in the settings. Several may have one number: a worker takes
// over the sockets of workers that an upgrade has done away with.
struct NumberedSocket {
  uint32_t number = 0;
  os::UniqueFd fd;
};

class Generations {
 public:
  // With `empty_root` a generation with a server behind a UNIX socket is refused: its path would
  // lead nowhere. The others outlive this object and what it hands out.
  Generations(const shm::TicketKeys& ticket_keys, shm::SessionIdCache& session_ids, bool empty_root)
      : ticket_keys_(ticket_keys), session_ids_(session_ids), empty_root_(empty_root) {}

  // Parts and sockets of a generation arrive over several messages.
  void TakeParts(Message message);
  void TakeSockets(Message message);

  // Prepare maps what arrived for `number`, checks it and builds the contexts. On failure
  // everything that came for it is dropped.
  Status Prepare(uint64_t number);
  // Abort forgets what is prepared, or has arrived, for `number`.
  void Abort(uint64_t number);

  // The prepared generation's number; 0: none.
  uint64_t prepared() const { return prepared_number_; }
  // Commit hands out the prepared generation and its listening sockets, at least one for each
  // address in its settings.
  struct Prepared {
    ViewPtr view;
    std::vector<NumberedSocket> sockets;
  };
  Prepared Commit();

  // TakeReleased returns the parts that nothing in this worker uses any more since the last call;
  // they are unmapped.
  std::vector<generation::PartId> TakeReleased();

 private:
  struct Incoming {
    std::vector<PartEntry> parts;
    std::vector<os::UniqueFd> fds;
    std::vector<NumberedSocket> sockets;
  };
  using Released = std::shared_ptr<std::vector<generation::PartId>>;

  Incoming& IncomingFor(uint64_t number);
  Result<Prepared> Build(Incoming& incoming);
  Result<generation::SettingsPtr> MapSettings(generation::PartId id, int fd);
  Result<generation::SegmentPtr> MapSegment(const PartEntry& part, int fd);
  Result<generation::CertificateIndexPtr> MapIndex(
      generation::PartId id, int fd,
      const std::map<generation::PartId, generation::SegmentPtr>& segments);
  Result<std::shared_ptr<tls::ServerContexts>> MakeContexts(generation::PartId id,
                                                            generation::CertificateIndexPtr index);

  const shm::TicketKeys& ticket_keys_;
  shm::SessionIdCache& session_ids_;
  const bool empty_root_;
  uint64_t incoming_number_ = 0;
  Incoming incoming_;
  uint64_t prepared_number_ = 0;
  Prepared prepared_;
  // Generations share segments, and the index too when no certificate changed: each is mapped once,
  // and the contexts made from an index stay warm across reloads.
  std::map<generation::PartId, std::weak_ptr<const generation::Segment>> segments_;
  std::map<generation::PartId, std::weak_ptr<const generation::CertificateIndex>> indexes_;
  std::map<generation::PartId, std::weak_ptr<tls::ServerContexts>> contexts_;
  Released released_ = std::make_shared<std::vector<generation::PartId>>();
};

}  // namespace postern::worker
