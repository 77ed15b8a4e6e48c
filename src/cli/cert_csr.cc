// cert csr: a key and a request for it. The key waits in the certificate directory for its
// certificate; beside a key that serves it waits under a name of its own.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cert_commands.h"
#include "cert_place.h"
#include "postern/os/files.h"
#include "postern/os/terminal.h"
#include "postern/pki/request.h"
#include "postern/pki/store.h"
#include "report.h"

namespace postern::cli {
namespace {

struct Options {
  PlaceOptions place;
  pki::RequestSpec spec;
  std::string file_name;
  std::string key = "p256";
  bool reuse_key = false;
};

std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ' && c != '\t' && c != ',') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

// Asks for what a request can hold, when no name was given. False after having said why not.
bool AskForRest(Options& options) {
  const auto ask = [](const std::string& question, std::string& answer) {
    if (!answer.empty()) return true;
    Result<std::string> line = os::AskLine(question);
    if (!line.has_value()) {
      PrintError({line.error().what, "give the host's name: postern cert csr NAME", {}});
      return false;
    }
    answer = *line;
    return true;
  };
  std::string names;
  pki::RequestSubject& subject = options.spec.subject;
  if (!ask("Host names, separated by spaces: ", names)) return false;
  options.spec.names = Words(names);
  return ask("Organization (empty: none): ", subject.organization) &&
         ask("Locality, a town (empty: none): ", subject.locality) &&
         ask("State or province (empty: none): ", subject.state) &&
         ask("Country, two letters (empty: none): ", subject.country);
}

// The key of the request and where it is to be written; no path for a key that is there already.
struct RequestKey {
  pki::KeyPtr key;
  std::string path;
  bool is_new = true;
};

Result<RequestKey> ExistingKey(const Place& place, const std::string& path) {
  pki::Material material;
  const Status read = pki::ReadMaterial(
      path, pki::PassphraseFrom(place.passphrase, "name its passphrase in the configuration"),
      material);
  if (!read.has_value()) return std::unexpected(read.error());
  if (material.keys.size() != 1) {
    return Fail(fmt::format("{} holds {} keys", path, material.keys.size()), "keep one in it");
  }
  return RequestKey{std::move(material.keys[0].key), path, false};
}

Result<RequestKey> FindKey(const Options& options, const Place& place,
                           const pki::StoreNames& files) {
  if (options.reuse_key) return ExistingKey(place, files.key);
  const Result<pki::KeyKind> kind = pki::ParseKeyKind(options.key);
  if (!kind.has_value()) return std::unexpected(kind.error());
  Result<pki::KeyPtr> key = pki::MakeKey(*kind);
  if (!key.has_value()) return std::unexpected(key.error());
  // A key that is there may be serving, or be in a request that is on its way.
  const std::string waiting = files.key + std::string(pki::kWaitingSuffix);
  const std::string& path = Exists(files.key) ? waiting : files.key;
  if (path == waiting && Exists(waiting)) {
    return Fail(fmt::format("{} is there already: a key that waits for its certificate", waiting),
                "import that certificate, remove the key, or use --reuse-key for the one in "
                "service");
  }
  return RequestKey{std::move(*key), path, true};
}

Status WriteBoth(const Place& place, const pki::StoreNames& files, const RequestKey& key,
                 const std::string& request) {
  if (Status made = os::MakeDirectories(place.directory, 0700); !made) return made;
  if (Status closed = pki::CheckStoreDirectory(place.directory); !closed) return closed;
  if (key.is_new) {
    const Result<pki::SecretBytes> pem = pki::KeyPem(key.key.get());
    if (!pem) return std::unexpected(pem.error());
    if (Status done = os::WriteFileAtomically(key.path, pem->text(), 0600); !done) return done;
  }
  Status written = os::WriteFileAtomically(files.request, request, 0644);
  // A key that nobody asked a certificate for would only be in the way.
  if (!written && key.is_new) ::unlink(key.path.c_str());
  return written;
}

int Fault(const Error& error) {
  PrintError(error);
  return kFailed;
}

int Make(Options& options) {
  if (options.spec.names.empty() && !AskForRest(options)) return kFailed;
  const std::optional<Place> place = FindPlace(options.place);
  if (!place.has_value()) return kFailed;
  // Before a file is called by one: what is wrong with it as a name is the better message.
  if (Status fine = pki::CheckRequestNames(options.spec.names); !fine) return Fault(fine.error());
  if (options.file_name.empty() && !options.spec.names.empty()) {
    options.file_name = pki::StoreNameFor(options.spec.names.front());
  }
  if (!options.spec.names.empty() && !pki::IsStoreName(options.file_name)) {
    return Fault({fmt::format("\"{}\" cannot be the name of the files", options.file_name),
                  "choose one with --name NAME: letters, digits, \".\", \"-\" and \"_\"",
                  {}});
  }
  const pki::StoreNames files = pki::NamesIn(place->directory, options.file_name);
  const Result<RequestKey> key = FindKey(options, *place, files);
  if (!key.has_value()) return Fault(key.error());
  const Result<std::string> request = pki::MakeRequest(options.spec, key->key.get());
  if (!request.has_value()) return Fault(request.error());
  if (Status written = WriteBoth(*place, files, *key, *request); !written) {
    return Fault(written.error());
  }
  Print(*request);
  fmt::print(stderr, "wrote {}\n", files.request);
  fmt::print(stderr, "{} {}{}\n", key->is_new ? "wrote" : "for the key", key->path,
             key->is_new ? " (keep it secret)" : "");
  fmt::print(stderr,
             "send the request to an authority, and import what comes back: postern cert import "
             "FILES\n");
  return kOk;
}

}  // namespace

void AddCertRequest(CLI::App& cert, int& status) {
  CLI::App* csr = cert.add_subcommand("csr", "Make a key and a certificate request");
  auto options = std::make_shared<Options>();
  pki::RequestSubject& subject = options->spec.subject;
  csr->add_option("names", options->spec.names,
                  "Host names (also *.example.com) and IP addresses; asked for when not given")
      ->type_name("NAME");
  options->place.AddTo(*csr);
  csr->add_option("--key", options->key,
                  "Kind of key: rsa2048, rsa3072, rsa4096, p256, p384 or ed25519")
      ->type_name("KIND")
      ->capture_default_str();
  csr->add_flag("--reuse-key", options->reuse_key, "For the key that is there already");
  csr->add_option("--name", options->file_name, "What to call the files; default: the first NAME")
      ->type_name("NAME");
  csr->add_option("--common-name", subject.common_name, "Subject: CN; default: the first NAME");
  csr->add_option("--organization", subject.organization, "Subject: O");
  csr->add_option("--unit", subject.unit, "Subject: OU");
  csr->add_option("--locality", subject.locality, "Subject: L, a town");
  csr->add_option("--state", subject.state, "Subject: ST, a state or province");
  csr->add_option("--country", subject.country, "Subject: C, two letters");
  csr->add_option("--email", subject.email, "Subject: e-mail address");
  csr->footer(R"(
Writes DIR/NAME.csr and DIR/NAME.key (0600), and the request to standard output. When NAME.key is
there already, it may be serving: the new key is written as NAME.key.new, and `postern cert
import` finds it there.
Exit status: 0 when both files are there, 1 when not.)");
  csr->callback([options, &status] { status = Make(*options); });
}

}  // namespace postern::cli
