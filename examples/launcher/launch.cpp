// What is installed as bin/lpw-NAME where programs are built for several levels of x86-64 (LPW_PORTABLE): starts the
// one of the highest level that this processor has, which lies in a folder that is told by its path from this program's
// own. LPW_LEVEL=x86-64-v3 in the environment asks for another. It is compiled for any x86-64, and after the start
// there is nothing left of it.
//
// LPW_PROGRAM is NAME, LPW_LEVELS the path of the levels' folders from this program's folder.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "processor.hpp"

namespace {

using namespace launcher;

/// Says why there is nothing to start, in a line.
int fail(const std::string& why) {
  std::fprintf(stderr, "lpw-%s: %s\n", LPW_PROGRAM, why.c_str());
  return 1;
}

std::string name_of(int level) { return level == 1 ? "x86-64" : "x86-64-v" + std::to_string(level); }

/// The level of a name; 0 where no program is built for one of that name.
int level_of(const std::string& name) {
  for (int level = lowest_level; level <= highest_level; ++level)
    if (name == name_of(level)) return level;
  return 0;
}

}  // namespace

int main(int, char** argv) {
  const int has = processor_level();
  int level = has;
  if (const char* const asked = std::getenv("LPW_LEVEL"); asked && *asked) {
    level = level_of(asked);
    if (level == 0)
      return fail("LPW_LEVEL=" + std::string(asked) + ": expected " + name_of(lowest_level) + " to " +
                  name_of(highest_level) + ", or leave it out");
    if (level > has)
      return fail("LPW_LEVEL=" + std::string(asked) + ": this processor has " + name_of(has) + "; leave it out");
  }
  if (level < lowest_level)
    return fail("this processor is older than those that the program is built for (from " + name_of(lowest_level) +
                " on: SSE4.2 and POPCNT); build lpw on this machine");

  std::error_code unreadable;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  if (unreadable) return fail("/proc/self/exe: " + unreadable.message() + "; mount /proc");
  const auto program = (own.parent_path() / LPW_LEVELS / name_of(level) / LPW_PROGRAM).lexically_normal();
  execv(program.c_str(), argv);
  return fail(program.string() + ": " + std::strerror(errno) + "; install lpw-programs anew");
}
