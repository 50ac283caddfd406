// The two inner loops: ROWS rows of x meet the rows of y.
//
// Both come in two ways. By differences, sum (x - y)^2 and sum g (y - x): exact wherever the rows
// lie. By products, |x|^2 + |y|^2 - 2 x.y and sum g y, to which g's own sum times x belongs: three
// operations for each pair and coordinate where differences take five, for rows that lie about 0
// no further than the kernel's width allows.

#pragma once

#include <cstdint>

#include "lanes.hpp"

namespace {

// Rows of x whose sums stay in registers; they divide a panel.
constexpr int ROWS = W > 8 ? 8 : 4;

// One side of a meeting, from one row on: coordinates [D, W] of its panel, |row|^2 and weights.
struct Side {
    const float *rows, *squares, *weights;
};

// What a meeting adds up: for rows of x by lanes of y, for rows of y lane by lane.
struct Tally {
    V *x_potential, *x_slope;
    float *y_potential, *y_slope;
};

// ROWS rows of x and P panels of y: potentials of both, slopes g = w_i w_j f'(d2) and their sums.
// counted: the lanes that count, for each row; null: all.
template <bool PRODUCTS, int P, class Profile>
inline void meet(const Profile& profile, float cap, const Mask* counted, int64_t D, Side x, Side y,
                 Tally to, float* slopes, int64_t stride) {
    V d2[ROWS][P] = {};
    for (int64_t d = 0; d < D; ++d) {
        V y_d[P];
#pragma GCC unroll 4
        for (int k = 0; k < P; ++k) y_d[k] = load(y.rows + (k * D + d) * W);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            const V x_d = all(x.rows[d * W + r]);
#pragma GCC unroll 4
            for (int k = 0; k < P; ++k) {
                if constexpr (PRODUCTS) {
                    d2[r][k] += x_d * y_d[k];
                } else {
                    const V difference = y_d[k] - x_d;
                    d2[r][k] += difference * difference;
                }
            }
        }
    }
    V y_weights[P], y_potential[P], y_slope[P];
    for (int k = 0; k < P; ++k) {
        y_weights[k] = load(y.weights + k * W);
        y_potential[k] = load(to.y_potential + k * W);
        y_slope[k] = load(to.y_slope + k * W);
    }
#pragma GCC unroll 1
    for (int r = 0; r < ROWS; ++r) {
        const float x_weight = x.weights[r];
        V at[P], value[P], slope[P];
#pragma GCC unroll 4
        for (int k = 0; k < P; ++k) {
            if constexpr (PRODUCTS) {
                // Squares were added up as products are: equal rows are at 0 exactly.
                at[k] = (load(y.squares + k * W) + x.squares[r]) - 2.0f * d2[r][k];
                at[k] = at[k] > 0.0f ? at[k] : V{};
            } else {
                at[k] = d2[r][k] > cap ? all(cap) : d2[r][k];  // NaN stays NaN
            }
        }
        profile(at, value, slope);
#pragma GCC unroll 4
        for (int k = 0; k < P; ++k) {
            if (counted != nullptr) {
                value[k] = counted[r] ? value[k] : V{};
                slope[k] = counted[r] ? slope[k] : V{};
            }
            V g = slope[k] * (y_weights[k] * x_weight);
            // Rows that coincide do not pull, not even by the rounding of g x - g y.
            if constexpr (PRODUCTS) g = at[k] > 0.0f ? g : V{};
            to.x_potential[r] += value[k] * y_weights[k];
            y_potential[k] += value[k] * x_weight;
            if constexpr (PRODUCTS) {
                to.x_slope[r] += g;
                y_slope[k] += g;
            }
            store(slopes + r * stride + k * W, g);
        }
    }
    for (int k = 0; k < P; ++k) {
        store(to.y_potential + k * W, y_potential[k]);
        store(to.y_slope + k * W, y_slope[k]);
    }
}

// W coordinates of the pulls of ROWS rows of x, kept in registers, and of rows begin to end of y.
// x_pull may lie among the rows of y_pull.
template <bool PRODUCTS>
inline void pull(const float* x, const float* y, const float* slopes, int64_t stride,
                 int64_t begin, int64_t end, float* x_pull, float* y_pull) {
    V row[ROWS], sum[ROWS] = {};
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) row[r] = load(x + r * W);
    for (int64_t j = begin; j < end; ++j) {
        const V y_j = load(y + j * W);
        V opposite[2] = {load(y_pull + j * W), V{}};  // two chains, for each waits for itself
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            const V g = all(slopes[r * stride + j]);
            if constexpr (PRODUCTS) {
                sum[r] += g * y_j;
                opposite[r % 2] += g * row[r];
            } else {
                const V difference = y_j - row[r];
                sum[r] += g * difference;
                opposite[r % 2] -= g * difference;
            }
        }
        store(y_pull + j * W, opposite[0] + opposite[1]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) store(x_pull + r * W, load(x_pull + r * W) + sum[r]);
}

}  // namespace
