#include "unswift/base/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace unswift {
namespace {

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t least = SIZE_MAX;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < least && 3 * distance <= std::max(name.size(), candidate.size())) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

Error UnknownName(std::string_view kind, std::string_view name,
                  const std::vector<std::string>& candidates) {
  const std::string nearest = NearestName(name, candidates);
  const std::string hint = nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest);
  return {ErrorCode::kUnsupported, fmt::format("[find] no {} '{}'{}; known: {}", kind, name, hint,
                                               fmt::join(candidates, ", "))};
}

}  // namespace unswift
