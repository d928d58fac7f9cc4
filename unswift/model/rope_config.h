// Rotary embeddings as config.json asks for them: base, rotated share of a head, and the scaling
// that stretches them to a longer context.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/io/json_fwd.h"

namespace unswift {

/// Names and formulas are those of transformers' modeling_rope_utils ("rope_type").
enum class RopeScaling {
  kDefault,   ///< theta^(-2i / rotary_dim)
  kLinear,    ///< ... / factor (position interpolation, arXiv 2306.15595)
  kDynamic,   ///< a larger theta once the sequence is longer than the original context (NTK-aware)
  kLlama3,    ///< low frequencies / factor, high ones kept, a ramp between (Llama 3.1)
  kYarn,      ///< the ramp over dimensions, and a temperature (arXiv 2309.00071)
  kLongRope,  ///< a divisor per frequency, one set for short, one for long sequences (2402.13753)
};

struct RopeConfig {
  RopeScaling scaling = RopeScaling::kDefault;
  double theta = 0.0;
  int64_t rotary_dim = 0;  ///< leading dimensions of a head that are rotated; even
  double factor = 1.0;
  int64_t original_context = 0;   ///< tokens the model was made for before scaling
  double attention_factor = 1.0;  ///< cosines and sines are multiplied by it
  double low_freq_factor = 0.0, high_freq_factor = 0.0;  ///< kLlama3
  double beta_fast = 0.0, beta_slow = 0.0;               ///< kYarn
  bool truncate = true;                                  ///< kYarn
  std::vector<double> short_factor, long_factor;         ///< kLongRope, [rotary_dim / 2]

  /// Whether RopeFrequencies looks at the length.
  bool depends_on_length() const {
    return scaling == RopeScaling::kDynamic || scaling == RopeScaling::kLongRope;
  }
};

/// What a rope section of config.json does not say itself.
struct RopeDefaults {
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 0;
  /// The config's own `original_max_position_embeddings` (it wins over the section's); 0: none.
  int64_t original_context = 0;
};

/// Reads one rope section: `rope_parameters`, `rope_scaling`, or an empty object for neither.
/// Errors: kInvalidData, kUnsupported naming the known scalings; `what` opens the messages.
Result<RopeConfig> ParseRope(const Json& section, const RopeDefaults& defaults,
                             const std::string& what);

/// Radians per position of every rotated pair, for a sequence of `length` tokens. [rotary_dim / 2]
std::vector<double> RopeFrequencies(const RopeConfig& rope, int64_t length);

}  // namespace unswift
