#include <fmt/format.h>

#include <optional>

#include "unswift/base/mapped_file.h"
#include "unswift/cli/command_line.h"
#include "unswift/tokenizer/tokenizer.h"

namespace unswift {
namespace {

struct TokenizeOptions {
  std::string model;
  std::optional<std::string> text, text_file;
  bool no_special = false, decode = false;
};

/// Ids separated by spaces, commas or brackets.
Result<std::vector<int32_t>> ParseIds(const std::string& text) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < text.size();) {
    if (std::string_view(" ,\n\r\t[]").find(text[i]) != std::string_view::npos) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    if (end == i || end - i > 9) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "[tokenize] --decode: expected token ids, got '{}'", text.substr(i, 20));
    }
    ids.push_back(std::stoi(text.substr(i, end - i)));
    i = end;
  }
  return ids;
}

Result<ExitStatus> RunTokenize(CommandLine& line, const TokenizeOptions& options) {
  line.open_options().check_digests = false;  // the weights are not used
  UNSWIFT_ASSIGN_OR_RETURN(const OpenedFiles opened, OpenFilesForRun(line, options.model));
  UNSWIFT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Open(opened.files));
  std::string text = options.text.value_or("");
  if (options.text_file) {
    UNSWIFT_ASSIGN_OR_RETURN(text, ReadFile(*options.text_file));
  }
  std::vector<int32_t> ids;
  if (options.decode) {
    UNSWIFT_ASSIGN_OR_RETURN(ids, ParseIds(text));
    text = tokenizer.Decode(ids, /*skip_special_tokens=*/options.no_special);
  } else {
    UNSWIFT_ASSIGN_OR_RETURN(ids, tokenizer.Encode(text, !options.no_special));
  }
  if (line.common().json) {
    PrintJson({{"ids", ids}, {"text", text}}, -1);
  } else if (options.decode) {
    fmt::print("{}\n", text);
  } else {
    fmt::print("{}\n", fmt::join(ids, " "));
  }
  return kDone;
}

}  // namespace

void AddTokenize(CommandLine& line) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = line.AddCommand("tokenize", "text to token ids, or ids to text",
                                      [&line, options] { return RunTokenize(line, *options); });
  AddModel(line, command, options->model);
  CLI::Option* text = command->add_option("--text", options->text, "text, or ids with --decode");
  CLI::Option* file =
      command->add_option("--text-file", options->text_file, "the same from a file");
  text->excludes(file);
  command->add_flag("--no-special", options->no_special,
                    "add no special tokens (with --decode: leave them out)");
  command->add_flag("--decode", options->decode, "ids to text");
}

}  // namespace unswift
