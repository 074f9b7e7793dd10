// The choice of a convolution's algorithm: one table for every engine, element type and kind of layer.
#include <lpw/cpu/convolution/algorithm.hpp>

#include <string>

#include "catch.hpp"
#include "support/engines.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// A convolution of 16 images, with channels that are multiples of any machine's vectors.
Conv2dGeometry layer(std::int64_t kernel, std::int64_t stride, std::int64_t padding, std::int64_t channels = 64) {
  return {.images = 16,
          .height = 32,
          .width = 32,
          .channels = channels,
          .out_channels = 64,
          .kernel_height = kernel,
          .kernel_width = kernel,
          .stride = stride,
          .padding = padding};
}

template <class T>
ConvolutionAlgorithm chosen(const Conv2dGeometry& g) {
  return choose_convolution<T>(g, g.images);
}

/// What oneDNN multiplies, if it is the engine.
template <class T>
bool by_onednn() {
  return LPW_WITH_ONEDNN != 0 && cpu_engine() == CpuEngine::onednn && !std::is_same_v<T, double>;
}

/// Whether Winograd's algorithm may be taken.
template <class T>
bool winograd_allowed() {
  if (std::is_same_v<T, double>) return false;
  return !(std::is_same_v<T, bfloat16> && multiplies_bfloat16());
}

}  // namespace

TEMPLATE_TEST_CASE("3x3 kernels go by Winograd's algorithm where T has it and it pays", "[conv2d]", float, double,
                   bfloat16) {
  with_each_engine([] {
    const auto expected = winograd_allowed<TestType>() ? ConvolutionAlgorithm::winograd : ConvolutionAlgorithm::direct;
    CHECK(chosen<TestType>(layer(3, 1, 1)) == expected);
    CHECK(chosen<TestType>(layer(3, 2, 1)) == expected);
    CHECK(chosen<TestType>(layer(3, 1, 1, 3)) == ConvolutionAlgorithm::direct);              // too few channels
    CHECK(choose_convolution<TestType>(layer(3, 2, 1), 0) == ConvolutionAlgorithm::direct);  // too few tiles
    const ConvolutionScope without(Convolution::direct);
    CHECK(chosen<TestType>(layer(3, 1, 1)) == ConvolutionAlgorithm::direct);
  });
}

TEMPLATE_TEST_CASE("1x1 kernels without padding are products of pixels where oneDNN multiplies", "[conv2d]", float,
                   double, bfloat16) {
  with_each_engine([] {
    const auto expected = by_onednn<TestType>() ? ConvolutionAlgorithm::products : ConvolutionAlgorithm::direct;
    for (const auto algorithm : {Convolution::winograd, Convolution::direct}) {
      const ConvolutionScope scope(algorithm);
      CHECK(chosen<TestType>(layer(1, 1, 0)) == expected);
      CHECK(chosen<TestType>(layer(1, 2, 0)) == expected);
      CHECK(chosen<TestType>(layer(1, 1, 1)) == ConvolutionAlgorithm::direct);
      CHECK(chosen<TestType>(layer(5, 1, 2)) == ConvolutionAlgorithm::direct);
    }
  });
}

TEST_CASE("a run's record says what multiplies, and as what", "[conv2d]") {
  with_each_engine([] {
    const std::string engine = cpu_engine() == CpuEngine::onednn ? "oneDNN" : "Eigen";
    const bool widened = cpu_engine() == CpuEngine::onednn && !multiplies_bfloat16();
    CHECK(describe_products<float>() == engine);
    CHECK(describe_products<double>() == engine);
    CHECK(describe_products<bfloat16>() == (widened ? "oneDNN, products of float32" : engine));
  });
}
