#include "unswift/audit/linear_algebra.h"

#include <gtest/gtest.h>

#include <cmath>

#include "unswift/base/random.h"

namespace unswift {
namespace {

Eigen::MatrixXd Noise(int rows, int cols, uint64_t seed) {
  Random random(seed);
  return Eigen::MatrixXd::NullaryExpr(rows, cols, [&]() { return random.NextNormal(); });
}

TEST(PolarFactor, UndoesASymmetricFactor) {
  const Eigen::MatrixXd identity = Eigen::MatrixXd::Identity(24, 24);
  const Eigen::MatrixXd rotation = PolarFactor(Noise(24, 24, 1)).value();
  EXPECT_LT((rotation.transpose() * rotation - identity).norm(), 1e-12);
  // Condition 1e8, and a factor: neither matters.
  Eigen::VectorXd scales(24);
  for (int i = 0; i < 24; ++i) scales[i] = std::pow(10.0, -8.0 * i / 23.0);
  const Eigen::MatrixXd axes = PolarFactor(Noise(24, 24, 2)).value();
  const Eigen::MatrixXd positive = 7.0 * axes * scales.asDiagonal() * axes.transpose();
  EXPECT_LT((PolarFactor(rotation * positive).value() - rotation).norm(), 1e-6);
}

TEST(PolarFactor, OfASingularMatrixIsNotDetermined) {
  EXPECT_FALSE(PolarFactor(Eigen::MatrixXd::Zero(5, 5)).has_value());
  EXPECT_FALSE(PolarFactor(Noise(9, 8, 3) * Noise(8, 9, 4)).has_value());
}

TEST(SolveLeastSquares, FindsTheSolution) {
  const Eigen::MatrixXd features = Noise(40, 10, 5), truth = Noise(10, 3, 6);
  EXPECT_LT((SolveLeastSquares(features, features * truth) - truth).norm(), 1e-10);
}

}  // namespace
}  // namespace unswift
