// The primitives on the CPU. Those bound by memory stand beside a copy, by all threads, of half as many bytes as they
// read and write in their passes (a copy reads and writes each); matrix products beside the bare product of the
// library.
#include <cstring>

#include <lpw/autograd/primitives.hpp>

#include "beside.hpp"

namespace {

using namespace benchmarks;
using lpw::Cpu, lpw::Gradient, lpw::Shape, lpw::Tensor, lpw::bfloat16;

constexpr std::int64_t members = 10, batch = 128, iterations = 15;
constexpr auto wall_clock = [](auto& f) { return seconds(f); };

/// Copies of a fixed number of bytes.
class Copy {
 public:
  explicit Copy(double bytes_read_and_written)
      : size_(static_cast<std::int64_t>(bytes_read_and_written / 2)),
        from_(lpw::zeros<std::uint8_t, Cpu>({size_})),
        to_(lpw::zeros<std::uint8_t, Cpu>({size_})) {}
  void operator()() {
    constexpr std::int64_t block = 1 << 16;
    lpw::parallel_for((size_ + block - 1) / block, block / 4, [&](std::int64_t item) {
      const std::int64_t first = item * block;
      std::memcpy(to_.data() + first, from_.data() + first, static_cast<std::size_t>(std::min(block, size_ - first)));
    });
  }

 private:
  std::int64_t size_;
  Tensor<std::uint8_t, Cpu> from_, to_;
};

template <class Work>
void beside_copy(benchmark::State& state, double bytes, Work&& work) {
  Copy copy(bytes);
  run_beside(state, wall_clock, {.bytes = bytes}, work, copy);
}

template <class T>
[[nodiscard]] double bytes_of(const Tensor<T, Cpu>& tensor) {
  return static_cast<double>(tensor.size()) * sizeof(T);
}

/// Batch norm + ReLU as an operation that stands alone: 3 passes forward, 5 backward.
template <class T>
void add_batch_norm(const std::string& type, std::int64_t side, std::int64_t channels) {
  struct Setting {
    using W = lpw::Accumulate<T>;
    Tensor<T, Cpu> x;
    Tensor<W, Cpu> gamma, beta;
    lpw::RunningStatistics<W, Cpu> running;

    Setting(std::int64_t side, std::int64_t channels)
        : x(random_tensor<T>({members, batch, side, side, channels})),
          gamma(lpw::full<W, Cpu>({members, channels}, W(1))),
          beta(random_tensor<W>({members, channels})),
          running{lpw::zeros<W, Cpu>({members, channels}), lpw::zeros<W, Cpu>({members, channels})} {}
    [[nodiscard]] auto forward() { return lpw::batch_norm_forward(x, {}, gamma, beta, running, {.relu = true}); }
  };
  const std::string name = lpw::to_text('/', type, '/', image_name(side, channels));
  add_benchmark("batch_norm_relu_forward" + name, iterations, [=](benchmark::State& state) {
    Setting s(side, channels);
    beside_copy(state, 3 * bytes_of(s.x), [&] { benchmark::DoNotOptimize(lpw::materialize(s.forward().y)); });
  });
  add_benchmark("batch_norm_relu_backward" + name, iterations, [=](benchmark::State& state) {
    Setting s(side, channels);
    const auto saved = s.forward().saved;
    const auto dy = random_tensor<T>(s.x.shape(), 1);
    Gradient<typename Setting::W, Cpu> dgamma{lpw::clone(s.gamma)}, dbeta{lpw::clone(s.beta)};
    Gradient<T, Cpu> dx{lpw::clone(dy)};
    beside_copy(state, 5 * bytes_of(s.x), [&] {
      lpw::batch_norm_backward(saved, dy, &dgamma, &dbeta, &dx, static_cast<Gradient<T, Cpu>*>(nullptr));
    });
  });
}

template <class T>
void add_elementwise(const std::string& type) {
  const Shape shape{members, batch, 32, 32, 32};
  add_benchmark("add_in_place/" + type, iterations, [=](benchmark::State& state) {
    auto x = random_tensor<T>(shape);
    const auto y = random_tensor<T>(shape, 1);
    beside_copy(state, 3 * bytes_of(x), [&] { lpw::add_in_place(x, y); });
  });
  add_benchmark("relu_forward/" + type, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T>(shape);
    beside_copy(state, 2 * bytes_of(x), [&] { benchmark::DoNotOptimize(lpw::relu_forward(x)); });
  });
  add_benchmark("relu_backward/" + type, iterations, [=](benchmark::State& state) {
    const auto y = random_tensor<T>(shape), dy = random_tensor<T>(shape, 1);
    Gradient<T, Cpu> dx{lpw::clone(dy)};
    beside_copy(state, 3 * bytes_of(y), [&] { lpw::relu_backward(y, dy, dx); });
  });
  add_benchmark("scale_channels_forward/" + type, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T>(shape);
    const auto factor = random_tensor<lpw::Accumulate<T>>({members, shape[-1]});
    beside_copy(state, 2 * bytes_of(x), [&] { benchmark::DoNotOptimize(lpw::scale_channels_forward(x, factor)); });
  });
  add_benchmark("scale_channels_backward/" + type, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T>(shape), dy = random_tensor<T>(shape, 1);
    const auto factor = random_tensor<lpw::Accumulate<T>>({members, shape[-1]});
    Gradient<T, Cpu> dx{lpw::clone(dy)};
    Gradient<lpw::Accumulate<T>, Cpu> dfactor{lpw::clone(factor)};
    beside_copy(state, 4 * bytes_of(x), [&] {
      lpw::scale_channels_backward_data(dy, factor, dx);
      lpw::scale_channels_backward_factor(x, dy, dfactor);
    });
  });
  add_benchmark("dropout/" + type, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T>(shape);
    Gradient<T, Cpu> y{lpw::clone(x)};
    beside_copy(state, 2 * bytes_of(x), [&] { lpw::apply_dropout(x, lpw::DropoutMask{.rate = 0.3}, y); });
  });
  add_benchmark("global_average_pool_forward/" + type, iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<T>({members, batch, 8, 8, 128});
    beside_copy(state, bytes_of(x), [&] { benchmark::DoNotOptimize(lpw::global_average_pool_forward(x)); });
  });
  add_benchmark("global_average_pool_backward/" + type, iterations, [=](benchmark::State& state) {
    const auto dy = random_tensor<T>({members, batch, 128});
    Gradient<T, Cpu> dx{random_tensor<T>({members, batch, 8, 8, 128})};
    beside_copy(state, bytes_of(dx.tensor), [&] { lpw::global_average_pool_backward(dy, dx); });
  });
}

/// The pass around the products of one time step, all members' rows at once: it reads both products, c and the factors,
/// and writes gates, c and h twice; backward reads dy, the product, gates, c twice and dc, and writes gates, dc and the
/// gates times r, and here its operands are copied first.
template <class T>
void add_lstm_cell(const std::string& type) {
  using W = lpw::Accumulate<T>;
  constexpr std::int64_t hidden = 500, sequences = 20;
  const Shape state_shape{members, sequences, hidden}, gates_shape{members, sequences, 4 * hidden};
  const auto cell = [=] {
    const auto row = [](std::int64_t columns) { return random_tensor<W>({members, columns}); };
    return lpw::LstmCell<W, Cpu>{row(4 * hidden), row(4 * hidden), row(4 * hidden), row(hidden)};
  };
  const auto step = [=] {
    return lpw::LstmStep<T, Cpu>{random_tensor<T>(gates_shape), random_tensor<W>(state_shape),
                                 random_tensor<W>(state_shape, 1)};
  };
  constexpr double units = members * sequences * hidden;
  add_benchmark("lstm_cell_forward/" + type, 10 * iterations, [=](benchmark::State& state) {
    const auto parameters = cell();
    auto s = step();
    const auto product = random_tensor<T>(gates_shape, 2);
    Tensor<T, Cpu> h(state_shape), next(state_shape);
    beside_copy(state, units * (14 * sizeof(T) + 2 * sizeof(W)),
                [&] { lpw::lstm_cell_forward(parameters, product, s, h, next); });
  });
  add_benchmark("lstm_cell_backward/" + type, 10 * iterations, [=](benchmark::State& state) {
    const auto parameters = cell();
    auto s = step();
    const auto dy = random_tensor<T>(state_shape, 2), product = random_tensor<T>(state_shape, 3);
    const auto gates = lpw::clone(s.gates);
    const auto dcell = random_tensor<W>(state_shape, 4);
    auto target = lpw::clone(dcell);
    Tensor<T, Cpu> before(gates_shape);
    beside_copy(state, units * (22 * sizeof(T) + 6 * sizeof(W)), [&] {
      copy(gates, s.gates);  // which the pass overwrites: repeated, it would soon be one over zeros
      copy(dcell, target);
      lpw::lstm_cell_backward(parameters, dy, product, s, target, before);
    });
  });
}

void add_embedding() {
  constexpr std::int64_t rows = 2000, vocabulary = 256, width = 128;
  const auto indices = random_labels({members, rows}, vocabulary);
  const auto weight = random_tensor<float>({1, vocabulary, width}), dy = random_tensor<float>({members, rows, width});
  add_benchmark("embedding_forward", iterations, [=](benchmark::State& state) {
    beside_copy(state, 2 * bytes_of(dy),
                [&] { benchmark::DoNotOptimize(lpw::embedding_forward<float>(indices, weight)); });
  });
  add_benchmark("embedding_backward", iterations, [=](benchmark::State& state) {
    Gradient<float, Cpu> dweight{lpw::clone(weight)};
    beside_copy(state, bytes_of(dy), [&] { lpw::embedding_backward(indices, dy, dweight); });
  });
}

/// What is done to late-phase weights: the gradients of rank-1 factors, the mean of the members, a running
/// average.
void add_members() {
  constexpr std::int64_t outputs = 2000, inputs = 500;
  add_benchmark("rank_one_backward", iterations, [=](benchmark::State& state) {
    const auto product = random_tensor<float>({members, outputs, inputs}),
               weight = random_tensor<float>({1, outputs, inputs});
    const auto r = random_tensor<float>({members, outputs}), s = random_tensor<float>({members, inputs});
    Gradient<float, Cpu> dweight{lpw::clone(weight)}, dr{lpw::clone(r)}, ds{lpw::clone(s)};
    beside_copy(state, bytes_of(product), [&] { lpw::rank_one_backward(product, weight, r, s, dweight, dr, ds); });
  });
  const auto rows = random_tensor<float>({members, 1'000'000});
  add_benchmark("mean_rows", iterations, [=](benchmark::State& state) {
    beside_copy(state, bytes_of(rows), [&] { benchmark::DoNotOptimize(lpw::mean_rows(rows)); });
  });
  add_benchmark("move_average", iterations, [=](benchmark::State& state) {
    auto average = lpw::clone(rows);
    beside_copy(state, 3 * bytes_of(rows), [&] { lpw::move_average(average, rows, 0.1); });
  });
}

void add_optimizers() {
  constexpr std::int64_t weights = 10'000'000;
  const auto store = [](std::uint32_t key) { return random_tensor<float>({weights}, key); };
  add_benchmark("sgd_step", iterations, [=](benchmark::State& state) {
    const lpw::SgdStore<float, Cpu> base{
        store(0), store(1), store(2), {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4}},
        late{};
    beside_copy(state, 6 * bytes_of(base.weight), [&] { lpw::sgd_step(base, late); });
  });
  add_benchmark("adam_step", iterations, [=](benchmark::State& state) {
    const lpw::AdamStore<float, Cpu> base{store(0), store(1), store(2), lpw::zeros<float, Cpu>({weights}), {}}, late{};
    beside_copy(state, 8 * bytes_of(base.weight), [&] { lpw::adam_step(base, late); });
  });
}

void add_cross_entropy(std::int64_t rows, std::int64_t classes) {
  add_benchmark(lpw::to_text("cross_entropy/", rows, 'x', classes), iterations, [=](benchmark::State& state) {
    const auto logits = random_tensor<float>({members, rows, classes});
    const auto labels = random_labels({members, rows}, classes);
    const auto dloss = lpw::full<float, Cpu>({members}, 1.f);
    Gradient<float, Cpu> dlogits{lpw::clone(logits)};
    beside_copy(state, 4 * bytes_of(logits), [&] {
      const auto forward = lpw::cross_entropy_forward(logits, labels, 0);
      lpw::cross_entropy_backward(forward.probabilities, labels, 0, dloss, dlogits);
    });
  });
}

/// The three products of a linear layer beside the library's bare products of the same sizes, in layouts the library
/// likes.
void add_linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  add_benchmark(lpw::to_text("linear/", rows, 'x', in, 'x', out), iterations, [=](benchmark::State& state) {
    const auto x = random_tensor<float>({1, rows, in}), weight = random_tensor<float>({1, out, in}),
               bias = random_tensor<float>({1, out}), dy = random_tensor<float>({1, rows, out});
    Gradient<float, Cpu> dx{lpw::clone(x)}, dweight{lpw::clone(weight)}, dbias{lpw::clone(bias)};
    const auto work = [&] {
      benchmark::DoNotOptimize(lpw::linear_forward(x, weight, bias));
      lpw::linear_backward_data(dy, weight, dx);
      lpw::linear_backward_weight(x, dy, dweight);
      lpw::linear_backward_bias(dy, dbias);
    };
    Tensor<float, Cpu> product({rows, out});
    const auto plain = random_tensor<float>({in, out});
    const auto bare = [&] {
      for (int pass = 0; pass < 3; ++pass)
        lpw::gemm(lpw::matrix(x.data(), rows, in), lpw::matrix(plain.data(), in, out),
                  lpw::matrix(product.data(), rows, out));
    };
    run_beside(state, wall_clock, {.operations = 6.0 * static_cast<double>(rows * in * out)}, work, bare);
  });
}

void add_all() {
  for (const auto& [side, channels] : {std::pair{32, 16}, {32, 32}, {16, 64}, {8, 128}}) {
    add_batch_norm<float>("fp32", side, channels);
    add_batch_norm<bfloat16>("bf16", side, channels);
  }
  add_elementwise<float>("fp32");
  add_elementwise<bfloat16>("bf16");
  add_lstm_cell<float>("fp32");
  add_lstm_cell<bfloat16>("bf16");
  add_embedding();
  add_members();
  add_optimizers();
  add_cross_entropy(128, 10);
  add_cross_entropy(2000, 256);
  add_linear(1280, 128, 10);
  add_linear(200, 1000, 2000);
  add_linear(20000, 500, 256);
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("threads", std::to_string(lpw::max_threads()));
  benchmark::RunSpecifiedBenchmarks();
}
