// Cross-entropy beyond the plain mean over labels: class weights, ignored samples, probabilities, losses of samples.
#include <lpw/autograd/cross_entropy.hpp>

#include "support/errors.hpp"
#include "support/gradient_check.hpp"
#include "support/losses.hpp"
#include "support/threads.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

using Options = CrossEntropyOptions<double, Cpu>;
using Labels = Tensor<std::int32_t, Cpu>;

constexpr std::int64_t members = 3, batch = 4, classes = 5;
constexpr std::int32_t ignored = -100;

/// Labels of which `ignored` are some, and of member 1 all.
Labels labels_with_ignored() {
  auto labels = random_indices({members, batch}, classes);
  labels.row(0)[2] = ignored;
  for (std::int64_t b = 0; b < batch; ++b) labels.row(1)[b] = ignored;
  return labels;
}

DoubleTensor some_class_weights() {
  auto weights = random_tensor<double>({classes}, 5);
  for (std::int64_t c = 0; c < classes; ++c) weights.data()[c] += 1.5;
  return weights;
}

DoubleTensor some_probabilities(const Shape& shape = {members, batch, classes}) {
  auto p = random_tensor<double>(shape, 6);
  const std::int64_t columns = shape[-1];
  for (std::int64_t i = 0; i < p.size() / columns; ++i) {
    double total = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      double& value = p.data()[i * columns + c];
      value = c == i % columns ? 0 : 1 + value;
      total += value;
    }
    for (std::int64_t c = 0; c < columns; ++c) p.data()[i * columns + c] /= total;
  }
  return p;
}

/// [c = label], of which an ignored one is none.
DoubleTensor one_hot(const Labels& labels) {
  auto p = zeros<double, Cpu>({members, batch, classes});
  for (std::int64_t i = 0; i < labels.size(); ++i)
    if (labels.data()[i] >= 0) p.data()[i * classes + labels.data()[i]] = 1;
  return p;
}

/// PyTorch's definition in plain loops: the losses of samples, or means over what they weigh.
std::vector<double> plain_loss(const DoubleTensor& z, const DoubleTensor& p, const Labels* labels,
                               const Options& options) {
  std::vector<double> losses, means;
  for (std::int64_t k = 0; k < members; ++k) {
    double sum = 0, weight = 0;
    for (std::int64_t b = 0; b < batch; ++b) {
      const double* row = z.row(k) + b * classes;
      const auto w = [&](std::int64_t c) {
        return options.class_weights.empty() ? 1.0 : options.class_weights.data()[c];
      };
      const std::int32_t label = labels ? labels->row(k)[b] : 0;
      const bool out = labels && options.ignore_index == label;
      double total = 0, loss = 0;
      for (std::int64_t c = 0; c < classes; ++c) total += std::exp(row[c]);
      for (std::int64_t c = 0; c < classes && !out; ++c) {
        const double t = (1 - options.label_smoothing) * p.row(k)[b * classes + c] + options.label_smoothing / classes;
        loss -= w(c) * t * (row[c] - std::log(total));
      }
      losses.push_back(loss);
      sum += loss;
      weight += out ? 0 : labels ? w(label) : 1;
    }
    means.push_back(weight == 0 ? 0 : sum / weight);
  }
  return options.reduction == Reduction::samples ? losses : means;
}

/// All options of a loss with labels, or with probabilities.
template <class F>
void for_each_option(bool of_labels, F f) {
  for (const double smoothing : {0.0, 0.1})
    for (const bool weighted : {false, true})
      for (const bool ignores : {false, true})
        for (const Reduction reduction : {Reduction::mean, Reduction::samples}) {
          if (ignores && !of_labels) continue;
          INFO("smoothing " << smoothing << " weighted " << weighted << " ignores " << ignores << " samples "
                            << (reduction == Reduction::samples));
          Options options{.label_smoothing = smoothing, .reduction = reduction};
          if (weighted) options.class_weights = some_class_weights();
          if (ignores) options.ignore_index = ignored;
          f(options);
        }
}

Labels labels_for(const Options& options) {
  return options.ignore_index ? labels_with_ignored() : random_indices({members, batch}, classes);
}

}  // namespace

TEST_CASE("cross_entropy: class weights, ignored samples and losses of samples are PyTorch's", "[cross_entropy]") {
  const auto z = random_tensor<double>({members, batch, classes}, 1);
  for_each_option(true, [&](const Options& options) {
    const auto labels = labels_for(options);
    const Tape tape;
    // sums of 20 terms below 5
    CHECK(largest_difference(cross_entropy(tape.input(z), labels, options).value(),
                             plain_loss(z, one_hot(labels), &labels, options)) <= 100 * epsilon<double>());
  });
}

TEST_CASE("cross_entropy: probabilities for labels", "[cross_entropy]") {
  const auto z = random_tensor<double>({members, batch, classes}, 1), p = some_probabilities();
  for_each_option(false, [&](const Options& options) {
    const Tape tape;
    CHECK(largest_difference(cross_entropy(tape.input(z), p, options).value(), plain_loss(z, p, nullptr, options)) <=
          100 * epsilon<double>());  // sums of 20 terms below 5
  });
}

TEST_CASE("cross_entropy: gradients with every option", "[cross_entropy]") {
  const auto inputs = random_inputs({{members, batch, classes}});
  for_each_option(true, [&](const Options& options) {
    const auto labels = labels_for(options);
    expect_gradient(
        "labels", [&](const auto& in) { return cross_entropy(in[0], labels, options); }, inputs);
  });
  const auto p = some_probabilities();
  for_each_option(false, [&](const Options& options) {
    expect_gradient(
        "probabilities", [&](const auto& in) { return cross_entropy(in[0], p, options); }, inputs);
  });
}

TEST_CASE("cross_entropy: the mean of the losses of samples is the plain loss", "[cross_entropy]") {
  const auto z = random_tensor<float>({members, batch, classes}, 1);
  const auto labels = random_indices({members, batch}, classes);
  const Tape tape;
  const auto samples = cross_entropy(tape.input(z), labels, {.reduction = Reduction::samples});
  CHECK(samples.shape() == Shape{members, batch});
  CHECK(largest_difference(sample_mean(samples).value(), cross_entropy(tape.input(z), labels).value()) <=
        4 * epsilon<float>());  // losses of about 2, rounded
}

TEST_CASE("cross_entropy: a member of ignored samples alone has the loss 0 and no gradient, whatever its logits",
          "[cross_entropy]") {
  auto z = random_tensor<float>({members, batch, classes}, 1);
  z.row(1)[3] = std::nanf("");
  const auto gradient = zeros<float, Cpu>(z.shape());
  Tape tape;
  const auto loss = cross_entropy(tape.leaf(z, gradient), labels_with_ignored(), {.ignore_index = ignored});
  const auto value = clone(loss.value());
  CHECK(value.data()[1] == 0);
  CHECK((value.data()[0] > 0.1f && value.data()[2] > 0.1f));
  tape.backward(loss);
  CHECK(largest_magnitude(gradient.rows(1, 1)) == 0);
  CHECK(largest_magnitude(gradient.rows(0, 1)) > 0.01);
  for (std::int64_t c = 0; c < classes; ++c) CHECK(gradient.data()[2 * classes + c] == 0);  // sample 2 of member 0
}

TEST_CASE("cross_entropy: losses of samples are finite for large logits, and masked classes cost nothing",
          "[cross_entropy]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits{1e4f, -1e4f, 0, -infinity, 2, 2};
  const std::vector<std::int32_t> labels{1, 1};
  const std::vector<float> p{0, 1, 0, 0, 0.5f, 0.5f};
  for (const bool soft : {false, true}) {
    Tape tape;
    const auto gradient = zeros<float, Cpu>({1, 2, 3});
    const auto x = tape.leaf(tensor_of<float>({1, 2, 3}, logits), gradient);
    const auto losses =
        soft ? cross_entropy(x, tensor_of<float>({1, 2, 3}, p), {.reduction = Reduction::samples})
             : cross_entropy(x, tensor_of<std::int32_t>({1, 2}, labels), {.reduction = Reduction::samples});
    // log 2 rounded; 2e4 is exact
    CHECK(largest_difference(losses.value(), std::vector<double>{2e4, std::log(2.0)}) <= epsilon<float>());
    backward_of_sum(tape, losses);
    CHECK(values_of(gradient) ==
          (soft ? std::vector<double>{1, -1, 0, 0, 0, 0} : std::vector<double>{1, -1, 0, 0, -0.5, 0.5}));
  }
  auto spoilt = zeros<float, Cpu>({1, 1, 3});
  spoilt.data()[2] = std::nanf("");
  CHECK(std::isnan(cross_entropy(Tape().input(spoilt), full<float, Cpu>({1, 1, 3}, 0.25f)).value().data()[0]));
}

TEMPLATE_TEST_CASE("cross_entropy: with any targets float and bfloat16 round what double gives", "[cross_entropy]",
                   float, bfloat16) {
  const Shape shape{2, 3, 33};
  const auto run = [&](bool soft) {
    return errors_in<TestType>(random_inputs({shape}), [&]<class T>(const std::vector<Variable<T, Cpu>>& in) {
      CrossEntropyOptions<Accumulate<T>, Cpu> options{.label_smoothing = 0.1};
      options.class_weights = converted<Accumulate<T>>(random_tensor<float>({33}, 4));
      for (std::int64_t c = 0; c < 33; ++c) options.class_weights.data()[c] += Accumulate<T>(1.5);
      if (soft) return cross_entropy(in[0], converted<T>(rounded_to<TestType>(some_probabilities(shape))), options);
      return cross_entropy(in[0], random_indices({2, 3}, 33), options);
    });
  };
  for (const bool soft : {false, true}) {
    const auto worst = run(soft);
    // Some ten roundings in float, sums of 33 terms in double; gradients rounded to T.
    CHECK(worst.first <= 20 * epsilon<float>());
    CHECK(worst.second <= 20 * epsilon<float>() + epsilon<TestType>());
  }
}

/// The same elements, each row (of a vector each element) two elements behind the last.
template <class T>
Tensor<T, Cpu> lying_apart(const Tensor<T, Cpu>& tensor) {
  const Shape row = tensor.shape().slice(1, tensor.shape().rank());
  auto view = zeros<T, Cpu>({tensor.dim(0), row.size() + 2}).columns(1, row);
  copy(tensor, view);
  return view;
}

TEST_CASE("cross_entropy: labels, probabilities and class weights may lie strided", "[cross_entropy]") {
  const auto logits = random_inputs({{members, batch, classes}});
  const auto labels = random_indices({members, batch}, classes);
  const auto probabilities = some_probabilities(), weights = some_class_weights();
  const auto compare_with_strided = [&](const auto& targets, const DoubleTensor& w) {
    const auto results = [&](const auto& t, const Options& options) {
      return values_and_gradients<double>(logits, [&](const auto& in) { return cross_entropy(in[0], t, options); });
    };
    CHECK(results(lying_apart(targets), {.class_weights = w.empty() ? w : lying_apart(w)}) ==
          results(targets, {.class_weights = w}));
  };
  compare_with_strided(labels, {});
  compare_with_strided(labels, weights);
  compare_with_strided(probabilities, weights);
}

TEST_CASE("cross_entropy: losses of samples are the same bits on any number of threads", "[cross_entropy]") {
  CHECK(same_on_any_threads([] {
    return values_and_gradients<float>(random_inputs({{3, 60, 100}}), [](const auto& in) {
      return cross_entropy(in[0], random_indices({3, 60}, 100), {.reduction = Reduction::samples});
    });
  }));
}

TEST_CASE("cross_entropy: targets and options that cannot work", "[cross_entropy]") {
  const Tape tape;
  const auto z = tape.input(zeros<double, Cpu>({2, 3, 4}));
  auto labels = zeros<std::int32_t, Cpu>({2, 3});
  labels.data()[5] = -100;
  CHECK(message_of<Error>([&] { (void)cross_entropy(z, labels, {.ignore_index = -1}); }) ==
        "cross_entropy: label -100 of member 1, sample 2 is outside [0, 4)");
  CHECK(message_of<ShapeError>([&] { (void)cross_entropy(z, labels, {.class_weights = zeros<double, Cpu>({3})}); }) ==
        "cross_entropy: class_weights are [3], the logits have 4 classes; expected a weight for each");
  for (const double weight : {-1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    const std::vector<double> weights{1, weight, 0, 1};
    CHECK(
        message_of<OptionError>([&] {
          (void)cross_entropy(z, zeros<std::int32_t, Cpu>({2, 3}), {.class_weights = tensor_of<double>({4}, weights)});
        }) == to_text("cross_entropy: class weight ", weight, " at 1; expected a number of 0 or more"));
  }
  CHECK(message_of<ShapeError>([&] {
          (void)cross_entropy(z, zeros<double, Cpu>({2, 3, 5}));
        }) == "cross_entropy: logits are [2 3 4], probabilities [2 3 5]; expected both [K B classes]");
  CHECK(message_of<OptionError>([&] {
          (void)cross_entropy(z, zeros<double, Cpu>({2, 3, 4}), {.ignore_index = 0});
        }) == "cross_entropy: ignore_index is a label, and there are probabilities; leave it out");
}
