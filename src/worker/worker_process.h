// WorkerProcess: the parts of a worker put together, and its loop.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "acceptors.h"
#include "generations.h"
#include "log_sink.h"
#include "memory_return.h"
#include "partings.h"
#include "postern/base/result.h"
#include "postern/os/memory.h"
#include "postern/os/sealed_memory.h"
#include "postern/relay/backend_picker.h"
#include "postern/relay/stream.h"
#include "postern/ring/buffer_pool.h"
#include "postern/ring/ring.h"
#include "postern/ring/timer_wheel.h"
#include "postern/session/admission.h"
#include "postern/session/probed_keywords.h"
#include "postern/session/session.h"
#include "postern/shm/address_table.h"
#include "postern/shm/control_page.h"
#include "postern/shm/counters.h"
#include "postern/shm/session_id_cache.h"
#include "postern/shm/ticket_keys.h"
#include "postern/worker/protocol.h"

namespace postern::worker {

// SharedPages are what the master maps into every worker.
struct SharedPages {
  os::Mapping control;
  os::Mapping counters;
  shm::TicketKeys ticket_keys;
  shm::AddressTable addresses;
  shm::SessionIdCache session_ids;
};

class WorkerProcess {
 public:
  // Create makes ring, pools and shared mappings, before privileges are dropped (locked memory is
  // not counted against root).
  static Result<std::unique_ptr<WorkerProcess>> Create(int channel, const Start& start,
                                                       std::vector<os::UniqueFd> pages);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  void SetLog(Message message);
  // Run serves until told to stop. True when everything ended in order and nothing is in flight;
  // else the process must end without destroying this object.
  bool Run();

 private:
  WorkerProcess(int channel, const Start& start, SharedPages pages,
                std::unique_ptr<ring::Ring> ring, std::unique_ptr<ring::BufferPool> record_pool,
                std::unique_ptr<ring::BufferPool> plain_pool);

  void Settle();

  // Orders from the master.
  void OnChannel(ring::Completion completion);
  void ReadChannel();
  void Obey(Message message);
  void Prepare(uint64_t number);
  void SwitchIfTold();
  void SendReleased();
  void Tell(MessageType type, uint64_t number, std::string text = {});
  void FlushTelling();
  void MasterGone();

  // Connections (admit.cc).
  struct Waiting {
    Acceptors::Connection connection;
    session::AdmissionHold hold;
  };
  enum class Scarce : uint8_t { kNothing, kConnections, kHandshakes, kMemory };
  void Admit(Acceptors::Connection connection);
  session::Refusal Screen(const Acceptors::Connection& connection, session::AdmissionHold& hold);
  void Refuse(Acceptors::Connection connection, session::Refusal refusal);
  void AdmitWaiting();
  void BeginSession(Waiting next);
  session::MachineLimits MachineLimits() const;
  size_t Room() const;
  Scarce TakePlaces(session::AdmissionHold& hold);
  void TellScarce(Scarce scarce);
  void LookAtMemory();

  // The end.
  void BeginDrain(uint64_t timeout_ms);
  void OnDrainTimeout();
  bool Drained() const;

  const shm::ControlPage& control_page() const;

  const int channel_;
  const Start start_;
  const size_t places_;  // sessions that the descriptor table has room for
  uint64_t now_ms_;
  SharedPages pages_;
  shm::WorkerCounters& counters_;
  std::unique_ptr<ring::Ring> ring_;
  std::unique_ptr<ring::BufferPool> record_pool_;
  std::unique_ptr<ring::BufferPool> plain_pool_;
  ring::TimerWheel timers_;
  RingLogSink log_;
  relay::StarvedStreams starved_of_record_;
  relay::StarvedStreams starved_of_plain_;
  relay::StreamIo client_io_;
  relay::StreamIo plain_client_io_;
  relay::StreamIo backend_io_;
  relay::StreamIo tls_backend_io_;
  relay::BackendPicker picker_;
  std::vector<std::byte> scratch_;
  session::ProbedKeywords keywords_;
  session::Admission admission_;  // outlives all whom it let in
  session::SessionTable sessions_;
  session::SessionIo session_io_;
  Generations generations_;
  Acceptors acceptors_;
  MemoryReturn memory_return_;
  Partings partings_;
  ring::Operation channel_poll_;
  ring::Timer drain_timer_;
  ViewPtr view_;  // the generation of new connections
  // Accepted beyond the limit (a multishot accept runs a little ahead of a pause); first come,
  // first served when others end.
  std::deque<Waiting> waiting_;
  os::MemoryWatch memory_;
  ring::Timer memory_timer_;  // these two wake the loop to look again
  ring::Timer room_timer_;
  uint64_t memory_looked_ms_ = 0;
  bool memory_short_ = false;
  std::array<uint64_t, 4> told_ms_{};  // when it was last said that something is scarce
  std::deque<Message> telling_;        // what the channel had no room for
  bool prepare_due_ = false;
  bool draining_ = false;
  bool words_said_ = false;  // the drain's time is over and everyone was told
  bool quit_ = false;
  bool master_gone_ = false;
};

}  // namespace postern::worker
