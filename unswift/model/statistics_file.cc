#include "unswift/model/statistics_file.h"

#include <unistd.h>

#include <charconv>
#include <cstring>

#include "unswift/base/atomic_directory.h"
#include "unswift/io/safetensors.h"

namespace unswift {
namespace {

constexpr char kFormat[] = "unswift-statistics-1";

/// One table of the file: an array of every LayerStatistics, with `per_unit` values per unit.
template <typename T>
struct Table {
  const char* name;
  std::vector<T> LayerStatistics::*values;
  int64_t per_unit;
};

constexpr Table<float> kFloatTables[] = {
    {"min", &LayerStatistics::min, 1},
    {"max", &LayerStatistics::max, 1},
    {"histogram", &LayerStatistics::histogram, kHistogramBins}};
constexpr Table<double> kDoubleTables[] = {{"mean", &LayerStatistics::mean, 1},
                                           {"std", &LayerStatistics::std, 1},
                                           {"mean_u2", &LayerStatistics::mean_u2, 1},
                                           {"bin_begin", &LayerStatistics::bin_begin, 1},
                                           {"bin_end", &LayerStatistics::bin_end, 1}};

template <typename T>
constexpr DType kDTypeOf = std::is_same_v<T, float> ? DType::kF32 : DType::kF64;

template <typename Visit>
Result<> ForEachTable(const Visit& visit) {
  for (const auto& table : kFloatTables) UNSWIFT_RETURN_IF_ERROR(visit(table));
  for (const auto& table : kDoubleTables) UNSWIFT_RETURN_IF_ERROR(visit(table));
  return {};
}

Shape ShapeOf(int64_t layers, int64_t units, int64_t per_unit) {
  return per_unit == 1 ? Shape{layers, units} : Shape{layers, units, per_unit};
}

Result<> WriteTables(const ModelStatistics& statistics, const std::filesystem::path& path) {
  const auto layers = static_cast<int64_t>(statistics.layers.size());
  const int64_t units = statistics.layers.front().num_units;
  std::vector<TensorSpec> specs;
  UNSWIFT_RETURN_IF_ERROR(ForEachTable([&]<typename T>(const Table<T>& table) -> Result<> {
    specs.push_back({table.name, kDTypeOf<T>, ShapeOf(layers, units, table.per_unit)});
    return {};
  }));
  UNSWIFT_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(
          path, specs, {{"format", kFormat}, {"tokens", std::to_string(statistics.num_tokens)}}));
  UNSWIFT_RETURN_IF_ERROR(ForEachTable([&]<typename T>(const Table<T>& table) -> Result<> {
    for (const LayerStatistics& layer : statistics.layers) {
      UNSWIFT_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(layer.*table.values))));
    }
    return {};
  }));
  return writer.Finish();
}

}  // namespace

Result<> WriteStatistics(const ModelStatistics& statistics, const std::filesystem::path& path,
                         bool replace) {
  return WriteAside(path, replace, [&](const std::filesystem::path& aside) {
    return WriteTables(statistics, aside);
  });
}

Result<ModelStatistics> ReadStatistics(const std::filesystem::path& path) {
  UNSWIFT_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const auto format = file.metadata().find("format");
  const auto min = file.tensors().find("min");
  if (format == file.metadata().end() || format->second != kFormat || min == file.tensors().end() ||
      min->second.shape.size() != 2 || min->second.num_elements() == 0) {
    return MakeError(ErrorCode::kInvalidData,
                     "[read_statistics] {}: expected a statistics file of 'unswift calibrate' ({})",
                     path.string(), kFormat);
  }
  const int64_t layers = min->second.shape[0], units = min->second.shape[1];
  ModelStatistics statistics;
  statistics.layers.resize(layers);
  UNSWIFT_RETURN_IF_ERROR(ForEachTable([&]<typename T>(const Table<T>& table) -> Result<> {
    const auto found = file.tensors().find(table.name);
    const Shape shape = ShapeOf(layers, units, table.per_unit);
    if (found == file.tensors().end() || found->second.dtype != kDTypeOf<T> ||
        found->second.shape != shape) {
      return MakeError(ErrorCode::kInvalidData, "[read_statistics] {}: tensor '{}': expected {} {}",
                       path.string(), table.name, DTypeName(kDTypeOf<T>), ShapeString(shape));
    }
    const int64_t count = units * table.per_unit;
    for (int64_t layer = 0; layer < layers; ++layer) {
      std::vector<T>& values = statistics.layers[layer].*table.values;
      values.resize(count);
      std::memcpy(values.data(), found->second.data + layer * count * sizeof(T), count * sizeof(T));
    }
    return {};
  }));
  if (const auto tokens = file.metadata().find("tokens"); tokens != file.metadata().end()) {
    const std::string& text = tokens->second;
    std::from_chars(text.data(), text.data() + text.size(), statistics.num_tokens);
  }
  for (int64_t layer = 0; layer < layers; ++layer) {
    statistics.layers[layer].num_units = units;
    statistics.layers[layer].num_tokens = statistics.num_tokens;
    Result<> valid = ValidateStatistics(statistics.layers[layer], static_cast<int>(layer));
    if (!valid) {
      return MakeError(ErrorCode::kInvalidData, "[read_statistics] {}: {}", path.string(),
                       valid.error().message);
    }
  }
  return statistics;
}

}  // namespace unswift
