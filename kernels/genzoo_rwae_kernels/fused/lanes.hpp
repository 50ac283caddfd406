// Vectors of W floats: the widest of the processor that the code is compiled for.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float V __attribute__((vector_size(W * 4)));
typedef int32_t Mask __attribute__((vector_size(W * 4)));

inline V load(const float* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
inline void store(float* to, V v) { std::memcpy(to, &v, sizeof v); }

// The first `width` numbers, 0 beyond; all W of them for a larger width.
inline V load(const float* from, int64_t width) {
#if defined(__AVX512F__)
    const __mmask16 mask = width >= W ? 0xffff : static_cast<__mmask16>((1u << width) - 1u);
    return (V)_mm512_maskz_loadu_ps(mask, from);
#else
    if (width >= W) return load(from);
    V v = {};
    std::memcpy(&v, from, width * sizeof(float));
    return v;
#endif
}
inline V all(float value) { return value - V{}; }
inline float sum(V v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float total = 0.0f;
    for (int l = 0; l < W; ++l) total += v[l];
    return total;
#endif
}
// Rows become columns: halves are exchanged, then quarters, and so on.
inline void transpose(V (&v)[W]) {
#if defined(__clang__)  // has no shuffle of two vectors by a vector
    V columns[W];
    for (int i = 0; i < W; ++i)
        for (int l = 0; l < W; ++l) columns[l][i] = v[i][l];
    std::memcpy(&v, &columns, sizeof v);
#else
#pragma GCC unroll 4
    for (int step = W / 2; step > 0; step /= 2) {
        Mask upper = {}, lower = {};
#pragma GCC unroll 16
        for (int l = 0; l < W; ++l) {
            upper[l] = l & step ? W + l - step : l;
            lower[l] = l & step ? W + l : l + step;
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; ++i) {
            if (i & step) continue;
            const V a = v[i], b = v[i + step];
            v[i] = __builtin_shuffle(a, b, upper);
            v[i + step] = __builtin_shuffle(a, b, lower);
        }
    }
#endif
}

inline Mask bits(V v) { return reinterpret_cast<Mask>(v); }
inline V unbits(Mask m) { return reinterpret_cast<V>(m); }

// 1/v for v in [1, 1e37], to about one unit in the last place.
inline V reciprocal(V v) {
#if defined(__AVX512F__)
    V guess = (V)_mm512_rcp14_ps((__m512)v);
    return guess * (2.0f - v * guess);
#elif defined(__AVX__)
    V guess = (V)_mm256_rcp_ps((__m256)v);
    return guess * (2.0f - v * guess);
#else
    return 1.0f / v;
#endif
}

inline V square_root(V v) {
#if defined(__AVX512F__)
    return (V)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX__)
    return (V)_mm256_sqrt_ps((__m256)v);
#else
    for (int l = 0; l < W; ++l) v[l] = std::sqrt(v[l]);
    return v;
#endif
}

// 2^(d * rate) for d * rate < 127; below 2^-126 the result is 0.
inline V power_of_two(V d, float rate) {
    constexpr float TO_INTEGER = 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the integer
    const V whole = d * rate;
    const V t = whole < -150.0f ? all(-150.0f) : whole;
    const V shifted = t + TO_INTEGER;
    const V integer = shifted - TO_INTEGER;
    const V f = t - integer;  // in [-1/2, 1/2]
    // Least relative error of degree 6 on the interval: 1.9e-9.
    V p = all(0.0001534581160737527f);
    p = p * f + 0.001339993121645363f;
    p = p * f + 0.009618488958598289f;
    p = p * f + 0.05550328776974039f;
    p = p * f + 0.24022646890620272f;
    p = p * f + 0.6931472057372615f;
    p = p * f + 1.0000000005541694f;
#if defined(__AVX512F__)
    return (V)_mm512_scalef_ps((__m512)p, (__m512)integer);
#else
    const V scaled = unbits(bits(p) + (bits(shifted) << 23));
    return t < -126.0f ? V{} : scaled;
#endif
}

constexpr double LOG2_E = 1.4426950408889634;

// log2 of normal numbers > 0
inline V logarithm_2(V v) {
    V exponent = __builtin_convertvector((bits(v) >> 23) - 127, V);
    V m = unbits((bits(v) & 0x007fffff) | 0x3f800000);
    const Mask large = m > 1.41421356f;
    m = large ? m * 0.5f : m;
    exponent = large ? exponent + 1.0f : exponent;
    // log m = 2 artanh s, |s| < 0.172; the first term left out is below 1e-9 of the sum.
    const V s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    V p = all(2.0f / 9.0f);
    p = p * s2 + 2.0f / 7.0f;
    p = p * s2 + 2.0f / 5.0f;
    p = p * s2 + 2.0f / 3.0f;
    p = p * s2 + 2.0f;
    return exponent + p * s * static_cast<float>(LOG2_E);
}

}  // namespace
