// Signatures as OpenSSF model-signing writes them: a sigstore bundle (JSON) around a DSSE envelope
// around a payload, signed with a bare key.
//
// Sources: https://docs.sigstore.dev/about/bundle/ (v0.3),
// https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md, and the PyPI package
// model-signing 1.1.1, which checks what this writes and writes what this checks.
#pragma once

#include <string>
#include <string_view>

#include "unswift/base/result.h"
#include "unswift/provenance/key.h"

namespace unswift {

inline constexpr char kInTotoPayloadType[] = "application/vnd.in-toto+json";

/// The bundle, one line of JSON. ECDSA with the SHA-2 of the curve's size.
Result<std::string> SignPayload(std::string_view payload, const PrivateKey& key);

/// The payload of a bundle that `key` has signed; `what` names the bundle in messages. Errors:
/// kInvalidData for another form, another key, or a signature that is not the payload's.
Result<std::string> VerifyBundle(std::string_view bundle, const std::string& what,
                                 const PublicKey& key);

}  // namespace unswift
