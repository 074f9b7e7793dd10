// How long networks take into files and out of them: for each model, medians of a few times in seconds, of writing and
// reading safetensors, and of writing ONNX, whose trace runs the network twice. What the system keeps of files in
// memory is read from there.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <lpw/io/model.hpp>
#include <lpw/io/onnx.hpp>
#include <lpw/models/catalogue.hpp>

#include "measure.hpp"

namespace {

namespace fs = std::filesystem;

/// The median of so many times, in seconds.
template <class F>
[[nodiscard]] double median_seconds(int times, F&& f) {
  std::vector<double> all;
  for (int i = 0; i < times; ++i) all.push_back(benchmarks::seconds(f));
  return benchmarks::median(all);
}

void measure(const std::string& model, std::int64_t side, int times, const fs::path& folder) {
  auto network = lpw::models::make<float, lpw::Cpu>(model, {.classes = 1000}, lpw::Philox(1));
  const auto weights = folder / (model + ".safetensors"), graph = folder / (model + ".onnx");
  const double written = median_seconds(times, [&] { lpw::io::save_safetensors(weights, network); });
  const double read = median_seconds(times, [&] { lpw::io::load_safetensors(weights, network); });
  const double traced = median_seconds(times, [&] { lpw::io::save_onnx(graph, network, {side, side, 3}); });
  std::printf("%-12s %6.0f MB  safetensors: written in %.2f s, read in %.2f s;  ONNX: written in %.2f s\n",
              model.c_str(), static_cast<double>(fs::file_size(weights)) / 1e6, written, read, traced);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times of networks into files and out of them.");
  std::vector<std::string> models{"resnet50", "densenet161", "resnet152"};
  std::int64_t side = 224;
  int times = 3;
  std::string folder = fs::temp_directory_path() / "lpw-interchange";
  app.add_option("--models", models, "names of the catalogue")->capture_default_str();
  app.add_option("--side", side, "of the images that are traced")->capture_default_str();
  app.add_option("--times", times, "of which the median counts")->capture_default_str();
  app.add_option("--out", folder, "where files are written, which stay there")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    fs::create_directories(folder);
    for (const auto& model : models) measure(model, side, times, folder);
  } catch (const lpw::Error& error) {
    std::fprintf(stderr, "interchange: %s\n", error.what());
    return 1;
  }
  return 0;
}
