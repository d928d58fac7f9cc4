// The settings that the Metaspace pre-tokenizer and decoder share.
#pragma once

#include <string>

#include "unswift/tokenizer/part.h"

namespace unswift {

enum class MetaspacePrepend { kAlways, kFirst, kNever };

struct MetaspaceSettings {
  std::string replacement = "\xE2\x96\x81";  ///< one character, U+2581 by default
  MetaspacePrepend prepend = MetaspacePrepend::kAlways;
  bool split = true;

  /// Also reads the older form with "add_prefix_space". Errors: kInvalidData, kUnsupported.
  static Result<MetaspaceSettings> FromJson(const Json& json, const PartContext& context);
};

}  // namespace unswift
