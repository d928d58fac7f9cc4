#include "unswift/base/digest.h"

#include <openssl/evp.h>

#include <algorithm>

#include "unswift/base/check.h"

namespace unswift {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  UNSWIFT_CHECK(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;

void Sha256::Update(std::span<const std::byte> bytes) {
  UNSWIFT_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::HexDigest() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  UNSWIFT_CHECK(EVP_DigestFinal_ex(context_->md, digest, &size) == 1);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string Sha256Hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

std::string Sha256HexOfFile(const MappedFile& file) {
  constexpr size_t kChunk = size_t{16} << 20;
  Sha256 hash;
  const std::span<const std::byte> bytes = file.bytes();
  for (size_t offset = 0; offset < bytes.size(); offset += kChunk) {
    hash.Update(bytes.subspan(offset, std::min(kChunk, bytes.size() - offset)));
    file.Release(offset, kChunk);
  }
  return hash.HexDigest();
}

Result<std::string> Sha256HexOfFile(const std::filesystem::path& path) {
  UNSWIFT_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Sha256HexOfFile(file);
}

}  // namespace unswift
