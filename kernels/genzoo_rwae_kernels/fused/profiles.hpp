// Profiles: value f and slope df/d(d2) of squared distances d2 in [0, cap].

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes.hpp"

namespace {

// sum_s C_s / (C_s + d2)
class Imq {
  public:
    Imq(int64_t count, const double* widths, double) {
        for (int64_t s = 0; s < count; ++s) inverse_.push_back(static_cast<float>(1.0 / widths[s]));
    }
    void operator()(V d2, V& value, V& slope) const {
        V k = {}, sum = {};
        const float* c = inverse_.data();
        const std::size_t count = inverse_.size();
        std::size_t s = 0;
        for (; s + 2 <= count; s += 2) {  // two scales share a reciprocal
            const V a = d2 * c[s] + 1.0f, b = d2 * c[s + 1] + 1.0f;
            const V both = reciprocal(a * b);
            const V ra = both * b, rb = both * a;
            k += ra + rb;
            sum += ra * ra * c[s] + rb * rb * c[s + 1];
        }
        if (s < count) {
            const V r = reciprocal(d2 * c[s] + 1.0f);
            k += r;
            sum += r * r * c[s];
        }
        value = k;
        slope = -sum;
    }

  private:
    std::vector<float> inverse_;
};

// sum_s exp(-d2 / C_s); a scale of half the width of the one before is its square
class Rbf {
  public:
    Rbf(int64_t count, const double* widths, double) {
        std::vector<double> left(widths, widths + count);
        while (!left.empty()) {
            std::size_t at = widest(left);
            double width = left[at];
            left.erase(left.begin() + at);
            Ladder ladder{static_cast<float>(-LOG2_E / width),
                          static_cast<float>(-1.0 / width), 0};
            // Each squaring doubles the relative error: at most 3 of them.
            while (ladder.squarings < 3 && (at = half_of(left, width)) < left.size()) {
                width = left[at];
                left.erase(left.begin() + at);
                ++ladder.squarings;
            }
            ladders_.push_back(ladder);
        }
    }
    void operator()(V d2, V& value, V& slope) const {
        V k = {}, sum = {};
        for (const Ladder& ladder : ladders_) {
            V e = power_of_two(d2, ladder.rate);
            float factor = ladder.slope;
            k += e;
            sum += e * factor;
            for (int q = 0; q < ladder.squarings; ++q) {
                e *= e;
                factor *= 2.0f;
                k += e;
                sum += e * factor;
            }
        }
        value = k;
        slope = sum;
    }

  private:
    struct Ladder {
        float rate, slope;
        int squarings;
    };
    static std::size_t widest(const std::vector<double>& widths) {
        std::size_t at = 0;
        for (std::size_t s = 1; s < widths.size(); ++s)
            if (widths[s] > widths[at]) at = s;
        return at;
    }
    static std::size_t half_of(const std::vector<double>& widths, double width) {
        std::size_t at = 0;
        while (at < widths.size() && std::abs(2.0 * widths[at] / width - 1.0) > 1e-9) ++at;
        return at;
    }
    std::vector<Ladder> ladders_;
};

// -|d|^shape / 2; the slope at coinciding rows, where it is infinite, counts as 0
class Energy {
  public:
    Energy(int64_t, const double*, double shape)
        : half_(static_cast<float>(0.5 * shape)), plain_(shape == 1.0) {}
    void operator()(V d2, V& value, V& slope) const {
        const V power = plain_ ? square_root(d2) : power_of_two(logarithm_2(d2), half_);
        const Mask apart = d2 > 0.0f;
        value = apart ? -0.5f * power : d2 * 0.0f;
        slope = apart ? value / d2 * half_ : V{};
    }

  private:
    float half_;
    bool plain_;
};

// sum_s p(z) exp(-z), z = |d| / l_s, with p of degree ORDER: 0 Laplacian, 1 Matern 3/2, 2 Matern
// 5/2. The slope of orders 1 and 2 has no pole at 0.
template <int ORDER>
class Exponential {
  public:
    Exponential(int64_t count, const double* lengths, double) {
        for (int64_t s = 0; s < count; ++s)
            terms_.push_back({static_cast<float>(-LOG2_E / lengths[s]),
                              static_cast<float>(1.0 / lengths[s])});
    }
    void operator()(V d2, V& value, V& slope) const {
        const V distance = square_root(d2);
        // 1/(2|d|), which counts as 0 at coinciding rows
        const V pole = distance > 0.0f ? 0.5f / distance : V{};
        V k = {}, sum = {};
        for (const Term& term : terms_) {
            const V e = power_of_two(distance, term.rate);
            const V z = distance * term.inverse;
            const float square = term.inverse * term.inverse;
            if (ORDER == 0) {
                k += e;
                sum += e * pole * term.inverse;
            } else if (ORDER == 1) {
                k += (1.0f + z) * e;
                sum += e * (0.5f * square);
            } else {
                k += (1.0f + z * (1.0f + z * (1.0f / 3.0f))) * e;
                sum += (1.0f + z) * e * (square * (1.0f / 6.0f));
            }
        }
        value = k;
        slope = -sum;
    }

  private:
    struct Term {
        float rate, inverse;
    };
    std::vector<Term> terms_;
};

// sum_s (1 + d2 / C_s)^-shape
class RationalQuadratic {
  public:
    RationalQuadratic(int64_t count, const double* widths, double shape)
        : shape_(static_cast<float>(shape)) {
        for (int64_t s = 0; s < count; ++s) inverse_.push_back(static_cast<float>(1.0 / widths[s]));
    }
    void operator()(V d2, V& value, V& slope) const {
        V k = {}, sum = {};
        for (const float c : inverse_) {
            const V u = d2 * c, base = u + 1.0f;
            // What base lost of u matters for a large exponent.
            const V lost = (u - (base - 1.0f)) / base * static_cast<float>(LOG2_E);
            const V term = power_of_two(logarithm_2(base) + lost, -shape_);
            k += term;
            sum += term / base * (shape_ * c);
        }
        value = k;
        slope = -sum;
    }

  private:
    float shape_;
    std::vector<float> inverse_;
};

}  // namespace
