#include <lpw/train/trainer.hpp>

#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <limits>
#include <set>

#include <lpw/data/synthetic.hpp>
#include <lpw/models/wide_resnet.hpp>
#include <lpw/train/image_classification.hpp>

#include "catch.hpp"
#include "support.hpp"
#include "toy.hpp"

using namespace lpw;
using namespace lpw::train;

namespace {

using Toy = test::Toy<Cpu>;
using test::dataset;

/// Calls a hook before each pass and each evaluation, by which a test interferes with training.
struct HookedTask : ImageClassification<Toy> {
  HookedTask() : ImageClassification<Toy>(dataset(), {.batch = 5, .augment = data::no_augmentation}) {}
  void accumulate_gradient(Toy& network, Tape& tape, const Batch& batch, StepOutputs<float, Cpu>& outputs) const {
    if (hook) hook(pass++, network);
    ImageClassification<Toy>::accumulate_gradient(network, tape, batch, outputs);
  }
  MemberScores evaluate_members(Toy& network) const {
    if (at_evaluation) at_evaluation(evaluation++);
    return ImageClassification<Toy>::evaluate_members(network);
  }
  Scores evaluate(Toy& network) const { return evaluate_members(network).ensemble; }
  void evaluate_dropout() const {}  // a task that scores no dropout samples
  double epoch_score(Toy& network) const { return evaluate(network).front().second; }
  std::function<void(int, Toy&)> hook;
  std::function<void(int)> at_evaluation;
  mutable int pass = 0, evaluation = 0;
};

const TrainOptions options{.epochs = 4,
                           .members = 3,
                           .release_epoch = 2,
                           .average = optim::SwaOptions(),
                           .average_plan = {.start = 3}};  // 12 and then 4 iterations an epoch
const nlohmann::json description{{"model", "toy"}};

struct Run {
  explicit Run(const TrainOptions& o = options, const nlohmann::json& d = description) : trainer(network, task, o, d) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  Toy network;
  HookedTask task;
  RecordedDisplay display;
  Trainer<Toy, HookedTask> trainer;
};

std::string model_after(const TemporaryFolder& folder) {
  return text_of(io::read_file(folder / "run/model.safetensors"));
}

/// A run whose checkpoint says other than it should.
std::string refusal_of_progress(const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  Run run;
  run.task.hook = [](int pass, Toy&) {
    if (pass == 26) raise(SIGTERM);
  };
  REQUIRE(run.train(folder / "run") == SIGTERM);
  auto checkpoint = io::load_checkpoint(folder / "run/checkpoint.lpw");
  change(checkpoint.meta);
  io::save_checkpoint(folder / "run/checkpoint.lpw", checkpoint);
  Run again;
  return message_of<FileError>([&] { (void)again.train(folder / "run", true); });
}

}  // namespace

TEST_CASE("the task says that a last sample a member joins the iteration before") {
  const data::Dataset set{"toy", test::images(62), test::images(4), {{0.5f, 0.5f, 0.5f}, {0.3f, 0.3f, 0.3f}}, {}};
  const ImageClassification<Toy> task(set, {.batch = 5});
  CHECK(task.describe_iteration(2) ==
        "2 x 5 = 10 samples an iteration, 6 iterations an epoch; the last has one more a member, which alone would be "
        "too few for batch "
        "norm");
  CHECK(task.describe_iteration(1) == "1 x 5 = 5 samples an iteration, 13 iterations an epoch");
}

TEST_CASE("a run leaves a plain network, its scores and an epoch's line each") {
  const TemporaryFolder folder;
  Run run;
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(nn::members(run.network) == 1);
  CHECK(run.trainer.progress().history.size() == 4);
  CHECK(run.trainer.progress().step == 12 + 12 + 4 + 4);
  const auto summary = nlohmann::json::parse(text_of(io::read_file(folder / "run/summary.json")));
  CHECK(summary["test_accuracy_members"].size() == 3);
  Toy saved;
  io::load_safetensors(folder / "run/model.safetensors", saved);
  CHECK(run.task.evaluate(saved) == run.task.evaluate(run.network));
  CHECK(run.task.evaluate(saved).front().second == summary["test_accuracy_collapsed"].get<double>());
}

TEST_CASE("a signal at any step ends a run that goes on bit for bit") {
  const TemporaryFolder undisturbed;
  REQUIRE(Run().train(undisturbed / "run") == 0);
  for (int pass : {0, 5, 11, 12, 23, 24, 27, 28, 31}) {  // first and last iterations of epochs among them
    const TemporaryFolder folder;
    Run run;
    run.task.hook = [pass](int now, Toy&) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(folder / "run") == SIGINT);
    CHECK(run.trainer.progress().step == pass + 1);
    Run rest;
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(rest.trainer.progress().step == 32);
    CHECK(rest.trainer.progress().seconds > run.trainer.progress().seconds);
    CHECK(model_after(folder) == model_after(undisturbed));
  }
}

TEST_CASE("a signal ends an evaluation at once, and what was trained before is not trained again") {
  const TemporaryFolder undisturbed;
  REQUIRE(Run().train(undisturbed / "run") == 0);
  // Of epoch 1, of epoch 2, before release, of epochs 3 and 4, then of the members, of both collapsed networks.
  const int steps_until[] = {12, 24, 24, 28, 32, 32, 32, 32};
  for (int evaluation = 0; evaluation < std::ssize(steps_until); ++evaluation) {
    INFO("evaluation " << evaluation);
    const int steps = steps_until[evaluation];
    const TemporaryFolder folder;
    Run run;
    run.task.at_evaluation = [&](int now) {
      if (now == evaluation) raise(SIGTERM);
    };
    REQUIRE(run.train(folder / "run") == SIGTERM);
    CHECK(run.task.evaluation == evaluation + 1);
    CHECK(run.trainer.progress().step == steps);
    CHECK_FALSE(std::filesystem::exists(folder / "run/summary.json"));
    Run rest;
    rest.task.hook = [](int, Toy&) {};  // counts
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(rest.task.pass == 32 - steps);
    CHECK(rest.trainer.progress().seconds > run.trainer.progress().seconds);
    CHECK(rest.trainer.progress().history.size() == 4);
    CHECK(model_after(folder) == model_after(undisturbed));
  }
}

TEST_CASE("a signal before anything was trained leaves a run that can be resumed") {
  const TemporaryFolder undisturbed, folder;
  TrainOptions o = options;
  o.release_epoch = 0;
  REQUIRE(Run(o).train(undisturbed / "run") == 0);
  Run run(o);
  run.task.at_evaluation = [](int) { raise(SIGTERM); };
  REQUIRE(run.train(folder / "run") == SIGTERM);
  REQUIRE(Run(o).train(folder / "run", true) == 0);
  CHECK(model_after(folder) == model_after(undisturbed));
}

TEST_CASE("fewer epochs are scored where that is asked for, the last among them, and the weights are the same") {
  const TemporaryFolder each, third, interrupted;
  TrainOptions o = options;
  REQUIRE(Run(o).train(each / "run") == 0);
  o.eval_every = 3;
  Run run(o);
  run.task.at_evaluation = [](int) {};  // counts
  REQUIRE(run.train(third / "run") == 0);
  CHECK(run.task.evaluation ==
        2 + 1 + 3);  // of epochs, before release, at the end: members, and both collapsed networks
  CHECK(model_after(third) == model_after(each));
  for (const auto& record : run.trainer.progress().history)
    CHECK(record.test_metric.has_value() == (record.epoch >= 3));
  Run first(o);
  first.task.hook = [](int pass, Toy&) {
    if (pass == 15) raise(SIGINT);
  };
  REQUIRE(first.train(interrupted / "run") == SIGINT);
  Run rest(o);
  REQUIRE(rest.train(interrupted / "run", true) == 0);
  CHECK(rest.trainer.progress().history[1].test_metric == std::nullopt);
  CHECK(rest.trainer.progress().history[2].test_metric == run.trainer.progress().history[2].test_metric);
  CHECK(model_after(interrupted) == model_after(each));
}

TEST_CASE("a finished run goes on for more epochs as if it had been planned so") {
  const TemporaryFolder plain, extended;
  const auto described = [](std::int64_t epochs) { return nlohmann::json{{"model", "toy"}, {"epochs", epochs}}; };
  TrainOptions shorter = options, longer = options;
  shorter.epochs = 3, shorter.average = longer.average = std::nullopt;
  REQUIRE(Run(longer, described(4)).train(plain / "run") == 0);
  REQUIRE(Run(shorter, described(3)).train(extended / "run") == 0);
  CHECK(model_after(extended) != model_after(plain));
  Run rest(longer, described(4));
  REQUIRE(rest.train(extended / "run", true) == 0);
  CHECK(rest.trainer.progress().history.size() == 4);
  CHECK(model_after(extended) == model_after(plain));
  CHECK(contains(message_of<FileError>([&] { (void)Run(shorter, described(3)).train(extended / "run", true); }),
                 "epochs was 4, now 3"));
}

TEST_CASE("release after a number of iterations ends the epoch under way") {
  const TemporaryFolder folder;
  TrainOptions o = options;
  o.release_step = 17;
  Run run(o);
  REQUIRE(run.train(folder / "run") == 0);
  CHECK(run.trainer.progress().step == 12 + 5 + 4 + 4);
  CHECK(run.trainer.progress().history[1].phase == "base");
  CHECK(run.trainer.progress().history[2].phase == "late");
  CHECK(nlohmann::json::parse(text_of(io::read_file(folder / "run/summary.json")))["members"] == 3);
  o.release_step = 3 * 12;
  CHECK_NOTHROW(Run(o));
  o.release_step += 1;
  CHECK(contains(message_of<OptionError>([&] { Run never(o); }),
                 "release step 37 is not reached before the last of 4 epochs of 12 iterations"));
  o.members = 1;
  CHECK_NOTHROW(Run(o));
}

TEST_CASE("a signal with the step before release ends a run that goes on bit for bit") {
  TrainOptions o = options;
  for (const std::int64_t step : {17, 24}) {  // within an epoch, and at its end
    o.release_step = step;
    const TemporaryFolder undisturbed, interrupted;
    REQUIRE(Run(o).train(undisturbed / "run") == 0);
    Run run(o);
    run.task.hook = [step](int now, Toy&) {
      if (now == step - 1) raise(SIGINT);
    };
    REQUIRE(run.train(interrupted / "run") == SIGINT);
    Run rest(o);
    REQUIRE(rest.train(interrupted / "run", true) == 0);
    CHECK(rest.trainer.progress().history.size() == 4);
    CHECK(model_after(interrupted) == model_after(undisturbed));
  }
}

TEST_CASE("a run with Adam and clipped gradients goes on bit for bit, its step counts included") {
  TrainOptions o = options;
  o.optimizer = optim::AdamOptions{.learning_rate = 0.01, .clip = 0.5};
  const TemporaryFolder undisturbed;
  REQUIRE(Run(o).train(undisturbed / "run") == 0);
  for (int pass : {7, 26}) {
    const TemporaryFolder interrupted;
    Run run(o);
    run.task.hook = [pass](int now, Toy&) {
      if (now == pass) raise(SIGINT);
    };
    REQUIRE(run.train(interrupted / "run") == SIGINT);
    REQUIRE(Run(o).train(interrupted / "run", true) == 0);
    CHECK(model_after(interrupted) == model_after(undisturbed));
  }
}

TEST_CASE("training that diverges stops, and no checkpoint holds what is not finite") {
  const TemporaryFolder folder;
  TrainOptions o = options;
  o.checkpoint_minutes = 0;
  Run run(o);
  run.task.hook = [](int pass,
                     Toy& network) {  // as after a step that overflows: the loss of this pass is the first to show it
    if (pass == 14) network.hidden.weight.value().data()[0] = std::numeric_limits<float>::infinity();
  };
  const auto message = message_of<NonFinite>([&] { (void)run.train(folder / "run"); });
  CHECK(contains(message, "in epoch 2, iteration 3"));
  CHECK(contains(message, "lower the learning rate"));
  Run rest(o);
  CHECK(rest.train(folder / "run", true) == 0);
}

TEST_CASE("outputs that overflow in evaluation alone stop a run with the epoch and a cure") {
  const TemporaryFolder folder;
  Run run;
  run.task.hook = [](int pass, Toy& network) {  // finite, and of no effect on a training pass
    if (pass == 23) fill(network.bn.running_mean.value(), std::numeric_limits<float>::lowest());
  };
  const auto message = message_of<NonFinite>([&] { (void)run.train(folder / "run"); });
  CHECK(contains(message, "after epoch 2 the outputs for the test set are not finite"));
  CHECK(contains(message, "lower the learning rate"));
  CHECK(io::load_checkpoint(folder / "run/checkpoint.lpw").meta["progress"]["epoch"] == 1);
}

TEST_CASE("a checkpoint with weights that are not finite, or a negative variance, is refused by the tensor's name") {
  for (const auto& [value, name] :
       {std::pair{std::numeric_limits<float>::quiet_NaN(), "'buffers' holds nan at element 1"},
        {std::numeric_limits<float>::infinity(), "'buffers' holds inf at element 1"},
        {-1.f, "'bn.running_var' holds -1 at element 0"}}) {
    const TemporaryFolder folder;
    Run run;
    run.task.hook = [](int pass, Toy&) {
      if (pass == 5) raise(SIGTERM);
    };
    REQUIRE(run.train(folder / "run") == SIGTERM);
    const auto saved = io::load_checkpoint(folder / "run/checkpoint.lpw");
    io::Checkpoint spoilt{saved.meta, io::NamedTensors("checkpoint")};
    for (const auto& tensor : saved.tensors) {
      if (tensor.name != "buffers") {
        spoilt.tensors.add(tensor);
        continue;
      }
      auto buffers = saved.tensors.get<float>(tensor.name, tensor.shape);  // running_mean [3], running_var [3]
      buffers.data()[value < 0 ? 3 : 1] = value;
      spoilt.tensors.add(tensor.name, buffers);
    }
    io::save_checkpoint(folder / "run/checkpoint.lpw", spoilt);
    const auto message = message_of<FileError>([&] { (void)Run().train(folder / "run", true); });
    CHECK(contains(message, std::string("checkpoint.lpw: tensor ") + name));
  }
}

TEST_CASE("weights that overflow in the last step before a checkpoint are not saved") {
  const TemporaryFolder folder;
  TrainOptions o = options;
  o.checkpoint_minutes = 0;
  Run run(o);
  run.task.hook = [](int pass, Toy& network) {  // a running statistic has no part in the loss of a training pass
    if (pass == 14) network.bn.running_var.value().data()[0] = std::numeric_limits<float>::quiet_NaN();
  };
  CHECK(contains(message_of<NonFinite>([&] { (void)run.train(folder / "run"); }), "a weight became infinite or NaN"));
  CHECK(io::load_checkpoint(folder / "run/checkpoint.lpw").meta["progress"]["step"] == 14);
}

TEST_CASE("a checkpoint that stands where its run never is, is refused") {
  CHECK(refusal_of_progress([](auto&) {}).empty());
  for (const char* where : {"epoch", "iteration", "step"})
    CHECK(contains(refusal_of_progress([&](auto& meta) { meta["progress"][where] = -1; }),
                   "checkpoint.lpw: damaged: it stands at epoch"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["progress"]["epoch"] = 5; }), "epoch 5"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["progress"]["iteration"] = 13; }), "iteration 13"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["progress"]["history"].clear(); }), "damaged"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["progress"]["released"] = false; }),
                 "checkpoint.lpw: tensor"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["progress"].erase("epoch"); }),
                 "is not the checkpoint of a training run"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta = 3; }), "is not the checkpoint of a training run"));
  CHECK(contains(refusal_of_progress([](auto& meta) { meta["options"]["model"] = "other"; }),
                 "model was \"other\", now \"toy\""));
}

TEST_CASE("no count in a checkpoint is taken beyond what its run can reach") {
  const auto refused = [](const char* pointer, const nlohmann::json& value) {
    INFO(pointer << " = " << value.dump());
    const auto change = [&](auto& meta) { meta["progress"][nlohmann::json::json_pointer(pointer)] = value; };
    CHECK(contains(refusal_of_progress(change), "checkpoint.lpw: damaged: "));
  };
  for (const char* count : {"/epoch", "/iteration", "/step", "/base_steps", "/late_steps", "/sums/seen",
                            "/sums/correct", "/history/0/epoch"})
    for (const nlohmann::json& value :
         {nlohmann::json(INT64_MAX), nlohmann::json(INT64_MIN), nlohmann::json(UINT64_MAX), nlohmann::json(1e300),
          nlohmann::json(0.5), nlohmann::json(1000)})
      refused(count, value);
  for (const std::string work : {"/work", "/history/0/work"})
    for (const char* count : {"forward", "backward"})
      for (const nlohmann::json& value : {nlohmann::json(INT64_MAX), nlohmann::json(-1), nlohmann::json(UINT64_MAX),
                                          nlohmann::json(1e300), nlohmann::json(0.5)})
        refused((work + '/' + count).c_str(), value);
  refused("/history/0/phase", "one\ntwo");
  refused("/history/0/seconds", 1e308);
}

TEST_CASE("options that do not fit the task are refused before training") {
  TrainOptions o = options;
  o.members = 61;
  CHECK(message_of<OptionError>([&] { Run run(o); }) ==
        "members 61 are more than the 60 training samples, of which each needs its own");
  o.release_epoch = 4;  // never
  CHECK_NOTHROW(Run(o));
  o.epochs = 0;
  CHECK_THROWS_AS(Run(o), OptionError);
  TrainOptions dropout = options;
  dropout.serving = {.served = Served::dropout, .dropout_samples = 2};
  CHECK(message_of<OptionError>([&] { Run run(dropout); }) ==
        "`serve` dropout: the task scores no dropout samples (evaluate_dropout); serve another");
}

TEST_CASE("a file that cannot be written ends a run with a cure") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "run/checkpoint.lpw.tmp");
  Run run;
  const auto message = message_of<FileError>([&] { (void)run.train(folder / "run"); });
  CHECK(contains(message, "checkpoint.lpw: cannot create"));
  CHECK(contains(message, "; mend that and continue with `resume`"));
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
  Trainer<nn::WideResNet<float, Cpu>, WatchedTask> trainer(network, task, o, description);
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
struct CountingPart final : Part<Toy, HookedTask> {
  using Run = Part<Toy, HookedTask>::Run;
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
  Run whole;
  whole.trainer.add(std::make_unique<CountingPart>(counts));
  REQUIRE(whole.train(folder / "whole") == 0);
  CHECK(counts == CountingPart::Counts{.epochs = 4, .steps = 12 + 2 + 4 + 4, .ended = 4, .releases = 3, .offers = 1});
  CHECK(whole.trainer.progress().history[1].phase == "base+short");

  Run first;
  first.trainer.add(std::make_unique<CountingPart>(resumed));
  first.task.hook = [](int pass, Toy&) {
    if (pass == 15) raise(SIGTERM);
  };
  REQUIRE(first.train(folder / "run") == SIGTERM);
  Run rest;
  resumed = {};
  rest.trainer.add(std::make_unique<CountingPart>(resumed));
  REQUIRE(rest.train(folder / "run", true) == 0);
  CHECK(resumed.epochs == counts.epochs);
  CHECK(resumed.steps == counts.steps);
  CHECK(model_after(folder) == text_of(io::read_file(folder / "whole/model.safetensors")));
}

TEST_CASE("a run with additive weights goes on bit for bit, and its members in chunks are the same bits") {
  TrainOptions o = options;
  o.sigma = 0.1;
  const auto model_of = [](const TrainOptions& run_options) {
    const TemporaryFolder folder;
    REQUIRE(Run(run_options).train(folder / "run") == 0);
    return model_after(folder);
  };
  for (const char* late : {"additive", "batchnorm,additive:hidden.*"}) {
    CAPTURE(late);
    o.late = Selectors::parse(late);
    o.member_chunk = 2;
    const std::string undisturbed = model_of(o);
    for (int pass : {20, 24, 29, 37}) {  // before release, its first step, within an iteration, while averaging
      const TemporaryFolder folder;
      Run run(o);
      run.task.hook = [pass](int now, Toy&) {
        if (now == pass) raise(SIGINT);
      };
      REQUIRE(run.train(folder / "run") == SIGINT);
      Run rest(o);
      REQUIRE(rest.train(folder / "run", true) == 0);
      CHECK(model_after(folder) == undisturbed);
    }
  }
  o.late = Selectors::parse("additive");
  std::set<std::string> models;
  for (const std::int64_t chunk : {0, 1, 2, 3}) {
    o.member_chunk = chunk;
    models.insert(model_of(o));
  }
  CHECK(models.size() == 1);
}

TEST_CASE("late-phase weights that the network does not have are refused before training") {
  TrainOptions o = options;
  o.late = Selectors::parse("layer9.*");
  CHECK(contains(message_of<OptionError>([&] { Run never(o); }), "the network has no parameter 'layer9.*'"));
}
