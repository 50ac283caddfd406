// The two samples of a batch element as one stack of rows, x above y, and what is added up for it.
//
// Legend: N rows of x, M rows of y, D width of a row; W lanes of a vector; a panel is W rows, a
// tile `height` panels, a chunk W coordinates. A sample begins with a panel of its own; rows and
// coordinates that are missing in a panel are 0, their weights too.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lanes.hpp"
#include "meeting.hpp"
#include "memory.hpp"

namespace {

// Most panels of a tile: two tiles' chunks and their slopes fit into the first-level cache.
constexpr int64_t MOST_PANELS = 256 / W;

inline int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

// Which sum a pair of rows belongs to: within x, within y, across.
enum Kind { WITHIN_X, WITHIN_Y, ACROSS, KINDS };

struct Samples {
    int64_t B, N, M, D;
    const float *x, *y;            // [B, N, D], [B, M, D]
    const double *a, *b;           // weights [B, N], [B, M]; null: all 1
    const double* coefficients;    // [B, KINDS], with which the sums make the value
};

// What is known of a batch element before its rows meet.
struct Element {
    bool products;                // or differences
    double scale[2];              // largest weights of x and y
    double factor;                // largest coefficient, weights included
    float coefficients[KINDS];    // over that, for pairs without order
};

class Stack {
  public:
    const Samples s;
    const int64_t x_panels, panels, tiles, height, chunks;

    // Room for some batch elements at a time.
    Stack(const Samples& samples, double reach, int64_t elements)
        : s(samples), x_panels(up(s.N, W)), panels(x_panels + up(s.M, W)),
          tiles(up(panels, MOST_PANELS)), height(up(panels, tiles)), chunks(up(s.D, W)),
          reach_(reach), elements_(elements), centre_(elements * chunks * W),
          rows_(elements * panels * s.D * W), squares_(elements * panels * W),
          weights_(elements * panels * W), pulls_(elements * tiles * tile_values()),
          slopes_(elements * tiles * tile_rows()), potentials_(elements * tiles * tile_rows()),
          sums_(elements * tiles * KINDS) {}

    static int64_t bytes(const Samples& s) {
        return (up(s.N, W) + up(s.M, W)) * W * (s.D * 4 + up(s.D, W) * W * 8 + 24);
    }

    int64_t tile_rows() const { return height * W; }
    int64_t tile_values() const { return chunks * tile_rows() * W; }
    int64_t first_panel(int64_t tile) const { return tile * height; }
    int64_t last_panel(int64_t tile) const {
        return (tile + 1) * height < panels ? (tile + 1) * height : panels;
    }
    int sample_of(int64_t panel) const { return panel < x_panels ? 0 : 1; }
    int64_t rows_in(int64_t panel) const {
        const int64_t left =
            panel < x_panels ? s.N - panel * W : s.M - (panel - x_panels) * W;
        return left < W ? left : W;
    }
    const Element& element(int64_t e) const { return elements_[e]; }
    Side side(int64_t e, int64_t panel) const {
        const int64_t at = (e * panels + panel) * W;
        return {rows_.at(at * s.D), squares_.at(at), weights_.at(at)};
    }
    double* pulls(int64_t e, int64_t tile) const {
        return pulls_.at((e * tiles + tile) * tile_values());
    }
    double* slopes(int64_t e, int64_t tile) const {
        return slopes_.at((e * tiles + tile) * tile_rows());
    }
    double* potentials(int64_t e, int64_t tile) const {
        return potentials_.at((e * tiles + tile) * tile_rows());
    }
    double* sums(int64_t e, int64_t tile) const { return sums_.at((e * tiles + tile) * KINDS); }

    // Scales, centre and way of element b, which takes place e.
    void begin(int64_t e, int64_t b) {
        Element& element = elements_[e];
        element.scale[0] = largest(s.a, b * s.N, s.N);
        element.scale[1] = largest(s.b, b * s.M, s.M);
        double scaled[KINDS];
        for (int kind = 0; kind < KINDS; ++kind) {
            const double coefficient = s.coefficients[b * KINDS + kind];
            const double *w = element.scale;
            scaled[kind] = kind == ACROSS ? coefficient * w[0] * w[1]
                                          : 2.0 * coefficient * w[kind] * w[kind];
        }
        element.factor = largest(scaled, 0, KINDS);
        for (int kind = 0; kind < KINDS; ++kind)
            element.coefficients[kind] = static_cast<float>(scaled[kind] / element.factor);
        float* centre = centre_.at(e * chunks * W);
        element.products = reach_ > 0.0 && centre_and_reach(b, centre) <= reach_;
        if (!element.products) std::memset(centre, 0, chunks * W * sizeof(float));
    }

    void prepare(int64_t e, int64_t b, int64_t tile) const {
        const float* centre = centre_.at(e * chunks * W);
        for (int64_t p = first_panel(tile); p < last_panel(tile); ++p) {
            const int64_t at = (e * panels + p) * W, count = rows_in(p);
            float* to = rows_.at(at * s.D);
            const float* from = row(b, p);
            for (int64_t c = 0; c < chunks; ++c) {
                const int64_t width = s.D - c * W < W ? s.D - c * W : W;
                V block[W] = {};
                for (int64_t l = 0; l < count; ++l) block[l] = centred(from + l * s.D, centre, c);
                transpose(block);
                for (int64_t d = 0; d < width; ++d) store(to + (c * W + d) * W, block[d]);
            }
            V square = {};
            for (int64_t d = 0; d < s.D; ++d) square += load(to + d * W) * load(to + d * W);
            store(squares_.at(at), square);
            const int sample = sample_of(p);
            const double* w = sample == 0 ? s.a : s.b;
            if (w != nullptr) w += (from - (sample == 0 ? s.x : s.y)) / s.D;
            for (int64_t l = 0; l < W; ++l) {
                const double weight = l >= count ? 0.0 : w == nullptr ? 1.0 : w[l];
                *weights_.at(at + l) = static_cast<float>(weight / elements_[e].scale[sample]);
            }
        }
        std::memset(pulls(e, tile), 0, tile_values() * sizeof(double));
        std::memset(slopes(e, tile), 0, tile_rows() * sizeof(double));
        std::memset(potentials(e, tile), 0, tile_rows() * sizeof(double));
        std::memset(sums(e, tile), 0, KINDS * sizeof(double));
    }

    // Centred rows of a tile as [chunks, tile_rows, W].
    void copy_rows(int64_t e, int64_t b, int64_t tile, float* to) const {
        for (int64_t c = 0; c < chunks; ++c) {
            const float* centre = centre_.at(e * chunks * W);
            float* line = to + c * tile_rows() * W;
            for (int64_t p = first_panel(tile); p < last_panel(tile); ++p) {
                const float* from = row(b, p);
                const int64_t count = rows_in(p);
                for (int64_t l = 0; l < W; ++l, line += W)
                    store(line, l < count ? centred(from + l * s.D, centre, c) : V{});
            }
        }
    }

    // Gradients of a tile's rows and weights. Null: not wanted.
    void write(int64_t e, int64_t b, int64_t tile, float* x_gradient, float* y_gradient,
               double* a_gradient, double* b_gradient) const {
        const Element& element = elements_[e];
        const double factor = 2.0 * element.factor;  // 2 of d(d2)/dx = 2 (x - y)
        for (int64_t p = first_panel(tile); p < last_panel(tile); ++p) {
            const int sample = sample_of(p);
            const float *rows = row(b, p), *centre = centre_.at(e * chunks * W);
            const int64_t first = (rows - (sample == 0 ? s.x : s.y)) / s.D;
            const int64_t at = (p - first_panel(tile)) * W;
            float* gradient = sample == 0 ? x_gradient : y_gradient;
            double* of_weights = sample == 0 ? a_gradient : b_gradient;
            for (int64_t l = 0; l < rows_in(p); ++l) {
                if (of_weights != nullptr)
                    of_weights[first + l] = element.factor / element.scale[sample] *
                                            potentials(e, tile)[at + l];
                if (gradient == nullptr) continue;
                const double slope = slopes(e, tile)[at + l];
                for (int64_t c = 0; c < chunks; ++c) {
                    const int64_t width = s.D - c * W < W ? s.D - c * W : W;
                    const V z = centred(rows + l * s.D, centre, c);
                    const double* sums = pulls(e, tile) + (c * tile_rows() + at + l) * W;
                    float line[W];
                    for (int i = 0; i < W; ++i)
                        line[i] = static_cast<float>(
                            factor * (slope * static_cast<double>(z[i]) - sums[i]));
                    std::memcpy(gradient + (first + l) * s.D + c * W, line, width * sizeof(float));
                }
            }
        }
    }

    // The three sums, and what they make.
    void write_sums(int64_t e, int64_t b, double* sums_to, double* value_to) const {
        const double* w = elements_[e].scale;
        const double unit[KINDS] = {2.0 * w[0] * w[0], 2.0 * w[1] * w[1], w[0] * w[1]};
        double value = 0.0;
        for (int kind = 0; kind < KINDS; ++kind) {
            double sum = 0.0;
            for (int64_t t = 0; t < tiles; ++t) sum += sums(e, t)[kind];
            sums_to[b * KINDS + kind] = unit[kind] * sum;
            value += s.coefficients[b * KINDS + kind] * unit[kind] * sum;
        }
        value_to[b] = value;
    }

  private:
    static double largest(const double* numbers, int64_t first, int64_t count) {
        if (numbers == nullptr) return 1.0;
        double most = 0.0;
        for (int64_t i = first; i < first + count; ++i) {
            const double size = std::abs(numbers[i]);
            if (!(size <= most)) most = size;  // NaN too
        }
        return most == 0.0 ? 1.0 : most;
    }

    // The first row of a panel.
    const float* row(int64_t b, int64_t panel) const {
        if (panel < x_panels) return s.x + (b * s.N + panel * W) * s.D;
        return s.y + (b * s.M + (panel - x_panels) * W) * s.D;
    }

    // Chunk c of a row.
    V centred(const float* row, const float* centre, int64_t c) const {
        return load(row + c * W, s.D - c * W) - load(centre + c * W);
    }

    // Sets the centre of all rows; returns the largest squared distance of a row from it.
    double centre_and_reach(int64_t b, float* centre) const {
        for (int64_t c = 0; c < chunks; ++c) {
            double total[W] = {};
            for (int64_t p = 0; p < panels; ++p) {
                const float* from = row(b, p) + c * W;
                const int64_t count = rows_in(p), width = s.D - c * W;
                V sum = {};
                for (int64_t l = 0; l < count; ++l) sum += load(from + l * s.D, width);
                for (int i = 0; i < W; ++i) total[i] += static_cast<double>(sum[i]);
            }
            for (int i = 0; i < W; ++i)
                centre[c * W + i] = static_cast<float>(total[i] / static_cast<double>(s.N + s.M));
        }
        float most = 0.0f;
        for (int64_t p = 0; p < panels; ++p) {
            const float* from = row(b, p);
            const int64_t count = rows_in(p);
            for (int64_t l = 0; l < count; ++l) {
                V square = {};
                for (int64_t c = 0; c < chunks; ++c) {
                    const V z = centred(from + l * s.D, centre, c);
                    square += z * z;
                }
                const float whole = sum(square);
                if (!(whole <= most)) most = whole;  // NaN too
            }
        }
        return static_cast<double>(most);
    }

    double reach_;
    std::vector<Element> elements_;
    Block<float> centre_, rows_, squares_, weights_;
    Block<double> pulls_, slopes_, potentials_, sums_;
};

}  // namespace
