// Aligned memory that goes back to the system.

#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace {

constexpr std::size_t ALIGNMENT = 64;  // a cache line

// From this size on memory is the system's, which gets it back at once: the C library keeps freed
// blocks of such sizes, beside which the caller's next tensors would need as much again.
constexpr std::size_t LARGE = std::size_t{4} << 20;

// Not initialised.
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

}  // namespace
