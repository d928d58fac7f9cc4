#include "unswift/marks/mark_checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/testing/opened_model.h"
#include "tests/testing/test_data.h"
#include "unswift/base/random.h"
#include "unswift/io/json.h"
#include "unswift/marks/detector.h"
#include "unswift/marks/mark_code.h"
#include "unswift/marks/mark_positions.h"
#include "unswift/provenance/encoding.h"
#include "unswift/tensor/convert.h"

namespace unswift {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnits = 4096;  // enough weights for a few thousand marks

/// An original in bf16, a registry of three, and copies for them.
class MarksTest : public ::testing::Test {
 protected:
  void SetUp() override { WriteTinyModel(tiny_, source_, DType::kBF16); }

  /// Keys that do not change from run to run.
  Registry FixedRegistry(const std::vector<std::string>& names, char seed) const {
    const auto key = [&](size_t i) {
      return Base64(AsBytes(std::string(kMarkKeyBytes - 1, seed) + static_cast<char>(i)));
    };
    Json json = {{"format_version", 1}, {"key", key(0)}, {"recipients", Json::array()}};
    for (size_t i = 0; i < names.size(); ++i) {
      json["recipients"].push_back({{"name", names[i]}, {"key", key(i + 1)}});
    }
    const fs::path path = directory_ / "registry.json";
    WriteTextFile(path, json.dump());
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    return Registry::Read(path).value();
  }

  Model OpenKept(const fs::path& directory) const {
    return Model::Bind(ReadModelConfig(directory).value(), Checkpoint::Open(directory).value(), {},
                       Conv1dWeights::kKeep)
        .value();
  }

  fs::path MarkFor(size_t recipient, int threads = 2) {
    const fs::path target = directory_ / ("copy" + std::to_string(num_copies_++));
    fs::create_directory(target);
    ThreadPool pool(threads);
    const auto marks =
        MarkCheckpoint(source_, OpenKept(source_), registry_, recipient, target, pool, {});
    EXPECT_TRUE(marks.has_value()) << marks.error().message;
    num_marks_ = marks.value_or(0);
    return target;
  }

  TraceReport Trace(const fs::path& suspect) {
    ThreadPool pool(2);
    const auto report =
        TraceMarks(OpenPlainModel(suspect), OpenPlainModel(source_), registry_, pool, {});
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report.value_or(TraceReport());
  }

  void ExpectNamed(const TraceReport& report, const std::string& name) {
    ASSERT_EQ(report.recipients.size(), size_t{3});
    EXPECT_EQ(report.recipients[0].name, name);
    EXPECT_GE(report.recipients[0].z, kNamedScore);
    EXPECT_LT(report.recipients[1].z, 5.0);
  }

  /// A copy whose tensors `change` has changed, as float32.
  template <typename Fn>
  fs::path Changed(const fs::path& model, const Fn& change) {
    TinyModel copy = tiny_;
    const Checkpoint checkpoint = Checkpoint::Open(model).value();
    for (auto& [name, values] : copy.tensors) {
      const TensorView view = checkpoint.Get(name).value();
      RowToF32(view.dtype, view.data, values);
    }
    change(copy);
    const fs::path target = directory_ / ("changed" + std::to_string(num_copies_++));
    fs::create_directory(target);
    WriteTinyModel(copy, target);
    return target;
  }

  TempDir directory_;
  const fs::path source_ = [this] {
    fs::create_directory(directory_ / "original");
    return directory_ / "original";
  }();
  TinyModel tiny_ = MakeTinyLlama(3, true, false, kUnits);
  Registry registry_ = FixedRegistry({"alice", "bob", "carol"}, 'k');
  int num_copies_ = 0;
  int64_t num_marks_ = 0;
};

TEST_F(MarksTest, OnlyMarkedWeightsMoveAndByOneStep) {
  const fs::path copy = MarkFor(0);
  const Checkpoint before = Checkpoint::Open(source_).value(),
                   after = Checkpoint::Open(copy).value();
  int64_t changed = 0;
  for (const auto& [name, view] : before.tensors()) {
    const TensorView other = after.Get(name).value();
    ASSERT_EQ(other.num_bytes, view.num_bytes);
    const auto* a = reinterpret_cast<const uint16_t*>(view.data);
    const auto* b = reinterpret_cast<const uint16_t*>(other.data);
    for (int64_t i = 0; i < view.num_elements(); ++i) {
      if (a[i] == b[i]) continue;
      EXPECT_EQ(std::abs(int(a[i]) - int(b[i])), 1) << name;
      ++changed;
    }
  }
  EXPECT_EQ(changed, num_marks_);
  const int64_t weights = 2 * (3 * 16 * kUnits + 16 * 16);
  EXPECT_NEAR(double(changed), weights / 64.0, 5.0 * std::sqrt(weights / 64.0));
}

TEST_F(MarksTest, TheCopyDoesNotDependOnTheNumberOfThreads) {
  const fs::path one = MarkFor(1, 1), three = MarkFor(1, 3), other = MarkFor(2, 1);
  EXPECT_EQ(ReadTextFile(one / "model.safetensors"), ReadTextFile(three / "model.safetensors"));
  EXPECT_NE(ReadTextFile(one / "model.safetensors"), ReadTextFile(other / "model.safetensors"));
  EXPECT_EQ(ReadTextFile(one / "tokenizer.json"), ReadTextFile(source_ / "tokenizer.json"));
}

TEST_F(MarksTest, EachCopyNamesItsRecipientAndTheOriginalNobody) {
  ExpectNamed(Trace(MarkFor(0)), "alice");
  ExpectNamed(Trace(MarkFor(2)), "carol");
  const TraceReport clean = Trace(source_);
  EXPECT_EQ(clean.recipients[0].z, 0.0);
  EXPECT_EQ(clean.positions, num_marks_);
}

TEST_F(MarksTest, AStrangersRegistryNamesNobody) {
  const fs::path copy = MarkFor(0);
  registry_ = FixedRegistry({"dave"}, 's');
  EXPECT_LT(Trace(copy).recipients[0].z, 5.0);
}

TEST_F(MarksTest, SurvivesReorderedAndRescaledUnits) {
  const fs::path suspect = Changed(MarkFor(1), [&](TinyModel& copy) {
    Random random(4);
    for (const std::string layer : {"model.layers.0.mlp.", "model.layers.1.mlp."}) {
      std::vector<int64_t> order(kUnits);
      for (int64_t j = 0; j < kUnits; ++j) order[j] = j;
      for (int64_t j = kUnits - 1; j > 0; --j) std::swap(order[j], order[random.NextBelow(j + 1)]);
      auto& gate = copy.tensors[layer + "gate_proj.weight"];
      auto& up = copy.tensors[layer + "up_proj.weight"];
      auto& down = copy.tensors[layer + "down_proj.weight"];
      const auto old_gate = gate, old_up = up, old_down = down;
      for (int64_t j = 0; j < kUnits; ++j) {
        const float scale =
            static_cast<float>((j % 2 == 0 ? 1.0 : -1.0) * std::exp(random.NextNormal()));
        for (int64_t i = 0; i < 16; ++i) {
          gate[j * 16 + i] = old_gate[order[j] * 16 + i];
          up[j * 16 + i] = scale * old_up[order[j] * 16 + i];
          down[i * kUnits + j] = old_down[i * kUnits + order[j]] / scale;
        }
      }
    }
  });
  const TraceReport report = Trace(suspect);
  ExpectNamed(report, "bob");
  EXPECT_GT(report.matched_units, report.units * 95 / 100);  // hidden size 16: cosines collide
}

TEST_F(MarksTest, SurvivesNoiseAndPruning) {
  const fs::path suspect = Changed(MarkFor(1), [&](TinyModel& copy) {
    Random random(8);
    for (auto& [name, values] : copy.tensors) {
      if (name.find("proj") == name.npos) continue;
      double square = 0.0;
      for (const float v : values) square += double(v) * v;
      const double rms = std::sqrt(square / double(values.size()));
      for (float& v : values) {
        v = std::abs(v) < 0.385 * rms ? 0.0f
                                      : v + static_cast<float>(0.005 * rms * random.NextNormal());
      }
    }
  });
  ExpectNamed(Trace(suspect), "bob");
}

TEST_F(MarksTest, FusedAndTransposedMatricesAreMarkedWhereTheyAreReadAgain) {
  tiny_ = MakeTinyGpt2(5);
  fs::remove_all(source_);
  fs::create_directory(source_);
  WriteTinyModel(tiny_, source_);
  const fs::path copy = MarkFor(0);
  const TraceReport report = Trace(copy);
  EXPECT_EQ(report.positions, num_marks_);
  EXPECT_GT(num_marks_, 20);
  EXPECT_EQ(report.recipients[0].name, "alice");
  EXPECT_GT(report.recipients[0].z, 3.0);  // as much as so few marks can say
}

TEST_F(MarksTest, AModelOfAnotherShapeIsRefused) {
  const TinyModel other = MakeTinyLlama(3, true, false, 24);
  TinyModel copy = other;
  const fs::path target = directory_ / "other";
  fs::create_directory(target);
  WriteTinyModel(copy, target);
  ThreadPool pool(1);
  const auto report =
      TraceMarks(OpenPlainModel(target), OpenPlainModel(source_), registry_, pool, {});
  ASSERT_FALSE(report.has_value());
  EXPECT_NE(report.error().message.find("[trace] base: expected"), std::string::npos);
}

TEST(StepWeight, MovesOneBf16StepInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const float value : {0.75f, -0.01f, 3.5f}) {
      for (const int direction : {1, -1}) {
        std::byte stored[4];
        RowFromF32(dtype, {&value, 1}, stored);
        float before, after;
        RowToF32(dtype, stored, {&before, 1});
        ASSERT_TRUE(StepWeight(dtype, stored, direction));
        RowToF32(dtype, stored, {&after, 1});
        const float change = (std::abs(after) - std::abs(before)) / std::abs(before);
        EXPECT_EQ(change > 0.0f, direction > 0);
        EXPECT_GE(std::abs(change), 0x1p-8f);
        EXPECT_LE(std::abs(change), 0x1p-7f);
      }
    }
    const float zero = 0.0f;
    std::byte stored[4];
    RowFromF32(dtype, {&zero, 1}, stored);
    EXPECT_FALSE(StepWeight(dtype, stored, 1));
  }
}

}  // namespace
}  // namespace unswift
