#include "unswift/audit/linear_algebra.h"

#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <cmath>

namespace unswift {
namespace {

constexpr int kMaxPolarSteps = 40;  // a dozen at condition 1e10
// Larger than this, rounding decides which q comes out.
constexpr double kMaxCondition = 1e12;

}  // namespace

Eigen::VectorXd SolveSymmetric(const Eigen::MatrixXd& a, const Eigen::VectorXd& b) {
  return a.ldlt().solve(b);
}

Eigen::MatrixXd SolveLeastSquares(const Eigen::MatrixXd& features, const Eigen::MatrixXd& answers) {
  Eigen::MatrixXd normal = features.transpose() * features;
  normal.diagonal() *= 1.0 + 1e-13;
  const Eigen::MatrixXd right = features.transpose() * answers;
  return normal.llt().solve(right);
}

std::optional<Eigen::MatrixXd> PolarFactor(Eigen::MatrixXd a) {
  const double tolerance = 1e-13 * static_cast<double>(a.rows());
  for (int step = 0; step < kMaxPolarSteps; ++step) {
    const Eigen::MatrixXd inverse = a.partialPivLu().inverse();
    const double size = a.norm(), inverse_size = inverse.norm();
    // Not a number fails, too. The condition is largest at the start.
    if (!(size * inverse_size < kMaxCondition)) return std::nullopt;
    // Scaling is for the way there; at the end the iteration converges quadratically by itself.
    const double balanced = std::sqrt(inverse_size / size);
    const double scale = std::abs(balanced - 1.0) < 1e-2 ? 1.0 : balanced;
    const Eigen::MatrixXd next = 0.5 * (scale * a + inverse.transpose() / scale);
    const double change = (next - a).norm() / next.norm();
    a = next;
    if (change < tolerance) return a;
  }
  return std::nullopt;
}

}  // namespace unswift
