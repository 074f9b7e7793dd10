// A communicator whose kind is chosen when a program runs, for what is compiled once for all of them: the trainers.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <lpw/distributed/communicator.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// A Communicator (communicator.hpp) by virtual calls, and an OverlappingCommunicator, too: one that is none sums at
/// once. And a DeviceCommunicator, which says whether it is.
class AnyCommunicator {
 public:
  AnyCommunicator() = default;
  AnyCommunicator(const AnyCommunicator&) = delete;
  AnyCommunicator& operator=(const AnyCommunicator&) = delete;
  virtual ~AnyCommunicator() = default;
  /// This process' number, from 0 on.
  [[nodiscard]] virtual int rank() const = 0;
  /// How many processes there are.
  [[nodiscard]] virtual int size() const = 0;
  /// Of all processes, in place, on each.
  virtual void sum(std::span<float> values) = 0;
  virtual void sum(std::span<double> values) = 0;
  /// As sum, but done by finish_sums, until when the values are not to be touched.
  virtual void start_sum(std::span<float> values, const Owner& owner) = 0;
  virtual void start_sum(std::span<double> values, const Owner& owner) = 0;
  /// Does what can be done of started sums without waiting.
  virtual void progress() = 0;
  /// Waits for all sums that have started.
  virtual void finish_sums() = 0;
  /// What process `from` has, in place.
  virtual void broadcast(std::span<std::byte> bytes, int from) = 0;
  /// What all have, one after another in the order of their ranks, on each.
  virtual void gather(std::span<const std::byte> own, std::span<std::byte> all) = 0;
  /// Returns when all have come here.
  virtual void barrier() = 0;
  /// Whether sum_on_device is to be had.
  [[nodiscard]] virtual bool sums_on_device() const = 0;
  /// Throws Error where it does not.
  virtual void sum_on_device(std::span<float> values) = 0;
  virtual void sum_on_device(std::span<double> values) = 0;
  /// As sum_on_device, but on a stream of its own, behind what the device was told to do so far.
  virtual void start_sum_on_device(std::span<float> values, const Owner& owner) = 0;
  virtual void start_sum_on_device(std::span<double> values, const Owner& owner) = 0;
  /// What the device is told from here on waits for these sums.
  virtual void finish_sums_on_device() = 0;
  /// Throws Error where its kind is no SplittingCommunicator.
  [[nodiscard]] virtual std::unique_ptr<AnyCommunicator> split(int group) = 0;

  /// Whether this is process 0, which speaks and writes files.
  [[nodiscard]] bool leads() const { return rank() == 0; }
  /// Whether there are others.
  [[nodiscard]] bool several() const { return size() > 1; }
};

/// One of a kind, which must outlive it, or that it owns.
template <Communicator C>
class AnyCommunicatorOf final : public AnyCommunicator {
 public:
  /// Of one that outlives it.
  explicit AnyCommunicatorOf(C& communicator) : communicator_(&communicator) {}
  /// Of one that it owns.
  explicit AnyCommunicatorOf(std::unique_ptr<C> owned) : owned_(std::move(owned)), communicator_(owned_.get()) {}
  [[nodiscard]] int rank() const override { return communicator_->rank(); }
  [[nodiscard]] int size() const override { return communicator_->size(); }
  void sum(std::span<float> values) override { communicator_->sum(values); }
  void sum(std::span<double> values) override { communicator_->sum(values); }
  void start_sum(std::span<float> values, const Owner& owner) override { start(values, owner); }
  void start_sum(std::span<double> values, const Owner& owner) override { start(values, owner); }
  void progress() override {
    if constexpr (OverlappingCommunicator<C>) communicator_->progress();
  }
  void finish_sums() override {
    if constexpr (OverlappingCommunicator<C>) communicator_->finish_sums();
  }
  void broadcast(std::span<std::byte> bytes, int from) override { communicator_->broadcast(bytes, from); }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) override { communicator_->gather(own, all); }
  void barrier() override { communicator_->barrier(); }
  [[nodiscard]] bool sums_on_device() const override {
    if constexpr (DeviceCommunicator<C>) return communicator_->sums_on_device();
    return false;
  }
  void sum_on_device(std::span<float> values) override {
    on_device([&](auto& there) { there.sum_on_device(values); });
  }
  void sum_on_device(std::span<double> values) override {
    on_device([&](auto& there) { there.sum_on_device(values); });
  }
  void start_sum_on_device(std::span<float> values, const Owner& owner) override {
    on_device([&](auto& there) { there.start_sum_on_device(values, owner); });
  }
  void start_sum_on_device(std::span<double> values, const Owner& owner) override {
    on_device([&](auto& there) { there.start_sum_on_device(values, owner); });
  }
  void finish_sums_on_device() override {
    on_device([](auto& there) { there.finish_sums_on_device(); });
  }
  [[nodiscard]] std::unique_ptr<AnyCommunicator> split(int group) override {
    if constexpr (std::is_same_v<C, AnyCommunicator>)
      return communicator_->split(group);
    else if constexpr (SplittingCommunicator<C>)
      return std::make_unique<AnyCommunicatorOf>(communicator_->split(group));
    else
      fail(
          "split: this kind of communicator knows no groups of processes; give it a split(), or each process a member");
  }

 private:
  template <class W>
  void start(std::span<W> values, const Owner& owner) {
    if constexpr (OverlappingCommunicator<C>)
      communicator_->start_sum(values, owner);
    else
      communicator_->sum(values);
  }
  template <class F>
  void on_device(F&& f) {
    if constexpr (DeviceCommunicator<C>)
      f(*communicator_);
    else
      fail("sum_on_device: this kind of communicator sums on the host; give it one that sums on a device (Nccl)");
  }

  std::unique_ptr<C> owned_;
  C* communicator_;
};

/// The one process that a program is which nobody started as one of several.
[[nodiscard]] inline AnyCommunicator& single_process() {
  static SingleProcess process;
  static AnyCommunicatorOf<SingleProcess> communicator(process);
  return communicator;
}

static_assert(OverlappingCommunicator<AnyCommunicator> && SplittingCommunicator<AnyCommunicator> &&
              DeviceCommunicator<AnyCommunicator>);

}  // namespace lpw::inline LPW_ABI::distributed
