// Runs that diverge or cannot write, and checkpoints that say what no run can: refused, and nothing unsound is kept.
#include <csignal>
#include <functional>
#include <limits>

#include "catch.hpp"
#include "train/hooked_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

namespace {

/// A run whose checkpoint says other than it should.
std::string refusal_of_progress(const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  HookedRun run;
  run.task.hook = [](int pass, Toy<Cpu>&) {
    if (pass == 26) raise(SIGTERM);
  };
  REQUIRE(run.train(folder / "run") == SIGTERM);
  auto checkpoint = io::load_checkpoint(folder / "run/checkpoint.lpw");
  change(checkpoint.meta);
  io::save_checkpoint(folder / "run/checkpoint.lpw", checkpoint);
  HookedRun again;
  return message_of<FileError>([&] { (void)again.train(folder / "run", true); });
}

}  // namespace

TEST_CASE("training that diverges stops, and no checkpoint holds what is not finite") {
  const TemporaryFolder folder;
  TrainOptions o = hooked_options;
  o.checkpoint_minutes = 0;
  HookedRun run(o);
  run.task.hook =
      [](int pass,
         Toy<Cpu>& network) {  // as after a step that overflows: the loss of this pass is the first to show it
        if (pass == 14) network.hidden.weight.value().data()[0] = std::numeric_limits<float>::infinity();
      };
  const auto message = message_of<NonFinite>([&] { (void)run.train(folder / "run"); });
  CHECK(contains(message, "in epoch 2, iteration 3"));
  CHECK(contains(message, "lower the learning rate"));
  HookedRun rest(o);
  CHECK(rest.train(folder / "run", true) == 0);
}

TEST_CASE("outputs that overflow in evaluation alone stop a run with the epoch and a cure") {
  const TemporaryFolder folder;
  HookedRun run;
  run.task.hook = [](int pass, Toy<Cpu>& network) {  // finite, and of no effect on a training pass
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
    HookedRun run;
    run.task.hook = [](int pass, Toy<Cpu>&) {
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
    const auto message = message_of<FileError>([&] { (void)HookedRun().train(folder / "run", true); });
    CHECK(contains(message, std::string("checkpoint.lpw: tensor ") + name));
  }
}

TEST_CASE("weights that overflow in the last step before a checkpoint are not saved") {
  const TemporaryFolder folder;
  TrainOptions o = hooked_options;
  o.checkpoint_minutes = 0;
  HookedRun run(o);
  run.task.hook = [](int pass, Toy<Cpu>& network) {  // a running statistic has no part in the loss of a training pass
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

TEST_CASE("a file that cannot be written ends a run with a cure") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "run/checkpoint.lpw.tmp");
  HookedRun run;
  const auto message = message_of<FileError>([&] { (void)run.train(folder / "run"); });
  CHECK(contains(message, "checkpoint.lpw: cannot create"));
  CHECK(contains(message, "; mend that and continue with `resume`"));
}
