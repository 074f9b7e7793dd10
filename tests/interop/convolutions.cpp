// Convolutions and poolings of drawn inputs, for convolutions.py to compare with PyTorch's:
//   convolutions OUT
// OUT is a safetensors file of doubles, channels last, of three members, which share the weights of every other case.
// For each case "<case>.x", "<case>.dy", the results "<case>.y" and "<case>.dx", where it has them "<case>.weight"
// [1 or K, O, ..., I], "<case>.bias" and their gradients "<case>.dweight" and "<case>.dbias"; and "<case>.options":
// stride, padding, dilation, output padding and kernel along height and width, then groups, ceil mode, and whether
// padding is counted. A case is called "<operation>.<number>".
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <vector>

#include <lpw/autograd/average_pooling.hpp>
#include <lpw/autograd/conv1d.hpp>
#include <lpw/io/safetensors.hpp>

using namespace lpw;

namespace {

using Doubles = Tensor<double, Cpu>;
using Value = Variable<double, Cpu>;

constexpr std::int64_t K = 3;

/// Options of all operations.
struct Options {
  PerAxis stride = 1, padding = 0, dilation = 1, output_padding = 0, kernel = 1;
  std::int64_t groups = 1;
  bool ceil_mode = false, count_include_pad = true;

  [[nodiscard]] Doubles numbers() const {
    const std::vector<std::int64_t> list{
        stride.height,         stride.width,         padding.height, padding.width, dilation.height, dilation.width,
        output_padding.height, output_padding.width, kernel.height,  kernel.width,  groups,          ceil_mode,
        count_include_pad};
    Doubles result({static_cast<std::int64_t>(list.size())});
    std::copy(list.begin(), list.end(), result.data());
    return result;
  }
};

class Cases {
 public:
  explicit Cases(io::NamedTensors& out) : out_(out) {}

  /// An operation of x, and of a weight and a bias where their shapes are not empty.
  void add(const std::string& name, const Options& options, const Shape& x, const Shape& weight, const Shape& bias,
           const std::function<Value(const Value&, const Value&, const Value&)>& operation) {
    Tape tape;
    const auto enter = [&](const char* operand, const Shape& shape) {
      const auto value = drawn(shape), gradient = zeros<double, Cpu>(shape);
      out_.add(name + '.' + operand, value);
      return std::pair{tape.leaf(value, gradient), gradient};
    };
    const auto [in, dx] = enter("x", x);
    const auto [w, dw] = enter("weight", weight);
    const auto [b, db] = enter("bias", bias);
    const auto y = operation(in, w, b);
    const auto dy = drawn(y.shape());
    out_.add(name + ".y", clone(y.value()));
    out_.add(name + ".dy", dy);
    out_.add(name + ".options", options.numbers());
    tape.backward(y, dy);
    out_.add(name + ".dx", dx);
    out_.add(name + ".dweight", dw);
    out_.add(name + ".dbias", db);
  }

 private:
  [[nodiscard]] Doubles drawn(const Shape& shape) {
    const Philox random(7, Stream::test, step_++);
    Doubles values(shape);
    for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = random.normal(static_cast<std::uint64_t>(i));
    return values;
  }

  io::NamedTensors& out_;
  std::uint32_t step_ = 0;
};

void add_convolutions(Cases& cases) {
  int number = 0;
  for (const Options& o : {Options{},
                           {.stride = {2, 1}, .padding = {0, 2}, .kernel = {2, 3}},
                           {.padding = {2, 1}, .dilation = {2, 3}, .kernel = {3, 2}},
                           {.stride = 2, .padding = 1, .kernel = 3, .groups = 4},
                           {.stride = 2, .padding = 3, .kernel = 7}}) {
    cases.add(to_text("conv2d.", number), o, {K, 2, 9, 8, 4},
              {number++ % 2 ? K : 1, 8, o.kernel.height, o.kernel.width, 4 / o.groups}, {K, 8},
              [&](const auto& x, const auto& w, const auto& b) {
                return conv2d(x, w, b, {o.stride, o.padding, o.dilation, o.groups});
              });
  }
  for (const Options& o : {Options{.kernel = 3},
                           {.stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}, .kernel = {3, 2}},
                           {.stride = 3, .dilation = 2, .output_padding = {0, 2}, .kernel = 3, .groups = 2}}) {
    cases.add(to_text("conv_transpose2d.", number), o, {K, 2, 4, 5, 4},
              {number++ % 2 ? K : 1, 4, o.kernel.height, o.kernel.width, 6 / o.groups}, {K, 6},
              [&](const auto& x, const auto& w, const auto& b) {
                return conv_transpose2d(x, w, b, {o.stride, o.padding, o.output_padding, o.dilation, o.groups});
              });
  }
  const Options o{.stride = {1, 2}, .padding = {0, 2}, .dilation = {1, 2}, .kernel = {1, 3}, .groups = 2};
  cases.add("conv1d.0", o, {K, 2, 9, 4}, {K, 6, 3, 2}, {1, 6}, [&](const auto& x, const auto& w, const auto& b) {
    return conv1d(x, w, b, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2});
  });
  const Options more{.stride = {1, 3}, .padding = {0, 1}, .output_padding = {0, 2}, .kernel = {1, 4}};
  cases.add("conv_transpose1d.0", more, {K, 2, 5, 4}, {1, 4, 4, 3}, {K, 3},
            [&](const auto& x, const auto& w, const auto& b) {
              return conv_transpose1d(x, w, b, {.stride = 3, .padding = 1, .output_padding = 2});
            });
}

void add_poolings(Cases& cases) {
  int number = 0;
  for (const std::int64_t size : {7, 8, 9})
    for (const Options& o : {Options{.stride = 2, .kernel = 2},
                             {.stride = 2, .padding = 1, .kernel = 3},
                             {.stride = {1, 3}, .padding = {1, 0}, .kernel = {2, 3}},
                             {.stride = 2, .padding = {1, 0}, .kernel = {3, 2}, .ceil_mode = true},
                             {.stride = 3, .padding = 1, .kernel = 2, .ceil_mode = true},
                             {.stride = 2, .padding = 1, .kernel = 3, .ceil_mode = true, .count_include_pad = false}}) {
      const Shape x{K, 2, size, size + 2, 3}, none{1, 0};
      cases.add(to_text("max_pool2d.", number), o, x, none, none, [&](const auto& in, const auto&, const auto&) {
        return max_pool2d(in, {o.kernel, o.stride, o.padding, o.ceil_mode});
      });
      cases.add(to_text("average_pool2d.", number++), o, x, none, none, [&](const auto& in, const auto&, const auto&) {
        return average_pool2d(in, {o.kernel, o.stride, o.padding, o.ceil_mode, o.count_include_pad});
      });
    }
  for (const PerAxis output : {PerAxis(1), PerAxis(3, 2), PerAxis(7, 11)})
    cases.add(to_text("adaptive_average_pool2d.", number++), {.kernel = output}, {K, 2, 7, 8, 3}, {1, 0}, {1, 0},
              [&](const auto& in, const auto&, const auto&) { return adaptive_average_pool2d(in, output); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: convolutions OUT\n";
    return EXIT_FAILURE;
  }
  try {
    io::Safetensors content{io::NamedTensors(argv[1]), {}};
    Cases cases(content.tensors);
    add_convolutions(cases);
    add_poolings(cases);
    io::save_safetensors(argv[1], content);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
