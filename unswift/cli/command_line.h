// What all subcommands share: common flags, output, progress, exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "unswift/base/progress.h"
#include "unswift/base/result.h"
#include "unswift/base/thread_pool.h"
#include "unswift/io/json_fwd.h"
#include "unswift/model/decoder.h"
#include "unswift/release/reader/open_model.h"

namespace unswift {

/// Exit status of the program.
enum ExitStatus : int {
  kDone = 0,  ///< done and, where the command judges something, it holds
  kDoesNotHold = 1,
  kBadInput = 2,  ///< bad usage or bad input
};

struct CommonOptions {
  int threads = 0;  ///< 0 = physical cores
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  OpenModelOptions open;  ///< of the commands with AddModel
  std::string weights;    ///< --weights, of the commands that have it; empty: as stored
  std::string activations = "f32", kv_dtype = "f32";  ///< of the commands with AddRunFlags
};

/// The program: its subcommands add themselves, the chosen one runs.
class CommandLine {
 public:
  using Run = std::function<Result<ExitStatus>()>;

  CommandLine();
  /// Adds a subcommand with the common flags. `run` is called when it was chosen.
  CLI::App* AddCommand(const std::string& name, const std::string& description, Run run);
  /// Gives a subcommand the flag --weights, which OpenForRun follows.
  void AddWeights(CLI::App* command);
  /// Gives a subcommand --activations and --kv-dtype, which MakeDecoder follows.
  void AddRunFlags(CLI::App* command);
  /// Parses and runs; errors go to stderr as one line.
  int Main(int argc, char** argv);

  const CommonOptions& common() const { return common_; }
  OpenModelOptions& open_options() { return common_.open; }
  /// Made at first use with --threads.
  ThreadPool& pool();
  /// Shows stages on stderr when that is a terminal and --quiet is off; else does nothing.
  ProgressFn progress() const;
  /// A line on stderr unless --quiet.
  void Note(const std::string& line) const;
  /// A line on stderr with --verbose.
  void Detail(const std::string& line) const;

 private:
  CLI::App app_;
  CommonOptions common_;
  Run selected_;
  std::unique_ptr<ThreadPool> pool_;
};

/// Prints a JSON value and a newline on stdout; text that is no UTF-8 becomes U+FFFD.
void PrintJson(const Json& json, int indent = 2);

/// OpenModelFiles as the command's flags ask for; keeps the process out of core dumps when they
/// name a private key, and says on stderr what the manifest asks to be shown (recipient, licence,
/// expiry).
Result<OpenedFiles> OpenFilesForRun(CommandLine& line, const std::string& model);

/// OpenFilesForRun, then the tensors; says on stderr what --weights lost.
Result<OpenedModel> OpenForRun(CommandLine& line, const std::string& model);
/// The same with weights as a type's name says (empty, "stored": as stored).
Result<OpenedModel> OpenForRun(CommandLine& line, const std::string& model,
                               const std::string& weights);

/// For commands that read every weight again for every token: copies the weights to memory when
/// there is room for those of all these models (which may be compared). Not from a sealed file,
/// whose memory is locked and stays out of core dumps.
void CopyWeights(CommandLine& line, const std::vector<Model*>& models);
/// OpenForRun and CopyWeights.
Result<OpenedModel> OpenForDecoding(CommandLine& line, const std::string& model);

/// A decoder as the command's flags ask for. Errors: kInvalidArgument (rounded activations for a
/// release).
Result<std::unique_ptr<Decoder>> MakeDecoder(CommandLine& line, const OpenedModel& opened);

/// The positional MODEL argument, and the flags that say which models are taken: every command that
/// opens one has them.
CLI::Option* AddModel(
    CommandLine& line, CLI::App* command, std::string& model,
    const std::string& description = "Hugging Face checkpoint, release or sealed file");
/// The flags alone.
void AddOpenFlags(CommandLine& line, CLI::App* command);

// One function per subcommand, each in the file of its name.
void AddImport(CommandLine& line);
void AddInspect(CommandLine& line);
void AddTokenize(CommandLine& line);
void AddGenerate(CommandLine& line);
void AddChat(CommandLine& line);
void AddLogits(CommandLine& line);
void AddPerplexity(CommandLine& line);
void AddCalibrate(CommandLine& line);
void AddProtect(CommandLine& line);
void AddVerify(CommandLine& line);
void AddBench(CommandLine& line);
void AddAudit(CommandLine& line);
void AddTrace(CommandLine& line);
void AddKeygen(CommandLine& line);
void AddSign(CommandLine& line);
void AddSeal(CommandLine& line);
void AddUnseal(CommandLine& line);

}  // namespace unswift
