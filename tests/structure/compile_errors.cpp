// Mistakes that must not compile, with the line that says why: compile_errors.sh holds the compiler's output to it. One
// type for each mistake, since a compiler complains once of each.
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/data/batch_loader.hpp>
#include <lpw/data/one_hot.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/metrics/evaluation.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/adam.hpp>
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

void without_visit(WithoutVisit<0>& sgd, WithoutVisit<1>& adam, WithoutVisit<2>& released, WithoutVisit<3>& followed) {
  lpw::optim::Sgd first(sgd, {.learning_rate = 0.1});
  lpw::optim::Adam second(adam, {.learning_rate = 0.1});
  lpw::release(released, {.members = 3});
  lpw::release(followed, lpw::NoOptimizer{}, {.members = 3});
}

// Without the line, the weights within would never be trained, and nothing would say so.
void member_without_visit(Holding<WithoutVisit<4>>& network, Holding<int>& number) {
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
  optimizer.step(lpw::optim::Time{}, "cosine");
}

void labels_of_another_type(const lpw::Variable<float, lpw::Cpu>& logits, const lpw::Tensor<float, lpw::Cpu>& p,
                            const lpw::Tensor<std::int64_t, lpw::Cpu>& a, const lpw::Tensor<unsigned, lpw::Cpu>& b,
                            const lpw::Tensor<std::int16_t, lpw::Cpu>& c) {
  static_cast<void>(lpw::cross_entropy(logits, a));
  lpw::metrics::Evaluator().add(p, b);
  static_cast<void>(lpw::data::one_hot(c, 3));
}
