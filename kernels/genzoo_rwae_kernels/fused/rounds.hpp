// Tasks in rounds on several threads.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace {

// Very small numbers count as 0 on this thread; with them a product can take 100 times as long.
class FlushTinyNumbers {
  public:
#if defined(__SSE__)
    FlushTinyNumbers() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~FlushTinyNumbers() { _mm_setcsr(before_); }

  private:
    unsigned before_;
#endif
};

class Barrier {
  public:
    void expect(int threads) { threads_ = threads; }
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        const uint64_t turn = turn_;
        if (++waiting_ == threads_) {
            waiting_ = 0;
            ++turn_;
            arrived_.notify_all();
        } else {
            arrived_.wait(lock, [&] { return turn_ != turn; });
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    int threads_ = 1, waiting_ = 0;
    uint64_t turn_ = 0;
};

// Tasks of round after round, each round done before the next begins.
void in_rounds(int threads, const std::vector<int64_t>& counts,
               const std::function<void(int worker, int64_t round, int64_t task)>& work) {
    std::vector<std::atomic<int64_t>> next(counts.size());
    for (auto& counter : next) counter = 0;
    Barrier barrier;
    const auto worker = [&](int id) {
        FlushTinyNumbers flush;
        for (std::size_t round = 0; round < counts.size(); ++round) {
            for (int64_t t = next[round]++; t < counts[round]; t = next[round]++)
                work(id, static_cast<int64_t>(round), t);
            if (threads > 1) barrier.wait();
        }
    };
    if (threads == 1) return worker(0);
    // Helpers wait here until it is known how many the system let us have.
    std::vector<std::thread> helpers;
    helpers.reserve(threads);
    std::mutex mutex;
    std::condition_variable opened;
    bool open = false;
    try {
        for (int id = 1; id < threads; ++id)
            helpers.emplace_back([&, id] {
                {
                    std::unique_lock<std::mutex> lock(mutex);
                    opened.wait(lock, [&] { return open; });
                }
                worker(id);
            });
    } catch (const std::system_error&) {
        // Fewer threads, the same sums.
    }
    barrier.expect(static_cast<int>(helpers.size()) + 1);
    {
        std::lock_guard<std::mutex> lock(mutex);
        open = true;
    }
    opened.notify_all();
    worker(0);
    for (auto& helper : helpers) helper.join();
}

}  // namespace
