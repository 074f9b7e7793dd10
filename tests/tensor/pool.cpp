#include <lpw/tensor/pool.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include <lpw/tensor/philox.hpp>

#include "catch.hpp"

using lpw::CpuPool;

namespace {

constexpr std::size_t mebi = std::size_t{1} << 20;

bool aligned(const void* block, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

/// Memory that comes and goes by whole segments, as a GPU's driver gives it.
struct Segments {
  static constexpr std::size_t alignment = 256, small = 1 << 20, granule = 2 << 20;

  explicit Segments(std::size_t limit = std::size_t{1} << 30) : limit(limit) {}
  [[nodiscard]] void* allocate(std::size_t size, std::size_t held) const {
    return held + size <= limit ? std::aligned_alloc(granule, size) : nullptr;
  }
  static void release(void* segment) { std::free(segment); }
  [[nodiscard]] static std::string shortage(std::size_t) { return "here"; }

  std::size_t limit;
};
using SegmentPool = lpw::Pool<Segments>;

/// Bytes of the process that lie in memory.
std::size_t resident() {
  std::size_t total = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> total >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// Page faults that others may have meanwhile: AddressSanitizer touches memory of its own.
constexpr std::int64_t few = lpw::HostMemory::guard > 0 ? 2000 : 20;

struct Block {
  void* data;
  std::size_t bytes;
};

/// A block that is written to.
template <class P>
Block block_of(P& pool, std::size_t bytes) {
  const Block block{pool.allocate(bytes), bytes};
  std::memset(block.data, 1, bytes);
  return block;
}
template <class P>
void give_back(P& pool, std::vector<Block>& blocks) {
  for (const Block& block : blocks) pool.deallocate(block.data, block.bytes);
  blocks.clear();
}

/// What a pass over `layers` layers does: saved tensors with a temporary each on the way there, gradients on the way
/// back.
template <class P>
void pass(P& pool, std::size_t bytes, int layers) {
  std::vector<Block> saved;
  for (int i = 0; i < layers; ++i) {
    const Block temporary = block_of(pool, bytes / 2 + 4096 * static_cast<std::size_t>(i));
    saved.push_back(block_of(pool, bytes / static_cast<std::size_t>(1 + i % 3)));
    saved.push_back(block_of(pool, 200));
    pool.deallocate(temporary.data, temporary.bytes);
  }
  Block gradient = block_of(pool, bytes);
  while (!saved.empty()) {
    const Block next = block_of(pool, saved.back().bytes);
    pool.deallocate(gradient.data, gradient.bytes);
    pool.deallocate(saved.back().data, saved.back().bytes);
    gradient = next;
    saved.pop_back();
  }
  pool.deallocate(gradient.data, gradient.bytes);
}

}  // namespace

TEST_CASE("pools round sizes up to whole units of their alignment") {
  CHECK(CpuPool::round_up(0) == 64);
  CHECK(CpuPool::round_up(1) == 64);
  CHECK(CpuPool::round_up(64) == 64);
  CHECK(CpuPool::round_up(65) == 128);
  CHECK(CpuPool::round_up(1025) == 1088);
  CHECK(CpuPool::round_up((std::size_t{1} << 33) + 1) == (std::size_t{1} << 33) + 64);
  CHECK(SegmentPool::round_up(1) == 256);
}

TEST_CASE("CpuPool aligns blocks of every size to cache lines") {
  CpuPool pool;
  std::vector<Block> blocks;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{4097}, 3 * mebi}) {
    CAPTURE(bytes);
    blocks.push_back(block_of(pool, bytes));
    CHECK(aligned(blocks.back().data, CpuPool::alignment));
  }
  give_back(pool, blocks);
}

TEMPLATE_TEST_CASE("pools split blocks and join them again", "", CpuPool, SegmentPool) {
  TestType pool;
  void* whole = pool.allocate(16 * mebi);
  const std::size_t held = pool.usage().held;
  pool.deallocate(whole, 16 * mebi);
  std::vector<Block> parts;
  for (int i = 0; i < 4; ++i) parts.push_back(block_of(pool, 4 * mebi - 1024));
  CHECK(parts.front().data == whole);
  CHECK(pool.usage().held == held);  // all four out of what the one left
  std::swap(parts[0], parts[2]);     // joined on the left, on the right, and on both sides
  give_back(pool, parts);
  CHECK(pool.allocate(16 * mebi) == whole);
  CHECK(pool.usage().held == held);
  pool.deallocate(whole, 16 * mebi);
}

TEMPLATE_TEST_CASE("pools take the smallest free range that fits", "", CpuPool, SegmentPool) {
  TestType pool;
  std::vector<Block> blocks;  // large and small in turn, so that nothing joins
  for (std::size_t size : {8, 1, 3, 1, 5, 1, 12, 1}) blocks.push_back(block_of(pool, size * mebi));
  for (int i : {0, 2, 4, 6}) pool.deallocate(blocks[i].data, blocks[i].bytes);
  CHECK(pool.allocate(4 * mebi) == blocks[4].data);
  CHECK(pool.allocate(2 * mebi) == blocks[2].data);
  CHECK(pool.allocate(8 * mebi) == blocks[0].data);
  CHECK(pool.allocate(9 * mebi) == blocks[6].data);
  pool.deallocate(blocks[4].data, 4 * mebi);
  pool.deallocate(blocks[2].data, 2 * mebi);
  pool.deallocate(blocks[0].data, 8 * mebi);
  pool.deallocate(blocks[6].data, 9 * mebi);
  for (int i : {1, 3, 5, 7}) pool.deallocate(blocks[i].data, blocks[i].bytes);
  pool.trim();
  CHECK(pool.usage().held == 0);
}

TEST_CASE("small blocks that last do not keep large ranges apart") {
  CpuPool pool;
  std::vector<Block> small;
  for (int i = 0; i < 20; ++i) {
    const Block large = block_of(pool, mebi + 4096 * static_cast<std::size_t>(i));
    small.push_back(block_of(pool, 100));
    pool.deallocate(large.data, large.bytes);
  }
  CHECK(pool.usage().held <= 6 * mebi);  // two granules for the large one and one for the small ones
  give_back(pool, small);
}

TEST_CASE("CpuPool counts bytes used, at peak and held") {
  CpuPool pool;
  void* a = pool.allocate(mebi);
  void* b = pool.allocate(2 * mebi);
  CHECK(pool.usage().used == 3 * mebi);
  pool.deallocate(a, mebi);
  CHECK(pool.usage().used == 2 * mebi);
  CHECK(pool.usage().held >= 3 * mebi);
  CHECK(pool.usage().held <= 6 * mebi);  // whole granules
  a = pool.allocate(64);
  pool.deallocate(a, 64);
  CHECK(pool.usage().peak == 3 * mebi);  // of the three, only two were in use at once
  pool.reset_peak();
  CHECK(pool.usage().peak == 2 * mebi);

  pool.deallocate(b, 2 * mebi);
  pool.trim();
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held == 0);
}

TEST_CASE("what the CpuPool gives back is no longer the process's, and what it keeps is not touched anew") {
  CpuPool pool;
  constexpr std::size_t bytes = 64 * mebi;
  const std::size_t before = resident();
  const Block lasting = block_of(pool, 100'000);
  Block block = block_of(pool, bytes);
  CHECK(resident() >= before + bytes);
  pool.deallocate(block.data, block.bytes);
  const std::int64_t faults = page_faults();
  block = block_of(pool, bytes - 100'000);
  CHECK(page_faults() - faults < few);  // of 32 huge pages or 16,384 others
  pool.deallocate(block.data, block.bytes);
  pool.trim();
  CHECK(resident() <=
        before + 8 * mebi + (lpw::HostMemory::guard > 0 ? bytes / 4 : 0));  // AddressSanitizer's books of it stay
  CHECK(pool.usage().held <= 4 * mebi);
  CHECK(static_cast<char*>(lasting.data)[99'999] == 1);
  block = block_of(pool, bytes);  // where it was
  CHECK(static_cast<char*>(lasting.data)[99'999] == 1);
  pool.deallocate(block.data, block.bytes);
  pool.deallocate(lasting.data, lasting.bytes);
}

TEMPLATE_TEST_CASE("training and evaluation of other sizes take the memory of the larger, once", "", CpuPool,
                   SegmentPool) {
  TestType pool;
  std::size_t largest = 0;
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (const std::size_t bytes : {5 * mebi, 5 * mebi, 3 * mebi + 4096, 7 * mebi / 2, 4 * mebi - 8192})
      pass(pool, bytes, 12);
    if (epoch == 0) largest = pool.usage().held;
  }
  CHECK(pool.usage().held == largest);
  CHECK(largest <= pool.usage().peak * 13 / 10 + 8 * mebi);  // a granule or a medium segment for each kind of range
}

TEMPLATE_TEST_CASE("repeated passes ask for no more memory and get the same", "", CpuPool, SegmentPool) {
  TestType pool;
  pass(pool, 4 * mebi, 15);
  pass(pool, 4 * mebi, 15);
  const std::size_t held = pool.usage().held;
  const std::int64_t faults = page_faults();
  for (int i = 0; i < 5; ++i) pass(pool, 4 * mebi, 15);
  CHECK(pool.usage().held == held);
  CHECK(page_faults() - faults < few);  // a pass would touch 30 huge pages or more
}

TEST_CASE("blocks of random sizes keep their contents, and all memory is one again in the end") {
  CpuPool pool;
  const lpw::Philox random(3);
  std::vector<Block> blocks;
  int damaged = 0;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    if (blocks.size() > 50 || (!blocks.empty() && random.below(2 * i, 2) == 0)) {
      std::swap(blocks[random.below(2 * i + 1, static_cast<std::uint32_t>(blocks.size()))], blocks.back());
      const auto [data, bytes] = blocks.back();
      const auto* words = static_cast<std::size_t*>(data);
      damaged += words[0] != bytes || words[bytes / sizeof(std::size_t) - 1] != bytes;
      pool.deallocate(data, bytes);
      blocks.pop_back();
    } else {
      const std::size_t bytes = (std::size_t{16} << random.below(2 * i + 1, 18)) + 8 * random.below(2 * i, 100);
      auto* words = static_cast<std::size_t*>(pool.allocate(bytes));
      words[0] = words[bytes / sizeof(std::size_t) - 1] = bytes;
      blocks.push_back({words, bytes});
    }
    if (i % 5000 == 0) pool.trim();
  }
  CHECK(damaged == 0);
  for (const Block& block : blocks) pool.deallocate(block.data, block.bytes);
  CHECK(pool.usage().used == 0);
  pool.trim();
  CHECK(pool.usage().held == 0);
}

TEST_CASE("CpuPool holds no more than its limit, and gives free memory back to make room") {
  CpuPool pool(1 << 20);
  void* first = pool.allocate(1 << 19);
  CHECK_THROWS_AS(pool.allocate(3 << 18), lpw::OutOfMemory);
  pool.deallocate(first, 1 << 19);
  void* second = pool.allocate(3 << 18);
  CHECK(pool.usage().held <= 1 << 20);
  void* small = pool.allocate(64);
  CHECK(pool.usage().held <= 1 << 20);
  pool.deallocate(second, 3 << 18);
  pool.deallocate(small, 64);
}

TEST_CASE("a pool of segments gives back those that are free from end to end to make room") {
  SegmentPool pool(40 * mebi);
  void* large = pool.allocate(30 * mebi);
  CHECK_THROWS_AS(pool.allocate(20 * mebi), lpw::OutOfMemory);
  pool.deallocate(large, 30 * mebi);
  void* small = pool.allocate(100);
  void* larger = pool.allocate(38 * mebi);
  CHECK(pool.usage().held == 40 * mebi);
  pool.deallocate(small, 100);
  pool.deallocate(larger, 38 * mebi);
  pool.trim();
  CHECK(pool.usage().held == 0);
}

TEST_CASE("CpuPool says how much was asked for when memory runs out") {
  CpuPool pool;
  const std::size_t impossible = std::size_t{1} << 62;
  CHECK_THROWS_AS(pool.allocate(impossible), lpw::OutOfMemory);
  CHECK_THROWS_WITH(
      pool.allocate(impossible),
      Catch::Matchers::StartsWith("out of memory: " + std::to_string(impossible) + " bytes requested with 0 in use"));
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held == 0);
}

TEST_CASE("CpuPool serves several threads at once") {
  CpuPool pool;
  constexpr int thread_count = 4, rounds = 30000;
  std::vector<int> damaged(thread_count, 0);
  std::latch start(thread_count);
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t)
    threads.emplace_back([&pool, &start, &damage = damaged[t], t] {
      start.arrive_and_wait();
      std::array<int*, 3> blocks{};
      for (int i = 0; i < rounds; ++i) {
        const std::size_t bytes = 64 + 64 * static_cast<std::size_t>((i + t) % 5);
        for (auto& block : blocks) *(block = static_cast<int*>(pool.allocate(bytes))) = t;
        for (int* block : blocks) damage += *block != t;  // a block handed out twice is overwritten
        for (int* block : blocks) pool.deallocate(block, bytes);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(damaged == std::vector<int>(thread_count, 0));
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held <= 2 * mebi);  // what they had at once fits in one granule
}

TEMPLATE_TEST_CASE("blocks of a recording are nobody's but a later recording's, until it is forgotten", "", CpuPool,
                   SegmentPool) {
  TestType pool;
  void* before = pool.allocate(1000);
  pool.begin_recording();
  void* temporary = pool.allocate(1000);
  pool.deallocate(temporary, 1000);
  CHECK(pool.allocate(1000) == temporary);  // again in the same recording
  pool.deallocate(temporary, 1000);
  void* lasting = pool.allocate(5000);
  pool.end_recording();
  pool.deallocate(before, 1000);

  std::vector<void*> kept = {pool.allocate(1000), pool.allocate(1000)};
  CHECK(kept[0] == before);
  CHECK(kept[1] != temporary);
  pool.deallocate(lasting, 5000);  // still written to whenever the recording is repeated
  void* large = pool.allocate(5000);
  CHECK(large != lasting);

  pool.begin_recording();
  CHECK(pool.allocate(1000) == temporary);
  pool.deallocate(temporary, 1000);
  pool.end_recording();
  pool.forget_recording();
  kept.push_back(pool.allocate(1000));
  CHECK(kept.back() != temporary);  // the first recording is left
  pool.forget_recording();
  kept.push_back(pool.allocate(1000));
  CHECK(kept.back() == temporary);
  for (void* block : kept) pool.deallocate(block, 1000);
  pool.deallocate(large, 5000);
}

TEMPLATE_TEST_CASE("what recordings reserved is split and joined among them, and never given back", "", CpuPool,
                   SegmentPool) {
  TestType pool;
  pool.begin_recording();
  void* whole = pool.allocate(8 * mebi);
  pool.deallocate(whole, 8 * mebi);
  void* half = pool.allocate(4 * mebi);
  void* rest = pool.allocate(3 * mebi);
  CHECK(half == whole);
  pool.end_recording();
  void* outside = pool.allocate(mebi);  // where the rest of the reserve would fit
  CHECK((outside < whole || outside >= static_cast<std::byte*>(whole) + 8 * mebi));
  pool.deallocate(half, 4 * mebi);
  pool.deallocate(rest, 3 * mebi);
  const std::size_t held = pool.usage().held;
  pool.deallocate(outside, mebi);
  pool.trim();
  CHECK(pool.usage().held >= 8 * mebi);
  CHECK(pool.usage().held <= held);
  pool.begin_recording();
  CHECK(pool.allocate(8 * mebi) == whole);
  pool.end_recording();
  pool.forget_recording();
  pool.forget_recording();
  pool.deallocate(whole, 8 * mebi);
  pool.trim();
  CHECK(pool.usage().held == 0);
}

TEMPLATE_TEST_CASE("what a recording frees of what was there before is nobody's, not even a recording's", "", CpuPool,
                   SegmentPool) {
  TestType pool;
  void* first = pool.allocate(1000);
  pool.begin_recording();
  void* second = pool.allocate(1000);
  pool.deallocate(first, 1000);
  CHECK(pool.allocate(1000) != first);
  pool.end_recording();
  pool.begin_recording();
  pool.deallocate(second, 1000);  // of another recording
  std::vector<void*> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(pool.allocate(1000));
  pool.end_recording();
  for (int i = 0; i < 3; ++i) taken.push_back(pool.allocate(1000));
  CHECK(std::count(taken.begin(), taken.end(), first) == 0);
  CHECK(std::count(taken.begin(), taken.end(), second) == 0);
  pool.forget_recording();
  pool.forget_recording();
  for (int i = 0; i < 8; ++i) taken.push_back(pool.allocate(1000));
  CHECK(std::count(taken.begin(), taken.end(), first) == 1);
  CHECK(std::count(taken.begin(), taken.end(), second) == 1);
}

TEMPLATE_TEST_CASE("work that borrows gets what recordings reserved, and the reserve is dropped if it keeps some", "",
                   CpuPool, SegmentPool) {
  TestType pool;
  pool.begin_recording();
  void* whole = pool.allocate(9 * mebi);
  pool.deallocate(whole, 9 * mebi);
  pool.end_recording();
  // Anywhere in it: sanitizers put space between blocks.
  const auto within = [&](void* block) { return block >= whole && block < static_cast<std::byte*>(whole) + 9 * mebi; };

  pool.begin_borrowing();
  void* temporary = pool.allocate(3 * mebi);
  CHECK(temporary == whole);
  {
    const typename TestType::Lasting lasting(pool);
    void* stays = pool.allocate(3 * mebi);
    CHECK_FALSE(within(stays));
  }
  void* more = pool.allocate(5 * mebi);
  CHECK(within(more));
  pool.deallocate(temporary, 3 * mebi);
  pool.deallocate(more, 5 * mebi);
  pool.end_borrowing();
  CHECK(pool.drops() == 0);
  CHECK(pool.allocate(9 * mebi) != whole);  // reserved as before

  pool.begin_borrowing();
  void* kept = pool.allocate(3 * mebi);
  CHECK(kept == whole);
  pool.end_borrowing();
  CHECK(pool.drops() == 1);
  CHECK(within(pool.allocate(5 * mebi)));  // free for all
  pool.deallocate(kept, 3 * mebi);
  CHECK(pool.allocate(3 * mebi) == whole);
  pool.forget_recording();
}

TEST_CASE("a pool short of memory drops what recordings reserved, and says so") {
  CpuPool pool(std::size_t{1} << 20);
  pool.begin_recording();
  pool.deallocate(pool.allocate(700'000), 700'000);
  pool.end_recording();
  void* small = pool.allocate(100'000);
  CHECK(pool.drops() == 0);
  void* large = pool.allocate(600'000);
  CHECK(pool.drops() == 1);
  pool.deallocate(small, 100'000);
  pool.deallocate(large, 600'000);
  pool.forget_recording();
}

TEST_CASE("addresses that are rationed come back for a larger block", "[tensor]") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // sizes of which no two have room beside each other
    long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
      std::fclose(file);
    }
    constexpr std::size_t megabyte = std::size_t{1} << 20;
    const auto limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + 600 * megabyte;
    const rlimit rationed{limit, limit};
    if (pages == 0 || setrlimit(RLIMIT_AS, &rationed) != 0) _exit(2);
    try {
      lpw::CpuPool pool;
      for (const std::size_t size : {250 * megabyte, 350 * megabyte, 450 * megabyte})
        pool.deallocate(pool.allocate(size), size);
    } catch (const lpw::OutOfMemory&) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
