// Name -> value tables whose errors help: they name the nearest entry and list all of them.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unswift/base/result.h"

namespace unswift {

/// The candidate with the smallest edit distance to `name`, or "" when none is near (distance above
/// a third of the longer length).
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

/// "[find] no KIND 'x' (did you mean 'y'?); known: a, b, y"
Error UnknownName(std::string_view kind, std::string_view name,
                  const std::vector<std::string>& candidates);

template <typename Value>
class Registry {
 public:
  Registry(std::string kind, std::initializer_list<std::pair<std::string, Value>> rows)
      : kind_(std::move(kind)), rows_(rows) {}

  Result<Value> Find(std::string_view name) const {
    for (const auto& [key, value] : rows_) {
      if (key == name) return value;
    }
    return tl::unexpected<Error>(UnknownName(kind_, name, Names()));
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& row : rows_) names.push_back(row.first);
    return names;
  }
  /// The name of a value (values must be comparable); "" when it is not in the table.
  std::string_view NameOf(const Value& value) const {
    for (const auto& [key, stored] : rows_) {
      if (stored == value) return key;
    }
    return "";
  }

 private:
  std::string kind_;
  std::vector<std::pair<std::string, Value>> rows_;
};

}  // namespace unswift
