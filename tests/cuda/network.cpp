// A whole training step on both devices: network, loss, release, optimizer, weight averaging, collapse.
#include "cuda/support.hpp"

#include <memory>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/image_network.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/optim/weight_average.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// The tensor by its address, as memory that must not be written.
template <class T, class D>
[[nodiscard]] Tensor<T, D> viewed(const Tensor<T, D>& own) {
  return Tensor<T, D>::view(own.data(), own.shape(), std::make_shared<const Tensor<T, D>>(own));
}

/// Three iterations of a network with K members, and what they leave. Its inputs are views.
template <class D>
struct Training {
  using Network = nn::ImageNetwork<float, D>;
  explicit Training(const nn::ImageNetworkOptions& options, std::int64_t side)
      : network(options, Philox(7)), size(side) {}

  Network network;
  std::int64_t size;  // of the images
  optim::Sgd<float, D> optimizer{network, {.learning_rate = 0.05, .coefficients = optim::Rates{0.2, 1e-3}}};
  std::optional<optim::WeightAverage<float, D>> average;
  std::vector<double> losses;

  void release_members(std::int64_t members, const Selectors& late) {
    release(network, optimizer, {.members = members, .late = late, .sigma = 0.1, .random = Philox(3)});
    average.emplace(network);
  }
  void iterate(std::uint32_t step, std::int64_t chunk) {
    const std::int64_t members = nn::members(network);
    const auto images = random_tensor<float>({members, 2, size, size, 3}, 10 + step);
    Tensor<std::int32_t, Cpu> labels({members, 2});
    for (std::int64_t i = 0; i < labels.size(); ++i) labels.data()[i] = static_cast<std::int32_t>((i + step) % 5);
    const auto x = viewed(to_device<D>(images));
    const auto y = viewed(to_device<D>(labels));
    for (const MemberRange range : member_chunks(members, chunk)) {
      Tape tape({.members = range, .random = Philox(1, Stream::dropout, step)});
      auto loss = cross_entropy(network.forward(tape.input(x.rows(range.first, range.count))),
                                y.rows(range.first, range.count));
      for (const double value : values_of(to_host(loss.value()))) losses.push_back(value);
      tape.backward(loss);
    }
    optimizer.step(1);
    if (average) average->update();
  }
  [[nodiscard]] Tensor<double, Cpu> predictions() {
    return predict_members(network, to_device<D>(random_tensor<float>({1, 3, size, size, 3}, 99)));
  }
};

/// Three steps before and after a release, averaged weights, and collapse, on both devices.
void check_both(const nn::ImageNetworkOptions& options, std::int64_t size, const char* late) {
  Training<Cpu> cpu(options, size);
  Training<Cuda> gpu(options, size);
  const auto both = [&](auto action) {
    action(cpu);
    action(gpu);
  };
  both([&](auto& t) { t.iterate(0, 0); });
  both([&](auto& t) { t.release_members(2, Selectors::parse(late)); });
  both([&](auto& t) { t.iterate(1, 0); });
  both([&](auto& t) { t.iterate(2, 1); });
  // Three steps through a dozen layers, with sums in another order on either device.
  CHECK(largest_difference(cpu.losses, gpu.losses) < 2e-4);
  CHECK(largest_difference(values_of(cpu.predictions()), values_of(gpu.predictions())) < 2e-3);
  both([](auto& t) { t.average->apply(t.network); });
  both([](auto& t) { nn::set_statistics_stale(t.network, false); });
  both([](auto& t) { collapse(t.network); });
  CHECK(largest_difference(values_of(cpu.predictions()), values_of(gpu.predictions())) < 2e-3);
}

}  // namespace

TEST_CASE("training a Wide ResNet with released members goes the same way on GPU and CPU", "[gpu]") {
  for (const char* late : {"batchnorm,head", "rank1", "additive", "batchnorm,additive", "all", "templates"}) {
    INFO(late);
    const bool hyper = std::string(late) == "templates";
    check_both(nn::WideResNetOptions{.depth = 10, .widen = 1, .classes = 5, .dropout = 0.3, .templates = hyper}, 8,
               late);
  }
}

TEST_CASE("training ResNet and DenseNet with released members goes the same way on GPU and CPU", "[gpu]") {
  const char* late = "batchnorm,head,rank1";
  check_both(nn::ResNetOptions{.blocks = {1, 1}, .bottleneck = true, .width = 8, .classes = 5, .dropout = 0.3}, 16,
             late);
  check_both(nn::DenseNetOptions{.blocks = {2, 1}, .growth = 8, .width = 8, .classes = 5, .dropout = 0.3}, 16, late);
}
