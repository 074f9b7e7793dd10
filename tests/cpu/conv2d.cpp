#include <lpw/cpu/conv2d.hpp>

#include <cstring>
#include <filesystem>

#include "cpu/convolution_case.hpp"
#include "support/engines.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

/// Every kernel, stride and padding of the lists, each with `variants` combinations of all the rest.
template <class T>
void check_geometries(int variants) {
  constexpr std::array<std::array<std::int64_t, 2>, 4> kernels{{{1, 1}, {3, 3}, {5, 5}, {3, 1}}};
  constexpr std::array<std::int64_t, 3> channels{3, 5, 17};
  constexpr std::array<std::int64_t, 4> out_channels{1, 4, 7, 16};
  int n = 0;
  for (const auto& kernel : kernels)
    for (std::int64_t stride = 1; stride <= 3; ++stride)
      for (std::int64_t padding = 0; padding <= 2; ++padding)
        for (int variant = 0; variant < variants; ++variant, ++n) {
          // The divisors make the lists run through each other's combinations.
          ConvolutionCase c{.members = n % 5 < 2 ? 1 : 3,
                            .rows = n % 5 < 3 ? 1 : 3,
                            .batch = 1 + n / 2 % 3,
                            .height = 7,
                            .width = 5,
                            .channels = channels[(n + n / 9) % 3],
                            .out_channels = out_channels[(n + n / 4) % 4],
                            .kernel_height = kernel[0],
                            .kernel_width = kernel[1],
                            .options = {.stride = stride, .padding = padding}};
          c.strided = n % 5 == 4;
          c.pending = n % 7 >= 3;
          c.relu = n % 7 >= 5;
          check_all<T>(c);
        }
}

template <class T>
struct Results {
  Tensor<T, Cpu> y, dx;
  Tensor<Accumulate<T>, Cpu> dweight;

  explicit Results(const ConvolutionCase& c) : dx(c.x()), dweight(c.weight()) {
    const auto x = random_activation<T>(c);
    const auto weight = random_tensor<Accumulate<T>>(c.weight(), 4);
    const auto dy = random_tensor<T>(c.y(), 5);
    y = conv2d_forward(x, weight, c.options);
    Gradient<T, Cpu> data{dx};
    conv2d_backward_data(dy, weight, c.options, data);
    Gradient<Accumulate<T>, Cpu> kernel{dweight};
    conv2d_backward_weight(x, dy, c.options, kernel);
  }
  [[nodiscard]] bool operator==(const Results& other) const {
    return same_bits(y, other.y) && same_bits(dx, other.dx) && same_bits(dweight, other.dweight);
  }
};

const ConvolutionCase wide{.members = 2,
                           .rows = 1,
                           .batch = 9,
                           .height = 13,
                           .width = 12,
                           .channels = 24,
                           .out_channels = 40,
                           .kernel_height = 3,
                           .kernel_width = 3,
                           .options = {.padding = 1},
                           .strided = false,
                           .pending = true,
                           .relu = true};

/// `wide` with channels that Winograd's algorithm takes.
ConvolutionCase wide_of(std::int64_t channels, std::int64_t out_channels) {
  ConvolutionCase c = wide;
  c.channels = channels;
  c.out_channels = out_channels;
  return c;
}

}  // namespace

TEMPLATE_TEST_CASE("convolution equals its definition for odd geometries", "[conv2d]", float, double, bfloat16) {
  with_each_engine([] { check_geometries<TestType>(3); });
}

// Which of these layers Winograd's algorithm takes depends on the width of the machine's vectors, so each goes both
// ways; only not a pending input of bfloat16, which Winograd's does not round when it is finished, as the definition
// here does (tests/cpu/winograd.cpp holds it to floats).
TEMPLATE_TEST_CASE("convolution equals its definition for layers of a residual network", "[conv2d]", float, double,
                   bfloat16) {
  const auto check_both_ways = [](ConvolutionCase c) {
    {
      const ConvolutionScope direct(Convolution::direct);
      check_all<TestType>(c);
    }
    if (std::is_same_v<TestType, bfloat16>) c.pending = c.relu = false;
    const ConvolutionScope by_winograd(Convolution::winograd);
    check_all<TestType>(c);
  };
  with_each_engine([&] {
    check_both_ways(wide);
    ConvolutionCase vectors = wide_of(32, 48);  // multiples of any machine's vectors
    vectors.rows = 2;
    vectors.strided = true;
    check_both_ways(vectors);
    ConvolutionCase down = wide;
    down.rows = 2;
    down.strided = true;
    down.height = down.width = 16;
    down.options = {.stride = 2, .padding = 1};
    check_both_ways(down);
    ConvolutionCase shortcut = down;
    shortcut.kernel_height = shortcut.kernel_width = 1;
    shortcut.options = {.stride = 2};
    check_all<TestType>(shortcut);
    shortcut.options = {};
    check_all<TestType>(shortcut);
  });
}

TEMPLATE_TEST_CASE("convolution equals its definition for one image of one pixel", "[conv2d]", float, double,
                   bfloat16) {
  with_each_engine([] {
    ConvolutionCase pixel{.members = 1,
                          .rows = 1,
                          .batch = 1,
                          .height = 1,
                          .width = 1,
                          .channels = 4,
                          .out_channels = 3,
                          .kernel_height = 1,
                          .kernel_width = 1,
                          .options = {}};
    check_all<TestType>(pixel);
    pixel.kernel_height = pixel.kernel_width = 3;
    pixel.options = {.padding = 1};
    check_all<TestType>(pixel);
  });
}

// One image is more than a band of patches here, and the last band is shorter than the others.
TEST_CASE("im2col cuts a large image into bands that cover it", "[conv2d]") {
  const CpuEngine before = std::exchange(cpu_engine(), CpuEngine::eigen);
  check_all<double>({.members = 1,
                     .rows = 1,
                     .batch = 2,
                     .height = 41,
                     .width = 37,
                     .channels = 16,
                     .out_channels = 5,
                     .kernel_height = 3,
                     .kernel_width = 3,
                     .options = {.padding = 1}});
  cpu_engine() = before;
}

TEMPLATE_TEST_CASE("convolution gives the same bits on any number of threads", "[conv2d]", float, double, bfloat16) {
  const ConvolutionCase large{.members = 1,
                              .rows = 1,
                              .batch = 1,
                              .height = 40,
                              .width = 40,
                              .channels = 16,
                              .out_channels = 24,
                              .kernel_height = 3,
                              .kernel_width = 3,
                              .options = {.padding = 1}};
  ConvolutionCase images = large, pixels = large, first = large;
  images.batch = 3;
  pixels.batch = 5;
  pixels.channels = 48;
  pixels.kernel_height = pixels.kernel_width = 1;
  pixels.options = {};
  first.batch = 21;  // parts of images with a rest
  first.channels = 3;
  with_each_engine([&] {
    for (const ConvolutionCase& c : {wide, images, pixels, first, wide_of(16, 32)}) {
      INFO(c);
      CHECK(same_on_any_threads([&] { return Results<TestType>(c); }));
    }
    if (cpu_engine() == CpuEngine::eigen)
      CHECK(same_on_any_threads([&] { return Results<TestType>(large); }));  // cut into bands
  });
}

TEMPLATE_TEST_CASE("convolution gives the same bits when repeated, and takes no further memory", "[conv2d]", float,
                   double, bfloat16) {
  const ThreadScope one_thread(1);  // each thread has working memory of its own
  with_each_engine([] {
    const Results<TestType> first(wide);
    { const Results<TestType> second(wide); }
    const std::size_t held = cpu_pool().usage().held;
    CHECK(Results<TestType>(wide) == first);
    CHECK(cpu_pool().usage().held == held);
  });
}

#if LPW_WITH_ONEDNN
TEST_CASE("oneDNN itself convolves float, at every layer of a wide residual network", "[conv2d]") {
  struct Layer {
    std::int64_t channels, out_channels, kernel, stride;
  };
  for (const Layer l :
       {Layer{3, 16, 3, 1}, {16, 32, 3, 1}, {32, 32, 3, 1}, {32, 64, 3, 2}, {16, 32, 1, 1}, {32, 64, 1, 2}}) {
    const Conv2dGeometry g{2, 8, 8, l.channels, l.out_channels, l.kernel, l.kernel, l.stride, l.kernel / 2};
    Tensor<float, Cpu> x = random_tensor<float>({g.images * g.in_size()}, 1),
                       weight = random_tensor<float>({g.weight_size()}, 2);
    Tensor<float, Cpu> y = random_tensor<float>({g.images * g.out_size()}, 3);
    CHECK(onednn::conv2d_forward(g, x.data(), weight.data(), y.data()));
    CHECK(onednn::conv2d_backward_data(g, y.data(), weight.data(), x.data()));
    CHECK(onednn::conv2d_backward_weight(g, x.data(), y.data(), weight.data(), true));
  }
}

TEST_CASE("oneDNN starts no threads, and a program's OpenMP keeps the number of its own", "[conv2d]") {
  const auto& runtime = detail::openmp_runtime();
  if (runtime.set_threads) runtime.set_threads(3);
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const ThreadScope scope(1);
  const auto before = threads();
  ConvolutionCase c = wide;
  c.channels = 3;
  (void)Results<float>(c);
  const auto a = random_tensor<float>({200, 300}, 1), b = random_tensor<float>({300, 400}, 2);
  Tensor<float, Cpu> product({200, 400});
  gemm(matrix(a.data(), 200, 300), matrix(b.data(), 300, 400), matrix(product.data(), 200, 400));
  CHECK(threads() == before);
  if (runtime.max_threads) CHECK(runtime.max_threads() == 3);
}

TEST_CASE("oneDNN's cache remembers what is not implemented, and passes other errors on", "[conv2d]") {
  onednn::Cache<int> cache;
  int made = 0;
  const auto missing = [&]() -> int {
    ++made;
    throw dnnl::error(dnnl_unimplemented, "");
  };
  CHECK(cache.find({1}, missing) == nullptr);
  CHECK(cache.find({1}, missing) == nullptr);
  CHECK(made == 1);
  CHECK_THROWS_AS(cache.find({2}, []() -> int { throw dnnl::error(dnnl_invalid_arguments, ""); }), dnnl::error);
  CHECK(*cache.find({2}, [] { return 5; }) == 5);
}

TEST_CASE("oneDNN's errors become lpw's", "[conv2d]") {
  const auto raise = [](dnnl_status_t status) {
    onednn::translate_errors("conv2d_forward", [&] { throw dnnl::error(status, "what it said"); });
  };
  CHECK_THROWS_WITH(raise(dnnl_invalid_arguments), Catch::Matchers::Contains("conv2d_forward: what it said"));
  CHECK_THROWS_AS(raise(dnnl_out_of_memory), OutOfMemory);
}
#endif
