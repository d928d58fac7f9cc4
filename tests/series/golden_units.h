// The shared golden values of real units (data/goldens/series), as statistics.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "unswift/series/statistics.h"

namespace unswift {

/// The statistics whose widened histograms are the golden bins: four units.
inline LayerStatistics GoldenStatistics(const nlohmann::json& golden) {
  LayerStatistics s;
  s.num_units = static_cast<int64_t>(golden["units"].size());
  s.num_tokens = 1;
  s.mean.assign(s.num_units, 0.0);
  s.std = s.mean_u2 = s.mean;
  for (int64_t j = 0; j < s.num_units; ++j) {
    const auto centre = golden["bin_centres"][j].get<std::vector<double>>();
    const auto histogram = golden["histogram"][j].get<std::vector<double>>();
    const int first = kWideningBins, last = kWideningBins + kHistogramBins - 1;
    const double width = (centre[last] - centre[first]) / (kHistogramBins - 1);
    s.bin_begin.push_back(centre[first] - 0.5 * width);
    s.bin_end.push_back(centre[last] + 0.5 * width);
    // The bins reach 10 % of the range beyond both extremes: 1.2 ranges in all.
    const double margin = (s.bin_end[j] - s.bin_begin[j]) / 12.0;
    s.min.push_back(static_cast<float>(s.bin_begin[j] + margin));
    s.max.push_back(static_cast<float>(s.bin_end[j] - margin));
    for (int i = first; i <= last; ++i) s.histogram.push_back(static_cast<float>(histogram[i]));
  }
  return s;
}

}  // namespace unswift
