// PairChain: the certificates of a pair, on their way from files to what is sent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/pki/certificate.h"

namespace postern::pki {

struct PairChain {
  std::vector<X509Ptr> certificates;
  std::vector<std::vector<unsigned char>> der;
  size_t own = 0;  // how many are from the certificate's own file; the others are from the chain's
};

// "certificate 2 of 3"; nothing of numbers when there is but one.
std::string Position(size_t index, size_t count);

// ReadChain reads both files and sets the stamps of `pair`.
Result<PairChain> ReadChain(const PairFiles& files, Pair& pair);

// FindLeaf is the place of the certificate that the key belongs to, nearly always the first.
std::optional<size_t> FindLeaf(const PairChain& chain, const EVP_PKEY* key);

// PutInOrder puts the leaf first and its issuers behind it, when they are not so already, and says
// so among the pair's weaknesses. What is no part of the chain stays behind when it stands in the
// certificate's own file, and is dropped when it comes from the file of the chain.
void PutInOrder(PairChain& chain, size_t leaf, const PairFiles& files, Pair& pair);

}  // namespace postern::pki
