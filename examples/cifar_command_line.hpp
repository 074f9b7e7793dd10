// The command line of the CIFAR trainer.
#pragma once

#include "cifar_options.hpp"
#include "command_line.hpp"

namespace cifar {

template <class Add>
void declare_own_options(Options& o, Add&& add) {
  using namespace example;
  using CLI::IsMember;
  add("--data", o.data, "folder of the CIFAR binary files (scripts/download_data.sh), or synthetic: ten procedural classes")
      ->check(path_name());
  add("--dataset", o.dataset, "cifar10 or cifar100")->check(IsMember({"cifar10", "cifar100"}));
  add("--model", o.model, "wrn-DEPTH-WIDEN, DEPTH = 6n + 4");
  add("--label-smoothing", o.label_smoothing, "label smoothing")->transform(range(0.0, 0.999));
  add("--cutout", o.cutout, "side of the square that cutout erases; 0: none")->transform(range(0, 32));
  add("--augment", o.augment, "standard (pad-crop and flip) or none")->check(IsMember({"standard", "none"}));
  add("--convolution", o.convolution, "3x3 convolutions on the CPU: winograd (where it is faster) or direct")
      ->check(IsMember({"winograd", "direct"}));
  add("--train-subset", o.train_subset, "train on this many images, class-balanced; 0: all")->transform(at_least<std::int64_t>(0));
  add("--test-subset", o.test_subset, "evaluate on this many images, class-balanced; 0: all")->transform(at_least<std::int64_t>(0));
}

}  // namespace cifar
