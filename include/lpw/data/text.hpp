// Texts as bytes, read by many streams at once: a text is cut into S contiguous parts of equal length, and every window
// of an epoch holds the next bytes of each part. A model that carries its state from window to window so reads S long
// texts side by side, member k of a released network the streams [k B, (k + 1) B). Or the text is cut into B parts that
// all members read, at the same places or at places of their own (MemberData).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::data {

/// A text is its bytes, whatever they encode.
using Text = std::vector<std::uint8_t>;

/// A text to train on, two to be scored on, and what was kept from training to choose by; empty: nothing.
struct TextParts {
  Text train, valid, test;  // bytes
  Text held_out = {};       // empty: nothing was
};

/// Per cents of a text, in its order.
struct TextShares {
  double train = 90, valid = 5, test = 5;  // per cent
};

/// Cuts a text of N bytes at the bytes N train / 100 and N (train + valid) / 100, rounded down: enwik8 at 90 and 95 MB.
/// Throws OptionError unless the shares are at least 0 and sum to 100. The first part keeps the memory of a text that
/// is passed by std::move.
[[nodiscard]] inline TextParts split_text(Text text, const TextShares& shares) {
  const double sum = shares.train + shares.valid + shares.test;
  require<OptionError>(shares.train >= 0 && shares.valid >= 0 && shares.test >= 0 && std::abs(sum - 100) < 1e-9,
                       "split ", shares.train, ',', shares.valid, ',', shares.test,
                       ": expected three per cents of at least 0 that sum to 100");
  const auto at = [&](double share) {
    return text.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(text.size()) * share / 100);
  };
  const auto valid = at(shares.train), test = shares.test > 0 ? at(shares.train + shares.valid) : text.end();
  TextParts parts{{}, Text(valid, test), Text(test, text.end())};
  text.erase(valid, text.end());
  parts.train = std::move(text);
  return parts;
}

/// Moves the last `size` bytes of the training text to `held_out`; 0 moves nothing. Throws OptionError for a single
/// byte, of which nothing can be predicted, or unless as many remain to train on.
inline void hold_out(TextParts& text, std::int64_t size) {
  if (size == 0) return;
  const std::int64_t all = std::ssize(text.train);
  require<OptionError>(size >= 2 && size <= all - 2, "`held_out` ", size, ": expected 0, or from 2 to ", all - 2,
                       ", two bytes fewer than the training text");
  const auto kept = text.train.end() - static_cast<std::ptrdiff_t>(size);
  text.held_out.assign(kept, text.train.end());
  text.train.erase(kept, text.train.end());
}

/// Streams that read a text side by side and are scored together on it: each predicted byte by one of them.
struct ScoredStreams {
  Text text;                        // what they read, one after another, equally long: TextLoader gives each its own
  std::vector<std::int64_t> first;  // of each stream, the prediction from which on it is scored
};

/// Cuts a text of at least 2 bytes for so many streams. All but the first begin `past` bytes or more before they are
/// scored, so that their states are then nearly those of one stream through the whole text.
[[nodiscard]] inline ScoredStreams scored_streams(const Text& text, std::int64_t streams, std::int64_t past) {
  const std::int64_t predictions = std::ssize(text) - 1,
                     own = (std::max<std::int64_t>(predictions - past, 0) + streams - 1) / streams,
                     length = std::min(past + own, predictions);
  ScoredStreams result;
  for (std::int64_t stream = 0, scored = 0; stream < streams; ++stream) {
    const std::int64_t begin = std::min(stream * own, predictions - length);
    result.text.insert(result.text.end(), text.begin() + begin, text.begin() + begin + length + 1);
    result.first.push_back(scored - begin);
    scored = begin + length;
  }
  return result;
}

/// A window of every member's streams, and the byte that follows each byte of it.
template <class Device>
struct TextBatch {
  Tensor<std::int32_t, Device> inputs, targets;  // [K, T, B], bytes as numbers from 0 to 255
};

/// Where streams begin: byte t of member k's stream b is byte (first + k member_bytes + b stream_bytes + t) of the
/// text, behind whose last byte comes its first.
struct StreamPlaces {
  std::int64_t member_bytes;  // between members
  std::int64_t stream_bytes;  // between a member's streams
  std::int64_t first = 0;     // byte of the first one
};

/// A text where a device reads it: device_text.hpp has the GPU's.
template <class Device>
class TextSource;

/// It refers to the text, which must outlive it.
template <>
class TextSource<Cpu> {
 public:
  /// Any text, also an empty one.
  explicit TextSource(std::span<const std::uint8_t> text) : text_(text) {}
  /// inputs [K, T, B] = the bytes `first` to first + T of every stream; targets = those that follow. No stream reads
  /// further than once through the text from where the first begins.
  void read(const StreamPlaces& places, std::int64_t first, Tensor<std::int32_t, Cpu>& inputs,
            Tensor<std::int32_t, Cpu>& targets) const {
    const std::int64_t members = inputs.dim(0), steps = inputs.dim(1), batch = inputs.dim(2);
    for (std::int64_t stream = 0; stream < members * batch; ++stream) {
      const std::int64_t k = stream / batch, b = stream % batch, place = k * steps * batch + b,
                         begin = places.first + k * places.member_bytes + b * places.stream_bytes + first;
      for (std::int64_t t = 0; t < steps; ++t) {
        inputs.data()[place + t * batch] = at(begin + t);
        targets.data()[place + t * batch] = at(begin + t + 1);
      }
    }
  }

 private:
  [[nodiscard]] std::uint8_t at(std::int64_t byte) const {
    const std::int64_t size = std::ssize(text_);
    return text_[to_size(byte < size ? byte : byte - size)];
  }

  std::span<const std::uint8_t> text_;
};

/// Epochs of windows of at most `window` bytes. It refers to the text, which must outlive it. Batches lie where the one
/// before lay, so that a captured step finds its input again: a batch is valid until the next.
template <class Device>
class TextLoader {
 public:
  /// Throws OptionError for a window below 1.
  TextLoader(std::span<const std::uint8_t> text, std::int64_t window, MemberData member_data = MemberData::own)
      : size_(std::ssize(text)), source_(text), window_(window), member_data_(member_data) {
    require<OptionError>(window >= 1, "text loader: expected a window of at least 1 byte, found ", window);
  }

  /// Bytes of the text.
  [[nodiscard]] std::int64_t size() const { return size_; }
  /// Most bytes of a window.
  [[nodiscard]] std::int64_t window() const { return window_; }
  /// Parts into which the text is cut for so many members with `batch` streams each.
  [[nodiscard]] std::int64_t streams(std::int64_t members, std::int64_t batch) const {
    return member_data_ == MemberData::own ? members * batch : batch;
  }
  /// Bytes that each of so many streams predicts; the first byte is only read, and a rest of fewer than `streams` bytes
  /// is left out.
  [[nodiscard]] std::int64_t length(std::int64_t streams) const { return size() / streams - 1; }
  /// Windows of an epoch; the last may be shorter.
  [[nodiscard]] std::int64_t windows(std::int64_t streams) const { return (length(streams) + window_ - 1) / window_; }

  /// Bytes of a stream in that window of an epoch.
  [[nodiscard]] std::int64_t steps_of(std::int64_t members, std::int64_t batch, std::int64_t window) const {
    return std::min(window_, length(streams(members, batch)) - window * window_);
  }

  /// The windows of an epoch in their order, each made when it is read. It refers to the loader.
  class Epoch {
   public:
    /// Makes the window that it stands at.
    class iterator {
     public:
      using value_type = TextBatch<Device>;
      using difference_type = std::ptrdiff_t;

      /// At the epoch's first window.
      explicit iterator(const Epoch& epoch) : epoch_(&epoch), window_(epoch.first_) {}
      [[nodiscard]] const TextBatch<Device>& operator*() const {
        return epoch_->loader_->make(epoch_->members_, epoch_->batch_, window_);
      }
      iterator& operator++() {
        ++window_;
        return *this;
      }
      void operator++(int) { ++window_; }
      [[nodiscard]] bool operator==(std::default_sentinel_t) const { return window_ >= epoch_->end_; }

     private:
      const Epoch* epoch_;
      std::int64_t window_;
    };

    [[nodiscard]] iterator begin() const { return iterator(*this); }
    [[nodiscard]] std::default_sentinel_t end() const { return {}; }

   private:
    friend TextLoader;
    Epoch(TextLoader& loader, const ReadMembers& members, std::int64_t batch, std::int64_t first)
        : loader_(&loader),
          members_(members),
          batch_(batch),
          first_(first),
          end_(loader.windows(loader.streams(members.all, batch))) {}

    TextLoader* loader_;
    ReadMembers members_;
    std::int64_t batch_, first_, end_;
  };

  /// The windows of members * batch streams from `first_window` on. With MemberData::own each reads a part of its own;
  /// else member k's b-th reads part b, from its beginning or, with MemberData::whole, k / members of a part later, and
  /// the text goes on with its first byte behind its last: all members read all parts, and no two the same at a time.
  /// Of some members, or of a part of one's streams, the windows are what they are among all. Throws OptionError where
  /// a stream would have nothing to predict.
  [[nodiscard]] Epoch epoch(const ReadMembers& members, std::int64_t batch, std::int64_t first_window = 0) {
    const std::int64_t all = members.all;
    require<OptionError>(all >= 1 && batch >= 1 && length(streams(all, batch)) >= 1, "text loader: ", size(),
                         " bytes are too few for ", all, " x ", batch, " streams");
    reserve(members.count * members.samples_of(batch).first * std::min(window_, length(streams(all, batch))));
    return Epoch(*this, members, batch, first_window);
  }

 private:
  /// Makes room for batches of `bytes`; addresses change only here.
  void reserve(std::int64_t bytes) {
    if (inputs_.size() >= bytes) return;
    inputs_ = Tensor<std::int32_t, Device>({bytes});
    targets_ = Tensor<std::int32_t, Device>({bytes});
  }

  const TextBatch<Device>& make(const ReadMembers& members, std::int64_t batch, std::int64_t window) {
    const std::int64_t first = window * window_, steps = steps_of(members.all, batch, window);
    const auto [made, before] = members.samples_of(batch);
    const Shape shape{members.count, steps, made};
    current_ = {inputs_.rows(0, shape.size()).reshaped(shape), targets_.rows(0, shape.size()).reshaped(shape)};
    StreamPlaces where = places(members.all, batch);
    where.first = members.first * where.member_bytes + before * where.stream_bytes;
    source_.read(where, first, current_.inputs, current_.targets);
    return current_;
  }

  [[nodiscard]] StreamPlaces places(std::int64_t members, std::int64_t batch) const {
    const std::int64_t part = size() / streams(members, batch);
    if (member_data_ == MemberData::own) return {batch * part, part};
    return {member_data_ == MemberData::same ? 0 : part / members, part};
  }

  std::int64_t size_;
  TextSource<Device> source_;
  std::int64_t window_;
  MemberData member_data_;
  Tensor<std::int32_t, Device> inputs_, targets_;
  TextBatch<Device> current_;
};

}  // namespace lpw::inline LPW_ABI::data
