// The kernels of language models and classifiers: LSTM cell, embedding, softmax cross-entropy.
#include "kernels.hpp"

namespace {

using namespace benchmarks;
using lpw::Accumulate, lpw::Cuda, lpw::Gradient, lpw::Shape, lpw::Tensor;

/// A step of K members, B rows and H units, with biases and rank-1 factors.
template <class T>
struct CellSetting {
  lpw::LstmCell<float, Cuda> parameters;
  lpw::LstmStep<T, Cuda> step;
  Tensor<T, Cuda> product, product_back, dy, hidden, next, before;
  Tensor<float, Cuda> dcell;

  CellSetting(std::int64_t rows, std::int64_t units)
      : CellSetting({members, rows, 4 * units}, {members, rows, units}, units) {}

 private:
  CellSetting(const Shape& gates, const Shape& state, std::int64_t units)
      : parameters{parameter(4 * units), parameter(4 * units), parameter(4 * units), parameter(units)},
        step{random_tensor<T, Cuda>(gates), random_tensor<float, Cuda>(state, 1), random_tensor<float, Cuda>(state, 2)},
        product(random_tensor<T, Cuda>(gates, 3)),
        product_back(random_tensor<T, Cuda>(state, 4)),
        dy(random_tensor<T, Cuda>(state, 5)),
        hidden(state),
        next(state),
        before(gates),
        dcell(random_tensor<float, Cuda>(state, 6)) {}
  static Tensor<float, Cuda> parameter(std::int64_t size) { return random_tensor<float, Cuda>({members, size}); }
};

/// Forward reads and writes gates, reads a product, a cell state, and writes one, h and what the next product takes;
/// backward reads gates, dy, a product, two cell states and dc, and writes gradients of gates twice and dc.
template <class T>
void add_lstm_cell(const std::string& type, std::int64_t rows, std::int64_t units) {
  const std::int64_t count = members * rows * units, element = sizeof(T);
  const std::string name = lpw::to_text('/', type, "/K", members, '/', rows, 'x', units);
  add_kernel("lstm_cell_forward" + name, [=](benchmark::State& state) {
    CellSetting<T> s(rows, units);
    beside_copy(state, count * (14 * element + 8),
                [&] { lpw::lstm_cell_forward(s.parameters, s.product, s.step, s.hidden, s.next); });
  });
  add_kernel("lstm_cell_backward" + name, [=](benchmark::State& state) {
    CellSetting<T> s(rows, units);
    beside_copy(state, count * (14 * element + 16),
                [&] { lpw::lstm_cell_backward(s.parameters, s.dy, s.product_back, s.step, s.dcell, s.before); });
  });
}

/// Indices and the table's rows that occur are read, the places' rows written, or the other way about.
template <class T>
void add_embedding(const std::string& type, std::int64_t places, std::int64_t rows, std::int64_t features) {
  const std::string name = lpw::to_text('/', type, "/K", members, '/', places, 'x', features);
  add_kernel("embedding_forward" + name, [=](benchmark::State& state) {
    const auto indices = random_labels<Cuda>({members, places}, rows);
    const auto weight = random_tensor<float, Cuda>({1, rows, features});
    beside_copy(
        state,
        bytes_of(indices) + bytes_of(weight) + members * places * features * static_cast<std::int64_t>(sizeof(T)),
        [&] { benchmark::DoNotOptimize(lpw::embedding_forward<T>(indices, weight)); });
  });
  add_kernel("embedding_backward" + name, [=](benchmark::State& state) {
    const auto indices = random_labels<Cuda>({members, places}, rows);
    const auto dy = random_tensor<T, Cuda>({members, places, features});
    Gradient<float, Cuda> dweight{random_tensor<float, Cuda>({1, rows, features})};
    beside_copy(state, bytes_of(indices) + bytes_of(dweight.tensor) + bytes_of(dy),
                [&] { lpw::embedding_backward(indices, dy, dweight); });
  });
}

/// Logits are read and their probabilities written; backward reads these and writes the gradient.
template <class T>
void add_cross_entropy(const std::string& type, std::int64_t rows, std::int64_t classes) {
  const std::string name = lpw::to_text('/', type, "/K", members, '/', rows, 'x', classes);
  const Shape shape{members, rows, classes};
  const auto labels = [=] { return random_labels<Cuda>({members, rows}, classes); };
  add_kernel("softmax_cross_entropy" + name, [=](benchmark::State& state) {
    const auto logits = random_tensor<T, Cuda>(shape);
    beside_copy(state, bytes_of(logits) + 4 * logits.size(),
                [&, labels = labels()] { benchmark::DoNotOptimize(lpw::cross_entropy_forward(logits, labels, 0.1)); });
  });
  add_kernel("softmax_cross_entropy_backward" + name, [=](benchmark::State& state) {
    const auto probabilities = random_tensor<float, Cuda>(shape);
    const auto dloss = lpw::full<float, Cuda>({members}, 1.f);
    Gradient<T, Cuda> dlogits{random_tensor<T, Cuda>(shape)};
    beside_copy(state, bytes_of(probabilities) + bytes_of(dlogits.tensor),
                [&, labels = labels()] { lpw::cross_entropy_backward(probabilities, labels, 0.1, dloss, dlogits); });
  });
  add_kernel("count_correct" + name, [=](benchmark::State& state) {
    const auto logits = random_tensor<T, Cuda>(shape);
    beside_copy(state, bytes_of(logits),
                [&, labels = labels()] { benchmark::DoNotOptimize(lpw::count_correct(logits, labels)); });
  });
}

const bool added_sequences = [] {
  for_each_type([]<class T>(T, const std::string& type) {
    add_lstm_cell<T>(type, 20, 500);
    add_lstm_cell<T>(type, 128, 1024);
    add_embedding<T>(type, 2000, 256, 128);
    add_cross_entropy<T>(type, 128, 100);
    add_cross_entropy<T>(type, 2000, 256);
  });
  return true;
}();

}  // namespace
