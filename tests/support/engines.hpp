// The ways in which the CPU computes, each for a while.
#pragma once

#include <utility>

#include <lpw/cpu/base/engine.hpp>
#if LPW_WITH_ONEDNN
#include <lpw/cpu/onednn/plan.hpp>
#endif

#include "catch.hpp"

namespace lpw::test {

/// Convolutions go the given way until the end of the scope.
class ConvolutionScope {
 public:
  explicit ConvolutionScope(Convolution algorithm) : before_(std::exchange(convolution(), algorithm)) {}
  ConvolutionScope(const ConvolutionScope&) = delete;
  ConvolutionScope& operator=(const ConvolutionScope&) = delete;
  ~ConvolutionScope() { convolution() = before_; }

 private:
  Convolution before_;
};

/// Runs `body` with each engine that is compiled in, oneDNN with products of bfloat16 and with those of widened floats,
/// and restores both.
template <class Body>
void with_each_engine(Body&& body) {
  const CpuEngine before = std::exchange(cpu_engine(), CpuEngine::eigen);
  {
    INFO("engine Eigen");
    body();
  }
#if LPW_WITH_ONEDNN
  cpu_engine() = CpuEngine::onednn;
  const bool fast = onednn::bfloat16_is_fast();
  for (const bool choice : {true, false}) {
    onednn::bfloat16_is_fast() = choice;
    INFO("engine oneDNN, bfloat16 " << (choice ? "as it is" : "widened"));
    body();
  }
  onednn::bfloat16_is_fast() = fast;
#endif
  cpu_engine() = before;
}

}  // namespace lpw::test
