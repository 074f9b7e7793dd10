// In place of examples/launcher/processor.cpp: a processor of the level that the environment says.
#include <processor.hpp>

#include <cstdlib>

int launcher::processor_level() {
  const char* const level = std::getenv("LPW_TEST_LEVEL");
  return level ? std::atoi(level) : 1;
}
