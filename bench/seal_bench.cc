// The ciphers of sealed files: bytes per CPU second of one thread, chunk by chunk.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "unswift/provenance/chunk_cipher.h"

namespace unswift {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;

class Chunk {
 public:
  explicit Chunk(SealCipher cipher)
      : plain_(kChunkBytes, std::byte{42}),
        sealed_(kChunkBytes + kSealTagBytes),
        opened_(kChunkBytes),
        cipher_(cipher, SecretMemory::Allocate(kSealKeyBytes).value(), std::string(32, 'd')) {}

  void Encrypt(uint64_t index) { cipher_.Encrypt(index, plain_, sealed_.data()); }
  bool Decrypt(uint64_t index) { return cipher_.Decrypt(index, sealed_, opened_.data()); }
  bool RoundTrips() {
    Encrypt(7);
    return Decrypt(7) && opened_ == plain_ && !Decrypt(8);
  }

 private:
  std::vector<std::byte> plain_, sealed_, opened_;
  ChunkCipher cipher_;
};

void BM_Seal(benchmark::State& state, SealCipher cipher) {
  Chunk chunk(cipher);
  if (!chunk.RoundTrips()) return state.SkipWithError("wrong result");
  uint64_t index = 0;
  for (auto _ : state) chunk.Encrypt(index++);
  state.SetBytesProcessed(state.iterations() * kChunkBytes);
}

void BM_Unseal(benchmark::State& state, SealCipher cipher) {
  Chunk chunk(cipher);
  if (!chunk.RoundTrips()) return state.SkipWithError("wrong result");
  for (auto _ : state) benchmark::DoNotOptimize(chunk.Decrypt(7));
  state.SetBytesProcessed(state.iterations() * kChunkBytes);
}

BENCHMARK_CAPTURE(BM_Seal, aes_256_gcm, SealCipher::kAes256Gcm);
BENCHMARK_CAPTURE(BM_Unseal, aes_256_gcm, SealCipher::kAes256Gcm);
BENCHMARK_CAPTURE(BM_Seal, xchacha20_poly1305, SealCipher::kXChaCha20Poly1305);
BENCHMARK_CAPTURE(BM_Unseal, xchacha20_poly1305, SealCipher::kXChaCha20Poly1305);

}  // namespace
}  // namespace unswift

BENCHMARK_MAIN();
