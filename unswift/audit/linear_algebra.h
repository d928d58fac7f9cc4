// The decompositions that the audit needs. Eigen's take long to compile: they are instantiated in
// linear_algebra.cc alone, and other files include Eigen/Core at most.
#pragma once

#include <Eigen/Core>
#include <optional>

namespace unswift {

/// x with a x = b, a symmetric (LDL^T with pivoting; of a singular matrix some solution, or none:
/// then not finite).
Eigen::VectorXd SolveSymmetric(const Eigen::MatrixXd& a, const Eigen::VectorXd& b);

/// x that minimises |features x - answers|, by normal equations.
/// Shapes: features [tokens, unknowns], answers [tokens, outputs], x [unknowns, outputs].
Eigen::MatrixXd SolveLeastSquares(const Eigen::MatrixXd& features, const Eigen::MatrixXd& answers);

/// The orthogonal factor of a square matrix: the q nearest to it, U V^T of its singular vectors.
/// Nothing for a matrix that is singular to working precision: there q is not determined.
/// Source: scaled Newton iteration, Higham 1986.
std::optional<Eigen::MatrixXd> PolarFactor(Eigen::MatrixXd a);

}  // namespace unswift
