// The kernels over weights: optimizer steps, rows of members, conversion, and the gradients of dense weights with
// rank-1 factors.
#include "kernels.hpp"

namespace {

using namespace benchmarks;
using lpw::Cuda, lpw::Gradient, lpw::Tensor;

/// WRN-28-10's base weights, and a hundredth as many late-phase weights in 10 rows.
constexpr std::int64_t base_size = 36'500'000, late_size = 10 * base_size / 100;

using FloatTensor = Tensor<float, Cuda>;

[[nodiscard]] FloatTensor store(std::int64_t size, std::uint32_t key) {
  return random_tensor<float, Cuda>({size}, key);
}

/// Registers the work that make_work() returns, which makes so many passes over all weights.
void add_step(const std::string& kernel, std::int64_t passes, const std::function<Work()>& make_work) {
  add_kernel(lpw::to_text(kernel, '/', base_size),
             [=](benchmark::State& state) { beside_copy(state, passes * 4 * (base_size + late_size), make_work()); });
}

[[nodiscard]] Work sgd_work() {
  const lpw::SgdStep step{.learning_rate = 1e-4, .momentum = 0.9, .nesterov = true, .weight_decay = 5e-4};
  const auto stores = [&](std::int64_t size) {
    return lpw::SgdStore<float, Cuda>{store(size, 0), store(size, 1), store(size, 2), step};
  };
  return [base = stores(base_size), late = stores(late_size)] { lpw::sgd_step(base, late); };
}

[[nodiscard]] Work adam_work() {
  const auto stores = [](std::int64_t size) {
    return lpw::AdamStore<float, Cuda>{store(size, 0), store(size, 1), store(size, 2),
                                       lpw::full<float, Cuda>({size}, 0.1f), lpw::AdamStep{.learning_rate = 1e-5}};
  };
  return [base = stores(base_size), late = stores(late_size)] { lpw::adam_step(base, late); };
}

[[nodiscard]] Work clip_work() {
  const lpw::ScaledGradient<float, Cuda> base{store(base_size, 0)}, late{store(late_size, 1)};
  return [=] { benchmark::DoNotOptimize(lpw::clip_factor(base, late, 1.0)); };
}

[[nodiscard]] Work average_work() {
  return [average = store(base_size + late_size, 0), value = store(base_size + late_size, 1)]() mutable {
    lpw::move_average(average, value, 0.1);
  };
}

/// Rows of members, each as long as all the weights.
void add_rows() {
  add_kernel(lpw::to_text("mean_rows/K", members, '/', base_size), [](benchmark::State& state) {
    const auto rows = random_tensor<float, Cuda>({members, base_size});
    beside_copy(state, 4 * (members + 1) * base_size, [&] { benchmark::DoNotOptimize(lpw::mean_rows(rows)); });
  });
  add_kernel(lpw::to_text("release_rows/K", members, '/', late_size), [](benchmark::State& state) {
    const auto rows = random_tensor<float, Cuda>({members, late_size});
    beside_copy(state, 4 * (2 * members + 1) * late_size, [&] { lpw::add_member_noise(rows, 0.1, lpw::Philox(1)); });
  });
  add_kernel(lpw::to_text("add_row_forward/K", members, '/', late_size), [](benchmark::State& state) {
    const auto rows = random_tensor<float, Cuda>({members, late_size}),
               row = random_tensor<float, Cuda>({1, late_size});
    beside_copy(state, 4 * (2 * members + 1) * late_size,
                [&] { benchmark::DoNotOptimize(lpw::add_row_forward(rows, row)); });
  });
  add_kernel(lpw::to_text("add_row_backward/K", members, '/', late_size), [](benchmark::State& state) {
    const auto dy = random_tensor<float, Cuda>({members, late_size});
    lpw::Gradient<float, Cuda> drows{random_tensor<float, Cuda>({members, late_size}), true},
        drow{random_tensor<float, Cuda>({1, late_size}), true};
    beside_copy(state, 4 * (3 * members + 2) * late_size, [&] { lpw::add_row_backward(dy, drows, drow); });
  });
  add_kernel(lpw::to_text("convert/fp32 to bf16/", base_size), [](benchmark::State& state) {
    const auto weight = random_tensor<float, Cuda>({base_size});
    Tensor<lpw::bfloat16, Cuda> rounded(weight.shape());
    beside_copy(state, bytes_of(weight) + bytes_of(rounded), [&] { lpw::cuda::convert(weight, rounded); });
  });
  add_kernel(lpw::to_text("fill/", base_size), [](benchmark::State& state) {
    auto weight = random_tensor<float, Cuda>({base_size});
    beside_copy(state, bytes_of(weight), [&] { lpw::fill(weight, 1.f); });
  });
}

/// Products of all members read, the shared weight read and its gradient written.
void add_rank_one(std::int64_t outputs, std::int64_t inputs) {
  add_kernel(lpw::to_text("rank_one_backward/K", members, '/', outputs, 'x', inputs), [=](benchmark::State& state) {
    const auto product = random_tensor<float, Cuda>({members, outputs, inputs}),
               weight = random_tensor<float, Cuda>({1, outputs, inputs}, 1),
               r = random_tensor<float, Cuda>({members, outputs}, 2),
               s = random_tensor<float, Cuda>({members, inputs}, 3);
    Gradient<float, Cuda> dweight{lpw::clone(weight)}, dr{lpw::clone(r)}, ds{lpw::clone(s)};
    beside_copy(state, bytes_of(product) + 2 * bytes_of(weight),
                [&] { lpw::rank_one_backward(product, weight, r, s, dweight, dr, ds); });
  });
}

const bool added_weights = [] {
  add_step("sgd_step", 6, sgd_work);
  add_step("adam_step", 8, adam_work);
  add_step("clip_factor", 1, clip_work);
  add_step("move_average", 3, average_work);
  add_rows();
  add_rank_one(2000, 500);
  return true;
}();

}  // namespace
