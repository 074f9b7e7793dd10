#include <lpw/train/scores.hpp>

#include "catch.hpp"
#include "support.hpp"

using namespace lpw::train;

namespace {

Scores scores(double accuracy, double nll) { return {{"test_accuracy", accuracy}, {"test_nll", nll}}; }

}  // namespace

TEST_CASE("a summary lists every score of every network under its name") {
  const Results final{{"before_release", scores(0.5, 1), {1, 10}},
                      {"member_1", scores(0.6, 0.9), {1, 10}},
                      {"member_2", scores(0.8, 0.7), {1, 10}},
                      {"ensemble", scores(0.9, 0.5), {2, 12}},
                      {"collapsed_parameters", scores(0.84, 0.61), {1, 10}},
                      {"collapsed", scores(0.85, 0.6), {1, 10}}};
  CHECK(to_json(final).dump() ==
        R"({"test_accuracy_before_release":0.5,"test_nll_before_release":1.0,"test_accuracy_members":[0.6,0.8],)"
        R"("test_nll_members":[0.9,0.7],"test_accuracy_ensemble":0.9,"test_nll_ensemble":0.5,)"
        R"("test_accuracy_collapsed":0.85,)"
        R"("test_nll_collapsed":0.6,"test_accuracy_collapsed_parameters":0.84,"test_nll_collapsed_parameters":0.61,)"
        R"("results":[)"
        R"({"name":"before_release","passes":1,"parameters":10,"test_accuracy":0.5,"test_nll":1.0},)"
        R"({"name":"member_1","passes":1,"parameters":10,"test_accuracy":0.6,"test_nll":0.9},)"
        R"({"name":"member_2","passes":1,"parameters":10,"test_accuracy":0.8,"test_nll":0.7},)"
        R"({"name":"ensemble","passes":2,"parameters":12,"test_accuracy":0.9,"test_nll":0.5},)"
        R"({"name":"collapsed_parameters","passes":1,"parameters":10,"test_accuracy":0.84,"test_nll":0.61},)"
        R"({"name":"collapsed","passes":1,"parameters":10,"test_accuracy":0.85,"test_nll":0.6}]})");
  const std::string table = format_table(final);
  CHECK(contains(table, "\n  before release                        0.5000         1.0000"));
  CHECK(contains(table, "\n  mean of 2 members                     0.7000         0.8000"));
  CHECK(contains(table, "\n  ensemble of members                   0.9000         0.5000"));
  CHECK(contains(table, "\n  collapsed (parameters)                0.8400         0.6100"));
  CHECK(contains(table, "\n  collapsed, one plain network          0.8500         0.6000"));
}

TEST_CASE("a network that was never released has null before release and one row") {
  const Results final{{"member_1", scores(0.5, 1)},
                      {"ensemble", scores(0.5, 1)},
                      {"collapsed_parameters", scores(0.5, 1)},
                      {"collapsed", scores(0.5, 1)}};
  CHECK(to_json(final)["test_accuracy_before_release"].is_null());
  CHECK(format_table(final) ==
        "                                 test accuracy       test nll\n"
        "  plain network                         0.5000         1.0000");
}

TEST_CASE("an ensemble of snapshots has a row and scores of its own") {
  const Results final{{"member_1", scores(0.5, 1)},
                      {"ensemble", scores(0.5, 1)},
                      {"collapsed_parameters", scores(0.5, 1)},
                      {"collapsed", scores(0.5, 1), {1, 10}},
                      {"snapshots", scores(0.75, 0.5), {3, 30}}};
  const auto json = to_json(final);
  CHECK(json["test_accuracy_snapshots"] == 0.75);
  CHECK(json["test_nll_snapshots"] == 0.5);
  CHECK(json["results"].back().dump() ==
        R"({"name":"snapshots","passes":3,"parameters":30,"test_accuracy":0.75,"test_nll":0.5})");
  CHECK(format_table(final) ==
        "                                 test accuracy       test nll\n"
        "  plain network                         0.5000         1.0000\n"
        "  ensemble of 3 snapshots               0.7500         0.5000");
}
