// The whole audit on releases of tiny models.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"
#include "unswift/audit/audit.h"
#include "unswift/release/maker/protect.h"
#include "unswift/runtime/calibration.h"

namespace unswift {
namespace {

class AuditTest : public testing::Test {
 protected:
  void Prepare(TinyModel tiny, DType dtype) {
    tiny_ = std::move(tiny);
    std::filesystem::create_directory(source_);
    WriteTinyModel(tiny_, source_, dtype);
    original_.emplace(OpenModel(source_, {}, pool_).value());
    Decoder decoder(original_->model, pool_);
    TokenWindows windows;
    for (int start = 0; start < 16; ++start) windows.push_back(Text(start));
    statistics_ = Calibrate(decoder, windows, {}, {}).value();
  }

  std::vector<int32_t> Text(int start) const { return TinyText(tiny_, start); }

  void Protect(ProtectOptions options) {
    std::filesystem::remove_all(release_);
    const Model original = OpenOriginal(source_, pool_).value();
    const auto report =
        unswift::Protect(source_, original, statistics_, options, release_, pool_, {});
    ASSERT_TRUE(report.has_value()) << report.error().message;
  }

  static ProtectOptions Options(double order, DType theta = DType::kF32) {
    ProtectOptions options;
    options.mean_order = order;
    options.theta_dtype = theta;
    options.sign_flip = true;
    return options;
  }

  AuditReport Run(const char* attacks, bool with_original = true) {
    std::filesystem::remove_all(recovered_);
    const OpenedModel release = OpenModel(release_, {}, pool_).value();
    AuditOptions options;
    options.attacks = ParseAttacks(attacks).value();
    if (with_original) options.original = &original_->model;
    options.base = &original_->model;
    options.output = recovered_;
    auto report = Audit(release_, release, options, pool_, {});
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return std::move(report).value();
  }

  static const AttackResult& Find(const AuditReport& report, std::string_view name) {
    for (const AttackResult& attack : report.attacks) {
      if (attack.name == name) return attack;
    }
    ADD_FAILURE() << name;
    return report.attacks.front();
  }

  /// Largest difference between the recovered model's logits and the double-precision original's.
  double LogitError() {
    const OpenedModel recovered = OpenModel(recovered_, {}, pool_).value();
    EXPECT_FALSE(recovered.model.is_release());
    return LargestLogitError(recovered.model, tiny_, Text(3), pool_);
  }

  TempDir directory_;
  std::filesystem::path source_ = directory_.path() / "source";
  std::filesystem::path release_ = directory_.path() / "release";
  std::filesystem::path recovered_ = directory_.path() / "recovered";
  ThreadPool pool_{2};
  TinyModel tiny_;
  std::optional<OpenedModel> original_;
  ModelStatistics statistics_;
};

TEST_F(AuditTest, EveryAttackOnAGatedRelease) {
  Prepare(MakeTinyLlama(1, true), DType::kBF16);
  Protect(Options(14));
  const AuditReport report = Run("all");
  ASSERT_EQ(report.attacks.size(), 9u);
  EXPECT_EQ(report.protected_units, 48);
  for (const char* name : {"direct", "least_squares", "rank1", "consistent_rounding"}) {
    EXPECT_EQ(Find(report, name).recovered_fraction, 1.0) << name;
  }
  EXPECT_EQ(Find(report, "consistent_rounding").exact_fraction, 1.0);
  EXPECT_EQ(Find(report, "consistent_rounding").max_relative_error, 0.0);
  EXPECT_FALSE(Find(report, "quantized").applies);
  EXPECT_GT(Find(report, "ratio").recovered_fraction, 0.9);
  EXPECT_EQ(Find(report, "align").recovered_fraction, 1.0);
  EXPECT_EQ(Find(report, "collapse").recovered_fraction, 1.0);
  EXPECT_GT(Find(report, "collapse").speedup.value(), 0.0);
  EXPECT_LT(LogitError(), 1e-4);
}

TEST_F(AuditTest, ABlackBoxLeaksItsWeights) {
  Prepare(MakeTinyLlama(9, true), DType::kF32);
  ProtectOptions options = Options(28);
  options.sign_flip = false;
  Protect(options);
  const AuditReport report = Run("black_box");
  EXPECT_TRUE(Find(report, "black_box").applies);
  EXPECT_EQ(Find(report, "black_box").recovered_fraction, 1.0) << Find(report, "black_box").verdict;
}

TEST_F(AuditTest, ARecoveredCheckpointHasTheOriginalsBytes) {
  Prepare(MakeTinyLlama(2, false), DType::kBF16);
  ProtectOptions options = Options(14);
  options.units_per_layer = 17;
  options.layers = std::vector<int64_t>{1};
  Protect(options);
  const AuditReport report = Run("consistent_rounding");
  EXPECT_EQ(report.protected_units, 17);
  EXPECT_EQ(ReadJsonFile(recovered_ / "config.json"), ReadJsonFile(source_ / "config.json"));
  EXPECT_EQ(ReadTextFile(recovered_ / "tokenizer.json"), ReadTextFile(source_ / "tokenizer.json"));
  EXPECT_FALSE(std::filesystem::exists(recovered_ / kManifestName));
  // Every tensor of the original, and no other; all but the permuted MLP equal.
  const Checkpoint found = Checkpoint::Open(recovered_).value();
  const Checkpoint& truth = original_->model.checkpoint();
  EXPECT_EQ(found.tensors().size(), truth.tensors().size());
  for (const auto& [name, view] : truth.tensors()) {
    const TensorView* other = found.Find(name);
    ASSERT_NE(other, nullptr) << name;
    EXPECT_EQ(other->shape, view.shape) << name;
    EXPECT_EQ(other->dtype, view.dtype) << name;
    if (name.find("layers.1.mlp") != name.npos) continue;
    EXPECT_EQ(std::memcmp(other->data, view.data, view.num_bytes), 0) << name;
  }
  EXPECT_LT(LogitError(), 1e-4);
}

TEST_F(AuditTest, PlainMlpsAndHiddenBiases) {
  for (bool llama : {false, true}) {
    SCOPED_TRACE(llama ? "gated with biases" : "gpt2");
    std::filesystem::remove_all(source_);
    Prepare(llama ? MakeTinyLlama(3, false, /*biases=*/true) : MakeTinyGpt2(4), DType::kF32);
    Protect(Options(24));
    const AuditReport report = Run("least_squares,consistent_rounding,ratio,black_box");
    EXPECT_EQ(Find(report, "consistent_rounding").recovered_fraction, 1.0);
    EXPECT_FALSE(Find(report, "black_box").applies);
    // Float32 originals have no grid: as good as the fit of order 24.
    EXPECT_LT(LogitError(), 2e-3);
  }
}

TEST_F(AuditTest, ThePapersPreset) {
  Prepare(MakeTinyLlama(5, true), DType::kBF16);
  ProtectOptions options = Options(8, DType::kBF16);
  options.paper = true;
  options.basis = SeriesBasis::kTaylor;
  options.guard = SeriesGuard::kTruncate;
  options.allocation = Allocation::kUniform;
  options.carry_rounding = false;
  options.units_per_layer = 16;
  Protect(options);
  const AuditReport report = Run("direct,least_squares,ratio");
  EXPECT_EQ(Find(report, "least_squares").recovered_fraction, 1.0);
  EXPECT_EQ(Find(report, "direct").recovered_fraction, 1.0);
}

TEST_F(AuditTest, EstimatesWithoutTheOriginal) {
  Prepare(MakeTinyLlama(6, true), DType::kBF16);
  Protect(Options(14));
  const AuditReport report = Run("least_squares,consistent_rounding", /*with_original=*/false);
  const AttackResult& exact = Find(report, "consistent_rounding");
  EXPECT_TRUE(exact.estimated);
  EXPECT_EQ(exact.recovered_fraction, 1.0);
  EXPECT_LT(exact.max_relative_error, 1e-4);
  const AttackResult& squares = Find(report, "least_squares");
  EXPECT_LT(squares.max_relative_error, 1e-2);
  EXPECT_GT(squares.max_relative_error, 1e-9);
}

TEST_F(AuditTest, TamperingAndTheRecipient) {
  Prepare(MakeTinyLlama(7, true), DType::kBF16);
  ProtectOptions options = Options(6);
  options.recipient = "ACME Corporation";
  Protect(options);
  const AuditReport report = Run("collapse");
  for (const GameResult& game : report.games) {
    if (game.game != "TRACE" && game.game != "TAMPER") continue;
    EXPECT_TRUE(game.measured) << game.game;
    EXPECT_EQ(game.value, game.game == "TAMPER" ? 1.0 : 0.0) << game.verdict;
  }
}

TEST_F(AuditTest, BadRequestsAreRefused) {
  Prepare(MakeTinyLlama(8, true), DType::kBF16);
  Protect(Options(6));
  const OpenedModel release = OpenModel(release_, {}, pool_).value();
  AuditOptions options;
  options.attacks = ParseAttacks("direct").value();
  const auto plain = Audit(source_, *original_, options, pool_, {});
  ASSERT_FALSE(plain.has_value());
  EXPECT_NE(plain.error().message.find("expected a release"), std::string::npos);
  options.original = &release.model;
  const auto twice = Audit(release_, release, options, pool_, {});
  ASSERT_FALSE(twice.has_value());
  EXPECT_NE(twice.error().message.find("original"), std::string::npos);
  options.original = nullptr;
  options.output = source_;
  const auto there = Audit(release_, release, options, pool_, {});
  ASSERT_FALSE(there.has_value());
  EXPECT_EQ(there.error().code, ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace unswift
