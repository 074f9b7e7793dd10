// What a run of the trainer does and leaves, and what it takes.
#include <lpw/train/trainer.hpp>

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include <lpw/data/synthetic.hpp>
#include <lpw/models/wide_resnet.hpp>

#include "catch.hpp"
#include "train/hooked_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

TEST_CASE("the task says that a last sample a member joins the iteration before") {
  const data::Dataset set{"toy", test::images(62), test::images(4), {{0.5f, 0.5f, 0.5f}, {0.3f, 0.3f, 0.3f}}, {}};
  const ImageClassification<Toy<Cpu>> task(set, {.batch = 5});
  CHECK(task.describe_iteration(2) ==
        "2 x 5 = 10 samples an iteration, 6 iterations an epoch; the last has one more a member, which alone would be "
        "too few for batch "
        "norm");
  CHECK(task.describe_iteration(1) == "1 x 5 = 5 samples an iteration, 13 iterations an epoch");
}

namespace {

/// Process 0 of two that have the same, with a count of the sums of doubles.
struct TwoAlike : distributed::SingleProcess {
  int sums = 0;
  [[nodiscard]] int size() const { return 2; }
  template <class W>
  void sum(std::span<W> values) {
    if constexpr (std::is_same_v<W, double>) ++sums;
    for (W& value : values) value *= 2;
  }
  void gather(std::span<const std::byte> own, std::span<std::byte> all) const {
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = own.empty() ? std::byte(0) : own[i % own.size()];
  }
};

/// Notes how many sums there were after each step, and ends the run after some.
struct CountedSums : Part<Toy<Cpu>, ImageClassification<Toy<Cpu>>> {
  CountedSums(const TwoAlike& processes, std::vector<int>& after) : processes(processes), after(after) {}
  void after_step(Run&) override {
    after.push_back(processes.sums);
    if (after.size() == 4) fail("enough");
  }
  const TwoAlike& processes;
  std::vector<int>& after;
};

}  // namespace

TEST_CASE("processes agree upon losses, signals and checkpoints by one sum a step") {
  const TemporaryFolder folder;
  TwoAlike two;
  distributed::AnyCommunicatorOf<TwoAlike> processes(two);
  Toy<Cpu> network;
  ImageClassification<Toy<Cpu>> task(dataset(), {.batch = 5, .augment = data::no_augmentation}, processes);
  Trainer<Toy<Cpu>, ImageClassification<Toy<Cpu>>> trainer(
      network, task, {.epochs = 1, .members = 2, .release_epoch = 0}, hooked_description, {}, processes);
  std::vector<int> after;
  trainer.add(std::make_unique<CountedSums>(two, after));
  RecordedDisplay display;
  CHECK_THROWS_WITH(trainer.run(RunFolder(folder / "run", false), display.get()), "enough");
  REQUIRE(after.size() == 4);
  for (std::size_t step = 1; step < after.size(); ++step) CHECK(after[step] - after[step - 1] == 1);
}

TEST_CASE("a run leaves a plain network, its scores and an epoch's line each") {
  const TemporaryFolder folder;
  HookedRun run;
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(nn::members(run.network) == 1);
  CHECK(run.trainer.progress().history.size() == 4);
  CHECK(run.trainer.progress().step == 12 + 12 + 4 + 4);
  const auto summary = nlohmann::json::parse(text_of(io::read_file(folder / "run/summary.json")));
  CHECK(summary["test_accuracy_members"].size() == 3);
  Toy<Cpu> saved;
  io::load_safetensors(folder / "run/model.safetensors", saved);
  CHECK(run.task.evaluate(saved) == run.task.evaluate(run.network));
  CHECK(run.task.evaluate(saved).front().second == summary["test_accuracy_collapsed"].get<double>());
}

TEST_CASE("fewer epochs are scored where that is asked for, the last among them, and the weights are the same") {
  const TemporaryFolder each, third, interrupted;
  TrainOptions o = hooked_options;
  REQUIRE(HookedRun(o).train(each / "run") == 0);
  o.eval_every = 3;
  HookedRun run(o);
  run.task.at_evaluation = [](int) {};  // counts
  REQUIRE(run.train(third / "run") == 0);
  CHECK(run.task.evaluation ==
        2 + 1 + 3);  // of epochs, before release, at the end: members, and both collapsed networks
  CHECK(model_after(third) == model_after(each));
  for (const auto& record : run.trainer.progress().history)
    CHECK(record.test_metric.has_value() == (record.epoch >= 3));
  HookedRun first(o);
  first.task.hook = [](int pass, Toy<Cpu>&) {
    if (pass == 15) raise(SIGINT);
  };
  REQUIRE(first.train(interrupted / "run") == SIGINT);
  HookedRun rest(o);
  REQUIRE(rest.train(interrupted / "run", true) == 0);
  CHECK(rest.trainer.progress().history[1].test_metric == std::nullopt);
  CHECK(rest.trainer.progress().history[2].test_metric == run.trainer.progress().history[2].test_metric);
  CHECK(model_after(interrupted) == model_after(each));
}

TEST_CASE("a finished run goes on for more epochs as if it had been planned so") {
  const TemporaryFolder plain, extended;
  const auto described = [](std::int64_t epochs) { return nlohmann::json{{"model", "toy"}, {"epochs", epochs}}; };
  TrainOptions shorter = hooked_options, longer = hooked_options;
  shorter.epochs = 3, shorter.average = longer.average = std::nullopt;
  REQUIRE(HookedRun(longer, described(4)).train(plain / "run") == 0);
  REQUIRE(HookedRun(shorter, described(3)).train(extended / "run") == 0);
  CHECK(model_after(extended) != model_after(plain));
  HookedRun rest(longer, described(4));
  REQUIRE(rest.train(extended / "run", true) == 0);
  CHECK(rest.trainer.progress().history.size() == 4);
  CHECK(model_after(extended) == model_after(plain));
  CHECK(contains(message_of<FileError>([&] { (void)HookedRun(shorter, described(3)).train(extended / "run", true); }),
                 "epochs was 4, now 3"));
}

TEST_CASE("release after a number of iterations ends the epoch under way") {
  const TemporaryFolder folder;
  TrainOptions o = hooked_options;
  o.release_step = 17;
  HookedRun run(o);
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(run.trainer.progress().step == 12 + 5 + 4 + 4);
  CHECK(run.trainer.progress().history[1].phase == "base");
  CHECK(run.trainer.progress().history[2].phase == "late");
  CHECK(nlohmann::json::parse(text_of(io::read_file(folder / "run/summary.json")))["members"] == 3);
  o.release_step = 3 * 12;
  CHECK_NOTHROW(HookedRun(o));
  o.release_step += 1;
  CHECK(contains(message_of<OptionError>([&] { HookedRun never(o); }),
                 "`release_step` 37 is not reached before the last of 4 epochs of 12 iterations"));
  o.members = 1;
  CHECK_NOTHROW(HookedRun(o));
}

TEST_CASE("options that do not fit the task are refused before training") {
  TrainOptions o = hooked_options;
  o.members = 61;
  CHECK(message_of<OptionError>([&] { HookedRun run(o); }) ==
        "`members` 61: they are more than the 60 training samples, of which each needs its own; take fewer, or another "
        "`member_data` than own");
  o.release_epoch = 4;  // never
  CHECK_NOTHROW(HookedRun(o));
  o.epochs = 0;
  CHECK_THROWS_AS(HookedRun(o), OptionError);
  TrainOptions dropout = hooked_options;
  dropout.serving = {.served = Served::dropout, .dropout_samples = 2};
  CHECK(message_of<OptionError>([&] { HookedRun run(dropout); }) ==
        "`serve` dropout: the task scores no dropout samples (evaluate_dropout); serve another");
}

namespace {

/// The process's resident memory now (VmRSS) or at most since forget_peak() (VmHWM), in bytes; 0 where the system does
/// not say.
std::int64_t memory_of_process(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string field; status >> field;)
    if (field == name + ":") {
      std::int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  return 0;
}
bool forget_peak() { return static_cast<bool>(std::ofstream("/proc/self/clear_refs") << 5 << std::flush); }

std::int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// The page faults of steps, by the number of the pass.
struct WatchedTask : ImageClassification<nn::WideResNet<float, Cpu>> {
  using Network = nn::WideResNet<float, Cpu>;
  using ImageClassification::ImageClassification;
  void accumulate_gradient(Network& network, Tape& tape, const Batch& batch, StepOutputs<float, Cpu>& outputs) const {
    faults.push_back(page_faults());
    ImageClassification::accumulate_gradient(network, tape, batch, outputs);
  }
  mutable std::vector<std::int64_t> faults;
};

}  // namespace

TEST_CASE(
    "a run of training, evaluation, release and collapse peaks near the floor of its largest step, and steady steps "
    "touch no pages") {
  if (HostMemory::guard > 0 || !forget_peak()) {
    std::printf("SKIPPED: AddressSanitizer has memory of its own, or the system does not tell a process's peak\n");
    return;
  }
  const TemporaryFolder folder;
  const auto set = data::synthetic({.train = 384, .test = 100});
  nn::WideResNet<float, Cpu> network({.depth = 10, .widen = 1}, Philox(1));
  WatchedTask task(set, {.batch = 64});
  const TrainOptions o{.epochs = 2,
                       .members = 2,
                       .release_epoch = 1,
                       .late = Group::rank_one | Group::head,
                       .average = optim::SwaOptions(),
                       .average_plan = {.start = 1}};
  Trainer<nn::WideResNet<float, Cpu>, WatchedTask> trainer(network, task, o, hooked_description);
  RecordedDisplay display;
  Cpu::trim();
  const std::int64_t before = memory_of_process("VmRSS");
  REQUIRE(before > 0);
  REQUIRE(trainer.run(RunFolder(folder / "run", false), display.get()) == 0);
  // Images and the input of each batch norm: 76,800 floats for an image, of which a step of two members has 128.
  const std::int64_t floor = 128 * 76'800 * 4, peak = memory_of_process("VmHWM") - before;
  CAPTURE(floor, peak);
  // Beside it: two batches of images (1.6 MB each), the gradient of an activation and a sum (8 MB each, of the widest),
  // granules of 2 MB that are not full, weights, momenta and averages (0.3 MB each), convolutions' scratch (2 MB a
  // thread), oneDNN's code.
  CHECK(peak <= floor * 13 / 10 + 24'000'000);
  // Six steps before release, three after: the first two of each find their memory. Faults were counted where each
  // began.
  REQUIRE(task.faults.size() == 9);
  CHECK(task.faults[5] - task.faults[2] <= 60);
  CHECK(task.faults[8] - task.faults[7] <= 60);
}

namespace {

/// Counts what the loop tells it, ends the second epoch after two iterations, and keeps its counts in checkpoints.
struct CountingPart final : Part<Toy<Cpu>, HookedTask> {
  using Run = Part<Toy<Cpu>, HookedTask>::Run;
  struct Counts {
    std::int64_t epochs = 0, steps = 0, ended = 0, releases = 0, offers = 0;
    bool operator==(const Counts&) const = default;
  };

  explicit CountingPart(Counts& counts) : counts(counts) {}
  void before_epoch(Run&, Display&) override { ++counts.epochs; }
  void after_step(Run&) override { ++counts.steps; }
  bool ends_epoch(const Run& run) const override { return run.progress.epoch == 1 && run.progress.iteration == 2; }
  void after_epoch(Run&) override { ++counts.ended; }
  const char* phase(const Run& run) const override { return run.progress.epoch == 1 ? "+short" : ""; }
  void offer(Run&, Display&) override { ++counts.offers; }
  void rearrange(const Flat&, const std::shared_ptr<Flat>& to) override { counts.releases += to->members; }
  void save(const Run&, io::NamedTensors& tensors) override {
    Tensor<std::int32_t, Cpu> saved({2});
    saved.data()[0] = static_cast<std::int32_t>(counts.epochs),
    saved.data()[1] = static_cast<std::int32_t>(counts.steps);
    tensors.add("counts", saved);
  }
  void load(Run&, const io::NamedTensors& tensors) override {
    const auto saved = tensors.get<std::int32_t>("counts", {2});
    counts.epochs = saved.data()[0], counts.steps = saved.data()[1];
  }
  Counts& counts;
};

}  // namespace

TEST_CASE("a part of one's own is called by the loop, follows the release, and is resumed") {
  CountingPart::Counts counts, resumed;
  const TemporaryFolder folder;
  HookedRun whole;
  whole.trainer.add(std::make_unique<CountingPart>(counts));
  REQUIRE(whole.train(folder / "whole") == 0);
  CHECK(counts == CountingPart::Counts{.epochs = 4, .steps = 12 + 2 + 4 + 4, .ended = 4, .releases = 3, .offers = 1});
  CHECK(whole.trainer.progress().history[1].phase == "base+short");

  HookedRun first;
  first.trainer.add(std::make_unique<CountingPart>(resumed));
  first.task.hook = [](int pass, Toy<Cpu>&) {
    if (pass == 15) raise(SIGTERM);
  };
  REQUIRE(first.train(folder / "run") == SIGTERM);
  HookedRun rest;
  resumed = {};
  rest.trainer.add(std::make_unique<CountingPart>(resumed));
  REQUIRE(rest.train(folder / "run", true) == 0);
  CHECK(resumed.epochs == counts.epochs);
  CHECK(resumed.steps == counts.steps);
  CHECK(model_after(folder) == text_of(io::read_file(folder / "whole/model.safetensors")));
}

TEST_CASE("late-phase weights that the network does not have are refused before training") {
  TrainOptions o = hooked_options;
  o.late = Selectors::parse("layer9.*");
  CHECK(contains(message_of<OptionError>([&] { HookedRun never(o); }), "the network has no parameter 'layer9.*'"));
}
