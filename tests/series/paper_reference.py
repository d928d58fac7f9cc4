#!/usr/bin/env python3
"""TaylorMLP as its paper and its authors' code define it (arXiv 2410.05331), in numpy doubles.

Written apart from the library, to check it against. Writes golden/paper_cases.json: small random
layers with weights, calibration inputs, protected parameters and expected outputs.

  gated  y = D (phi(G x) * (U x))            Theta_n[:, j] = D[:, j] phi^(n)(z0_j) / n!
  plain  y = W phi(V x + b) + c              Theta_n[:, j] = W[:, j] phi^(n)(z0_j + b_j) / n!
  protected y = sum_n Theta_n ((z - z0)^n * u), u = U x or 1, z = G x or V x

Rules of the authors' code: z0 is the middle of [min, max] of z over the calibration inputs; the
select_dim units with the smallest max - min are protected, the others stay as they are; a sign s_j
multiplies the gate row and z0_j, and s_j^n Theta_n; where |z - z0| > 2.5 the terms of order >
grad_order_min are dropped.
"""
import json
import math
import pathlib

import numpy as np

SQRT_2_PI = math.sqrt(2 / math.pi)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(SQRT_2_PI * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


ACTIVATIONS = {"silu": silu, "gelu_tanh": gelu_tanh, "gelu_erf": gelu_erf}


def cauchy_coefficients(f, x, order, radius=1.5, points=256):
    """phi^(n)(x)/n! as the Fourier coefficients of phi on a circle."""
    angle = 2 * np.pi * np.arange(points) / points
    values = f(x + radius * np.exp(1j * angle))
    return [float((values @ np.exp(-1j * n * angle)).real / points / radius**n) for n in range(order + 1)]


def gelu_erf_coefficients(x, order):
    """Leibniz on x Phi(x), whose derivatives are the density times Hermite polynomials."""
    density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def phi_derivative(n):  # n-th derivative of the normal distribution function
        if n == 0:
            return 0.5 * (1 + math.erf(x / math.sqrt(2)))
        return (-1) ** (n - 1) * np.polynomial.hermite_e.hermeval(x, [0] * (n - 1) + [1]) * density

    derivative = [x * phi_derivative(n) + (n * phi_derivative(n - 1) if n else 0) for n in range(order + 1)]
    return [float(d / math.factorial(n)) for n, d in enumerate(derivative)]


def coefficients(activation, x, order):
    if activation == "gelu_erf":
        return gelu_erf_coefficients(x, order)
    return cauchy_coefficients(ACTIVATIONS[activation], x, order)


def float32(array):
    return np.asarray(array, dtype=np.float32).astype(np.float64)


class Layer:
    def __init__(self, rng, gated, activation, hidden_size, intermediate_size, spread):
        self.gated, self.phi, self.activation = gated, ACTIVATIONS[activation], activation
        # Rows of different size: the ranges of the units differ.
        scale = np.linspace(0.3, spread, intermediate_size)[rng.permutation(intermediate_size)]
        self.first = float32(rng.normal(size=(intermediate_size, hidden_size)) * scale[:, None])
        self.up = float32(rng.normal(size=(intermediate_size, hidden_size)) * 0.5)
        self.down = float32(rng.normal(size=(hidden_size, intermediate_size)) * 0.4)
        self.first_bias = float32(rng.normal(size=intermediate_size) * (0 if gated else 0.6))
        self.output_bias = float32(rng.normal(size=hidden_size) * (0 if gated else 0.3))

    def pre_activation(self, x):
        return x @ self.first.T

    def multiplier(self, x):
        return x @ self.up.T if self.gated else np.ones((len(x), len(self.first)))

    def original(self, x):
        hidden = self.phi(self.pre_activation(x) + self.first_bias) * self.multiplier(x)
        return hidden @ self.down.T + self.output_bias


def protect(layer, calibration, order, select_dim, rng):
    z = layer.pre_activation(calibration)
    low, high = float32(z.min(axis=0)), float32(z.max(axis=0))
    units = np.sort(np.argsort(high - low, kind="stable")[:select_dim])
    z0 = float32((low + high) / 2)[units]
    sign = rng.choice([-1, 1], size=select_dim)
    # table[n, j] = phi^(n)(z0_j + b_j) / n!
    table = np.array([coefficients(layer.activation, z0[i] + layer.first_bias[j], order)
                      for i, j in enumerate(units)]).T
    powers = sign[None, :] ** np.arange(order + 1)[:, None]
    theta = layer.down[:, units][None] * (table * powers)[:, None, :]
    return low, high, units, z0, sign, theta


def protected_output(layer, x, units, z0, sign, theta, cutoff, grad_order_min):
    z = layer.pre_activation(x)[:, units] * sign  # what the flipped gate rows give
    u = layer.multiplier(x)[:, units]
    delta = z - z0 * sign
    y = np.zeros((len(x), layer.down.shape[0])) + layer.output_bias
    for n in range(len(theta)):
        term = delta**n
        if n > grad_order_min:
            term = np.where(np.abs(delta) > cutoff, 0.0, term)
        y = y + (term * u) @ theta[n].T
    others = np.setdiff1d(np.arange(len(layer.first)), units)
    hidden = layer.phi(layer.pre_activation(x) + layer.first_bias) * layer.multiplier(x)
    return y + hidden[:, others] @ layer.down[:, others].T, int((np.abs(delta) > cutoff).sum())


def make_case(seed, name, gated, activation, order, select_dim, spread, grad_order_min):
    rng = np.random.default_rng(seed)
    hidden_size, intermediate_size, cutoff = 6, 20, 2.5
    layer = Layer(rng, gated, activation, hidden_size, intermediate_size, spread)
    calibration = float32(rng.normal(size=(24, hidden_size)))
    inputs = float32(rng.normal(size=(8, hidden_size)) * 1.2)
    low, high, units, z0, sign, theta = protect(layer, calibration, order, select_dim, rng)
    y, truncated = protected_output(layer, inputs, units, z0, sign, theta, cutoff, grad_order_min)
    return {
        "name": name, "gated": gated, "activation": activation, "order": order,
        "select_dim": select_dim, "cutoff": cutoff, "grad_order_min": grad_order_min,
        "hidden_size": hidden_size, "intermediate_size": intermediate_size,
        "gate_proj" if gated else "fc1": layer.first.tolist(),
        **({"up_proj": layer.up.tolist(), "down_proj": layer.down.tolist()} if gated else
           {"fc1_bias": layer.first_bias.tolist(), "fc2": layer.down.tolist(),
            "fc2_bias": layer.output_bias.tolist()}),
        "calibration_inputs": calibration.tolist(), "inputs": inputs.tolist(),
        "min": low.tolist(), "max": high.tolist(),
        "units": units.tolist(),          # protected, ascending
        "sign": sign.tolist(),            # of those units; gate rows above are before the flip
        "centre": (z0 * sign).tolist(),   # after the flip
        "theta": theta.tolist(),          # [order + 1][hidden_size][select_dim], after the flip
        "truncated_entries": truncated,   # of inputs x units, where |z - z0| > cutoff
        "original_output": layer.original(inputs).tolist(),
        "expected_output": y.tolist(),
    }


def main():
    cases = [
        make_case(1, "gated_silu_order_8", True, "silu", 8, 14, 1.2, 2),
        make_case(2, "gated_silu_all_units_order_6", True, "silu", 6, 20, 1.0, 4),
        make_case(3, "plain_gelu_tanh_order_8", False, "gelu_tanh", 8, 14, 1.0, 2),
        make_case(4, "plain_gelu_erf_all_units_order_12", False, "gelu_erf", 12, 20, 0.9, 3),
        make_case(5, "gated_gelu_tanh_one_order", True, "gelu_tanh", 1, 10, 0.8, 1),
    ]
    path = pathlib.Path(__file__).parent / "golden" / "paper_cases.json"
    path.write_text(json.dumps({"cases": cases}).replace('{"name"', '\n{"name"') + "\n")
    for case in cases:
        worst = np.abs(np.array(case["expected_output"]) - np.array(case["original_output"])).max()
        print(f'{case["name"]}: {case["truncated_entries"]} truncated entries, '
              f"largest difference from the original {worst:.2e}")


if __name__ == "__main__":
    main()
