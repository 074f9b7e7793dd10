// Operations on tensors that view memory which lpw did not allocate and must not write: values and gradients are those
// of copies, to the bit. The memory is of exactly the size that is viewed, begins at an odd place, and is compared
// afterwards.
#include <lpw/tensor/tensor.hpp>

#include <functional>
#include <memory>

#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/conv2d.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/embedding.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/lstm.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/autograd/reshape.hpp>

#include "support/gradient_check.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// What a tensor is given as: itself, or a view of its values one element past an allocation's begin, read-only or not.
enum class Form { own, writable, read_only };

/// Tensors in a form, with the memory that their views are of.
class Forms {
 public:
  explicit Forms(Form form) : form_(form) {}

  template <class T>
  [[nodiscard]] Tensor<T, Cpu> operator()(const Tensor<T, Cpu>& own) {
    if (form_ == Form::own) return clone(own);
    const auto memory = std::make_shared<std::vector<T>>(to_size(own.size() + 1));
    std::copy_n(own.data(), own.size(), memory->data() + 1);
    unchanged_.push_back(
        [memory, own] { return std::memcmp(memory->data() + 1, own.data(), to_size(own.size()) * sizeof(T)) == 0; });
    if (form_ == Form::writable) return Tensor<T, Cpu>::view(memory->data() + 1, own.shape(), memory);
    return Tensor<T, Cpu>::view(static_cast<const T*>(memory->data() + 1), own.shape(), memory);
  }
  [[nodiscard]] bool unchanged() const {
    return std::all_of(unchanged_.begin(), unchanged_.end(), [](const auto& same) { return same(); });
  }

 private:
  Form form_;
  std::vector<std::function<bool()>> unchanged_;
};

/// A leaf's gradient, or a result, as numbers.
using Results = std::vector<std::vector<double>>;

/// Every leaf that a computation makes, so that its gradient can be compared.
template <class T>
struct Pass {
  using W = Accumulate<T>;
  Tape tape;
  Forms forms;
  std::vector<Tensor<W, Cpu>> gradients;
  std::vector<Tensor<T, Cpu>> input_gradients;

  [[nodiscard]] Variable<W, Cpu> weight(const Shape& shape, std::uint32_t key) {
    gradients.push_back(zeros<W, Cpu>(shape));
    return tape.leaf(forms(random_tensor<W>(shape, key)), gradients.back());
  }
  [[nodiscard]] Variable<T, Cpu> input(const Shape& shape, std::uint32_t key) {
    input_gradients.push_back(zeros<T, Cpu>(shape));
    return tape.leaf(forms(random_tensor<T>(shape, key)), input_gradients.back());
  }
};

/// Runs it forwards and backwards.
template <class T, class F>
[[nodiscard]] Results results(Form form, F computation) {
  Pass<T> pass{Tape(), Forms(form), {}, {}};
  auto output = computation(pass);
  Results all{values_of(output.value())};
  backward_of_sum(pass.tape, output);
  for (const auto& gradient : pass.gradients) all.push_back(values_of(gradient));
  for (const auto& gradient : pass.input_gradients) all.push_back(values_of(gradient));
  CHECK(pass.forms.unchanged());
  return all;
}

template <class T, class F>
void check_views(F computation) {
  const auto expected = results<T>(Form::own, computation);
  CHECK(results<T>(Form::writable, computation) == expected);
  CHECK(results<T>(Form::read_only, computation) == expected);
}

}  // namespace

TEMPLATE_TEST_CASE("view: convolution, batch norm, residual and head on views", "[tape]", float, double, bfloat16) {
  for (const std::int64_t kernel : {1, 3})
    check_views<TestType>([&](auto& pass) {
      using W = Accumulate<TestType>;
      const std::int64_t padding = kernel / 2;
      const auto x = pass.input({2, 3, 8, 8, 16}, 1), residual = pass.input({2, 3, 8, 8, 16}, 2);
      const auto w = pass.weight({1, 16, kernel, kernel, 16}, 3), late = pass.weight({2, 16, kernel, kernel, 16}, 4);
      const auto gamma = pass.weight({2, 16}, 5), beta = pass.weight({1, 16}, 6), r = pass.weight({2, 16}, 7),
                 s = pass.weight({2, 16}, 8);
      const auto mean = zeros<W, Cpu>({2, 16}), variance = full<W, Cpu>({2, 16}, W(1));
      auto a = conv2d_add(x, w, residual, {.padding = padding});
      auto b = batch_norm(a, gamma, beta, RunningStatistics<W, Cpu>{mean, variance}, {.relu = true});
      auto c = conv2d(b, late, RankOneFactors<W, Cpu>{r, s}, {.padding = padding});
      auto d = add(x, relu(c));
      auto e = global_average_pool(max_pool2d(d));
      const auto matrix = pass.weight({2, 5, 16}, 9), bias = pass.weight({1, 5}, 10);
      const auto labels = pass.forms(full<std::int32_t, Cpu>({2, 3}, 2));
      return cross_entropy(linear(scale_channels(e, s), matrix, bias), labels);
    });
}

TEMPLATE_TEST_CASE("view: embedding, LSTM and their states on views", "[tape]", float, bfloat16) {
  check_views<TestType>([](auto& pass) {
    using W = Accumulate<TestType>;
    const auto places = pass.tape.input(pass.forms(full<std::int32_t, Cpu>({2, 3, 4}, 1)));
    const auto x = embedding<TestType>(places, pass.weight({1, 7, 6}, 1));
    const auto h = pass.input({2, 4, 5}, 2);
    const auto c = pass.weight({2, 4, 5}, 3);
    const auto wi = pass.weight({1, 20, 6}, 4), bi = pass.weight({1, 20}, 5), wh = pass.weight({2, 20, 5}, 6),
               bh = pass.weight({1, 20}, 7);
    const auto y = lstm(x, h, c, LstmMatrix<W, Cpu>{wi, bi}, LstmMatrix<W, Cpu>{wh, bh}).y;
    return add_channels(reshape(y, {2, 12, 5}), pass.weight({2, 5}, 8));
  });
}

TEST_CASE("view: what is handed over may be a view, but is not overwritten", "[tape]") {
  const auto memory = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const auto before = *memory;
  const Tape tape = Tape::evaluation();
  const auto b = tape.input(full<float, Cpu>({1, 3}, 1.f));
  for (const auto& a : {Tensor<float, Cpu>::view(memory->data(), {1, 3}, nullptr),
                        Tensor<float, Cpu>::view(static_cast<const float*>(memory->data()), {1, 3}, nullptr)}) {
    CHECK(values_of(add(tape.input(a), b).value()) ==
          std::vector<double>{2, 3, 4});  // add() would overwrite a tensor of its own
    CHECK(*memory == before);
  }
}

TEST_CASE("view: a gradient that must not be written is copied before it is added to", "[tape]") {
  const auto memory = std::make_shared<const std::vector<float>>(std::vector<float>{1, 2, 3});
  const auto before = *memory;
  Tape tape;
  auto gradient = zeros<float, Cpu>({1, 3});
  const auto x = tape.leaf(full<float, Cpu>({1, 3}, 1.f), gradient), y = add(x, x), w = relu(y);
  const auto z = record(  // its step runs before that of w, which adds to what it gave
      y.value(),
      [dy = y.edge(), memory](Tensor<float, Cpu>) {
        dy.add(Tensor<float, Cpu>::view(memory->data(), {1, 3}, memory));
      },
      y);
  backward_of_sum(tape, add(w, z));
  CHECK(*memory == before);
  CHECK(values_of(gradient) == std::vector<double>{4, 6, 8});  // 2 ({1, 2, 3} + 1)
}
