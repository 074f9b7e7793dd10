// Mistakes that must not compile, with the line that says why: compile_errors.sh holds the compiler's output to it. One
// type for each mistake, since a compiler complains once of each.
#include <lpw/late_phase/release.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/sgd.hpp>
#include <lpw/train/trainer.hpp>

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
