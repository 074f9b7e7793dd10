// Runs the tests, or says that there is no GPU to run them on.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <cstdio>
#include <cstring>

#include <lpw/cuda/base/runtime.hpp>

int main(int argc, char** argv) {
  bool listing = false;
  for (int i = 1; i < argc; ++i)
    listing = listing || std::strncmp(argv[i], "--list", 6) == 0 || std::strcmp(argv[i], "-l") == 0;
  if (!listing && !lpw::cuda::available()) {
    std::puts("SKIPPED: there is no NVIDIA GPU here");
    return 0;
  }
  return Catch::Session().run(argc, argv);
}
