// The loss along lines between members.
#include <lpw/train/parts/line_search.hpp>

#include <sstream>

#include "catch.hpp"
#include "train/served_run.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::train;

TEST_CASE("a line search writes the losses between members, which its ends share with them") {
  const TemporaryFolder folder;
  const TrainOptions o = served_options;
  ServedRun run(o);
  std::filesystem::create_directories(folder / "run");
  run.trainer.add(std::make_unique<LineSearch<DropoutToy, ServedTask>>(folder / "run", 5));
  REQUIRE(run.train(folder / "run") == 0);
  std::istringstream lines(text_of(io::read_file(folder / "run/line_search.csv")));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells;
    for (const auto cell : split_text(line, ',')) cells.emplace_back(cell);
    rows.push_back(cells);
  }
  CHECK(summary_in(folder / "run")["samples_forward"] == 4 * 48);  // a diagnostic is no cost of the method
  REQUIRE(rows.size() == 11);
  CHECK(rows[0] == std::vector<std::string>{"line", "t", "train_loss", "held_out_loss", "held_out_accuracy"});
  CHECK(rows[3][1] == "0.5");
  for (std::size_t c = 2; c < 5; ++c) CHECK(rows[1][c] == rows[6][c]);  // both begin with the first member
  CHECK(rows[5] != rows[10]);
  const auto svg = text_of(io::read_file(folder / "run/line_search.svg"));
  CHECK(contains(svg, "member 1 to the mean, held-out"));
  CHECK(contains(svg, "</svg>"));
  CHECK(!contains(svg, "nan"));
  // The mean: the collapse by parameters, with statistics of all samples.
  ServedRun mean(serving({.collapse = Averaging::parameters}));
  REQUIRE(mean.train(folder / "mean") == 0);
  double samples = 0;
  mean.task.for_each_loss(mean.network, Samples::training, false,
                          [&](Tape&, const auto&, std::int64_t count) { samples += static_cast<double>(count); });
  CHECK(samples == 48);
  CHECK(std::abs(mean.task.held_out_scores(mean.network).front().loss - std::stod(rows[10][3])) <= 1e-5);
  const auto refusal = [&](const TrainOptions& of, const ServedTask& task, std::int64_t points) {
    return message_of<OptionError>([&] { LineSearch<DropoutToy, ServedTask>::require_possible(task, of, points); });
  };
  TrainOptions plain = served_options;
  plain.members = 1;
  CHECK(refusal(served_options, run.task, 5).empty());
  CHECK(refusal(served_options, run.task, 1) == "`line_search` 1: expected 0 or at least 2 points");
  CHECK(contains(refusal(plain, run.task, 5), "`line_search`: no members are released"));
  CHECK(contains(refusal(served_options, ServedTask(test::dataset()), 5),
                 "`line_search` needs samples that are not trained"));
}

TEST_CASE("a line search is between the members of the last step, whatever takes their place") {
  const TemporaryFolder folder;
  const auto lines_of = [&](const char* name, const TrainOptions& o) {
    ServedRun run(o);
    std::filesystem::create_directories(folder / name);
    run.trainer.add(std::make_unique<LineSearch<DropoutToy, ServedTask>>(folder / name, 2));
    REQUIRE(run.train(folder / name) == 0);
    return text_of(io::read_file(folder / name / "line_search.csv"));
  };
  TrainOptions averaged = served_options, elastic = served_options, centre = served_options;
  averaged.average = optim::SwaOptions();
  CHECK(lines_of("averaged", averaged) == lines_of("plain", served_options));
  elastic.coupling = centre.coupling = Elastic{};
  elastic.coupling_every = centre.coupling_every = 2;
  elastic.elastic_served = ElasticServed::members;
  const std::string text = lines_of("centre", centre);
  CHECK(text == lines_of("elastic", elastic));
  const auto lines = split_text(text, '\n');
  REQUIRE(lines.size() >= 3);
  CHECK(lines[1].substr(lines[1].find(",0,") + 3) != lines[2].substr(lines[2].find(",1,") + 3));
}
