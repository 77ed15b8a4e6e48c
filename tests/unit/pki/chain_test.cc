#include "postern/pki/chain.h"

#include <openssl/err.h>

#include <algorithm>

#include "tests/unit/pki/make_certificate.h"
#include "tests/unit/pki/says.h"

namespace postern::pki {
namespace {

X509Ptr Make(const char* name, EVP_PKEY* key, X509* issuer = nullptr,
             EVP_PKEY* issuer_key = nullptr) {
  CertificateSpec spec;
  spec.common_name = name;
  spec.alternative_names.clear();
  return MakeCertificate(spec, key, issuer, issuer_key);
}

// Root, two intermediates, leaf.
struct Authorities {
  KeyPtr root_key = MakeEcKey();
  KeyPtr one_key = MakeEcKey();
  KeyPtr two_key = MakeEcKey();
  KeyPtr leaf_key = MakeEcKey();
  X509Ptr root = Make("Root", root_key.get());
  X509Ptr one = Make("One", one_key.get(), root.get(), root_key.get());
  X509Ptr two = Make("Two", two_key.get(), one.get(), one_key.get());
  X509Ptr leaf = Make("leaf.example", leaf_key.get(), two.get(), two_key.get());
};

using Chain = std::vector<X509*>;

}  // namespace

TEST_CASE("pki: a chain is ordered whatever the order of its parts, without its root") {
  const Authorities a;
  const Chain expected = {a.leaf.get(), a.two.get(), a.one.get()};
  Chain pool = {a.leaf.get(), a.one.get(), a.two.get(), a.root.get()};
  std::ranges::sort(pool);
  do {
    const OrderedChain ordered = OrderChain(a.leaf.get(), pool);
    CHECK(ordered.chain == expected);
    CHECK(ordered.unused == Chain{a.root.get()});
  } while (std::ranges::next_permutation(pool).found);
  CHECK(InOrder(expected));
  CHECK_FALSE(InOrder({a.leaf.get(), a.one.get(), a.two.get()}));
  CHECK(InOrder({a.leaf.get()}));
  CHECK(ERR_peek_error() == 0);
}

TEST_CASE("pki: an issuer is who has signed, not who has the name") {
  const Authorities a;
  const KeyPtr other_key = MakeEcKey();
  const X509Ptr impostor = Make("Two", other_key.get(), a.one.get(), a.one_key.get());
  const OrderedChain ordered = OrderChain(a.leaf.get(), {impostor.get(), a.two.get()});
  CHECK(ordered.chain == Chain{a.leaf.get(), a.two.get()});
  CHECK(ordered.unused == Chain{impostor.get()});
  CHECK(IsIssuedBy(a.leaf.get(), a.two.get()));
  CHECK_FALSE(IsIssuedBy(a.leaf.get(), impostor.get()));
  CHECK_FALSE(IsIssuedBy(a.leaf.get(), a.one.get()));
}

TEST_CASE("pki: a missing intermediate is named, with where it can be had") {
  const Authorities a;
  const TrustAnchors anchors;
  CHECK_FALSE(MissingIntermediate({a.root.get()}, anchors).has_value());
  std::optional<Error> missing = MissingIntermediate({a.leaf.get()}, anchors);
  REQUIRE(missing.has_value());
  CHECK(Says(missing->ToString(), {"ends at CN=leaf.example", "issued by CN=Two"}));

  X509_EXTENSION* access = X509V3_EXT_conf_nid(nullptr, nullptr, NID_info_access,
                                               "caIssuers;URI:http://ca.example/two.crt");
  X509Ptr leaf = Make("leaf.example", a.leaf_key.get(), a.two.get(), a.two_key.get());
  X509_add_ext(leaf.get(), access, -1);
  X509_EXTENSION_free(access);
  REQUIRE(X509_sign(leaf.get(), a.two_key.get(), EVP_sha256()) > 0);
  missing = MissingIntermediate({leaf.get()}, anchors);
  REQUIRE(missing.has_value());
  CHECK(Says(missing->ToString(),
             {"the intermediate certificate CN=Two is missing", "http://ca.example/two.crt"}));
}

}  // namespace postern::pki
