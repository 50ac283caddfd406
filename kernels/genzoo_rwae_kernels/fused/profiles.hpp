// Profiles: value f and slope df/d(d2) of squared distances d2 in [0, cap], of P vectors at a time:
// one alone would wait for its own steps most of the time.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lanes.hpp"

namespace {

// The base of a profile that says what it is of one vector.
template <class Profile>
class OneByOne {
  public:
    template <int P>
    void operator()(const V (&d2)[P], V (&value)[P], V (&slope)[P]) const {
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i)
            static_cast<const Profile*>(this)->of(d2[i], value[i], slope[i]);
    }
};

// sum_s C_s / (C_s + d2)
class Imq {
  public:
    Imq(int64_t count, const double* widths, double) {
        for (int64_t s = 0; s < count; ++s) inverse_.push_back(static_cast<float>(1.0 / widths[s]));
    }
    template <int P>
    void operator()(const V (&d2)[P], V (&value)[P], V (&slope)[P]) const {
        V k[P] = {}, sum[P] = {};
        const float* c = inverse_.data();
        const std::size_t count = inverse_.size();
        std::size_t s = 0;
        for (; s + 2 <= count; s += 2)  // two scales share a reciprocal
#pragma GCC unroll 4
            for (int i = 0; i < P; ++i) {
                const V a = d2[i] * c[s] + 1.0f, b = d2[i] * c[s + 1] + 1.0f;
                const V both = reciprocal(a * b);
                const V ra = both * b, rb = both * a;
                k[i] += ra + rb;
                sum[i] += ra * ra * c[s];
                sum[i] += rb * rb * c[s + 1];
            }
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) {
            if (s < count) {
                const V r = reciprocal(d2[i] * c[s] + 1.0f);
                k[i] += r;
                sum[i] += r * r * c[s];
            }
            value[i] = k[i];
            slope[i] = -sum[i];
        }
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
            // Each squaring doubles the relative error: at most 4 of them.
            while (ladder.squarings < 4 && (at = half_of(left, width)) < left.size()) {
                width = left[at];
                left.erase(left.begin() + at);
                ++ladder.squarings;
            }
            ladders_.push_back(ladder);
        }
    }
    template <int P>
    void operator()(const V (&d2)[P], V (&value)[P], V (&slope)[P]) const {
        V e[P], k[P] = {}, sum[P] = {};
        for (const Ladder& ladder : ladders_) {
            float factor = ladder.slope;
#pragma GCC unroll 4
            for (int i = 0; i < P; ++i) {
                e[i] = power_of_two(d2[i], ladder.rate);
                k[i] += e[i];
                sum[i] += e[i] * factor;
            }
            for (int q = 0; q < ladder.squarings; ++q) {
                factor *= 2.0f;
#pragma GCC unroll 4
                for (int i = 0; i < P; ++i) {
                    e[i] *= e[i];
                    k[i] += e[i];
                    sum[i] += e[i] * factor;
                }
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < P; ++i) {
            value[i] = k[i];
            slope[i] = sum[i];
        }
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
class Energy : public OneByOne<Energy> {
  public:
    Energy(int64_t, const double*, double shape)
        : half_(static_cast<float>(0.5 * shape)), plain_(shape == 1.0) {}
    void of(V d2, V& value, V& slope) const {
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
class Exponential : public OneByOne<Exponential<ORDER>> {
  public:
    Exponential(int64_t count, const double* lengths, double) {
        for (int64_t s = 0; s < count; ++s)
            terms_.push_back({static_cast<float>(-LOG2_E / lengths[s]),
                              static_cast<float>(1.0 / lengths[s])});
    }
    void of(V d2, V& value, V& slope) const {
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
class RationalQuadratic : public OneByOne<RationalQuadratic> {
  public:
    RationalQuadratic(int64_t count, const double* widths, double shape)
        : shape_(static_cast<float>(shape)) {
        for (int64_t s = 0; s < count; ++s) inverse_.push_back(static_cast<float>(1.0 / widths[s]));
    }
    void of(V d2, V& value, V& slope) const {
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
