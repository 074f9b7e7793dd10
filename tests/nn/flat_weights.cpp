#include <lpw/nn/flat_weights.hpp>

#include <lpw/nn/batch_norm.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/nn/sequential.hpp>
#include "catch.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

using Layer = nn::Linear<double, Cpu>;
using Norm = nn::BatchNorm<double, Cpu>;
using TwoLayers = nn::Sequential<Layer, Norm, Layer>;

/// 12 + 4 base weights, 8 in a batch norm, 8 + 2 in the head; 8 running statistics.
TwoLayers make_network() {
  nn::Initializer init(Philox{1});
  TwoLayers network(Layer({.in_features = 3, .out_features = 4}, init), Norm(4),
                    Layer({.in_features = 4, .out_features = 2, .head = true}, init));
  auto& norm = std::get<1>(network.modules);
  copy(random_tensor<double>({1, 4}, 8), norm.running_mean.value());
  return network;
}

Layer& head(TwoLayers& network) { return std::get<2>(network.modules); }
Norm& norm(TwoLayers& network) { return std::get<1>(network.modules); }

void mark_late_phase(TwoLayers& network) {
  nn::for_each_parameter(
      network, [](const std::string&, auto& parameter) { parameter.set_late_phase(parameter.group() != Group::none); });
}

std::vector<double> all_values(TwoLayers& network) {
  std::vector<double> values;
  nn::for_each_parameter(network, [&](const std::string&, auto& parameter) {
    const auto own = values_of(parameter.value());
    values.insert(values.end(), own.begin(), own.end());
  });
  return values;
}

bool inside(const Tensor<double, Cpu>& view, const Tensor<double, Cpu>& store) {
  return view.data() >= store.data() && view.data() + view.shape().size_from(1) <= store.data() + store.size();
}

}  // namespace

TEST_CASE("flatten keeps the values and lays the weights out in the order of the visits", "[flat_weights]") {
  auto network = make_network();
  const auto before = all_values(network);
  const auto flat = nn::flatten(network);
  CHECK(all_values(network) == before);
  CHECK(values_of(flat->value.base) == before);
  CHECK(flat->members == 1);
  CHECK(flat->value.base.shape() == Shape{1, 34});
  CHECK(flat->value.late.size() == 0);
  CHECK(flat->buffers.shape() == Shape{1, 8});
  CHECK(values_of(flat->gradient.base) == std::vector<double>(34, 0));
  REQUIRE(flat->segments.size() == 6);
  CHECK(flat->segments[0].name == "0.weight");
  CHECK(flat->segments[5].name == "2.bias");
  CHECK(flat->segments[5].offset == 32);
  CHECK(flat->segments[5].size == 2);
}

TEST_CASE("flatten is idempotent, and the parameters are views of the stores", "[flat_weights]") {
  auto network = make_network();
  const auto flat = nn::flatten(network);
  CHECK(nn::flatten(network) == flat);
  auto copy_of_handles = network;
  CHECK(nn::flatten(copy_of_handles) == flat);
  flat->value.base.data()[0] = 42;
  flat->gradient.base.data()[1] = 43;
  flat->buffers.data()[0] = 44;
  auto& first = std::get<0>(network.modules);
  CHECK(first.weight.value().data()[0] == 42);
  CHECK(first.weight.gradient().data()[1] == 43);
  CHECK(norm(network).running_mean.value().data()[0] == 44);
  nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    INFO(name);
    CHECK(parameter.home() == flat);
    CHECK(inside(parameter.value(), flat->value.base));
    CHECK(inside(parameter.gradient(), flat->gradient.base));
  });
}

TEST_CASE("lay_out gives late-phase weights and running statistics a row per member", "[flat_weights]") {
  auto network = make_network();
  const auto before = all_values(network), mean = values_of(norm(network).running_mean.value());
  mark_late_phase(network);
  const auto old = nn::flatten(network);
  const auto flat = nn::lay_out(network, 3);
  CHECK(nn::flatten(network) == flat);
  CHECK(nn::members(network) == 3);
  CHECK(flat->value.base.shape() == Shape{1, 16});
  CHECK(flat->value.late.shape() == Shape{3, 18});
  CHECK(flat->buffers.shape() == Shape{3, 8});
  CHECK(old->retired);
  for (std::int64_t k = 0; k < 3; ++k) {
    CHECK(std::vector<double>(flat->value.late.row(k), flat->value.late.row(k) + 18) ==
          std::vector<double>(before.begin() + 16, before.end()));
    const auto row = norm(network).running_mean.value().rows(k, 1);
    CHECK(values_of(row) == mean);
  }
  const auto& weight = head(network).weight;
  CHECK(weight.value().shape() == Shape{3, 2, 4});
  CHECK(weight.value().row_stride() == 18);
  CHECK(inside(weight.value(), flat->value.late));
  CHECK(weight.shape() == Shape{2, 4});
  CHECK_THROWS_AS(nn::lay_out(network, 2), ShapeError);  // three rows do not become two
}

TEST_CASE("a weight of two modules lies in one place", "[flat_weights]") {
  nn::Initializer init(Philox{1});
  const Layer layer({.in_features = 3, .out_features = 3, .bias = false}, init);
  nn::Sequential network(layer, layer);
  const auto flat = nn::flatten(network);
  CHECK(flat->value.base.shape() == Shape{1, 9});
  CHECK(flat->segments.size() == 1);
  CHECK(std::get<0>(network.modules).weight.value().data() == std::get<1>(network.modules).weight.value().data());
  CHECK(nn::flatten(network) == flat);
}

TEST_CASE("a network grown around flattened layers gets stores of its own", "[flat_weights]") {
  nn::Initializer init(Philox{1});
  nn::Sequential body(Layer({.in_features = 3, .out_features = 3}, init));
  const auto old = nn::flatten(body);
  nn::Sequential network(body, Layer({.in_features = 3, .out_features = 2}, init));
  const auto flat = nn::flatten(network);
  CHECK(flat != old);
  CHECK(flat->value.base.shape() == Shape{1, 20});
  CHECK(values_of(flat->value.base.columns(0, {12})) == values_of(old->value.base));
  // A part of a network is not the network: its stores hold more.
  nn::Sequential part(std::get<1>(network.modules));
  CHECK(nn::flatten(part) != flat);
}

TEST_CASE("rearrange carries tensors over to new stores", "[flat_weights]") {
  auto network = make_network();
  const auto before = nn::flatten(network);
  auto momentum = before->zeros_like();
  momentum.base = random_tensor<double>(momentum.base.shape(), 5);
  mark_late_phase(network);
  nn::attach_rank_one(head(network));  // weights without a past
  const auto after = nn::lay_out(network, 2);
  auto start = after->zeros_like();
  fill(start.base, 7.0);
  const auto moved = nn::rearrange(momentum, *before, *after, start);
  const auto old_values = values_of(momentum.base);
  CHECK(std::vector<double>(moved.base.data(), moved.base.data() + 16) ==
        std::vector<double>(old_values.begin(), old_values.begin() + 16));
  CHECK(values_of(moved.base.columns(16, {6})) == std::vector<double>(6, 7));
  for (std::int64_t k = 0; k < 2; ++k)
    CHECK(std::vector<double>(moved.late.row(k), moved.late.row(k) + 18) ==
          std::vector<double>(old_values.begin() + 16, old_values.end()));
}
