// From a unit's statistics to the weighted points of its fit. Internal to series/.
#pragma once

#include <cstdint>

#include "unswift/base/result.h"
#include "unswift/series/fit.h"
#include "unswift/series/statistics.h"

namespace unswift {

/// The interval as run time has it: float32.
struct UnitInterval {
  float centre = 0.0f;
  float inv_radius = 1.0f;
};

/// [min, max] of x = z + bias, widened to [-reach, reach], cut to [-clip, clip], as an interval of
/// z.
UnitInterval IntervalOfUnit(const LayerStatistics& statistics, const FitOptions& options,
                            int64_t unit, double bias);

/// Points and weights of one unit, normalised to a histogram mass of 1.
struct UnitPoints {
  WeightedBins bins;
  double mass =
      0.0;  ///< of the histogram; 0 = the unit never mattered, only the uniform share is left
};

/// The widened histogram plus the uniform share. When the interval spans so few bins that a
/// polynomial of the highest order would be free between them, the bins that overlap it are split.
/// carry_reach > 0 carries the uniform share that far beyond both ends.
UnitPoints PointsOfUnit(const LayerStatistics& statistics, const FitOptions& options, int64_t unit,
                        double bias, const UnitInterval& interval, double carry_reach);

/// Errors of statistics, options and bias together.
Result<> ValidateFit(const LayerStatistics& statistics, const FitOptions& options,
                     std::span<const double> bias);

}  // namespace unswift
