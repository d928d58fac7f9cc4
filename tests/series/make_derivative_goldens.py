#!/usr/bin/env python3
"""Writes golden/derivatives.json: Taylor and Chebyshev coefficients of the activations.

By ways that share nothing with the library: Taylor coefficients by Cauchy's integral on a circle,
Chebyshev coefficients by the cosine-weighted integral, from the defining expressions. Working
precision 100 digits, so that even coefficients 40 orders below the function's values have 50.
Needs: python3, mpmath (1.3 or later). Takes about two minutes.
"""
import json
import pathlib

import mpmath as mp

mp.mp.dps = 100
ORDER = 32

FUNCTIONS = {
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "gelu_erf": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))),
}


def taylor(f, x):
    """phi^(n)(x)/n! by the trapezoidal rule on a circle inside the disc of analyticity."""
    radius, points = mp.mpf(1), 512  # aliasing: (radius / 2.5)^480 is below 100 digits
    values = [f(x + radius * mp.expjpi(mp.mpf(2 * k) / points)) for k in range(points)]
    out = []
    for n in range(ORDER + 1):
        total = mp.fsum(values[k] * mp.expjpi(-mp.mpf(2 * k * n) / points) for k in range(points))
        out.append((total / points).real / radius**n)
    return out


def chebyshev(f, centre, radius, bias):
    """2/pi * integral of f(centre + radius cos(theta) + bias) cos(n theta): midpoint rule, whose error
    on a periodic analytic integrand is the aliased coefficients beyond 2,300."""
    points = 1200
    angles = [mp.pi * (k + mp.mpf(1) / 2) / points for k in range(points)]
    values = [f(centre + radius * mp.cos(a) + bias) for a in angles]
    out = []
    for n in range(ORDER + 1):
        total = mp.fsum(v * mp.cos(n * a) for v, a in zip(values, angles))
        out.append(total * (1 if n == 0 else 2) / points)
    return out


def main():
    points = [-10, -8.25, -6.5, -5, -4.125, -3.0, -2.25, -1.5, -1, -0.625, -0.25, 0, 0.125, 0.5, 0.875,
              1.25, 2, 2.75, 3.5, 4.5, 6, 7.75, 9, 10]
    intervals = [(0, 5, 0), (-1.75, 6.75, 0), (0, 10, 0), (2.5, 1.25, -0.375), (-3, 0.5, 0.25)]
    golden = {"order": ORDER, "digits": mp.mp.dps, "taylor": [], "chebyshev": []}
    for name, f in FUNCTIONS.items():
        for x in points:
            golden["taylor"].append({"activation": name, "x": x,
                                     "coefficients": [float(c) for c in taylor(f, mp.mpf(x))]})
        for centre, radius, bias in intervals:
            c = chebyshev(f, mp.mpf(centre), mp.mpf(radius), mp.mpf(bias))
            golden["chebyshev"].append({"activation": name, "centre": centre, "radius": radius,
                                        "bias": bias, "coefficients": [float(v) for v in c]})
    path = pathlib.Path(__file__).parent / "golden" / "derivatives.json"
    text = json.dumps(golden)
    path.write_text(text.replace('{"activation"', '\n{"activation"') + "\n")


if __name__ == "__main__":
    main()
