// Streams of the stand-in for CUDA: what is issued to each, and what waits for what.
//
// A stream's work is done in its order, and behind what it was told to wait for; nothing else is said of two streams.
// By itself all is done at once. A test that holds a stream up (Late) sees the worst that may happen: what does not
// wait for that stream goes first, so that an event that is missing leaves wrong numbers behind.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace lpw::emulator {

/// A launch, copy or library call.
using Work = std::function<void()>;

struct Stream;

/// So much of what is issued to a stream.
struct Mark {
  Stream* stream = nullptr;  // null: nothing
  std::uint64_t issued = 0;
};

/// What a stream does next: it waits for another, or works.
struct Item {
  Mark behind = {};
  Work work = {};
};

/// A copy on its way to page-locked memory.
struct Landing {
  std::uint64_t issued;  // when, by the stream's count
  std::byte* to;
  std::vector<std::byte> bytes;
};

/// Items of the streams that were captured, in the order in which they were issued. Marks count those of the graph.
struct Graph {
  Stream* origin = nullptr;
  std::vector<std::pair<Stream*, Item>> items = {};
  std::map<Stream*, std::uint64_t> issued = {};  // to each of them

  void give(Stream* stream, Item item) {
    items.emplace_back(stream, std::move(item));
    ++issued[stream];
  }
  inline void replay() const;
};

struct Stream {
  std::shared_ptr<Graph> capture = nullptr;      // null unless the stream is captured
  std::map<Stream*, std::uint64_t> before = {};  // what is issued now, in the capture: of others
  bool late = false;                             // what is issued is done when something waits for it, see Late
  std::uint64_t issued = 0, done = 0;            // items so far; a graph is one
  std::uint64_t last_work = 0;                   // of those issued
  std::deque<Item> items = {};                   // that are not done
  std::vector<Landing> landings = {};

  void give(Item item) {
    ++issued;
    if (item.work) last_work = issued;
    items.push_back(std::move(item));
    if (!late) finish(issued);
  }
  /// Does what was issued up to then.
  void finish(std::uint64_t until) {
    while (done < until) {
      const Item item = std::move(items.front());
      items.pop_front();
      ++done;
      if (item.behind.stream) item.behind.stream->finish(item.behind.issued);
      if (item.work) item.work();
    }
  }
  /// The same, and the copies issued up to then arrive.
  void land(std::uint64_t until) {
    finish(until);
    std::erase_if(landings, [&](const Landing& landing) {
      if (landing.issued > until) return false;
      std::copy(landing.bytes.begin(), landing.bytes.end(), landing.to);
      return true;
    });
  }
};

void Graph::replay() const {
  std::map<Stream*, Stream> streams;
  for (auto [stream, item] : items) {
    auto& own = streams[stream];
    own.late = stream->late;
    if (item.behind.stream) item.behind.stream = &streams[item.behind.stream];
    own.give(std::move(item));
  }
  for (auto& [stream, own] : streams) own.finish(own.issued);
}

/// A point in a stream.
struct Event {
  Mark at = {};             // nowhere until it is recorded
  double milliseconds = 0;  // on the device's clock
  std::shared_ptr<Graph> capture = nullptr;
  std::map<Stream*, std::uint64_t> before = {};  // it, in the capture: all that must have been done
};

/// While it lives, a stream's work is done only when something waits for it.
class Late {
 public:
  explicit Late(Stream* stream) : stream_(stream) { stream_->late = true; }
  ~Late() {
    stream_->finish(stream_->issued);
    stream_->late = false;
  }
  Late(const Late&) = delete;
  Late& operator=(const Late&) = delete;

 private:
  Stream* stream_;
};

}  // namespace lpw::emulator
