// Late-phase weights on CIFAR: train one Wide ResNet until T0, release its late-phase weights into K members, train them as one batched
// pass, collapse them into one plain network.
#include <cstdio>
#include <exception>
#include <new>

#include <omp.h>

#include "cifar_command_line.hpp"

#include <lpw/lpw.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/trainer.hpp>

namespace {

template <class Network>
std::string banner(const cifar::Options& o, const lpw::data::Dataset& dataset, Network& network) {
  return lpw::concat(o.model, ", ", lpw::nn::flatten(network)->value.base.dim(1), " parameters, ", o.precision, " on the CPU with ",
                     lpw::max_threads(), lpw::max_threads() == 1 ? " thread (" : " threads (", cifar::engine(),
                     lpw::cpu_engine() == lpw::CpuEngine::eigen ? "; oneDNN is not compiled in, convolutions are slower" : "", "); ",
                     dataset.name, ": ", dataset.train.count, " training and ", dataset.test.count, " test images");
}

template <class T>
int run(const cifar::Options& options, const std::string& config) {
  using Network = lpw::nn::WideResNet<T, lpw::Cpu>;
  lpw::train::Display display;
  const auto train_options = cifar::train_options(options);
  lpw::train::validate(train_options);
  Network network(cifar::network_options(options), lpw::Philox(options.seed));
  const bool evaluate = !options.eval.empty(), exported = options.eval.ends_with(".safetensors");
  if (exported) lpw::io::load_safetensors(options.eval, network);
  const lpw::data::Dataset dataset = cifar::load_dataset(options);
  lpw::train::ImageClassification<Network> task(dataset, cifar::task_options(options));
  if (exported) {
    display.line(lpw::train::format_table({.collapsed = task.evaluate(network)}));
    return 0;
  }
  lpw::train::Trainer trainer(network, task, train_options, cifar::description(options));
  if (evaluate) {
    trainer.load(options.eval);
    auto scores = trainer.final_scores(display);
    if (cifar::other_test_images(options)) scores.before_release.clear();  // recorded in training, on the images of then
    display.line(lpw::train::format_table(scores));
    return 0;
  }

  display.line(banner(options, dataset, network));
  if (options.dry_run) {
    for (const auto& line : trainer.plan()) display.line(line);
    display.line(lpw::concat("\n", config));
    return 0;
  }
  const lpw::train::RunFolder folder(options.out, options.resume);
  if (folder.has_checkpoint()) {
    trainer.load(folder.checkpoint());
  } else if (!options.init.empty()) {
    lpw::io::load_safetensors(options.init, network);
  }
  folder.write_config(config);
  if (options.resume && !folder.has_checkpoint()) display.line(lpw::concat("no checkpoint in ", options.out, " yet, starting"));
  for (const auto& line : trainer.plan()) display.line(line);
  display.line(lpw::concat("run folder: ", options.out));
  const int signal = trainer.run(folder, display);
  if (signal == 0) return 0;
  display.line(lpw::concat("interrupted; everything up to this step is in ", folder.checkpoint().string(),
                           "; continue with: cifar --resume --out ", options.out));
  return 128 + signal;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    cifar::CommandLine line;
    if (const auto exit = line.parse(argc, argv)) return *exit;
    if (line.options.threads > 0) omp_set_num_threads(line.options.threads);
    return line.options.precision == "bf16" ? run<lpw::bfloat16>(line.options, line.config()) : run<float>(line.options, line.config());
  } catch (const std::bad_alloc&) {
    std::fputs("cifar: out of memory; try a smaller --batch, --member-chunk or --model\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cifar: %s\n", error.what());
  }
  return 1;
}
