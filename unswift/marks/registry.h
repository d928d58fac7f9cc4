// The registry of recipients: the owner's secret file, from which marks are made and found again.
//
// JSON {"format_version": 1, "original": directory, "key": base64, "recipients": [{"name": ...,
// "key": base64}, ...]}.
// Whoever has it can remove or forge marks, so it is for its owner's eyes alone (mode 0600).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unswift/base/result.h"
#include "unswift/provenance/secret_memory.h"

namespace unswift {

inline constexpr size_t kMarkKeyBytes = 32;
using MarkKey = std::span<const std::byte, kMarkKeyBytes>;

/// Keys stay in SecretMemory; nothing prints them.
class Registry {
 public:
  /// With a new random key and nobody in it.
  static Result<Registry> Create();
  /// Errors: kNotFound; kInvalidData naming the file (not the format; a file that others may read
  /// or write; a name twice; more than kMaxRecipients).
  static Result<Registry> Read(const std::filesystem::path& path);
  /// Whole or not at all, mode 0600. Errors: kIo.
  Result<> Write(const std::filesystem::path& path) const;

  static constexpr size_t kMaxRecipients = 1'000'000;

  /// Position of a recipient, who is added with a new key when not there yet. Errors:
  /// kInvalidArgument for a name that is empty, longer than 256 bytes or not UTF-8.
  Result<size_t> FindOrAdd(const std::string& name);

  /// What positions and biases are drawn from: the same for all recipients.
  MarkKey key() const { return KeyAt(0); }
  /// Directory of the original that was marked last; may be empty.
  const std::string& original() const { return original_; }
  void set_original(std::string directory) { original_ = std::move(directory); }
  size_t size() const { return names_.size(); }
  const std::string& name(size_t recipient) const { return names_[recipient]; }
  /// What a recipient's codeword is drawn from.
  MarkKey recipient_key(size_t recipient) const { return KeyAt(recipient + 1); }

 private:
  MarkKey KeyAt(size_t index) const {
    return keys_[index / kKeysPerPage]
        .bytes()
        .subspan(index % kKeysPerPage * kMarkKeyBytes)
        .first<kMarkKeyBytes>();
  }
  Result<std::span<std::byte>> AddKey();

  static constexpr size_t kKeysPerPage = 128;
  std::vector<SecretMemory> keys_;  // pages of keys: the registry's, then one per recipient
  size_t num_keys_ = 0;
  std::vector<std::string> names_;
  std::string original_;
};

}  // namespace unswift
