#include <lpw/tensor/pool.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using lpw::CpuPool;

namespace {

bool aligned(const void* block, std::size_t alignment) { return reinterpret_cast<std::uintptr_t>(block) % alignment == 0; }

}  // namespace

TEST_CASE("CpuPool rounds sizes up by at most an eighth, to whole cache lines") {
  CHECK(CpuPool::round_up(0) == 64);
  CHECK(CpuPool::round_up(1) == 64);
  CHECK(CpuPool::round_up(64) == 64);
  CHECK(CpuPool::round_up(65) == 128);
  CHECK(CpuPool::round_up(1024) == 1024);
  CHECK(CpuPool::round_up(1025) == 1152);
  for (std::size_t bytes = 512; bytes < (std::size_t{1} << 33); bytes = bytes * 9 / 7 + 1) {
    CAPTURE(bytes);
    const std::size_t size = CpuPool::round_up(bytes);
    CHECK(size >= bytes);
    CHECK(size % CpuPool::alignment == 0);
    CHECK(size - bytes <= bytes / 8);
    CHECK(CpuPool::round_up(size) == size);
  }
}

TEST_CASE("CpuPool aligns blocks to cache lines and large ones to huge pages") {
  CpuPool pool;
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{4097}, std::size_t{3} << 20}) {
    CAPTURE(bytes);
    void* block = pool.allocate(bytes);
    CHECK(aligned(block, CpuPool::alignment));
    if (bytes >= (std::size_t{2} << 20)) CHECK(aligned(block, std::size_t{2} << 20));
    std::memset(block, 1, bytes);
    pool.deallocate(block, bytes);
  }
}

TEST_CASE("CpuPool hands a freed block out again within its size class, and only there") {
  CpuPool pool;
  void* first = pool.allocate(1000);
  pool.deallocate(first, 1000);
  void* other_class = pool.allocate(5000);
  CHECK(other_class != first);
  void* same_class = pool.allocate(961);
  CHECK(CpuPool::round_up(961) == CpuPool::round_up(1000));
  CHECK(same_class == first);
  void* third = pool.allocate(1000);
  CHECK(third != first);
  pool.deallocate(other_class, 5000);
  pool.deallocate(same_class, 961);
  pool.deallocate(third, 1000);
}

TEST_CASE("CpuPool counts bytes used, at peak and held") {
  CpuPool pool;
  void* a = pool.allocate(1024);
  void* b = pool.allocate(2048);
  CHECK(pool.usage().used == 3072);
  pool.deallocate(a, 1024);
  CHECK(pool.usage().used == 2048);
  CHECK(pool.usage().held == 3072);
  a = pool.allocate(64);
  pool.deallocate(a, 64);
  CHECK(pool.usage().peak == 3072);  // of the three, only two were in use at once
  pool.trim();
  CHECK(pool.usage().held == 2048);

  pool.reset_peak();
  CHECK(pool.usage().peak == 2048);

  pool.deallocate(b, 2048);
  b = pool.allocate(2048);
  CHECK(pool.usage().held == 2048);  // reused, not new
  pool.deallocate(b, 2048);
  pool.trim();
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held == 0);
}

TEST_CASE("CpuPool holds no more than its limit, and gives free blocks back to make room") {
  CpuPool pool(1 << 20);
  void* first = pool.allocate(1 << 19);
  CHECK_THROWS_AS(pool.allocate(3 << 18), lpw::OutOfMemory);
  pool.deallocate(first, 1 << 19);
  void* second = pool.allocate(3 << 18);
  CHECK(pool.usage().held == 3 << 18);
  pool.deallocate(second, 3 << 18);
}

TEST_CASE("CpuPool says how much was asked for when memory runs out") {
  CpuPool pool;
  const std::size_t impossible = std::size_t{1} << 62;
  CHECK_THROWS_AS(pool.allocate(impossible), lpw::OutOfMemory);
  CHECK_THROWS_WITH(pool.allocate(impossible),
                    Catch::Matchers::StartsWith("out of memory: " + std::to_string(impossible) + " bytes requested with 0 in use"));
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held == 0);
}

TEST_CASE("CpuPool serves several threads at once") {
  CpuPool pool;
  constexpr int thread_count = 4, rounds = 100000;
  std::vector<int> damaged(thread_count, 0);
  std::latch start(thread_count);
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t)
    threads.emplace_back([&pool, &start, &damage = damaged[t], t] {
      start.arrive_and_wait();
      std::array<int*, 3> blocks{};
      for (int i = 0; i < rounds; ++i) {
        for (auto& block : blocks) *(block = static_cast<int*>(pool.allocate(64))) = t;
        for (int* block : blocks) damage += *block != t;  // a block handed out twice is overwritten
        for (int* block : blocks) pool.deallocate(block, 64);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(damaged == std::vector<int>(thread_count, 0));
  CHECK(pool.usage().used == 0);
  CHECK(pool.usage().held <= thread_count * 3 * 64);  // no more than were in use at once
}

TEST_CASE("blocks of a recording are nobody's but a later recording's, until it is forgotten") {
  CpuPool pool;
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
