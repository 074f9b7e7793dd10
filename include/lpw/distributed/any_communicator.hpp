// A communicator whose kind is chosen when a program runs, for what is compiled once for all of them: the trainers.
#pragma once

#include <cstddef>
#include <span>

#include <lpw/distributed/communicator.hpp>

namespace lpw::inline LPW_ABI::distributed {

/// A Communicator (communicator.hpp) by virtual calls.
class AnyCommunicator {
 public:
  AnyCommunicator() = default;
  AnyCommunicator(const AnyCommunicator&) = delete;
  AnyCommunicator& operator=(const AnyCommunicator&) = delete;
  virtual ~AnyCommunicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  virtual void sum(std::span<float> values) = 0;
  virtual void sum(std::span<double> values) = 0;
  virtual void broadcast(std::span<std::byte> bytes, int from) = 0;
  virtual void gather(std::span<const std::byte> own, std::span<std::byte> all) = 0;
  virtual void barrier() = 0;

  /// Whether this is process 0, which speaks and writes files.
  [[nodiscard]] bool leads() const { return rank() == 0; }
  /// Whether there are others.
  [[nodiscard]] bool several() const { return size() > 1; }
};

/// One of a kind, which must outlive it.
template <Communicator C>
class AnyCommunicatorOf final : public AnyCommunicator {
 public:
  explicit AnyCommunicatorOf(C& communicator) : communicator_(&communicator) {}
  [[nodiscard]] int rank() const override { return communicator_->rank(); }
  [[nodiscard]] int size() const override { return communicator_->size(); }
  void sum(std::span<float> values) override { communicator_->sum(values); }
  void sum(std::span<double> values) override { communicator_->sum(values); }
  void broadcast(std::span<std::byte> bytes, int from) override { communicator_->broadcast(bytes, from); }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) override { communicator_->gather(own, all); }
  void barrier() override { communicator_->barrier(); }

 private:
  C* communicator_;
};

/// The one process that a program is which nobody started as one of several.
[[nodiscard]] inline AnyCommunicator& single_process() {
  static SingleProcess process;
  static AnyCommunicatorOf<SingleProcess> communicator(process);
  return communicator;
}

static_assert(Communicator<AnyCommunicator>);

}  // namespace lpw::inline LPW_ABI::distributed
