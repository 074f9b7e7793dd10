// The floor under the kernels: everything in which nvcc and the emulator (tests/emulator) differ, and the block-wide
// idioms built on it.
//
// A kernel is a __global__ template in namespace lpw::kernels, written in plain CUDA C++ on blockIdx, threadIdx,
// __syncthreads(),
// __syncwarp(), __shfl_*_sync(), __ballot_sync(), __any_sync(), __all_sync(), __threadfence() and integer atomics,
// which the emulator has under the same names. Beyond those it uses what stands here:
//   - shared memory is the dynamic kind only, taken piece by piece from SharedMemory; a __shared__ variable does not
//   compile in the emulator;
//   - 16-byte accesses are load_vector / store_vector with a Cache policy;
//   - what another block is to read in the same launch is written by store_fresh, or as Cache::fresh, and read by
//     load_fresh, or as Cache::fresh, and no pointer to it is const __restrict__;
//   - copies into shared memory that overlap with work are copy_async, commit_copies, wait_copies: the copying thread
//     sees its bytes after the wait, the others after a __syncthreads() that follows it (the emulator copies at a
//     random moment between issue and wait);
//   - blocks wait for blocks through group_barrier alone, and only in cooperative launches; that and arrives_last have
//     the fences (one thread's, which after a __syncthreads() covers what the whole block has written) without which
//     blocks do not see each other's stores. The emulator holds every load_fresh to them;
//   - a loop that waits for memory to change is spin_while (the emulator runs other threads meanwhile).
// Blocks are one-dimensional, a multiple of 32 threads. There are no float atomics: results must not depend on the
// order of threads. Indices of a tensor's elements are 64-bit; offsets inside a block's piece may be 32-bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <lpw/tensor/dtype.hpp>

#if defined(__CUDACC__)
#include <cuda_pipeline_primitives.h>
#define LPW_UNROLL _Pragma("unroll")
#elif defined(LPW_EMULATOR)
#define LPW_UNROLL
#else
#error "kernels are compiled by nvcc, or as C++ after tests/emulator/emulator.hpp"
#endif

namespace lpw::inline LPW_ABI::kernels {

/// How an access treats the caches. `streaming`: this byte is not wanted again. `fresh`: past the caches that blocks do
/// not share.
enum class Cache { normal, streaming, fresh };

/// Where in the kernels an access stands, which the emulator's messages name; nothing on a GPU.
#if defined(__CUDACC__)
struct Site {
  [[nodiscard]] __host__ __device__ static constexpr Site current() { return {}; }
};
#else
using Site = emulator::Site;
#endif

namespace detail {

template <std::size_t Bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};

#if defined(__CUDACC__)

/// One integer as wide as a Word. A struct's members are stored one by one where nvcc does not see that they may be
/// taken together, as in some of the copies of an unrolled loop. Loads it puts together everywhere.
template <class Word>
using Whole = std::conditional_t<sizeof(Word) == 16, unsigned __int128,
                                 std::conditional_t<sizeof(Word) == 8, unsigned long long, Word>>;

template <class Word, Cache cache>
__device__ __forceinline__ Word read_word(const void* from, Site) {
  const auto* word = static_cast<const Word*>(from);
  if constexpr (cache == Cache::streaming) return __ldcs(word);
  if constexpr (cache == Cache::fresh) return __ldcg(word);
  return *word;
}

template <class Word, Cache cache>
__device__ __forceinline__ void write_word(void* to, Word value, Site) {
  if constexpr (cache == Cache::streaming) {
    __stcs(static_cast<Word*>(to), value);
  } else {
    // Fresh too: every store goes to the L2 cache, which blocks share.
    *static_cast<Whole<Word>*>(to) = std::bit_cast<Whole<Word>>(value);
  }
}

extern __shared__ uint4 dynamic_shared_memory[];

__device__ __forceinline__ unsigned char* shared_piece(std::size_t first, std::size_t) {
  return reinterpret_cast<unsigned char*>(dynamic_shared_memory) + first;
}

#else

template <class Word, Cache cache>
Word read_word(const void* from, const Site& site) {
  if constexpr (cache == Cache::fresh) {
    return emulator::read_fresh<Word>(from, site);
  } else {
    return emulator::read<Word>(from, site);
  }
}

template <class Word, Cache cache>
void write_word(void* to, Word value, const Site& site) {
  if constexpr (cache == Cache::fresh) {
    emulator::write_fresh(to, value, site);
  } else {
    emulator::write(to, value, site);
  }
}

inline unsigned char* shared_piece(std::size_t first, std::size_t bytes) {
  return emulator::shared_piece(first, bytes);
}

#endif

}  // namespace detail

/// N elements that are moved at once; N sizeof(T) is 2, 4, 8 or 16 bytes, and their address a multiple of it.
template <class T, int N>
struct alignas(N * sizeof(T)) Vector {
  T element[N];

  __device__ __forceinline__ T& operator[](int i) { return element[i]; }
  __device__ __forceinline__ const T& operator[](int i) const { return element[i]; }
};

/// The number of elements of the widest access.
template <class T>
inline constexpr int widest = 16 / static_cast<int>(sizeof(T));

template <int N, Cache cache = Cache::normal, class T>
[[nodiscard]] __device__ __forceinline__ Vector<T, N> load_vector(const T* from, Site site = Site::current()) {
  using Word = typename detail::WordOf<sizeof(Vector<T, N>)>::type;
  return std::bit_cast<Vector<T, N>>(detail::read_word<Word, cache>(from, site));
}

template <Cache cache = Cache::normal, class T, int N>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, N>& value, Site site = Site::current()) {
  using Word = typename detail::WordOf<sizeof(Vector<T, N>)>::type;
  detail::write_word<Word, cache>(to, std::bit_cast<Word>(value), site);
}

/// One number that another block has written in this launch; never moved across a barrier or out of a loop.
template <class T>
[[nodiscard]] __device__ __forceinline__ T load_fresh(const T* from, [[maybe_unused]] Site site = Site::current()) {
#if defined(__CUDACC__)
  return *static_cast<const volatile T*>(from);
#else
  return emulator::read_fresh<T>(from, site);
#endif
}

/// One number that another block is to read in this launch, by load_fresh.
template <class T>
__device__ __forceinline__ void store_fresh(T* to, T value, Site site = Site::current()) {
  store_vector<Cache::fresh>(to, Vector<T, 1>{{value}}, site);
}

/// What a piece of `count` elements takes of the block's shared memory; a launch asks for the sum over its kernel's
/// pieces.
template <class T>
[[nodiscard]] __host__ __device__ constexpr std::size_t shared_bytes(std::size_t count) {
  return (count * sizeof(T) + 15) / 16 * 16;
}

/// Hands out the block's dynamic shared memory piece after piece, each aligned to 16 bytes. Every thread makes the same
/// calls.
class SharedMemory {
 public:
  template <class T>
  [[nodiscard]] __device__ __forceinline__ T* take(std::size_t count) {
    const std::size_t first = taken_, bytes = shared_bytes<T>(count);
    taken_ += bytes;
    return reinterpret_cast<T*>(detail::shared_piece(first, bytes));
  }

 private:
  std::size_t taken_ = 0;
};

/// Starts a copy of a vector from global to shared memory, for this thread to read after wait_copies. Vectors of 2
/// bytes, which the hardware cannot copy this way, are copied at once.
template <class T, int N>
__device__ __forceinline__ void copy_async(Vector<T, N>* shared, const T* global,
                                           [[maybe_unused]] Site site = Site::current()) {
  if constexpr (sizeof(Vector<T, N>) < 4) {
    *shared = load_vector<N>(global, site);
  } else {
#if defined(__CUDACC__)
    __pipeline_memcpy_async(shared, global, sizeof(Vector<T, N>));
#else
    emulator::copy_async(shared, global, sizeof(Vector<T, N>), site);
#endif
  }
}

/// Closes a group of the copies that this thread has started since the last one.
__device__ __forceinline__ void commit_copies() {
#if defined(__CUDACC__)
  __pipeline_commit();
#else
  emulator::commit_copies();
#endif
}

/// Waits until at most the `Pending` latest groups of this thread are still under way.
template <int Pending = 0>
__device__ __forceinline__ void wait_copies() {
#if defined(__CUDACC__)
  __pipeline_wait_prior(Pending);
#else
  emulator::wait_copies(Pending);
#endif
}

/// Repeats while condition() holds; it reads with load_fresh what other blocks write.
template <class Condition>
__device__ __forceinline__ void spin_while(Condition condition) {
#if defined(__CUDACC__)
  while (condition()) {
  }
#else
  emulator::spin_while(condition);
#endif
}

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x % 32); }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x / 32); }
__device__ __forceinline__ int warp_count() { return static_cast<int>(blockDim.x / 32); }

/// The value of the lane `distance` further on in this lane's segment of Width lanes; at its end the lane's own.
template <int Width = 32, class V>
[[nodiscard]] __device__ __forceinline__ V shuffle_down(V value, int distance) {
  return __shfl_down_sync(0xffffffffu, value, static_cast<unsigned>(distance), Width);
}

/// The value of the lane whose index differs in the bits of `mask`.
template <class V>
[[nodiscard]] __device__ __forceinline__ V shuffle_xor(V value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask, 32);
}

/// The value of lane `lane`.
template <class V>
[[nodiscard]] __device__ __forceinline__ V shuffle(V value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane, 32);
}

struct Sum {
  template <class V>
  __device__ __forceinline__ V operator()(V a, V b) const {
    return a + b;
  }
};

struct Maximum {
  template <class V>
  __device__ __forceinline__ V operator()(V a, V b) const {
    return a > b || a != a ? a : b;  // a NaN on either side is the result
  }
};

/// combine() over the warp, the same bits in every lane. combine is commutative; the order is fixed.
template <class V, class Combine>
[[nodiscard]] __device__ __forceinline__ V warp_reduce(V value, Combine combine) {
  LPW_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) value = combine(value, shuffle_xor(value, mask));
  return value;
}

template <class V>
[[nodiscard]] __device__ __forceinline__ V warp_sum(V value) {
  return warp_reduce(value, Sum());
}

/// combine() over the block, the same bits in every thread. `scratch` is shared memory of warp_count() elements, free
/// again on return.
template <class V, class Combine>
[[nodiscard]] __device__ __forceinline__ V block_reduce(V value, Combine combine, V* scratch) {
  value = warp_reduce(value, combine);
  if (lane_index() == 0) scratch[warp_index()] = value;
  __syncthreads();
  value = scratch[0];
  for (int warp = 1; warp < warp_count(); ++warp) value = combine(value, scratch[warp]);
  __syncthreads();
  return value;
}

template <class V>
[[nodiscard]] __device__ __forceinline__ V block_sum(V value, V* scratch) {
  return block_reduce(value, Sum(), scratch);
}

/// Every block of a group of `blocks` waits here for the others, and then sees what they wrote to global memory before.
/// `counter` is the group's own word, zero before its first use and never touched otherwise: the barrier flips its top
/// bit, so it needs no reset. `rank` numbers the blocks of the group from 0. All of a group must be resident: launch
/// cooperatively.
__device__ __forceinline__ void group_barrier(unsigned* counter, unsigned blocks, unsigned rank) {
  constexpr unsigned flag = 0x80000000u;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    // The group's contributions add up to the flag, so that it flips with the last of them.
    const unsigned before = atomicAdd(counter, rank == 0 ? flag - (blocks - 1) : 1u);
    spin_while([=] { return ((load_fresh(counter) ^ before) & flag) == 0; });
    __threadfence();
  }
  __syncthreads();
}

/// True in every thread of the block that is the last of `blocks` to arrive; it then sees what the others wrote to
/// global memory before. `counter` is zero before the first use and again after the last arrival. `scratch` is shared
/// memory of one element. Waits for nobody.
[[nodiscard]] __device__ __forceinline__ bool arrives_last(unsigned* counter, unsigned blocks, unsigned* scratch) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    *scratch = atomicAdd(counter, 1u) + 1 == blocks;
    if (*scratch) *counter = 0;
    __threadfence();
  }
  __syncthreads();
  const bool last = *scratch;
  __syncthreads();
  return last;
}

}  // namespace lpw::inline LPW_ABI::kernels
