// A range whose items a background thread makes ahead of their use, so that forming a batch costs the training loop no
// time. The queue is short: two items hide any jitter, and more would only hold more memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::data {

/// The items make(0), make(1), ..., make(count - 1), in order, as a single-pass range. make runs in one background
/// thread, at most `depth` finished items ahead of the consumer, or for a depth of 0 where it is asked for an item.
/// What it throws is rethrown to the consumer in that item's place and ends the range. Destroying the range earlier
/// waits for the item in the making and no longer.
template <class Item>
class Prefetch {
 public:
  /// Goes through the items once.
  class iterator {
   public:
    using value_type = Item;
    using difference_type = std::ptrdiff_t;

    /// At the next item.
    explicit iterator(Prefetch& range) : range_(&range) {}
    /// The item; it stays valid until the next increment, and may be moved from.
    [[nodiscard]] Item& operator*() const { return *range_->current_; }
    [[nodiscard]] Item* operator->() const { return &*range_->current_; }
    iterator& operator++() {
      range_->advance();
      return *this;
    }
    void operator++(int) { range_->advance(); }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const { return !range_->current_; }

   private:
    Prefetch* range_;
  };

  /// Begins with the first item, unless depth is 0. Throws Error where the system starts no thread.
  Prefetch(std::int64_t count, std::function<Item(std::int64_t)> make, std::size_t depth = 2)
      : depth_(depth), remaining_(count) {
    if (depth == 0) {
      make_ = [next = std::int64_t{0}, make = std::move(make)]() mutable { return make(next++); };
      return;
    }
    try {
      producer_ = std::thread([this, count, make = std::move(make)] { produce(count, make); });
    } catch (const std::system_error& error) {
      fail<Error>("cannot start a thread for minibatches: ", error.code().message(),
                  "; the system's limit on processes or memory is reached");
    }
  }
  Prefetch(const Prefetch&) = delete;  // the thread refers to this object
  Prefetch& operator=(const Prefetch&) = delete;
  ~Prefetch() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    if (producer_.joinable()) producer_.join();
  }

  /// Waits for the first item. The range can be walked once.
  [[nodiscard]] iterator begin() {
    advance();
    return iterator(*this);
  }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  void produce(std::int64_t count, const std::function<Item(std::int64_t)>& make) {
    try {
      for (std::int64_t i = 0; i < count; ++i) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || ready_.size() < depth_; });
        if (stopped_) return;
        lock.unlock();
        Item item = make(i);
        lock.lock();
        ready_.push_back(std::move(item));
        changed_.notify_all();
      }
    } catch (...) {
      std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  void advance() {
    current_.reset();
    if (remaining_ == 0) return;
    if (depth_ == 0) return make_now();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty() || failure_; });
    if (ready_.empty()) {
      remaining_ = 0;
      std::rethrow_exception(failure_);
    }
    current_.emplace(std::move(ready_.front()));
    ready_.pop_front();
    --remaining_;
    changed_.notify_all();
  }

  void make_now() {
    const std::int64_t left = std::exchange(remaining_, 0);  // where it throws, the range has ended
    current_.emplace(make_());
    remaining_ = left - 1;
  }

  std::size_t depth_;
  std::function<Item()> make_;  // where there is no thread
  std::int64_t remaining_;      // items the consumer has not taken yet; the consumer's alone
  std::optional<Item> current_;
  std::mutex mutex_;  // guards ready_, failure_ and stopped_
  std::condition_variable changed_;
  std::deque<Item> ready_;
  std::exception_ptr failure_;
  bool stopped_ = false;
  std::thread producer_;  // last: it starts when everything else exists (libc++ has std::jthread only since version 20)
};

}  // namespace lpw::inline LPW_ABI::data
