// Calibration: what the pre-activations of a model look like, on given text or on text that the
// model writes itself.
#pragma once

#include <cstdint>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/model/decoder.h"
#include "unswift/model/statistics_file.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {

struct CalibrationOptions {
  int64_t max_tokens = 25600;
  int64_t window = 400;  ///< tokens per sample; cut to the model's context
  uint64_t seed = 0;
  double margin = 0.1;  ///< of the range, added at both ends of the histogram
};

using TokenWindows = std::vector<std::vector<int32_t>>;

/// Samples text from the model at temperature 1: max_tokens / window sequences of `window` tokens,
/// half of them begun with BOS, half with the end-of-text token (with random tokens when the model
/// has neither). Depends on the seed, not on the number of threads. Source: docs/equations.md,
/// "Statistics".
Result<TokenWindows> WriteOwnText(Decoder& decoder, const Tokenizer& tokenizer,
                                  const CalibrationOptions& options, const ProgressFn& progress);

/// Cuts token ids into windows of options.window, at most options.max_tokens in all.
TokenWindows CutWindows(const std::vector<int32_t>& ids, const CalibrationOptions& options);

/// Runs the windows twice, ranges first, histograms second. Each token counts u^2 / |residual|^2.
/// Errors: kInvalidArgument (no tokens), kInvalidData (NaN or infinity in a layer).
Result<ModelStatistics> Calibrate(Decoder& decoder, const TokenWindows& windows,
                                  const CalibrationOptions& options, const ProgressFn& progress);

}  // namespace unswift
