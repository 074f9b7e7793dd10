// Snapshots: what is kept, what goes, whose files are touched, and the ensemble that they make.
#include <lpw/io/snapshots.hpp>

#include <fstream>
#include <set>

#include <lpw/late_phase/predict.hpp>
#include <lpw/metrics/evaluation.hpp>

#include "catch.hpp"
#include "support/files.hpp"
#include "support/fuzz.hpp"
#include "support/networks.hpp"

using namespace lpw::test;

using lpw::io::Snapshots;
using Steps = std::vector<std::int64_t>;

namespace {

/// A network that is another for every step.
SmallNet<double> network_at(std::int64_t step) {
  SmallNet<double> network;
  randomize(network, static_cast<std::uint64_t>(step));
  return network;
}

void add_snapshot(Snapshots& snapshots, std::int64_t step) {
  auto network = network_at(step);
  snapshots.add(network, step);
}

std::set<std::string> files_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  lpw::io::write_file_atomically(path, text);
}

}  // namespace

TEST_CASE("snapshots: the newest are kept, and come back bit for bit, in another process too", "[io]") {
  const TemporaryFolder folder;
  Snapshots snapshots(folder / "snapshots", 3);
  CHECK(snapshots.steps().empty());
  CHECK_FALSE(std::filesystem::exists(folder / "snapshots"));
  for (const std::int64_t step : {0, 20, 40, 60, 80}) {
    add_snapshot(snapshots, step);
    CHECK(snapshots.steps().size() == static_cast<std::size_t>(std::min<std::int64_t>(step / 20 + 1, 3)));
    CHECK(snapshots.steps().back() == step);
  }
  const std::set<std::string> expected{"snapshots.json", "snapshot-40.safetensors", "snapshot-60.safetensors",
                                       "snapshot-80.safetensors"};
  CHECK(files_in(folder / "snapshots") == expected);

  const Snapshots again(folder / "snapshots", 3);
  CHECK(again.steps() == Steps{40, 60, 80});
  auto networks = again.networks(SmallNet<double>());
  REQUIRE(networks.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    auto original = network_at(again.steps()[i]);
    CHECK(state_of(networks[i]) == state_of(original));
  }
  CHECK(again.networks(SmallNet<double>(), 79).size() == 2);
  CHECK(again.networks(SmallNet<double>(), 39).empty());
  Snapshots fewer(folder / "snapshots", 2);  // the next one makes room
  add_snapshot(fewer, 100);
  CHECK(fewer.steps() == Steps{80, 100});
  CHECK(files_in(folder / "snapshots").size() == 3);
}

TEST_CASE("snapshots: as an ensemble they predict the mean of what each predicts", "[io]") {
  const TemporaryFolder folder;
  Snapshots snapshots(folder.path(), 4);
  for (const std::int64_t step : {5, 6, 7}) add_snapshot(snapshots, step);
  auto networks = snapshots.networks(SmallNet<double>());
  const Minibatches<double> test(1, 6, 3);
  const auto all = lpw::predict_networks(networks, test.images);
  const auto ensemble = lpw::ensemble_of(all);
  REQUIRE(all.shape() == Shape{3, 6, 3});
  std::vector<double> mean(18, 0.0);
  for (std::int64_t i = 0; i < 3; ++i) {
    auto network = network_at(snapshots.steps()[static_cast<std::size_t>(i)]);
    const auto single = lpw::predict_members(network, test.images);
    CHECK(same_bits(all.rows(i, 1), single));
    for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += single.data()[j] / 3;
  }
  CHECK(largest_difference(ensemble, mean) <= 1e-15);  // probabilities, of three roundings
  lpw::metrics::Evaluator evaluator;
  evaluator.add(ensemble, test.labels.reshaped({6}));
  CHECK(evaluator.result().count == 6);
  std::vector<SmallNet<double>> none;
  CHECK(message_of<lpw::Error>([&] { (void)lpw::predict_networks(none, test.images); }) ==
        "predict_networks: there are no networks to predict with");
}

TEST_CASE("snapshots: a run that goes on from an older checkpoint replaces what comes after it", "[io]") {
  const TemporaryFolder folder;
  Snapshots snapshots(folder.path(), 3);
  for (const std::int64_t step : {10, 20, 30}) add_snapshot(snapshots, step);
  Snapshots resumed(folder.path(), 3);
  add_snapshot(resumed, 20);  // once more
  CHECK(resumed.steps() == Steps{10, 20});
  CHECK_FALSE(std::filesystem::exists(resumed.file(30)));
  auto network = SmallNet<double>(), original = network_at(20);
  resumed.load(20, network);
  CHECK(state_of(network) == state_of(original));
  for (const std::int64_t step : {30, 40}) add_snapshot(resumed, step);
  resumed.discard_after(35);
  CHECK(resumed.steps() == Steps{20, 30});
  CHECK(files_in(folder.path()) ==
        std::set<std::string>{"snapshots.json", "snapshot-20.safetensors", "snapshot-30.safetensors"});
  resumed.discard_after(30);
  CHECK(resumed.steps() == Steps{20, 30});
}

TEST_CASE("snapshots: files of others stay, and are not written over", "[io]") {
  const TemporaryFolder folder;
  write_text(folder / "snapshot-7.safetensors", "someone else's");
  write_text(folder / "snapshot-x.safetensors", "notes");
  write_text(folder / "model.safetensors", "a model");
  Snapshots snapshots(folder.path(), 1);
  add_snapshot(snapshots, 6);
  CHECK(message_of<lpw::FileError>([&] { add_snapshot(snapshots, 7); }) ==
        (folder / "snapshot-7.safetensors").string() + ": is none of the snapshots that " +
            (folder / "snapshots.json").string() + " lists; move it elsewhere");
  add_snapshot(snapshots, 8);
  snapshots.discard_after(0);
  CHECK(snapshots.steps().empty());
  CHECK(files_in(folder.path()) == std::set<std::string>{"model.safetensors", "snapshot-7.safetensors",
                                                         "snapshot-x.safetensors", "snapshots.json"});
  CHECK(text_of(lpw::io::read_file(folder / "snapshot-7.safetensors")) == "someone else's");
}

TEST_CASE("snapshots: what a killed process left half done is finished by the next", "[io]") {
  const TemporaryFolder folder;
  const auto kill_between = [&](const char* index) { write_text(folder / "snapshots.json", index); };
  Snapshots first(folder.path(), 2);
  for (const std::int64_t step : {1, 2}) add_snapshot(first, step);
  SECTION("killed after a snapshot was written, before it counted") {
    auto network = network_at(3);
    lpw::io::save_safetensors(folder / "snapshot-3.safetensors", network);
    kill_between(R"({"snapshots": [1, 2], "leaving": [3]})");
    Snapshots next(folder.path(), 2);
    CHECK(next.steps() == Steps{1, 2});
    add_snapshot(next, 3);
    CHECK(next.steps() == Steps{2, 3});
    CHECK(Snapshots(folder.path(), 2).steps() == Steps{2, 3});
  }
  SECTION("killed before the oldest was removed") {
    kill_between(R"({"snapshots": [2], "leaving": [1]})");
    Snapshots next(folder.path(), 2);
    CHECK(next.steps() == Steps{2});
    add_snapshot(next, 3);
    CHECK(next.steps() == Steps{2, 3});
  }
  CHECK_FALSE(std::filesystem::exists(folder / "snapshot-1.safetensors"));
  CHECK(std::filesystem::exists(folder / "snapshot-3.safetensors"));
}

TEST_CASE("snapshots: a disk that fails leaves those of before", "[io]") {
  const TemporaryFolder folder;
  Snapshots snapshots(folder.path(), 1);
  add_snapshot(snapshots, 1);
  std::filesystem::create_directory(folder / "snapshot-2.safetensors.tmp");  // in the way of the file
  CHECK_THROWS_AS(add_snapshot(snapshots, 2), lpw::FileError);
  CHECK(snapshots.steps() == Steps{1});
  CHECK(Snapshots(folder.path(), 1).steps() == Steps{1});
  auto network = SmallNet<double>();
  CHECK_NOTHROW(Snapshots(folder.path(), 1).load(1, network));
  std::filesystem::remove(folder / "snapshot-2.safetensors.tmp");
  add_snapshot(snapshots, 2);
  CHECK(snapshots.steps() == Steps{2});
}

TEST_CASE("snapshots: what is damaged or cannot be is refused by name", "[io]") {
  const TemporaryFolder folder;
  const std::string index = (folder / "snapshots.json").string();
  CHECK(message_of<lpw::OptionError>([&] { Snapshots(folder.path(), 0); }) ==
        "snapshots: at most 0; expected at least 1");
  const auto refusal = [&](std::string_view text) {
    write_text(index, text);
    return message_of<lpw::FileError>([&] { Snapshots(folder.path(), 3); });
  };
  for (const std::string text : {"", "[]", "{", "{} x"})
    CHECK(refusal(text).starts_with(index + ": damaged: its header"));
  for (const std::string text : {"{}", R"({"snapshots": 3, "leaving": []})", R"({"snapshots": [-1], "leaving": []})",
                                 R"({"snapshots": [1.5], "leaving": []})", R"({"snapshots": ["../x"], "leaving": []})",
                                 R"({"snapshots": [18446744073709551615], "leaving": []})"})
    CHECK(refusal(text) == index + ": damaged: its snapshots are not a list of steps");
  CHECK(refusal(R"({"snapshots": []})") == index + ": damaged: its leaving are not a list of steps");
  for (const std::string text : {R"({"snapshots": [2, 1], "leaving": []})", R"({"snapshots": [2, 2], "leaving": []})"})
    CHECK(refusal(text) == index + ": damaged: the steps of its snapshots do not ascend");
  std::filesystem::remove(index);

  Snapshots snapshots(folder.path(), 3);
  auto network = SmallNet<double>();
  CHECK(message_of<lpw::OptionError>([&] { snapshots.add(network, -1); }) == "snapshots: step -1; expected at least 0");
  auto released = SmallNet<double>();
  lpw::release(released, {.members = 2});
  CHECK(message_of<lpw::OptionError>([&] { snapshots.add(released, 1); }) ==
        "snapshots: the network is released into 2 members; add the collapsed one");
  lpw::nn::set_statistics_stale(network, true);
  CHECK_THROWS_AS(snapshots.add(network, 1), lpw::Error);
  CHECK(snapshots.steps().empty());
  add_snapshot(snapshots, 1);
  std::filesystem::resize_file(snapshots.file(1), 40);
  CHECK(message_of<lpw::FileError>([&] {
          (void)snapshots.networks(SmallNet<double>());
        }).starts_with(snapshots.file(1).string() + ": truncated"));
  std::filesystem::remove(snapshots.file(1));
  CHECK(message_of<lpw::FileError>([&] {
          snapshots.load(1, network);
        }).starts_with(snapshots.file(1).string() + ": cannot open"));
}

TEST_CASE("snapshots: a damaged index is read whole or refused by its name", "[io]") {
  const TemporaryFolder folder;
  const std::string index = (folder / "snapshots.json").string();
  Fuzz random(17);
  constexpr std::string_view pieces[] = {"\"snapshots\":", "\"leaving\":", "[", "]", "-1", "1e400", "null", "{}", "7,"};
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(2000); left > 0; --left) {
    std::ofstream(index, std::ios::binary) << random.damaged(R"({"snapshots":[1,20,300],"leaving":[4]})", pieces);
    try {
      const Snapshots snapshots(folder.path(), 3);
      const auto& steps = snapshots.steps();
      CHECK(std::is_sorted(steps.begin(), steps.end()));
      CHECK((steps.empty() || steps.front() >= 0));
      ++taken;
    } catch (const lpw::FileError& error) {
      CHECK(std::string(error.what()).starts_with(index + ": "));
      ++refused;
    }
  }
  CHECK(taken > 0);
  CHECK(refused > 0);
}
