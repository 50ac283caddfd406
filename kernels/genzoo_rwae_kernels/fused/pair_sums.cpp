// Sums of a radial kernel k(x, y) = f(|x - y|^2) over pairs of rows, within x, within y and across,
// with the gradients of a combination of the three: one sweep over pairs of tiles, in which nothing
// of the size of the Gram matrix is kept.
//
// Inside a pair of tiles sums are float32, beyond it float64.
//
// Threads: tiles meet in rounds, as the teams of a tournament: in every round each tile meets one
// other. So no two tasks of a round write to the same place, and every place is written in the
// order of the rounds: the result is the same, bit by bit, for any number of threads.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "lanes.hpp"
#include "meeting.hpp"
#include "memory.hpp"
#include "profiles.hpp"
#include "rounds.hpp"
#include "stack.hpp"

namespace {

// Room for the batch elements that one thread works on: they stay in the second-level cache.
constexpr int64_t ROOM = int64_t{1} << 19;

// What one thread adds up for one of the two tiles that meet.
struct Half {
    Block<float> rows, pulls, slopes, potentials;
    explicit Half(const Stack& stack)
        : rows(stack.tile_values()), pulls(stack.tile_values()), slopes(stack.tile_rows()),
          potentials(stack.tile_rows()) {}
    void begin(const Stack& stack, int64_t e, int64_t b, int64_t tile) const {
        stack.copy_rows(e, b, tile, rows.at(0));
        std::memset(pulls.at(0), 0, stack.tile_values() * sizeof(float));
        std::memset(slopes.at(0), 0, stack.tile_rows() * sizeof(float));
        std::memset(potentials.at(0), 0, stack.tile_rows() * sizeof(float));
    }
    void end(const Stack& stack, int64_t e, int64_t tile) const {
        add(stack.pulls(e, tile), pulls.at(0), stack.tile_values());
        add(stack.slopes(e, tile), slopes.at(0), stack.tile_rows());
        add(stack.potentials(e, tile), potentials.at(0), stack.tile_rows());
    }

  private:
    static void add(double* to, const float* from, int64_t count) {
        for (int64_t i = 0; i < count; ++i) to[i] += static_cast<double>(from[i]);
    }
};

struct Desk {
    Half left, right;
    int64_t stride;  // off the powers of two that would share cache sets
    Block<float> slopes;
    explicit Desk(const Stack& stack)
        : left(stack), right(stack), stride(stack.tile_rows() + W), slopes(W * stride) {}
};

// Lanes that count in a panel that meets itself, and where pairs of equal rows are left out.
struct Lanes {
    Mask above[W], off_diagonal[W];
    Lanes() {
        for (int r = 0; r < W; ++r)
            for (int l = 0; l < W; ++l) {
                above[r][l] = l > r ? -1 : 0;
                off_diagonal[r][l] = l != r ? -1 : 0;
            }
    }
};

struct Asked {
    bool kinds[KINDS];
    bool gradients;
    bool skip_paired;  // leave out the pairs (x_i, y_i)
};

template <class Profile>
class Sweep {
  public:
    Sweep(const Profile& profile, float cap, const Stack& stack, const Asked& asked)
        : profile_(profile), cap_(cap), stack_(stack), asked_(asked) {}

    // Round 0: every tile meets itself. Then each meets every other one, in rounds.
    int64_t rounds() const { return teams(); }
    int64_t meetings(int64_t round) const { return round == 0 ? stack_.tiles : teams() / 2; }

    void task(int64_t e, int64_t b, int64_t round, int64_t index, const Desk& desk) const {
        if (round == 0) return tiles(e, b, index, index, desk);
        const int64_t others = teams() - 1;
        int64_t I = others, J = round - 1;
        if (index > 0) {
            I = (round - 1 + index) % others;
            J = (round - 1 - index + others) % others;
        }
        if (I > J) std::swap(I, J);
        if (J < stack_.tiles) tiles(e, b, I, J, desk);
    }

  private:
    // An even number, with one that rests a round if need be.
    int64_t teams() const { return stack_.tiles == 1 ? 1 : stack_.tiles + stack_.tiles % 2; }

    static int kind_of(int left, int right) { return left == right ? left : ACROSS; }

    bool meet_at_all(int64_t I, int64_t J) const {
        for (int left = stack_.sample_of(stack_.first_panel(I));
             left <= stack_.sample_of(stack_.last_panel(I) - 1); ++left)
            for (int right = stack_.sample_of(stack_.first_panel(J));
                 right <= stack_.sample_of(stack_.last_panel(J) - 1); ++right)
                if (asked_.kinds[kind_of(left, right)]) return true;
        return false;
    }

    void tiles(int64_t e, int64_t b, int64_t I, int64_t J, const Desk& desk) const {
        if (!meet_at_all(I, J)) return;
        const Half &left = desk.left, &right = I == J ? desk.left : desk.right;
        left.begin(stack_, e, b, I);
        if (I != J) right.begin(stack_, e, b, J);
        if (stack_.element(e).products)
            tiles<true>(e, I, J, left, right, desk);
        else
            tiles<false>(e, I, J, left, right, desk);
        left.end(stack_, e, I);
        if (I != J) right.end(stack_, e, J);
    }

    template <bool PRODUCTS>
    void tiles(int64_t e, int64_t I, int64_t J, const Half& left, const Half& right,
               const Desk& desk) const {
        const int64_t first = stack_.first_panel(I);
        for (int64_t p = first; p < stack_.last_panel(I); ++p)
            for (int sample = 0; sample < 2; ++sample) {
                const int kind = kind_of(stack_.sample_of(p), sample);
                int64_t begin = stack_.first_panel(J), end = stack_.last_panel(J);
                if (sample == 0 && end > stack_.x_panels) end = stack_.x_panels;
                if (sample == 1 && begin < stack_.x_panels) begin = stack_.x_panels;
                if (I == J && begin < p) begin = p;
                if (begin < end && asked_.kinds[kind])
                    panels<PRODUCTS>(e, kind, p, p - first, begin, end, stack_.first_panel(J),
                                     stack_.sums(e, I), left, right, desk);
            }
    }

    // Panel p, `row` panels into its tile, meets the panels begin to end of a tile from `first` on.
    template <bool PRODUCTS>
    void panels(int64_t e, int kind, int64_t p, int64_t row, int64_t begin, int64_t end,
                int64_t first, double* sums, const Half& left, const Half& right,
                const Desk& desk) const {
        const Side x = stack_.side(e, p);
        const float coefficient = stack_.element(e).coefficients[kind];
        float x_weights[W];
        for (int r = 0; r < W; ++r) x_weights[r] = x.weights[r] * coefficient;
        V x_potential[W] = {}, x_slope[W] = {};
        for (int64_t q = begin; q < end;) {
            const Mask* counted = lanes_of(p, q);
            const bool two = counted == nullptr && q + 1 < end && lanes_of(p, q + 1) == nullptr;
            const int64_t at = (q - first) * W;
            for (int half = 0; half < W; half += ROWS) {
                const Side some{x.rows + half, x.squares + half, x_weights + half};
                const Tally tally{x_potential + half, x_slope + half, right.potentials.at(at),
                                  right.slopes.at(at)};
                float* slopes = desk.slopes.at(half * desk.stride + at);
                if (two)
                    meet<PRODUCTS, 2>(profile_, cap_, nullptr, stack_.s.D, some,
                                      stack_.side(e, q), tally, slopes, desk.stride);
                else
                    meet<PRODUCTS, 1>(profile_, cap_, counted ? counted + half : nullptr,
                                      stack_.s.D, some, stack_.side(e, q), tally, slopes,
                                      desk.stride);
            }
            q += two ? 2 : 1;
        }
        for (int r = 0; r < W; ++r) {
            const float potential = sum(x_potential[r]);
            sums[kind] += static_cast<double>(potential) * static_cast<double>(x.weights[r]);
            *left.potentials.at(row * W + r) += potential * coefficient;
            if (PRODUCTS) *left.slopes.at(row * W + r) += sum(x_slope[r]);
        }
        if (!asked_.gradients) return;
        const int64_t last = (end - 1 - first) * W + stack_.rows_in(end - 1);
        for (int64_t c = 0; c < stack_.chunks; ++c)
            for (int half = 0; half < W; half += ROWS) {
                const int64_t chunk = c * stack_.tile_rows() * W;
                const int64_t at = chunk + (row * W + half) * W;
                pull<PRODUCTS>(left.rows.at(at), right.rows.at(chunk),
                               desk.slopes.at(half * desk.stride), desk.stride,
                               (begin - first) * W, last, left.pulls.at(at),
                               right.pulls.at(chunk));
            }
    }

    // The lanes that count where two panels meet; null: all.
    const Mask* lanes_of(int64_t p, int64_t q) const {
        if (p == q) return lanes_.above;
        return asked_.skip_paired && q == p + stack_.x_panels ? lanes_.off_diagonal : nullptr;
    }

    const Profile& profile_;
    float cap_;
    const Stack& stack_;
    Asked asked_;
    Lanes lanes_;
};

struct Result {
    double *value, *sums;
    float *x_gradient, *y_gradient;
    double *a_gradient, *b_gradient;
};

template <class Profile>
void pair_sums(const Profile& profile, float cap, double reach, const Samples& samples,
               const Asked& asked, int threads, const Result& to) {
    const int64_t fit = threads * ROOM / Stack::bytes(samples);
    const int64_t elements = fit < 1 ? 1 : fit < samples.B ? fit : samples.B;
    Stack stack(samples, reach, elements);
    const Sweep<Profile> sweep(profile, cap, stack, asked);
    std::vector<Desk> desks;
    for (int id = 0; id < threads; ++id) desks.emplace_back(stack);

    // Of some elements at a time: begin, prepare, the rounds of the sweep, write.
    const int64_t stages = sweep.rounds() + 3;
    std::vector<int64_t> counts;
    for (int64_t first = 0; first < samples.B; first += elements) {
        const int64_t count = first + elements < samples.B ? elements : samples.B - first;
        counts.push_back(count);
        counts.push_back(count * stack.tiles);
        for (int64_t r = 0; r < sweep.rounds(); ++r) counts.push_back(count * sweep.meetings(r));
        counts.push_back(count * stack.tiles);
    }
    in_rounds(threads, counts, [&](int worker, int64_t round, int64_t task) {
        const int64_t first = round / stages * elements, stage = round % stages;
        if (stage == 0) return stack.begin(task, first + task);
        if (stage > 1 && stage < stages - 1) {
            const int64_t meetings = sweep.meetings(stage - 2), e = task / meetings;
            return sweep.task(e, first + e, stage - 2, task % meetings, desks[worker]);
        }
        const int64_t e = task / stack.tiles, tile = task % stack.tiles;
        if (stage == 1) return stack.prepare(e, first + e, tile);
        stack.write(e, first + e, tile, to.x_gradient, to.y_gradient, to.a_gradient,
                    to.b_gradient);
        if (tile == 0) stack.write_sums(e, first + e, to.sums, to.value);
    });
}

}  // namespace

// Sums [B, 3] within x (i != j), within y and across, the value that they make with the coefficients
// [B, 3], and its gradients. kinds: the sum of 1, 2 and 4 for those of the three that are asked for; the
// others are 0. Gradients: null where not asked for.
// Returns 0; 1 where memory ran out; 2 for a profile that is not known.
extern "C" __attribute__((visibility("default"))) int genzoo_pair_sums(
    const char* profile, int64_t count, const double* widths, double shape, double cap,
    double reach, int64_t B, int64_t N, int64_t M, int64_t D, const float* x, const float* y,
    const double* a, const double* b, const double* coefficients, int kinds, int skip_paired,
    int threads, double* value, double* sums, float* x_gradient, float* y_gradient, double* a_gradient,
    double* b_gradient) {
    try {
        const Samples samples{B, N, M, D, x, y, a, b, coefficients};
        const Asked asked{{(kinds & 1) != 0, (kinds & 2) != 0, (kinds & 4) != 0},
                          x_gradient != nullptr || y_gradient != nullptr, skip_paired != 0};
        const Result result{value, sums, x_gradient, y_gradient, a_gradient, b_gradient};
        const auto run = [&](const auto& f) {
            pair_sums(f, static_cast<float>(cap), reach, samples, asked, threads, result);
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
