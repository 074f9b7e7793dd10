// Layers that share a weight: one weight of one form, whatever is attached to it, and whichever way they were tied.
#include <lpw/io/model.hpp>
#include <lpw/nn/forms/share_templates.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

namespace nn = lpw::nn;

/// The tied network, its weight made of templates by one of its names.
TiedTable tied_of_templates(Tie tie, bool by_decoder) {
  TiedTable network(tie, false);
  nn::Initializer init(Philox(8));
  nn::share_templates<double, Cpu>({by_decoder ? &network.decoder.weight : &network.table.weight},
                                   {.templates = 4, .inputs = 3, .deviation = 1}, init);
  return network;
}

/// Whether two layers hold one weight of one form.
bool tied(TiedTable& network) {
  auto &table = network.table.weight, &decoder = network.decoder.weight;
  return table.id() == decoder.id() && table.rank_one() == decoder.rank_one() &&
         table.templates() == decoder.templates();
}

/// What the stores hold, each weight once, under its first name.
std::vector<std::string> stored(TiedTable& network) {
  std::vector<std::string> names;
  for (const auto& segment : nn::flatten(network)->segments) names.push_back(segment.name);
  return names;
}

/// Member k's weights as a network of plain layers, which share nothing.
TiedTable written_out(TiedTable& network, std::int64_t k) {
  auto state = state_of(network);
  const auto row = [&](const std::string& name) {
    const auto& rows = state.at(name);
    return rows.row(rows.shape[0] > 1 ? k : 0);
  };
  const auto formed = [&](const std::string& layer) {
    auto weight = row(layer + ".weight");
    const auto r = row(layer + ".rank_one_r"), s = row(layer + ".rank_one_s");
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] *= r[i / s.size()] * s[i % s.size()];
    return weight;
  };
  TiedTable plain(Tie::dense_weight, false);
  nn::Initializer init(Philox(1));
  plain.decoder = nn::Linear<double, Cpu>({.in_features = 6, .out_features = 7}, init);
  nn::for_each_parameter(plain, [&](const std::string& name, auto& p) {
    const bool bias = name.ends_with("bias");
    const auto values = bias ? row(name) : formed(name.starts_with("hidden") ? "hidden" : "table");
    std::copy(values.begin(), values.end(), p.value().data());
  });
  return plain;
}

}  // namespace

TEST_CASE("tied layers: a weight that becomes one of templates stays the weight of both", "[late_phase]") {
  const auto tie = GENERATE(Tie::dense_weight, Tie::parameter);
  const bool by_decoder = GENERATE(false, true);
  CAPTURE(tie == Tie::parameter, by_decoder);
  auto network = tied_of_templates(tie, by_decoder);
  REQUIRE(tied(network));
  CHECK(network.decoder.weight.templates() != nullptr);
  CHECK(stored(network) == std::vector<std::string>{"table.coefficients", "table.templates", "hidden.weight",
                                                    "hidden.bias", "decoder.bias"});
  CHECK(nn::flatten(network)->value.late.shape() == Shape{1, 2 * 4});
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 2);
  lpw::release(network, optimizer, {.members = 3, .late = Group::templates, .sigma = 0.2});
  train(network, optimizer, 2, 2);
  CHECK(tied(network));

  auto copy = nn::clone_module(network);
  CHECK(tied(copy));
  CHECK(copy.table.weight.id() != network.table.weight.id());
  CHECK(state_of(copy) == state_of(network));
  const auto before = state_of(network);
  const Minibatches<double> test(1, 4, 7);
  for (std::int64_t k = 1; k < 3; ++k)  // members of equal coefficients are what their mean is collapsed into
    nn::detail::copy_rows(clone(copy.table.weight.templates()->coefficients.value().rows(0, 1)),
                          copy.table.weight.templates()->coefficients.value());
  const auto logits = logits_of(copy, test.images, 1).values;
  lpw::collapse(copy);
  REQUIRE(tied(copy));
  CHECK(copy.decoder.weight.value().shape() == Shape{1, 7, 6});
  CHECK(stored(copy) == std::vector<std::string>{"table.weight", "hidden.weight", "hidden.bias", "decoder.bias"});
  CHECK(relative_difference(logits_of(copy, test.images).values, logits) <= 1000 * lpw::epsilon<double>());
  CHECK(state_of(network) == before);  // the copy has a form of its own
  CHECK(tied(network));
}

TEST_CASE("tied layers: a bank that names a weight by both of its layers makes it once", "[late_phase]") {
  TiedTable network(Tie::parameter, false);
  nn::Initializer init(Philox(8));
  nn::share_templates<double, Cpu>({&network.table.weight, &network.decoder.weight}, {.templates = 4, .inputs = 3},
                                   init);
  auto once = tied_of_templates(Tie::parameter, false);
  CHECK(rows_of(network.table.weight.templates()->coefficients.value()) ==
        rows_of(once.table.weight.templates()->coefficients.value()));
  CHECK(tied(network));
}

TEST_CASE("tied layers: members compute with W o (r s^T) in both, and collapse folds it once", "[late_phase]") {
  const auto tie = GENERATE(Tie::dense_weight, Tie::parameter);
  CAPTURE(tie == Tie::parameter);
  TiedTable network(tie, true);
  lpw::optim::Sgd optimizer(network);
  train(network, optimizer, 1);
  lpw::release(network, optimizer, {.members = 3, .late = Group::rank_one, .sigma = 0.3});
  CHECK(tied(network));
  CHECK(stored(network) == std::vector<std::string>{"table.weight", "table.rank_one_r", "table.rank_one_s",
                                                    "hidden.weight", "hidden.rank_one_r", "hidden.rank_one_s",
                                                    "hidden.bias", "decoder.bias"});
  CHECK(nn::flatten(network)->value.late.shape() == Shape{3, 7 + 6 + 6 + 6});
  train(network, optimizer, 2, 1);
  const Minibatches<double> test(1, 4, 7);
  const double tolerance = 1000 * lpw::epsilon<double>();  // sums of some ten products, in another order
  for (std::int64_t k = 0; k < 3; ++k) {
    auto plain = written_out(network, k);
    CHECK(relative_difference(logits_of(network, test.images, k).values, logits_of(plain, test.images).values) <=
          tolerance);
  }
  nn::for_each_parameter(network, [](const std::string&, auto& p) {  // each member is now the mean of all
    if (p.value().dim(0) > 1) nn::detail::copy_rows(mean_rows(p.value()), p.value());
  });
  const auto logits = logits_of(network, test.images, 1).values;
  lpw::collapse(network, optimizer);
  CHECK(tied(network));
  CHECK(network.table.weight.rank_one() == nullptr);
  CHECK(stored(network) == std::vector<std::string>{"table.weight", "hidden.weight", "hidden.bias", "decoder.bias"});
  CHECK(relative_difference(logits_of(network, test.images).values, logits) <= tolerance);
  train(network, optimizer, 1, 3);
  lpw::release(network, optimizer, {.members = 2, .late = Group::rank_one});
  CHECK(tied(network));
}

TEST_CASE("tied layers: what is saved of them collapsed is read by tied layers", "[late_phase]") {
  const TemporaryFolder folder;
  auto network = tied_of_templates(Tie::parameter, false);
  lpw::collapse(network);
  lpw::io::save_safetensors(folder / "model", network);
  TiedTable read(Tie::dense_weight, true);
  randomize(read, 3);
  lpw::io::load_safetensors(folder / "model", read);
  CHECK(state_of(read) == state_of(network));
  CHECK(tied(read));
}

TEST_CASE("tied layers: whether they have factors is said by the weight that they share", "[late_phase]") {
  const auto tie = GENERATE(Tie::dense_weight, Tie::parameter);
  CAPTURE(tie == Tie::parameter);
  const auto refused = [](auto& network) {
    return message_of<lpw::OptionError>([&] { lpw::release(network, {.members = 2, .late = Group::rank_one}); });
  };
  TiedTable network(tie, false);
  lpw::release(network, {.members = 2, .late = Group::rank_one});
  CHECK(network.decoder.weight.rank_one() == nullptr);
  CHECK(network.hidden.weight.rank_one() != nullptr);
  CHECK(network.table.weight.rank_one() == nullptr);

  TiedTable without(tie, false);
  without.hidden.weight.set_takes_factors(false);
  CHECK(refused(without) ==
        "release: the network has no layer that takes rank-1 factors; 'table.weight' would with "
        "EmbeddingShape{.factors = true}, or set_takes_factors(true)");
  without.decoder.weight.set_takes_factors(true);
  lpw::release(without, {.members = 2, .late = Group::rank_one});
  CHECK(without.table.weight.rank_one() != nullptr);
  CHECK(tied(without));

  TiedTable selected(tie, true);  // by a name of either layer it is released itself
  lpw::release(selected, {.members = 2, .late = Selectors::parse("rank1,decoder.weight")});
  CHECK(selected.table.weight.rank_one() == nullptr);
  CHECK(selected.table.weight.value().dim(0) == 2);
}

namespace {

/// A layer of one's own that reads another's weight as the plain parameter that it is.
struct Reader {
  using value_type = double;
  using device_type = Cpu;

  explicit Reader(const nn::Linear<double, Cpu>& linear) : layer(linear), scale(linear.weight) {}
  template <class F>
  void visit(F&& f) {
    f("scale", scale);
    f("layer", layer);
  }

  nn::Linear<double, Cpu> layer;
  nn::Parameter<double, Cpu> scale;
};

}  // namespace

TEST_CASE("tied layers: a plain parameter that shares a weight sees no form of it, and is refused", "[late_phase]") {
  nn::Initializer init(Philox(1));
  Reader reader(nn::Linear<double, Cpu>({.in_features = 3, .out_features = 3}, init));
  CHECK(message_of<lpw::OptionError>([&] { lpw::release(reader, {.members = 2, .late = Group::rank_one}); }) ==
        "release: 'scale' is a plain Parameter that shares 'layer.weight', and would not see its rank-1 factors; make "
        "it a DenseWeight, or leave the weight without factors by set_takes_factors(false)");
  CHECK(nn::members(reader) == 1);
  reader.layer.weight.set_takes_factors(false);
  CHECK(contains(message_of<lpw::OptionError>([&] { lpw::release(reader, {.members = 2, .late = Group::rank_one}); }),
                 "no layer that takes rank-1 factors; 'layer.weight' would"));
  lpw::release(reader, {.members = 2, .late = Selectors::parse("additive")});  // which it does see
  lpw::collapse(reader);
  nn::share_templates<double, Cpu>({&reader.layer.weight}, {.templates = 2}, init);
  const lpw::Tape tape;
  CHECK(contains(message_of<lpw::Error>([&] {
                   (void)reader.scale.on(tape.input(lpw::zeros<double, Cpu>({1, 2, 3})));
                 }),
                 "a plain Parameter that shares it cannot read it; make that a DenseWeight"));
}
