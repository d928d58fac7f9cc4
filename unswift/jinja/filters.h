// The form of a filter's row, shared by filters.cc and sequence_filters.cc.
#pragma once

#include <span>
#include <string_view>

#include "unswift/jinja/runtime.h"

namespace unswift::jinja {

struct FilterRow {
  std::string_view name;
  Result<Value> (*apply)(Runtime&, const Value& input, const Arguments&);
};

std::span<const FilterRow> SequenceFilters();

}  // namespace unswift::jinja
