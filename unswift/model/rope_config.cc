#include "unswift/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "unswift/base/registry.h"
#include "unswift/io/json.h"

namespace unswift {
namespace {

Result<RopeScaling> ParseScaling(const Json& section, const std::string& what) {
  static const Registry<RopeScaling> kScalings("rope scaling",
                                               {{"default", RopeScaling::kDefault},
                                                {"linear", RopeScaling::kLinear},
                                                {"dynamic", RopeScaling::kDynamic},
                                                {"llama3", RopeScaling::kLlama3},
                                                {"yarn", RopeScaling::kYarn},
                                                {"longrope", RopeScaling::kLongRope},
                                                {"su", RopeScaling::kLongRope}});  // its first name
  const char* key = section.contains("rope_type") ? "rope_type" : "type";
  UNSWIFT_ASSIGN_OR_RETURN(const std::string name,
                           GetFieldOr<std::string>(section, key, "default", what));
  auto scaling = kScalings.Find(name);
  if (!scaling) scaling.error().message = "[read_config] " + what + ": " + scaling.error().message;
  return scaling;
}

Result<double> GetPositive(const Json& section, const char* key, double fallback,
                           const std::string& what) {
  UNSWIFT_ASSIGN_OR_RETURN(const double value, GetFieldOr<double>(section, key, fallback, what));
  if (!(value > 0.0 && std::isfinite(value))) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: '{}': expected more than 0, got {}", what, key, value);
  }
  return value;
}

Result<std::vector<double>> GetFactors(const Json& section, const char* key, int64_t count,
                                       const std::string& what) {
  const Json list = section.value(key, Json::array());
  std::vector<double> factors;
  if (list.is_array()) {
    for (const Json& value : list) {
      if (value.is_number() && value.get<double>() > 0.0) factors.push_back(value.get<double>());
    }
  }
  if (static_cast<int64_t>(factors.size()) != count || factors.size() != list.size()) {
    return MakeError(
        ErrorCode::kInvalidData, "[read_config] {}: '{}': expected {} numbers above 0, got {}",
        what, key, count,
        list.is_array() ? fmt::format("{} of {}", factors.size(), list.size()) : list.type_name());
  }
  return factors;
}

Result<> ReadRotaryDim(const Json& section, const RopeDefaults& defaults, const std::string& what,
                       RopeConfig& rope) {
  UNSWIFT_ASSIGN_OR_RETURN(const double share, GetPositive(section, "partial_rotary_factor",
                                                           defaults.partial_rotary_factor, what));
  const double dim = std::floor(share * static_cast<double>(defaults.head_dim));
  rope.rotary_dim = static_cast<int64_t>(std::min<double>(dim, 1 << 30));
  if (rope.rotary_dim < 2 || rope.rotary_dim > defaults.head_dim || rope.rotary_dim % 2 != 0) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: rotated dimensions: expected an even number up to head_dim "
                     "({}), got {}",
                     what, defaults.head_dim, dim);
  }
  return {};
}

/// `factor`, by default how far max_position_embeddings has been stretched.
Result<double> ReadFactor(const Json& section, const RopeDefaults& defaults, const RopeConfig& rope,
                          const std::string& what) {
  return GetPositive(section, "factor",
                     static_cast<double>(defaults.max_position_embeddings) /
                         static_cast<double>(rope.original_context),
                     what);
}

double YarnTemperature(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

Result<> ReadYarn(const Json& section, const std::string& what, RopeConfig& rope) {
  UNSWIFT_ASSIGN_OR_RETURN(rope.beta_fast, GetPositive(section, "beta_fast", 32.0, what));
  UNSWIFT_ASSIGN_OR_RETURN(rope.beta_slow, GetPositive(section, "beta_slow", 1.0, what));
  UNSWIFT_ASSIGN_OR_RETURN(rope.truncate, GetFieldOr<bool>(section, "truncate", true, what));
  UNSWIFT_ASSIGN_OR_RETURN(const double mscale, GetFieldOr<double>(section, "mscale", 0.0, what));
  UNSWIFT_ASSIGN_OR_RETURN(const double all_dim,
                           GetFieldOr<double>(section, "mscale_all_dim", 0.0, what));
  const double inferred =
      mscale != 0.0 && all_dim != 0.0
          ? YarnTemperature(rope.factor, mscale) / YarnTemperature(rope.factor, all_dim)
          : YarnTemperature(rope.factor, 1.0);
  UNSWIFT_ASSIGN_OR_RETURN(rope.attention_factor,
                           GetPositive(section, "attention_factor", inferred, what));
  return {};
}

Result<> ReadLongRope(const Json& section, const std::string& what, RopeConfig& rope) {
  const int64_t half = rope.rotary_dim / 2;
  UNSWIFT_ASSIGN_OR_RETURN(rope.short_factor, GetFactors(section, "short_factor", half, what));
  UNSWIFT_ASSIGN_OR_RETURN(rope.long_factor, GetFactors(section, "long_factor", half, what));
  const double inferred =
      rope.factor <= 1.0
          ? 1.0
          : std::sqrt(1.0 +
                      std::log(rope.factor) / std::log(static_cast<double>(rope.original_context)));
  UNSWIFT_ASSIGN_OR_RETURN(rope.attention_factor,
                           GetPositive(section, "attention_factor", inferred, what));
  return {};
}

Result<> ReadScaling(const Json& section, const RopeDefaults& defaults, const std::string& what,
                     RopeConfig& rope) {
  switch (rope.scaling) {
    case RopeScaling::kDefault:
      return {};
    case RopeScaling::kLinear:
    case RopeScaling::kDynamic:
    case RopeScaling::kLlama3: {
      UNSWIFT_ASSIGN_OR_RETURN(rope.factor, GetField<double>(section, "factor", what));
      break;
    }
    case RopeScaling::kYarn:
    case RopeScaling::kLongRope: {
      UNSWIFT_ASSIGN_OR_RETURN(rope.factor, ReadFactor(section, defaults, rope, what));
      break;
    }
  }
  const bool dynamic = rope.scaling == RopeScaling::kDynamic;
  if (!(rope.factor >= 1.0 && std::isfinite(rope.factor)) || (dynamic && rope.rotary_dim == 2)) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: 'factor': expected at least 1 (and more than two rotated "
                     "dimensions for dynamic scaling), got {} and {}",
                     what, rope.factor, rope.rotary_dim);
  }
  if (dynamic) rope.original_context = defaults.max_position_embeddings;
  if (rope.scaling == RopeScaling::kYarn) return ReadYarn(section, what, rope);
  if (rope.scaling == RopeScaling::kLongRope) return ReadLongRope(section, what, rope);
  if (rope.scaling == RopeScaling::kLlama3) {
    UNSWIFT_ASSIGN_OR_RETURN(rope.low_freq_factor,
                             GetField<double>(section, "low_freq_factor", what));
    UNSWIFT_ASSIGN_OR_RETURN(rope.high_freq_factor,
                             GetField<double>(section, "high_freq_factor", what));
    if (!(rope.low_freq_factor > 0.0 && rope.high_freq_factor > rope.low_freq_factor)) {
      return MakeError(ErrorCode::kInvalidData,
                       "[read_config] {}: expected 0 < low_freq_factor < high_freq_factor, got {} "
                       "and {}",
                       what, rope.low_freq_factor, rope.high_freq_factor);
    }
  }
  return {};
}

double Llama3Frequency(const RopeConfig& rope, double frequency) {
  const double wavelengths =  // that fit into the original context
      static_cast<double>(rope.original_context) * frequency / (2.0 * std::numbers::pi);
  const double kept = std::clamp(
      (wavelengths - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0,
      1.0);
  return frequency * (kept + (1.0 - kept) / rope.factor);
}

/// The dimension whose angle turns `rotations` times over the original context.
double YarnDimension(const RopeConfig& rope, double rotations) {
  const double turns =
      static_cast<double>(rope.original_context) / (rotations * 2.0 * std::numbers::pi);
  return static_cast<double>(rope.rotary_dim) * std::log(turns) / (2.0 * std::log(rope.theta));
}

void ScaleYarn(const RopeConfig& rope, std::vector<double>& frequencies) {
  double low = YarnDimension(rope, rope.beta_fast), high = YarnDimension(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.rotary_dim - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= ramp / rope.factor + (1.0 - ramp);
  }
}

double DynamicTheta(const RopeConfig& rope, int64_t length) {
  const double stretch = static_cast<double>(std::max(length, rope.original_context)) /
                         static_cast<double>(rope.original_context);
  const double dim = static_cast<double>(rope.rotary_dim);
  return rope.theta * std::pow(rope.factor * stretch - (rope.factor - 1.0), dim / (dim - 2.0));
}

}  // namespace

Result<RopeConfig> ParseRope(const Json& section, const RopeDefaults& defaults,
                             const std::string& what) {
  RopeConfig rope;
  UNSWIFT_ASSIGN_OR_RETURN(rope.scaling, ParseScaling(section, what));
  UNSWIFT_ASSIGN_OR_RETURN(rope.theta, GetPositive(section, "rope_theta", defaults.theta, what));
  if (!(rope.theta > 1.0)) {
    return MakeError(ErrorCode::kInvalidData, "[read_config] {}: expected rope_theta > 1, got {}",
                     what, rope.theta);
  }
  UNSWIFT_RETURN_IF_ERROR(ReadRotaryDim(section, defaults, what, rope));
  UNSWIFT_ASSIGN_OR_RETURN(rope.original_context,
                           GetFieldOr<int64_t>(section, "original_max_position_embeddings",
                                               defaults.max_position_embeddings, what));
  if (defaults.original_context > 0) rope.original_context = defaults.original_context;
  if (rope.original_context < 2) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_config] {}: 'original_max_position_embeddings': expected at least 2, "
                     "got {}",
                     what, rope.original_context);
  }
  UNSWIFT_RETURN_IF_ERROR(ReadScaling(section, defaults, what, rope));
  return rope;
}

std::vector<double> RopeFrequencies(const RopeConfig& rope, int64_t length) {
  const double theta =
      rope.scaling == RopeScaling::kDynamic ? DynamicTheta(rope, length) : rope.theta;
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rope.rotary_dim / 2; ++i) {
    frequencies.push_back(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rope.rotary_dim)));
  }
  const std::vector<double>& divisors =
      length > rope.original_context ? rope.long_factor : rope.short_factor;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    if (rope.scaling == RopeScaling::kLinear) frequencies[i] /= rope.factor;
    if (rope.scaling == RopeScaling::kLlama3)
      frequencies[i] = Llama3Frequency(rope, frequencies[i]);
    if (rope.scaling == RopeScaling::kLongRope) frequencies[i] /= divisors[i];
  }
  if (rope.scaling == RopeScaling::kYarn) ScaleYarn(rope, frequencies);
  return frequencies;
}

}  // namespace unswift
