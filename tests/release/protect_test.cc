// Releases of tiny models, from checkpoint to logits, without shared data.
#include "unswift/release/maker/protect.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "tests/testing/tiny_model.h"
#include "unswift/model/decoder.h"
#include "unswift/release/reader/open_model.h"

namespace unswift {
namespace {

using Ids = std::vector<int32_t>;

/// Calibrates on given sequences by running the model (runtime/ stands above this folder).
class Recorder final : public MlpObserver {
 public:
  Recorder(const ModelConfig& config, ThreadPool& pool) : config_(config), pool_(pool) {
    ranges_.assign(config.num_hidden_layers, RangeAccumulator(config.intermediate_size));
  }
  void OnMlp(int64_t layer, ConstRows z, ConstRows u, ConstRows) override {
    if (histograms_.empty()) {
      ranges_[layer].Add(z, pool_);
    } else {
      histograms_[layer].Add(z, u, {}, pool_);
    }
  }
  void NextPass() {
    for (size_t l = 0; l < ranges_.size(); ++l) {
      histograms_.emplace_back(ranges_[l].Finish(static_cast<int>(l)).value());
    }
  }
  ModelStatistics Finish() {
    ModelStatistics statistics;
    for (size_t l = 0; l < histograms_.size(); ++l) {
      statistics.layers.push_back(histograms_[l].Finish(static_cast<int>(l)).value());
    }
    return statistics;
  }

 private:
  const ModelConfig& config_;
  ThreadPool& pool_;
  std::vector<RangeAccumulator> ranges_;
  std::vector<HistogramAccumulator> histograms_;
};

class ProtectTest : public testing::Test {
 protected:
  void Prepare(TinyModel tiny, DType dtype = DType::kF32) {
    tiny_ = std::move(tiny);
    std::filesystem::create_directory(source_);
    WriteTinyModel(tiny_, source_, dtype);
    const OpenedModel opened = OpenModel(source_, {}, pool_).value();
    Decoder decoder(opened.model, pool_);
    Recorder recorder(opened.model.config(), pool_);
    for (int pass = 0; pass < 2; ++pass) {
      for (int start = 0; start < 16; ++start) {
        const auto cache = decoder.MakeCache();
        const Ids ids = Text(start);
        const SequenceInput input{cache.get(), ids};
        ASSERT_TRUE(decoder.Forward({&input, 1}, &recorder).has_value());
      }
      if (pass == 0) recorder.NextPass();
    }
    statistics_ = recorder.Finish();
  }

  Ids Text(int start) const { return TinyText(tiny_, start); }

  static ProtectOptions Options(double order) {
    ProtectOptions options;
    options.mean_order = order;
    options.theta_dtype = DType::kF32;
    return options;
  }

  Result<ProtectReport> Make(const ProtectOptions& options) {
    UNSWIFT_ASSIGN_OR_RETURN(const Model original, OpenOriginal(source_, pool_));
    return Protect(source_, original, statistics_, options, target_, pool_, {});
  }

  /// Largest difference between the release's logits and the double-precision original's.
  double LogitError() {
    const OpenedModel release = OpenModel(target_, {}, pool_).value();
    EXPECT_TRUE(release.model.is_release());
    return LargestLogitError(release.model, tiny_, Text(3), pool_);
  }

  /// LogitError of a release, which is removed again.
  double ErrorOf(double order, SeriesBasis basis, bool sign_flip) {
    ProtectOptions options = Options(order);
    options.basis = basis;
    options.sign_flip = sign_flip;
    const auto report = Make(options);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    const double error = LogitError();
    std::filesystem::remove_all(target_);
    return error;
  }

  TempDir directory_;
  std::filesystem::path source_ = directory_.path() / "source";
  std::filesystem::path target_ = directory_.path() / "target";
  ThreadPool pool_{2};
  TinyModel tiny_;
  ModelStatistics statistics_;
};

TEST_F(ProtectTest, EveryKindOfMlpComesBack) {
  struct Kind {
    const char* name;
    TinyModel tiny;
    DType dtype;
  };
  for (Kind kind : {Kind{"llama", MakeTinyLlama(1, true), DType::kF32},
                    Kind{"llama with biases", MakeTinyLlama(2, false, true), DType::kF32},
                    Kind{"llama bf16", MakeTinyLlama(3, false), DType::kBF16},
                    Kind{"gpt2", MakeTinyGpt2(4), DType::kF32}}) {
    SCOPED_TRACE(kind.name);
    Prepare(kind.tiny, kind.dtype);
    for (bool sign_flip : {false, true}) {
      // Order 24 on [-5, 5] leaves about 1e-6 of phi.
      EXPECT_LT(ErrorOf(24, SeriesBasis::kChebyshev, sign_flip), 1e-3);
      // The bases span the same polynomials; at order 10 float32 powers do not yet cancel.
      EXPECT_NEAR(ErrorOf(10, SeriesBasis::kTaylor, sign_flip),
                  ErrorOf(10, SeriesBasis::kChebyshev, sign_flip), 2e-3);
    }
    std::filesystem::remove_all(source_);
  }
}

TEST_F(ProtectTest, HigherOrdersAreCloser) {
  Prepare(MakeTinyLlama(1, true));
  double previous = 1e9;
  for (double order : {2.0, 6.0, 12.0, 20.0}) {
    const auto report = Make(Options(order));
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_NEAR(report->mean_order, order, 1e-9);
    const double error = LogitError();
    EXPECT_LT(error, 0.7 * previous) << order;
    previous = error;
    std::filesystem::remove_all(target_);
  }
}

TEST_F(ProtectTest, CarryBeatsNearestInBf16) {
  Prepare(MakeTinyLlama(5, true));
  double error[2];
  for (bool carry : {false, true}) {
    ProtectOptions options = Options(16);
    options.theta_dtype = DType::kBF16;
    options.carry_rounding = carry;
    ASSERT_TRUE(Make(options).has_value());
    error[carry] = LogitError();
    std::filesystem::remove_all(target_);
  }
  EXPECT_LT(3 * error[true], error[false]);
}

TEST_F(ProtectTest, SomeUnitsOfSomeLayers) {
  Prepare(MakeTinyGpt2(6));
  ProtectOptions options = Options(20);
  options.units_per_layer = 17;
  options.layers = std::vector<int64_t>{1};
  const auto report = Make(options);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->protected_units, 17);
  const OpenedModel release = OpenModel(target_, {}, pool_).value();
  EXPECT_FALSE(release.model.layers()[0].mlp.series.has_value());
  EXPECT_EQ(release.model.layers()[1].mlp.down_proj.weight.cols, 48 - 17);
  EXPECT_LT(LogitError(), 1e-3);
}

TEST_F(ProtectTest, ThePredictedSlowdownIsTheBytesOfTheFiles) {
  Prepare(MakeTinyLlama(7, false));
  ProtectOptions options = Options(9);
  options.theta_dtype = DType::kF16;
  const auto report = Make(options);
  ASSERT_TRUE(report.has_value());
  const OpenedModel original = OpenModel(source_, {}, pool_).value();
  const OpenedModel release = OpenModel(target_, {}, pool_).value();
  // `orders` (one byte a unit) is not read per token in the prediction.
  EXPECT_NEAR(report->predicted_slowdown,
              static_cast<double>(release.model.weight_bytes_per_token()) /
                  static_cast<double>(original.model.weight_bytes_per_token()),
              5e-3);
}

TEST_F(ProtectTest, QuantisedTheta) {
  Prepare(MakeTinyLlama(5, true, false, 64));
  double error[2][2];
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0}) {
    for (const bool carry : {false, true}) {
      ProtectOptions options = Options(16);
      options.theta_dtype = dtype;
      options.carry_rounding = carry;
      options.sign_flip = true;
      const auto report = Make(options);
      ASSERT_TRUE(report.has_value()) << report.error().message;
      EXPECT_NEAR(report->mean_order, 16, 0.3);
      const OpenedModel original = OpenModel(source_, {}, pool_).value();
      const OpenedModel release = OpenModel(target_, {}, pool_).value();
      const SeriesWeights& series = *release.model.layers()[0].mlp.series;
      EXPECT_EQ(series.theta.dtype, dtype);
      EXPECT_EQ(release.model.layers()[0].mlp.up_proj.weight.dtype, DType::kF32);
      for (const int64_t units : series.units_of_order) EXPECT_EQ(units % 32, 0);
      EXPECT_NEAR(report->predicted_slowdown,
                  static_cast<double>(release.model.weight_bytes_per_token()) /
                      static_cast<double>(original.model.weight_bytes_per_token()),
                  1e-2);
      error[dtype == DType::kQ4_0][carry] = LogitError();
      std::filesystem::remove_all(target_);
    }
  }
  EXPECT_LT(3 * error[0][true], error[0][false]);
  EXPECT_LT(error[1][true], error[1][false]);
  EXPECT_LT(5 * error[0][true], error[1][true]);
}

TEST_F(ProtectTest, QuantisedThetaOfAPlainMlp) {
  Prepare(MakeTinyGpt2(6));
  ProtectOptions options = Options(16);
  options.theta_dtype = DType::kQ8_0;
  options.units_per_layer = 32;
  ASSERT_TRUE(Make(options).has_value());
  EXPECT_LT(LogitError(), 5e-2);
  std::filesystem::remove_all(target_);
  options.units_per_layer.reset();  // 48
  const auto report = Make(options);
  ASSERT_FALSE(report.has_value());
  EXPECT_NE(report.error().message.find("multiple of 32"), std::string::npos);
}

TEST_F(ProtectTest, BadRequestsLeaveNothing) {
  Prepare(MakeTinyLlama(1, true));
  const auto refused = [&](const ProtectOptions& options, const char* word) {
    const auto report = Make(options);
    ASSERT_FALSE(report.has_value()) << word;
    EXPECT_NE(report.error().message.find(word), std::string::npos) << report.error().message;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
  };
  ProtectOptions options = Options(40);
  refused(options, "order");
  options = Options(4);
  options.units_per_layer = 25;
  refused(options, "units");
  options = Options(4);
  options.layers = std::vector<int64_t>{2};
  refused(options, "layers");
  options = Options(4);
  options.mean_order.reset();
  options.slowdown = 0.5;
  refused(options, "slowdown");
  statistics_.layers[1].histogram[7] = -1.0f;
  refused(Options(4), "layer 1");
  statistics_.layers.pop_back();
  refused(Options(4), "expected 2 layers");
}

TEST_F(ProtectTest, TheDefaultSlowdownIsTheNearestThatTheModelReaches) {
  Prepare(MakeTinyLlama(1, true));
  ProtectOptions options = Options(4);
  options.units_per_layer = 8;
  options.mean_order.reset();
  options.slowdown = kDefaultSlowdown;
  EXPECT_FALSE(Make(options).has_value());
  options.slowdown.reset();
  const auto made = Make(options);
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_EQ(made->mean_order, 32.0);
  EXPECT_LT(made->predicted_slowdown, kDefaultSlowdown);
}

TEST_F(ProtectTest, AReleaseCannotBeProtectedAgain) {
  Prepare(MakeTinyLlama(1, true));
  ASSERT_TRUE(Make(Options(4)).has_value());
  const auto again = OpenOriginal(target_, pool_);
  ASSERT_FALSE(again.has_value());
  EXPECT_NE(again.error().message.find("release"), std::string::npos);
}

}  // namespace
}  // namespace unswift
