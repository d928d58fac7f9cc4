// Expansion points and biases unknown: the ratios of a unit's coefficients give them away.
//
// Leaves the release's centre and radius aside, and looks for x0 and r with
// phi(x0 + r t) ~ factor * P(t) (+ constant) on [-1, 1], P from the factorised orders. For a Taylor
// expansion this solves Theta_n / Theta_0 = phi^(n)(x0) / (n! phi(x0)) over all n at once. A sample
// of each layer's units.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "unswift/audit/attack.h"
#include "unswift/audit/layer_recovery.h"

namespace unswift {
namespace {

// A point within this of the true one is found (activations vary over about 1).
constexpr double kFoundDistance = 0.05;

struct Place {
  double x0 = 0.0, r = 1.0;
};

/// The projected residual phi - factor P - constant at a place; returns its square sum over phi's.
class PlaceProblem {
 public:
  PlaceProblem(const LayerFacts& facts, const UnitModel& unit, const FunctionSamples& samples)
      : facts_(facts) {
    const size_t count = samples.z.size();
    for (size_t i = 0; i < count; ++i) {
      t_.push_back(-1.0 + 2.0 * static_cast<double>(i) / static_cast<double>(count - 1));
      p_.push_back(samples.Value(i, unit.c.data()));
    }
  }

  double Residual(const Place& place, std::vector<double>& residual) const {
    const double count = static_cast<double>(t_.size());
    residual.resize(t_.size());
    double phi = 0, p = 0, phi2 = 0, p2 = 0, cross = 0;
    for (size_t i = 0; i < t_.size(); ++i) {
      const double value = ActivationValue(facts_.activation, place.x0 + place.r * t_[i]);
      residual[i] = value;
      phi += value, p += p_[i], phi2 += value * value, p2 += p_[i] * p_[i], cross += value * p_[i];
    }
    if (facts_.hidden_constant) {
      phi2 -= phi * phi / count, p2 -= p * p / count, cross -= phi * p / count;
    }
    const double factor = p2 > 0.0 ? cross / p2 : 0.0;
    const double constant = facts_.hidden_constant ? (phi - factor * p) / count : 0.0;
    double square = 0.0;
    for (size_t i = 0; i < t_.size(); ++i) {
      residual[i] -= factor * p_[i] + constant;
      square += residual[i] * residual[i];
    }
    return phi2 > 0.0 ? square / phi2 : 1.0;
  }

  /// Levenberg-Marquardt with differences, from a start.
  Place Refine(Place place, double& value) const {
    std::vector<double> here, by_x, by_r;
    double damping = 1e-3;
    value = Residual(place, here);
    for (int step = 0; step < 40; ++step) {
      constexpr double kDelta = 1e-5;
      Residual({place.x0 + kDelta, place.r}, by_x);
      Residual({place.x0, place.r + kDelta}, by_r);
      double xx = 0, xr = 0, rr = 0, gx = 0, gr = 0;
      for (size_t i = 0; i < here.size(); ++i) {
        const double dx = (by_x[i] - here[i]) / kDelta, dr = (by_r[i] - here[i]) / kDelta;
        xx += dx * dx, xr += dx * dr, rr += dr * dr, gx += dx * here[i], gr += dr * here[i];
      }
      xx *= 1.0 + damping, rr *= 1.0 + damping;
      const double determinant = xx * rr - xr * xr;
      if (!(determinant > 0.0)) break;
      const Place next{place.x0 - (rr * gx - xr * gr) / determinant,
                       place.r - (xx * gr - xr * gx) / determinant};
      std::vector<double> there;
      const double next_value = Residual(next, there);
      if (next_value < value) {
        place = next, value = next_value, here = there;
        damping *= 0.3;
      } else {
        damping *= 4.0;
        if (damping > 1e8) break;
      }
    }
    return place;
  }

  Place Solve() const {
    std::vector<std::pair<double, Place>> starts;
    std::vector<double> unused;
    for (double x0 = -9.0; x0 <= 9.0; x0 += 1.5) {
      for (double r : {0.5, 1.0, 2.0, 4.0, 6.0, 9.0}) {
        for (int sign : {1, -1}) {
          const Place place{x0, sign * r};
          starts.push_back({Residual(place, unused), place});
        }
      }
    }
    std::sort(starts.begin(), starts.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    Place best;
    double best_value = 2.0;
    for (size_t i = 0; i < 4; ++i) {
      double value = 0.0;
      const Place place = Refine(starts[i].second, value);
      if (value < best_value) best_value = value, best = place;
    }
    return best;
  }

 private:
  const LayerFacts& facts_;
  std::vector<double> t_, p_;
};

struct RatioTally {
  int64_t units = 0, found = 0;
  double max_error = 0.0;
};

/// |x0 - truth| for one unit; truth = sign * centre + bias.
double DistanceOf(const LayerFacts& facts, const UnitModel& model, int64_t unit, double bias) {
  const FunctionSamples samples = SampleUnit(facts, unit);
  const Place place = PlaceProblem(facts, model, samples).Solve();
  const double radius = 1.0 / facts.series->inv_radius[unit];
  const double centre = facts.series->centre[unit];
  // The sign of r is the sign of the unit, found along with the place.
  const int sign = place.r > 0 ? 1 : -1;
  if (std::abs(std::abs(place.r) / radius - 1.0) > kFoundDistance) return radius;
  return std::abs(place.x0 - (sign * centre + bias));
}

RatioTally RunLayer(const AuditTarget& target, int64_t layer) {
  const LayerFacts facts = FactsOf(*target.release, layer, *target.pool);
  std::vector<int64_t> unit_of;
  if (target.original != nullptr) unit_of = MatchUnits(*target.release, *target.original, layer);
  const int64_t units = facts.series->protected_units();
  const int64_t groups = (units + ThetaReader::kUnits - 1) / ThetaReader::kUnits;
  ThetaReader reader(*facts.series);
  BlockRecovery recovery(facts);
  recovery.Start(reader.Read(layer % groups * ThetaReader::kUnits).front());
  const ThetaBlock& block = recovery.block();
  std::vector<double> distance(block.num_units, 0.0);
  target.pool->ParallelForDynamic(block.num_units, [&](int64_t lane, int) {
    const int64_t unit = block.first_unit + lane;
    const UnitModel& model = recovery.unit(static_cast<int>(lane));
    double bias = facts.hidden_bias ? model.fit.bias : 0.0;
    if (facts.hidden_bias && target.original != nullptr && unit_of[unit] >= 0) {
      const MlpWeights& mlp = target.original->layers()[layer].mlp;
      bias = (facts.hidden_constant ? mlp.up_proj : mlp.gate_proj).bias[unit_of[unit]];
    }
    distance[lane] = model.dead ? 0.0 : DistanceOf(facts, model, unit, bias);
  });
  RatioTally tally;
  for (double d : distance) {
    ++tally.units;
    tally.found += d <= kFoundDistance ? 1 : 0;
    tally.max_error = std::max(tally.max_error, d);
  }
  return tally;
}

Result<AttackResult> FindPlaces(const AuditTarget& target) {
  const auto start = std::chrono::steady_clock::now();
  RatioTally total;
  for (const SeriesLayer& layer : target.manifest->layers) {
    const RatioTally tally = RunLayer(target, layer.layer);
    total.units += tally.units;
    total.found += tally.found;
    total.max_error = std::max(total.max_error, tally.max_error);
  }
  AttackResult result;
  result.recovered_fraction =
      static_cast<double>(total.found) / static_cast<double>(std::max<int64_t>(total.units, 1));
  result.max_relative_error = total.max_error;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.details = {{"sampled_units", total.units}, {"found_distance", kFoundDistance}};
  result.verdict = fmt::format(
      "with centres and radii withheld, {} of {} sampled expansion points are found within {} from "
      "the orders alone (the error is the largest distance)",
      total.found, total.units, kFoundDistance);
  return result;
}

}  // namespace

const Attack kRatio = {.name = "ratio", .game = "EXTRACT", .model = FindPlaces};

}  // namespace unswift
