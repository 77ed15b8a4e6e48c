// BackendLink: what a session needs between connecting to a server and relaying, where octets do
// not flow at once: TLS, the dialog, and what waits for both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "postern/mail/backend_dialog.h"
#include "postern/tls/client_contexts.h"
#include "postern/tls/handshake.h"

namespace postern::session {

struct BackendLink {
  // --- Of the session ---
  std::shared_ptr<tls::ClientContexts> contexts;  // null: plain text
  std::vector<std::byte> proxy_header;            // empty: none
  // What the dialog is to be about; its texts lie in the fields below.
  mail::BackendRules rules;
  bool has_dialog = false;
  std::string address;
  std::string local_address;
  std::string hello;
  std::string replay;
  std::string login;
  std::string session_id;
  std::string from_client;  // plaintext that is not wanted yet

  // --- Of the server that is being tried ---
  void Reset() {
    dialog = nullptr;
    handshake = nullptr;
    from_server.clear();
    connected = failed = secured = parting = false;
  }
  std::unique_ptr<tls::Handshake> handshake;  // while it lasts
  std::unique_ptr<mail::BackendDialog> dialog;
  std::string from_server;  // plaintext that the dialog has not consumed
  bool connected = false;
  bool failed = false;
  bool secured = false;
  bool parting = false;  // it has failed, and what it is told of that is not out yet
};

}  // namespace postern::session
