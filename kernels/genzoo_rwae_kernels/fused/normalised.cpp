// Normalisation of channels-last maps and the leaky ReLU after it, with the gradients of both.
//
// A map is a matrix of places by channels. Places share their statistics in a section: one map
// where groups of channels are normalised, all maps where it is the batch. Of a section a thread
// takes some places at a time, a part. What is to be added up is so in float32 inside a part and in
// float64 beyond it, in the order of the parts: the result is the same, bit by bit, for any number
// of threads.
//
//     z = scale x + level,   scale = weight r,   level = bias - mean scale,   r = 1/sqrt(variance + eps)
//     y = z for z > 0, else slope z
//
// With g the gradient of z and n the numbers that share a mean,
//
//     dx = r (weight g - a - (x - mean) r b),   a = sum weight g / n,   b = sum weight g (x - mean) r / n

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "lanes.hpp"
#include "memory.hpp"
#include "rounds.hpp"

namespace {

constexpr int64_t PART = int64_t{1} << 15;  // numbers, about; they stay in the first-level caches
constexpr int AT_ONCE = 4;                  // vectors, whose sums stay in registers

typedef uint16_t Halves __attribute__((vector_size(W * 2)));

inline float wide(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline float wide(float value) { return value; }

// bfloat16, to the nearest, halfway to even; NaN stays NaN.
inline void narrow(float value, uint16_t* to) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    *to = value == value ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fc0;
}
inline void narrow(float value, float* to) { *to = value; }

inline V read(const uint16_t* from) {
    Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    return unbits(__builtin_convertvector(halves, Mask) << 16);
}
inline V read(const float* from) { return load(from); }

inline void write(uint16_t* to, V v) {
#if defined(__AVX512BF16__)
    const __m256bh halves = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(v));
#else
    const Mask rounded = (bits(v) + 0x7fff + (bits(v) >> 16 & 1)) >> 16;
    const Mask kept = v == v ? rounded : Mask{} + 0x7fc0;
    const Halves halves = __builtin_convertvector(kept, Halves);
#endif
    std::memcpy(to, &halves, sizeof halves);
}
inline void write(float* to, V v) { store(to, v); }

// N maps of P places and C channels in G groups; no groups: normalised over the batch.
class Maps {
  public:
    const int64_t N, P, C, G;
    Maps(int64_t N, int64_t P, int64_t C, int64_t G)
        : N(N), P(P), C(C), G(G), together_(std::lcm(C, int64_t{AT_ONCE * W}) / C) {
        const int64_t some = std::max<int64_t>(1, PART / C);
        part_ = (some + together_ - 1) / together_ * together_;
        parts_ = (places() + part_ - 1) / part_;
    }
    int64_t sections() const { return G > 0 ? N : 1; }
    int64_t places() const { return G > 0 ? P : N * P; }  // of a section
    int64_t groups() const { return G > 0 ? G : C; }
    int64_t channels() const { return C / groups(); }  // of a group
    // Places whose channels fill whole vectors, AT_ONCE or a multiple of it.
    int64_t together() const { return together_; }
    int64_t part() const { return part_; }
    int64_t parts() const { return parts_; }

  private:
    int64_t together_, part_, parts_;
};

// Numbers of every channel, again for each of the places that are taken together.
class Lanes {
  public:
    explicit Lanes(const Maps& maps)
        : C_(maps.C), lanes_(maps.C * maps.together()), values_(lanes_) {}
    float* values() const { return values_.at(0); }
    V at(int64_t lane) const { return load(values_.at(lane)); }
    void repeat() const {  // of the first place
        for (int64_t lane = C_; lane < lanes_; ++lane) *values_.at(lane) = *values_.at(lane - C_);
    }
    void clear() const { std::memset(values(), 0, lanes_ * sizeof(float)); }
    void add_to(double* sums) const {
        for (int64_t lane = 0; lane < lanes_; lane += C_)
            for (int64_t c = 0; c < C_; ++c) sums[c] += *values_.at(lane + c);
    }

  private:
    int64_t C_, lanes_;
    Block<float> values_;
};

// What a thread needs for a part.
struct Desk {
    Lanes scale, level, shift, first, second;
    int64_t section = -1;  // whose scale and level are here
    explicit Desk(const Maps& maps)
        : scale(maps), level(maps), shift(maps), first(maps), second(maps) {}
};

// Calls `vectors(lane, offset)` for AT_ONCE vectors at a time, places inside, and `single(channel,
// offset)` for what is left of the places.
template <class Begin, class Vectors, class End, class Single>
inline void over(const Maps& maps, int64_t places, Begin begin, Vectors vectors, End end,
                 Single single) {
    const int64_t lanes = maps.C * maps.together(), whole = places / maps.together() * lanes;
    for (int64_t lane = 0; lane < lanes; lane += AT_ONCE * W) {
        begin(lane);
        for (int64_t at = lane; at < whole; at += lanes) vectors(at);
        end(lane);
    }
    for (int64_t at = whole; at < places * maps.C; ++at) single((at - whole) % maps.C, at);
}

inline V rectified(V z, V value, V slope) { return z > 0.0f ? value : value * slope; }
inline float rectified(float z, float value, float slope) {
    return z > 0.0f ? value : value * slope;
}

// Sums of x, into `first`.
template <class T>
void add_up(const Maps& maps, const T* x, int64_t places, const Desk& desk) {
    desk.first.clear();
    V sum[AT_ONCE];
    over(
        maps, places,
        [&](int64_t) {
            for (int k = 0; k < AT_ONCE; ++k) sum[k] = V{};
        },
        [&](int64_t at) {
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; ++k) sum[k] += read(x + at + k * W);
        },
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k) store(desk.first.values() + lane + k * W, sum[k]);
        },
        [&](int64_t channel, int64_t at) { desk.first.values()[channel] += wide(x[at]); });
}

// Sums of x - shift and of its squares, into `first` and `second`.
template <class T>
void add_up_squares(const Maps& maps, const T* x, int64_t places, const Desk& desk) {
    desk.first.clear(), desk.second.clear();
    V shift[AT_ONCE], sum[AT_ONCE], squares[AT_ONCE];
    over(
        maps, places,
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k)
                shift[k] = desk.shift.at(lane + k * W), sum[k] = squares[k] = V{};
        },
        [&](int64_t at) {
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; ++k) {
                const V d = read(x + at + k * W) - shift[k];
                sum[k] += d;
                squares[k] += d * d;
            }
        },
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k) {
                store(desk.first.values() + lane + k * W, sum[k]);
                store(desk.second.values() + lane + k * W, squares[k]);
            }
        },
        [&](int64_t channel, int64_t at) {
            const float d = wide(x[at]) - desk.shift.values()[channel];
            desk.first.values()[channel] += d;
            desk.second.values()[channel] += d * d;
        });
}

// y, from `scale` and `level`.
template <class T>
void draw(const Maps& maps, const T* x, int64_t places, float slope, const Desk& desk, T* y) {
    V scale[AT_ONCE], level[AT_ONCE];
    over(
        maps, places,
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k)
                scale[k] = desk.scale.at(lane + k * W), level[k] = desk.level.at(lane + k * W);
        },
        [&](int64_t at) {
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; ++k) {
                const V z = read(x + at + k * W) * scale[k] + level[k];
                write(y + at + k * W, rectified(z, z, all(slope)));
            }
        },
        [](int64_t) {},
        [&](int64_t channel, int64_t at) {
            const float z =
                wide(x[at]) * desk.scale.values()[channel] + desk.level.values()[channel];
            narrow(rectified(z, z, slope), y + at);
        });
}

// Sums of g and of g (x - shift), into `first` and `second`, where g is the gradient of z.
template <class T>
void add_up_gradients(const Maps& maps, const T* x, const T* g, int64_t places, float slope,
                      const Desk& desk) {
    desk.first.clear(), desk.second.clear();
    V scale[AT_ONCE], level[AT_ONCE], shift[AT_ONCE], sum[AT_ONCE], products[AT_ONCE];
    over(
        maps, places,
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k) {
                scale[k] = desk.scale.at(lane + k * W), level[k] = desk.level.at(lane + k * W);
                shift[k] = desk.shift.at(lane + k * W), sum[k] = products[k] = V{};
            }
        },
        [&](int64_t at) {
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; ++k) {
                const V x_k = read(x + at + k * W), z = x_k * scale[k] + level[k];
                const V g_k = rectified(z, read(g + at + k * W), all(slope));
                sum[k] += g_k;
                products[k] += g_k * (x_k - shift[k]);
            }
        },
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k) {
                store(desk.first.values() + lane + k * W, sum[k]);
                store(desk.second.values() + lane + k * W, products[k]);
            }
        },
        [&](int64_t channel, int64_t at) {
            const float x_c = wide(x[at]);
            const float z = x_c * desk.scale.values()[channel] + desk.level.values()[channel];
            const float g_c = rectified(z, wide(g[at]), slope);
            desk.first.values()[channel] += g_c;
            desk.second.values()[channel] += g_c * (x_c - desk.shift.values()[channel]);
        });
}

// dx = scale g + first x + second.
template <class T>
void draw_gradients(const Maps& maps, const T* x, const T* g, int64_t places, float slope,
                    const Desk& desk, T* dx) {
    V scale[AT_ONCE], level[AT_ONCE], first[AT_ONCE], second[AT_ONCE];
    over(
        maps, places,
        [&](int64_t lane) {
            for (int k = 0; k < AT_ONCE; ++k) {
                scale[k] = desk.scale.at(lane + k * W), level[k] = desk.level.at(lane + k * W);
                first[k] = desk.first.at(lane + k * W), second[k] = desk.second.at(lane + k * W);
            }
        },
        [&](int64_t at) {
#pragma GCC unroll 4
            for (int k = 0; k < AT_ONCE; ++k) {
                const V x_k = read(x + at + k * W), z = x_k * scale[k] + level[k];
                const V g_k = rectified(z, read(g + at + k * W), all(slope));
                write(dx + at + k * W, g_k * scale[k] + (x_k * first[k] + second[k]));
            }
        },
        [](int64_t) {},
        [&](int64_t channel, int64_t at) {
            const float x_c = wide(x[at]), scale_c = desk.scale.values()[channel];
            const float z = x_c * scale_c + desk.level.values()[channel];
            const float g_c = rectified(z, wide(g[at]), slope);
            narrow(g_c * scale_c + (x_c * desk.first.values()[channel] +
                                    desk.second.values()[channel]),
                   dx + at);
        });
}

// Statistics of sections and groups.
struct Statistics {
    float *mean, *variance;
};

struct Affine {
    const float *weight, *bias;
    float eps, slope;
};

// Two numbers of every part and channel.
class Tallies {
  public:
    explicit Tallies(const Maps& maps)
        : maps_(maps), sums_(maps.sections() * maps.parts() * 2 * maps.C) {}
    double* of(int64_t section, int64_t part) {
        return sums_.data() + (section * maps_.parts() + part) * 2 * maps_.C;
    }
    void take(int64_t section, int64_t part, Desk& desk) {
        desk.first.add_to(of(section, part));
        desk.second.add_to(of(section, part) + maps_.C);
    }
    void gather(int64_t section) {  // into those of the first part
        double* total = of(section, 0);
        for (int64_t part = 1; part < maps_.parts(); ++part) {
            const double* own = of(section, part);
            for (int64_t i = 0; i < 2 * maps_.C; ++i) total[i] += own[i];
        }
    }

  private:
    const Maps& maps_;
    std::vector<double> sums_;
};

// For every section: its parts are added up, gathered, and drawn. Where a section is a single part,
// in one go, while it is in the caches.
template <class AddUp, class Gather, class Draw>
void in_sections(const Maps& maps, int threads, AddUp add_up, Gather gather, Draw draw) {
    const int64_t sections = maps.sections(), parts = maps.parts();
    std::vector<Desk> desks;
    for (int id = 0; id < threads; ++id) desks.emplace_back(maps);
    if (parts == 1)
        return in_rounds(threads, {sections}, [&](int worker, int64_t, int64_t section) {
            add_up(section, 0, desks[worker]);
            gather(section);
            draw(section, 0, desks[worker]);
        });
    const std::vector<int64_t> counts{sections * parts, sections, sections * parts};
    in_rounds(threads, counts, [&](int worker, int64_t round, int64_t task) {
        if (round == 0) return add_up(task / parts, task % parts, desks[worker]);
        if (round == 1) return gather(task);
        draw(task / parts, task % parts, desks[worker]);
    });
}

class Sections {
  public:
    Sections(const Maps& maps, const Affine& affine, const Statistics& to)
        : maps_(maps), affine_(affine), statistics_(to) {}

    int64_t offset(int64_t section, int64_t part) const {
        return (section * maps_.places() + part * maps_.part()) * maps_.C;
    }
    int64_t places(int64_t part) const {
        return std::min(maps_.part(), maps_.places() - part * maps_.part());
    }
    double mean(int64_t section, int64_t g) const {
        return statistics_.mean[section * maps_.groups() + g];
    }
    double rate(int64_t section, int64_t g) const {
        return 1.0 / std::sqrt(statistics_.variance[section * maps_.groups() + g] +
                               double{affine_.eps});
    }
    // Scale, level, and the mean as a shift.
    void prepare(int64_t section, Desk& desk) const {
        if (desk.section == section) return;
        desk.section = section;
        for (int64_t g = 0; g < maps_.groups(); ++g) {
            const double mean = this->mean(section, g), rate = this->rate(section, g);
            for (int64_t c = g * maps_.channels(); c < (g + 1) * maps_.channels(); ++c) {
                const double scale = affine_.weight[c] * rate;
                desk.scale.values()[c] = static_cast<float>(scale);
                desk.level.values()[c] = static_cast<float>(affine_.bias[c] - mean * scale);
                desk.shift.values()[c] = static_cast<float>(mean);
            }
        }
        desk.scale.repeat(), desk.level.repeat(), desk.shift.repeat();
    }

  private:
    const Maps& maps_;
    const Affine& affine_;
    const Statistics& statistics_;
};

template <class T>
void forward(const Maps& maps, const T* x, const Affine& affine, int threads,
             const Statistics& to, T* y) {
    const Sections sections(maps, affine, to);
    Tallies tallies(maps);
    // Of a part, the mean, and the sum of the squares about it: what is added up is small, wherever
    // the numbers lie and whichever of them lies elsewhere.
    in_sections(
        maps, threads,
        [&](int64_t section, int64_t part, Desk& desk) {
            const T* from = x + sections.offset(section, part);
            const int64_t places = sections.places(part);
            const double share = 1.0 / static_cast<double>(places);
            double *mean = tallies.of(section, part), *squares = mean + maps.C;
            add_up(maps, from, places, desk);
            desk.first.add_to(mean);
            for (int64_t c = 0; c < maps.C; ++c) {
                desk.shift.values()[c] = static_cast<float>(mean[c] * share);
                mean[c] = 0.0;
            }
            desk.shift.repeat();
            add_up_squares(maps, from, places, desk);
            tallies.take(section, part, desk);
            for (int64_t c = 0; c < maps.C; ++c) {
                const double off = mean[c] * share;  // of the shift, which was rounded
                squares[c] = std::max(0.0, squares[c] - mean[c] * off);
                mean[c] = desk.shift.values()[c] + off;
            }
        },
        [&](int64_t section) {
            const double share = 1.0 / static_cast<double>(maps.places() * maps.channels());
            for (int64_t g = 0; g < maps.groups(); ++g) {
                double mean = 0.0, spread = 0.0;
                const auto of_parts = [&](auto each) {
                    for (int64_t part = 0; part < maps.parts(); ++part) {
                        const double* of = tallies.of(section, part);
                        const double places = static_cast<double>(sections.places(part));
                        for (int64_t c = g * maps.channels(); c < (g + 1) * maps.channels(); ++c)
                            each(places, of[c], of[maps.C + c]);
                    }
                };
                of_parts([&](double places, double own, double) { mean += places * own; });
                mean *= share;
                of_parts([&](double places, double own, double squares) {
                    spread += squares + places * (own - mean) * (own - mean);
                });
                to.mean[section * maps.groups() + g] = static_cast<float>(mean);
                to.variance[section * maps.groups() + g] = static_cast<float>(spread * share);
            }
        },
        [&](int64_t section, int64_t part, Desk& desk) {
            sections.prepare(section, desk);
            const int64_t at = sections.offset(section, part);
            draw(maps, x + at, sections.places(part), affine.slope, desk, y + at);
        });
}

template <class T>
void backward(const Maps& maps, const T* x, const T* g, const Affine& affine, int threads,
              const Statistics& from, T* dx, float* d_weight, float* d_bias) {
    const Sections sections(maps, affine, from);
    Tallies tallies(maps);
    std::vector<std::pair<double, double>> means(maps.sections() * maps.groups());  // a and b
    const double share = 1.0 / static_cast<double>(maps.places() * maps.channels());
    in_sections(
        maps, threads,
        [&](int64_t section, int64_t part, Desk& desk) {
            sections.prepare(section, desk);
            const int64_t at = sections.offset(section, part);
            add_up_gradients(maps, x + at, g + at, sections.places(part), affine.slope, desk);
            tallies.take(section, part, desk);
        },
        [&](int64_t section) {
            tallies.gather(section);
            double *sum = tallies.of(section, 0), *products = sum + maps.C;
            for (int64_t g = 0; g < maps.groups(); ++g) {
                double a = 0.0, b = 0.0;
                const double rate = sections.rate(section, g);
                for (int64_t c = g * maps.channels(); c < (g + 1) * maps.channels(); ++c) {
                    products[c] *= rate;
                    a += affine.weight[c] * sum[c];
                    b += affine.weight[c] * products[c];
                }
                means[section * maps.groups() + g] = {a * share, b * share};
            }
        },
        [&](int64_t section, int64_t part, Desk& desk) {
            sections.prepare(section, desk);
            for (int64_t g = 0; g < maps.groups(); ++g) {
                const auto [a, b] = means[section * maps.groups() + g];
                const double mean = sections.mean(section, g), rate = sections.rate(section, g);
                const double first = -b * rate * rate, second = -mean * first - a * rate;
                for (int64_t c = g * maps.channels(); c < (g + 1) * maps.channels(); ++c) {
                    desk.first.values()[c] = static_cast<float>(first);
                    desk.second.values()[c] = static_cast<float>(second);
                }
            }
            desk.first.repeat(), desk.second.repeat();
            const int64_t at = sections.offset(section, part);
            draw_gradients(maps, x + at, g + at, sections.places(part), affine.slope, desk,
                           dx + at);
        });
    double* total = tallies.of(0, 0);
    for (int64_t section = 1; section < maps.sections(); ++section) {
        const double* own = tallies.of(section, 0);
        for (int64_t i = 0; i < 2 * maps.C; ++i) total[i] += own[i];
    }
    for (int64_t c = 0; c < maps.C; ++c) {
        d_bias[c] = static_cast<float>(total[c]);
        d_weight[c] = static_cast<float>(total[maps.C + c]);
    }
}

}  // namespace

// Maps [N, P, C] in bfloat16, or in float32 where `wide` is not 0; normalised in groups of channels,
// or over the batch where G is 0; mean and variance: [N, G], or [C].
// Returns 0; 1 where memory ran out.
extern "C" __attribute__((visibility("default"))) int genzoo_normalised(
    int wide, int64_t N, int64_t P, int64_t C, int64_t G, const void* x, const float* weight,
    const float* bias, float eps, float slope, int threads, float* mean, float* variance, void* y) {
    try {
        const auto run = [&](auto* to) {
            using T = std::remove_pointer_t<decltype(to)>;
            forward(Maps(N, P, C, G), static_cast<const T*>(x), Affine{weight, bias, eps, slope},
                    threads, Statistics{mean, variance}, to);
        };
        wide ? run(static_cast<float*>(y)) : run(static_cast<uint16_t*>(y));
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// The gradients of x, weight and bias, from that of y.
extern "C" __attribute__((visibility("default"))) int genzoo_normalised_gradients(
    int wide, int64_t N, int64_t P, int64_t C, int64_t G, const void* x, const void* g,
    const float* weight, const float* bias, float eps, float slope, int threads, float* mean,
    float* variance, void* dx, float* d_weight, float* d_bias) {
    try {
        const auto run = [&](auto* to) {
            using T = std::remove_pointer_t<decltype(to)>;
            backward(Maps(N, P, C, G), static_cast<const T*>(x), static_cast<const T*>(g),
                     Affine{weight, bias, eps, slope}, threads, Statistics{mean, variance}, to,
                     d_weight, d_bias);
        };
        wide ? run(static_cast<float*>(dx)) : run(static_cast<uint16_t*>(dx));
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}
