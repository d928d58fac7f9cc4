// ggml's quantized blocks -> float32. Internal to io/gguf*.cc and its tests.
//
// Every value is a product of a half-precision scale with small integers, less or plus another such
// product. The products are exact in float32, so only the last sum rounds, and the result is the
// `gguf` Python package's bit for bit. Source: ggml-common.h (layouts), gguf/quants.py.
#pragma once

#include <cstddef>
#include <span>

namespace unswift {

/// Each widens out.size() elements (a multiple of 32, of 256 for the K formats) that start at
/// `blocks`.
void DequantizeQ4_1(const std::byte* blocks, std::span<float> out);
void DequantizeQ5_0(const std::byte* blocks, std::span<float> out);
void DequantizeQ5_1(const std::byte* blocks, std::span<float> out);
void DequantizeQ2_K(const std::byte* blocks, std::span<float> out);
void DequantizeQ3_K(const std::byte* blocks, std::span<float> out);
void DequantizeQ4_K(const std::byte* blocks, std::span<float> out);
void DequantizeQ5_K(const std::byte* blocks, std::span<float> out);
void DequantizeQ6_K(const std::byte* blocks, std::span<float> out);
void DequantizeIQ4_NL(const std::byte* blocks, std::span<float> out);

}  // namespace unswift
