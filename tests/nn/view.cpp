// Networks on memory that lpw did not allocate: training on inputs that are views, and weights that are views of a file
// in memory, say.
#include <lpw/tensor/tensor.hpp>

#include <memory>
#include <vector>

#include <lpw/nn/linear.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

/// A view, read-only, of a tensor's values one element past an allocation's begin, with `gap` elements of other values
/// between member rows.
template <class T>
lpw::Tensor<T, Cpu> viewed(const lpw::Tensor<T, Cpu>& own, std::int64_t gap) {
  const std::int64_t row = own.shape().size_from(1), stride = row + gap;
  const auto memory = std::make_shared<std::vector<T>>(lpw::to_size(1 + own.dim(0) * stride - gap), T(99));
  for (std::int64_t k = 0; k < own.dim(0); ++k) std::copy_n(own.row(k), row, memory->data() + 1 + k * stride);
  const std::shared_ptr<const std::vector<T>> owner = memory;
  return lpw::Tensor<T, Cpu>::view(owner->data() + 1, own.shape(), owner, stride);
}

/// The state of a network released into 3 members and trained on 4 minibatches, as they are or as views.
template <class T>
auto trained(bool views, std::int64_t gap = 0) {
  SmallNet<T> network;
  lpw::optim::Sgd optimizer(network, {.learning_rate = 0.1, .momentum = 0.9});
  lpw::release(network, optimizer, {.members = 3, .late = Group::batch_norm | Group::head});
  for (std::uint32_t step = 0; step < 4; ++step) {
    const Minibatches<T> batch(3, 4, step);
    lpw::Tape tape;
    const auto images = views ? viewed(batch.images, gap) : batch.images;
    const auto labels = views ? viewed(batch.labels, 0) : batch.labels;
    const auto loss = lpw::cross_entropy(network.forward(tape.input(images)), labels);
    tape.backward(loss);
    optimizer.step();
  }
  return state_of(network);
}

/// A linear layer of given weights, [1, O, C].
struct Given {
  using value_type = float;
  using device_type = Cpu;
  explicit Given(lpw::Tensor<float, Cpu> value) : weight(std::move(value)) {}
  lpw::Variable<float, Cpu> forward(const lpw::Variable<float, Cpu>& x) { return lpw::linear(x, weight.on(x)); }
  template <class F>
  void visit(F&& f) {
    f("weight", weight);
  }
  lpw::nn::Parameter<float, Cpu> weight;
};

}  // namespace

TEMPLATE_TEST_CASE("view: training on views gives the bits that training on copies gives", "[nn]", float, double,
                   lpw::bfloat16) {
  const auto expected = trained<TestType>(false);
  CHECK(trained<TestType>(true) == expected);
  CHECK(trained<TestType>(true, 5) == expected);
}

TEST_CASE("view: a parameter may be a view, which training copies into the network's store before it writes", "[nn]") {
  const auto memory = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto before = *memory;
  const auto view = lpw::Tensor<float, Cpu>::view(memory->data(), {1, 2, 3}, memory);
  Given network(view), copy(lpw::clone(view));
  CHECK(std::as_const(network.weight).value().data() == memory->data());
  const auto x = lpw::full<float, Cpu>({1, 4, 3}, 1.f);
  const auto y = network.forward(lpw::Tape::evaluation().input(x)).value();
  CHECK(y.row(0)[0] == 6);
  CHECK(y.row(0)[1] == 15);
  CHECK(std::as_const(network.weight).value().data() == memory->data());  // evaluation needs no store
  const auto untrained = state_of(network);
  for (auto* trained : {&network, &copy}) {
    lpw::optim::Sgd optimizer(*trained, {.learning_rate = 0.1});
    lpw::Tape tape;
    const auto out = trained->forward(tape.input(x));
    backward_of_sum(tape, out);
    optimizer.step();
  }
  CHECK(state_of(network) == state_of(copy));
  CHECK(state_of(network) != untrained);
  CHECK(*memory == before);
}
