// Opening what is encrypted under a passphrase.
#pragma once

#include <openssl/pkcs12.h>

#include <string>

#include "pki/pem_file.h"
#include "postern/pki/material.h"

namespace postern::pki {

// OpenKey decodes an encrypted PKCS#8 key (DER of EncryptedPrivateKeyInfo). `what` is for questions
// and messages: "the key in a.pem".
Result<KeyPtr> OpenKey(const SecretBytes& der, const std::string& what, const AskPassphrase& ask);
// OpenTraditionalKey decodes a PEM block of the old encrypted form.
Result<KeyPtr> OpenTraditionalKey(const PemBlock& block, const std::string& what,
                                  const AskPassphrase& ask);
// OpenPkcs12 adds the key and the certificates of a container. Containers without passphrase are
// opened without asking.
Status OpenPkcs12(PKCS12* container, const std::string& from, const AskPassphrase& ask,
                  Material& material);

}  // namespace postern::pki
