// The training loop on the GPU: the CPU's run, by replayed graphs, and resumed bit for bit.
#include <lpw/train/trainer.hpp>

#include <csignal>

#include <lpw/train/image_classification.hpp>
#include <lpw/train/parts/event_log.hpp>

#include "cuda/support.hpp"
#include "support/files.hpp"
#include "train/events.hpp"
#include "train/support.hpp"
#include "train/toy.hpp"

#include <lpw/data/device_loader.hpp>

using namespace lpw;
using namespace lpw::test;

namespace {

/// Counts the passes that the trainer issues, and ends the run in one of them.
template <class D>
struct CountingClassification : train::ImageClassification<Toy<D>> {
  using Base = train::ImageClassification<Toy<D>>;
  CountingClassification() : Base(dataset(), {.batch = 5}) {}
  void accumulate_gradient(Toy<D>& network, Tape& tape, const typename Base::Batch& batch,
                           train::StepOutputs<float, D>& outputs) {
    if (passes++ == interrupted_pass) raise(SIGINT);
    if constexpr (std::is_same_v<D, Cuda>) {  // so that each is converted once a step, were it in 16 bits
      auto* const unchanged = UnchangedWeights<float, Cuda>::current();
      nn::for_each_parameter(network, [&](const std::string&, const auto& parameter) {
        unchanged_weights =
            unchanged_weights && unchanged && unchanged->template copy_of<bfloat16>(parameter.value(), 1);
      });
    }
    Base::accumulate_gradient(network, tape, batch, outputs);
  }
  int passes = 0, interrupted_pass = -1;
  bool unchanged_weights = true;
};

const train::TrainOptions image_run_options{.epochs = 5,
                                            .members = 3,
                                            .release_epoch = 1,
                                            .optimizer = optim::SgdOptions{.learning_rate = 0.05},
                                            .average = optim::SwaOptions(),
                                            .average_plan = {.start = 2}};

template <class D>
struct ImageRun {
  explicit ImageRun(const train::TrainOptions& o = image_run_options) : trainer(network, task, o, {{"model", "toy"}}) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const train::RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  [[nodiscard]] std::vector<double> losses() const {
    std::vector<double> result;
    for (const auto& record : trainer.progress().history) result.push_back(record.train_loss);
    return result;
  }
  Toy<D> network;
  CountingClassification<D> task;
  RecordedDisplay display;
  train::Trainer<Toy<D>, CountingClassification<D>> trainer;
};

/// Trains on both devices; each epoch's losses differ by less than `most`.
void train_alike(ImageRun<Cpu>& cpu, ImageRun<Cuda>& gpu, double most) {
  const TemporaryFolder cpu_folder, gpu_folder;
  REQUIRE(cpu.train(cpu_folder / "run") == 0);
  REQUIRE(gpu.train(gpu_folder / "run") == 0);
  const auto expected = cpu.losses(), found = gpu.losses();
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(found[i] - expected[i]) < most);
}

[[nodiscard]] std::string saved_model(const TemporaryFolder& folder) {
  return text_of(io::read_file(folder / "run/model.safetensors"));
}

}  // namespace

TEST_CASE("the trainer classifies images on the GPU as on the CPU, by replayed graphs", "[gpu]") {
  for (const std::int64_t chunk : {0, 2}) {
    train::TrainOptions o = image_run_options;
    o.member_chunk = chunk;
    ImageRun<Cpu> cpu(o);
    ImageRun<Cuda> gpu(o);
    // Means over an epoch of some ten steps, each of sums in another order. (The average of weights is made between
    // replays.)
    train_alike(cpu, gpu, 1e-4);
    const auto scored = gpu.task.evaluate(gpu.network), score = cpu.task.evaluate(cpu.network);
    CHECK(std::abs(scored[1].second - score[1].second) < 1e-4);  // the mean of the likelihoods of the averaged network
    CHECK(cpu.task.passes == 12 + 4 * 4 * (chunk > 0 ? 2 : 1));
    CHECK(gpu.task.unchanged_weights);
    CHECK(UnchangedWeights<float, Cuda>::current() == nullptr);
    // Two buffers of minibatches before release and two after, each issued once and captured once.
    CHECK(gpu.task.passes == 4 + 4 * (chunk > 0 ? 2 : 1));
  }
}

TEST_CASE("members that are released again on the GPU train as on the CPU, whatever was recorded before", "[gpu]") {
  for (const auto momentum : {ReleaseMomentum::carry, ReleaseMomentum::zero})
    for (const char* late : {"batchnorm,head", "batchnorm,rank1"}) {
      CAPTURE(late, momentum == ReleaseMomentum::zero);
      const train::TrainOptions o{.epochs = 9,
                                  .members = 3,
                                  .release_epoch = 1,
                                  .late = Selectors::parse(late),
                                  .release_momentum = momentum,
                                  .release_every = 1,
                                  .optimizer = optim::AdamOptions{.learning_rate = 0.01}};
      ImageRun<Cpu> cpu(o);
      ImageRun<Cuda> gpu(o);
      // As above. Adam's first steps are of the learning rate's size whatever the gradient's, so that a rounding of one
      // near zero may turn a step; without bias correction all are three times as long, which is 0.1 in the loss.
      train_alike(cpu, gpu, 1e-2);
    }
}

TEST_CASE("steps inside SAM and coupled members on the GPU train as on the CPU, replayed beside plain steps", "[gpu]") {
  train::TrainOptions o = image_run_options;
  o.average = {};
  o.coupling = Elastic{};
  o.coupling_every = 3;
  o.sam = {.rho = 0.1};
  o.sam_start = 3;
  ImageRun<Cpu> cpu(o);
  ImageRun<Cuda> gpu(o);
  train_alike(cpu, gpu, 1e-4);  // as above
  CHECK(cpu.task.passes == 12 + 2 * 4 + 2 * 4 * 2);
  CHECK(gpu.task.unchanged_weights);
  // Each buffer of minibatches: issued and captured before release, after it, and with two passes.
  CHECK(gpu.task.passes == 4 + 4 + 4 * 2);
}

TEST_CASE("an image classifier's run on the GPU that a signal ended goes on bit for bit", "[gpu]") {
  const TemporaryFolder undisturbed;
  ImageRun<Cuda> whole;
  REQUIRE(whole.train(undisturbed / "run") == 0);
  for (const int pass : {0, 3, 4, 6}) {  // issued and captured, before release and after
    const TemporaryFolder folder;
    ImageRun<Cuda> run;
    run.task.interrupted_pass = pass;
    REQUIRE(run.train(folder / "run") == SIGINT);
    ImageRun<Cuda> rest;
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(saved_model(folder) == saved_model(undisturbed));
    CHECK(rest.losses() == whole.losses());
  }
}

TEST_CASE("event files of a run on the GPU hold every step's loss, of one that a signal ended too", "[gpu]") {
  const TemporaryFolder folder;
  const auto log = [](ImageRun<Cuda>& run, const std::filesystem::path& path) {
    std::filesystem::create_directories(path);
    run.trainer.add(std::make_unique<train::EventLog<Toy<Cuda>, CountingClassification<Cuda>>>(path));
  };
  const auto losses_in = [](const std::filesystem::path& path) { return events_in(path).scalars.at("step/loss"); };
  ImageRun<Cuda> whole;
  log(whole, folder / "whole");
  REQUIRE(whole.train(folder / "whole") == 0);
  const auto expected = losses_in(folder / "whole");
  REQUIRE(expected.size() == 12 + 4 * 4);
  for (const int pass : {1, 3, 6}) {
    CAPTURE(pass);
    const auto path = folder / to_text(pass);
    ImageRun<Cuda> run, rest;
    log(run, path);
    run.task.interrupted_pass = pass;
    REQUIRE(run.train(path) == SIGINT);
    log(rest, path);
    REQUIRE(rest.train(path, true) == 0);
    CHECK(losses_in(path) == expected);
  }
}

TEST_CASE("averages over steps and snapshots beside replayed steps are the CPU's, and go on bit for bit", "[gpu]") {
  train::TrainOptions o = image_run_options;
  o.schedule = o.late_schedule = optim::parse_schedule("iterations:cosine-cycles:7", 0.05, 5);
  o.average = optim::EmaOptions{0.9, 0.7};
  o.average_plan = {.start = 0, .every = 2, .period = optim::AveragePlan::Period::steps};
  o.snapshots = 3;
  const TemporaryFolder of_cpu, undisturbed;
  REQUIRE(ImageRun<Cpu>(o).train(of_cpu / "run") == 0);
  ImageRun<Cuda> whole(o);
  REQUIRE(whole.train(undisturbed / "run") == 0);
  CHECK(whole.task.passes == 4 + 4);  // as often as without: updates are issued beside replays
  const auto summary_of = [](const TemporaryFolder& folder) {
    return nlohmann::json::parse(text_of(io::read_file(folder / "run/summary.json")));
  };
  const auto expected = summary_of(of_cpu), found = summary_of(undisturbed);
  for (const char* score : {"test_nll_collapsed", "test_nll_ensemble", "test_nll_snapshots"})  // means, as above
    CHECK(std::abs(found[score].get<double>() - expected[score].get<double>()) < 1e-4);
  for (const int pass : {3, 6}) {
    const TemporaryFolder folder;
    ImageRun<Cuda> run(o);
    run.task.interrupted_pass = pass;
    REQUIRE(run.train(folder / "run") == SIGINT);
    REQUIRE(ImageRun<Cuda>(o).train(folder / "run", true) == 0);
    CHECK(saved_model(folder) == saved_model(undisturbed));
    for (const char* step : {"14", "21", "28"}) {
      const auto file = to_text("run/snapshots/snapshot-", step, ".safetensors");
      CHECK(text_of(io::read_file(folder / file)) == text_of(io::read_file(undisturbed / file)));
    }
  }
}

TEST_CASE("a run on the GPU that diverges says where, as on the CPU", "[gpu]") {
  train::TrainOptions o = image_run_options;
  o.optimizer = optim::SgdOptions{.learning_rate = 1e15};
  const TemporaryFolder cpu_folder, gpu_folder;
  const auto where = [](auto&& run, const TemporaryFolder& folder) {
    const auto message = message_of<NonFinite>([&] { static_cast<void>(run.train(folder / "run")); });
    return message.substr(std::min(message.find(" in epoch "), message.size()));
  };
  const auto expected = where(ImageRun<Cpu>(o), cpu_folder);
  CHECK_THAT(expected, Catch::Matchers::StartsWith(" in epoch 1, iteration "));
  CHECK(where(ImageRun<Cuda>(o), gpu_folder) == expected);
  CHECK_FALSE(train::RunFolder(gpu_folder / "run", true).has_checkpoint());
}

namespace {

/// The toy's images, twelve of which are held out.
const data::Dataset& parted() {
  static const data::Dataset set = [] {
    data::Dataset whole = dataset();
    data::hold_out(whole, 12);
    return whole;
  }();
  return set;
}

/// Trains on a device, and gives what the network that is left scores on the held-out images.
template <class D>
train::HeldOutScore served_on(const train::ServingOptions& serving) {
  using Task = train::ImageClassification<Toy<D>>;
  const TemporaryFolder folder;
  Toy<D> network;
  Task task(parted(), {.batch = 4});
  train::TrainOptions o = image_run_options;
  o.sigma = 0.2, o.average = {}, o.serving = serving;
  RecordedDisplay display;
  train::Trainer<Toy<D>, Task> trainer(network, task, o, {{"model", "toy"}});
  REQUIRE(trainer.run(train::RunFolder(folder / "run", false), display.get()) == 0);
  return task.held_out_scores(network).front();
}

}  // namespace

TEST_CASE("what is chosen by held-out images on the GPU is what the CPU chooses", "[gpu]") {
  using train::Averaging;
  for (const train::ServingOptions& o : std::vector<train::ServingOptions>{
           {.collapse = Averaging::greedy}, {.collapse = Averaging::fitted}, {.best = true}}) {
    const auto cpu = served_on<Cpu>(o), gpu = served_on<Cuda>(o);
    // Sums in another order, over some thirty steps; coefficients move by what the losses do.
    CHECK(std::abs(cpu.loss - gpu.loss) < 1e-3);
    CHECK(cpu.metric == gpu.metric);
  }
}
