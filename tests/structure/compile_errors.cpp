// Mistakes that must not compile, with the line that says why: compile_errors.sh holds the compiler's output to it. One
// type for each mistake, since a compiler complains once of each.
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/data/batch_loader.hpp>
#include <lpw/data/one_hot.hpp>
#include <lpw/distributed/members.hpp>
#include <lpw/io/onnx.hpp>
#include <lpw/io/snapshots.hpp>
#include <lpw/io/state.hpp>
#include <lpw/late_phase/dropout_samples.hpp>
#include <lpw/late_phase/mixed_members.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/nn/gradient_check.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/sequential.hpp>
#include <lpw/nn/summary.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/averages/make_average.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/train/trainer.hpp>

#include <utility>
#include <vector>

template <int mistake>
struct WithoutVisit {
  using value_type = float;
  using device_type = lpw::Cpu;
  lpw::Variable<float, lpw::Cpu> forward(const lpw::Variable<float, lpw::Cpu>& x) { return x; }
};

template <class Member>
struct Holding {
  using value_type = float;
  using device_type = lpw::Cpu;
  template <class F>
  void visit(F&& f) {
    f("member", member);
  }
  Member member;
};

template <int mistake>
WithoutVisit<mistake>& wrong();

void optimizers_and_averages() {
  lpw::optim::Sgd sgd(wrong<0>(), {.learning_rate = 0.1});
  lpw::optim::Adam adam(wrong<1>(), {.learning_rate = 0.1});
  lpw::optim::Sgd by_default(wrong<2>());
  lpw::optim::WeightAverage swa(wrong<3>());
  lpw::optim::ExponentialAverage ema(wrong<4>(), {});
  lpw::optim::ExponentialAverage ema_by_default(wrong<5>());
  lpw::optim::LatestAverage latest(wrong<6>());
  auto optimizer = lpw::optim::make_optimizer(wrong<7>(), {});
  auto average = lpw::optim::make_average(wrong<8>(), {});
  lpw::optim::mark_statistics_stale(wrong<9>());
  lpw::optim::recompute_statistics(wrong<10>(), std::vector<lpw::Tensor<float, lpw::Cpu>>{});
}

void late_phase(lpw::Coupling<float, lpw::Cpu>& centred) {
  lpw::release(wrong<11>(), {.members = 3});
  lpw::release(wrong<12>(), lpw::NoOptimizer{}, {.members = 3});
  lpw::collapse(wrong<13>());
  auto plain = lpw::collapsed(wrong<14>());
  lpw::Coupling coupling(wrong<15>(), {});
  centred.place_centre(wrong<16>());
  auto probabilities = lpw::predict_members(wrong<17>(), lpw::Tensor<float, lpw::Cpu>{});
  auto outputs = lpw::outputs_of_members(wrong<18>(), [](const lpw::Tape&) {});
  auto samples = lpw::predict_dropout(wrong<19>(), lpw::Tensor<float, lpw::Cpu>{}, 3, lpw::Philox(1));
  auto mixed = lpw::mixed_members(wrong<20>(), std::vector<double>{});
}

void modules(std::string_view name, const lpw::Tensor<double, lpw::Cpu>& x) {
  auto copy = lpw::nn::clone_module(wrong<21>());
  std::int64_t members = lpw::nn::members(wrong<22>());
  auto flat = lpw::nn::flatten(wrong<23>());
  auto summary = lpw::nn::summary(wrong<24>(), {32, 32, 3});
  lpw::nn::require_finite(wrong<25>());
  lpw::nn::require_gradient(name, wrong<26>(), x);
  lpw::nn::Sequential row(WithoutVisit<27>{}, WithoutVisit<28>{});
  lpw::nn::for_each_module(wrong<29>(), [](const std::string&, auto&) {});
  lpw::nn::for_each_parameter(wrong<30>(), [](const std::string&, auto&) {});
  lpw::nn::for_each_buffer(wrong<31>(), [](const std::string&, auto&) {});
}

void files(lpw::io::Snapshots& snapshots) {
  lpw::io::save_safetensors("network.safetensors", wrong<32>());
  auto report = lpw::io::load_safetensors("network.safetensors", wrong<33>());
  lpw::io::save_state("state", wrong<34>());
  auto own = lpw::io::load_state("state", wrong<35>());
  lpw::io::save_onnx("network.onnx", wrong<36>(), lpw::Shape{32, 32, 3});
  snapshots.add(wrong<37>(), 1);
  snapshots.load(1, wrong<38>());
}

void processes(lpw::distributed::Members<lpw::distributed::SingleProcess>& members) {
  members.sum_gradients(wrong<39>());
  members.spread(wrong<40>(), lpw::NoOptimizer{});
  members.average_statistics(wrong<41>());
}

void other_modules(Holding<lpw::nn::Linear<float, lpw::Cpu>>& no_forward,
                   const lpw::nn::Linear<float, lpw::Cpu>& fixed) {
  lpw::optim::recompute_statistics(no_forward, std::vector<lpw::Tensor<float, lpw::Cpu>>{});
  lpw::nn::require_finite(fixed);
}

// Without the line, the weights within would never be trained, and nothing would say so.
void member_without_visit(Holding<WithoutVisit<42>>& network, Holding<int>& number) {
  lpw::nn::for_each_parameter(network, [](const std::string&, auto&) {});
  lpw::nn::for_each_parameter(number, [](const std::string&, auto&) {});
}

void what_does_not_follow(lpw::nn::Linear<float, lpw::Cpu>& network) {
  double learning_rate = 0.1;
  lpw::release(network, learning_rate, {.members = 3});
}

struct NoTask {};
lpw::train::Trainer<lpw::nn::Linear<float, lpw::Cpu>, NoTask>* trainer_of(void* p) {
  return static_cast<lpw::train::Trainer<lpw::nn::Linear<float, lpw::Cpu>, NoTask>*>(p) + 1;
}

void what_gives_no_tensors() {
  const auto vector = [](std::span<const std::int64_t>, const lpw::Philox&) { return std::vector<float>(); };
  const lpw::data::BatchLoader first(10, vector, {.batch = 2});
  for (auto& batch : first.epoch(0)) static_cast<void>(batch);
  const auto pair = [](std::span<const std::int64_t>, const lpw::Philox&) {
    return std::pair(lpw::Tensor<float, lpw::Cpu>(), std::vector<int>());
  };
  const lpw::data::BatchLoader second(10, pair, {.batch = 2});
  for (auto& batch : second.epoch(0)) static_cast<void>(batch);
  const auto of_vector = [](const std::vector<std::int64_t>&) { return lpw::Tensor<float, lpw::Cpu>(); };
  const lpw::data::BatchLoader third(10, of_vector, {.batch = 2});
  for (auto& batch : third.epoch(0)) static_cast<void>(batch);
}

void texts(lpw::nn::Linear<float, lpw::Cpu>& network, lpw::optim::Sgd<float, lpw::Cpu>& optimizer) {
  lpw::release(network, {.members = 3, .late = "rank1"});
  lpw::collapse(network, "parameters");
  lpw::collapse(network, optimizer, std::string("parameters"));
  auto plain = lpw::collapsed(network, "affine");
  optimizer.step(lpw::optim::Time{}, "cosine");
  optimizer.step("cosine");
}

void as_in_python(const lpw::Variable<float, lpw::Cpu>& a, const lpw::Variable<float, lpw::Cpu>& b) {
  const lpw::Variable<float, lpw::Cpu> sum = a + b;
  static_cast<void>(a - b);
  static_cast<void>(a * b);
  static_cast<void>(0.5 * lpw::mse_loss(a, b));
  static_cast<void>(a / b);
  sum.backward();
}

void reductions(const lpw::Variable<float, lpw::Cpu>& x, const lpw::Tensor<float, lpw::Cpu>& y) {
  static_cast<void>(lpw::mse_loss(x, y, {.reduction = "none"}));
  static_cast<void>(lpw::cross_entropy(x, y, {.reduction = "sum"}));
}

void labels_of_another_type(const lpw::Variable<float, lpw::Cpu>& logits, const lpw::Tensor<float, lpw::Cpu>& p,
                            const lpw::Tensor<std::int64_t, lpw::Cpu>& a, const lpw::Tensor<unsigned, lpw::Cpu>& b,
                            const lpw::Tensor<std::int16_t, lpw::Cpu>& c) {
  static_cast<void>(lpw::cross_entropy(logits, a));
  lpw::metrics::Evaluator().add(p, b);
  static_cast<void>(lpw::data::one_hot(c, 3));
}
