// What each architecture adds to config.json. Internal to model/gguf_*.cc.
#pragma once

#include "unswift/model/gguf_architectures.h"

namespace unswift {

/// Each is a GgufArchitecture::configure.
Result<> ConfigureLlama(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureQwen(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigurePhi3(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureGemma(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureGemma2(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureGemma3(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureGpt2(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigureGptNeoX(const GgufSettings&, const GgufSizes&, Json& config);
Result<> ConfigurePhi2(const GgufSettings&, const GgufSizes&, Json& config);

}  // namespace unswift
