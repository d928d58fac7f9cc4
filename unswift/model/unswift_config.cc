#include "unswift/model/unswift_config.h"

#include "unswift/io/json.h"
#include "unswift/model/model_config.h"

namespace unswift {

Json UnswiftConfig(const Json& original, Json section) {
  section["format_version"] = 1;
  section["model_type"] = original.value("model_type", "");
  section["architectures"] = original.value("architectures", Json::array());
  Json config = original;
  config["unswift"] = std::move(section);
  config["model_type"] = kReleaseModelType;
  config["architectures"] = Json::array({"UnswiftForCausalLM"});
  return config;
}

}  // namespace unswift
