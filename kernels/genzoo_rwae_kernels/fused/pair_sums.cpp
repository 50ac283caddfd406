// Pair sums of a radial kernel k(x, y) = f(|x - y|^2): value, gradients with respect to the rows
// and potentials in one sweep over tiles of pairs. Nothing of the size of the Gram matrix is kept.
//
// Legend: B batch, N rows of x, M rows of y, D width of a row; W lanes of a vector; a panel is
// W rows, a tile `height` rows (whole panels), a chunk W coordinates.
//
// Distances and gradients are sums of differences x - y, which offsets and far clusters do not
// harm. Inside a tile sums are float32, across tiles float64.
//
// Threads: tiles are visited in rounds. In round r tile I of x meets tile I + r of y, so no two
// tasks of a round write to the same place, and every place is written in the order of the
// rounds: the result is the same, bit by bit, for any number of threads.

#include <sys/mman.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "lanes.hpp"
#include "profiles.hpp"
#include "rounds.hpp"

namespace {

constexpr int HALF = W / 2;  // rows whose gradients are kept in registers at a time

// Most rows of a tile, a multiple of W: large tiles are faster, small ones feed more threads. Of
// the rows alone, as all that decides the order of the sums.
constexpr int64_t most_rows_of_a_tile(int64_t rows) { return rows > 1024 ? 256 : 128; }
constexpr int64_t ALIGNMENT = 64;

// From this size on memory is the system's, which gets it back at once: the C library keeps freed
// blocks of such sizes, beside which the caller's next tensors would need as much again.
constexpr std::size_t LARGE = std::size_t{4} << 20;

// Memory, aligned to cache lines; not initialised.
template <class T>
class Block {
  public:
    Block() = default;
    explicit Block(int64_t count) {
        void* memory = nullptr;
        const std::size_t bytes = static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(T);
        if (bytes >= LARGE) {
            memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
            if (memory == MAP_FAILED) throw std::bad_alloc();
        } else if (posix_memalign(&memory, ALIGNMENT, bytes) != 0) {
            throw std::bad_alloc();
        }
        memory_ = std::unique_ptr<T, Free>(static_cast<T*>(memory), Free{bytes});
    }
    T* at(int64_t offset) const { return memory_.get() + offset; }

  private:
    struct Free {
        std::size_t bytes = 0;
        void operator()(T* memory) const {
            if (bytes >= LARGE)
                munmap(memory, bytes);
            else
                std::free(memory);
        }
    };
    std::unique_ptr<T, Free> memory_;
};

int64_t up(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

// One sample: its rows by panels, and what the sweep adds up for it.
struct Sample {
    int64_t B, n, D, chunks, tiles, height, padded;
    const float* rows;
    const double* weights;
    Block<float> panels;       // [B, padded / W, D, W]
    Block<float> scaled;       // [B, padded]: weights over the largest of them, 0 beyond n
    Block<double> largest;     // [B]
    Block<double> gradient;    // [B, tiles, chunks, height, W]
    Block<double> potential;   // [B, padded]

    Sample(int64_t B, int64_t n, int64_t D, const float* rows, const double* weights)
        : B(B), n(n), D(D), chunks(up(D, W)), tiles(up(n, most_rows_of_a_tile(n))),
          height(up(up(n, tiles), W) * W), padded(tiles * height), rows(rows), weights(weights),
          panels(B * padded * D), scaled(B * padded), largest(B), gradient(B * padded * chunks * W),
          potential(B * padded) {
        for (int64_t b = 0; b < B; ++b) {
            double most = 0.0;
            for (int64_t i = 0; i < n; ++i) {
                const double size = std::abs(weights[b * n + i]);
                if (!(size <= most)) most = size;
            }
            *largest.at(b) = most == 0.0 ? 1.0 : most;
        }
    }

    int64_t tile_values() const { return chunks * height * W; }
    int64_t rows_in(int64_t tile) const {
        const int64_t left = n - tile * height;
        return left < 0 ? 0 : left < height ? left : height;
    }
    int64_t panels_in(int64_t tile) const { return up(rows_in(tile), W); }
    double* gradient_of(int64_t b, int64_t tile) const {
        return gradient.at((b * tiles + tile) * tile_values());
    }
    double* potential_of(int64_t b, int64_t tile) const {
        return potential.at(b * padded + tile * height);
    }
    const float* weights_of(int64_t b, int64_t tile) const {
        return scaled.at(b * padded + tile * height);
    }
    const float* panel(int64_t b, int64_t tile, int64_t p) const {
        return panels.at(b * padded * D + (tile * height + p * W) * D);
    }

    void prepare(int64_t b, int64_t tile) const {
        const int64_t first = tile * height, count = rows_in(tile);
        float* to = panels.at((b * padded + first) * D);
        for (int64_t p = 0; p < height / W; ++p)
            for (int64_t l = 0; l < W; ++l) {
                const int64_t row = p * W + l;
                float* lane = to + p * D * W + l;
                const float* from = rows + (b * n + first + row) * D;
                if (row < count)
                    for (int64_t d = 0; d < D; ++d) lane[d * W] = from[d];
                else
                    for (int64_t d = 0; d < D; ++d) lane[d * W] = 0.0f;
            }
        float* w = scaled.at(b * padded + first);
        for (int64_t row = 0; row < height; ++row)
            w[row] = row < count
                         ? static_cast<float>(weights[b * n + first + row] / *largest.at(b))
                         : 0.0f;
        std::memset(gradient_of(b, tile), 0, tile_values() * sizeof(double));
        std::memset(potential_of(b, tile), 0, height * sizeof(double));
    }

    // Rows of a tile as [chunks, height, W], 0 where there is no coordinate or no row.
    void copy_rows(int64_t b, int64_t tile, float* to) const {
        const int64_t first = tile * height, count = rows_in(tile);
        for (int64_t c = 0; c < chunks; ++c) {
            const int64_t width = D - c * W < W ? D - c * W : W;
            for (int64_t row = 0; row < height; ++row, to += W) {
                const float* from = rows + (b * n + first + row) * D + c * W;
                if (row < count && width == W) {
                    store(to, load(from));
                } else {
                    store(to, V{});
                    if (row < count) std::memcpy(to, from, width * sizeof(float));
                }
            }
        }
    }
};

// What one thread needs for a pair of tiles.
struct Desk {
    Block<float> x, y, y_gradient, pulls, y_potential;
    int64_t stride;  // of pulls, off the powers of two that would share cache sets
    Desk(const Sample& a, const Sample& b)
        : x(a.tile_values()), y(b.tile_values()), y_gradient(b.tile_values()),
          pulls(W * (b.height + W)), y_potential(b.height), stride(b.height + W) {}
};

enum class Pairs { all, off_diagonal, above_diagonal };

// Lanes that count in each row of a panel on the diagonal.
struct Counted {
    Mask lanes[W];
    explicit Counted(Pairs pairs) {
        for (int r = 0; r < W; ++r)
            for (int l = 0; l < W; ++l)
                lanes[r][l] = (pairs == Pairs::above_diagonal ? l > r : l != r) ? -1 : 0;
    }
};

// W rows of x against W rows of y: potentials of both, and the pulls G = w_i w_j f'(d2).
// counted: null off the diagonal.
template <class Profile>
inline void meet(const Profile& profile, float cap, const Counted* counted, int64_t D,
                 const float* x, const float* y, const float* x_weights, V y_weights,
                 V (&x_potential)[W], V& y_potential, float* pulls, int64_t stride) {
    V d2[W] = {};
    for (int64_t d = 0; d < D; ++d) {
        const V y_d = load(y + d * W);
#pragma GCC unroll 16
        for (int r = 0; r < W; ++r) {
            const V difference = y_d - x[d * W + r];
            d2[r] += difference * difference;
        }
    }
#pragma GCC unroll 1
    for (int r = 0; r < W; ++r) {
        V value, slope;
        // Written so that NaN stays NaN.
        profile(d2[r] > cap ? all(cap) : d2[r], value, slope);
        if (counted != nullptr) {
            value = counted->lanes[r] ? value : V{};
            slope = counted->lanes[r] ? slope : V{};
        }
        x_potential[r] += value * y_weights;
        y_potential += value * x_weights[r];
        store(pulls + r * stride, slope * (y_weights * x_weights[r]));
    }
}

inline void add_to(double* to, V v) {
    for (int l = 0; l < W; ++l) to[l] += static_cast<double>(v[l]);
}

// Gradients of HALF rows of x, kept in registers, and of y: sums of G (x - y).
inline void pull(const float* x, const float* y, float* y_gradient, const float* pulls,
                 int64_t stride, int64_t begin, int64_t end, double* x_gradient) {
    V row[HALF], sum[HALF] = {};
#pragma GCC unroll 8
    for (int r = 0; r < HALF; ++r) row[r] = load(x + r * W);
    for (int64_t j = begin; j < end; ++j) {
        const V y_j = load(y + j * W);
        V opposite = load(y_gradient + j * W);
#pragma GCC unroll 8
        for (int r = 0; r < HALF; ++r) {
            const V difference = row[r] - y_j;
            const V g = all(pulls[r * stride + j]);
            sum[r] += g * difference;
            opposite -= g * difference;
        }
        store(y_gradient + j * W, opposite);
    }
#pragma GCC unroll 8
    for (int r = 0; r < HALF; ++r) add_to(x_gradient + r * W, sum[r]);
}

// The sums: x against itself (each pair once, added to both of its rows) or against y.
template <class Profile>
class Sweep {
  public:
    Sweep(const Profile& profile, float cap, const Sample& x, const Sample& y, Pairs pairs,
          double* x_opposite, double* x_opposite_potential)
        : profile_(profile), cap_(cap), x_(x), y_(y), pairs_(pairs), counted_(pairs),
          opposite_(x_opposite), opposite_potential_(x_opposite_potential) {}

    bool within() const { return pairs_ == Pairs::above_diagonal; }

    int64_t rounds() const {
        if (within()) return x_.tiles / 2 + 1;
        return x_.tiles > y_.tiles ? x_.tiles : y_.tiles;
    }

    // How many pairs of tiles of one batch element meet in a round.
    int64_t meetings(int64_t round) const {
        if (within()) return 2 * round == x_.tiles ? round : x_.tiles;
        return x_.tiles < y_.tiles ? x_.tiles : y_.tiles;
    }

    void task(int64_t round, int64_t index, Desk& desk) const {
        const int64_t b = index / meetings(round), t = index % meetings(round);
        const int64_t longer = within() || x_.tiles > y_.tiles ? x_.tiles : y_.tiles;
        const int64_t other = (t + round) % longer;
        if (within() || x_.tiles <= y_.tiles)
            tiles(b, t, other, desk);
        else
            tiles(b, other, t, desk);
    }

  private:
    void tiles(int64_t b, int64_t I, int64_t J, Desk& desk) const {
        x_.copy_rows(b, I, desk.x.at(0));
        y_.copy_rows(b, J, desk.y.at(0));
        std::memset(desk.y_gradient.at(0), 0, y_.tile_values() * sizeof(float));
        std::memset(desk.y_potential.at(0), 0, y_.height * sizeof(float));
        const float *x_weights = x_.weights_of(b, I), *y_weights = y_.weights_of(b, J);
        double *x_potentials = x_.potential_of(b, I), *x_gradients = x_.gradient_of(b, I);
        const int64_t y_panels = y_.panels_in(J), y_rows = y_.rows_in(J);
        const bool same = within() && I == J;

        for (int64_t p = 0; p < x_.panels_in(I); ++p) {
            const float* panel = x_.panel(b, I, p);
            const int64_t begin = same ? p : 0;
            // Panels of the two tiles are counted from different rows.
            const int64_t diagonal =
                pairs_ == Pairs::all ? -1 : I * (x_.height / W) + p - J * (y_.height / W);
            V x_potential[W] = {};
            for (int64_t q = begin; q < y_panels; ++q) {
                V y_potential = load(desk.y_potential.at(q * W));
                meet(profile_, cap_, q == diagonal ? &counted_ : nullptr, x_.D, panel,
                     y_.panel(b, J, q), x_weights + p * W, load(y_weights + q * W), x_potential,
                     y_potential, desk.pulls.at(q * W), desk.stride);
                store(desk.y_potential.at(q * W), y_potential);
            }
            for (int r = 0; r < W; ++r) {
                double sum = 0.0;
                for (int l = 0; l < W; ++l) sum += static_cast<double>(x_potential[r][l]);
                x_potentials[p * W + r] += sum;
            }
            for (int64_t c = 0; c < x_.chunks; ++c)
                for (int64_t half = p * W; half < p * W + W; half += HALF) {
                    const int64_t x_at = (c * x_.height + half) * W, y_at = c * y_.height * W;
                    pull(desk.x.at(x_at), desk.y.at(y_at), desk.y_gradient.at(y_at),
                         desk.pulls.at((half - p * W) * desk.stride), desk.stride, begin * W,
                         y_rows, x_gradients + x_at);
                }
        }

        double* y_gradients = y_.gradient_of(b, J);
        double* y_potentials = y_.potential_of(b, J);
        if (within()) {  // the same rows in the other role: added at the end
            y_gradients = opposite_ + (y_gradients - y_.gradient.at(0));
            y_potentials = opposite_potential_ + (y_potentials - y_.potential.at(0));
        }
        for (int64_t i = 0; i < y_.tile_values(); i += W)
            add_to(y_gradients + i, load(desk.y_gradient.at(i)));
        for (int64_t i = 0; i < y_.height; i += W)
            add_to(y_potentials + i, load(desk.y_potential.at(i)));
    }

    const Profile& profile_;
    float cap_;
    const Sample &x_, &y_;
    Pairs pairs_;
    Counted counted_;
    double *opposite_, *opposite_potential_;
};

struct Result {
    double* value;
    float *x_gradient, *y_gradient;
    double *x_potential, *y_potential;
};

// Rows of a tile of the gradient, from the sums' layout to [B, n, D].
void write_out(const Sample& s, int64_t b, int64_t tile, double pull_factor,
               double potential_factor, const double* opposite, const double* opposite_potential,
               float* gradient, double* potential) {
    const int64_t first = b * s.n + tile * s.height, count = s.rows_in(tile);
    const double* sums = s.gradient_of(b, tile);
    const double* more = opposite ? opposite + (sums - s.gradient.at(0)) : nullptr;
    for (int64_t c = 0; c < s.chunks; ++c) {
        const int64_t width = s.D - c * W < W ? s.D - c * W : W;
        for (int64_t row = 0; row < count; ++row) {
            const int64_t from = (c * s.height + row) * W;
            float* to = gradient + (first + row) * s.D + c * W;
            float line[W];
            for (int l = 0; l < W; ++l) {
                const double sum = more ? sums[from + l] + more[from + l] : sums[from + l];
                line[l] = static_cast<float>(pull_factor * sum);
            }
            std::memcpy(to, line, width * sizeof(float));
        }
    }
    const double* of_rows = s.potential_of(b, tile);
    const double* more_of_rows =
        opposite ? opposite_potential + (of_rows - s.potential.at(0)) : nullptr;
    for (int64_t row = 0; row < count; ++row) {
        const double sum = more_of_rows ? of_rows[row] + more_of_rows[row] : of_rows[row];
        potential[first + row] = potential_factor * sum;
    }
}

template <class Profile>
void pair_sums(const Profile& profile, float cap, Pairs pairs, const Sample& x, const Sample& y,
               int threads, const Result& result) {
    const bool within = pairs == Pairs::above_diagonal;
    const int64_t B = x.B;
    Block<double> opposite(within ? B * x.padded * x.chunks * W : 0);
    Block<double> opposite_potential(within ? B * x.padded : 0);
    const Sweep<Profile> sweep(profile, cap, x, y, pairs, opposite.at(0), opposite_potential.at(0));

    const int64_t both = x.tiles + (within ? 0 : y.tiles), rounds = sweep.rounds();
    std::vector<int64_t> counts{B * both};
    for (int64_t r = 0; r < rounds; ++r) counts.push_back(B * sweep.meetings(r));
    counts.push_back(B * both);

    std::vector<Desk> desks;
    for (int id = 0; id < threads; ++id) desks.emplace_back(x, y);

    in_rounds(threads, counts, [&](int worker, int64_t round, int64_t task) {
        if (round > 0 && round <= rounds) return sweep.task(round - 1, task, desks[worker]);
        const int64_t b = task / both, t = task % both;
        const bool of_x = t < x.tiles;
        const Sample& sample = of_x ? x : y;
        const int64_t tile = of_x ? t : t - x.tiles;
        if (round == 0) {
            sample.prepare(b, tile);
            if (within) {
                const int64_t at = (b * x.tiles + tile) * x.tile_values();
                std::memset(opposite.at(at), 0, x.tile_values() * sizeof(double));
                std::memset(opposite_potential.at(b * x.padded + tile * x.height), 0,
                            x.height * sizeof(double));
            }
            return;
        }
        const double product = *x.largest.at(b) * *y.largest.at(b);
        // 2 of d(d2)/dx = 2 (x - y); within, each pair counts in both of its orders.
        const double pull_factor = (within ? 4.0 : 2.0) * product;
        write_out(sample, b, tile, pull_factor, *(of_x ? y : x).largest.at(b),
                  within ? opposite.at(0) : nullptr, opposite_potential.at(0),
                  of_x ? result.x_gradient : result.y_gradient,
                  of_x ? result.x_potential : result.y_potential);
    });

    for (int64_t b = 0; b < B; ++b) {
        double sum = 0.0;
        for (int64_t i = b * x.n; i < (b + 1) * x.n; ++i)
            sum += x.weights[i] * result.x_potential[i];
        result.value[b] = sum;
    }
}

}  // namespace

// Returns 0; 1 where memory ran out; 2 for a profile that is not known.
// y null: pairs i != j within x; else across, without i == j if skip_diagonal.
extern "C" __attribute__((visibility("default"))) int genzoo_pair_sums(
    const char* profile, int64_t count, const double* widths, double shape, double cap, int64_t B,
    int64_t N, int64_t M, int64_t D, const float* x, const float* y, const double* a,
    const double* b, int skip_diagonal, int threads, double* value, float* x_gradient,
    float* y_gradient, double* x_potential, double* y_potential) {
    try {
        const Result result{value, x_gradient, y_gradient, x_potential, y_potential};
        const auto run = [&](const auto& f) {
            const Sample of_x(B, N, D, x, a);
            const float most = static_cast<float>(cap);
            if (y == nullptr)
                return pair_sums(f, most, Pairs::above_diagonal, of_x, of_x, threads, result);
            const Sample of_y(B, M, D, y, b);
            const Pairs pairs = skip_diagonal ? Pairs::off_diagonal : Pairs::all;
            pair_sums(f, most, pairs, of_x, of_y, threads, result);
        };
        const auto named = [&](const char* name) { return std::strcmp(profile, name) == 0; };
        if (named("imq")) run(Imq(count, widths, shape));
        else if (named("rbf")) run(Rbf(count, widths, shape));
        else if (named("energy")) run(Energy(count, widths, shape));
        else if (named("laplacian")) run(Exponential<0>(count, widths, shape));
        else if (named("matern-3/2")) run(Exponential<1>(count, widths, shape));
        else if (named("matern-5/2")) run(Exponential<2>(count, widths, shape));
        else if (named("rational-quadratic")) run(RationalQuadratic(count, widths, shape));
        else return 2;
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}
