// Late-phase weights on CIFAR: train one Wide ResNet until T0, release its late-phase weights into K members, train them as one batched
// pass, collapse them into one plain network.
#include <cstdio>
#include <exception>

#include "cifar_options.hpp"

#include <lpw/lpw.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

namespace {

template <class T>
int run(const cifar::Options& options, const std::string& config) {
  using Network = lpw::nn::WideResNet<T, lpw::Cpu>;
  lpw::train::Display display;
  const lpw::data::Dataset dataset = cifar::load_dataset(options);
  Network network(cifar::network_options(options, dataset), lpw::Philox(options.seed));
  const lpw::train::ImageClassification<Network> task(dataset, cifar::task_options(options));
  if (!options.init.empty()) lpw::io::load_safetensors(options.init, network);

  if (options.eval.ends_with(".safetensors")) {
    lpw::io::load_safetensors(options.eval, network);
    display.line(lpw::train::format_table({.released = task.evaluate_members(network), .collapsed = task.evaluate(network)}));
    return 0;
  }
  lpw::train::Trainer trainer(network, task, cifar::train_options(options), cifar::description(options));
  if (!options.eval.empty()) {
    trainer.load(options.eval);
    display.line(lpw::train::format_table(trainer.final_scores(display)));
    return 0;
  }

  const lpw::train::RunFolder folder(options.out, options.resume);
  display.line(cifar::banner(options, dataset, network));
  if (options.resume && std::filesystem::exists(folder.checkpoint())) {
    trainer.load(folder.checkpoint());
    display.line(lpw::concat("resuming at epoch ", trainer.progress().epoch, ", iteration ", trainer.progress().iteration));
  }
  folder.write_config(config);
  const int signal = trainer.run(folder, display);
  if (signal == 0) return 0;
  display.line("interrupted; everything up to this step is in " + folder.checkpoint().string() + ", continue with --resume");
  return 128 + signal;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cifar::CommandLine line;
    if (const auto exit = line.parse(argc, argv)) return *exit;
    return line.options.precision == "bf16" ? run<lpw::bfloat16>(line.options, line.config()) : run<float>(line.options, line.config());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cifar: %s\n", error.what());
    return 1;
  }
}
