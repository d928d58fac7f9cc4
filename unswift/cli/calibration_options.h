// The calibration flags and work that 'calibrate' and 'protect' share.
#pragma once

#include <string>
#include <vector>

#include "unswift/cli/command_line.h"
#include "unswift/runtime/calibration.h"

namespace unswift {

struct CalibrationFlags {
  std::vector<std::string> text_files;  ///< empty: the model writes the text
  CalibrationOptions options;
};

void AddCalibrationFlags(CLI::App* command, CalibrationFlags& flags);

/// Opens the original, makes or reads the text, and calibrates.
Result<ModelStatistics> CalibrateModel(CommandLine& line, const std::string& model,
                                       const CalibrationFlags& flags);

}  // namespace unswift
