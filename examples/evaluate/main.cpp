// Scores whatever the trainer of images saves: a plain network, the members of a checkpoint, a run's snapshots, or
// several of them as an ensemble. docs/evaluation.md defines the scores.
#include "../shared/offered_programs.hpp"
#include "../shared/output_folder.hpp"
#include "../shared/parse_options.hpp"
#include "example.hpp"

int main(int argc, char** argv) {
  return example::main_with_options<evaluate::Options>(
      argc, argv, "a smaller --batch, or fewer networks", [](const evaluate::Options& options) {
        lpw::require<lpw::OptionError>(options.precision == "fp32" || options.device == "cuda", "--precision ",
                                       options.precision, " needs --device cuda; the CPU evaluates in fp32");
        if (!options.out.empty())
          example::make_output_folder(options.out, {"evaluation.json", "reliability.svg", "risk_coverage.svg"});
        return example::run_offered<evaluate::Example>(options, {});
      });
}
