#include <algorithm>
#include <numeric>

#include "unswift/base/check.h"
#include "unswift/series/fit.h"

namespace unswift {

std::vector<double> PaperCoefficients(Activation activation, double min, double max, double bias,
                                      int order) {
  return TaylorCoefficients(activation, 0.5 * (min + max) + bias, order);
}

SeriesFit PaperFit(std::span<const float> min, std::span<const float> max,
                   const PaperOptions& options, const UnitSelection& selection,
                   std::span<const double> bias) {
  UNSWIFT_CHECK(min.size() == max.size() && (bias.empty() || bias.size() == min.size()));
  SeriesFit fit;
  fit.basis = SeriesBasis::kTaylor;
  fit.guard = options.guard;
  fit.cutoff = options.cutoff;
  fit.cutoff_order = options.cutoff_order;
  fit.units = selection.units;
  fit.orders = selection.orders;
  fit.offset.assign(1, 0);
  fit.inv_radius.assign(selection.units.size(), 1.0f);
  for (size_t i = 0; i < selection.units.size(); ++i) {
    const int64_t unit = selection.units[i];
    UNSWIFT_CHECK(unit >= 0 && unit < static_cast<int64_t>(min.size()));
    // Rounded first: the expansion is made at the point that run time subtracts.
    const float centre = static_cast<float>(0.5 * (static_cast<double>(min[unit]) + max[unit]));
    fit.centre.push_back(centre);
    const auto a = PaperCoefficients(options.activation, centre, centre,
                                     bias.empty() ? 0.0 : bias[unit], selection.orders[i]);
    fit.coefficients.insert(fit.coefficients.end(), a.begin(), a.end());
    fit.offset.push_back(static_cast<int64_t>(fit.coefficients.size()));
  }
  return fit;
}

std::vector<int64_t> SmallestRangeUnits(std::span<const float> min, std::span<const float> max,
                                        int64_t count) {
  UNSWIFT_CHECK(min.size() == max.size() && count >= 0 &&
                count <= static_cast<int64_t>(min.size()));
  std::vector<int64_t> units(min.size());
  std::iota(units.begin(), units.end(), int64_t{0});
  const auto gap = [&](int64_t j) { return static_cast<double>(max[j]) - min[j]; };
  std::sort(units.begin(), units.end(),
            [&](int64_t a, int64_t b) { return gap(a) != gap(b) ? gap(a) < gap(b) : a < b; });
  units.resize(count);
  return units;
}

}  // namespace unswift
