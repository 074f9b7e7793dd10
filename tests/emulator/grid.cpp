// What the warps of a launch do, and in which order.
#include "emulator/grid.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "emulator/fiber.hpp"

namespace lpw::emulator {

namespace {

/// Thrown through the kernels that are under way when another thread has failed.
struct Aborted {};

[[nodiscard]] bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

/// Fibers that no thread is on. A thread takes the one that was left last, whose stack is in the cache: those of a
/// kernel that waits for nothing run on the same, one after another.
std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static std::vector<std::unique_ptr<Fiber>> fibers;
  return fibers;
}
[[nodiscard]] Fiber* take_fiber() {
  static std::size_t made = 0;
  auto& idle = idle_fibers();
  if (idle.empty()) return new Fiber(made++);
  Fiber* const fiber = idle.back().release();
  idle.pop_back();
  return fiber;
}
void give_back(Fiber*& fiber) { idle_fibers().emplace_back(std::exchange(fiber, nullptr)); }

}  // namespace

template <class... Parts>
void Grid::fail_here(const Parts&... parts) const {
  fail("block ", name_of(running_->block->index), ", thread ", name_of(running_->index), ": ", parts...);
}

std::uint64_t Grid::random() {  // xorshift64*
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return (random_ * 0x2545F4914F6CDD1Du) >> 32;
}
template <class V>
void Grid::shuffle(V& values) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random() * i >> 32]);
}

Grid::Grid(const LaunchOptions& options, Kernel kernel, const void* argument)
    : options_(options),
      kernel_(kernel),
      argument_(argument),
      random_(options.seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {
  const auto volume = [](dim3 d) { return std::uint64_t{d.x} * d.y * d.z; };
  blocks_ = volume(options.grid);
  threads_ = static_cast<unsigned>(volume(options.block));
  require(threads_ >= 1 && volume(options.block) <= 1024, "emulate: a block has 1 to 1024 threads, not ",
          volume(options.block));
  require(blocks_ >= 1, "emulate: an empty grid");
  require(options.shared_bytes <= 232448, "emulate: ", options.shared_bytes,
          " bytes of shared memory; a block has at most 232448");
  require(!options.cooperative || blocks_ <= options.resident_blocks, "emulate: a cooperative launch of ", blocks_,
          " blocks, of which only ", options.resident_blocks, " can be resident at once");
}

void Grid::run() {
  require(current() == nullptr, "emulate: a kernel cannot launch a kernel here");
  gridDim = options_.grid;
  blockDim = options_.block;
  current() = this;
  try {
    std::vector<std::uint64_t> order(blocks_);
    std::iota(order.begin(), order.end(), 0u);
    shuffle(order);
    const std::size_t at_once = options_.cooperative ? blocks_ : 1;
    for (std::size_t first = 0; first < blocks_; first += at_once) run_resident(order.data() + first, at_once);
    memory_.finish();
  } catch (...) {
    abort();
    current() = nullptr;
    throw;
  }
  current() = nullptr;
}

Grid*& Grid::current() {
  static Grid* grid = nullptr;
  return grid;
}

void Grid::barrier(const Site& site) {
  ++self().block->at_barrier;
  wait(State::barrier, "__syncthreads", site);
}

std::uint64_t Grid::warp_call(std::string_view call, std::uint32_t mask, std::uint64_t value, int source,
                              const Site& site) {
  Thread& thread = self();
  const unsigned lane = thread.rank % 32;
  thread.mask = mask;
  thread.value = value;
  thread.source = source;
  thread.call = call;
  thread.site = site;
  if (!(mask >> lane & 1u)) fail_here(call, " at ", name_of(site), ": the mask does not hold the calling lane ", lane);
  Thread* warp = &thread.block->threads[thread.rank - lane];
  const unsigned lanes = std::min(32u, threads_ - (thread.rank - lane));
  if (lanes < 32 && mask >> lanes)
    fail_here(call, " at ", name_of(site), ": the mask holds lanes that the block, of ", threads_, " threads, lacks");
  for (unsigned i = 0; i < lanes; ++i) {
    const bool expected = mask >> i & 1u, here = i == lane || (warp[i].state == State::warp && warp[i].mask == mask);
    if (expected && !here) {
      wait(State::warp, call, site);
      return thread.value;
    }
  }
  exchange(warp, mask, thread);
  return thread.value;
}

void Grid::fence() { MemoryOrder::fence(actor()); }
void Grid::store_fresh(void* to, const void* from, std::size_t bytes, const Site& site) {
  memory_.store(to, from, bytes, actor(), site);
}
void Grid::load_fresh(void* to, const void* from, std::size_t bytes, const Site& site) {
  memory_.load(to, from, bytes, actor(), site);
}
void Grid::check_access(const char* what, const void* address, std::size_t bytes, const Site& site) const {
  check_alignment(address, bytes);
  if (memory_.may_hold(address, bytes)) [[unlikely]]
    memory_.check_plain(what, address, bytes, actor(), site);
}
void Grid::check_alignment(const void* address, std::size_t bytes) const {
  const auto off = reinterpret_cast<std::uintptr_t>(address) % bytes;
  if (off) fail_here("an access of ", bytes, " bytes to an address that is ", off, " past a multiple of ", bytes);
}

void Grid::atomic_done(const void* address) {
  memory_.count(address, actor());
  if (!options_.cooperative || random() & 1u) return;
  other_blocks_first_ = true;
  wait(State::ready, "an atomic operation", {});
}

unsigned char* Grid::shared_piece(std::size_t first, std::size_t bytes) {
  if (first + bytes > options_.shared_bytes)
    fail_here("the kernel takes at least ", first + bytes, " bytes of shared memory, the launch gives ",
              options_.shared_bytes);
  return reinterpret_cast<unsigned char*>(self().block->shared.get() + first);
}

void Grid::copy_async(void* to, const void* from, std::size_t bytes, const Site& site) {
  check_alignment(to, bytes);
  check_access("an asynchronous copy", from, bytes, site);
  if (random() & 1u) {
    std::memcpy(to, from, bytes);
  } else {
    self().copies.push_back({to, from, bytes, self().groups});
  }
}
void Grid::wait_copies(unsigned pending) {
  auto& copies = self().copies;
  std::erase_if(copies, [&, done = self().groups](const PendingCopy& copy) {
    if (copy.group + pending >= done) return false;
    std::memcpy(copy.to, copy.from, copy.bytes);
    return true;
  });
}

Actor Grid::actor() const {
  Thread& thread = *running_;
  Block& block = *thread.block;
  return {block.number, thread.rank / 32, block.index, thread.index, block.order, thread.order};
}

void Grid::start(Block& block, std::uint64_t number) {
  const dim3 g = options_.grid, b = options_.block;
  block.index = {static_cast<unsigned>(number % g.x), static_cast<unsigned>(number / g.x % g.y),
                 static_cast<unsigned>(number / (std::uint64_t{g.x} * g.y))};
  block.shared = std::make_unique_for_overwrite<std::byte[]>(options_.shared_bytes);
  // All ones are NaN in every floating type; the other pattern differs, so that a read shows even where NaN would be
  // lost.
  std::memset(block.shared.get(), options_.seed % 2 ? 0xA5 : 0xFF, options_.shared_bytes);
  block.at_barrier = block.returned = 0;
  block.number = number;
  block.order = {};
  block.threads.clear();
  block.threads.resize(threads_);
  for (unsigned rank = 0; rank < threads_; ++rank) {
    Thread& thread = block.threads[rank];
    thread.block = &block;
    thread.rank = rank;
    thread.index = {rank % b.x, rank / b.x % b.y, rank / (b.x * b.y)};
  }
}

void Grid::run_thread(void* argument) {
  Grid& grid = *current();
  Thread& thread = *static_cast<Thread*>(argument);
  try {
    grid.kernel_(grid.argument_);
    if (!thread.copies.empty())
      grid.fail_here("returned with ", thread.copies.size(), " asynchronous copies that it has not waited for");
  } catch (const Aborted&) {
  } catch (...) {
    grid.failure_ = std::current_exception();
  }
  thread.state = State::returned;
  ++thread.block->returned;
}

void Grid::resume(Thread& thread) {
  running_ = &thread;
  threadIdx = thread.index;
  blockIdx = thread.block->index;
  if (!thread.fiber) {
    thread.fiber = take_fiber();
    thread.fiber->start(&Grid::run_thread, &thread);
  }
  thread.fiber->resume();
  if (thread.state == State::returned) give_back(thread.fiber);
  if (thread.state != State::spinning) ++progress_;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Grid::wait(State state, std::string_view call, const Site& site) {
  Thread& thread = *running_;
  thread.state = state;
  thread.call = call;
  thread.site = site;
  thread.fiber->suspend();
  if (aborting_) throw Aborted();
}

void Grid::run_resident(const std::uint64_t* numbers, std::size_t count) {
  resident_.resize(count);
  std::vector<Block*> alive;
  for (std::size_t i = 0; i < count; ++i) {
    start(resident_[i], numbers[i]);
    alive.push_back(&resident_[i]);
  }
  while (!alive.empty()) {
    const std::uint64_t before = progress_;
    shuffle(alive);
    for (Block* block : alive) run(*block);
    std::erase_if(alive, [](const Block* block) { return block->done(); });
    if (progress_ == before) explain(alive);
  }
}

void Grid::run(Block& block) {
  std::vector<unsigned> warps((threads_ + 31) / 32);
  std::iota(warps.begin(), warps.end(), 0u);
  for (Thread& thread : block.threads)
    if (thread.state == State::spinning) thread.state = State::ready;
  other_blocks_first_ = false;
  do {
    shuffle(warps);
    for (const unsigned warp : warps) {
      run_warp(block, warp);
      if (other_blocks_first_) return;
    }
  } while (release_barrier(block));
}

void Grid::run_warp(Block& block, unsigned warp) {
  for (;;) {
    order_.clear();
    for (unsigned rank = warp * 32; rank < std::min(threads_, warp * 32 + 32); ++rank)
      if (block.threads[rank].state == State::ready) order_.push_back(&block.threads[rank]);
    if (order_.empty()) return;
    shuffle(order_);
    for (Thread* thread : order_) {
      resume(*thread);
      if (other_blocks_first_) return;
    }
  }
}

bool Grid::release_barrier(Block& block) {
  if (block.at_barrier < threads_) return false;
  const Thread& first = block.threads[0];
  for (Thread& thread : block.threads) {
    if (!same_place(thread.site, first.site))
      fail("block ", name_of(block.index), ": __syncthreads in divergent code: thread ", name_of(first.index),
           " waits at ", name_of(first.site), ", thread ", name_of(thread.index), " at ", name_of(thread.site));
    thread.state = State::ready;
    MemoryOrder::pass_barrier(block.order, thread.order);
  }
  MemoryOrder::pass_barrier(block.order);
  block.at_barrier = 0;
  return true;
}

void Grid::exchange(Thread* warp, std::uint32_t mask, const Thread& last) {
  std::uint64_t brought[32] = {}, votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1u)) continue;
    const Thread& thread = warp[lane];
    if (thread.call != last.call || !same_place(thread.site, last.site))
      fail_here(last.call, " at ", name_of(last.site), " meets ", thread.call, " at ", name_of(thread.site),
                " of thread ", name_of(thread.index));
    brought[lane] = thread.value;
    votes |= std::uint64_t{thread.value != 0} << lane;
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1u)) continue;
    Thread& thread = warp[lane];
    if (thread.source >= 0 && !(mask >> thread.source & 1u))
      fail_here(last.call, " at ", name_of(last.site), ": lane ", lane, " reads lane ", thread.source,
                ", which the mask does not hold");
    thread.value = thread.source < 0 ? votes : brought[thread.source];
    thread.state = State::ready;
  }
}

void Grid::explain(const std::vector<Block*>& alive) const {
  const Thread* spinning = nullptr;
  for (const Block* block : alive) {
    const Thread* spins = thread_in(*block, State::spinning);
    if (!spins)
      explain(*block,
              *(thread_in(*block, State::warp) ? thread_in(*block, State::warp) : thread_in(*block, State::barrier)));
    spinning = spins;
  }
  const std::string who = to_text("block ", name_of(spinning->block->index), ", thread ", name_of(spinning->index),
                                  " spins at ", name_of(spinning->site));
  if (options_.cooperative) fail(who, " for ever: all ", blocks_, " blocks have returned or wait");
  fail(who, " for blocks that may not be resident: 1 of ", blocks_,
       " is; a barrier between blocks needs a cooperative launch");
}

const Thread* Grid::thread_in(const Block& block, State state) {
  const auto found = std::find_if(block.threads.begin(), block.threads.end(),
                                  [&](const Thread& thread) { return thread.state == state; });
  return found == block.threads.end() ? nullptr : &*found;
}

void Grid::explain(const Block& block, const Thread& waiting) const {
  const bool warp = waiting.state == State::warp;
  const unsigned first = warp ? waiting.rank / 32 * 32 : 0, lanes = warp ? std::min(32u, threads_ - first) : threads_;
  unsigned arrived = 0, expected = 0;
  const Thread* missing = nullptr;
  for (unsigned i = 0; i < lanes; ++i) {
    const Thread& thread = block.threads[first + i];
    if (warp && !(waiting.mask >> i & 1u)) continue;
    const bool here = thread.state == waiting.state && (!warp || thread.mask == waiting.mask);
    ++expected;
    arrived += here;
    if (!here && !missing) missing = &thread;
  }
  const std::string where = missing->state == State::returned
                                ? "has returned"
                                : to_text("waits in ", missing->call, " at ", name_of(missing->site));
  fail("block ", name_of(block.index), ": ", waiting.call, " at ", name_of(waiting.site), " is reached by ", arrived,
       " of the ", expected, warp ? " lanes of its mask" : " threads", ": thread ", name_of(missing->index), " ",
       where);
}

void Grid::abort() {
  aborting_ = true;
  for (Block& block : resident_)
    for (Thread& thread : block.threads)
      if (thread.fiber) {
        running_ = &thread;
        thread.fiber->resume();
        give_back(thread.fiber);
      }
}

}  // namespace lpw::emulator
