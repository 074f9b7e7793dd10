#include <lpw/train/choices.hpp>
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

TEST_CASE("rows of weights that took the last step's place say so, in the table and in the summary") {
  const Results final{{"before_release", scores(0.5, 1)},
                      {"member_1", scores(0.6, 0.9), {}, "ema"},
                      {"member_2", scores(0.8, 0.7), {}, "ema"},
                      {"ensemble", scores(0.9, 0.5), {}, "ema"},
                      {"collapsed_parameters", scores(0.84, 0.61), {}, "ema"},
                      {"collapsed", scores(0.85, 0.6), {}, "epoch 12"},
                      {"dropout_4", scores(0.86, 0.6), {}, "epoch 12"}};
  CHECK(format_table(final) ==
        "                                           test accuracy       test nll\n"
        "  before release                                  0.5000         1.0000\n"
        "  mean of 2 members, ema                          0.7000         0.8000\n"
        "  ensemble of members, ema                        0.9000         0.5000\n"
        "  collapsed (parameters), ema                     0.8400         0.6100\n"
        "  collapsed, one plain network, epoch 12          0.8500         0.6000\n"
        "  4 dropout samples, epoch 12                     0.8600         0.6000");
  const auto json = to_json(final);
  CHECK_FALSE(json["results"][0].contains("weights"));
  CHECK(json["results"][1]["weights"] == "ema");
  CHECK(json["results"][5]["weights"] == "epoch 12");
}

TEST_CASE("what a run chose stands in its summary, and its last line says what became of the members") {
  const Words words{"bpc", "valid", "characters"};
  const auto summary = [&](const Choices& choices) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    add_choices(json, choices, words);
    return json.dump();
  };
  const Choices greedy{.weights = "swa",
                       .best = "the end",
                       .best_quality = -1.5,
                       .members = {3, 1},
                       .members_quality = -1.75,
                       .coefficients = {0.5, 0, 0.5}};
  CHECK(summary({}) == "{}");
  CHECK(summary(greedy) ==
        R"({"weights_collapsed":"swa","best":"the end","best_held_out_bpc":1.5,"collapse_members":[3,1],)"
        R"("collapse_held_out_bpc":1.75,"collapse_coefficients":[0.5,0.0,0.5]})");
  const Choices fitted{.coefficients = {0.75, 0.25}, .losses = {2, 1.5}};
  CHECK(summary(fitted) ==
        R"({"collapse_coefficients":[0.75,0.25],"collapse_held_out_loss_of_mean":2.0,"collapse_held_out_loss":1.5})");
  const std::string end = "one plain network of 74 parameters";
  CHECK(describe_collapse({}, 3, 74) == "collapse: 3 members averaged into " + end);
  CHECK(describe_collapse(greedy, 3, 74) == "collapse: 2 of 3 members averaged into " + end);
  CHECK(describe_collapse(fitted, 2, 74) == "collapse: 2 members averaged by those coefficients into " + end);
  CHECK(describe_collapse({.weights = "centre"}, 3, 74) == "collapse: the centre of 3 members is left, " + end);
  CHECK(describe_collapse({.best = "epoch 2", .members = {1}}, 3, 74) ==
        "collapse: the network of epoch 2 is left in place of the 3 members, " + end);
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
