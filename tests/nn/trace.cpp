// Traces of whole networks: what an export needs to know is there.
#include <lpw/autograd/trace.hpp>

#include <algorithm>

#include "catch.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

namespace {

using Kind = lpw::TracedValue::Kind;

template <class M>
lpw::Trace traced(M& network, std::int64_t members) {
  lpw::Trace trace;
  const lpw::Tape tape({.record = false, .mode = lpw::Mode::evaluation, .trace = &trace});
  (void)network.forward(tape.input(lpw::zeros<float, Cpu>({members, 2, 8, 8, 3})));
  return trace;
}

std::int64_t count(const lpw::Trace& trace, const std::string& name) {
  const auto& all = trace.operations();
  return std::count_if(all.begin(), all.end(), [&](const auto& operation) { return operation.name == name; });
}

/// Every weight and running statistic is a value of the trace, and every value that an operation reads was there
/// before.
template <class M>
void check_whole(M& network, const lpw::Trace& trace) {
  lpw::nn::for_each_parameter(network, [&](const std::string& name, auto& parameter) {
    INFO(name);
    const auto number = trace.find(parameter.value());
    REQUIRE(number >= 0);
    CHECK(trace.values()[lpw::to_size(number)].kind == Kind::leaf);
  });
  lpw::nn::for_each_buffer(network, [&](const std::string& name, auto& buffer) {
    INFO(name);
    const auto number = trace.find(buffer.value());
    REQUIRE(number >= 0);
    CHECK(trace.values()[lpw::to_size(number)].kind == Kind::data);
  });
  std::vector<bool> known(trace.values().size());
  for (std::size_t i = 0; i < known.size(); ++i) known[i] = trace.values()[i].kind != Kind::result;
  for (const auto& operation : trace.operations()) {
    for (const auto input : operation.inputs)
      if (input >= 0) CHECK(known[lpw::to_size(input)]);
    for (const auto output : operation.outputs) known[lpw::to_size(output)] = true;
  }
  CHECK(std::all_of(known.begin(), known.end(), [](bool k) { return k; }));
}

}  // namespace

TEST_CASE("trace: a wide residual network's weights and statistics are all in the list, its logits at the end",
          "[nn]") {
  auto network = wide_resnet<float>();
  const auto trace = traced(network, 1);
  check_whole(network, trace);
  CHECK(count(trace, "conv2d") == 6);      // conv1, conv1 of three blocks, two shortcuts
  CHECK(count(trace, "conv2d_add") == 3);  // conv2 of three blocks
  CHECK(count(trace, "batch_norm") == 7);
  CHECK(count(trace, "global_average_pool") == 1);
  CHECK(count(trace, "linear") == 1);
  CHECK(trace.operations().size() == 18);
  const auto last = trace.operations().back().outputs.at(0);
  CHECK(trace.values()[lpw::to_size(last)].shape == Shape{1, 2, 3});
}

TEST_CASE("trace: of a released network the factors of its weights too", "[nn]") {
  SmallNet<float> network;
  lpw::release(network, {.members = 3, .late = Group::rank_one | Group::batch_norm});
  check_whole(network, traced(network, 3));
}
