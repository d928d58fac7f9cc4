#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "unswift/cli/command_line.h"
#include "unswift/io/text.h"

namespace unswift {
namespace {

Json DTypeBytes(const Model& model) {
  Json bytes = Json::object();
  for (const auto& [name, tensor] : model.checkpoint().tensors()) {
    const std::string dtype(DTypeName(tensor.dtype));
    bytes[dtype] = bytes.value(dtype, int64_t{0}) + tensor.num_bytes;
  }
  return bytes;
}

/// {"4": 120, "15": 31, ...}: protected units per order.
Json OrderCounts(const Model& model) {
  std::map<int, int64_t> counts;
  for (const LayerWeights& layer : model.layers()) {
    if (!layer.mlp.series) continue;
    for (uint8_t order : layer.mlp.series->orders) ++counts[order];
  }
  Json json = Json::object();
  for (const auto& [order, count] : counts) json[std::to_string(order)] = count;
  return json;
}

Json SeriesJson(const Model& model, const Manifest& manifest) {
  return {{"basis", BasisName(manifest.basis)},
          {"guard", GuardName(manifest.guard)},
          {"dtype", DTypeName(manifest.theta_dtype)},
          {"preset", manifest.preset},
          {"allocation", manifest.allocation},
          {"rounding", manifest.rounding},
          {"sign_flip", manifest.sign_flip},
          {"mean_order", manifest.mean_order},
          {"orders", OrderCounts(model)},
          {"layers", manifest.layers.size()},
          {"units", manifest.protected_units()},
          {"predicted_slowdown", manifest.predicted_slowdown}};
}

Json Describe(const OpenedModel& opened) {
  const Model& model = opened.model;
  const ModelConfig& config = model.config();
  int64_t bytes = 0;
  for (const auto& [name, tensor] : model.checkpoint().tensors()) bytes += tensor.num_bytes;
  Json json = {{"architecture", config.architecture->name},
               {"model_type", config.architecture->model_type},
               {"parameters", model.num_parameters()},
               {"bytes", bytes},
               {"weight_bytes_per_token", model.weight_bytes_per_token()},
               {"dtypes", DTypeBytes(model)},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"vocab_size", config.vocab_size},
               {"max_position_embeddings", config.max_position_embeddings},
               {"context_length", config.context_length},
               {"series", nullptr}};
  if (!opened.manifest) return json;
  const Manifest& manifest = *opened.manifest;
  json["series"] = SeriesJson(model, manifest);
  json["generator"] = manifest.generator;
  json["release_version"] = manifest.release_version == 0 ? Json() : Json(manifest.release_version);
  json["recipient"] = manifest.recipient.empty() ? Json() : Json(manifest.recipient);
  json["licence"] = manifest.licence.empty() ? Json() : Json(manifest.licence);
  json["expires"] = manifest.expires.empty() ? Json() : Json(manifest.expires);
  json["digests"] = Json::object();
  for (const ManifestFile& file : manifest.files) json["digests"][file.path] = file.sha256;
  return json;
}

void PrintOrders(const Json& orders) {
  int64_t largest = 1;
  std::map<int, int64_t> counts;
  for (const auto& [order, count] : orders.items()) {
    counts[std::stoi(order)] = count.get<int64_t>();
    largest = std::max(largest, count.get<int64_t>());
  }
  fmt::print("  units by order:\n");
  for (const auto& [order, count] : counts) {
    const std::string bar(static_cast<size_t>((40 * count + largest - 1) / largest), '#');
    fmt::print("    {:>2} {:>8} {}\n", order, count, bar);
  }
}

void PrintText(const Json& json) {
  const auto megabytes = [](const Json& bytes) { return bytes.get<double>() / 1e6; };
  fmt::print("{} ({})\n", json["architecture"].get<std::string>(),
             json["series"].is_null() ? "plain" : "release");
  fmt::print("  parameters             {}\n", json["parameters"].get<int64_t>());
  fmt::print("  weights                {:.1f} MB", megabytes(json["bytes"]));
  for (const auto& [dtype, bytes] : json["dtypes"].items()) {
    fmt::print(", {} {:.1f} MB", dtype, megabytes(bytes));
  }
  fmt::print("\n  read per token         {:.1f} MB\n", megabytes(json["weight_bytes_per_token"]));
  fmt::print("  layers x hidden x mlp  {} x {} x {}\n", json["num_hidden_layers"].get<int64_t>(),
             json["hidden_size"].get<int64_t>(), json["intermediate_size"].get<int64_t>());
  fmt::print("  vocabulary, context    {}, {}\n", json["vocab_size"].get<int64_t>(),
             json["context_length"].get<int64_t>());
  if (json["series"].is_null()) return;
  const Json& series = json["series"];
  fmt::print("  series                 {} basis, {} guard, theta {} ({} rounding, {} orders)\n",
             series["basis"].get<std::string>(), series["guard"].get<std::string>(),
             series["dtype"].get<std::string>(), series["rounding"].get<std::string>(),
             series["allocation"].get<std::string>());
  fmt::print("  protected              {} units in {} layers, mean order {:.2f}\n",
             series["units"].get<int64_t>(), series["layers"].get<int64_t>(),
             series["mean_order"].get<double>());
  fmt::print("  predicted slowdown     {:.2f}x\n", series["predicted_slowdown"].get<double>());
  if (!json["release_version"].is_null()) {
    fmt::print("  {:<22} {}\n", "release version", json["release_version"].get<int64_t>());
  }
  for (const char* key : {"recipient", "licence", "expires"}) {
    if (!json[key].is_null())
      fmt::print("  {:<22} {}\n", key, Printable(json[key].get<std::string>()));
  }
  PrintOrders(series["orders"]);
  fmt::print("  {} files match their SHA-256\n", json["digests"].size());
}

Result<ExitStatus> RunInspect(CommandLine& line, const std::string& directory) {
  line.open_options().ignore_expiry = true;  // to be looked at, not run
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedModel opened, OpenForRun(line, directory));
  const Json json = Describe(opened);
  if (line.common().json) {
    PrintJson(json);
  } else {
    PrintText(json);
  }
  return kDone;
}

}  // namespace

void AddInspect(CommandLine& line) {
  auto model = std::make_shared<std::string>();
  CLI::App* command =
      line.AddCommand("inspect", "say what a model or release is, and check a release's digests",
                      [&line, model] { return RunInspect(line, *model); });
  AddModel(line, command, *model);
}

}  // namespace unswift
