// A byte-level LSTM with released members on both devices: the task's windows and scores, and whole runs of the
// trainer.
#include "cuda/support.hpp"

#include <csignal>

#include <lpw/data/device_text.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/train/language_modelling.hpp>
#include <lpw/train/trainer.hpp>

#include "data/words.hpp"
#include "support/files.hpp"
#include "train/support.hpp"

using namespace lpw;
using namespace lpw::test;

namespace {

constexpr std::int64_t text_members = 3, text_batch = 2, text_window = 10;

[[nodiscard]] const data::TextParts& short_texts() {
  static const data::TextParts parts{text_of_words(300, 1), text_of_words(150, 2), text_of_words(100, 3)};
  return parts;
}

template <class T, class D>
using TextNetwork = nn::LanguageModel<T, D>;
template <class T, class D>
using TextTask = train::LanguageModelling<TextNetwork<T, D>>;

template <class T, class D>
[[nodiscard]] TextNetwork<T, D> text_network() {
  return {{.hidden = 8, .layers = 2, .embedding = 5, .dropout = 0.1}, Philox(1)};
}
template <class T, class D>
[[nodiscard]] TextTask<T, D> text_task() {
  return {short_texts(), {.batch = text_batch, .pre_batch = text_members * text_batch, .window = text_window}};
}

/// Windows of one epoch after another, and the losses they leave.
template <class T, class D>
struct TextTraining {
  TextNetwork<T, D> net = text_network<T, D>();
  TextTask<T, D> windows = text_task<T, D>();
  optim::Adam<float, D> optimizer{net, {.learning_rate = 0.01, .clip = 1}};
  std::vector<double> losses;
  std::uint32_t step = 0;

  void release_members(const Selectors& late) {
    release(net, optimizer, {.members = text_members, .late = late, .sigma = 0.1, .random = Philox(3)});
  }
  /// The first windows of an epoch, from states of zeros.
  void iterate(int count, std::int64_t chunk) {
    const std::int64_t k = nn::members(net);
    for (const auto& bytes : windows.epoch(0, k, 0)) {
      if (count-- == 0) break;
      train::StepOutputs<float, D> outputs(k);
      for (const MemberRange range : member_chunks(k, chunk)) {
        Tape tape({.members = range, .random = Philox(1, Stream::dropout, step)});
        windows.accumulate_gradient(net, tape, bytes, outputs);
      }
      optimizer.step();
      ++step;
      for (const double loss : values_of(to_host(outputs.losses))) losses.push_back(loss);
    }
  }
  /// Bits per character of all members and their ensemble, of both texts.
  [[nodiscard]] std::vector<double> scores() {
    const train::MemberScores found = windows.evaluate_members(net);
    std::vector<double> result;
    for (const auto& list : found.members)
      for (const auto& [name, value] : list) result.push_back(value);
    for (const auto& [name, value] : found.ensemble) result.push_back(value);
    return result;
  }
};

// ---- runs of the trainer

/// Counts its passes, and sends a signal in one of them. Of most steps a replayed graph does the pass.
template <class D>
struct CountingTask : TextTask<float, D> {
  CountingTask() : TextTask<float, D>(text_task<float, D>()) {}
  void accumulate_gradient(TextNetwork<float, D>& net, Tape& tape, const data::TextBatch<D>& bytes,
                           train::StepOutputs<float, D>& outputs) {
    if (passes++ == interrupted_pass) raise(SIGINT);
    TextTask<float, D>::accumulate_gradient(net, tape, bytes, outputs);
  }
  int passes = 0, interrupted_pass = -1;
};

const train::TrainOptions text_run_options{.epochs = 4,
                                           .members = text_members,
                                           .release_epoch = 2,
                                           .late = Group::rank_one | Group::head,
                                           .optimizer = optim::AdamOptions{.learning_rate = 0.01, .clip = 1},
                                           .average = optim::SwaOptions(),
                                           .average_plan = {.start = 3}};
constexpr std::int64_t epoch_windows = 5;  // 300 bytes / 6 streams: 50, of which 49 are predicted

template <class D>
struct TextRun {
  explicit TextRun(const train::TrainOptions& o = text_run_options) : trainer(net, counting, o, {{"model", "toy"}}) {}
  int train(const std::filesystem::path& path, bool resume = false) {
    const train::RunFolder folder(path, resume);
    if (folder.has_checkpoint()) trainer.load(folder.checkpoint());
    return trainer.run(folder, display.get());
  }
  [[nodiscard]] std::vector<double> history() const {
    std::vector<double> result;
    for (const auto& record : trainer.progress().history)
      result.insert(result.end(), {record.train_loss, record.test_metric.value()});
    return result;
  }
  TextNetwork<float, D> net = text_network<float, D>();
  CountingTask<D> counting;
  RecordedDisplay display;
  train::Trainer<TextNetwork<float, D>, CountingTask<D>> trainer;
};

[[nodiscard]] std::string model_of(const TemporaryFolder& folder) {
  return text_of(io::read_file(folder / "run/model.safetensors"));
}

}  // namespace

TEMPLATE_TEST_CASE("a language model's members are trained, scored and collapsed on the GPU as on the CPU", "[gpu]",
                   float, bfloat16) {
  const char* const late = GENERATE("rank1,head", "additive", "rank1,additive:embedding.*,additive:*.bias*", "all");
  INFO(late);
  TextTraining<TestType, Cpu> cpu;
  TextTraining<TestType, Cuda> gpu;
  const auto both = [&](auto action) {
    action(cpu);
    action(gpu);
  };
  // Sums in another order on either device: weights that differ by 1e-6 of them, as after some ten roundings, move the
  // losses and scores, which are means over many bytes, by up to 2e-6 in float and 7e-5 in bfloat16, where roundings
  // then fall the other way. In bfloat16 the CPU's head adds its bias before the sum is rounded, the GPU's afterwards,
  // which is up to 2^-8 of a logit: it moved scores of 7 by 2.5e-3.
  const double tolerance = std::is_same_v<TestType, float> ? 2e-5 : 6e-3;
  both([](auto& t) { t.iterate(3, 0); });
  both([late](auto& t) { t.release_members(Selectors::parse(late)); });
  both([](auto& t) { t.iterate(3, 0); });
  both([](auto& t) { t.iterate(2, 2); });
  CHECK(cpu.losses.front() - cpu.losses.back() > 0.1);
  CHECK(largest_difference(gpu.losses, cpu.losses) < tolerance);
  CHECK(largest_difference(gpu.scores(), cpu.scores()) < tolerance);
  both([](auto& t) { collapse(t.net); });
  CHECK(largest_difference(gpu.scores(), cpu.scores()) < tolerance);
}

TEST_CASE("the trainer takes a language model on the GPU the CPU's way, by replayed graphs", "[gpu]") {
  for (const auto& [late, chunk] : {std::pair("rank1,head", 0), std::pair("rank1,head", 2), std::pair("additive", 2)}) {
    INFO(late << " chunk " << chunk);
    train::TrainOptions o = text_run_options;
    o.late = Selectors::parse(late);
    o.member_chunk = chunk;
    const TemporaryFolder cpu_folder, gpu_folder;
    TextRun<Cpu> cpu(o);
    TextRun<Cuda> gpu(o);
    REQUIRE(cpu.train(cpu_folder / "run") == 0);
    REQUIRE(gpu.train(gpu_folder / "run") == 0);
    // Means over an epoch's bytes and over a text's, as above.
    CHECK(largest_difference(gpu.history(), cpu.history()) < 2e-5);
    CHECK(std::abs(gpu.counting.evaluate(gpu.net).front().second - cpu.counting.evaluate(cpu.net).front().second) <
          2e-5);
    CHECK(cpu.counting.passes == 2 * epoch_windows * (chunk > 0 ? 3 : 2));
    // Full and last windows before and after release, each issued once and captured once.
    CHECK(gpu.counting.passes == 2 * (chunk > 0 ? 6 : 4));
  }
}

TEST_CASE("two passes of a step inside SAM begin with the same carried states on the GPU, issued or replayed",
          "[gpu]") {
  train::TrainOptions o = text_run_options;
  o.optimizer = optim::SgdOptions{.learning_rate = 0.1};
  o.average = std::nullopt;
  o.epochs = 2;
  o.release_epoch = 1;
  o.sam = {.rho = 0.1};
  const TemporaryFolder cpu_folder, gpu_folder;
  TextRun<Cpu> cpu(o);
  TextRun<Cuda> gpu(o);
  REQUIRE(cpu.train(cpu_folder / "run") == 0);
  REQUIRE(gpu.train(gpu_folder / "run") == 0);
  CHECK(largest_difference(gpu.history(), cpu.history()) < 2e-5);  // as above
  CHECK(cpu.counting.passes == 2 * epoch_windows * 2);
  // Before and after release full windows are issued once and captured once, and the epoch's last is issued: steps of
  // two passes each.
  CHECK(gpu.counting.passes == 2 * 3 * 2);
}

TEST_CASE("a run on the GPU that a signal ended goes on bit for bit, states and all", "[gpu]") {
  train::TrainOptions o = text_run_options;
  o.late = Selectors::parse(GENERATE("rank1,head", "additive"));
  o.epochs = 2;
  o.release_epoch = o.average_plan.start = 1;
  const TemporaryFolder undisturbed;
  REQUIRE(TextRun<Cuda>(o).train(undisturbed / "run") == 0);
  // The first captured, the one of the epoch's last window, the members' first, and it captured: the latter two are
  // what late-phase weights are about. The emulator, which is slow, has every other.
  for (int pass = o.late == Selectors::parse("additive") ? 3 : 1; pass <= 4; pass += emulated ? 2 : 1) {
    INFO("pass " << pass);
    const TemporaryFolder folder;
    TextRun<Cuda> run(o);
    run.counting.interrupted_pass = pass;
    REQUIRE(run.train(folder / "run") == SIGINT);
    TextRun<Cuda> rest(o);
    REQUIRE(rest.train(folder / "run", true) == 0);
    CHECK(model_of(folder) == model_of(undisturbed));
  }
}
