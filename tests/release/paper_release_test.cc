// The paper preset from checkpoint tensors to the MLP's output, against an independent
// double-precision implementation of the paper's equations (tests/series/paper_reference.py).
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/testing/test_data.h"
#include "unswift/io/json.h"
#include "unswift/ops/activation.h"
#include "unswift/ops/matmul.h"
#include "unswift/ops/series_mlp.h"
#include "unswift/release/maker/layer_writer.h"

namespace unswift {
namespace {

/// A float32 matrix with its storage.
struct Matrix {
  std::vector<float> values;
  int64_t rows = 0, cols = 0;

  explicit Matrix(const Json& json) : rows(json.size()), cols(json[0].size()) {
    for (const Json& row : json) {
      for (const Json& value : row) values.push_back(value.get<float>());
    }
  }
  MatrixView view() const {
    return {DType::kF32, rows, cols, 4 * cols, reinterpret_cast<const std::byte*>(values.data())};
  }
  ConstRows as_rows() const { return {values.data(), rows, cols}; }
};

Activation ActivationOf(const std::string& name) {
  const std::map<std::string, Activation> names = {{"silu", Activation::kSilu},
                                                   {"gelu_erf", Activation::kGeluErf},
                                                   {"gelu_tanh", Activation::kGeluTanh}};
  return names.at(name);
}

const float* FloatsOf(const SafetensorsFile& file, const std::string& name) {
  const auto found = file.tensors().find(name);
  return found == file.tensors().end() ? nullptr
                                       : reinterpret_cast<const float*>(found->second.data);
}

/// What a release of one layer computes: written by the maker, read back, run by the kernels.
class ReleasedMlp {
 public:
  ReleasedMlp(const Json& item, const std::string& model_type, const std::filesystem::path& path)
      : architecture_(**FindArchitecture(model_type)),
        gated_(item["gated"].get<bool>()),
        activation_(ActivationOf(item["activation"])) {
    const Matrix up(item[gated_ ? "up_proj" : "fc1"]), down(item[gated_ ? "down_proj" : "fc2"]);
    const Matrix gate(item[gated_ ? "gate_proj" : "fc1"]);
    MlpSource source;
    source.hidden_size = down.rows;
    source.intermediate_size = down.cols;
    source.weights.up_proj.weight = up.view();
    source.weights.down_proj.weight = down.view();
    if (gated_) {
      source.weights.gate_proj.weight = gate.view();
    } else {
      source.weights.up_proj.bias = item["fc1_bias"].get<std::vector<float>>();
      source.weights.down_proj.bias = item["fc2_bias"].get<std::vector<float>>();
      source.z_bias = item["fc1_bias"].get<std::vector<double>>();
    }
    Write(item, std::move(source), path);
  }

  Matrix Run(const Matrix& x) {
    const WeightNames& names = architecture_.names;
    const SafetensorsFile file = SafetensorsFile::Open(path_).value();
    const auto matrix = [&](std::string_view part) {
      return AsMatrix(file.tensors().at(std::string(part) + ".weight"));
    };
    const bool fused = !names.gate_up_proj.empty();
    const int64_t inner = fused ? matrix(names.gate_up_proj).rows / 2 : matrix(names.up_proj).rows;
    const MatrixView up =
        fused ? matrix(names.gate_up_proj).Rows(inner, inner) : matrix(names.up_proj);
    std::vector<float> u(x.rows * up.rows), z = u;
    const Rows u_rows(u.data(), x.rows, up.rows), z_rows(z.data(), x.rows, up.rows);
    const std::string up_bias = std::string(names.up_proj) + ".bias";
    MatMul(x.as_rows(), up, FloatsOf(file, up_bias), u_rows, pool_);
    if (gated_) {
      const MatrixView gate =
          fused ? matrix(names.gate_up_proj).Rows(0, inner) : matrix(names.gate_proj);
      MatMul(x.as_rows(), gate, nullptr, z_rows, pool_);
    } else {
      z = u;
    }
    const std::string series = std::string(names.series);
    Matrix y = x;
    const Rows out(y.values.data(), y.rows, y.cols);
    units_.centre = {FloatsOf(file, series + ".centre"), static_cast<size_t>(protected_)};
    units_.inv_radius = {FloatsOf(file, series + ".inv_radius"), static_cast<size_t>(protected_)};
    SeriesDownProjection(units_, z_rows.Columns(0, protected_),
                         gated_ ? u_rows.Columns(0, protected_) : ConstRows(),
                         AsMatrix(file.tensors().at(series + ".theta")), out, pool_, false);
    if (const float* bias = FloatsOf(file, series + ".bias")) {
      for (int64_t r = 0; r < out.rows; ++r) {
        for (int64_t c = 0; c < out.cols; ++c) out.row(r)[c] += bias[c];
      }
    }
    const int64_t plain = up.rows - protected_;
    if (plain > 0) {
      const Rows active = z_rows.Columns(protected_, plain);
      if (gated_) {
        GatedActivation(activation_, active, u_rows.Columns(protected_, plain), active, pool_);
      } else {
        PlainActivation(activation_, active, active, pool_);
      }
      MatMul(active, matrix(names.down_proj), nullptr, out, pool_, MatMulMode::kAccumulate);
    }
    return y;
  }

 private:
  void Write(const Json& item, MlpSource source, const std::filesystem::path& path) {
    path_ = path;
    const auto min = item["min"].get<std::vector<float>>();
    const auto max = item["max"].get<std::vector<float>>();
    const std::vector<int64_t> units = SmallestRangeUnits(min, max, item["select_dim"]);
    protected_ = static_cast<int64_t>(units.size());
    const UnitSelection selection =
        SortByOrder(units, std::vector<int32_t>(units.size(), item["order"].get<int>()));
    PaperOptions paper;
    paper.activation = activation_;
    paper.cutoff = item["cutoff"];
    paper.cutoff_order = item["grad_order_min"];
    SeriesFit fit = PaperFit(min, max, paper, selection, source.z_bias);
    const auto signs = item["sign"].get<std::vector<int8_t>>();
    FlipSigns(fit, signs);
    const ProtectedMlp mlp(architecture_, "", std::move(source), selection, std::move(fit), nullptr,
                           signs, DType::kF32);
    auto writer = SafetensorsWriter::Create(path, mlp.Specs());
    ASSERT_TRUE(writer.has_value()) << writer.error().message;
    const Result<> written = writer->AppendPieces(mlp.Pieces(), pool_);
    ASSERT_TRUE(written.has_value()) << written.error().message;
    ASSERT_TRUE(writer->Finish().has_value());
    units_.basis = SeriesBasis::kTaylor;
    units_.guard = SeriesGuard::kTruncate;
    units_.cutoff = static_cast<float>(paper.cutoff);
    units_.cutoff_order = paper.cutoff_order;
    units_.first_order = gated_ ? 0 : 1;
    units_of_order_.assign(item["order"].get<int>() + 1, protected_);
    units_.units_of_order = units_of_order_;
  }

  const Architecture& architecture_;
  bool gated_;
  Activation activation_;
  ThreadPool pool_{2};
  std::filesystem::path path_;
  int64_t protected_ = 0;
  SeriesUnits units_;
  std::vector<int64_t> units_of_order_;
};

TEST(PaperRelease, AgreesWithThePapersEquations) {
  const Json cases = ReadJsonFile("tests/series/golden/paper_cases.json")["cases"];
  ASSERT_GE(cases.size(), 4u);
  const TempDir directory;
  // One architecture for every way that MLP tensors are named and fused.
  const std::vector<std::string> gated = {"llama", "phi3"}, plain = {"gpt2", "phi", "gpt_neox"};
  for (const Json& item : cases) {
    for (const std::string& model_type : item["gated"].get<bool>() ? gated : plain) {
      const std::string name = model_type + " " + item["name"].get<std::string>();
      SCOPED_TRACE(name);
      ReleasedMlp mlp(item, model_type, directory / (name + ".safetensors"));
      const Matrix got = mlp.Run(Matrix(item["inputs"])), want(item["expected_output"]);
      double largest = 0.0;
      for (float value : want.values) largest = std::max<double>(largest, std::abs(value));
      ASSERT_EQ(got.values.size(), want.values.size());
      for (size_t i = 0; i < got.values.size(); ++i) {
        EXPECT_NEAR(got.values[i], want.values[i], 1e-5 * largest) << i;
      }
    }
  }
}

}  // namespace
}  // namespace unswift
