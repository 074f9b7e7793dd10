// Networks whose weights are made of templates: the hypernetwork of the method, and layers that choose the form.
#include <lpw/io/model.hpp>
#include <lpw/late_phase/predict.hpp>
#include <lpw/nn/embedding.hpp>
#include <lpw/nn/lstm.hpp>
#include <lpw/nn/sequential.hpp>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

namespace nn = lpw::nn;

/// Coefficients of a member, before release and after it.
template <class T>
std::int64_t coefficients_of(std::int64_t depth, std::int64_t widen) {
  nn::WideResNet<T, Cpu> network({.depth = depth, .widen = widen, .templates = true}, Philox(1));
  const auto before = nn::flatten(network);
  CHECK(before->value.late.dim(0) == 1);
  lpw::release(network, {.members = 3, .late = Group::templates});
  const auto after = nn::flatten(network);
  CHECK(after->value.late.shape() == before->value.late.shape().with(0, 3));
  CHECK(after->value.base.shape() == before->value.base.shape());
  return after->value.late.dim(1);
}

/// Names and shapes of a network's parameters.
template <class M>
std::map<std::string, std::string> shapes_of(M& network) {
  std::map<std::string, std::string> shapes;
  nn::for_each_parameter(network, [&](const std::string& name, auto& p) {
    shapes[name] = lpw::to_text(p.value().shape(), ' ', int(p.group()));
  });
  return shapes;
}

template <class W>
const nn::Templates<W, Cpu>& templates_of(nn::DenseWeight<W, Cpu>& weight) {
  REQUIRE(weight.templates() != nullptr);
  return *weight.templates();
}

/// Member k's weight, written out.
std::vector<double> written_out(const nn::Templates<double, Cpu>& form, std::int64_t k) {
  const auto c = clone(form.coefficients.value()), t = clone(form.templates.value());
  const std::int64_t parts = c.dim(1), count = c.dim(2), inputs = form.weight[-1] / parts,
                     outer = form.weight.size() / form.weight[-1];
  std::vector<double> result(static_cast<std::size_t>(form.weight.size()), 0.0);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i), m = at / form.weight[-1], input = at % form.weight[-1];
    for (std::int64_t e = 0; e < count; ++e)
      result[i] += c.row(k)[input / inputs * count + e] * t.data()[(e * outer + m) * inputs + input % inputs];
  }
  return result;
}

using Recurrent = nn::Lstm<double, Cpu>;

/// Two layers whose four matrices are made of templates: those to 8 and from 8 units in one bank, of twice 4 inputs.
Recurrent recurrent_of_templates() {
  nn::Initializer init(Philox(2));
  Recurrent net({.in_features = 4, .hidden_features = 8, .layers = 2}, init);
  nn::share_templates<double, Cpu>(
      {&net.layers[0].ih.weight, &net.layers[0].hh.weight, &net.layers[1].ih.weight, &net.layers[1].hh.weight},
      {.templates = 5}, init);
  return net;
}

}  // namespace

TEST_CASE("templates: a Wide ResNet has the coefficients of the method's", "[late_phase]") {
  CHECK(coefficients_of<float>(28, 2) == 664);  // as WRN-28-10: the count does not depend on the width
  CHECK(coefficients_of<float>(28, 1) == 657);  // but for the first shortcut, which width 1 does not need
  // n = 1: two ends of 10; groups of 1 + 2 2, 2 + 2 2 and the same; three shortcuts of 1
  CHECK(coefficients_of<float>(10, 2) == 20 + 5 + 6 + 6 + 3);
}

TEST_CASE("templates: WRN-28-10 has 664 coefficients a member", "[late_phase][slow]") {
  CHECK(coefficients_of<float>(28, 10) == 664);
}

TEST_CASE("templates: coefficients are orthogonal over a bank's layers of one shape, of unit norm on average",
          "[late_phase]") {
  nn::WideResNet<double, Cpu> network({.depth = 16, .widen = 1, .templates = true}, Philox(3));
  // n = 2: groups 2 and 3 have three layers of two parts, as many vectors as templates
  std::vector<double> rows;
  for (auto* weight :
       {&network.blocks[2].conv2.weight, &network.blocks[3].conv1.weight, &network.blocks[3].conv2.weight}) {
    const auto& c = templates_of(*weight).coefficients.value();
    REQUIRE(c.shape() == Shape{1, 2, 6});
    rows.insert(rows.end(), c.data(), c.data() + c.size());
  }
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) {
      double dot = 0;
      for (std::size_t e = 0; e < 6; ++e) dot += rows[6 * i + e] * rows[6 * j + e];
      CHECK(std::abs(dot - (i == j)) <= 20 * lpw::epsilon<double>());  // sums of six products
    }
  const auto& first = templates_of(network.blocks[2].conv1.weight);
  CHECK(first.coefficients.shape() == Shape{1, 6});  // half as deep: the same bank in one part
  CHECK(first.templates.id() == templates_of(network.blocks[2].conv2.weight).templates.id());
  CHECK(first.templates.shape() == Shape{6, 32, 3, 3, 16});
  const auto& bias = templates_of(*network.fc.bias);
  CHECK(bias.coefficients.id() == templates_of(network.fc.weight).coefficients.id());
  CHECK(largest_magnitude(values_of(bias.templates.value())) == 0);
  // More vectors than templates: orthogonal the other way, and still of unit norm on average.
  nn::Initializer init(Philox(4));
  const auto many = nn::detail::orthogonal_coefficients(12, 3, init);
  double norms = 0;
  for (std::int64_t i = 0; i < 12; ++i)
    norms +=
        std::sqrt(many.row(i)[0] * many.row(i)[0] + many.row(i)[1] * many.row(i)[1] + many.row(i)[2] * many.row(i)[2]);
  CHECK(std::abs(norms / 12 - 1) <= 20 * lpw::epsilon<double>());
}

TEMPLATE_TEST_CASE("templates: right after release members compute what the network did, and its collapse too",
                   "[late_phase]", float, double) {
  auto network = hyper_resnet<TestType>();
  lpw::optim::Sgd optimizer(network, {.late = lpw::optim::Rates{0.1, 0}});
  train(network, optimizer, 2);
  const auto images = Minibatches<TestType>(1, 4, 7).images;
  const auto before = logits_of(network, images);
  lpw::release(network, optimizer, {.members = 3, .late = Group::templates});
  // One product makes all members' weights: its sums may be cut otherwise than for one member.
  const double tolerance = 2000 * double(lpw::epsilon<TestType>());
  for (std::int64_t k = 0; k < 3; ++k)
    CHECK(relative_difference(logits_of(network, images, k).values, before.values) <= tolerance);
  lpw::collapse(network);
  CHECK(relative_difference(logits_of(network, images).values, before.values) <= tolerance);
}

TEMPLATE_TEST_CASE("templates: collapse makes a plain Wide ResNet of the members' mean", "[late_phase]", float,
                   double) {
  const auto* const late = GENERATE("templates", "templates,additive", "all");
  CAPTURE(late);
  auto network = hyper_resnet<TestType>();
  lpw::optim::Sgd optimizer(network, {.late = lpw::optim::Rates{0.1, 0}});
  lpw::release(network, optimizer, {.members = 3, .late = Selectors::parse(late), .sigma = 0.3});
  train(network, optimizer, 3);
  auto plain = wide_resnet<TestType>();
  const auto folded = lpw::collapsed(network, lpw::Collapse::parameters);
  auto same = folded;
  CHECK(shapes_of(same) == shapes_of(plain));
  CHECK(nn::flatten(same)->value.late.size() == 0);
  CHECK(nn::members(network) == 3);  // the copy's collapse has not touched it
  CHECK(network.fc.weight.templates() != nullptr);

  // Folded and unfolded: members of equal mean weights and statistics compute as the collapsed network does.
  const auto images = Minibatches<TestType>(1, 4, 7).images;
  nn::for_each_parameter(network, [](const std::string&, auto& p) {
    if (p.value().dim(0) == 1) return;
    const auto mean = mean_rows(p.value());
    nn::detail::copy_rows(mean, p.value());
  });
  nn::for_each_buffer(network,
                      [](const std::string&, auto& b) { nn::detail::copy_rows(mean_rows(b.value()), b.value()); });
  CHECK(relative_difference(logits_of(network, images, 1).values, logits_of(same, images).values) <=
        2000 * double(lpw::epsilon<TestType>()));  // see above
  // It can be released again, as a plain network.
  lpw::release(same, {.members = 2});
  CHECK(nn::members(same) == 2);
}

TEST_CASE("templates: generated weights are the sum written out, in every layer", "[late_phase]") {
  auto network = hyper_resnet<double>();
  lpw::release(network, {.members = 3, .late = Group::templates, .sigma = 0.5});
  lpw::Tape tape;
  const auto x = tape.input(lpw::zeros<double, Cpu>({3, 1}));
  int layers = 0;
  nn::for_each_dense_weight(network, [&](const std::string& name, auto& weight) {
    CAPTURE(name);
    ++layers;
    const auto rows = rows_of(weight.on(x).rows.value());
    REQUIRE(rows.shape == weight.shape().prepend(3));
    for (std::int64_t k = 0; k < 3; ++k)
      CHECK(relative_difference(rows.row(k), written_out(*weight.templates(), k)) <=
            20 * lpw::epsilon<double>());  // sums of up to ten products
  });
  CHECK(layers == 11);  // nine convolutions, and the head's weight and bias
}

TEST_CASE("templates: as many as layers with unit coefficients are a plain network", "[late_phase]") {
  nn::Initializer init(Philox(6));
  const auto layer = [&] { return nn::Conv2d<double, Cpu>({.in_channels = 4, .out_channels = 4, .padding = 1}, init); };
  nn::Sequential plain(layer(), layer(), layer());
  auto hyper = nn::clone_module(plain);
  auto& [a, b, c] = hyper.modules;
  nn::share_templates<double, Cpu>({&a.weight, &b.weight, &c.weight}, {.templates = 3}, init);
  auto& bank = a.weight.templates()->templates;
  std::int64_t at = 0;
  for (auto* weight : {&a.weight, &b.weight, &c.weight}) {
    auto& coefficients = weight->templates()->coefficients.value();
    for (std::int64_t t = 0; t < 3; ++t) coefficients.data()[t] = t == at;
    ++at;
  }
  const auto weights = state_of(plain);
  for (std::int64_t t = 0; t < 3; ++t) {
    const auto& values = weights.at(lpw::to_text(t, ".weight")).values;
    std::copy(values.begin(), values.end(), bank.value().data() + t * std::ssize(values));
  }
  const auto x = random_tensor<double>({1, 2, 5, 5, 4}, 3);
  CHECK(rows_of(hyper.forward(lpw::Tape::evaluation().input(x)).value()) ==
        rows_of(plain.forward(lpw::Tape::evaluation().input(x)).value()));
  lpw::collapse(hyper);
  CHECK(state_of(hyper) == weights);
}

TEST_CASE("templates: members of one pass are the members run alone, in LSTM matrices, linear layers and embeddings",
          "[late_phase]") {
  constexpr std::int64_t members = 3;
  const auto check = [&](auto& net, const auto& x, std::int64_t coefficients) {
    lpw::release(net, {.members = members, .late = Group::templates, .sigma = 0.4});
    CHECK(nn::flatten(net)->value.late.shape() == Shape{members, coefficients});
    const auto run = [&](lpw::MemberRange range) {
      lpw::Tape tape({.members = range});
      const std::int64_t count = range.count ? range.count : members;
      const auto y = net.forward(tape.input(x.rows(range.first, count)));
      const auto values = rows_of(y.value()).values;
      backward_of_sum(tape, lpw::relu(y));  // sums whose gradients are not all one
      return values;
    };
    const auto gradients = [&] {
      std::map<std::string, std::vector<double>> result;
      nn::for_each_parameter(net,
                             [&](const std::string& name, auto& p) { result[name] = rows_of(p.gradient()).values; });
      auto flat = nn::flatten(net);
      fill(flat->gradient.base, 0.0), fill(flat->gradient.late, 0.0);
      return result;
    };
    const auto together = run({});
    const auto batched = gradients();
    std::vector<double> alone;
    for (std::int64_t k = 0; k < members; ++k) {
      const auto values = run({k, 1});
      alone.insert(alone.end(), values.begin(), values.end());
    }
    const double tolerance = 1000 * lpw::epsilon<double>();  // sums of some hundred terms, cut otherwise
    CHECK(relative_difference(alone, together) <= tolerance);
    for (const auto& [name, values] : gradients()) {
      CAPTURE(name);
      CHECK(lpw::test::largest_magnitude(values) > 1e-3);
      CHECK(relative_difference(values, batched.at(name)) <= tolerance);
    }
  };
  auto recurrent = recurrent_of_templates();
  check(recurrent, random_tensor<double>({members, 5, 2, 4}, 1), 5 + 3 * 10);
  nn::Initializer init(Philox(2));
  nn::Linear<double, Cpu> linear({.in_features = 6, .out_features = 4}, init);
  nn::share_templates<double, Cpu>({&linear.weight}, {.templates = 4}, init);
  nn::share_coefficients(linear.weight, *linear.bias);
  check(linear, random_tensor<double>({members, 5, 6}, 1), 4);
  nn::Embedding<double, Cpu> embedding({.vocabulary = 5, .features = 6}, init);
  nn::share_templates<double, Cpu>({&embedding.weight}, {.templates = 4, .inputs = 3}, init);
  const auto places = lpw::test::random_indices({members, 8, 3}, 5);
  check(embedding, places, 2 * 4);
  // Collapsed it is a table of the mean coefficients: what members of these compute.
  nn::for_each_parameter(embedding, [](const std::string&, auto& p) {
    if (p.value().dim(0) > 1) nn::detail::copy_rows(mean_rows(p.value()), p.value());
  });
  const auto first = places.rows(0, 1);
  const auto before = logits_of(embedding, first, 1).values;
  lpw::collapse(embedding);
  CHECK(embedding.weight.templates() == nullptr);
  CHECK(embedding.weight.value().shape() == Shape{1, 5, 6});
  CHECK(relative_difference(logits_of(embedding, first).values, before) <= 100 * lpw::epsilon<double>());  // few terms
}

TEST_CASE("templates: what cannot work is refused", "[late_phase]") {
  using lpw::OptionError;
  nn::Initializer init(Philox(6));
  nn::Linear<double, Cpu> wide({.in_features = 6, .out_features = 4}, init),
      narrow({.in_features = 4, .out_features = 4}, init);
  const auto share = [&](const nn::TemplateBank& bank) {
    nn::share_templates<double, Cpu>({&wide.weight, &narrow.weight}, bank, init);
  };
  CHECK(
      message_of<lpw::ShapeError>([&] { share({.templates = 2}); }) ==
      "share_templates: a weight [4 4] in a bank of templates [4 6]; only its last extent may be another, a multiple");
  CHECK(contains(message_of<OptionError>([&] { share({.templates = 0, .inputs = 2}); }), "a template at least"));
  for (const double deviation : {-1.0, std::nan("")})
    CHECK(contains(message_of<OptionError>([&] { share({.templates = 2, .inputs = 2, .deviation = deviation}); }),
                   lpw::to_text("share_templates: deviation ", deviation)));
  CHECK(contains(message_of<OptionError>([&] { nn::share_coefficients(wide.weight, *wide.bias); }),
                 "made of templates in one part"));
  CHECK(wide.weight.has_base());
  lpw::release(wide, {.members = 2, .late = Selectors({"weight"})});
  CHECK(contains(message_of<OptionError>([&] { share({.templates = 2, .inputs = 2}); }), "collapse it first"));

  auto plain = wide_resnet<float>(), hyper = hyper_resnet<float>();
  CHECK(message_of<OptionError>([&] { lpw::io::save_safetensors("none", hyper); }) ==
        "save_safetensors: 'conv1.weight' is made of templates, and the network plain only once it is collapsed");
  const auto refused = [](auto& network, Group late) {
    return message_of<OptionError>([&] { lpw::release(network, {.members = 2, .late = late}); });
  };
  CHECK(refused(plain, Group::templates) == "release: the network has no weights made of templates");
  CHECK(refused(hyper, Group::head) ==
        "release: the network has no head to release; where that is made of templates, release these");
  CHECK(refused(hyper, Group::rank_one) == "release: the network has no layer that takes rank-1 factors");
  lpw::release(hyper, {.members = 2, .late = Group::templates});
  CHECK(contains(refused(hyper, Group::templates), "already has 2 released members"));
}
