// Training steps of a small network of linear layers: whether threads pay, or at least do not cost, at small sizes.
#include <cstdio>
#include <fstream>
#include <numeric>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/elementwise.hpp>
#include <lpw/cpu/base/parallel.hpp>
#include <lpw/nn/linear.hpp>
#include <lpw/optim/sgd.hpp>

#include "measure.hpp"

namespace {

using lpw::Cpu;

struct Mlp {
  using value_type = float;
  using device_type = Cpu;
  lpw::nn::Linear<float, Cpu> first, second, head;

  Mlp(std::int64_t width, lpw::nn::Initializer& init)
      : first({.in_features = width, .out_features = width}, init),
        second({.in_features = width, .out_features = width}, init),
        head({.in_features = width, .out_features = 10}, init) {}
  auto forward(const lpw::Variable<float, Cpu>& x) {
    return head.forward(relu(second.forward(relu(first.forward(x)))));
  }
  template <class F>
  void visit(F&& f) {
    f("first", first);
    f("second", second);
    f("head", head);
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::int64_t batch = 64, steps = 20;
  std::vector<std::int64_t> widths{64, 256, 1024};
  double time = 2;
  std::string json;
  CLI::App app(
      "Times training steps of three linear layers with ReLU: WIDTH inputs, WIDTH and WIDTH units, 10 classes.");
  app.add_option("widths", widths, "inputs and units")->capture_default_str();
  app.add_option("--batch", batch, "samples")->capture_default_str();
  app.add_option("--steps", steps, "steps in a measurement")->capture_default_str();
  app.add_option("--seconds", time, "time for measuring a width")->capture_default_str();
  app.add_option("--json", json, "also write the results to this file, a line of JSON for each width");
  CLI11_PARSE(app, argc, argv);
  std::ofstream file;
  if (!json.empty()) file.open(json);
  for (const std::int64_t width : widths) {
    lpw::nn::Initializer init(lpw::Philox{1});
    Mlp net(width, init);
    lpw::optim::Sgd optimizer(net, {.learning_rate = 0.01, .momentum = 0.9});
    const auto x = benchmarks::random_tensor<float>({1, batch, width});
    const auto labels = benchmarks::random_labels({1, batch}, 10);
    const auto run = [&] {
      for (std::int64_t step = 0; step < steps; ++step) {
        lpw::Tape tape;
        tape.backward(lpw::cross_entropy(net.forward(tape.input(x)), labels));
        optimizer.step();
      }
    };
    run();
    std::vector<double> milliseconds;
    for (const auto start = benchmarks::Clock::now();
         std::chrono::duration<double>(benchmarks::Clock::now() - start).count() < time;)
      milliseconds.push_back(benchmarks::seconds(run) / static_cast<double>(steps) * 1e3);
    const double mean =
        std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0) / static_cast<double>(milliseconds.size());
    std::printf("mlp-%-6lld batch %lld, %d threads: %9.4f ms a step\n", static_cast<long long>(width),
                static_cast<long long>(batch), lpw::max_threads(), mean);
    if (file)
      file << nlohmann::ordered_json{{"work", lpw::to_text("mlp-", width)}, {"milliseconds", mean}} << std::endl;
  }
}
