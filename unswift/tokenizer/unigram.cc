#include "unswift/tokenizer/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "unswift/io/json.h"
#include "unswift/io/text.h"
#include "unswift/tokenizer/byte_tokens.h"
#include "unswift/tokenizer/sorted_pieces.h"
#include "unswift/tokenizer/utf8.h"

namespace unswift {
namespace {

constexpr double kUnknownPenalty = 10.0;
constexpr size_t kKeptBytes = 1 << 16;  // one huge word must not keep its memory

/// The best way to a place between two characters.
struct Arrival {
  double score = 0.0;
  int32_t id = -1;  // of the piece that ends here; -1: none does
  size_t from = 0;
};

struct UnigramScratch final : ModelScratch {
  std::vector<Arrival> arrivals;
  std::vector<std::pair<size_t, size_t>> pieces;  // spans, the last one first
};

class UnigramModel final : public Model {
 public:
  static Result<std::unique_ptr<Model>> Make(const Json& json, const PartContext& context) {
    auto model = std::make_unique<UnigramModel>();
    UNSWIFT_RETURN_IF_ERROR(model->ReadPieces(json, context));
    UNSWIFT_ASSIGN_OR_RETURN(const int64_t unknown, PartField<int64_t>(json, "unk_id", context));
    if (unknown < 0 || unknown >= model->vocabulary_.size()) {
      return MakeError(ErrorCode::kInvalidData,
                       "[open_tokenizer] {}: Unigram: 'unk_id': expected an id of 'vocab', got {}",
                       context.what, unknown);
    }
    model->unknown_id_ = static_cast<int32_t>(unknown);
    UNSWIFT_ASSIGN_OR_RETURN(model->fuse_unknown_,
                             PartFieldOr<bool>(json, "fuse_unk", true, context));
    UNSWIFT_ASSIGN_OR_RETURN(model->byte_tokens_,
                             ByteTokens::FromJson(json, model->vocabulary_, context));
    return model;
  }

  void Tokenize(std::string_view word, ModelScratch& model_scratch,
                std::vector<int32_t>& ids) const override {
    auto& scratch = static_cast<UnigramScratch&>(model_scratch);
    FindBestPath(word, scratch.arrivals);
    Trace(scratch);
    for (auto piece = scratch.pieces.rbegin(); piece != scratch.pieces.rend(); ++piece) {
      AppendIds(word.substr(piece->first, piece->second - piece->first), ids);
    }
    if (scratch.arrivals.capacity() > kKeptBytes) scratch = {};
  }

  std::unique_ptr<ModelScratch> NewScratch() const override {
    return std::make_unique<UnigramScratch>();
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  /// "vocab": [["piece", score], ...], an id each.
  Result<> ReadPieces(const Json& json, const PartContext& context) {
    UNSWIFT_ASSIGN_OR_RETURN(const Json* pieces, PartArray(json, "vocab", context));
    Json ids = Json::object();
    for (const Json& piece : *pieces) {
      const bool is_pair = piece.is_array() && piece.size() == 2 && piece[0].is_string() &&
                           piece[1].is_number() && std::isfinite(piece[1].get<double>());
      if (!is_pair || !ids.emplace(piece[0].get<std::string>(), scores_.size()).second) {
        return MakeError(ErrorCode::kInvalidData,
                         "[open_tokenizer] {}: Unigram: 'vocab': expected different pieces, each "
                         "with its score, got {} at {}",
                         context.what,
                         Shorten(piece.dump(-1, ' ', true, Json::error_handler_t::replace)),
                         scores_.size());
      }
      scores_.push_back(piece[1].get<double>());
      unknown_score_ = std::min(unknown_score_, scores_.back() - kUnknownPenalty);
    }
    UNSWIFT_ASSIGN_OR_RETURN(vocabulary_, Vocabulary::FromJson(ids, context));
    std::vector<std::pair<std::string_view, int32_t>> texts;
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      if (!vocabulary_.Token(id)->empty()) texts.emplace_back(*vocabulary_.Token(id), id);
    }
    pieces_ = SortedPieces(std::move(texts));
    return {};
  }

  static void Arrive(Arrival& at, double score, int32_t id, size_t from) {
    if (at.id < 0 || score > at.score) at = {score, id, from};
  }

  /// Viterbi: every place is reached, for a character that is no piece is an unknown one.
  void FindBestPath(std::string_view word, std::vector<Arrival>& arrivals) const {
    arrivals.assign(word.size() + 1, {});
    for (size_t at = 0; at < word.size();) {
      const double score = arrivals[at].score;
      const size_t length = Utf8Length(word[at]);
      bool is_piece = false;
      pieces_.ForEachPrefix(word.substr(at), [&](size_t size, int32_t id) {
        Arrive(arrivals[at + size], score + scores_[id], id, at);
        is_piece |= size == length;
      });
      if (!is_piece) Arrive(arrivals[at + length], score + unknown_score_, unknown_id_, at);
      at += length;
    }
  }

  /// The path's pieces from the end; unknown neighbours are one.
  void Trace(UnigramScratch& scratch) const {
    scratch.pieces.clear();
    bool fusing = false;
    for (size_t end = scratch.arrivals.size() - 1; end > 0;) {
      const Arrival& arrival = scratch.arrivals[end];
      const bool unknown = fuse_unknown_ && arrival.id == unknown_id_;
      if (unknown && fusing) {
        scratch.pieces.back().first = arrival.from;
      } else {
        scratch.pieces.emplace_back(arrival.from, end);
      }
      fusing = unknown;
      end = arrival.from;
    }
  }

  void AppendIds(std::string_view piece, std::vector<int32_t>& ids) const {
    if (const std::optional<int32_t> id = vocabulary_.Find(piece)) {
      ids.push_back(*id);
      return;
    }
    if (!byte_tokens_.HasAll(piece)) {
      ids.push_back(unknown_id_);
      return;
    }
    for (const char byte : piece) ids.push_back(byte_tokens_.Id(byte));
  }

  Vocabulary vocabulary_;
  SortedPieces pieces_;
  std::vector<double> scores_;  // of each id
  double unknown_score_ = std::numeric_limits<double>::infinity();
  int32_t unknown_id_ = 0;
  bool fuse_unknown_ = true;
  ByteTokens byte_tokens_;
};

}  // namespace

Result<std::unique_ptr<Model>> MakeUnigramModel(const Json& json, const PartContext& context) {
  return UnigramModel::Make(json, context);
}

}  // namespace unswift
